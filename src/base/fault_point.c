/* SPDX-License-Identifier: MIT */
/*
 * Counting the hits of fault points
 *
 * Locking: none. Counters are atomic, because threads hit points at the same
 * time. The order of their hits is not defined, so only a sweep over one thread
 * can be repeated exactly. All accesses but those of @armed are relaxed: a test
 * joins its threads before it reads the results.
 */
#include "base/fault_point.h"

#if HMMU_FAULT_POINTS

#include <stdatomic.h>

#include "base/log.h"

static struct {
	_Atomic bool armed;
	_Atomic uint64_t nth;
	_Atomic uint64_t hits;
	/* The arming thread's marker; NULL: count all threads. */
	const char *_Atomic thread;
	const char *_Atomic last;
	const char *_Atomic failed;
} points;

/* Its address identifies the thread without a system call. */
static HMMU_TLS char thread_marker;

static bool counts_here(void)
{
	const char *thread;

	/* Acquire: pairs with the release store in arm_points(). */
	if (!atomic_load_explicit(&points.armed, memory_order_acquire))
		return false;
	thread = atomic_load_explicit(&points.thread, memory_order_relaxed);
	return !thread || thread == &thread_marker;
}

int hmmu__fault_point_hit(const char *name, int errnoval)
{
	uint64_t hit;

	if (hmmu_likely(!counts_here()))
		return 0;
	hit = atomic_fetch_add_explicit(&points.hits, 1, memory_order_relaxed);
	atomic_store_explicit(&points.last, name, memory_order_relaxed);
	if (hit + 1 != atomic_load_explicit(&points.nth, memory_order_relaxed))
		return 0;
	atomic_store_explicit(&points.failed, name, memory_order_relaxed);
	hmmu__log(HMMU_LOG_DEBUG, "fault point %s fails with %d", name,
		  errnoval);
	return -errnoval;
}

static void arm_points(uint64_t nth, const char *thread)
{
	hmmu__fault_points_disarm();
	atomic_store_explicit(&points.nth, nth, memory_order_relaxed);
	atomic_store_explicit(&points.hits, 0, memory_order_relaxed);
	atomic_store_explicit(&points.thread, thread, memory_order_relaxed);
	atomic_store_explicit(&points.last, NULL, memory_order_relaxed);
	atomic_store_explicit(&points.failed, NULL, memory_order_relaxed);
	/* Release: publishes the fields above; pairs with counts_here(). */
	atomic_store_explicit(&points.armed, true, memory_order_release);
}

void hmmu__fault_points_arm(uint64_t nth)
{
	arm_points(nth, NULL);
}

void hmmu__fault_points_arm_thread(uint64_t nth)
{
	arm_points(nth, &thread_marker);
}

void hmmu__fault_points_disarm(void)
{
	atomic_store_explicit(&points.armed, false, memory_order_relaxed);
}

uint64_t hmmu__fault_points_hits(void)
{
	return atomic_load_explicit(&points.hits, memory_order_relaxed);
}

const char *hmmu__fault_points_last(void)
{
	return atomic_load_explicit(&points.last, memory_order_relaxed);
}

const char *hmmu__fault_points_failed(void)
{
	return atomic_load_explicit(&points.failed, memory_order_relaxed);
}

#endif
