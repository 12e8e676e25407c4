/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_MIRROR_EDIT_H
#define HMMU_PAGETABLE_MIRROR_EDIT_H

/*
 * The work on tables. The caller holds the locks of the regions. If the edit
 * has made graves, the caller calls hmmu__mirror_graves_take() after unlocking.
 */

#include "pagetable/state.h"

/**
 * hmmu__mirror_edit_apply() - do an edit, whole or not at all
 * @edit:  the edit.
 * @table: the root, with the upper lock held; or, for an edit within one
 *         region that exists, the table of level 2 above it.
 * @top:   level of @table.
 * @delta: by how much its number of live entries has changed; for a table of
 *         level 2 that is 0, or -1 when the region has gone.
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int hmmu__mirror_edit_apply(struct hmmu_mirror_edit *edit, uint64_t *table,
			    unsigned int top, int *delta);

/**
 * hmmu__mirror_edit_drop() - account upward for a region that has gone
 * @edit: the edit; the slot of level 2 for its start is 0 already.
 */
void hmmu__mirror_edit_drop(struct hmmu_mirror_edit *edit)
	HMMU_REQUIRES(&edit->mirror->upper);

#endif
