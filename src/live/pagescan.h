/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_PAGESCAN_H
#define HMMU_LIVE_PAGESCAN_H

/*
 * What this process's page tables hold, as far as the kernel tells.
 *
 * Overview: the ioctl PAGEMAP_SCAN (Linux 6.7) walks a range and reports runs
 * of equal pages; an empty gigabyte costs microseconds. Without it the 64-bit
 * records of /proc/self/pagemap are read one by one; large pages and the zero
 * page can not be told then and are reported as ordinary ones.
 *
 * No way tells whether an entry is writable: see platform.md section 6, and
 * hmmu__pagemap_exclusive().
 *
 * Context: may be called by the fault service and under any HMMU lock. No
 * allocation, no errno. @runs is memory that is at hand, for the kernel
 * writes to it.
 * Locking: none.
 *
 * A forked child closes its source and opens one of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitmap.h"

enum hmmu__page_flags {
	HMMU__PAGE_PRESENT = 1u << 0,
	/* In swap, or a marker: of write protection or of poison. */
	HMMU__PAGE_SWAPPED = 1u << 1,
	/* Of a file or shared memory, not of an anonymous page. */
	HMMU__PAGE_FILE = 1u << 2,
	/* The zero page, small or large. Scan only. */
	HMMU__PAGE_ZERO = 1u << 3,
	/* Mapped by one large entry, PMD or larger. Scan only. */
	HMMU__PAGE_HUGE = 1u << 4,
	/* Write-protected by userfaultfd. */
	HMMU__PAGE_WP = 1u << 5,
	/* MADV_GUARD_INSTALL; known from Linux 6.15 on, SWAPPED before. */
	HMMU__PAGE_GUARD = 1u << 6,
};

/* Pages [start, end) that share @flags. */
struct hmmu__page_run {
	uintptr_t start;
	uintptr_t end;
	uint32_t flags;
};

struct hmmu__pagescan_source {
	int fd;
	bool have_scan;
	bool have_guard;
};

/*
 * Opens /proc/self/pagemap and finds out what the kernel can do.
 * @force_fallback does without PAGEMAP_SCAN. -errno of open(2).
 */
int hmmu__pagescan_open(struct hmmu__pagescan_source *src, bool force_fallback);

/* May be called on a source that failed to open, and twice. */
void hmmu__pagescan_close(struct hmmu__pagescan_source *src);

/*
 * Reports the pages of [@start, @end) in address order, at most @max runs. The
 * range is page aligned, in the program's half of the address space, and may
 * span several mappings and holes.
 *
 * @want says what is asked, PRESENT always: only these flags are set, and a
 * page is reported if it is present, or swapped and SWAPPED is in @want, or a
 * guard and GUARD is.
 * Whatever is not reported is absent. PRESENT alone is the cheapest; FILE costs
 * the most. A guard page is never SWAPPED too if GUARD is wanted and known.
 *
 * *@ret_next is where to go on: @end when all is said, else after the last run.
 * Runs of equal flags touch only where two calls meet.
 */
int hmmu__pagescan(const struct hmmu__pagescan_source *src, uintptr_t start,
		   uintptr_t end, uint32_t want, struct hmmu__page_run *runs,
		   size_t max, size_t *ret_count, uintptr_t *ret_next);

/*
 * Marks in @out the pages of @npages (512 at most) from @start that are present
 * and mapped once only; the other bits are cleared. A hint: a page that was
 * shared with a child which has exited counts as exclusive and is not writable
 * all the same.
 */
int hmmu__pagemap_exclusive(const struct hmmu__pagescan_source *src,
			    uintptr_t start, size_t npages,
			    struct hmmu_bitmap512 *out);

#endif
