/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_POOL_H
#define HMMU_LIVE_POOL_H

#include "mm.h"

struct hmmu_live;

/* Operations of mm.h. */
int hmmu__live_empty(struct hmmu_mm *mm, void *host, size_t bytes);
int hmmu__live_add_pool(struct hmmu_mm *mm, void *host, size_t bytes);
void hmmu__live_remove_pool(struct hmmu_mm *mm, void *host, size_t bytes);

/*
 * True: the pool was locked together with the program's memory, and is unlocked
 * now.
 */
bool hmmu__pool_unlock(struct hmmu_live *l, uintptr_t start, size_t bytes);

#endif
