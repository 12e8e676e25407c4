/* SPDX-License-Identifier: MIT */
/*
 * PageRank on a software accelerator: the kernels and their launch
 */
#include "demo_device.h"

#include <string.h>

#include "tool.h"

/*
 * Nodes of one section. A thread that changes the program's memory waits for
 * open sections; one of 64 nodes takes some microseconds.
 */
#define SECTION_NODES ((size_t)64)

_Static_assert(PAGERANK_BLOCK_NODES % SECTION_NODES == 0,
	       "a section does not leave its block");

/**
 * struct share - the part of the nodes that one call of a kernel processes
 * @rank:     the computation.
 * @dangling: sum of the current block so far.
 * @keeps_sums: store the sum of each block.
 * @node_fn:  called for each node in a section of @port.
 */
struct share {
	const struct device_rank *rank;
	double dangling;
	bool keeps_sums;
	int (*node_fn)(struct hmmu_port *port, struct share *share,
		       uintptr_t node);
};

static int load_pointer(struct hmmu_port *port, uintptr_t va, uintptr_t *ret)
{
	uint64_t bits;
	int err = hmmu_port_load64(port, va, &bits);

	if (!err)
		*ret = bits;
	return err;
}

static int load_double(struct hmmu_port *port, uintptr_t va, double *ret)
{
	uint64_t bits;
	int err = hmmu_port_load64(port, va, &bits);

	if (!err)
		memcpy(ret, &bits, sizeof(*ret));
	return err;
}

static int store_double(struct hmmu_port *port, uintptr_t va, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return hmmu_port_store64(port, va, bits);
}

static int load_degree(struct hmmu_port *port, uintptr_t node, uint32_t *ret)
{
	return hmmu_port_load32(
		port, node + offsetof(struct pkg_node, out_degree), ret);
}

static int start_node(struct hmmu_port *port, struct share *share,
		      uintptr_t node)
{
	return store_double(port, node + offsetof(struct pkg_node, next_rank),
			    1.0 / (double)share->rank->count);
}

static int commit_node(struct hmmu_port *port, struct share *share,
		       uintptr_t node)
{
	uint32_t out_degree;
	double rank;
	int err;

	err = load_double(port, node + offsetof(struct pkg_node, next_rank),
			  &rank);
	if (!err)
		err = load_degree(port, node, &out_degree);
	if (!err)
		err = store_double(port, node + offsetof(struct pkg_node, rank),
				   rank);
	if (!err)
		share->dangling = pagerank_add_dangling(share->dangling, rank,
							out_degree);
	return err;
}

/* Add the contribution of an edge's node to @sum; advance @edge to the next */
static int pull_edge(struct hmmu_port *port, uintptr_t *edge, double *sum)
{
	uintptr_t node;
	uint32_t out_degree;
	double rank;
	int err;

	err = load_pointer(port, *edge + offsetof(struct pkg_edge, node),
			   &node);
	if (!err)
		err = load_double(port, node + offsetof(struct pkg_node, rank),
				  &rank);
	if (!err)
		err = load_degree(port, node, &out_degree);
	if (!err)
		err = load_pointer(
			port, *edge + offsetof(struct pkg_edge, next), edge);
	if (!err)
		*sum = pagerank_add(*sum, rank, out_degree);
	return err;
}

static int pull_node(struct hmmu_port *port, struct share *share,
		     uintptr_t node)
{
	uintptr_t edge;
	double sum = 0;
	int err;

	err = load_pointer(port, node + offsetof(struct pkg_node, rdepends),
			   &edge);
	while (!err && edge)
		err = pull_edge(port, &edge, &sum);
	if (err)
		return err;
	return store_double(port, node + offsetof(struct pkg_node, next_rank),
			    pagerank_rank(&share->rank->step, sum));
}

/* Process the nodes [first, end) of graph.nodes in one section */
static int run_section(struct hmmu_port *port, struct share *share,
		       size_t first, size_t end)
{
	int err = 0;

	hmmu_port_begin(port);
	for (size_t i = first; i < end && !err; i++) {
		uintptr_t node;

		err = load_pointer(port,
				   share->rank->nodes + i * sizeof(uintptr_t),
				   &node);
		if (!err)
			err = share->node_fn(port, share, node);
	}
	hmmu_port_end(port);
	return err;
}

static int run_block(struct hmmu_port *port, struct share *share, size_t block)
{
	size_t first = block * PAGERANK_BLOCK_NODES;
	size_t end = first + PAGERANK_BLOCK_NODES;
	int err = 0;

	if (end > share->rank->count)
		end = share->rank->count;
	for (; first < end && !err; first += SECTION_NODES) {
		size_t stop = first + SECTION_NODES;

		err = run_section(port, share, first, stop < end ? stop : end);
	}
	return err;
}

/* Blocks are assigned round-robin, as in pagerank_run() */
static int run_share(struct hmmu_port *port, struct share *share,
		     unsigned int worker, unsigned int workers)
{
	size_t blocks = pagerank_block_count(share->rank->count);
	int err = 0;

	for (size_t b = worker; b < blocks && !err; b += workers) {
		share->dangling = 0;
		err = run_block(port, share, b);
		if (share->keeps_sums)
			share->rank->block_sums[b] = share->dangling;
	}
	return err;
}

static int start_kernel(struct hmmu_port *port, void *arg, unsigned int worker,
			unsigned int workers)
{
	struct share share = { .rank = arg, .node_fn = start_node };

	return run_share(port, &share, worker, workers);
}

static int pull_kernel(struct hmmu_port *port, void *arg, unsigned int worker,
		       unsigned int workers)
{
	struct share share = { .rank = arg, .node_fn = pull_node };

	return run_share(port, &share, worker, workers);
}

static int commit_kernel(struct hmmu_port *port, void *arg, unsigned int worker,
			 unsigned int workers)
{
	struct share share = {
		.rank = arg,
		.node_fn = commit_node,
		.keeps_sums = true,
	};

	return run_share(port, &share, worker, workers);
}

/* A job ends when all its calls have: that is the wait between the steps */
static int run_kernel(struct hmmu_soft *soft, hmmu_soft_kernel_fn kernel,
		      struct device_rank *rank,
		      struct hmmu_soft_job_result *result)
{
	struct hmmu_soft_job *job;
	int err;

	err = hmmu_soft_launch(soft, kernel, rank, 0, &job);
	if (!err)
		err = hmmu_soft_job_wait(job, HMMU_SOFT_FOREVER, result);
	return err ? err : result->error;
}

static struct pagerank_step make_step(const struct device_rank *rank)
{
	size_t blocks = pagerank_block_count(rank->count);
	double dangling = pagerank_dangling(rank->block_sums, blocks);

	return pagerank_step_make(rank->damping, dangling, rank->count);
}

int device_rank_run(struct hmmu_soft *soft, struct device_rank *rank,
		    const char *title, struct hmmu_soft_job_result *result)
{
	int err;

	err = run_kernel(soft, start_kernel, rank, result);
	if (!err)
		err = run_kernel(soft, commit_kernel, rank, result);
	for (uint32_t i = 0; i < rank->iterations && !err; i++) {
		tool_progress("%s: iteration %u of %u", title, i + 1,
			      rank->iterations);
		rank->step = make_step(rank);
		err = run_kernel(soft, pull_kernel, rank, result);
		if (!err)
			err = run_kernel(soft, commit_kernel, rank, result);
	}
	tool_progress(NULL);
	return err;
}
