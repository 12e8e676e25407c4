/* SPDX-License-Identifier: MIT */
/*
 * A graph of packages: nodes, their hash table, and edges
 */
#include <errno.h>
#include <stdlib.h>

#include "build.h"

#define BUCKETS_MIN ((size_t)1024)
#define GROW_MIN    ((size_t)64)

void build_report(const struct build *build, enum graph_stage stage,
		  const char *file)
{
	if (build->progress && build->progress->fn)
		build->progress->fn(build->progress->arg, stage, file,
				    build->graph->count);
}

int build_out_of_memory(const struct build *build, const char *file)
{
	return graph_error_set(build->error, -ENOMEM, file, 0, "out of memory");
}

uint32_t build_hash(struct text name)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < name.length_bytes; i++)
		hash = (hash ^ (unsigned char)name.data[i]) * 16777619u;
	return hash;
}

int build_grow(void *array, size_t *capacity, size_t count, size_t elem_bytes)
{
	size_t wanted = *capacity ? *capacity * 2 : GROW_MIN;
	size_t bytes;
	void *old;
	void *grown;

	if (count < *capacity)
		return 0;
	if (__builtin_mul_overflow(wanted, elem_bytes, &bytes))
		return -ENOMEM;
	/* @array is a "struct x **"; memcpy() keeps the aliasing rules */
	memcpy(&old, array, sizeof(old));
	grown = realloc(old, bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(array, &grown, sizeof(grown));
	*capacity = wanted;
	return 0;
}

struct pkg_node *build_find(const struct graph *graph, struct text name,
			    uint32_t hash)
{
	struct pkg_node *node;

	if (!graph->bucket_count)
		return NULL;
	node = graph->buckets[hash & (graph->bucket_count - 1)];
	while (node && (node->hash != hash ||
			!text_equals(text_from(node->name), name)))
		node = node->hash_next;
	return node;
}

struct pkg_node *graph_find(const struct graph *graph, const char *name)
{
	struct text wanted = text_from(name);

	return build_find(graph, wanted, build_hash(wanted));
}

static void hash_insert(struct graph *graph, struct pkg_node *node)
{
	struct pkg_node **bucket =
		&graph->buckets[node->hash & (graph->bucket_count - 1)];

	node->hash_next = *bucket;
	*bucket = node;
}

/* Double the table when chains are one node long on average */
static int hash_grow(struct graph *graph)
{
	size_t wanted = graph->bucket_count ? graph->bucket_count * 2 :
					      BUCKETS_MIN;
	struct pkg_node **buckets;

	if (graph->count < graph->bucket_count)
		return 0;
	buckets = calloc(wanted, sizeof(struct pkg_node *));
	if (!buckets)
		return -ENOMEM;
	free(graph->buckets);
	graph->buckets = buckets;
	graph->bucket_count = wanted;
	for (size_t i = 0; i < graph->count; i++)
		hash_insert(graph, graph->nodes[i]);
	return 0;
}

static struct pkg_node *node_create(struct text name, uint32_t hash)
{
	struct pkg_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->hash = hash;
	node->name = text_dup(name);
	if (!node->name) {
		free(node);
		return NULL;
	}
	return node;
}

int build_intern(struct build *build, struct text name,
		 struct pkg_node **ret_node)
{
	struct graph *graph = build->graph;
	uint32_t hash = build_hash(name);
	struct pkg_node *node = build_find(graph, name, hash);

	if (node) {
		*ret_node = node;
		return 0;
	}
	/* The last index is reserved, because marks store "index + 1" */
	if (graph->count >= UINT32_MAX - 1)
		return graph_error_set(build->error, -E2BIG, NULL, 0,
				       "too many nodes");
	if (hash_grow(graph) || build_grow(&graph->nodes, &graph->capacity,
					   graph->count, sizeof(node)))
		return build_out_of_memory(build, NULL);
	node = node_create(name, hash);
	if (!node)
		return build_out_of_memory(build, NULL);
	node->index = (uint32_t)graph->count;
	graph->nodes[graph->count++] = node;
	hash_insert(graph, node);
	*ret_node = node;
	return 0;
}

int build_pair(struct build *build, uint32_t from, uint32_t to)
{
	if (build_grow(&build->pairs, &build->pair_capacity, build->pair_count,
		       sizeof(struct edge_pair)))
		return build_out_of_memory(build, NULL);
	build->pairs[build->pair_count++] = (struct edge_pair){ from, to };
	return 0;
}

/* Pairs sorted by "from"; pairs of one "from" keep their order */
struct sorted_pairs {
	size_t *first; /* by node: index of its first entry of "to" */
	uint32_t *to;
	uint32_t *mark; /* by node: 1 + the last node with an edge to it */
};

static void sorted_pairs_fini(struct sorted_pairs *sorted)
{
	free(sorted->first);
	free(sorted->to);
	free(sorted->mark);
}

/* A counting sort: it is stable, and the keys are small and dense */
static int sorted_pairs_init(struct sorted_pairs *sorted,
			     const struct build *build)
{
	size_t nodes = build->graph->count;
	size_t sum = 0;

	sorted->first = calloc(nodes + 1, sizeof(*sorted->first));
	sorted->to = calloc(build->pair_count + 1, sizeof(*sorted->to));
	sorted->mark = calloc(nodes + 1, sizeof(*sorted->mark));
	if (!sorted->first || !sorted->to || !sorted->mark)
		return -ENOMEM;
	for (size_t i = 0; i < build->pair_count; i++)
		sorted->first[build->pairs[i].from]++;
	for (size_t i = 0; i <= nodes; i++) {
		size_t length = sorted->first[i];

		sorted->first[i] = sum;
		sum += length;
	}
	for (size_t i = 0; i < build->pair_count; i++)
		sorted->to[sorted->first[build->pairs[i].from]++] =
			build->pairs[i].to;
	/* Each entry is now the end of its node, where the next node begins */
	memmove(sorted->first + 1, sorted->first,
		nodes * sizeof(*sorted->first));
	sorted->first[0] = 0;
	return 0;
}

static struct pkg_edge *edge_create(struct pkg_node *node,
				    struct pkg_edge *next)
{
	struct pkg_edge *edge = malloc(sizeof(*edge));

	if (edge)
		*edge = (struct pkg_edge){ node, next };
	return edge;
}

/* Create @node's dependencies: each neighbour once, and never itself */
static int link_depends(struct graph *graph, struct sorted_pairs *sorted,
			struct pkg_node *node)
{
	struct pkg_edge **tail = &node->depends;
	size_t end = sorted->first[node->index + 1];

	for (size_t i = sorted->first[node->index]; i < end; i++) {
		uint32_t to = sorted->to[i];

		if (to == node->index || sorted->mark[to] == node->index + 1)
			continue;
		sorted->mark[to] = node->index + 1;
		*tail = edge_create(graph->nodes[to], NULL);
		if (!*tail)
			return -ENOMEM;
		tail = &(*tail)->next;
		node->out_degree++;
		graph->edge_count++;
	}
	return 0;
}

/* Called in descending order; links are put in front, so lists ascend */
static int link_rdepends(struct pkg_node *node)
{
	for (struct pkg_edge *edge = node->depends; edge; edge = edge->next) {
		struct pkg_node *needed = edge->node;
		struct pkg_edge *back = edge_create(node, needed->rdepends);

		if (!back)
			return -ENOMEM;
		needed->rdepends = back;
		needed->in_degree++;
	}
	return 0;
}

static int link_all(struct graph *graph, struct sorted_pairs *sorted)
{
	int err = 0;

	for (size_t i = 0; !err && i < graph->count; i++)
		err = link_depends(graph, sorted, graph->nodes[i]);
	for (size_t i = graph->count; !err && i > 0; i--)
		err = link_rdepends(graph->nodes[i - 1]);
	return err;
}

int build_link(struct build *build)
{
	struct sorted_pairs sorted;
	int err;

	build_report(build, GRAPH_LINKING, NULL);
	err = sorted_pairs_init(&sorted, build);
	if (!err)
		err = link_all(build->graph, &sorted);
	sorted_pairs_fini(&sorted);
	free(build->pairs);
	build->pairs = NULL;
	build->pair_count = 0;
	build->pair_capacity = 0;
	return err ? build_out_of_memory(build, NULL) : 0;
}

static void edges_free(struct pkg_edge *edge)
{
	while (edge) {
		struct pkg_edge *next = edge->next;

		free(edge);
		edge = next;
	}
}

static void node_free(struct pkg_node *node)
{
	edges_free(node->depends);
	edges_free(node->rdepends);
	free(node->name);
	free(node->version);
	free(node);
}

void graph_free(struct graph *graph)
{
	for (size_t i = 0; i < graph->count; i++)
		node_free(graph->nodes[i]);
	free(graph->nodes);
	free(graph->buckets);
	memset(graph, 0, sizeof(*graph));
}
