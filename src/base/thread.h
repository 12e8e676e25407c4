/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_THREAD_H
#define HMMU_BASE_THREAD_H

/*
 * The thread layer: being inside HMMU
 *
 * The program may migrate anything, its threads' stacks and thread-local
 * storage too. A thread that holds a lock of ours must not touch a page that
 * is away: the fault service would need that lock. So each public call that
 * takes a lock runs between hmmu__enter() and hmmu__leave() (design.md
 * section 4, rule 2):
 *
 *   - signals are blocked, for a handler may touch anything;
 *   - the window of the stack that the call uses and the thread's TLS are
 *     published in the thread's record, which lies in the arena;
 *   - then they are touched, so that they are home; and whoever takes pages
 *     (hmmu__take_begin() ... hmmu__take_end()) skips what is published.
 *
 *      thread                              taker
 *      window = [lo, hi)                   takes += 1
 *      fence                               fence
 *      wait while a take runs that began   read windows
 *        before the window was seen        take what is not in one
 *      touch the window                    takes -= 1
 *      lock ...
 *
 * Forbidden: the taker misses the window and takes a page after the touch.
 *
 * Nests. Between enter and leave the program's memory may be touched while no
 * lock is held.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loan.h"

/* Stack bytes that a call and the callbacks under it may use below enter(). */
#define HMMU_STACK_WINDOW_BYTES (64ul << 10)

/*
 * What a thread has published, page aligned; hi is 0 where nothing is. Relaxed
 * stores and loads: the fences of enter() and hmmu__take_begin() order them.
 */
struct hmmu_windows {
	_Atomic uintptr_t stack_lo;
	_Atomic uintptr_t stack_hi;
	_Atomic uintptr_t tls_lo;
	_Atomic uintptr_t tls_hi;
};

/*
 * The mapping the stack pointer was in when last asked, and the part of the
 * TLS that a call uses. @stack_ends: the mapping can not grow downwards.
 */
struct hmmu_bounds {
	uintptr_t stack_lo;
	uintptr_t stack_hi;
	uintptr_t tls_lo;
	uintptr_t tls_hi;
	bool stack_ends;
	/* False: made before hmmu__thread_bounds was set. */
	bool asked;
};

/* One per thread that has called HMMU; lives in the arena. */
struct hmmu_thread {
	struct hmmu_windows windows;
	struct hmmu_bounds bounds;
	uint64_t saved_signals;
	uint32_t depth;
	int tid;
	/* The outermost enter() has published windows and blocked signals. */
	bool is_published;
	/* What its system calls work on. */
	struct hmmu_loans loans;
	struct hmmu_thread *prev;
	struct hmmu_thread *next;
};

/*
 * How to find the mapping around a stack pointer; set by the live space before
 * its first enter. Returns 0 or -errno. Must not touch anything that could be
 * away but the caller's own stack.
 */
extern int (*_Atomic hmmu__thread_bounds)(uintptr_t sp, uintptr_t *lo,
					  uintptr_t *hi);

/*
 * Goes inside. NULL: no memory for the record (-ENOMEM to the caller).
 * The record stays the thread's until it ends.
 */
struct hmmu_thread *hmmu__enter(void) HMMU_MUST_CHECK;
void hmmu__leave(struct hmmu_thread *self);

/*
 * The thread whose stack and TLS lie in the arena (the fault service, soft's
 * workers): enter and leave cost it nothing but the nesting.
 */

/* True between enter and leave. */
bool hmmu__is_inside(void);

/* gettid() without the system call. */
int hmmu__thread_id(void);

/*
 * Around reading windows and taking pages. Short: enter() waits for it. False:
 * some thread is between its window and the touch, and its touch may need what
 * the caller holds: let go of every lock, hmmu__take_wait(), begin again.
 */
bool hmmu__take_begin(void) HMMU_MUST_CHECK;
void hmmu__take_wait(void);
void hmmu__take_end(void);

/*
 * Calls @fn for each published window that overlaps [start, end). Between
 * take_begin and take_end only.
 */
void hmmu__windows_visit(uintptr_t start, uintptr_t end,
			 void (*fn)(void *arg, uintptr_t lo, uintptr_t hi),
			 void *arg);

/* The caller's record, made if need be; NULL: no memory. Takes no lock after. */
struct hmmu_thread *hmmu__thread_record(void);

/*
 * Whether the caller may have a record. A child of vfork(2) may not: it has its
 * parent's, or would leave it one that bears the child's number.
 */
bool hmmu__thread_may_enter(void);

/*
 * What the caller has lent is seen by whoever takes pages from now on, and
 * nobody takes any who has looked before. Holding nothing.
 */
void hmmu__loans_settle(void);

/* As hmmu__windows_visit(), for what threads have lent. */
void hmmu__loans_visit(uintptr_t start, uintptr_t end,
		       void (*fn)(void *arg, uintptr_t lo, uintptr_t hi),
		       void *arg);

/*
 * fork: the child keeps its own thread's record only. Before: before that of
 * the arena; after: after it.
 */
void hmmu__threads_fork_before(void);
void hmmu__threads_fork_after_parent(void);
void hmmu__threads_fork_after_child(void);

/*
 * The arena's calls for a thread that may not be inside: the arena's lock is
 * one that the fault service takes. NULL also when enter() fails.
 */
void *hmmu__alloc_inside(size_t bytes) HMMU_MUST_CHECK;
void hmmu__free_inside(void *p, size_t bytes);
void *hmmu__alloc_pages_inside(size_t npages) HMMU_MUST_CHECK;
void hmmu__free_pages_inside(void *p, size_t npages);

#endif
