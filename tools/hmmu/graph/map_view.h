/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TOOL_GRAPH_MAP_VIEW_H
#define HMMU_TOOL_GRAPH_MAP_VIEW_H

/*
 * A picture of an address space: one cell for each 2 MiB block that a program
 * has mapped, marked by where its pages are.
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
 * struct map_view_block - where the pages of one block are
 * @start:              first byte, a multiple of MAP_VIEW_BLOCK_BYTES.
 * @absent_pages:       mapped, but nobody has touched them.
 * @system_pages:       in system memory, mapped page by page.
 * @system_large_pages: in system memory, part of a large page.
 * @device_pages:       in device memory, page by page.
 * @device_large_pages: in device memory, part of a large page.
 *
 * Counts are of 4 KiB pages. Together they are at most MAP_VIEW_BLOCK_PAGES,
 * and less where the block is mapped in part.
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
 * struct map_view_options - how to draw
 * @columns: width to stay within; 0 is 80. Less than 24 is taken as 24.
 * @colour:  mark cells with ANSI colours as well as letters.
 */
struct map_view_options {
	uint32_t columns;
	bool colour;
};

/**
 * map_view_options_of() - how to draw on a stream
 * @out: the stream to be drawn on; borrowed for the call.
 *
 * A terminal gets its own width and colours, unless the environment has
 * NO_COLOR (not empty) or TERM is "dumb". All else gets 80 columns and letters.
 *
 * Return: the options.
 */
struct map_view_options map_view_options_of(FILE *out);

/**
 * map_view_letter() - the mark of a block
 * @block: the block.
 *
 * Absent pages do not count where others are; a small page among large ones
 * makes the block small, since a device then maps it page by page.
 *
 * Return: '.' absent, 's' system, 'S' system and all large, 'd' device, 'D'
 * device and all large, 'm' system and device mixed.
 */
char map_view_letter(const struct map_view_block *block);

/**
 * map_view_render() - draw an address space
 * @out:         stream to write to; borrowed for the call.
 * @blocks:      blocks by ascending start, each once; borrowed for the call.
 * @block_count: their number; 0 draws the legend alone.
 * @options:     how to draw; borrowed for the call.
 *
 * Blocks between two given ones are not mapped: up to eight of them are drawn
 * as spaces, more collapse into a line that gives their size.
 *
 * Context: Reads nothing but its arguments.
 * Return:
 *   0        drawn
 *   -EINVAL  @blocks are misaligned, out of order or count too many pages;
 *            nothing is drawn
 *   -EIO     @out refused to be written
 */
int map_view_render(FILE *out, const struct map_view_block *blocks,
		    size_t block_count, const struct map_view_options *options)
	__attribute__((warn_unused_result));

#endif
