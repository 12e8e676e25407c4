/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tools/hmmu/graph/graph.h"

/* A folder of this test, its files, and the paths of a machine in it */
struct machine {
	char folder[64];
	char lists[96];
	char status[96];
	char helper[96];
	struct graph_paths paths;
};

static struct machine machine;
static struct graph graph;
static struct graph_error error;

/* @name is relative to the folder; returns a static buffer */
static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", machine.folder, name);
	return path;
}

static void write_parts(const char *name, const char *const *parts)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	for (; *parts; parts++)
		assert_true(fputs(*parts, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Write a file of any number of parts, one after the other */
#define WRITE(name, ...) \
	write_parts(name, (const char *const[]){ __VA_ARGS__, NULL })

/* Stands in for apt-helper: a "compressed" file has "zipped" for "Package" */
static void write_helper(const char *script)
{
	WRITE("helper", script);
	assert_int_equal(chmod(machine.helper, 0755), 0);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(machine.folder, sizeof(machine.folder),
		 "/tmp/hmmu-graph-XXXXXX");
	assert_non_null(mkdtemp(machine.folder));
	snprintf(machine.lists, sizeof(machine.lists), "%s/lists",
		 machine.folder);
	snprintf(machine.status, sizeof(machine.status), "%s/status",
		 machine.folder);
	snprintf(machine.helper, sizeof(machine.helper), "%s/helper",
		 machine.folder);
	machine.paths = (struct graph_paths){ machine.lists, machine.status,
					      machine.helper };
	assert_int_equal(mkdir(machine.lists, 0755), 0);
	write_helper("#!/bin/sh\n"
		     "[ \"$1\" = cat-file ] && "
		     "exec sed s/zipped/Package/ \"$2\"\n");
	memset(&error, 0, sizeof(error));
	return 0;
}

static int tear_down(void **state)
{
	char command[128];

	(void)state;
	graph_free(&graph);
	snprintf(command, sizeof(command), "rm -rf '%s'", machine.folder);
	return system(command);
}

static int load(void)
{
	return graph_load_paths(&graph, &machine.paths, NULL, &error);
}

static int load_input(void)
{
	return graph_load_file(&graph, path_of("input"), NULL, &error);
}

#define LOAD(...) (WRITE("input", __VA_ARGS__), load_input())

static void assert_empty(void)
{
	static const struct graph empty;

	assert_memory_equal(&graph, &empty, sizeof(graph));
}

static void assert_failed(int got, int wanted, unsigned long line,
			  const char *reason)
{
	assert_int_equal(got, wanted);
	assert_int_equal(error.code, wanted);
	assert_int_equal(error.line, line);
	assert_non_null(strstr(error.reason, reason));
	assert_empty();
}

/* "b c": the names in a list */
static const char *names(const struct pkg_edge *edge)
{
	static char text[512];
	size_t used = 0;

	text[0] = '\0';
	for (; edge; edge = edge->next)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
					 "%s%s", used ? " " : "",
					 edge->node->name);
	return text;
}

static void assert_depends(const char *name, const char *wanted)
{
	struct pkg_node *node = graph_find(&graph, name);

	assert_non_null(node);
	assert_string_equal(names(node->depends), wanted);
}

static void assert_rdepends(const char *name, const char *wanted)
{
	struct pkg_node *node = graph_find(&graph, name);

	assert_non_null(node);
	assert_string_equal(names(node->rdepends), wanted);
}

#define PACKAGE_OF(name, version, arch, rest)                          \
	"Package: " name "\nVersion: " version "\nArchitecture: " arch \
	"\n" rest "\n"
#define PACKAGE(name, rest) PACKAGE_OF(name, "1.0", "amd64", rest)

#define ZIPPED(name, rest) \
	"zipped: " name "\nVersion: 1.0\nArchitecture: all\n" rest "\n"

static void test_graph_edges_stand_in_both_lists(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a", "Depends: c, b\n"),
			      PACKAGE("b", "Depends: c\n"), PACKAGE("c", "")),
			 0);
	assert_int_equal(graph.count, 3);
	assert_int_equal(graph.edge_count, 3);
	assert_depends("a", "c b");
	assert_depends("b", "c");
	assert_depends("c", "");
	assert_rdepends("c", "a b");
	assert_rdepends("a", "");
	assert_int_equal(graph_find(&graph, "a")->out_degree, 2);
	assert_int_equal(graph_find(&graph, "c")->in_degree, 2);
	assert_string_equal(graph_find(&graph, "a")->version, "1.0");
	assert_null(graph_find(&graph, "d"));
}

static void test_graph_pair_has_one_edge_and_loops_none(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a", "Pre-Depends: b\n"
					   "Depends: b, b (>= 1) | a\n"),
			      PACKAGE("b", "Provides: a\n"
					   "Depends: a\n")),
			 0);
	assert_depends("a", "b");
	assert_depends("b", "a");
	assert_int_equal(graph.edge_count, 2);
}

static void test_graph_every_satisfied_alternative_counts(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a", "Depends: b | c | missing\n"),
			      PACKAGE("b", ""), PACKAGE("c", "")),
			 0);
	assert_depends("a", "b c");
}

static void test_graph_bound_excludes_a_package(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a",
				      "Depends: b (>> 1.0), c (>= 1.0), "
				      "d (<< 1.0) | c, e [i386], e <cross>\n"),
			      PACKAGE("b", ""), PACKAGE("c", ""),
			      PACKAGE("d", ""), PACKAGE("e", "")),
			 0);
	assert_depends("a", "c");
}

static void test_graph_virtual_package_leads_to_all_providers(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a", "Depends: mta\n"),
			      PACKAGE("x", "Provides: mta\n"),
			      PACKAGE("y", "Provides: z, mta (= 3)\n")),
			 0);
	assert_depends("a", "x y");
	assert_null(graph_find(&graph, "mta"));
}

static void test_graph_bound_needs_a_versioned_provision(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a", "Depends: v (>= 2)\n"),
			      PACKAGE("b", "Depends: v (<< 2)\n"),
			      PACKAGE_OF("x", "9", "amd64", "Provides: v\n"),
			      PACKAGE("y", "Provides: v (= 2.1)\n"),
			      PACKAGE("z", "Provides: v (= 1.9)\n")),
			 0);
	assert_depends("a", "y");
	assert_depends("b", "z");
}

static void test_graph_package_goes_before_its_providers(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE("a", "Depends: b, c (>= 2)\n"),
			      PACKAGE("x", "Provides: b (= 1), c (= 2)\n"),
			      PACKAGE("b", ""), PACKAGE("c", "")),
			 0);
	assert_depends("a", "b x");
}

static void test_graph_any_needs_multi_arch_allowed(void **state)
{
	(void)state;
	assert_int_equal(
		LOAD(PACKAGE("a", "Depends: b:any, c:any, d:i386, e:amd64\n"),
		     PACKAGE("b", "Multi-Arch: allowed\n"),
		     PACKAGE("c", "Multi-Arch: foreign\n"), PACKAGE("d", ""),
		     PACKAGE("e", "")),
		0);
	assert_depends("a", "b e");
}

static void test_graph_foreign_architecture_is_passed_over(void **state)
{
	(void)state;
	assert_int_equal(LOAD(PACKAGE_OF("a", "2", "i386", ""),
			      PACKAGE_OF("a", "1", "amd64", "Depends: b\n"),
			      PACKAGE_OF("b", "1", "all", ""),
			      PACKAGE_OF("c", "1", "i386", "")),
			 0);
	assert_int_equal(graph.count, 2);
	assert_string_equal(graph_find(&graph, "a")->version, "1");
}

static void test_graph_highest_version_of_all_lists_counts(void **state)
{
	(void)state;
	WRITE("lists/1_Packages",
	      PACKAGE_OF("a", "1.10", "amd64", "Depends: b\n"),
	      PACKAGE_OF("b", "1", "amd64", "Depends: a\n"));
	WRITE("lists/2_Packages", PACKAGE_OF("a", "1.9", "amd64", ""),
	      PACKAGE_OF("b", "1:0", "amd64", "Provides: c\n"));
	assert_int_equal(load(), 0);
	assert_int_equal(graph.count, 2);
	assert_string_equal(graph_find(&graph, "a")->version, "1.10");
	assert_string_equal(graph_find(&graph, "b")->version, "1:0");
	assert_depends("a", "b");
	assert_depends("b", "");
}

static void test_graph_lists_are_taken_by_name(void **state)
{
	(void)state;
	WRITE("lists/b_Packages", PACKAGE("b", ""));
	WRITE("lists/a_dists_x_main_binary-amd64_Packages.lz4",
	      ZIPPED("a", "Depends: b\n"));
	WRITE("lists/c_Packages.gz", ZIPPED("c", ""));
	WRITE("lists/d_Packages.xz", ZIPPED("d", ""));
	WRITE("lists/a_dists_x_main_binary-i386_Packages", "broken");
	WRITE("lists/a_InRelease", "broken");
	WRITE("lists/d_Packages.diff", "broken");
	assert_int_equal(load(), 0);
	assert_int_equal(graph.count, 4);
	assert_string_equal(graph.nodes[0]->name, "a");
	assert_string_equal(graph.nodes[1]->name, "b");
	assert_string_equal(graph.nodes[2]->name, "c");
	assert_string_equal(graph.nodes[3]->name, "d");
	assert_depends("a", "b");
}

static void test_graph_dpkg_status_stands_in_for_lists(void **state)
{
	(void)state;
	WRITE("status",
	      PACKAGE("a", "Status: install ok installed\nDepends: b, c\n"),
	      PACKAGE("b", "Status: install ok triggers-pending\n"),
	      PACKAGE("c", "Status: deinstall ok config-files\n"),
	      "Package: d\nStatus: purge ok not-installed\n\n");
	assert_int_equal(load(), 0);
	assert_int_equal(graph.count, 2);
	assert_depends("a", "b");
}

static void test_graph_loads_this_machine(void **state)
{
	(void)state;
	if (access(graph_paths_default.status_file, R_OK)) {
		print_message("skipped: no dpkg on this machine\n");
		skip();
	}
	assert_int_equal(graph_load_machine(&graph, NULL, &error), 0);
	assert_non_null(graph_find(&graph, "dpkg"));
	assert_true(graph_find(&graph, "libc6")->in_degree > 10);
}

static void test_graph_machine_without_packages_says_so(void **state)
{
	(void)state;
	assert_failed(load(), -ENOENT, 0, "name a file");
	assert_int_equal(rmdir(machine.lists), 0);
	assert_failed(load(), -ENOENT, 0, "name a file");
}

static void test_graph_helper_failure_is_told(void **state)
{
	(void)state;
	WRITE("lists/a_Packages.lz4", PACKAGE("a", ""));
	write_helper("#!/bin/sh\ncat \"$2\"\nexit 3\n");
	assert_failed(load(), -EIO, 0, "cannot be decompressed");
	assert_non_null(strstr(error.file, "lists/a_Packages.lz4"));
	assert_int_equal(unlink(machine.helper), 0);
	assert_failed(load(), -ENOENT, 0, "apt-helper");
}

static void test_graph_missing_file_is_told(void **state)
{
	(void)state;
	assert_int_equal(graph_load_file(&graph, "/nonexistent/Packages", NULL,
					 &error),
			 -ENOENT);
	assert_string_equal(error.file, "/nonexistent/Packages");
	assert_int_equal(graph_load_file(&graph, "/nonexistent/Packages.gz",
					 NULL, &error),
			 -ENOENT);
	assert_int_equal(graph_load_file(&graph, "/tmp", NULL, &error),
			 -EISDIR);
}

static void test_graph_damaged_list_is_told_by_line(void **state)
{
	(void)state;
	assert_failed(LOAD(PACKAGE("a", ""), "Package: b\nVersion\n"), -EBADMSG,
		      6, "no colon");
	assert_failed(LOAD(PACKAGE("a", "Depends: b,\n c d\n")), -EBADMSG, 5,
		      "neither comma");
	assert_failed(LOAD(PACKAGE("a", "Provides: b | c\n")), -EBADMSG, 4,
		      "no alternatives");
	assert_failed(LOAD(PACKAGE("a", "Pre-Depends: (\n")), -EBADMSG, 4,
		      "name missing");
	assert_failed(LOAD("Package: a\nArchitecture: all\n"), -EBADMSG, 1,
		      "version is empty");
	assert_failed(LOAD("Package: a\nVersion: 1_\n"
			   "Architecture: all\n"),
		      -EBADMSG, 2, "version may not");
	assert_failed(LOAD("\nVersion: 1\nArchitecture: all\n"), -EBADMSG, 2,
		      "Package field");
	assert_failed(LOAD("Package: a\nVersion: 1\n"), -EBADMSG, 1,
		      "Architecture");
	assert_failed(LOAD(""), -EBADMSG, 0, "no package");
	assert_failed(LOAD("# nothing\n"), -EBADMSG, 0, "no package");
}

static void test_graph_edge_list_is_recognised(void **state)
{
	(void)state;
	assert_int_equal(LOAD("# Directed graph\r\n"
			      "# FromNodeId\tToNodeId\r\n"
			      "\r\n"
			      "0\t7\r\n"
			      "7 0\n"
			      "0\t7\n"
			      "3\t3\n"
			      "# end\n"
			      "007\t18446744073709551617"),
			 0);
	assert_int_equal(graph.count, 4);
	assert_int_equal(graph.edge_count, 3);
	assert_depends("0", "7");
	assert_depends("7", "0 18446744073709551617");
	assert_depends("3", "");
	assert_null(graph_find(&graph, "7")->version);
}

static void test_graph_edge_list_damage_is_told_by_line(void **state)
{
	(void)state;
	assert_failed(LOAD("1 2\n\n3\n"), -EBADMSG, 3, "pair of numbers");
	assert_failed(LOAD("1 2\n3 4 5\n"), -EBADMSG, 2, "pair of numbers");
	assert_failed(LOAD("1 2\n3 -4\n"), -EBADMSG, 2, "pair of numbers");
	assert_failed(LOAD("1 2\n3 4x\n"), -EBADMSG, 2, "pair of numbers");
	/* A package list may begin with a number, too: "7zip: x" */
	assert_failed(LOAD("1 2 3\n"), -EBADMSG, 1, "no colon");
}

struct stages {
	size_t count[GRAPH_LINKING + 1];
	size_t nodes;
};

static void count_stage(void *arg, enum graph_stage stage, const char *file,
			size_t node_count)
{
	struct stages *stages = arg;

	stages->count[stage]++;
	stages->nodes = node_count;
	assert_int_equal(file == NULL, stage == GRAPH_LINKING);
}

static void test_graph_load_reports_progress(void **state)
{
	struct stages stages = { 0 };
	const struct graph_progress progress = { count_stage, &stages };

	(void)state;
	WRITE("lists/a_Packages", PACKAGE("a", ""));
	WRITE("lists/b_Packages", PACKAGE("b", ""));
	assert_int_equal(
		graph_load_paths(&graph, &machine.paths, &progress, &error), 0);
	assert_int_equal(stages.count[GRAPH_READING], 2);
	assert_int_equal(stages.count[GRAPH_PARSING], 2);
	assert_int_equal(stages.count[GRAPH_LINKING], 1);
	assert_int_equal(stages.nodes, 2);
}

/* Far more names than the first hash table has buckets */
static void test_graph_finds_each_of_many_nodes(void **state)
{
	FILE *file = fopen(path_of("chain"), "w");
	char name[16];

	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 20000; i++)
		fprintf(file, "%d\t%d\n", i, i + 1);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(graph_load_file(&graph, path_of("chain"), NULL, NULL),
			 0);
	assert_int_equal(graph.count, 20001);
	assert_int_equal(graph.edge_count, 20000);
	for (int i = 0; i <= 20000; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(graph_find(&graph, name)->index, i);
	}
}

static void test_graph_free_empties_and_takes_an_empty_graph(void **state)
{
	(void)state;
	assert_int_equal(LOAD("1 2\n"), 0);
	graph_free(&graph);
	assert_empty();
	assert_null(graph_find(&graph, "1"));
	graph_free(&graph);
	assert_empty();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_graph_edges_stand_in_both_lists),
		TEST(test_graph_pair_has_one_edge_and_loops_none),
		TEST(test_graph_every_satisfied_alternative_counts),
		TEST(test_graph_bound_excludes_a_package),
		TEST(test_graph_virtual_package_leads_to_all_providers),
		TEST(test_graph_bound_needs_a_versioned_provision),
		TEST(test_graph_package_goes_before_its_providers),
		TEST(test_graph_any_needs_multi_arch_allowed),
		TEST(test_graph_foreign_architecture_is_passed_over),
		TEST(test_graph_highest_version_of_all_lists_counts),
		TEST(test_graph_lists_are_taken_by_name),
		TEST(test_graph_dpkg_status_stands_in_for_lists),
		TEST(test_graph_loads_this_machine),
		TEST(test_graph_machine_without_packages_says_so),
		TEST(test_graph_helper_failure_is_told),
		TEST(test_graph_missing_file_is_told),
		TEST(test_graph_damaged_list_is_told_by_line),
		TEST(test_graph_edge_list_is_recognised),
		TEST(test_graph_edge_list_damage_is_told_by_line),
		TEST(test_graph_load_reports_progress),
		TEST(test_graph_finds_each_of_many_nodes),
		TEST(test_graph_free_empties_and_takes_an_empty_graph),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
