/* SPDX-License-Identifier: MIT */
/*
 * Device pages on their way back: by a CPU fault, by request, by eviction.
 */
#include "tests/unit/core_fixture.h"

#define RO    (HMMU_VMA_READ | HMMU_VMA_ANON)
#define BLOCK HMMU_PAGES_PER_LARGE

static struct hmmu_device *device;
static struct hmmu_migrate_result result;

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

static int home(uintptr_t addr, size_t bytes)
{
	int err;

	memset(&result, 0, sizeof(result));
	err = core_home(addr, bytes, &result);
	core_check();
	return err;
}

static uint8_t state_of(uintptr_t addr)
{
	return array_page(core.m, addr)->state;
}

static int cpu_fault(uintptr_t addr)
{
	struct hmmu_thread *self = hmmu__enter();
	int err;

	assert_non_null(self);
	err = hmmu__core_cpu_fault(core.space, addr);
	hmmu__leave(self);
	return err;
}

static int fill(uintptr_t addr)
{
	struct hmmu_thread *self = hmmu__enter();
	int err;

	assert_non_null(self);
	err = hmmu__core_fill(core.space, addr);
	hmmu__leave(self);
	return err;
}

/* --- a touch ------------------------------------------------------------------- */

/* DP1: a read and a write; what the device wrote is there. */
static void test_home_dp1_touch_sees_what_the_device_wrote(void **state)
{
	uint64_t v = 0;

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	take(BASE, 16 * PAGE);
	core_device_store(device, BASE + 3 * PAGE, 77);
	core_device_store(device, BASE + 4 * PAGE + 8, 78);
	assert_int_equal(array_load(core.m, BASE + 3 * PAGE, &v), 0);
	assert_int_equal(v, 77);
	assert_int_equal(core_stats().cpu_faults, 1);
	core_check();
	take(BASE, 16 * PAGE);
	assert_int_equal(array_store(core.m, BASE + 4 * PAGE, 5), 0);
	assert_int_equal(array_load(core.m, BASE + 4 * PAGE + 8, &v), 0);
	assert_int_equal(v, 78);
	assert_int_equal(core_stats().cpu_faults, 2);
	core_check();
}

/* DP5: the block comes, and no other. DP4: a large page as one. */
static void test_home_dp5_the_block_comes_too(void **state)
{
	uint64_t v;

	(void)state;
	core_map_large(BASE, 2);
	take(BASE, 2 * LARGE);
	assert_int_equal(core_fault(device, BASE, 2 * LARGE, HMMU_ACCESS_WRITE),
			 0);
	assert_int_equal(array_load(core.m, BASE + 9 * PAGE, &v), 0);
	assert_int_equal(core_device_pages(), BLOCK);
	assert_true(array_page(core.m, BASE)->is_large);
	assert_int_equal(core_stats().large_home, 1);
	assert_int_equal(core_stats().pages_home, BLOCK);
	/* The mirror has kept what it may. */
	assert_int_equal(core_mapped_pages(device, BASE, 2 * LARGE), BLOCK);
	core_check();
	array_expect(core.m, BASE, 2 * LARGE, 1);
}

/* An absent page that went along is absent again, and reads as zero. */
static void test_home_mv8_hole_stays_a_hole(void **state)
{
	uint64_t v = 1;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, PAGE, 1);
	take(BASE, 4 * PAGE);
	assert_int_equal(home(BASE, 4 * PAGE), 0);
	assert_int_equal(result.pages_moved, 4);
	assert_int_equal(state_of(BASE), ARRAY_PRESENT);
	assert_int_equal(state_of(BASE + PAGE), ARRAY_ABSENT);
	assert_int_equal(array_load(core.m, BASE + PAGE, &v), 0);
	assert_int_equal(v, 0);
}

/* A hole beside device pages is filled; the pages stay where they are. */
static void test_home_hole_beside_device_pages(void **state)
{
	uint64_t v = 1;

	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 4 * PAGE, 1);
	take(BASE, 4 * PAGE);
	assert_int_equal(array_load(core.m, BASE + 6 * PAGE, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(core_device_pages(), 4);
	assert_int_equal(core_stats().hole_faults, 1);
	assert_int_equal(core_stats().cpu_faults, 0);
	core_check();
}

static void test_home_fill_leaves_device_pages_alone(void **state)
{
	(void)state;
	core_map_filled(BASE, 2 * PAGE);
	array_map(core.m, BASE + 2 * PAGE, PAGE, ARRAY_ANON_RW);
	take(BASE, 2 * PAGE);
	assert_int_equal(fill(BASE), 0);
	assert_int_equal(state_of(BASE), ARRAY_TAKEN);
	assert_int_equal(fill(BASE + 2 * PAGE), 0);
	assert_int_equal(state_of(BASE + 2 * PAGE), ARRAY_PRESENT);
	assert_int_equal(core_stats().pages_home, 0);
}

/* DP2, DP3: who is second finds the page there. */
static void test_home_dp2_second_fault_of_a_page(void **state)
{
	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	take(BASE, 4 * PAGE);
	assert_int_equal(cpu_fault(BASE + PAGE), 0);
	assert_int_equal(cpu_fault(BASE + PAGE), 0);
	assert_int_equal(core_stats().cpu_faults, 1);
	core_check();
	array_expect(core.m, BASE, 4 * PAGE, 1);
}

static void test_home_errors_of_a_fault(void **state)
{
	const struct array_failure again = { .times = 1, .err = -EAGAIN };
	const struct array_failure memory = { .times = 1, .err = -ENOMEM };

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_map(core.m, BASE + 4 * PAGE, PAGE, ARRAY_ANON_RW);
	take(BASE, 4 * PAGE);
	array_fail(core.m, ARRAY_PUT, &again);
	assert_int_equal(cpu_fault(BASE), -EAGAIN);
	array_fail(core.m, ARRAY_PUT, &memory);
	assert_int_equal(cpu_fault(BASE), -ENOMEM);
	array_fail(core.m, ARRAY_FILL_HOLE, &again);
	assert_int_equal(cpu_fault(BASE + 4 * PAGE), -EAGAIN);
	array_fail(core.m, ARRAY_FILL_HOLE, &memory);
	assert_int_equal(fill(BASE + 4 * PAGE), -ENOMEM);
	assert_int_equal(core_device_pages(), 4);
	core_check();
	array_expect(core.m, BASE, 4 * PAGE, 1);
}

static void drop_all(void *arg)
{
	(void)arg;
	array_discard(core.m, BASE, 4 * PAGE);
}

/* The page goes while its fault is served: the toucher must be woken. */
static void test_home_page_is_dropped_before_it_is_put(void **state)
{
	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	take(BASE, 8 * PAGE);
	/* The second hold is that of the way home. */
	array_on(core.m, ARRAY_HOLD, 2, drop_all, NULL);
	assert_int_equal(cpu_fault(BASE), 1);
	assert_int_equal(core_stats().pages_dropped, 4);
	assert_int_equal(core_device_pages(), 0);
	core_check();
}

/* EX7: an exclusive page comes alone, and those beside it stay exclusive. */
static void test_home_ex7_exclusive_page_comes_alone(void **state)
{
	uint64_t v;

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	take(BASE + 4 * PAGE, 4 * PAGE);
	assert_int_equal(
		hmmu_device_make_exclusive(device, BASE, 4 * PAGE, NULL), 0);
	assert_int_equal(array_load(core.m, BASE + PAGE, &v), 0);
	assert_int_equal(core_device_pages(), 7);
	assert_int_equal(array_load(core.m, BASE + 5 * PAGE, &v), 0);
	assert_int_equal(core_device_pages(), 3);
	core_check();
	array_expect(core.m, BASE, 8 * PAGE, 1);
}

/* --- by request ------------------------------------------------------------------ */

static void test_home_on_demand(void **state)
{
	(void)state;
	core_map_large(BASE, 3);
	take(BASE, 3 * LARGE);
	assert_int_equal(home(BASE, 3 * LARGE), 0);
	assert_int_equal(result.pages_moved, 3 * BLOCK);
	assert_int_equal(result.large_moved, 3);
	/* Places in a row come back in one call. */
	assert_int_equal(array_calls(core.m, ARRAY_PUT), 1);
	assert_int_equal(core_memory_stats(0).free_chunks, 4);
	assert_false(array_page(core.m, BASE)->is_armed);
	array_expect(core.m, BASE, 3 * LARGE, 1);
	/* What is home already is no error. */
	assert_int_equal(home(BASE, 3 * LARGE), 0);
	assert_int_equal(result.pages_moved, 0);
}

/* Blocks whose places do not follow one another. */
static void test_home_of_blocks_in_disorder(void **state)
{
	(void)state;
	core_map_large(BASE, 3);
	take(BASE + LARGE, LARGE);
	take(BASE, LARGE);
	take(BASE + 2 * LARGE, LARGE);
	assert_int_equal(home(BASE, 3 * LARGE), 0);
	assert_int_equal(result.large_moved, 3);
	array_expect(core.m, BASE, 3 * LARGE, 1);
}

/* MV17: of a large page, and of a run over several. */
static void test_home_mv17_part_of_a_large_page(void **state)
{
	(void)state;
	core_map_large(BASE, 3);
	take(BASE, 3 * LARGE);
	assert_int_equal(home(BASE + LARGE - 4 * PAGE, LARGE + 8 * PAGE), 0);
	assert_int_equal(result.pages_moved, BLOCK + 8);
	assert_int_equal(result.large_moved, 1);
	assert_int_equal(core_device_pages(), 2 * (BLOCK - 4));
	/* What comes before a large page goes alone, and what follows it. */
	assert_int_equal(array_calls(core.m, ARRAY_PUT), 3);
	core_device_expect(device, BASE, 3 * LARGE, 1);
	array_expect(core.m, BASE, 3 * LARGE, 1);
}

static void test_home_mv24_large_page_is_refused(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	take(BASE, LARGE);
	assert_int_equal(hmmu_memory_fail_large(core.memory[0]), 0);
	assert_int_equal(home(BASE, LARGE), 0);
	assert_int_equal(result.pages_moved, BLOCK);
	assert_int_equal(result.large_moved, 0);
	array_expect(core.m, BASE, LARGE, 1);
}

/* More blocks than are locked at once. */
static void test_home_in_batches(void **state)
{
	const size_t blocks = 18;
	struct core_log log;

	(void)state;
	core_end_device(0);
	device = core_device(0, blocks);
	array_map(core.m, BASE, blocks * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE + 17 * LARGE, PAGE, 1);
	take(BASE, blocks * LARGE);
	core_log_begin(&log, BASE, blocks * LARGE);
	assert_int_equal(home(BASE, blocks * LARGE), 0);
	assert_int_equal(result.pages_moved, blocks * BLOCK);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.event[0].inv.end, BASE + 16 * LARGE);
	core_log_end(&log);
	array_expect(core.m, BASE + 17 * LARGE, PAGE, 1);
}

static void test_home_refuses_bad_arguments(void **state)
{
	struct hmmu_migrate_result small = { .size = 0 };

	(void)state;
	assert_int_equal(hmmu_migrate_to_system(NULL, BASE, PAGE, NULL),
			 -EINVAL);
	assert_int_equal(hmmu_migrate_to_system(core.space, BASE, 0, NULL),
			 -EINVAL);
	assert_int_equal(hmmu_migrate_to_system(core.space, BASE, UINTPTR_MAX,
						NULL),
			 -EINVAL);
	assert_int_equal(hmmu_migrate_to_system(core.space, BASE, PAGE, &small),
			 -EINVAL);
	assert_int_equal(hmmu_migrate_evict(NULL, NULL), -EINVAL);
}

/* Into a mapping that can not be written pages are copied. */
static void test_home_into_protected_memory(void **state)
{
	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	take(BASE, 4 * PAGE);
	array_protect(core.m, BASE, 4 * PAGE, RO);
	assert_int_equal(home(BASE, 4 * PAGE), 0);
	assert_int_equal(core_stats().pages_copied, 4);
	array_expect(core.m, BASE, 4 * PAGE, 1);
}

/* DC1, DC3: a coherent page leaves its place, and is not touched. */
static void test_home_of_coherent_pages(void **state)
{
	struct hmmu_device *coherent = core_coherent_device(1, 2);

	(void)state;
	core_map_large(BASE, 1);
	assert_int_equal(core_migrate(coherent, BASE, LARGE, NULL), 0);
	assert_int_equal(core_memory_stats(1).used_pages, BLOCK);
	assert_int_equal(home(BASE, LARGE), 0);
	assert_int_equal(result.pages_moved, BLOCK);
	assert_int_equal(core_memory_stats(1).used_pages, 0);
	assert_true(array_page(core.m, BASE)->is_large);
	assert_int_equal(array_calls(core.m, ARRAY_PUT), 0);
}

/* --- whose pages ----------------------------------------------------------------- */

/* MV32, MV33 */
static void test_home_mv32_evict_one_device(void **state)
{
	struct hmmu_device *other = core_device(1, 2);

	(void)state;
	core_map_filled(BASE, 2 * LARGE);
	take(BASE, 8 * PAGE);
	take(BASE + LARGE, 8 * PAGE);
	assert_int_equal(core_migrate(other, BASE + 8 * PAGE, 8 * PAGE, NULL),
			 0);
	memset(&result, 0, sizeof(result));
	result.size = sizeof(result);
	assert_int_equal(hmmu_migrate_evict(device, &result), 0);
	assert_int_equal(result.pages_moved, 16);
	assert_int_equal(core_memory_stats(0).used_pages, 0);
	assert_int_equal(core_memory_stats(1).used_pages, 8);
	core_check();
	array_expect(core.m, BASE, 2 * LARGE, 1);
}

/* DP11 */
static void test_home_dp11_when_the_device_goes(void **state)
{
	struct hmmu_port *port;

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	take(BASE, 8 * PAGE);
	assert_int_equal(hmmu_port_open(device, &port), 0);
	assert_int_equal(hmmu_device_destroy(device), -EBUSY);
	assert_int_equal(core_device_pages(), 8);
	hmmu_port_close(port);
	assert_int_equal(hmmu_device_destroy(device), 0);
	core.device[0] = NULL;
	core_check();
	array_expect(core.m, BASE, 8 * PAGE, 1);
}

static void test_home_of_everything(void **state)
{
	struct hmmu_device *other = core_device(1, 2);
	struct hmmu_thread *self = hmmu__enter();

	(void)state;
	core_map_filled(BASE, 2 * LARGE);
	take(BASE, 8 * PAGE);
	assert_int_equal(core_migrate(other, BASE + LARGE, LARGE, NULL), 0);
	assert_int_equal(hmmu_device_make_exclusive(other, BASE + 20 * PAGE,
						    PAGE, NULL),
			 0);
	assert_int_equal(hmmu__core_all_home(core.space), 0);
	assert_int_equal(hmmu__core_device_pages(core.space), 0);
	hmmu__leave(self);
	core_check();
	array_expect(core.m, BASE, 2 * LARGE, 1);
}

/* IN25, IN27: each device's pages are reported as its own. */
static void test_home_in25_events_name_the_owner(void **state)
{
	struct hmmu_device *other = core_device(1, 4);
	struct core_log log;

	(void)state;
	core_map_filled(BASE, 4 * LARGE);
	take(BASE, LARGE);
	assert_int_equal(core_migrate(other, BASE + LARGE, LARGE, NULL), 0);
	/* One block with pages of both; and one that is exclusive. */
	take(BASE + 2 * LARGE, 4 * PAGE);
	assert_int_equal(core_migrate(other, BASE + 2 * LARGE + 4 * PAGE,
				      4 * PAGE, NULL),
			 0);
	assert_int_equal(hmmu_device_make_exclusive(other, BASE + 3 * LARGE,
						    PAGE, NULL),
			 0);
	core_log_begin(&log, BASE, 4 * LARGE);
	assert_int_equal(home(BASE, 4 * LARGE), 0);
	assert_int_equal(log.n, 4);
	assert_int_equal(log.event[0].inv.event, HMMU_EVENT_MIGRATE);
	assert_ptr_equal(log.event[0].inv.owner, device);
	assert_ptr_equal(log.event[1].inv.owner, other);
	assert_int_equal(log.event[2].inv.event, HMMU_EVENT_MIGRATE);
	assert_null(log.event[2].inv.owner);
	/* EX7: the end of exclusive access is nobody's migration. */
	assert_int_equal(log.event[3].inv.event, HMMU_EVENT_CLEAR);
	assert_null(log.event[3].inv.owner);
	core_log_end(&log);
}

/* --- answers of the address space -------------------------------------------------- */

static void test_home_put_is_tried_again(void **state)
{
	const struct array_failure again = { .times = 3,
					     .err = -EAGAIN,
					     .done_bytes = 2 * PAGE };
	const struct array_failure memory = { .times = 1,
					      .err = -ENOMEM,
					      .done_bytes = 2 * PAGE };

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	take(BASE, 16 * PAGE);
	array_fail(core.m, ARRAY_PUT, &again);
	assert_int_equal(home(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 16);
	take(BASE, 16 * PAGE);
	array_fail(core.m, ARRAY_PUT, &memory);
	assert_int_equal(home(BASE, 16 * PAGE), -ENOMEM);
	/* What is not home is still on the device. */
	assert_int_equal(result.pages_moved, 2);
	assert_int_equal(core_device_pages(), 14);
	array_expect(core.m, BASE, 16 * PAGE, 1);
}

/*
 * The mapping is gone, which is reported later. The pages are dropped at
 * once, up to the next mapping.
 */
static void test_home_into_a_hole_in_the_mapping(void **state)
{
	size_t i;

	(void)state;
	core_end_device(0);
	device = core_device(0, 1);
	core_map_filled(BASE, 16 * PAGE);
	take(BASE, 16 * PAGE);
	array_unmap_unreported(core.m, BASE + 4 * PAGE, 4 * PAGE);
	assert_int_equal(home(BASE, 16 * PAGE), 0);
	assert_int_equal(result.pages_moved, 12);
	assert_int_equal(core_stats().pages_dropped, 4);
	assert_int_equal(core_memory_stats(0).used_pages, 0);
	array_unmap_report(core.m, BASE + 4 * PAGE, 4 * PAGE);
	assert_int_equal(core_stats().pages_dropped, 4);
	array_expect(core.m, BASE, 4 * PAGE, 1);
	/* Their places are empty: something else may go there. */
	core_map_filled(BASE + LARGE, LARGE);
	for (i = 0; i < BLOCK; i += 32)
		take(BASE + LARGE + i * PAGE, 32 * PAGE);
	core_device_expect(device, BASE + LARGE, LARGE, 1);
}

static void report_unmap(void *arg)
{
	(void)arg;
	array_unmap_report(core.m, BASE + 4 * PAGE, 4 * PAGE);
}

/* Another mapping is there by now: whose pages they are core learns soon. */
static void test_home_e8_into_a_new_mapping(void **state)
{
	uint64_t v = 1;

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	take(BASE, 16 * PAGE);
	array_unmap_unreported(core.m, BASE + 4 * PAGE, 4 * PAGE);
	array_map(core.m, BASE + 4 * PAGE, 4 * PAGE, ARRAY_ANON_RW);
	/* The second sync: the first comes before anything is tried. */
	array_on(core.m, ARRAY_SYNC, 2, report_unmap, NULL);
	assert_int_equal(core_home(BASE, 16 * PAGE, NULL), 0);
	assert_int_equal(core_stats().pages_dropped, 4);
	core_check();
	assert_int_equal(array_load(core.m, BASE + 4 * PAGE, &v), 0);
	assert_int_equal(v, 0);
	array_expect(core.m, BASE, 4 * PAGE, 1);
}

/* --- against a change -------------------------------------------------------------- */

struct stall {
	_Atomic int step;
	struct helper change, homing;
};

static void home_some(void *arg)
{
	int *err = arg;

	*err = core_home(BASE, 8 * PAGE, NULL);
}

/*
 * Between the change and its drop the pages are nobody's: put back, they would
 * show what was discarded.
 */
static void test_home_dp14_waits_for_the_drop(void **state)
{
	struct stall s = { 0 };
	unsigned int holds;
	uint64_t v = 1;
	int err = 1;

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	take(BASE, 8 * PAGE);
	array_on(core.m, ARRAY_CHANGED, 1, stall_here, &s.step);
	helper_start(&s.change, drop_all, NULL);
	step_wait(&s.step, 1);
	holds = array_calls(core.m, ARRAY_HOLD);
	helper_start(&s.homing, home_some, &err);
	while (array_calls(core.m, ARRAY_HOLD) == holds)
		hmmu__sched_yield();
	hmmu__sched_sleep(SHORT_NS);
	assert_int_equal(array_calls(core.m, ARRAY_PUT), 0);
	step_set(&s.step, 2);
	helper_join(&s.change);
	helper_join(&s.homing);
	assert_int_equal(err, 0);
	core_check();
	assert_int_equal(core_stats().pages_dropped, 4);
	assert_int_equal(array_load(core.m, BASE, &v), 0);
	assert_int_equal(v, 0);
}

/* DP2: many threads touch the same block, and each page comes once. */
#define TOUCHERS 3

static void touch_each_page(void *arg)
{
	size_t i;

	(void)arg;
	for (i = 0; i < 64; i++) {
		uint64_t v = 0;

		if (array_load(core.m, BASE + i * PAGE, &v) ||
		    v != array_number(i, 1))
			abort();
	}
}

static void test_home_dp2_threads_touch_the_same_pages(void **state)
{
	struct helper h[TOUCHERS];
	unsigned int round, i;

	(void)state;
	core_map_filled(BASE, 64 * PAGE);
	for (round = 0; round < 20; round++) {
		take(BASE, 64 * PAGE);
		for (i = 0; i < TOUCHERS; i++)
			helper_start(&h[i], touch_each_page, NULL);
		for (i = 0; i < TOUCHERS; i++)
			helper_join(&h[i]);
		assert_int_equal(core_device_pages(), 0);
	}
	assert_int_equal(core_stats().pages_home, 20 * 64);
}

/* --- failures -------------------------------------------------------------------- */

static void make_both(void)
{
	take(BASE, 40 * PAGE);
	take(BASE + LARGE, LARGE);
}

static int home_both(void)
{
	int err = core_home(BASE, LARGE, NULL);

	return err ? err : core_home(BASE + LARGE, LARGE, NULL);
}

static void make_again(int err)
{
	assert_true(!err || err == -ENOMEM);
	array_expect(core.m, BASE, 40 * PAGE, 1);
	array_expect(core.m, BASE + LARGE, LARGE, 1);
	assert_int_equal(core_home(BASE, 2 * LARGE, NULL), 0);
	assert_int_equal(core_memory_stats(0).used_pages, 0);
	make_both();
}

static void test_home_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, 40 * PAGE);
	core_map_large(BASE + LARGE, 1);
	make_both();
	core_sweep(home_both, make_again);
}

/* A touch that is not served is served the next time. */
static int touch_both(void)
{
	uint64_t v;
	int err = array_load(core.m, BASE + 7 * PAGE, &v);

	return err ? err : array_load(core.m, BASE + LARGE + 7 * PAGE, &v);
}

static void test_home_dp1_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, 40 * PAGE);
	core_map_large(BASE + LARGE, 1);
	make_both();
	core_sweep(touch_both, make_again);
}

#define HOME_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HOME_TEST(test_home_dp1_touch_sees_what_the_device_wrote),
		HOME_TEST(test_home_dp5_the_block_comes_too),
		HOME_TEST(test_home_mv8_hole_stays_a_hole),
		HOME_TEST(test_home_hole_beside_device_pages),
		HOME_TEST(test_home_fill_leaves_device_pages_alone),
		HOME_TEST(test_home_dp2_second_fault_of_a_page),
		HOME_TEST(test_home_errors_of_a_fault),
		HOME_TEST(test_home_page_is_dropped_before_it_is_put),
		HOME_TEST(test_home_ex7_exclusive_page_comes_alone),
		HOME_TEST(test_home_on_demand),
		HOME_TEST(test_home_of_blocks_in_disorder),
		HOME_TEST(test_home_mv17_part_of_a_large_page),
		HOME_TEST(test_home_mv24_large_page_is_refused),
		HOME_TEST(test_home_in_batches),
		HOME_TEST(test_home_refuses_bad_arguments),
		HOME_TEST(test_home_into_protected_memory),
		HOME_TEST(test_home_of_coherent_pages),
		HOME_TEST(test_home_mv32_evict_one_device),
		HOME_TEST(test_home_dp11_when_the_device_goes),
		HOME_TEST(test_home_of_everything),
		HOME_TEST(test_home_in25_events_name_the_owner),
		HOME_TEST(test_home_put_is_tried_again),
		HOME_TEST(test_home_into_a_hole_in_the_mapping),
		HOME_TEST(test_home_e8_into_a_new_mapping),
		HOME_TEST(test_home_dp14_waits_for_the_drop),
		HOME_TEST(test_home_dp2_threads_touch_the_same_pages),
		HOME_TEST(test_home_sweep),
		HOME_TEST(test_home_dp1_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
