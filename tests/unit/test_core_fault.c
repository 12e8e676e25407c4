/* SPDX-License-Identifier: MIT */
/*
 * Device faults: which leaves a mirror gets, what a fault asks of the address
 * space, and what it does when memory changes meanwhile.
 */
#include "tests/unit/core_fixture.h"

#define RO	    (HMMU_VMA_READ | HMMU_VMA_ANON)
#define SHARED_RW   (HMMU_VMA_READ | HMMU_VMA_WRITE | HMMU_VMA_SHARED)
#define BLOCK_PAGES HMMU_PAGES_PER_LARGE

static struct hmmu_device *device;

static int setup(void **state)
{
	int err = core_setup(state);

	device = core_device(0, 0);
	return err;
}

static int read_at(uintptr_t addr, size_t bytes)
{
	return core_fault(device, addr, bytes, HMMU_ACCESS_READ);
}

static int write_at(uintptr_t addr, size_t bytes)
{
	return core_fault(device, addr, bytes, HMMU_ACCESS_WRITE);
}

static bool is_writable(uintptr_t addr)
{
	return core_leaf(device, addr) & HMMU_MIRROR_WRITE;
}

static unsigned int leaf_lg2(uintptr_t addr)
{
	uint64_t leaf = core_leaf(device, addr);

	return leaf ? hmmu_mirror_leaf_lg2(leaf) : 0;
}

static struct hmmu_device *device_around(unsigned int i, uint32_t pages)
{
	const struct hmmu_device_options options = {
		.size = sizeof(options), .fault_around_pages = pages
	};

	assert_int_equal(
		hmmu_device_create(core.space, &options, &core.device[i]), 0);
	return core.device[i];
}

/* --- what is mapped ------------------------------------------------------------ */

/* A leaf names the page where the host has it, not where the program does. */
static void test_fault_leaf_is_at_the_host(void **state)
{
	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	assert_int_equal(read_at(BASE + PAGE + 7, 1), 0);
	assert_int_equal(hmmu_mirror_payload(core_leaf(device, BASE + PAGE)),
			 (uintptr_t)array_host(core.m, BASE + PAGE));
	assert_false(core_leaf(device, BASE + PAGE) & HMMU_DEVICE_LEAF_LOCAL);
	/* Absent pages beside it are left alone. */
	assert_int_equal(core_mapped_pages(device, BASE, 4 * PAGE), 1);
	assert_int_equal(array_page(core.m, BASE)->state, ARRAY_ABSENT);
}

/* IN13, IN14 */
static void test_fault_in13_nothing_is_mapped_after_a_change(void **state)
{
	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	assert_int_equal(write_at(BASE, 8 * PAGE), 0);
	array_discard(core.m, BASE, PAGE);
	array_unmap(core.m, BASE + PAGE, PAGE);
	array_protect(core.m, BASE + 2 * PAGE, PAGE, RO);
	array_move(core.m, BASE + 4 * PAGE, BASE + LARGE, PAGE);
	assert_int_equal(core_mapped_pages(device, BASE, 2 * LARGE), 4);
	core_check();
	/* DP16 */
	assert_int_equal(write_at(BASE + 2 * PAGE, 1), -EPERM);
	assert_int_equal(read_at(BASE + 2 * PAGE, 1), 0);
	assert_false(is_writable(BASE + 2 * PAGE));
	array_protect(core.m, BASE + 2 * PAGE, PAGE, ARRAY_ANON_RW);
	assert_int_equal(write_at(BASE + 2 * PAGE, 1), 0);
	assert_true(is_writable(BASE + 2 * PAGE));
}

static void test_fault_around_maps_what_is_present(void **state)
{
	struct hmmu_device *few = device_around(1, 4);
	struct hmmu_device *one = device_around(2, 1);

	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 40 * PAGE, 1);
	assert_int_equal(read_at(BASE + 9 * PAGE, 1), 0);
	assert_int_equal(core_mapped_pages(device, BASE, LARGE), 40);
	assert_int_equal(core_fault(few, BASE + 9 * PAGE, 1, HMMU_ACCESS_READ),
			 0);
	/* The window is aligned: pages 8 to 11. */
	assert_int_equal(core_mapped_pages(few, BASE, LARGE), 4);
	assert_int_not_equal(core_leaf(few, BASE + 8 * PAGE), 0);
	assert_int_equal(core_fault(one, BASE + 9 * PAGE, 1, HMMU_ACCESS_READ),
			 0);
	assert_int_equal(core_mapped_pages(one, BASE, LARGE), 1);
}

/* RF27: the zero page is read only, also beside a page that is written. */
static void test_fault_around_gives_no_more_than_the_snapshot(void **state)
{
	uint64_t v;

	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	core.m->has_zero = true;
	assert_int_equal(array_load(core.m, BASE, &v), 0);
	array_fill(core.m, BASE + PAGE, PAGE, 1);
	array_share(core.m, BASE + PAGE, PAGE);
	array_fill(core.m, BASE + 2 * PAGE, PAGE, 1);
	assert_int_equal(write_at(BASE + 3 * PAGE, PAGE), 0);
	assert_int_equal(core_mapped_pages(device, BASE, 8 * PAGE), 4);
	assert_false(is_writable(BASE));
	assert_false(is_writable(BASE + PAGE));
	assert_true(is_writable(BASE + 2 * PAGE));
	assert_true(is_writable(BASE + 3 * PAGE));
	/* A write fault replaces it; the program sees the same page. */
	assert_int_equal(write_at(BASE, 1), 0);
	assert_true(is_writable(BASE));
	core_check();
}

/* FK5: a write breaks copy-on-write, and a read does not. */
static void test_fault_fk5_write_unshares(void **state)
{
	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 4 * PAGE, 1);
	array_share(core.m, BASE, 4 * PAGE);
	assert_int_equal(read_at(BASE, 4 * PAGE), 0);
	assert_true(array_page(core.m, BASE)->is_shared);
	assert_int_equal(write_at(BASE + PAGE, 2 * PAGE), 0);
	assert_false(is_writable(BASE));
	assert_true(is_writable(BASE + PAGE));
	assert_true(is_writable(BASE + 2 * PAGE));
	assert_false(is_writable(BASE + 3 * PAGE));
	array_expect(core.m, BASE, 4 * PAGE, 1);
}

/* RF7: no snapshot says that shared memory is writable, a write fault does. */
static void test_fault_rf7_write_of_shared_memory(void **state)
{
	(void)state;
	array_map(core.m, BASE, 8 * PAGE, SHARED_RW);
	array_fill(core.m, BASE, 8 * PAGE, 1);
	assert_int_equal(write_at(BASE + 2 * PAGE, 2 * PAGE), 0);
	/* Without fault-around: what is writable there is not known. */
	assert_int_equal(core_mapped_pages(device, BASE, 8 * PAGE), 2);
	assert_true(is_writable(BASE + 2 * PAGE));
	assert_true(is_writable(BASE + 3 * PAGE));
	assert_int_equal(read_at(BASE, PAGE), 0);
	assert_false(is_writable(BASE));
}

/* --- large pages ------------------------------------------------------------- */

static void test_fault_rf12_large_page_is_one_leaf(void **state)
{
	struct hmmu_device *one = device_around(1, 1);

	(void)state;
	core_map_large(BASE, 1);
	/* Whatever part is asked for, and however little is mapped around it. */
	assert_int_equal(core_fault(one, BASE + 7 * PAGE, 1, HMMU_ACCESS_READ),
			 0);
	assert_int_equal(core_mapped_pages(one, BASE, LARGE), BLOCK_PAGES);
	assert_int_equal(write_at(BASE + LARGE - PAGE, PAGE), 0);
	assert_int_equal(leaf_lg2(BASE), HMMU_LARGE_LG2);
	assert_true(is_writable(BASE));
	core_check();
}

/* 512 small pages in a row are not one page: the kernel may change each. */
static void test_fault_rf28_small_pages_in_a_row_are_small_leaves(void **state)
{
	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, LARGE, 1);
	assert_int_equal(read_at(BASE, LARGE), 0);
	assert_int_equal(core_mapped_pages(device, BASE, LARGE), BLOCK_PAGES);
	assert_int_equal(leaf_lg2(BASE), HMMU_PAGE_LG2);
}

/* A part of a large page that is another mapping has a permission of its own. */
static void test_fault_large_page_over_two_mappings_is_small(void **state)
{
	(void)state;
	core_map_large(BASE, 1);
	array_protect(core.m, BASE, 4 * PAGE, RO);
	assert_int_equal(write_at(BASE + 4 * PAGE, PAGE), 0);
	assert_int_equal(leaf_lg2(BASE + 4 * PAGE), HMMU_PAGE_LG2);
	assert_int_equal(core_leaf(device, BASE), 0);
	core_check();
}

/* --- many runs ----------------------------------------------------------------- */

/* More runs than a fault keeps: it maps less at a time, and misses nothing. */
static void test_fault_of_a_fragmented_block(void **state)
{
	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, LARGE, 1);
	array_scatter(core.m, BASE, LARGE);
	assert_int_equal(read_at(BASE + 300 * PAGE, 1), 0);
	assert_int_not_equal(core_leaf(device, BASE + 300 * PAGE), 0);
	assert_true(core_mapped_pages(device, BASE, LARGE) <= 128);
	core_check();
	assert_int_equal(write_at(BASE, LARGE), 0);
	assert_int_equal(core_mapped_pages(device, BASE, LARGE), BLOCK_PAGES);
	assert_true(is_writable(BASE + LARGE - PAGE));
	core_check();
}

static void test_fault_with_holes_between_pages(void **state)
{
	uintptr_t at;

	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	for (at = BASE; at < BASE + LARGE; at += 2 * PAGE)
		array_fill(core.m, at, PAGE, 1);
	assert_int_equal(read_at(BASE + 501 * PAGE, 1), 0);
	assert_int_not_equal(core_leaf(device, BASE + 501 * PAGE), 0);
	core_check();
	assert_int_equal(read_at(BASE, LARGE), 0);
	assert_int_equal(core_mapped_pages(device, BASE, LARGE), BLOCK_PAGES);
	assert_int_equal(core_stats().device_fault_retries, 0);
}

/* The address space describes a few pages at a time. */
static void test_fault_with_a_snapshot_in_pieces(void **state)
{
	(void)state;
	core.m->snapshot_pages = 3;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 100 * PAGE, 1);
	array_fill(core.m, BASE + LARGE, LARGE, 2);
	array_make_large(core.m, BASE + LARGE);
	assert_int_equal(write_at(BASE + 50 * PAGE, 2 * LARGE - 50 * PAGE), 0);
	assert_int_equal(core_mapped_pages(device, BASE + 50 * PAGE,
					   2 * LARGE - 50 * PAGE),
			 2 * BLOCK_PAGES - 50);
	assert_int_equal(leaf_lg2(BASE + LARGE), HMMU_LARGE_LG2);
	core_check();
}

/* --- what can not be mapped ------------------------------------------------------ */

static void test_fault_refuses_bad_arguments(void **state)
{
	(void)state;
	array_map(core.m, BASE, PAGE, ARRAY_ANON_RW);
	assert_int_equal(core_fault(NULL, BASE, 1, HMMU_ACCESS_READ), -EINVAL);
	assert_int_equal(read_at(BASE, 0), -EINVAL);
	assert_int_equal(read_at(UINTPTR_MAX, 2), -EINVAL);
	assert_int_equal(core_fault(device, BASE, 1, (enum hmmu_access)2),
			 -EINVAL);
	/* More than the mirror can name. */
	assert_int_equal(read_at(1ul << 48, 1), -EFAULT);
	assert_int_equal(read_at(UINTPTR_MAX, 1), -EFAULT);
}

/* RF13 to RF16 in words of a device, and E1. */
static void test_fault_errors_are_those_of_the_mapping(void **state)
{
	static const struct {
		unsigned int flags;
		int read, write;
	} kinds[] = {
		{ HMMU_VMA_ANON, -EFAULT, -EFAULT }, /* RF14 */
		{ HMMU_VMA_ANON | HMMU_VMA_WRITE, -EFAULT, -EFAULT }, /* RF15 */
		{ RO, 0, -EPERM }, /* RF16 */
		{ HMMU_VMA_READ | HMMU_VMA_SPECIAL, -EFAULT, -EFAULT },
		{ ARRAY_ANON_RW | HMMU_VMA_OWN, -EFAULT, -EFAULT }, /* E1 */
		{ HMMU_VMA_READ | HMMU_VMA_SHARED, 0, -EPERM },
	};
	size_t i;

	(void)state;
	/* RF13 */
	assert_int_equal(read_at(BASE, 1), -EFAULT);
	for (i = 0; i < HMMU_ARRAY_SIZE(kinds); i++) {
		uintptr_t at = BASE + 2 * i * PAGE;

		array_map(core.m, at, PAGE, kinds[i].flags);
		assert_int_equal(write_at(at, PAGE), kinds[i].write);
		assert_int_equal(core_leaf(device, at), 0);
		assert_int_equal(read_at(at, PAGE), kinds[i].read);
		assert_int_equal(core_leaf(device, at) != 0, !kinds[i].read);
	}
}

/* What comes before the page that fails may be mapped; what follows is not. */
static void test_fault_stops_at_the_first_error(void **state)
{
	(void)state;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + 3 * PAGE, PAGE, ARRAY_ANON_RW);
	assert_int_equal(read_at(BASE, 4 * PAGE), -EFAULT);
	assert_int_equal(core_leaf(device, BASE + 3 * PAGE), 0);
	core_check();
}

/* Several mappings and blocks in one call. */
static void test_fault_over_mappings_and_blocks(void **state)
{
	(void)state;
	array_map(core.m, BASE, LARGE - PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + LARGE - PAGE, 2 * PAGE, SHARED_RW);
	array_map(core.m, BASE + LARGE + PAGE, LARGE, ARRAY_ANON_RW);
	assert_int_equal(write_at(BASE + LARGE - 2 * PAGE, 5 * PAGE), 0);
	assert_int_equal(core_mapped_pages(device, BASE, 3 * LARGE), 5);
	core_check();
}

/* --- what the address space answers ------------------------------------------------ */

static void test_fault_maps_what_can_not_be_watched(void **state)
{
	static const int errors[] = { -EOPNOTSUPP, -EBUSY };
	size_t i;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	for (i = 0; i < HMMU_ARRAY_SIZE(errors); i++) {
		const struct array_failure f = { .times = 1, .err = errors[i] };

		array_fail(core.m, ARRAY_WATCH, &f);
		assert_int_equal(read_at(BASE + i * PAGE, 1), 0);
		assert_true(core.m->failed[ARRAY_WATCH]);
		assert_int_not_equal(core_leaf(device, BASE + i * PAGE), 0);
	}
}

static void check_fails_once(enum array_op op, int err, int want)
{
	const struct array_failure f = { .times = 1, .err = err };

	array_discard(core.m, BASE, 4 * PAGE);
	array_fail(core.m, op, &f);
	assert_int_equal(write_at(BASE, 2 * PAGE), want);
	assert_true(core.m->failed[op]);
	assert_int_equal(core_mapped_pages(device, BASE, 4 * PAGE),
			 want ? 0 : 2);
}

/* RF35 */
static void test_fault_rf35_errors_of_the_address_space(void **state)
{
	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	/* Changes would be missed. */
	check_fails_once(ARRAY_WATCH, -ENOMEM, -ENOMEM);
	check_fails_once(ARRAY_FAULT_IN, -ENOMEM, -ENOMEM);
	check_fails_once(ARRAY_FAULT_IN, -EFAULT, -EFAULT);
	check_fails_once(ARRAY_FAULT_IN, -EPERM, -EPERM);
	check_fails_once(ARRAY_SNAPSHOT, -ENOMEM, -ENOMEM);
	/* These are asked again. */
	check_fails_once(ARRAY_WATCH, -EAGAIN, 0);
	check_fails_once(ARRAY_FAULT_IN, -EBUSY, 0);
	assert_int_equal(core_stats().device_fault_retries, 2);
}

static void test_fault_gives_up_after_a_second_of_collisions(void **state)
{
	const struct array_failure always = { .times = UINT32_MAX,
					      .err = -EAGAIN };
	uint64_t begun = hmmu__sched_now_ns();

	(void)state;
	array_map(core.m, BASE, PAGE, ARRAY_ANON_RW);
	array_fail(core.m, ARRAY_WATCH, &always);
	assert_int_equal(read_at(BASE, 1), -EBUSY);
	assert_true(hmmu__sched_now_ns() - begun >=
		    HMMU_RANGE_DEFAULT_TIMEOUT_NS);
	assert_int_equal(core_leaf(device, BASE), 0);
}

/* --- against a change -------------------------------------------------------------- */

static void discard_all(void *arg)
{
	(void)arg;
	array_discard(core.m, BASE, LARGE);
}

static void unmap_all(void *arg)
{
	(void)arg;
	array_unmap(core.m, BASE, LARGE);
}

static void protect_all(void *arg)
{
	(void)arg;
	array_protect(core.m, BASE, LARGE, RO);
}

/*
 * RF32, RF36. The change comes after the @nth call of @op began and is over
 * before it answers: what the fault saw before is not mapped.
 */
static void check_collision(enum array_op op, unsigned int nth,
			    void (*change)(void *arg), int want)
{
	uint64_t before = core_stats().device_fault_retries;

	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE + PAGE, 8 * PAGE, 1);
	array_on(core.m, op, nth, change, NULL);
	assert_int_equal(write_at(BASE, 4 * PAGE), want);
	assert_null(core.m->hook[op].fn);
	core_check();
	assert_int_equal(core_stats().device_fault_retries, before + 1);
	array_unmap(core.m, BASE, LARGE);
}

static void test_fault_rf36_discard_meanwhile(void **state)
{
	(void)state;
	check_collision(ARRAY_WATCH, 1, discard_all, 0);
	check_collision(ARRAY_SNAPSHOT, 1, discard_all, 0);
	check_collision(ARRAY_FAULT_IN, 1, discard_all, 0);
	check_collision(ARRAY_SNAPSHOT, 2, discard_all, 0);
}

static void test_fault_rf36_protect_meanwhile(void **state)
{
	(void)state;
	check_collision(ARRAY_WATCH, 1, protect_all, -EPERM);
	check_collision(ARRAY_SNAPSHOT, 2, protect_all, -EPERM);
}

static void test_fault_rf36_unmap_meanwhile(void **state)
{
	(void)state;
	check_collision(ARRAY_SNAPSHOT, 2, unmap_all, -EFAULT);
}

/* The kernel takes a page of a file back, which it reports to nobody. */
static void reclaim_page(void *arg)
{
	(void)arg;
	array_page(core.m, BASE)->state = ARRAY_ABSENT;
}

static void test_fault_of_a_page_that_is_reclaimed_meanwhile(void **state)
{
	(void)state;
	array_map(core.m, BASE, PAGE, SHARED_RW);
	array_on(core.m, ARRAY_SNAPSHOT, 2, reclaim_page, NULL);
	assert_int_equal(read_at(BASE, PAGE), 0);
	assert_int_not_equal(core_leaf(device, BASE), 0);
	assert_int_equal(core_stats().device_fault_retries, 1);
}

/* The change that comes back as a collision, on each attempt but the last. */
static void discard_again(void *arg)
{
	int *left = arg;

	array_discard(core.m, BASE, LARGE);
	if (--*left > 0)
		array_on(core.m, ARRAY_SNAPSHOT, 2, discard_again, left);
}

static void test_fault_rf32_retries_until_nothing_collides(void **state)
{
	int left = 5;

	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_on(core.m, ARRAY_SNAPSHOT, 2, discard_again, &left);
	assert_int_equal(write_at(BASE, PAGE), 0);
	assert_int_equal(left, 0);
	assert_int_equal(core_stats().device_fault_retries, 5);
	assert_int_equal(core_stats().device_faults, 1);
}

/* RF23, IN8: a fault in the middle of a change waits for its end. */
static void fault_page(void *arg)
{
	_Atomic int *err = arg;

	atomic_store(err, read_at(BASE, PAGE));
}

static void test_fault_in14_waits_for_a_change_to_end(void **state)
{
	struct helper changer, faulter;
	_Atomic int step = 0;
	_Atomic int err = 1;

	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	assert_int_equal(read_at(BASE, PAGE), 0);
	array_on(core.m, ARRAY_BEGUN, 1, stall_here, &step);
	helper_start(&changer, unmap_all, NULL);
	step_wait(&step, 1);
	/* IN13: begin has returned. */
	assert_int_equal(core_leaf(device, BASE), 0);
	helper_start(&faulter, fault_page, &err);
	assert_false(helper_is_done_soon(&faulter));
	assert_int_equal(core_leaf(device, BASE), 0);
	step_set(&step, 2);
	helper_join(&changer);
	helper_join(&faulter);
	assert_int_equal(err, -EFAULT);
}

/* --- pages on devices ------------------------------------------------------------ */

static void test_fault_maps_the_devices_own_pages(void **state)
{
	struct hmmu_device *owner = core_device(1, 4);
	uint64_t leaf;

	(void)state;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, LARGE, 1);
	array_make_large(core.m, BASE);
	array_fill(core.m, BASE + LARGE, 8 * PAGE, 1);
	assert_int_equal(core_migrate(owner, BASE, LARGE + 4 * PAGE, NULL), 0);
	assert_int_equal(core_fault(owner, BASE + PAGE, 1, HMMU_ACCESS_READ),
			 0);
	leaf = core_leaf(owner, BASE);
	assert_int_equal(hmmu_mirror_leaf_lg2(leaf), HMMU_LARGE_LG2);
	assert_true(leaf & HMMU_DEVICE_LEAF_LOCAL);
	/* RF20: the mapping says whether it may be written. */
	assert_true(leaf & HMMU_MIRROR_WRITE);
	/* Fault-around takes both: those of the device and those of the CPU. */
	assert_int_equal(core_fault(owner, BASE + LARGE, 1, HMMU_ACCESS_WRITE),
			 0);
	assert_int_equal(core_mapped_pages(owner, BASE + LARGE, LARGE), 8);
	assert_true(core_leaf(owner, BASE + LARGE + 3 * PAGE) &
		    HMMU_DEVICE_LEAF_LOCAL);
	assert_false(core_leaf(owner, BASE + LARGE + 4 * PAGE) &
		     HMMU_DEVICE_LEAF_LOCAL);
	/* RF19: nothing of it was faulted in. */
	assert_int_equal(core_stats().pages_home, 0);
	core_check();
}

/* RF21: what another device has comes home first. */
static void test_fault_rf21_of_another_devices_page(void **state)
{
	struct hmmu_device *owner = core_device(1, 1);

	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 8 * PAGE, 1);
	assert_int_equal(core_migrate(owner, BASE, 8 * PAGE, NULL), 0);
	assert_int_equal(core_fault(owner, BASE, 8 * PAGE, HMMU_ACCESS_WRITE),
			 0);
	assert_int_equal(write_at(BASE + PAGE, 1), 0);
	assert_int_equal(core_leaf(owner, BASE + PAGE), 0);
	assert_int_equal(hmmu_mirror_payload(core_leaf(device, BASE + PAGE)),
			 (uintptr_t)array_host(core.m, BASE + PAGE));
	array_expect(core.m, BASE, 8 * PAGE, 1);
	core_check();
}

/* DC2: coherent pages are mapped where the CPU has them, marked for the owner. */
static void test_fault_dc2_of_coherent_pages(void **state)
{
	struct hmmu_device *owner = core_coherent_device(1, 4);

	(void)state;
	core_map_large(BASE, 1);
	array_map(core.m, BASE + LARGE, 8 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE + LARGE, 8 * PAGE, 1);
	assert_int_equal(core_migrate(owner, BASE, LARGE + 4 * PAGE, NULL), 0);
	assert_int_equal(core_fault(owner, BASE, 2 * LARGE - 504 * PAGE,
				    HMMU_ACCESS_WRITE),
			 0);
	assert_int_equal(write_at(BASE, LARGE + 8 * PAGE), 0);
	assert_true(core_leaf(owner, BASE) & HMMU_DEVICE_LEAF_LOCAL);
	assert_false(core_leaf(device, BASE) & HMMU_DEVICE_LEAF_LOCAL);
	assert_false(core_leaf(owner, BASE + LARGE + 4 * PAGE) &
		     HMMU_DEVICE_LEAF_LOCAL);
	assert_int_equal(hmmu_mirror_payload(core_leaf(owner, BASE)),
			 hmmu_mirror_payload(core_leaf(device, BASE)));
	core_check();
}

/* --- failures -------------------------------------------------------------------- */

static int fault_both(void)
{
	int err = write_at(BASE, 20 * PAGE);

	return err ? err : read_at(BASE + LARGE, LARGE);
}

/* Mirrors start anew; nothing else may have changed. */
static void forget_both(int err)
{
	static const int errors[] = { 0, -ENOMEM, -EBUSY, -EFAULT, -EPERM };
	size_t i = 0;

	while (i < HMMU_ARRAY_SIZE(errors) && errors[i] != err)
		i++;
	assert_true(i < HMMU_ARRAY_SIZE(errors));
	array_expect(core.m, BASE, 10 * PAGE, 1);
	array_expect(core.m, BASE + LARGE, LARGE, 2);
	assert_int_equal(fault_both(), 0);
	assert_int_equal(core_mapped_pages(device, BASE, 20 * PAGE), 20);
	array_discard(core.m, BASE + 10 * PAGE, 10 * PAGE);
	array_protect(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	assert_int_equal(core_mapped_pages(device, BASE, 2 * LARGE), 0);
}

static void test_fault_sweep(void **state)
{
	(void)state;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 10 * PAGE, 1);
	array_fill(core.m, BASE + LARGE, LARGE, 2);
	array_make_large(core.m, BASE + LARGE);
	core_sweep(fault_both, forget_both);
}

#define FAULT_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, core_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(test_fault_leaf_is_at_the_host),
		FAULT_TEST(test_fault_in13_nothing_is_mapped_after_a_change),
		FAULT_TEST(test_fault_around_maps_what_is_present),
		FAULT_TEST(test_fault_around_gives_no_more_than_the_snapshot),
		FAULT_TEST(test_fault_fk5_write_unshares),
		FAULT_TEST(test_fault_rf7_write_of_shared_memory),
		FAULT_TEST(test_fault_rf12_large_page_is_one_leaf),
		FAULT_TEST(
			test_fault_rf28_small_pages_in_a_row_are_small_leaves),
		FAULT_TEST(test_fault_large_page_over_two_mappings_is_small),
		FAULT_TEST(test_fault_of_a_fragmented_block),
		FAULT_TEST(test_fault_with_holes_between_pages),
		FAULT_TEST(test_fault_with_a_snapshot_in_pieces),
		FAULT_TEST(test_fault_refuses_bad_arguments),
		FAULT_TEST(test_fault_errors_are_those_of_the_mapping),
		FAULT_TEST(test_fault_stops_at_the_first_error),
		FAULT_TEST(test_fault_over_mappings_and_blocks),
		FAULT_TEST(test_fault_maps_what_can_not_be_watched),
		FAULT_TEST(test_fault_rf35_errors_of_the_address_space),
		FAULT_TEST(test_fault_gives_up_after_a_second_of_collisions),
		FAULT_TEST(test_fault_rf36_discard_meanwhile),
		FAULT_TEST(test_fault_rf36_protect_meanwhile),
		FAULT_TEST(test_fault_rf36_unmap_meanwhile),
		FAULT_TEST(test_fault_of_a_page_that_is_reclaimed_meanwhile),
		FAULT_TEST(test_fault_rf32_retries_until_nothing_collides),
		FAULT_TEST(test_fault_in14_waits_for_a_change_to_end),
		FAULT_TEST(test_fault_maps_the_devices_own_pages),
		FAULT_TEST(test_fault_rf21_of_another_devices_page),
		FAULT_TEST(test_fault_dc2_of_coherent_pages),
		FAULT_TEST(test_fault_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
