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
 * input. It is strict, because a list that is damaged should say so and not
 * turn into a smaller graph. What dpkg refuses is refused here: see the
 * reasons in stanza.c.
 *
 * Not supported: OpenPGP signature armour. InRelease files are not package
 * lists, so a line that begins with '-' is simply an error.
 */

#include <stdint.h>

#include "text.h"

/* Bounds on one input: the longest line of Debian 12 has 76 KB, the stanza
 * with the most fields 35. A file beyond these is not a package list.
 */
#define STANZA_LINE_BYTES_MAX ((size_t)1 << 20)
#define STANZA_NAME_BYTES_MAX ((size_t)255)
#define STANZA_FIELDS_MAX     256u

/**
 * enum stanza_event - what stanza_next() found
 * @STANZA_EOF:   the input ended; it is not inside a stanza.
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
 * @value: from the first byte after the colon that is not blank up to, not
 *         including, the last newline. A folded value keeps its newlines and,
 *         where comments interrupt it, whole comment lines. Blanks at the end
 *         of the value are cut.
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
 * @names:       their names, to find a repeated one.
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
 * @parser: state to fill; owned by the caller, needs no fini.
 * @file:   name for errors; borrowed as long as @parser is used.
 * @input:  the whole input; borrowed as long as @parser or a field is used.
 *
 * Context: Any thread; one parser is used by one thread at a time.
 */
void stanza_init(struct stanza_parser *parser, const char *file,
		 struct text input);

/**
 * stanza_next() - read up to the end of the next field or stanza
 * @parser: state of the pass.
 * @field:  out: the field, when the event is STANZA_FIELD; else untouched.
 * @error:  out: file, line and reason of a failure; may be NULL.
 *
 * Context: Any thread; does not block and does not allocate.
 * Return:
 *   an event     see enum stanza_event; STANZA_EOF may be asked for again
 *   -EBADMSG     the input breaks the format; the pass is over, and each later
 *                call fails too, since the bad line is never passed
 * Source: deb822(5), Debian Policy 5.1.
 */
int stanza_next(struct stanza_parser *parser, struct stanza_field *field,
		struct graph_error *error) __attribute__((warn_unused_result));

#endif
