/* SPDX-License-Identifier: MIT */

/*
 * The parser of relations, and the order of versions: the first byte chooses
 * the kind of field, the rest is its value. Versions that it finds are compared
 * with each other, and so are arbitrary pieces of the input.
 */

#include <stdint.h>
#include <stdlib.h>

#include "tools/hmmu/graph/depends.h"

#define VERSIONS_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_inside(struct text t, struct text input)
{
	if (!t.length_bytes)
		return;
	check(t.data >= input.data);
	check(t.data + t.length_bytes <= input.data + input.length_bytes);
}

static void check_alternative(const struct depends_alternative *found,
			      enum depends_kind kind, struct text input)
{
	check_inside(found->name, input);
	check_inside(found->qualifier, input);
	check_inside(found->version, input);
	check(depends_name_valid(found->name));
	check((found->op == VERSION_ANY) == !found->version.length_bytes);
	check(found->op == VERSION_ANY || !version_problem(found->version));
	if (kind == DEPENDS_PROVISION)
		check(found->op == VERSION_ANY || found->op == VERSION_EQUAL);
}

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

static int compare(struct text a, struct text b)
{
	return sign(version_compare(a, b));
}

static void check_order(const struct text *v, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		check(compare(v[i], v[i]) == 0);
		for (size_t j = 0; j < count; j++) {
			check(compare(v[i], v[j]) == -compare(v[j], v[i]));
			for (size_t k = 0; k < count; k++) {
				if (compare(v[i], v[j]) <= 0 &&
				    compare(v[j], v[k]) <= 0)
					check(compare(v[i], v[k]) <= 0);
			}
		}
	}
}

/* Pieces of the input as versions, well formed or not: at each comma */
static void check_pieces(struct text input)
{
	struct text pieces[VERSIONS_MAX];
	size_t count = 0;

	while (count < VERSIONS_MAX && input.length_bytes) {
		const char *comma = memchr(input.data, ',', input.length_bytes);
		size_t length = comma ? (size_t)(comma - input.data) :
					input.length_bytes;
		size_t skip = length + (comma ? 1 : 0);

		pieces[count++] = (struct text){ input.data, length };
		input.data += skip;
		input.length_bytes -= skip;
	}
	check_order(pieces, count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct depends_input input = { .arch = "amd64", .file = "fuzz" };
	struct text versions[VERSIONS_MAX];
	struct depends_alternative found;
	struct depends_parser parser;
	struct graph_error error = { 0 };
	uint32_t clause = 0;
	size_t count = 0;
	int got;

	if (!size)
		return 0;
	input.kind = data[0] == 'P' ? DEPENDS_PROVISION : DEPENDS_RELATION;
	input.value = (struct text){ (const char *)data + 1, size - 1 };
	depends_init(&parser, &input);
	while ((got = depends_next(&parser, &found, &error)) > 0) {
		check_alternative(&found, input.kind, input.value);
		check(found.clause >= clause && found.clause <= clause + 1);
		clause = found.clause;
		if (found.op != VERSION_ANY && count < VERSIONS_MAX)
			versions[count++] = found.version;
	}
	check(got == 0 || (error.code == got && error.reason));
	check(depends_next(&parser, &found, NULL) == got);
	check_order(versions, count);
	check_pieces(input.value);
	return 0;
}
