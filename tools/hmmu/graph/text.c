/* SPDX-License-Identifier: MIT */
/*
 * Spans of bytes, and the record of an error
 */
#include "text.h"

#include <stdlib.h>

static void copy_file_name(char *to, const char *file)
{
	size_t length = strlen(file);

	if (length >= GRAPH_ERROR_FILE_BYTES)
		file += length - (GRAPH_ERROR_FILE_BYTES - 1);
	/* memmove(): @file may be @error->file, if a caller passes it on */
	memmove(to, file, strlen(file) + 1);
}

int graph_error_set(struct graph_error *error, int code, const char *file,
		    unsigned long line, const char *reason)
{
	if (error) {
		error->code = code;
		error->line = line;
		error->reason = reason;
		copy_file_name(error->file, file ? file : "");
	}
	return code;
}

static char fold_case(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool text_equals_nocase(struct text a, struct text b)
{
	if (a.length_bytes != b.length_bytes)
		return false;
	for (size_t i = 0; i < a.length_bytes; i++) {
		if (fold_case(a.data[i]) != fold_case(b.data[i]))
			return false;
	}
	return true;
}

struct text text_trim(struct text t)
{
	while (t.length_bytes && text_is_space(t.data[0])) {
		t.data++;
		t.length_bytes--;
	}
	while (t.length_bytes && text_is_space(t.data[t.length_bytes - 1]))
		t.length_bytes--;
	return t;
}

char *text_dup(struct text t)
{
	char *copy = malloc(t.length_bytes + 1);

	if (!copy)
		return NULL;
	if (t.length_bytes)
		memcpy(copy, t.data, t.length_bytes);
	copy[t.length_bytes] = '\0';
	return copy;
}
