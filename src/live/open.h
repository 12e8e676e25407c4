/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_OPEN_H
#define HMMU_LIVE_OPEN_H

/*
 * What src/api needs to open the live space of this process
 *
 * Create it, make a space over it (hmmu__space_create()), start it. To end it:
 * withdraw, then hmmu__space_destroy().
 */

#include <hmmu/space.h>

#include "mm.h"

/*
 * The live address space of this process. No thread of it runs yet. With
 * -EOPNOTSUPP *@why is set to a sentence that says what to do; -ENOMEM, -EMFILE,
 * -ENFILE, or what opening files of /proc/self returned.
 */
int hmmu__live_create(const struct hmmu_space_options *o, const char **why,
		      struct hmmu_mm **ret_mm);

/* Starts the fault service; hooks and fork handlers find the space now. */
int hmmu__live_start(struct hmmu_mm *mm);

/* The hooks find it no more, and none of them uses it. */
void hmmu__live_stop_hooks(void);

/* The address space that hooks find now, or NULL. */
struct hmmu_mm *hmmu__live_mm(void);

#endif
