/* SPDX-License-Identifier: MIT */
/*
 * Page runs of the arena: best fit with boundary tags
 *
 * Overview: each page of the zone has a descriptor in a zone of its own. The
 * first and the last descriptor of a free run hold its length, so a freed run
 * finds its free neighbours in constant time and merges with them. Free runs
 * are listed in bins: one for each length up to 32 pages, then one for each
 * power of two. A mask shows which bins are not empty. A search takes constant
 * time too, except among the runs of one power-of-two bin.
 *
 * A page is marked dirty when it is freed, and stays marked. Only dirty pages
 * are zeroed on allocation: pages fresh from the kernel are zero.
 *
 * Locking: the arena's mutex guards descriptors and bins. Pages are zeroed
 * without it.
 */
#include "base/arena_pages.h"

#include <errno.h>
#include <string.h>

#include "base/fault_point.h"

enum desc_flags {
	DESC_FREE = 1u << 0, /* first or last page of a free run */
	DESC_USED = 1u << 1, /* first page of an allocated run */
	DESC_DIRTY = 1u << 2, /* was freed once: not zero */
};

/* @prev and @next are the page indexes of the neighbours in the bin. */
struct page_desc {
	uint32_t npages;
	uint32_t prev;
	uint32_t next;
	uint32_t flags;
};

_Static_assert(sizeof(struct page_desc) == 16,
	       "arena.c divides the zones by it");

#define NO_PAGE	   UINT32_MAX
#define EXACT_BINS 32u
#define NBINS	   (EXACT_BINS + 27u) /* runs of up to 2^32 - 1 pages */

_Static_assert(NBINS <= 64, "one bit of the mask for each bin");

/* Guarded by the arena's lock. */
static struct {
	uint64_t nonempty_bins;
	uint32_t bin[NBINS];
	uint32_t npages; /* committed pages of the zone */
	size_t nused;
} runs;

static struct page_desc *desc_at(uint32_t page)
{
	return (struct page_desc *)hmmu__arena.descs.start + page;
}

static void *page_address(uint32_t page)
{
	return (void *)(hmmu__arena.pages.start +
			((uintptr_t)page << HMMU_PAGE_LG2));
}

static uint32_t page_index(const void *p)
{
	return (uint32_t)(((uintptr_t)p - hmmu__arena.pages.start) >>
			  HMMU_PAGE_LG2);
}

static unsigned int bin_of(uint32_t npages)
{
	if (npages <= EXACT_BINS)
		return npages - 1;
	/* The first power-of-two bin holds runs of 33 to 63 pages. */
	return EXACT_BINS + 31 - (unsigned int)__builtin_clz(npages) - 5;
}

static void run_insert_locked(uint32_t page, uint32_t npages)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	struct page_desc *first = desc_at(page);
	struct page_desc *last = desc_at(page + npages - 1);
	unsigned int bin = bin_of(npages);
	bool empty = !(runs.nonempty_bins & (1ull << bin));

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	first->npages = npages;
	first->flags |= DESC_FREE;
	last->npages = npages;
	last->flags |= DESC_FREE;
	first->prev = NO_PAGE;
	first->next = empty ? NO_PAGE : runs.bin[bin];
	if (first->next != NO_PAGE)
		desc_at(first->next)->prev = page;
	runs.bin[bin] = page;
	runs.nonempty_bins |= 1ull << bin;
}

static void run_remove_locked(uint32_t page) HMMU_REQUIRES(&hmmu__arena.lock)
{
	struct page_desc *first = desc_at(page);
	struct page_desc *last = desc_at(page + first->npages - 1);
	unsigned int bin = bin_of(first->npages);

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (first->prev != NO_PAGE)
		desc_at(first->prev)->next = first->next;
	else
		runs.bin[bin] = first->next;
	if (first->next != NO_PAGE)
		desc_at(first->next)->prev = first->prev;
	else if (first->prev == NO_PAGE)
		runs.nonempty_bins &= ~(1ull << bin);
	first->flags &= ~(uint32_t)DESC_FREE;
	last->flags &= ~(uint32_t)DESC_FREE;
}

/* Add a free run, merged with the free runs on both sides. */
static void run_release_locked(uint32_t page, uint32_t npages)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	uint32_t behind = page + npages;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (behind < runs.npages && (desc_at(behind)->flags & DESC_FREE)) {
		npages += desc_at(behind)->npages;
		run_remove_locked(behind);
	}
	if (page > 0 && (desc_at(page - 1)->flags & DESC_FREE)) {
		uint32_t before = desc_at(page - 1)->npages;

		run_remove_locked(page - before);
		page -= before;
		npages += before;
	}
	run_insert_locked(page, npages);
}

/* Find a run of at least @npages in @bin, or NO_PAGE. */
static uint32_t bin_search_locked(unsigned int bin, uint32_t npages)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	uint32_t page;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (!(runs.nonempty_bins & (1ull << bin)))
		return NO_PAGE;
	for (page = runs.bin[bin]; page != NO_PAGE;
	     page = desc_at(page)->next) {
		if (desc_at(page)->npages >= npages)
			return page;
	}
	return NO_PAGE;
}

/* Find a run of at least @npages, or NO_PAGE. */
static uint32_t run_find_locked(uint32_t npages)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	unsigned int bin = bin_of(npages);
	uint32_t page = bin_search_locked(bin, npages);
	uint64_t longer = runs.nonempty_bins & (~1ull << bin);

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (page != NO_PAGE || !longer)
		return page;
	return runs.bin[__builtin_ctzll(longer)];
}

/* Commit room for @npages more, in whole large pages. */
static bool grow_locked(uint32_t npages) HMMU_REQUIRES(&hmmu__arena.lock)
{
	size_t more = hmmu_round_up(npages, HMMU_PAGES_PER_LARGE);
	size_t total = runs.npages + more;
	uint32_t first = runs.npages;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (hmmu__zone_commit_locked(&hmmu__arena.descs,
				     hmmu__arena.descs.start +
					     total * sizeof(struct page_desc)))
		return false;
	if (hmmu__zone_commit_locked(&hmmu__arena.pages,
				     hmmu__arena.pages.start +
					     (total << HMMU_PAGE_LG2)))
		return false;
	runs.npages = (uint32_t)total;
	arena_poison(page_address(first), more << HMMU_PAGE_LG2);
	run_release_locked(first, (uint32_t)more);
	return true;
}

/* Allocate the first @npages of the free run at @page. */
static void run_take_locked(uint32_t page, uint32_t npages)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	uint32_t rest = desc_at(page)->npages - npages;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	run_remove_locked(page);
	if (rest)
		run_insert_locked(page + npages, rest);
	desc_at(page)->npages = npages;
	desc_at(page)->flags |= DESC_USED;
	runs.nused += npages;
}

static uint32_t run_alloc(uint32_t npages)
{
	uint32_t page;

	hmmu__mutex_lock(&hmmu__arena.lock);
	page = run_find_locked(npages);
	if (page == NO_PAGE && grow_locked(npages))
		page = run_find_locked(npages);
	if (page != NO_PAGE)
		run_take_locked(page, npages);
	hmmu__mutex_unlock(&hmmu__arena.lock);
	return page;
}

/*
 * No lock is needed: other threads read the flags of an allocated page, but
 * only freeing it changes them.
 */
static void run_zero(uint32_t page, uint32_t npages)
{
	for (uint32_t i = 0; i < npages; i++) {
		if (desc_at(page + i)->flags & DESC_DIRTY)
			memset(page_address(page + i), 0, HMMU_PAGE_BYTES);
	}
}

void *hmmu__pages_alloc(size_t npages)
{
	uint32_t page;

	HMMU_ASSERT(npages != 0);
	/* No zone has that many pages. */
	if (npages > UINT32_MAX / 2 || !hmmu__arena_create())
		return NULL;
	page = run_alloc((uint32_t)npages);
	if (page == NO_PAGE)
		return NULL;
	arena_unpoison(page_address(page), npages << HMMU_PAGE_LG2);
	run_zero(page, (uint32_t)npages);
	return page_address(page);
}

void *hmmu__alloc_pages(size_t npages)
{
	if (HMMU_FAULT_POINT("arena pages", ENOMEM))
		return NULL;
	return hmmu__pages_alloc(npages);
}

void hmmu__free_pages(void *p, size_t npages)
{
	uint32_t page;

	if (!p)
		return;
	page = page_index(p);
	arena_poison(p, npages << HMMU_PAGE_LG2);
	hmmu__mutex_lock(&hmmu__arena.lock);
	HMMU_ASSERT(desc_at(page)->flags & DESC_USED);
	HMMU_ASSERT(desc_at(page)->npages == npages);
	desc_at(page)->flags &= ~(uint32_t)DESC_USED;
	for (uint32_t i = 0; i < npages; i++)
		desc_at(page + i)->flags |= DESC_DIRTY;
	run_release_locked(page, (uint32_t)npages);
	runs.nused -= npages;
	hmmu__mutex_unlock(&hmmu__arena.lock);
}

size_t hmmu__pages_used_bytes_locked(void)
{
	hmmu__mutex_assert_held(&hmmu__arena.lock);
	return runs.nused << HMMU_PAGE_LG2;
}
