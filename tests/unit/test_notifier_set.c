/* SPDX-License-Identifier: MIT */
/*
 * The set of subscriptions and its sequence (IN4, IN5), step by step: what can
 * be told from outside only by chance.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/thread.h"
#include "core/notifier.h"

#define PAGE HMMU_PAGE_BYTES

static struct hmmu_notifier_set set;
static struct hmmu_thread *self;
static struct hmmu_notifier subs[2];
static unsigned int calls;
static uint64_t told_seq;

static void invalidate(struct hmmu_notifier *sub, void *arg,
		       const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	calls++;
	told_seq = cur_seq;
	hmmu__notifier_set_seq(sub, cur_seq);
}

static uint64_t set_seq(void)
{
	return atomic_load_explicit(&set.seq, memory_order_acquire);
}

static uint64_t sub_seq(const struct hmmu_notifier *sub)
{
	return atomic_load_explicit(&sub->seq, memory_order_acquire);
}

static void add(struct hmmu_notifier *sub, uintptr_t start, size_t bytes)
{
	memset(sub, 0, sizeof(*sub));
	sub->ops.invalidate = invalidate;
	hmmu__notifier_add(&set, sub, start, start + bytes - 1);
}

static void begin(struct hmmu_invalidate_call *call, uintptr_t start,
		  uintptr_t end)
{
	*call = (struct hmmu_invalidate_call){ .inv = { .start = start,
							.end = end } };
	hmmu__notifiers_begin(&set, call);
}

static int setup(void **state)
{
	(void)state;
	self = hmmu__enter();
	assert_non_null(self);
	/* A case that failed has left calls and subscriptions behind. */
	memset(&set, 0, sizeof(set));
	hmmu__notifiers_init(&set);
	calls = 0;
	add(&subs[0], 8 * PAGE, 8 * PAGE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hmmu__notifiers_fini(&set);
	hmmu__leave(self);
	return 0;
}

static void test_notifier_set_in4_odd_while_a_subscribed_range_changes(void **s)
{
	struct hmmu_invalidate_call call;
	uint64_t rest = set_seq();

	(void)s;
	assert_int_equal(rest & 1, 0);
	begin(&call, 8 * PAGE, 9 * PAGE);
	assert_int_equal(set_seq(), rest + 1);
	assert_int_equal(told_seq, rest + 1);
	hmmu__notifiers_end(&set, &call);
	assert_int_equal(set_seq(), rest + 2);
	/* IN7: its own stays odd, and tells the old from the new. */
	assert_int_equal(sub_seq(&subs[0]), rest + 1);
}

static void test_notifier_set_in5_odd_only_for_who_subscribes(void **s)
{
	struct hmmu_invalidate_call call;
	uint64_t rest = set_seq(), own = sub_seq(&subs[0]);

	(void)s;
	begin(&call, 0, 8 * PAGE);
	assert_int_equal(set_seq(), rest);
	hmmu__notifiers_end(&set, &call);
	assert_int_equal(set_seq(), rest);
	begin(&call, 16 * PAGE, 17 * PAGE);
	assert_int_equal(set_seq(), rest);
	hmmu__notifiers_end(&set, &call);
	assert_int_equal(set_seq(), rest);
	assert_int_equal(calls, 0);
	assert_int_equal(sub_seq(&subs[0]), own);
}

/* One odd value for all that overlap; only the last end makes it even. */
static void test_notifier_set_in5_the_last_end_makes_it_even(void **s)
{
	struct hmmu_invalidate_call a, b, beside;
	uint64_t rest = set_seq();

	(void)s;
	begin(&a, 8 * PAGE, 9 * PAGE);
	begin(&b, 9 * PAGE, 10 * PAGE);
	begin(&beside, 100 * PAGE, 101 * PAGE);
	assert_int_equal(set_seq(), rest + 1);
	assert_int_equal(calls, 2);
	hmmu__notifiers_end(&set, &a);
	assert_int_equal(set_seq(), rest + 1);
	hmmu__notifiers_end(&set, &b);
	/* Nobody subscribes to what still changes: it counts all the same. */
	assert_int_equal(set_seq(), rest + 1);
	hmmu__notifiers_end(&set, &beside);
	assert_int_equal(set_seq(), rest + 2);
}

/* What is inserted meanwhile is told from the next one on (IN3). */
static void test_notifier_set_in5_deferred_at_the_end(void **s)
{
	struct hmmu_invalidate_call a, b;
	uint64_t rest = set_seq();

	(void)s;
	begin(&a, 8 * PAGE, 9 * PAGE);
	add(&subs[1], 8 * PAGE, PAGE);
	/* Its range may be the one that changes: who reads waits. */
	assert_int_equal(sub_seq(&subs[1]), set_seq());
	begin(&b, 8 * PAGE, 9 * PAGE);
	assert_int_equal(calls, 2);
	hmmu__notifiers_end(&set, &b);
	hmmu__notifiers_end(&set, &a);
	assert_int_equal(set_seq(), rest + 2);
	begin(&a, 8 * PAGE, 9 * PAGE);
	assert_int_equal(calls, 4);
	hmmu__notifiers_end(&set, &a);
	hmmu__notifier_del(&set, &subs[1]);
	begin(&a, 8 * PAGE, 9 * PAGE);
	assert_int_equal(calls, 5);
	hmmu__notifiers_end(&set, &a);
}

/* During one that met nobody, the sequence becomes odd by the insertion. */
static void test_notifier_set_in3_inserted_beside_one_that_met_nobody(void **s)
{
	struct hmmu_invalidate_call call;
	uint64_t rest = set_seq();

	(void)s;
	begin(&call, 100 * PAGE, 101 * PAGE);
	add(&subs[1], 100 * PAGE, PAGE);
	assert_int_equal(set_seq(), rest + 1);
	assert_int_equal(sub_seq(&subs[1]), rest + 1);
	hmmu__notifiers_end(&set, &call);
	assert_int_equal(set_seq(), rest + 2);
}

/* Who waits for the end ------------------------------------------------------ */

static struct {
	_Atomic bool ended;
	uint64_t seq;
} waiter;

static void sleep_ms(long ms)
{
	const struct timespec t = { .tv_nsec = ms * 1000000 };

	nanosleep(&t, NULL);
}

static bool has_ended(void)
{
	return atomic_load_explicit(&waiter.ended, memory_order_acquire);
}

static void set_ended(bool ended)
{
	atomic_store_explicit(&waiter.ended, ended, memory_order_release);
}

static void *read_it(void *arg)
{
	struct hmmu_thread *t = hmmu__enter();

	(void)arg;
	waiter.seq = hmmu__notifier_read_begin(&set, &subs[0]);
	hmmu__leave(t);
	set_ended(true);
	return NULL;
}

static void *delete_second(void *arg)
{
	struct hmmu_thread *t = hmmu__enter();

	(void)arg;
	hmmu__notifier_del(&set, &subs[1]);
	hmmu__leave(t);
	set_ended(true);
	return NULL;
}

/* @fn sleeps as long as subs[0] changes, and is woken by the end. */
static void check_waits(void *(*fn)(void *))
{
	struct hmmu_invalidate_call call;
	pthread_t thread;
	bool early;

	begin(&call, 8 * PAGE, 9 * PAGE);
	set_ended(false);
	assert_int_equal(pthread_create(&thread, NULL, fn, NULL), 0);
	sleep_ms(50);
	early = has_ended();
	hmmu__notifiers_end(&set, &call);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(early);
}

static void test_notifier_set_in5_the_end_wakes_readers(void **s)
{
	(void)s;
	check_waits(read_it);
	/* IN10: what is read is what the callback stored. */
	assert_int_equal(waiter.seq, told_seq);
	assert_int_equal(waiter.seq + 1, set_seq());
}

/* And IN29. */
static void test_notifier_set_in5_the_end_applies_removals(void **s)
{
	struct hmmu_invalidate_call call;

	(void)s;
	add(&subs[1], 9 * PAGE, PAGE);
	check_waits(delete_second);
	calls = 0;
	begin(&call, 9 * PAGE, 10 * PAGE);
	assert_int_equal(calls, 1);
	hmmu__notifiers_end(&set, &call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_notifier_set_in4_odd_while_a_subscribed_range_changes),
		TEST(test_notifier_set_in5_odd_only_for_who_subscribes),
		TEST(test_notifier_set_in5_the_last_end_makes_it_even),
		TEST(test_notifier_set_in5_deferred_at_the_end),
		TEST(test_notifier_set_in3_inserted_beside_one_that_met_nobody),
		TEST(test_notifier_set_in5_the_end_wakes_readers),
		TEST(test_notifier_set_in5_the_end_applies_removals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
