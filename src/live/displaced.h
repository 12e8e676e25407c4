/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_DISPLACED_H
#define HMMU_LIVE_DISPLACED_H

/*
 * Orphaned pages: device pages whose mapping is gone, but its event is pending
 *
 * Another mapping has moved to [start, end) before the unmap or remap event of
 * the old mapping there was read. The old mapping's device pages are put aside.
 * When the event comes, they are dropped or follow their mapping. Pages that
 * remain in the end are dropped.
 *
 * Locking: only the service calls these, with the events lock held exclusively.
 */

#include <stddef.h>
#include <stdint.h>

struct hmmu_live;

void hmmu__displace(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__displaced_drop(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__displaced_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
			   size_t bytes);

#endif
