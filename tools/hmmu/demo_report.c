/* SPDX-License-Identifier: MIT */
/*
 * The report of the demo as text
 */
#include "demo.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tool.h"
#include "tools/hmmu/graph/map_view.h"
#include "tools/hmmu/graph/pagerank.h"

/* Columns where the lines about a phase begin and end */
#define REPORT_INDENT  9u
#define REPORT_COLUMNS 80u

/* Format as "1,234,567". A call of printf may use up to eight. */
static const char *grouped(uint64_t value)
{
	static char texts[8][32];
	static unsigned int turn;
	char *at = texts[turn++ % 8] + 31;
	unsigned int digits = 0;

	*at = 0;
	do {
		if (digits && digits % 3 == 0)
			*--at = ',';
		*--at = (char)('0' + value % 10);
		value /= 10;
		digits++;
	} while (value);
	return at;
}

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (double)(1 << 20);
}

static void print_input(const struct demo *demo, FILE *out)
{
	const struct demo_options *options = &demo->options;

	fprintf(out, "Graph    %s\n",
		options->input ? options->input :
				 "the package lists of this machine");
	fprintf(out,
		"         %s nodes, %s edges, on %s pages of the heap (%.1f MiB),\n"
		"         read in %.3f s\n",
		grouped(demo->graph.count), grouped(demo->graph.edge_count),
		grouped(demo->footprint.pages),
		mib(demo->footprint.pages * HMMU_PAGE_BYTES),
		seconds(demo->load_ns));
	fprintf(out,
		"CPU      %u iterations of PageRank, %u thread%s: %.3f s\n",
		options->iterations, options->workers,
		options->workers == 1 ? "" : "s", seconds(demo->cpu_ns));
}

/* One line for each figure that is not zero, so that a fallback is visible */
static void print_oddities(const struct hmmu_space_stats *done, FILE *out)
{
	const struct {
		uint64_t count;
		const char *what;
	} oddities[] = {
		{ done->device_fault_retries, "retries of device faults" },
		{ done->pages_copied, "pages copied instead of moved" },
		{ done->thp_lost, "large pages split" },
		{ done->hole_faults, "CPU faults on absent pages" },
	};

	for (size_t i = 0; i < sizeof(oddities) / sizeof(*oddities); i++)
		if (oddities[i].count)
			fprintf(out, "         %s %s\n",
				grouped(oddities[i].count), oddities[i].what);
}

static void print_graph_pages(const struct demo *demo, uint64_t system,
			      FILE *out)
{
	fprintf(out, "         %s of the graph's %s pages in system memory\n",
		grouped(system), grouped(demo->footprint.pages));
}

static void print_picture(const struct demo *demo, const char *when,
			  const struct demo_phase *phase, FILE *out)
{
	size_t count = demo->footprint.block_count;
	struct map_view_options how = map_view_options_of(out);
	struct map_view_block *cells;

	if (!demo->options.picture)
		return;
	cells = calloc(count, sizeof(*cells));
	for (size_t i = 0; cells && i < count; i++)
		cells[i] = footprint_cell(&demo->footprint, &phase->view, i);
	fprintf(out, "\n%s, one cell for each 2 MiB:\n", when);
	if (!cells || map_view_render(out, cells, count, &how))
		fputs("(no picture: out of memory, or the output failed)\n",
		      out);
	free(cells);
}

static void print_system(const struct demo *demo, FILE *out)
{
	const struct demo_phase *phase = &demo->phases[DEMO_SYSTEM];

	fprintf(out, "\n1 The device computes in system memory: %.3f s\n",
		seconds(phase->ns));
	fprintf(out, "         %s device faults\n",
		grouped(phase->done.device_faults));
	print_oddities(&phase->done, out);
	print_graph_pages(demo, phase->system_pages, out);
	print_picture(demo, "Before", phase, out);
}

static void print_migration(const struct demo_migration *migration, FILE *out)
{
	const struct hmmu_migrate_result *result = &migration->result;

	fprintf(out,
		"         %.1f MiB migrated in %.3f ms: %s pages, as %s large "
		"pages\n         and %s small pages\n",
		mib(result->pages_moved * HMMU_PAGE_BYTES),
		(double)migration->ns / 1e6, grouped(result->pages_moved),
		grouped(result->large_moved),
		grouped(result->pages_moved -
			result->large_moved * HMMU_PAGES_PER_LARGE));
	for (unsigned int i = 0; i < HMMU_STAY_REASONS; i++)
		if (result->stayed[i])
			fprintf(out, "         %s pages did not migrate: %s\n",
				grouped(result->stayed[i]), hmmu_stay_text(i));
}

static void print_device(const struct demo *demo, FILE *out)
{
	const struct demo_phase *phase = &demo->phases[DEMO_DEVICE];

	fprintf(out, "\n2 The device computes in device memory: %.3f s\n",
		seconds(phase->ns));
	print_migration(&demo->migration, out);
	fprintf(out, "         %s device faults, %s pages migrated back\n",
		grouped(phase->done.device_faults),
		grouped(phase->done.pages_home));
	fprintf(out,
		"         %s full blocks of 2 MiB; the device used %s of them\n"
		"         and maps %s by one entry\n",
		grouped(phase->view.full_blocks),
		grouped(phase->view.mapped_blocks),
		grouped(phase->view.leaf_blocks));
	print_oddities(&phase->done, out);
	print_graph_pages(demo, phase->system_pages, out);
	print_picture(demo, "During", phase, out);
}

static void print_home(const struct demo *demo, FILE *out)
{
	const struct demo_phase *phase = &demo->phases[DEMO_HOME];

	fprintf(out, "\n3 The CPU reads the result: %.3f ms\n",
		(double)phase->ns / 1e6);
	fprintf(out,
		"         %s CPU faults migrated %s pages back, as %s large pages\n"
		"         and %s small pages\n",
		grouped(phase->done.cpu_faults),
		grouped(phase->done.pages_home),
		grouped(phase->done.large_home),
		grouped(phase->done.pages_home -
			phase->done.large_home * HMMU_PAGES_PER_LARGE));
	print_oddities(&phase->done, out);
	print_graph_pages(demo, phase->system_pages, out);
	print_picture(demo, "After", phase, out);
}

static void print_stays(const struct demo *demo, FILE *out)
{
	fputs("\n2 The heap stays in system memory:\n         ", out);
	tool_print_folded(out, demo->stays, REPORT_INDENT, REPORT_INDENT,
			  REPORT_COLUMNS);
}

static void print_top(const struct demo *demo, FILE *out)
{
	const struct pkg_node **top;
	size_t count;

	if (!demo->options.top)
		return;
	top = calloc(demo->options.top, sizeof(*top));
	if (!top)
		return;
	count = graph_top(&demo->graph, demo->options.top, top);
	fprintf(out, "\n  rank      needed by  name\n");
	for (size_t i = 0; i < count; i++)
		fprintf(out, "  %.6f  %9s  %s\n", top[i]->rank,
			grouped(top[i]->in_degree), top[i]->name);
	free(top);
}

void demo_report_text(const struct demo *demo, FILE *out)
{
	bool equal = demo_ranks_equal(demo);

	print_input(demo, out);
	print_system(demo, out);
	if (demo->stays) {
		print_stays(demo, out);
	} else {
		print_device(demo, out);
		print_home(demo, out);
	}
	print_top(demo, out);
	fputs(equal ? "\nThe ranks equal those of the CPU run, bit for bit.\n" :
		      "\nThe ranks DIFFER from those of the CPU run.\n",
	      out);
}
