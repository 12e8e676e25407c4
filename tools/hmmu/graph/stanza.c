/* SPDX-License-Identifier: MIT */
#include "stanza.h"

#include <errno.h>

/* One line without its newline; the parser has not moved past it yet */
struct line {
	const char *start;
	size_t length_bytes;
};

void stanza_init(struct stanza_parser *parser, const char *file,
		 struct text input)
{
	parser->file = file;
	/* An empty input may have no address, which no arithmetic may use */
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
 * A missing last newline is how a list looks whose download or whose
 * decompression broke off; dpkg refuses it for the same reason. CR is refused
 * anywhere: kept, it would become part of the last version of a field.
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

/* Look at the line at parser->at: 1 and @line, 0 at the end, or an error */
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

/* Move past @line, which peek() saw to end in a newline */
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

/* A second value for a field would have to overrule the first or be ignored */
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
 * so reading goes on behind it, but only a continuation moves the value's end:
 * comments after the last one are dropped.
 * Return: one past the value, or NULL after an error.
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
		/* Any number of empty lines separates; comments do not */
		if (!line.length_bytes && end_stanza(parser))
			return STANZA_END;
	}
	if (found < 0)
		return found;
	return end_stanza(parser) ? STANZA_END : STANZA_EOF;
}
