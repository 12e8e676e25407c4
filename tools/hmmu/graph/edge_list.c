/* SPDX-License-Identifier: MIT */
/*
 * Edge lists in the format of the SNAP collection
 *
 * The parser is less strict than that of package lists, because these files
 * have many authors: lines may end in CRLF, numbers may be separated by any
 * blanks, and the last newline may be missing.
 */
#include <errno.h>

#include "build.h"

/* Cut the next line off @rest; false if @rest is empty */
static bool cut_line(struct text *rest, struct text *line)
{
	const char *newline;

	if (!rest->length_bytes)
		return false;
	newline = memchr(rest->data, '\n', rest->length_bytes);
	line->data = rest->data;
	line->length_bytes = newline ? (size_t)(newline - rest->data) :
				       rest->length_bytes;
	rest->data += line->length_bytes + (newline ? 1 : 0);
	rest->length_bytes -= line->length_bytes + (newline ? 1 : 0);
	if (line->length_bytes && line->data[line->length_bytes - 1] == '\r')
		line->length_bytes--;
	return true;
}

static bool has_content(struct text line)
{
	line = text_trim(line);
	return line.length_bytes && line.data[0] != '#';
}

/*
 * Cut a number off the front of @t. Leading zeros are dropped, so that a vertex
 * has one name. Any length is valid, because the number is only a name. The
 * caller checks the rest: "4x" leaves "x", which is not a number.
 */
static bool take_number(struct text *t, struct text *number)
{
	size_t length = 0;

	*t = text_trim(*t);
	while (length < t->length_bytes && text_is_digit(t->data[length]))
		length++;
	*number = (struct text){ t->data, length };
	t->data += length;
	t->length_bytes -= length;
	while (number->length_bytes > 1 && number->data[0] == '0') {
		number->data++;
		number->length_bytes--;
	}
	return length != 0;
}

static bool parse_pair(struct text line, struct text *from, struct text *to)
{
	return take_number(&line, from) && take_number(&line, to) &&
	       !text_trim(line).length_bytes;
}

bool edge_list_detect(const struct source *source)
{
	struct text rest = { source->buffer, source->length_bytes };
	struct text line;
	struct text from;
	struct text to;

	while (cut_line(&rest, &line)) {
		if (has_content(line))
			return parse_pair(line, &from, &to);
	}
	return false;
}

static int add_edge(struct build *build, struct text from, struct text to)
{
	struct pkg_node *from_node;
	struct pkg_node *to_node;
	int err = build_intern(build, from, &from_node);

	if (!err)
		err = build_intern(build, to, &to_node);
	if (!err)
		err = build_pair(build, from_node->index, to_node->index);
	return err;
}

int edge_list_load(struct build *build, const struct source *source)
{
	struct text rest = { source->buffer, source->length_bytes };
	unsigned long number = 0;
	struct text line;
	int err = 0;

	build_report(build, GRAPH_PARSING, source->file);
	while (!err && cut_line(&rest, &line)) {
		struct text from;
		struct text to;

		number++;
		if (!has_content(line))
			continue;
		if (!parse_pair(line, &from, &to))
			return graph_error_set(build->error, -EBADMSG,
					       source->file, number,
					       "not a pair of numbers");
		err = add_edge(build, from, to);
	}
	return err;
}
