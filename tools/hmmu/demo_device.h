/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_DEMO_DEVICE_H
#define HMMU_TOOL_DEMO_DEVICE_H

/*
 * PageRank on a software accelerator, which follows the program's pointers
 *
 * The arithmetic and its order are those of pagerank_run(), see pagerank.h.
 * Each load and store of the graph goes through a port.
 */

#include <hmmu/soft.h>

#include "tools/hmmu/graph/pagerank.h"

/**
 * struct device_rank - one computation
 * @nodes:      address of graph.nodes, for the device.
 * @count:      graph.count, not 0.
 * @iterations: number of iterations.
 * @damping:    as in struct pagerank_options.
 * @step:       constants of the current iteration.
 * @block_sums: each block's share of dangling; pagerank_block_count() entries.
 *
 * The struct and @block_sums are in memory of hmmu_alloc(): kernels access them
 * directly, while the program's own allocations may be on the device.
 */
struct device_rank {
	uintptr_t nodes;
	size_t count;
	uint32_t iterations;
	double damping;
	struct pagerank_step step;
	double *block_sums;
};

/**
 * device_rank_run() - compute the rank of every node on a device
 * @soft:   the accelerator; all its workers compute.
 * @rank:   the computation.
 * @title:  for tool_progress(); a static string.
 * @result: in: size; out: if a kernel fails, which one and its fault.
 *
 * Allocates nothing. Only the device accesses the graph.
 *
 * Return: 0; an error of hmmu_soft_launch() or hmmu_soft_job_wait(); or the
 * device fault that ended a kernel.
 */
int device_rank_run(struct hmmu_soft *soft, struct device_rank *rank,
		    const char *title, struct hmmu_soft_job_result *result)
	__attribute__((warn_unused_result));

#endif
