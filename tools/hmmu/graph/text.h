/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_TEXT_H
#define HMMU_TOOL_GRAPH_TEXT_H

/*
 * A borrowed span of bytes, and the record of an error in an input. All parsers
 * of this directory use them.
 *
 * No code under tools/hmmu/graph uses HMMU. It is ordinary C with malloc, which
 * is the point of the demo: a device follows pointers that were not prepared
 * for it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Longer file names keep their tail, which distinguishes them */
#define GRAPH_ERROR_FILE_BYTES 256

/**
 * struct text - a borrowed span of bytes
 * @data:         first byte; not terminated. May be NULL if the span is empty.
 * @length_bytes: number of bytes.
 */
struct text {
	const char *data;
	size_t length_bytes;
};

/**
 * struct graph_error - an error in an input
 * @code:   the -errno that the call returned.
 * @line:   line in @file, from 1; 0 if the error has no line.
 * @reason: static string, a phrase without capital and full stop.
 * @file:   name of the input, as passed by the caller or read from the
 *          directory.
 *
 * Filled in only if a call fails. The parsers never print; the tool prints
 * "file:line: reason".
 */
struct graph_error {
	int code;
	unsigned long line;
	const char *reason;
	char file[GRAPH_ERROR_FILE_BYTES];
};

/**
 * graph_error_set() - record an error and return its code
 * @error: record to fill in, or NULL.
 * @code:  -errno to record.
 * @file:  name of the input; copied.
 * @line:  line from 1, or 0.
 * @reason: static string.
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
 * Field names are compared this way. The locale does not matter: "ID" equals
 * "id" also with Turkish rules.
 *
 * Return: true if they are equal.
 */
bool text_equals_nocase(struct text a, struct text b);

/**
 * text_trim() - remove blanks, tabs and newlines at both ends
 * @t: the span.
 *
 * Return: the rest, perhaps empty.
 */
struct text text_trim(struct text t);

/**
 * text_dup() - make a terminated copy with malloc
 * @t: the span.
 *
 * Return: the copy, which the caller frees, or NULL if out of memory.
 */
char *text_dup(struct text t);

/* Unlike the C library's functions, these do not depend on the locale */
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
