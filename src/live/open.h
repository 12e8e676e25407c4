/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_OPEN_H
#define HMMU_LIVE_OPEN_H

/*
 * Open and close of the live space of this process, for src/api
 *
 * To open: create it, make a space over it (hmmu__space_create()), start it. To
 * close: stop the hooks, then hmmu__space_destroy().
 */

#include <hmmu/space.h>

#include "mm.h"

/*
 * Create the live address space of this process. None of its threads runs yet.
 *
 * Return: 0; -EOPNOTSUPP, and *@why is a sentence that says what to do;
 * -ENOMEM, -EMFILE, -ENFILE, or the error of opening a file of /proc/self.
 */
int hmmu__live_create(const struct hmmu_space_options *o, const char **why,
		      struct hmmu_mm **ret_mm);

/* Start the fault service and let hooks and fork handlers find the space. */
int hmmu__live_start(struct hmmu_mm *mm);

/* Hide the space from the hooks and wait until none of them uses it. */
void hmmu__live_stop_hooks(void);

/* The address space that hooks find now, or NULL. */
struct hmmu_mm *hmmu__live_mm(void);

#endif
