/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/hmmu/graph/map_view.h"

#define BASE UINT64_C(0x7f0000000000)

static uint64_t block_at(uint64_t number)
{
	return BASE + number * MAP_VIEW_BLOCK_BYTES;
}

/*
 * A drawing as a string, which the caller frees. The stream is given the
 * caller's pointer: to gcc, what it wrote to one of our own would die with us.
 */
static void draw(const struct map_view_block *blocks, size_t count,
		 uint32_t columns, bool colour, char **text)
{
	const struct map_view_options options = { columns, colour };
	size_t length = 0;
	FILE *out = open_memstream(text, &length);

	assert_non_null(out);
	assert_int_equal(map_view_render(out, blocks, count, &options), 0);
	assert_int_equal(fclose(out), 0);
}

static void assert_drawn(const struct map_view_block *blocks, size_t count,
			 uint32_t columns, const char *wanted)
{
	char *text = NULL, *legend;

	draw(blocks, count, columns, false, &text);
	legend = strstr(text, "\n\n");
	/* The map alone: it ends at the empty line */
	assert_non_null(legend);
	legend[1] = '\0';
	assert_string_equal(text, wanted);
	free(text);
}

/* @count blocks of plain system memory, at the given numbers */
static void system_blocks(struct map_view_block *blocks,
			  const uint64_t *numbers, size_t count)
{
	memset(blocks, 0, count * sizeof(*blocks));
	for (size_t i = 0; i < count; i++) {
		blocks[i].start = block_at(numbers[i]);
		blocks[i].system_pages = 512;
	}
}

static void test_map_view_letter_tells_where_pages_are(void **state)
{
	const struct map_view_block blocks[] = {
		{ .absent_pages = 512 },
		{ .start = 0 },
		{ .system_pages = 1, .absent_pages = 511 },
		{ .system_large_pages = 512 },
		{ .system_large_pages = 256, .system_pages = 1 },
		{ .device_pages = 1, .absent_pages = 511 },
		{ .device_large_pages = 512 },
		{ .device_large_pages = 256, .device_pages = 256 },
		{ .system_pages = 1, .device_pages = 511 },
		{ .system_large_pages = 1, .device_large_pages = 511 },
	};
	static const char wanted[] = "..sSsdDdmm";

	(void)state;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
		assert_int_equal(map_view_letter(&blocks[i]), wanted[i]);
}

static void test_map_view_draws_one_cell_per_block(void **state)
{
	const struct map_view_block blocks[] = {
		{ .start = block_at(0), .absent_pages = 512 },
		{ .start = block_at(1), .system_large_pages = 512 },
		{ .start = block_at(2), .device_large_pages = 512 },
		{ .start = block_at(3), .device_pages = 5 },
	};

	(void)state;
	assert_drawn(blocks, 4, 80, "0x7f0000000000  .SDd\n");
}

static void test_map_view_wraps_at_the_width(void **state)
{
	struct map_view_block blocks[9];
	const uint64_t numbers[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	system_blocks(blocks, numbers, 9);
	assert_drawn(blocks, 9, 24,
		     "0x7f0000000000  ssssssss\n"
		     "0x7f0001000000  s\n");
	assert_drawn(blocks, 9, 1,
		     "0x7f0000000000  ssssssss\n"
		     "0x7f0001000000  s\n");
	assert_drawn(blocks, 9, 39, "0x7f0000000000  sssssssss\n");
	assert_drawn(blocks, 9, 0, "0x7f0000000000  sssssssss\n");
}

static void test_map_view_small_gap_is_spaces(void **state)
{
	struct map_view_block blocks[3];
	const uint64_t numbers[] = { 0, 2, 11 };

	(void)state;
	system_blocks(blocks, numbers, 3);
	assert_drawn(blocks, 3, 80, "0x7f0000000000  s s        s\n");
}

static void test_map_view_small_gap_leaves_no_space_at_a_row_end(void **state)
{
	struct map_view_block blocks[3];
	const uint64_t numbers[] = { 0, 5, 8 };
	const uint64_t touching[] = { 0, 5, 7 };

	(void)state;
	system_blocks(blocks, numbers, 3);
	assert_drawn(blocks, 3, 24,
		     "0x7f0000000000  s    s\n"
		     "0x7f0001000000  s\n");
	system_blocks(blocks, touching, 3);
	assert_drawn(blocks, 3, 24, "0x7f0000000000  s    s s\n");
}

static void test_map_view_big_gap_collapses(void **state)
{
	struct map_view_block blocks[3];
	const uint64_t numbers[] = { 0, 10, 10 + 1 + 6400 };

	(void)state;
	system_blocks(blocks, numbers, 3);
	assert_drawn(blocks, 3, 80,
		     "0x7f0000000000  s\n"
		     "                (18.0 MiB not mapped)\n"
		     "0x7f0001400000  s\n"
		     "                (12.5 GiB not mapped)\n"
		     "0x7f0321600000  s\n");
}

static void test_map_view_legend_adds_up_bytes(void **state)
{
	const struct map_view_block blocks[] = {
		{ .start = block_at(0), .absent_pages = 256 },
		{ .start = block_at(1), .system_pages = 512 },
		{ .start = block_at(2), .system_large_pages = 512 },
		{ .start = block_at(3), .device_pages = 1 },
		{ .start = block_at(4),
		  .device_large_pages = 511,
		  .system_pages = 1 },
	};
	char *text = NULL;

	(void)state;
	draw(blocks, 5, 80, false, &text);
	assert_string_equal(strstr(text, "\n\n") + 2,
			    ". absent 1.0 MiB   s system 2.0 MiB   "
			    "S system, large 2.0 MiB   d device 4.0 KiB\n"
			    "D device, large 1.9 MiB   m mixed\n");
	free(text);
}

static void test_map_view_of_nothing_is_the_legend(void **state)
{
	char *text = NULL;

	(void)state;
	draw(NULL, 0, 200, false, &text);
	assert_string_equal(text, ". absent 0.0 B   s system 0.0 B   "
				  "S system, large 0.0 B   d device 0.0 B   "
				  "D device, large 0.0 B   m mixed\n");
	free(text);
}

static void assert_lines_fit(const char *text, size_t columns)
{
	while (*text) {
		size_t length = strcspn(text, "\n");

		assert_true(length <= columns);
		if (length)
			assert_int_not_equal(text[length - 1], ' ');
		text += length + 1;
	}
}

static void test_map_view_lines_fit_the_width(void **state)
{
	struct map_view_block blocks[300];
	uint64_t numbers[300];

	(void)state;
	for (size_t i = 0; i < 300; i++)
		numbers[i] = i + i / 7 * (i % 5) + (i >= 200) * 1000;
	for (size_t i = 1; i < 300; i++) {
		if (numbers[i] <= numbers[i - 1])
			numbers[i] = numbers[i - 1] + 1;
	}
	system_blocks(blocks, numbers, 300);
	for (uint32_t columns = 40; columns < 200; columns++) {
		char *text = NULL;

		draw(blocks, 300, columns, false, &text);
		assert_lines_fit(text, columns);
		free(text);
	}
}

static void test_map_view_colours_runs_and_turns_them_off(void **state)
{
	const struct map_view_block blocks[] = {
		{ .start = block_at(0), .system_pages = 512 },
		{ .start = block_at(1), .system_pages = 512 },
		{ .start = block_at(2), .device_pages = 512 },
		{ .start = block_at(4), .device_pages = 512 },
	};
	char *text = NULL, *legend;

	(void)state;
	draw(blocks, 4, 80, true, &text);
	legend = strstr(text, "\n\n");
	legend[1] = '\0';
	assert_string_equal(text, "0x7f0000000000  \033[30;46mss\033[0m"
				  "\033[30;43md\033[0m \033[30;43md\033[0m\n");
	free(text);
}

static void assert_refused(const struct map_view_block *blocks, size_t count)
{
	const struct map_view_options options = { 80, false };
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	assert_non_null(out);
	assert_int_equal(map_view_render(out, blocks, count, &options),
			 -EINVAL);
	fclose(out);
	assert_int_equal(length, 0);
	free(text);
}

static void test_map_view_refuses_what_is_no_map(void **state)
{
	const struct map_view_block misaligned = { .start = 4096 };
	const struct map_view_block overfull = { .system_pages = 512,
						 .device_pages = 1 };
	const struct map_view_block twice[2] = { { 0 }, { 0 } };
	const struct map_view_block descending[2] = {
		{ .start = block_at(1) }, { .start = block_at(0) }
	};

	(void)state;
	assert_refused(&misaligned, 1);
	assert_refused(&overfull, 1);
	assert_refused(twice, 2);
	assert_refused(descending, 2);
}

static void test_map_view_tells_a_failed_write(void **state)
{
	const struct map_view_options options = { 80, false };
	FILE *out = fopen("/dev/full", "w");

	(void)state;
	assert_non_null(out);
	setvbuf(out, NULL, _IONBF, 0);
	assert_int_equal(map_view_render(out, NULL, 0, &options), -EIO);
	fclose(out);
}

static void test_map_view_file_gets_plain_letters(void **state)
{
	FILE *out = tmpfile();
	struct map_view_options options;

	(void)state;
	assert_non_null(out);
	options = map_view_options_of(out);
	assert_false(options.colour);
	assert_int_equal(options.columns, 80);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_view_letter_tells_where_pages_are),
		cmocka_unit_test(test_map_view_draws_one_cell_per_block),
		cmocka_unit_test(test_map_view_wraps_at_the_width),
		cmocka_unit_test(test_map_view_small_gap_is_spaces),
		cmocka_unit_test(
			test_map_view_small_gap_leaves_no_space_at_a_row_end),
		cmocka_unit_test(test_map_view_big_gap_collapses),
		cmocka_unit_test(test_map_view_legend_adds_up_bytes),
		cmocka_unit_test(test_map_view_of_nothing_is_the_legend),
		cmocka_unit_test(test_map_view_lines_fit_the_width),
		cmocka_unit_test(test_map_view_colours_runs_and_turns_them_off),
		cmocka_unit_test(test_map_view_refuses_what_is_no_map),
		cmocka_unit_test(test_map_view_tells_a_failed_write),
		cmocka_unit_test(test_map_view_file_gets_plain_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
