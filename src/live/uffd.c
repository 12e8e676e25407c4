/* SPDX-License-Identifier: MIT */
/*
 * The calls of the userfaultfd
 *
 * EAGAIN of an ioctl has two meanings (platform.md section 1). If it made
 * progress: call again for the rest, to learn the reason. If not: a mapping is
 * changing, and its event has not been read or its thread has not run since.
 *
 * Locking: none.
 */
#include "live/uffd.h"

#include <errno.h>

#include "live/state.h"
#include "live/look.h"

static int uffd_ioctl(const struct hmmu_live *l, unsigned long request,
		      void *arg)
{
	return hmmu__sys_ioctl(hmmu__uffd(l), request, arg);
}

int hmmu__uffd_register(const struct hmmu_live *l, uintptr_t start,
			uintptr_t end, uint64_t mode)
{
	struct uffdio_register r = {
		.range = { .start = start, .len = end - start },
		.mode = mode,
	};

	return uffd_ioctl(l, UFFDIO_REGISTER, &r);
}

int hmmu__uffd_unregister(const struct hmmu_live *l, uintptr_t start,
			  uintptr_t end)
{
	struct uffdio_range r = { .start = start, .len = end - start };

	return uffd_ioctl(l, UFFDIO_UNREGISTER, &r);
}

void hmmu__uffd_wake(const struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct uffdio_range r = { .start = start, .len = end - start };

	(void)uffd_ioctl(l, UFFDIO_WAKE, &r);
}

/* ZEROPAGE of nothing fails, and changing mappings are checked first. */
bool hmmu__uffd_is_changing(const struct hmmu_live *l)
{
	struct uffdio_zeropage z = { .mode = 0 };

	return uffd_ioctl(l, UFFDIO_ZEROPAGE, &z) == -EAGAIN;
}

bool hmmu__live_is_changing(const struct hmmu_live *l)
{
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire) ||
	       hmmu__uffd_is_changing(l);
}

/* One call. *@moved has the bytes that moved, also after an error. */
static int move_once(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
		     size_t bytes, size_t *moved)
{
	struct uffdio_move m = {
		.dst = dst,
		.src = src,
		.len = bytes,
		.mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
	};
	int err = uffd_ioctl(l, UFFDIO_MOVE, &m);

	*moved = m.move > 0 ? (size_t)m.move : 0;
	return err;
}

/*
 * Linux 6.18 can return a wrong count. If its first attempt on a page ends in
 * EAGAIN and the second moves the page and others behind it, it takes the
 * second attempt for failed, tries again, and returns EEXIST for a page that it
 * has just moved itself. It has not woken the threads that wait for it. Such a
 * page is absent at its source.
 */
static int move_recount(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
			size_t bytes, size_t *moved)
{
	size_t at;

	for (at = 0; at < bytes; at += HMMU_PAGE_BYTES)
		if (!hmmu__is_absent(l, src + at, src + at + HMMU_PAGE_BYTES) ||
		    hmmu__is_absent(l, dst + at, dst + at + HMMU_PAGE_BYTES))
			break;
	*moved = at;
	if (!at)
		return -EEXIST;
	hmmu__uffd_wake(l, dst, dst + at);
	return 0;
}

int hmmu__uffd_move(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
		    size_t bytes, size_t *done)
{
	size_t moved;
	int err;

	*done = 0;
	do {
		err = move_once(l, dst + *done, src + *done, bytes - *done,
				&moved);
		if (err == -EEXIST)
			err = move_recount(l, dst + *done, src + *done,
					   bytes - *done, &moved);
		*done += moved;
	} while (*done < bytes &&
		 ((!err && moved) || (err == -EAGAIN && moved)));
	return *done == bytes ? 0 : err ? err : -EAGAIN;
}

int hmmu__uffd_copy_page(const struct hmmu_live *l, uintptr_t dst,
			 uintptr_t src)
{
	struct uffdio_copy c = { .dst = dst,
				 .src = src,
				 .len = HMMU_PAGE_BYTES };

	return uffd_ioctl(l, UFFDIO_COPY, &c);
}

int hmmu__uffd_zero(const struct hmmu_live *l, uintptr_t start, size_t bytes,
		    size_t *done)
{
	struct uffdio_zeropage z = {
		.range = { .start = start, .len = bytes },
	};
	int err = uffd_ioctl(l, UFFDIO_ZEROPAGE, &z);

	*done = z.zeropage > 0 ? (size_t)z.zeropage : 0;
	return err;
}
