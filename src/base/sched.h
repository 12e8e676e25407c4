/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_SCHED_H
#define HMMU_BASE_SCHED_H

/*
 * What a thread asks of the scheduler and of the processor
 *
 * Everything by which base, core and memory wait, wake, order and time their
 * threads, beside locks and C11 atomics. A compiler's instrumentation sees
 * those, but none of these: they are inline assembly and system calls. So they
 * have one place, where a build that explores interleavings puts its own.
 * (HMMU_EXPLORE; the explorer then defines these functions.) In an ordinary
 * build each is the instruction or the system call, inline.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/sys.h"

#ifndef HMMU_EXPLORE
#define HMMU_EXPLORE 0
#endif

#if HMMU_EXPLORE

void hmmu__sched_fence(void);
void hmmu__sched_relax(void);
void hmmu__sched_yield(void);
void hmmu__sched_sleep(uint64_t ns);
uint64_t hmmu__sched_now_ns(void);
int hmmu__sched_gettid(void);
int hmmu__sched_futex(_Atomic uint32_t *word, int op, uint32_t value,
		      const struct timespec *timeout);
int hmmu__sched_membarrier(int cmd);

#else

/* A full barrier. */
static inline void hmmu__sched_fence(void)
{
	hmmu__fence_seq_cst();
}

/* In a loop that waits for another thread on another CPU. */
static inline void hmmu__sched_relax(void)
{
	hmmu__cpu_relax();
}

/* Lets another thread have this CPU. */
static inline void hmmu__sched_yield(void)
{
	(void)hmmu__sys_sched_yield();
}

/* Sleeps @ns or until a signal handler ran. */
static inline void hmmu__sched_sleep(uint64_t ns)
{
	(void)hmmu__sys_nanosleep(ns);
}

/* CLOCK_MONOTONIC. */
static inline uint64_t hmmu__sched_now_ns(void)
{
	return hmmu__sys_clock_ns();
}

static inline int hmmu__sched_gettid(void)
{
	return hmmu__sys_gettid();
}

static inline int hmmu__sched_futex(_Atomic uint32_t *word, int op,
				    uint32_t value,
				    const struct timespec *timeout)
{
	return hmmu__sys_futex(word, op, value, timeout);
}

/* @cmd is a MEMBARRIER_CMD_*. */
static inline int hmmu__sched_membarrier(int cmd)
{
	return hmmu__sys_membarrier(cmd);
}

#endif

#endif
