/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_DEMO_H
#define HMMU_TOOL_DEMO_H

/*
 * `hmmu demo`: the interface between its files
 *
 * The graph is on the heap, and the heap migrates to the device. A page that
 * malloc, stdio or json-c accesses meanwhile migrates back and spoils the
 * figures. So while the phases run, figures are stored only on the stack and in
 * memory of hmmu_alloc(). They are printed after the space is closed.
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
 * struct demo_options - the options of the command line
 * @input:      file to read, or NULL: the machine's package lists.
 * @iterations: iterations of PageRank.
 * @workers:    threads of the accelerator, and of the CPU run.
 * @top:        number of packages to print.
 * @json:       print JSON instead of text.
 * @picture:    draw the address space.
 * @thp:        ask malloc for a heap of large pages.
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
 * enum demo_phase_name - the phases of the demo
 * @DEMO_SYSTEM: the device computes; all pages are in system memory.
 * @DEMO_DEVICE: the device computes; the graph is in device memory.
 * @DEMO_HOME:   the CPU reads the result.
 * @DEMO_PHASES: number of phases.
 */
enum demo_phase_name {
	DEMO_SYSTEM,
	DEMO_DEVICE,
	DEMO_HOME,
	DEMO_PHASES,
};

/**
 * struct demo_phase - results of one phase
 * @ns:        time of the computation, or of the reading.
 * @done:      increase of the space's counters, migration included.
 * @equal:     the ranks that it wrote, or read, are those of the CPU run.
 * @system_pages: pages of the graph in system memory, at its end.
 * @view:      residency of the graph's blocks, at its end.
 */
struct demo_phase {
	uint64_t ns;
	struct hmmu_space_stats done;
	bool equal;
	uint64_t system_pages;
	struct footprint_view view;
};

/**
 * struct demo_migration - migration of the heap to the device
 * @ns:     time.
 * @bytes:  length of the ranges to migrate.
 * @result: the pages that migrated, and why the others did not.
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
 * @cpu_ranks: ranks of the CPU run, by index; from hmmu_alloc().
 * @space:     open from the first phase to the last.
 * @memory:    memory of the accelerator.
 * @soft:      the accelerator.
 * @rank:      the computation on the accelerator; from hmmu_alloc().
 * @footprint: the pages of the graph.
 * @stays:     why the graph cannot migrate; a static string. NULL if it can.
 *             If it cannot, only DEMO_SYSTEM runs.
 * @migration: between the first two phases.
 * @phases:    the results of each phase.
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
 * demo_heap_prepare() - make malloc use large pages for the heap
 *
 * Executes the program again, once, with environment variables that glibc reads
 * only at its start: the heap grows in large steps, is advised to use large
 * pages, and also contains large allocations. Returns in the new program, or if
 * that fails; then the heap stays as malloc makes it.
 */
void demo_heap_prepare(void);

/**
 * demo_run_phases() - run all phases
 * @demo: its graph is loaded.
 *
 * When it returns, the space is closed and every page is in system memory.
 *
 * Return: enum tool_status; the error is on stderr.
 */
int demo_run_phases(struct demo *demo);

/**
 * demo_run_end() - free the results of demo_run_phases()
 * @demo: the demo.
 */
void demo_run_end(struct demo *demo);

/* The number of phases that ran */
size_t demo_phase_count(const struct demo *demo);

/* True if the ranks from the device are those of the CPU run */
bool demo_ranks_equal(const struct demo *demo);

/**
 * demo_report_text() - print the results of a run
 * @demo: a finished run.
 * @out:  the stream.
 */
void demo_report_text(const struct demo *demo, FILE *out);

/**
 * demo_report_json() - the same as JSON
 * @demo: a finished run.
 * @out:  the stream.
 *
 * Return: 0, or -ENOMEM.
 */
int demo_report_json(const struct demo *demo, FILE *out)
	__attribute__((warn_unused_result));

#endif
