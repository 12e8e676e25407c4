/* SPDX-License-Identifier: MIT */
/*
 * hmmu_space_get_residency(): where the pages of each block of a range are
 *
 * Locking: the space's lock and block locks are taken one at a time, so the
 * answer for a block may mix two moments.
 */
#include <errno.h>

#include "base/arena.h"
#include "base/range.h"
#include "core/device.h"
#include "core/view.h"

static void count_system(const uint64_t *e, size_t n,
			 struct hmmu_residency *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!(e[i] & HMMU_ENTRY_VALID) ||
		    hmmu_entry_where(e[i]) == HMMU_WHERE_COHERENT_OTHER)
			continue;
		out->system_pages++;
		if (hmmu_entry_order(e[i]) >= HMMU_LARGE_LG2 - HMMU_PAGE_LG2)
			out->system_large = 1;
	}
}

/* Counts system pages. The view has no owner, so device pages are not VALID. */
static void count_system_part(struct hmmu_space *space, uintptr_t start,
			      uint64_t *entries, struct hmmu_residency *out)
{
	uintptr_t end = start + HMMU_LARGE_BYTES, at = start, to;
	const struct hmmu_view nobody = { .owner = NULL };
	struct hmmu_vma_info vma;

	while (at < end && !space->mm->ops->next_vma(space->mm, at, &vma) &&
	       vma.start < end) {
		at = vma.start > at ? vma.start : at;
		to = vma.end < end ? vma.end : end;
		if (!(vma.flags & HMMU_VMA_SPECIAL) &&
		    !hmmu__view_entries(space, &nobody, &vma, at, to, entries))
			count_system(entries, (to - at) >> HMMU_PAGE_LG2, out);
		at = to;
	}
}

static void count_device_part(struct hmmu_space *space, uintptr_t start,
			      struct hmmu_residency *out)
{
	struct hmmu_block *b = hmmu__block_find(&space->blocks, start);

	if (!b)
		return;
	hmmu__block_lock(b);
	out->device_pages = (uint16_t)hmmu__bitmap_count(&b->held);
	out->device_large = hmmu__block_is_large(b);
	hmmu__block_unlock(b);
}

static uint32_t find_largest_leaf(struct hmmu_mirror *mirror, uintptr_t start)
{
	struct hmmu_mirror_reader *reader;
	uint32_t best = 0;
	uintptr_t at;
	uint64_t e;

	if (hmmu_mirror_reader_create(mirror, &reader))
		return 0;
	hmmu_mirror_read_begin(mirror, reader);
	for (at = start; at < start + HMMU_LARGE_BYTES; at += HMMU_PAGE_BYTES) {
		if (!hmmu_mirror_lookup(mirror, at, &e))
			continue;
		if (hmmu_mirror_leaf_lg2(e) > best)
			best = hmmu_mirror_leaf_lg2(e);
		if (best >= HMMU_LARGE_LG2)
			break;
	}
	hmmu_mirror_read_end(mirror, reader);
	hmmu_mirror_reader_destroy(mirror, reader);
	return best;
}

static uint32_t find_largest_in_mirrors(struct hmmu_space *space,
					uintptr_t start)
{
	struct hmmu_device *d;
	uint32_t best = 0;

	hmmu__mutex_lock(&space->lock);
	for (d = space->devices; d; d = d->next) {
		uint32_t lg2 = find_largest_leaf(d->mirror, start);

		if (lg2 > best)
			best = lg2;
	}
	hmmu__mutex_unlock(&space->lock);
	return best;
}

static void fill_residency(struct hmmu_space *space, uintptr_t start,
			   uint64_t *entries, struct hmmu_residency *out)
{
	struct hmmu_residency r = { .start = start };

	count_system_part(space, start, entries, &r);
	count_device_part(space, start, &r);
	r.mirror_leaf_lg2 = find_largest_in_mirrors(space, start);
	/* @out is the program's memory, so no lock is held. */
	*out = r;
}

int hmmu_space_get_residency(struct hmmu_space *space, uintptr_t address,
			     size_t bytes, struct hmmu_residency *out)
{
	uintptr_t start, end;
	struct hmmu_thread *self;
	uint64_t *entries;
	int err;

	if (!space || !out ||
	    !hmmu__range_round(address, bytes, HMMU_LARGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	entries = hmmu__alloc_pages(1);
	for (; entries && start < end; start += HMMU_LARGE_BYTES)
		fill_residency(space, start, entries, out++);
	if (entries)
		hmmu__free_pages(entries, 1);
	hmmu__leave(self);
	return entries ? 0 : -ENOMEM;
}
