/* SPDX-License-Identifier: MIT */
/*
 * PageRank on the CPU, with threads
 *
 * Locking: the gate holds new threads until their number is known. After that
 * barriers separate the phases, and each node has one worker that writes it.
 */
#include "pagerank.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/**
 * struct crew - the workers of one run
 * @graph:      the graph.
 * @options:    the options.
 * @block_sums: each block's share of dangling; written in commit by the worker
 *              of the block, read in pull by all workers.
 * @gate:       held by the main thread until @workers and @barrier are final.
 * @barrier:    separates the phases.
 * @workers:    number of threads that run, the main thread included.
 */
struct crew {
	struct graph *graph;
	const struct pagerank_options *options;
	double *block_sums;
	pthread_mutex_t gate;
	pthread_barrier_t barrier;
	uint32_t workers;
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	uint32_t index;
};

static double pull(const struct pkg_node *node)
{
	double sum = 0;

	for (const struct pkg_edge *edge = node->rdepends; edge;
	     edge = edge->next)
		sum = pagerank_add(sum, edge->node->rank,
				   edge->node->out_degree);
	return sum;
}

/* The nodes of a block: [first, end) of graph.nodes */
static size_t block_first(size_t block)
{
	return block * PAGERANK_BLOCK_NODES;
}

static size_t block_end(const struct graph *graph, size_t block)
{
	size_t end = block_first(block + 1);

	return end < graph->count ? end : graph->count;
}

static void start_block(struct crew *crew, size_t block)
{
	struct graph *graph = crew->graph;
	size_t end = block_end(graph, block);

	for (size_t i = block_first(block); i < end; i++)
		graph->nodes[i]->next_rank = 1.0 / (double)graph->count;
}

static void pull_block(struct crew *crew, size_t block,
		       const struct pagerank_step *step)
{
	size_t end = block_end(crew->graph, block);

	for (size_t i = block_first(block); i < end; i++) {
		struct pkg_node *node = crew->graph->nodes[i];

		node->next_rank = pagerank_rank(step, pull(node));
	}
}

static void commit_block(struct crew *crew, size_t block)
{
	size_t end = block_end(crew->graph, block);
	double sum = 0;

	for (size_t i = block_first(block); i < end; i++) {
		struct pkg_node *node = crew->graph->nodes[i];

		node->rank = node->next_rank;
		sum = pagerank_add_dangling(sum, node->rank, node->out_degree);
	}
	crew->block_sums[block] = sum;
}

/*
 * Every worker computes the sum of dangling itself. All get the same sum, and
 * no third barrier is needed.
 */
static struct pagerank_step make_step(const struct crew *crew)
{
	size_t nodes = crew->graph->count;
	double dangling = pagerank_dangling(crew->block_sums,
					    pagerank_block_count(nodes));

	return pagerank_step_make(crew->options->damping, dangling, nodes);
}

/*
 * Blocks are assigned round-robin. The barriers make sure that no rank is
 * written while another thread reads ranks.
 *
 *	start | commit | WAIT | pull | WAIT | commit | WAIT | pull | ...
 *	(a worker starts and commits only its own blocks: no wait between)
 */
static void run_share(struct crew *crew, uint32_t worker)
{
	size_t blocks = pagerank_block_count(crew->graph->count);

	for (size_t b = worker; b < blocks; b += crew->workers) {
		start_block(crew, b);
		commit_block(crew, b);
	}
	for (uint32_t i = 0; i < crew->options->iterations; i++) {
		struct pagerank_step step;

		pthread_barrier_wait(&crew->barrier);
		step = make_step(crew);
		for (size_t b = worker; b < blocks; b += crew->workers)
			pull_block(crew, b, &step);
		pthread_barrier_wait(&crew->barrier);
		for (size_t b = worker; b < blocks; b += crew->workers)
			commit_block(crew, b);
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	/* The share of a worker depends on the number of workers */
	pthread_mutex_lock(&worker->crew->gate);
	pthread_mutex_unlock(&worker->crew->gate);
	run_share(worker->crew, worker->index);
	return NULL;
}

/* Start as many threads as possible; worker 0 is the caller */
static void start_workers(struct crew *crew, struct worker *workers,
			  uint32_t wanted)
{
	for (crew->workers = 1; crew->workers < wanted; crew->workers++) {
		struct worker *worker = &workers[crew->workers];

		worker->crew = crew;
		worker->index = crew->workers;
		if (pthread_create(&worker->thread, NULL, worker_main, worker))
			break;
	}
}

static void run_crew(struct crew *crew, struct worker *workers, uint32_t wanted)
{
	pthread_mutex_lock(&crew->gate);
	start_workers(crew, workers, wanted);
	pthread_barrier_init(&crew->barrier, NULL, crew->workers);
	pthread_mutex_unlock(&crew->gate);
	run_share(crew, 0);
	for (uint32_t i = 1; i < crew->workers; i++)
		pthread_join(workers[i].thread, NULL);
	pthread_barrier_destroy(&crew->barrier);
}

/* More workers than blocks would have nothing to do */
static uint32_t useful_workers(const struct graph *graph, uint32_t asked)
{
	size_t blocks = pagerank_block_count(graph->count);

	if (asked > blocks)
		asked = (uint32_t)blocks;
	return asked ? asked : 1;
}

int pagerank_run(struct graph *graph, const struct pagerank_options *options)
{
	uint32_t wanted = useful_workers(graph, options->workers);
	struct crew crew = { .graph = graph, .options = options };
	struct worker *workers;
	int err = -ENOMEM;

	/* Written so that NaN is an error */
	if (!(options->damping >= 0.0 && options->damping <= 1.0))
		return -EINVAL;
	if (!graph->count)
		return 0;
	workers = calloc(wanted, sizeof(*workers));
	crew.block_sums = calloc(pagerank_block_count(graph->count),
				 sizeof(*crew.block_sums));
	if (workers && crew.block_sums) {
		pthread_mutex_init(&crew.gate, NULL);
		run_crew(&crew, workers, wanted);
		pthread_mutex_destroy(&crew.gate);
		err = 0;
	}
	free(crew.block_sums);
	free(workers);
	return err;
}

static bool ranks_before(const struct pkg_node *a, const struct pkg_node *b)
{
	if (a->rank > b->rank)
		return true;
	return !(a->rank < b->rank) && strcmp(a->name, b->name) < 0;
}

size_t graph_top(const struct graph *graph, size_t k,
		 const struct pkg_node **out)
{
	size_t given = 0;

	for (size_t i = 0; i < graph->count && k; i++) {
		const struct pkg_node *node = graph->nodes[i];
		size_t at = given;

		if (given == k && !ranks_before(node, out[k - 1]))
			continue;
		/* Full: drop the last one */
		if (given == k)
			at--;
		else
			given++;
		for (; at > 0 && ranks_before(node, out[at - 1]); at--)
			out[at] = out[at - 1];
		out[at] = node;
	}
	return given;
}
