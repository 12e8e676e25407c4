/* SPDX-License-Identifier: MIT */
/*
 * The phases of the demo
 */
#include "demo.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include <hmmu/platform.h>

#include "tool.h"
#include "tools/hmmu/graph/pagerank.h"

/* Spare memory, because a few small pages take a whole chunk of 2 MiB */
#define MEMORY_SPARE_BYTES ((size_t)64 << 20)

/* More than the library has */
#define FACILITIES_MAX	   64u

static int print_error(const char *what, int err)
{
	tool_error("demo: %s: %s", what, strerror(-err));
	return TOOL_FAILED;
}

/* Overwrite all ranks, so that one which a phase does not write is found */
static void spoil_ranks(const struct graph *graph)
{
	for (size_t i = 0; i < graph->count; i++) {
		graph->nodes[i]->rank = (double)NAN;
		graph->nodes[i]->next_rank = (double)NAN;
	}
}

static bool ranks_equal(const struct demo *demo)
{
	for (size_t i = 0; i < demo->graph.count; i++)
		if (memcmp(&demo->graph.nodes[i]->rank, &demo->cpu_ranks[i],
			   sizeof(double)))
			return false;
	return true;
}

size_t demo_phase_count(const struct demo *demo)
{
	return demo->stays ? DEMO_DEVICE : DEMO_PHASES;
}

bool demo_ranks_equal(const struct demo *demo)
{
	for (size_t i = 0; i < demo_phase_count(demo); i++)
		if (!demo->phases[i].equal)
			return false;
	return true;
}

static int run_cpu(struct demo *demo)
{
	struct pagerank_options options = PAGERANK_OPTIONS_DEFAULT;
	size_t bytes = demo->graph.count * sizeof(double);
	uint64_t start;
	int err;

	options.iterations = demo->options.iterations;
	options.workers = demo->options.workers;
	demo->cpu_ranks = hmmu_alloc(bytes);
	if (!demo->cpu_ranks)
		return print_error("cannot allocate the ranks", -ENOMEM);
	tool_progress("computing on the CPU");
	start = tool_now_ns();
	err = pagerank_run(&demo->graph, &options);
	demo->cpu_ns = tool_now_ns() - start;
	if (err)
		return print_error("the CPU run", err);
	for (size_t i = 0; i < demo->graph.count; i++)
		demo->cpu_ranks[i] = demo->graph.nodes[i]->rank;
	return TOOL_OK;
}

/* Each block of the graph may need a chunk of device memory */
static int open_accelerator(struct demo *demo)
{
	struct hmmu_memory_options memory = {
		.size = sizeof(memory),
		.kind = HMMU_MEMORY_HOST_PRIVATE,
		.bytes = demo->footprint.block_count * HMMU_LARGE_BYTES +
			 MEMORY_SPARE_BYTES,
	};
	struct hmmu_soft_options soft = {
		.size = sizeof(soft),
		.name = "demo",
		.workers = demo->options.workers,
	};
	int err;

	err = hmmu_memory_create(demo->space, &memory, &demo->memory);
	if (err)
		return print_error("cannot create device memory", err);
	soft.memory = demo->memory;
	err = hmmu_soft_create(demo->space, &soft, &demo->soft);
	if (err)
		return print_error("cannot create the software accelerator",
				   err);
	return TOOL_OK;
}

/* Why nothing can migrate to device memory; NULL if it can */
static const char *why_it_stays(void)
{
	static struct hmmu_facility facility[FACILITIES_MAX];
	size_t count;

	facility[0].size = sizeof(facility[0]);
	if (hmmu_platform_query(facility, FACILITIES_MAX, &count))
		return NULL;
	for (size_t i = 0; i < count && i < FACILITIES_MAX; i++)
		if (!strcmp(facility[i].name, "move"))
			return facility[i].available ? NULL :
						       facility[i].reason;
	return NULL;
}

static int open_space(struct demo *demo)
{
	const char *why = NULL;
	int err = hmmu_space_open(NULL, &why, &demo->space);

	if (!err)
		return TOOL_OK;
	tool_error("demo: cannot open HMMU: %s", why);
	return err == -EOPNOTSUPP ? TOOL_UNSUPPORTED : TOOL_FAILED;
}

static int alloc_views(struct demo *demo)
{
	size_t bytes =
		demo->footprint.block_count * sizeof(struct hmmu_residency);

	for (size_t i = 0; i < DEMO_PHASES; i++) {
		demo->phases[i].view.records = hmmu_alloc(bytes);
		if (!demo->phases[i].view.records)
			return -ENOMEM;
	}
	return 0;
}

static int alloc_rank(struct demo *demo)
{
	size_t blocks = pagerank_block_count(demo->graph.count);

	demo->rank = hmmu_alloc(sizeof(*demo->rank));
	if (!demo->rank)
		return -ENOMEM;
	*demo->rank = (struct device_rank){
		.nodes = (uintptr_t)demo->graph.nodes,
		.count = demo->graph.count,
		.iterations = demo->options.iterations,
		.damping = PAGERANK_DAMPING_DEFAULT,
		.block_sums = hmmu_alloc(blocks * sizeof(double)),
	};
	return demo->rank->block_sums ? 0 : -ENOMEM;
}

static int prepare(struct demo *demo)
{
	int err, status;

	status = run_cpu(demo);
	if (status)
		return status;
	demo->stays = why_it_stays();
	status = open_space(demo);
	if (status)
		return status;
	err = footprint_init(&demo->footprint, &demo->graph);
	if (err == -EFAULT) {
		tool_error("demo: malloc's memory is not private and anonymous "
			   "and cannot migrate; use another allocator");
		return TOOL_FAILED;
	}
	if (!err)
		err = alloc_views(demo);
	if (!err)
		err = alloc_rank(demo);
	if (err)
		return print_error("cannot find the graph in memory", err);
	return open_accelerator(demo);
}

/* The counters of the space; all zero on error */
static struct hmmu_space_stats read_stats(const struct demo *demo)
{
	struct hmmu_space_stats stats = { .size = sizeof(stats) };

	if (hmmu_space_get_stats(demo->space, &stats))
		return (struct hmmu_space_stats){ .size = sizeof(stats) };
	return stats;
}

/* The increase of the counters; figures that are levels keep their value */
static struct hmmu_space_stats stats_since(const struct demo *demo,
					   const struct hmmu_space_stats *then)
{
	struct hmmu_space_stats now = read_stats(demo);

	now.device_faults -= then->device_faults;
	now.device_fault_retries -= then->device_fault_retries;
	now.cpu_faults -= then->cpu_faults;
	now.hole_faults -= then->hole_faults;
	now.pages_to_device -= then->pages_to_device;
	now.large_to_device -= then->large_to_device;
	now.pages_home -= then->pages_home;
	now.large_home -= then->large_home;
	now.pages_copied -= then->pages_copied;
	now.pages_dropped -= then->pages_dropped;
	now.invalidations -= then->invalidations;
	now.thp_lost -= then->thp_lost;
	return now;
}

/* Read the figures first: printing an error accesses the heap */
static int end_phase(struct demo *demo, struct demo_phase *phase,
		     const struct hmmu_space_stats *then)
{
	int err;

	phase->done = stats_since(demo, then);
	err = footprint_system_pages(&demo->footprint, &phase->system_pages);
	if (!err)
		err = footprint_look(&demo->footprint, demo->space,
				     &phase->view);
	return err ? print_error("cannot find out where the pages are", err) :
		     TOOL_OK;
}

static int compute(struct demo *demo, struct demo_phase *phase,
		   const char *title)
{
	struct hmmu_soft_job_result result = { .size = sizeof(result) };
	uint64_t start = tool_now_ns();
	int err = device_rank_run(demo->soft, demo->rank, title, &result);

	phase->ns = tool_now_ns() - start;
	if (!err)
		return TOOL_OK;
	if (result.fault.error) {
		tool_error("demo: %s: the device cannot %s 0x%llx: %s", title,
			   result.fault.access == HMMU_ACCESS_WRITE ? "write" :
								      "read",
			   (unsigned long long)result.fault.va,
			   strerror(-result.fault.error));
		return TOOL_FAILED;
	}
	return print_error(title, err);
}

static int run_system(struct demo *demo)
{
	struct demo_phase *phase = &demo->phases[DEMO_SYSTEM];
	struct hmmu_space_stats then = read_stats(demo);
	int status;

	spoil_ranks(&demo->graph);
	status = compute(demo, phase, "in system memory");
	if (!status)
		status = end_phase(demo, phase, &then);
	if (!status)
		phase->equal = ranks_equal(demo);
	return status;
}

static void add_result(struct hmmu_migrate_result *sum,
		       const struct hmmu_migrate_result *result)
{
	sum->pages_moved += result->pages_moved;
	sum->large_moved += result->large_moved;
	sum->pages_already += result->pages_already;
	sum->pages_stayed += result->pages_stayed;
	for (size_t i = 0; i < HMMU_STAY_REASONS; i++)
		sum->stayed[i] += result->stayed[i];
}

static int migrate(struct demo *demo)
{
	struct demo_migration *migration = &demo->migration;
	struct hmmu_device *device = hmmu_soft_device(demo->soft);
	uint64_t start = tool_now_ns();

	for (size_t i = 0; i < demo->footprint.region_count; i++) {
		struct hmmu_migrate_result result = { .size = sizeof(result) };
		uintptr_t from, to;
		int err;

		footprint_range(&demo->footprint.regions[i], &from, &to);
		err = hmmu_device_migrate(device, from, to - from, &result);
		if (err)
			return print_error("cannot migrate the heap", err);
		add_result(&migration->result, &result);
		migration->bytes += to - from;
	}
	migration->ns = tool_now_ns() - start;
	return TOOL_OK;
}

static int run_device(struct demo *demo)
{
	struct demo_phase *phase = &demo->phases[DEMO_DEVICE];
	struct hmmu_space_stats then = read_stats(demo);
	int err, status;

	spoil_ranks(&demo->graph);
	tool_progress("migrating the heap to the device");
	status = migrate(demo);
	if (status)
		return status;
	err = footprint_system_pages(&demo->footprint,
				     &demo->migration.system_pages);
	if (err)
		return print_error("cannot find out where the pages are", err);
	status = compute(demo, phase, "in device memory");
	if (status)
		return status;
	return end_phase(demo, phase, &then);
}

/* The CPU's comparison of the ranks is phase 3 and causes its CPU faults */
static int run_home(struct demo *demo)
{
	struct demo_phase *phase = &demo->phases[DEMO_HOME];
	struct hmmu_space_stats then = read_stats(demo);
	uint64_t start = tool_now_ns();

	phase->equal = ranks_equal(demo);
	phase->ns = tool_now_ns() - start;
	demo->phases[DEMO_DEVICE].equal = phase->equal;
	return end_phase(demo, phase, &then);
}

/* Migrates all remaining pages back. Also called after a failed run. */
static int close_space(struct demo *demo)
{
	int err;

	tool_progress(NULL);
	err = hmmu_soft_destroy(demo->soft);
	if (!err)
		err = hmmu_memory_destroy(demo->memory);
	if (!err)
		err = hmmu_space_close(demo->space);
	return err ? print_error("cannot close HMMU", err) : TOOL_OK;
}

int demo_run_phases(struct demo *demo)
{
	int closed, status;

	status = prepare(demo);
	if (!status)
		status = run_system(demo);
	if (!status && !demo->stays)
		status = run_device(demo);
	if (!status && !demo->stays)
		status = run_home(demo);
	closed = close_space(demo);
	return status ? status : closed;
}

void demo_run_end(struct demo *demo)
{
	size_t view_bytes =
		demo->footprint.block_count * sizeof(struct hmmu_residency);

	for (size_t i = 0; i < DEMO_PHASES; i++)
		hmmu_free(demo->phases[i].view.records, view_bytes);
	if (demo->rank)
		hmmu_free(demo->rank->block_sums,
			  pagerank_block_count(demo->graph.count) *
				  sizeof(double));
	hmmu_free(demo->rank, sizeof(*demo->rank));
	hmmu_free(demo->cpu_ranks, demo->graph.count * sizeof(double));
	footprint_fini(&demo->footprint);
}
