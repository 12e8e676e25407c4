/* SPDX-License-Identifier: MIT */
/*
 * The pages and mappings that contain a graph
 *
 * Two passes over the graph: the first finds the graph's first and last page in
 * each mapping, the second sets its bits.
 */
#include "demo_footprint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BITS		64u

/* pagemap entries, see Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)
/* On a page that is not present: an entry of userfaultfd, not a page */
#define PAGEMAP_UFFD_WP (1ull << 57)

static uintptr_t round_down(uintptr_t value, uintptr_t unit)
{
	return value & ~(unit - 1);
}

static uintptr_t round_up(uintptr_t value, uintptr_t unit)
{
	return round_down(value + unit - 1, unit);
}

/*
 * Grow an array in memory of hmmu_alloc(). It cannot come from malloc, because
 * it is read while the heap is on the device.
 */
static int grow(void *array, size_t *capacity, size_t count, size_t elem_bytes)
{
	void *old, *grown;
	size_t wanted = *capacity ? *capacity * 2 : 256;

	if (count < *capacity)
		return 0;
	grown = hmmu_alloc(wanted * elem_bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(&old, array, sizeof(old));
	if (old)
		memcpy(grown, old, count * elem_bytes);
	hmmu_free(old, *capacity * elem_bytes);
	memcpy(array, &grown, sizeof(grown));
	*capacity = wanted;
	return 0;
}

/* Accepts "7f00-7f10 rw-p 00000000 00:00 0  [heap]": private, rw, no file */
static bool parse_mapping(const char *line, struct footprint_region *region)
{
	char access[5], device[8];
	unsigned long inode;

	*region = (struct footprint_region){ 0 };
	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %7s %lu",
		   &region->start, &region->end, access, device, &inode) != 5)
		return false;
	return !strncmp(access, "rw", 2) && access[3] == 'p' && inode == 0;
}

static int add_region(struct footprint *fp,
		      const struct footprint_region *region)
{
	int err = grow(&fp->regions, &fp->region_capacity, fp->region_count,
		       sizeof(*fp->regions));

	if (!err)
		fp->regions[fp->region_count++] = *region;
	return err;
}

static int read_maps(struct footprint *fp)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	struct footprint_region region;
	char line[512];
	bool begins = true;
	int err = 0;

	if (!maps)
		return -errno;
	while (!err && fgets(line, sizeof(line), maps)) {
		if (begins && parse_mapping(line, &region))
			err = add_region(fp, &region);
		/* The name of a mapping may be longer than @line */
		begins = strchr(line, '\n') != NULL;
	}
	if (!err && ferror(maps))
		err = -EIO;
	fclose(maps);
	return err;
}

static bool region_contains(const struct footprint_region *region,
			    uintptr_t addr)
{
	return addr >= region->start && addr < region->end;
}

/* Find the region of an address; try the region found last first */
static struct footprint_region *find_region(struct footprint *fp,
					    uintptr_t addr)
{
	size_t low = 0, high = fp->region_count;

	if (fp->recent < high &&
	    region_contains(&fp->regions[fp->recent], addr))
		return &fp->regions[fp->recent];
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (region_contains(&fp->regions[middle], addr))
			return &fp->regions[fp->recent = middle];
		if (addr < fp->regions[middle].start)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void widen_region(struct footprint *fp, struct footprint_region *region,
			 uintptr_t page)
{
	(void)fp;
	if (!region->last || page < region->first)
		region->first = page;
	if (page + HMMU_PAGE_BYTES > region->last)
		region->last = page + HMMU_PAGE_BYTES;
}

static void mark_page(struct footprint *fp, struct footprint_region *region,
		      uintptr_t page)
{
	size_t index = (page - region->first) / HMMU_PAGE_BYTES;
	uint64_t bit = 1ull << index % BITS;

	if (region->pages[index / BITS] & bit)
		return;
	region->pages[index / BITS] |= bit;
	fp->pages++;
}

/**
 * struct visit - a pass over all pages of a graph
 * @fp:      the footprint that is being built.
 * @page_fn: called for each page.
 */
struct visit {
	struct footprint *fp;
	void (*page_fn)(struct footprint *fp, struct footprint_region *region,
			uintptr_t page);
};

static void visit_span(const struct visit *visit, const void *data,
		       size_t bytes)
{
	uintptr_t start = (uintptr_t)data;

	if (!data)
		return;
	for (uintptr_t page = round_down(start, HMMU_PAGE_BYTES);
	     page < start + bytes; page += HMMU_PAGE_BYTES) {
		struct footprint_region *region = find_region(visit->fp, page);

		if (region)
			visit->page_fn(visit->fp, region, page);
		else
			visit->fp->stray_bytes += bytes;
	}
}

static void visit_edges(const struct visit *visit, const struct pkg_edge *edge)
{
	for (; edge; edge = edge->next)
		visit_span(visit, edge, sizeof(*edge));
}

static void visit_string(const struct visit *visit, const char *string)
{
	if (string)
		visit_span(visit, string, strlen(string) + 1);
}

static void visit_graph(const struct visit *visit, const struct graph *graph)
{
	visit_span(visit, graph->nodes, graph->count * sizeof(*graph->nodes));
	/* Empty buckets may be on pages that were never written */
	for (size_t i = 0; i < graph->bucket_count; i++)
		if (graph->buckets[i])
			visit_span(visit, &graph->buckets[i],
				   sizeof(*graph->buckets));
	for (size_t i = 0; i < graph->count; i++) {
		const struct pkg_node *node = graph->nodes[i];

		visit_span(visit, node, sizeof(*node));
		visit_string(visit, node->name);
		visit_string(visit, node->version);
		visit_edges(visit, node->depends);
		visit_edges(visit, node->rdepends);
	}
}

static size_t bitmap_bytes(const struct footprint_region *region)
{
	size_t pages = (region->last - region->first) / HMMU_PAGE_BYTES;

	return (pages + BITS - 1) / BITS * sizeof(uint64_t);
}

/* Drop the mappings without pages of the graph; allocate bitmaps for others */
static int keep_regions(struct footprint *fp)
{
	size_t kept = 0;

	for (size_t i = 0; i < fp->region_count; i++)
		if (fp->regions[i].last)
			fp->regions[kept++] = fp->regions[i];
	fp->region_count = kept;
	fp->recent = 0;
	for (size_t i = 0; i < kept; i++) {
		struct footprint_region *region = &fp->regions[i];

		region->pages = hmmu_alloc(bitmap_bytes(region));
		if (!region->pages)
			return -ENOMEM;
	}
	return 0;
}

static bool region_has(const struct footprint_region *region, uintptr_t page)
{
	size_t index = (page - region->first) / HMMU_PAGE_BYTES;

	return page >= region->first && page < region->last &&
	       region->pages[index / BITS] >> index % BITS & 1;
}

static uint16_t count_graph_pages(const struct footprint_region *region,
				  uintptr_t start, uintptr_t end)
{
	uint16_t count = 0;

	for (; start < end; start += HMMU_PAGE_BYTES)
		count = (uint16_t)(count + region_has(region, start));
	return count;
}

/* Two regions may share a block. Regions are sorted, so it is the last one */
static int add_block(struct footprint *fp,
		     const struct footprint_region *region, uintptr_t start,
		     uintptr_t end)
{
	uintptr_t block_start = round_down(start, HMMU_LARGE_BYTES);
	struct footprint_block *block;
	int err = grow(&fp->blocks, &fp->block_capacity, fp->block_count,
		       sizeof(*fp->blocks));

	if (err)
		return err;
	if (!fp->block_count ||
	    fp->blocks[fp->block_count - 1].start != block_start)
		fp->blocks[fp->block_count++] =
			(struct footprint_block){ .start = block_start };
	block = &fp->blocks[fp->block_count - 1];
	block->mapped_pages = (uint16_t)(block->mapped_pages +
					 (end - start) / HMMU_PAGE_BYTES);
	block->graph_pages = (uint16_t)(block->graph_pages +
					count_graph_pages(region, start, end));
	return 0;
}

static int add_blocks(struct footprint *fp)
{
	int err = 0;

	for (size_t i = 0; i < fp->region_count; i++) {
		uintptr_t at, end;

		footprint_range(&fp->regions[i], &at, &end);
		while (at < end && !err) {
			uintptr_t next = round_up(at + 1, HMMU_LARGE_BYTES);

			if (next > end)
				next = end;
			err = add_block(fp, &fp->regions[i], at, next);
			at = next;
		}
	}
	return err;
}

int footprint_init(struct footprint *fp, const struct graph *graph)
{
	struct visit widen = { fp, widen_region };
	struct visit mark = { fp, mark_page };
	int err = read_maps(fp);

	if (err)
		return err;
	visit_graph(&widen, graph);
	if (fp->stray_bytes)
		return -EFAULT;
	err = keep_regions(fp);
	if (err)
		return err;
	visit_graph(&mark, graph);
	return add_blocks(fp);
}

void footprint_fini(struct footprint *fp)
{
	for (size_t i = 0; i < fp->region_count; i++)
		if (fp->regions[i].pages)
			hmmu_free(fp->regions[i].pages,
				  bitmap_bytes(&fp->regions[i]));
	hmmu_free(fp->regions, fp->region_capacity * sizeof(*fp->regions));
	hmmu_free(fp->blocks, fp->block_capacity * sizeof(*fp->blocks));
	*fp = (struct footprint){ 0 };
}

void footprint_range(const struct footprint_region *region, uintptr_t *start,
		     uintptr_t *end)
{
	*start = round_down(region->first, HMMU_LARGE_BYTES);
	*end = round_up(region->last, HMMU_LARGE_BYTES);
	if (*start < region->start)
		*start = region->start;
	if (*end > region->end)
		*end = region->end;
}

static bool entry_is_system(uint64_t entry)
{
	if (entry & PAGEMAP_PRESENT)
		return true;
	return entry & PAGEMAP_SWAPPED && !(entry & PAGEMAP_UFFD_WP);
}

static int scan_region(int pagemap, const struct footprint_region *region,
		       uint64_t *system)
{
	uint64_t entries[512];
	uintptr_t page = region->first;

	while (page < region->last) {
		size_t count = (region->last - page) / HMMU_PAGE_BYTES;
		ssize_t got;

		if (count > 512)
			count = 512;
		got = pread(pagemap, entries, count * sizeof(*entries),
			    (off_t)(page / HMMU_PAGE_BYTES * sizeof(*entries)));
		if (got < (ssize_t)sizeof(*entries))
			return got < 0 ? -errno : -EIO;
		count = (size_t)got / sizeof(*entries);
		for (size_t i = 0; i < count; i++, page += HMMU_PAGE_BYTES)
			*system += region_has(region, page) &&
				   entry_is_system(entries[i]);
	}
	return 0;
}

int footprint_system_pages(const struct footprint *fp, uint64_t *ret)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t system = 0;
	int err = 0;

	if (pagemap < 0)
		return -errno;
	for (size_t i = 0; i < fp->region_count && !err; i++)
		err = scan_region(pagemap, &fp->regions[i], &system);
	close(pagemap);
	if (!err)
		*ret = system;
	return err;
}

static void add_record(struct footprint_view *view,
		       const struct hmmu_residency *record)
{
	view->system_pages += record->system_pages;
	if (record->system_large)
		view->system_large_pages += record->system_pages;
	view->device_pages += record->device_pages;
	if (record->device_large)
		view->device_large_pages += record->device_pages;
	if (record->device_pages != HMMU_PAGES_PER_LARGE)
		return;
	view->full_blocks++;
	if (record->mirror_leaf_lg2)
		view->mapped_blocks++;
	if (record->mirror_leaf_lg2 >= HMMU_LARGE_LG2)
		view->leaf_blocks++;
}

int footprint_look(const struct footprint *fp, struct hmmu_space *space,
		   struct footprint_view *view)
{
	*view = (struct footprint_view){ .records = view->records };
	for (size_t i = 0; i < fp->block_count; i++) {
		uintptr_t start = fp->blocks[i].start;
		int err = hmmu_space_get_residency(
			space, start, HMMU_LARGE_BYTES, &view->records[i]);

		if (err)
			return err;
		add_record(view, &view->records[i]);
	}
	return 0;
}

struct map_view_block footprint_cell(const struct footprint *fp,
				     const struct footprint_view *view,
				     size_t index)
{
	const struct hmmu_residency *record = &view->records[index];
	uint16_t held = (uint16_t)(record->system_pages + record->device_pages);
	uint16_t mapped = fp->blocks[index].mapped_pages;
	struct map_view_block cell = { .start = fp->blocks[index].start };

	if (record->system_large)
		cell.system_large_pages = record->system_pages;
	else
		cell.system_pages = record->system_pages;
	if (record->device_large)
		cell.device_large_pages = record->device_pages;
	else
		cell.device_pages = record->device_pages;
	/* Other mappings may have pages in the block, too */
	if (held < mapped)
		cell.absent_pages = (uint16_t)(mapped - held);
	return cell;
}
