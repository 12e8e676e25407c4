/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_POPULATE_H
#define HMMU_CORE_POPULATE_H

#include <stdbool.h>
#include <stdint.h>

struct hmmu_space;

/*
 * Migrates the range back and faults it in. @for_pin: for writing wherever the
 * mapping allows it. The caller holds no lock. Returns 0 or an error of
 * hmmu_populate().
 */
int hmmu__populate(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		   bool for_pin);

#endif
