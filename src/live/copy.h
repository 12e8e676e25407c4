/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_COPY_H
#define HMMU_LIVE_COPY_H

/*
 * Between a range and its alias: for copy.c and stamps.c.
 */

#include "base/sys.h"
#include "live/live.h"

/* Pages that hold something; a guard is told apart, for it can not be read. */
#define HMMU_COPY_CONTENT \
	(HMMU__PAGE_PRESENT | HMMU__PAGE_SWAPPED | HMMU__PAGE_GUARD)
#define HMMU_COPY_RUNS 32u

/* Its pages go to @to; @from stays mapped. */
static inline long hmmu__copy_remap(uintptr_t from, uintptr_t to, size_t bytes)
{
	return hmmu__sys_mremap(
		from, bytes, bytes,
		MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
}

/* The alias becomes what it was, so that it is one mapping with the rest. */
static inline void hmmu__alias_drop(uintptr_t alias, size_t bytes)
{
	(void)hmmu__sys_mmap(
		alias, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

#endif
