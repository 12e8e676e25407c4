/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_ARMED_H
#define HMMU_LIVE_ARMED_H

/*
 * Which addresses are in armed mappings, for those who may take no lock
 *
 * A short copy of what the watches say (watch.c): a system call that is given
 * other memory asks here, and goes on. Whoever gets true looks closer.
 */

#include <stdbool.h>
#include <stdint.h>

/* By who holds the lock of the watches; remove what was added. */
void hmmu__armed_add(uintptr_t start, uintptr_t end);
void hmmu__armed_remove(uintptr_t start, uintptr_t end);
/* In the child of a fork: nothing is armed, and nobody is about to. */
void hmmu__armed_forget(void);

/*
 * Around arming a mapping: until the end, what is to be armed may not be here
 * yet. Who records what it lends, and then asks, is seen by who begins after.
 */
void hmmu__arming_begin(void);
void hmmu__arming_end(void);
bool hmmu__is_arming(void);

/* True: something of [start, end) is armed, or may be. Lock-free. */
bool hmmu__armed_overlaps(uintptr_t start, uintptr_t end);

#endif
