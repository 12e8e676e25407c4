/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_TOOL_H
#define HMMU_TOOL_TOOL_H

/*
 * What the commands of hmmu may share: how they end, how they complain and how
 * they say what they are doing. Their entries are in commands.h.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * enum tool_status - exit statuses of hmmu
 * @TOOL_OK:          done.
 * @TOOL_FAILED:      tried and failed; the reason is on stderr.
 * @TOOL_USAGE:       the arguments are wrong.
 * @TOOL_UNSUPPORTED: this kernel or these privileges lack what HMMU needs;
 *                    stderr says what to change.
 */
enum tool_status {
	TOOL_OK = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
	TOOL_UNSUPPORTED = 3,
};

/* The arguments of the whole program, for a command that starts it anew */
extern char *const *tool_argv;

/**
 * tool_error() - complain on stderr
 * @format: as of printf, a sentence without full stop and newline.
 */
void tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * tool_option_error() - complain about what getopt_long() just refused
 * @argv: as given to getopt_long(), whose option string began with ':' (or
 *        "+:"), so that it tells a missing argument.
 * @got:  what it returned: '?' or ':'.
 *
 * Return: TOOL_USAGE.
 */
int tool_option_error(char *const *argv, int got);

/**
 * tool_operand_error() - complain about an argument nobody asked for
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
 * Return: true; false when @text is no such number, @ret is untouched.
 */
bool tool_parse_u32(const char *text, uint32_t min, uint32_t max,
		    uint32_t *ret);

/**
 * tool_progress() - say on a terminal what is going on, in place
 * @format: as of printf; NULL takes the line away.
 *
 * Nothing is said where stderr is no terminal. Allocates nothing and uses no
 * stream: it may be called while the heap is on a device.
 */
void tool_progress(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/**
 * tool_print_folded() - print a sentence word by word, in lines of some columns
 * @out:    where to.
 * @text:   the sentence; a newline follows it.
 * @at:     the column where the cursor is.
 * @indent: the column where further lines begin.
 * @width:  how many columns a line has. A word too long for any line stands
 *          alone in one.
 */
void tool_print_folded(FILE *out, const char *text, size_t at, size_t indent,
		       size_t width);

/**
 * tool_library_version() - the version of the library that is loaded
 *
 * Return: a static string.
 */
const char *tool_library_version(void);

/**
 * tool_version() - the versions of tool and library
 *
 * Return: a static string: one version, or "0.1.0 with libhmmu 0.1.1" where the
 *         library is not the one the tool was built for.
 */
const char *tool_version(void);

/* CLOCK_MONOTONIC in ns */
uint64_t tool_now_ns(void);

#endif
