/* SPDX-License-Identifier: MIT */
/*
 * Coming home: device pages go back to system memory, because the CPU touched
 * them or somebody asked.
 *
 *      CPU thread            service                     device
 *      touches the page
 *      (stopped)             invalidate begin:
 *                              mirror emptied            faults again: waits
 *                              waits for sections        section ends
 *                            lock block
 *                            page-table entries back
 *                            unlock, invalidate end      maps system memory
 *      goes on
 *
 * Required: the CPU reads the page's content with every device write in it;
 * the device writes nothing to the old place after the entries went back.
 */
#include <errno.h>

#include "base/fault_point.h"
#include "base/sys.h"
#include "core/core.h"
#include "memory/pool.h"

static void result_add(struct hmmu_migrate_result *r, uint64_t pages,
		       uint64_t large)
{
	if (!r)
		return;
	r->pages_moved += pages;
	r->large_moved += large;
}

static void home_count(struct hmmu_space *space, const struct hmmu_mm_put *put)
{
	uint64_t pages = put->done_bytes >> HMMU_PAGE_LG2;

	hmmu__count(&space->counters.pages_home, pages);
	hmmu__count(&space->counters.large_home, put->large);
	hmmu__count(&space->counters.pages_copied, put->copied);
	hmmu__count(&space->counters.device_pages, (uint64_t)0 - pages);
}

/* One run of one block; what could be put is recorded even after an error. */
static int run_put(struct hmmu_space *space, struct hmmu_block *b,
		   unsigned int run, unsigned int run_end,
		   struct hmmu_migrate_result *result) HMMU_REQUIRES(&b->lock)
{
	struct hmmu_memory *m = b->device->memory;
	uint32_t place = hmmu__block_index_of(b, run);
	struct hmmu_mm_put put = {
		.start = hmmu__block_addr(b, run),
		.bytes = (size_t)(run_end - run) << HMMU_PAGE_LG2,
		.host = hmmu__memory_host(m, place),
	};
	unsigned int done;
	int err;

	err = HMMU_FAULT_POINT("put", -ENOMEM);
	if (!err)
		err = space->mm->ops->put(space->mm, &put);
	done = (unsigned int)(put.done_bytes >> HMMU_PAGE_LG2);
	if (done) {
		hmmu__memory_give(m, place, done, !put.large);
		hmmu__block_clear(b, run, done);
		home_count(space, &put);
		result_add(result, done, put.large);
	}
	return err;
}

/* The mapping is gone, an event about it is on its way or was read. */
static void run_forget(struct hmmu_space *space, struct hmmu_block *b,
		       unsigned int run, unsigned int run_end)
	HMMU_REQUIRES(&b->lock)
{
	struct hmmu_memory *m = b->device->memory;
	uint32_t place = hmmu__block_index_of(b, run);
	unsigned int n = run_end - run;

	(void)space->mm->ops->empty(space->mm, hmmu__memory_host(m, place),
				    (size_t)n << HMMU_PAGE_LG2);
	hmmu__memory_give(m, place, n, true);
	hmmu__block_clear(b, run, n);
	space->mm->ops->forget(space->mm, b->start, n);
	hmmu__count(&space->counters.device_pages, (uint64_t)0 - n);
	hmmu__count(&space->counters.pages_dropped, n);
}

static int runs_home_locked(struct hmmu_space *space, struct hmmu_block *b,
			    unsigned int page, unsigned int stop,
			    struct hmmu_migrate_result *result)
	HMMU_REQUIRES(&b->lock)
{
	unsigned int run, run_end;
	int err = 0;

	while (!err && hmmu__block_run(b, page, stop, &run, &run_end)) {
		err = run_put(space, b, run, run_end, result);
		if (err == -ENOENT &&
		    hmmu__block_run(b, page, stop, &run, &run_end)) {
			run_forget(space, b, run, run_end);
			err = 0;
		}
		page = run_end;
	}
	return err;
}

int hmmu__block_home(struct hmmu_space *space, struct hmmu_block *block,
		     uintptr_t start, uintptr_t end,
		     struct hmmu_migrate_result *result)
{
	struct hmmu_mm *mm = space->mm;
	struct hmmu_invalidate_call call = {
		.inv = { .start = start,
			 .end = end,
			 .event = HMMU_EVENT_MIGRATE },
	};
	unsigned int page, stop;
	int err;

	hmmu__block_lock(block);
	call.inv.owner = block->device;
	hmmu__block_unlock(block);
	hmmu__block_clip(block, start, end, &page, &stop);
	hmmu__core_invalidate_begin(space, &call);
	mm->ops->events_lock_shared(mm);
	hmmu__block_lock(block);
	err = runs_home_locked(space, block, page, stop, result);
	hmmu__block_unlock(block);
	mm->ops->events_unlock_shared(mm);
	hmmu__core_invalidate_end(space, &call);
	return err;
}

static bool holds(struct hmmu_block *b, const struct hmmu_device *only)
{
	bool yes;

	if (!atomic_load_explicit(&b->away_pages, memory_order_acquire))
		return false;
	hmmu__block_lock(b);
	yes = b->device && (!only || b->device == only);
	hmmu__block_unlock(b);
	return yes;
}

/* A mapping that changes all the time gets so long before -EBUSY. */
#define HOME_TIMEOUT_NS 10000000000ull

static int block_home_surely(struct hmmu_space *space, struct hmmu_block *b,
			     uintptr_t start, uintptr_t end,
			     struct hmmu_migrate_result *result)
{
	uint64_t begun = hmmu__sys_clock_ns();
	int err;

	while ((err = hmmu__block_home(space, b, start, end, result)) ==
	       -EAGAIN) {
		if (hmmu__sys_clock_ns() - begun > HOME_TIMEOUT_NS)
			return -EBUSY;
		space->mm->ops->quiet(space->mm);
	}
	return err;
}

int hmmu__range_home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     const struct hmmu_device *only,
		     struct hmmu_migrate_result *result)
{
	struct hmmu_block *b;
	int err = 0;

	space->mm->ops->quiet(space->mm);
	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		uintptr_t lo = start > b->start ? start : b->start;
		uintptr_t hi = b->start + HMMU_LARGE_BYTES;
		int e;

		if (!holds(b, only))
			continue;
		e = block_home_surely(space, b, lo, hi < end ? hi : end,
				      result);
		if (e)
			err = e;
	}
	return err;
}

int hmmu__core_all_home(struct hmmu_space *space)
{
	return hmmu__range_home(space, 0, UINTPTR_MAX & ~HMMU_PAGE_BYTES, NULL,
				NULL);
}

/*
 * The page is absent in a mapping that is armed: it is on a device, or it was
 * never written. The block's lock decides, and keeps a migration from taking
 * the hole while it is filled.
 */
static int fill_or_home(struct hmmu_space *space, struct hmmu_block *b,
			uintptr_t addr)
{
	struct hmmu_mm *mm = space->mm;
	bool away;
	int err = 0;

	mm->ops->events_lock_shared(mm);
	hmmu__block_lock(b);
	away = hmmu__bitmap_test(&b->away, hmmu__block_page(b, addr));
	if (!away)
		err = mm->ops->fill_hole(mm, addr, &b->away);
	hmmu__block_unlock(b);
	mm->ops->events_unlock_shared(mm);
	if (!away) {
		hmmu__count(&space->counters.hole_faults, 1);
		return err;
	}
	hmmu__count(&space->counters.cpu_faults, 1);
	return hmmu__block_home(space, b, b->start, b->start + HMMU_LARGE_BYTES,
				NULL);
}

int hmmu__core_cpu_fault(struct hmmu_space *space, uintptr_t addr, bool write)
{
	struct hmmu_block *b = hmmu__block_get(space, addr);

	(void)write;
	return b ? fill_or_home(space, b, addr) : -ENOMEM;
}
