/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_INTERNAL_H
#define HMMU_BASE_ARENA_INTERNAL_H

/*
 * Shared by the parts of the arena. Each part uses those before it:
 *
 *   arena.c           reservation and zones
 *   arena_pages.c     page runs
 *   arena_slabs.c     small objects; larger ones are page runs
 *   arena_regions.c   regions; their nodes are small objects
 *   arena_stats.c     statistics
 */

#include "base/arena.h"
#include "base/lock.h"

#if HMMU_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* [start, end) of the arena; [start, committed) is readable and writable. */
struct arena_zone {
	uintptr_t start;
	uintptr_t end;
	uintptr_t committed;
};

/* The lock guards the committed ends. The other bounds never change. */
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
	/* Acquire: makes the zones visible; pairs with create_locked(). */
	return atomic_load_explicit(&hmmu__arena_bounds.bytes,
				    memory_order_acquire) != 0;
}

/* Creates the arena if it does not exist; false: that failed. */
bool hmmu__arena_create(void);

/* Makes [start, @end) of the zone readable and writable; -ENOMEM. */
int hmmu__zone_commit_locked(struct arena_zone *zone, uintptr_t end)
	HMMU_REQUIRES(&hmmu__arena.lock);

/* Mark free memory, so that AddressSanitizer reports an access. */
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
