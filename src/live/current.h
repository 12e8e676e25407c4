/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_CURRENT_H
#define HMMU_LIVE_CURRENT_H

/*
 * The live space of this process, for code that was not handed it: the hooks
 * and the fork handlers. There is one at most.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hmmu_live;

/* NULL: there is none. Acquire pairs with hmmu__live_publish(). */
extern struct hmmu_live *_Atomic hmmu__live_now;

static inline struct hmmu_live *hmmu__live_current(void)
{
	return atomic_load_explicit(&hmmu__live_now, memory_order_acquire);
}

/* True while it lends: all that a hook around I/O asks where nothing is lent. */
extern _Atomic bool hmmu__lends;

/*
 * The space of this process, which is not ended before it is returned; NULL:
 * there is none, and nothing is to be returned. The caller is inside.
 */
struct hmmu_live *hmmu__live_borrow(void);
void hmmu__live_return(void);

/* From now on it is found; until withdraw, which waits for its borrowers. */
void hmmu__live_publish(struct hmmu_live *l);
void hmmu__live_withdraw(void);

/* In the child of a fork, which has one thread: there is none. */
void hmmu__live_forget(void);

#endif
