/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/hmmu/graph/version.h"

/* Each is earlier than the next; those of one row are equal */
static const char *const ascending[][3] = {
	{ "~~" },
	{ "~~a" },
	{ "~" },
	{ "0", "0-0", "0:0" },
	{ "0.1~rc1-1" },
	{ "0.1~rc1+b1-1" },
	{ "0.1-1~bpo1" },
	{ "0.1-1", "0:0.1-1", "00.01-01" },
	{ "0.1-1+b1" },
	{ "0.1-2" },
	{ "0.1-10" },
	{ "0.1a" },
	{ "0.1+a" },
	{ "0.1.0" },
	{ "0.9" },
	{ "0.10" },
	{ "1.0A" },
	{ "1.0Z" },
	{ "1.0a" },
	{ "1.0+" },
	{ "1.0-1-1" },
	{ "1.0." },
	{ "2", "2-0", "02" },
	{ "2." },
	{ "99999999999999999999999" },
	{ "100000000000000000000000" },
	{ "1:0", "01:0" },
	{ "1:0:1" },
	{ "10:0" },
	{ "4294967296:0" },
};

#define ROWS (sizeof(ascending) / sizeof(*ascending))

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

static int compare(const char *a, const char *b)
{
	return sign(version_compare(text_from(a), text_from(b)));
}

static void test_version_order_is_total(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t j = 0; j < ROWS; j++)
			assert_int_equal(compare(ascending[i][0],
						 ascending[j][0]),
					 (i > j) - (i < j));
	}
}

static void test_version_equal_is_not_same_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t j = 1; j < 3 && ascending[i][j]; j++) {
			assert_int_equal(
				compare(ascending[i][0], ascending[i][j]), 0);
			assert_int_equal(
				compare(ascending[i][j], ascending[i][0]), 0);
		}
	}
}

static bool satisfies(const char *have, enum version_op op, const char *bound)
{
	return version_satisfies(text_from(have), op, text_from(bound));
}

static void assert_holds(enum version_op op, bool earlier, bool equal,
			 bool later)
{
	assert_int_equal(satisfies("1", op, "2"), earlier);
	assert_int_equal(satisfies("2-0", op, "2"), equal);
	assert_int_equal(satisfies("3", op, "2"), later);
}

static void test_version_bounds_hold_on_their_side(void **state)
{
	(void)state;
	assert_holds(VERSION_ANY, true, true, true);
	assert_holds(VERSION_EARLIER, true, false, false);
	assert_holds(VERSION_EARLIER_EQUAL, true, true, false);
	assert_holds(VERSION_EQUAL, false, true, false);
	assert_holds(VERSION_LATER_EQUAL, false, true, true);
	assert_holds(VERSION_LATER, false, false, true);
}

static void test_version_malformed_is_told(void **state)
{
	static const char *const bad[] = {
		"",    ":1",  "a:1",   "1:",  "1-", "-1", "1:-1",	  "1 2",
		"1_2", "1/2", "1-1:2", "1,2", "-",  ":",  "1:2-\303\244", "1\n",
	};
	static const char *const good[] = {
		"1",	 "1:1", "1.2+dfsg~rc1-1", "1-1-1", "1:1:1-1",
		"r1234", "0:0",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(version_problem(text_from(bad[i])));
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_null(version_problem(text_from(good[i])));
	assert_non_null(version_problem((struct text){ "1\0002", 3 }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_order_is_total),
		cmocka_unit_test(test_version_equal_is_not_same_bytes),
		cmocka_unit_test(test_version_bounds_hold_on_their_side),
		cmocka_unit_test(test_version_malformed_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
