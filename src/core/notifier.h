/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_NOTIFIER_H
#define HMMU_CORE_NOTIFIER_H

/*
 * Interval notifiers, inside
 *
 * One sequence for the whole set (IN4): even is idle, odd means that some
 * subscribed range is being invalidated. A subscription's own sequence is
 * always odd (IN7): it equals the set's exactly while its range is being
 * invalidated, for the callback stored it (IN10).
 *
 *      reader                              invalidation
 *      seq = sub->seq                      set->seq |= 1
 *        (sleeps while == set->seq)        callback: lock driver
 *      look at the memory                      sub->seq = set->seq
 *      lock driver                             take the translation away
 *      if sub->seq != seq: again               unlock
 *      establish the translation           change the memory
 *      unlock                              set->seq += 1, wake
 *
 * Required: what the reader looked at is still true when it establishes it, or
 * the callback takes it away afterwards. No barrier is needed beside the
 * driver's lock, for both sides are inside it.
 *
 * While an invalidation that met a subscription runs, the tree does not change
 * (insertions and removals are put off to its end), so callbacks run without
 * the set's lock.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/notifier.h>

#include "base/itree.h"
#include "base/lock.h"
#include "mm.h"

enum hmmu_sub_state {
	HMMU_SUB_NONE = 0,
	HMMU_SUB_IN_TREE,
	HMMU_SUB_INSERTING,
	HMMU_SUB_REMOVING,
};

struct hmmu_notifier {
	struct hmmu_itree_node node;
	_Atomic uint64_t seq;
	struct hmmu_space *space;
	struct hmmu_notifier_ops ops;
	void *arg;
	/* Of core itself: a block or a device. */
	bool internal;
	enum hmmu_sub_state state;
	struct hmmu_notifier *deferred_next;
};

struct hmmu_notifier_set {
	struct hmmu_mutex lock;
	struct hmmu_itree tree HMMU_GUARDED_BY(&lock);
	_Atomic uint64_t seq;
	/* Invalidations that run, and what they change. */
	uint32_t active HMMU_GUARDED_BY(&lock);
	struct hmmu_invalidate_call *calls HMMU_GUARDED_BY(&lock);
	struct hmmu_notifier *deferred HMMU_GUARDED_BY(&lock);
	/* Futex word: moves when the sequence becomes even. */
	_Atomic uint32_t turn;
	_Atomic uint32_t waiters;
	/* Subscriptions of users, not of core. */
	_Atomic uint32_t users;
};

void hmmu__notifiers_init(struct hmmu_notifier_set *set);
void hmmu__notifiers_fini(struct hmmu_notifier_set *set);

/* @sub zeroed, its memory the caller's, in the arena. */
void hmmu__notifier_add(struct hmmu_notifier_set *set,
			struct hmmu_notifier *sub, uintptr_t start,
			uintptr_t last);
void hmmu__notifier_del(struct hmmu_notifier_set *set,
			struct hmmu_notifier *sub);

void hmmu__notifiers_begin(struct hmmu_notifier_set *set,
			   struct hmmu_invalidate_call *call);
void hmmu__notifiers_end(struct hmmu_notifier_set *set,
			 struct hmmu_invalidate_call *call);

uint64_t hmmu__notifier_read_begin(struct hmmu_notifier_set *set,
				   struct hmmu_notifier *sub);

/* True if a subscription of a user touches the range. */
bool hmmu__notifiers_overlap(struct hmmu_notifier_set *set, uintptr_t start,
			     uintptr_t end);

/*
 * True if another invalidation than @own, and not a migration, is changing a
 * part of the range: what is taken there now might be dropped by it.
 */
bool hmmu__notifiers_conflict(struct hmmu_notifier_set *set,
			      const struct hmmu_invalidate_call *own);

/* True if an active call is a CLEAR of all of the range. */
bool hmmu__notifiers_clearing(struct hmmu_notifier_set *set, uintptr_t start,
			      uintptr_t end);

static inline void hmmu__notifier_set_seq(struct hmmu_notifier *sub,
					  uint64_t cur_seq)
{
	/* Release: pairs with the lock-free check_retry only. */
	atomic_store_explicit(&sub->seq, cur_seq, memory_order_release);
}

static inline bool hmmu__notifier_retry(const struct hmmu_notifier *sub,
					uint64_t seq)
{
	return atomic_load_explicit(&sub->seq, memory_order_acquire) != seq;
}

#endif
