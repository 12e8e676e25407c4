/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_SLABS_H
#define HMMU_BASE_ARENA_SLABS_H

/* Small objects, for the other parts of the arena. */

#include "base/arena_internal.h"

/* Bytes of allocated small objects; may change while it is summed up. */
size_t hmmu__slabs_used_bytes_locked(void) HMMU_REQUIRES(&hmmu__arena.lock);

#endif
