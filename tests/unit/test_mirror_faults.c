/* SPDX-License-Identifier: MIT */
/*
 * Every allocation of every mirror call fails once: the call says -ENOMEM, and
 * the mirror is as it was.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <hmmu/mirror.h>

#include "base/arena.h"
#include "base/fault_point.h"
#include "pagetable/mirror_walk.h"

#define PAGE	  HMMU_PAGE_BYTES
#define LARGE	  HMMU_LARGE_BYTES
#define BASE	  (512ul << 30) /* a boundary of every level */
#define STEPS_MAX 4096u
#define SWEEP_MAX 64u

/* All leaves of a mirror in order, and its figures. */
struct snapshot {
	size_t n;
	struct hmmu_mirror_run run[STEPS_MAX];
	struct hmmu_mirror_stats stats;
	size_t used_bytes;
};

static struct hmmu_mirror *mirror;
static struct hmmu_mirror_reader *reader;
static struct snapshot before, after;
static uint64_t entries[3 * 512];

static void snapshot_take(struct snapshot *s)
{
	struct hmmu_arena_stats arena;
	struct hmmu_mirror_walk walk;

	memset(s, 0, sizeof(*s));
	hmmu_mirror_read_begin(mirror, reader);
	hmmu_mirror_walk_range(&walk, mirror, 0, UINTPTR_MAX,
			       HMMU_MIRROR_WALK_LEAVES);
	while (hmmu_mirror_walk_next(&walk)) {
		assert_true(s->n < STEPS_MAX);
		s->run[s->n++] = walk.run;
	}
	hmmu_mirror_read_end(mirror, reader);
	s->stats.size = sizeof(s->stats);
	assert_int_equal(hmmu_mirror_get_stats(mirror, &s->stats), 0);
	hmmu__arena_stats(&arena);
	s->used_bytes = arena.used_bytes;
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(hmmu_mirror_create(NULL, &mirror), 0);
	assert_int_equal(hmmu_mirror_reader_create(mirror, &reader), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hmmu_mirror_reader_destroy(mirror, reader);
	hmmu_mirror_destroy(mirror);
	return 0;
}

/* Make @operation fail at its 1st, 2nd, ... allocation until none is left.
 * It must have had @want of them. */
static void sweep(int (*operation)(void), unsigned int want)
{
	unsigned int n;
	bool failed;
	int err;

	snapshot_take(&before);
	for (n = 1; n < SWEEP_MAX; n++) {
		hmmu__fault_points_arm_thread(n);
		err = operation();
		failed = hmmu__fault_points_failed() != NULL;
		hmmu__fault_points_disarm();
		if (!failed)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_true(hmmu__mirror_is_valid(mirror));
		snapshot_take(&after);
		assert_memory_equal(&before, &after, sizeof(before));
	}
	assert_int_equal(err, 0);
	assert_true(hmmu__mirror_is_valid(mirror));
	/* The arena may have points of its own. */
	assert_true(n - 1 >= want);
}

static int map_across_everything(void)
{
	return hmmu_mirror_map_range(mirror, BASE - 2 * LARGE - PAGE,
				     4 * LARGE + 2 * PAGE, PAGE, 0);
}

static void test_mirror_map_fails_whole(void **state)
{
	(void)state;
	assert_int_equal(hmmu_mirror_map_range(mirror, BASE - LARGE, 2 * LARGE,
					       BASE - LARGE, 0),
			 0);
	sweep(map_across_everything, 6);
}

static int map_new_region(void)
{
	return hmmu_mirror_map_range(mirror, BASE, PAGE, 0, 0);
}

static void test_mirror_map_of_new_region_fails_whole(void **state)
{
	(void)state;
	sweep(map_new_region, 3);
}

static int map_entries(void)
{
	return hmmu_mirror_map_entries(mirror, BASE - 512 * PAGE, 3 * 512,
				       entries);
}

static void test_mirror_map_entries_fails_whole(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < 3 * 512; i++)
		entries[i] = i % 2 ? 0 : i * PAGE | HMMU_MIRROR_VALID;
	assert_int_equal(hmmu_mirror_map_range(mirror, BASE, LARGE, 0, 0), 0);
	sweep(map_entries, 1 + 5);
}

static int unmap_middle(void)
{
	return hmmu_mirror_unmap_range(mirror, BASE - PAGE, 2 * PAGE, NULL);
}

static void test_mirror_unmap_fails_whole(void **state)
{
	(void)state;
	assert_int_equal(hmmu_mirror_map_range(mirror, BASE - HMMU_HUGE_BYTES,
					       2 * HMMU_HUGE_BYTES, 0, 0),
			 0);
	sweep(unmap_middle, 4);
}

static int unmap_hole(void)
{
	return hmmu_mirror_unmap_range(mirror, BASE + PAGE, PAGE, NULL);
}

static void test_mirror_unmap_of_hole_fails_whole(void **state)
{
	(void)state;
	assert_int_equal(
		hmmu_mirror_map_range(mirror, BASE, HMMU_HUGE_BYTES, 0, 0), 0);
	sweep(unmap_hole, 2);
}

static int protect_middle(void)
{
	return hmmu_mirror_protect_range(mirror, BASE - PAGE, 2 * PAGE,
					 HMMU_MIRROR_WRITE);
}

static void test_mirror_protect_fails_whole(void **state)
{
	(void)state;
	assert_int_equal(hmmu_mirror_map_range(mirror, BASE - HMMU_HUGE_BYTES,
					       2 * HMMU_HUGE_BYTES, 0,
					       HMMU_MIRROR_WRITE),
			 0);
	sweep(protect_middle, 4);
}

static int create_and_destroy(void)
{
	struct hmmu_mirror *other = NULL;
	int err = hmmu_mirror_create(NULL, &other);

	if (err)
		assert_null(other);
	hmmu_mirror_destroy(other);
	return err;
}

static void test_mirror_create_fails_clean(void **state)
{
	(void)state;
	sweep(create_and_destroy, 1);
}

static int reader_create_and_destroy(void)
{
	struct hmmu_mirror_reader *other = NULL;
	int err = hmmu_mirror_reader_create(mirror, &other);

	hmmu_mirror_reader_destroy(mirror, other);
	return err;
}

static void test_mirror_reader_create_fails_clean(void **state)
{
	(void)state;
	sweep(reader_create_and_destroy, 1);
}

/* Taking away and merging must work when there is no memory at all. */
static void test_mirror_unmap_of_leaves_needs_no_memory(void **state)
{
	uintptr_t far = BASE + 8 * HMMU_HUGE_BYTES;

	(void)state;
	assert_int_equal(
		hmmu_mirror_map_range(mirror, BASE, 4 * LARGE, PAGE, 0), 0);
	assert_int_equal(hmmu_mirror_map_range(mirror, far, HMMU_HUGE_BYTES, 0,
					       HMMU_MIRROR_WRITE),
			 0);
	hmmu__fault_points_arm_thread(1);
	assert_int_equal(hmmu_mirror_unmap_range(mirror, BASE, PAGE, NULL), 0);
	assert_int_equal(hmmu_mirror_protect_range(mirror, far, HMMU_HUGE_BYTES,
						   HMMU_MIRROR_WRITE),
			 0);
	assert_int_equal(hmmu_mirror_coalesce_range(mirror, 0, 1ul << 48), 0);
	assert_int_equal(hmmu_mirror_unmap_range(mirror, 0, 1ul << 48, NULL),
			 0);
	assert_null(hmmu__fault_points_failed());
	assert_int_equal(hmmu__fault_points_hits(), 0);
	hmmu__fault_points_disarm();
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(test_mirror_map_fails_whole),
		RULE(test_mirror_map_of_new_region_fails_whole),
		RULE(test_mirror_map_entries_fails_whole),
		RULE(test_mirror_unmap_fails_whole),
		RULE(test_mirror_unmap_of_hole_fails_whole),
		RULE(test_mirror_protect_fails_whole),
		RULE(test_mirror_create_fails_clean),
		RULE(test_mirror_reader_create_fails_clean),
		RULE(test_mirror_unmap_of_leaves_needs_no_memory),
	};

	if (!HMMU_FAULT_POINTS) {
		print_message("skipped: built without HMMU_FAULT_POINTS\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
