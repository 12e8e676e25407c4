/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_INTERNAL_H
#define HMMU_BASE_ARENA_INTERNAL_H

/*
 * The arena for its own parts, each of which uses those before it:
 *
 *   arena.c           zones: creation, and what of them may be touched
 *   arena_pages.c     page runs
 *   arena_slabs.c     small objects; larger ones are page runs
 *   arena_regions.c   regions; their nodes are small objects
 *   arena_stats.c     figures
 */

#include "base/arena.h"
#include "base/lock.h"

#if HMMU_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* [start, end) of the arena; [start, committed) may be touched. */
struct arena_zone {
	uintptr_t start;
	uintptr_t end;
	uintptr_t committed;
};

/* Written at creation and then, but for the committed ends, read only. */
struct arena {
	struct hmmu_mutex lock;
	struct arena_zone slabs;
	struct arena_zone descs;
	struct arena_zone pages;
	struct arena_zone regions;
};

extern struct arena hmmu__arena;

static inline bool hmmu__arena_is_created(void)
{
	/* Acquire: the zones; pairs with the release of their creation. */
	return atomic_load_explicit(&hmmu__arena_bounds.bytes,
				    memory_order_acquire) != 0;
}

/* True if the arena exists, which the call sees to. */
bool hmmu__arena_create(void);

/* Makes [start, @end) of the zone usable, or returns -ENOMEM. */
int hmmu__zone_commit_locked(struct arena_zone *zone, uintptr_t end)
	HMMU_REQUIRES(&hmmu__arena.lock);

/* Not allocated: an access is reported. */
static inline void arena_poison(const void *p, size_t bytes)
{
#if HMMU_ASAN
	__asan_poison_memory_region(p, bytes);
#else
	(void)p;
	(void)bytes;
#endif
}

static inline void arena_unpoison(const void *p, size_t bytes)
{
#if HMMU_ASAN
	__asan_unpoison_memory_region(p, bytes);
#else
	(void)p;
	(void)bytes;
#endif
}

#endif
