/* SPDX-License-Identifier: MIT */
/*
 * What becomes of device pages when the program's mappings change: munmap,
 * discards and mremap, also without memory to record them.
 */
#include "tests/unit/core_fixture.h"

#define BLOCK HMMU_PAGES_PER_LARGE

static struct hmmu_device *device;

static int setup(void **state)
{
	int err = core_setup(state);

	device = core_device(0, 4);
	return err;
}

static void take(uintptr_t addr, size_t bytes)
{
	assert_int_equal(core_migrate(device, addr, bytes, NULL), 0);
	assert_true(hmmu__core_is_away(core.space, addr, addr + bytes));
}

/* DP14, DP7, DM5: what is gone is dropped, the rest stays on the device. */
static void test_change_dp14_unmap_and_discard_drop(void **state)
{
	uint64_t v = 1;

	(void)state;
	core_map_large(BASE, 1);
	take(BASE, LARGE);
	array_unmap(core.m, BASE, 8 * PAGE);
	array_discard(core.m, BASE + 100 * PAGE, PAGE);
	assert_int_equal(core_stats().pages_dropped, 9);
	assert_int_equal(core_device_pages(), BLOCK - 9);
	assert_int_equal(core_memory_stats(0).used_pages, BLOCK - 9);
	core_check();
	assert_int_equal(array_load(core.m, BASE + 100 * PAGE, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(core_device_load(device, BASE + 9 * PAGE),
			 array_number(9, 1));
	array_unmap(core.m, BASE + 8 * PAGE, LARGE - 8 * PAGE);
	assert_int_equal(core_memory_stats(0).free_chunks, 4);
	/* A new mapping has nothing of the old one (E8). */
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	assert_int_equal(array_load(core.m, BASE + 9 * PAGE, &v), 0);
	assert_int_equal(v, 0);
	take(BASE, LARGE);
	assert_int_equal(core_device_load(device, BASE + 9 * PAGE), 0);
}

static void test_change_dp14_drops_coherent_places(void **state)
{
	struct hmmu_device *coherent = core_coherent_device(1, 2);

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	assert_int_equal(core_migrate(coherent, BASE, 8 * PAGE, NULL), 0);
	array_unmap(core.m, BASE, 4 * PAGE);
	assert_int_equal(core_memory_stats(1).used_pages, 4);
	array_discard(core.m, BASE + 4 * PAGE, 4 * PAGE);
	assert_int_equal(core_memory_stats(1).used_pages, 0);
	core_check();
}

/* DP15: over blocks, to an address that lies otherwise in its block. */
static void test_change_dp15_move_carries_pages_along(void **state)
{
	const uintptr_t to = BASE + 4 * LARGE + 100 * PAGE;

	(void)state;
	core_map_large(BASE, 2);
	take(BASE, 2 * LARGE);
	core_device_expect(device, BASE, LARGE, 1);
	array_move(core.m, BASE, to, 2 * LARGE);
	assert_int_equal(core_device_pages(), 2 * BLOCK);
	assert_int_equal(core_stats().pages_home, 0);
	assert_int_equal(core_mapped_pages(device, BASE, ARRAY_END - BASE), 0);
	core_check();
	core_device_expect(device, to, 2 * LARGE, 1);
	array_expect(core.m, to, 2 * LARGE, 1);
	assert_int_equal(core_device_pages(), 0);
}

/* A large page that lands on a block is one still. */
static void test_change_dp15_large_page_stays_large(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	take(BASE, LARGE);
	array_move(core.m, BASE, BASE + 3 * LARGE, LARGE);
	assert_int_equal(
		core_fault(device, BASE + 3 * LARGE, 1, HMMU_ACCESS_READ), 0);
	assert_int_equal(
		hmmu_mirror_leaf_lg2(core_leaf(device, BASE + 3 * LARGE)),
		HMMU_LARGE_LG2);
	core_check();
}

/* Part of what is moved is on the device; what is beside it stays. */
static void test_change_dp15_move_of_a_part(void **state)
{
	(void)state;
	core_map_filled(BASE, 32 * PAGE);
	take(BASE + 4 * PAGE, 4 * PAGE);
	take(BASE + 10 * PAGE, 4 * PAGE);
	take(BASE + 20 * PAGE, 4 * PAGE);
	array_move(core.m, BASE + 6 * PAGE, BASE + LARGE, 10 * PAGE);
	core_check();
	assert_int_equal(core_device_pages(), 12);
	core_device_expect(device, BASE, 6 * PAGE, 1);
	array_expect(core.m, BASE, 6 * PAGE, 1);
	assert_int_equal(core_device_load(device, BASE + LARGE + PAGE),
			 array_number(7, 1));
	assert_int_equal(core_device_load(device, BASE + LARGE + 4 * PAGE),
			 array_number(10, 1));
}

/* Without memory to record them they land in system memory, and are not lost. */
static void test_change_dp15_move_without_memory(void **state)
{
	const uintptr_t to = BASE + 5 * LARGE - 4 * PAGE;
	uint64_t n;

	(void)state;
	for (n = 1; n < 10; n++) {
		core_map_filled(BASE, 8 * PAGE);
		take(BASE, 8 * PAGE);
		hmmu__fault_points_arm_thread(n);
		array_move(core.m, BASE, to, 8 * PAGE);
		hmmu__fault_points_disarm();
		core_check();
		array_expect(core.m, to, 8 * PAGE, 1);
		array_unmap(core.m, to, 8 * PAGE);
	}
}

static void test_change_dp15_put_of_a_moved_page_is_tried_again(void **state)
{
	const struct array_failure again = { .times = 5, .err = -EAGAIN };

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	take(BASE, 4 * PAGE);
	array_fail(core.m, ARRAY_PUT, &again);
	hmmu__fault_points_arm_thread(1);
	array_move(core.m, BASE, BASE + 6 * LARGE, 4 * PAGE);
	hmmu__fault_points_disarm();
	assert_true(core.m->failed[ARRAY_PUT] || !HMMU_FAULT_POINTS);
	core_check();
	array_expect(core.m, BASE + 6 * LARGE, 4 * PAGE, 1);
}

/* Lifted pages are at no address, until they land or are dropped. */
static void test_change_lift_land_and_drop(void **state)
{
	struct hmmu_thread *self = hmmu__enter();
	struct hmmu_lifted first, second, none;

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	take(BASE, 4 * PAGE);
	take(BASE + 8 * PAGE, 4 * PAGE);
	assert_true(hmmu__core_lift(core.space, BASE, BASE + LARGE, &first));
	assert_int_equal(first.addr, BASE);
	assert_int_equal(first.pages, 4);
	assert_ptr_equal(first.memory, core.memory[0]);
	assert_true(
		hmmu__core_lift(core.space, BASE, BASE + 10 * PAGE, &second));
	assert_int_equal(second.addr, BASE + 8 * PAGE);
	assert_int_equal(second.pages, 2);
	assert_false(
		hmmu__core_lift(core.space, BASE, BASE + 10 * PAGE, &none));
	assert_int_equal(core_memory_stats(0).used_pages, 8);
	hmmu__core_land(core.space, &first, BASE);
	hmmu__core_land(core.space, &second, BASE + 8 * PAGE);
	hmmu__leave(self);
	core_check();
	array_expect(core.m, BASE, 16 * PAGE, 1);
	/* Dropped: only when the mapping has gone. */
	take(BASE, 4 * PAGE);
	array_unmap_unreported(core.m, BASE, 4 * PAGE);
	self = hmmu__enter();
	assert_true(hmmu__core_lift(core.space, BASE, BASE + LARGE, &first));
	hmmu__core_lifted_drop(core.space, &first);
	hmmu__leave(self);
	array_unmap_report(core.m, BASE, 4 * PAGE);
	assert_int_equal(core_memory_stats(0).used_pages, 0);
	assert_int_equal(core_stats().pages_dropped, 4);
	core_check();
}

/* --- what is asked of core --------------------------------------------------------- */

static void test_change_whether_pages_are_away(void **state)
{
	struct hmmu_space *s = core.space;
	uintptr_t at = 0;

	(void)state;
	core_map_filled(BASE, 3 * LARGE);
	assert_false(hmmu__core_is_held(s, 0, UINTPTR_MAX));
	assert_false(hmmu__core_next_away(s, 0, UINTPTR_MAX, &at));
	take(BASE + 2 * LARGE + 5 * PAGE, PAGE);
	assert_true(hmmu__core_is_held(s, BASE, BASE + 3 * LARGE));
	assert_false(hmmu__core_is_away(s, BASE, BASE + 2 * LARGE));
	assert_true(hmmu__core_next_away(s, BASE, ARRAY_END, &at));
	assert_int_equal(at, BASE + 2 * LARGE);
	assert_int_equal(hmmu__core_device_pages(s), 1);
}

/* --- failures ---------- */

/* Changes can not fail: what they drop is dropped. */
static int change_some(void)
{
	array_discard(core.m, BASE + 2 * PAGE, 2 * PAGE);
	array_move(core.m, BASE + 8 * PAGE, BASE + 2 * LARGE, 8 * PAGE);
	array_unmap(core.m, BASE + 20 * PAGE, 4 * PAGE);
	return 0;
}

static void make_changed_again(int err)
{
	assert_int_equal(err, 0);
	array_expect(core.m, BASE, 2 * PAGE, 1);
	array_unmap(core.m, BASE, 8 * PAGE);
	array_unmap(core.m, BASE + 16 * PAGE, 4 * PAGE);
	array_unmap(core.m, BASE + 24 * PAGE, 16 * PAGE);
	array_unmap(core.m, BASE + 2 * LARGE, 8 * PAGE);
	assert_int_equal(core_memory_stats(0).used_pages, 0);
	core_map_filled(BASE, 40 * PAGE);
	take(BASE, 40 * PAGE);
}

static void test_change_dp14_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, 40 * PAGE);
	take(BASE, 40 * PAGE);
	core_sweep(change_some, make_changed_again);
}

#define CHANGE_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHANGE_TEST(test_change_dp14_unmap_and_discard_drop),
		CHANGE_TEST(test_change_dp14_drops_coherent_places),
		CHANGE_TEST(test_change_dp15_move_carries_pages_along),
		CHANGE_TEST(test_change_dp15_large_page_stays_large),
		CHANGE_TEST(test_change_dp15_move_of_a_part),
		CHANGE_TEST(test_change_dp15_move_without_memory),
		CHANGE_TEST(
			test_change_dp15_put_of_a_moved_page_is_tried_again),
		CHANGE_TEST(test_change_lift_land_and_drop),
		CHANGE_TEST(test_change_whether_pages_are_away),
		CHANGE_TEST(test_change_dp14_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
