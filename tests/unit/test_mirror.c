/* SPDX-License-Identifier: MIT */
/*
 * The rules of a mirror, one by one, as a caller sees them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <hmmu/mirror.h>

#include "base/arena.h"
#include "pagetable/mirror_walk.h"

#define PAGE  HMMU_PAGE_BYTES
#define LARGE HMMU_LARGE_BYTES
#define HUGE_ HMMU_HUGE_BYTES
#define BASE  (7ul << 30) /* some 1 GiB boundary */
#define WRITE HMMU_MIRROR_WRITE
#define VALID HMMU_MIRROR_VALID

struct fixture {
	struct hmmu_mirror *mirror;
	struct hmmu_mirror_reader *reader;
};

static int setup_bits(void **state, uint32_t va_bits)
{
	struct hmmu_mirror_options opts = { .size = sizeof(opts) };
	struct fixture *f = test_calloc(1, sizeof(*f));

	opts.va_bits = va_bits;
	assert_int_equal(hmmu_mirror_create(&opts, &f->mirror), 0);
	assert_int_equal(hmmu_mirror_reader_create(f->mirror, &f->reader), 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_bits(state, 48);
}

static int setup_57(void **state)
{
	return setup_bits(state, 57);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_true(hmmu__mirror_is_valid(f->mirror));
	hmmu_mirror_reader_destroy(f->mirror, f->reader);
	hmmu_mirror_destroy(f->mirror);
	test_free(f);
	return 0;
}

static struct hmmu_mirror_stats stats_of(struct fixture *f)
{
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	assert_int_equal(hmmu_mirror_get_stats(f->mirror, &stats), 0);
	return stats;
}

static void assert_leaves(struct fixture *f, uint64_t small, uint64_t large,
			  uint64_t huge)
{
	struct hmmu_mirror_stats stats = stats_of(f);

	assert_int_equal(stats.leaves[0], small);
	assert_int_equal(stats.leaves[1], large);
	assert_int_equal(stats.leaves[2], huge);
	assert_int_equal(stats.mapped_bytes,
			 small * PAGE + large * LARGE + huge * HUGE_);
}

/* The entry of @va, 0 when it is not mapped. */
static uint64_t look(struct fixture *f, uintptr_t va)
{
	uint64_t entry = 0;
	bool found;

	hmmu_mirror_read_begin(f->mirror, f->reader);
	found = hmmu_mirror_lookup(f->mirror, va, &entry);
	hmmu_mirror_read_end(f->mirror, f->reader);
	return found ? entry : 0;
}

static uint64_t look_page(struct fixture *f, uintptr_t va)
{
	return look(f, va) & ~HMMU_MIRROR_LEVEL;
}

static bool look_run(struct fixture *f, uintptr_t va, size_t max_bytes,
		     struct hmmu_mirror_run *run)
{
	bool found;

	memset(run, 0, sizeof(*run));
	hmmu_mirror_read_begin(f->mirror, f->reader);
	found = hmmu_mirror_lookup_run(f->mirror, va, max_bytes, run);
	hmmu_mirror_read_end(f->mirror, f->reader);
	return found;
}

static void assert_run(const struct hmmu_mirror_run *run, uintptr_t start,
		       uintptr_t end, uint64_t payload, uint64_t flags)
{
	assert_int_equal(run->start, start);
	assert_int_equal(run->end, end);
	assert_int_equal(run->payload, payload);
	assert_int_equal(run->flags, flags);
}

static void map(struct fixture *f, uintptr_t start, size_t bytes,
		uint64_t payload, uint64_t flags)
{
	assert_int_equal(hmmu_mirror_map_range(f->mirror, start, bytes, payload,
					       flags),
			 0);
}

static size_t unmap(struct fixture *f, uintptr_t start, size_t bytes)
{
	size_t pages = SIZE_MAX;

	assert_int_equal(
		hmmu_mirror_unmap_range(f->mirror, start, bytes, &pages), 0);
	return pages;
}

static void test_mirror_create_checks_options(void **state)
{
	struct {
		struct hmmu_mirror_options opts;
		uint64_t later;
	} newer = { .opts = { .size = sizeof(newer) } };
	struct hmmu_mirror_options opts = { .size = sizeof(opts) };
	struct hmmu_mirror *mirror = NULL;

	(void)state;
	assert_int_equal(hmmu_mirror_create(&opts, NULL), -EINVAL);
	opts.size--;
	assert_int_equal(hmmu_mirror_create(&opts, &mirror), -EINVAL);
	opts.size++;
	opts.pad = 1;
	assert_int_equal(hmmu_mirror_create(&opts, &mirror), -EINVAL);
	opts.pad = 0;
	opts.va_bits = 39;
	assert_int_equal(hmmu_mirror_create(&opts, &mirror), -EOPNOTSUPP);
	newer.later = 1;
	assert_int_equal(hmmu_mirror_create(&newer.opts, &mirror), -E2BIG);
	assert_null(mirror);
	newer.later = 0;
	assert_int_equal(hmmu_mirror_create(&newer.opts, &mirror), 0);
	hmmu_mirror_destroy(mirror);
	assert_int_equal(hmmu_mirror_create(NULL, &mirror), 0);
	hmmu_mirror_destroy(mirror);
	hmmu_mirror_destroy(NULL);
}

static void test_mirror_reader_checks_arguments(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_reader *reader;

	assert_int_equal(hmmu_mirror_reader_create(NULL, &reader), -EINVAL);
	assert_int_equal(hmmu_mirror_reader_create(f->mirror, NULL), -EINVAL);
	hmmu_mirror_reader_destroy(f->mirror, NULL);
}

static void test_mirror_range_is_checked(void **state)
{
	static const struct {
		uintptr_t address;
		size_t bytes;
	} bad[] = {
		{ BASE, 0 }, /* empty */
		{ BASE + 1, 0 },
		{ BASE + PAGE, -PAGE }, /* wraps */
		{ BASE, SIZE_MAX },
		{ BASE, (1ul << 48) + PAGE - BASE }, /* beyond the space */
		{ BASE, (1ul << 48) + 1 - BASE },
		{ 1ul << 48, PAGE },
		{ 0xffff800000000000, 0x1000 },
		{ 0xfffffffffffff000, 0x1000 },
	};
	struct fixture *f = *state;
	struct hmmu_mirror *m = f->mirror;
	size_t pages = 77;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uintptr_t at = bad[i].address;
		size_t n = bad[i].bytes;

		assert_int_equal(hmmu_mirror_map_range(m, at, n, 0, 0),
				 -EINVAL);
		assert_int_equal(hmmu_mirror_unmap_range(m, at, n, &pages),
				 -EINVAL);
		assert_int_equal(hmmu_mirror_protect_range(m, at, n, WRITE),
				 -EINVAL);
		assert_int_equal(hmmu_mirror_coalesce_range(m, at, n), -EINVAL);
	}
	/* A translation is of whole pages. */
	assert_int_equal(hmmu_mirror_map_range(m, BASE + 1, PAGE, 0, 0),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_range(m, BASE + 8, PAGE - 8, 0, 0),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_range(m, BASE, PAGE + 8, 0, 0),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_range(NULL, BASE, PAGE, 0, 0),
			 -EINVAL);
	assert_int_equal(pages, 77);
	assert_leaves(f, 0, 0, 0);
}

/* What takes something away does so for each page that holds a byte. */
static void test_mirror_ranges_round_outwards(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror *m = f->mirror;
	size_t pages = 77;

	map(f, BASE, LARGE, BASE, WRITE);
	assert_int_equal(
		hmmu_mirror_protect_range(m, BASE + PAGE - 1, 2, WRITE), 0);
	assert_int_equal(look(f, BASE) & WRITE, 0);
	assert_int_equal(look(f, BASE + PAGE) & WRITE, 0);
	assert_int_equal(look(f, BASE + 2 * PAGE) & WRITE, WRITE);
	assert_int_equal(
		hmmu_mirror_unmap_range(m, BASE + 5 * PAGE + 9, 1, &pages), 0);
	assert_int_equal(pages, 1);
	assert_int_equal(look(f, BASE + 4 * PAGE),
			 (BASE + 4 * PAGE) | WRITE | VALID);
	assert_int_equal(look(f, BASE + 5 * PAGE), 0);
	/* Up to the last byte of the address space. */
	assert_int_equal(hmmu_mirror_unmap_range(m, 1, (1ul << 48) - 1, &pages),
			 0);
	assert_int_equal(pages, 511);
	/* All 512 pages hold a byte of it, and so become a leaf. */
	map(f, BASE, LARGE / 2, BASE, 0);
	map(f, BASE + LARGE / 2, LARGE / 2, BASE + LARGE / 2, 0);
	assert_leaves(f, 512, 0, 0);
	assert_int_equal(hmmu_mirror_coalesce_range(m, BASE + PAGE,
						    LARGE - 2 * PAGE),
			 0);
	assert_leaves(f, 512, 0, 0);
	assert_int_equal(hmmu_mirror_coalesce_range(m, BASE + 9, LARGE - 18),
			 0);
	assert_leaves(f, 0, 1, 0);
}

static void test_mirror_map_checks_payload_and_flags(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror *m = f->mirror;

	assert_int_equal(hmmu_mirror_map_range(m, BASE, PAGE, 0x10, 0),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_range(m, BASE, 2 * PAGE, -PAGE, 0),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_range(m, BASE, PAGE, 0,
					       HMMU_MIRROR_TABLE),
			 -EOPNOTSUPP);
	assert_int_equal(hmmu_mirror_map_range(m, BASE, PAGE, 0, 1u << 8),
			 -EOPNOTSUPP);
	assert_int_equal(hmmu_mirror_map_range(m, BASE, PAGE, 0, 1u << 10),
			 -EOPNOTSUPP);
	assert_leaves(f, 0, 0, 0);
	/* The last payload there is, and every flag. */
	map(f, BASE, PAGE, -PAGE, HMMU_MIRROR_FLAGS | VALID);
	assert_int_equal(look(f, BASE), -PAGE | HMMU_MIRROR_FLAGS | VALID);
}

static void test_mirror_lookup_finds_page_in_leaf(void **state)
{
	struct fixture *f = *state;
	uint64_t e;

	map(f, BASE, HUGE_, 5 * HUGE_, WRITE);
	map(f, BASE + HUGE_, LARGE, 3 * LARGE, 0);
	map(f, BASE + HUGE_ + LARGE, PAGE, 9 * PAGE, HMMU_MIRROR_DEVICE);

	e = look(f, BASE + 0x1234567);
	assert_int_equal(hmmu_mirror_payload(e), 5 * HUGE_ + 0x1234000);
	assert_int_equal(hmmu_mirror_leaf_lg2(e), 30);
	assert_int_equal(e & HMMU_MIRROR_FLAGS, WRITE);
	e = look(f, BASE + HUGE_ + 0x12345);
	assert_int_equal(hmmu_mirror_payload(e), 3 * LARGE + 0x12000);
	assert_int_equal(hmmu_mirror_leaf_lg2(e), 21);
	e = look(f, BASE + HUGE_ + LARGE + 0xfff);
	assert_int_equal(hmmu_mirror_payload(e), 9 * PAGE);
	assert_int_equal(hmmu_mirror_leaf_lg2(e), 12);
	assert_int_equal(look(f, BASE + HUGE_ + LARGE + PAGE), 0);
	assert_int_equal(look(f, BASE - 1), 0);
}

static void test_mirror_lookup_beyond_space_is_not_mapped(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_run run;

	map(f, 0, PAGE, 0, 0);
	map(f, (1ul << 48) - PAGE, PAGE, 0, 0);
	assert_true(look(f, 0xfff) != 0);
	assert_true(look(f, (1ul << 48) - 1) != 0);
	assert_int_equal(look(f, 1ul << 48), 0);
	assert_int_equal(look(f, 1ul << 57), 0);
	assert_int_equal(look(f, UINTPTR_MAX), 0);
	assert_false(look_run(f, 1ul << 48, PAGE, &run));
	assert_false(look_run(f, UINTPTR_MAX, PAGE, &run));
}

static void test_mirror_57_bits(void **state)
{
	struct fixture *f = *state;
	uintptr_t top = 1ul << 57;

	map(f, top - PAGE, PAGE, 4 * PAGE, WRITE);
	map(f, 0, LARGE, 0, 0);
	assert_int_equal(look(f, top - 1), 4 * PAGE | WRITE | VALID);
	assert_int_equal(look(f, top), 0);
	assert_int_equal(hmmu_mirror_map_range(f->mirror, top - PAGE, 2 * PAGE,
					       0, 0),
			 -EINVAL);
	/* root, 3 + 4 below it */
	assert_int_equal(stats_of(f).tables, 1 + 3 + 4);
	assert_int_equal(unmap(f, 0, top), 512 + 1);
	assert_int_equal(stats_of(f).tables, 1);
	map(f, top - HUGE_ - PAGE, 2 * PAGE, 8 * PAGE, 0);
	assert_int_equal(unmap(f, top - HUGE_ - PAGE, PAGE), 1);
	assert_int_equal(unmap(f, top - HUGE_, PAGE), 1);
	assert_int_equal(stats_of(f).tables, 1);
}

static void test_mirror_map_uses_largest_leaves(void **state)
{
	struct fixture *f = *state;

	/* 1 page, 511 large, 1 huge, 2 large, 3 pages. */
	map(f, BASE + LARGE - PAGE,
	    PAGE + 511 * LARGE + HUGE_ + 2 * LARGE + 3 * PAGE,
	    BASE + LARGE - PAGE, 0);
	assert_leaves(f, 4, 513, 1);
	assert_int_equal(unmap(f, 0, 1ul << 48), 4 + 513 * 512 + 512 * 512);
	/* The payload decides as much as the address. */
	map(f, BASE, HUGE_, 3 * LARGE, 0);
	assert_leaves(f, 0, 512, 0);
	map(f, BASE, 2 * LARGE, PAGE, 0);
	assert_leaves(f, 1024, 510, 0);
}

static void test_mirror_map_replaces(void **state)
{
	struct fixture *f = *state;

	map(f, BASE, HUGE_, PAGE, 0); /* 512 * 512 small leaves */
	assert_int_equal(stats_of(f).tables, 1 + 1 + 1 + 512);
	map(f, BASE, HUGE_, 0, WRITE);
	assert_leaves(f, 0, 0, 1);
	assert_int_equal(stats_of(f).tables, 2);
	map(f, BASE + 5 * LARGE + PAGE, PAGE, 77 * PAGE, 0);
	assert_leaves(f, 512, 511, 0);
	assert_int_equal(look_page(f, BASE + 5 * LARGE),
			 5 * LARGE | WRITE | VALID);
	assert_int_equal(look_page(f, BASE + 5 * LARGE + PAGE),
			 77 * PAGE | VALID);
	assert_int_equal(look_page(f, BASE + 5 * LARGE + 2 * PAGE),
			 (5 * LARGE + 2 * PAGE) | WRITE | VALID);
}

static void test_mirror_map_entries_is_exact(void **state)
{
	struct fixture *f = *state;
	uint64_t entries[200] = { 0 };
	size_t i;

	map(f, BASE, LARGE, 0, WRITE);
	for (i = 0; i < 200; i += 2)
		entries[i] = (1000 + i) * PAGE | VALID | HMMU_MIRROR_USER2;
	assert_int_equal(hmmu_mirror_map_entries(f->mirror, BASE + PAGE, 200,
						 entries),
			 0);
	for (i = 0; i < 200; i++)
		assert_int_equal(look_page(f, BASE + PAGE + i * PAGE),
				 entries[i]);
	assert_int_equal(look_page(f, BASE), 0 | WRITE | VALID);
	assert_int_equal(look_page(f, BASE + 201 * PAGE),
			 201 * PAGE | WRITE | VALID);
	assert_leaves(f, 412, 0, 0);
}

static void test_mirror_map_entries_finds_large_pages(void **state)
{
	static uint64_t entries[4 * 512];
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < 4 * 512; i++)
		entries[i] = (6 * LARGE + i * PAGE) | VALID | WRITE;
	assert_int_equal(
		hmmu_mirror_map_entries(f->mirror, BASE, 4 * 512, entries), 0);
	assert_leaves(f, 0, 4, 0);
	entries[511] &= ~WRITE; /* other flags */
	entries[512 + 7] += PAGE; /* not consecutive */
	entries[1024 + 511] = 0; /* a hole */
	for (i = 3 * 512; i < 4 * 512; i++)
		entries[i] += PAGE; /* not aligned */
	assert_int_equal(
		hmmu_mirror_map_entries(f->mirror, BASE, 4 * 512, entries), 0);
	assert_leaves(f, 4 * 512 - 1, 0, 0);
	memset(entries, 0, sizeof(entries));
	assert_int_equal(
		hmmu_mirror_map_entries(f->mirror, BASE, 4 * 512, entries), 0);
	assert_int_equal(stats_of(f).tables, 1);
}

static void test_mirror_map_entries_checks_entries(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror *m = f->mirror;
	uint64_t entries[2] = { PAGE | VALID, PAGE };

	assert_int_equal(hmmu_mirror_map_entries(m, BASE, 2, entries), -EINVAL);
	entries[1] = PAGE | VALID | HMMU_MIRROR_TABLE;
	assert_int_equal(hmmu_mirror_map_entries(m, BASE, 2, entries),
			 -EOPNOTSUPP);
	entries[1] = PAGE | VALID | 1ull << HMMU_MIRROR_LEVEL_SHIFT;
	assert_int_equal(hmmu_mirror_map_entries(m, BASE, 2, entries),
			 -EOPNOTSUPP);
	entries[1] = PAGE | VALID;
	assert_int_equal(hmmu_mirror_map_entries(m, BASE + 8, 2, entries),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_entries(m, BASE, 0, entries), -EINVAL);
	assert_int_equal(hmmu_mirror_map_entries(m, BASE, 2, NULL), -EINVAL);
	assert_int_equal(hmmu_mirror_map_entries(m, BASE, SIZE_MAX, entries),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_map_entries(m, (1ul << 48) - PAGE, 2,
						 entries),
			 -EINVAL);
	assert_leaves(f, 0, 0, 0);
}

static void test_mirror_unmap_counts_pages(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unmap(f, BASE, HUGE_), 0);
	map(f, BASE + PAGE, 3 * PAGE, 0, 0);
	assert_int_equal(unmap(f, BASE, 3 * PAGE), 2);
	assert_int_equal(unmap(f, 0, 1ul << 48), 1);
	map(f, BASE, 2 * HUGE_, 0, 0);
	map(f, BASE + LARGE, LARGE, PAGE, 0);
	map(f, BASE + 2 * HUGE_, PAGE, 0, 0);
	assert_int_equal(unmap(f, BASE, 3 * HUGE_), 2 * 512 * 512 + 1);
	assert_int_equal(hmmu_mirror_unmap_range(f->mirror, BASE, PAGE, NULL),
			 0);
}

static void test_mirror_unmap_splits_both_ends(void **state)
{
	struct fixture *f = *state;

	map(f, BASE, 2 * HUGE_, 0, WRITE);
	assert_int_equal(unmap(f, BASE + HUGE_ - LARGE - PAGE,
			       2 * LARGE + 2 * PAGE),
			 2 * 512 + 2);
	assert_leaves(f, 2 * 511, 2 * 510, 0);
	assert_int_equal(look_page(f, BASE + HUGE_ - LARGE - 2 * PAGE),
			 (HUGE_ - LARGE - 2 * PAGE) | WRITE | VALID);
	assert_int_equal(look(f, BASE + HUGE_ - LARGE - PAGE), 0);
	assert_int_equal(look(f, BASE + HUGE_ + LARGE), 0);
	assert_int_equal(look_page(f, BASE + HUGE_ + LARGE + PAGE),
			 (HUGE_ + LARGE + PAGE) | WRITE | VALID);
}

static void test_mirror_unmap_prunes_at_once(void **state)
{
	struct fixture *f = *state;
	uintptr_t far = BASE + (5ul << 39);

	map(f, BASE, 2 * PAGE, 0, 0);
	map(f, far, PAGE, 0, 0);
	assert_int_equal(stats_of(f).tables, 1 + 3 + 3);
	assert_int_equal(unmap(f, BASE, PAGE), 1);
	assert_int_equal(stats_of(f).tables, 1 + 3 + 3);
	assert_int_equal(unmap(f, BASE + PAGE, PAGE), 1);
	assert_int_equal(stats_of(f).tables, 1 + 3);
	assert_int_equal(look_page(f, far), 0 | VALID);
	assert_int_equal(unmap(f, far, PAGE), 1);
	assert_int_equal(stats_of(f).tables, 1);
}

static void test_mirror_protect_clears_flags(void **state)
{
	struct fixture *f = *state;
	uint64_t flags = WRITE | HMMU_MIRROR_USER0;

	map(f, BASE, 3 * LARGE, 0, flags);
	map(f, BASE + 3 * LARGE, 2 * PAGE, 0, flags);
	/* From the middle of the first large leaf over a hole. */
	assert_int_equal(hmmu_mirror_protect_range(f->mirror, BASE + PAGE,
						   3 * LARGE, WRITE),
			 0);
	assert_leaves(f, 512 + 2, 2, 0);
	assert_int_equal(look_page(f, BASE), flags | VALID);
	assert_int_equal(look_page(f, BASE + PAGE),
			 PAGE | HMMU_MIRROR_USER0 | VALID);
	assert_int_equal(look_page(f, BASE + 2 * LARGE),
			 2 * LARGE | HMMU_MIRROR_USER0 | VALID);
	assert_int_equal(look_page(f, BASE + 3 * LARGE),
			 HMMU_MIRROR_USER0 | VALID);
	assert_int_equal(look_page(f, BASE + 3 * LARGE + PAGE),
			 PAGE | flags | VALID);
	/* What has none of the flags is not split. */
	assert_int_equal(hmmu_mirror_protect_range(f->mirror, BASE + LARGE,
						   PAGE, WRITE),
			 0);
	assert_leaves(f, 512 + 2, 2, 0);
}

static void test_mirror_protect_checks_flags(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hmmu_mirror_protect_range(f->mirror, BASE, PAGE,
						   VALID),
			 -EINVAL);
	assert_int_equal(hmmu_mirror_protect_range(f->mirror, BASE, PAGE,
						   1u << 9),
			 -EOPNOTSUPP);
}

static void coalesce(struct fixture *f, uintptr_t start, size_t bytes)
{
	assert_int_equal(hmmu_mirror_coalesce_range(f->mirror, start, bytes),
			 0);
}

static void test_mirror_coalesce_makes_large(void **state)
{
	struct fixture *f = *state;
	uintptr_t va;

	for (va = BASE; va < BASE + 2 * LARGE; va += PAGE)
		map(f, va, PAGE, va + 4 * LARGE, WRITE);
	assert_leaves(f, 1024, 0, 0);
	coalesce(f, BASE + PAGE, 2 * LARGE - 2 * PAGE); /* none is whole */
	assert_leaves(f, 1024, 0, 0);
	coalesce(f, BASE + PAGE, 2 * LARGE - PAGE); /* the second is */
	assert_leaves(f, 512, 1, 0);
	coalesce(f, BASE, LARGE);
	assert_leaves(f, 0, 2, 0);
	assert_int_equal(look_page(f, BASE + LARGE + 5 * PAGE),
			 (BASE + 5 * LARGE + 5 * PAGE) | WRITE | VALID);
}

static void test_mirror_coalesce_leaves_what_differs(void **state)
{
	struct fixture *f = *state;

	map(f, BASE, LARGE, PAGE, WRITE); /* misaligned */
	map(f, BASE + LARGE, LARGE, LARGE, WRITE);
	assert_int_equal(hmmu_mirror_protect_range(f->mirror,
						   BASE + 2 * LARGE - PAGE,
						   PAGE, WRITE),
			 0); /* other flags */
	map(f, BASE + 2 * LARGE, LARGE, 2 * LARGE, 0);
	assert_int_equal(unmap(f, BASE + 2 * LARGE, PAGE), 1); /* a hole */
	map(f, BASE + 3 * LARGE, LARGE, 3 * LARGE, 0);
	map(f, BASE + 3 * LARGE + 9 * PAGE, PAGE, 0, 0); /* out of line */
	coalesce(f, BASE, HUGE_);
	assert_leaves(f, 4 * 512 - 1, 0, 0);
}

static void test_mirror_coalesce_makes_huge(void **state)
{
	struct fixture *f = *state;

	map(f, BASE, HUGE_, 4 * HUGE_, WRITE);
	map(f, BASE + 7 * PAGE, PAGE, 0, WRITE);
	map(f, BASE + 7 * PAGE, PAGE, 4 * HUGE_ + 7 * PAGE, WRITE);
	assert_leaves(f, 512, 511, 0);
	coalesce(f, BASE, HUGE_ - PAGE); /* all but the last page */
	assert_leaves(f, 0, 512, 0);
	coalesce(f, BASE - HUGE_, 3 * HUGE_);
	assert_leaves(f, 0, 0, 1);
	assert_int_equal(stats_of(f).tables, 2);
	assert_int_equal(look_page(f, BASE + 7 * PAGE),
			 (4 * HUGE_ + 7 * PAGE) | WRITE | VALID);
}

static void test_mirror_memory_is_tables_only(void **state)
{
	struct fixture *f = *state;
	struct hmmu_arena_stats before, after;
	struct hmmu_mirror_stats stats;

	hmmu__arena_stats(&before);
	/* 64 GiB of large leaves: 4 KiB per GiB, and the one table above. */
	map(f, 64 * HUGE_, 64 * HUGE_, LARGE, 0);
	stats = stats_of(f);
	assert_int_equal(stats.leaves[1], 64 * 512);
	assert_int_equal(stats.tables, 1 + 1 + 64);
	hmmu__arena_stats(&after);
	assert_int_equal(after.used_bytes - before.used_bytes,
			 (stats.tables - 1) * 4096);
	assert_int_equal(unmap(f, 0, 1ul << 48), 64 * 512 * 512);
	/* 1 GiB of small ones: 2 MiB of tables, and the two above. */
	map(f, 64 * HUGE_, HUGE_, PAGE, 0);
	assert_int_equal(stats_of(f).tables, 1 + 1 + 1 + 512);
	assert_int_equal(unmap(f, 0, 1ul << 48), 512 * 512);
	assert_int_equal(stats_of(f).tables, 1);
	hmmu_mirror_synchronize(f->mirror);
	assert_int_equal(stats_of(f).dead_tables, 0);
	hmmu__arena_stats(&after);
	assert_int_equal(after.used_bytes, before.used_bytes);
}

static void test_mirror_graves_wait_for_readers(void **state)
{
	struct fixture *f = *state;
	struct hmmu_arena_stats before, after;
	uint64_t entry;
	unsigned int i;

	map(f, BASE, 200 * LARGE, PAGE, 0);
	hmmu_mirror_read_begin(f->mirror, f->reader);
	assert_true(hmmu_mirror_lookup(f->mirror, BASE, &entry));
	hmmu__arena_stats(&before);
	for (i = 0; i < 200; i++)
		assert_int_equal(unmap(f, BASE + i * LARGE, LARGE), 512);
	assert_false(hmmu_mirror_lookup(f->mirror, BASE, &entry));
	assert_int_equal(stats_of(f).tables, 1);
	assert_int_equal(stats_of(f).dead_tables, 202);
	hmmu__arena_stats(&after);
	assert_int_equal(after.used_bytes, before.used_bytes);
	hmmu_mirror_read_end(f->mirror, f->reader);
	hmmu_mirror_synchronize(f->mirror);
	assert_int_equal(stats_of(f).dead_tables, 0);
}

static void test_mirror_graves_do_not_pile_up(void **state)
{
	struct fixture *f = *state;
	uint64_t most = 0;
	unsigned int i;

	for (i = 0; i < 2000; i++) {
		map(f, BASE, PAGE, 0, 0);
		assert_int_equal(unmap(f, BASE, PAGE), 1);
		if (stats_of(f).dead_tables > most)
			most = stats_of(f).dead_tables;
	}
	/* 6000 tables have died; nobody reads and nobody synchronizes. */
	assert_in_range(most, 1, 128);
}

static void test_mirror_walk_reports_leaves_in_order(void **state)
{
	static const struct hmmu_mirror_run want[] = {
		{ BASE, BASE + PAGE, 7 * PAGE, VALID },
		{ BASE + PAGE, BASE + 2 * PAGE, 8 * PAGE, VALID },
		{ BASE + LARGE, BASE + 2 * LARGE, 4 * LARGE, VALID | WRITE },
		{ BASE + HUGE_, BASE + 2 * HUGE_, HUGE_, VALID },
		{ BASE + (1ul << 39), BASE + (1ul << 39) + PAGE, 0, VALID },
	};
	static const unsigned int lg2[] = { 12, 12, 21, 30, 12 };
	struct fixture *f = *state;
	struct hmmu_mirror_walk walk;
	size_t n = 0;

	map(f, BASE, 2 * PAGE, 7 * PAGE, 0);
	map(f, BASE + LARGE, LARGE, 4 * LARGE, WRITE);
	map(f, BASE + HUGE_, HUGE_, HUGE_, 0);
	map(f, BASE + (1ul << 39), PAGE, 0, 0);
	hmmu_mirror_read_begin(f->mirror, f->reader);
	hmmu_mirror_walk_range(&walk, f->mirror, 0, UINTPTR_MAX,
			       HMMU_MIRROR_WALK_LEAVES);
	for (; hmmu_mirror_walk_next(&walk); n++) {
		assert_in_range(n, 0, 4);
		assert_run(&walk.run, want[n].start, want[n].end,
			   want[n].payload, want[n].flags);
		assert_int_equal(walk.leaf_lg2, lg2[n]);
	}
	assert_int_equal(n, 5);
	assert_false(hmmu_mirror_walk_next(&walk));
	hmmu_mirror_read_end(f->mirror, f->reader);
}

static void test_mirror_walk_runs_are_cut_to_range(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_walk walk;

	/* Small, large and huge leaves, all of one run; then other flags. */
	map(f, BASE - LARGE - PAGE, PAGE + LARGE + HUGE_, BASE - LARGE - PAGE,
	    0);
	map(f, BASE + HUGE_, LARGE, BASE + HUGE_, WRITE);
	hmmu_mirror_read_begin(f->mirror, f->reader);
	hmmu_mirror_walk_range(&walk, f->mirror, BASE - LARGE - PAGE,
			       LARGE + HUGE_ + 2 * PAGE, HMMU_MIRROR_WALK_RUNS);
	assert_true(hmmu_mirror_walk_next(&walk));
	assert_run(&walk.run, BASE - LARGE - PAGE, BASE + HUGE_,
		   BASE - LARGE - PAGE, VALID);
	assert_true(hmmu_mirror_walk_next(&walk));
	assert_run(&walk.run, BASE + HUGE_, BASE + HUGE_ + PAGE, BASE + HUGE_,
		   VALID | WRITE);
	assert_false(hmmu_mirror_walk_next(&walk));
	/* A range within one leaf, not aligned; and an empty one. */
	hmmu_mirror_walk_range(&walk, f->mirror, BASE + PAGE + 1, PAGE,
			       HMMU_MIRROR_WALK_LEAVES);
	assert_true(hmmu_mirror_walk_next(&walk));
	assert_run(&walk.run, BASE + PAGE, BASE + 3 * PAGE, BASE + PAGE, VALID);
	assert_false(hmmu_mirror_walk_next(&walk));
	hmmu_mirror_walk_range(&walk, f->mirror, BASE, 0,
			       HMMU_MIRROR_WALK_LEAVES);
	assert_false(hmmu_mirror_walk_next(&walk));
	hmmu_mirror_walk_range(&walk, f->mirror, BASE + 1, 0,
			       HMMU_MIRROR_WALK_LEAVES);
	assert_false(hmmu_mirror_walk_next(&walk));
	/* One that wraps is walked to the end. */
	hmmu_mirror_walk_range(&walk, f->mirror, BASE + HUGE_, SIZE_MAX,
			       HMMU_MIRROR_WALK_RUNS);
	assert_true(hmmu_mirror_walk_next(&walk));
	assert_run(&walk.run, BASE + HUGE_, BASE + HUGE_ + LARGE, BASE + HUGE_,
		   VALID | WRITE);
	assert_false(hmmu_mirror_walk_next(&walk));
	hmmu_mirror_walk_range(&walk, f->mirror, 1ul << 50, PAGE,
			       HMMU_MIRROR_WALK_RUNS);
	assert_false(hmmu_mirror_walk_next(&walk));
	hmmu_mirror_read_end(f->mirror, f->reader);
}

static void test_mirror_run_crosses_tables(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_run run;
	uintptr_t start = BASE - 3 * PAGE;
	uintptr_t end = BASE + 2 * LARGE + 5 * PAGE;

	map(f, start, end - start, start, WRITE);
	map(f, end, PAGE, end + PAGE, WRITE);
	assert_leaves(f, 3 + 5 + 1, 2, 0);
	assert_true(look_run(f, BASE + 0x123, HUGE_, &run));
	assert_run(&run, start, end, start, WRITE | VALID);
	assert_true(look_run(f, start, HUGE_, &run));
	assert_run(&run, start, end, start, WRITE | VALID);
	assert_true(look_run(f, end - 1, HUGE_, &run));
	assert_run(&run, start, end, start, WRITE | VALID);
	assert_true(look_run(f, end, HUGE_, &run));
	assert_run(&run, end, end + PAGE, end + PAGE, WRITE | VALID);
	assert_false(look_run(f, start - 1, HUGE_, &run));
	assert_int_equal(run.end, 0);
}

static void test_mirror_run_stops_at_bound(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_run run;

	map(f, BASE, LARGE, 3 * PAGE, 0); /* small leaves */
	assert_true(look_run(f, BASE + 100 * PAGE, 0, &run));
	assert_run(&run, BASE + 100 * PAGE, BASE + 101 * PAGE, 103 * PAGE,
		   VALID);
	assert_true(look_run(f, BASE + 100 * PAGE, 4 * PAGE, &run));
	assert_run(&run, BASE + 96 * PAGE, BASE + 104 * PAGE, 99 * PAGE, VALID);
	assert_true(look_run(f, BASE + 2 * PAGE, SIZE_MAX, &run));
	assert_run(&run, BASE, BASE + LARGE, 3 * PAGE, VALID);
	/* A leaf is never cut. */
	map(f, BASE, LARGE, 0, 0);
	assert_true(look_run(f, BASE + 100 * PAGE, PAGE, &run));
	assert_run(&run, BASE, BASE + LARGE, 0, VALID);
}

static void test_mirror_run_at_ends_of_space(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_run run;
	uintptr_t top = 1ul << 48;

	map(f, 0, 2 * PAGE, 0, 0);
	map(f, top - 2 * PAGE, 2 * PAGE, 0, 0);
	assert_true(look_run(f, PAGE, SIZE_MAX, &run));
	assert_run(&run, 0, 2 * PAGE, 0, VALID);
	assert_true(look_run(f, top - 1, SIZE_MAX, &run));
	assert_run(&run, top - 2 * PAGE, top, 0, VALID);
}

static void test_mirror_stats_check_arguments(void **state)
{
	struct fixture *f = *state;
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) - 1 };

	assert_int_equal(hmmu_mirror_get_stats(f->mirror, &stats), -EINVAL);
	assert_int_equal(hmmu_mirror_get_stats(f->mirror, NULL), -EINVAL);
	assert_int_equal(hmmu_mirror_get_stats(NULL, &stats), -EINVAL);
}

#define RULE(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)
#define RULE_57(name) cmocka_unit_test_setup_teardown(name, setup_57, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mirror_create_checks_options),
		RULE(test_mirror_reader_checks_arguments),
		RULE(test_mirror_range_is_checked),
		RULE(test_mirror_ranges_round_outwards),
		RULE(test_mirror_map_checks_payload_and_flags),
		RULE(test_mirror_lookup_finds_page_in_leaf),
		RULE(test_mirror_lookup_beyond_space_is_not_mapped),
		RULE_57(test_mirror_57_bits),
		RULE(test_mirror_map_uses_largest_leaves),
		RULE(test_mirror_map_replaces),
		RULE(test_mirror_map_entries_is_exact),
		RULE(test_mirror_map_entries_finds_large_pages),
		RULE(test_mirror_map_entries_checks_entries),
		RULE(test_mirror_unmap_counts_pages),
		RULE(test_mirror_unmap_splits_both_ends),
		RULE(test_mirror_unmap_prunes_at_once),
		RULE(test_mirror_protect_clears_flags),
		RULE(test_mirror_protect_checks_flags),
		RULE(test_mirror_coalesce_makes_large),
		RULE(test_mirror_coalesce_leaves_what_differs),
		RULE(test_mirror_coalesce_makes_huge),
		RULE(test_mirror_memory_is_tables_only),
		RULE(test_mirror_graves_wait_for_readers),
		RULE(test_mirror_graves_do_not_pile_up),
		RULE(test_mirror_walk_reports_leaves_in_order),
		RULE(test_mirror_walk_runs_are_cut_to_range),
		RULE(test_mirror_run_crosses_tables),
		RULE(test_mirror_run_stops_at_bound),
		RULE(test_mirror_run_at_ends_of_space),
		RULE(test_mirror_stats_check_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
