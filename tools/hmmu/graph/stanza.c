/* SPDX-License-Identifier: MIT */
/*
 * A parser for deb822(5), see stanza.h
 */
#include "stanza.h"

#include <errno.h>

/* One line without its newline; the parser is still at its start */
struct line {
	const char *start;
	size_t length_bytes;
};

void stanza_init(struct stanza_parser *parser, const char *file,
		 struct text input)
{
	parser->file = file;
	/* An empty input may be NULL, on which arithmetic is undefined */
	parser->at = input.data ? input.data : "";
	parser->end = parser->at + input.length_bytes;
	parser->line = 1;
	parser->field_count = 0;
}

static int refuse(const struct stanza_parser *parser, struct graph_error *error,
		  const char *reason)
{
	return graph_error_set(error, -EBADMSG, parser->file, parser->line,
			       reason);
}

/*
 * A missing last newline is an error, because it is the sign of an incomplete
 * download or decompression; dpkg does the same. CR is an error anywhere: it
 * would become a part of the last version of a field.
 */
static const char *line_problem(const struct line *line, bool terminated)
{
	if (line->length_bytes > STANZA_LINE_BYTES_MAX)
		return "line is too long";
	if (memchr(line->start, '\0', line->length_bytes))
		return "NUL byte in text";
	if (memchr(line->start, '\r', line->length_bytes))
		return "carriage return in text, lines must end in LF alone";
	if (!terminated)
		return "last line has no newline, the file may be cut short";
	return NULL;
}

/* Get the line at parser->at. Returns 1, 0 at the end, or an error */
static int peek(const struct stanza_parser *parser, struct line *line,
		struct graph_error *error)
{
	const char *newline;
	const char *problem;
	size_t left = (size_t)(parser->end - parser->at);

	if (!left)
		return 0;
	newline = memchr(parser->at, '\n', left);
	line->start = parser->at;
	line->length_bytes = newline ? (size_t)(newline - parser->at) : left;
	problem = line_problem(line, newline != NULL);
	return problem ? refuse(parser, error, problem) : 1;
}

/* Move past @line, which ends in a newline, see peek() */
static void consume(struct stanza_parser *parser, const struct line *line)
{
	parser->at = line->start + line->length_bytes + 1;
	parser->line++;
}

static bool is_comment(const struct line *line)
{
	return line->length_bytes && line->start[0] == '#';
}

static bool is_continuation(const struct line *line)
{
	return line->length_bytes &&
	       (line->start[0] == ' ' || line->start[0] == '\t');
}

static bool is_blank(const struct line *line)
{
	for (size_t i = 0; i < line->length_bytes; i++) {
		if (line->start[i] != ' ' && line->start[i] != '\t')
			return false;
	}
	return true;
}

static const char *name_problem(struct text name)
{
	if (!name.length_bytes)
		return "field has no name";
	if (name.length_bytes > STANZA_NAME_BYTES_MAX)
		return "field name is too long";
	if (name.data[0] == '-')
		return "field name begins with a hyphen";
	for (size_t i = 0; i < name.length_bytes; i++) {
		if (name.data[i] < 33 || name.data[i] > 126)
			return "field name has a character that is not "
			       "printable ASCII";
	}
	return NULL;
}

/* A repeated field is an error, because one of its values would be lost */
static const char *remember_name(struct stanza_parser *parser, struct text name)
{
	for (uint32_t i = 0; i < parser->field_count; i++) {
		if (text_equals_nocase(parser->names[i], name))
			return "field occurs twice in a stanza";
	}
	if (parser->field_count == STANZA_FIELDS_MAX)
		return "stanza has too many fields";
	parser->names[parser->field_count++] = name;
	return NULL;
}

/*
 * Take the continuation lines that follow. A comment does not end the value,
 * but only a continuation moves its end: comments after the last one are
 * dropped. Return: one past the value, or NULL after an error.
 */
static const char *take_continuations(struct stanza_parser *parser,
				      const char *value_end,
				      struct graph_error *error)
{
	struct line line;
	int found;

	while ((found = peek(parser, &line, error)) > 0) {
		if (is_comment(&line)) {
			consume(parser, &line);
			continue;
		}
		if (!is_continuation(&line))
			break;
		if (is_blank(&line)) {
			refuse(parser, error,
			       "blank line inside a value, write \" .\"");
			return NULL;
		}
		value_end = line.start + line.length_bytes;
		consume(parser, &line);
	}
	return found < 0 ? NULL : value_end;
}

static int take_field(struct stanza_parser *parser, const struct line *line,
		      struct stanza_field *field, struct graph_error *error)
{
	const char *colon = memchr(line->start, ':', line->length_bytes);
	struct stanza_field found = { .line = parser->line };
	const char *problem;
	const char *end;

	if (!colon)
		return refuse(parser, error, "no colon after the field name");
	found.name.data = line->start;
	found.name.length_bytes = (size_t)(colon - line->start);
	problem = name_problem(found.name);
	if (!problem)
		problem = remember_name(parser, found.name);
	if (problem)
		return refuse(parser, error, problem);
	consume(parser, line);
	end = take_continuations(parser, line->start + line->length_bytes,
				 error);
	if (!end)
		return -EBADMSG;
	found.value.data = colon + 1;
	found.value.length_bytes = (size_t)(end - found.value.data);
	found.value = text_trim(found.value);
	*field = found;
	return STANZA_FIELD;
}

static bool end_stanza(struct stanza_parser *parser)
{
	bool inside = parser->field_count != 0;

	parser->field_count = 0;
	return inside;
}

int stanza_next(struct stanza_parser *parser, struct stanza_field *field,
		struct graph_error *error)
{
	struct line line;
	int found;

	while ((found = peek(parser, &line, error)) > 0) {
		if (is_continuation(&line))
			return refuse(
				parser, error,
				is_blank(&line) ?
					"blank line is not empty" :
					"continuation line without a field");
		if (line.length_bytes && !is_comment(&line))
			return take_field(parser, &line, field, error);
		consume(parser, &line);
		/* Empty lines separate stanzas; comments do not */
		if (!line.length_bytes && end_stanza(parser))
			return STANZA_END;
	}
	if (found < 0)
		return found;
	return end_stanza(parser) ? STANZA_END : STANZA_EOF;
}
