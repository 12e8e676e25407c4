/* SPDX-License-Identifier: MIT */
/*
 * Device faults: filling a device's mirror.
 *
 * The race with a change of the program's memory is the notifier's (see
 * notifier.h), with the block as subscriber and its lock as driver lock.
 */
#include <errno.h>

#include "base/arena.h"
#include "base/sys.h"
#include "core/residency.h"
#include "memory/pool.h"

/* One block's part of a fault. */
struct fault {
	struct hmmu_device *device;
	struct hmmu_block *block;
	struct hmmu_vma_info vma;
	/* What must be mapped, and what may be mapped beside it. */
	uintptr_t start, end;
	uintptr_t window_start, window_end;
	bool write;
	/* An attempt has collided: the next is to be short. */
	bool hurried;
	uint64_t seq;
	/* One entry per page of the block. */
	uint64_t *entries;
};

static uint64_t *entry_at(const struct fault *f, uintptr_t addr)
{
	return &f->entries[hmmu__block_page(f->block, addr)];
}

static uintptr_t block_end(const struct hmmu_block *b)
{
	return b->start + HMMU_LARGE_BYTES;
}

/*
 * Fault-around: an aligned window of the block. Only in private anonymous
 * memory, where what the snapshot says of permissions can be relied on.
 */
static void window_choose(struct fault *f)
{
	size_t bytes = (size_t)f->device->fault_around_pages << HMMU_PAGE_LG2;
	uintptr_t lo = f->start, hi = f->end;

	if (f->vma.flags & HMMU_VMA_ANON && bytes > HMMU_PAGE_BYTES &&
	    !f->hurried) {
		lo -= (lo - f->block->start) % bytes;
		hi = lo + bytes > hi ? lo + bytes : hi;
	}
	f->window_start = lo > f->vma.start ? lo : f->vma.start;
	f->window_end = hi < f->vma.end ? hi : f->vma.end;
	if (f->window_end > block_end(f->block))
		f->window_end = block_end(f->block);
}

static int look(struct fault *f)
{
	const struct hmmu_view view = { .owner = f->device, .exclusive = true };

	return hmmu__entries_fill(f->device->space, &view, &f->vma,
				  f->window_start, f->window_end,
				  entry_at(f, f->window_start));
}

/* The first run of wanted pages in [at, end) that is not there yet. */
static bool missing_run(const struct fault *f, uintptr_t at, uintptr_t *lo,
			uintptr_t *hi)
{
	while (at < f->end && hmmu__entry_satisfies(*entry_at(f, at), f->write))
		at += HMMU_PAGE_BYTES;
	if (at >= f->end)
		return false;
	*lo = at;
	while (at < f->end &&
	       !hmmu__entry_satisfies(*entry_at(f, at), f->write))
		at += HMMU_PAGE_BYTES;
	*hi = at;
	return true;
}

/* What has just been faulted for writing is writable: RF7. */
static void grant(struct fault *f, uintptr_t lo, uintptr_t hi)
{
	for (; lo < hi; lo += HMMU_PAGE_BYTES)
		if (*entry_at(f, lo) & HMMU_ENTRY_VALID)
			*entry_at(f, lo) |= HMMU_ENTRY_WRITE;
}

static int make_present(struct fault *f)
{
	struct hmmu_mm *mm = f->device->space->mm;
	uintptr_t at = f->start, lo, hi;
	bool faulted = false;
	int err;

	err = look(f);
	while (!err && missing_run(f, at, &lo, &hi)) {
		err = mm->ops->fault_in(mm, lo, hi, f->write);
		faulted = true;
		at = hi;
	}
	if (err || !faulted)
		return err;
	err = look(f);
	if (!err && f->write)
		grant(f, f->start, f->end);
	if (!err && missing_run(f, f->start, &lo, &hi))
		return -EBUSY;
	return err;
}

static uint64_t host_of(const struct hmmu_memory *m, uint64_t entry)
{
	return (uintptr_t)hmmu__memory_host(m,
					    (uint32_t)hmmu_entry_index(entry));
}

static uint64_t leaf_of(const struct fault *f, uintptr_t addr)
{
	uint64_t e = *entry_at(f, addr);
	uint64_t leaf;

	if (!(e & HMMU_ENTRY_VALID))
		return 0;
	switch ((unsigned int)hmmu_entry_where(e)) {
	case HMMU_WHERE_DEVICE:
		leaf = host_of(f->device->memory, e) | HMMU_DEVICE_LEAF_LOCAL;
		break;
	case HMMU__WHERE_EXCLUSIVE:
		leaf = host_of(f->device->exclusive, e) |
		       HMMU_DEVICE_LEAF_LOCAL | HMMU_DEVICE_LEAF_EXCLUSIVE;
		break;
	case HMMU_WHERE_COHERENT:
		leaf = addr | HMMU_DEVICE_LEAF_LOCAL;
		break;
	default:
		leaf = addr;
		break;
	}
	if (e & HMMU_ENTRY_WRITE)
		leaf |= HMMU_MIRROR_WRITE;
	return leaf | HMMU_MIRROR_VALID;
}

/* The whole block is one large page, in the system or on the device. */
static bool is_large(const struct fault *f)
{
	return hmmu_entry_order(*entry_at(f, f->start)) >=
		       HMMU_LARGE_LG2 - HMMU_PAGE_LG2 &&
	       f->vma.start <= f->block->start &&
	       f->vma.end >= block_end(f->block);
}

static int map_large(struct fault *f) HMMU_REQUIRES(&f->block->lock)
{
	uintptr_t offset = f->start - f->block->start;
	uint64_t leaf = leaf_of(f, f->start);

	return hmmu_mirror_map(f->device->mirror, f->block->start,
			       block_end(f->block),
			       (leaf & HMMU_MIRROR_PAYLOAD) - offset,
			       leaf & HMMU_MIRROR_FLAGS);
}

/*
 * Small pages in two halves, so that 512 small pages in a row are not taken
 * for a large one: a large page mapped by small entries is small.
 */
static int map_small(struct fault *f) HMMU_REQUIRES(&f->block->lock)
{
	uintptr_t middle = f->block->start + HMMU_LARGE_BYTES / 2;
	uintptr_t at, stop;
	int err = 0;

	for (at = f->window_start; at < f->window_end; at += HMMU_PAGE_BYTES)
		*entry_at(f, at) = leaf_of(f, at);
	for (at = f->window_start; at < f->window_end && !err; at = stop) {
		stop = at < middle && middle < f->window_end ? middle :
							       f->window_end;
		err = hmmu_mirror_map_entries(f->device->mirror, at,
					      (stop - at) >> HMMU_PAGE_LG2,
					      entry_at(f, at));
	}
	return err;
}

static int commit(struct fault *f)
{
	int err = -EBUSY;

	hmmu__block_lock(f->block);
	if (!hmmu__notifier_retry(&f->block->sub, f->seq))
		err = is_large(f) ? map_large(f) : map_small(f);
	hmmu__block_unlock(f->block);
	return err;
}

/* The mapping at @f->start, watched; 0, or the fault's error. */
static int describe(struct fault *f)
{
	struct hmmu_mm *mm = f->device->space->mm;
	int err, watched;

	do {
		err = mm->ops->describe(mm, f->start, &f->vma);
		if (!err)
			err = hmmu__vma_check(&f->vma, f->write);
		if (err)
			return err;
		watched = mm->ops->watch(mm, &f->vma);
		/* Newly watched: it may have changed just before that. */
	} while (watched > 0);
	if (watched == -ENOMEM)
		return watched;
	return watched == -EAGAIN ? -EBUSY : 0;
}

/* One attempt; may map less than was asked for, then moves @f->end there. */
static int attempt(struct fault *f)
{
	struct hmmu_space *space = f->device->space;
	int err;

	/* A page that a raw munmap() has dropped is not to be found again. */
	space->mm->ops->events_wait(space->mm);
	f->seq = hmmu__notifier_read_begin(&space->notifiers, &f->block->sub);
	err = describe(f);
	if (err)
		return err;
	if (f->end > f->vma.end)
		f->end = f->vma.end;
	window_choose(f);
	err = make_present(f);
	return err ? err : commit(f);
}

static int part_fault(struct fault *f)
{
	uint64_t begun = hmmu__sys_clock_ns();
	uintptr_t end = f->end;
	int err;

	f->hurried = false;
	while ((err = attempt(f)) == -EBUSY) {
		f->end = end;
		f->hurried = true;
		hmmu__count(&f->device->space->counters.device_fault_retries,
			    1);
		if (hmmu__sys_clock_ns() - begun >
		    HMMU_RANGE_DEFAULT_TIMEOUT_NS)
			break;
		hmmu__sys_sched_yield();
	}
	return err;
}

static int fault_parts(struct hmmu_device *d, uintptr_t start, uintptr_t end,
		       bool write, uint64_t *entries)
{
	struct fault f = { .device = d, .write = write, .entries = entries };
	int err = 0;

	for (; start < end && !err; start = f.end) {
		f.block = hmmu__block_get(d->space, start);
		if (!f.block)
			return -ENOMEM;
		f.start = start;
		f.end = end < block_end(f.block) ? end : block_end(f.block);
		err = part_fault(&f);
	}
	return err;
}

int hmmu__device_fault(struct hmmu_device *device, uintptr_t va, size_t bytes,
		       enum hmmu_access access)
{
	uintptr_t start = va & ~(HMMU_PAGE_BYTES - 1);
	uintptr_t end = (va + bytes - 1) | (HMMU_PAGE_BYTES - 1);
	struct hmmu_thread *self;
	uint64_t *entries;
	int err = -ENOMEM;

	/* HMMU's own memory is out of a device's reach (design.md 4.1). */
	if (end >= device->va_limit || hmmu__arena_overlaps(start, end))
		return -EFAULT;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	/* Not a port's own slow path, which anybody can break. */
	hmmu__core_break_own(device->space);
	entries = hmmu__alloc_pages(1);
	if (entries)
		err = fault_parts(device, start, end + 1,
				  access == HMMU_ACCESS_WRITE, entries);
	if (entries)
		hmmu__free_pages(entries, 1);
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
