/* SPDX-License-Identifier: MIT */
/*
 * The loans of one thread: a stack that only the thread itself writes
 *
 * Overview: a signal handler can interrupt these functions anywhere and add
 * loans of its own. It removes them before it returns, or it leaves by
 * siglongjmp(3) and hmmu__loans_begin() removes them later.
 *
 * Locking: none. Other threads read the words at any time.
 */
#include "base/loan.h"

#include <signal.h>

#include "base/compiler.h"
#include "base/sys.h"

/* Relaxed here and below: the fence of hmmu__loans_settle() orders them. */
static uint32_t count_get(const struct hmmu_loans *loans)
{
	return atomic_load_explicit(&loans->count, memory_order_relaxed);
}

static void count_set(struct hmmu_loans *loans, uint32_t count)
{
	atomic_store_explicit(&loans->count, count, memory_order_relaxed);
}

static uintptr_t load_word(const _Atomic uintptr_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void store_word(_Atomic uintptr_t *word, uintptr_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

/* A signal stack can be at any address: do not compare its frames. */
static bool is_on_signal_stack(void)
{
	stack_t ss = { 0 };

	return hmmu__syscall(SYS_sigaltstack, 0, (long)&ss, 0, 0, 0, 0) ||
	       ss.ss_flags & SS_ONSTACK;
}

/*
 * True if the call of @loan has ended without a return: on one stack, a live
 * frame is above those it has called. The bounds of the stack are compared too,
 * because sigaltstack(2) does not report a handler on a stack that it has
 * disarmed (SS_AUTODISARM).
 */
static bool is_left(const struct hmmu_loan *loan, uintptr_t frame,
		    uintptr_t stack_lo, uintptr_t stack_hi)
{
	return loan->frame <= frame && loan->frame >= stack_lo &&
	       frame < stack_hi && !is_on_signal_stack();
}

uint32_t hmmu__loans_begin(struct hmmu_loans *loans, uintptr_t frame,
			   uintptr_t stack_lo, uintptr_t stack_hi)
{
	uint32_t count = count_get(loans);

	if (hmmu_likely(!count))
		return 0;
	while (count &&
	       is_left(&loans->loan[count - 1], frame, stack_lo, stack_hi))
		hmmu__loans_end(loans, --count);
	return count;
}

/* Release: the call's accesses are done before its pages can migrate. */
void hmmu__loans_end(struct hmmu_loans *loans, uint32_t mark)
{
	uint32_t i;

	for (i = count_get(loans); i-- > mark;)
		atomic_store_explicit(&loans->loan[i].end, 0,
				      memory_order_release);
	/* A handler that runs later begins at @mark, too. */
	hmmu__barrier();
	count_set(loans, mark);
}

/*
 * Write the frame, then the count, so that a handler that runs later sees a
 * live call and keeps the loan. A handler that runs before the count is written
 * may use the same element and overwrite the frame. So write the frame again,
 * and begin again if another handler has removed the loan because of the old
 * one.
 */
static void push_loan(struct hmmu_loans *loans, uint32_t count, uintptr_t frame,
		      uintptr_t start, uintptr_t end)
{
	struct hmmu_loan *loan = &loans->loan[count];

	do {
		loan->frame = frame;
		hmmu__barrier();
		count_set(loans, count + 1);
		hmmu__barrier();
		loan->frame = frame;
		hmmu__barrier();
	} while (count_get(loans) != count + 1);
	store_word(&loan->start, start);
	store_word(&loan->end, end);
}

static void grow_loan(struct hmmu_loan *loan, uintptr_t start, uintptr_t end)
{
	if (start < load_word(&loan->start))
		store_word(&loan->start, start);
	if (end > load_word(&loan->end))
		store_word(&loan->end, end);
}

static bool loan_touches(const struct hmmu_loan *loan, uintptr_t start,
			 uintptr_t end)
{
	return start <= load_word(&loan->end) && load_word(&loan->start) <= end;
}

void hmmu__loans_add(struct hmmu_loans *loans, uint32_t mark, uintptr_t frame,
		     uintptr_t start, uintptr_t end)
{
	uint32_t count = count_get(loans);
	struct hmmu_loan *last = count > mark ? &loans->loan[count - 1] : NULL;

	if (last && (loan_touches(last, start, end) || count == HMMU_LOANS))
		grow_loan(last, start, end);
	else if (count < HMMU_LOANS)
		push_loan(loans, count, frame, start, end);
}

bool hmmu__loan_get(const struct hmmu_loans *loans, uint32_t i,
		    uintptr_t *start, uintptr_t *end)
{
	*start = load_word(&loans->loan[i].start);
	*end = load_word(&loans->loan[i].end);
	return *end != 0;
}
