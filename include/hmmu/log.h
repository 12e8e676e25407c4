/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LOG_H
#define HMMU_LOG_H

/*
 * The library never prints. A program that wants to know what the library
 * thinks worth saying installs one callback for the whole process.
 */

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

/**
 * enum hmmu_log_level - how much a message matters, most urgent first
 * @HMMU_LOG_ERROR: something was lost or is wrong; a call failed because of it.
 * @HMMU_LOG_WARN:  it works, slower or with less than was asked for.
 * @HMMU_LOG_INFO:  what was found and chosen, once per object.
 * @HMMU_LOG_DEBUG: everything else; may come at every fault.
 */
enum hmmu_log_level {
	HMMU_LOG_ERROR = 0,
	HMMU_LOG_WARN = 1,
	HMMU_LOG_INFO = 2,
	HMMU_LOG_DEBUG = 3,
};

/**
 * hmmu_log_fn - receives one message of the library
 * @arg:     the pointer given to hmmu_log_set().
 * @level:   how much the message matters.
 * @message: one line without a newline, at most 255 bytes and a zero byte;
 *           borrowed for the call.
 *
 * Several threads may call it at once. It runs wherever the library had
 * something to say, which may be the thread that serves page faults, with
 * locks held: it must not touch memory that could be resident on a device.
 * write(2) of @message, or copying it into a queue of hmmu_alloc() memory, is
 * what it is meant for.
 *
 * Context: Must not call any function of this library.
 * Since: 0.1
 */
typedef void (*hmmu_log_fn)(void *arg, enum hmmu_log_level level,
			    const char *message);

/**
 * hmmu_log_set() - install, replace or remove the log callback
 * @fn:        receives the messages; NULL removes the callback.
 * @arg:       handed to @fn; owned by the caller, borrowed until the next
 *             hmmu_log_set() has returned.
 * @max_level: the least urgent level that @fn wants to see.
 *
 * When the call returns, the callback installed before is not running and
 * will not run again, so that its @arg may be freed.
 *
 * Context: May sleep until running callbacks have returned. Not from the
 *          callback.
 * Locking: Takes none that the caller could hold.
 * Since: 0.1
 */
HMMU_API void hmmu_log_set(hmmu_log_fn fn, void *arg,
			   enum hmmu_log_level max_level);

HMMU_END_DECLS

#endif
