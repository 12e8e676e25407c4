/* SPDX-License-Identifier: MIT */
/*
 * The process that opened a space
 *
 * Locking: none. Hooks read the mark at any time. Its writer holds the lock
 * under which spaces are opened.
 */
#include "base/process.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/arena.h"
#include "base/sys.h"

_Atomic uint32_t hmmu__forks;

/*
 * A page that holds the opener's process number. Linux zeroes it in each child
 * that does not share the memory (MADV_WIPEONFORK). It is allocated once and
 * never freed, because hooks read it at any time.
 */
static _Atomic int *_Atomic mark;

static int own_pid(void)
{
	return (int)hmmu__syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

int hmmu__process_mark(void)
{
	/* Relaxed: written under the lock for opening. */
	_Atomic int *m = atomic_load_explicit(&mark, memory_order_relaxed);

	if (!m) {
		m = hmmu__alloc_pages(1);
		if (!m)
			return -ENOMEM;
		/* Before Linux 4.14 this fails, and such a child is missed. */
		(void)hmmu__sys_madvise((uintptr_t)m, HMMU_PAGE_BYTES,
					MADV_WIPEONFORK);
		/* Release: pairs with opened_by(). */
		atomic_store_explicit(&mark, m, memory_order_release);
	}
	atomic_store_explicit(m, own_pid(), memory_order_release);
	return 0;
}

/* 0: no process opened a space, or a parent of this one did. */
static int opened_by(void)
{
	_Atomic int *m = atomic_load_explicit(&mark, memory_order_acquire);

	return m ? atomic_load_explicit(m, memory_order_relaxed) : 0;
}

bool hmmu__process_is_ours(void)
{
	return opened_by() != 0;
}

bool hmmu__process_is_opener(void)
{
	return opened_by() == own_pid();
}
