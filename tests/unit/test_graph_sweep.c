/* SPDX-License-Identifier: MIT */

/*
 * Makes the 1st, 2nd, 3rd ... allocation of a load fail until one succeeds.
 * Link with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc: only what the
 * objects of this program call is counted, not what the C library does.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/hmmu/graph/pagerank.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

/* The allocation that fails, counted down; 0 is none */
static unsigned long countdown;

static bool fails_now(void)
{
	return countdown && --countdown == 0;
}

void *__wrap_malloc(size_t bytes)
{
	return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
	return fails_now() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
	return fails_now() ? NULL : __real_realloc(old, bytes);
}

static const char packages[] =
	"Package: a\nVersion: 1\nArchitecture: all\nDepends: b, v | c\n\n"
	"Package: b\nVersion: 1\nArchitecture: all\nProvides: v\n\n"
	"Package: c\nVersion: 1\nArchitecture: all\nProvides: v (= 1)\n\n";

static void write_input(char *path, const char *content)
{
	int fd;
	ssize_t length = (ssize_t)strlen(content);

	strcpy(path, "/tmp/hmmu-graph-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, (size_t)length), length);
	close(fd);
}

/* Returns the number of loads that failed before one succeeded */
static unsigned long sweep(const char *content, size_t edge_count)
{
	static const struct graph empty;
	struct graph graph = { 0 };
	struct graph_error error = { 0 };
	unsigned long nth = 0;
	char path[32];
	int err;

	write_input(path, content);
	do {
		countdown = ++nth;
		err = graph_load_file(&graph, path, NULL, &error);
		countdown = 0;
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_string_equal(error.reason, "out of memory");
			assert_memory_equal(&graph, &empty, sizeof(graph));
		}
	} while (err);
	assert_int_equal(graph.edge_count, edge_count);
	graph_free(&graph);
	unlink(path);
	return nth - 1;
}

static void test_graph_load_survives_each_failed_allocation(void **state)
{
	(void)state;
	/* 3 nodes of 3 allocations, 2 edges of 2, and the arrays */
	assert_true(sweep(packages, 2) >= 13);
	assert_true(sweep("1 2\n2 3\n3 1\n", 3) >= 12);
}

static void test_pagerank_survives_each_failed_allocation(void **state)
{
	struct pagerank_options options = PAGERANK_OPTIONS_DEFAULT;
	struct graph graph = { 0 };
	unsigned long nth = 0;
	char path[32];
	int err;

	(void)state;
	write_input(path, "1 2\n");
	assert_int_equal(graph_load_file(&graph, path, NULL, NULL), 0);
	graph.nodes[0]->rank = 42;
	do {
		countdown = ++nth;
		err = pagerank_run(&graph, &options);
		countdown = 0;
		if (err) {
			assert_int_equal(err, -ENOMEM);
			assert_true(graph.nodes[0]->rank == 42);
		}
	} while (err);
	assert_true(nth > 2);
	assert_true(graph.nodes[0]->rank < 1);
	graph_free(&graph);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_graph_load_survives_each_failed_allocation),
		cmocka_unit_test(test_pagerank_survives_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
