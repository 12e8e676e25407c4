/* SPDX-License-Identifier: MIT */
/*
 * A recursive-descent parser for relationship fields. Each take_x() reads one
 * element and returns NULL, or the reason why the syntax is wrong.
 */
#include "depends.h"

#include <errno.h>

void depends_init(struct depends_parser *parser,
		  const struct depends_input *input)
{
	struct text value = input->value;
	/* An empty value may be NULL, on which arithmetic is undefined */
	const char *at = value.data ? value.data : "";

	*parser = (struct depends_parser){
		.kind = input->kind,
		.arch = text_from(input->arch),
		.file = input->file,
		.at = at,
		.end = at + value.length_bytes,
		.line = input->line,
	};
}

static int refuse(struct depends_parser *parser, struct graph_error *error,
		  const char *reason)
{
	parser->failed = true;
	return graph_error_set(error, -EBADMSG, parser->file, parser->line,
			       reason);
}

static bool at_end(const struct depends_parser *parser)
{
	return parser->at == parser->end;
}

static bool at_char(const struct depends_parser *parser, char c)
{
	return !at_end(parser) && *parser->at == c;
}

static bool take_char(struct depends_parser *parser, char c)
{
	if (!at_char(parser, c))
		return false;
	parser->at++;
	return true;
}

/* A comment is a whole line, so only a newline can precede its '#' */
static void skip_comment(struct depends_parser *parser)
{
	while (!at_end(parser) && *parser->at != '\n')
		parser->at++;
}

static void skip_space(struct depends_parser *parser)
{
	while (!at_end(parser) && text_is_space(*parser->at)) {
		if (*parser->at++ != '\n')
			continue;
		parser->line++;
		if (at_char(parser, '#'))
			skip_comment(parser);
	}
}

/*
 * Take bytes up to a blank or a special character. A NUL ends a word, too:
 * strchr() finds it as the terminator.
 */
static struct text take_word(struct depends_parser *parser)
{
	struct text word = { parser->at, 0 };

	while (!at_end(parser) && !text_is_space(*parser->at) &&
	       !strchr(",|()[]<>:", *parser->at))
		parser->at++;
	word.length_bytes = (size_t)(parser->at - word.data);
	return word;
}

bool depends_name_valid(struct text name)
{
	if (!name.length_bytes || !text_is_alnum(name.data[0]))
		return false;
	for (size_t i = 1; i < name.length_bytes; i++) {
		char c = name.data[i];

		if (!text_is_alnum(c) && c != '+' && c != '-' && c != '.' &&
		    c != '_')
			return false;
	}
	return true;
}

static bool arch_name_valid(struct text name)
{
	for (size_t i = 0; i < name.length_bytes; i++) {
		if (!text_is_alnum(name.data[i]) && name.data[i] != '-')
			return false;
	}
	return name.length_bytes != 0;
}

static const char *take_name(struct depends_parser *parser,
			     struct depends_alternative *alternative)
{
	alternative->line = parser->line;
	alternative->name = take_word(parser);
	if (!alternative->name.length_bytes)
		return "package name missing";
	if (!depends_name_valid(alternative->name))
		return "not a package name";
	if (!take_char(parser, ':'))
		return NULL;
	alternative->qualifier = take_word(parser);
	if (!arch_name_valid(alternative->qualifier))
		return "no architecture after the colon";
	return NULL;
}

static const char *take_op(struct depends_parser *parser, enum version_op *op)
{
	if (take_char(parser, '=')) {
		*op = VERSION_EQUAL;
	} else if (take_char(parser, '<')) {
		*op = take_char(parser, '<') ? VERSION_EARLIER :
					       VERSION_EARLIER_EQUAL;
		if (*op == VERSION_EARLIER_EQUAL)
			take_char(parser, '=');
	} else if (take_char(parser, '>')) {
		*op = take_char(parser, '>') ? VERSION_LATER :
					       VERSION_LATER_EQUAL;
		if (*op == VERSION_LATER_EQUAL)
			take_char(parser, '=');
	} else {
		return "version bound without a relation";
	}
	return NULL;
}

/* A version may contain colons, which end a word elsewhere */
static struct text take_version(struct depends_parser *parser)
{
	struct text version = { parser->at, 0 };

	while (!at_end(parser) && !text_is_space(*parser->at) &&
	       *parser->at != ')')
		parser->at++;
	version.length_bytes = (size_t)(parser->at - version.data);
	return version;
}

static const char *take_bound(struct depends_parser *parser,
			      struct depends_alternative *alternative)
{
	const char *problem;

	if (!take_char(parser, '('))
		return NULL;
	skip_space(parser);
	problem = take_op(parser, &alternative->op);
	if (problem)
		return problem;
	if (parser->kind == DEPENDS_PROVISION &&
	    alternative->op != VERSION_EQUAL)
		return "Provides allows no relation but \"=\"";
	skip_space(parser);
	alternative->version = take_version(parser);
	problem = version_problem(alternative->version);
	if (problem)
		return problem;
	skip_space(parser);
	return take_char(parser, ')') ? NULL : "version bound is not closed";
}

/* "libc-os-cpu", where leading parts are optional; "any" matches each part */
static bool arch_matches(struct text entry, struct text arch)
{
	const char *hyphen;

	while ((hyphen = memchr(entry.data, '-', entry.length_bytes))) {
		size_t length = (size_t)(hyphen - entry.data);
		struct text part = { entry.data, length };

		if (!text_equals(part, text_from("any")) &&
		    !text_equals(part, text_from("linux")) &&
		    !text_equals(part, text_from("gnu")))
			return false;
		entry.data += length + 1;
		entry.length_bytes -= length + 1;
	}
	return text_equals(entry, text_from("any")) || text_equals(entry, arch);
}

/* State of reading an architecture list */
struct arch_list {
	int negated; /* -1 before the first entry */
	bool matched;
};

/* All entries have a "!", or none has: a mixture has no meaning */
static const char *take_arch_entry(struct depends_parser *parser,
				   struct arch_list *list)
{
	int bang = take_char(parser, '!');
	struct text entry = take_word(parser);

	if (!arch_name_valid(entry))
		return "not an architecture, or its list is not closed";
	if (list->negated >= 0 && list->negated != bang)
		return "architecture list is partly negated";
	list->negated = bang;
	list->matched |= arch_matches(entry, parser->arch);
	return NULL;
}

static const char *take_archs(struct depends_parser *parser,
			      struct depends_alternative *alternative)
{
	struct arch_list list = { .negated = -1 };

	if (!take_char(parser, '['))
		return NULL;
	skip_space(parser);
	do {
		const char *problem = take_arch_entry(parser, &list);

		if (problem)
			return problem;
		skip_space(parser);
	} while (!take_char(parser, ']'));
	alternative->applies = list.matched != (bool)list.negated;
	return NULL;
}

/* No profile is active, so a term holds if and only if it is negated */
static const char *take_profile_group(struct depends_parser *parser,
				      bool *ret_holds)
{
	bool holds = true;

	skip_space(parser);
	do {
		holds &= take_char(parser, '!');
		if (!depends_name_valid(take_word(parser)))
			return "not a build profile, or its group is not "
			       "closed";
		skip_space(parser);
	} while (!take_char(parser, '>'));
	*ret_holds = holds;
	return NULL;
}

/* All terms of a group must hold, and at least one group */
static const char *take_profiles(struct depends_parser *parser,
				 struct depends_alternative *alternative)
{
	bool any_holds = false;

	if (!at_char(parser, '<'))
		return NULL;
	while (take_char(parser, '<')) {
		bool holds;
		const char *problem = take_profile_group(parser, &holds);

		if (problem)
			return problem;
		any_holds |= holds;
		skip_space(parser);
	}
	alternative->applies &= any_holds;
	return NULL;
}

static const char *take_separator(struct depends_parser *parser)
{
	parser->owed = true;
	if (take_char(parser, ',')) {
		parser->clause++;
	} else if (at_char(parser, '|')) {
		if (parser->kind == DEPENDS_PROVISION)
			return "Provides allows no alternatives";
		parser->at++;
	} else if (at_end(parser)) {
		parser->owed = false;
	} else {
		return "neither comma nor bar after a package";
	}
	return NULL;
}

int depends_next(struct depends_parser *parser,
		 struct depends_alternative *alternative,
		 struct graph_error *error)
{
	static const char *(*const take[])(struct depends_parser *,
					   struct depends_alternative *) = {
		take_name,
		take_bound,
		take_archs,
		take_profiles,
	};
	struct depends_alternative found = {
		.applies = true,
		.clause = parser->clause,
	};
	const char *problem = NULL;

	if (parser->failed)
		return refuse(parser, error, "the field has an error");
	skip_space(parser);
	if (at_end(parser) && !parser->owed)
		return 0;
	for (size_t i = 0; !problem && i < sizeof(take) / sizeof(*take); i++) {
		problem = take[i](parser, &found);
		if (!problem)
			skip_space(parser);
	}
	if (!problem)
		problem = take_separator(parser);
	if (problem)
		return refuse(parser, error, problem);
	*alternative = found;
	return 1;
}
