/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_PAGERANK_H
#define HMMU_TOOL_GRAPH_PAGERANK_H

/*
 * PageRank in pull form. With N nodes and damping d, each iteration is
 *
 *	dangling = sum of rank(u) over nodes u that depend on nothing
 *	rank'(v) = (1 - d)/N + d * (dangling/N + sum of rank(u)/out_degree(u)
 *	                            over u in rdepends(v), in list order)
 *
 * and all ranks begin as 1/N.
 *
 * The same bits come out however many workers there are, and whether a CPU or
 * a device runs it, because
 *
 * - each rank'(v) is one sum, made by one worker in the order of the list;
 * - dangling is summed by blocks of PAGERANK_BLOCK_NODES nodes, each in order,
 *   and the sums of the blocks are added in order: its shape depends on N only;
 * - both sides compile the inlines below, which take loaded values, without
 *   contraction: a*b+c fused has other last bits. Compile every file that
 *   includes this with -ffp-contract=off (gcc has no pragma for it).
 *
 * What a device does instead of pagerank_run(), with "load" being a load of
 * its own through the shared address space:
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
 *		part of dangling with pagerank_add_dangling()
 *	wait; one worker adds the parts and makes the next step
 *
 * pull only reads rank, commit alone writes it, and a wait parts them: so no
 * load races with a store. A pointer is 8 bytes on an 8-byte boundary, so are
 * both doubles, and out_degree is 4 on 4: no load crosses a page.
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
 * struct pagerank_options - how to run
 * @damping:    d, from 0 up to and with 1; PAGERANK_DAMPING_DEFAULT.
 * @iterations: number of iterations; 0 leaves every rank at 1/N.
 * @workers:    threads to use, the caller's included; 0 is 1.
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
 * struct pagerank_step - what is the same for all nodes in one iteration
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
 * pagerank_step_make() - the constants of an iteration
 * @damping:    d.
 * @dangling:   sum of the ranks of nodes without edges out.
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
 * pagerank_add() - add what one neighbour gives
 * @sum:        what the neighbours before it in the list gave; begin with 0.
 * @rank:       the neighbour's rank.
 * @out_degree: the neighbour's, not 0: it depends on the node that pulls.
 *
 * Return: the sum with it.
 */
static inline double pagerank_add(double sum, double rank, uint32_t out_degree)
{
	return sum + rank / (double)out_degree;
}

/**
 * pagerank_rank() - a node's new rank
 * @step: the iteration.
 * @sum:  what all its neighbours gave.
 *
 * Return: the rank.
 */
static inline double pagerank_rank(const struct pagerank_step *step, double sum)
{
	return step->teleport + step->damping * (step->dangling_share + sum);
}

/**
 * pagerank_add_dangling() - add a node's part of dangling
 * @sum:        what the nodes before it in its block gave; begin with 0.
 * @rank:       the node's rank.
 * @out_degree: the node's.
 *
 * Return: the sum with it.
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
 * Return: the number of sums that dangling is made of.
 */
static inline size_t pagerank_block_count(size_t node_count)
{
	return (node_count + PAGERANK_BLOCK_NODES - 1) / PAGERANK_BLOCK_NODES;
}

/**
 * pagerank_dangling() - add the sums of the blocks
 * @block_sums:  one for each block, in the order of the blocks; borrowed.
 * @block_count: their number.
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
 * @graph:   the graph; its nodes' rank and next_rank are written.
 * @options: how; borrowed for the call.
 *
 * If threads cannot be had it runs with those it has: the result is the same.
 *
 * Context: Creates threads and joins them. Nobody else may use the ranks.
 * Return:
 *   0        rank of every node is set; an empty graph has none
 *   -EINVAL  damping is not within [0, 1]
 *   -ENOMEM  memory is out; ranks are as before
 */
int pagerank_run(struct graph *graph, const struct pagerank_options *options)
	__attribute__((warn_unused_result));

/**
 * graph_top() - the nodes of the highest ranks
 * @graph: the graph, ranked.
 * @k:     how many to give, few: the time is that of an insertion sort.
 * @out:   room for @k pointers; filled with the highest rank first, and equal
 *         ranks by name. The nodes stay the graph's.
 *
 * Return: the number of nodes given: @k, or graph.count when that is less.
 */
size_t graph_top(const struct graph *graph, size_t k,
		 const struct pkg_node **out);

#endif
