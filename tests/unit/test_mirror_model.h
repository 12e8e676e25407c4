/* SPDX-License-Identifier: MIT */
/*
 * A mirror and a plain array side by side: what the random test and the fuzzer
 * share. Each step does one operation on both and compares what lies around
 * its ends; model_compare() compares all.
 *
 * The array covers a window that crosses a table of level 3 (512 GiB) and holds
 * two whole aligned 1 GiB regions and a little of the two beside them.
 */
#ifndef HMMU_TEST_MIRROR_MODEL_H
#define HMMU_TEST_MIRROR_MODEL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hmmu/mirror.h>

#include "pagetable/entry.h"
#include "pagetable/mirror_walk.h"

#define MODEL_EDGE_BYTES (4 * HMMU_LARGE_BYTES)
#define MODEL_START	 ((512ul << 30) - HMMU_HUGE_BYTES - MODEL_EDGE_BYTES)
#define MODEL_PAGES                                              \
	((size_t)((2 * HMMU_HUGE_BYTES + 2 * MODEL_EDGE_BYTES) / \
		  HMMU_PAGE_BYTES))

struct model {
	struct hmmu_mirror *mirror;
	struct hmmu_mirror_reader *reader;
	uint64_t *page; /* the entry each page must have, without LEVEL */
};

/* One operation, as random bytes give it. */
struct model_step {
	uint8_t op;
	uint8_t place;
	uint16_t at;
	uint16_t pages;
	uint8_t payload;
	uint8_t flags;
};

#define MODEL_CHECK(cond)                                                  \
	do {                                                               \
		if (!(cond)) {                                             \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, \
				#cond);                                    \
			abort();                                           \
		}                                                          \
	} while (0)

static inline uintptr_t model_va(size_t i)
{
	return MODEL_START + i * HMMU_PAGE_BYTES;
}

static inline void model_init(struct model *m)
{
	MODEL_CHECK(hmmu_mirror_create(NULL, &m->mirror) == 0);
	MODEL_CHECK(hmmu_mirror_reader_create(m->mirror, &m->reader) == 0);
	m->page = calloc(MODEL_PAGES, sizeof(*m->page));
	MODEL_CHECK(m->page != NULL);
}

static inline void model_fini(struct model *m)
{
	hmmu_mirror_reader_destroy(m->mirror, m->reader);
	hmmu_mirror_destroy(m->mirror);
	free(m->page);
}

/* The walk must report exactly the pages of the array that are not 0. */
static inline void model_compare_by(const struct model *m,
				    enum hmmu_mirror_walk_mode mode)
{
	struct hmmu_mirror_walk walk;
	uint64_t want;
	size_t i = 0;
	uintptr_t va;

	hmmu_mirror_walk_range(&walk, m->mirror, 0, UINTPTR_MAX, mode);
	while (hmmu_mirror_walk_next(&walk)) {
		for (; model_va(i) < walk.run.start; i++)
			MODEL_CHECK(m->page[i] == 0);
		want = walk.run.payload | walk.run.flags;
		for (va = walk.run.start; va < walk.run.end; i++) {
			MODEL_CHECK(m->page[i] == want);
			va += HMMU_PAGE_BYTES;
			want += HMMU_PAGE_BYTES;
		}
	}
	for (; i < MODEL_PAGES; i++)
		MODEL_CHECK(m->page[i] == 0);
}

/* Does the array say that page @i follows page @i - 1 in one run? */
static inline bool model_joins(const struct model *m, size_t i)
{
	return i > 0 && i < MODEL_PAGES && m->page[i] && m->page[i - 1] &&
	       m->page[i] == m->page[i - 1] + HMMU_PAGE_BYTES;
}

/* Look page @i up in both ways and compare. */
static inline void model_lookup(const struct model *m, size_t i, size_t bytes)
{
	struct hmmu_mirror_run run;
	uintptr_t va = model_va(i) + i % HMMU_PAGE_BYTES;
	uint64_t entry = 0;
	size_t first, last, k;
	bool found;

	found = hmmu_mirror_lookup(m->mirror, va, &entry);
	MODEL_CHECK((found ? entry & ~HMMU_MIRROR_LEVEL : 0) == m->page[i]);
	MODEL_CHECK(hmmu_mirror_lookup_run(m->mirror, va, bytes, &run) ==
		    found);
	if (!found)
		return;
	MODEL_CHECK(run.start <= va && va < run.end);
	first = (run.start - MODEL_START) / HMMU_PAGE_BYTES;
	last = (run.end - MODEL_START) / HMMU_PAGE_BYTES;
	MODEL_CHECK((run.payload | run.flags) == m->page[first]);
	for (k = first + 1; k < last; k++)
		MODEL_CHECK(model_joins(m, k));
	/* It ends where the bound allows or nothing joins. */
	MODEL_CHECK(run.end >= va + bytes || !model_joins(m, last));
	MODEL_CHECK(run.start + bytes <= va || !model_joins(m, first));
}

/* Where a step begins: page granular, or at a large or huge boundary. */
static inline size_t model_first(const struct model_step *s)
{
	size_t edge = MODEL_EDGE_BYTES / HMMU_PAGE_BYTES;
	size_t huge = HMMU_HUGE_BYTES / HMMU_PAGE_BYTES;
	size_t centre = edge + huge * (s->place / 4 % 3);

	switch (s->place % 4) {
	case 0: /* around a boundary of 1 GiB */
		return centre - edge / 2 + s->at % edge;
	case 1: /* a large page near there */
		return centre - edge + s->at % 8 * MIRROR_SLOTS;
	case 2: /* a huge page or the last large page before it */
		return centre < 2 * huge ? centre : centre - MIRROR_SLOTS;
	default:
		return (size_t)s->at * 8 % MODEL_PAGES;
	}
}

static inline size_t model_count(const struct model_step *s, size_t first)
{
	size_t n = 1 + s->pages % 1024;

	if (s->place >= 0xf0)
		n = MODEL_PAGES;
	else if (s->place >= 0xc0)
		n = HMMU_HUGE_BYTES / HMMU_PAGE_BYTES;
	else if (s->place >= 0x80)
		n = (size_t)(1 + s->pages % 4) * MIRROR_SLOTS;
	return n < MODEL_PAGES - first ? n : MODEL_PAGES - first;
}

/* Payloads that are congruent to the address modulo 1 GiB, 2 MiB or 4 KiB. */
static inline uint64_t model_payload(const struct model_step *s, size_t first)
{
	uint64_t unit[4] = { HMMU_HUGE_BYTES, HMMU_LARGE_BYTES, HMMU_PAGE_BYTES,
			     HMMU_HUGE_BYTES };

	return model_va(first) + s->payload / 4 * unit[s->payload % 4];
}

static inline void model_map(struct model *m, const struct model_step *s,
			     size_t first, size_t n)
{
	uint64_t payload = model_payload(s, first);
	uint64_t flags = s->flags & HMMU_MIRROR_FLAGS;
	size_t i;

	MODEL_CHECK(hmmu_mirror_map_range(m->mirror, model_va(first),
					  n * HMMU_PAGE_BYTES, payload,
					  flags) == 0);
	for (i = 0; i < n; i++)
		m->page[first + i] = (payload + i * HMMU_PAGE_BYTES) | flags |
				     HMMU_MIRROR_VALID;
}

/* Consecutive entries with a hole or another flag every now and then. */
static inline void model_map_entries(struct model *m,
				     const struct model_step *s, size_t first,
				     size_t n)
{
	uint64_t payload = model_payload(s, first);
	uint64_t flags = s->flags & HMMU_MIRROR_FLAGS;
	size_t hole = 1u << s->flags % 12;
	size_t i;

	n = n < 2048 ? n : 2048;
	for (i = 0; i < n; i++) {
		m->page[first + i] = (payload + i * HMMU_PAGE_BYTES) | flags |
				     HMMU_MIRROR_VALID;
		if (i / hole % 4 == 3)
			m->page[first + i] = 0;
		else if (i / hole % 4 == 2)
			m->page[first + i] ^= HMMU_MIRROR_WRITE;
	}
	MODEL_CHECK(hmmu_mirror_map_entries(m->mirror, model_va(first), n,
					    &m->page[first]) == 0);
}

static inline void model_unmap(struct model *m, size_t first, size_t n)
{
	size_t want = 0;
	size_t pages = 0;
	size_t i;

	for (i = first; i < first + n; i++) {
		want += m->page[i] != 0;
		m->page[i] = 0;
	}
	MODEL_CHECK(hmmu_mirror_unmap_range(m->mirror, model_va(first),
					    n * HMMU_PAGE_BYTES, &pages) == 0);
	MODEL_CHECK(pages == want);
}

static inline void model_protect(struct model *m, const struct model_step *s,
				 size_t first, size_t n)
{
	uint64_t clear = s->flags & HMMU_MIRROR_FLAGS;
	size_t i;

	MODEL_CHECK(hmmu_mirror_protect_range(m->mirror, model_va(first),
					      n * HMMU_PAGE_BYTES, clear) == 0);
	for (i = first; i < first + n; i++)
		m->page[i] &= ~clear;
}

static inline void model_do(struct model *m, const struct model_step *s)
{
	size_t first = model_first(s);
	size_t n = model_count(s, first);

	switch (s->op % 8) {
	case 0:
	case 1:
	case 2:
		model_map(m, s, first, n);
		break;
	case 3:
		model_map_entries(m, s, first, n);
		break;
	case 4:
	case 5:
		model_unmap(m, first, n);
		break;
	case 6:
		model_protect(m, s, first, n);
		break;
	case 7:
		MODEL_CHECK(
			hmmu_mirror_coalesce_range(m->mirror, model_va(first),
						   n * HMMU_PAGE_BYTES) == 0);
		break;
	}
}

/* One operation on both; look a few pages up. */
static inline void model_step(struct model *m, const struct model_step *s)
{
	size_t first = model_first(s);
	size_t last = first + model_count(s, first) - 1;

	model_do(m, s);
	hmmu_mirror_read_begin(m->mirror, m->reader);
	model_lookup(m, first, s->pages);
	model_lookup(m, last, s->pages * HMMU_PAGE_BYTES);
	model_lookup(m, (size_t)s->at * 8 % MODEL_PAGES, 0);
	if (first)
		model_lookup(m, first - 1, HMMU_LARGE_BYTES);
	if (last + 1 < MODEL_PAGES)
		model_lookup(m, last + 1, HMMU_LARGE_BYTES);
	hmmu_mirror_read_end(m->mirror, m->reader);
}

/* Compare all of both, in both ways to walk. */
static inline void model_compare(const struct model *m)
{
	MODEL_CHECK(hmmu__mirror_is_valid(m->mirror));
	hmmu_mirror_read_begin(m->mirror, m->reader);
	model_compare_by(m, HMMU_MIRROR_WALK_LEAVES);
	model_compare_by(m, HMMU_MIRROR_WALK_RUNS);
	hmmu_mirror_read_end(m->mirror, m->reader);
}

/* At the end nothing may be left but the root. */
static inline void model_clear(struct model *m)
{
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	model_unmap(m, 0, MODEL_PAGES);
	MODEL_CHECK(hmmu_mirror_get_stats(m->mirror, &stats) == 0);
	MODEL_CHECK(stats.tables == 1 && stats.mapped_bytes == 0);
	hmmu_mirror_synchronize(m->mirror);
	MODEL_CHECK(hmmu_mirror_get_stats(m->mirror, &stats) == 0);
	MODEL_CHECK(stats.dead_tables == 0);
}

#endif
