/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_DEPENDS_H
#define HMMU_TOOL_GRAPH_DEPENDS_H

/*
 * A pull parser for the relationship fields of Debian packages
 *
 *	Depends: libc6 (>= 2.36), python3:any, awk | mawk [amd64] <!nocheck>
 *
 * The field is a list of *clauses* separated by commas, all of which must hold.
 * A clause is a list of *alternatives* separated by bars, one of which must
 * hold. The parser returns one alternative at a time and allocates nothing.
 *
 * Provides has the same syntax with two limits: no alternatives, and no bound
 * except "=".
 */

#include <stdint.h>

#include "text.h"
#include "version.h"

/**
 * enum depends_kind - the kind of a field
 * @DEPENDS_RELATION: Depends, Pre-Depends and similar fields.
 * @DEPENDS_PROVISION: Provides.
 */
enum depends_kind {
	DEPENDS_RELATION,
	DEPENDS_PROVISION,
};

/**
 * struct depends_alternative - one package name with its conditions
 * @name:      package or virtual package.
 * @qualifier: the word after "name:", such as "any" or "amd64"; else empty.
 * @op:        the bound, or VERSION_ANY.
 * @version:   version of the bound; empty for VERSION_ANY.
 * @applies:   "[...]" and "<...>" hold for the given architecture and for a
 *             build without build profiles. Ignore an alternative that does not
 *             apply.
 * @clause:    number of the clause, from 0. The alternatives of a clause have
 *             the same number and are consecutive.
 * @line:      line of @name in the input.
 *
 * All spans are borrowed from the parser's input.
 */
struct depends_alternative {
	struct text name;
	struct text qualifier;
	enum version_op op;
	struct text version;
	bool applies;
	uint32_t clause;
	unsigned long line;
};

/**
 * struct depends_input - the input of one pass
 * @kind:  the field's kind.
 * @arch:  Debian's name of the architecture to install for, such as "amd64", of
 *         a GNU/Linux system; borrowed.
 * @file:  name for errors; borrowed.
 * @line:  line of @file on which @value begins.
 * @value: the value as stanza_next() returns it: it may be folded and contain
 *         comment lines. An empty value is an empty list. Borrowed.
 */
struct depends_input {
	enum depends_kind kind;
	const char *arch;
	const char *file;
	unsigned long line;
	struct text value;
};

/**
 * struct depends_parser - state of one pass over one field
 * @kind:   as in struct depends_input.
 * @arch:   as in struct depends_input.
 * @file:   as in struct depends_input.
 * @at:     first byte not yet read.
 * @end:    one past the last byte.
 * @line:   line of @at.
 * @clause: number of the clause that the next alternative belongs to.
 * @owed:   a separator was read, so an alternative must follow.
 * @failed: an error was returned; every later call returns -EBADMSG.
 */
struct depends_parser {
	enum depends_kind kind;
	struct text arch;
	const char *file;
	const char *at;
	const char *end;
	unsigned long line;
	uint32_t clause;
	bool owed;
	bool failed;
};

/**
 * depends_init() - begin a pass over one field's value
 * @parser: state to fill in; owned by the caller, needs no fini.
 * @input:  the input; copied. The memory it points to is borrowed until the
 *          last use of @parser and its alternatives.
 */
void depends_init(struct depends_parser *parser,
		  const struct depends_input *input);

/**
 * depends_next() - read the next alternative
 * @parser:      state of the pass.
 * @alternative: out: filled in if the function returns 1; else unchanged.
 * @error:       out: file, line and reason of a failure; may be NULL.
 *
 * Context: Any thread; does not block and does not allocate.
 * Return:
 *   1            @alternative is filled
 *   0            end of the field
 *   -EBADMSG     syntax error; the pass ends
 * Source: Debian Policy 7.1, 7.5; deb-control(5); build profiles.
 */
int depends_next(struct depends_parser *parser,
		 struct depends_alternative *alternative,
		 struct graph_error *error) __attribute__((warn_unused_result));

/**
 * depends_name_valid() - test a package name
 * @name: the span to test.
 *
 * This is dpkg's rule, which is wider than Policy's: packages outside of Debian
 * have names of one byte, or with capitals or underscores.
 *
 * Return: true if it is a valid name of a package.
 */
bool depends_name_valid(struct text name);

#endif
