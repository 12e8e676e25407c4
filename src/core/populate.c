/* SPDX-License-Identifier: MIT */
/*
 * Populate: fault a range in to system memory, for a pin or a system call
 *
 * Locking: the caller holds no lock.
 */
#include "core/populate.h"

#include <errno.h>

#include "base/range.h"
#include "core/home.h"
#include "core/space.h"

/*
 * Faults in each mapping of the range, for writing if it is writable. Private
 * file memory is faulted in for writing only for a pin: a private copy no
 * longer shows what others write to the file, and the kernel makes one when it
 * must.
 */
static int fault_in_each(struct hmmu_mm *mm, uintptr_t at, uintptr_t end,
			 bool for_pin)
{
	struct hmmu_vma_info vma;
	bool write;
	uintptr_t to;
	int err = 0;

	for (; at < end && !err; at = to) {
		err = hmmu__mm_vma_at(mm, at, &vma);
		if (err || vma.flags & HMMU_VMA_SPECIAL ||
		    !(vma.flags & HMMU_VMA_READ))
			return -EFAULT;
		to = hmmu_min(vma.end, end);
		write = vma.flags & HMMU_VMA_WRITE &&
			(for_pin || vma.flags & HMMU_VMA_ANON);
		err = mm->ops->fault_in(mm, at, to, write);
	}
	/* The mapping has lost its permission since it was looked up. */
	return err == -EPERM ? -EFAULT : err;
}

int hmmu__populate(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		   bool for_pin)
{
	int err = hmmu__range_home(space, start, end, NULL, NULL);

	return err ? err : fault_in_each(space->mm, start, end, for_pin);
}

int hmmu_populate(struct hmmu_space *space, uintptr_t address, size_t bytes)
{
	uintptr_t start, end;
	struct hmmu_thread *self;
	int err;

	if (!space ||
	    !hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter_to_wait(space, &self);
	if (err)
		return err;
	err = hmmu__populate(space, start, end, false);
	hmmu__leave(self);
	return err;
}
