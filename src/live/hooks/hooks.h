/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_HOOKS_H
#define HMMU_LIVE_HOOKS_H

/*
 * What the hooks share: an invalidation around a system call of the program's.
 *
 *      if (!hmmu__hook_begin(&h, ...))
 *              return the call;
 *      hmmu__hook_suspend(&h);                 where a mapping goes
 *      ret = the call;
 *      hmmu__hook_unmapped(&h, it did);        or hmmu__hook_end(&h)
 */

#include "live/state.h"

struct hmmu_hook {
	struct hmmu_space *space;
	struct hmmu_thread *self;
	struct hmmu_live *live;
	struct hmmu_invalidate_call call;
	bool suspended;
};

/* The space whose memory the hooks look after; NULL: there is none. */
struct hmmu_live *hmmu__hooked(void);

/*
 * False: nobody uses the range, or the call is HMMU's own. True: the hook is
 * begun, and owes an end.
 */
bool hmmu__hook_begin(struct hmmu_hook *h, uintptr_t start, size_t bytes,
		      enum hmmu_event event);
void hmmu__hook_end(struct hmmu_hook *h);

/* What a device holds comes home first: the call may be refused. */
void hmmu__hook_home_before(struct hmmu_hook *h);

/* The mapping goes: without an event where that can be. */
void hmmu__hook_suspend(struct hmmu_hook *h);
/* The end after it; false: the call failed. */
void hmmu__hook_unmapped(struct hmmu_hook *h, bool done);

/* Non-zero if the program's calls of munmap() reach HMMU's. */
int hmmu__hooks_bound(void);

/* As a system call of the C library returns: -1 and errno. */
long hmmu__hook_errno(long ret);

#endif
