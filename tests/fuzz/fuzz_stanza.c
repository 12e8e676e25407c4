/* SPDX-License-Identifier: MIT */

/*
 * The stanza parser, and behind it the whole load of a package list or an edge
 * list: whatever the bytes, it ends, stays inside of them and leaks nothing.
 */

#include <stdlib.h>

#include "tools/hmmu/graph/build.h"
#include "tools/hmmu/graph/stanza.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_inside(struct text t, struct text input)
{
	check(t.length_bytes <= input.length_bytes);
	check(t.data >= input.data);
	check(t.data + t.length_bytes <= input.data + input.length_bytes);
}

static void check_field(const struct stanza_field *field, struct text input)
{
	check_inside(field->name, input);
	check_inside(field->value, input);
	check(field->name.length_bytes > 0);
	check(!memchr(field->name.data, '\n', field->name.length_bytes));
	if (!field->value.length_bytes)
		return;
	check(!memchr(field->value.data, '\0', field->value.length_bytes));
	check(!memchr(field->value.data, '\r', field->value.length_bytes));
	check(!memmem(field->value.data, field->value.length_bytes, "\n\n", 2));
}

static void parse(struct text input)
{
	struct stanza_parser parser;
	struct stanza_field field;
	struct graph_error error = { 0 };
	unsigned long line = 0;
	int last = STANZA_END;
	int event;

	stanza_init(&parser, "fuzz", input);
	while ((event = stanza_next(&parser, &field, &error)) > 0) {
		/* No stanza without fields */
		check(event == STANZA_FIELD || last == STANZA_FIELD);
		last = event;
		if (event != STANZA_FIELD)
			continue;
		check(field.line > line);
		line = field.line;
		check_field(&field, input);
	}
	check(event < 0 || last == STANZA_END);
	check(event == 0 || (error.code == event && error.reason));
	check(stanza_next(&parser, &field, NULL) == event);
}

static void check_graph(const struct graph *graph)
{
	size_t out = 0;
	size_t in = 0;

	for (size_t i = 0; i < graph->count; i++) {
		check(graph->nodes[i]->index == i);
		check(graph_find(graph, graph->nodes[i]->name) ==
		      graph->nodes[i]);
		out += graph->nodes[i]->out_degree;
		in += graph->nodes[i]->in_degree;
	}
	check(out == graph->edge_count && in == graph->edge_count);
}

static void load(struct text input)
{
	const struct source source = {
		.file = (char *)(uintptr_t) "fuzz",
		.buffer = (char *)(uintptr_t)input.data,
		.length_bytes = input.length_bytes,
	};
	struct graph graph = { 0 };
	struct graph_error error = { 0 };
	struct build build = { .graph = &graph, .error = &error };
	int err = edge_list_detect(&source) ? edge_list_load(&build, &source) :
					      packages_load(&build, &source, 1);

	if (!err) {
		check(build_link(&build) == 0);
		check_graph(&graph);
	} else {
		check(error.code == err && error.reason);
	}
	free(build.pairs);
	graph_free(&graph);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text input = { (const char *)data, size };

	parse(input);
	load(input);
	return 0;
}
