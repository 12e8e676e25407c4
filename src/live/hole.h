/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_HOLE_H
#define HMMU_LIVE_HOLE_H

#include "mm.h"

/* An operation of mm.h. */
int hmmu__live_fill_hole(struct hmmu_mm *mm, uintptr_t addr,
			 const struct hmmu_bitmap512 *device_pages);

#endif
