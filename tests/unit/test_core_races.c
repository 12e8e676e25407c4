/* SPDX-License-Identifier: MIT */
/*
 * Threads of a program, a port and whoever moves pages, all at once: no update
 * is lost, and nothing that is gone is used. Single races are in the tests of
 * their parts, step by step.
 */
#include "tests/unit/core_fixture.h"

#define RACE_NS 250000000u
#define PAGES	24u
/* Words of each page: the port adds to the first, the CPU to the second. */
#define BY_PORT 8u
#define BY_CPU	16u

static struct hmmu_device *device;
static _Atomic bool stop;
static _Atomic uint64_t port_adds, cpu_adds;
/* What a thread other than the main one found wrong; 0: nothing. */
static _Atomic int wrong;

static int setup(void **state)
{
	int err = core_setup(state);

	device = core_device(0, 2);
	atomic_store(&stop, false);
	atomic_store(&port_adds, 0);
	atomic_store(&cpu_adds, 0);
	atomic_store(&wrong, 0);
	return err;
}

static uintptr_t page_at(uint64_t i)
{
	return BASE + i % PAGES * PAGE;
}

/* Runs fn(round) until the time is up, then stops the helpers. */
static void race(void (*fn)(uint64_t round), struct helper *h, size_t helpers)
{
	uint64_t end_ns = hmmu__sched_now_ns() + RACE_NS;
	uint64_t round;
	size_t i;

	for (round = 0; hmmu__sched_now_ns() < end_ns; round++)
		fn(round);
	atomic_store(&stop, true);
	for (i = 0; i < helpers; i++)
		helper_join(&h[i]);
	assert_int_equal(atomic_load(&wrong), 0);
	core_check();
}

/* --- no update is lost ------------------------------------------------------------ */

static void add_by_port(void *arg)
{
	struct hmmu_port *port = NULL;
	uint64_t i;
	int err;

	(void)arg;
	err = hmmu_port_open(device, &port);
	for (i = 0; !err && !atomic_load(&stop); i++) {
		err = hmmu_port_fetch_add(port, page_at(i) + BY_PORT, 8, 1,
					  NULL);
		if (!err)
			atomic_fetch_add(&port_adds, 1);
	}
	if (err)
		atomic_store(&wrong, err);
	hmmu_port_close(port);
}

static void add_by_cpu(void *arg)
{
	uint64_t i, v = 0;
	int err = 0;

	(void)arg;
	for (i = 0; !err && !atomic_load(&stop); i++) {
		err = array_load(core.m, page_at(i * 7) + BY_CPU, &v);
		if (!err)
			err = array_store(core.m, page_at(i * 7) + BY_CPU,
					  v + 1);
		if (!err)
			atomic_fetch_add(&cpu_adds, 1);
	}
	if (err)
		atomic_store(&wrong, err);
}

static uint64_t sum_of(unsigned int word)
{
	uint64_t sum = 0, v, i;

	for (i = 0; i < PAGES; i++) {
		assert_int_equal(array_load(core.m, page_at(i) + word, &v), 0);
		sum += v;
	}
	return sum;
}

static void map_zeroes(void)
{
	uint64_t i;

	array_map(core.m, BASE, PAGES * PAGE, ARRAY_ANON_RW);
	for (i = 0; i < PAGES; i++)
		assert_int_equal(array_store(core.m, page_at(i), 0), 0);
}

static void check_sums(void)
{
	assert_int_equal(sum_of(BY_PORT), atomic_load(&port_adds));
	assert_int_equal(sum_of(BY_CPU), atomic_load(&cpu_adds));
	assert_true(atomic_load(&port_adds) > 0);
	assert_true(atomic_load(&cpu_adds) > 0);
}

static void move_pages(uint64_t round)
{
	uintptr_t at = page_at(round);

	switch (round % 4) {
	case 0:
		assert_int_equal(core_migrate(device, BASE, PAGES * PAGE, NULL),
				 0);
		break;
	case 1:
		assert_int_equal(core_home(at, PAGE, NULL), 0);
		break;
	case 2:
		array_protect(core.m, at, PAGE, ARRAY_ANON_RW);
		break;
	default:
		assert_int_equal(core_home(BASE, PAGES * PAGE, NULL), 0);
		break;
	}
}

/* MV12, DP1, DP2 */
static void test_race_mv12_no_update_is_lost(void **state)
{
	struct helper h[2];

	(void)state;
	map_zeroes();
	helper_start(&h[0], add_by_port, NULL);
	helper_start(&h[1], add_by_cpu, NULL);
	race(move_pages, h, 2);
	assert_true(core_stats().pages_to_device > 0);
	check_sums();
}

/* EX5: the CPU may take it at once, and then it is somebody else's turn. */
static void make_exclusive(uint64_t round)
{
	int err =
		hmmu_device_make_exclusive(device, page_at(round), PAGE, NULL);

	assert_true(!err || err == -EBUSY);
}

static void test_race_ex6_no_update_of_an_exclusive_page_is_lost(void **state)
{
	struct helper h[2];

	(void)state;
	map_zeroes();
	helper_start(&h[0], add_by_port, NULL);
	helper_start(&h[1], add_by_cpu, NULL);
	race(make_exclusive, h, 2);
	assert_true(core_stats().pages_to_device > 0);
	check_sums();
}

/* --- nothing that is gone is used ----------------------------------------------------- */

static void fault_pages(void *arg)
{
	uint64_t i;
	int err;

	(void)arg;
	for (i = 0; !atomic_load(&stop); i++) {
		err = core_fault(device, page_at(i), 4 * PAGE,
				 i % 2 ? HMMU_ACCESS_WRITE : HMMU_ACCESS_READ);
		if (err && err != -EFAULT && err != -EPERM && err != -EBUSY)
			atomic_store(&wrong, err);
	}
}

/* IN13, IN14: from the return of the change on. */
static void change_mapping(uint64_t round)
{
	const unsigned int ro = HMMU_VMA_READ | HMMU_VMA_ANON;

	array_map(core.m, BASE, PAGES * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, PAGES / 2 * PAGE, 1);
	if (round % 3 == 0)
		assert_int_equal(core_migrate(device, BASE, PAGES * PAGE, NULL),
				 0);
	array_discard(core.m, BASE, 4 * PAGE);
	array_protect(core.m, BASE + 4 * PAGE, 4 * PAGE, ro);
	assert_false(core_leaf(device, BASE + 5 * PAGE) & HMMU_MIRROR_WRITE);
	array_unmap(core.m, BASE, PAGES * PAGE);
	assert_int_equal(core_mapped_pages(device, BASE, PAGES * PAGE), 0);
	assert_int_equal(core_device_pages(), 0);
}

static void test_race_in13_fault_against_changes(void **state)
{
	struct helper h[2];

	(void)state;
	helper_start(&h[0], fault_pages, NULL);
	helper_start(&h[1], fault_pages, NULL);
	race(change_mapping, h, 2);
	assert_true(core_stats().device_faults > 0);
}

#define RACE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RACE_TEST(test_race_mv12_no_update_is_lost),
		RACE_TEST(test_race_ex6_no_update_of_an_exclusive_page_is_lost),
		RACE_TEST(test_race_in13_fault_against_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
