/* SPDX-License-Identifier: MIT */
/*
 * Debian version numbers, see version.h
 */
#include "version.h"

/* The three parts. A missing part is empty, which compares like "0" */
struct version_parts {
	struct text epoch;
	struct text upstream;
	struct text revision;
	bool has_epoch;
	bool has_revision;
};

static struct text cut_front(struct text *rest, size_t length_bytes)
{
	struct text front = { rest->data, length_bytes };

	/* Also drop the separator */
	rest->data += length_bytes + 1;
	rest->length_bytes -= length_bytes + 1;
	return front;
}

static bool find_first(struct text t, char c, size_t *ret_at)
{
	for (size_t i = 0; i < t.length_bytes; i++) {
		if (t.data[i] == c) {
			*ret_at = i;
			return true;
		}
	}
	return false;
}

static bool find_last(struct text t, char c, size_t *ret_at)
{
	for (size_t i = t.length_bytes; i > 0; i--) {
		if (t.data[i - 1] == c) {
			*ret_at = i - 1;
			return true;
		}
	}
	return false;
}

/* The first colon ends the epoch, the last hyphen begins the revision */
static struct version_parts split(struct text version)
{
	struct version_parts parts = { .upstream = version };
	size_t at;

	if (find_first(parts.upstream, ':', &at)) {
		parts.epoch = cut_front(&parts.upstream, at);
		parts.has_epoch = true;
	}
	if (find_last(parts.upstream, '-', &at)) {
		struct text rest = parts.upstream;

		parts.upstream = cut_front(&rest, at);
		parts.revision = rest;
		parts.has_revision = true;
	}
	return parts;
}

static bool has_only(struct text t, const char *others)
{
	for (size_t i = 0; i < t.length_bytes; i++) {
		/* strchr() finds the terminator for a NUL byte */
		if (t.data[i] == '\0')
			return false;
		if (!text_is_alnum(t.data[i]) && !strchr(others, t.data[i]))
			return false;
	}
	return true;
}

static bool only_digits(struct text t)
{
	for (size_t i = 0; i < t.length_bytes; i++) {
		if (!text_is_digit(t.data[i]))
			return false;
	}
	return true;
}

const char *version_problem(struct text version)
{
	struct version_parts parts = split(version);

	if (!version.length_bytes)
		return "version is empty";
	if (parts.has_epoch && !parts.epoch.length_bytes)
		return "epoch of the version is empty";
	if (!only_digits(parts.epoch))
		return "epoch of the version is not a number";
	if (!parts.upstream.length_bytes)
		return "upstream part of the version is empty";
	if (!has_only(parts.upstream, ".+-:~"))
		return "character that a version may not have";
	if (parts.has_revision && !parts.revision.length_bytes)
		return "revision of the version is empty";
	if (!has_only(parts.revision, ".+~"))
		return "character that a revision may not have";
	return NULL;
}

static bool at_nondigit(struct text t)
{
	return t.length_bytes && !text_is_digit(t.data[0]);
}

/*
 * Rank of the next byte in a run without digits: a tilde sorts before the end
 * of the run, letters after it, and all other bytes after the letters. So
 * 1.0~rc1 is earlier than 1.0, and 1.0+x is later than 1.0a.
 */
static int nondigit_rank(struct text t)
{
	if (!at_nondigit(t))
		return 0;
	if (t.data[0] == '~')
		return -1;
	if (text_is_alpha(t.data[0]))
		return (unsigned char)t.data[0];
	return (unsigned char)t.data[0] + 256;
}

/* An empty span may be NULL, on which arithmetic is undefined */
static void advance_text(struct text *t, size_t length_bytes)
{
	if (!length_bytes)
		return;
	t->data += length_bytes;
	t->length_bytes -= length_bytes;
}

static int compare_nondigits(struct text *a, struct text *b)
{
	while (at_nondigit(*a) || at_nondigit(*b)) {
		int difference = nondigit_rank(*a) - nondigit_rank(*b);

		if (difference)
			return difference;
		/* Equal and not 0: both have a byte here */
		advance_text(a, 1);
		advance_text(b, 1);
	}
	return 0;
}

/* Cut a number off the front of @t, without its leading zeros */
static struct text take_number(struct text *t)
{
	struct text number;
	size_t length = 0;

	while (t->length_bytes && t->data[0] == '0')
		advance_text(t, 1);
	while (length < t->length_bytes && text_is_digit(t->data[length]))
		length++;
	number = (struct text){ t->data, length };
	advance_text(t, length);
	return number;
}

/* Compared as strings of digits, so that a long number does not overflow */
static int compare_numbers(struct text *a, struct text *b)
{
	struct text x = take_number(a);
	struct text y = take_number(b);

	if (x.length_bytes != y.length_bytes)
		return x.length_bytes < y.length_bytes ? -1 : 1;
	return x.length_bytes ? memcmp(x.data, y.data, x.length_bytes) : 0;
}

static int compare_part(struct text a, struct text b)
{
	while (a.length_bytes || b.length_bytes) {
		int difference = compare_nondigits(&a, &b);

		if (!difference)
			difference = compare_numbers(&a, &b);
		if (difference)
			return difference;
	}
	return 0;
}

int version_compare(struct text a, struct text b)
{
	struct version_parts x = split(a);
	struct version_parts y = split(b);
	int difference = compare_part(x.epoch, y.epoch);

	if (!difference)
		difference = compare_part(x.upstream, y.upstream);
	if (!difference)
		difference = compare_part(x.revision, y.revision);
	return difference;
}

bool version_satisfies(struct text have, enum version_op op, struct text bound)
{
	int order = op == VERSION_ANY ? 0 : version_compare(have, bound);

	switch (op) {
	case VERSION_ANY:
		return true;
	case VERSION_EARLIER:
		return order < 0;
	case VERSION_EARLIER_EQUAL:
		return order <= 0;
	case VERSION_EQUAL:
		return order == 0;
	case VERSION_LATER_EQUAL:
		return order >= 0;
	case VERSION_LATER:
		return order > 0;
	}
	return false;
}
