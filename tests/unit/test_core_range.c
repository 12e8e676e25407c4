/* SPDX-License-Identifier: MIT */
/*
 * Range fault and snapshot through the public calls: which entry a page gets,
 * what is faulted for a request, and collisions.
 */
#include "tests/unit/core_fixture.h"

#define RO	  (HMMU_VMA_READ | HMMU_VMA_ANON)
#define SHARED_RW (HMMU_VMA_READ | HMMU_VMA_WRITE | HMMU_VMA_SHARED)
#define VALID	  HMMU_ENTRY_VALID
#define WRITE	  HMMU_ENTRY_WRITE
#define ERROR	  HMMU_ENTRY_ERROR
#define FAULT	  HMMU_ENTRY_REQ_FAULT
#define FAULT_RW  (HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE)
#define PAGES	  (2 * HMMU_PAGES_PER_LARGE)

static struct core_log sub;
static uint64_t entry[PAGES];

static int setup(void **state)
{
	int err = core_setup(state);

	core_log_begin(&sub, BASE, PAGES * PAGE);
	memset(entry, 0, sizeof(entry));
	return err;
}

static int teardown(void **state)
{
	core_log_end(&sub);
	return core_teardown(state);
}

static struct hmmu_range range_of(size_t first, size_t n)
{
	return (struct hmmu_range){
		.size = sizeof(struct hmmu_range),
		.notifier = sub.sub,
		.seq = hmmu_notifier_read_begin(sub.sub),
		.start = BASE + first * PAGE,
		.end = BASE + (first + n) * PAGE,
		.entries = entry + first,
		.entry_mask = FAULT_RW,
	};
}

static int snapshot_for(const struct hmmu_device *owner, size_t first, size_t n)
{
	struct hmmu_range r = range_of(first, n);

	r.owner = owner;
	r.entry_mask = 0;
	return hmmu_range_fault(&r);
}

static int snapshot(size_t first, size_t n)
{
	return snapshot_for(NULL, first, n);
}

static int fault_range(size_t first, size_t n)
{
	struct hmmu_range r = range_of(first, n);

	return hmmu_range_fault(&r);
}

static void ask(size_t first, size_t n, uint64_t request)
{
	size_t i;

	for (i = first; i < first + n; i++)
		entry[i] = request;
}

static void expect(size_t first, size_t n, uint64_t value)
{
	size_t i;

	for (i = first; i < first + n; i++)
		if (entry[i] != value)
			fail_msg("entry %zu is %lx, not %lx", i,
				 (unsigned long)entry[i], (unsigned long)value);
}

static uint64_t where(enum hmmu_where w, uint64_t index)
{
	return (uint64_t)w << HMMU_ENTRY_WHERE_SHIFT |
	       index << HMMU_ENTRY_INDEX_SHIFT;
}

#define ORDER9 (9ull << HMMU_ENTRY_ORDER_SHIFT)

/* --- snapshots ------------------------------------------------------------------ */

/* RF5, RF8, RF17 */
static void test_range_rf5_snapshot_faults_nothing(void **state)
{
	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE + PAGE, PAGE, 1);
	ask(0, 8, FAULT_RW);
	assert_int_equal(snapshot(0, 8), 0);
	expect(0, 1, 0);
	expect(1, 1, VALID | WRITE);
	expect(2, 6, 0);
	assert_int_equal(array_calls(core.m, ARRAY_FAULT_IN), 0);
}

/* RF11 */
static void test_range_rf11_sticky_bits_are_carried_along(void **state)
{
	(void)state;
	array_map(core.m, BASE, PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, PAGE, 1);
	ask(0, 3, HMMU_ENTRY_STICKY | 1ull << 63 | WRITE);
	assert_int_equal(snapshot(0, 3), 0);
	expect(0, 1, HMMU_ENTRY_STICKY | VALID | WRITE);
	expect(1, 2, HMMU_ENTRY_STICKY | ERROR);
}

/* RF13, RF14, RF15: marked, and on to the next mapping. */
static void test_range_rf13_what_can_not_be_read_is_marked(void **state)
{
	(void)state;
	array_map(core.m, BASE + PAGE, PAGE, HMMU_VMA_ANON);
	array_map(core.m, BASE + 2 * PAGE, PAGE,
		  HMMU_VMA_ANON | HMMU_VMA_WRITE);
	array_map(core.m, BASE + 3 * PAGE, PAGE,
		  HMMU_VMA_READ | HMMU_VMA_SPECIAL);
	array_map(core.m, BASE + 5 * PAGE, PAGE, RO);
	assert_int_equal(snapshot(0, 8), 0);
	expect(0, 5, ERROR);
	expect(5, 1, 0);
	expect(6, 2, ERROR);
}

/* RF12, RF28: a part of a large page says the same as the whole. */
static void test_range_rf12_large_page(void **state)
{
	(void)state;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 2 * LARGE, 1);
	array_make_large(core.m, BASE);
	assert_int_equal(snapshot(500, 24), 0);
	expect(500, 12, VALID | WRITE | ORDER9);
	expect(512, 12, VALID | WRITE);
}

/* RF27; and what only the kernel knows to be writable is not said to be. */
static void test_range_rf27_zero_page_and_shared_pages_lack_write(void **s)
{
	uint64_t v;

	(void)s;
	core.m->has_zero = true;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + 2 * PAGE, PAGE, SHARED_RW);
	assert_int_equal(array_load(core.m, BASE, &v), 0);
	array_fill(core.m, BASE + PAGE, PAGE, 1);
	array_share(core.m, BASE + PAGE, PAGE);
	array_fill(core.m, BASE + 2 * PAGE, PAGE, 1);
	assert_int_equal(snapshot(0, 3), 0);
	expect(0, 1, VALID | where(HMMU_WHERE_ZERO, 0));
	expect(1, 2, VALID);
}

static void test_range_snapshot_in_pieces(void **state)
{
	size_t pieces;

	(void)state;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, LARGE, 1);
	array_scatter(core.m, BASE, LARGE / 2);
	array_discard(core.m, BASE + 100 * PAGE, 3 * PAGE);
	for (pieces = 0; pieces < 100; pieces += 33) {
		core.m->snapshot_pages = pieces;
		memset(entry, 0xff, sizeof(entry));
		assert_int_equal(snapshot(0, PAGES), 0);
		expect(0, 100, HMMU_ENTRY_STICKY | VALID | WRITE);
		expect(100, 3, HMMU_ENTRY_STICKY);
		expect(103, 409, HMMU_ENTRY_STICKY | VALID | WRITE);
		expect(512, 512, HMMU_ENTRY_STICKY);
	}
}

/* --- pages on devices ------------------------------------------------------------ */

/* RF19, RF21, RF30 */
static void test_range_rf19_pages_of_the_owner(void **state)
{
	struct hmmu_device *owner = core_device(0, 4);

	(void)state;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 2 * LARGE, 1);
	array_make_large(core.m, BASE);
	assert_int_equal(core_migrate(owner, BASE, LARGE + 4 * PAGE, NULL), 0);
	assert_int_equal(snapshot_for(owner, 0, PAGES), 0);
	expect(0, 1, VALID | WRITE | ORDER9 | where(HMMU_WHERE_DEVICE, 0));
	expect(511, 1, VALID | WRITE | ORDER9 | where(HMMU_WHERE_DEVICE, 511));
	assert_int_equal(hmmu_entry_where(entry[514]), HMMU_WHERE_DEVICE);
	assert_int_equal(hmmu_entry_order(entry[514]), 0);
	assert_int_equal(hmmu_entry_index(entry[514]),
			 hmmu_entry_index(entry[512]) + 2);
	expect(516, 508, VALID | WRITE);
	assert_int_equal(snapshot(0, PAGES), 0);
	expect(0, 516, 0);
	expect(516, 508, VALID | WRITE);
}

/* RF20: the owner's page is there, though it can not be written. */
static void test_range_rf20_owners_page_without_write(void **state)
{
	struct hmmu_device *owner = core_device(0, 1);
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 2 * PAGE, 1);
	assert_int_equal(core_migrate(owner, BASE, 2 * PAGE, NULL), 0);
	array_protect(core.m, BASE, 2 * PAGE, RO);
	ask(0, 2, FAULT_RW);
	r = range_of(0, 2);
	r.owner = owner;
	assert_int_equal(hmmu_range_fault(&r), 0);
	assert_int_equal(entry[0] & (VALID | WRITE), VALID);
	assert_int_equal(hmmu_entry_where(entry[0]), HMMU_WHERE_DEVICE);
	assert_int_equal(array_calls(core.m, ARRAY_FAULT_IN), 0);
	core_check();
}

/* RF21: who asks for a page of somebody else's gets it home. */
static void test_range_rf21_foreign_page_comes_home(void **state)
{
	struct hmmu_device *owner = core_device(0, 1);

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 4 * PAGE, 1);
	assert_int_equal(core_migrate(owner, BASE, 4 * PAGE, NULL), 0);
	ask(0, 4, FAULT);
	/* RF32: it comes home by an invalidation. */
	assert_int_equal(fault_range(0, 4), -EBUSY);
	ask(0, 4, FAULT);
	assert_int_equal(fault_range(0, 4), 0);
	expect(0, 4, VALID | WRITE);
	core_check();
}

/* RF22: an exclusive page is absent also for its device. */
static void test_range_rf22_exclusive_page_is_absent(void **state)
{
	struct hmmu_device *owner = core_device(0, 0);

	(void)state;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 2 * PAGE, 1);
	assert_int_equal(hmmu_device_make_exclusive(owner, BASE, PAGE, NULL),
			 0);
	assert_int_equal(snapshot_for(owner, 0, 2), 0);
	expect(0, 1, 0);
	expect(1, 1, VALID | WRITE);
}

/* DC2 */
static void test_range_dc2_coherent_page_is_present(void **state)
{
	struct hmmu_device *owner = core_coherent_device(0, 4);
	struct hmmu_device *other = core_device(1, 0);

	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, LARGE, 1);
	array_make_large(core.m, BASE);
	assert_int_equal(core_migrate(owner, BASE, LARGE, NULL), 0);
	assert_int_equal(snapshot_for(owner, 0, 512), 0);
	expect(3, 1, VALID | WRITE | ORDER9 | where(HMMU_WHERE_COHERENT, 3));
	assert_int_equal(snapshot_for(other, 0, 512), 0);
	expect(3, 1,
	       VALID | WRITE | ORDER9 | where(HMMU_WHERE_COHERENT_OTHER, 3));
	/* With a part of it home again the device has many pages. */
	assert_int_equal(core_home(BASE, 8 * PAGE, NULL), 0);
	assert_int_equal(snapshot_for(owner, 0, 512), 0);
	expect(0, 8, VALID | WRITE);
	expect(8, 1, VALID | WRITE | where(HMMU_WHERE_COHERENT, 8));
}

/* The CPU has them in another order than the device. */
static void test_range_dc2_coherent_pages_in_disorder(void **state)
{
	struct hmmu_device *owner = core_coherent_device(0, 4);
	size_t i;

	(void)state;
	array_map(core.m, BASE, 8 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 8 * PAGE, 1);
	array_scatter(core.m, BASE, 8 * PAGE);
	assert_int_equal(core_migrate(owner, BASE, 8 * PAGE, NULL), 0);
	assert_int_equal(snapshot_for(owner, 0, 8), 0);
	for (i = 0; i < 8; i++)
		expect(i, 1, VALID | WRITE | where(HMMU_WHERE_COHERENT, i));
}

/* More runs than are asked for at a time: pages of two devices and of none. */
static void test_range_of_a_scattered_block(void **state)
{
	struct hmmu_device *a = core_device(0, 2), *b = core_device(1, 2);
	size_t i;

	(void)state;
	array_map(core.m, BASE, LARGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, LARGE, 1);
	for (i = 0; i < 512; i += 4) {
		assert_int_equal(core_migrate(a, BASE + i * PAGE, PAGE, NULL),
				 0);
		assert_int_equal(
			core_migrate(b, BASE + (i + 1) * PAGE, PAGE, NULL), 0);
	}
	core_check();
	assert_int_equal(snapshot_for(b, 0, 512), 0);
	for (i = 0; i < 512; i += 4) {
		expect(i, 1, 0);
		expect(i + 1, 1,
		       VALID | WRITE | where(HMMU_WHERE_DEVICE, i / 4));
		expect(i + 2, 2, VALID | WRITE);
	}
	assert_int_equal(core_fault(b, BASE, 1, HMMU_ACCESS_READ), 0);
	assert_int_equal(core_fault(b, BASE, LARGE, HMMU_ACCESS_READ), 0);
	assert_int_equal(core_mapped_pages(b, BASE, LARGE), 512);
	core_check();
}

/* --- requests ------------------------------------------------------------------ */

/* RF4, RF6, RF7 */
static void test_range_rf4_requests_by_entry_and_mask(void **state)
{
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 8 * PAGE, SHARED_RW);
	ask(1, 1, FAULT);
	ask(2, 1, FAULT_RW);
	ask(3, 1, HMMU_ENTRY_REQ_WRITE);
	assert_int_equal(fault_range(0, 8), 0);
	expect(0, 1, 0);
	expect(1, 1, VALID);
	expect(2, 1, VALID | WRITE);
	expect(3, 5, 0);
	/* The mask hides what an entry asks, the default asks of every page. */
	ask(0, 8, FAULT_RW);
	r = range_of(0, 8);
	r.entry_mask = FAULT;
	assert_int_equal(hmmu_range_fault(&r), 0);
	expect(0, 8, VALID);
	ask(0, 8, 0);
	r = range_of(0, 8);
	r.default_flags = FAULT;
	r.entry_mask = 0;
	assert_int_equal(hmmu_range_fault(&r), 0);
	expect(0, 8, VALID);
	/* RF11 */
	ask(0, 8, FAULT | HMMU_ENTRY_STICKY);
	assert_int_equal(fault_range(0, 8), 0);
	expect(0, 8, VALID | HMMU_ENTRY_STICKY);
}

/* RF34: one fault for the pages in a row that ask for the same. */
static void test_range_rf34_faults_by_runs(void **state)
{
	(void)state;
	array_map(core.m, BASE, 2 * LARGE, ARRAY_ANON_RW);
	ask(0, 6, FAULT);
	ask(6, 2, FAULT_RW);
	ask(510, 4, FAULT);
	assert_int_equal(fault_range(0, PAGES), 0);
	expect(0, 8, VALID | WRITE);
	expect(8, 502, 0);
	expect(510, 4, VALID | WRITE);
	/* The last run is cut at the end of the block. */
	assert_int_equal(array_calls(core.m, ARRAY_FAULT_IN), 4);
}

/* RF13, RF14, RF16, RF33: an error if asked, and what came before is there. */
static void test_range_rf33_error_keeps_what_is_finished(void **state)
{
	(void)state;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, BASE + 2 * PAGE, PAGE, HMMU_VMA_ANON);
	array_map(core.m, BASE + 3 * PAGE, PAGE, RO);
	ask(0, 3, FAULT);
	assert_int_equal(fault_range(0, 4), -EFAULT);
	expect(0, 2, VALID | WRITE);
	expect(2, 1, FAULT);
	ask(0, 4, 0);
	ask(3, 1, FAULT_RW);
	assert_int_equal(fault_range(0, 4), -EPERM);
	expect(2, 1, ERROR);
	expect(3, 1, FAULT_RW);
	ask(3, 2, FAULT);
	assert_int_equal(fault_range(3, 2), -EFAULT);
	expect(3, 1, VALID);
	expect(4, 1, FAULT);
}

static void check_fails(enum array_op op, int answer, int want)
{
	const struct array_failure f = { .times = 1, .err = answer };

	array_fail(core.m, op, &f);
	ask(0, 2, FAULT_RW);
	assert_int_equal(fault_range(0, 2), want);
	assert_true(core.m->failed[op]);
	if (want)
		expect(0, 2, FAULT_RW);
	else
		expect(0, 2, VALID | WRITE);
	array_discard(core.m, BASE, 2 * PAGE);
}

/* RF35, RF42 */
static void test_range_rf35_errors_of_the_address_space(void **state)
{
	const struct array_failure second = { .skip = 1,
					      .times = 1,
					      .err = -ENOMEM };

	(void)state;
	array_map(core.m, BASE, 2 * PAGE, ARRAY_ANON_RW);
	check_fails(ARRAY_FAULT_IN, -ENOMEM, -ENOMEM);
	check_fails(ARRAY_FAULT_IN, -EFAULT, -EFAULT);
	check_fails(ARRAY_FAULT_IN, -EBUSY, -EBUSY);
	check_fails(ARRAY_SNAPSHOT, -ENOMEM, -ENOMEM);
	check_fails(ARRAY_WATCH, -ENOMEM, -ENOMEM);
	check_fails(ARRAY_WATCH, -EAGAIN, -EBUSY);
	check_fails(ARRAY_WATCH, -EOPNOTSUPP, 0);
	check_fails(ARRAY_WATCH, -EBUSY, 0);
	/* A snapshot that fails says nothing of any page. */
	array_fail(core.m, ARRAY_SNAPSHOT, &second);
	core.m->snapshot_pages = 1;
	array_fill(core.m, BASE, 2 * PAGE, 1);
	ask(0, 2, VALID);
	assert_int_equal(snapshot(0, 2), -ENOMEM);
	expect(0, 2, 0);
}

/* RF2, RF3, RF42 */
static void test_range_rf2_refuses_bad_arguments(void **state)
{
	struct hmmu_range r = range_of(0, 1);

	(void)state;
	assert_int_equal(hmmu_range_fault(NULL), -EINVAL);
	r.end = r.start;
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
	r.end = r.start + 1;
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
	r = range_of(PAGES - 1, 2);
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
	r = range_of(0, 1);
	r.start -= PAGE;
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
	r = range_of(0, 1);
	r.default_flags = VALID;
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
	r = range_of(0, 1);
	r.entries = NULL;
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
	r = range_of(0, 1);
	r.size = 8;
	assert_int_equal(hmmu_range_fault(&r), -EINVAL);
}

/* --- collisions ----------------------------------------------------------------- */

static void discard_first(void *arg)
{
	(void)arg;
	array_discard(core.m, BASE, PAGE);
}

/* RF32: looked for before each part, and after each fault. */
static void test_range_rf32_collision_is_ebusy(void **state)
{
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	r = range_of(0, 4);
	discard_first(NULL);
	assert_int_equal(hmmu_range_fault(&r), -EBUSY);
	r.seq = hmmu_notifier_read_begin(sub.sub);
	ask(0, 4, FAULT);
	array_on(core.m, ARRAY_FAULT_IN, 1, discard_first, NULL);
	assert_int_equal(hmmu_range_fault(&r), -EBUSY);
	expect(0, 4, FAULT);
}

/* RF36: success means nothing after a change. */
static void test_range_rf36_retry_after_a_later_change(void **state)
{
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	r = range_of(0, 4);
	array_on(core.m, ARRAY_SNAPSHOT, 1, discard_first, NULL);
	assert_int_equal(hmmu_range_fault(&r), 0);
	assert_int_not_equal(hmmu_notifier_read_retry(sub.sub, r.seq), 0);
}

static void test_range_rf39_unlocked_retries_by_itself(void **state)
{
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	r = range_of(0, 4);
	r.seq = 1;
	ask(0, 4, FAULT_RW);
	array_on(core.m, ARRAY_FAULT_IN, 1, discard_first, NULL);
	assert_int_equal(hmmu_range_fault_unlocked(&r, 0), 0);
	expect(0, 4, VALID | WRITE);
	assert_int_equal(hmmu_notifier_read_retry(sub.sub, r.seq), 0);
}

/* RF40: the timeout bounds the retries, not the first attempt. */
static void test_range_rf40_timeout_bounds_collisions(void **state)
{
	const struct array_failure always = { .times = UINT32_MAX,
					      .err = -EAGAIN };
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	r = range_of(0, 4);
	array_fail(core.m, ARRAY_WATCH, &always);
	assert_int_equal(hmmu_range_fault_unlocked(&r, 1000000), -EBUSY);
	assert_true(array_calls(core.m, ARRAY_WATCH) > 2);
}

/* RF23, IN8: begun in the middle of a change, it waits for the end. */
static void fault_unlocked(void *arg)
{
	struct hmmu_range *r = arg;

	(void)!hmmu_range_fault_unlocked(r, 0);
}

static void test_range_waits_for_a_change_to_end(void **state)
{
	struct helper changer, faulter;
	_Atomic int step = 0;
	struct hmmu_range r;

	(void)state;
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	r = range_of(0, 1);
	ask(0, 1, FAULT);
	array_on(core.m, ARRAY_BEGUN, 1, stall_here, &step);
	helper_start(&changer, discard_first, NULL);
	step_wait(&step, 1);
	helper_start(&faulter, fault_unlocked, &r);
	assert_false(helper_is_done_soon(&faulter));
	step_set(&step, 2);
	helper_join(&changer);
	helper_join(&faulter);
	expect(0, 1, VALID | WRITE);
	assert_int_equal(hmmu_notifier_read_retry(sub.sub, r.seq), 0);
}

/* --- failures -------------------------------------------------------------------- */

/* Each entry is a result or still what was asked: RF33. */
static int fault_some(void)
{
	struct hmmu_range r = range_of(0, 20);
	size_t i;
	int err;

	ask(0, 20, FAULT_RW);
	err = hmmu_range_fault_unlocked(&r, 0);
	for (i = 0; i < 20; i++)
		assert_true(entry[i] == (VALID | WRITE) ||
			    (err && entry[i] == FAULT_RW));
	return err;
}

static void forget_some(int err)
{
	assert_true(!err || err == -ENOMEM || err == -EFAULT || err == -EPERM);
	array_expect(core.m, BASE, 10 * PAGE, 1);
	array_discard(core.m, BASE + 10 * PAGE, 10 * PAGE);
	sub.n = 0;
}

static void test_range_rf42_sweep(void **state)
{
	(void)state;
	array_map(core.m, BASE, 20 * PAGE, ARRAY_ANON_RW);
	array_fill(core.m, BASE, 10 * PAGE, 1);
	core_sweep(fault_some, forget_some);
}

#define RANGE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RANGE_TEST(test_range_rf5_snapshot_faults_nothing),
		RANGE_TEST(test_range_rf11_sticky_bits_are_carried_along),
		RANGE_TEST(test_range_rf13_what_can_not_be_read_is_marked),
		RANGE_TEST(test_range_rf12_large_page),
		RANGE_TEST(
			test_range_rf27_zero_page_and_shared_pages_lack_write),
		RANGE_TEST(test_range_snapshot_in_pieces),
		RANGE_TEST(test_range_rf19_pages_of_the_owner),
		RANGE_TEST(test_range_rf20_owners_page_without_write),
		RANGE_TEST(test_range_rf21_foreign_page_comes_home),
		RANGE_TEST(test_range_rf22_exclusive_page_is_absent),
		RANGE_TEST(test_range_dc2_coherent_page_is_present),
		RANGE_TEST(test_range_dc2_coherent_pages_in_disorder),
		RANGE_TEST(test_range_of_a_scattered_block),
		RANGE_TEST(test_range_rf4_requests_by_entry_and_mask),
		RANGE_TEST(test_range_rf34_faults_by_runs),
		RANGE_TEST(test_range_rf33_error_keeps_what_is_finished),
		RANGE_TEST(test_range_rf35_errors_of_the_address_space),
		RANGE_TEST(test_range_rf2_refuses_bad_arguments),
		RANGE_TEST(test_range_rf32_collision_is_ebusy),
		RANGE_TEST(test_range_rf36_retry_after_a_later_change),
		RANGE_TEST(test_range_rf39_unlocked_retries_by_itself),
		RANGE_TEST(test_range_rf40_timeout_bounds_collisions),
		RANGE_TEST(test_range_waits_for_a_change_to_end),
		RANGE_TEST(test_range_rf42_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
