/* SPDX-License-Identifier: MIT */
/*
 * Failure sweeps: the 1st, 2nd, 3rd ... point of an operation fails, until the
 * operation meets no more of them. After each failure the state is as before,
 * and in the end nothing of HMMU's own memory is lost.
 */
#include <sys/mman.h>

#include "base/thread.h"
#include "base/arena.h"
#include "base/fault_point.h"
#include "fixture.h"

#include <hmmu/pin.h>

#define SMALL_PAGES 40

static char *small, *large;

static void need_fault_points(void)
{
#if !HMMU_FAULT_POINTS
	HMMU_SKIP("fault points");
#endif
}

static size_t used_bytes(void)
{
	struct hmmu_thread *self = hmmu__enter();
	struct hmmu_arena_stats stats;

	HMMU_CHECK(self);
	hmmu__arena_stats(&stats);
	hmmu__leave(self);
	return stats.used_bytes;
}

/**
 * struct sweep - one operation, and what holds after each of its failures
 * @operation: returns 0 or -errno.
 * @before: prepares each attempt; may be NULL.
 * @after: checks each attempt by what it returned; may be NULL.
 * @other_error: what @operation may return besides -ENOMEM.
 * @least_points: it meets at least as many points.
 * @most_points: ends there, for what other threads may meet for ever; 0: none.
 * @all_threads: a point fails in whatever thread meets it.
 */
struct sweep {
	int (*operation)(void);
	void (*before)(void);
	void (*after)(int err);
	int other_error;
	uint64_t least_points;
	uint64_t most_points;
	bool all_threads;
};

/* Runs the operation with its @nth point failing; returns whether it did. */
static bool sweep_point(const struct sweep *s, uint64_t nth)
{
	bool failed;
	int err;

	if (s->before)
		s->before();
	if (s->all_threads)
		hmmu__fault_points_arm(nth);
	else
		hmmu__fault_points_arm_thread(nth);
	err = s->operation();
	failed = hmmu__fault_points_failed();
	hmmu__fault_points_disarm();
	if (err)
		HMMU_CHECK(failed);
	HMMU_CHECK(!err || err == -ENOMEM || err == s->other_error);
	if (s->after)
		s->after(err);
	return failed;
}

/* The first attempt that meets no failure is the last. */
static void sweep(const struct sweep *s)
{
	uint64_t n = 1;

	while (sweep_point(s, n) && n != s->most_points)
		n++;
	HMMU_CHECK(n > s->least_points);
}

/* Of HMMU's own memory, when a sweep began. */
static size_t used_before;

static void check_used_same(int err)
{
	(void)err;
	HMMU_CHECK_INT(used_bytes(), used_before);
}

static void check_used_page_more(int err)
{
	(void)err;
	HMMU_CHECK(used_bytes() <= used_before + PAGE);
}

/* The program's memory holds what it held. */
static void check_content(void)
{
	LIVE_CHECK(small, SMALL_PAGES * PAGE, 1);
	LIVE_CHECK(large, LARGE, 2);
}

static void open_all(void)
{
	need_fault_points();
	live_open_bytes(8 * LARGE);
	small = live_map_small(SMALL_PAGES, 1);
	large = live_map_large(1, 2);
}

/* Open ---------------------------------------------------------------------- */

static int open_space(void)
{
	const char *why = "left";
	int err = hmmu_space_open(NULL, &why, &live_space);

	HMMU_CHECK(err ? why && strcmp(why, "left") : !why);
	return err;
}

static size_t files_before, threads_before;

static void close_and_check_nothing_is_left(int err)
{
	if (!err)
		HMMU_CHECK_OK(hmmu_space_close(live_space));
	HMMU_CHECK_INT(live_count_files(), files_before);
	HMMU_CHECK_INT(live_count_threads(), threads_before);
	check_used_same(err);
	HMMU_CHECK(!live_is_registered());
}

static void test_sweep_open(void)
{
	need_fault_points();
	live_open_space();
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	files_before = live_count_files();
	threads_before = live_count_threads();
	used_before = used_bytes();
	sweep(&(struct sweep){ .operation = open_space,
			       .after = close_and_check_nothing_is_left,
			       .other_error = -EOPNOTSUPP,
			       .least_points = 2 });
}

/* Device and memory --------------------------------------------------------- */

static int make_device(void)
{
	const struct hmmu_memory_options memory_options = {
		.size = sizeof(memory_options), .bytes = 4 * LARGE
	};
	struct hmmu_device_options options = { .size = sizeof(options) };
	struct hmmu_port *port;
	int err = hmmu_memory_create(live_space, &memory_options, &live_memory);

	if (err)
		return err;
	options.memory = live_memory;
	err = hmmu_device_create(live_space, &options, &live_device);
	if (err) {
		HMMU_CHECK_OK(hmmu_memory_destroy(live_memory));
		return err;
	}
	err = hmmu_port_open(live_device, &port);
	if (!err)
		hmmu_port_close(port);
	HMMU_CHECK_OK(hmmu_device_destroy(live_device));
	HMMU_CHECK_OK(hmmu_memory_destroy(live_memory));
	return err;
}

static void test_sweep_device(void)
{
	need_fault_points();
	live_open_space();
	HMMU_CHECK_OK(make_device());
	used_before = used_bytes();
	sweep(&(struct sweep){ .operation = make_device,
			       .after = check_used_same,
			       .least_points = 2 });
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

/* Subscription -------------------------------------------------------------- */

static void ignore(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static const struct hmmu_notifier_ops ignoring = { .size = sizeof(ignoring),
						   .invalidate = ignore };

/* Of what is done to @p behind the hooks, which ends it. */
static void check_is_told(struct hmmu_notifier *sub, char *p)
{
	uint64_t seq = hmmu_notifier_read_begin(sub);

	HMMU_CHECK_OK(live_raw.unmap(p, PAGE));
	LIVE_CHECK_SOON(hmmu_notifier_check_retry(sub, seq));
}

/* To memory that nobody watches yet. */
static int subscribe(void)
{
	char *p = live_map_small(1, 3);
	struct hmmu_notifier *sub = NULL;
	int err = hmmu_notifier_insert(live_space, (uintptr_t)p, PAGE, 0,
				       &ignoring, NULL, &sub);

	HMMU_CHECK(!err == !!sub);
	if (!err)
		check_is_told(sub, p);
	hmmu_notifier_remove(sub);
	HMMU_CHECK_OK(munmap(p, PAGE));
	return err;
}

static void test_sweep_in2_notifier(void)
{
	open_all();
	HMMU_CHECK_OK(subscribe());
	used_before = used_bytes();
	sweep(&(struct sweep){ .operation = subscribe,
			       .after = check_used_same,
			       .least_points = 1 });
	live_close();
}

/* Range --------------------------------------------------------------------- */

#define LOOK_PAGES 8

/* Memory that nobody has looked at before: it is watched, and faulted. */
static int look(void)
{
	const uint64_t ask = HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE;
	char *p = live_map(LOOK_PAGES * PAGE);
	uint64_t entries[LOOK_PAGES];
	struct hmmu_range range = {
		.size = sizeof(range),
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + LOOK_PAGES * PAGE,
		.entries = entries,
		.entry_mask = ask,
	};
	size_t i;
	int err;

	for (i = 0; i < LOOK_PAGES; i++)
		entries[i] = ask;
	err = hmmu_notifier_insert(live_space, range.start, LOOK_PAGES * PAGE,
				   HMMU_NOTIFIER_LAZY, &ignoring, NULL,
				   &range.notifier);
	if (!err)
		err = hmmu_range_fault_unlocked(&range, 0);
	/* RF33 */
	for (i = 0; i < LOOK_PAGES; i++)
		HMMU_CHECK(entries[i] & HMMU_ENTRY_VALID ||
			   (err && entries[i] == ask));
	if (!err)
		check_is_told(range.notifier, p);
	hmmu_notifier_remove(range.notifier);
	HMMU_CHECK_OK(munmap(p, LOOK_PAGES * PAGE));
	return err;
}

static void test_sweep_rf42_range(void)
{
	open_all();
	HMMU_CHECK_OK(look());
	used_before = used_bytes();
	sweep(&(struct sweep){ .operation = look,
			       .after = check_used_page_more,
			       .least_points = 1 });
	live_close();
}

/* Fault --------------------------------------------------------------------- */

static int fault_both(void)
{
	int err = hmmu_device_fault(live_device, (uintptr_t)small,
				    SMALL_PAGES * PAGE, HMMU_ACCESS_WRITE);

	return err ? err :
		     hmmu_device_fault(live_device, (uintptr_t)large, LARGE,
				       HMMU_ACCESS_READ);
}

/* Mirrors and watches start anew: the pages are discarded and written again. */
static void forget_both(void)
{
	HMMU_CHECK_OK(madvise(small, SMALL_PAGES * PAGE, MADV_DONTNEED));
	HMMU_CHECK_OK(madvise(large, LARGE, MADV_DONTNEED));
	live_fill(small, SMALL_PAGES * PAGE, 1);
	live_fill(large, LARGE, 2);
	HMMU_CHECK_INT(live_mirror(live_device).mapped_bytes, 0);
}

/* And it works afterwards. */
static void fault_again(int err)
{
	(void)err;
	check_content();
	HMMU_CHECK_OK(fault_both());
	forget_both();
}

static void test_sweep_fault(void)
{
	open_all();
	sweep(&(struct sweep){ .operation = fault_both,
			       .after = fault_again,
			       .least_points = 1 });
	live_close();
}

/* Memory that nobody watches yet: what is mapped, goes when it goes. */
static int fault_new(void)
{
	char *p = live_map_small(1, 3);
	int err = hmmu_device_fault(live_device, (uintptr_t)p, PAGE,
				    HMMU_ACCESS_READ);

	HMMU_CHECK_OK(live_raw.unmap(p, PAGE));
	LIVE_CHECK_SOON(!live_mirror(live_device).mapped_bytes);
	return err;
}

static void test_sweep_in13_fault(void)
{
	open_all();
	HMMU_CHECK_OK(fault_new());
	sweep(&(struct sweep){ .operation = fault_new, .least_points = 1 });
	live_close();
}

/* Migration ----------------------------------------------------------------- */

static int migrate_both(void)
{
	int err = hmmu_device_migrate(live_device, (uintptr_t)small,
				      SMALL_PAGES * PAGE, NULL);

	return err ? err :
		     hmmu_device_migrate(live_device, (uintptr_t)large, LARGE,
					 NULL);
}

static int home_both(void)
{
	int err = hmmu_migrate_to_system(live_space, (uintptr_t)small,
					 SMALL_PAGES * PAGE, NULL);

	return err ? err :
		     hmmu_migrate_to_system(live_space, (uintptr_t)large, LARGE,
					    NULL);
}

static void check_all_is_home(void)
{
	check_content();
	HMMU_CHECK_OK(home_both());
	LIVE_CHECK_SOON(live_device_pages() == 0);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	LIVE_CHECK_SOON(!live_is_armed(small) && !live_is_armed(large));
}

static void take_both(void)
{
	live_take(small, SMALL_PAGES * PAGE);
	live_take(large, LARGE);
}

static void check_home_and_used(int err)
{
	check_all_is_home();
	check_used_page_more(err);
}

/* And it works afterwards. */
static void migrate_again(int err)
{
	check_home_and_used(err);
	take_both();
	check_all_is_home();
}

static void test_sweep_mv29_migrate(void)
{
	open_all();
	take_both();
	check_all_is_home();
	used_before = used_bytes();
	sweep(&(struct sweep){ .operation = migrate_both,
			       .after = migrate_again,
			       .least_points = 1 });
	live_close();
}

static void check_came_home(int err)
{
	if (!err)
		LIVE_CHECK_SOON(live_device_pages() == 0);
	check_all_is_home();
}

static void test_sweep_home(void)
{
	open_all();
	sweep(&(struct sweep){ .operation = home_both,
			       .before = take_both,
			       .after = check_came_home,
			       .other_error = -EBUSY });
	live_close();
}

static int touch(void)
{
	check_content();
	return 0;
}

static void check_touched(int err)
{
	HMMU_CHECK_OK(err);
	check_all_is_home();
}

/* The fault service's own failures: a touch is served all the same. */
static void test_sweep_touch(void)
{
	open_all();
	sweep(&(struct sweep){ .operation = touch,
			       .before = take_both,
			       .after = check_touched,
			       .most_points = 200,
			       .all_threads = true });
	live_close();
}

/* Changes of memory that is away can not fail for want of memory. */
static int change(void)
{
	char *p = live_map_small(SMALL_PAGES, 3), *to;
	int err = hmmu_device_migrate(live_device, (uintptr_t)p,
				      SMALL_PAGES * PAGE, NULL);

	HMMU_CHECK(!err || err == -ENOMEM);
	HMMU_CHECK_OK(madvise(p, 4 * PAGE, MADV_DONTNEED));
	to = mremap(p + 4 * PAGE, 30 * PAGE, 90 * PAGE, MREMAP_MAYMOVE);
	HMMU_CHECK(to != MAP_FAILED);
	LIVE_CHECK_ZERO(p, 4 * PAGE);
	LIVE_CHECK_AT(to, 30 * PAGE, 3, 4 * PAGE);
	HMMU_CHECK_OK(munmap(to, 90 * PAGE));
	HMMU_CHECK_OK(munmap(p, 4 * PAGE));
	HMMU_CHECK_OK(munmap(p + 34 * PAGE, 6 * PAGE));
	return 0;
}

static void check_device_is_empty(int err)
{
	HMMU_CHECK_OK(err);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
}

static void test_sweep_changes(void)
{
	live_need_move();
	open_all();
	sweep(&(struct sweep){ .operation = change,
			       .after = check_device_is_empty,
			       .most_points = 200,
			       .all_threads = true });
	check_content();
	live_close();
}

/* Exclusive access, pins, coherent memory ------------------------------------- */

/* A point fails once: what failed is done by asking again. */
static int end_device(struct hmmu_device *device)
{
	int err = hmmu_device_destroy(device);

	if (err)
		HMMU_CHECK_OK(hmmu_device_destroy(device));
	return err;
}

static int make_exclusive(void)
{
	const struct hmmu_device_options options = { .size = sizeof(options) };
	struct hmmu_device *device;
	size_t done = 0;
	int err = hmmu_device_create(live_space, &options, &device);
	int err_end;

	if (err)
		return err;
	err = live_make_exclusive(device, small, 3 * PAGE, &done);
	HMMU_CHECK(done <= 3 * PAGE && (done == 3 * PAGE) == !err);
	if (!err)
		err = live_make_exclusive(device, large + 9 * PAGE, PAGE, NULL);
	err_end = end_device(device);
	return err ? err : err_end;
}

static int pin_both(void)
{
	uintptr_t at = (uintptr_t)small;
	int err = migrate_both();

	if (err)
		return err;
	err = hmmu_pin_range(live_space, at, 4 * PAGE);
	if (err) {
		HMMU_CHECK_INT(hmmu_unpin_range(live_space, at, 4 * PAGE),
			       -ENOENT);
		return err;
	}
	err = hmmu_pin_range(live_space, (uintptr_t)large, PAGE);
	if (!err)
		HMMU_CHECK_OK(
			hmmu_unpin_range(live_space, (uintptr_t)large, PAGE));
	HMMU_CHECK_OK(hmmu_unpin_range(live_space, at, 4 * PAGE));
	return err;
}

static int use_coherent(void)
{
	const struct hmmu_memory_options memory_options = {
		.size = sizeof(memory_options),
		.kind = HMMU_MEMORY_COHERENT,
		.bytes = 4 * LARGE,
	};
	struct hmmu_device_options options = { .size = sizeof(options) };
	uintptr_t at = (uintptr_t)small;
	struct hmmu_device *device = NULL;
	int err = hmmu_memory_create(live_space, &memory_options,
				     &options.memory);
	int err_end;

	if (err)
		return err;
	err = hmmu_device_create(live_space, &options, &device);
	/* Two runs: the block becomes scattered. */
	if (!err)
		err = hmmu_device_migrate(device, at + 5 * PAGE, 4 * PAGE,
					  NULL);
	if (!err)
		err = hmmu_device_migrate(device, at, 7 * PAGE, NULL);
	if (!err)
		err = hmmu_device_migrate(device, (uintptr_t)large, LARGE,
					  NULL);
	err_end = end_device(device);
	HMMU_CHECK_OK(hmmu_memory_destroy(options.memory));
	return err ? err : err_end;
}

static void sweep_and_check_used(int (*operation)(void))
{
	open_all();
	live_take(small, SMALL_PAGES * PAGE);
	check_all_is_home();
	HMMU_CHECK_OK(operation());
	check_all_is_home();
	used_before = used_bytes();
	sweep(&(struct sweep){ .operation = operation,
			       .after = check_home_and_used,
			       .least_points = 2 });
	live_close();
}

static void test_sweep_exclusive(void)
{
	sweep_and_check_used(make_exclusive);
}

static void test_sweep_pin(void)
{
	sweep_and_check_used(pin_both);
}

static void test_sweep_coherent(void)
{
	sweep_and_check_used(use_coherent);
}

/* Close --------------------------------------------------------------------- */

static int close_all(void)
{
	int err = 0;

	if (live_device)
		err = hmmu_device_destroy(live_device);
	if (err)
		return err;
	live_device = NULL;
	if (live_memory)
		err = hmmu_memory_destroy(live_memory);
	if (err)
		return err;
	live_memory = NULL;
	err = hmmu_space_close(live_space);
	return err;
}

static void open_and_take(void)
{
	live_open_bytes(8 * LARGE);
	take_both();
}

/* What failed is done by asking again. */
static void close_again(int err)
{
	if (err)
		HMMU_CHECK_OK(close_all());
	check_content();
	HMMU_CHECK(!live_is_registered());
	if (used_before)
		HMMU_CHECK_INT(used_bytes(), used_before);
	used_before = used_bytes();
}

static void test_sweep_close(void)
{
	open_all();
	live_close();
	sweep(&(struct sweep){ .operation = close_all,
			       .before = open_and_take,
			       .after = close_again,
			       .other_error = -EBUSY });
}

HMMU_TEST_MAIN(HMMU_TEST(test_sweep_open), HMMU_TEST(test_sweep_device),
	       HMMU_TEST(test_sweep_in2_notifier),
	       HMMU_TEST(test_sweep_rf42_range), HMMU_TEST(test_sweep_fault),
	       HMMU_TEST(test_sweep_in13_fault),
	       HMMU_TEST(test_sweep_mv29_migrate), HMMU_TEST(test_sweep_home),
	       HMMU_TEST(test_sweep_touch), HMMU_TEST(test_sweep_changes),
	       HMMU_TEST(test_sweep_exclusive), HMMU_TEST(test_sweep_pin),
	       HMMU_TEST(test_sweep_coherent), HMMU_TEST(test_sweep_close))
