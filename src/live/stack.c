/* SPDX-License-Identifier: MIT */
/*
 * Find the mapping that contains a stack pointer, for threads that enter HMMU
 *
 * Locking: none.
 */
#include "live/stack.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/thread.h"
#include "live/vma.h"

/* The source of the live space, of which there is one at a time. */
static struct hmmu__vma_source *_Atomic bounds_source;

/*
 * Threads that use the source. They are not inside yet, so only this count
 * keeps the space from being freed:
 *
 *	thread                              close
 *	askers += 1                         source = NULL
 *	source is not NULL?                 wait until askers is 0
 *	query it; askers -= 1               free it
 */
static _Atomic uint32_t bounds_askers;

static int bounds_query(uintptr_t sp, struct hmmu__vma *vma)
{
	struct hmmu__vma_source *src;
	int err;

	/* seq_cst: pairs with hmmu__stack_bounds_end(). */
	atomic_fetch_add_explicit(&bounds_askers, 1, memory_order_seq_cst);
	src = atomic_load_explicit(&bounds_source, memory_order_seq_cst);
	err = src ? hmmu__vma_query(src, sp, vma) : -EFAULT;
	/* Release: the use comes before it is freed. */
	atomic_fetch_sub_explicit(&bounds_askers, 1, memory_order_release);
	return err;
}

void hmmu__stack_bounds_end(void)
{
	unsigned int round = 0;

	/* seq_cst: pairs with bounds_query(). */
	atomic_store_explicit(&bounds_source, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&bounds_askers, memory_order_seq_cst))
		hmmu__backoff(&round);
}

/* Other threads of the parent may have used it. */
void hmmu__stack_bounds_fork_after_child(void)
{
	atomic_store_explicit(&bounds_askers, 0, memory_order_relaxed);
}

static int stack_bounds(uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
	struct hmmu__vma vma;
	int err = bounds_query(sp, &vma);

	if (err)
		return err;
	*lo = vma.start;
	*hi = vma.end;
	return 0;
}

void hmmu__stack_bounds_start(struct hmmu__vma_source *source)
{
	atomic_store_explicit(&bounds_source, source, memory_order_release);
	atomic_store_explicit(&hmmu__thread_bounds, stack_bounds,
			      memory_order_release);
}
