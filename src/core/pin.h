/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_PIN_H
#define HMMU_CORE_PIN_H

/*
 * Pins: the set of address ranges that stay in system memory
 *
 *      pin                                 migration
 *      insert the range                    lock blocks
 *      lock and unlock each block          pinned? skip the page
 *      migrate recorded pages back         take the page, record it
 *                                          unlock
 *
 * Required: no pinned page is on a device when the pin returns. A migration
 * that searched the set before the insertion has recorded its pages when the
 * pin gets the block locks.
 *
 * Locking: the set's lock is a leaf. Migrations take it inside block locks.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bitmap.h"
#include "base/itree.h"
#include "base/lock.h"

struct hmmu_pin_set {
	struct hmmu_mutex lock;
	struct hmmu_itree tree HMMU_GUARDED_BY(&lock);
	/* Number of ranges. If it is 0, a search takes no lock. */
	_Atomic uint32_t count;
};

void hmmu__pins_init(struct hmmu_pin_set *set);
/* Frees the ranges that are still pinned. */
void hmmu__pins_fini(struct hmmu_pin_set *set);

/*
 * Marks the pinned pages of [start, end), which lies in one block, in @skip,
 * and their reason in @why.
 */
void hmmu__pins_exclude(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end, struct hmmu_bitmap512 *skip,
			uint8_t *why);

/* Returns 0 or -ENOMEM. A range that is inserted twice is removed twice. */
int hmmu__pins_insert(struct hmmu_pin_set *set, uintptr_t start, uintptr_t end);
/* Returns 0, or -ENOENT: the set has no range with these ends. */
int hmmu__pins_remove(struct hmmu_pin_set *set, uintptr_t start, uintptr_t end);

bool hmmu__pins_overlap(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end);

#endif
