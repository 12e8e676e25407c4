/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_H
#define HMMU_BASE_ARENA_H

/*
 * The arena: all memory of the library
 *
 * Overview: one contiguous range of addresses, reserved on first use and never
 * unmapped. Two compares without a lock show whether an address belongs to the
 * library. Arena memory never becomes device-resident. So the fault service may
 * access it at any time, and may call all functions here except
 * hmmu__arena_reserve() and hmmu__arena_release().
 *
 *   start                                                             end
 *   | slabs of small objects | page descriptors | page runs | regions |
 *     1/16 of the arena        1/4 of the arena together      3/4
 *
 * A zone is committed with mprotect(2), from its start upwards, 2 MiB at a
 * time. Regions are committed one by one.
 *
 * Allocated memory is zeroed. With AddressSanitizer, free memory is poisoned.
 *
 * Locking: small objects are allocated and freed without a lock while their
 * slab has room. All other calls take the arena's mutex (HMMU_RANK_ARENA). The
 * longest operation under it is an mprotect(2): memory is zeroed and unmapped
 * without the lock.
 *
 * Not supported: giving address space back. The reservation costs no memory.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Requests above this many bytes are whole pages. */
#define HMMU_ARENA_SMALL_MAX_BYTES 2048u

/*
 * The arena's addresses; @bytes is 0 until the arena exists. Both are written
 * once: @start, then @bytes with a release store that pairs with the acquire
 * loads below.
 */
struct hmmu_arena_bounds {
	_Atomic uintptr_t start;
	_Atomic size_t bytes;
};

extern struct hmmu_arena_bounds hmmu__arena_bounds;

/* True if @addr belongs to the library. Never sleeps, takes no lock. */
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

/* The arena is [start, end). Both calls create it; 0: that failed. */
uintptr_t hmmu__arena_start(void);
uintptr_t hmmu__arena_end(void);

/*
 * Allocates zeroed memory. It is aligned to 16 bytes, to 64 if @bytes >= 64,
 * and to a page above HMMU_ARENA_SMALL_MAX_BYTES. @bytes is not 0. NULL: the
 * arena is full or the kernel has no memory; return -ENOMEM.
 */
void *hmmu__alloc(size_t bytes) HMMU_MUST_CHECK;

/* Frees memory that hmmu__alloc(@bytes) returned. @p may be NULL. */
void hmmu__free(void *p, size_t bytes);

/*
 * Allocate and free @npages zeroed pages in one run; NULL: no memory. A freed
 * run stays committed for later calls, so only growth changes a mapping.
 */
void *hmmu__alloc_pages(size_t npages) HMMU_MUST_CHECK;
void hmmu__free_pages(void *p, size_t npages);

/*
 * Allocates a region: a device pool or a stack. It is zeroed, readable and
 * writable. @align is a power of two, at least a page. @bytes is rounded up to
 * pages. Regions have no gaps between them: for a guard page, reserve one more
 * page and protect it. NULL: no room, or the kernel has no memory.
 */
void *hmmu__arena_reserve(size_t bytes, size_t align) HMMU_MUST_CHECK;

/*
 * Frees a whole region. The range is mapped anew without access: the kernel
 * frees its memory and forgets advice, mlock and userfaultfd registration. Do
 * not call it from the fault service if the range is registered with a
 * userfaultfd that reports unmaps.
 */
void hmmu__arena_release(void *p, size_t bytes);

/* @used_bytes counts allocated objects, runs and regions as a whole. */
struct hmmu_arena_stats {
	size_t reserved_bytes;
	size_t committed_bytes;
	size_t used_bytes;
};

/* For statistics: other threads may allocate and free meanwhile. */
void hmmu__arena_stats(struct hmmu_arena_stats *stats);

/*
 * Called around fork(), so that the child gets the arena in a consistent state.
 * Before locks the arena's mutex; after unlocks it in parent and child.
 */
void hmmu__arena_fork_before(void);
void hmmu__arena_fork_after(void);

#endif
