/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_ARMED_H
#define HMMU_LIVE_ARMED_H

/*
 * Whether anything is armed, for those who may take no lock
 *
 * Counts the records of armed mappings (watch.c), and who is about to arm one.
 * A system call that finds 0 goes on: no page of the program is on a device, and
 * no hole is anybody's but the kernel's. Not which ones: a mapping that has grown
 * is armed beyond its record, and one that has moved has none until the event is
 * applied.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern _Atomic uint32_t hmmu__armed;

/* seq_cst, here and below: against hmmu__loans_settle(), see lend.h. */
static inline void hmmu__armed_add(int n)
{
	atomic_fetch_add_explicit(&hmmu__armed, (uint32_t)n,
				  memory_order_seq_cst);
}

static inline bool hmmu__is_any_armed(void)
{
	return atomic_load_explicit(&hmmu__armed, memory_order_seq_cst) != 0;
}

/* In the child of a fork, which has one thread. */
static inline void hmmu__armed_forget(void)
{
	atomic_store_explicit(&hmmu__armed, 0, memory_order_relaxed);
}

#endif
