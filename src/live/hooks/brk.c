/* SPDX-License-Identifier: MIT */
/*
 * Hooks of brk(2) and sbrk(2), which move the end of the heap: lowering it
 * unmaps memory
 *
 * The C library keeps the break in the word __curbrk, and malloc relies on it.
 * So these hooks use the same word. brk() does what the C library's does,
 * because that has no second name to be called by. sbrk() calls the C library's
 * by its second name, __sbrk. Both names are in libc.so and in libc.a, and
 * valid before any constructor has run.
 *
 * Not supported: memory that free() and malloc_trim(3) give back. malloc calls
 * __sbrk directly, so it raises an event, as a raw system call does.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <hmmu/base.h>

#include "live/hooks/hooks.h"

extern void *__curbrk;
void *__sbrk(intptr_t increment);

/* Returns the resulting break, which is the old one if the kernel refuses. */
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
 * Ask the kernel for the break: a raw system call may have moved it. 0 is not a
 * break; it asks for the break.
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
 * The mapping keeps its registration, and only its event drops device pages:
 * the call may be refused, because of RLIMIT_DATA or for an address below the
 * heap, and the C library reports neither as a failure.
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
