/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_RECORDS_H
#define HMMU_LIVE_RECORDS_H

/*
 * The records of mappings that are registered with our userfaultfd
 *
 * Locking: the caller of a *_locked() function holds the watch lock. The other
 * functions take it.
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

/* The first record that overlaps the range, or NULL. */
struct hmmu_watch *hmmu__watch_first_locked(struct hmmu_live *l,
					    uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock);

/*
 * Insert the new record @w for exactly the range that was registered. Remains
 * of older records beside it keep records of their own: they may be registered
 * in another mode, or be mapped anew.
 */
void hmmu__watch_replace_locked(struct hmmu_live *l, struct hmmu_watch *w,
				uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock);

/* The first record in the range that is armed, or NULL. */
struct hmmu_watch *hmmu__watch_armed_locked(struct hmmu_live *l,
					    uintptr_t start, uintptr_t end)
	HMMU_REQUIRES(&l->watch_lock);

/* True if [start, end) lies in one armed mapping. */
bool hmmu__watch_is_armed(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* Copy the record of @addr. False: it has none. */
bool hmmu__watch_get(struct hmmu_live *l, uintptr_t addr,
		     struct hmmu_watch *copy);
void hmmu__watch_saw_large(struct hmmu_live *l, uintptr_t addr);
/* The first part of [start, end) that is watched. False: there is none. */
bool hmmu__watch_overlap(struct hmmu_live *l, uintptr_t start, uintptr_t end,
			 uintptr_t *lo, uintptr_t *hi);
/*
 * Remove the records of [start, end): nothing is mapped there, or another
 * mapping that is not watched.
 */
void hmmu__watch_cut(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* The watched mapping at @from is now at @to, registered as before. */
void hmmu__watch_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		       size_t bytes);
/* The mapping that ended at @end now ends at @new_end: extend its record. */
void hmmu__watch_extend(struct hmmu_live *l, uintptr_t end, uintptr_t new_end);
void hmmu__watches_free(struct hmmu_live *l);

#endif
