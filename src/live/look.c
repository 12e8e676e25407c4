/* SPDX-License-Identifier: MIT */
/*
 * Look up mappings and pages, and fault pages in as an access of a CPU thread
 * would
 *
 * Locking: none, but fault_in may wait for the fault service.
 */
#include "live/look.h"

#include <errno.h>

#include "base/process.h"
#include "live/state.h"
#include "live/touch.h"

static uint32_t flags_of(const struct hmmu__vma *v)
{
	uint32_t flags = 0;

	if (v->prot & HMMU__VMA_R)
		flags |= HMMU_VMA_READ;
	if (v->prot & HMMU__VMA_W)
		flags |= HMMU_VMA_WRITE;
	if (v->prot & HMMU__VMA_SHARED)
		flags |= HMMU_VMA_SHARED;
	if (v->kind == HMMU__VMA_ANON && !(v->prot & HMMU__VMA_SHARED))
		flags |= HMMU_VMA_ANON;
	if (v->kind == HMMU__VMA_HUGETLB)
		flags |= HMMU_VMA_HUGETLB;
	if (v->kind == HMMU__VMA_SPECIAL)
		flags |= HMMU_VMA_SPECIAL;
	return flags;
}

static void info_from_vma(const struct hmmu__vma *v, struct hmmu_vma_info *out)
{
	out->start = v->start;
	out->end = v->end;
	out->flags = flags_of(v);
	out->page_lg2 = (uint32_t)__builtin_ctzll(v->page_bytes);
}

int hmmu__live_describe(struct hmmu_mm *mm, uintptr_t addr,
			struct hmmu_vma_info *out)
{
	struct hmmu__vma v;
	int err = hmmu__vma_query(&hmmu__live(mm)->vmas, addr, &v);

	if (!err)
		info_from_vma(&v, out);
	return err;
}

int hmmu__live_describe_next(struct hmmu_mm *mm, uintptr_t addr,
			     struct hmmu_vma_info *out)
{
	struct hmmu__vma v;
	int err = hmmu__vma_query_next(&hmmu__live(mm)->vmas, addr, &v);

	if (!err)
		info_from_vma(&v, out);
	return err;
}

/* --- faults ----------------------------------------------------------------- */

static int touch_range(uintptr_t start, uintptr_t end, bool write)
{
	int err = 0;

	for (; start < end && !err; start += HMMU_PAGE_BYTES)
		err = hmmu__touch(start, write);
	return err;
}

/*
 * madvise(2) returns EFAULT and ENOMEM for several causes (platform.md section
 * 8); the caller has checked the mapping. EFAULT is also the result for a
 * device page in user mode: it is touched, so that the service migrates it
 * back. ENOMEM is also the result for an unmapped address.
 */
static int populate(uintptr_t start, uintptr_t end, bool write)
{
	return hmmu__sys_madvise(start, end - start,
				 write ? MADV_POPULATE_WRITE :
					 MADV_POPULATE_READ);
}

/*
 * ENOMEM: out of memory, or an unmapped address that may be mapped again by the
 * time it is looked up.
 */
#define NO_MEMORY_TRIES 8

static int populate_retry(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			  bool write)
{
	struct hmmu_vma_info vma;
	int tries, err = -ENOMEM;

	for (tries = 0; err == -ENOMEM && tries < NO_MEMORY_TRIES; tries++) {
		err = populate(start, end, write);
		if (err == -ENOMEM && hmmu__live_describe(mm, start, &vma))
			return -EFAULT;
		if (err == -ENOMEM && vma.end < end)
			return -EBUSY;
	}
	return err;
}

int hmmu__live_fault_in(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			bool write)
{
	int err = -EINVAL;

	if (hmmu__live(mm)->platform.have_populate)
		err = populate_retry(mm, start, end, write);
	switch (err) {
	case 0:
	case -EBUSY:
		return err;
	case -EAGAIN:
	case -EINTR:
		return -EBUSY;
	case -EHWPOISON:
		return -EFAULT;
	default:
		return touch_range(start, end, write);
	}
}

/* --- snapshot --------------------------------------------------------------- */

#define RUNS 32u

static struct hmmu_mm_run run_of(const struct hmmu_vma_info *vma,
				 const struct hmmu__page_run *r)
{
	/* In live space the host address of a page is the program's. */
	struct hmmu_mm_run run = { .start = r->start,
				   .end = r->end,
				   .host = r->start };

	if (r->flags & HMMU__PAGE_ZERO)
		run.flags = HMMU_MM_RUN_ZERO;
	else if (vma->flags & HMMU_VMA_WRITE &&
		 !(r->flags & (HMMU__PAGE_FILE | HMMU__PAGE_WP)))
		run.flags = HMMU_MM_RUN_WRITE;
	if (vma->page_lg2 > HMMU_PAGE_LG2)
		run.order = (uint8_t)(vma->page_lg2 - HMMU_PAGE_LG2);
	else if (r->flags & HMMU__PAGE_HUGE)
		run.order = HMMU_LARGE_LG2 - HMMU_PAGE_LG2;
	return run;
}

/* The runs written so far, and the address at which there was no more room. */
struct run_list {
	struct hmmu_mm_run *runs;
	size_t max;
	size_t n;
	uintptr_t next;
};

static bool run_add(struct run_list *list, const struct hmmu_mm_run *run)
{
	if (list->n == list->max) {
		list->next = run->start;
		return false;
	}
	list->runs[list->n++] = *run;
	return true;
}

/*
 * After a fork a page can be mapped read-only in a writable mapping: a page
 * that is mapped more than once gets no WRITE. One page of a large one stands
 * for all.
 */
static bool run_add_shared(const struct hmmu_live *l, struct run_list *list,
			   struct hmmu_mm_run run)
{
	uintptr_t end = run.end;
	struct hmmu_bitmap512 own;
	unsigned int n, i, stop;

	for (; run.start < end; run.start = run.host = run.end) {
		n = (unsigned int)hmmu_min((end - run.start) >> HMMU_PAGE_LG2,
					   HMMU_PAGES_PER_LARGE);
		if (hmmu__pagemap_exclusive(&l->pages, run.start, n, &own))
			hmmu__bitmap_zero(&own);
		run.end = run.start;
		for (i = 0; i < n; i = stop) {
			bool is_own = hmmu__bitmap_test(&own, i);

			stop = is_own ? hmmu__bitmap_first_clear_from(&own, i) :
					hmmu__bitmap_first_set_from(&own, i);
			stop = (unsigned int)hmmu_min(stop, n);
			run.start = run.host = run.end;
			run.end += (uintptr_t)(stop - i) << HMMU_PAGE_LG2;
			run.flags = is_own ? HMMU_MM_RUN_WRITE : 0;
			if (!run_add(list, &run))
				return false;
		}
	}
	return true;
}

static bool page_run_add(const struct hmmu_live *l,
			 const struct hmmu_vma_info *vma, struct run_list *list,
			 const struct hmmu__page_run *r)
{
	struct hmmu_mm_run run = run_of(vma, r);

	if (!(r->flags & HMMU__PAGE_PRESENT))
		return true;
	/* Relaxed: forks of this thread, or ordered by a lock. */
	if (run.flags & HMMU_MM_RUN_WRITE &&
	    atomic_load_explicit(&hmmu__forks, memory_order_relaxed))
		return run_add_shared(l, list, run);
	return run_add(list, &run);
}

int hmmu__live_snapshot(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
			uintptr_t start, uintptr_t end,
			struct hmmu_mm_run *runs, size_t max, size_t *ret_n,
			uintptr_t *ret_next)
{
	const uint32_t want = HMMU__PAGE_PRESENT | HMMU__PAGE_FILE |
			      HMMU__PAGE_ZERO | HMMU__PAGE_HUGE | HMMU__PAGE_WP;
	struct run_list list = { .runs = runs, .max = max };
	struct hmmu_live *l = hmmu__live(mm);
	struct hmmu__page_run found[RUNS];
	size_t n, i;
	int err;

	err = hmmu__pagescan(&l->pages, start, end, want, found,
			     hmmu_min(max, RUNS), &n, &list.next);
	if (err)
		return err;
	for (i = 0; i < n && page_run_add(l, vma, &list, &found[i]); i++)
		;
	*ret_n = list.n;
	*ret_next = list.next;
	return 0;
}

size_t hmmu__large_pages(const struct hmmu_live *l, uintptr_t start,
			 uintptr_t end)
{
	struct hmmu__page_run runs[RUNS];
	uintptr_t next;
	size_t n, i, bytes = 0;

	for (; start < end; start = next) {
		if (hmmu__pagescan(&l->pages, start, end,
				   HMMU__PAGE_PRESENT | HMMU__PAGE_HUGE, runs,
				   RUNS, &n, &next) ||
		    next <= start)
			break;
		for (i = 0; i < n; i++)
			if (runs[i].flags & HMMU__PAGE_HUGE)
				bytes += runs[i].end - runs[i].start;
	}
	return bytes >> HMMU_LARGE_LG2;
}

bool hmmu__is_absent(const struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu__page_run run;
	uintptr_t next;
	size_t n;

	return !hmmu__pagescan(&l->pages, start, end,
			       HMMU__PAGE_PRESENT | HMMU__PAGE_SWAPPED, &run, 1,
			       &n, &next) &&
	       !n;
}
