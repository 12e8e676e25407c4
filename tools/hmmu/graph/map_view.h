/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_MAP_VIEW_H
#define HMMU_TOOL_GRAPH_MAP_VIEW_H

/*
 * A picture of an address space: one cell for each mapped block of 2 MiB, with
 * a letter for the location of its pages
 *
 *	0x7f3a40000000  SSSSSSSSDDDDDDDDDDDDmmdds...
 *	                (12.5 GiB not mapped)
 *	0x7f3d60000000  ssss
 *
 *	. absent 6.0 MiB   s system 10.5 MiB   S system, large 16.0 MiB
 *	...
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define MAP_VIEW_BLOCK_LG2   21
#define MAP_VIEW_BLOCK_BYTES ((uint64_t)1 << MAP_VIEW_BLOCK_LG2)
#define MAP_VIEW_BLOCK_PAGES 512u
#define MAP_VIEW_PAGE_BYTES  ((uint64_t)4096)

/**
 * struct map_view_block - location of the pages of one block
 * @start:              first byte, a multiple of MAP_VIEW_BLOCK_BYTES.
 * @absent_pages:       mapped, but never accessed.
 * @system_pages:       in system memory, mapped page by page.
 * @system_large_pages: in system memory, part of a large page.
 * @device_pages:       in device memory, page by page.
 * @device_large_pages: in device memory, part of a large page.
 *
 * Counts are of 4 KiB pages. Their sum is at most MAP_VIEW_BLOCK_PAGES, and
 * less if only a part of the block is mapped.
 */
struct map_view_block {
	uint64_t start;
	uint16_t absent_pages;
	uint16_t system_pages;
	uint16_t system_large_pages;
	uint16_t device_pages;
	uint16_t device_large_pages;
};

/**
 * struct map_view_options - options of a drawing
 * @columns: maximum width; 0 is 80, and less than 24 counts as 24.
 * @colour:  use ANSI colours, too.
 */
struct map_view_options {
	uint32_t columns;
	bool colour;
};

/**
 * map_view_options_of() - the options for a stream
 * @out: the stream; borrowed for the call.
 *
 * For a terminal: its width, and colours unless NO_COLOR is set and not empty,
 * or TERM is "dumb". For other streams: 80 columns and no colours.
 *
 * Return: the options.
 */
struct map_view_options map_view_options_of(FILE *out);

/**
 * map_view_letter() - the letter of a block
 * @block: the block.
 *
 * Absent pages count only if there are no others. If one page is small, the
 * block counts as small, because a device maps it page by page.
 *
 * Return: '.' absent, 's' system, 'S' system and all large, 'd' device, 'D'
 * device and all large, 'm' system and device mixed.
 */
char map_view_letter(const struct map_view_block *block);

/**
 * map_view_render() - draw an address space
 * @out:         stream to write to; borrowed for the call.
 * @blocks:      blocks by ascending start, each once; borrowed for the call.
 * @block_count: number of blocks; 0 draws only the legend.
 * @options:     the options; borrowed for the call.
 *
 * A gap between two blocks is not mapped. Up to eight blocks of a gap are drawn
 * as spaces; a larger gap is one line with its size.
 *
 * Context: Reads only its arguments.
 * Return:
 *   0        success
 *   -EINVAL  @blocks are misaligned, out of order or have too many pages;
 *            nothing is drawn
 *   -EIO     writing to @out failed
 */
int map_view_render(FILE *out, const struct map_view_block *blocks,
		    size_t block_count, const struct map_view_options *options)
	__attribute__((warn_unused_result));

#endif
