/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_DEMO_H
#define HMMU_TOOL_DEMO_H

/*
 * `hmmu demo`: between its files.
 *
 * The graph stands on the heap, and the heap goes to the device: what malloc,
 * stdio or json-c touch in between comes home and spoils the figures. So while
 * the phases run, figures are taken into structs on the stack and memory of
 * hmmu_alloc() only. They are printed when the space is closed again.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <hmmu/memory.h>
#include <hmmu/migrate.h>
#include <hmmu/soft.h>
#include <hmmu/space.h>

#include "demo_device.h"
#include "demo_footprint.h"
#include "tools/hmmu/graph/graph.h"

#define DEMO_TOP_MAX 1000u

/**
 * struct demo_options - what the command line asks for
 * @input:      file to read, or NULL: the machine's package lists.
 * @iterations: of PageRank.
 * @workers:    of the accelerator, and threads of the CPU run.
 * @top:        how many packages to print.
 * @json:       print JSON instead of text.
 * @picture:    draw the address space.
 * @thp:        build the heap of large pages.
 */
struct demo_options {
	const char *input;
	uint32_t iterations;
	uint32_t workers;
	uint32_t top;
	bool json;
	bool picture;
	bool thp;
};

/**
 * enum demo_phase_name - the parts of the demo
 * @DEMO_SYSTEM: the device computes, all in system memory.
 * @DEMO_DEVICE: the device computes, the graph in its own memory.
 * @DEMO_HOME:   the CPU reads the result.
 * @DEMO_PHASES: how many.
 */
enum demo_phase_name {
	DEMO_SYSTEM,
	DEMO_DEVICE,
	DEMO_HOME,
	DEMO_PHASES,
};

/**
 * struct demo_phase - what one part did
 * @ns:        time of the computation, or of the reading.
 * @done:      counters of the space: what this part added, migration too.
 * @equal:     the ranks it left, or read, are those of the CPU run.
 * @system_pages: pages of the graph in system memory, at its end.
 * @view:      who holds what, at its end.
 */
struct demo_phase {
	uint64_t ns;
	struct hmmu_space_stats done;
	bool equal;
	uint64_t system_pages;
	struct footprint_view view;
};

/**
 * struct demo_migration - the heap goes to the device
 * @ns:     time.
 * @bytes:  length of what was asked to move.
 * @result: what moved, and why the rest stayed.
 * @system_pages: pages of the graph in system memory, right afterwards.
 */
struct demo_migration {
	uint64_t ns;
	uint64_t bytes;
	struct hmmu_migrate_result result;
	uint64_t system_pages;
};

/**
 * struct demo - one run
 * @options:   the command line.
 * @graph:     the program's data.
 * @load_ns:   time to load it.
 * @cpu_ns:    time of the CPU run.
 * @cpu_ranks: ranks of the CPU run, by index; of hmmu_alloc().
 * @space:     open from the first phase to the last.
 * @memory:    of the accelerator.
 * @soft:      the accelerator.
 * @rank:      what it computes; of hmmu_alloc().
 * @footprint: where the graph stands.
 * @stays:     why the graph cannot migrate, or NULL; static. Then only
 *             DEMO_SYSTEM runs.
 * @migration: between the first two phases.
 * @phases:    what each did.
 */
struct demo {
	struct demo_options options;
	struct graph graph;
	uint64_t load_ns;
	uint64_t cpu_ns;
	double *cpu_ranks;
	struct hmmu_space *space;
	struct hmmu_memory *memory;
	struct hmmu_soft *soft;
	struct device_rank *rank;
	struct footprint footprint;
	const char *stays;
	struct demo_migration migration;
	struct demo_phase phases[DEMO_PHASES];
};

/**
 * demo_heap_prepare() - let malloc build the heap of large pages
 *
 * Starts the program anew, once, with settings in the environment that glibc
 * reads at its start only: the heap grows by much at once, is advised to be of
 * large pages and holds large blocks too. Returns when that is done or cannot
 * be; then the heap is as it happens to be.
 */
void demo_heap_prepare(void);

/**
 * demo_run_phases() - do all that the demo shows
 * @demo: its graph is loaded.
 *
 * Afterwards the space is closed and every page is home.
 *
 * Return: enum tool_status; what failed was said on stderr.
 */
int demo_run_phases(struct demo *demo);

/**
 * demo_run_end() - give back what demo_run_phases() left for the report
 * @demo: the demo.
 */
void demo_run_end(struct demo *demo);

/* How many phases ran, from the first */
size_t demo_phase_count(const struct demo *demo);

/* The ranks of the computations on the device are those of the CPU */
bool demo_ranks_equal(const struct demo *demo);

/**
 * demo_report_text() - print what a run found
 * @demo: done.
 * @out:  where to.
 */
void demo_report_text(const struct demo *demo, FILE *out);

/**
 * demo_report_json() - the same as JSON
 * @demo: done.
 * @out:  where to.
 *
 * Return: 0, or -ENOMEM.
 */
int demo_report_json(const struct demo *demo, FILE *out)
	__attribute__((warn_unused_result));

#endif
