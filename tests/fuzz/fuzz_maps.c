/* SPDX-License-Identifier: MIT */
/*
 * The text of /proc/self/maps: whatever the bytes, and however they are handed
 * out, the lines are those of a plain split, and what is parsed holds together.
 *
 * The first byte says how often the rest is repeated, so that lines longer
 * than the buffer come up; the second, in pieces of what size it is read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/compiler.h"
#include "live/vma.h"

#define REPEATS_MAX  8u
#define LINE_MAX_OUT 160u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

struct stream {
	const char *text;
	size_t left;
	size_t piece;
};

static ssize_t read_stream(void *arg, void *buf, size_t bytes)
{
	struct stream *s = arg;

	check(bytes > 0);
	bytes = hmmu_min(hmmu_min(bytes, s->piece), s->left);
	memcpy(buf, s->text, bytes);
	s->text += bytes;
	s->left -= bytes;
	return (ssize_t)bytes;
}

/* The made-up kernel's shared memory and hugetlbfs. */
static const struct hmmu__vma_source source = {
	.device = { { 0x1, HMMU__VMA_SHMEM, HMMU_PAGE_BYTES },
		    { 0xf, HMMU__VMA_HUGETLB, HMMU_LARGE_BYTES } },
	.device_count = 2,
};

static void check_kind(const struct hmmu__maps_line *line)
{
	struct hmmu__vma vma;

	hmmu__vma_classify(&source, line, &vma);
	check(vma.start == line->start && vma.end == line->end);
	check(vma.prot == line->prot);
	check((vma.kind == HMMU__VMA_HUGETLB) ==
	      (vma.page_bytes > HMMU_PAGE_BYTES));
	/* Only what is private may go to a device. */
	if (vma.kind == HMMU__VMA_ANON && line->has_file)
		check(!strcmp(line->name, "/dev/zero") &&
		      !(line->prot & HMMU__VMA_SHARED));
	check(!vma.stack ||
	      (vma.kind == HMMU__VMA_ANON && line->name[0] == '['));
}

/* What was parsed, written as the kernel does and parsed, is the same. */
static void check_line(const struct hmmu__maps_line *line)
{
	char text[LINE_MAX_OUT + HMMU__MAPS_NAME_BYTES];
	struct hmmu__maps_line again;
	int bytes = snprintf(
		text, sizeof(text), "%lx-%lx %c%c%c%c %08lx %02x:%02x %lu %s",
		line->start, line->end, line->prot & HMMU__VMA_R ? 'r' : '-',
		line->prot & HMMU__VMA_W ? 'w' : '-',
		line->prot & HMMU__VMA_X ? 'x' : '-',
		line->prot & HMMU__VMA_SHARED ? 's' : 'p', line->offset,
		major(line->dev), minor(line->dev), line->ino, line->name);

	check(line->start < line->end);
	check(bytes > 0 && (size_t)bytes < sizeof(text));
	check(!hmmu__maps_parse(text, (size_t)bytes, &again));
	check(again.start == line->start && again.end == line->end);
	check(again.prot == line->prot && again.offset == line->offset);
	check(again.dev == line->dev && again.ino == line->ino);
	check(again.has_file == line->has_file);
	check(!strcmp(again.name, line->name));
}

static void parse(const char *text, size_t bytes)
{
	struct hmmu__maps_line line;

	memset(&line, 0xff, sizeof(line));
	if (hmmu__maps_parse(text, bytes, &line))
		return;
	check(memchr(line.name, '\0', sizeof(line.name)) != NULL);
	check_line(&line);
	check_kind(&line);
}

/* Beside the reader, a split of the whole text in one piece. */
static void read_lines(const char *text, size_t size, size_t piece)
{
	static char buf[HMMU__MAPS_BUFFER_BYTES];
	struct stream stream = { text, size, piece };
	const char *at = text, *end = text + size;
	struct hmmu__maps_reader reader;
	const char *line;
	size_t bytes;

	hmmu__maps_reader_init(&reader, read_stream, &stream, buf);
	while (at != end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t want = (size_t)((newline ? newline : end) - at);

		check(hmmu__maps_reader_next(&reader, &line, &bytes) == 1);
		check(bytes == hmmu_min(want, sizeof(buf)));
		check(!memcmp(line, at, bytes));
		parse(line, bytes);
		at += want + (newline != NULL);
	}
	check(hmmu__maps_reader_next(&reader, &line, &bytes) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t repeats, piece;
	char *text;

	if (size < 2)
		return 0;
	repeats = 1 + data[0] % REPEATS_MAX;
	piece = data[1] ? (size_t)data[1] * 8 : 1;
	data += 2;
	size -= 2;
	text = malloc(size * repeats + 1);
	check(text != NULL);
	for (size_t i = 0; i < repeats; i++)
		memcpy(text + i * size, data, size);
	read_lines(text, size * repeats, piece);
	free(text);
	return 0;
}
