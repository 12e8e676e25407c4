/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_LEND_H
#define HMMU_LIVE_LEND_H

/*
 * What the hooks around I/O share
 *
 * An ordinary user's userfaultfd does not serve the kernel: a system call that
 * is given memory on a device fails with EFAULT. So a hook lends the call what
 * it works on: brings it home, and keeps it from leaving until the call returns.
 *
 *      struct hmmu_lending l;
 *
 *      if (!hmmu__lend_begin(&l))
 *              return the call;
 *      hmmu__lend(&l, buf, bytes);
 *      hmmu__lend_done(&l);
 *      ret = the call;
 *      hmmu__lend_end(&l);
 *
 * Nothing here fails: what can not be brought home, because nothing is mapped
 * there for example, the kernel is given as it is, and says so in its own words.
 * Where nothing is armed, or nothing of it absent, that is a few stores, a fence
 * and a look.
 *
 * Not known are calls that were in the kernel already when the space was opened:
 * to record those, too, every call of every program would have to.
 *
 *      who lends                           who arms a mapping, and migrates
 *      records the loan                    arming += 1
 *      fence                               fence
 *      arming, or anything armed?          lent? then no hole is left in it
 *        then home, and no hole            arms, records that, fills
 *      the call                            arming -= 1
 *                                          lent? then it stays
 *
 * Forbidden: neither sees the other.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "live/current.h"

struct hmmu_lending {
	struct hmmu_thread *self;
	/* Of the call, see loan.h. */
	uintptr_t frame;
	uint32_t mark;
	int error_number;
};

/* False: this call lends nothing, and owes nothing. */
bool hmmu__lend_begin_slow(struct hmmu_lending *l);
static inline bool hmmu__lend_begin(struct hmmu_lending *l)
{
	/* Relaxed: what is behind it is asked again. */
	return hmmu_unlikely(atomic_load_explicit(&hmmu__lends,
						  memory_order_relaxed)) &&
	       hmmu__lend_begin_slow(l);
}

/* Any address and any number of bytes: the program's own. */
void hmmu__lend(struct hmmu_lending *l, const void *memory, size_t bytes);
/* The array, and what it points to. */
void hmmu__lend_vector(struct hmmu_lending *l, const struct iovec *iov,
		       size_t count);
/* All is home. errno is what it was at the begin. */
void hmmu__lend_done(struct hmmu_lending *l);
void hmmu__lend_end(struct hmmu_lending *l);

#endif
