/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_DEMO_FOOTPRINT_H
#define HMMU_TOOL_DEMO_FOOTPRINT_H

/*
 * Where a graph stands in the address space, found from its own pointers and
 * /proc/self/maps: the program that built it kept no record.
 *
 * All of it is memory of hmmu_alloc(), so that looking at it while the graph
 * is on a device touches nothing that is away.
 */

#include <hmmu/space.h>

#include "tools/hmmu/graph/graph.h"
#include "tools/hmmu/graph/map_view.h"

/**
 * struct footprint_region - a private anonymous mapping that holds a part
 * @start: of the mapping, inclusive.
 * @end:   of the mapping, exclusive.
 * @first: first page of the graph in it, page aligned.
 * @last:  one past its last page; 0 while there is none.
 * @pages: one bit for each page from @first to @last: it is the graph's.
 */
struct footprint_region {
	uintptr_t start;
	uintptr_t end;
	uintptr_t first;
	uintptr_t last;
	uint64_t *pages;
};

/**
 * struct footprint_block - 2 MiB that a region has a part of
 * @start:        first byte, 2 MiB aligned.
 * @mapped_pages: pages of the regions in it.
 * @graph_pages:  pages of the graph in it.
 */
struct footprint_block {
	uintptr_t start;
	uint16_t mapped_pages;
	uint16_t graph_pages;
};

/**
 * struct footprint - where a graph stands
 * @regions:         by address.
 * @region_count:    regions with a part of the graph.
 * @region_capacity: room at @regions.
 * @blocks:          by address, each once.
 * @block_count:     their number.
 * @block_capacity:  room at @blocks.
 * @pages:           pages of the graph.
 * @stray_bytes:     bytes of the graph in no such mapping.
 * @recent:          the region found last.
 */
struct footprint {
	struct footprint_region *regions;
	size_t region_count;
	size_t region_capacity;
	struct footprint_block *blocks;
	size_t block_count;
	size_t block_capacity;
	uint64_t pages;
	uint64_t stray_bytes;
	size_t recent;
};

/**
 * footprint_init() - find a graph
 * @footprint: zeroed; filled. The caller owes footprint_fini() in any case.
 * @graph:     the graph, loaded.
 *
 * Return: 0; -ENOMEM; -EFAULT when a part stands in memory that is not private
 * and anonymous; or the code of reading /proc/self/maps.
 */
int footprint_init(struct footprint *footprint, const struct graph *graph)
	__attribute__((warn_unused_result));

/* Gives all of it back; zeroed afterwards */
void footprint_fini(struct footprint *footprint);

/**
 * footprint_range() - the part of a region that goes to the device
 * @region: the region.
 * @start:  receives the first byte.
 * @end:    receives one past the last byte.
 *
 * From the graph's first page to its last, rounded outward to 2 MiB as far as
 * the mapping reaches.
 */
void footprint_range(const struct footprint_region *region, uintptr_t *start,
		     uintptr_t *end);

/**
 * footprint_system_pages() - pages of the graph that are in system memory
 * @footprint: the graph's.
 * @ret:       receives their number.
 *
 * Asks the kernel (/proc/self/pagemap), not HMMU: a page is in system memory
 * when the program's own page table has it, present or swapped out.
 *
 * Context: Allocates nothing; touches nothing of the graph.
 * Return: 0, or the code of reading the pagemap.
 */
int footprint_system_pages(const struct footprint *footprint, uint64_t *ret)
	__attribute__((warn_unused_result));

/**
 * struct footprint_view - who holds the pages of the graph's blocks
 * @records:    one for each block of the footprint; of hmmu_alloc().
 * @system_pages: their sum, pages.
 * @system_large_pages: of them, in blocks that are one large page.
 * @device_pages: their sum, pages.
 * @device_large_pages: of them, in blocks that are one large device page.
 * @full_blocks: blocks with all 512 pages on the device.
 * @mapped_blocks: of them, those that the device has mapped, having used them.
 * @leaf_blocks: of these, mapped by a leaf of 2 MiB or more.
 */
struct footprint_view {
	struct hmmu_residency *records;
	uint64_t system_pages;
	uint64_t system_large_pages;
	uint64_t device_pages;
	uint64_t device_large_pages;
	uint64_t full_blocks;
	uint64_t mapped_blocks;
	uint64_t leaf_blocks;
};

/**
 * footprint_look() - take a view
 * @footprint: the graph's.
 * @space:     asked for the residency of each block.
 * @view:      @records has room; filled.
 *
 * Return: 0, or a code of hmmu_space_get_residency().
 */
int footprint_look(const struct footprint *footprint, struct hmmu_space *space,
		   struct footprint_view *view)
	__attribute__((warn_unused_result));

/**
 * footprint_cell() - one block of a view as map_view.h draws it
 * @footprint: the graph's.
 * @view:      taken of it.
 * @index:     of the block.
 *
 * Return: the cell.
 */
struct map_view_block footprint_cell(const struct footprint *footprint,
				     const struct footprint_view *view,
				     size_t index);

#endif
