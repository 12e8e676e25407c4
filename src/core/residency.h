/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_RESIDENCY_H
#define HMMU_CORE_RESIDENCY_H

/*
 * What is where: entries of a range, system pages and device pages together.
 */

#include "core/core.h"

/* Beside enum hmmu_where, never handed out: exclusive to @owner. */
#define HMMU__WHERE_EXCLUSIVE 15u

/* Who looks; with @exclusive the pages that are @owner's alone are VALID. */
struct hmmu_view {
	const struct hmmu_device *owner;
	bool exclusive;
};

/*
 * Fills one entry per page of [start, end), which @vma holds. Pages of @owner
 * are VALID device pages (RF19); pages of other devices are left 0 (RF21).
 * Sticky bits of the entries are kept, everything else is overwritten (RF11).
 */
int hmmu__entries_fill(struct hmmu_space *space, const struct hmmu_view *view,
		       const struct hmmu_vma_info *vma, uintptr_t start,
		       uintptr_t end, uint64_t *entries);

/* -EFAULT or -EPERM if @vma allows no such access at all (RF14-RF16). */
int hmmu__vma_check(const struct hmmu_vma_info *vma, bool write);

/* The entry has what is wanted. */
static inline bool hmmu__entry_satisfies(uint64_t entry, bool write)
{
	return entry & HMMU_ENTRY_VALID && (!write || entry & HMMU_ENTRY_WRITE);
}

#endif
