/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_BLOCK_H
#define HMMU_CORE_BLOCK_H

/*
 * Blocks: 2 MiB of address space, the unit of locking and residency
 *
 * A block records which of its 512 pages are in device memory (held), in which
 * memory, and at which page of that memory (the place). A memory belongs to one
 * device. Most blocks have all their pages in one memory, in the order of their
 * addresses: page i is then at place @first + i, and no array is needed. Other
 * blocks are scattered and have an array of places.
 *
 * A held page is away (absent for the CPU) unless its memory is coherent.
 *
 * A block is a notifier subscriber. Its lock is the driver's lock of the
 * notifier protocol: device faults map leaves under it, and an invalidation
 * changes the block's sequence under it.
 *
 * Locking: the block lock guards the record. Looking up a block takes no lock;
 * the index is a radix tree whose slots are written once.
 *
 * Not supported: freeing a block before its space is destroyed. So nothing has
 * to wait for readers of the index.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/base.h>

#include "base/bitmap.h"
#include "base/lock.h"
#include "core/notifier.h"

struct hmmu_memory;

/* The place of a held page. @memory is NULL if the page is not held. */
struct hmmu_place {
	struct hmmu_memory *memory;
	uint32_t page;
};

/* Pages [@page, @page + @n) of a block, at [@place, @place + @n) of @memory. */
struct hmmu_block_run {
	unsigned int page;
	unsigned int n;
	struct hmmu_memory *memory;
	uint32_t place;
};

struct hmmu_block {
	struct hmmu_notifier sub;
	struct hmmu_mutex lock;
	uintptr_t start;
	/*
	 * Page i of @held is at @first + i of @memory, or at @scattered[i].
	 * @first may wrap: page 9 at place 4 begins at -5.
	 */
	struct hmmu_memory *memory HMMU_GUARDED_BY(&lock);
	uint32_t first HMMU_GUARDED_BY(&lock);
	/* Its places are consecutive, but were allocated page by page. */
	bool is_split HMMU_GUARDED_BY(&lock);
	struct hmmu_place *scattered HMMU_GUARDED_BY(&lock);
	/* Pages in device memory, and those of them absent for the CPU. */
	struct hmmu_bitmap512 held HMMU_GUARDED_BY(&lock);
	struct hmmu_bitmap512 away HMMU_GUARDED_BY(&lock);
	/* Bits set in them. Written under the lock; without it, a hint. */
	_Atomic uint32_t held_pages;
	_Atomic uint32_t away_pages;
};

/* A root and three levels below it, of 512 slots each: 57 bits of address. */
struct hmmu_block_index {
	/* New blocks subscribe here. */
	struct hmmu_notifier_set *notifiers;
	_Atomic uintptr_t root[512];
};

/* @index is zeroed memory. */
void hmmu__blocks_init(struct hmmu_block_index *index,
		       struct hmmu_notifier_set *notifiers);
/* Frees all blocks. No block holds pages, and no thread uses the index. */
void hmmu__blocks_fini(struct hmmu_block_index *index);

/* Returns the block of @addr or NULL. Takes no lock. */
struct hmmu_block *hmmu__block_find(struct hmmu_block_index *index,
				    uintptr_t addr);

/* Finds or creates the block of @addr. NULL: out of memory. */
struct hmmu_block *hmmu__block_get(struct hmmu_block_index *index,
				   uintptr_t addr);

/* Returns the first block that ends above @addr and starts below @end. */
struct hmmu_block *hmmu__block_next(struct hmmu_block_index *index,
				    uintptr_t addr, uintptr_t end);

#define hmmu__block_for_each(b_, index_, from_, to_)                           \
	for ((b_) = hmmu__block_next((index_), (from_), (to_)); (b_);          \
	     (b_) = hmmu__block_next((index_), (b_)->start + HMMU_LARGE_BYTES, \
				     (to_)))

static inline void hmmu__block_lock(struct hmmu_block *b)
	HMMU_ACQUIRES(&b->lock)
{
	hmmu__mutex_lock_sub(&b->lock, b->start + 1);
}

static inline void hmmu__block_unlock(struct hmmu_block *b)
	HMMU_RELEASES(&b->lock)
{
	hmmu__mutex_unlock(&b->lock);
}

static inline unsigned int hmmu__block_page(const struct hmmu_block *b,
					    uintptr_t addr)
{
	return (unsigned int)((addr - b->start) >> HMMU_PAGE_LG2);
}

static inline uintptr_t hmmu__block_addr(const struct hmmu_block *b,
					 unsigned int page)
{
	return b->start + ((uintptr_t)page << HMMU_PAGE_LG2);
}

/* Computes the part of [start, end) that lies in @b, as page numbers. */
static inline void hmmu__block_clip(const struct hmmu_block *b, uintptr_t start,
				    uintptr_t end, unsigned int *first,
				    unsigned int *last_end)
{
	uintptr_t b_end = b->start + HMMU_LARGE_BYTES;

	*first = start > b->start ? hmmu__block_page(b, start) : 0;
	*last_end = end < b_end ? hmmu__block_page(b, end) :
				  HMMU_PAGES_PER_LARGE;
}

/* Returns the place of page @page. */
static inline struct hmmu_place hmmu__block_place(const struct hmmu_block *b,
						  unsigned int page)
	HMMU_REQUIRES(&b->lock)
{
	struct hmmu_place p = { 0 };

	hmmu__mutex_assert_held(&b->lock);
	if (!hmmu__bitmap_test(&b->held, page))
		return p;
	if (b->scattered)
		return b->scattered[page];
	p.memory = b->memory;
	p.page = b->first + page;
	return p;
}

/* True if all of the block is away, as one large page of a memory. */
bool hmmu__block_is_large(const struct hmmu_block *b) HMMU_REQUIRES(&b->lock);

/*
 * Finds the next run of held pages in [@page, @end) whose places in one memory
 * are consecutive. False: none.
 */
bool hmmu__block_run(const struct hmmu_block *b, unsigned int page,
		     unsigned int end, struct hmmu_block_run *r)
	HMMU_REQUIRES(&b->lock);

/*
 * Records that pages [page, page + n), which were not held, are at [place,
 * place + n) of @memory. False: out of memory; nothing is changed.
 */
bool hmmu__block_set(struct hmmu_block *b, struct hmmu_memory *memory,
		     unsigned int page, unsigned int n, uint32_t place)
	HMMU_REQUIRES(&b->lock);

/*
 * Allocates what hmmu__block_set() needs for @page at @place, so that it cannot
 * fail while the caller keeps the lock. False: out of memory.
 */
bool hmmu__block_prepare(struct hmmu_block *b, struct hmmu_memory *memory,
			 unsigned int page, uint32_t place)
	HMMU_REQUIRES(&b->lock);

/* Records that the pages are not held. The caller frees their places. */
void hmmu__block_clear(struct hmmu_block *b, unsigned int page, unsigned int n)
	HMMU_REQUIRES(&b->lock);

#endif
