/* SPDX-License-Identifier: MIT */
/*
 * Hooks of System V shared memory
 *
 * Not supported: raw shmdt(2). Linux raises no event when such a mapping is
 * unmapped, so HMMU does not notice it.
 */
#include <errno.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <hmmu/base.h>

#include "base/thread.h"
#include "live/hooks/hooks.h"
#include "live/look.h"

static bool is_shared(uint32_t flags)
{
	return !(flags & HMMU_VMA_ANON);
}

/*
 * The size from @addr to the end of what may be one segment. A part of the
 * segment may have another protection, and a neighbour looks the same. To
 * invalidate too much is harmless.
 */
static size_t segment_bytes(struct hmmu_live *l, uintptr_t addr)
{
	struct hmmu_thread *self = hmmu__enter();
	struct hmmu_vma_info vma;
	uintptr_t end = addr;

	/* Looking up mappings by text takes a lock. */
	while (self && !hmmu__live_describe(&l->mm, end, &vma) &&
	       is_shared(vma.flags) && vma.end > end)
		end = vma.end;
	if (self)
		hmmu__leave(self);
	return end - addr;
}

HMMU_API int shmdt(const void *addr)
{
	uintptr_t start = (uintptr_t)addr;
	struct hmmu_live *l = hmmu__hooked();
	struct hmmu_hook h;
	long ret;

	if (hmmu_likely(!l) ||
	    !hmmu__hook_begin(&h, start, segment_bytes(l, start),
			      HMMU_EVENT_UNMAP))
		return (int)hmmu__hook_errno(
			hmmu__syscall(SYS_shmdt, (long)start, 0, 0, 0, 0, 0));
	hmmu__hook_suspend(&h);
	ret = hmmu__syscall(SYS_shmdt, (long)start, 0, 0, 0, 0, 0);
	/* Neighbours that were invalidated, too, are still mapped. */
	hmmu__hook_unmapped(&h, false);
	return (int)hmmu__hook_errno(ret);
}

static void *attach(int id, const void *addr, int flags)
{
	return (void *)hmmu__hook_errno(
		hmmu__syscall(SYS_shmat, id, (long)addr, flags, 0, 0, 0));
}

/* SHM_REMAP replaces the mappings there. */
HMMU_API void *shmat(int id, const void *addr, int flags)
{
	struct shmid_ds ds;
	struct hmmu_hook h;
	void *ret;

	if (hmmu_likely(!hmmu__hooked()) || !(flags & SHM_REMAP) || !addr ||
	    shmctl(id, IPC_STAT, &ds) ||
	    !hmmu__hook_begin(&h, (uintptr_t)addr, ds.shm_segsz,
			      HMMU_EVENT_UNMAP))
		return attach(id, addr, flags);
	hmmu__hook_home_before(&h);
	hmmu__hook_suspend(&h);
	ret = attach(id, addr, flags);
	hmmu__hook_unmapped(&h, ret != (void *)-1);
	return ret;
}
