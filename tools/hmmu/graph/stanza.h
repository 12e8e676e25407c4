/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_STANZA_H
#define HMMU_TOOL_GRAPH_STANZA_H

/*
 * A pull parser for deb822(5), the format of Packages files and of dpkg's
 * status file: stanzas of "Name: value" fields, separated by empty lines.
 *
 *	struct stanza_parser parser;
 *	struct stanza_field field;
 *	int event;
 *
 *	stanza_init(&parser, "Packages", text);
 *	while ((event = stanza_next(&parser, &field, &error)) > 0) {
 *		if (event == STANZA_FIELD)
 *			use(field.name, field.value);
 *		else
 *			stanza_is_complete();
 *	}
 *
 * It allocates nothing and copies nothing: names and values are spans of the
 * input. It is strict, because a damaged list must be an error and not a
 * smaller graph. Input that dpkg refuses is an error here, too; stanza.c has
 * the reasons.
 *
 * Not supported: OpenPGP signature armour. InRelease files are not package
 * lists, so a line that begins with '-' is an error.
 */

#include <stdint.h>

#include "text.h"

/*
 * Bounds on one input. In Debian 12 the longest line has 76 KB, and no stanza
 * has more than 35 fields. A file beyond the bounds is not a package list.
 */
#define STANZA_LINE_BYTES_MAX ((size_t)1 << 20)
#define STANZA_NAME_BYTES_MAX ((size_t)255)
#define STANZA_FIELDS_MAX     256u

/**
 * enum stanza_event - result of stanza_next()
 * @STANZA_EOF:   end of the input, outside of a stanza.
 * @STANZA_FIELD: a field, with all its continuation lines.
 * @STANZA_END:   the stanza of the preceding fields is complete.
 */
enum stanza_event {
	STANZA_EOF = 0,
	STANZA_FIELD = 1,
	STANZA_END = 2,
};

/**
 * struct stanza_field - one field, borrowed from the input
 * @name:  as written; compare with text_equals_nocase().
 * @value: the text after the colon, without the last newline and without blanks
 *         at either end. A folded value contains its newlines, and comment
 *         lines between its lines.
 * @line:  line of @name, from 1.
 */
struct stanza_field {
	struct text name;
	struct text value;
	unsigned long line;
};

/**
 * struct stanza_parser - state of one pass over one input
 * @file:        name for errors; borrowed.
 * @at:          first byte not yet read, always the beginning of a line.
 * @end:         one past the last byte.
 * @line:        number of the line at @at, from 1.
 * @field_count: fields of the stanza so far.
 * @names:       names of these fields, to find a repeated one.
 */
struct stanza_parser {
	const char *file;
	const char *at;
	const char *end;
	unsigned long line;
	uint32_t field_count;
	struct text names[STANZA_FIELDS_MAX];
};

/**
 * stanza_init() - begin a pass
 * @parser: state to fill in; owned by the caller, needs no fini.
 * @file:   name for errors; borrowed until the last use of @parser.
 * @input:  the whole input; borrowed until the last use of @parser and its
 *          fields.
 *
 * Context: Any thread, but one thread at a time for a parser.
 */
void stanza_init(struct stanza_parser *parser, const char *file,
		 struct text input);

/**
 * stanza_next() - read up to the end of the next field or stanza
 * @parser: state of the pass.
 * @field:  out: the field, if the event is STANZA_FIELD; else unchanged.
 * @error:  out: file, line and reason of a failure; may be NULL.
 *
 * Context: Any thread; does not block and does not allocate.
 * Return:
 *   an event     see enum stanza_event; after STANZA_EOF it returns STANZA_EOF
 *   -EBADMSG     syntax error; the pass ends. Later calls fail, too, because
 *                the parser does not move past the line
 * Source: deb822(5), Debian Policy 5.1.
 */
int stanza_next(struct stanza_parser *parser, struct stanza_field *field,
		struct graph_error *error) __attribute__((warn_unused_result));

#endif
