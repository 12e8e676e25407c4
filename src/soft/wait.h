/* SPDX-License-Identifier: MIT */
#ifndef HMMU_SOFT_WAIT_H
#define HMMU_SOFT_WAIT_H

/*
 * Sleep and wake-up
 *
 * Overview: threads sleep on two futex words:
 *
 *   bell      moves when work arrives; idle workers sleep on it;
 *   progress  moves when work is done; threads that wait for a record, a queue,
 *             a job or a fence sleep on it.
 *
 * Neither is a word of the program's memory: a record may be on the device or
 * migrate while a thread waits for it. Both follow one protocol:
 *
 *   sleeper                              waker
 *   ------------------------------------ ------------------------------------
 *   count++ (seq_cst)                    make the condition true
 *   s = word (seq_cst)                   word++ (seq_cst)
 *   condition true? then return          count == 0 (seq_cst)? then no wake
 *   futex wait while word == s           futex wake
 *
 * MUST NOT: the sleeper sleeps and the waker sees no sleeper. Each side writes
 * one word and reads the other, so these four accesses are seq_cst: either the
 * waker sees the count, or the sleeper sees the new word and the condition.
 *
 * Workers do not deadlock: a fence or drain waits only for descriptors that
 * workers have taken before it, never for later ones. So the oldest descriptor
 * that runs does not wait.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "soft/state.h"

/* Wake up to @count sleeping workers; their work is in a ring. */
void hmmu__soft_ring_bell(struct hmmu_soft *soft, unsigned int count);
/* Sleep unless the bell has moved since the caller read @bell. */
void hmmu__soft_sleep(struct hmmu_soft *soft, uint32_t bell);
/* Wake all waiters; a condition has become true. */
void hmmu__soft_progress(struct hmmu_soft *soft);
/*
 * Wait until @done(@arg). Returns 0, -ETIMEDOUT, or -EDEADLK when a worker of
 * @soft would have to wait.
 */
int hmmu__soft_wait_until(struct hmmu_soft *soft, bool (*done)(void *arg),
			  void *arg, uint64_t timeout_ns) HMMU_MUST_CHECK;
/* The same for a worker. The caller makes sure that the wait ends. */
void hmmu__soft_wait_in_worker(struct hmmu_soft *soft, bool (*done)(void *arg),
			       void *arg);

#endif
