/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_LOG_H
#define HMMU_BASE_LOG_H

/*
 * Messages to the program's callback, and the formatter behind them.
 *
 * The formatter is our own because stdio may lock, allocate and touch memory
 * of the program, and the fault service logs too. It knows %s %c %d %i %u %x
 * %p %% with the lengths l, ll and z, and nothing else: no width, no precision.
 */

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <hmmu/log.h>

#include "base/compiler.h"

/* The longest message, with its zero byte. Longer ones are cut. */
#define HMMU_LOG_LINE_BYTES 256u

/* Levels below it have a listener: 0 when there is no callback. */
extern _Atomic unsigned int hmmu__log_level_end;

static inline bool hmmu__log_is_enabled(enum hmmu_log_level level)
{
	return (unsigned int)level <
	       atomic_load_explicit(&hmmu__log_level_end, memory_order_relaxed);
}

/* Formats and delivers; call hmmu__log() instead. */
HMMU_COLD void hmmu__log_emit(enum hmmu_log_level level, const char *fmt, ...)
	HMMU_PRINTF(2, 3);

/*
 * Says something. A message nobody wants costs a load and a branch; arguments
 * are evaluated only if somebody does.
 */
#define hmmu__log(level, ...)                                   \
	do {                                                    \
		if (hmmu_unlikely(hmmu__log_is_enabled(level))) \
			hmmu__log_emit((level), __VA_ARGS__);   \
	} while (0)

/*
 * In the child of a fork(): callbacks that other threads were running do not
 * exist any more, and hmmu_log_set() must not wait for them.
 */
void hmmu__log_fork_after_child(void);

/*
 * Like snprintf() with the directives above: @buf is always terminated if
 * @bytes is not 0, and the length that would have been written is returned.
 */
size_t hmmu__format(char *buf, size_t bytes, const char *fmt, ...)
	HMMU_PRINTF(3, 4);
size_t hmmu__vformat(char *buf, size_t bytes, const char *fmt, va_list args)
	HMMU_PRINTF(3, 0);

#endif
