/* SPDX-License-Identifier: MIT */
/*
 * The test device for page pins: pins pages as a system call or a driver does,
 * and unpins them before it returns
 */
#include <errno.h>
#include <sys/mman.h>

#include <hmmu/pin.h>

#include "dmirror.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

/*
 * Access the pages as another device would, so that device pages migrate back.
 * Needed for an ordinary user, whose userfaultfd does not resolve faults of the
 * kernel.
 */
static int touch_pages(uint64_t start, uint64_t end)
{
	int err = dmirror_process_hold();
	char byte;

	if (err)
		return err;
	for (; start < end && !err; start += HMMU_PAGE_BYTES)
		err = dmirror_copy_in(&byte, start, 1);
	dmirror_process_drop();
	return err;
}

/* Short-term: any page that the CPU can access (DC4). */
static int get_pages(uint64_t start, uint64_t end, bool write)
{
	if (!madvise((void *)start, end - start,
		     write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ))
		return 0;
	return errno == EAGAIN ? -EAGAIN : touch_pages(start, end);
}

/* Long-term: pages in system memory (DC3). */
static int pin_pages(uint64_t start, uint64_t end)
{
	struct hmmu_space *space = dmirror_process_get()->space;
	int err = hmmu_pin_range(space, start, end - start);

	return err ? err : hmmu_unpin_range(space, start, end - start);
}

static bool is_long(unsigned long request, const struct gup_cmd *g)
{
	return request == GUP_PIN_LONG ||
	       (request == GUP_PIN_FAST && g->gup_flags & GUP_LONGTERM);
}

static int run_gup(unsigned long request, const struct gup_cmd *g)
{
	uint64_t start = g->addr & ~(HMMU_PAGE_BYTES - 1);
	uint64_t end = (g->addr + g->size + HMMU_PAGE_BYTES - 1) &
		       ~(HMMU_PAGE_BYTES - 1);
	int err;

	if (!g->size || end <= start)
		return -EINVAL;
	if (!is_long(request, g))
		return get_pages(start, end, g->gup_flags & GUP_WRITE);
	err = dmirror_process_hold();
	if (err)
		return err;
	err = pin_pages(start, end);
	dmirror_process_drop();
	return err;
}

int dmirror_gup(unsigned long request, uint64_t arg)
{
	struct gup_cmd *g = (struct gup_cmd *)arg;

	switch (request) {
	case GUP_FAST:
	case GUP_PIN_FAST:
	case GUP_PIN_LONG:
	case GUP_BASIC:
	case GUP_PIN_BASIC:
		break;
	default:
		return -EINVAL;
	}
	return g ? run_gup(request, g) : -EFAULT;
}
