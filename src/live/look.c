/* SPDX-License-Identifier: MIT */
/*
 * Looking at mappings and pages, and faulting pages as a CPU thread would.
 */
#include <errno.h>

#include <hmmu/port.h>

#include "live/live.h"

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

static void describe(const struct hmmu__vma *v, struct hmmu_vma_info *out)
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
		describe(&v, out);
	return err;
}

int hmmu__live_describe_next(struct hmmu_mm *mm, uintptr_t addr,
			     struct hmmu_vma_info *out)
{
	struct hmmu__vma v;
	int err = hmmu__vma_query_next(&hmmu__live(mm)->vmas, addr, &v);

	if (!err)
		describe(&v, out);
	return err;
}

/* --- faults ----------------------------------------------------------------- */

/*
 * A load, or an atomic OR of nothing, with an entry in the table of
 * exceptions: an address that faults gives -EFAULT, not a signal.
 */
HMMU_NO_SANITIZE_ADDRESS HMMU_NO_SANITIZE_THREAD int hmmu__touch(uintptr_t addr,
								 bool write)
{
	uint8_t v;

	if (write) {
		__asm__ volatile goto(
			"1: lock orb $0, %0\n" HMMU__EXTABLE("1b", "%l1")
			:
			: "m"(*(volatile uint8_t *)addr)
			: "memory", "cc"
			: fault);
		return 0;
	}
	__asm__ volatile goto("1: movb %1, %b0\n" HMMU__EXTABLE("1b", "%l2")
			      : "=q"(v)
			      : "m"(*(const volatile uint8_t *)addr)
			      : "memory"
			      : fault);
	(void)v;
	return 0;
fault:
	return -EFAULT;
}

/* What the program points to may be aligned to nothing. */
typedef uint64_t loose_word __attribute__((aligned(1), may_alias));

HMMU_NO_SANITIZE_ADDRESS HMMU_NO_SANITIZE_THREAD static int
peek_word(uintptr_t addr, uint64_t *to)
{
	uint64_t v;

	__asm__ volatile goto("1: movq %1, %0\n" HMMU__EXTABLE("1b", "%l2")
			      : "=r"(v)
			      : "m"(*(const volatile loose_word *)addr)
			      : "memory"
			      : fault);
	/* gcc before 13 mixes up the outputs of asm goto: port_inline.h. */
	__asm__ volatile("");
	*to = v;
	return 0;
fault:
	return -EFAULT;
}

int hmmu__peek(uintptr_t addr, uint64_t *to, size_t words)
{
	int err = 0;

	for (; words && !err; words--, addr += sizeof(*to))
		err = peek_word(addr, to++);
	return err;
}

static int touch_range(uintptr_t start, uintptr_t end, bool write)
{
	int err = 0;

	for (; start < end && !err; start += HMMU_PAGE_BYTES)
		err = hmmu__touch(start, write);
	return err;
}

/*
 * The kernel's errors do not tell a hole from a permission (platform.md
 * section 8), but the caller has looked at the mapping. EFAULT is also what an
 * ordinary user gets for a page that is away: that one is touched, so that the
 * service brings it home. ENOMEM is also a hole.
 */
static int populate(uintptr_t start, uintptr_t end, bool write)
{
	return hmmu__sys_madvise(start, end - start,
				 write ? MADV_POPULATE_WRITE :
					 MADV_POPULATE_READ);
}

/* ENOMEM: no memory, or a hole - which may be gone when we look for it. */
#define NO_MEMORY_TRIES 8

static int populate_surely(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
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
		err = populate_surely(mm, start, end, write);
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

#define RUNS 64u

static uint64_t order_bits(unsigned int order)
{
	return (uint64_t)order << HMMU_ENTRY_ORDER_SHIFT;
}

static uint64_t entry_of(const struct hmmu_vma_info *vma, uint32_t flags)
{
	uint64_t e = HMMU_ENTRY_VALID;

	if (!(flags & HMMU__PAGE_PRESENT))
		return 0;
	if (flags & HMMU__PAGE_ZERO)
		e |= (uint64_t)HMMU_WHERE_ZERO << HMMU_ENTRY_WHERE_SHIFT;
	else if (vma->flags & HMMU_VMA_WRITE &&
		 !(flags & (HMMU__PAGE_FILE | HMMU__PAGE_WP)))
		e |= HMMU_ENTRY_WRITE;
	if (vma->page_lg2 > HMMU_PAGE_LG2)
		e |= order_bits(vma->page_lg2 - HMMU_PAGE_LG2);
	else if (flags & HMMU__PAGE_HUGE)
		e |= order_bits(HMMU_LARGE_LG2 - HMMU_PAGE_LG2);
	return e;
}

/*
 * After a fork a page may be mapped read-only in a writable mapping: what is
 * mapped more than once loses WRITE. One page of a large one speaks for all.
 */
static void mask_shared(const struct hmmu_live *l, uintptr_t start,
			uintptr_t end, uint64_t *e)
{
	struct hmmu_bitmap512 own;

	while (start < end) {
		size_t n = (end - start) >> HMMU_PAGE_LG2;
		size_t i;

		n = n < HMMU_PAGES_PER_LARGE ? n : HMMU_PAGES_PER_LARGE;
		if (hmmu__pagemap_exclusive(&l->pages, start, n, &own))
			hmmu__bitmap_zero(&own);
		for (i = 0; i < n; i++)
			if (!hmmu__bitmap_test(&own, (unsigned int)i))
				e[i] &= ~HMMU_ENTRY_WRITE;
		start += n << HMMU_PAGE_LG2;
		e += n;
	}
}

static size_t pages_between(uintptr_t from, uintptr_t to)
{
	return (to - from) >> HMMU_PAGE_LG2;
}

static void entries_set(uint64_t *e, size_t n, uint64_t value)
{
	size_t i;

	for (i = 0; i < n; i++)
		e[i] = (e[i] & HMMU_ENTRY_STICKY) | value;
}

static void run_fill(const struct hmmu_live *l, const struct hmmu_vma_info *vma,
		     const struct hmmu__page_run *r, uint64_t *e)
{
	uint64_t value = entry_of(vma, r->flags);

	entries_set(e, pages_between(r->start, r->end), value);
	if (value & HMMU_ENTRY_WRITE &&
	    atomic_load_explicit(&hmmu__forks, memory_order_relaxed))
		mask_shared(l, r->start, r->end, e);
}

/*
 * The runs and what is between them, each entry once: large pages are one run,
 * and their entries are most of the work.
 */
int hmmu__live_snapshot(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
			uintptr_t start, uintptr_t end, uint64_t *entries)
{
	const uint32_t want = HMMU__PAGE_PRESENT | HMMU__PAGE_FILE |
			      HMMU__PAGE_ZERO | HMMU__PAGE_HUGE | HMMU__PAGE_WP;
	struct hmmu_live *l = hmmu__live(mm);
	struct hmmu__page_run runs[RUNS];
	uintptr_t at = start, done = start, next;
	size_t n, i;
	int err = 0;

	for (; at < end; at = next) {
		err = hmmu__pagescan(&l->pages, at, end, want, runs, RUNS, &n,
				     &next);
		if (err)
			break;
		for (i = 0; i < n; i++) {
			const struct hmmu__page_run *r = &runs[i];

			entries_set(entries + pages_between(start, done),
				    pages_between(done, r->start), 0);
			run_fill(l, vma, r,
				 entries + pages_between(start, r->start));
			done = r->end;
		}
	}
	if (err)
		done = start;
	entries_set(entries + pages_between(start, done),
		    pages_between(done, end), 0);
	return err;
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
