/* SPDX-License-Identifier: MIT */
/*
 * Regions of the arena: device pools and stacks
 *
 * Overview: a list in address order covers the whole zone. There are tens of
 * regions, so first fit walks the list.
 *
 * Locking: the arena's mutex guards the list. Mapping and unmapping memory can
 * take milliseconds and is done without it, while the region is BUSY: other
 * threads do not allocate it, and its caller does not use it yet.
 */
#include "base/arena_regions.h"

#include <errno.h>
#include <string.h>

#include "base/fault_point.h"
#include "base/sys.h"

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
 * The lowest region. A split leaves the lower part in its node, and a merge
 * keeps the lower node, so this one is never freed.
 */
static struct region head;
/* Guarded by the arena's lock, like the list. */
static size_t used_bytes;

/* hmmu__alloc() takes the lock: nodes are allocated before, freed after. */
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

/* Split @region at @at, inside it. Returns the upper part. */
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

/* Merge @upper into @lower; both are free. */
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

/* Find the request's start in @region; false: it does not fit. */
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
 * After mlockall(MCL_FUTURE) of the program the region is locked, and
 * mprotect() would fill it with pages at once. Unlock it first.
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
 * Map the range anew. This fails if the process has too many mappings. Then
 * free the pages and leave the mapping accessible, which the next reserve
 * accepts.
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
	/* Remove the marks that AddressSanitizer has put on a stack. */
	arena_unpoison(p, mapped_bytes);
	region_drop((uintptr_t)p, mapped_bytes);
	region_give(region);
}

size_t hmmu__regions_used_bytes_locked(void)
{
	hmmu__mutex_assert_held(&hmmu__arena.lock);
	return used_bytes;
}
