/* SPDX-License-Identifier: MIT */
/*
 * Log: the messages of the library
 *
 * The library never prints. A program that wants its messages installs one
 * callback for the whole process.
 */
#ifndef HMMU_LOG_H
#define HMMU_LOG_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

/**
 * enum hmmu_log_level - importance of a message, most urgent first
 * @HMMU_LOG_ERROR: a call failed because something was lost or is wrong.
 * @HMMU_LOG_WARN:  HMMU works, but slower or with less than was requested.
 * @HMMU_LOG_INFO:  reserved for choices that HMMU made; none is sent yet.
 * @HMMU_LOG_DEBUG: reserved for everything else; none is sent yet.
 */
enum hmmu_log_level {
	HMMU_LOG_ERROR = 0,
	HMMU_LOG_WARN = 1,
	HMMU_LOG_INFO = 2,
	HMMU_LOG_DEBUG = 3,
};

/**
 * typedef hmmu_log_fn - receive one message of the library
 * @arg:     from hmmu_log_set().
 * @level:   importance of the message.
 * @message: one line without a newline, at most 255 bytes and a zero byte;
 *           borrowed for the call.
 *
 * Several threads may call it at the same time. The caller may be the thread
 * that serves page faults. A callback can write(2) @message, or copy it to
 * memory from hmmu_alloc().
 *
 * Context: Must not access memory that can be on a device, nor call a function
 *          of HMMU.
 * Locking: HMMU's locks may be held.
 * Since: 0.1
 */
typedef void (*hmmu_log_fn)(void *arg, enum hmmu_log_level level,
			    const char *message);

/**
 * hmmu_log_set() - install, replace or remove the log callback
 * @fn:        receives the messages. NULL: removes the callback.
 * @arg:       passed to @fn; borrowed until the next hmmu_log_set() returns.
 * @max_level: the least urgent level that @fn gets.
 *
 * When it returns, the callback that was installed before is not running and
 * will not run again. Its @arg can be freed.
 *
 * Context: Sleeps while callbacks are running. Not from the log callback.
 * Locking: Caller holds no lock that the log callback takes.
 * Since: 0.1
 */
HMMU_API void hmmu_log_set(hmmu_log_fn fn, void *arg,
			   enum hmmu_log_level max_level);

HMMU_END_DECLS

#endif
