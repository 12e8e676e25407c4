/* SPDX-License-Identifier: MIT */
/*
 * Nodes and edges from Debian package lists
 *
 * Reading the lists selects one stanza for each package. After all lists are
 * read, Provides fields are indexed and relations are resolved.
 */
#include <errno.h>
#include <stdlib.h>

#include "build.h"
#include "depends.h"
#include "stanza.h"

/* The fields that are used; field_names has the same order */
enum record_field_id {
	FIELD_PACKAGE,
	FIELD_VERSION,
	FIELD_ARCHITECTURE,
	FIELD_MULTI_ARCH,
	FIELD_STATUS,
	FIELD_PRE_DEPENDS,
	FIELD_DEPENDS,
	FIELD_PROVIDES,
	FIELD_COUNT,
};

static const char *const field_names[FIELD_COUNT] = {
	[FIELD_PACKAGE] = "Package",
	[FIELD_VERSION] = "Version",
	[FIELD_ARCHITECTURE] = "Architecture",
	[FIELD_MULTI_ARCH] = "Multi-Arch",
	[FIELD_STATUS] = "Status",
	[FIELD_PRE_DEPENDS] = "Pre-Depends",
	[FIELD_DEPENDS] = "Depends",
	[FIELD_PROVIDES] = "Provides",
};

struct record_field {
	struct text value;
	unsigned long line; /* 0: the stanza has no such field */
};

/* One stanza; its text is borrowed from its source */
struct record {
	const char *file;
	unsigned long line;
	struct record_field fields[FIELD_COUNT];
};

/* An entry of the provider's Provides field; next is 1 + an index, or 0 */
struct provision {
	struct text name;
	struct text version;
	uint32_t hash;
	uint32_t provider;
	size_t next;
};

/**
 * struct packages - state of a load between reading and linking
 * @build:      the load.
 * @records:    by node index: the stanza that is used for the node.
 * @capacity:   entries allocated at @records.
 * @provisions: all entries of all Provides fields.
 * @provision_count: number of entries.
 * @provision_capacity: entries allocated at @provisions.
 * @heads:      hash table over provision names: 1 + an index, or 0.
 * @head_count: a power of two.
 */
struct packages {
	struct build *build;
	struct record *records;
	size_t capacity;
	struct provision *provisions;
	size_t provision_count;
	size_t provision_capacity;
	size_t *heads;
	size_t head_count;
};

static int out_of_memory(const struct packages *packages,
			 const struct record *record)
{
	return build_out_of_memory(packages->build, record->file);
}

static bool field_is(const struct record *record, enum record_field_id id,
		     const char *wanted)
{
	return text_equals(record->fields[id].value, text_from(wanted));
}

/*
 * Status is dpkg's "want flag state". The status file also contains packages
 * that are removed except for their configuration, and half-installed ones.
 * Lists have no Status.
 */
static bool is_installed(const struct record *record)
{
	static const char *const states[] = { " installed", " triggers-pending",
					      " triggers-awaited" };
	struct text status = record->fields[FIELD_STATUS].value;

	if (!record->fields[FIELD_STATUS].line)
		return true;
	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		struct text state = text_from(states[i]);
		struct text tail = status;

		if (tail.length_bytes < state.length_bytes)
			continue;
		tail.data += tail.length_bytes - state.length_bytes;
		tail.length_bytes = state.length_bytes;
		if (text_equals(tail, state))
			return true;
	}
	return false;
}

static bool is_native(const struct record *record)
{
	return field_is(record, FIELD_ARCHITECTURE, GRAPH_NATIVE_ARCH) ||
	       field_is(record, FIELD_ARCHITECTURE, "all");
}

static int refuse(const struct packages *packages, const struct record *record,
		  enum record_field_id id, const char *reason)
{
	unsigned long line = record->fields[id].line;

	return graph_error_set(packages->build->error, -EBADMSG, record->file,
			       line ? line : record->line, reason);
}

static int check_record(const struct packages *packages,
			const struct record *record)
{
	const char *problem;

	if (!depends_name_valid(record->fields[FIELD_PACKAGE].value))
		return refuse(packages, record, FIELD_PACKAGE,
			      "stanza without a valid Package field");
	if (!record->fields[FIELD_ARCHITECTURE].line)
		return refuse(packages, record, FIELD_ARCHITECTURE,
			      "stanza without an Architecture field");
	problem = version_problem(record->fields[FIELD_VERSION].value);
	return problem ? refuse(packages, record, FIELD_VERSION, problem) : 0;
}

static bool is_later(const struct record *record, const struct record *than)
{
	return version_compare(record->fields[FIELD_VERSION].value,
			       than->fields[FIELD_VERSION].value) > 0;
}

/* Use a complete stanza for its node, unless the node has a later version */
static int add_record(struct packages *packages, const struct record *record)
{
	struct graph *graph = packages->build->graph;
	size_t count = graph->count;
	struct pkg_node *node;
	int err;

	/* Before the check: a removed package may have no version */
	if (!is_installed(record))
		return 0;
	err = check_record(packages, record);
	if (err || !is_native(record))
		return err;
	if (build_grow(&packages->records, &packages->capacity, count,
		       sizeof(*record)))
		return out_of_memory(packages, record);
	err = build_intern(packages->build, record->fields[FIELD_PACKAGE].value,
			   &node);
	if (err)
		return err;
	if (graph->count > count ||
	    is_later(record, &packages->records[node->index]))
		packages->records[node->index] = *record;
	return 0;
}

static void add_field(struct record *record, const struct stanza_field *field)
{
	if (!record->line)
		record->line = field->line;
	for (size_t id = 0; id < FIELD_COUNT; id++) {
		if (!text_equals_nocase(field->name,
					text_from(field_names[id])))
			continue;
		record->fields[id].value = field->value;
		record->fields[id].line = field->line;
		return;
	}
}

static int read_source(struct packages *packages, const struct source *source)
{
	struct text input = { source->buffer, source->length_bytes };
	struct record record = { .file = source->file };
	struct stanza_parser parser;
	struct stanza_field field;
	int event;
	int err;

	build_report(packages->build, GRAPH_PARSING, source->file);
	stanza_init(&parser, source->file, input);
	while ((event = stanza_next(&parser, &field, packages->build->error)) >
	       0) {
		if (event == STANZA_FIELD) {
			add_field(&record, &field);
			continue;
		}
		err = add_record(packages, &record);
		if (err)
			return err;
		record = (struct record){ .file = source->file };
	}
	return event;
}

/* Called after all lists are read, when the stanzas are final */
static int copy_versions(struct packages *packages)
{
	struct graph *graph = packages->build->graph;

	for (size_t i = 0; i < graph->count; i++) {
		const struct record *record = &packages->records[i];

		graph->nodes[i]->version =
			text_dup(record->fields[FIELD_VERSION].value);
		if (!graph->nodes[i]->version)
			return out_of_memory(packages, record);
	}
	return 0;
}

static void begin_field(struct depends_parser *parser,
			const struct record *record, enum record_field_id id)
{
	const struct depends_input input = {
		.kind = id == FIELD_PROVIDES ? DEPENDS_PROVISION :
					       DEPENDS_RELATION,
		.arch = GRAPH_NATIVE_ARCH,
		.file = record->file,
		.line = record->fields[id].line,
		.value = record->fields[id].value,
	};

	depends_init(parser, &input);
}

static int add_provision(struct packages *packages, uint32_t provider,
			 const struct depends_alternative *entry)
{
	if (build_grow(&packages->provisions, &packages->provision_capacity,
		       packages->provision_count, sizeof(struct provision)))
		return out_of_memory(packages, &packages->records[provider]);
	packages->provisions[packages->provision_count++] = (struct provision){
		.name = entry->name,
		.version = entry->version,
		.hash = build_hash(entry->name),
		.provider = provider,
	};
	return 0;
}

static int read_provides(struct packages *packages, uint32_t provider)
{
	struct depends_alternative entry;
	struct depends_parser parser;
	int found;

	begin_field(&parser, &packages->records[provider], FIELD_PROVIDES);
	while ((found = depends_next(&parser, &entry, packages->build->error)) >
	       0) {
		int err = entry.applies ?
				  add_provision(packages, provider, &entry) :
				  0;

		if (err)
			return err;
	}
	return found;
}

/* Inserted from the end, so that a chain has providers in their order */
static int index_provisions(struct packages *packages)
{
	packages->head_count = 1;
	while (packages->head_count < packages->provision_count)
		packages->head_count *= 2;
	packages->heads = calloc(packages->head_count, sizeof(size_t));
	if (!packages->heads)
		return build_out_of_memory(packages->build, NULL);
	for (size_t i = packages->provision_count; i > 0; i--) {
		struct provision *provision = &packages->provisions[i - 1];
		size_t slot = provision->hash & (packages->head_count - 1);

		provision->next = packages->heads[slot];
		packages->heads[slot] = i;
	}
	return 0;
}

static int collect_provides(struct packages *packages)
{
	int err = 0;

	for (size_t i = 0; !err && i < packages->build->graph->count; i++)
		err = read_provides(packages, (uint32_t)i);
	return err ? err : index_provisions(packages);
}

/*
 * "name:any" needs a package that can satisfy packages of other architectures,
 * which Multi-Arch must allow. All packages here are native.
 */
static bool qualifier_satisfied(const struct record *record,
				struct text qualifier)
{
	if (!qualifier.length_bytes)
		return true;
	if (text_equals(qualifier, text_from("any")))
		return field_is(record, FIELD_MULTI_ARCH, "allowed");
	return text_equals(qualifier, text_from("native")) ||
	       text_equals(qualifier, text_from(GRAPH_NATIVE_ARCH));
}

static bool package_satisfies(const struct record *record,
			      const struct depends_alternative *wanted)
{
	return qualifier_satisfied(record, wanted->qualifier) &&
	       version_satisfies(record->fields[FIELD_VERSION].value,
				 wanted->op, wanted->version);
}

/* The provider's own version does not count for the name it provides */
static bool provision_satisfies(const struct packages *packages,
				const struct provision *provision,
				const struct depends_alternative *wanted)
{
	if (!text_equals(provision->name, wanted->name) ||
	    !qualifier_satisfied(&packages->records[provision->provider],
				 wanted->qualifier))
		return false;
	if (wanted->op == VERSION_ANY)
		return true;
	return provision->version.length_bytes &&
	       version_satisfies(provision->version, wanted->op,
				 wanted->version);
}

static int resolve(struct packages *packages, uint32_t from,
		   const struct depends_alternative *wanted)
{
	uint32_t hash = build_hash(wanted->name);
	struct pkg_node *node =
		build_find(packages->build->graph, wanted->name, hash);
	size_t at = packages->heads[hash & (packages->head_count - 1)];
	int err = 0;

	if (node && package_satisfies(&packages->records[node->index], wanted))
		return build_pair(packages->build, from, node->index);
	while (!err && at) {
		const struct provision *provision =
			&packages->provisions[at - 1];

		if (provision_satisfies(packages, provision, wanted))
			err = build_pair(packages->build, from,
					 provision->provider);
		at = provision->next;
	}
	return err;
}

static int resolve_field(struct packages *packages, uint32_t from,
			 enum record_field_id id)
{
	struct depends_alternative wanted;
	struct depends_parser parser;
	int found;

	begin_field(&parser, &packages->records[from], id);
	while ((found = depends_next(&parser, &wanted,
				     packages->build->error)) > 0) {
		int err = wanted.applies ? resolve(packages, from, &wanted) : 0;

		if (err)
			return err;
	}
	return found;
}

static int resolve_all(struct packages *packages)
{
	int err = 0;

	for (size_t i = 0; !err && i < packages->build->graph->count; i++) {
		err = resolve_field(packages, (uint32_t)i, FIELD_PRE_DEPENDS);
		if (!err)
			err = resolve_field(packages, (uint32_t)i,
					    FIELD_DEPENDS);
	}
	return err;
}

int packages_load(struct build *build, const struct source *sources,
		  size_t source_count)
{
	struct packages packages = { .build = build };
	int err = 0;

	for (size_t i = 0; !err && i < source_count; i++)
		err = read_source(&packages, &sources[i]);
	if (!err)
		err = copy_versions(&packages);
	if (!err)
		err = collect_provides(&packages);
	if (!err)
		err = resolve_all(&packages);
	free(packages.records);
	free(packages.provisions);
	free(packages.heads);
	return err;
}
