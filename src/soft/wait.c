/* SPDX-License-Identifier: MIT */
/* Sleep and wake-up; wait.h draws the protocol. */
#include <errno.h>
#include <limits.h>

#include "base/lock.h"
#include "base/sched.h"
#include "base/sys.h"
#include "soft/state.h"
#include "soft/wait.h"

void hmmu__soft_ring_bell(struct hmmu_soft *soft, unsigned int count)
{
	/* seq_cst, both: see wait.h; the sleeper is hmmu__soft_sleep(). */
	atomic_fetch_add_explicit(&soft->bell, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&soft->sleepers, memory_order_seq_cst))
		(void)hmmu__futex_wake(&soft->bell, count);
}

/*
 * The worker has looked for work before it counts itself as a sleeper, and does
 * not look again. The futex compares the bell with @bell after the count, which
 * is as good: every new entry moves the bell.
 */
void hmmu__soft_sleep(struct hmmu_soft *soft, uint32_t bell)
{
	/* seq_cst: pairs with hmmu__soft_ring_bell(). */
	atomic_fetch_add_explicit(&soft->sleepers, 1, memory_order_seq_cst);
	(void)hmmu__futex_wait(&soft->bell, bell, HMMU_FOREVER);
	/* Relaxed: a count that is too high costs a system call. */
	atomic_fetch_sub_explicit(&soft->sleepers, 1, memory_order_relaxed);
}

void hmmu__soft_progress(struct hmmu_soft *soft)
{
	/* seq_cst, both: see wait.h; the sleeper is wait_until(). */
	atomic_fetch_add_explicit(&soft->progress, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&soft->waiters, memory_order_seq_cst))
		(void)hmmu__futex_wake(&soft->progress, INT_MAX);
}

static uint64_t deadline_of(uint64_t timeout_ns)
{
	uint64_t now;

	if (timeout_ns == HMMU_SOFT_FOREVER)
		return HMMU_SOFT_FOREVER;
	now = hmmu__sched_now_ns();
	return timeout_ns > HMMU_SOFT_FOREVER - now ? HMMU_SOFT_FOREVER :
						      now + timeout_ns;
}

static uint64_t left_until(uint64_t deadline)
{
	uint64_t now;

	if (deadline == HMMU_SOFT_FOREVER)
		return HMMU_FOREVER;
	now = hmmu__sched_now_ns();
	return now < deadline ? deadline - now : 0;
}

static int sleep_until(struct hmmu_soft *soft, bool (*done)(void *arg),
		       void *arg, uint64_t deadline)
{
	uint32_t seen;
	uint64_t left;

	for (;;) {
		seen = atomic_load_explicit(&soft->progress,
					    memory_order_seq_cst);
		if (done(arg))
			return 0;
		left = left_until(deadline);
		if (!left)
			return -ETIMEDOUT;
		(void)hmmu__futex_wait(&soft->progress, seen, left);
	}
}

static int wait_until(struct hmmu_soft *soft, bool (*done)(void *arg),
		      void *arg, uint64_t timeout_ns)
{
	int err;

	/* seq_cst: pairs with hmmu__soft_progress(). */
	atomic_fetch_add_explicit(&soft->waiters, 1, memory_order_seq_cst);
	err = sleep_until(soft, done, arg, deadline_of(timeout_ns));
	/* Relaxed: a count that is too high costs a system call. */
	atomic_fetch_sub_explicit(&soft->waiters, 1, memory_order_relaxed);
	return err;
}

int hmmu__soft_wait_until(struct hmmu_soft *soft, bool (*done)(void *arg),
			  void *arg, uint64_t timeout_ns)
{
	if (done(arg))
		return 0;
	if (!timeout_ns)
		return -ETIMEDOUT;
	if (hmmu__soft_in_worker(soft))
		return -EDEADLK;
	return wait_until(soft, done, arg, timeout_ns);
}

void hmmu__soft_wait_in_worker(struct hmmu_soft *soft, bool (*done)(void *arg),
			       void *arg)
{
	if (!done(arg))
		(void)wait_until(soft, done, arg, HMMU_SOFT_FOREVER);
}

static bool record_is_written(void *arg)
{
	const struct hmmu_soft_record *record = arg;

	return hmmu_soft_record_status(record) != HMMU_SOFT_PENDING;
}

int hmmu_soft_wait(struct hmmu_soft *soft,
		   const struct hmmu_soft_record *record, uint64_t timeout_ns)
{
	int err;

	if (!soft || !record)
		return -EINVAL;
	err = hmmu__soft_wait_until(soft, record_is_written,
				    (void *)(uintptr_t)record, timeout_ns);
	/* ThreadSanitizer does not see the stores of a port; this load orders
	 * them. Pairs with order_for_tsan() in execute.c. */
	if (HMMU_TSAN)
		(void)atomic_load_explicit(&soft->progress,
					   memory_order_acquire);
	return err;
}
