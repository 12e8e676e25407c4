/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_DISPLACED_H
#define HMMU_LIVE_DISPLACED_H

/*
 * Device pages that are put aside
 *
 * Something has moved to [start, end) before the event came that what stood
 * there has left: its device pages are put aside. When that event comes, they
 * are dropped, or follow where their mapping went. What is left in the end is
 * dropped. All by the service with the events lock held exclusively.
 */

#include <stddef.h>
#include <stdint.h>

struct hmmu_live;

void hmmu__displace(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__displaced_drop(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__displaced_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
			   size_t bytes);

#endif
