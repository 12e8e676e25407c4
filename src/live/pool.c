/* SPDX-License-Identifier: MIT */
/*
 * Device memory that pages are moved to: registered, emptied, unlocked.
 */
#include "live/pool.h"

#include <errno.h>
#include <sys/syscall.h>

#include "live/state.h"
#include "live/look.h"
#include "live/uffd.h"

/* Refused for locked memory, and nothing else but a look at the mappings. */
static bool is_locked_memory(uintptr_t start, size_t bytes)
{
	return hmmu__syscall(SYS_msync, (long)start, (long)bytes, MS_INVALIDATE,
			     0, 0, 0) == -EBUSY;
}

/*
 * A program that locks all its memory, mlockall(MCL_CURRENT), locks a device's
 * memory with it. That can not be emptied then, and nothing moves between it
 * and memory that is not locked. True: it was so, and is not any more.
 *
 * The mappings are unlocked as a whole: nothing moves across two.
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
 * A guard empties its page, and neither it nor its end is told as an event.
 * Installed in part, for want of memory: what was comes off again.
 */
static int empty_by_guards(uintptr_t start, size_t bytes)
{
	int err = hmmu__sys_madvise(start, bytes, MADV_GUARD_INSTALL);
	int end_err = hmmu__sys_madvise(start, bytes, MADV_GUARD_REMOVE);

	return err ? err : end_err;
}

/* Registered again in any case: else nothing could move there any more. */
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
 * Device memory is registered, for only then can pages be moved into it. So
 * its madvise would be told to the service, which may be the caller. Where there
 * are guards, less than a large page goes by them; else the range is not
 * registered while it is emptied, which also gives page tables back, and so
 * lets a large page move in again.
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
	/* A large one costs a mapping, of which there may be no more. */
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
