/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_STAMPS_H
#define HMMU_LIVE_STAMPS_H

/*
 * What is copied is stamped before: see stamps.c. All with the events lock held
 * exclusively, but for what says otherwise.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/thread.h"

struct hmmu_live;

struct hmmu_stamps {
	/* The kernel knows them, and shows them. */
	bool known;
	/* Pages in system memory may have some, all within [left_lo, left_hi). */
	_Atomic bool are_left;
	uintptr_t left_lo;
	uintptr_t left_hi;
};

extern _Atomic bool hmmu__stamps_used;

/* Before the space is used. */
void hmmu__stamps_start(struct hmmu_live *l);
/* When nobody uses it any more. */
void hmmu__stamps_stop(struct hmmu_live *l);

/* -EAGAIN: a mapping is changing; pages may be stamped all the same. */
int hmmu__stamp(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* Reads what there is, and puts it aside; what can not be done is left. */
void hmmu__unstamp(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* What was left, if anything. -EAGAIN: a mapping is changing. */
int hmmu__unstamp_left(struct hmmu_live *l);

/*
 * Of what is at @alias and has no stamp: it was not in the range when that was
 * stamped. Copied, too, for who asks now.
 */
void hmmu__landed_put_back(struct hmmu_live *l, uintptr_t start,
			   uintptr_t alias, size_t bytes, void *host);

/* By the service, without a lock: somebody has stopped at @addr. -EAGAIN: again. */
int hmmu__unstamp_fault(struct hmmu_live *l, uintptr_t addr);
/* Without a lock. True, too, where that can not be known. */
bool hmmu__is_stamped(const struct hmmu_live *l, uintptr_t start,
		      uintptr_t end);
/* Inside, without a lock: what the caller lends, so that no take stamps it anew. */
void hmmu__unstamp_lent(struct hmmu_live *l);

/* For those who have no space at hand. In one that is open pages are stamped. */
static inline bool hmmu__stamps_are_used(void)
{
	return atomic_load_explicit(&hmmu__stamps_used, memory_order_acquire);
}

/* In the child of a fork, and when a space is closed. */
static inline void hmmu__stamps_forget(void)
{
	atomic_store_explicit(&hmmu__stamps_used, false, memory_order_relaxed);
	atomic_store_explicit(&hmmu__windows_stamped, false,
			      memory_order_relaxed);
}

#endif
