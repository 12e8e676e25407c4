/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_ARMED_H
#define HMMU_LIVE_ARMED_H

/*
 * Whether any mapping is armed, for code that can take no lock
 *
 * The counter has one for each record of an armed mapping (watch.c) and one for
 * each thread that is about to arm a mapping. While it is 0, no page of the
 * program is on a device and every hole is the kernel's to fill, so a system
 * call needs no preparation.
 *
 * Not supported: which mappings are armed. A mapping that has grown is armed
 * beyond its record, and one that has moved has no record until its event is
 * applied.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

extern _Atomic uint32_t hmmu__armed;

/* seq_cst, here and below: pairs with hmmu__loans_settle(), see lend.h. */
static inline void hmmu__armed_add(int n)
{
	atomic_fetch_add_explicit(&hmmu__armed, (uint32_t)n,
				  memory_order_seq_cst);
}

static inline bool hmmu__is_any_armed(void)
{
	return atomic_load_explicit(&hmmu__armed, memory_order_seq_cst) != 0;
}

/* Called in the child of a fork, which has one thread. */
static inline void hmmu__armed_forget(void)
{
	atomic_store_explicit(&hmmu__armed, 0, memory_order_relaxed);
}

#endif
