/* SPDX-License-Identifier: MIT */
#include "base/arena_regions.h"

#include <errno.h>
#include <string.h>

#include "base/fault_point.h"
#include "base/sys.h"

/*
 * Regions: a list in address order that covers the whole zone. There are tens
 * of them, so first fit walks the list.
 *
 * Mapping and dropping memory can take milliseconds, so it is done without the
 * lock, while the region is BUSY: not free for others, not yet usable.
 */
enum region_state {
	REGION_FREE = 0,
	REGION_BUSY,
	REGION_USED,
};

struct region {
	uintptr_t start;
	uintptr_t end;
	enum region_state state;
	struct region *prev;
	struct region *next;
};

/*
 * The lowest of all. Splitting keeps the lower part in its node and merging
 * the lower node, so it is never freed.
 */
static struct region head;
/* Guarded by the arena's lock, as the list is. */
static size_t used_bytes;

/* Nodes are allocated before and freed after the lock, which alloc takes. */
struct spares {
	struct region *node[2];
	unsigned int count;
};

static void spares_free(struct spares *spares)
{
	while (spares->count)
		hmmu__free(spares->node[--spares->count],
			   sizeof(struct region));
}

static bool spares_alloc(struct spares *spares)
{
	spares->count = 0;
	while (spares->count < HMMU_ARRAY_SIZE(spares->node)) {
		struct region *node = hmmu__alloc(sizeof(*node));

		if (!node) {
			spares_free(spares);
			return false;
		}
		spares->node[spares->count++] = node;
	}
	return true;
}

static struct region *head_locked(void) HMMU_REQUIRES(&hmmu__arena.lock)
{
	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (head.end == 0) {
		head.start = hmmu__arena.regions.start;
		head.end = hmmu__arena.regions.end;
	}
	return &head;
}

/* Cuts @region at @at, inside of it; the upper part is returned. */
static struct region *region_split(struct region *region, uintptr_t at,
				   struct spares *spares)
{
	struct region *upper = spares->node[--spares->count];

	*upper = *region;
	upper->start = at;
	upper->prev = region;
	if (upper->next)
		upper->next->prev = upper;
	region->end = at;
	region->next = upper;
	return upper;
}

/* @lower takes over @upper, which is free like itself. */
static void region_absorb(struct region *lower, struct region *upper,
			  struct spares *spares)
{
	lower->end = upper->end;
	lower->next = upper->next;
	if (lower->next)
		lower->next->prev = lower;
	spares->node[spares->count++] = upper;
}

static void region_free_locked(struct region *region, struct spares *spares)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	hmmu__mutex_assert_held(&hmmu__arena.lock);
	used_bytes -= region->end - region->start;
	region->state = REGION_FREE;
	if (region->next && region->next->state == REGION_FREE)
		region_absorb(region, region->next, spares);
	if (region->prev && region->prev->state == REGION_FREE)
		region_absorb(region->prev, region, spares);
}

/* Where in @region the request would begin; false if it does not fit. */
static bool region_fits(const struct region *region, size_t bytes, size_t align,
			uintptr_t *start)
{
	uintptr_t at = hmmu_round_up(region->start, align);

	if (region->state != REGION_FREE || at < region->start ||
	    at >= region->end || region->end - at < bytes)
		return false;
	*start = at;
	return true;
}

static struct region *region_take_locked(size_t bytes, size_t align,
					 struct spares *spares)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	struct region *region = head_locked();
	uintptr_t start = 0;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	while (region && !region_fits(region, bytes, align, &start))
		region = region->next;
	if (!region)
		return NULL;
	if (start > region->start)
		region = region_split(region, start, spares);
	if (region->end - start > bytes)
		region_split(region, start + bytes, spares);
	region->state = REGION_BUSY;
	used_bytes += bytes;
	return region;
}

static struct region *region_take(size_t bytes, size_t align)
{
	struct region *region;
	struct spares spares;

	if (!spares_alloc(&spares))
		return NULL;
	hmmu__mutex_lock(&hmmu__arena.lock);
	region = region_take_locked(bytes, align, &spares);
	hmmu__mutex_unlock(&hmmu__arena.lock);
	spares_free(&spares);
	return region;
}

static void region_give(struct region *region)
{
	struct spares spares = { .count = 0 };

	hmmu__mutex_lock(&hmmu__arena.lock);
	region_free_locked(region, &spares);
	hmmu__mutex_unlock(&hmmu__arena.lock);
	spares_free(&spares);
}

static void region_set_state(struct region *region, enum region_state state)
{
	hmmu__mutex_lock(&hmmu__arena.lock);
	region->state = state;
	hmmu__mutex_unlock(&hmmu__arena.lock);
}

/*
 * Where the program has locked its memory, all that there is or is to come
 * (mlockall), a region would be filled with pages at once.
 */
static bool region_map(uintptr_t start, size_t bytes)
{
	(void)hmmu__sys_munlock(start, bytes);
	return !hmmu__sys_mprotect(start, bytes, PROT_READ | PROT_WRITE);
}

void *hmmu__arena_reserve(size_t bytes, size_t align)
{
	size_t mapped_bytes = hmmu_round_up(bytes, HMMU_PAGE_BYTES);
	struct region *region;
	uintptr_t start;

	HMMU_ASSERT(hmmu_is_power_of_2(align) && align >= HMMU_PAGE_BYTES);
	if (mapped_bytes < bytes || bytes == 0 || !hmmu__arena_create())
		return NULL;
	if (HMMU_FAULT_POINT("arena reserve", ENOMEM))
		return NULL;
	region = region_take(mapped_bytes, align);
	if (!region)
		return NULL;
	start = region->start;
	if (!region_map(start, mapped_bytes)) {
		region_give(region);
		return NULL;
	}
	region_set_state(region, REGION_USED);
	return (void *)start;
}

/*
 * Maps the range afresh. If the process has too many mappings for that, its
 * pages are dropped and the mapping stays as it is, which the next reserve
 * does not mind.
 */
static void region_drop(uintptr_t start, size_t bytes)
{
	long ret = hmmu__sys_mmap(
		start, bytes, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (hmmu__sys_is_error(ret))
		(void)hmmu__sys_madvise(start, bytes, MADV_DONTNEED);
}

static struct region *region_claim(uintptr_t start)
{
	struct region *region;

	hmmu__mutex_lock(&hmmu__arena.lock);
	region = head_locked();
	while (region && region->start != start)
		region = region->next;
	HMMU_ASSERT(region && region->state == REGION_USED);
	region->state = REGION_BUSY;
	hmmu__mutex_unlock(&hmmu__arena.lock);
	return region;
}

void hmmu__arena_release(void *p, size_t bytes)
{
	size_t mapped_bytes = hmmu_round_up(bytes, HMMU_PAGE_BYTES);
	struct region *region;

	if (!p)
		return;
	region = region_claim((uintptr_t)p);
	HMMU_ASSERT(region->end - region->start == mapped_bytes);
	/* The marks that a stack left behind are not those of the next user. */
	arena_unpoison(p, mapped_bytes);
	region_drop((uintptr_t)p, mapped_bytes);
	region_give(region);
}

size_t hmmu__regions_used_bytes_locked(void)
{
	hmmu__mutex_assert_held(&hmmu__arena.lock);
	return used_bytes;
}
