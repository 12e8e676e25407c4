/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_WATCH_H
#define HMMU_LIVE_WATCH_H

/*
 * The records of what is registered, for watch.c, which registers. All with the
 * watch lock held.
 */

#include "live/live.h"

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

#endif
