/* SPDX-License-Identifier: MIT */
#include "base/loan.h"

#include <signal.h>

#include "base/compiler.h"
#include "base/sys.h"

/* Relaxed in all of these: the fence of hmmu__loans_settle() orders them. */
static uint32_t count_get(const struct hmmu_loans *loans)
{
	return atomic_load_explicit(&loans->count, memory_order_relaxed);
}

static void count_set(struct hmmu_loans *loans, uint32_t count)
{
	atomic_store_explicit(&loans->count, count, memory_order_relaxed);
}

static uintptr_t get(const _Atomic uintptr_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void set(_Atomic uintptr_t *word, uintptr_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

/* A signal stack may lie anywhere: its frames are not compared. */
static bool is_on_signal_stack(void)
{
	stack_t ss = { 0 };

	return hmmu__syscall(SYS_sigaltstack, 0, (long)&ss, 0, 0, 0, 0) ||
	       ss.ss_flags & SS_ONSTACK;
}

/*
 * The call has been left: a frame that lives is above those it has called. Of one
 * stack: a handler that has disarmed its own (SS_AUTODISARM) is not said to be on
 * it.
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

/* Release: what the call did is done before the pages may go. */
void hmmu__loans_end(struct hmmu_loans *loans, uint32_t mark)
{
	uint32_t i;

	for (i = count_get(loans); i-- > mark;)
		atomic_store_explicit(&loans->loan[i].end, 0,
				      memory_order_release);
	/* A handler after this begins where the call did. */
	hmmu__barrier();
	count_set(loans, mark);
}

/*
 * Counted first: a handler in between leaves it alone. The frame before that,
 * by which the handler sees that the call lives; and all of it again, for a
 * handler may have used the place just before.
 */
static void push(struct hmmu_loans *loans, uint32_t count, uintptr_t frame,
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
	set(&loan->start, start);
	set(&loan->end, end);
}

static void grow(struct hmmu_loan *loan, uintptr_t start, uintptr_t end)
{
	if (start < get(&loan->start))
		set(&loan->start, start);
	if (end > get(&loan->end))
		set(&loan->end, end);
}

static bool touches(const struct hmmu_loan *loan, uintptr_t start,
		    uintptr_t end)
{
	return start <= get(&loan->end) && get(&loan->start) <= end;
}

void hmmu__loans_add(struct hmmu_loans *loans, uint32_t mark, uintptr_t frame,
		     uintptr_t start, uintptr_t end)
{
	uint32_t count = count_get(loans);
	struct hmmu_loan *last = count > mark ? &loans->loan[count - 1] : NULL;

	if (last && (touches(last, start, end) || count == HMMU_LOANS))
		grow(last, start, end);
	else if (count < HMMU_LOANS)
		push(loans, count, frame, start, end);
}

bool hmmu__loan_get(const struct hmmu_loans *loans, uint32_t i,
		    uintptr_t *start, uintptr_t *end)
{
	*start = get(&loans->loan[i].start);
	*end = get(&loans->loan[i].end);
	return *end != 0;
}
