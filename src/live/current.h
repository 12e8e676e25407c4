/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_CURRENT_H
#define HMMU_LIVE_CURRENT_H

/*
 * The live space of this process, for code that gets no pointer to it: the
 * hooks and the fork handlers
 *
 * A process has at most one.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hmmu_live;

/* NULL: none is open. Acquire pairs with hmmu__live_publish(). */
extern struct hmmu_live *_Atomic hmmu__live_now;

static inline struct hmmu_live *hmmu__live_current(void)
{
	return atomic_load_explicit(&hmmu__live_now, memory_order_acquire);
}

/*
 * True while the space pins the buffers of system calls. If false, an I/O hook
 * does nothing else.
 */
extern _Atomic bool hmmu__lends;

/*
 * Returns the space of this process. It is not ended before
 * hmmu__live_return(). NULL: none is open, and nothing is to be returned. The
 * caller is inside.
 */
struct hmmu_live *hmmu__live_borrow(void);
void hmmu__live_return(void);

/*
 * publish lets borrowers find the space. withdraw hides it again and waits for
 * its borrowers.
 */
void hmmu__live_publish(struct hmmu_live *l);
void hmmu__live_withdraw(void);

/* Called in the child of a fork, which has one thread and no space. */
void hmmu__live_forget(void);

#endif
