/* SPDX-License-Identifier: MIT */
/*
 * Migration to a device: which pages move and where to, why others stay, what
 * is reported, and what a failure leaves.
 */
#include "tests/unit/core_fixture.h"

#include <hmmu/log.h>

#define RO	  (HMMU_VMA_READ | HMMU_VMA_ANON)
#define SHARED_RW (HMMU_VMA_READ | HMMU_VMA_WRITE | HMMU_VMA_SHARED)
#define BLOCK	  HMMU_PAGES_PER_LARGE

static struct hmmu_device *device;
static struct hmmu_migrate_result result;

static int setup(void **state)
{
	int err = core_setup(state);

	device = core_device(0, 4);
	return err;
}

static int migrate(uintptr_t addr, size_t bytes)
{
	int err;

	memset(&result, 0, sizeof(result));
	err = core_migrate(device, addr, bytes, &result);
	/* MV2: each page is accounted for. */
	if (!err)
		assert_int_equal(result.pages_moved + result.pages_already +
					 result.pages_stayed,
				 bytes / PAGE);
	core_check();
	return err;
}

static unsigned int leaf_lg2(uintptr_t addr)
{
	return hmmu_mirror_leaf_lg2(core_leaf(device, addr));
}

/* --- what moves ---------------------------------------------------------------- */

static void test_migrate_moves_content(void **state)
{
	(void)state;
	core_map_filled(BASE, 20 * PAGE);
	assert_int_equal(migrate(BASE + PAGE, 8 * PAGE), 0);
	assert_int_equal(result.pages_moved, 8);
	assert_int_equal(result.large_moved, 0);
	core_device_expect(device, BASE, 20 * PAGE, 1);
	assert_int_equal(core_device_pages(), 8);
	assert_int_equal(core_stats().pages_to_device, 8);
	/* MV4: again, and all of it is there. */
	assert_int_equal(migrate(BASE + PAGE, 8 * PAGE), 0);
	assert_int_equal(result.pages_already, 8);
	array_expect(core.m, BASE, 20 * PAGE, 1);
}

/* MV8, MV9: absent pages and the zero page become pages of zeroes. */
static void test_migrate_mv8_absent_pages_become_zeroes(void **state)
{
	uint64_t v = 1;

	(void)state;
	core.m->has_zero = true;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	assert_int_equal(array_load(core.m, BASE, &v), 0);
	assert_int_equal(array_page(core.m, BASE)->state, ARRAY_ZERO);
	assert_int_equal(migrate(BASE, 4 * PAGE), 0);
	assert_int_equal(result.pages_moved, 4);
	assert_int_equal(core_device_load(device, BASE), 0);
	assert_int_equal(core_device_load(device, BASE + 3 * PAGE), 0);
	core_device_store(device, BASE + 2 * PAGE, 5);
	assert_int_equal(array_load(core.m, BASE + 2 * PAGE, &v), 0);
	assert_int_equal(v, 5);
}

/* MV16, MV25 */
static void test_migrate_mv16_large_pages_move_whole(void **state)
{
	(void)state;
	core_map_large(BASE, 2);
	core_map_filled(BASE + 2 * LARGE, LARGE);
	assert_int_equal(migrate(BASE, 3 * LARGE), 0);
	assert_int_equal(result.pages_moved, 3 * BLOCK);
	assert_int_equal(result.large_moved, 2);
	assert_int_equal(core_stats().large_to_device, 2);
	/* Places in a row: one call for each mapping. */
	assert_int_equal(array_calls(core.m, ARRAY_TAKE), 2);
	core_device_expect(device, BASE, 2 * LARGE, 1);
	core_device_expect(device, BASE + 2 * LARGE, LARGE, 1);
	assert_int_equal(leaf_lg2(BASE + LARGE), HMMU_LARGE_LG2);
	/* Small pages in the order of their addresses: a large leaf, too. */
	assert_int_equal(leaf_lg2(BASE + 2 * LARGE), HMMU_LARGE_LG2);
}

/* More blocks than one batch locks. */
static void test_migrate_in_batches(void **state)
{
	const size_t blocks = 18;

	(void)state;
	core_end_device(0);
	device = core_device(0, blocks);
	core.m->has_large = true;
	array_map(core.m, BASE, blocks * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE + 5 * LARGE, PAGE, 1);
	array_fill(core.m, BASE + 17 * LARGE, PAGE, 2);
	assert_int_equal(migrate(BASE, blocks * LARGE), 0);
	assert_int_equal(result.pages_moved, blocks * BLOCK);
	assert_int_equal(result.large_moved, 2);
	assert_int_equal(array_calls(core.m, ARRAY_TAKE), 2);
	core_device_expect(device, BASE + 5 * LARGE, PAGE, 1);
	core_device_expect(device, BASE + 17 * LARGE, PAGE, 2);
}

/* MV17, DP8: the part that is not asked for stays, as small pages. */
static void test_migrate_mv17_part_of_a_large_page(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	assert_int_equal(migrate(BASE + 10 * PAGE, 100 * PAGE), 0);
	assert_int_equal(result.pages_moved, 100);
	assert_int_equal(result.large_moved, 0);
	assert_false(array_page(core.m, BASE)->is_large);
	core_device_expect(device, BASE, LARGE, 1);
	array_expect(core.m, BASE, LARGE, 1);
}

/* MV24: no large place: one by one, and by request also the first time. */
static void test_migrate_mv24_large_page_without_a_large_place(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	assert_int_equal(hmmu_memory_fail_large(core.memory[0]), 0);
	assert_int_equal(migrate(BASE, LARGE), 0);
	assert_int_equal(result.pages_moved, BLOCK);
	assert_int_equal(result.large_moved, 0);
	core_device_expect(device, BASE, LARGE, 1);
	/* It is not large in the device's memory either. */
	assert_int_equal(leaf_lg2(BASE), HMMU_PAGE_LG2);
	/* Every chunk has a page of somebody's: 3 * 511 single ones are left. */
	array_unmap(core.m, BASE, LARGE);
	core_map_filled(BASE + LARGE, 4 * PAGE);
	assert_int_equal(migrate(BASE + LARGE, PAGE), 0);
	core_map_large(BASE + 2 * LARGE, 3);
	assert_int_equal(migrate(BASE + 2 * LARGE, 3 * LARGE), 0);
	assert_int_equal(result.pages_moved, 3 * BLOCK);
	assert_int_equal(result.large_moved, 3);
	core_map_large(BASE + 6 * LARGE, 1);
	assert_int_equal(migrate(BASE + 6 * LARGE, LARGE), 0);
	assert_int_equal(result.pages_moved, BLOCK - 1);
	assert_int_equal(result.stayed[HMMU_STAY_FULL], 1);
	core_device_expect(device, BASE + 6 * LARGE, LARGE - PAGE, 1);
}

/* A chunk that had small pages can not hold a large one until it is emptied. */
static void test_migrate_mv16_into_a_chunk_that_had_small_pages(void **state)
{
	const struct array_failure f = { .times = 1, .err = -ENOMEM };

	(void)state;
	core_end_device(0);
	device = core_device(0, 1);
	core_map_filled(BASE, 4 * PAGE);
	core_map_large(BASE + LARGE, 1);
	assert_int_equal(migrate(BASE, 4 * PAGE), 0);
	assert_int_equal(core_home(BASE, 4 * PAGE, NULL), 0);
	array_fail(core.m, ARRAY_EMPTY, &f);
	assert_int_equal(migrate(BASE + LARGE, LARGE), -ENOMEM);
	assert_int_equal(core_device_pages(), 0);
	assert_int_equal(migrate(BASE + LARGE, LARGE), 0);
	assert_int_equal(result.large_moved, 1);
}

/* What is left of a full chunk is used page by page. */
static void test_migrate_into_single_places(void **state)
{
	(void)state;
	core_end_device(0);
	device = core_device(0, 1);
	core_map_filled(BASE, LARGE);
	core_map_filled(BASE + LARGE, 4 * PAGE);
	assert_int_equal(migrate(BASE, LARGE), 0);
	assert_int_equal(core_home(BASE + 3 * PAGE, PAGE, NULL), 0);
	assert_int_equal(core_home(BASE + 9 * PAGE, PAGE, NULL), 0);
	assert_int_equal(migrate(BASE + LARGE, 4 * PAGE), 0);
	assert_int_equal(result.pages_moved, 2);
	assert_int_equal(result.stayed[HMMU_STAY_FULL], 2);
	core_device_expect(device, BASE + LARGE, 4 * PAGE, 1);
}

/* Pages of a block lie together, in their order, whenever they came. */
static void test_migrate_places_lie_beside_each_other(void **state)
{
	(void)state;
	core_map_filled(BASE, LARGE);
	assert_int_equal(migrate(BASE + 100 * PAGE, 100 * PAGE), 0);
	assert_int_equal(migrate(BASE, 100 * PAGE), 0);
	assert_int_equal(migrate(BASE + 200 * PAGE, LARGE - 200 * PAGE), 0);
	assert_int_equal(core_memory_stats(0).free_chunks, 3);
	assert_int_equal(core_fault(device, BASE, 1, HMMU_ACCESS_READ), 0);
	assert_int_equal(leaf_lg2(BASE), HMMU_LARGE_LG2);
	core_device_expect(device, BASE, LARGE, 1);
}

/* Few pages do not get a chunk each. */
static void test_migrate_small_runs_share_a_chunk(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		core_map_filled(BASE + i * LARGE, 8 * PAGE);
		assert_int_equal(migrate(BASE + i * LARGE, 8 * PAGE), 0);
	}
	assert_int_equal(core_memory_stats(0).free_chunks, 3);
	assert_int_equal(core_memory_stats(0).split_chunks, 1);
}

/* --- what stays ------------------------------------------------------------------ */

/* DP9, MV26, E1; a call may span all of it (MV2). */
static void test_migrate_dp9_kinds_of_memory(void **state)
{
	(void)state;
	core_map_filled(BASE, PAGE);
	array_map(core.m, BASE + 2 * PAGE, PAGE, SHARED_RW);
	array_map(core.m, BASE + 3 * PAGE, PAGE, RO);
	array_map(core.m, BASE + 4 * PAGE, PAGE, HMMU_VMA_ANON);
	array_map(core.m, BASE + 5 * PAGE, PAGE, ARRAY_ANON_RW | HMMU_VMA_OWN);
	array_map(core.m, BASE + 6 * PAGE, PAGE,
		  ARRAY_ANON_RW | HMMU_VMA_SPECIAL);
	core_map_filled(BASE + 7 * PAGE, PAGE);
	assert_int_equal(migrate(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 2);
	assert_int_equal(result.stayed[HMMU_STAY_UNMAPPED], 1 + 8);
	assert_int_equal(result.stayed[HMMU_STAY_KIND], 2);
	assert_int_equal(result.stayed[HMMU_STAY_PROTECTED], 2);
	assert_int_equal(result.stayed[HMMU_STAY_HMMU], 1);
	core_device_expect(device, BASE + 7 * PAGE, PAGE, 1);
}

/* MV11, MV13, MV14: who holds a page keeps it where it is. */
static void test_migrate_mv14_held_pages_stay(void **state)
{
	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	array_stay(core.m, BASE + 2 * PAGE, 2 * PAGE, HMMU_STAY_PINNED);
	array_stay(core.m, BASE + 6 * PAGE, 3 * PAGE, HMMU_STAY_LOCKED);
	assert_int_equal(migrate(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 11);
	assert_int_equal(result.stayed[HMMU_STAY_PINNED], 2);
	assert_int_equal(result.stayed[HMMU_STAY_LOCKED], 3);
	assert_int_equal(array_page(core.m, BASE + 3 * PAGE)->state,
			 ARRAY_PRESENT);
	array_stay(core.m, BASE, 16 * PAGE, -1);
	array_expect(core.m, BASE, 16 * PAGE, 1);
}

/* MV15, E14: what a fork shared becomes the process's own, and moves. */
static void test_migrate_mv15_shared_pages_are_unshared(void **state)
{
	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	array_share(core.m, BASE + 2 * PAGE, 4 * PAGE);
	assert_int_equal(migrate(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 16);
	assert_int_equal(array_calls(core.m, ARRAY_FAULT_IN), 1);
	core_device_expect(device, BASE, 16 * PAGE, 1);
	/* A large one is split by that. */
	core_map_large(BASE + LARGE, 1);
	array_share(core.m, BASE + LARGE, LARGE);
	assert_int_equal(migrate(BASE + LARGE, LARGE), 0);
	assert_int_equal(result.pages_moved, BLOCK);
	assert_int_equal(result.large_moved, 0);
}

/* A page that can not be made the process's own is not tried for ever. */
static void test_migrate_mv15_unsharing_fails(void **state)
{
	const struct array_failure f = { .times = 1, .err = -ENOMEM };

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_share(core.m, BASE + PAGE, PAGE);
	array_fail(core.m, ARRAY_FAULT_IN, &f);
	assert_int_equal(migrate(BASE, 4 * PAGE), 0);
	assert_int_equal(result.pages_moved, 3);
	assert_int_equal(result.stayed[HMMU_STAY_PINNED], 1);
}

/* E1: what the address space excludes, page by page and in a large one. */
static void test_migrate_e1_excluded_pages_stay(void **state)
{
	(void)state;
	core_map_large(BASE, 2);
	array_exclude(core.m, BASE + 7 * PAGE, PAGE, HMMU_STAY_IN_USE);
	array_exclude(core.m, BASE + 9 * PAGE, 2 * PAGE, HMMU_STAY_HMMU);
	assert_int_equal(migrate(BASE, 2 * LARGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_IN_USE], 1);
	assert_int_equal(result.stayed[HMMU_STAY_HMMU], 2);
	assert_int_equal(result.pages_moved, 2 * BLOCK - 3);
	assert_int_equal(result.large_moved, 1);
	assert_int_equal(array_page(core.m, BASE + 9 * PAGE)->state,
			 ARRAY_PRESENT);
}

/* PN2: and what is pinned, of a large page and of small ones. */
static void test_migrate_pn2_pinned_pages_stay(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	core_map_filled(BASE + LARGE, 8 * PAGE);
	assert_int_equal(hmmu_pin_range(core.space, BASE + 3 * PAGE, PAGE), 0);
	assert_int_equal(
		hmmu_pin_range(core.space, BASE + LARGE + PAGE, 2 * PAGE), 0);
	assert_int_equal(migrate(BASE, LARGE + 8 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_PINNED], 3);
	assert_int_equal(result.large_moved, 0);
	assert_int_equal(hmmu_unpin_range(core.space, BASE + 3 * PAGE, PAGE),
			 0);
	assert_int_equal(migrate(BASE, LARGE + 8 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_PINNED], 2);
	assert_int_equal(result.pages_moved, 1);
	assert_int_equal(result.pages_already, BLOCK - 1 + 6);
}

/* MV7 */
static void test_migrate_mv7_pages_of_another_device_stay(void **state)
{
	struct hmmu_device *other = core_device(1, 1);

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	assert_int_equal(core_migrate(other, BASE + 4 * PAGE, 4 * PAGE, NULL),
			 0);
	assert_int_equal(hmmu_device_make_exclusive(other, BASE + 10 * PAGE,
						    2 * PAGE, NULL),
			 0);
	assert_int_equal(migrate(BASE, 16 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_FOREIGN], 4);
	assert_int_equal(result.stayed[HMMU_STAY_EXCLUSIVE], 2);
	assert_int_equal(result.pages_moved, 10);
	core_device_expect(other, BASE + 4 * PAGE, 0, 1);
	array_expect(core.m, BASE, 16 * PAGE, 1);
}

/* MV18, MV20 */
static void test_migrate_mv18_full_memory(void **state)
{
	(void)state;
	core_map_filled(BASE, 6 * LARGE);
	assert_int_equal(migrate(BASE, 6 * LARGE), 0);
	assert_int_equal(result.pages_moved, 4 * BLOCK);
	assert_int_equal(result.stayed[HMMU_STAY_FULL], 2 * BLOCK);
	assert_int_equal(core_memory_stats(0).used_pages, 4 * BLOCK);
	assert_int_equal(array_page(core.m, BASE + 5 * LARGE)->state,
			 ARRAY_PRESENT);
	array_expect(core.m, BASE, 6 * LARGE, 1);
}

/* --- what is asked of the address space ---------------------------------------------- */

static void test_migrate_mapping_that_can_not_be_armed(void **state)
{
	const struct array_failure busy = { .times = 1,
					    .err = -EBUSY,
					    .why = HMMU_STAY_FOREIGN };
	const struct array_failure kernel = { .times = 1,
					      .err = -EBUSY,
					      .why = HMMU_STAY_KERNEL };

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	array_fail(core.m, ARRAY_ARM, &busy);
	assert_int_equal(migrate(BASE, 8 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_FOREIGN], 8);
	array_fail(core.m, ARRAY_ARM, &kernel);
	assert_int_equal(migrate(BASE, 8 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_KERNEL], 8);
	assert_int_equal(array_calls(core.m, ARRAY_TAKE), 0);
}

/* A mapping that changes is looked at again, and given up in the end. */
static void test_migrate_mv11_changing_mapping(void **state)
{
	const struct array_failure thrice = { .times = 3, .err = -EAGAIN };
	const struct array_failure always = { .times = UINT32_MAX,
					      .err = -EAGAIN };

	(void)state;
	core_map_filled(BASE, 2 * PAGE);
	array_fail(core.m, ARRAY_ARM, &thrice);
	assert_int_equal(migrate(BASE, 2 * PAGE), 0);
	assert_int_equal(result.pages_moved, 2);
	assert_int_equal(core_home(BASE, 2 * PAGE, NULL), 0);
	array_fail(core.m, ARRAY_TAKE, &thrice);
	assert_int_equal(migrate(BASE, 2 * PAGE), 0);
	assert_int_equal(result.pages_moved, 2);
	assert_int_equal(core_home(BASE, 2 * PAGE, NULL), 0);
	array_fail(core.m, ARRAY_TAKE, &always);
	assert_int_equal(migrate(BASE, 2 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_CHANGED], 2);
}

/* Nothing is left armed when nothing is on a device. */
static void test_migrate_e2_releases_what_it_armed(void **state)
{
	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_stay(core.m, BASE, 4 * PAGE, HMMU_STAY_LOCKED);
	assert_int_equal(migrate(BASE, 4 * PAGE), 0);
	assert_int_equal(result.pages_moved, 0);
	assert_false(array_page(core.m, BASE)->is_armed);
	array_stay(core.m, BASE, 3 * PAGE, -1);
	assert_int_equal(migrate(BASE, 4 * PAGE), 0);
	assert_true(array_page(core.m, BASE + 3 * PAGE)->is_armed);
	assert_int_equal(core_home(BASE, 4 * PAGE, NULL), 0);
	assert_false(array_page(core.m, BASE)->is_armed);
}

static unsigned int warnings;

static void count_warning(void *arg, enum hmmu_log_level level,
			  const char *text)
{
	(void)arg;
	warnings += level == HMMU_LOG_WARN && strstr(text, "an array with");
}

/* An address space that can not take pages says so, once. */
static void test_migrate_without_take(void **state)
{
	struct hmmu_device *private, *with_coherent;

	(void)state;
	private = core_device(0, 1);
	with_coherent = core_coherent_device(1, 1);
	core_map_filled(BASE, 4 * PAGE);
	warnings = 0;
	hmmu_log_set(count_warning, NULL, HMMU_LOG_WARN);
	assert_int_equal(core_migrate(private, BASE, PAGE, NULL), -EOPNOTSUPP);
	assert_int_equal(hmmu_device_make_exclusive(private, BASE, PAGE, NULL),
			 -EOPNOTSUPP);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
	assert_int_equal(warnings, 1);
	assert_int_equal(core_migrate(with_coherent, BASE, 4 * PAGE, NULL), 0);
	assert_int_equal(core_device_pages(), 4);
	assert_int_equal(core_fault(private, BASE, PAGE, HMMU_ACCESS_WRITE), 0);
}

/* What a migration restricts is logged once for a space, at the first one. */
static void test_migrate_take_warning(void **state)
{
	struct hmmu_device *private, *with_coherent;

	(void)state;
	private = core_device(0, 1);
	with_coherent = core_coherent_device(1, 1);
	core_map_filled(BASE, 4 * PAGE);
	core.m->mm.take_warning = "an array with take";
	warnings = 0;
	hmmu_log_set(count_warning, NULL, HMMU_LOG_WARN);
	assert_int_equal(core_migrate(with_coherent, BASE, PAGE, NULL), 0);
	assert_int_equal(warnings, 0);
	assert_int_equal(core_migrate(private, BASE + PAGE, PAGE, NULL), 0);
	assert_int_equal(warnings, 1);
	assert_int_equal(core_migrate(private, BASE, 4 * PAGE, NULL), 0);
	assert_int_equal(hmmu_device_make_exclusive(private, BASE, PAGE, NULL),
			 0);
	assert_int_equal(warnings, 1);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
}

/* MV3 */
static void test_migrate_mv3_refuses_bad_arguments(void **state)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	struct hmmu_device *bare = core_device(1, 0);

	(void)state;
	assert_int_equal(hmmu_device_migrate(NULL, BASE, PAGE, &r), -EINVAL);
	assert_int_equal(hmmu_device_migrate(bare, BASE, PAGE, &r), -EINVAL);
	assert_int_equal(hmmu_device_migrate(device, BASE, 0, &r), -EINVAL);
	assert_int_equal(hmmu_device_migrate(device, BASE, SIZE_MAX, &r),
			 -EINVAL);
	r.size = 0;
	assert_int_equal(hmmu_device_migrate(device, BASE, PAGE, &r), -EINVAL);
}

/* --- what is reported ------------------------------------------------------------ */

/* IN25, IN27, MV34: also of what stays. */
static void test_migrate_in25_event_and_owner(void **state)
{
	struct hmmu_device *other = core_device(1, 0);
	struct core_log log;

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_map(core.m, BASE + 4 * PAGE, 4 * PAGE, SHARED_RW);
	core_log_begin(&log, BASE, 8 * PAGE);
	assert_int_equal(core_fault(other, BASE, 8 * PAGE, HMMU_ACCESS_READ),
			 0);
	assert_int_equal(migrate(BASE, 8 * PAGE), 0);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.event[0].inv.event, HMMU_EVENT_MIGRATE);
	assert_ptr_equal(log.event[0].inv.owner, device);
	assert_int_equal(log.event[0].inv.end, BASE + 4 * PAGE);
	assert_int_equal(log.event[1].inv.event, HMMU_EVENT_MIGRATE);
	assert_int_equal(log.event[1].inv.start, BASE + 4 * PAGE);
	/* The other device lets go of all of it. */
	assert_int_equal(core_mapped_pages(other, BASE, 8 * PAGE), 0);
	core_log_end(&log);
}

/* --- against a change -------------------------------------------------------------- */

struct stall {
	_Atomic int step;
	struct helper change, migration;
};

static void unmap_pages(void *arg)
{
	(void)arg;
	array_unmap(core.m, BASE, 8 * PAGE);
}

static void discard_pages(void *arg)
{
	(void)arg;
	array_discard(core.m, BASE, 8 * PAGE);
}

static void migrate_pages(void *arg)
{
	int *err = arg;

	*err = core_migrate(device, BASE, 8 * PAGE, &result);
}

/*
 * The order of migrate.c: what is taken between a change of the program's and
 * its drop would be dropped, so nothing is. @mapped_anew: the program maps and
 * fills the range in between.
 */
static void check_conflict(void (*change)(void *arg), bool mapped_anew)
{
	struct stall s = { 0 };
	unsigned int holds;
	int err = 1;

	core_map_filled(BASE, 8 * PAGE);
	array_on(core.m, ARRAY_CHANGED, 1, stall_here, &s.step);
	helper_start(&s.change, change, NULL);
	step_wait(&s.step, 1);
	if (mapped_anew)
		core_map_filled(BASE, 8 * PAGE);
	holds = array_calls(core.m, ARRAY_HOLD);
	helper_start(&s.migration, migrate_pages, &err);
	while (array_calls(core.m, ARRAY_HOLD) == holds)
		hmmu__sched_yield();
	hmmu__sched_sleep(SHORT_NS);
	assert_int_equal(array_calls(core.m, ARRAY_TAKE), 0);
	step_set(&s.step, 2);
	helper_join(&s.change);
	helper_join(&s.migration);
	assert_int_equal(err, 0);
	assert_int_equal(result.pages_moved, 8);
	assert_int_equal(core_device_pages(), 8);
	core_check();
}

static void test_migrate_e8_takes_nothing_between_unmap_and_drop(void **state)
{
	(void)state;
	check_conflict(unmap_pages, true);
	array_expect(core.m, BASE, 8 * PAGE, 1);
}

static void test_migrate_dp14_takes_nothing_between_discard_and_drop(void **s)
{
	(void)s;
	check_conflict(discard_pages, false);
	assert_int_equal(core_device_load(device, BASE), 0);
}

/* The mapping is another by the time it is to be taken. */
static void test_migrate_mapping_changes_before_it_is_taken(void **state)
{
	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	array_on(core.m, ARRAY_ARM, 1, unmap_pages, NULL);
	assert_int_equal(migrate(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 8);
	array_discard(core.m, BASE + 8 * PAGE, 8 * PAGE);
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	array_on(core.m, ARRAY_HOLD, 1, unmap_pages, NULL);
	assert_int_equal(migrate(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 8);
}

/* MV12, RF23: a device fault in the middle waits, and finds the page there. */
static void fault_page(void *arg)
{
	int *err = arg;

	*err = core_fault(device, BASE, PAGE, HMMU_ACCESS_WRITE);
}

static void test_migrate_mv12_fault_meanwhile_waits(void **state)
{
	struct stall s = { 0 };
	int err = 1, fault_err = 1;
	struct helper faulter;

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	assert_int_equal(core_fault(device, BASE, PAGE, HMMU_ACCESS_WRITE), 0);
	array_on(core.m, ARRAY_HOLD, 1, stall_here, &s.step);
	helper_start(&s.migration, migrate_pages, &err);
	step_wait(&s.step, 1);
	assert_int_equal(core_leaf(device, BASE), 0);
	helper_start(&faulter, fault_page, &fault_err);
	assert_false(helper_is_done_soon(&faulter));
	step_set(&s.step, 2);
	helper_join(&s.migration);
	helper_join(&faulter);
	assert_int_equal(err, 0);
	assert_int_equal(fault_err, 0);
	assert_true(core_leaf(device, BASE) & HMMU_DEVICE_LEAF_LOCAL);
	core_check();
}

/* --- coherent memory ------------------------------------------------------------- */

static struct hmmu_device *coherent;

static int setup_coherent(void **state)
{
	int err = core_setup(state);

	device = core_device(0, 4);
	coherent = core_coherent_device(1, 4);
	return err;
}

static int migrate_coherent(uintptr_t addr, size_t bytes)
{
	int err;

	memset(&result, 0, sizeof(result));
	err = core_migrate(coherent, addr, bytes, &result);
	core_check();
	return err;
}

/* DC1, MV8: the CPU keeps the pages, so absent ones are made. */
static void test_migrate_dc1_coherent_pages_stay_with_the_cpu(void **state)
{
	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 4 * PAGE, 1);
	assert_int_equal(migrate_coherent(BASE, 8 * PAGE), 0);
	assert_int_equal(result.pages_moved, 8);
	assert_int_equal(array_page(core.m, BASE + 7 * PAGE)->state,
			 ARRAY_PRESENT);
	assert_int_equal(array_calls(core.m, ARRAY_TAKE), 0);
	core_device_store(coherent, BASE + 4 * PAGE, 9);
	array_expect(core.m, BASE, 4 * PAGE, 1);
	assert_int_equal(core_stats().cpu_faults, 0);
	assert_int_equal(core_device_pages(), 8);
}

/* It need not be writable; it must be anonymous. */
static void test_migrate_coherent_kinds_of_memory(void **state)
{
	(void)state;
	array_map(core.m, BASE, 2 * PAGE, RO);
	array_map(core.m, BASE + 2 * PAGE, 2 * PAGE, SHARED_RW);
	array_map(core.m, BASE + 4 * PAGE, 2 * PAGE, HMMU_VMA_ANON);
	assert_int_equal(migrate_coherent(BASE, 6 * PAGE), 0);
	assert_int_equal(result.pages_moved, 2);
	assert_int_equal(result.stayed[HMMU_STAY_KIND], 2);
	assert_int_equal(result.stayed[HMMU_STAY_PROTECTED], 2);
}

/* What another device has stays there, and is not touched. */
static void test_migrate_coherent_beside_private(void **state)
{
	(void)state;
	core_map_filled(BASE, 12 * PAGE);
	assert_int_equal(core_migrate(device, BASE + 4 * PAGE, 4 * PAGE, NULL),
			 0);
	assert_int_equal(migrate_coherent(BASE, 12 * PAGE), 0);
	assert_int_equal(result.pages_moved, 8);
	assert_int_equal(result.stayed[HMMU_STAY_FOREIGN], 4);
	assert_int_equal(core_stats().pages_home, 0);
	/* Nor does the private one take what is coherent. */
	assert_int_equal(migrate(BASE, 12 * PAGE), 0);
	assert_int_equal(result.stayed[HMMU_STAY_FOREIGN], 8);
	assert_int_equal(result.pages_already, 4);
}

static void check_coherent_answer(enum array_op op, int answer, int want,
				  uint64_t moved, enum hmmu_stay why)
{
	const struct array_failure f = { .times = 1, .err = answer };

	array_fail(core.m, op, &f);
	assert_int_equal(migrate_coherent(BASE, 8 * PAGE), want);
	assert_true(core.m->failed[op]);
	assert_int_equal(result.pages_moved, moved);
	if (!want && !moved)
		assert_int_equal(result.stayed[why], 8);
	assert_int_equal(core_home(BASE, 8 * PAGE, NULL), 0);
}

/* Changes must be reported, so memory that can not be watched stays. */
static void test_migrate_coherent_must_be_watched(void **state)
{
	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	check_coherent_answer(ARRAY_WATCH, -EOPNOTSUPP, 0, 0,
			      HMMU_STAY_FOREIGN);
	check_coherent_answer(ARRAY_WATCH, -EBUSY, 0, 0, HMMU_STAY_FOREIGN);
	check_coherent_answer(ARRAY_WATCH, -ENOMEM, -ENOMEM, 0, 0);
	check_coherent_answer(ARRAY_WATCH, -EAGAIN, 0, 8, 0);
	check_coherent_answer(ARRAY_FAULT_IN, -EFAULT, 0, 8, 0);
	check_coherent_answer(ARRAY_FAULT_IN, -EPERM, 0, 8, 0);
	check_coherent_answer(ARRAY_FAULT_IN, -ENOMEM, -ENOMEM, 0, 0);
}

/* --- failures -------------------------------------------------------------------- */

#define SMALL_PAGES 40u

static int migrate_both(void)
{
	int err = core_migrate(device, BASE, SMALL_PAGES * PAGE, NULL);

	return err ? err : core_migrate(device, BASE + LARGE, LARGE, NULL);
}

/* MV29: what failed is as it was, and works the next time. */
static void home_both(int err)
{
	assert_true(!err || err == -ENOMEM);
	array_expect(core.m, BASE, SMALL_PAGES * PAGE, 1);
	array_expect(core.m, BASE + LARGE, LARGE, 1);
	assert_int_equal(core_home(BASE, 2 * LARGE, NULL), 0);
	assert_int_equal(core_memory_stats(0).used_pages, 0);
	assert_false(array_page(core.m, BASE)->is_armed);
	assert_false(array_page(core.m, BASE + LARGE)->is_armed);
}

static void test_migrate_mv29_sweep(void **state)
{
	(void)state;
	core.m->has_large = true;
	core_map_filled(BASE, SMALL_PAGES * PAGE);
	core_map_large(BASE + LARGE, 1);
	core_sweep(migrate_both, home_both);
}

/* Two runs, so that the block becomes scattered, and a large page. */
static int migrate_all_coherent(void)
{
	int err = core_migrate(coherent, BASE + 5 * PAGE, 4 * PAGE, NULL);

	if (!err)
		err = core_migrate(coherent, BASE, 7 * PAGE, NULL);
	return err ? err : core_migrate(coherent, BASE + LARGE, LARGE, NULL);
}

static void home_all_coherent(int err)
{
	assert_true(!err || err == -ENOMEM);
	array_expect(core.m, BASE, SMALL_PAGES * PAGE, 1);
	array_expect(core.m, BASE + LARGE, LARGE, 1);
	assert_int_equal(core_home(BASE, 2 * LARGE, NULL), 0);
	assert_int_equal(core_memory_stats(1).used_pages, 0);
}

static void test_migrate_coherent_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, SMALL_PAGES * PAGE);
	core_map_large(BASE + LARGE, 1);
	core_sweep(migrate_all_coherent, home_all_coherent);
}

/* What is taken before an error counts, and stays where it went. */
static void test_migrate_mv29_result_of_a_partial_failure(void **state)
{
	const struct array_failure f = { .times = 1,
					 .err = -ENOMEM,
					 .done_bytes = 3 * PAGE };

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	array_fail(core.m, ARRAY_TAKE, &f);
	assert_int_equal(migrate(BASE, 8 * PAGE), -ENOMEM);
	assert_int_equal(result.pages_moved, 3);
	assert_int_equal(core_memory_stats(0).used_pages, 3);
	array_expect(core.m, BASE, 8 * PAGE, 1);
}

#define MIGRATE_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, setup, core_teardown)
#define COHERENT_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, setup_coherent, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MIGRATE_TEST(test_migrate_moves_content),
		MIGRATE_TEST(test_migrate_mv8_absent_pages_become_zeroes),
		MIGRATE_TEST(test_migrate_mv16_large_pages_move_whole),
		MIGRATE_TEST(test_migrate_in_batches),
		MIGRATE_TEST(test_migrate_mv17_part_of_a_large_page),
		MIGRATE_TEST(
			test_migrate_mv24_large_page_without_a_large_place),
		MIGRATE_TEST(
			test_migrate_mv16_into_a_chunk_that_had_small_pages),
		MIGRATE_TEST(test_migrate_into_single_places),
		MIGRATE_TEST(test_migrate_places_lie_beside_each_other),
		MIGRATE_TEST(test_migrate_small_runs_share_a_chunk),
		MIGRATE_TEST(test_migrate_dp9_kinds_of_memory),
		MIGRATE_TEST(test_migrate_mv14_held_pages_stay),
		MIGRATE_TEST(test_migrate_mv15_shared_pages_are_unshared),
		MIGRATE_TEST(test_migrate_mv15_unsharing_fails),
		MIGRATE_TEST(test_migrate_e1_excluded_pages_stay),
		MIGRATE_TEST(test_migrate_pn2_pinned_pages_stay),
		MIGRATE_TEST(test_migrate_mv7_pages_of_another_device_stay),
		MIGRATE_TEST(test_migrate_mv18_full_memory),
		MIGRATE_TEST(test_migrate_mapping_that_can_not_be_armed),
		MIGRATE_TEST(test_migrate_mv11_changing_mapping),
		MIGRATE_TEST(test_migrate_e2_releases_what_it_armed),
		cmocka_unit_test_setup_teardown(test_migrate_without_take,
						core_setup_without_take,
						core_teardown),
		CORE_TEST(test_migrate_take_warning),
		MIGRATE_TEST(test_migrate_mv3_refuses_bad_arguments),
		MIGRATE_TEST(test_migrate_in25_event_and_owner),
		MIGRATE_TEST(
			test_migrate_e8_takes_nothing_between_unmap_and_drop),
		MIGRATE_TEST(
			test_migrate_dp14_takes_nothing_between_discard_and_drop),
		MIGRATE_TEST(test_migrate_mapping_changes_before_it_is_taken),
		MIGRATE_TEST(test_migrate_mv12_fault_meanwhile_waits),
		COHERENT_TEST(
			test_migrate_dc1_coherent_pages_stay_with_the_cpu),
		COHERENT_TEST(test_migrate_coherent_kinds_of_memory),
		COHERENT_TEST(test_migrate_coherent_beside_private),
		COHERENT_TEST(test_migrate_coherent_must_be_watched),
		MIGRATE_TEST(test_migrate_mv29_sweep),
		COHERENT_TEST(test_migrate_coherent_sweep),
		MIGRATE_TEST(test_migrate_mv29_result_of_a_partial_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
