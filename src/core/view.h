/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_VIEW_H
#define HMMU_CORE_VIEW_H

/*
 * Views: the pages of a range as a device may map them
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/range.h>

#include "core/space.h"

/* A value beside enum hmmu_where, never in an entry: exclusive to the owner. */
#define HMMU__WHERE_EXCLUSIVE 15u

/*
 * Whose view it is. Pages in @owner's memory are device pages (RF19). Pages in
 * other devices' memories are left out (RF21). @owner's exclusive pages are
 * left out, too, unless @exclusive is set.
 */
struct hmmu_view {
	const struct hmmu_device *owner;
	bool exclusive;
};

/*
 * Present pages [start, end) that are alike: the first at @host, and at page
 * @index of the device memory that @where names. @order as in struct
 * hmmu_mm_run, but 0 where a device may not map the large page as one.
 */
struct hmmu_view_run {
	uintptr_t start;
	uintptr_t end;
	uintptr_t host;
	uint32_t index;
	uint8_t where;
	uint8_t order;
	bool write;
};

/*
 * The runs of [start, end), which lies in @vma, as hmmu_mm_ops.snapshot() gives
 * them: *@ret_n of at most @max, for [start, *@ret_next). @runs lies in memory
 * that cannot migrate: the arena, or the caller's stack inside HMMU.
 */
int hmmu__view_runs(struct hmmu_space *space, const struct hmmu_view *view,
		    const struct hmmu_vma_info *vma, uintptr_t start,
		    uintptr_t end, struct hmmu_view_run *runs, size_t max,
		    size_t *ret_n, uintptr_t *ret_next);

/*
 * The same as entries, one for each page, for the public API. Sticky bits of
 * the entries are kept, everything else is overwritten (RF11).
 */
int hmmu__view_entries(struct hmmu_space *space, const struct hmmu_view *view,
		       const struct hmmu_vma_info *vma, uintptr_t start,
		       uintptr_t end, uint64_t *entries);

/* -EFAULT or -EPERM if @vma allows no such access at all (RF14-RF16). */
int hmmu__vma_check(const struct hmmu_vma_info *vma, bool write);

#endif
