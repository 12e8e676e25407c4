/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_LOAN_H
#define HMMU_BASE_LOAN_H

/*
 * Loans: pages that a system call of a thread uses
 *
 * Overview: the userfaultfd of an unprivileged user does not serve faults of
 * the kernel. So the memory that a system call accesses must be in system
 * memory until the call returns. The thread records it as a loan in its own
 * record in the arena, and migrations skip it (hmmu__loans_visit()). The
 * protocol is that of the windows in thread.h: record the loan, fence, wait for
 * running takes, then migrate the pages back.
 *
 * A call may not return: the thread is cancelled, or a handler leaves the call
 * by siglongjmp(3). Its loans end with the thread, or at the thread's next call
 * from a frame that shows that the first call is over.
 *
 * Locking: none. Only the owner writes. A signal handler of the owner may add
 * its own loans at any point, and removes them before it returns.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HMMU_LOANS 48u

/* Pages [start, end), page aligned; @end is 0 if there is no loan. */
struct hmmu_loan {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
	/* The call's stack frame; only the owner reads it. */
	uintptr_t frame;
};

struct hmmu_loans {
	_Atomic uint32_t count;
	struct hmmu_loan loan[HMMU_LOANS];
};

/*
 * Begin and end the loans of one call. Begin removes loans of calls that ended
 * without a return, for which it needs the caller's frame and stack. It returns
 * the mark for the calls below.
 */
uint32_t hmmu__loans_begin(struct hmmu_loans *loans, uintptr_t frame,
			   uintptr_t stack_lo, uintptr_t stack_hi);
void hmmu__loans_end(struct hmmu_loans *loans, uint32_t mark);

/*
 * Records [start, end), page aligned, for the call that began at @mark. If
 * there is no room, the call's last loan grows to include the pages.
 */
void hmmu__loans_add(struct hmmu_loans *loans, uint32_t mark, uintptr_t frame,
		     uintptr_t start, uintptr_t end);

/* Reads loan @i of any thread; false: it is empty. */
bool hmmu__loan_get(const struct hmmu_loans *loans, uint32_t i,
		    uintptr_t *start, uintptr_t *end);

#endif
