/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_THREAD_H
#define HMMU_BASE_THREAD_H

/*
 * The thread layer: enter and leave HMMU
 *
 * Overview: a program may migrate all its memory, also the stacks and the TLS
 * of its threads. A thread that holds a lock of HMMU must not touch a page on a
 * device, because the fault service may need that lock to migrate the page
 * back. So each public call that takes a lock runs between hmmu__enter() and
 * hmmu__leave(). They nest. Enter does this:
 *
 *   - It blocks signals, because a handler may touch any memory.
 *   - It publishes the window of the stack that the call uses, and the TLS, in
 *     the thread's record, which is in the arena. Migrations to a device skip
 *     published pages.
 *   - It touches these pages, so that they are in system memory.
 *
 * The race is with a migration, which takes pages between hmmu__take_begin()
 * and hmmu__take_end():
 *
 *      thread                              migration
 *      window = [lo, hi)                   takes += 1
 *      fence                               fence
 *      if takes is not 0: wait until 0     read windows
 *      touch the window                    take pages outside them
 *      lock ...                            takes -= 1
 *
 * Required: no page of the window is taken after the touch. If the migration
 * does not see the window, the thread sees takes above 0 and waits.
 *
 * Locking: the threads lock (HMMU_RANK_THREADS) guards the list of records. It
 * is taken inside. With no lock held, a thread that is inside may access the
 * program's memory.
 *
 * Not supported: calls that use more stack than the window. Callbacks may use
 * 16 KiB of it (hmmu/notifier.h).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/loan.h"

/* Stack that a call and its callbacks may use below enter(). */
#define HMMU_STACK_WINDOW_BYTES (64ul << 10)

/*
 * The published windows of a thread, page aligned; @stack_hi or @tls_hi is 0 if
 * there is none. All accesses are relaxed but the stores of 0: the fences of
 * enter() and hmmu__take_begin() order them.
 */
struct hmmu_windows {
	_Atomic uintptr_t stack_lo;
	_Atomic uintptr_t stack_hi;
	_Atomic uintptr_t tls_lo;
	_Atomic uintptr_t tls_hi;
};

/*
 * The mapping around the stack pointer, as it was found last, and the part of
 * the TLS that a call uses. @stack_ends: the mapping cannot grow downwards.
 */
struct hmmu_bounds {
	uintptr_t stack_lo;
	uintptr_t stack_hi;
	uintptr_t tls_lo;
	uintptr_t tls_hi;
	bool stack_ends;
	/* False: found before hmmu__thread_bounds was set. */
	bool asked;
};

/* The record of a thread that has called HMMU; it is in the arena. */
struct hmmu_thread {
	struct hmmu_windows windows;
	struct hmmu_bounds bounds;
	uint64_t saved_signals;
	uint32_t depth;
	int tid;
	/* The outermost enter() has published windows and blocked signals. */
	bool is_published;
	/* The memory that its system calls use. */
	struct hmmu_loans loans;
	struct hmmu_thread *prev;
	struct hmmu_thread *next;
};

/*
 * Finds the mapping around a stack pointer; the live space sets it before its
 * first enter. Returns 0 or -errno. It must not touch memory that can be on a
 * device, except the caller's stack.
 */
extern int (*_Atomic hmmu__thread_bounds)(uintptr_t sp, uintptr_t *lo,
					  uintptr_t *hi);

/*
 * Enter and leave. NULL: no memory for the thread's record; return -ENOMEM. The
 * thread keeps the record until it ends. A thread whose stack is in the arena
 * (the fault service, a worker of soft) blocks and publishes nothing.
 */
struct hmmu_thread *hmmu__enter(void) HMMU_MUST_CHECK;
void hmmu__leave(struct hmmu_thread *self);

/* True between enter and leave. */
bool hmmu__is_inside(void);

/* gettid() without its system call. */
int hmmu__thread_id(void);

/*
 * A migration reads windows and takes pages between begin and end. Keep it
 * short: enter() waits for it. False: a thread is about to touch its window,
 * which may need a lock of the caller. Release all locks, call
 * hmmu__take_wait(), retry.
 */
bool hmmu__take_begin(void) HMMU_MUST_CHECK;
void hmmu__take_wait(void);
void hmmu__take_end(void);

/*
 * Calls @fn for each published window that overlaps [start, end). Call it
 * between hmmu__take_begin() and hmmu__take_end().
 */
void hmmu__windows_visit(uintptr_t start, uintptr_t end,
			 void (*fn)(void *arg, uintptr_t lo, uintptr_t hi),
			 void *arg);

/* Gets the caller's record; creates it with locks; NULL: no memory. */
struct hmmu_thread *hmmu__thread_record(void);

/*
 * True if the caller may have a record. A child of vfork(2) may not: it would
 * use its parent's record, or leave a record with the child's number to its
 * parent.
 */
bool hmmu__thread_may_enter(void);

/*
 * Makes the caller's loans visible to migrations: waits for those that may have
 * read them before. The caller holds no lock.
 */
void hmmu__loans_settle(void);

/* Like hmmu__windows_visit(), for the loans of all threads. */
void hmmu__loans_visit(uintptr_t start, uintptr_t end,
		       void (*fn)(void *arg, uintptr_t lo, uintptr_t hi),
		       void *arg);

/*
 * Called around fork(). The child keeps only the record of its thread. Call the
 * first earlier than hmmu__arena_fork_before(), the others later than
 * hmmu__arena_fork_after().
 */
void hmmu__threads_fork_before(void);
void hmmu__threads_fork_after_parent(void);
void hmmu__threads_fork_after_child(void);

/*
 * Arena calls for a thread that may not be inside: the fault service takes the
 * arena's lock, too. They return NULL if enter() fails.
 */
void *hmmu__alloc_inside(size_t bytes) HMMU_MUST_CHECK;
void hmmu__free_inside(void *p, size_t bytes);
void *hmmu__alloc_pages_inside(size_t npages) HMMU_MUST_CHECK;
void hmmu__free_pages_inside(void *p, size_t npages);

#endif
