/* SPDX-License-Identifier: MIT */
/*
 * Page states by PAGEMAP_SCAN, or by the records of /proc/self/pagemap
 *
 * Locking: none.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "base/sys.h"
#include "live/pagescan.h"
#include "uapi/linux_mm.h"

/* The records of /proc/PID/pagemap, one for each page. */
#define PAGEMAP_PRESENT	  (1ull << 63)
#define PAGEMAP_SWAPPED	  (1ull << 62)
#define PAGEMAP_FILE	  (1ull << 61)
#define PAGEMAP_GUARD	  (1ull << 58)
#define PAGEMAP_WP	  (1ull << 57)
#define PAGEMAP_EXCLUSIVE (1ull << 56)

/* Records read at a time: 1 KiB of stack. */
#define RECORDS		  128u

#define REPORTED	  (HMMU__PAGE_PRESENT | HMMU__PAGE_SWAPPED | HMMU__PAGE_GUARD)

/* True if a page with @flags is reported to a caller that wants @want. */
static bool is_reported(uint32_t flags, uint32_t want)
{
	return flags & REPORTED & want;
}

/* --- by PAGEMAP_SCAN ------------------------------------------------------ */

static uint64_t categories_of(const struct hmmu__pagescan_source *src,
			      uint32_t flags)
{
	uint64_t categories = 0;

	if (flags & HMMU__PAGE_PRESENT)
		categories |= PAGE_IS_PRESENT;
	if (flags & HMMU__PAGE_SWAPPED)
		categories |= PAGE_IS_SWAPPED;
	if (flags & HMMU__PAGE_FILE)
		categories |= PAGE_IS_FILE;
	if (flags & HMMU__PAGE_ZERO)
		categories |= PAGE_IS_PFNZERO;
	if (flags & HMMU__PAGE_HUGE)
		categories |= PAGE_IS_HUGE;
	/* PAGE_IS_WRITTEN means "not write-protected by userfaultfd". */
	if (flags & HMMU__PAGE_WP)
		categories |= PAGE_IS_WRITTEN;
	if ((flags & HMMU__PAGE_GUARD) && src->have_guard)
		categories |= PAGE_IS_GUARD;
	return categories;
}

/* @categories has only bits that @want asked for. */
static uint32_t flags_of_categories(uint64_t categories, uint32_t want)
{
	uint32_t flags = 0;

	if (categories & PAGE_IS_PRESENT)
		flags |= HMMU__PAGE_PRESENT;
	if (categories & PAGE_IS_SWAPPED)
		flags |= HMMU__PAGE_SWAPPED;
	if (categories & PAGE_IS_FILE)
		flags |= HMMU__PAGE_FILE;
	if (categories & PAGE_IS_PFNZERO)
		flags |= HMMU__PAGE_ZERO;
	if (categories & PAGE_IS_HUGE)
		flags |= HMMU__PAGE_HUGE;
	if ((want & HMMU__PAGE_WP) && !(categories & PAGE_IS_WRITTEN))
		flags |= HMMU__PAGE_WP;
	/* The kernel reports a guard as swapped and written, too. */
	if (categories & PAGE_IS_GUARD)
		flags = HMMU__PAGE_GUARD;
	return flags;
}

/*
 * The kernel writes its regions into the array of runs. Each region is then
 * converted to a run in place.
 */
_Static_assert(sizeof(struct hmmu__page_run) == sizeof(struct page_region),
	       "a region is converted in its place");

static void convert_region(struct hmmu__page_run *run, uint32_t want)
{
	struct page_region region;

	memcpy(&region, run, sizeof(region));
	*run = (struct hmmu__page_run){
		.start = region.start,
		.end = region.end,
		.flags = flags_of_categories(region.categories, want),
	};
}

static long scan(const struct hmmu__pagescan_source *src,
		 struct pm_scan_arg *arg)
{
	return hmmu__syscall(SYS_ioctl, src->fd, (long)PAGEMAP_SCAN, (long)arg,
			     0, 0, 0);
}

static int scan_by_ioctl(const struct hmmu__pagescan_source *src,
			 uintptr_t start, uintptr_t end, uint32_t want,
			 struct hmmu__page_run *runs, size_t max,
			 size_t *ret_count, uintptr_t *ret_next)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)runs,
		.vec_len = max,
		.category_anyof_mask = categories_of(src, want & REPORTED),
		.return_mask = categories_of(src, want),
	};
	long count = scan(src, &arg);

	if (count < 0)
		return (int)count;
	for (long i = 0; i < count; i++)
		convert_region(&runs[i], want);
	*ret_count = (size_t)count;
	*ret_next = arg.walk_end;
	return 0;
}

/* --- by reading records --------------------------------------------------- */

/* A short read means the end of the address space: the rest is absent. */
static int read_records(const struct hmmu__pagescan_source *src,
			uintptr_t start, size_t count, uint64_t *records)
{
	ssize_t got;

	memset(records, 0, count * sizeof(*records));
	do {
		got = hmmu__sys_pread(src->fd, records,
				      count * sizeof(*records),
				      (int64_t)(start >> HMMU_PAGE_LG2) *
					      (int64_t)sizeof(*records));
	} while (got == -EINTR);
	return got < 0 ? (int)got : 0;
}

static uint32_t flags_of_record(uint64_t record, uint32_t want)
{
	uint32_t flags = 0;

	if (record & PAGEMAP_PRESENT)
		flags |= HMMU__PAGE_PRESENT;
	if (record & PAGEMAP_SWAPPED)
		flags |= HMMU__PAGE_SWAPPED;
	if (record & PAGEMAP_FILE)
		flags |= HMMU__PAGE_FILE;
	if (record & PAGEMAP_WP)
		flags |= HMMU__PAGE_WP;
	if ((record & PAGEMAP_GUARD) && (want & HMMU__PAGE_GUARD))
		flags = HMMU__PAGE_GUARD;
	return flags;
}

/* The runs that the fallback has found so far. */
struct run_list {
	struct hmmu__page_run *runs;
	size_t max;
	size_t count;
};

/* Add one page. False: it needs a new run, and there is no room for one. */
static bool add_page(struct run_list *list, uintptr_t page, uint32_t flags)
{
	struct hmmu__page_run *last = &list->runs[list->count];

	if (list->count && last[-1].end == page && last[-1].flags == flags) {
		last[-1].end += HMMU_PAGE_BYTES;
		return true;
	}
	if (list->count == list->max)
		return false;
	*last = (struct hmmu__page_run){ page, page + HMMU_PAGE_BYTES, flags };
	list->count++;
	return true;
}

/* Add the pages of @records. Returns how many of them are processed. */
static size_t add_records(struct run_list *list, uintptr_t start,
			  const uint64_t *records, size_t count, uint32_t want)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t flags = flags_of_record(records[i], want);

		if (is_reported(flags, want) &&
		    !add_page(list, start + i * HMMU_PAGE_BYTES, flags & want))
			return i;
	}
	return count;
}

static int scan_by_records(const struct hmmu__pagescan_source *src,
			   uintptr_t start, uintptr_t end, uint32_t want,
			   struct run_list *list, uintptr_t *ret_next)
{
	uint64_t records[RECORDS];

	while (start < end) {
		size_t pages =
			hmmu_min((end - start) >> HMMU_PAGE_LG2, RECORDS);
		int err = read_records(src, start, pages, records);
		size_t done;

		if (err)
			return err;
		done = add_records(list, start, records, pages, want);
		start += done << HMMU_PAGE_LG2;
		if (done < pages)
			break;
	}
	*ret_next = start;
	return 0;
}

/* --- calls ---------------------------------------------------------------- */

int hmmu__pagescan(const struct hmmu__pagescan_source *src, uintptr_t start,
		   uintptr_t end, uint32_t want, struct hmmu__page_run *runs,
		   size_t max, size_t *ret_count, uintptr_t *ret_next)
{
	struct run_list list = { runs, max, 0 };
	int err;

	want |= HMMU__PAGE_PRESENT;
	HMMU_ASSERT(hmmu_is_aligned(start | end, HMMU_PAGE_BYTES));
	HMMU_ASSERT(start <= end && max > 0);
	if (src->have_scan)
		return scan_by_ioctl(src, start, end, want, runs, max,
				     ret_count, ret_next);
	err = scan_by_records(src, start, end, want, &list, ret_next);
	if (!err)
		*ret_count = list.count;
	return err;
}

int hmmu__pagemap_exclusive(const struct hmmu__pagescan_source *src,
			    uintptr_t start, size_t npages,
			    struct hmmu_bitmap512 *out)
{
	const uint64_t wanted = PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE;
	uint64_t records[RECORDS];

	HMMU_ASSERT(npages <= HMMU_BITMAP_BITS);
	hmmu__bitmap_zero(out);
	for (size_t first = 0; first < npages; first += RECORDS) {
		size_t count = hmmu_min(npages - first, RECORDS);
		int err = read_records(src, start + first * HMMU_PAGE_BYTES,
				       count, records);

		if (err)
			return err;
		for (size_t i = 0; i < count; i++) {
			if ((records[i] & wanted) == wanted)
				hmmu__bitmap_set(out,
						 (unsigned int)(first + i));
		}
	}
	return 0;
}

/* Scan the page that this function's stack is on, for @categories. */
static bool kernel_knows(const struct hmmu__pagescan_source *src,
			 uint64_t categories)
{
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.category_anyof_mask = categories,
	};

	arg.start = hmmu_round_down((uintptr_t)&arg, HMMU_PAGE_BYTES);
	arg.end = arg.start + HMMU_PAGE_BYTES;
	return scan(src, &arg) >= 0;
}

int hmmu__pagescan_open(struct hmmu__pagescan_source *src, bool force_fallback)
{
	src->have_scan = false;
	src->have_guard = false;
	src->fd = hmmu__sys_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0);
	if (src->fd < 0)
		return src->fd;
	src->have_scan = !force_fallback && kernel_knows(src, PAGE_IS_PRESENT);
	src->have_guard = src->have_scan && kernel_knows(src, PAGE_IS_GUARD);
	return 0;
}

void hmmu__pagescan_close(struct hmmu__pagescan_source *src)
{
	if (src->fd >= 0)
		hmmu__sys_close(src->fd);
	src->fd = -1;
}
