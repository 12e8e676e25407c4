/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_EXCLUDE_H
#define HMMU_LIVE_EXCLUDE_H

#include "mm.h"

struct hmmu_live;

/* An operation of mm.h. */
bool hmmu__live_exclude(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			struct hmmu_bitmap512 *skip, uint8_t *why);
/* Collect the segments of libhmmu, the C library and the loader. */
void hmmu__keep_collect(struct hmmu_live *l);

#endif
