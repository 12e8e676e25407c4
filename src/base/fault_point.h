/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_FAULT_POINT_H
#define HMMU_BASE_FAULT_POINT_H

/*
 * Fault points: make the 1st, the 2nd, the 3rd ... failure happen
 *
 * A place that can fail consults a point:
 *
 *	ret = HMMU_FAULT_POINT("mirror table", ENOMEM);
 *	if (ret)
 *		return ret;
 *
 * A failure sweep arms the first hit, runs the operation, checks that it
 * failed cleanly and that the state is as before, arms the second, and so on
 * until the operation succeeds and no point has failed:
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
 * Without HMMU_FAULT_POINTS=1 a point is the constant 0.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#if HMMU_FAULT_POINTS

int hmmu__fault_point_hit(const char *name, int errnoval);

/* 0, or -@errnoval when it is this hit's turn to fail. */
#define HMMU_FAULT_POINT(name, errnoval) \
	hmmu__fault_point_hit((name), (errnoval))

/*
 * From now on count the hits of all threads and let the @nth, counted from 1,
 * fail once. 0 only counts.
 */
void hmmu__fault_points_arm(uint64_t nth);

/* The same, but only hits of the calling thread count. */
void hmmu__fault_points_arm_thread(uint64_t nth);

/* No point counts or fails any more. */
void hmmu__fault_points_disarm(void);

/* Hits since armed. Kept over disarming, as the two names below. */
uint64_t hmmu__fault_points_hits(void);

/* The name of the last point hit since armed, or NULL. */
const char *hmmu__fault_points_last(void);

/* The name of the point that failed since armed, or NULL. */
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
