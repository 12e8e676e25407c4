/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_BLOCK_H
#define HMMU_CORE_BLOCK_H

/*
 * Blocks: 2 MiB of address space, the unit of locking and residency
 *
 * A block says which of its 512 pages a device holds, and where: in which
 * memory and at which place of it. A memory belongs to one device, so it says
 * which device, too. Most often all pages of a block are in one memory in the
 * order of their addresses, and one memory and one number say it all (@first +
 * page); otherwise the block is scattered and has an array.
 *
 * A page that is held is away, that is absent for the CPU, unless its memory is
 * a coherent one.
 *
 * A block is a subscriber like any other: its lock is the driver's lock of the
 * notifier protocol, under which device faults map and invalidations unmap.
 *
 * Blocks are found lock-free through a radix index, are made when a device or
 * a CPU fault first needs them and live as long as the space.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/base.h>

#include "base/bitmap.h"
#include "base/lock.h"
#include "core/notifier.h"

struct hmmu_memory;

/* Where a page is held; @memory is NULL where it is not. */
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
	/* Its places were given one by one, though they follow each other. */
	bool is_split HMMU_GUARDED_BY(&lock);
	struct hmmu_place *scattered HMMU_GUARDED_BY(&lock);
	/* Pages that a device holds, and those of them that the CPU lacks. */
	struct hmmu_bitmap512 held HMMU_GUARDED_BY(&lock);
	struct hmmu_bitmap512 away HMMU_GUARDED_BY(&lock);
	/* Bits of the two; written under the lock, read without as a hint. */
	_Atomic uint32_t held_pages;
	_Atomic uint32_t away_pages;
};

/* Three levels of 512 below a root that spans 57 bits: 9 bits each. */
struct hmmu_block_index {
	/* Where a new block subscribes. */
	struct hmmu_notifier_set *notifiers;
	_Atomic uintptr_t root[512];
};

/* @index is zeroed memory. */
void hmmu__blocks_init(struct hmmu_block_index *index,
		       struct hmmu_notifier_set *notifiers);
/* Frees all blocks; none holds pages, nobody looks for one any more. */
void hmmu__blocks_fini(struct hmmu_block_index *index);

/* The block of @addr or NULL. Lock-free. */
struct hmmu_block *hmmu__block_find(struct hmmu_block_index *index,
				    uintptr_t addr);

/* The block of @addr, made if need be; NULL: no memory. */
struct hmmu_block *hmmu__block_get(struct hmmu_block_index *index,
				   uintptr_t addr);

/* The first block that ends above @addr and starts below @end, or NULL. */
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

/* The part of [start, end) that lies in @b, as page numbers. */
static inline void hmmu__block_clip(const struct hmmu_block *b, uintptr_t start,
				    uintptr_t end, unsigned int *first,
				    unsigned int *last_end)
{
	uintptr_t b_end = b->start + HMMU_LARGE_BYTES;

	*first = start > b->start ? hmmu__block_page(b, start) : 0;
	*last_end = end < b_end ? hmmu__block_page(b, end) :
				  HMMU_PAGES_PER_LARGE;
}

/* Where page @page is held. */
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

/* All of the block is away as one large page of a memory. */
bool hmmu__block_is_large(const struct hmmu_block *b) HMMU_REQUIRES(&b->lock);

/*
 * The next run of held pages from @page below @end whose places in one memory
 * follow one another. False: none.
 */
bool hmmu__block_run(const struct hmmu_block *b, unsigned int page,
		     unsigned int end, struct hmmu_block_run *r)
	HMMU_REQUIRES(&b->lock);

/*
 * Records pages [page, page + n), which are not held, as held at [place,
 * place + n) of @memory. False: no memory; nothing is changed.
 */
bool hmmu__block_set(struct hmmu_block *b, struct hmmu_memory *memory,
		     unsigned int page, unsigned int n, uint32_t place)
	HMMU_REQUIRES(&b->lock);

/*
 * Makes sure that hmmu__block_set() can not fail before the lock is let go.
 */
bool hmmu__block_prepare(struct hmmu_block *b, struct hmmu_memory *memory,
			 unsigned int page, uint32_t place)
	HMMU_REQUIRES(&b->lock);

/* The pages are not held any more; their places are the caller's to free. */
void hmmu__block_clear(struct hmmu_block *b, unsigned int page, unsigned int n)
	HMMU_REQUIRES(&b->lock);

#endif
