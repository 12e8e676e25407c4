/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_LOG_H
#define HMMU_BASE_LOG_H

/*
 * Log messages to the program's callback
 *
 * A message is one line, formatted by base/format.h. At HMMU_LINE_BYTES it is
 * cut.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <hmmu/log.h>

#include "base/compiler.h"

/* Levels below it are logged; 0 if there is no callback. */
extern _Atomic unsigned int hmmu__log_level_end;

static inline bool hmmu__log_is_enabled(enum hmmu_log_level level)
{
	return (unsigned int)level <
	       atomic_load_explicit(&hmmu__log_level_end, memory_order_relaxed);
}

/* Formats a message and calls the callback; use hmmu__log(). */
HMMU_COLD void hmmu__log_emit(enum hmmu_log_level level, const char *fmt, ...)
	HMMU_PRINTF(2, 3);

/*
 * Logs a message. If its level is not logged, it costs a load and a branch, and
 * the arguments are not evaluated.
 */
#define hmmu__log(level, ...)                                   \
	do {                                                    \
		if (hmmu_unlikely(hmmu__log_is_enabled(level))) \
			hmmu__log_emit((level), __VA_ARGS__);   \
	} while (0)

/*
 * Called in the child of a fork(). Other threads that were in the callback do
 * not exist in the child, so hmmu_log_set() must not wait for them.
 */
void hmmu__log_fork_after_child(void);

#endif
