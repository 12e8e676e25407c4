/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_NOTIFIER_H
#define HMMU_CORE_NOTIFIER_H

/*
 * Interval notifiers: the set of subscriptions, and its invalidations
 *
 * The set has one sequence (IN4). Even means idle, odd means that a subscribed
 * range is being invalidated. The sequence of a subscription is always odd
 * (IN7). It equals the set's while the subscription's range is being
 * invalidated, because the callback stored it (IN10).
 *
 *      reader                              invalidation
 *      seq = sub->seq                      set->seq |= 1
 *        (sleep while == set->seq)         callback: lock driver
 *      read the page tables                    sub->seq = set->seq
 *      lock driver                             remove the translation
 *      if sub->seq != seq: retry               unlock
 *      store the translation               change the memory
 *      unlock                              set->seq += 1, wake
 *
 * Required: a translation is still valid when the reader stores it, or the
 * callback removes it afterwards. The driver's lock is barrier enough, because
 * both sides hold it.
 *
 * Locking: the set's lock guards the tree and the lists. Callbacks run without
 * it: while an invalidation that found a subscription is running, the tree does
 * not change. Insertions and removals are deferred to its end.
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
	/* A subscription of core itself: a block or a device. */
	bool internal;
	enum hmmu_sub_state state;
	struct hmmu_notifier *deferred_next;
};

struct hmmu_notifier_set {
	struct hmmu_mutex lock;
	struct hmmu_itree tree HMMU_GUARDED_BY(&lock);
	_Atomic uint64_t seq;
	/* Number and list of the invalidations that are running. */
	uint32_t active HMMU_GUARDED_BY(&lock);
	struct hmmu_invalidate_call *calls HMMU_GUARDED_BY(&lock);
	struct hmmu_notifier *deferred HMMU_GUARDED_BY(&lock);
	/* Futex word: incremented when the sequence becomes even. */
	_Atomic uint32_t turn;
	_Atomic uint32_t waiters;
	/* Subscriptions of the program, without core's own. */
	_Atomic uint32_t users;
};

void hmmu__notifiers_init(struct hmmu_notifier_set *set);
void hmmu__notifiers_fini(struct hmmu_notifier_set *set);

/*
 * Adds and removes a subscription to [start, last]. The caller owns @sub, which
 * is zeroed memory in the arena. When del returns, no callback of @sub is
 * running and none will run.
 */
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

/* True if a subscription of the program overlaps the range. */
bool hmmu__notifiers_overlap(struct hmmu_notifier_set *set, uintptr_t start,
			     uintptr_t end);

/*
 * True if an invalidation other than @own, and not for a migration, overlaps
 * the range of @own. It might drop pages that are taken there now.
 */
bool hmmu__notifiers_conflict(struct hmmu_notifier_set *set,
			      const struct hmmu_invalidate_call *own);

/* True if a running invalidation is a CLEAR of the whole range. */
bool hmmu__notifiers_clearing(struct hmmu_notifier_set *set, uintptr_t start,
			      uintptr_t end);

static inline void hmmu__notifier_set_seq(struct hmmu_notifier *sub,
					  uint64_t cur_seq)
{
	/* Release: pairs with hmmu_notifier_check_retry() without a lock. */
	atomic_store_explicit(&sub->seq, cur_seq, memory_order_release);
}

static inline bool hmmu__notifier_retry(const struct hmmu_notifier *sub,
					uint64_t seq)
{
	return atomic_load_explicit(&sub->seq, memory_order_acquire) != seq;
}

#endif
