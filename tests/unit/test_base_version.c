/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <hmmu/base.h>

static void test_version_is_that_of_the_header(void **state)
{
	(void)state;
	assert_int_equal(hmmu_version(), HMMU_VERSION);
	assert_int_equal(hmmu_version(),
			 HMMU_VERSION_ENCODE(HMMU_VERSION_MAJOR,
					     HMMU_VERSION_MINOR,
					     HMMU_VERSION_PATCH));
}

static void test_version_string_has_the_same_numbers(void **state)
{
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d.%d.%d", hmmu_version() / 10000,
		 hmmu_version() / 100 % 100, hmmu_version() % 100);
	assert_string_equal(text, HMMU_VERSION_STRING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_is_that_of_the_header),
		cmocka_unit_test(test_version_string_has_the_same_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
