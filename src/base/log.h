/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_LOG_H
#define HMMU_BASE_LOG_H

/*
 * Messages to the program's callback. Each is one line of at most
 * HMMU_LINE_BYTES, formatted by base/format.h; longer ones are cut.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include <hmmu/log.h>

#include "base/compiler.h"

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

#endif
