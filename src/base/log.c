/* SPDX-License-Identifier: MIT */
/*
 * Log messages and the program's callback for them
 *
 * Overview: hmmu_log_set() replaces the callback and its argument while other
 * threads log messages:
 *
 *      message                            set
 *      running++                          fn = NULL
 *      f = fn                             wait until running is 0
 *      f(arg), if f is not NULL           arg = ...; fn = ...
 *      running--
 *
 * Required: if the message loads the old callback, set sees running above 0.
 * Each side stores one word and loads the other, hence seq_cst on those four.
 *
 * Locking: hmmu_log_set() takes the log lock (HMMU_RANK_LOG) and waits with it
 * for running callbacks. A message takes no lock.
 */
#include "base/log.h"

#include <stdarg.h>

#include "base/format.h"
#include "base/lock.h"

static struct {
	hmmu_log_fn _Atomic fn;
	_Atomic unsigned int running;
	void *arg; /* changes only while fn is NULL and running is 0 */
	struct hmmu_mutex set_lock;
} sink = {
	.set_lock = HMMU_MUTEX_INITIALIZER(HMMU_RANK_LOG, "log"),
};

_Atomic unsigned int hmmu__log_level_end;

static unsigned int level_end(hmmu_log_fn fn, enum hmmu_log_level max_level)
{
	if (!fn)
		return 0;
	return (unsigned int)hmmu_min(max_level, HMMU_LOG_DEBUG) + 1;
}

void hmmu_log_set(hmmu_log_fn fn, void *arg, enum hmmu_log_level max_level)
{
	unsigned int round = 0;

	hmmu__mutex_lock(&sink.set_lock);
	/* Relaxed: a hint that avoids formatting; fn decides. */
	atomic_store_explicit(&hmmu__log_level_end, 0, memory_order_relaxed);
	/* seq_cst: see the race above. */
	atomic_store_explicit(&sink.fn, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&sink.running, memory_order_seq_cst) != 0)
		hmmu__backoff(&round);
	sink.arg = arg;
	/* Release: publishes arg; pairs with the load in hmmu__log_emit(). */
	atomic_store_explicit(&sink.fn, fn, memory_order_release);
	atomic_store_explicit(&hmmu__log_level_end, level_end(fn, max_level),
			      memory_order_relaxed);
	hmmu__mutex_unlock(&sink.set_lock);
}

void hmmu__log_emit(enum hmmu_log_level level, const char *fmt, ...)
{
	char line[HMMU_LINE_BYTES];
	hmmu_log_fn fn;
	va_list args;

	va_start(args, fmt);
	(void)hmmu__vformat(line, sizeof(line), fmt, args);
	va_end(args);

	/* seq_cst: see the race above. */
	atomic_fetch_add_explicit(&sink.running, 1, memory_order_seq_cst);
	fn = atomic_load_explicit(&sink.fn, memory_order_seq_cst);
	if (fn)
		fn(sink.arg, level, line);
	/* Release: the callback is over; pairs with the wait of set. */
	atomic_fetch_sub_explicit(&sink.running, 1, memory_order_release);
}

void hmmu__log_fork_after_child(void)
{
	/* Relaxed: the child has one thread. */
	atomic_store_explicit(&sink.running, 0, memory_order_relaxed);
}
