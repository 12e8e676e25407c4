/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_TEXT_H
#define HMMU_TOOL_GRAPH_TEXT_H

/*
 * What every parser of this directory shares: a borrowed span of bytes, and
 * the record of where and why an input was refused.
 *
 * Nothing under tools/hmmu/graph knows of HMMU. It is ordinary C over malloc,
 * which is the point of the demo: a device follows pointers that nobody
 * prepared for it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Longer file names keep their tail, which is the part that tells them apart */
#define GRAPH_ERROR_FILE_BYTES 256

/**
 * struct text - a span of bytes inside somebody else's buffer
 * @data:         first byte; not terminated. May be NULL when the span is empty.
 * @length_bytes: number of bytes.
 */
struct text {
	const char *data;
	size_t length_bytes;
};

/**
 * struct graph_error - why an input was refused
 * @code:   the -errno that the failing call returned.
 * @line:   line within @file, from 1; 0 where the failure has no line.
 * @reason: static string, a phrase without capital and full stop.
 * @file:   name of the input, as the caller or the directory gave it.
 *
 * Filled only when a call fails. The library of parsers never prints: whoever
 * has a terminal writes "file:line: reason".
 */
struct graph_error {
	int code;
	unsigned long line;
	const char *reason;
	char file[GRAPH_ERROR_FILE_BYTES];
};

/**
 * graph_error_set() - record a failure and hand its code back
 * @error: record to fill, or NULL when the caller does not care.
 * @code:  -errno to record.
 * @file:  name of the input; copied.
 * @line:  line from 1, or 0.
 * @reason: static string; borrowed for ever.
 *
 * Return: @code, so that a parser can "return graph_error_set(...)".
 */
int graph_error_set(struct graph_error *error, int code, const char *file,
		    unsigned long line, const char *reason);

static inline struct text text_from(const char *string)
{
	return (struct text){ string, strlen(string) };
}

static inline bool text_equals(struct text a, struct text b)
{
	return a.length_bytes == b.length_bytes &&
	       (a.length_bytes == 0 ||
		memcmp(a.data, b.data, a.length_bytes) == 0);
}

/**
 * text_equals_nocase() - compare two spans, ASCII letters folded
 * @a: first span.
 * @b: second span.
 *
 * Field names are compared this way. The locale plays no part: a field called
 * "ID" is "id" in Turkey too.
 *
 * Return: true when they are equal.
 */
bool text_equals_nocase(struct text a, struct text b);

/**
 * text_trim() - drop blanks, tabs and newlines at both ends
 * @t: the span.
 *
 * Return: the span without them, perhaps empty.
 */
struct text text_trim(struct text t);

/**
 * text_dup() - a terminated copy in malloc'd memory
 * @t: the span.
 *
 * Return: the copy, which the caller frees, or NULL when memory is out.
 */
char *text_dup(struct text t);

/* The C library's versions of these ask the locale; Debian's formats do not */
static inline bool text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool text_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool text_is_alnum(char c)
{
	return text_is_digit(c) || text_is_alpha(c);
}

static inline bool text_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

#endif
