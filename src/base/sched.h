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

/*
 * A full barrier, atomic_thread_fence(seq_cst) in C11's words. It is written
 * out because gcc refuses that call under -fsanitize=thread; a locked
 * operation on the stack is what gcc emits for it otherwise.
 */
static inline void hmmu__sched_fence(void)
{
	__asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
}

/* In a loop that waits for another thread on another CPU. */
static inline void hmmu__sched_relax(void)
{
	__builtin_ia32_pause();
}

/* Lets another thread have this CPU. */
static inline void hmmu__sched_yield(void)
{
	(void)hmmu__syscall(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

/* Sleeps @ns or until a signal handler ran. */
static inline void hmmu__sched_sleep(uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / 1000000000u),
		.tv_nsec = (long)(ns % 1000000000u),
	};

	(void)hmmu__syscall(SYS_nanosleep, (long)&ts, 0, 0, 0, 0, 0);
}

/* CLOCK_MONOTONIC. The vdso answers: no system call, and errno untouched. */
static inline uint64_t hmmu__sched_now_ns(void)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* The thread's identity; hmmu__thread_id() remembers it. */
static inline int hmmu__sched_gettid(void)
{
	return (int)hmmu__syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

/* The timed waits of futex(2) take @timeout, the requeues a count there. */
static inline int hmmu__sched_futex(_Atomic uint32_t *word, int op,
				    uint32_t value,
				    const struct timespec *timeout)
{
	return (int)hmmu__syscall(SYS_futex, (long)word, op, (long)value,
				  (long)timeout, 0, 0);
}

/* @cmd is a MEMBARRIER_CMD_*; see also hmmu__membarrier() in epoch.h. */
static inline int hmmu__sched_membarrier(int cmd)
{
	return (int)hmmu__syscall(SYS_membarrier, cmd, 0, 0, 0, 0, 0);
}

#endif

#endif
