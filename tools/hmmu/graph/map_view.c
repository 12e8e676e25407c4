/* SPDX-License-Identifier: MIT */
/*
 * A picture of an address space in characters
 */
#include "map_view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_DEFAULT 80u
#define COLUMNS_MIN	24u
/* "0x", 12 digits, two spaces; a row of a 57-bit address is longer */
#define ADDRESS_COLUMNS 16u
/* A gap of more blocks has a line of its own */
#define GAP_BLOCKS_MAX	((uint64_t)8)

/* Cells differ by letter, too, for readers who do not see the colours */
struct kind {
	char letter;
	const char *colour;
	const char *name;
};

static const struct kind kinds[] = {
	{ '.', "\033[90m", "absent" },
	{ 's', "\033[30;46m", "system" },
	{ 'S', "\033[97;44m", "system, large" },
	{ 'd', "\033[30;43m", "device" },
	{ 'D', "\033[97;41m", "device, large" },
	{ 'm', "\033[97;45m", "mixed" },
};

#define KIND_COUNT	(sizeof(kinds) / sizeof(*kinds))
/* The last kind is of blocks only, not of pages */
#define PAGE_KIND_COUNT (KIND_COUNT - 1)

static const char colour_off[] = "\033[0m";

static bool wants_colour(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return !(no_color && *no_color) && !(term && !strcmp(term, "dumb"));
}

struct map_view_options map_view_options_of(FILE *out)
{
	struct map_view_options options = { .columns = COLUMNS_DEFAULT };
	int fd = fileno(out);
	struct winsize size;

	if (fd < 0 || !isatty(fd))
		return options;
	options.colour = wants_colour();
	if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col)
		options.columns = size.ws_col;
	return options;
}

char map_view_letter(const struct map_view_block *block)
{
	bool system = block->system_pages || block->system_large_pages;
	bool device = block->device_pages || block->device_large_pages;

	if (system && device)
		return 'm';
	if (system)
		return block->system_pages ? 's' : 'S';
	if (device)
		return block->device_pages ? 'd' : 'D';
	return '.';
}

static uint32_t page_count(const struct map_view_block *block)
{
	return (uint32_t)block->absent_pages + block->system_pages +
	       block->system_large_pages + block->device_pages +
	       block->device_large_pages;
}

static bool blocks_valid(const struct map_view_block *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (blocks[i].start % MAP_VIEW_BLOCK_BYTES ||
		    page_count(&blocks[i]) > MAP_VIEW_BLOCK_PAGES)
			return false;
		if (i && blocks[i].start <= blocks[i - 1].start)
			return false;
	}
	return true;
}

/* "12.5 GiB": one digit after the point, truncated */
static void format_size(char *text, size_t text_bytes, uint64_t bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	size_t unit = 0;
	uint64_t rest = 0;

	while (bytes >= 1024) {
		rest = bytes % 1024;
		bytes /= 1024;
		unit++;
	}
	snprintf(text, text_bytes, "%" PRIu64 ".%" PRIu64 " %s", bytes,
		 rest * 10 / 1024, units[unit]);
}

/**
 * struct canvas - a drawing in progress
 * @out:       the stream.
 * @colour:    use colours.
 * @row_cells: cells of a full row.
 * @used:      cells drawn in the current row; 0 if no row has begun.
 * @last:      letter whose colour is on, or 0.
 */
struct canvas {
	FILE *out;
	bool colour;
	uint32_t row_cells;
	uint32_t used;
	char last;
};

static const struct kind *find_kind(char letter)
{
	size_t i = 0;

	while (i + 1 < KIND_COUNT && kinds[i].letter != letter)
		i++;
	return &kinds[i];
}

/* A run of equal cells needs one escape sequence */
static void set_colour(struct canvas *canvas, char letter)
{
	if (!canvas->colour || canvas->last == letter)
		return;
	if (canvas->last)
		fputs(colour_off, canvas->out);
	if (letter)
		fputs(find_kind(letter)->colour, canvas->out);
	canvas->last = letter;
}

static void end_row(struct canvas *canvas)
{
	if (!canvas->used)
		return;
	set_colour(canvas, 0);
	fputc('\n', canvas->out);
	canvas->used = 0;
}

static void draw_cell(struct canvas *canvas, uint64_t start, char letter)
{
	if (canvas->used == canvas->row_cells)
		end_row(canvas);
	if (!canvas->used)
		fprintf(canvas->out, "0x%012" PRIx64 "  ", start);
	set_colour(canvas, letter);
	fputc(letter ? letter : ' ', canvas->out);
	canvas->used++;
}

static void draw_gap(struct canvas *canvas, uint64_t start, uint64_t end)
{
	char size[32];

	if ((end - start) >> MAP_VIEW_BLOCK_LG2 > GAP_BLOCKS_MAX) {
		end_row(canvas);
		format_size(size, sizeof(size), end - start);
		fprintf(canvas->out, "%*s(%s not mapped)\n",
			(int)ADDRESS_COLUMNS, "", size);
		return;
	}
	/* Begin a new row instead of drawing trailing spaces */
	if ((end - start) >> MAP_VIEW_BLOCK_LG2 >=
	    canvas->row_cells - canvas->used) {
		end_row(canvas);
		return;
	}
	for (; start < end; start += MAP_VIEW_BLOCK_BYTES)
		draw_cell(canvas, start, 0);
}

static void draw_blocks(struct canvas *canvas,
			const struct map_view_block *blocks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t end = i ? blocks[i - 1].start + MAP_VIEW_BLOCK_BYTES :
				   blocks[i].start;

		if (blocks[i].start != end)
			draw_gap(canvas, end, blocks[i].start);
		draw_cell(canvas, blocks[i].start, map_view_letter(&blocks[i]));
	}
	end_row(canvas);
	if (count)
		fputc('\n', canvas->out);
}

/* The order is that of kinds */
static void add_bytes(uint64_t *bytes, const struct map_view_block *block)
{
	const uint16_t pages[PAGE_KIND_COUNT] = {
		block->absent_pages,	   block->system_pages,
		block->system_large_pages, block->device_pages,
		block->device_large_pages,
	};

	for (size_t i = 0; i < PAGE_KIND_COUNT; i++)
		bytes[i] += pages[i] * MAP_VIEW_PAGE_BYTES;
}

/* Draw one entry of the legend, in a new row if the row is full */
static void draw_entry(struct canvas *canvas, uint32_t columns,
		       const struct kind *kind, const char *size)
{
	uint32_t width = (uint32_t)(2 + strlen(kind->name) + strlen(size));

	if (canvas->used && canvas->used + 3 + width > columns)
		end_row(canvas);
	if (canvas->used) {
		fputs("   ", canvas->out);
		canvas->used += 3;
	}
	set_colour(canvas, kind->letter);
	fputc(kind->letter, canvas->out);
	set_colour(canvas, 0);
	fprintf(canvas->out, " %s%s", kind->name, size);
	canvas->used += width;
}

static void draw_legend(struct canvas *canvas, uint32_t columns,
			const struct map_view_block *blocks, size_t count)
{
	uint64_t bytes[PAGE_KIND_COUNT] = { 0 };
	char size[32];

	for (size_t i = 0; i < count; i++)
		add_bytes(bytes, &blocks[i]);
	for (size_t i = 0; i < PAGE_KIND_COUNT; i++) {
		size[0] = ' ';
		format_size(size + 1, sizeof(size) - 1, bytes[i]);
		draw_entry(canvas, columns, &kinds[i], size);
	}
	draw_entry(canvas, columns, &kinds[PAGE_KIND_COUNT], "");
	end_row(canvas);
}

/* With a multiple of 8, rows begin at round addresses */
static uint32_t cells_in(uint32_t columns)
{
	return (columns - ADDRESS_COLUMNS) & ~(uint32_t)7;
}

int map_view_render(FILE *out, const struct map_view_block *blocks,
		    size_t block_count, const struct map_view_options *options)
{
	uint32_t columns = options->columns ? options->columns :
					      COLUMNS_DEFAULT;
	struct canvas canvas = { .out = out, .colour = options->colour };

	if (!blocks_valid(blocks, block_count))
		return -EINVAL;
	if (columns < COLUMNS_MIN)
		columns = COLUMNS_MIN;
	canvas.row_cells = cells_in(columns);
	draw_blocks(&canvas, blocks, block_count);
	draw_legend(&canvas, columns, blocks, block_count);
	return ferror(out) ? -EIO : 0;
}
