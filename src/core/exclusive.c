/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access: one device may use a page, the CPU may not
 *
 * Overview: the page migrates to a pool of the device, as it would to the
 * device's memory. An access of the CPU migrates it back (home.c). Each page is
 * tried for at most 1 s, because the CPU can take it back before it is mapped:
 *
 *      driver                              CPU
 *      write fault: the page is writable
 *      invalidate begin (EXCLUSIVE)
 *      take the page, record it
 *      invalidate end
 *                                          accesses the page: it migrates
 *                                            back, with a CLEAR event
 *      map it: is it still exclusive?
 *        no: retry
 *
 * Required: the mirror has a leaf with the exclusive flag only while the page
 * is absent for the CPU. A device fault maps the leaf, and its read section
 * detects the access of the CPU (EX8).
 *
 * Locking: the caller holds no lock.
 *
 * Not supported: shared and file memory (-EOPNOTSUPP). The kernel moves only
 * private anonymous pages.
 */
#include <errno.h>

#include <hmmu/exclusive.h>

#include "base/arena.h"
#include "base/range.h"
#include "base/sched.h"
#include "core/device.h"
#include "core/fault.h"
#include "core/home.h"
#include "core/migrate.h"
#include "core/view.h"
#include "memory/host.h"
#include "memory/pool.h"

/* Address space of a pool. A page costs memory only while it is exclusive. */
#define POOL_BYTES (1ul << 30)

static int create_pool_once(struct hmmu_device *d)
{
	struct hmmu_space *space = d->space;
	struct hmmu_memory *m = NULL;
	int err = 0;

	hmmu__mutex_lock(&space->lock);
	if (!d->exclusive) {
		err = hmmu__memory_make(space->mm, HMMU_MEMORY_EXCLUSIVE,
					POOL_BYTES, &m);
		if (!err)
			m->owner = d;
		d->exclusive = m;
	}
	hmmu__mutex_unlock(&space->lock);
	return err;
}

/* Returns 0, or why the page at @addr can never be exclusive (EX2, EX3). */
static int check_vma(const struct hmmu_device *d, uintptr_t addr)
{
	struct hmmu_mm *mm = d->space->mm;
	struct hmmu_vma_info vma;

	if (addr >= d->va_limit || hmmu__mm_vma_at(mm, addr, &vma))
		return -EFAULT;
	if (vma.flags & HMMU_VMA_OWN)
		return -EBUSY;
	if (hmmu__vma_check(&vma, true))
		return -EFAULT;
	return vma.flags & HMMU_VMA_ANON ? 0 : -EOPNOTSUPP;
}

/* One call. It makes its pages exclusive one after another. */
struct exclusive_call {
	struct hmmu_device *device;
	struct hmmu_mirror_reader *reader;
	struct hmmu_migration migration;
};

/* True if the device's mirror maps the page as exclusive. */
static bool is_mapped_exclusive(const struct exclusive_call *k, uintptr_t addr)
{
	const uint64_t want = HMMU_MIRROR_WRITE | HMMU_DEVICE_LEAF_EXCLUSIVE;
	struct hmmu_mirror *mirror = k->device->mirror;
	uint64_t leaf = 0;
	bool found;

	hmmu_mirror_read_begin(mirror, k->reader);
	found = hmmu_mirror_lookup(mirror, addr, &leaf);
	hmmu_mirror_read_end(mirror, k->reader);
	return found && (leaf & want) == want;
}

/* Returns the memory that holds the page; NULL: system memory. */
static struct hmmu_memory *find_holder(struct hmmu_space *space, uintptr_t addr)
{
	struct hmmu_block *b = hmmu__block_find(&space->blocks, addr);
	struct hmmu_place p = { 0 };

	if (b) {
		hmmu__block_lock(b);
		p = hmmu__block_place(b, hmmu__block_page(b, addr));
		hmmu__block_unlock(b);
	}
	return p.memory;
}

/* Returns -EAGAIN if a page that was not taken may be taken in a retry. */
static int refusal_error(struct hmmu_space *space, uintptr_t addr,
			 const struct hmmu_migrate_result *r)
{
	if (r->stayed[HMMU_STAY_FULL])
		return -ENOMEM;
	/* Another device has it, or a userfaultfd of the program. */
	if (r->stayed[HMMU_STAY_FOREIGN])
		return find_holder(space, addr) ? -EAGAIN : -EBUSY;
	if (r->stayed[HMMU_STAY_UNMAPPED] || r->stayed[HMMU_STAY_PROTECTED] ||
	    r->stayed[HMMU_STAY_CHANGED] || r->stayed[HMMU_STAY_EXCLUSIVE])
		return -EAGAIN;
	return r->pages_stayed ? -EBUSY : 0;
}

/* Converts an error of a fault. A read-only page is -EFAULT here (EX2). */
static int fault_error(int err)
{
	if (err == -EPERM)
		return -EFAULT;
	return err == -EBUSY ? -EAGAIN : err;
}

/* Migrates the page back, makes it writable and unshared, and takes it. */
static int take_page(struct exclusive_call *k, uintptr_t addr)
{
	struct hmmu_space *space = k->device->space;
	struct hmmu_migration *m = &k->migration;
	uintptr_t end = addr + HMMU_PAGE_BYTES;
	int err = 0;

	if (find_holder(space, addr))
		err = hmmu__range_home(space, addr, end, NULL, NULL);
	if (!err)
		err = space->mm->ops->fault_in(space->mm, addr, end, true);
	if (err)
		return fault_error(err);
	*m = (struct hmmu_migration){ .space = space,
				      .device = k->device,
				      .memory = k->device->exclusive,
				      .event = HMMU_EVENT_EXCLUSIVE };
	err = hmmu__migration_run(m, addr, end);
	return err ? err : refusal_error(space, addr, &m->result);
}

static int try_page(struct exclusive_call *k, uintptr_t addr)
{
	struct hmmu_device *d = k->device;
	int err = check_vma(d, addr);

	if (!err && find_holder(d->space, addr) != d->exclusive)
		err = take_page(k, addr);
	if (!err)
		err = fault_error(hmmu__device_fault(d, addr, HMMU_PAGE_BYTES,
						     HMMU_ACCESS_WRITE));
	if (!err && !is_mapped_exclusive(k, addr))
		err = -EAGAIN;
	return err;
}

/* Gives up when the CPU keeps taking the page back, as a device fault does. */
static int retry_page(struct exclusive_call *k, uintptr_t addr)
{
	uint64_t begun = hmmu__sched_now_ns();
	int err;

	while ((err = try_page(k, addr)) == -EAGAIN) {
		if (hmmu__sched_now_ns() - begun >
		    HMMU_RANGE_DEFAULT_TIMEOUT_NS)
			return -EBUSY;
		hmmu__sched_yield();
	}
	return err;
}

static int make_pages_exclusive(struct exclusive_call *k, uintptr_t start,
				uintptr_t end, size_t *done)
{
	int err = hmmu_mirror_reader_create(k->device->mirror, &k->reader);

	if (err)
		return err;
	for (; start < end && !err; start += HMMU_PAGE_BYTES) {
		err = retry_page(k, start);
		if (!err)
			*done += HMMU_PAGE_BYTES;
	}
	hmmu_mirror_reader_destroy(k->device->mirror, k->reader);
	return err;
}

static int make_range_exclusive(struct hmmu_device *d, uintptr_t start,
				uintptr_t end, size_t *done)
{
	struct exclusive_call *k;
	int err = hmmu__take_check(d->space);

	if (!err)
		err = create_pool_once(d);
	if (err)
		return err;
	k = hmmu__alloc(sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->device = d;
	err = make_pages_exclusive(k, start, end, done);
	hmmu__free(k, sizeof(*k));
	return err;
}

int hmmu_device_make_exclusive(struct hmmu_device *device, uintptr_t address,
			       size_t bytes, size_t *ret_bytes)
{
	uintptr_t start, end;
	struct hmmu_thread *self;
	size_t done = 0;
	int err;

	if (!device ||
	    !hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter_to_wait(device->space, &self);
	if (err)
		return err;
	err = make_range_exclusive(device, start, end, &done);
	hmmu__leave(self);
	if (ret_bytes)
		*ret_bytes = done;
	return err;
}
