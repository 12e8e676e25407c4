/* SPDX-License-Identifier: MIT */
#ifndef HMMU_MEMORY_POOL_H
#define HMMU_MEMORY_POOL_H

/*
 * The pool of a device memory: chunks of 2 MiB, pages of 4 KiB
 *
 * Pages are numbers from 0. A chunk is given out whole, for a block that moves
 * as one, or page by page. It is free again when its last page is.
 *
 * Locking: everything under the pool's mutex (HMMU_RANK_MEMORY), except the
 * host address of a page, which never changes.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/memory.h>

#include "base/bitmap.h"
#include "base/lock.h"

struct hmmu_device;
struct hmmu_mm;

#define HMMU_NO_PAGE	      UINT32_MAX

/* Beside those of enum hmmu_memory_kind: what a device has exclusively. */
#define HMMU_MEMORY_EXCLUSIVE 2u

struct hmmu_chunk {
	struct hmmu_bitmap512 used;
	uint16_t used_pages;
	/* Given out page by page: the rest of it may be given out too. */
	bool split;
	/* Once held single pages: its page table has to go before a large
	 * page can be moved into it whole (platform.md section 1). */
	bool tainted;
};

struct hmmu_memory {
	struct hmmu_mm *mm;
	struct hmmu_device *owner;
	uint32_t kind;
	/* NULL for a coherent one, whose pages stay where the CPU has them. */
	uint8_t *host;
	size_t bytes;
	uint32_t chunks;
	struct hmmu_mutex lock;
	struct hmmu_chunk *chunk HMMU_GUARDED_BY(&lock);
	/* Where the search for free chunks goes on. */
	uint32_t cursor HMMU_GUARDED_BY(&lock);
	/* The chunk the last single page came from. */
	uint32_t split_hint HMMU_GUARDED_BY(&lock);
	uint32_t free_chunks HMMU_GUARDED_BY(&lock);
	uint64_t used_pages HMMU_GUARDED_BY(&lock);
	/* See hmmu_memory_fail_large(). */
	_Atomic bool fail_large;
};

/* Where the page stands; NULL for a coherent one. */
static inline void *hmmu__memory_host(const struct hmmu_memory *m,
				      uint32_t page)
{
	return m->host ? m->host + ((size_t)page << HMMU_PAGE_LG2) : NULL;
}

/*
 * Up to @want chunks in a row: returns how many, 0 when none is free, and the
 * first page in *@ret_page. Chunks in @ret_tainted terms: those that must be
 * emptied first are emptied by the caller: *@ret_tainted says if any is.
 */
uint32_t hmmu__memory_take_chunks(struct hmmu_memory *m, uint32_t want,
				  uint32_t *ret_page, bool *ret_tainted);

/* Is a place of 2 MiB to be refused? One call is told so. */
bool hmmu__memory_is_failing(const struct hmmu_memory *m);
bool hmmu__memory_fails_large(struct hmmu_memory *m);

/* One page of a split chunk; splits one if need be. HMMU_NO_PAGE: full. */
uint32_t hmmu__memory_take_page(struct hmmu_memory *m);

/* The given page, if it is free and its chunk is in use. */
bool hmmu__memory_take_pages_at(struct hmmu_memory *m, uint32_t page,
				uint32_t n);

/* Gives [page, page + n) back. @small: they left or stayed as small pages. */
void hmmu__memory_give(struct hmmu_memory *m, uint32_t page, uint32_t n,
		       bool small);

#endif
