/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_GRAPH_H
#define HMMU_TOOL_GRAPH_GRAPH_H

/*
 * The graph of what depends on what, built as an ordinary program builds one:
 * a hash table of nodes, each from malloc, with names from malloc and linked
 * lists of edges, each from malloc. No pool, no alignment, no flat arrays: a
 * device that walks this walks whatever a program has.
 *
 * Memory as a device reads it (x86-64; pagerank.h says what is read when):
 *
 *	graph.nodes ---> [ *node | *node | ... ]      graph.count pointers
 *	                     |
 *	                     v
 *	                 struct pkg_node --name-----> "libc6\0"
 *	                     |      |
 *	              depends|      |rdepends
 *	                     v      v
 *	                 struct pkg_edge --node--> struct pkg_node
 *	                     |next
 *	                     v
 *	                 struct pkg_edge ... NULL
 *
 * Once loaded, everything but rank and next_rank is constant.
 */

#include <stdint.h>

#include "text.h"

/* Packages of other architectures are passed over */
#define GRAPH_NATIVE_ARCH "amd64"

struct pkg_node;

/**
 * struct pkg_edge - one link of a list of neighbours
 * @node: the neighbour; never the node that owns the list.
 * @next: following link, or NULL.
 */
struct pkg_edge {
	struct pkg_node *node;
	struct pkg_edge *next;
};

/**
 * struct pkg_node - one package, or one vertex of an edge list
 * @name:       terminated, from malloc.
 * @version:    terminated, from malloc; NULL in a graph from an edge list.
 * @hash_next:  next node of the same bucket.
 * @depends:    what this one needs, in the order of first mention.
 * @rdepends:   what needs this one, by ascending @index.
 * @rank:       PageRank after the last iteration done.
 * @next_rank:  scratch of the iteration running.
 * @index:      place in graph.nodes.
 * @out_degree: length of @depends.
 * @in_degree:  length of @rdepends.
 * @hash:       hash of @name.
 */
struct pkg_node {
	char *name;
	char *version;
	struct pkg_node *hash_next;
	struct pkg_edge *depends;
	struct pkg_edge *rdepends;
	double rank;
	double next_rank;
	uint32_t index;
	uint32_t out_degree;
	uint32_t in_degree;
	uint32_t hash;
};

/**
 * struct graph - all nodes, by number and by name
 * @nodes:        @count pointers, in the order of first appearance.
 * @count:        number of nodes.
 * @capacity:     room at @nodes, in pointers.
 * @edge_count:   number of edges; each stands in two lists.
 * @buckets:      hash table, chained through hash_next.
 * @bucket_count: a power of two, or 0 before the first node.
 *
 * All zeroes is an empty graph: "struct graph graph = { 0 };".
 */
struct graph {
	struct pkg_node **nodes;
	size_t count;
	size_t capacity;
	size_t edge_count;
	struct pkg_node **buckets;
	size_t bucket_count;
};

/**
 * enum graph_stage - what a load is about to do
 * @GRAPH_READING: read a file into memory, decompressing it if need be.
 * @GRAPH_PARSING: parse it.
 * @GRAPH_LINKING: resolve the relations and make the edges; no file.
 */
enum graph_stage {
	GRAPH_READING,
	GRAPH_PARSING,
	GRAPH_LINKING,
};

/**
 * struct graph_progress - how a load reports
 * @fn:  called on the loading thread as each stage begins, with @arg, the
 *       file's name (NULL for none; borrowed for the call) and the number of
 *       nodes so far. It may not touch the graph.
 * @arg: handed to @fn.
 */
struct graph_progress {
	void (*fn)(void *arg, enum graph_stage stage, const char *file,
		   size_t node_count);
	void *arg;
};

/**
 * struct graph_paths - where a machine keeps its package lists
 * @lists_dir:   directory of apt's lists.
 * @status_file: dpkg's database, used when @lists_dir has no lists.
 * @helper:      program whose "cat-file FILE" writes FILE decompressed.
 */
struct graph_paths {
	const char *lists_dir;
	const char *status_file;
	const char *helper;
};

/* Where Debian and its descendants have them */
extern const struct graph_paths graph_paths_default;

/**
 * graph_load_machine() - the packages that this machine could install
 * @graph:    an empty graph; filled.
 * @progress: how to report, or NULL; borrowed for the call.
 * @error:    out: why it failed; may be NULL.
 *
 * Reads all of apt's Packages files, or, where there are none, the packages
 * that dpkg has installed.
 *
 * - Of several versions of a package the highest counts, and of equal ones the
 *   first, the files being taken in the order of their names.
 * - Depends and Pre-Depends make edges. An alternative makes an edge to the
 *   package of its name, if that satisfies it; if not, to every package that
 *   provides the name and satisfies it; so every alternative counts, not only
 *   the one that apt would choose. A bound is satisfied by a provision only if
 *   that carries a version.
 * - There is one edge for a pair, and none from a package to itself.
 *
 * Context: Forks (posix_spawn) where lists are compressed. Allocates much.
 * Return:
 *   0         @graph is filled; the caller owes graph_free()
 *   -EBADMSG  a list breaks the format; @graph is empty
 *   -ENOENT   there are no lists and no dpkg: name a file instead
 *   -EIO      a list could not be decompressed
 *   -ENOMEM   memory is out
 *   others    a file could not be read; the code is open's or read's
 */
int graph_load_machine(struct graph *graph,
		       const struct graph_progress *progress,
		       struct graph_error *error)
	__attribute__((warn_unused_result));

/**
 * graph_load_paths() - graph_load_machine() of a machine elsewhere
 * @graph:    as there.
 * @paths:    where to look; borrowed for the call.
 * @progress: as there.
 * @error:    as there.
 *
 * Return: as there.
 */
int graph_load_paths(struct graph *graph, const struct graph_paths *paths,
		     const struct graph_progress *progress,
		     struct graph_error *error)
	__attribute__((warn_unused_result));

/**
 * graph_load_file() - a graph from one file
 * @graph:    an empty graph; filled.
 * @file:     a Packages file, or an edge list as the SNAP collection writes
 *            them: comment lines that begin with "#", and lines of two
 *            numbers, "from<tab>to". Which of them, its first line tells that
 *            is neither empty nor a comment. Compressed if its name ends in
 *            .gz .xz .bz2 .lz4 .zst.
 * @progress: how to report, or NULL; borrowed for the call.
 * @error:    out: why it failed; may be NULL.
 *
 * In an edge list a vertex is named by its number; repeated edges and loops
 * are dropped, as above.
 *
 * Return: as graph_load_machine(); -EBADMSG also for an empty file.
 */
int graph_load_file(struct graph *graph, const char *file,
		    const struct graph_progress *progress,
		    struct graph_error *error)
	__attribute__((warn_unused_result));

/**
 * graph_find() - the node of a name
 * @graph: the graph.
 * @name:  the name to look for.
 *
 * Return: the node, owned by @graph, or NULL when there is none.
 */
struct pkg_node *graph_find(const struct graph *graph, const char *name);

/**
 * graph_free() - free all that a graph holds
 * @graph: the graph; empty afterwards. The struct itself is the caller's.
 *
 * Every node and every edge is freed one by one, as they were allocated.
 */
void graph_free(struct graph *graph);

#endif
