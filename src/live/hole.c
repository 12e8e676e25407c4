/* SPDX-License-Identifier: MIT */
/*
 * Holes: fill absent pages of armed mappings that are on no device with zeroes
 *
 * Locking: the caller is in a hold and has the block's lock.
 */
#include "live/hole.h"

#include <errno.h>

#include "live/inbox.h"
#include "live/look.h"
#include "live/records.h"
#include "live/uffd.h"
#include "live/watch.h"

/* Holes filled at once, from the touched one on. */
#define HOLE_PAGES 16u

/* True if the whole block is absent and in one mapping that had large pages. */
static bool wants_large(struct hmmu_live *l, uintptr_t block,
			const struct hmmu_bitmap512 *device_pages)
{
	struct hmmu_watch w;

	/* In user mode every hole of a mapping is filled: save memory there. */
	return !l->platform.user_mode_only &&
	       hmmu__bitmap_is_empty(device_pages) &&
	       hmmu__watch_get(l, block, &w) && w.saw_large &&
	       w.node.last >= block + HMMU_LARGE_BYTES - 1 &&
	       hmmu__is_absent(l, block, block + HMMU_LARGE_BYTES);
}

static int fill_large(struct hmmu_live *l, uintptr_t block)
{
	volatile uint8_t *z = l->zero_chunk;
	size_t done;

	/* Faults in a fresh zeroed large page: the last one was moved away. */
	*z = 0;
	return hmmu__uffd_move(l, block, (uintptr_t)z, HMMU_LARGE_BYTES, &done);
}

static int fill_small(struct hmmu_live *l, uintptr_t addr,
		      const struct hmmu_bitmap512 *device_pages)
{
	uintptr_t page = addr & ~(HMMU_PAGE_BYTES - 1);
	uintptr_t block = addr & ~(HMMU_LARGE_BYTES - 1);
	unsigned int at = (unsigned int)((page - block) >> HMMU_PAGE_LG2);
	unsigned int end = hmmu__bitmap_first_set_from(device_pages, at);
	size_t done;
	int err;

	if (end > at + HOLE_PAGES)
		end = at + HOLE_PAGES;
	err = hmmu__uffd_zero(l, page, (size_t)(end - at) << HMMU_PAGE_LG2,
			      &done);
	if (done || err == -EEXIST)
		return 0;
	/* The run extends beyond its mapping. Fill one page at least. */
	if (err == -ENOENT || err == -EINVAL)
		err = hmmu__uffd_zero(l, page, HMMU_PAGE_BYTES, &done);
	return done || err == -EEXIST ? 0 : err;
}

/*
 * Zeroes would hide the content of a file. An armed record is of anonymous
 * memory. Without a record, ask the kernel:
 *
 *	here                                program
 *	reads the fault of a hole in V
 *	                                    mmap(over V): a private file
 *	applies that event, watches the
 *	  file's mapping
 *	fills the hole
 */
static bool is_anonymous(struct hmmu_live *l, uintptr_t addr)
{
	struct hmmu_vma_info vma;

	return hmmu__watch_is_armed(l, addr, addr + 1) ||
	       (!hmmu__live_describe(&l->mm, addr, &vma) &&
		vma.flags & HMMU_VMA_ANON);
}

int hmmu__live_fill_hole(struct hmmu_mm *mm, uintptr_t addr,
			 const struct hmmu_bitmap512 *device_pages)
{
	uintptr_t block = addr & ~(HMMU_LARGE_BYTES - 1);
	uintptr_t page = addr & ~(HMMU_PAGE_BYTES - 1);
	struct hmmu_live *l = hmmu__live(mm);
	int err = -EINVAL;

	/*
	 * Until pending events are applied, a device page of this address may
	 * be recorded at another.
	 */
	if (hmmu__must_wait_for_events(l))
		return -EAGAIN;
	if (is_anonymous(l, page)) {
		if (wants_large(l, block, device_pages))
			err = fill_large(l, block);
		if (err && err != -EAGAIN)
			err = fill_small(l, addr, device_pages);
	} else {
		hmmu__watch_demote_vma(l, page);
	}
	/*
	 * Wake the thread also if nothing was filled: it accesses the page
	 * again, and the kernel decides what is mapped now.
	 */
	if (err != -EAGAIN) {
		hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
		err = 0;
	}
	return err;
}
