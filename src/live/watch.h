/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_WATCH_H
#define HMMU_LIVE_WATCH_H

#include "mm.h"

struct hmmu_live;

/* Operations of mm.h. */
int hmmu__live_watch(struct hmmu_mm *mm, const struct hmmu_vma_info *vma);
int hmmu__live_arm(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
		   enum hmmu_stay *why);
void hmmu__live_release(struct hmmu_mm *mm, uintptr_t start, uintptr_t end);

/* release, for the service while it holds the events lock exclusively. */
void hmmu__watch_release_exclusive(struct hmmu_live *l, uintptr_t start,
				   uintptr_t end);
/*
 * suspend ends the registration of a part, so that its unmapping raises no
 * event. resume registers it again.
 */
bool hmmu__watch_suspend(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__watch_resume(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* Watch a hole, or the mapping around it, instead of arming it: the kernel fills it. */
void hmmu__watch_demote_page(struct hmmu_live *l, uintptr_t page);
void hmmu__watch_demote_vma(struct hmmu_live *l, uintptr_t page);

#endif
