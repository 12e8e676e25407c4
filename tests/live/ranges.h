/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_RANGES_H
#define HMMU_TESTS_RANGES_H

/* Ranges that a call must refuse with -EINVAL. @at is any address. */

#include <errno.h>
#include <stdint.h>

#include "harness.h"

/* Of a call, or struct, with start and end that must be aligned to @align. */
static inline void check_aligned_ranges(int (*call)(uintptr_t start,
						    uintptr_t end),
					uintptr_t at, uintptr_t align)
{
	uintptr_t a = at & ~(align - 1);
	const uintptr_t bad[][2] = {
		{ a + 1, a + 2 * align },
		{ a, a + align + 8 },
		{ a + align / 2, a + 2 * align },
		{ a, a },
		{ a + 2 * align, a + align },
		{ a, 0 },
		{ 0, 0 },
		{ UINTPTR_MAX, 0 },
		{ a, UINTPTR_MAX },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		HMMU_CHECK_INT(call(bad[i][0], bad[i][1]), -EINVAL);
}

/* Of a call with an address and bytes: empty ones, and those that wrap. */
static inline void check_ranges(int (*call)(uintptr_t address, size_t bytes),
				uintptr_t at)
{
	const uintptr_t bad[][2] = {
		{ at, 0 },
		{ at + 1, 0 },
		{ 0, 0 },
		{ UINTPTR_MAX, 0 },
		{ UINTPTR_MAX, 1 },
		{ UINTPTR_MAX, 2 },
		{ 1, UINTPTR_MAX },
		{ at, UINTPTR_MAX },
		{ at + 1, UINTPTR_MAX - at },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		HMMU_CHECK_INT(call(bad[i][0], bad[i][1]), -EINVAL);
}

#endif
