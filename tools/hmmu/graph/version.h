/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_VERSION_H
#define HMMU_TOOL_GRAPH_VERSION_H

/*
 * Debian version numbers, [epoch:]upstream[-revision], and their order.
 * The rules are those of deb-version(7) and Debian Policy 5.6.12.
 */

#include "text.h"

/**
 * enum version_op - the bound in "name (op version)"
 * @VERSION_ANY:           no bound given.
 * @VERSION_EARLIER:       "<<".
 * @VERSION_EARLIER_EQUAL: "<=", and the obsolete "<", which always meant it.
 * @VERSION_EQUAL:         "=".
 * @VERSION_LATER_EQUAL:   ">=", and the obsolete ">".
 * @VERSION_LATER:         ">>".
 */
enum version_op {
	VERSION_ANY,
	VERSION_EARLIER,
	VERSION_EARLIER_EQUAL,
	VERSION_EQUAL,
	VERSION_LATER_EQUAL,
	VERSION_LATER,
};

/**
 * version_problem() - check a version number
 * @version: the span, without blanks around it.
 *
 * An upstream part that begins with a letter is valid: Policy only says
 * "should", and dpkg installs such packages.
 *
 * Return: NULL if it is valid, or the reason as a static string.
 */
const char *version_problem(struct text version);

/**
 * version_compare() - order two version numbers
 * @a: first version.
 * @b: second version.
 *
 * The order is total, also for invalid versions, so it can be used to sort.
 * Numbers of any length are compared without overflow.
 *
 * Return: negative, 0 or positive if @a is earlier, equal or later. Equal
 * versions may differ in bytes: "1.0" equals "0:1.0-0".
 */
int version_compare(struct text a, struct text b);

/**
 * version_satisfies() - test a version against a bound
 * @have:  the version to test.
 * @op:    the relation.
 * @bound: the version of the bound; ignored for VERSION_ANY.
 *
 * Return: true if "@have @op @bound" holds.
 */
bool version_satisfies(struct text have, enum version_op op, struct text bound);

#endif
