/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_BUILD_H
#define HMMU_TOOL_GRAPH_BUILD_H

/*
 * The interface between the files that build a graph; callers use graph.h
 *
 * A load has two phases. The first creates all nodes and stores edges as pairs
 * of indexes, because a relation may name a package in a file that is read
 * later. The second, build_link(), turns the pairs into lists.
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

/* An edge from graph.nodes[from] to graph.nodes[to] */
struct edge_pair {
	uint32_t from;
	uint32_t to;
};

/**
 * struct build - a load in progress
 * @graph:         the graph that is filled in.
 * @progress:      progress callback, or NULL.
 * @error:         receives the error, or NULL.
 * @pairs:         edges so far, repeated ones included.
 * @pair_count:    number of pairs.
 * @pair_capacity: entries allocated at @pairs.
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
 * build_report() - call the progress callback at the beginning of a stage
 * @build: the load.
 * @stage: the stage.
 * @file:  the file of the stage, or NULL.
 */
void build_report(const struct build *build, enum graph_stage stage,
		  const char *file);

/**
 * build_out_of_memory() - record that memory ran out
 * @build: the load.
 * @file:  the current file, or NULL.
 *
 * Return: -ENOMEM.
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
 * build_find() - find the node of a name
 * @graph: the graph.
 * @name:  the name.
 * @hash:  build_hash() of @name.
 *
 * Return: the node, or NULL if there is none.
 */
struct pkg_node *build_find(const struct graph *graph, struct text name,
			    uint32_t hash);

/**
 * build_grow() - make room for one more element
 * @array:     address of a pointer to malloc'd elements, or to NULL.
 * @capacity:  allocated elements; updated.
 * @count:     elements in use.
 * @elem_bytes: size of an element.
 *
 * Return: 0, or -ENOMEM with the array unchanged.
 */
int build_grow(void *array, size_t *capacity, size_t count, size_t elem_bytes);

/**
 * build_intern() - find or create the node of a name
 * @build:    the load.
 * @name:     the name; copied.
 * @ret_node: out: the node. A new node is the last: its index is
 *            graph.count - 1.
 *
 * Return: 0, -ENOMEM, or -E2BIG if there are 2^32 - 1 nodes.
 */
int build_intern(struct build *build, struct text name,
		 struct pkg_node **ret_node)
	__attribute__((warn_unused_result));

/**
 * build_pair() - store an edge as a pair
 * @build: the load.
 * @from:  index of the node that depends.
 * @to:    index of the node that it depends on.
 *
 * Return: 0 or -ENOMEM.
 */
int build_pair(struct build *build, uint32_t from, uint32_t to)
	__attribute__((warn_unused_result));

/**
 * build_link() - create the edges of all pairs and free the pairs
 * @build: the load; all nodes exist.
 *
 * Return: 0 or -ENOMEM.
 */
int build_link(struct build *build) __attribute__((warn_unused_result));

/**
 * packages_load() - create the nodes and pairs of package lists
 * @build:        the load.
 * @sources:      the lists; borrowed for the call.
 * @source_count: number of lists.
 *
 * Return: 0, -ENOMEM, -E2BIG or -EBADMSG.
 */
int packages_load(struct build *build, const struct source *sources,
		  size_t source_count) __attribute__((warn_unused_result));

/**
 * edge_list_detect() - check whether an input is an edge list
 * @source: the input.
 *
 * Return: true if the first line that is neither empty nor a comment is a pair
 * of numbers.
 */
bool edge_list_detect(const struct source *source);

/**
 * edge_list_load() - create the nodes and pairs of an edge list
 * @build:  the load.
 * @source: the list; borrowed for the call.
 *
 * Return: 0, -ENOMEM, -E2BIG or -EBADMSG.
 */
int edge_list_load(struct build *build, const struct source *source)
	__attribute__((warn_unused_result));

/**
 * source_read() - read a file and decompress it
 * @source: out: the input. Free it with source_free().
 * @file:   name of the file.
 * @helper: program that decompresses, see struct graph_paths.
 * @error:  out: the reason of a failure; may be NULL.
 *
 * Return: 0, -ENOMEM, -EIO if decompression failed, or the error of open(2) or
 * read(2).
 */
int source_read(struct source *source, const char *file, const char *helper,
		struct graph_error *error) __attribute__((warn_unused_result));

/**
 * source_free() - free an input of source_read()
 * @source: the input; zeroed.
 */
void source_free(struct source *source);

#endif
