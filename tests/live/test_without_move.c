/* SPDX-License-Identifier: MIT */
/*
 * A kernel without UFFDIO_MOVE: hmmu_device_migrate() to host-private memory
 * and hmmu_device_make_exclusive() are refused and change nothing. Everything
 * else works. Each case takes the call away itself, so it runs on any kernel.
 */
#include <sys/mman.h>

#include <hmmu/log.h>
#include <hmmu/platform.h>

#include "fixture.h"

#define PAGES 8u
#define BYTES ((size_t)PAGES * PAGE)

static void open_without_move(void)
{
	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	live_open();
}

static int migrate(const void *p, struct hmmu_migrate_result *r)
{
	return hmmu_device_migrate(live_device, (uintptr_t)p, BYTES, r);
}

static int make_exclusive(const void *p, size_t *ret_bytes)
{
	return hmmu_device_make_exclusive(live_device, (uintptr_t)p, BYTES,
					  ret_bytes);
}

static _Atomic unsigned int invalidations;

static void count_invalidation(struct hmmu_notifier *sub, void *arg,
			       const struct hmmu_invalidation *inv,
			       uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
	atomic_fetch_add_explicit(&invalidations, 1, memory_order_acq_rel);
}

static unsigned int invalidation_count(void)
{
	return atomic_load_explicit(&invalidations, memory_order_acquire);
}

static struct hmmu_notifier *subscribe(const void *p)
{
	static const struct hmmu_notifier_ops ops = {
		.size = sizeof(ops),
		.invalidate = count_invalidation,
	};
	struct hmmu_notifier *sub;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &sub));
	return sub;
}

/* The pages are in system memory, of an ordinary mapping, and hold @seed. */
static void check_untouched(const void *p, uint64_t seed)
{
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	HMMU_CHECK(!live_is_armed(p));
	HMMU_CHECK_INT(live_device_pages(), 0);
	HMMU_CHECK_INT(live_used_pages(live_memory), 0);
	HMMU_CHECK_INT(invalidation_count(), 0);
	LIVE_CHECK(p, BYTES, seed);
}

static void test_without_move_migrate_is_refused(void)
{
	struct hmmu_migrate_result r = { .size = sizeof(r), .pages_moved = 77 };
	char *p = live_map_small(PAGES, 1);
	struct hmmu_notifier *sub;

	open_without_move();
	sub = subscribe(p);
	/* Nothing is copied instead (E11). */
	HMMU_CHECK_INT(migrate(p, &r), -EOPNOTSUPP);
	HMMU_CHECK_INT(migrate(p, NULL), -EOPNOTSUPP);
	HMMU_CHECK_INT(r.pages_moved, 77);
	check_untouched(p, 1);
	hmmu_notifier_remove(sub);
	live_close();
}

static void test_without_move_exclusive_is_refused(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_notifier *sub;
	size_t done = 77;

	open_without_move();
	sub = subscribe(p);
	HMMU_CHECK_INT(make_exclusive(p, &done), -EOPNOTSUPP);
	HMMU_CHECK_INT(make_exclusive(p, NULL), -EOPNOTSUPP);
	HMMU_CHECK_INT(done, 0);
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	check_untouched(p, 1);
	hmmu_notifier_remove(sub);
	live_close();
}

/* Programs written for 0.1 set it: it is accepted, and nothing is copied. */
static void test_without_move_allow_copy_is_ignored(void)
{
	const struct hmmu_space_options options = { .size = sizeof(options),
						    .allow_copy = 7 };
	char *p = live_map_small(PAGES, 1);
	struct hmmu_space *again;

	open_without_move();
	HMMU_CHECK_OK(hmmu_space_open(&options, NULL, &again));
	HMMU_CHECK(again == live_space);
	HMMU_CHECK_OK(hmmu_space_close(again));
	live_close();
	HMMU_CHECK_OK(hmmu_space_open(&options, NULL, &live_space));
	live_device = live_add_device(LARGE, &live_memory);
	HMMU_CHECK_INT(migrate(p, NULL), -EOPNOTSUPP);
	check_untouched(p, 1);
	live_close();
}

/* What is not refused has nothing to do: it is home already. */
static void test_without_move_home_has_nothing_to_do(void)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	char *p = live_map_small(PAGES, 1);

	open_without_move();
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, BYTES, &r));
	HMMU_CHECK_INT(r.pages_moved, 0);
	check_untouched(p, 1);
	live_close();
}

static void test_without_move_coherent_memory_migrates(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_migrate_result r;
	struct hmmu_memory *memory;
	struct hmmu_device *device;
	struct hmmu_port *port;

	open_without_move();
	device = live_add_kind(HMMU_MEMORY_COHERENT, LARGE, &memory);
	r = live_migrate(device, p, BYTES);
	HMMU_CHECK_INT(r.pages_moved, PAGES);
	HMMU_CHECK_INT(live_used_pages(memory), PAGES);
	HMMU_CHECK_OK(hmmu_port_open(device, &port));
	live_store(port, p, 5);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 5);
	live_store(port, p, live_word(1, 0));
	hmmu_port_close(port);
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, BYTES, NULL));
	HMMU_CHECK_INT(live_used_pages(memory), 0);
	LIVE_CHECK(p, BYTES, 1);
	live_remove_device(device, memory);
	live_close();
}

static void test_without_move_ports_read_and_write(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_port *port;
	uint64_t entry;

	open_without_move();
	port = live_port();
	HMMU_CHECK(live_load(port, p + 8) == live_word(1, 1));
	live_store(port, p + 8, 5);
	HMMU_CHECK_INT(*(volatile uint64_t *)(p + 8), 5);
	*(volatile uint64_t *)(p + 16) = 6;
	HMMU_CHECK_INT(live_load(port, p + 16), 6);
	HMMU_CHECK(live_leaf(live_device, p, &entry));
	HMMU_CHECK(!(entry & HMMU_DEVICE_LEAF_LOCAL));
	hmmu_port_close(port);
	live_close();
}

static void test_without_move_changes_are_reported(const struct live_way *way)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_notifier *sub;

	if (way->hooked && live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	open_without_move();
	sub = subscribe(p);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, BYTES,
					HMMU_ACCESS_READ));
	HMMU_CHECK(live_leaf(live_device, p, NULL));
	HMMU_CHECK_OK(way->unmap(p, BYTES));
	LIVE_CHECK_AFTER(way, invalidation_count() > 0);
	LIVE_CHECK_AFTER(way, !live_mirror(live_device).mapped_bytes);
	hmmu_notifier_remove(sub);
	live_close();
}

BOTH_WAYS(test_without_move_changes_are_reported)

/* Words ------------------------------------------------------------------------ */

static const struct hmmu_facility *move_row(void)
{
	static struct hmmu_facility all[64];
	size_t count, i;

	all[0].size = sizeof(all[0]);
	HMMU_CHECK_OK(hmmu_platform_query(all, 64, &count));
	for (i = 0; i < count && i < 64; i++)
		if (strcmp(all[i].name, "move") == 0)
			return all[i].available ? NULL : &all[i];
	return NULL;
}

static struct {
	unsigned int count;
	char text[256];
} warning;

static void keep_warning(void *arg, enum hmmu_log_level level,
			 const char *message)
{
	(void)arg;
	if (level != HMMU_LOG_WARN)
		return;
	warning.count++;
	(void)strncpy(warning.text, message, sizeof(warning.text) - 1);
}

/*
 * The variable stands in `hmmu info`, and once in the log. No kernel is named
 * that the user may have already.
 */
static void test_without_move_names_the_variable(void)
{
	char *p = live_map_small(PAGES, 1);
	const struct hmmu_facility *move;

	open_without_move();
	move = move_row();
	HMMU_CHECK(move);
	HMMU_CHECK(strstr(move->instead, "EOPNOTSUPP"));
	HMMU_CHECK(strstr(move->reason, "HMMU_FORCE_NO_MOVE"));
	HMMU_CHECK(!strstr(move->reason, "install"));
	HMMU_CHECK(!strstr(move->instead, "install"));
	hmmu_log_set(keep_warning, NULL, HMMU_LOG_WARN);
	HMMU_CHECK_INT(migrate(p, NULL), -EOPNOTSUPP);
	HMMU_CHECK_INT(make_exclusive(p, NULL), -EOPNOTSUPP);
	HMMU_CHECK_INT(migrate(p, NULL), -EOPNOTSUPP);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
	HMMU_CHECK_INT(warning.count, 1);
	HMMU_CHECK(strstr(warning.text, "EOPNOTSUPP"));
	HMMU_CHECK(strstr(warning.text, "HMMU_FORCE_NO_MOVE"));
	HMMU_CHECK(!strstr(warning.text, "install"));
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_without_move_migrate_is_refused),
	       HMMU_TEST(test_without_move_exclusive_is_refused),
	       HMMU_TEST(test_without_move_allow_copy_is_ignored),
	       HMMU_TEST(test_without_move_home_has_nothing_to_do),
	       HMMU_TEST(test_without_move_coherent_memory_migrates),
	       HMMU_TEST(test_without_move_ports_read_and_write),
	       TEST_BOTH(test_without_move_changes_are_reported),
	       HMMU_TEST(test_without_move_names_the_variable))
