/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_GRAPH_H
#define HMMU_TOOL_GRAPH_GRAPH_H

/*
 * A graph of package dependencies, built like in any ordinary program: a hash
 * table of nodes, with names and linked lists of edges. Each node, name and
 * edge is a malloc of its own. There are no pools, no alignment and no flat
 * arrays, so a device that can follow this graph can follow any data of a
 * program.
 *
 * Memory as a device reads it (x86-64; pagerank.h describes the order):
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
 * After the load, everything except rank and next_rank is constant.
 */

#include <stdint.h>

#include "text.h"

/* Packages of other architectures are skipped */
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
 * @depends:    nodes that this one depends on, in the order of first mention.
 * @rdepends:   nodes that depend on this one, by ascending @index.
 * @rank:       PageRank after the last complete iteration.
 * @next_rank:  scratch of the current iteration.
 * @index:      index in graph.nodes.
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
 * @capacity:     pointers allocated at @nodes.
 * @edge_count:   number of edges; each is in two lists.
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
 * enum graph_stage - the stages of a load
 * @GRAPH_READING: read a file into memory, and decompress it if necessary.
 * @GRAPH_PARSING: parse it.
 * @GRAPH_LINKING: resolve the relations and create the edges; no file.
 */
enum graph_stage {
	GRAPH_READING,
	GRAPH_PARSING,
	GRAPH_LINKING,
};

/**
 * struct graph_progress - a progress callback
 * @fn:  called in the loading thread when a stage begins, with @arg, the file's
 *       name (NULL for none; borrowed for the call) and the number of nodes so
 *       far. It must not access the graph.
 * @arg: passed to @fn.
 */
struct graph_progress {
	void (*fn)(void *arg, enum graph_stage stage, const char *file,
		   size_t node_count);
	void *arg;
};

/**
 * struct graph_paths - where the package lists of a machine are
 * @lists_dir:   directory of apt's lists.
 * @status_file: dpkg's database, used if @lists_dir has no lists.
 * @helper:      program whose "cat-file FILE" decompresses FILE to stdout.
 */
struct graph_paths {
	const char *lists_dir;
	const char *status_file;
	const char *helper;
};

/* The paths on Debian and its derivatives */
extern const struct graph_paths graph_paths_default;

/**
 * graph_load_machine() - load the packages that this machine can install
 * @graph:    an empty graph; filled in.
 * @progress: progress callback, or NULL; borrowed for the call.
 * @error:    out: the reason of a failure; may be NULL.
 *
 * Reads all of apt's Packages files. If there are none, reads the packages that
 * dpkg has installed.
 *
 * - Of several versions of a package the highest is used. Of equal versions the
 *   first is used; files are read in the order of their names.
 * - Depends and Pre-Depends become edges. An alternative becomes an edge to the
 *   package of its name, if that satisfies it. If not, it becomes an edge to
 *   every package that provides the name and satisfies it. So every alternative
 *   is used, not only the one that apt would choose. A provision satisfies a
 *   bound only if it has a version.
 * - There is one edge for a pair, and none from a package to itself.
 *
 * Context: Forks (posix_spawn) if lists are compressed. Allocates much memory.
 * Return:
 *   0         success; free @graph with graph_free()
 *   -EBADMSG  a list has a syntax error; @graph is empty
 *   -ENOENT   there are no lists and no dpkg: load a file instead
 *   -EIO      a list could not be decompressed
 *   -ENOMEM   out of memory
 *   others    a file could not be read: an error of open(2) or read(2)
 */
int graph_load_machine(struct graph *graph,
		       const struct graph_progress *progress,
		       struct graph_error *error)
	__attribute__((warn_unused_result));

/**
 * graph_load_paths() - graph_load_machine() with other paths
 * @graph:    see graph_load_machine().
 * @paths:    the paths; borrowed for the call.
 * @progress: see graph_load_machine().
 * @error:    see graph_load_machine().
 *
 * Return: see graph_load_machine().
 */
int graph_load_paths(struct graph *graph, const struct graph_paths *paths,
		     const struct graph_progress *progress,
		     struct graph_error *error)
	__attribute__((warn_unused_result));

/**
 * graph_load_file() - load a graph from one file
 * @graph:    an empty graph; filled in.
 * @file:     a Packages file, or an edge list in the format of the SNAP
 *            collection: comment lines that begin with "#", and lines of two
 *            numbers, "from<tab>to". The first line that is neither empty nor a
 *            comment decides. Compressed if its name ends in .gz .xz .bz2 .lz4
 *            .zst.
 * @progress: progress callback, or NULL; borrowed for the call.
 * @error:    out: the reason of a failure; may be NULL.
 *
 * In an edge list the name of a vertex is its number. Repeated edges and loops
 * are dropped.
 *
 * Return: see graph_load_machine(); -EBADMSG also for an empty file.
 */
int graph_load_file(struct graph *graph, const char *file,
		    const struct graph_progress *progress,
		    struct graph_error *error)
	__attribute__((warn_unused_result));

/**
 * graph_find() - find the node of a name
 * @graph: the graph.
 * @name:  the name to look for.
 *
 * Return: the node, owned by @graph, or NULL if there is none.
 */
struct pkg_node *graph_find(const struct graph *graph, const char *name);

/**
 * graph_free() - free the nodes and edges of a graph
 * @graph: the graph; empty afterwards. The caller owns the struct itself.
 *
 * Every node and every edge is freed one by one, as they were allocated.
 */
void graph_free(struct graph *graph);

#endif
