/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/lock.h"
#include "base/sched.h"
#include "base/sys.h"

/*
 * This program breaks the rules that clang's analysis enforces at compile time;
 * it wants to see the run-time checker do it.
 */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wthread-safety-analysis"
#endif

/* Mutual exclusion ---------------------------------------------------------- */

#define THREADS 4
#define ROUNDS	20000

struct shared {
	struct hmmu_mutex mutex;
	struct hmmu_rwlock rw;
	uint64_t a; /* guarded by mutex */
	uint64_t b, c; /* guarded by rw, always equal */
};

static void *add_under_mutex(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		hmmu__mutex_lock(&s->mutex);
		s->a++;
		hmmu__mutex_unlock(&s->mutex);
	}
	return NULL;
}

static void *add_under_write_lock(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		hmmu__rw_write_lock(&s->rw);
		s->b++;
		s->c++;
		hmmu__rw_write_unlock(&s->rw);
		hmmu__rw_read_lock(&s->rw);
		if (s->b != s->c)
			abort();
		hmmu__rw_read_unlock(&s->rw);
	}
	return NULL;
}

static void run_threads(void *(*fn)(void *), void *arg)
{
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, fn, arg), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}

static void test_lock_excludes_other_threads(void **state)
{
	struct shared s = { .a = 0 };

	(void)state;
	hmmu__mutex_init(&s.mutex, HMMU_RANK_LEAF, "mutex");
	hmmu__rw_init(&s.rw, HMMU_RANK_LEAF, "rw");
	run_threads(add_under_mutex, &s);
	run_threads(add_under_write_lock, &s);
	assert_int_equal(s.a, THREADS * ROUNDS);
	assert_int_equal(s.b, THREADS * ROUNDS);
	hmmu__mutex_fini(&s.mutex);
	hmmu__rw_fini(&s.rw);
}

static void *try_mutex(void *arg)
{
	struct hmmu_mutex *l = arg;

	if (!hmmu__mutex_trylock(l))
		return NULL;
	hmmu__mutex_unlock(l);
	return l;
}

static void *result_of(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	void *ret;

	assert_int_equal(pthread_create(&thread, NULL, fn, arg), 0);
	assert_int_equal(pthread_join(thread, &ret), 0);
	return ret;
}

static void test_lock_trylock_fails_while_held(void **state)
{
	struct hmmu_mutex l = HMMU_MUTEX_INITIALIZER(HMMU_RANK_LEAF, "l");

	(void)state;
	hmmu__mutex_lock(&l);
	assert_null(result_of(try_mutex, &l));
	hmmu__mutex_unlock(&l);
	assert_non_null(result_of(try_mutex, &l));
	hmmu__mutex_fini(&l);
}

struct waiting_writer {
	struct hmmu_rwlock rw;
	_Atomic int got;
};

static void *write_once(void *arg)
{
	struct waiting_writer *w = arg;

	hmmu__rw_write_lock(&w->rw);
	atomic_store_explicit(&w->got, 1, memory_order_relaxed);
	hmmu__rw_write_unlock(&w->rw);
	return NULL;
}

static void *try_read(void *arg)
{
	struct waiting_writer *w = arg;

	if (pthread_rwlock_tryrdlock(&w->rw.rw) != 0)
		return NULL;
	(void)pthread_rwlock_unlock(&w->rw.rw);
	return w;
}

/* With a reader inside and a writer waiting, a new reader waits, too. */
static void test_lock_rw_prefers_writers(void **state)
{
	struct waiting_writer w = { .got = 0 };
	pthread_t thread;
	int rounds = 0;

	(void)state;
	hmmu__rw_init(&w.rw, HMMU_RANK_LEAF, "rw");
	hmmu__rw_read_lock(&w.rw);
	assert_non_null(result_of(try_read, &w));
	assert_int_equal(pthread_create(&thread, NULL, write_once, &w), 0);
	while (result_of(try_read, &w) && rounds++ < 2000)
		hmmu__sched_sleep(1000000);
	assert_true(rounds < 2000);
	assert_int_equal(atomic_load_explicit(&w.got, memory_order_relaxed), 0);
	hmmu__rw_read_unlock(&w.rw);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load_explicit(&w.got, memory_order_relaxed), 1);
	hmmu__rw_fini(&w.rw);
}

/* Waiting ------------------------------------------------------------------- */

static void test_futex_wait_tells_why_it_returned(void **state)
{
	_Atomic uint32_t word = 1;
	uint64_t start_ns = hmmu__sched_now_ns();

	(void)state;
	errno = 0;
	assert_int_equal(hmmu__futex_wait(&word, 2, HMMU_FOREVER), -EAGAIN);
	assert_int_equal(hmmu__futex_wait(&word, 1, 3000000), -ETIMEDOUT);
	assert_true(hmmu__sched_now_ns() - start_ns >= 3000000);
	assert_int_equal(hmmu__futex_wake(&word, 1), 0);
	assert_int_equal(errno, 0);
}

static void *wait_for_change(void *arg)
{
	_Atomic uint32_t *word = arg;

	while (atomic_load_explicit(word, memory_order_acquire) == 0)
		(void)hmmu__futex_wait(word, 0, HMMU_FOREVER);
	return NULL;
}

static void test_futex_wake_wakes(void **state)
{
	_Atomic uint32_t word = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, wait_for_change,
					(void *)&word),
			 0);
	hmmu__sched_sleep(2000000);
	atomic_store_explicit(&word, 1, memory_order_release);
	(void)hmmu__futex_wake(&word, UINT32_MAX >> 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_backoff_grows_to_a_millisecond(void **state)
{
	unsigned int round = 0;
	uint64_t start_ns;

	(void)state;
	for (int i = 0; i < 40; i++)
		hmmu__backoff(&round);
	start_ns = hmmu__sched_now_ns();
	hmmu__backoff(&round);
	assert_true(hmmu__sched_now_ns() - start_ns >= 1000000);
	round = 1000;
	hmmu__backoff(&round);
	assert_int_equal(round, 1000);
}

/* The checker --------------------------------------------------------------- */

#if HMMU_DEBUG

static struct hmmu_rank_report found;
static jmp_buf escape;

/* Leaves the offending call before it could deadlock. */
static void note_violation(const struct hmmu_rank_report *report)
{
	found = *report;
	longjmp(escape, 1);
}

#define assert_violation(what_, statement)                \
	do {                                              \
		found.what = NULL;                        \
		if (setjmp(escape) == 0)                  \
			statement;                        \
		assert_non_null(found.what);              \
		assert_string_equal(found.what, (what_)); \
	} while (0)

static struct hmmu_mutex outer, inner, twin_a, twin_b;
static struct hmmu_rwlock shared_lock;
static void (*default_violation)(const struct hmmu_rank_report *);

static int checker_setup(void **state)
{
	(void)state;
	hmmu__mutex_init(&outer, HMMU_RANK_SPACE, "outer");
	hmmu__mutex_init(&inner, HMMU_RANK_MIRROR, "inner");
	hmmu__mutex_init(&twin_a, HMMU_RANK_BLOCK, "twin a");
	hmmu__mutex_init(&twin_b, HMMU_RANK_BLOCK, "twin b");
	hmmu__rw_init(&shared_lock, HMMU_RANK_WATCH, "shared");
	default_violation = hmmu__rank_violation;
	hmmu__rank_violation = note_violation;
	return 0;
}

static int checker_teardown(void **state)
{
	(void)state;
	hmmu__rank_violation = default_violation;
	return hmmu__held_count() != 0;
}

static void test_rank_accepts_increasing_order(void **state)
{
	(void)state;
	hmmu__mutex_lock(&outer);
	hmmu__rw_read_lock(&shared_lock);
	hmmu__mutex_lock(&inner);
	assert_int_equal(hmmu__held_count(), 3);
	/* Released in any order. */
	hmmu__mutex_unlock(&outer);
	hmmu__mutex_assert_held(&inner);
	hmmu__rw_assert_held(&shared_lock);
	hmmu__mutex_unlock(&inner);
	hmmu__rw_read_unlock(&shared_lock);
}

static void test_rank_rejects_decreasing_order(void **state)
{
	(void)state;
	hmmu__mutex_lock(&inner);
	assert_violation("out of order", hmmu__mutex_lock(&outer));
	assert_string_equal(found.name, "outer");
	assert_string_equal(found.held_name, "inner");
	assert_int_equal(found.rank, HMMU_RANK_SPACE);
	assert_int_equal(found.held_rank, HMMU_RANK_MIRROR);
	assert_violation("out of order", hmmu__rw_read_lock(&shared_lock));
	assert_violation("out of order", hmmu__rw_write_lock(&shared_lock));
	hmmu__mutex_unlock(&inner);
}

/* Not only the lock taken last counts. */
static void test_rank_looks_at_all_held_locks(void **state)
{
	(void)state;
	hmmu__mutex_lock(&inner);
	assert_true(hmmu__mutex_trylock(&outer));
	assert_violation("out of order", hmmu__mutex_lock(&twin_a));
	hmmu__mutex_unlock(&outer);
	hmmu__mutex_unlock(&inner);
}

static void test_rank_same_rank_needs_increasing_subrank(void **state)
{
	(void)state;
	hmmu__mutex_lock_sub(&twin_a, 100);
	assert_violation("same rank", hmmu__mutex_lock_sub(&twin_b, 99));
	assert_violation("same rank", hmmu__mutex_lock_sub(&twin_b, 100));
	assert_violation("same rank", hmmu__mutex_lock(&twin_b));
	hmmu__mutex_lock_sub(&twin_b, 101);
	hmmu__mutex_unlock(&twin_a);
	hmmu__mutex_unlock(&twin_b);
	hmmu__mutex_lock(&twin_a);
	assert_violation("same rank", hmmu__mutex_lock_sub(&twin_b, 5));
	hmmu__mutex_unlock(&twin_a);
}

static void test_rank_rejects_taking_twice(void **state)
{
	(void)state;
	hmmu__mutex_lock(&outer);
	assert_violation("taken twice", hmmu__mutex_lock(&outer));
	hmmu__mutex_unlock(&outer);
	hmmu__rw_read_lock(&shared_lock);
	assert_violation("taken twice", hmmu__rw_read_lock(&shared_lock));
	hmmu__rw_read_unlock(&shared_lock);
}

static void test_rank_rejects_release_of_what_is_not_held(void **state)
{
	(void)state;
	assert_violation("released but not held", hmmu__mutex_unlock(&outer));
	assert_violation("released but not held",
			 hmmu__rw_read_unlock(&shared_lock));
}

static void test_rank_assert_held_knows(void **state)
{
	(void)state;
	assert_violation("not held", hmmu__mutex_assert_held(&outer));
	hmmu__mutex_lock(&outer);
	hmmu__mutex_assert_held(&outer);
	assert_violation("not held", hmmu__mutex_assert_held(&inner));
	hmmu__mutex_unlock(&outer);
	assert_violation("not held", hmmu__mutex_assert_held(&outer));
	hmmu__rw_read_lock(&shared_lock);
	hmmu__rw_assert_held(&shared_lock);
	assert_violation("held for reading only",
			 hmmu__rw_assert_write_held(&shared_lock));
	hmmu__rw_read_unlock(&shared_lock);
	hmmu__rw_write_lock(&shared_lock);
	hmmu__rw_assert_held(&shared_lock);
	hmmu__rw_assert_write_held(&shared_lock);
	hmmu__rw_write_unlock(&shared_lock);
}

static void test_rank_rejects_too_many(void **state)
{
	static struct hmmu_mutex many[100];
	unsigned int taken = 0;

	(void)state;
	found.what = NULL;
	if (setjmp(escape) == 0) {
		for (unsigned int i = 0; i < HMMU_ARRAY_SIZE(many); i++) {
			hmmu__mutex_init(&many[i], HMMU_RANK_BLOCK, "many");
			hmmu__mutex_lock_sub(&many[i], i);
		}
	}
	assert_non_null(found.what);
	assert_string_equal(found.what, "too many locks");
	taken = hmmu__held_count();
	assert_true(taken >= 16 && taken < HMMU_ARRAY_SIZE(many));
	for (unsigned int i = 0; i < taken; i++)
		hmmu__mutex_unlock(&many[i]);
	/* The one that did not fit in the list was taken. */
	(void)pthread_mutex_unlock(&many[taken].m);
}

static void *lock_outer(void *arg)
{
	(void)arg;
	hmmu__mutex_lock(&outer);
	hmmu__mutex_unlock(&outer);
	return NULL;
}

static void test_rank_is_a_matter_of_each_thread(void **state)
{
	(void)state;
	hmmu__mutex_lock(&inner);
	found.what = NULL;
	(void)result_of(lock_outer, NULL);
	assert_null(found.what);
	hmmu__mutex_unlock(&inner);
}

static unsigned int hook_calls;

static void count_hook(void)
{
	hook_calls++;
}

static void test_lock_hook_sees_every_lock(void **state)
{
	struct hmmu_mutex leaf = HMMU_MUTEX_INITIALIZER(HMMU_RANK_LEAF, "leaf");

	(void)state;
	hook_calls = 0;
	atomic_store_explicit(&hmmu__lock_debug_check, count_hook,
			      memory_order_release);
	hmmu__mutex_lock(&outer);
	assert_true(hmmu__mutex_trylock(&leaf));
	hmmu__mutex_unlock(&leaf);
	hmmu__mutex_lock_sub(&leaf, 1);
	hmmu__mutex_unlock(&leaf);
	hmmu__rw_read_lock(&shared_lock);
	hmmu__rw_read_unlock(&shared_lock);
	hmmu__rw_write_lock(&shared_lock);
	hmmu__rw_write_unlock(&shared_lock);
	/* But those of a mirror, in whichever way. */
	hmmu__mutex_lock(&inner);
	hmmu__mutex_unlock(&inner);
	assert_true(hmmu__mutex_trylock(&inner));
	hmmu__mutex_unlock(&inner);
	hmmu__mutex_unlock(&outer);
	atomic_store_explicit(&hmmu__lock_debug_check, NULL,
			      memory_order_release);
	assert_int_equal(hook_calls, 5);
}

static void test_rank_violation_aborts_by_default(void **state)
{
	pid_t child = fork();
	int status = 0;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		close(2);
		signal(SIGABRT, SIG_DFL);
		hmmu__rank_violation = default_violation;
		hmmu__mutex_lock(&inner);
		hmmu__mutex_lock(&outer);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static int run_checker_tests(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank_accepts_increasing_order),
		cmocka_unit_test(test_rank_rejects_decreasing_order),
		cmocka_unit_test(test_rank_looks_at_all_held_locks),
		cmocka_unit_test(test_rank_same_rank_needs_increasing_subrank),
		cmocka_unit_test(test_rank_rejects_taking_twice),
		cmocka_unit_test(test_rank_rejects_release_of_what_is_not_held),
		cmocka_unit_test(test_rank_assert_held_knows),
		cmocka_unit_test(test_rank_rejects_too_many),
		cmocka_unit_test(test_rank_is_a_matter_of_each_thread),
		cmocka_unit_test(test_lock_hook_sees_every_lock),
		cmocka_unit_test(test_rank_violation_aborts_by_default),
	};

	return cmocka_run_group_tests(tests, checker_setup, checker_teardown);
}

#else

static int run_checker_tests(void)
{
	return 0;
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lock_excludes_other_threads),
		cmocka_unit_test(test_lock_trylock_fails_while_held),
		cmocka_unit_test(test_lock_rw_prefers_writers),
		cmocka_unit_test(test_futex_wait_tells_why_it_returned),
		cmocka_unit_test(test_futex_wake_wakes),
		cmocka_unit_test(test_backoff_grows_to_a_millisecond),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + run_checker_tests();
}
