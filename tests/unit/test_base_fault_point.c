/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fault_point.h"

/* An operation with three places that can fail. */
static int operation(void)
{
	int ret = HMMU_FAULT_POINT("first", ENOMEM);

	if (!ret)
		ret = HMMU_FAULT_POINT("second", EAGAIN);
	if (!ret)
		ret = HMMU_FAULT_POINT("third", EBUSY);
	return ret;
}

static void test_fault_point_is_silent_unless_armed(void **state)
{
	(void)state;
	hmmu__fault_points_disarm();
	for (unsigned int i = 0; i < 10; i++)
		assert_int_equal(operation(), 0);
}

#if HMMU_FAULT_POINTS

static void assert_fails(uint64_t nth, int ret, const char *name)
{
	hmmu__fault_points_arm(nth);
	assert_int_equal(operation(), ret);
	assert_int_equal(hmmu__fault_points_hits(), nth);
	assert_string_equal(hmmu__fault_points_failed(), name);
	assert_string_equal(hmmu__fault_points_last(), name);
	/* Once only. */
	assert_int_equal(operation(), 0);
	assert_int_equal(hmmu__fault_points_hits(), nth + 3);
	assert_string_equal(hmmu__fault_points_last(), "third");
	hmmu__fault_points_disarm();
}

static void test_fault_point_sweep_fails_each_once(void **state)
{
	(void)state;
	assert_fails(1, -ENOMEM, "first");
	assert_fails(2, -EAGAIN, "second");
	assert_fails(3, -EBUSY, "third");
	hmmu__fault_points_arm(4);
	assert_int_equal(operation(), 0);
	assert_null(hmmu__fault_points_failed());
	hmmu__fault_points_disarm();
}

static void test_fault_point_counts_without_failing(void **state)
{
	(void)state;
	hmmu__fault_points_arm(0);
	assert_int_equal(hmmu__fault_points_hits(), 0);
	assert_null(hmmu__fault_points_last());
	assert_int_equal(operation(), 0);
	assert_int_equal(hmmu__fault_points_hits(), 3);
	hmmu__fault_points_disarm();
	assert_int_equal(operation(), 0);
	assert_int_equal(hmmu__fault_points_hits(), 3);
}

static void *run_operation(void *ret)
{
	*(int *)ret = operation();
	return NULL;
}

static int operation_in_other_thread(void)
{
	pthread_t thread;
	int ret = 1;

	assert_int_equal(pthread_create(&thread, NULL, run_operation, &ret), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return ret;
}

static void test_fault_point_arms_one_thread_or_all(void **state)
{
	(void)state;
	hmmu__fault_points_arm_thread(1);
	assert_int_equal(operation_in_other_thread(), 0);
	assert_int_equal(hmmu__fault_points_hits(), 0);
	assert_int_equal(operation(), -ENOMEM);
	hmmu__fault_points_arm(1);
	assert_int_equal(operation_in_other_thread(), -ENOMEM);
	hmmu__fault_points_disarm();
}

#else

static void test_fault_point_is_compiled_out(void **state)
{
	(void)state;
	_Static_assert(HMMU_FAULT_POINT("constant", ENOMEM) == 0,
		       "a constant in builds without fault points");
	hmmu__fault_points_arm(1);
	assert_int_equal(operation(), 0);
	assert_int_equal(hmmu__fault_points_hits(), 0);
	assert_null(hmmu__fault_points_failed());
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault_point_is_silent_unless_armed),
#if HMMU_FAULT_POINTS
		cmocka_unit_test(test_fault_point_sweep_fails_each_once),
		cmocka_unit_test(test_fault_point_counts_without_failing),
		cmocka_unit_test(test_fault_point_arms_one_thread_or_all),
#else
		cmocka_unit_test(test_fault_point_is_compiled_out),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
