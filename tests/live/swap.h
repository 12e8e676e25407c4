/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_SWAP_H
#define HMMU_TESTS_SWAP_H

/*
 * Pages in swap, for tests: where the machine has none and the test may, it is
 * given some megabytes in a file, until the case has ended.
 */

#include "fixture.h"

/* Skips where there is no swap and none can be made. */
void live_need_swap(void);
/* Pushes the pages out, of which there must be swap. */
void live_swap_out(void *p, size_t bytes);
/* Pages that are in swap, by their mappings: all of the process. */
size_t live_swapped(void);

#endif
