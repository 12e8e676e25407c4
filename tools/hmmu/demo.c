/* SPDX-License-Identifier: MIT */
/*
 * hmmu demo: options, loading, and the exit status
 */
#include "demo.h"

#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "tool.h"
#include "tools/hmmu/graph/pagerank.h"

static const char help_text[] =
	"usage: hmmu demo [OPTION...]\n"
	"\n"
	"Reads a package graph into nodes and lists allocated with malloc. A\n"
	"software accelerator computes PageRank over it by following the\n"
	"program's own pointers, in three phases:\n"
	"\n"
	"  1  The device computes with all pages in system memory.\n"
	"  2  The heap migrates to device memory, and the device computes.\n"
	"  3  The CPU reads the result, and the pages migrate back.\n"
	"\n"
	"The ranks must equal those of a CPU run, bit for bit. If the kernel\n"
	"cannot migrate pages (before Linux 6.8), only phase 1 runs.\n"
	"\n"
	"  -i, --input FILE    a Packages file or a SNAP edge list; may be\n"
	"                      compressed (.gz .xz .bz2 .lz4 .zst). Default: the\n"
	"                      apt package lists of this machine, or else its\n"
	"                      dpkg status file\n"
	"  -n, --iterations N  iterations of PageRank (50)\n"
	"  -w, --workers N     threads of the accelerator (one for each CPU)\n"
	"  -t, --top N         number of packages to print (10)\n"
	"  -j, --json          print the report as JSON\n"
	"      --no-picture    do not draw the address space\n"
	"      --no-thp        do not ask malloc for a heap of large pages\n"
	"  -h, --help          print this\n"
	"\n"
	"Exit status: 0 the ranks are equal; 1 they differ, or the run failed;\n"
	"2 wrong arguments; 3 the kernel or the privileges lack what HMMU needs,\n"
	"and stderr says what to change.\n";

static const struct option long_options[] = {
	{ "input", required_argument, NULL, 'i' },
	{ "iterations", required_argument, NULL, 'n' },
	{ "workers", required_argument, NULL, 'w' },
	{ "top", required_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },
	{ "no-picture", no_argument, NULL, 'P' },
	{ "no-thp", no_argument, NULL, 'T' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* One for each CPU that the process may run on */
static uint32_t default_workers(void)
{
	cpu_set_t cpus;
	uint32_t count = 1;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		count = (uint32_t)CPU_COUNT(&cpus);
	return count < HMMU_SOFT_WORKERS_MAX ? count : HMMU_SOFT_WORKERS_MAX;
}

static int parse_number(const char *what, uint32_t min, uint32_t max,
			uint32_t *ret)
{
	if (tool_parse_u32(optarg, min, max, ret))
		return TOOL_OK;
	tool_error("demo: --%s needs a number from %u to %u, not `%s`", what,
		   min, max, optarg);
	return TOOL_USAGE;
}

/* Returns a status. For --help it is TOOL_OK, and @help is set. */
static int parse_option(struct demo_options *options, char **argv, int got,
			bool *help)
{
	switch (got) {
	case 'i':
		options->input = optarg;
		return TOOL_OK;
	case 'n':
		return parse_number("iterations", 0, 100000,
				    &options->iterations);
	case 'w':
		return parse_number("workers", 1, HMMU_SOFT_WORKERS_MAX,
				    &options->workers);
	case 't':
		return parse_number("top", 0, DEMO_TOP_MAX, &options->top);
	case 'j':
		options->json = true;
		return TOOL_OK;
	case 'P':
		options->picture = false;
		return TOOL_OK;
	case 'T':
		options->thp = false;
		return TOOL_OK;
	case 'h':
		*help = true;
		return TOOL_OK;
	default:
		return tool_option_error(argv, got);
	}
}

static int parse_options(struct demo_options *options, int argc, char **argv,
			 bool *help)
{
	int got, status;

	opterr = 0;
	while ((got = getopt_long(argc, argv, ":i:n:w:t:jh", long_options,
				  NULL)) != -1) {
		status = parse_option(options, argv, got, help);
		if (status || *help)
			return status;
	}
	if (optind < argc)
		return tool_operand_error(argv, argv[optind]);
	return TOOL_OK;
}

static void show_loading(void *arg, enum graph_stage stage, const char *file,
			 size_t node_count)
{
	static const char *const stages[] = {
		[GRAPH_READING] = "reading",
		[GRAPH_PARSING] = "parsing",
		[GRAPH_LINKING] = "linking",
	};
	const char *name = file ? strrchr(file, '/') : NULL;

	(void)arg;
	tool_progress("%s %.60s (%zu packages so far)", stages[stage],
		      name ? name + 1 :
		      file ? file :
			     "",
		      node_count);
}

/* Print "file:line: reason", as compilers do; file and line may be missing */
static int print_graph_error(const struct graph_error *error)
{
	if (error->line)
		tool_error("demo: %s:%lu: %s", error->file, error->line,
			   error->reason);
	else if (*error->file)
		tool_error("demo: %s: %s (%s)", error->file, error->reason,
			   strerror(-error->code));
	else
		tool_error("demo: %s; name a file with --input",
			   error->reason ? error->reason :
					   strerror(-error->code));
	return TOOL_FAILED;
}

static int load(struct demo *demo)
{
	struct graph_progress progress = { .fn = show_loading };
	struct graph_error error = { .code = 0 };
	const char *input = demo->options.input;
	uint64_t start = tool_now_ns();
	int err;

	err = input ? graph_load_file(&demo->graph, input, &progress, &error) :
		      graph_load_machine(&demo->graph, &progress, &error);
	demo->load_ns = tool_now_ns() - start;
	if (err) {
		error.code = err;
		return print_graph_error(&error);
	}
	if (demo->graph.count)
		return TOOL_OK;
	graph_free(&demo->graph);
	tool_error("demo: the package lists are empty; name a file with "
		   "--input");
	return TOOL_FAILED;
}

static int report(const struct demo *demo)
{
	if (!demo->options.json)
		demo_report_text(demo, stdout);
	else if (demo_report_json(demo, stdout)) {
		tool_error("demo: out of memory for the report");
		return TOOL_FAILED;
	}
	if (demo_ranks_equal(demo))
		return TOOL_OK;
	fflush(stdout);
	tool_error("demo: the ranks of the device differ from those of the "
		   "CPU");
	return TOOL_FAILED;
}

static int run(const struct demo_options *options)
{
	struct demo demo = { .options = *options };
	int status;

	if (options->thp)
		demo_heap_prepare();
	status = load(&demo);
	if (status)
		return status;
	status = demo_run_phases(&demo);
	if (!status)
		status = report(&demo);
	demo_run_end(&demo);
	graph_free(&demo.graph);
	return status;
}

int cmd_demo(int argc, char **argv)
{
	struct demo_options options = {
		.iterations = PAGERANK_ITERATIONS_DEFAULT,
		.workers = default_workers(),
		.top = 10,
		.picture = true,
		.thp = true,
	};
	bool help = false;
	int status = parse_options(&options, argc, argv, &help);

	if (status)
		return status;
	if (help) {
		fputs(help_text, stdout);
		return TOOL_OK;
	}
	return run(&options);
}
