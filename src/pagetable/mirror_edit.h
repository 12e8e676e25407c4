/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_MIRROR_EDIT_H
#define HMMU_PAGETABLE_MIRROR_EDIT_H

/*
 * Editing the tables
 *
 * Locking: the caller holds the locks of the regions. If the edit has retired
 * tables, the caller unlocks and then calls hmmu__mirror_retired_take().
 */

#include "pagetable/state.h"

/**
 * hmmu__mirror_edit_apply() - apply an edit as a whole, or fail @edit:  the
 * edit. @table: the root, with the upper lock held; or, for an edit in one
 * region that
 *         exists, the table of level 2 above the region.
 * @top:   level of @table.
 * @delta: out: the change of the table's live count; for a table of level 2
 *         this is 0, or -1 if the region has been removed.
 *
 * Return: 0, or -ENOMEM without a change.
 */
int hmmu__mirror_edit_apply(struct hmmu_mirror_edit *edit, uint64_t *table,
			    unsigned int top, int *delta);

/**
 * hmmu__mirror_edit_drop() - count a removed region in the upper tables
 * @edit: the edit; the slot of level 2 for its start is 0 already.
 */
void hmmu__mirror_edit_drop(struct hmmu_mirror_edit *edit)
	HMMU_REQUIRES(&edit->mirror->upper);

#endif
