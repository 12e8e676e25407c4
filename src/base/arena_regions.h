/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_REGIONS_H
#define HMMU_BASE_ARENA_REGIONS_H

/* Regions, for the other parts of the arena. */

#include "base/arena_internal.h"

/* Bytes of allocated regions. */
size_t hmmu__regions_used_bytes_locked(void) HMMU_REQUIRES(&hmmu__arena.lock);

#endif
