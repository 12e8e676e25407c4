/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_H
#define HMMU_BASE_ARENA_H

/*
 * The arena: all memory of the library
 *
 * Overview. One contiguous piece of address space, reserved on first use and
 * never given back. Whether an address belongs to the library is two compares
 * without a lock; such memory never becomes device resident, which is why the
 * fault service may touch it at any time and may call everything here except
 * hmmu__arena_reserve() and hmmu__arena_release().
 *
 *   start                                                             end
 *   | slabs of small objects | page descriptors | page runs | regions |
 *     1/16 of the arena        1/4 of the arena together      3/4
 *
 * Each zone is committed from its start upwards in steps of 2 MiB with
 * mprotect(2); regions are committed one by one.
 *
 * Locking. Small objects come and go without a lock while a slab has room;
 * everything else takes the arena's mutex (HMMU_RANK_ARENA), which is held
 * over mprotect(2) at most, never while memory is zeroed or dropped.
 *
 * Memory is returned zeroed. Under AddressSanitizer what is not allocated is
 * poisoned.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Requests above this many bytes are whole pages. */
#define HMMU_ARENA_SMALL_MAX_BYTES 2048u

/*
 * Where the arena is; @bytes is 0 until it exists. Written once: @start first,
 * then @bytes with release, which pairs with the acquire loads below.
 */
struct hmmu_arena_bounds {
	_Atomic uintptr_t start;
	_Atomic size_t bytes;
};

extern struct hmmu_arena_bounds hmmu__arena_bounds;

/* True if @addr is memory of the library. Never sleeps, takes no lock. */
static inline bool hmmu__arena_contains(uintptr_t addr)
{
	size_t bytes = atomic_load_explicit(&hmmu__arena_bounds.bytes,
					    memory_order_acquire);
	uintptr_t start = atomic_load_explicit(&hmmu__arena_bounds.start,
					       memory_order_relaxed);

	return addr - start < bytes;
}

/* True if [@start, @end) and the arena have a byte in common. */
static inline bool hmmu__arena_overlaps(uintptr_t start, uintptr_t end)
{
	size_t bytes = atomic_load_explicit(&hmmu__arena_bounds.bytes,
					    memory_order_acquire);
	uintptr_t first = atomic_load_explicit(&hmmu__arena_bounds.start,
					       memory_order_relaxed);

	return start < first + bytes && first < end && start < end;
}

/* The arena is [start, end); created by the call; 0 if that failed. */
uintptr_t hmmu__arena_start(void);
uintptr_t hmmu__arena_end(void);

/*
 * Zeroed memory, aligned to 16 bytes, to 64 if @bytes >= 64, to a page above
 * HMMU_ARENA_SMALL_MAX_BYTES. @bytes is not 0. NULL when the arena is full or
 * the kernel refuses memory: the caller returns -ENOMEM.
 */
void *hmmu__alloc(size_t bytes) HMMU_MUST_CHECK;

/* Gives back what hmmu__alloc(@bytes) returned. @p may be NULL. */
void hmmu__free(void *p, size_t bytes);

/*
 * @npages zeroed pages in one run, page aligned; NULL when there are none.
 * A freed run is kept for the next and stays committed: neither call changes
 * a mapping except for growth.
 */
void *hmmu__alloc_pages(size_t npages) HMMU_MUST_CHECK;
void hmmu__free_pages(void *p, size_t npages);

/*
 * A region of its own: a device pool, a stack. Zeroed, readable and writable,
 * @align a power of two of at least a page, @bytes rounded up to pages.
 * Regions touch one another: who needs a guard page asks for one more and
 * protects it. NULL when there is no room or the kernel refuses.
 */
void *hmmu__arena_reserve(size_t bytes, size_t align) HMMU_MUST_CHECK;

/*
 * Gives a whole region back. The range is mapped afresh without access: its
 * memory returns to the kernel, and whatever was done to the mapping (advice,
 * mlock, userfaultfd registration) ends here. Not from the fault service if
 * the range is registered with a userfaultfd that reports unmaps.
 */
void hmmu__arena_release(void *p, size_t bytes);

/* @used_bytes counts whole objects, runs and regions that are allocated. */
struct hmmu_arena_stats {
	size_t reserved_bytes;
	size_t committed_bytes;
	size_t used_bytes;
};

/* A sum over all slabs, for statistics; other threads may change it. */
void hmmu__arena_stats(struct hmmu_arena_stats *stats);

/*
 * Around fork(): the child gets the arena in a consistent state. Before takes
 * the arena's mutex, after releases it in parent and child.
 */
void hmmu__arena_fork_before(void);
void hmmu__arena_fork_after(void);

#endif
