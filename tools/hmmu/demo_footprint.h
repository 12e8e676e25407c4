/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_DEMO_FOOTPRINT_H
#define HMMU_TOOL_DEMO_FOOTPRINT_H

/*
 * The pages and mappings that contain a graph
 *
 * They are found by following the graph's pointers and by reading
 * /proc/self/maps: the code that builds the graph keeps no record of its pages.
 *
 * The footprint is in memory of hmmu_alloc(). Reading it while the graph is on
 * a device causes no CPU fault.
 */

#include <hmmu/space.h>

#include "tools/hmmu/graph/graph.h"
#include "tools/hmmu/graph/map_view.h"

/**
 * struct footprint_region - a private anonymous mapping with pages of the graph
 * @start: first byte of the mapping.
 * @end:   one past the last byte of the mapping.
 * @first: first page of the graph in it, page aligned.
 * @last:  one past the graph's last page; 0 while there is none.
 * @pages: one bit for each page from @first to @last: set for the graph's.
 */
struct footprint_region {
	uintptr_t start;
	uintptr_t end;
	uintptr_t first;
	uintptr_t last;
	uint64_t *pages;
};

/**
 * struct footprint_block - a block of 2 MiB that overlaps a region
 * @start:        first byte, 2 MiB aligned.
 * @mapped_pages: pages of regions in the block.
 * @graph_pages:  pages of the graph in the block.
 */
struct footprint_block {
	uintptr_t start;
	uint16_t mapped_pages;
	uint16_t graph_pages;
};

/**
 * struct footprint - the pages of a graph
 * @regions:         by address.
 * @region_count:    regions with pages of the graph.
 * @region_capacity: entries allocated at @regions.
 * @blocks:          by address, each once.
 * @block_count:     number of blocks.
 * @block_capacity:  entries allocated at @blocks.
 * @pages:           pages of the graph.
 * @stray_bytes:     bytes of the graph outside private anonymous mappings.
 * @recent:          index of the region found last.
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
 * footprint_init() - find the pages of a graph
 * @footprint: zeroed; filled in. Call footprint_fini() also after an error.
 * @graph:     the graph, loaded.
 *
 * Return: 0; -ENOMEM; -EFAULT if a part of the graph is in memory that is not
 * private and anonymous; or the error of reading /proc/self/maps.
 */
int footprint_init(struct footprint *footprint, const struct graph *graph)
	__attribute__((warn_unused_result));

/* Free and zero the footprint */
void footprint_fini(struct footprint *footprint);

/**
 * footprint_range() - the part of a region that migrates to the device
 * @region: the region.
 * @start:  receives the first byte.
 * @end:    receives one past the last byte.
 *
 * It is from the graph's first page to its last, rounded outwards to 2 MiB and
 * cut to the mapping.
 */
void footprint_range(const struct footprint_region *region, uintptr_t *start,
		     uintptr_t *end);

/**
 * footprint_system_pages() - pages of the graph that are in system memory
 * @footprint: the graph's footprint.
 * @ret:       receives their number.
 *
 * Asks the kernel (/proc/self/pagemap), not HMMU: a page is in system memory if
 * the program's page table has an entry for it, present or swapped out.
 *
 * Context: Allocates nothing. Does not access the graph.
 * Return: 0, or the error of reading the pagemap.
 */
int footprint_system_pages(const struct footprint *footprint, uint64_t *ret)
	__attribute__((warn_unused_result));

/**
 * struct footprint_view - residency of the graph's blocks
 * @records:    one for each block of the footprint; from hmmu_alloc().
 * @system_pages: pages of all blocks in system memory.
 * @system_large_pages: of these, pages of blocks that are one large page.
 * @device_pages: pages of all blocks on the device.
 * @device_large_pages: of these, pages of blocks that are one large page.
 * @full_blocks: blocks with all 512 pages on the device.
 * @mapped_blocks: of these, blocks that the device has used and so mapped.
 * @leaf_blocks: of these, blocks mapped by a leaf of 2 MiB or more.
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
 * footprint_look() - get the residency of the graph's blocks
 * @footprint: the graph's footprint.
 * @space:     the space that reports the residency of each block.
 * @view:      in: @records with one entry for each block; filled in.
 *
 * Return: 0, or an error of hmmu_space_get_residency().
 */
int footprint_look(const struct footprint *footprint, struct hmmu_space *space,
		   struct footprint_view *view)
	__attribute__((warn_unused_result));

/**
 * footprint_cell() - one block of a view, as a cell of map_view.h
 * @footprint: the graph's footprint.
 * @view:      from footprint_look().
 * @index:     index of the block.
 *
 * Return: the cell.
 */
struct map_view_block footprint_cell(const struct footprint *footprint,
				     const struct footprint_view *view,
				     size_t index);

#endif
