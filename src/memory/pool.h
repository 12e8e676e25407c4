/* SPDX-License-Identifier: MIT */
#ifndef HMMU_MEMORY_POOL_H
#define HMMU_MEMORY_POOL_H

/*
 * The pool of a device memory: chunks of 2 MiB, pages of 4 KiB
 *
 * Overview: pages are numbers from 0. A chunk is allocated as a whole, for a
 * block that migrates as a whole, or page by page. It is free when its last
 * page is.
 *
 * Locking: the pool's mutex (HMMU_RANK_MEMORY) guards all but the host address
 * of a page, which never changes. It is taken inside.
 *
 * Not supported: changing the size of a memory. Devices hold addresses in it.
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

/* A kind beside enum hmmu_memory_kind: a device's exclusive pages. */
#define HMMU_MEMORY_EXCLUSIVE 2u

struct hmmu_chunk {
	struct hmmu_bitmap512 used;
	uint16_t used_pages;
	/* Allocated page by page: its free pages may be allocated. */
	bool split;
	/*
	 * It has held single pages, so the kernel has a table of small pages
	 * for it. The caller removes that table before it moves a huge page to
	 * the chunk without splitting it.
	 */
	bool tainted;
};

struct hmmu_memory {
	struct hmmu_mm *mm;
	struct hmmu_device *owner;
	uint32_t kind;
	/* NULL for coherent memory, whose pages the CPU keeps in place. */
	uint8_t *host;
	size_t bytes;
	uint32_t chunks;
	struct hmmu_mutex lock;
	struct hmmu_chunk *chunk HMMU_GUARDED_BY(&lock);
	/* The search for free chunks begins here. */
	uint32_t cursor HMMU_GUARDED_BY(&lock);
	/* The chunk of the last single page. */
	uint32_t split_hint HMMU_GUARDED_BY(&lock);
	uint32_t free_chunks HMMU_GUARDED_BY(&lock);
	uint64_t used_pages HMMU_GUARDED_BY(&lock);
	/* See hmmu_memory_fail_large(). */
	_Atomic bool fail_large;
};

/* The host address of a page; NULL for coherent memory. */
static inline void *hmmu__memory_host(const struct hmmu_memory *m,
				      uint32_t page)
{
	return m->host ? m->host + ((size_t)page << HMMU_PAGE_LG2) : NULL;
}

/*
 * Allocates up to @want consecutive chunks. Returns their number, 0 if none is
 * free, and the first page in *@ret_page. *@ret_tainted: at least one of them
 * is tainted, so the caller must empty them first.
 */
uint32_t hmmu__memory_take_chunks(struct hmmu_memory *m, uint32_t want,
				  uint32_t *ret_page, bool *ret_tainted);

/* True after hmmu_memory_fail_large() (MV24); the second call clears it. */
bool hmmu__memory_is_failing(const struct hmmu_memory *m);
bool hmmu__memory_fails_large(struct hmmu_memory *m);

/* Allocates one page, mostly of a split chunk. HMMU_NO_PAGE: full. */
uint32_t hmmu__memory_take_page(struct hmmu_memory *m);

/* Allocates pages [@page, @page + @n) if they are free in a chunk in use. */
bool hmmu__memory_take_pages_at(struct hmmu_memory *m, uint32_t page,
				uint32_t n);

/* Frees pages [@page, @page + @n). @small: they were used as small pages. */
void hmmu__memory_give(struct hmmu_memory *m, uint32_t page, uint32_t n,
		       bool small);

#endif
