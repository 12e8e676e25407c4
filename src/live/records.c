/* SPDX-License-Identifier: MIT */
/*
 * The records of registered mappings: see records.h, and watch.c for their use
 *
 * Locking: the watch lock, and inside it the arena's.
 */
#include "live/records.h"

#include <errno.h>

#include "base/arena.h"
#include "live/armed.h"

_Atomic uint32_t hmmu__armed;

struct hmmu_watch *hmmu__watch_first_locked(struct hmmu_live *l,
					    uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock)
{
	return hmmu__watch_of_node(
		hmmu__itree_first(&l->watches, start, end - 1));
}

static void insert_locked(struct hmmu_live *l, struct hmmu_watch *w,
			  uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock)
{
	w->node.start = start;
	w->node.last = end - 1;
	hmmu__itree_insert(&l->watches, &w->node);
	if (w->armed)
		hmmu__armed_add(1);
}

static void remove_locked(struct hmmu_live *l, struct hmmu_watch *w)
	HMMU_REQUIRES(&l->watch_lock)
{
	if (w->armed)
		hmmu__armed_add(-1);
	hmmu__itree_remove(&l->watches, &w->node);
	hmmu__free(w, sizeof(*w));
}

/* A new record without a range, with the flags of @old. NULL: no memory. */
static struct hmmu_watch *record_like(const struct hmmu_watch *old)
{
	struct hmmu_watch *w = hmmu__alloc(sizeof(*w));

	if (w) {
		w->armed = old->armed;
		w->has_holes = old->has_holes;
		w->saw_large = old->saw_large;
	}
	return w;
}

/* Insert a record for what is left of @old beside a cut. */
static void rest_locked(struct hmmu_live *l, const struct hmmu_watch *old,
			uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_watch *w;

	if (start >= end)
		return;
	w = record_like(old);
	/*
	 * Without a record the mapping stays armed, and is registered anew the
	 * next time it is armed.
	 */
	if (w)
		insert_locked(l, w, start, end);
}

/* Remove the records of the range. @heir, if not NULL, gets their flags. */
static void cut_locked(struct hmmu_live *l, uintptr_t start, uintptr_t end,
		       struct hmmu_watch *heir) HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_watch *w, old;

	while ((w = hmmu__watch_first_locked(l, start, end))) {
		old = *w;
		if (heir) {
			heir->saw_large |= w->saw_large;
			heir->has_holes |= w->has_holes;
		}
		remove_locked(l, w);
		rest_locked(l, &old, old.node.start, start);
		rest_locked(l, &old, end, old.node.last + 1);
	}
}

void hmmu__watch_replace_locked(struct hmmu_live *l, struct hmmu_watch *w,
				uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock)
{
	cut_locked(l, start, end, w);
	insert_locked(l, w, start, end);
}

struct hmmu_watch *hmmu__watch_armed_locked(struct hmmu_live *l,
					    uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_itree_node *n;

	hmmu__itree_for_each(n, &l->watches, start, end - 1)
	{
		if (hmmu__watch_of_node(n)->armed)
			return hmmu__watch_of_node(n);
	}
	return NULL;
}

bool hmmu__watch_is_armed(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_watch *w;
	bool armed;

	hmmu__mutex_lock(&l->watch_lock);
	w = hmmu__watch_first_locked(l, start, end);
	armed = hmmu__watch_covers(w, start, end) && w->armed;
	hmmu__mutex_unlock(&l->watch_lock);
	return armed;
}

bool hmmu__watch_get(struct hmmu_live *l, uintptr_t addr,
		     struct hmmu_watch *copy)
{
	struct hmmu_watch *w;

	hmmu__mutex_lock(&l->watch_lock);
	w = hmmu__watch_first_locked(l, addr, addr + 1);
	if (w)
		*copy = *w;
	hmmu__mutex_unlock(&l->watch_lock);
	return w;
}

void hmmu__watch_saw_large(struct hmmu_live *l, uintptr_t addr)
{
	struct hmmu_watch *w;

	hmmu__mutex_lock(&l->watch_lock);
	w = hmmu__watch_first_locked(l, addr, addr + 1);
	if (w)
		w->saw_large = true;
	hmmu__mutex_unlock(&l->watch_lock);
}

bool hmmu__watch_overlap(struct hmmu_live *l, uintptr_t start, uintptr_t end,
			 uintptr_t *lo, uintptr_t *hi)
{
	struct hmmu_watch *w;

	hmmu__mutex_lock(&l->watch_lock);
	w = hmmu__watch_first_locked(l, start, end);
	if (w) {
		*lo = w->node.start > start ? w->node.start : start;
		*hi = w->node.last < end - 1 ? w->node.last + 1 : end;
	}
	hmmu__mutex_unlock(&l->watch_lock);
	return w;
}

void hmmu__watch_cut(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	hmmu__mutex_lock(&l->watch_lock);
	cut_locked(l, start, end, NULL);
	hmmu__mutex_unlock(&l->watch_lock);
}

void hmmu__watch_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		       size_t bytes)
{
	struct hmmu_watch old, *w;

	if (!hmmu__watch_get(l, from, &old))
		return;
	hmmu__watch_cut(l, to, to + bytes);
	w = record_like(&old);
	if (!w)
		return;
	hmmu__mutex_lock(&l->watch_lock);
	hmmu__watch_replace_locked(l, w, to, to + bytes);
	hmmu__mutex_unlock(&l->watch_lock);
}

/*
 * A mapping that has grown is registered as a whole, and its unmap event will
 * report it as a whole. Give it one record, so that a mapping which comes to
 * the address later is known to be newer (events.c). The new part is empty.
 */
void hmmu__watch_extend(struct hmmu_live *l, uintptr_t end, uintptr_t new_end)
{
	struct hmmu_watch *w = NULL, *old;

	hmmu__mutex_lock(&l->watch_lock);
	old = hmmu__watch_first_locked(l, end - 1, end);
	if (old && old->node.last == end - 1)
		w = record_like(old);
	if (w) {
		w->has_holes = true;
		hmmu__watch_replace_locked(l, w, old->node.start, new_end);
	}
	hmmu__mutex_unlock(&l->watch_lock);
}

void hmmu__watches_free(struct hmmu_live *l)
{
	struct hmmu_watch *w;

	hmmu__mutex_lock(&l->watch_lock);
	while ((w = hmmu__watch_first_locked(l, 0, UINTPTR_MAX)))
		remove_locked(l, w);
	hmmu__mutex_unlock(&l->watch_lock);
}
