/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers: the set and its invalidations
 *
 * notifier.h has the protocol, notifier_api.c the public calls.
 *
 * Locking: the set's lock. hmmu__notifier_del() and read_begin sleep without it
 * until the sequence is even.
 */
#include "core/notifier.h"

#include <limits.h>

#include "base/compiler.h"

void hmmu__notifiers_init(struct hmmu_notifier_set *set)
{
	hmmu__mutex_init(&set->lock, HMMU_RANK_NOTIFIER, "notifiers");
	atomic_init(&set->seq, 2);
	atomic_init(&set->turn, 0);
	atomic_init(&set->users, 0);
}

void hmmu__notifiers_fini(struct hmmu_notifier_set *set)
{
	hmmu__mutex_fini(&set->lock);
}

static uint64_t set_seq(const struct hmmu_notifier_set *set)
{
	return atomic_load_explicit(&set->seq, memory_order_acquire);
}

static bool is_invalidating(const struct hmmu_notifier_set *set)
{
	return set_seq(set) & 1;
}

static void make_odd_locked(struct hmmu_notifier_set *set)
	HMMU_REQUIRES(&set->lock)
{
	hmmu__mutex_assert_held(&set->lock);
	/* Release: pairs with read_begin's acquire load of the sequence. */
	atomic_store_explicit(&set->seq, set_seq(set) | 1,
			      memory_order_release);
}

static void tree_insert_locked(struct hmmu_notifier_set *set,
			       struct hmmu_notifier *sub)
	HMMU_REQUIRES(&set->lock)
{
	hmmu__mutex_assert_held(&set->lock);
	hmmu__itree_insert(&set->tree, &sub->node);
	sub->state = HMMU_SUB_IN_TREE;
}

static void defer_locked(struct hmmu_notifier_set *set,
			 struct hmmu_notifier *sub, enum hmmu_sub_state state)
	HMMU_REQUIRES(&set->lock)
{
	hmmu__mutex_assert_held(&set->lock);
	sub->state = state;
	sub->deferred_next = set->deferred;
	set->deferred = sub;
}

/*
 * Contract IN3, IN7. If the running invalidations have found no subscription,
 * no thread walks the tree, so the node is inserted at once. The sequence
 * becomes odd, because the node's range may be the one that is changing.
 */
void hmmu__notifier_add(struct hmmu_notifier_set *set,
			struct hmmu_notifier *sub, uintptr_t start,
			uintptr_t last)
{
	sub->node.start = start;
	sub->node.last = last;
	hmmu__mutex_lock(&set->lock);
	if (!set->active) {
		tree_insert_locked(set, sub);
		hmmu__notifier_set_seq(sub, set_seq(set) - 1);
	} else if (is_invalidating(set)) {
		defer_locked(set, sub, HMMU_SUB_INSERTING);
		hmmu__notifier_set_seq(sub, set_seq(set));
	} else {
		make_odd_locked(set);
		tree_insert_locked(set, sub);
		hmmu__notifier_set_seq(sub, set_seq(set));
	}
	hmmu__mutex_unlock(&set->lock);
}

static void wait_turn(struct hmmu_notifier_set *set, uint64_t seq)
{
	/*
	 * seq_cst: pairs with hmmu__notifiers_end(), which stores the sequence
	 * and then loads this count.
	 */
	atomic_fetch_add_explicit(&set->waiters, 1, memory_order_seq_cst);
	while (set_seq(set) == seq) {
		uint32_t turn =
			atomic_load_explicit(&set->turn, memory_order_acquire);

		if (set_seq(set) == seq)
			(void)hmmu__futex_wait(&set->turn, turn, HMMU_FOREVER);
	}
	atomic_fetch_sub_explicit(&set->waiters, 1, memory_order_relaxed);
}

static void deferred_unlink_locked(struct hmmu_notifier_set *set,
				   struct hmmu_notifier *sub)
	HMMU_REQUIRES(&set->lock)
{
	struct hmmu_notifier **p = &set->deferred;

	hmmu__mutex_assert_held(&set->lock);
	while (*p != sub)
		p = &(*p)->deferred_next;
	*p = sub->deferred_next;
	sub->state = HMMU_SUB_NONE;
}

void hmmu__notifier_del(struct hmmu_notifier_set *set,
			struct hmmu_notifier *sub)
{
	uint64_t seq = 0;

	hmmu__mutex_lock(&set->lock);
	if (sub->state == HMMU_SUB_INSERTING) {
		deferred_unlink_locked(set, sub);
	} else if (is_invalidating(set)) {
		defer_locked(set, sub, HMMU_SUB_REMOVING);
		seq = set_seq(set);
	} else {
		hmmu__itree_remove(&set->tree, &sub->node);
		sub->state = HMMU_SUB_NONE;
	}
	hmmu__mutex_unlock(&set->lock);
	if (seq)
		wait_turn(set, seq);
}

static void deferred_apply_locked(struct hmmu_notifier_set *set)
	HMMU_REQUIRES(&set->lock)
{
	struct hmmu_notifier *sub = set->deferred;

	hmmu__mutex_assert_held(&set->lock);
	set->deferred = NULL;
	while (sub) {
		/* The owner frees a removed one as soon as it wakes. */
		struct hmmu_notifier *next = sub->deferred_next;

		if (sub->state == HMMU_SUB_INSERTING) {
			tree_insert_locked(set, sub);
		} else {
			hmmu__itree_remove(&set->tree, &sub->node);
			sub->state = HMMU_SUB_NONE;
		}
		sub = next;
	}
}

static uintptr_t call_last(const struct hmmu_invalidate_call *call)
{
	return call->inv.end - 1;
}

/*
 * Needs no lock: the sequence is odd, so the tree does not change. The lock in
 * hmmu__notifiers_begin() orders the walk after the last change.
 */
static void run_callbacks(struct hmmu_notifier_set *set,
			  struct hmmu_invalidate_call *call,
			  uint64_t seq) HMMU_NO_TSA
{
	uintptr_t start = call->inv.start;
	uintptr_t last = call_last(call);
	struct hmmu_itree_node *node;
	struct hmmu_notifier *sub;

	hmmu__itree_for_each(node, &set->tree, start, last)
	{
		sub = hmmu_container_of(node, struct hmmu_notifier, node);
		sub->ops.invalidate(sub, sub->arg, &call->inv, seq);
	}
	hmmu__itree_for_each(node, &set->tree, start, last)
	{
		sub = hmmu_container_of(node, struct hmmu_notifier, node);
		if (sub->ops.finish)
			sub->ops.finish(sub, sub->arg, &call->inv);
	}
}

void hmmu__notifiers_begin(struct hmmu_notifier_set *set,
			   struct hmmu_invalidate_call *call)
{
	uint64_t seq = 0;

	hmmu__mutex_lock(&set->lock);
	set->active++;
	call->next = set->calls;
	set->calls = call;
	if (hmmu__itree_first(&set->tree, call->inv.start, call_last(call))) {
		make_odd_locked(set);
		seq = set_seq(set);
	}
	hmmu__mutex_unlock(&set->lock);
	if (seq)
		run_callbacks(set, call, seq);
}

static void call_unlink_locked(struct hmmu_notifier_set *set,
			       struct hmmu_invalidate_call *call)
	HMMU_REQUIRES(&set->lock)
{
	struct hmmu_invalidate_call **p = &set->calls;

	hmmu__mutex_assert_held(&set->lock);
	while (*p != call)
		p = &(*p)->next;
	*p = call->next;
}

/* Contract IN5. */
void hmmu__notifiers_end(struct hmmu_notifier_set *set,
			 struct hmmu_invalidate_call *call)
{
	bool wake = false;

	hmmu__mutex_lock(&set->lock);
	call_unlink_locked(set, call);
	if (--set->active == 0 && is_invalidating(set)) {
		deferred_apply_locked(set);
		/* Release: pairs with the acquire loads of waiting threads. */
		atomic_store_explicit(&set->seq, set_seq(set) + 1,
				      memory_order_release);
		/*
		 * seq_cst: either the waiter sees the new sequence, or this
		 * thread sees the waiter's count.
		 */
		atomic_fetch_add_explicit(&set->turn, 1, memory_order_seq_cst);
		wake = atomic_load_explicit(&set->waiters,
					    memory_order_seq_cst) > 0;
	}
	hmmu__mutex_unlock(&set->lock);
	if (wake)
		hmmu__futex_wake(&set->turn, INT_MAX);
}

uint64_t hmmu__notifier_read_begin(struct hmmu_notifier_set *set,
				   struct hmmu_notifier *sub)
{
	uint64_t seq;
	bool busy;

	/* Under the lock, the two loads are of the same moment (IN8). */
	hmmu__mutex_lock(&set->lock);
	seq = atomic_load_explicit(&sub->seq, memory_order_acquire);
	busy = seq == set_seq(set);
	hmmu__mutex_unlock(&set->lock);
	if (busy)
		wait_turn(set, seq);
	return seq;
}

bool hmmu__notifiers_overlap(struct hmmu_notifier_set *set, uintptr_t start,
			     uintptr_t end)
{
	struct hmmu_itree_node *node;
	bool found = false;

	if (!atomic_load_explicit(&set->users, memory_order_acquire))
		return false;
	hmmu__mutex_lock(&set->lock);
	hmmu__itree_for_each(node, &set->tree, start, end - 1)
	{
		if (!hmmu_container_of(node, struct hmmu_notifier, node)
			     ->internal) {
			found = true;
			break;
		}
	}
	hmmu__mutex_unlock(&set->lock);
	return found;
}

bool hmmu__notifiers_conflict(struct hmmu_notifier_set *set,
			      const struct hmmu_invalidate_call *own)
{
	const struct hmmu_invalidate_call *c;
	bool found = false;

	hmmu__mutex_lock(&set->lock);
	for (c = set->calls; c && !found; c = c->next)
		found = c != own && !c->moves && c->inv.start < own->inv.end &&
			own->inv.start < c->inv.end;
	hmmu__mutex_unlock(&set->lock);
	return found;
}

bool hmmu__notifiers_clearing(struct hmmu_notifier_set *set, uintptr_t start,
			      uintptr_t end)
{
	const struct hmmu_invalidate_call *c;
	bool found = false;

	hmmu__mutex_lock(&set->lock);
	for (c = set->calls; c && !found; c = c->next)
		found = c->inv.event == HMMU_EVENT_CLEAR && !c->moves &&
			c->inv.start <= start && end <= c->inv.end;
	hmmu__mutex_unlock(&set->lock);
	return found;
}
