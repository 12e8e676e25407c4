/* SPDX-License-Identifier: MIT */
/*
 * The live space of this process
 *
 *	borrower                            close
 *	borrowers += 1                      now = NULL
 *	now is not NULL?                    wait until borrowers is 0
 *	use it; borrowers -= 1              end the space
 *
 * Forbidden: the borrower finds the space, and close sees no borrower.
 */
#include "live/current.h"

#include "base/lock.h"
#include "live/state.h"

struct hmmu_live *_Atomic hmmu__live_now;
_Atomic bool hmmu__lends;
static _Atomic uint32_t borrowers;

struct hmmu_live *hmmu__live_borrow(void)
{
	struct hmmu_live *l;

	/* seq_cst, both: pairs with hmmu__live_withdraw(). */
	atomic_fetch_add_explicit(&borrowers, 1, memory_order_seq_cst);
	l = atomic_load_explicit(&hmmu__live_now, memory_order_seq_cst);
	if (!l)
		hmmu__live_return();
	return l;
}

/* Release: all use of the space comes before it is freed. */
void hmmu__live_return(void)
{
	atomic_fetch_sub_explicit(&borrowers, 1, memory_order_release);
}

void hmmu__live_publish(struct hmmu_live *l)
{
	/* Release: a thread that finds the space finds it complete. */
	atomic_store_explicit(&hmmu__live_now, l, memory_order_release);
	/* Relaxed: a thread that sees it borrows the space next. */
	atomic_store_explicit(&hmmu__lends, l->lends, memory_order_relaxed);
}

void hmmu__live_withdraw(void)
{
	unsigned int round = 0;

	atomic_store_explicit(&hmmu__lends, false, memory_order_relaxed);
	/* seq_cst, both: pairs with hmmu__live_borrow(). */
	atomic_store_explicit(&hmmu__live_now, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&borrowers, memory_order_seq_cst))
		hmmu__backoff(&round);
}

/*
 * Relaxed, except the last: the child has one thread, and it borrows nothing.
 */
void hmmu__live_forget(void)
{
	atomic_store_explicit(&hmmu__lends, false, memory_order_relaxed);
	atomic_store_explicit(&borrowers, 0, memory_order_relaxed);
	atomic_store_explicit(&hmmu__live_now, NULL, memory_order_release);
}
