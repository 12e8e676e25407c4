/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_PIN_H
#define HMMU_CORE_PIN_H

/*
 * Which addresses are pinned: an interval tree of its own
 *
 *      pin                                 migration
 *      insert                              lock blocks
 *      wait for the blocks' locks          pinned? then it stays
 *      bring home                          take, record, unlock
 *
 * Forbidden: a page of the pin leaves after it was brought home. A migration
 * that locks the blocks after the wait sees the pin; one that did before has
 * recorded what it took when the wait is over.
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
	/* How many: a look at no pins costs no lock. */
	_Atomic uint32_t count;
};

void hmmu__pins_init(struct hmmu_pin_set *set);
/* Forgets what is still pinned. */
void hmmu__pins_fini(struct hmmu_pin_set *set);

/* Marks in @skip the pinned pages of [start, end), which lies in one block. */
void hmmu__pins_exclude(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end, struct hmmu_bitmap512 *skip,
			uint8_t *why);
bool hmmu__pins_overlap(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end);

#endif
