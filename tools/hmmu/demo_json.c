/* SPDX-License-Identifier: MIT */
/*
 * The report of the demo as JSON; hmmu(1) lists its members
 */
#include "demo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include <json-c/json.h>

#include <hmmu/base.h>

#include "tools/hmmu/graph/map_view.h"
#include "tools/hmmu/graph/pagerank.h"

/*
 * A failure of json-c is NULL, which is also its null: an incomplete document
 * would look complete. The writer records any failure.
 */
struct writer {
	const struct demo *demo;
	bool failed;
};

/* Consumes @value */
static void put(struct writer *w, struct json_object *object, const char *key,
		struct json_object *value)
{
	if (object && value && !json_object_object_add(object, key, value))
		return;
	json_object_put(value);
	w->failed = true;
}

/* Consumes @value */
static void append(struct writer *w, struct json_object *array,
		   struct json_object *value)
{
	if (array && value && !json_object_array_add(array, value))
		return;
	json_object_put(value);
	w->failed = true;
}

static void put_count(struct writer *w, struct json_object *object,
		      const char *key, uint64_t value)
{
	put(w, object, key, json_object_new_uint64(value));
}

static void put_seconds(struct writer *w, struct json_object *object,
			const char *key, uint64_t ns)
{
	put(w, object, key, json_object_new_double((double)ns / 1e9));
}

static void put_bool(struct writer *w, struct json_object *object,
		     const char *key, bool value)
{
	put(w, object, key, json_object_new_boolean(value));
}

static void put_text(struct writer *w, struct json_object *object,
		     const char *key, const char *value)
{
	put(w, object, key, json_object_new_string(value));
}

/* json-c's null is NULL */
static void put_text_or_null(struct writer *w, struct json_object *object,
			     const char *key, const char *value)
{
	if (value)
		put_text(w, object, key, value);
	else
		json_object_object_add(object, key, NULL);
}

static struct json_object *new_counts(struct writer *w,
				      const struct hmmu_space_stats *done)
{
	struct json_object *object = json_object_new_object();

	put_count(w, object, "device_faults", done->device_faults);
	put_count(w, object, "device_fault_retries",
		  done->device_fault_retries);
	put_count(w, object, "cpu_faults", done->cpu_faults);
	put_count(w, object, "hole_faults", done->hole_faults);
	put_count(w, object, "pages_to_device", done->pages_to_device);
	put_count(w, object, "large_to_device", done->large_to_device);
	put_count(w, object, "pages_home", done->pages_home);
	put_count(w, object, "large_home", done->large_home);
	put_count(w, object, "pages_copied", done->pages_copied);
	put_count(w, object, "pages_dropped", done->pages_dropped);
	put_count(w, object, "invalidations", done->invalidations);
	put_count(w, object, "thp_lost", done->thp_lost);
	put_count(w, object, "mirror_bytes", done->mirror_bytes);
	return object;
}

/* Rows of neighbouring blocks: {"start": "0x...", "blocks": "sSSDDm"} */
static struct json_object *new_map(struct writer *w,
				   const struct footprint_view *view)
{
	const struct footprint *fp = &w->demo->footprint;
	struct json_object *map = json_object_new_array();
	char *letters = calloc(fp->block_count + 1, 1);

	for (size_t i = 0, first = 0; letters && i < fp->block_count; i++) {
		struct map_view_block cell = footprint_cell(fp, view, i);
		struct json_object *row;
		char start[32];

		letters[i - first] = map_view_letter(&cell);
		if (i + 1 < fp->block_count &&
		    fp->blocks[i + 1].start ==
			    fp->blocks[i].start + HMMU_LARGE_BYTES)
			continue;
		letters[i + 1 - first] = 0;
		snprintf(start, sizeof(start), "0x%" PRIxPTR,
			 fp->blocks[first].start);
		row = json_object_new_object();
		put_text(w, row, "start", start);
		put_text(w, row, "blocks", letters);
		append(w, map, row);
		first = i + 1;
	}
	if (!letters)
		w->failed = true;
	free(letters);
	return map;
}

static struct json_object *new_view(struct writer *w,
				    const struct footprint_view *view)
{
	struct json_object *object = json_object_new_object();

	put_count(w, object, "system_pages", view->system_pages);
	put_count(w, object, "system_large_pages", view->system_large_pages);
	put_count(w, object, "device_pages", view->device_pages);
	put_count(w, object, "device_large_pages", view->device_large_pages);
	put_count(w, object, "full_blocks", view->full_blocks);
	put_count(w, object, "mapped_full_blocks", view->mapped_blocks);
	put_count(w, object, "large_leaf_blocks", view->leaf_blocks);
	put(w, object, "map", new_map(w, view));
	return object;
}

static struct json_object *new_migration(struct writer *w)
{
	const struct demo_migration *migration = &w->demo->migration;
	const struct hmmu_migrate_result *result = &migration->result;
	struct json_object *object = json_object_new_object();
	struct json_object *stayed = json_object_new_object();

	put_seconds(w, object, "seconds", migration->ns);
	put_count(w, object, "bytes", migration->bytes);
	put_count(w, object, "pages_moved", result->pages_moved);
	put_count(w, object, "large_moved", result->large_moved);
	put_count(w, object, "pages_already", result->pages_already);
	put_count(w, object, "pages_stayed", result->pages_stayed);
	for (unsigned int i = 0; i < HMMU_STAY_REASONS; i++)
		if (result->stayed[i])
			put_count(w, stayed, hmmu_stay_text(i),
				  result->stayed[i]);
	put(w, object, "stayed", stayed);
	put_count(w, object, "graph_pages_in_system", migration->system_pages);
	return object;
}

static struct json_object *new_phase(struct writer *w,
				     enum demo_phase_name index)
{
	static const char *const names[DEMO_PHASES] = {
		[DEMO_SYSTEM] = "system memory",
		[DEMO_DEVICE] = "device memory",
		[DEMO_HOME] = "home",
	};
	const struct demo_phase *phase = &w->demo->phases[index];
	struct json_object *object = json_object_new_object();

	put_text(w, object, "name", names[index]);
	put_seconds(w, object, "seconds", phase->ns);
	put_bool(w, object, "ranks_equal", phase->equal);
	put_count(w, object, "graph_pages_in_system", phase->system_pages);
	if (index == DEMO_DEVICE)
		put(w, object, "migration", new_migration(w));
	put(w, object, "counters", new_counts(w, &phase->done));
	put(w, object, "residency", new_view(w, &phase->view));
	return object;
}

static struct json_object *new_top(struct writer *w)
{
	struct json_object *array = json_object_new_array();
	const struct pkg_node **top =
		calloc(w->demo->options.top + 1ul, sizeof(*top));
	size_t count = 0;

	if (top)
		count = graph_top(&w->demo->graph, w->demo->options.top, top);
	else
		w->failed = true;
	for (size_t i = 0; i < count; i++) {
		struct json_object *object = json_object_new_object();

		put_text(w, object, "name", top[i]->name);
		put(w, object, "rank", json_object_new_double(top[i]->rank));
		put_count(w, object, "in_degree", top[i]->in_degree);
		put_count(w, object, "out_degree", top[i]->out_degree);
		append(w, array, object);
	}
	free(top);
	return array;
}

static struct json_object *new_document(struct writer *w)
{
	const struct demo *demo = w->demo;
	const char *input = demo->options.input;
	struct json_object *object = json_object_new_object();
	struct json_object *phases = json_object_new_array();

	put_text(w, object, "version", HMMU_VERSION_STRING);
	put_bool(w, object, "ranks_equal", demo_ranks_equal(demo));
	put_text_or_null(w, object, "input", input);
	put_text_or_null(w, object, "stays_in_system_memory", demo->stays);
	put_count(w, object, "nodes", demo->graph.count);
	put_count(w, object, "edges", demo->graph.edge_count);
	put_count(w, object, "graph_pages", demo->footprint.pages);
	put_count(w, object, "iterations", demo->options.iterations);
	put_count(w, object, "workers", demo->options.workers);
	put_seconds(w, object, "load_seconds", demo->load_ns);
	put_seconds(w, object, "cpu_seconds", demo->cpu_ns);
	for (size_t i = 0; i < demo_phase_count(demo); i++)
		append(w, phases, new_phase(w, (enum demo_phase_name)i));
	put(w, object, "phases", phases);
	put(w, object, "top", new_top(w));
	return object;
}

int demo_report_json(const struct demo *demo, FILE *out)
{
	struct writer w = { .demo = demo };
	struct json_object *document = new_document(&w);
	const char *text;

	text = json_object_to_json_string_ext(
		document, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				  JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		w.failed = true;
	if (!w.failed)
		fprintf(out, "%s\n", text);
	json_object_put(document);
	return w.failed ? -ENOMEM : 0;
}
