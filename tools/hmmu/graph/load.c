/* SPDX-License-Identifier: MIT */
/*
 * Loads of a graph: find the input files, read them, build the graph
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "build.h"

const struct graph_paths graph_paths_default = {
	.lists_dir = "/var/lib/apt/lists",
	.status_file = "/var/lib/dpkg/status",
	.helper = "/usr/lib/apt/apt-helper",
};

/* The inputs of one load */
struct source_list {
	struct source *sources;
	size_t count;
	size_t capacity;
};

static void source_list_fini(struct source_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		source_free(&list->sources[i]);
	free(list->sources);
}

static int add_source(struct source_list *list, const struct build *build,
		      const char *file, const char *helper)
{
	struct source source;
	int err;

	build_report(build, GRAPH_READING, file);
	if (build_grow(&list->sources, &list->capacity, list->count,
		       sizeof(source)))
		return build_out_of_memory(build, file);
	err = source_read(&source, file, helper, build->error);
	if (!err)
		list->sources[list->count++] = source;
	return err;
}

/*
 * Lists of a foreign architecture are not read: their packages of "all" are in
 * the native lists, too.
 */
static bool is_foreign(const char *name)
{
	const char *binary = strstr(name, "_binary-");

	if (!binary)
		return false;
	binary += strlen("_binary-");
	return strncmp(binary, GRAPH_NATIVE_ARCH "_",
		       strlen(GRAPH_NATIVE_ARCH "_")) != 0 &&
	       strncmp(binary, "all_", strlen("all_")) != 0;
}

/* apt's file names: the URL with '/' as '_', "_Packages", a compression */
static int is_package_list(const struct dirent *entry)
{
	static const char *const tails[] = { "",    ".lz4", ".gz",
					     ".xz", ".bz2", ".zst" };
	const char *packages = NULL;
	const char *next = entry->d_name;

	while ((next = strstr(next, "_Packages"))) {
		next += strlen("_Packages");
		packages = next;
	}
	if (!packages || is_foreign(entry->d_name))
		return 0;
	for (size_t i = 0; i < sizeof(tails) / sizeof(*tails); i++) {
		if (!strcmp(packages, tails[i]))
			return 1;
	}
	return 0;
}

/* Not alphasort(), which uses the locale: ranks must not depend on it */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_list(struct source_list *list, const struct build *build,
		    const struct graph_paths *paths, const char *name)
{
	size_t bytes = strlen(paths->lists_dir) + strlen(name) + 2;
	char *file = malloc(bytes);
	int err;

	if (!file)
		return build_out_of_memory(build, name);
	snprintf(file, bytes, "%s/%s", paths->lists_dir, name);
	err = add_source(list, build, file, paths->helper);
	free(file);
	return err;
}

/* A missing directory counts as empty: the system may not use apt */
static int add_lists(struct source_list *list, const struct build *build,
		     const struct graph_paths *paths)
{
	struct dirent **names;
	int count =
		scandir(paths->lists_dir, &names, is_package_list, by_bytes);
	int err = 0;

	if (count < 0)
		return errno == ENOMEM ?
			       build_out_of_memory(build, paths->lists_dir) :
			       0;
	for (int i = 0; i < count; i++) {
		if (!err)
			err = add_list(list, build, paths, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return err;
}

static int add_machine(struct source_list *list, const struct build *build,
		       const struct graph_paths *paths)
{
	int err = add_lists(list, build, paths);

	if (err || list->count)
		return err;
	if (access(paths->status_file, F_OK))
		return graph_error_set(build->error, -ENOENT,
				       paths->status_file, 0,
				       "this machine has neither apt lists nor "
				       "a dpkg status file, name a file");
	return add_source(list, build, paths->status_file, paths->helper);
}

static int check_not_empty(const struct build *build,
			   const struct source_list *list)
{
	if (build->graph->count)
		return 0;
	return graph_error_set(build->error, -EBADMSG, list->sources[0].file, 0,
			       "contains no package and no edge");
}

static int load_sources(struct build *build, const struct source_list *list,
			bool edge_list)
{
	int err = edge_list ? edge_list_load(build, &list->sources[0]) :
			      packages_load(build, list->sources, list->count);

	if (!err)
		err = check_not_empty(build, list);
	if (!err)
		err = build_link(build);
	return err;
}

/* End a load. After an error the graph is empty, never incomplete. */
static int finish(struct build *build, struct source_list *list, int err)
{
	free(build->pairs);
	source_list_fini(list);
	if (err)
		graph_free(build->graph);
	return err;
}

int graph_load_paths(struct graph *graph, const struct graph_paths *paths,
		     const struct graph_progress *progress,
		     struct graph_error *error)
{
	struct build build = {
		.graph = graph,
		.progress = progress,
		.error = error,
	};
	struct source_list list = { 0 };
	int err = add_machine(&list, &build, paths);

	if (!err)
		err = load_sources(&build, &list, false);
	return finish(&build, &list, err);
}

int graph_load_machine(struct graph *graph,
		       const struct graph_progress *progress,
		       struct graph_error *error)
{
	return graph_load_paths(graph, &graph_paths_default, progress, error);
}

int graph_load_file(struct graph *graph, const char *file,
		    const struct graph_progress *progress,
		    struct graph_error *error)
{
	struct build build = {
		.graph = graph,
		.progress = progress,
		.error = error,
	};
	struct source_list list = { 0 };
	int err = add_source(&list, &build, file, graph_paths_default.helper);

	if (!err)
		err = load_sources(&build, &list,
				   edge_list_detect(&list.sources[0]));
	return finish(&build, &list, err);
}
