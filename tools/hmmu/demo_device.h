/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_DEMO_DEVICE_H
#define HMMU_TOOL_DEMO_DEVICE_H

/*
 * PageRank on a software accelerator, over the pointers of the program: the
 * same arithmetic in the same order as pagerank_run() (see pagerank.h), but
 * each load and store of the graph goes through a port.
 */

#include <hmmu/soft.h>

#include "tools/hmmu/graph/pagerank.h"

/**
 * struct device_rank - one computation
 * @nodes:      graph.nodes, as the device sees it: an address.
 * @count:      graph.count, not 0.
 * @iterations: number of iterations.
 * @damping:    as in struct pagerank_options.
 * @step:       constants of the iteration running.
 * @block_sums: each block's part of dangling, pagerank_block_count() of them.
 *
 * It and @block_sums are memory of hmmu_alloc(): kernels use them directly,
 * while all that the program allocated may be away.
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
 * @soft:   the accelerator; all its workers take part.
 * @rank:   what to compute.
 * @title:  for tool_progress(); a static string.
 * @result: in: size; out: on failure of a kernel, which and where.
 *
 * Allocates nothing and touches nothing of the graph by itself.
 *
 * Return: 0; a code of hmmu_soft_launch() or hmmu_soft_job_wait(); or what
 * made a kernel fail, a device fault.
 */
int device_rank_run(struct hmmu_soft *soft, struct device_rank *rank,
		    const char *title, struct hmmu_soft_job_result *result)
	__attribute__((warn_unused_result));

#endif
