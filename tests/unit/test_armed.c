/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "live/armed.h"

#define MANY   100u
#define STRIDE 0x10000u
#define BYTES  0x4000u

static int forget(void **state)
{
	(void)state;
	hmmu__armed_forget();
	return 0;
}

static uintptr_t at(unsigned int i)
{
	return (uintptr_t)(i + 1) * STRIDE;
}

static void test_armed_is_half_open(void **state)
{
	(void)state;
	hmmu__armed_add(at(0), at(0) + BYTES);
	assert_true(hmmu__armed_overlaps(at(0), at(0) + 1));
	assert_true(hmmu__armed_overlaps(at(0) + BYTES - 1, at(9)));
	assert_true(hmmu__armed_overlaps(0, at(9)));
	assert_false(hmmu__armed_overlaps(at(0) + BYTES, at(9)));
	assert_false(hmmu__armed_overlaps(0, at(0)));
	hmmu__armed_remove(at(0), at(0) + BYTES);
	assert_false(hmmu__armed_overlaps(0, at(9)));
}

static void test_armed_while_arming(void **state)
{
	(void)state;
	assert_false(hmmu__armed_overlaps(0, at(9)));
	hmmu__arming_begin();
	assert_true(hmmu__armed_overlaps(0, 1));
	hmmu__arming_end();
	assert_false(hmmu__armed_overlaps(0, at(9)));
}

/* Too many to be known one by one: whoever asks is to look closer. */
static void test_armed_many(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		hmmu__armed_add(at(i), at(i) + BYTES);
		assert_true(hmmu__armed_overlaps(at(i), at(i) + 1));
	}
	for (i = 0; i < MANY; i++)
		assert_true(hmmu__armed_overlaps(at(i), at(i) + 1));
	for (i = 0; i < MANY; i++) {
		hmmu__armed_remove(at(i), at(i) + BYTES);
		if (i + 1 < MANY)
			assert_true(
				hmmu__armed_overlaps(at(i + 1), at(i + 1) + 1));
	}
	assert_false(hmmu__armed_overlaps(0, at(MANY)));
}

enum {
	FULL = 60,
	ROUNDS = 2000
};

static _Atomic unsigned int looks;
static _Atomic unsigned int changed;

static unsigned int get(_Atomic unsigned int *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

static void set(_Atomic unsigned int *word, unsigned int value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static void wait_for(_Atomic unsigned int *word, unsigned int value)
{
	while (get(word) != value)
		sched_yield();
}

/* The first goes, the last takes its place, and another comes behind. */
static void *change(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 1; i <= ROUNDS; i++) {
		wait_for(&looks, i);
		hmmu__armed_remove(at(0), at(0) + BYTES);
		hmmu__armed_add(at(0), at(0) + BYTES);
		set(&changed, i);
	}
	return NULL;
}

static void add_all(void)
{
	unsigned int i;

	hmmu__armed_forget();
	for (i = 0; i < FULL; i++)
		hmmu__armed_add(at(i), at(i) + BYTES);
}

/* What is armed all the time is found at any time. */
static void test_armed_while_others_change(void **state)
{
	uintptr_t last = at(FULL - 1);
	pthread_t thread;
	unsigned int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, change, NULL), 0);
	for (i = 1; i <= ROUNDS; i++) {
		add_all();
		set(&looks, i);
		while (get(&changed) != i)
			assert_true(hmmu__armed_overlaps(last, last + 1));
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_armed_is_half_open, forget),
		cmocka_unit_test_setup(test_armed_while_arming, forget),
		cmocka_unit_test_setup(test_armed_many, forget),
		cmocka_unit_test_setup(test_armed_while_others_change, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
