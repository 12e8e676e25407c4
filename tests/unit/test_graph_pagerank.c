/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/hmmu/graph/pagerank.h"

static void load_text(struct graph *graph, const char *content)
{
	char path[] = "/tmp/hmmu-graph-XXXXXX";
	int fd = mkstemp(path);
	ssize_t length = (ssize_t)strlen(content);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, (size_t)length), length);
	close(fd);
	assert_int_equal(graph_load_file(graph, path, NULL, NULL), 0);
	unlink(path);
}

/* Many blocks, hubs, nodes with nothing out and nodes with nothing in */
static void load_random(struct graph *graph, unsigned int seed)
{
	static char text[1 << 20];
	size_t used = 0;
	uint64_t x = seed;

	while (used + 32 < sizeof(text)) {
		uint64_t from;
		uint64_t to;

		x = x * 6364136223846793005u + 1442695040888963407u;
		from = (x >> 33) % 9000;
		x = x * 6364136223846793005u + 1442695040888963407u;
		to = (x >> 33) % ((x >> 20 & 3) ? 12000 : 20);
		used += (size_t)sprintf(text + used, "%lu %lu\n", from, to);
	}
	load_text(graph, text);
}

static void run(struct graph *graph, uint32_t iterations, uint32_t workers)
{
	struct pagerank_options options = PAGERANK_OPTIONS_DEFAULT;

	options.iterations = iterations;
	options.workers = workers;
	assert_int_equal(pagerank_run(graph, &options), 0);
}

static double rank_of(const struct graph *graph, const char *name)
{
	return graph_find(graph, name)->rank;
}

static void assert_near(double got, double wanted)
{
	assert_true(fabs(got - wanted) < 1e-12);
}

static double rank_sum(const struct graph *graph)
{
	double sum = 0;

	for (size_t i = 0; i < graph->count; i++)
		sum += graph->nodes[i]->rank;
	return sum;
}

static void test_pagerank_cycle_shares_equally(void **state)
{
	struct graph graph = { 0 };

	(void)state;
	load_text(&graph, "1 2\n2 3\n3 1\n");
	run(&graph, 50, 1);
	assert_near(rank_of(&graph, "1"), 1.0 / 3);
	assert_near(rank_of(&graph, "3"), 1.0 / 3);
	graph_free(&graph);
}

/*
 * One iteration of 1 -> 3, 2 -> 3: all begin with 1/3 and 3 is dangling, so
 * 1 and 2 get 0.05 + 0.85/9, and 3 gets 0.05 + 0.85 (1/9 + 2/3).
 */
static void test_pagerank_one_iteration_follows_the_formula(void **state)
{
	struct graph graph = { 0 };

	(void)state;
	load_text(&graph, "1 3\n2 3\n");
	run(&graph, 0, 1);
	assert_true(rank_of(&graph, "3") == 1.0 / 3);
	run(&graph, 1, 1);
	assert_near(rank_of(&graph, "1"), 0.05 + 0.85 / 9);
	assert_near(rank_of(&graph, "2"), 0.05 + 0.85 / 9);
	assert_near(rank_of(&graph, "3"), 0.05 + 0.85 * 7 / 9);
	graph_free(&graph);
}

/* The fixed point of the same graph: a = b = t + d c/3, c = a + 2 d a */
static void test_pagerank_reaches_the_fixed_point(void **state)
{
	double d = 0.85;
	double a = (1 - d) / 3 / (1 - d / 3 * (1 + 2 * d));
	struct graph graph = { 0 };

	(void)state;
	load_text(&graph, "1 3\n2 3\n");
	run(&graph, 200, 1);
	assert_near(rank_of(&graph, "1"), a);
	assert_near(rank_of(&graph, "3"), a + 2 * d * a);
	graph_free(&graph);
}

/* The textbook's push form, in long double, as a peer */
static long double *push_form(const struct graph *graph, uint32_t iterations)
{
	size_t n = graph->count;
	long double *rank = calloc(n, sizeof(*rank));
	long double *next = calloc(n, sizeof(*next));

	assert_true(rank && next);
	for (size_t i = 0; i < n; i++)
		rank[i] = 1.0L / n;
	while (iterations--) {
		long double lost = 0;

		for (size_t i = 0; i < n; i++)
			next[i] = 0;
		for (size_t i = 0; i < n; i++) {
			const struct pkg_node *node = graph->nodes[i];

			if (!node->out_degree)
				lost += rank[i];
			for (struct pkg_edge *e = node->depends; e; e = e->next)
				next[e->node->index] +=
					rank[i] / node->out_degree;
		}
		for (size_t i = 0; i < n; i++)
			rank[i] =
				(1 - 0.85L) / n + 0.85L * (next[i] + lost / n);
	}
	free(next);
	return rank;
}

static void test_pagerank_agrees_with_the_push_form(void **state)
{
	struct graph graph = { 0 };
	long double *peer;

	(void)state;
	load_random(&graph, 7);
	run(&graph, 30, 2);
	peer = push_form(&graph, 30);
	for (size_t i = 0; i < graph.count; i++)
		assert_near(graph.nodes[i]->rank, (double)peer[i]);
	assert_true(fabs(rank_sum(&graph) - 1.0) < 1e-9);
	free(peer);
	graph_free(&graph);
}

static void test_pagerank_bits_do_not_depend_on_workers(void **state)
{
	struct graph graph = { 0 };
	double *alone;

	(void)state;
	load_random(&graph, 3);
	assert_true(pagerank_block_count(graph.count) > 8);
	alone = calloc(graph.count, sizeof(*alone));
	assert_non_null(alone);
	run(&graph, 20, 1);
	for (size_t i = 0; i < graph.count; i++)
		alone[i] = graph.nodes[i]->rank;
	for (uint32_t workers = 0; workers <= 9; workers++) {
		run(&graph, 20, workers);
		for (size_t i = 0; i < graph.count; i++)
			assert_memory_equal(&graph.nodes[i]->rank, &alone[i],
					    sizeof(*alone));
	}
	free(alone);
	graph_free(&graph);
}

/* What a device does, with the inlines of the header and nothing else */
static void run_as_device(struct graph *graph, uint32_t iterations)
{
	size_t n = graph->count;
	double *parts = calloc(pagerank_block_count(n), sizeof(*parts));

	assert_non_null(parts);
	for (size_t i = 0; i < n; i++)
		graph->nodes[i]->next_rank = 1.0 / (double)n;
	for (uint32_t round = 0;; round++) {
		struct pagerank_step step;

		memset(parts, 0, pagerank_block_count(n) * sizeof(*parts));
		for (size_t i = 0; i < n; i++) {
			struct pkg_node *v = graph->nodes[i];
			double *part = &parts[i / PAGERANK_BLOCK_NODES];

			v->rank = v->next_rank;
			*part = pagerank_add_dangling(*part, v->rank,
						      v->out_degree);
		}
		if (round == iterations)
			break;
		step = pagerank_step_make(
			0.85, pagerank_dangling(parts, pagerank_block_count(n)),
			n);
		for (size_t i = n; i > 0; i--) {
			struct pkg_node *v = graph->nodes[i - 1];
			double sum = 0;

			for (struct pkg_edge *e = v->rdepends; e; e = e->next)
				sum = pagerank_add(sum, e->node->rank,
						   e->node->out_degree);
			v->next_rank = pagerank_rank(&step, sum);
		}
	}
	free(parts);
}

static void test_pagerank_header_suffices_for_the_same_bits(void **state)
{
	struct graph ours = { 0 };
	struct graph theirs = { 0 };

	(void)state;
	load_random(&ours, 5);
	load_random(&theirs, 5);
	run(&ours, 15, 2);
	run_as_device(&theirs, 15);
	for (size_t i = 0; i < ours.count; i++)
		assert_memory_equal(&ours.nodes[i]->rank,
				    &theirs.nodes[i]->rank, sizeof(double));
	graph_free(&ours);
	graph_free(&theirs);
}

static void test_pagerank_refuses_a_damping_out_of_range(void **state)
{
	static const double bad[] = { -0.1, 1.1, NAN };
	struct pagerank_options options = PAGERANK_OPTIONS_DEFAULT;
	struct graph graph = { 0 };

	(void)state;
	load_text(&graph, "1 2\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		options.damping = bad[i];
		assert_int_equal(pagerank_run(&graph, &options), -EINVAL);
	}
	options.damping = 0;
	assert_int_equal(pagerank_run(&graph, &options), 0);
	assert_near(rank_of(&graph, "1"), 0.5);
	graph_free(&graph);
}

static void test_pagerank_of_nothing_is_nothing(void **state)
{
	struct graph graph = { 0 };
	const struct pkg_node *top;

	(void)state;
	run(&graph, 50, 4);
	assert_int_equal(graph_top(&graph, 1, &top), 0);
}

static void assert_top(const struct graph *graph, size_t k, const char *wanted)
{
	const struct pkg_node *top[8];
	char names[64] = "";
	size_t given = graph_top(graph, k, top);

	for (size_t i = 0; i < given; i++)
		strcat(names, top[i]->name);
	assert_string_equal(names, wanted);
}

static void test_graph_top_orders_by_rank_and_then_by_name(void **state)
{
	static const double ranks[] = { 0.1, 0.5, 0.2, 0.5, 0.1 };
	struct graph graph = { 0 };

	(void)state;
	load_text(&graph, "5 4\n3 2\n1 5\n");
	/* By number: 5 4 3 2 1 */
	for (size_t i = 0; i < graph.count; i++)
		graph.nodes[i]->rank = ranks[i];
	assert_top(&graph, 0, "");
	assert_top(&graph, 1, "2");
	assert_top(&graph, 2, "24");
	assert_top(&graph, 4, "2431");
	assert_top(&graph, 5, "24315");
	assert_top(&graph, 8, "24315");
	graph_free(&graph);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pagerank_cycle_shares_equally),
		cmocka_unit_test(
			test_pagerank_one_iteration_follows_the_formula),
		cmocka_unit_test(test_pagerank_reaches_the_fixed_point),
		cmocka_unit_test(test_pagerank_agrees_with_the_push_form),
		cmocka_unit_test(test_pagerank_bits_do_not_depend_on_workers),
		cmocka_unit_test(
			test_pagerank_header_suffices_for_the_same_bits),
		cmocka_unit_test(test_pagerank_refuses_a_damping_out_of_range),
		cmocka_unit_test(test_pagerank_of_nothing_is_nothing),
		cmocka_unit_test(
			test_graph_top_orders_by_rank_and_then_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
