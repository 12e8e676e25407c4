/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_HOOKS_H
#define HMMU_LIVE_HOOKS_H

/*
 * An invalidation around a system call of the program, for all hooks
 *
 *	if (!hmmu__hook_begin(&h, ...))
 *		return the call;
 *	hmmu__hook_suspend(&h);                 if it unmaps
 *	ret = the call;
 *	hmmu__hook_unmapped(&h, success);       or hmmu__hook_end(&h)
 */

#include "live/state.h"

struct hmmu_hook {
	struct hmmu_space *space;
	struct hmmu_thread *self;
	struct hmmu_live *live;
	struct hmmu_invalidate_call call;
	bool suspended;
};

/* The space whose memory the hooks watch. NULL: there is none. */
struct hmmu_live *hmmu__hooked(void);

/*
 * False: nobody uses the range, or HMMU itself makes the call. True: the
 * invalidation has begun and must be ended.
 */
bool hmmu__hook_begin(struct hmmu_hook *h, uintptr_t start, size_t bytes,
		      enum hmmu_event event);
void hmmu__hook_end(struct hmmu_hook *h);

/* Migrate device pages of the range back first: the call may be refused. */
void hmmu__hook_home_before(struct hmmu_hook *h);

/*
 * Before a mapping is unmapped: end its registration, so that no event is
 * raised, unless it has device pages.
 */
void hmmu__hook_suspend(struct hmmu_hook *h);
/* End the invalidation after suspend. @done false: the call failed. */
void hmmu__hook_unmapped(struct hmmu_hook *h, bool done);

/* Non-zero if the program's calls of munmap() reach HMMU's. */
int hmmu__hooks_bound(void);

/* Convert the result of a system call as the C library does: -1 and errno. */
long hmmu__hook_errno(long ret);

#endif
