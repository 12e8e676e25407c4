/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_PAGESCAN_H
#define HMMU_LIVE_PAGESCAN_H

/*
 * The state of this process's pages, as far as the kernel reports it
 *
 * Overview: the ioctl PAGEMAP_SCAN (Linux 6.7) walks a range and reports runs
 * of equal pages. An empty gigabyte costs microseconds. Without it the 64-bit
 * records of /proc/self/pagemap are read one by one. They do not distinguish
 * large pages and the zero page from ordinary ones.
 *
 * Context: may be called by the fault service and with any HMMU lock held. Does
 * not allocate or set errno. The kernel writes to @runs, so it must be memory
 * that cannot be on a device.
 *
 * Locking: none.
 *
 * After a fork the child closes its source and opens its own.
 *
 * Not supported: whether a page-table entry is writable. The kernel does not
 * report it; see platform.md section 6 and hmmu__pagemap_exclusive().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitmap.h"

enum hmmu__page_flags {
	HMMU__PAGE_PRESENT = 1u << 0,
	/* In swap, or a marker of write protection or of poison. */
	HMMU__PAGE_SWAPPED = 1u << 1,
	/* A page of a file or of shared memory, not an anonymous one. */
	HMMU__PAGE_FILE = 1u << 2,
	/* The zero page, small or large. Reported by PAGEMAP_SCAN only. */
	HMMU__PAGE_ZERO = 1u << 3,
	/*
	 * Mapped by one large entry, PMD or larger. Reported by PAGEMAP_SCAN
	 * only.
	 */
	HMMU__PAGE_HUGE = 1u << 4,
	/* Write-protected by userfaultfd. */
	HMMU__PAGE_WP = 1u << 5,
	/* MADV_GUARD_INSTALL. Reported since Linux 6.15; SWAPPED before. */
	HMMU__PAGE_GUARD = 1u << 6,
};

/* Pages [start, end) with the same @flags. */
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
 * Open /proc/self/pagemap and probe the kernel. @force_fallback: do not use
 * PAGEMAP_SCAN. Returns 0 or the error of open(2).
 */
int hmmu__pagescan_open(struct hmmu__pagescan_source *src, bool force_fallback);

/* May be called on a source that failed to open, and twice. */
void hmmu__pagescan_close(struct hmmu__pagescan_source *src);

/*
 * Report the pages of [@start, @end) in address order, as at most @max runs.
 * The range is page aligned, in the program's half of the address space, and
 * may span several mappings and unmapped parts.
 *
 * @want selects the flags that are set; PRESENT is always selected. A page is
 * reported if it is present, or if it is swapped and SWAPPED is in @want, or if
 * it is a guard and GUARD is in @want. All other pages are absent. PRESENT
 * alone is the cheapest; FILE costs the most. If GUARD is wanted and the kernel
 * reports it, a guard page is not SWAPPED.
 *
 * *@ret_next is the address to continue at: @end if all pages are reported,
 * else the end of the last run. Runs with equal flags are adjacent only where
 * one call ended.
 */
int hmmu__pagescan(const struct hmmu__pagescan_source *src, uintptr_t start,
		   uintptr_t end, uint32_t want, struct hmmu__page_run *runs,
		   size_t max, size_t *ret_count, uintptr_t *ret_next);

/*
 * Set bit i of @out if page i of the @npages (at most 512) from @start on is
 * present and mapped only once; clear the other bits. This is a hint: a page
 * that was shared with a child which has exited counts as exclusive, but is not
 * writable.
 */
int hmmu__pagemap_exclusive(const struct hmmu__pagescan_source *src,
			    uintptr_t start, size_t npages,
			    struct hmmu_bitmap512 *out);

#endif
