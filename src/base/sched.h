/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_SCHED_H
#define HMMU_BASE_SCHED_H

/*
 * Waiting, waking, ordering and time
 *
 * Overview: base, core and memory synchronise threads with locks, C11 atomics
 * and the functions below. A compiler's instrumentation sees locks and atomics,
 * but not these functions, which are inline assembly and system calls. A build
 * that explores interleavings (HMMU_EXPLORE) replaces them with its own
 * definitions. In an ordinary build each is one instruction or system call,
 * inline.
 *
 * Locking: none. Some wait; their callers say which locks they hold.
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

/*
 * A full barrier, like C11's atomic_thread_fence(seq_cst), which gcc rejects
 * with
 * -fsanitize=thread. This is the instruction that gcc emits for it.
 */
static inline void hmmu__sched_fence(void)
{
	__asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
}

/* For a loop that waits for a thread on another CPU. */
static inline void hmmu__sched_relax(void)
{
	__builtin_ia32_pause();
}

/* Lets another thread run on this CPU. */
static inline void hmmu__sched_yield(void)
{
	(void)hmmu__syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* Sleeps for @ns, or until a signal handler has run. */
static inline void hmmu__sched_sleep(uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u),
	};

	(void)hmmu__syscall(SYS_nanosleep, (long)&ts, 0, 0, 0, 0, 0);
}

/* CLOCK_MONOTONIC, from the vdso: no system call, errno is unchanged. */
static inline uint64_t hmmu__sched_now_ns(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The thread's number; hmmu__thread_id() caches it. */
static inline int hmmu__sched_gettid(void)
{
	return (int)hmmu__syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* @timeout is for waits; futex(2) requeue operations pass a count in it. */
static inline int hmmu__sched_futex(_Atomic uint32_t *word, int op,
				    uint32_t value,
				    const struct timespec *timeout)
{
	return (int)hmmu__syscall(SYS_futex, (long)word, op, (long)value,
				  (long)timeout, 0, 0);
}

/* @cmd is a MEMBARRIER_CMD_*; see hmmu__membarrier() in epoch.h. */
static inline int hmmu__sched_membarrier(int cmd)
{
	return (int)hmmu__syscall(SYS_membarrier, cmd, 0, 0, 0, 0, 0);
}

#endif

#endif
