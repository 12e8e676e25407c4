/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_FORMAT_H
#define HMMU_BASE_FORMAT_H

/*
 * A formatter without locks, allocation or stdio
 *
 * stdio may lock, allocate and access the program's memory, so the library has
 * its own formatter.
 *
 * Supported: %s %c %d %i %u %x %p %% and the lengths l, ll and z.
 * Not supported: width and precision. The library's messages need neither.
 */

#include <stdarg.h>
#include <stddef.h>

#include "base/compiler.h"

/* The longest line that the library writes or logs, with its zero byte. */
#define HMMU_LINE_BYTES 256u

/*
 * Like snprintf(): if @bytes is not 0, @buf is terminated. Returns the length
 * of the whole text, also if @buf is shorter.
 */
size_t hmmu__format(char *buf, size_t bytes, const char *fmt, ...)
	HMMU_PRINTF(3, 4);
size_t hmmu__vformat(char *buf, size_t bytes, const char *fmt, va_list args)
	HMMU_PRINTF(3, 0);

#endif
