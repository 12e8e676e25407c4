/* SPDX-License-Identifier: MIT */
/*
 * Device faults: map pages in a device's mirror
 *
 * Overview: hmmu_device_fault() makes a range of pages present, as a CPU
 * access would, and maps them in the device's mirror. It works on one block
 * (2 MiB) and one VMA at a time. The race is with an invalidation:
 *
 *	device fault                        munmap
 *
 *	seq = read_begin(block)
 *	find and watch the VMA
 *	snapshot: the page is present
 *	                                    lock block, change its sequence,
 *	                                      unlock
 *	                                    remove mirror entries
 *	                                    unmap the page
 *	lock block
 *	sequence is not seq: retry
 *
 * Required: the mirror never maps a page that is gone. If the fault locks the
 * block first, the invalidation removes what the fault has mapped. If it locks
 * second, it sees the new sequence and retries, for at most 1 s.
 *
 * Locking: the caller holds no lock. Only the block lock is taken, and only
 * while the mirror is written. Faulting in can wait for the fault service,
 * which takes block locks, so it is done before.
 *
 * Not supported:
 * - Atomic faults. After an error the pages before it may be mapped.
 * - Fault-around in shared and file memory. A snapshot does not show there
 *   which pages are writable.
 * - HMMU's own memory. A fault on it is -EFAULT, like one on a hole.
 */
#include "core/fault.h"

#include <errno.h>

#include "base/sched.h"
#include "core/device.h"
#include "core/view.h"

/* Runs of a window. Where it has more, the fault maps less at a time. */
#define WINDOW_RUNS 64u

/* A fault within one block. All ranges are half-open. */
struct block_fault {
	struct hmmu_device *device;
	struct hmmu_block *block;
	struct hmmu_vma_info vma;
	/* Pages that must be mapped. */
	uintptr_t start, end;
	/* Pages that are mapped if they are present; contains [start, end). */
	uintptr_t window_start, window_end;
	bool write;
	bool fault_around;
	/* A write fault on [start, end) has succeeded: it is writable. */
	bool is_granted;
	uint64_t seq;
	/* The present pages of the window. */
	size_t n;
	struct hmmu_view_run runs[WINDOW_RUNS];
};

static uintptr_t block_end(const struct hmmu_block *b)
{
	return b->start + HMMU_LARGE_BYTES;
}

/* Get the VMA of @f->start and make sure that its changes are reported. */
static int watch_faulting_vma(struct block_fault *f)
{
	struct hmmu_mm *mm = f->device->space->mm;
	int err;

	err = hmmu__mm_vma_at(mm, f->start, &f->vma);
	if (!err)
		err = hmmu__vma_check(&f->vma, f->write);
	if (err)
		return err;
	err = mm->ops->watch(mm, &f->vma);
	if (err == -ENOMEM)
		return err;
	/* Memory that cannot be watched is mapped all the same. */
	return err == -EAGAIN ? -EBUSY : 0;
}

/* The window is aligned, so that neighbouring faults do not overlap. */
static void choose_window(struct block_fault *f)
{
	size_t bytes = (size_t)f->device->fault_around_pages << HMMU_PAGE_LG2;
	uintptr_t start = f->start, end = f->end;

	if (f->fault_around && f->vma.flags & HMMU_VMA_ANON &&
	    bytes > HMMU_PAGE_BYTES) {
		start -= (start - f->block->start) % bytes;
		end = hmmu_max(end, start + bytes);
	}
	end = hmmu_min(end, block_end(f->block));
	f->window_start = hmmu_max(start, f->vma.start);
	f->window_end = hmmu_min(end, f->vma.end);
}

/* Fill @f->runs from the window's start on; *@ret_next is where they end. */
static int collect_runs(struct block_fault *f, uintptr_t *ret_next)
{
	const struct hmmu_view view = { .owner = f->device, .exclusive = true };
	uintptr_t at = f->window_start;
	size_t n;
	int err = 0;

	f->n = 0;
	while (at < f->window_end && f->n < WINDOW_RUNS && !err) {
		err = hmmu__view_runs(f->device->space, &view, &f->vma, at,
				      f->window_end, f->runs + f->n,
				      WINDOW_RUNS - f->n, &n, &at);
		if (!err)
			f->n += n;
	}
	*ret_next = at;
	return err;
}

/* A window of too many runs becomes shorter, and the fault with it. */
static int snapshot_window(struct block_fault *f)
{
	uintptr_t next;
	int err;

	f->is_granted = false;
	err = collect_runs(f, &next);
	if (!err && next <= f->start) {
		f->window_start = f->start;
		err = collect_runs(f, &next);
	}
	f->window_end = hmmu_min(f->window_end, next);
	f->end = hmmu_min(f->end, next);
	return err;
}

/* @r is a run with pages of [@f->start, @f->end). */
static bool has_access(const struct block_fault *f,
		       const struct hmmu_view_run *r)
{
	return !f->write || r->write || f->is_granted;
}

/* Find the first pages in [@from, @f->end) that lack the access. */
static bool find_missing_run(const struct block_fault *f, uintptr_t from,
			     uintptr_t *start, uintptr_t *end)
{
	size_t i;

	*start = from;
	*end = f->end;
	for (i = 0; i < f->n; i++) {
		const struct hmmu_view_run *r = &f->runs[i];

		if (r->end <= *start || !has_access(f, r))
			continue;
		if (r->start > *start) {
			*end = hmmu_min(r->start, f->end);
			break;
		}
		*start = r->end;
	}
	return *start < *end;
}

/* Fault in the missing pages of [@f->start, @f->end) and fill the runs. */
static int populate_pages(struct block_fault *f)
{
	struct hmmu_mm *mm = f->device->space->mm;
	uintptr_t start, end;
	int err;

	err = snapshot_window(f);
	if (err || !find_missing_run(f, f->start, &start, &end))
		return err;
	do {
		err = mm->ops->fault_in(mm, start, end, f->write);
		if (err)
			return err;
	} while (find_missing_run(f, end, &start, &end));
	err = snapshot_window(f);
	if (err)
		return err;
	/*
	 * Linux does not show whether a page-table entry is writable. A page
	 * is, right after a write fault on it has succeeded (RF7).
	 */
	f->is_granted = f->write;
	/* A page that is missing again has been changed meanwhile. */
	return find_missing_run(f, f->start, &start, &end) ? -EBUSY : 0;
}

static uint64_t leaf_flags(const struct hmmu_view_run *r, bool write)
{
	uint64_t flags = write ? HMMU_MIRROR_WRITE : 0;

	switch (r->where) {
	case HMMU_WHERE_DEVICE:
	case HMMU_WHERE_COHERENT:
		return flags | HMMU_DEVICE_LEAF_LOCAL;
	case HMMU__WHERE_EXCLUSIVE:
		return flags | HMMU_DEVICE_LEAF_LOCAL |
		       HMMU_DEVICE_LEAF_EXCLUSIVE;
	default:
		return flags;
	}
}

/* The run with the page at @f->start; NULL if it is absent. */
static const struct hmmu_view_run *first_run(const struct block_fault *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->runs[i].start <= f->start && f->start < f->runs[i].end)
			return &f->runs[i];
	return NULL;
}

static bool is_large_page(const struct block_fault *f,
			  const struct hmmu_view_run *r)
{
	return r && r->order >= HMMU_LARGE_LG2 - HMMU_PAGE_LG2 &&
	       f->vma.start <= f->block->start &&
	       f->vma.end >= block_end(f->block);
}

/* A large page has one permission, so the window does not limit its leaf. */
static int map_large_leaf(struct block_fault *f, const struct hmmu_view_run *r)
	HMMU_REQUIRES(&f->block->lock)
{
	return hmmu_mirror_map_range(f->device->mirror, f->block->start,
				     block_end(f->block) - f->block->start,
				     r->host - (r->start - f->block->start),
				     leaf_flags(r, r->write || f->is_granted));
}

static int map_runs(struct block_fault *f, uintptr_t start, uintptr_t end,
		    bool is_granted) HMMU_REQUIRES(&f->block->lock)
{
	int err = 0;
	size_t i;

	for (i = 0; i < f->n && !err; i++) {
		const struct hmmu_view_run *r = &f->runs[i];
		uintptr_t lo = hmmu_max(start, r->start);
		uintptr_t hi = hmmu_min(end, r->end);

		if (lo < hi)
			err = hmmu_mirror_map_range(
				f->device->mirror, lo, hi - lo,
				r->host + (lo - r->start),
				leaf_flags(r, r->write || is_granted));
	}
	return err;
}

/*
 * Small pages are mapped in two halves: the mirror would make one large leaf of
 * 512 consecutive pages, and the kernel maps these pages one by one.
 */
static int map_small_leaves(struct block_fault *f, uintptr_t start,
			    uintptr_t end, bool is_granted)
	HMMU_REQUIRES(&f->block->lock)
{
	uintptr_t middle = f->block->start + HMMU_LARGE_BYTES / 2;
	int err = map_runs(f, start, hmmu_min(middle, end), is_granted);

	return err ? err :
		     map_runs(f, hmmu_max(middle, start), end, is_granted);
}

static int map_window(struct block_fault *f) HMMU_REQUIRES(&f->block->lock)
{
	const struct hmmu_view_run *first = first_run(f);
	int err;

	if (is_large_page(f, first))
		return map_large_leaf(f, first);
	if (!f->is_granted)
		return map_small_leaves(f, f->window_start, f->window_end,
					false);
	err = map_small_leaves(f, f->window_start, f->start, false);
	if (!err)
		err = map_small_leaves(f, f->start, f->end, true);
	return err ? err : map_small_leaves(f, f->end, f->window_end, false);
}

static int map_unless_invalidated(struct block_fault *f)
{
	int err = -EBUSY;

	hmmu__block_lock(f->block);
	if (!hmmu__notifier_retry(&f->block->sub, f->seq))
		err = map_window(f);
	hmmu__block_unlock(f->block);
	return err;
}

/* Fault one VMA's part of the block; cuts @f->end to it. -EBUSY: collided. */
static int try_block_fault(struct block_fault *f)
{
	struct hmmu_space *space = f->device->space;
	int err;

	/* A raw munmap() that has returned must be visible from here on. */
	space->mm->ops->sync(space->mm, 0);
	f->seq = hmmu__notifier_read_begin(&space->notifiers, &f->block->sub);
	err = watch_faulting_vma(f);
	if (err)
		return err;
	f->end = hmmu_min(f->end, f->vma.end);
	choose_window(f);
	err = populate_pages(f);
	return err ? err : map_unless_invalidated(f);
}

static int retry_block_fault(struct block_fault *f)
{
	uint64_t start_ns = hmmu__sched_now_ns();
	uintptr_t end = f->end;
	int err;

	f->fault_around = true;
	while ((err = try_block_fault(f)) == -EBUSY) {
		hmmu__count(&f->device->space->counters.device_fault_retries,
			    1);
		if (hmmu__sched_now_ns() - start_ns >
		    HMMU_RANGE_DEFAULT_TIMEOUT_NS)
			break;
		/* A short attempt is less likely to collide again. */
		f->fault_around = false;
		f->end = end;
		hmmu__sched_yield();
	}
	return err;
}

static int fault_each_block(struct block_fault *f, uintptr_t start,
			    uintptr_t end)
{
	int err = 0;

	for (; start < end && !err; start = f->end) {
		f->block = hmmu__block_get(&f->device->space->blocks, start);
		if (!f->block)
			return -ENOMEM;
		f->start = start;
		f->end = hmmu_min(end, block_end(f->block));
		err = retry_block_fault(f);
	}
	return err;
}

int hmmu__device_fault(struct hmmu_device *device, uintptr_t va, size_t bytes,
		       enum hmmu_access access)
{
	uintptr_t start = va & ~(HMMU_PAGE_BYTES - 1);
	uintptr_t last = (va + bytes - 1) | (HMMU_PAGE_BYTES - 1);
	struct block_fault f = { .device = device,
				 .write = access == HMMU_ACCESS_WRITE };
	struct hmmu_thread *self;
	int err;

	if (last >= device->va_limit)
		return -EFAULT;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	/*
	 * An invalidation that the fault waits for may wait for this thread's
	 * sections. Other threads abort the slow path of a port themselves.
	 */
	hmmu__ports_break_own(&device->space->ports);
	err = fault_each_block(&f, start, last + 1);
	hmmu__count(&device->space->counters.device_faults, 1);
	hmmu__leave(self);
	return err;
}

int hmmu_device_fault(struct hmmu_device *device, uintptr_t va, size_t bytes,
		      enum hmmu_access access)
{
	if (!device || !bytes || va + bytes - 1 < va ||
	    (access != HMMU_ACCESS_READ && access != HMMU_ACCESS_WRITE))
		return -EINVAL;
	if (!hmmu__space_is_usable(device->space))
		return -ECHILD;
	return hmmu__device_fault(device, va, bytes, access);
}
