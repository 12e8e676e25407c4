/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_RECORDS_H
#define HMMU_LIVE_RECORDS_H

/*
 * The records of mappings that are registered with our userfaultfd
 *
 * The *_locked() functions with the watch lock held; the others take it.
 */

#include "live/state.h"

static inline struct hmmu_watch *
hmmu__watch_of_node(struct hmmu_itree_node *node)
{
	return node ? hmmu_container_of(node, struct hmmu_watch, node) : NULL;
}

static inline bool hmmu__watch_covers(const struct hmmu_watch *w,
				      uintptr_t start, uintptr_t end)
{
	return w && w->node.start <= start && w->node.last >= end - 1;
}

/* The first that overlaps the range, or NULL. */
struct hmmu_watch *hmmu__watch_first_locked(struct hmmu_live *l,
					    uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock);

/*
 * @w, which is new, for exactly what was registered: a part of an older record
 * that lies beside it may have been registered in another way, or be mapped
 * anew.
 */
void hmmu__watch_replace_locked(struct hmmu_live *l, struct hmmu_watch *w,
				uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock);

/* The first of them that is armed, or NULL. */
struct hmmu_watch *hmmu__watch_armed_locked(struct hmmu_live *l,
					    uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock);

/* True if [start, end) lies in one armed mapping. */
bool hmmu__watch_is_armed(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* One mapping's registration; false when @addr is in none. */
bool hmmu__watch_get(struct hmmu_live *l, uintptr_t addr,
		     struct hmmu_watch *copy);
void hmmu__watch_saw_large(struct hmmu_live *l, uintptr_t addr);
/* The first part of [start, end) that is watched; false: none is. */
bool hmmu__watch_overlap(struct hmmu_live *l, uintptr_t start, uintptr_t end,
			 uintptr_t *lo, uintptr_t *hi);
/* [start, end) is not mapped any more, or not by what was watched. */
void hmmu__watch_cut(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* A watched mapping appeared at @to with the registration it had at @from. */
void hmmu__watch_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		       size_t bytes);
/* What ended at @end goes on to @new_end: the record, too. */
void hmmu__watch_extend(struct hmmu_live *l, uintptr_t end, uintptr_t new_end);
void hmmu__watches_free(struct hmmu_live *l);

#endif
