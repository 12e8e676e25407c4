/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_PAGERANK_H
#define HMMU_TOOL_GRAPH_PAGERANK_H

/*
 * PageRank in pull form. With N nodes and damping d, each iteration is
 *
 *	dangling = sum of rank(u) over nodes u without dependencies
 *	rank'(v) = (1 - d)/N + d * (dangling/N + sum of rank(u)/out_degree(u)
 *	                            over u in rdepends(v), in list order)
 *
 * and all ranks begin as 1/N.
 *
 * The result has the same bits for any number of workers, on a CPU and on a
 * device, because
 *
 * - each rank'(v) is one sum, computed by one worker in the order of the list;
 * - dangling is summed by blocks of PAGERANK_BLOCK_NODES nodes, each in order,
 *   and the sums of the blocks are added in order. The order of additions
 *   depends only on N;
 * - both sides compile the inline functions below, which take loaded values,
 *   without contraction: a fused a*b+c has other last bits. Compile every file
 *   that includes this one with -ffp-contract=off (gcc has no pragma for it).
 *
 * A device does the following instead of pagerank_run(). "load" is a load of
 * the device through the shared address space:
 *
 *	start	node = load 8 of graph.nodes[i]; store 1/N, a double, to rank;
 *	pull	for the nodes of a share of graph.nodes:
 *		  sum = 0, edge = load 8 of node->rdepends; while edge:
 *		    u = load 8 of edge->node
 *		    sum = pagerank_add(sum, load 8 of u->rank,
 *				       load 4 of u->out_degree)
 *		    edge = load 8 of edge->next
 *		  store 8 to node->next_rank: pagerank_rank(&step, sum)
 *	wait until every worker is here
 *	commit	for the blocks of a share: rank = next_rank, and the block's
 *		share of dangling with pagerank_add_dangling()
 *	wait; one worker adds the shares and makes the next step
 *
 * pull only reads rank, only commit writes it, and a wait separates them, so no
 * load races with a store. Pointers and doubles are 8 bytes, 8-byte aligned,
 * and out_degree is 4 bytes, 4-byte aligned: no load crosses a page.
 */

#include "graph.h"

#ifdef __FAST_MATH__
#error "-ffast-math reorders sums: ranks would not be reproducible"
#endif

#define PAGERANK_DAMPING_DEFAULT    0.85
#define PAGERANK_ITERATIONS_DEFAULT 50u
#define PAGERANK_BLOCK_NODES	    ((size_t)1024)

/* A device loads each of these in one access */
_Static_assert(offsetof(struct pkg_node, rank) % 8 == 0, "aligned rank");
_Static_assert(offsetof(struct pkg_node, next_rank) % 8 == 0, "aligned rank");
_Static_assert(offsetof(struct pkg_node, out_degree) % 4 == 0,
	       "aligned degree");

/**
 * struct pagerank_options - options of a run
 * @damping:    d, in [0, 1]; PAGERANK_DAMPING_DEFAULT.
 * @iterations: number of iterations; 0 leaves every rank at 1/N.
 * @workers:    threads to use, the caller included; 0 is 1.
 */
struct pagerank_options {
	double damping;
	uint32_t iterations;
	uint32_t workers;
};

#define PAGERANK_OPTIONS_DEFAULT                                         \
	{                                                                \
		.damping = PAGERANK_DAMPING_DEFAULT,                     \
		.iterations = PAGERANK_ITERATIONS_DEFAULT, .workers = 1, \
	}

/**
 * struct pagerank_step - the constants of one iteration
 * @teleport:       (1 - d)/N.
 * @damping:        d.
 * @dangling_share: dangling/N.
 */
struct pagerank_step {
	double teleport;
	double damping;
	double dangling_share;
};

/**
 * pagerank_step_make() - compute the constants of an iteration
 * @damping:    d.
 * @dangling:   sum of the ranks of nodes without dependencies.
 * @node_count: N, not 0.
 *
 * Return: the step.
 */
static inline struct pagerank_step
pagerank_step_make(double damping, double dangling, size_t node_count)
{
	double n = (double)node_count;

	return (struct pagerank_step){
		.teleport = (1.0 - damping) / n,
		.damping = damping,
		.dangling_share = dangling / n,
	};
}

/**
 * pagerank_add() - add the contribution of one neighbour
 * @sum:        contributions of the neighbours before it in the list; begins
 *              with 0.
 * @rank:       the neighbour's rank.
 * @out_degree: the neighbour's; not 0, because it depends on the node that
 *              pulls.
 *
 * Return: the new sum.
 */
static inline double pagerank_add(double sum, double rank, uint32_t out_degree)
{
	return sum + rank / (double)out_degree;
}

/**
 * pagerank_rank() - a node's new rank
 * @step: the iteration.
 * @sum:  contributions of all its neighbours.
 *
 * Return: the rank.
 */
static inline double pagerank_rank(const struct pagerank_step *step, double sum)
{
	return step->teleport + step->damping * (step->dangling_share + sum);
}

/**
 * pagerank_add_dangling() - add a node's share of dangling
 * @sum:        shares of the nodes before it in its block; begins with 0.
 * @rank:       the node's rank.
 * @out_degree: the node's.
 *
 * Return: the new sum.
 */
static inline double pagerank_add_dangling(double sum, double rank,
					   uint32_t out_degree)
{
	return out_degree ? sum : sum + rank;
}

/**
 * pagerank_block_count() - number of blocks of a graph
 * @node_count: N.
 *
 * Return: the number of blocks, each with its sum of dangling.
 */
static inline size_t pagerank_block_count(size_t node_count)
{
	return (node_count + PAGERANK_BLOCK_NODES - 1) / PAGERANK_BLOCK_NODES;
}

/**
 * pagerank_dangling() - add the sums of the blocks
 * @block_sums:  one for each block, in the order of the blocks; borrowed.
 * @block_count: number of blocks.
 *
 * Return: dangling.
 */
static inline double pagerank_dangling(const double *block_sums,
				       size_t block_count)
{
	double sum = 0;

	for (size_t i = 0; i < block_count; i++)
		sum += block_sums[i];
	return sum;
}

/**
 * pagerank_run() - compute the rank of every node, on the CPU
 * @graph:   the graph; rank and next_rank of its nodes are written.
 * @options: the options; borrowed for the call.
 *
 * If it cannot create all threads, it runs with fewer. The result is the same.
 *
 * Context: Creates threads and joins them. No other thread may use the ranks.
 * Return:
 *   0        success; also for an empty graph
 *   -EINVAL  damping is not in [0, 1]
 *   -ENOMEM  out of memory; ranks are unchanged
 */
int pagerank_run(struct graph *graph, const struct pagerank_options *options)
	__attribute__((warn_unused_result));

/**
 * graph_top() - get the nodes with the highest ranks
 * @graph: the graph, after pagerank_run().
 * @k:     number of nodes; keep it small, because an insertion sort is used.
 * @out:   @k pointers; receives the highest rank first, and equal ranks by
 *         name. The graph owns the nodes.
 *
 * Return: the number of nodes in @out: @k, or graph.count if that is less.
 */
size_t graph_top(const struct graph *graph, size_t k,
		 const struct pkg_node **out);

#endif
