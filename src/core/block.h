/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_BLOCK_H
#define HMMU_CORE_BLOCK_H

/*
 * Blocks: 2 MiB of address space, the unit of locking and residency
 *
 * A block says which of its 512 pages are on a device and where there. All
 * pages of a block that are away are on one device. Where they stand in the
 * device's memory in the order of their addresses, one number says it all
 * (@first + page); otherwise there is an array.
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

struct hmmu_device;
struct hmmu_space;

#define HMMU_BLOCK_SCATTERED UINT32_MAX

struct hmmu_block {
	struct hmmu_notifier sub;
	struct hmmu_mutex lock;
	uintptr_t start;
	/* Whose memory holds the pages of @away; NULL while there are none. */
	struct hmmu_device *device HMMU_GUARDED_BY(&lock);
	/* Page i is at @first + i, or at @index[i] if it is SCATTERED. */
	uint32_t first HMMU_GUARDED_BY(&lock);
	uint32_t *index HMMU_GUARDED_BY(&lock);
	struct hmmu_bitmap512 away HMMU_GUARDED_BY(&lock);
	/* Bits of @away; written under the lock, read without it as a hint. */
	_Atomic uint32_t away_pages;
};

/* Three levels of 512 below a root that spans 57 bits: 9 bits each. */
struct hmmu_block_index {
	_Atomic uintptr_t root[512];
};

void hmmu__blocks_init(struct hmmu_block_index *index);
/* Frees all blocks; none has pages away, none is subscribed any more. */
void hmmu__blocks_fini(struct hmmu_space *space);

/* The block of @addr or NULL. Lock-free. */
struct hmmu_block *hmmu__block_find(struct hmmu_block_index *index,
				    uintptr_t addr);

/* The block of @addr, made if need be; NULL: no memory. */
struct hmmu_block *hmmu__block_get(struct hmmu_space *space, uintptr_t addr);

/* The first block that ends above @addr and starts below @end, or NULL. */
struct hmmu_block *hmmu__block_next(struct hmmu_block_index *index,
				    uintptr_t addr, uintptr_t end);

#define hmmu__block_for_each(b_, index_, from_, to_)                           \
	for ((b_) = hmmu__block_next((index_), (from_), (to_)); (b_);          \
	     (b_) = hmmu__block_next((index_), (b_)->start + HMMU_LARGE_BYTES, \
				     (to_)))

static inline void hmmu__block_lock(struct hmmu_block *b)
	HMMU_ACQUIRES(&b->lock) HMMU_NO_TSA
{
	hmmu__mutex_lock_sub(&b->lock, b->start + 1);
}

static inline void hmmu__block_unlock(struct hmmu_block *b)
	HMMU_RELEASES(&b->lock) HMMU_NO_TSA
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

static inline uint32_t hmmu__block_index_of(const struct hmmu_block *b,
					    unsigned int page) HMMU_NO_TSA
{
	return b->first == HMMU_BLOCK_SCATTERED ? b->index[page] :
						  b->first + page;
}

/*
 * The next run of away pages from @page below @end whose places in the device
 * memory follow one another: [*run, *run_end). False: none.
 */
bool hmmu__block_run(const struct hmmu_block *b, unsigned int page,
		     unsigned int end, unsigned int *run, unsigned int *run_end)
	HMMU_REQUIRES(&b->lock);

/*
 * Records pages [page, page + n) as away at [place, place + n) of @device.
 * False: no memory for a scattered index, or the block belongs to another
 * device; nothing is changed.
 */
bool hmmu__block_set(struct hmmu_block *b, struct hmmu_device *device,
		     unsigned int page, unsigned int n, uint32_t place)
	HMMU_REQUIRES(&b->lock);

/*
 * Makes sure that hmmu__block_set() of @n pages at @place can not fail.
 */
bool hmmu__block_prepare(struct hmmu_block *b, struct hmmu_device *device,
			 unsigned int page, uint32_t place)
	HMMU_REQUIRES(&b->lock);

/* The pages are not away any more; their places are the caller's to free. */
void hmmu__block_clear(struct hmmu_block *b, unsigned int page, unsigned int n)
	HMMU_REQUIRES(&b->lock);

#endif
