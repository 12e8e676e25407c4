/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_RANGE_H
#define HMMU_BASE_RANGE_H

/*
 * Ranges of the public interface: an address and a number of bytes
 *
 * They are rounded outwards, as madvise(2) does. Inside the library a range is
 * aligned and half-open: [start, end).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/*
 * Rounds a range outwards to multiples of @unit bytes. False: the range is
 * empty, or its end does not fit in an address.
 */
static inline bool hmmu__range_round(uintptr_t address, size_t bytes,
				     size_t unit, uintptr_t *start,
				     uintptr_t *end)
{
	uintptr_t last = address + bytes - 1;

	if (!bytes || last < address || last > UINTPTR_MAX - unit)
		return false;
	*start = hmmu_round_down(address, unit);
	*end = hmmu_round_down(last, unit) + unit;
	return true;
}

#endif
