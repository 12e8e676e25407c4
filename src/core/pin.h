/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_PIN_H
#define HMMU_CORE_PIN_H

/*
 * Which addresses are pinned: an interval tree of its own
 *
 *      pin                                 migration
 *      insert
 *      wait for the blocks' locks          lock blocks
 *      bring home what is recorded         pinned? then it stays
 *                                          take, record, unlock
 *
 * A migration that looked before the insertion has recorded what it took when
 * pin gets the blocks' locks.
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

/* 0, or -ENOMEM. A range that is inserted twice is removed twice. */
int hmmu__pins_insert(struct hmmu_pin_set *set, uintptr_t start, uintptr_t end);
/* 0, or -ENOENT: exactly this range is not pinned. */
int hmmu__pins_remove(struct hmmu_pin_set *set, uintptr_t start, uintptr_t end);

bool hmmu__pins_overlap(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end);

#endif
