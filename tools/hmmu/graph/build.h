/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_BUILD_H
#define HMMU_TOOL_GRAPH_BUILD_H

/*
 * Between the files that build a graph; callers use graph.h.
 *
 * A load has two phases. The first makes all nodes and remembers edges as
 * pairs of indexes, because what a relation points to may stand in a file that
 * is read later. The second, build_link(), turns pairs into lists.
 */

#include "graph.h"

/**
 * struct source - one input in memory
 * @file:   its name, from malloc.
 * @buffer: its bytes, from malloc.
 * @length_bytes: number of bytes.
 */
struct source {
	char *file;
	char *buffer;
	size_t length_bytes;
};

/* An edge whose ends stand in graph.nodes[from] and graph.nodes[to] */
struct edge_pair {
	uint32_t from;
	uint32_t to;
};

/**
 * struct build - a load in progress
 * @graph:         what is filled.
 * @progress:      how to report, or NULL.
 * @error:         where to write a failure, or NULL.
 * @pairs:         edges so far, repeated ones included.
 * @pair_count:    their number.
 * @pair_capacity: room at @pairs.
 */
struct build {
	struct graph *graph;
	const struct graph_progress *progress;
	struct graph_error *error;
	struct edge_pair *pairs;
	size_t pair_count;
	size_t pair_capacity;
};

/**
 * build_report() - tell the caller that a stage begins
 * @build: the load.
 * @stage: the stage.
 * @file:  the file it works on, or NULL.
 */
void build_report(const struct build *build, enum graph_stage stage,
		  const char *file);

/**
 * build_out_of_memory() - record that memory ran out
 * @build: the load.
 * @file:  the file at work, or NULL.
 *
 * Return: -ENOMEM, to be returned.
 */
int build_out_of_memory(const struct build *build, const char *file);

/**
 * build_hash() - hash of a name, FNV-1a
 * @name: the name.
 *
 * Return: the hash.
 */
uint32_t build_hash(struct text name);

/**
 * build_find() - the node of a name
 * @graph: the graph.
 * @name:  the name.
 * @hash:  build_hash() of @name.
 *
 * Return: the node, or NULL when there is none.
 */
struct pkg_node *build_find(const struct graph *graph, struct text name,
			    uint32_t hash);

/**
 * build_grow() - make room for one more element
 * @array:     address of a pointer to malloc'd elements, or to NULL.
 * @capacity:  elements there is room for; updated.
 * @count:     elements in use.
 * @elem_bytes: size of one.
 *
 * Return: 0, or -ENOMEM with everything as before.
 */
int build_grow(void *array, size_t *capacity, size_t count, size_t elem_bytes);

/**
 * build_intern() - find or make the node of a name
 * @build:    the load.
 * @name:     the name; copied.
 * @ret_node: out: the node. Its index tells whether it is new: it then is
 *            graph.count - 1, the last.
 *
 * Return: 0, -ENOMEM, or -E2BIG when there are 2^32 - 1 nodes.
 */
int build_intern(struct build *build, struct text name,
		 struct pkg_node **ret_node)
	__attribute__((warn_unused_result));

/**
 * build_pair() - remember an edge
 * @build: the load.
 * @from:  index of the node that depends.
 * @to:    index of the node that it depends on.
 *
 * Return: 0 or -ENOMEM.
 */
int build_pair(struct build *build, uint32_t from, uint32_t to)
	__attribute__((warn_unused_result));

/**
 * build_link() - make the edges of all pairs and drop the pairs
 * @build: the load; its nodes are complete.
 *
 * Return: 0 or -ENOMEM.
 */
int build_link(struct build *build) __attribute__((warn_unused_result));

/**
 * packages_load() - nodes and pairs of package lists
 * @build:        the load.
 * @sources:      the lists; borrowed for the call.
 * @source_count: their number.
 *
 * Return: 0, -ENOMEM, -E2BIG or -EBADMSG.
 */
int packages_load(struct build *build, const struct source *sources,
		  size_t source_count) __attribute__((warn_unused_result));

/**
 * edge_list_detect() - tell an edge list from a package list
 * @source: the input.
 *
 * Return: true when its first line of substance is a pair of numbers.
 */
bool edge_list_detect(const struct source *source);

/**
 * edge_list_load() - nodes and pairs of an edge list
 * @build:  the load.
 * @source: the list; borrowed for the call.
 *
 * Return: 0, -ENOMEM, -E2BIG or -EBADMSG.
 */
int edge_list_load(struct build *build, const struct source *source)
	__attribute__((warn_unused_result));

/**
 * source_read() - read a file, decompressed
 * @source: out: the input; the caller owes source_free() on success.
 * @file:   its name.
 * @helper: program that decompresses, see struct graph_paths.
 * @error:  out: why it failed; may be NULL.
 *
 * Return: 0, -ENOMEM, -EIO when decompressing failed, or the code of open or
 * read.
 */
int source_read(struct source *source, const char *file, const char *helper,
		struct graph_error *error) __attribute__((warn_unused_result));

/**
 * source_free() - free what source_read() made
 * @source: the input; zeroed.
 */
void source_free(struct source *source);

#endif
