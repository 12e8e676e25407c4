/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tools/hmmu/graph/depends.h"

static void begin(struct depends_parser *parser, enum depends_kind kind,
		  struct text value)
{
	const struct depends_input input = {
		.kind = kind,
		.arch = "amd64",
		.file = "Packages",
		.line = 10,
		.value = value,
	};

	depends_init(parser, &input);
}

static size_t format(char *to, size_t size,
		     const struct depends_alternative *found)
{
	static const char *const ops[] = {
		"", " <<", " <=", " =", " >=", " >>"
	};

	return (size_t)snprintf(
		to, size, "%u %.*s:%.*s%s%.*s %c;", found->clause,
		(int)found->name.length_bytes, found->name.data,
		(int)found->qualifier.length_bytes,
		found->qualifier.data ? found->qualifier.data : "",
		ops[found->op], (int)found->version.length_bytes,
		found->version.data ? found->version.data : "",
		found->applies ? 'y' : 'n');
}

/* All alternatives as text: "clause name:qualifier bound applies;" */
static const char *parsed(enum depends_kind kind, const char *value)
{
	static char log[1024];
	struct depends_alternative found;
	struct depends_parser parser;
	size_t used = 0;
	int got;

	log[0] = '\0';
	begin(&parser, kind, text_from(value));
	while ((got = depends_next(&parser, &found, NULL)) > 0)
		used += format(log + used, sizeof(log) - used, &found);
	assert_int_equal(got, 0);
	assert_int_equal(depends_next(&parser, &found, NULL), 0);
	return log;
}

static void assert_text_refused(enum depends_kind kind, struct text value,
				unsigned long line, const char *reason)
{
	struct depends_alternative found;
	struct graph_error error = { 0 };
	struct depends_parser parser;
	int got;

	begin(&parser, kind, value);
	do {
		got = depends_next(&parser, &found, &error);
	} while (got > 0);
	assert_int_equal(got, -EBADMSG);
	assert_string_equal(error.file, "Packages");
	assert_int_equal(error.line, line);
	assert_non_null(strstr(error.reason, reason));
	assert_int_equal(depends_next(&parser, &found, NULL), -EBADMSG);
}

static void assert_refused(const char *value, const char *reason)
{
	assert_text_refused(DEPENDS_RELATION, text_from(value), 10, reason);
}

static bool applies(const char *value)
{
	struct depends_alternative found;
	struct depends_parser parser;

	begin(&parser, DEPENDS_RELATION, text_from(value));
	assert_int_equal(depends_next(&parser, &found, NULL), 1);
	return found.applies;
}

static void test_depends_empty_is_a_list_of_nothing(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_RELATION, ""), "");
	assert_string_equal(parsed(DEPENDS_RELATION, " \n\t "), "");
}

static void test_depends_clauses_and_alternatives_are_parted(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_RELATION, "a, b|c | d ,e"),
			    "0 a: y;"
			    "1 b: y;1 c: y;1 d: y;"
			    "2 e: y;");
}

static void test_depends_bounds_are_read(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_RELATION,
				   "a (<< 1), b(<=2:3-4),c ( = 5 ), "
				   "d (>= 6~7) | e (>> 8)"),
			    "0 a: <<1 y;1 b: <=2:3-4 y;2 c: =5 y;"
			    "3 d: >=6~7 y;3 e: >>8 y;");
}

static void test_depends_obsolete_bounds_mean_or_equal(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_RELATION, "a (< 1), b (> 2)"),
			    "0 a: <=1 y;1 b: >=2 y;");
}

static void test_depends_qualifier_is_read(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_RELATION,
				   "python3:any (>= 3.9~), libc6:i386"),
			    "0 python3:any >=3.9~ y;1 libc6:i386 y;");
}

static void test_depends_folded_value_is_read(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_RELATION,
				   "a,\n# not, this (one\n b (>=\n 1) |\n\tc"),
			    "0 a: y;1 b: >=1 y;1 c: y;");
}

static void test_depends_architecture_list_limits(void **state)
{
	(void)state;
	assert_true(applies("a [amd64]"));
	assert_true(applies("a [i386 amd64]"));
	assert_true(applies("a [any]"));
	assert_true(applies("a [linux-any]"));
	assert_true(applies("a [any-amd64]"));
	assert_true(applies("a [gnu-linux-amd64]"));
	assert_true(applies("a [!i386 !arm64]"));
	assert_false(applies("a [i386]"));
	assert_false(applies("a [hurd-any]"));
	assert_false(applies("a [any-i386]"));
	assert_false(applies("a [!i386 !amd64]"));
	assert_false(applies("a [!linux-any]"));
}

static void test_depends_build_profiles_limit(void **state)
{
	(void)state;
	assert_true(applies("a <!nocheck>"));
	assert_true(applies("a <!nocheck !cross>"));
	assert_true(applies("a <cross> <!nocheck>"));
	assert_true(applies("a (>= 1) [amd64] <!nocheck> <stage1>"));
	assert_false(applies("a <nocheck>"));
	assert_false(applies("a <!nocheck cross>"));
	assert_false(applies("a <cross !nocheck>"));
	assert_false(applies("a <cross> <stage1>"));
	assert_false(applies("a [i386] <!nocheck>"));
	assert_false(applies("a [amd64] <nocheck>"));
}

static void test_depends_damage_is_refused_with_its_reason(void **state)
{
	(void)state;
	assert_refused(",", "name missing");
	assert_refused("a,", "name missing");
	assert_refused("a|", "name missing");
	assert_refused("a,,b", "name missing");
	assert_refused("(>= 1)", "name missing");
	assert_refused("a b", "neither comma");
	assert_refused("a (>= 1) (<< 2)", "neither comma");
	assert_refused("+a", "not a package name");
	assert_refused("a_\303\244", "not a package name");
	assert_refused("a:", "no architecture");
	assert_refused("a:any:any", "neither comma");
	assert_refused("a (1)", "without a relation");
	assert_refused("a (~ 1)", "without a relation");
	assert_refused("a (>=)", "version is empty");
	assert_refused("a (>= 1 2)", "not closed");
	assert_refused("a (>= 1", "not closed");
	assert_refused("a (>= 1_2)", "version may not");
	assert_refused("a (>>= 1)", "version may not");
	assert_refused("a []", "not an architecture");
	assert_refused("a [amd64", "not an architecture");
	assert_refused("a [amd64 !i386]", "partly negated");
	assert_refused("a [!amd64 i386]", "partly negated");
	assert_refused("a <>", "not a build profile");
	assert_refused("a <x", "not a build profile");
	assert_refused("a <<x>>", "not a build profile");
	assert_refused("a <x> (>= 1)", "neither comma");
}

static void test_depends_nul_byte_is_refused(void **state)
{
	(void)state;
	assert_text_refused(DEPENDS_RELATION, (struct text){ "a\0b", 3 }, 10,
			    "neither comma");
	assert_text_refused(DEPENDS_RELATION, (struct text){ "a (= \0)", 7 },
			    10, "version may not");
}

static void test_depends_error_names_the_folded_line(void **state)
{
	(void)state;
	assert_text_refused(DEPENDS_RELATION, text_from("a,\n b,\n# c\n d e"),
			    13, "neither comma");
}

static void test_provides_takes_versions_but_no_choice(void **state)
{
	(void)state;
	assert_string_equal(parsed(DEPENDS_PROVISION, "a, b (= 1.0)"),
			    "0 a: y;1 b: =1.0 y;");
	assert_text_refused(DEPENDS_PROVISION, text_from("a | b"), 10,
			    "no alternatives");
	assert_text_refused(DEPENDS_PROVISION, text_from("a (>= 1)"), 10,
			    "no relation but");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depends_empty_is_a_list_of_nothing),
		cmocka_unit_test(
			test_depends_clauses_and_alternatives_are_parted),
		cmocka_unit_test(test_depends_bounds_are_read),
		cmocka_unit_test(test_depends_obsolete_bounds_mean_or_equal),
		cmocka_unit_test(test_depends_qualifier_is_read),
		cmocka_unit_test(test_depends_folded_value_is_read),
		cmocka_unit_test(test_depends_architecture_list_limits),
		cmocka_unit_test(test_depends_build_profiles_limit),
		cmocka_unit_test(
			test_depends_damage_is_refused_with_its_reason),
		cmocka_unit_test(test_depends_nul_byte_is_refused),
		cmocka_unit_test(test_depends_error_names_the_folded_line),
		cmocka_unit_test(test_provides_takes_versions_but_no_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
