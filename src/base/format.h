/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_FORMAT_H
#define HMMU_BASE_FORMAT_H

/*
 * A formatter without locks, allocation or stdio
 *
 * stdio may lock, allocate and touch memory of the program, so the library has
 * a formatter of its own. It knows %s %c %d %i %u %x %p %% with the lengths l,
 * ll and z, and nothing else: no width, no precision.
 */

#include <stdarg.h>
#include <stddef.h>

#include "base/compiler.h"

/* The longest line that the library writes or logs, with its zero byte. */
#define HMMU_LINE_BYTES 256u

/*
 * Like snprintf() with the directives above: @buf is always terminated if
 * @bytes is not 0, and the length that would have been written is returned.
 */
size_t hmmu__format(char *buf, size_t bytes, const char *fmt, ...)
	HMMU_PRINTF(3, 4);
size_t hmmu__vformat(char *buf, size_t bytes, const char *fmt, va_list args)
	HMMU_PRINTF(3, 0);

#endif
