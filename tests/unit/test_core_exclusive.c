/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access; and what keeps pages in system memory: pins, and memory
 * that is populated for a system call. And the picture of where pages are.
 */
#include "tests/unit/core_fixture.h"

#define RO	  (HMMU_VMA_READ | HMMU_VMA_ANON)
#define SHARED_RW (HMMU_VMA_READ | HMMU_VMA_WRITE | HMMU_VMA_SHARED)
#define BLOCK	  HMMU_PAGES_PER_LARGE

static struct hmmu_device *device, *other;

static int setup(void **state)
{
	int err = core_setup(state);

	device = core_device(0, 2);
	other = core_device(1, 2);
	return err;
}

static int make_exclusive(uintptr_t addr, size_t bytes, size_t *done)
{
	int err = hmmu_device_make_exclusive(device, addr, bytes, done);

	core_check();
	return err;
}

static bool is_exclusive(const struct hmmu_device *d, uintptr_t addr)
{
	uint64_t leaf = core_leaf((struct hmmu_device *)d, addr);

	return leaf & HMMU_DEVICE_LEAF_EXCLUSIVE && leaf & HMMU_MIRROR_WRITE &&
	       leaf & HMMU_DEVICE_LEAF_LOCAL;
}

static uint8_t state_of(uintptr_t addr)
{
	return array_page(core.m, addr)->state;
}

/* --- exclusive access -------------------------------------------------------------- */

/* EX1, EX8 */
static void test_exclusive_ex1_page_by_page(void **state)
{
	uint64_t v = 0;
	size_t done = 0;

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	assert_int_equal(make_exclusive(BASE + PAGE, 3 * PAGE, &done), 0);
	assert_int_equal(done, 3 * PAGE);
	assert_false(is_exclusive(device, BASE));
	assert_true(is_exclusive(device, BASE + PAGE));
	assert_true(is_exclusive(device, BASE + 3 * PAGE));
	assert_int_equal(core_device_load(device, BASE + PAGE),
			 array_number(1, 1));
	core_device_store(device, BASE + 2 * PAGE, 9);
	/* EX6, EX7: the touched page comes back, and it alone. */
	assert_int_equal(array_load(core.m, BASE + 2 * PAGE, &v), 0);
	assert_int_equal(v, 9);
	assert_int_equal(state_of(BASE + PAGE), ARRAY_TAKEN);
	assert_int_equal(core_leaf(device, BASE + 2 * PAGE), 0);
	core_check();
	/* Again what is exclusive already is no error. */
	assert_int_equal(make_exclusive(BASE + PAGE, 3 * PAGE, &done), 0);
	assert_int_equal(done, 3 * PAGE);
}

/* EX2: absent, shared, in the device's own memory, or in another's. */
static void test_exclusive_ex2_from_wherever_the_page_is(void **state)
{
	struct hmmu_device *coherent = core_coherent_device(2, 2);

	(void)state;
	core.m->has_zero = true;
	core_map_filled(BASE, 12 * PAGE);
	array_map(core.m, BASE + 12 * PAGE, PAGE, ARRAY_ANON_RW);
	array_share(core.m, BASE, PAGE);
	assert_int_equal(core_migrate(device, BASE + 4 * PAGE, 2 * PAGE, NULL),
			 0);
	assert_int_equal(core_migrate(other, BASE + 6 * PAGE, 2 * PAGE, NULL),
			 0);
	assert_int_equal(hmmu_device_make_exclusive(other, BASE + 8 * PAGE,
						    2 * PAGE, NULL),
			 0);
	assert_int_equal(core_migrate(coherent, BASE + 10 * PAGE, PAGE, NULL),
			 0);
	assert_int_equal(make_exclusive(BASE, 13 * PAGE, NULL), 0);
	/* As by a write of the CPU to each. */
	assert_true(array_calls(core.m, ARRAY_FAULT_IN) >= 13);
	assert_true(is_exclusive(device, BASE));
	assert_true(is_exclusive(device, BASE + 10 * PAGE));
	assert_true(is_exclusive(device, BASE + 5 * PAGE));
	assert_true(is_exclusive(device, BASE + 6 * PAGE));
	assert_true(is_exclusive(device, BASE + 8 * PAGE));
	assert_true(is_exclusive(device, BASE + 12 * PAGE));
	assert_int_equal(core_leaf(other, BASE + 8 * PAGE), 0);
	core_device_expect(device, BASE, 12 * PAGE, 1);
	array_expect(core.m, BASE, 12 * PAGE, 1);
}

/* EX2, EX3, E1 */
static void test_exclusive_ex3_kinds_of_memory(void **state)
{
	static const struct {
		unsigned int flags;
		int err;
	} kinds[] = {
		{ SHARED_RW, -EOPNOTSUPP },
		{ RO, -EFAULT },
		{ HMMU_VMA_ANON, -EFAULT },
		{ ARRAY_ANON_RW | HMMU_VMA_SPECIAL, -EFAULT },
		{ ARRAY_ANON_RW | HMMU_VMA_OWN, -EBUSY },
	};
	size_t i, done;

	(void)state;
	for (i = 0; i < HMMU_ARRAY_SIZE(kinds); i++) {
		uintptr_t at = BASE + 4 * i * PAGE;

		core_map_filled(at, PAGE);
		array_map(core.m, at + PAGE, PAGE, kinds[i].flags);
		/* What comes before the page that fails is exclusive. */
		assert_int_equal(make_exclusive(at, 2 * PAGE, &done),
				 kinds[i].err);
		assert_int_equal(done, PAGE);
		assert_true(is_exclusive(device, at));
	}
	assert_int_equal(make_exclusive(BASE + 19 * LARGE, PAGE, NULL),
			 -EFAULT);
	assert_int_equal(make_exclusive(1ul << 48, PAGE, NULL), -EFAULT);
}

/* EX4 */
static void test_exclusive_ex4_large_pages_are_split(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	core_map_large(BASE + LARGE, 1);
	assert_int_equal(make_exclusive(BASE + 7 * PAGE, PAGE, NULL), 0);
	assert_false(array_page(core.m, BASE)->is_large);
	assert_int_equal(make_exclusive(BASE + LARGE, LARGE, NULL), 0);
	assert_int_equal(core_mapped_pages(device, BASE + LARGE, LARGE), BLOCK);
	assert_int_equal(hmmu_mirror_leaf_lg2(core_leaf(device, BASE + LARGE)),
			 HMMU_PAGE_LG2);
	array_expect(core.m, BASE, LARGE, 1);
	array_expect(core.m, BASE + LARGE, LARGE, 1);
}

/* EX9, and whatever else must stay. */
static void test_exclusive_ex9_what_must_stay_is_busy(void **state)
{
	const struct array_failure foreign = { .times = 1,
					       .err = -EBUSY,
					       .why = HMMU_STAY_FOREIGN };
	size_t done = 1;

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_stay(core.m, BASE, PAGE, HMMU_STAY_PINNED);
	array_stay(core.m, BASE + PAGE, PAGE, HMMU_STAY_LOCKED);
	array_exclude(core.m, BASE + 2 * PAGE, PAGE, HMMU_STAY_IN_USE);
	assert_int_equal(make_exclusive(BASE, PAGE, &done), -EBUSY);
	assert_int_equal(done, 0);
	assert_int_equal(make_exclusive(BASE + PAGE, PAGE, NULL), -EBUSY);
	assert_int_equal(make_exclusive(BASE + 2 * PAGE, PAGE, NULL), -EBUSY);
	assert_int_equal(hmmu_pin_range(core.space, BASE + 3 * PAGE, PAGE), 0);
	assert_int_equal(make_exclusive(BASE + 3 * PAGE, PAGE, NULL), -EBUSY);
	hmmu_unpin_range(core.space, BASE + 3 * PAGE, PAGE);
	array_fail(core.m, ARRAY_ARM, &foreign);
	assert_int_equal(make_exclusive(BASE + 3 * PAGE, PAGE, NULL), -EBUSY);
	/* None of it was tried for long. */
	assert_true(array_calls(core.m, ARRAY_ARM) < 20);
	assert_int_equal(make_exclusive(BASE + 3 * PAGE, PAGE, NULL), 0);
}

static void test_exclusive_tries_a_busy_page_again(void **state)
{
	const struct array_failure busy = { .times = 2, .err = -EBUSY };

	(void)state;
	core_map_filled(BASE, PAGE);
	array_fail(core.m, ARRAY_FAULT_IN, &busy);
	assert_int_equal(make_exclusive(BASE, PAGE, NULL), 0);
	assert_true(core.m->failed[ARRAY_FAULT_IN]);
}

/* IN26, EX5, EX7 */
static void test_exclusive_in26_events(void **state)
{
	struct core_log log;
	uint64_t v;

	(void)state;
	core_map_filled(BASE, 2 * PAGE);
	assert_int_equal(core_fault(other, BASE, PAGE, HMMU_ACCESS_WRITE), 0);
	core_log_begin(&log, BASE, 2 * PAGE);
	assert_int_equal(make_exclusive(BASE, PAGE, NULL), 0);
	assert_int_equal(log.n, 1);
	assert_int_equal(log.event[0].inv.event, HMMU_EVENT_EXCLUSIVE);
	assert_ptr_equal(log.event[0].inv.owner, device);
	assert_int_equal(core_leaf(other, BASE), 0);
	assert_int_equal(array_load(core.m, BASE, &v), 0);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.event[1].inv.event, HMMU_EVENT_CLEAR);
	assert_null(log.event[1].inv.owner);
	assert_int_equal(log.event[1].inv.end, BASE + PAGE);
	core_log_end(&log);
}

/* EX12 */
static void test_exclusive_ex12_unmap_discard_and_move(void **state)
{
	uint64_t v = 1;

	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	assert_int_equal(make_exclusive(BASE, 8 * PAGE, NULL), 0);
	array_discard(core.m, BASE, PAGE);
	array_unmap(core.m, BASE + PAGE, PAGE);
	array_move(core.m, BASE + 2 * PAGE, BASE + 4 * LARGE, 2 * PAGE);
	core_check();
	assert_int_equal(core_stats().device_pages, 6);
	assert_int_equal(array_load(core.m, BASE, &v), 0);
	assert_int_equal(v, 0);
	/* What moved is exclusive still. */
	assert_int_equal(make_exclusive(BASE + 4 * LARGE, PAGE, NULL), 0);
	assert_int_equal(core_stats().pages_to_device, 8);
	assert_true(is_exclusive(device, BASE + 4 * LARGE));
	assert_int_equal(core_home(BASE, 5 * LARGE, NULL), 0);
	assert_int_equal(core_stats().device_pages, 0);
}

/* The CPU takes it back before it is mapped: it is made exclusive once more. */
static void touch_page(void *arg)
{
	uint64_t v;

	(void)arg;
	(void)!array_load(core.m, BASE, &v);
}

static void test_exclusive_ex5_touch_before_it_is_mapped(void **state)
{
	(void)state;
	core_map_filled(BASE, PAGE);
	/* The first watch is that of the device fault. */
	array_on(core.m, ARRAY_WATCH, 1, touch_page, NULL);
	assert_int_equal(make_exclusive(BASE, PAGE, NULL), 0);
	assert_int_equal(core_stats().cpu_faults, 1);
	assert_int_equal(core_stats().pages_to_device, 2);
	assert_true(is_exclusive(device, BASE));
	array_expect(core.m, BASE, PAGE, 1);
}

static void test_exclusive_refuses_bad_arguments(void **state)
{
	(void)state;
	assert_int_equal(hmmu_device_make_exclusive(NULL, BASE, PAGE, NULL),
			 -EINVAL);
	assert_int_equal(make_exclusive(BASE, 0, NULL), -EINVAL);
	assert_int_equal(make_exclusive(UINTPTR_MAX, PAGE, NULL), -EINVAL);
}

static int make_some(void)
{
	size_t done = 0;
	int err = hmmu_device_make_exclusive(device, BASE, 3 * PAGE, &done);

	assert_true(done <= 3 * PAGE && (done == 3 * PAGE) == !err);
	return err ? err :
		     hmmu_device_make_exclusive(device, BASE + LARGE + PAGE,
						PAGE, NULL);
}

static void end_some(int err)
{
	assert_true(!err || err == -ENOMEM || err == -EFAULT || err == -EBUSY);
	array_expect(core.m, BASE, 4 * PAGE, 1);
	array_expect(core.m, BASE + LARGE, LARGE, 1);
	assert_int_equal(core_home(BASE, 2 * LARGE, NULL), 0);
	assert_int_equal(core_stats().device_pages, 0);
}

static void test_exclusive_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	core_map_large(BASE + LARGE, 1);
	core_sweep(make_some, end_some);
}

/* --- pins ---------------------------------------------------------------------- */

static int pin(uintptr_t addr, size_t bytes)
{
	int err = hmmu_pin_range(core.space, addr, bytes);

	core_check();
	return err;
}

static uint64_t migrated(uintptr_t addr, size_t bytes)
{
	struct hmmu_migrate_result r = { 0 };

	assert_int_equal(core_migrate(device, addr, bytes, &r), 0);
	return r.pages_moved;
}

/* PN1, PN3: from private, coherent and exclusive memory. */
static void test_pin_pn1_brings_pages_home(void **state)
{
	struct hmmu_device *coherent = core_coherent_device(2, 2);

	(void)state;
	core_map_filled(BASE, 16 * PAGE);
	assert_int_equal(core_migrate(device, BASE, 4 * PAGE, NULL), 0);
	assert_int_equal(
		core_migrate(coherent, BASE + 4 * PAGE, 4 * PAGE, NULL), 0);
	assert_int_equal(make_exclusive(BASE + 8 * PAGE, 4 * PAGE, NULL), 0);
	assert_int_equal(pin(BASE, 16 * PAGE), 0);
	assert_int_equal(core_stats().device_pages, 0);
	array_expect(core.m, BASE, 16 * PAGE, 1);
	assert_int_equal(hmmu_unpin_range(core.space, BASE, 16 * PAGE), 0);
}

/* It makes pages present and, where the mapping allows it, the process's own. */
static void test_pin_makes_pages_present(void **state)
{
	(void)state;
	core.m->has_zero = true;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + 2 * PAGE, 2 * PAGE, RO);
	array_map(core.m, BASE + 4 * PAGE, 2 * PAGE, SHARED_RW);
	assert_int_equal(pin(BASE, 6 * PAGE), 0);
	assert_int_equal(state_of(BASE), ARRAY_PRESENT);
	assert_int_equal(state_of(BASE + 2 * PAGE), ARRAY_ZERO);
	assert_int_equal(state_of(BASE + 5 * PAGE), ARRAY_PRESENT);
}

/* PN2; and pins are counted, by exact ranges. */
static void test_pin_pn2_pins_are_counted(void **state)
{
	(void)state;
	core_map_filled(BASE, 8 * PAGE);
	assert_int_equal(pin(BASE, 4 * PAGE), 0);
	assert_int_equal(pin(BASE, 4 * PAGE), 0);
	assert_int_equal(pin(BASE + 2 * PAGE, 4 * PAGE), 0);
	assert_int_equal(migrated(BASE, 8 * PAGE), 2);
	assert_int_equal(hmmu_unpin_range(core.space, BASE, 2 * PAGE), -ENOENT);
	assert_int_equal(hmmu_unpin_range(core.space, BASE, 4 * PAGE), 0);
	assert_int_equal(migrated(BASE, 8 * PAGE), 0);
	assert_int_equal(hmmu_unpin_range(core.space, BASE, 4 * PAGE), 0);
	assert_int_equal(migrated(BASE, 8 * PAGE), 2);
	assert_int_equal(hmmu_unpin_range(core.space, BASE, 4 * PAGE), -ENOENT);
	assert_int_equal(
		hmmu_unpin_range(core.space, BASE + 2 * PAGE, 4 * PAGE), 0);
	assert_int_equal(migrated(BASE, 8 * PAGE), 4);
}

static void test_pin_fails_whole(void **state)
{
	const struct array_failure memory = { .times = 1, .err = -ENOMEM };

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_map(core.m, BASE + 4 * PAGE, PAGE, HMMU_VMA_ANON);
	assert_int_equal(pin(BASE, 5 * PAGE), -EFAULT);
	assert_int_equal(pin(BASE + 5 * PAGE, PAGE), -EFAULT);
	array_fail(core.m, ARRAY_FAULT_IN, &memory);
	assert_int_equal(pin(BASE, 4 * PAGE), -ENOMEM);
	/* Nothing is pinned. */
	assert_int_equal(migrated(BASE, 4 * PAGE), 4);
	assert_int_equal(pin(BASE, 0), -EINVAL);
	assert_int_equal(hmmu_pin_range(NULL, BASE, PAGE), -EINVAL);
}

/* A migration that looked at the pins before has recorded what it took. */
struct stall {
	_Atomic int step;
	struct helper migration, pinning;
};

static void migrate_pages(void *arg)
{
	(void)arg;
	(void)!core_migrate(device, BASE, 4 * PAGE, NULL);
}

static void pin_pages(void *arg)
{
	(void)arg;
	(void)!hmmu_pin_range(core.space, BASE, 4 * PAGE);
}

static void test_pin_against_a_migration_that_takes(void **state)
{
	struct stall s = { 0 };

	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	array_on(core.m, ARRAY_TAKE, 1, stall_here, &s.step);
	helper_start(&s.migration, migrate_pages, NULL);
	step_wait(&s.step, 1);
	helper_start(&s.pinning, pin_pages, NULL);
	assert_false(helper_is_done_soon(&s.pinning));
	step_set(&s.step, 2);
	helper_join(&s.migration);
	helper_join(&s.pinning);
	assert_int_equal(core_stats().pages_to_device, 4);
	assert_int_equal(core_stats().device_pages, 0);
	assert_int_equal(migrated(BASE, 4 * PAGE), 0);
	core_check();
}

static int pin_both(void)
{
	int err = core_migrate(device, BASE, 4 * PAGE, NULL);

	if (!err)
		err = hmmu_pin_range(core.space, BASE, 4 * PAGE);
	if (!err)
		assert_int_equal(hmmu_unpin_range(core.space, BASE, 4 * PAGE),
				 0);
	assert_int_equal(atomic_load(&core.space->pins.count), 0);
	return err;
}

static void test_pin_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	core_map_large(BASE + LARGE, 1);
	core_sweep(pin_both, end_some);
}

/* --- populate ------------------------------------------------------------------- */

static void test_populate_makes_pages_present(void **state)
{
	(void)state;
	core.m->has_zero = true;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + 4 * PAGE, 2 * PAGE,
		  HMMU_VMA_READ | HMMU_VMA_WRITE);
	array_fill(core.m, BASE, 2 * PAGE, 1);
	assert_int_equal(core_migrate(device, BASE, 4 * PAGE, NULL), 0);
	assert_int_equal(hmmu_populate(core.space, BASE, 6 * PAGE), 0);
	assert_int_equal(state_of(BASE), ARRAY_PRESENT);
	assert_int_equal(state_of(BASE + 3 * PAGE), ARRAY_PRESENT);
	/* No page of a private file is copied for it. */
	assert_int_equal(state_of(BASE + 5 * PAGE), ARRAY_ZERO);
	core_check();
	/* It holds until somebody migrates again. */
	assert_int_equal(migrated(BASE, 4 * PAGE), 4);
}

static void test_populate_errors(void **state)
{
	const struct array_failure lost = { .times = 1, .err = -EPERM };

	(void)state;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + 3 * PAGE, PAGE, HMMU_VMA_ANON);
	array_map(core.m, BASE + 4 * PAGE, PAGE,
		  HMMU_VMA_READ | HMMU_VMA_SPECIAL);
	assert_int_equal(hmmu_populate(core.space, BASE, 4 * PAGE), -EFAULT);
	assert_int_equal(state_of(BASE + PAGE), ARRAY_PRESENT);
	assert_int_equal(hmmu_populate(core.space, BASE + 3 * PAGE, PAGE),
			 -EFAULT);
	assert_int_equal(hmmu_populate(core.space, BASE + 4 * PAGE, PAGE),
			 -EFAULT);
	array_fail(core.m, ARRAY_FAULT_IN, &lost);
	assert_int_equal(hmmu_populate(core.space, BASE, PAGE), -EFAULT);
	assert_int_equal(hmmu_populate(core.space, BASE, 0), -EINVAL);
	assert_int_equal(hmmu_populate(NULL, BASE, PAGE), -EINVAL);
}

/* --- where pages are -------------------------------------------------------------- */

static void test_residency_of_blocks(void **state)
{
	struct hmmu_device *coherent = core_coherent_device(2, 2);
	struct hmmu_residency r[4];

	(void)state;
	core_map_large(BASE, 1);
	core_map_large(BASE + LARGE, 1);
	array_map(core.m, BASE + 2 * LARGE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE + 2 * LARGE, 100 * PAGE, 1);
	assert_int_equal(core_migrate(device, BASE + LARGE, LARGE, NULL), 0);
	assert_int_equal(
		core_migrate(device, BASE + 2 * LARGE, 30 * PAGE, NULL), 0);
	assert_int_equal(core_migrate(coherent, BASE + 2 * LARGE + 30 * PAGE,
				      10 * PAGE, NULL),
			 0);
	assert_int_equal(core_fault(other, BASE, 1, HMMU_ACCESS_READ), 0);
	assert_int_equal(
		core_fault(device, BASE + 2 * LARGE, 1, HMMU_ACCESS_READ), 0);
	memset(r, 0xff, sizeof(r));
	assert_int_equal(
		hmmu_space_get_residency(core.space, BASE, 4 * LARGE, r), 0);
	assert_int_equal(r[0].start, BASE);
	assert_int_equal(r[0].system_pages, BLOCK);
	assert_int_not_equal(r[0].system_large, 0);
	assert_int_equal(r[0].device_pages, 0);
	assert_int_equal(r[0].mirror_leaf_lg2, HMMU_LARGE_LG2);
	assert_int_equal(r[1].system_pages, 0);
	assert_int_equal(r[1].device_pages, BLOCK);
	assert_int_not_equal(r[1].device_large, 0);
	assert_int_equal(r[1].mirror_leaf_lg2, 0);
	/* A coherent page counts where the device has it. */
	assert_int_equal(r[2].system_pages, 60);
	assert_int_equal(r[2].system_large, 0);
	assert_int_equal(r[2].device_pages, 40);
	assert_int_equal(r[2].device_large, 0);
	assert_int_equal(r[2].mirror_leaf_lg2, HMMU_PAGE_LG2);
	assert_int_equal(r[3].start, BASE + 3 * LARGE);
	assert_int_equal(r[3].system_pages + r[3].device_pages, 0);
}

static int picture(void)
{
	struct hmmu_residency r;
	int err = hmmu_space_get_residency(core.space, BASE, LARGE, &r);

	/* A look that fails in between counts too few pages. */
	assert_true(err || r.system_pages <= 4);
	return err;
}

static void expect_no_memory(int err)
{
	assert_true(!err || err == -ENOMEM);
}

static void test_residency_sweep(void **state)
{
	(void)state;
	core_map_filled(BASE, 4 * PAGE);
	core_sweep(picture, expect_no_memory);
	assert_int_equal(hmmu_space_get_residency(core.space, BASE, 0, NULL),
			 -EINVAL);
}

#define EXCLUSIVE_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EXCLUSIVE_TEST(test_exclusive_ex1_page_by_page),
		EXCLUSIVE_TEST(test_exclusive_ex2_from_wherever_the_page_is),
		EXCLUSIVE_TEST(test_exclusive_ex3_kinds_of_memory),
		EXCLUSIVE_TEST(test_exclusive_ex4_large_pages_are_split),
		EXCLUSIVE_TEST(test_exclusive_ex9_what_must_stay_is_busy),
		EXCLUSIVE_TEST(test_exclusive_tries_a_busy_page_again),
		EXCLUSIVE_TEST(test_exclusive_in26_events),
		EXCLUSIVE_TEST(test_exclusive_ex12_unmap_discard_and_move),
		EXCLUSIVE_TEST(test_exclusive_ex5_touch_before_it_is_mapped),
		EXCLUSIVE_TEST(test_exclusive_refuses_bad_arguments),
		EXCLUSIVE_TEST(test_exclusive_sweep),
		EXCLUSIVE_TEST(test_pin_pn1_brings_pages_home),
		EXCLUSIVE_TEST(test_pin_makes_pages_present),
		EXCLUSIVE_TEST(test_pin_pn2_pins_are_counted),
		EXCLUSIVE_TEST(test_pin_fails_whole),
		EXCLUSIVE_TEST(test_pin_against_a_migration_that_takes),
		EXCLUSIVE_TEST(test_pin_sweep),
		EXCLUSIVE_TEST(test_populate_makes_pages_present),
		EXCLUSIVE_TEST(test_populate_errors),
		EXCLUSIVE_TEST(test_residency_of_blocks),
		EXCLUSIVE_TEST(test_residency_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
