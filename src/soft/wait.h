/* SPDX-License-Identifier: MIT */
#ifndef HMMU_SOFT_WAIT_H
#define HMMU_SOFT_WAIT_H

/*
 * Sleeping and waking
 *
 *   bell      moves when work comes; idle workers sleep on it;
 *   progress  moves when something is done; everybody who waits for a record,
 *             a queue, a job or a fence sleeps on it.
 *
 * Neither is ever a word of the program's memory: a record may be on the device
 * or be moved while somebody waits for it. Both follow one protocol:
 *
 *   sleeper                              waker
 *   ------------------------------------ ------------------------------------
 *   count++ (seq_cst)                    makes it true
 *   s = word (seq_cst)                   word++ (seq_cst)
 *   looks: is it true?                   count == 0 (seq_cst)? then no wake
 *   futex wait while word == s           futex wake
 *
 * MUST NOT: the sleeper sleeps and the waker sees no sleeper. Each side writes
 * one and reads the other, which is why these four are seq_cst: either the
 * waker sees the count, or the sleeper sees the new word and with it the truth.
 *
 * What a worker may wait for: a fence or drain waits for descriptors that other
 * workers have taken before it; they never wait for later ones. So the oldest
 * descriptor that runs waits for nobody.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "soft/state.h"

/* Work for @count workers was put into a ring. */
void hmmu__soft_ring_bell(struct hmmu_soft *soft, unsigned int count);
/* Sleep unless the bell has moved since it was read as @bell. */
void hmmu__soft_sleep(struct hmmu_soft *soft, uint32_t bell);
/* Something somebody may wait for is true now. */
void hmmu__soft_progress(struct hmmu_soft *soft);
/*
 * Returns 0 when @done(@arg); -ETIMEDOUT; -EDEADLK when a worker of @soft would
 * have to wait.
 */
int hmmu__soft_wait_until(struct hmmu_soft *soft, bool (*done)(void *arg),
			  void *arg, uint64_t timeout_ns) HMMU_MUST_CHECK;
/* The same for a worker that knows why this ends. */
void hmmu__soft_wait_in_worker(struct hmmu_soft *soft, bool (*done)(void *arg),
			       void *arg);

#endif
