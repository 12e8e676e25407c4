/* SPDX-License-Identifier: MIT */
/* Statistics of the arena: the sums over its zones. */
#include "base/arena_internal.h"
#include "base/arena_pages.h"
#include "base/arena_regions.h"
#include "base/arena_slabs.h"

static size_t zone_committed_bytes(const struct arena_zone *zone)
{
	return zone->committed - zone->start;
}

void hmmu__arena_stats(struct hmmu_arena_stats *stats)
{
	size_t regions;

	*stats = (struct hmmu_arena_stats){ 0 };
	if (!hmmu__arena_is_created())
		return;
	hmmu__mutex_lock(&hmmu__arena.lock);
	regions = hmmu__regions_used_bytes_locked();
	stats->reserved_bytes = atomic_load_explicit(&hmmu__arena_bounds.bytes,
						     memory_order_relaxed);
	stats->committed_bytes = zone_committed_bytes(&hmmu__arena.slabs) +
				 zone_committed_bytes(&hmmu__arena.descs) +
				 zone_committed_bytes(&hmmu__arena.pages) +
				 regions;
	stats->used_bytes = hmmu__slabs_used_bytes_locked() +
			    hmmu__pages_used_bytes_locked() + regions;
	hmmu__mutex_unlock(&hmmu__arena.lock);
}
