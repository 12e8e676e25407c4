/* SPDX-License-Identifier: MIT */
/*
 * A space over an address space, and subscriptions: what insert asks of the
 * address space, and the results of read sections.
 */
#include "tests/unit/core_fixture.h"

/* Two mappings, one page apart. */
#define FIRST  BASE
#define SECOND (BASE + 5 * PAGE)
#define ALL    (9 * PAGE)

static void map_two(void)
{
	array_map(core.m, FIRST, 4 * PAGE, ARRAY_ANON_RW);
	array_map(core.m, SECOND, 4 * PAGE, ARRAY_ANON_RW);
}

/* --- the space ----------------------------------------------------------------- */

static void test_space_belongs_to_its_address_space(void **state)
{
	(void)state;
	assert_ptr_equal(core.m->mm.space, core.space);
	assert_ptr_equal(core.space->mm, &core.m->mm);
}

static void test_space_create_without_memory_takes_nothing(void **state)
{
	struct hmmu_thread *self = hmmu__enter();
	struct array_mm *other = array_create();
	struct hmmu_space *space;
	uint64_t n;

	(void)state;
	assert_non_null(self);
	for (n = 1;; n++) {
		hmmu__fault_points_arm_thread(n);
		space = hmmu__space_create(&other->mm);
		hmmu__fault_points_disarm();
		if (!hmmu__fault_points_failed())
			break;
		assert_null(space);
		assert_null(other->mm.space);
		assert_int_equal(array_calls(other, ARRAY_DESTROY), 0);
	}
	assert_non_null(space);
	assert_true(n > 1 || !HMMU_FAULT_POINTS);
	hmmu__space_destroy(space);
	hmmu__leave(self);
}

/* Two spaces know nothing of each other. */
static void test_space_is_one_of_several(void **state)
{
	struct hmmu_device *device = core_device(0, 1);
	struct hmmu_device_options options = { .size = sizeof(options),
					       .memory = core.memory[0] };
	struct array_mm *m = array_create();
	struct hmmu_thread *self = hmmu__enter();
	struct hmmu_space *space = hmmu__space_create(&m->mm);
	struct hmmu_device *other;

	(void)state;
	assert_non_null(space);
	hmmu__leave(self);
	array_map(core.m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	array_map(m, BASE, 4 * PAGE, ARRAY_ANON_RW);
	assert_int_equal(hmmu_device_create(space, &options, &other), -EINVAL);
	options.memory = NULL;
	assert_int_equal(hmmu_device_create(space, &options, &other), 0);
	assert_int_equal(core_fault(device, BASE, PAGE, HMMU_ACCESS_READ), 0);
	assert_int_equal(core_fault(other, BASE, PAGE, HMMU_ACCESS_READ), 0);
	assert_ptr_equal(hmmu_mirror_payload(core_leaf(other, BASE)),
			 array_host(m, BASE));
	array_unmap(m, BASE, 4 * PAGE);
	assert_int_equal(core_leaf(other, BASE), 0);
	assert_int_not_equal(core_leaf(device, BASE), 0);
	assert_int_equal(hmmu_device_destroy(other), 0);
	self = hmmu__enter();
	hmmu__space_destroy(space);
	hmmu__leave(self);
}

/* FK4 */
static void test_space_fk4_of_a_parent_is_echild(void **state)
{
	struct hmmu_device *device = core_device(0, 1), *d;
	const struct hmmu_memory_options memory = { .size = sizeof(memory),
						    .bytes = LARGE };
	struct hmmu_space_stats stats = { .size = sizeof(stats) };
	struct hmmu_residency residency;
	struct hmmu_memory *m;
	struct core_log log;
	uint64_t entry = 0;
	struct hmmu_range range = { .size = sizeof(range),
				    .start = BASE,
				    .end = BASE + PAGE,
				    .entries = &entry };

	(void)state;
	map_two();
	core_log_begin(&log, BASE, PAGE);
	range.notifier = log.sub;
	atomic_store(&core.m->mm.forked, true);
	assert_int_equal(hmmu_device_create(core.space, NULL, &d), -ECHILD);
	assert_int_equal(hmmu_memory_create(core.space, &memory, &m), -ECHILD);
	assert_int_equal(hmmu_range_fault(&range), -ECHILD);
	assert_int_equal(core_fault(device, BASE, 1, HMMU_ACCESS_READ),
			 -ECHILD);
	assert_int_equal(core_migrate(device, BASE, PAGE, NULL), -ECHILD);
	assert_int_equal(core_home(BASE, PAGE, NULL), -ECHILD);
	assert_int_equal(hmmu_migrate_evict(device, NULL), -ECHILD);
	assert_int_equal(hmmu_device_make_exclusive(device, BASE, PAGE, NULL),
			 -ECHILD);
	assert_int_equal(hmmu_pin_range(core.space, BASE, PAGE), -ECHILD);
	assert_int_equal(hmmu_unpin_range(core.space, BASE, PAGE), -ECHILD);
	assert_int_equal(hmmu_populate(core.space, BASE, PAGE), -ECHILD);
	assert_int_equal(hmmu_space_get_residency(core.space, BASE, LARGE,
						  &residency),
			 -ECHILD);
	assert_int_equal(hmmu_space_get_stats(core.space, &stats), -ECHILD);
	assert_int_equal(hmmu_device_destroy(device), -ECHILD);
	atomic_store(&core.m->mm.forked, false);
	core_log_end(&log);
}

/* --- subscriptions ------------------------------------------------------------- */

static void quiet(struct hmmu_notifier *sub, void *arg,
		  const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static int insert(uintptr_t start, size_t bytes, unsigned int flags,
		  struct hmmu_notifier **ret)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = quiet };

	return hmmu_notifier_insert(core.space, start, bytes, flags, &ops, NULL,
				    ret);
}

static void test_notifier_in1_interval_is_neither_empty_nor_wrapping(void **s)
{
	struct hmmu_notifier *sub = NULL;

	(void)s;
	assert_int_equal(insert(BASE, 0, 0, &sub), -EOVERFLOW);
	assert_int_equal(insert(UINTPTR_MAX, 2, 0, &sub), -EOVERFLOW);
	assert_int_equal(insert(BASE, PAGE, 2, &sub), -EINVAL);
	assert_null(sub);
	assert_int_equal(insert(UINTPTR_MAX, 1, 0, &sub), 0);
	hmmu_notifier_remove(sub);
}

static void test_notifier_in2_insert_watches_what_is_mapped(void **state)
{
	struct hmmu_notifier *sub;

	(void)state;
	map_two();
	assert_int_equal(insert(BASE, ALL, 0, &sub), 0);
	assert_int_equal(array_calls(core.m, ARRAY_WATCH), 2);
	hmmu_notifier_remove(sub);
	/* The part of a mapping that lies in it counts for the whole. */
	assert_int_equal(insert(SECOND + PAGE, 1, 0, &sub), 0);
	assert_int_equal(array_calls(core.m, ARRAY_WATCH), 3);
	hmmu_notifier_remove(sub);
	assert_int_equal(insert(BASE, ALL, HMMU_NOTIFIER_LAZY, &sub), 0);
	assert_int_equal(array_calls(core.m, ARRAY_WATCH), 3);
	hmmu_notifier_remove(sub);
}

static void
test_notifier_in2_insert_fails_where_changes_would_be_missed(void **state)
{
	const struct array_failure no_memory = { .skip = 1,
						 .times = 1,
						 .err = -ENOMEM };
	struct hmmu_notifier *sub = NULL;

	(void)state;
	map_two();
	array_fail(core.m, ARRAY_WATCH, &no_memory);
	assert_int_equal(insert(BASE, ALL, 0, &sub), -ENOMEM);
	assert_null(sub);
	assert_int_equal(atomic_load(&core.space->users), 0);
	assert_int_equal(atomic_load(&core.space->notifiers.users), 0);
}

static void test_notifier_insert_lives_with_what_can_not_be_watched(void **s)
{
	static const int errors[] = { -EOPNOTSUPP, -EBUSY };
	struct hmmu_notifier *sub;
	size_t i;

	(void)s;
	map_two();
	for (i = 0; i < HMMU_ARRAY_SIZE(errors); i++) {
		const struct array_failure f = { .times = 1, .err = errors[i] };

		array_fail(core.m, ARRAY_WATCH, &f);
		assert_int_equal(insert(BASE, ALL, 0, &sub), 0);
		assert_true(core.m->failed[ARRAY_WATCH]);
		hmmu_notifier_remove(sub);
	}
	assert_int_equal(array_calls(core.m, ARRAY_WATCH), 4);
}

/* A mapping that changes is looked at again, and no mapping is left out. */
static void test_notifier_insert_waits_for_a_change_to_end(void **state)
{
	const struct array_failure changing = { .times = 3, .err = -EAGAIN };
	const struct array_failure always = { .times = 1000, .err = -EAGAIN };
	struct hmmu_notifier *sub;

	(void)state;
	map_two();
	array_fail(core.m, ARRAY_WATCH, &changing);
	assert_int_equal(insert(BASE, ALL, 0, &sub), 0);
	assert_int_equal(array_calls(core.m, ARRAY_WATCH), 5);
	assert_int_equal(array_calls(core.m, ARRAY_SYNC), 3);
	hmmu_notifier_remove(sub);
	array_fail(core.m, ARRAY_WATCH, &always);
	assert_int_equal(insert(BASE, ALL, 0, &sub), 0);
	hmmu_notifier_remove(sub);
}

static void test_notifier_insert_sweep(void **state)
{
	struct hmmu_notifier *sub = NULL;
	size_t used = core_used_bytes();
	uint64_t n;
	int err;

	(void)state;
	map_two();
	for (n = 1;; n++) {
		hmmu__fault_points_arm_thread(n);
		err = insert(BASE, ALL, 0, &sub);
		hmmu__fault_points_disarm();
		if (!hmmu__fault_points_failed())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(sub);
		assert_int_equal(atomic_load(&core.space->users), 0);
		assert_int_equal(core_used_bytes(), used);
	}
	assert_int_equal(err, 0);
	assert_true(n > 1 || !HMMU_FAULT_POINTS);
	hmmu_notifier_remove(sub);
}

/* --- events -------------------------------------------------------------------- */

static void test_notifier_in15_event_range_and_owner(void **state)
{
	struct core_log log;

	(void)state;
	map_two();
	core_log_begin(&log, FIRST + PAGE, PAGE);
	/* IN21, IN20, IN19; a change beside the interval is not reported. */
	array_protect(core.m, FIRST, 3 * PAGE, HMMU_VMA_READ | HMMU_VMA_ANON);
	array_discard(core.m, FIRST + PAGE, PAGE);
	array_discard(core.m, FIRST + 2 * PAGE, PAGE);
	array_unmap(core.m, FIRST, 4 * PAGE);
	assert_int_equal(log.n, 3);
	assert_int_equal(log.finished, 3);
	assert_int_equal(log.event[0].inv.event, HMMU_EVENT_PROTECTION_VMA);
	assert_int_equal(log.event[0].inv.start, FIRST);
	assert_int_equal(log.event[0].inv.end, FIRST + 3 * PAGE);
	assert_null(log.event[0].inv.owner);
	assert_int_equal(log.event[1].inv.event, HMMU_EVENT_CLEAR);
	assert_int_equal(log.event[2].inv.event, HMMU_EVENT_UNMAP);
	core_log_end(&log);
	array_unmap(core.m, SECOND, 4 * PAGE);
	assert_int_equal(log.n, 3);
}

/* IN19: what moves away leaves its old place. */
static void test_notifier_in19_source_of_a_move(void **state)
{
	struct core_log from, to;

	(void)state;
	array_map(core.m, FIRST, 4 * PAGE, ARRAY_ANON_RW);
	core_log_begin(&from, FIRST, 4 * PAGE);
	core_log_begin(&to, BASE + LARGE, 4 * PAGE);
	array_move(core.m, FIRST, BASE + LARGE, 4 * PAGE);
	assert_int_equal(from.n, 1);
	assert_int_equal(from.event[0].inv.event, HMMU_EVENT_UNMAP);
	assert_int_equal(to.n, 0);
	core_log_end(&from);
	core_log_end(&to);
}

static void test_notifier_in11_retry_after_a_change_of_the_interval(void **s)
{
	struct core_log log;
	uint64_t seq;

	(void)s;
	map_two();
	core_log_begin(&log, FIRST, PAGE);
	seq = hmmu_notifier_read_begin(log.sub);
	/* IN7 */
	assert_int_equal(seq % 2, 1);
	assert_int_equal(hmmu_notifier_read_retry(log.sub, seq), 0);
	array_discard(core.m, FIRST + PAGE, PAGE);
	assert_int_equal(hmmu_notifier_read_retry(log.sub, seq), 0);
	array_discard(core.m, FIRST, PAGE);
	assert_int_not_equal(hmmu_notifier_read_retry(log.sub, seq), 0);
	/* IN12 */
	assert_int_not_equal(hmmu_notifier_check_retry(log.sub, seq), 0);
	/* IN9, IN10: what the callback stored is what read_begin returns. */
	seq = hmmu_notifier_read_begin(log.sub);
	assert_int_equal(seq, log.event[0].seq);
	assert_int_equal(hmmu_notifier_read_retry(log.sub, seq), 0);
	core_log_end(&log);
}

/* IN30, IN31: invalidate of both runs, then finish of both. */
static void test_notifier_in30_overlapping_subscriptions(void **state)
{
	struct core_log a, b;

	(void)state;
	map_two();
	core_log_begin(&a, FIRST, 2 * PAGE);
	core_log_begin(&b, FIRST + PAGE, 2 * PAGE);
	array_discard(core.m, FIRST + PAGE, PAGE);
	assert_int_equal(a.n + a.finished, 2);
	assert_int_equal(b.n + b.finished, 2);
	core_log_end(&a);
	array_discard(core.m, FIRST + PAGE, PAGE);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 2);
	core_log_end(&b);
}

/* --- in the middle of a change ---------------------------------------------------- */

/* A change that stands still between begin and end until it is let go on. */
struct stall {
	_Atomic int step;
	struct helper h;
};

static void discard_first(void *arg)
{
	(void)arg;
	array_discard(core.m, FIRST, PAGE);
}

static void stall_begin(struct stall *s)
{
	*s = (struct stall){ 0 };
	array_on(core.m, ARRAY_CHANGED, 1, stall_here, &s->step);
	helper_start(&s->h, discard_first, NULL);
	step_wait(&s->step, 1);
}

static void stall_end(struct stall *s)
{
	step_set(&s->step, 2);
	helper_join(&s->h);
}

static void read_begin(void *arg)
{
	struct core_log *log = arg;

	log->event[1].seq = hmmu_notifier_read_begin(log->sub);
}

static void test_notifier_in8_read_begin_waits_for_the_end(void **state)
{
	struct core_log log;
	struct helper reader;
	struct stall s;

	(void)state;
	map_two();
	core_log_begin(&log, FIRST, PAGE);
	stall_begin(&s);
	helper_start(&reader, read_begin, &log);
	assert_false(helper_is_done_soon(&reader));
	stall_end(&s);
	helper_join(&reader);
	assert_int_equal(log.event[1].seq, log.event[0].seq);
	assert_int_equal(hmmu_notifier_read_retry(log.sub, log.event[1].seq),
			 0);
	core_log_end(&log);
}

/* IN3: inserted while its range changes, it can not be read before the end. */
static void test_notifier_in3_insert_in_the_middle_of_a_change(void **state)
{
	struct core_log log, other;
	struct helper reader;
	struct stall s;

	(void)state;
	map_two();
	core_log_begin(&other, FIRST, PAGE);
	stall_begin(&s);
	core_log_begin(&log, FIRST, PAGE);
	helper_start(&reader, read_begin, &log);
	assert_false(helper_is_done_soon(&reader));
	stall_end(&s);
	helper_join(&reader);
	assert_int_equal(log.n, 0);
	array_discard(core.m, FIRST, PAGE);
	assert_int_equal(log.n, 1);
	core_log_end(&log);
	core_log_end(&other);
}

static void remove_log(void *arg)
{
	core_log_end(arg);
}

static void test_notifier_in29_remove_waits_for_the_end(void **state)
{
	struct helper remover;
	struct core_log log;
	struct stall s;

	(void)state;
	map_two();
	core_log_begin(&log, FIRST, PAGE);
	stall_begin(&s);
	helper_start(&remover, remove_log, &log);
	assert_false(helper_is_done_soon(&remover));
	stall_end(&s);
	helper_join(&remover);
	array_discard(core.m, FIRST, PAGE);
	assert_int_equal(log.n, 1);
}

/* IN6: two changes at once; the number stands until the last has ended. */
static void test_notifier_in6_changes_run_side_by_side(void **state)
{
	struct helper reader;
	struct core_log log;
	struct stall s;

	(void)state;
	map_two();
	core_log_begin(&log, FIRST, 4 * PAGE);
	stall_begin(&s);
	array_discard(core.m, FIRST + PAGE, PAGE);
	assert_int_equal(log.n, 2);
	assert_int_equal(log.event[0].seq, log.event[1].seq);
	helper_start(&reader, read_begin, &log);
	assert_false(helper_is_done_soon(&reader));
	stall_end(&s);
	helper_join(&reader);
	core_log_end(&log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CORE_TEST(test_space_belongs_to_its_address_space),
		CORE_TEST(test_space_create_without_memory_takes_nothing),
		CORE_TEST(test_space_is_one_of_several),
		CORE_TEST(test_space_fk4_of_a_parent_is_echild),
		CORE_TEST(
			test_notifier_in1_interval_is_neither_empty_nor_wrapping),
		CORE_TEST(test_notifier_in2_insert_watches_what_is_mapped),
		CORE_TEST(
			test_notifier_in2_insert_fails_where_changes_would_be_missed),
		CORE_TEST(
			test_notifier_insert_lives_with_what_can_not_be_watched),
		CORE_TEST(test_notifier_insert_waits_for_a_change_to_end),
		CORE_TEST(test_notifier_insert_sweep),
		CORE_TEST(test_notifier_in15_event_range_and_owner),
		CORE_TEST(test_notifier_in19_source_of_a_move),
		CORE_TEST(
			test_notifier_in11_retry_after_a_change_of_the_interval),
		CORE_TEST(test_notifier_in30_overlapping_subscriptions),
		CORE_TEST(test_notifier_in8_read_begin_waits_for_the_end),
		CORE_TEST(test_notifier_in3_insert_in_the_middle_of_a_change),
		CORE_TEST(test_notifier_in29_remove_waits_for_the_end),
		CORE_TEST(test_notifier_in6_changes_run_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
