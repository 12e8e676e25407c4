/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_LEND_H
#define HMMU_LIVE_LEND_H

/*
 * Pin the buffers of system calls, for the I/O hooks in user mode
 *
 * Overview: in user mode the userfaultfd does not serve the kernel. A system
 * call with a buffer on a device fails with EFAULT. So the hook migrates the
 * buffer back and pins it until the call returns. base/loan.h has the list of
 * pinned ranges, called loans.
 *
 *	struct hmmu_lending l;
 *
 *	if (!hmmu__lend_begin(&l))
 *		return the call;
 *	hmmu__lend(&l, buf, bytes);
 *	hmmu__lend_done(&l);
 *	ret = the call;
 *	hmmu__lend_end(&l);
 *
 * No function here fails. A buffer that cannot be migrated back, for example
 * because nothing is mapped there, is passed to the kernel as it is, and the
 * call returns the kernel's error. If no mapping is armed, or no page of the
 * buffer is absent, the cost is a few stores, a fence and one check.
 *
 *	thread that pins                    thread that arms and migrates
 *	records the pin                     arming += 1
 *	fence                               fence
 *	arming, or a mapping is armed?      pinned? then fill its holes
 *	  then migrate back                 arm, record that, fill
 *	the call                            arming -= 1
 *	                                    pinned? then the page stays
 *
 * Forbidden: neither sees the other.
 *
 * Locking: the caller holds none.
 *
 * Not supported: calls that were already running when the space was opened. To
 * pin their buffers, every call of every program would have to record them.
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
	/* The frame of the call, see loan.h. */
	uintptr_t frame;
	uint32_t mark;
	int error_number;
};

/* False: this call pins nothing; do not call the other functions. */
bool hmmu__lend_begin_slow(struct hmmu_lending *l);
static inline bool hmmu__lend_begin(struct hmmu_lending *l)
{
	/* Relaxed: begin_slow checks again. */
	return hmmu_unlikely(atomic_load_explicit(&hmmu__lends,
						  memory_order_relaxed)) &&
	       hmmu__lend_begin_slow(l);
}

/* Pin a buffer. The program may pass any address and length. */
void hmmu__lend(struct hmmu_lending *l, const void *memory, size_t bytes);
/* Pin the array and the buffers in it. */
void hmmu__lend_vector(struct hmmu_lending *l, const struct iovec *iov,
		       size_t count);
/* Migrate the pinned buffers back. Restores errno to its value at begin. */
void hmmu__lend_done(struct hmmu_lending *l);
void hmmu__lend_end(struct hmmu_lending *l);

#endif
