/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "soft/ring.h"

#define PRODUCERS    3u
#define CONSUMERS    3u
#define PER_PRODUCER 20000u

/* What an entry says: who wrote it, and which of his it is. */
struct entry {
	uint32_t producer;
	uint32_t number;
	uint32_t pad[14];
};

_Static_assert(sizeof(struct entry) == HMMU_RING_ENTRY_BYTES, "an entry");

static struct hmmu_ring ring;

static int push(uint32_t number)
{
	struct entry e = { .number = number };

	return hmmu__ring_push(&ring, &e, 1);
}

static uint32_t take(uint64_t *position)
{
	const struct entry *e = hmmu__ring_take(&ring, position);

	assert_non_null(e);
	return e->number;
}

/* Depth 1 is the case in which filled and free are easy to confuse. */
static void test_ring_is_full_and_empty_at_every_depth(void **state)
{
	uint64_t position;
	uint32_t depth, i, round;

	(void)state;
	for (depth = 1; depth <= 8; depth *= 2) {
		assert_int_equal(hmmu__ring_init(&ring, depth), 0);
		for (round = 0; round < 3; round++) {
			for (i = 0; i < depth; i++)
				assert_int_equal(push(i), 0);
			assert_int_equal(push(99), -EAGAIN);
			for (i = 0; i < depth; i++) {
				assert_int_equal(take(&position), i);
				hmmu__ring_done(&ring, position);
			}
			assert_null(hmmu__ring_take(&ring, &position));
		}
		hmmu__ring_fini(&ring);
	}
}

/* An entry holds its place until it is done, in whatever order that happens. */
static void test_ring_place_is_free_when_done(void **state)
{
	uint64_t first, second;

	(void)state;
	assert_int_equal(hmmu__ring_init(&ring, 2), 0);
	assert_int_equal(push(1), 0);
	assert_int_equal(push(2), 0);
	assert_int_equal(take(&first), 1);
	assert_int_equal(take(&second), 2);
	assert_int_equal(push(3), -EAGAIN);
	hmmu__ring_done(&ring, second);
	assert_int_equal(push(3), -EAGAIN);
	hmmu__ring_done(&ring, first);
	assert_int_equal(push(3), 0);
	hmmu__ring_fini(&ring);
}

static void test_ring_push_of_many_is_all_or_nothing(void **state)
{
	struct entry e[5] = { { .number = 1 },
			      { .number = 2 },
			      { .number = 3 },
			      { .number = 4 } };
	uint64_t position;

	(void)state;
	assert_int_equal(hmmu__ring_init(&ring, 4), 0);
	assert_int_equal(push(0), 0);
	assert_int_equal(hmmu__ring_push(&ring, e, 4), -EAGAIN);
	assert_int_equal(take(&position), 0);
	assert_null(hmmu__ring_take(&ring, &position));
	hmmu__ring_done(&ring, 0);
	assert_int_equal(hmmu__ring_push(&ring, e, 4), 0);
	assert_int_equal(take(&position), 1);
	assert_int_equal(hmmu__ring_push(&ring, e, 5), -EAGAIN);
	hmmu__ring_fini(&ring);
}

static void test_ring_wait_sees_what_is_not_done(void **state)
{
	struct hmmu_ring_wait all, before;
	uint64_t p[3];
	uint32_t i;

	(void)state;
	assert_int_equal(hmmu__ring_init(&ring, 4), 0);
	all = hmmu__ring_wait_all(&ring);
	assert_true(hmmu__ring_waited(&all));
	for (i = 0; i < 3; i++)
		assert_int_equal(push(i), 0);
	all = hmmu__ring_wait_all(&ring);
	before = hmmu__ring_wait_before(&ring, 2);
	for (i = 0; i < 3; i++)
		assert_int_equal(take(&p[i]), i);
	hmmu__ring_done(&ring, p[1]);
	hmmu__ring_done(&ring, p[2]);
	assert_false(hmmu__ring_waited(&before));
	hmmu__ring_done(&ring, p[0]);
	assert_true(hmmu__ring_waited(&before));
	/* What came later does not count, not even in the same cell. */
	for (i = 0; i < 4; i++)
		assert_int_equal(push(i), 0);
	assert_true(hmmu__ring_waited(&all));
	hmmu__ring_fini(&ring);
}

static _Atomic uint32_t seen[PRODUCERS][PER_PRODUCER];
static _Atomic uint32_t taken;
static _Atomic uint32_t disorder;

static void *produce(void *arg)
{
	uint32_t producer = (uint32_t)(uintptr_t)arg, number = 0, count, i;
	struct entry e[3] = { { .pad = { 0 } } };

	while (number < PER_PRODUCER) {
		count = 1 + number % 3;
		if (count > PER_PRODUCER - number)
			count = PER_PRODUCER - number;
		for (i = 0; i < count; i++)
			e[i] = (struct entry){ .producer = producer,
					       .number = number + i };
		if (hmmu__ring_push(&ring, e, count))
			sched_yield();
		else
			number += count;
	}
	return NULL;
}

/* Each consumer sees the entries of one producer in order. */
static void *consume(void *arg)
{
	int64_t last[PRODUCERS] = { -1, -1, -1 };
	const struct entry *e;
	uint64_t position;

	(void)arg;
	while (atomic_load(&taken) < PRODUCERS * PER_PRODUCER) {
		e = hmmu__ring_take(&ring, &position);
		if (!e) {
			sched_yield();
			continue;
		}
		if ((int64_t)e->number <= last[e->producer])
			atomic_fetch_add(&disorder, 1);
		last[e->producer] = e->number;
		atomic_fetch_add(&seen[e->producer][e->number], 1);
		hmmu__ring_done(&ring, position);
		atomic_fetch_add(&taken, 1);
	}
	return NULL;
}

static void test_ring_hands_each_entry_to_one_consumer(void **state)
{
	pthread_t thread[PRODUCERS + CONSUMERS];
	uint32_t i, j;

	(void)state;
	assert_int_equal(hmmu__ring_init(&ring, 8), 0);
	for (i = 0; i < PRODUCERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, produce,
						(void *)(uintptr_t)i),
				 0);
	for (; i < PRODUCERS + CONSUMERS; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, consume, NULL), 0);
	for (i = 0; i < PRODUCERS + CONSUMERS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&disorder), 0);
	for (i = 0; i < PRODUCERS; i++)
		for (j = 0; j < PER_PRODUCER; j++)
			assert_int_equal(atomic_load(&seen[i][j]), 1);
	hmmu__ring_fini(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_is_full_and_empty_at_every_depth),
		cmocka_unit_test(test_ring_place_is_free_when_done),
		cmocka_unit_test(test_ring_push_of_many_is_all_or_nothing),
		cmocka_unit_test(test_ring_wait_sees_what_is_not_done),
		cmocka_unit_test(test_ring_hands_each_entry_to_one_consumer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
