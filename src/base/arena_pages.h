/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ARENA_PAGES_H
#define HMMU_BASE_ARENA_PAGES_H

/* Page runs, for the other parts of the arena. */

#include "base/arena_internal.h"

/* hmmu__alloc_pages() without its fault point: hmmu__alloc() has its own. */
void *hmmu__pages_alloc(size_t npages);

/* Bytes of allocated page runs. */
size_t hmmu__pages_used_bytes_locked(void) HMMU_REQUIRES(&hmmu__arena.lock);

#endif
