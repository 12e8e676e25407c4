/* SPDX-License-Identifier: MIT */
/*
 * Call the function that a hook replaces: see next.h
 */
#include "live/hooks/next.h"

#include <dlfcn.h>
#include <pthread.h>

#include "base/sys.h"
#include "live/hooks/hooks.h"

void hmmu__next_find(struct hmmu_next *next, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		next[i].fn = (hmmu_next_fn *)dlsym(RTLD_NEXT, next[i].name);
}

/*
 * As in the C library: a thread that is cancelled at any instruction here is in
 * the system call or has not begun it.
 */
static long cancellable(long nr, long a, long b, long c, long d, long e, long f)
{
	int type;
	long ret;

	(void)pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	ret = hmmu__syscall(nr, a, b, c, d, e, f);
	(void)pthread_setcanceltype(type, NULL);
	return hmmu__hook_errno(ret);
}

long hmmu__next_call(const struct hmmu_next *next, long a, long b, long c,
		     long d, long e, long f)
{
	if (hmmu_likely(next->fn != NULL))
		return next->fn(a, b, c, d, e, f);
	return cancellable(next->nr, a, b, c, d, e, f);
}
