/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_FAULT_POINT_H
#define HMMU_BASE_FAULT_POINT_H

/*
 * Fault points: places that a test can make fail
 *
 * Overview: code that can fail calls a point:
 *
 *	ret = HMMU_FAULT_POINT("mirror table", ENOMEM);
 *	if (ret)
 *		return ret;
 *
 * A failure sweep makes the first hit fail, then the second, and so on until
 * the operation runs without a failure. After each run it checks the error, and
 * that the state is as before:
 *
 *	for (n = 1;; n++) {
 *		hmmu__fault_points_arm_thread(n);
 *		ret = operation();
 *		failed = hmmu__fault_points_failed();
 *		hmmu__fault_points_disarm();
 *		if (!failed)
 *			break;
 *		check(ret, failed);
 *	}
 *
 * In a build without HMMU_FAULT_POINTS=1 a point is the constant 0.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#if HMMU_FAULT_POINTS

int hmmu__fault_point_hit(const char *name, int errnoval);

/* 0, or -@errnoval if this hit must fail. */
#define HMMU_FAULT_POINT(name, errnoval) \
	hmmu__fault_point_hit((name), (errnoval))

/*
 * Starts to count the hits of all threads. The @nth, counted from 1, fails. 0
 * only counts.
 */
void hmmu__fault_points_arm(uint64_t nth);

/* The same for hits of the calling thread only. */
void hmmu__fault_points_arm_thread(uint64_t nth);

/* Stops counting and failing. */
void hmmu__fault_points_disarm(void);

/* Hits since arming. Disarming keeps it and the two names below. */
uint64_t hmmu__fault_points_hits(void);

/* The name of the last point hit since arming, or NULL. */
const char *hmmu__fault_points_last(void);

/* The name of the point that failed since arming, or NULL. */
const char *hmmu__fault_points_failed(void);

#else

#define HMMU_FAULT_POINT(name, errnoval) (0)

static inline void hmmu__fault_points_arm(uint64_t nth)
{
	(void)nth;
}

static inline void hmmu__fault_points_arm_thread(uint64_t nth)
{
	(void)nth;
}

static inline void hmmu__fault_points_disarm(void)
{
}

static inline uint64_t hmmu__fault_points_hits(void)
{
	return 0;
}

static inline const char *hmmu__fault_points_last(void)
{
	return NULL;
}

static inline const char *hmmu__fault_points_failed(void)
{
	return NULL;
}

#endif

#endif
