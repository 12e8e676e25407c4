/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_TOOL_H
#define HMMU_TOOL_TOOL_H

/*
 * Functions that the commands of hmmu share: exit statuses, error messages and
 * progress. commands.h declares the commands.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * enum tool_status - exit statuses of hmmu
 * @TOOL_OK:          success.
 * @TOOL_FAILED:      failure; the reason is on stderr.
 * @TOOL_USAGE:       wrong arguments.
 * @TOOL_UNSUPPORTED: the kernel or the privileges lack what HMMU needs; stderr
 *                    says what to change.
 */
enum tool_status {
	TOOL_OK = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_UNSUPPORTED = 3,
};

/* The arguments of the program, for a command that executes it again */
extern char *const *tool_argv;

/**
 * tool_error() - print an error on stderr
 * @format: as of printf(3); a sentence without full stop and newline.
 */
void tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * tool_option_error() - print an error for an option that getopt refused
 * @argv: as given to getopt_long(). The option string began with ':' or "+:",
 *        so that a missing argument is reported as ':'.
 * @got:  the return value of getopt_long(): '?' or ':'.
 *
 * Return: TOOL_USAGE.
 */
int tool_option_error(char *const *argv, int got);

/**
 * tool_operand_error() - print an error for an unexpected argument
 * @argv:    as of getopt_long().
 * @operand: the argument.
 *
 * Return: TOOL_USAGE.
 */
int tool_operand_error(char *const *argv, const char *operand);

/**
 * tool_parse_u32() - read a number
 * @text: decimal digits and nothing else.
 * @min:  smallest value allowed.
 * @max:  largest value allowed.
 * @ret:  receives the number.
 *
 * Return: true; false if @text is not such a number, @ret is then unchanged.
 */
bool tool_parse_u32(const char *text, uint32_t min, uint32_t max,
		    uint32_t *ret);

/**
 * tool_progress() - show progress in one line of the terminal
 * @format: as of printf(3); NULL erases the line.
 *
 * Prints nothing if stderr is not a terminal. Allocates nothing and uses no
 * stream, so it may be called while the heap is on a device.
 */
void tool_progress(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/**
 * tool_print_folded() - print a sentence, folded at word boundaries
 * @out:    the stream.
 * @text:   the sentence; a newline is added.
 * @at:     column of the cursor.
 * @indent: column where further lines begin.
 * @width:  columns of a line. A longer word has a line of its own.
 */
void tool_print_folded(FILE *out, const char *text, size_t at, size_t indent,
		       size_t width);

/**
 * tool_library_version() - the version of the loaded library
 *
 * Return: a static string.
 */
const char *tool_library_version(void);

/**
 * tool_version() - the versions of tool and library
 *
 * Return: a static string: one version, or "0.1.0 with libhmmu 0.1.1" if the
 *         tool was built for another version than that of the library.
 */
const char *tool_version(void);

/* CLOCK_MONOTONIC in ns */
uint64_t tool_now_ns(void);

#endif
