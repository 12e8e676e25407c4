/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_PAGE_H
#define HMMU_LIVE_PAGE_H

#include "mm.h"

/* Operations of mm.h. */
int hmmu__live_take(struct hmmu_mm *mm, struct hmmu_mm_take *t);
int hmmu__live_put(struct hmmu_mm *mm, struct hmmu_mm_put *put);

#endif
