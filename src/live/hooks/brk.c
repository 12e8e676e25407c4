/* SPDX-License-Identifier: MIT */
/*
 * Hooks of the break, which ends the heap: where it goes down, memory is
 * unmapped.
 *
 * The C library has the break in a word, __curbrk, and malloc goes by that. So
 * it is the one word here, too: brk() does what the C library's does, which has
 * no other name to be called by, and sbrk() calls the C library's by its other
 * name, __sbrk. Both names are to be had in libc.so and in libc.a, before any
 * constructor has run.
 *
 * malloc calls __sbrk itself: what free() and malloc_trim(3) give back arrives
 * as an event, as with a raw system call.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <hmmu/base.h>

#include "live/hooks/hooks.h"

extern void *__curbrk;
void *__sbrk(intptr_t increment);

/* The break that results, which is the old one where that is refused. */
static uintptr_t kernel_brk(uintptr_t to)
{
	return (uintptr_t)hmmu__syscall(SYS_brk, (long)to, 0, 0, 0, 0, 0);
}

static int set_break(uintptr_t to)
{
	uintptr_t now = kernel_brk(to);

	__curbrk = (void *)now;
	if (now >= to)
		return 0;
	errno = ENOMEM;
	return -1;
}

/*
 * The kernel knows best where the break is: a raw system call may have moved it.
 * 0 is no place for it, but a way to ask for it.
 */
static bool lower_begin(struct hmmu_hook *h, uintptr_t to)
{
	uintptr_t start, end;

	if (hmmu_likely(!hmmu__hooked()) || !to)
		return false;
	end = kernel_brk(0);
	if (to >= end)
		return false;
	start = hmmu_round_up(to, HMMU_PAGE_BYTES);
	return start < end &&
	       hmmu__hook_begin(h, start, end - start, HMMU_EVENT_UNMAP);
}

/*
 * What is mapped there keeps its registration, and only its event drops what a
 * device has of it: the call may be refused - by RLIMIT_DATA, or for an address
 * below the heap, and the C library calls neither a failure.
 */
static void lower_end(struct hmmu_hook *h)
{
	hmmu__hook_unmapped(h, false);
}

HMMU_API int brk(void *addr)
{
	struct hmmu_hook h;
	int ret;

	if (!lower_begin(&h, (uintptr_t)addr))
		return set_break((uintptr_t)addr);
	ret = set_break((uintptr_t)addr);
	lower_end(&h);
	return ret;
}

HMMU_API void *sbrk(intptr_t increment)
{
	struct hmmu_hook h;
	void *ret;

	if (increment >= 0 ||
	    !lower_begin(&h, (uintptr_t)__sbrk(0) + (uintptr_t)increment))
		return __sbrk(increment);
	ret = __sbrk(increment);
	lower_end(&h);
	return ret;
}
