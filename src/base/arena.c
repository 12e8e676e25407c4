/* SPDX-License-Identifier: MIT */
/*
 * The arena's address space: reservation, zones, and committing them
 *
 * Locking: the arena's mutex is taken to create the arena. To commit part of a
 * zone, the caller holds it.
 */
#include "base/arena_internal.h"

#include <errno.h>

#include "base/sys.h"

/*
 * ThreadSanitizer leaves 1.5 TiB of address space for all mappings whose
 * address the kernel chooses.
 */
#define ARENA_MAX_BYTES (HMMU_TSAN ? 64ul << 30 : 1ul << 40)
#define ARENA_MIN_BYTES (1ul << 30)

struct arena hmmu__arena = {
	.lock = HMMU_MUTEX_INITIALIZER(HMMU_RANK_ARENA, "arena"),
};

struct hmmu_arena_bounds hmmu__arena_bounds;

/*
 * Reserve @bytes, aligned to a large page; 0: that failed. The kernel aligns to
 * 4 KiB only: reserve 2 MiB more, and unmap both ends.
 */
static uintptr_t reserve_aligned(size_t bytes)
{
	size_t mapped_bytes = bytes + HMMU_LARGE_BYTES;
	long ret = hmmu__sys_mmap(0, mapped_bytes, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				  -1, 0);
	uintptr_t mapped = (uintptr_t)ret;
	uintptr_t start = hmmu_round_up(mapped, HMMU_LARGE_BYTES);

	if (hmmu__sys_is_error(ret))
		return 0;
	if (start > mapped)
		(void)hmmu__sys_munmap(mapped, start - mapped);
	(void)hmmu__sys_munmap(start + bytes,
			       mapped + HMMU_LARGE_BYTES - start);
	return start;
}

static void zone_init(struct arena_zone *zone, uintptr_t start, uintptr_t end)
{
	*zone = (struct arena_zone){ start, end, start };
}

/* The size of a page descriptor; arena_pages.c asserts it. */
#define DESC_BYTES 16ul

static void zones_init_locked(uintptr_t start, size_t bytes)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	uintptr_t descs = start + bytes / 16;
	uintptr_t regions = start + bytes / 4;
	size_t npages = (regions - descs) / (HMMU_PAGE_BYTES + DESC_BYTES);
	uintptr_t pages =
		descs + hmmu_round_up(npages * DESC_BYTES, HMMU_LARGE_BYTES);

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	zone_init(&hmmu__arena.slabs, start, descs);
	zone_init(&hmmu__arena.descs, descs, pages);
	zone_init(&hmmu__arena.pages, pages, regions);
	zone_init(&hmmu__arena.regions, regions, start + bytes);
}

static bool create_locked(void) HMMU_REQUIRES(&hmmu__arena.lock)
{
	size_t bytes = ARENA_MAX_BYTES;
	uintptr_t start = reserve_aligned(bytes);

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	/* RLIMIT_AS may not allow the full size. */
	while (!start && bytes > ARENA_MIN_BYTES) {
		bytes /= 2;
		start = reserve_aligned(bytes);
	}
	if (!start)
		return false;
	zones_init_locked(start, bytes);
	/* The order matters: see struct hmmu_arena_bounds. */
	atomic_store_explicit(&hmmu__arena_bounds.start, start,
			      memory_order_relaxed);
	atomic_store_explicit(&hmmu__arena_bounds.bytes, bytes,
			      memory_order_release);
	return true;
}

bool hmmu__arena_create(void)
{
	bool created;

	if (hmmu_likely(hmmu__arena_is_created()))
		return true;
	hmmu__mutex_lock(&hmmu__arena.lock);
	created = hmmu__arena_is_created() || create_locked();
	hmmu__mutex_unlock(&hmmu__arena.lock);
	return created;
}

uintptr_t hmmu__arena_start(void)
{
	(void)hmmu__arena_create();
	return atomic_load_explicit(&hmmu__arena_bounds.start,
				    memory_order_relaxed);
}

uintptr_t hmmu__arena_end(void)
{
	(void)hmmu__arena_create();
	return atomic_load_explicit(&hmmu__arena_bounds.start,
				    memory_order_relaxed) +
	       atomic_load_explicit(&hmmu__arena_bounds.bytes,
				    memory_order_relaxed);
}

int hmmu__zone_commit_locked(struct arena_zone *zone, uintptr_t end)
{
	uintptr_t target;
	int ret;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (end <= zone->committed)
		return 0;
	if (end > zone->end)
		return -ENOMEM;
	/* Cannot exceed the zone, which ends on a large page. */
	target = hmmu_round_up(end, HMMU_LARGE_BYTES);
	ret = hmmu__sys_mprotect(zone->committed, target - zone->committed,
				 PROT_READ | PROT_WRITE);
	if (ret)
		return -ENOMEM;
	zone->committed = target;
	return 0;
}

void hmmu__arena_fork_before(void) HMMU_ACQUIRES(&hmmu__arena.lock)
{
	hmmu__mutex_lock(&hmmu__arena.lock);
}

void hmmu__arena_fork_after(void) HMMU_RELEASES(&hmmu__arena.lock)
{
	hmmu__mutex_unlock(&hmmu__arena.lock);
}
