/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_RESIDENT_H
#define HMMU_CORE_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

struct hmmu_space;

/*
 * Migrates the range back and faults it in, for a pin also for writing where the
 * mapping allows it. Caller holds no lock. 0, or an error of
 * hmmu_populate().
 */
int hmmu__make_resident(struct hmmu_space *space, uintptr_t start,
			uintptr_t end, bool for_pin);

#endif
