/* SPDX-License-Identifier: MIT */
/*
 * The mapping around a stack pointer, for threads that enter HMMU.
 */
#include "live/stack.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/thread.h"
#include "live/vma.h"

/* The vma source that finds stack bounds; one live space at a time. */
static struct hmmu__vma_source *_Atomic bounds_source;

/*
 * How many threads are asking it. They are not inside yet, so nothing else keeps
 * the space from being closed meanwhile:
 *
 *      thread                              close
 *      askers += 1                         source = NULL
 *      source                              waits until there are no askers
 *      asks; askers -= 1                   frees it
 */
static _Atomic uint32_t bounds_askers;

static int bounds_query(uintptr_t sp, struct hmmu__vma *vma)
{
	struct hmmu__vma_source *src;
	int err;

	/* seq_cst: against hmmu__stack_bounds_end(). */
	atomic_fetch_add_explicit(&bounds_askers, 1, memory_order_seq_cst);
	src = atomic_load_explicit(&bounds_source, memory_order_seq_cst);
	err = src ? hmmu__vma_query(src, sp, vma) : -EFAULT;
	/* Release: it has been used before it is freed. */
	atomic_fetch_sub_explicit(&bounds_askers, 1, memory_order_release);
	return err;
}

void hmmu__stack_bounds_end(void)
{
	unsigned int round = 0;

	/* seq_cst: against bounds_query(). */
	atomic_store_explicit(&bounds_source, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&bounds_askers, memory_order_seq_cst))
		hmmu__backoff(&round);
}

/* Other threads of the parent may have been asking. */
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
