/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_LOOK_H
#define HMMU_LIVE_LOOK_H

#include "mm.h"

struct hmmu_live;

/*
 * Look up the mapping that contains @addr, or the first that ends above it.
 * -EFAULT: there is none.
 */
int hmmu__live_describe(struct hmmu_mm *mm, uintptr_t addr,
			struct hmmu_vma_info *out);
int hmmu__live_describe_next(struct hmmu_mm *mm, uintptr_t addr,
			     struct hmmu_vma_info *out);

/* Operations of mm.h. */
int hmmu__live_fault_in(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			bool write);
int hmmu__live_snapshot(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
			uintptr_t start, uintptr_t end,
			struct hmmu_mm_run *runs, size_t max, size_t *ret_n,
			uintptr_t *ret_next);

/* Number of whole 2 MiB pages in [start, end); both are 2 MiB aligned. */
size_t hmmu__large_pages(const struct hmmu_live *l, uintptr_t start,
			 uintptr_t end);
/* True if no page of [start, end) is present or swapped. */
bool hmmu__is_absent(const struct hmmu_live *l, uintptr_t start, uintptr_t end);

#endif
