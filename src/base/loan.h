/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_LOAN_H
#define HMMU_BASE_LOAN_H

/*
 * Loans: pages that a thread has given to a system call
 *
 * An ordinary user's userfaultfd does not serve the kernel, so what a system
 * call reads or writes must be home and stay there until it returns. The thread
 * records it here, in its own record in the arena; whoever takes pages skips
 * what is recorded (hmmu__loans_visit()). The order is that of windows in
 * thread.h: record, fence, wait for takes that run, bring home.
 *
 * Only the owner writes, without a lock. Its signal handlers may make calls of
 * their own in the middle: theirs come on top, and go before it goes on.
 *
 * A call that never returns - the thread is cancelled in it, or a handler
 * leaves it by siglongjmp(3) - leaves its loans behind. They end with the
 * thread, or with its next call from a frame that can not be above a living one.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HMMU_LOANS 48u

/* [start, end), page aligned; end is 0 where nothing is lent. */
struct hmmu_loan {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
	/* Of the call, on the stack; the owner's own. */
	uintptr_t frame;
};

struct hmmu_loans {
	_Atomic uint32_t count;
	struct hmmu_loan loan[HMMU_LOANS];
};

/*
 * How many there are: hand it to the calls below. The caller's stack tells which
 * calls have been left.
 */
uint32_t hmmu__loans_begin(struct hmmu_loans *loans, uintptr_t frame,
			   uintptr_t stack_lo, uintptr_t stack_hi);
void hmmu__loans_end(struct hmmu_loans *loans, uint32_t mark);

/*
 * Records [start, end), page aligned, for the call that began at @mark. Without
 * room its last loan grows over everything in between.
 */
void hmmu__loans_add(struct hmmu_loans *loans, uint32_t mark, uintptr_t frame,
		     uintptr_t start, uintptr_t end);

/* Loan @i; any thread may ask. False: it is none. */
bool hmmu__loan_get(const struct hmmu_loans *loans, uint32_t i,
		    uintptr_t *start, uintptr_t *end);

#endif
