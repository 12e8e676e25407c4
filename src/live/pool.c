/* SPDX-License-Identifier: MIT */
/*
 * Device memory that pages are moved to: register, empty and unlock it
 *
 * Locking: any lock may be held. None is taken.
 */
#include "live/pool.h"

#include <errno.h>
#include <sys/syscall.h>

#include "live/state.h"
#include "live/look.h"
#include "live/uffd.h"

/*
 * msync(MS_INVALIDATE) fails on locked memory. On other memory it only looks up
 * the mappings.
 */
static bool is_locked_memory(uintptr_t start, size_t bytes)
{
	return hmmu__syscall(SYS_msync, (long)start, (long)bytes, MS_INVALIDATE,
			     0, 0, 0) == -EBUSY;
}

/*
 * mlockall(MCL_CURRENT) of the program also locks device memory. Locked memory
 * cannot be emptied, and the kernel does not move pages between locked and
 * unlocked memory. True: the memory was locked, and is unlocked now.
 *
 * Whole mappings are unlocked, because a move cannot cross the border of two.
 */
bool hmmu__pool_unlock(struct hmmu_live *l, uintptr_t start, size_t bytes)
{
	struct hmmu_vma_info first, last;

	if (!is_locked_memory(start, bytes) ||
	    hmmu__live_describe(&l->mm, start, &first) ||
	    hmmu__live_describe(&l->mm, start + bytes - 1, &last) ||
	    hmmu__sys_munlock(first.start, last.end - first.start))
		return false;
	return !is_locked_memory(start, bytes);
}

/*
 * A guard empties its page, and neither its installation nor its removal raises
 * an event. After an error the guards that were installed are removed again.
 */
static int empty_by_guards(uintptr_t start, size_t bytes)
{
	int err = hmmu__sys_madvise(start, bytes, MADV_GUARD_INSTALL);
	int end_err = hmmu__sys_madvise(start, bytes, MADV_GUARD_REMOVE);

	return err ? err : end_err;
}

/* Register again also after an error: no page could move there otherwise. */
static int empty_unregistered(struct hmmu_live *l, uintptr_t start,
			      size_t bytes)
{
	int err = hmmu__uffd_unregister(l, start, start + bytes);
	int register_err;

	if (err)
		return err;
	err = hmmu__sys_madvise(start, bytes, MADV_DONTNEED);
	register_err = hmmu__uffd_register(l, start, start + bytes,
					   UFFDIO_REGISTER_MODE_WP);
	return err ? err : register_err;
}

/*
 * Device memory is registered, because pages can be moved only into registered
 * memory. So madvise(2) on it would raise an event for the service, which may
 * be the caller. Where the kernel has guards, they empty less than a large
 * page. Otherwise the range is unregistered while it is emptied. That also
 * frees its page tables, so that a large page can move in again.
 */
int hmmu__live_empty(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct hmmu_live *l = hmmu__live(mm);
	uintptr_t start = (uintptr_t)host;
	int err;

	if (l->pages.have_guard && bytes < HMMU_LARGE_BYTES &&
	    !empty_by_guards(start, bytes))
		return 0;
	err = empty_unregistered(l, start, bytes);
	if (err == -EINVAL && hmmu__pool_unlock(l, start, bytes))
		err = empty_unregistered(l, start, bytes);
	/*
	 * Unregistering a part splits the mapping, and the process may have too
	 * many.
	 */
	if (err && l->pages.have_guard)
		err = empty_by_guards(start, bytes);
	return err;
}

int hmmu__live_add_pool(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct hmmu_live *l = hmmu__live(mm);
	uintptr_t start = (uintptr_t)host;
	int err;

	err = hmmu__sys_madvise(start, bytes, MADV_HUGEPAGE);
	if (err == -EINVAL)
		err = 0; /* a kernel without large pages */
	if (!err)
		err = hmmu__uffd_register(l, start, start + bytes,
					  UFFDIO_REGISTER_MODE_WP);
	return err;
}

void hmmu__live_remove_pool(struct hmmu_mm *mm, void *host, size_t bytes)
{
	uintptr_t start = (uintptr_t)host;

	(void)hmmu__uffd_unregister(hmmu__live(mm), start, start + bytes);
}
