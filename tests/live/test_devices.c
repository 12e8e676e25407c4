/* SPDX-License-Identifier: MIT */
/*
 * Two devices with private memory, and pages of both in one block of 2 MiB:
 * each page stays with whom has it, comes home from there, and goes from there.
 */
#include <sys/mman.h>

#include "fixture.h"

static struct hmmu_memory *other_memory;
static struct hmmu_device *other;

static void open_both(void)
{
	live_open();
	other = live_add_device(8 * LARGE, &other_memory);
}

static void close_both(void)
{
	live_remove_device(other, other_memory);
	live_close();
}

static size_t used(void)
{
	return live_memory_stats().used_pages;
}

static size_t other_used(void)
{
	return live_used_pages(other_memory);
}

static bool is_others(size_t page)
{
	return page / 4 % 2;
}

/* Four pages of live_device, four of the other, and so on. */
static void interleave(const char *p, size_t pages)
{
	struct hmmu_migrate_result r;
	size_t i;

	for (i = 0; i < pages; i += 4) {
		r = live_migrate(is_others(i) ? other : live_device,
				 p + i * PAGE, 4 * PAGE);
		HMMU_CHECK_INT(r.pages_moved, 4);
	}
	HMMU_CHECK_INT(live_present(p, pages * PAGE), 0);
}

/* What @device sees: its own pages, and no others. */
static void check_view(struct hmmu_device *device, const char *p, size_t pages)
{
	static uint64_t e[PER_LARGE];
	size_t i;

	live_look(device, p, pages, 0, e);
	for (i = 0; i < pages; i++) {
		if (is_others(i) != (device == other)) {
			HMMU_CHECK_INT(e[i], 0);
			continue;
		}
		HMMU_CHECK(e[i] & HMMU_ENTRY_VALID && e[i] & HMMU_ENTRY_WRITE);
		HMMU_CHECK_INT(hmmu_entry_where(e[i]), HMMU_WHERE_DEVICE);
		HMMU_CHECK_INT(hmmu_entry_order(e[i]), 0);
	}
}

static void check_read_by(struct hmmu_device *device, const char *p,
			  size_t pages)
{
	struct hmmu_port *port;
	size_t i, word;

	HMMU_CHECK_OK(hmmu_port_open(device, &port));
	for (i = 0; i < pages; i++) {
		if (is_others(i) != (device == other))
			continue;
		for (word = i * PAGE / 8; word < (i + 1) * PAGE / 8; word++)
			HMMU_CHECK(live_load(port, p + 8 * word) ==
				   live_word(1, word));
	}
	hmmu_port_close(port);
}

static void test_devices_interleaved(void)
{
	char *p = live_map_small(64, 1);

	open_both();
	interleave(p, 64);
	HMMU_CHECK_INT(used(), 32);
	HMMU_CHECK_INT(other_used(), 32);
	check_view(live_device, p, 64);
	check_view(other, p, 64);
	/* Each reads its own, and nothing comes home for it. */
	check_read_by(live_device, p, 64);
	check_read_by(other, p, 64);
	HMMU_CHECK_INT(live_present(p, 64 * PAGE), 0);
	LIVE_CHECK(p, 64 * PAGE, 1);
	LIVE_CHECK_SOON(used() == 0 && other_used() == 0);
	close_both();
}

static void test_devices_interleaved_whole_block(void)
{
	char *p = live_map_large(1, 1);

	open_both();
	interleave(p, PER_LARGE);
	check_view(live_device, p, PER_LARGE);
	check_read_by(other, p, PER_LARGE);
	check_read_by(live_device, p, PER_LARGE);
	HMMU_CHECK_INT(used() + other_used(), PER_LARGE);
	LIVE_CHECK(p, LARGE, 1);
	LIVE_CHECK_SOON(used() == 0 && other_used() == 0);
	close_both();
}

static void test_devices_mv7_foreign_is_counted(void)
{
	char *p = live_map_small(64, 1);
	struct hmmu_migrate_result r;

	open_both();
	interleave(p, 32);
	r = live_migrate(live_device, p, 64 * PAGE);
	HMMU_CHECK_INT(r.pages_already, 16);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], 16);
	HMMU_CHECK_INT(r.pages_moved, 32);
	HMMU_CHECK_INT(used(), 48);
	HMMU_CHECK_INT(other_used(), 16);
	LIVE_CHECK(p, 64 * PAGE, 1);
	close_both();
}

static void test_devices_home_by_range(void)
{
	char *p = live_map_small(32, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	open_both();
	interleave(p, 32);
	HMMU_CHECK_OK(hmmu_migrate_to_system(
		live_space, (uintptr_t)p + 2 * PAGE, 8 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 8);
	HMMU_CHECK_INT(live_present(p, 32 * PAGE), 8);
	HMMU_CHECK_INT(live_present(p + 2 * PAGE, 8 * PAGE), 8);
	HMMU_CHECK_INT(used(), 16 - 4);
	HMMU_CHECK_INT(other_used(), 16 - 4);
	LIVE_CHECK(p, 32 * PAGE, 1);
	close_both();
}

static void test_devices_evict_one(void)
{
	char *p = live_map_small(32, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	open_both();
	interleave(p, 32);
	HMMU_CHECK_OK(hmmu_migrate_evict(other, &r));
	HMMU_CHECK_INT(r.pages_moved, 16);
	HMMU_CHECK_INT(used(), 16);
	HMMU_CHECK_INT(other_used(), 0);
	HMMU_CHECK_INT(live_present(p, 32 * PAGE), 16);
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 0);
	check_read_by(live_device, p, 32);
	HMMU_CHECK_INT(live_present(p, 32 * PAGE), 16);
	LIVE_CHECK(p, 32 * PAGE, 1);
	close_both();
}

static void test_devices_dp11_one_is_destroyed(void)
{
	char *p = live_map_small(32, 1);

	open_both();
	interleave(p, 32);
	live_remove_device(other, other_memory);
	HMMU_CHECK_INT(live_present(p, 32 * PAGE), 16);
	HMMU_CHECK_INT(used(), 16);
	check_read_by(live_device, p, 32);
	LIVE_CHECK(p, 32 * PAGE, 1);
	live_close();
}

static void test_devices_unmap_of_a_part(const struct live_way *way)
{
	char *p = live_map_small(32, 1);

	open_both();
	interleave(p, 32);
	HMMU_CHECK_OK(way->unmap(p + 2 * PAGE, 8 * PAGE));
	LIVE_CHECK_AFTER(way, used() == 12 && other_used() == 12);
	LIVE_CHECK_AFTER(way, live_stats().pages_dropped == 8);
	LIVE_CHECK(p, 2 * PAGE, 1);
	LIVE_CHECK_AT(p + 10 * PAGE, 22 * PAGE, 1, 10 * PAGE);
	close_both();
}
BOTH_WAYS(test_devices_unmap_of_a_part)

static void test_devices_discard_of_a_part(const struct live_way *way)
{
	char *p = live_map_small(32, 1);

	open_both();
	interleave(p, 32);
	HMMU_CHECK_OK(way->advise(p + 2 * PAGE, 8 * PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, used() == 12 && other_used() == 12);
	LIVE_CHECK_ZERO(p + 2 * PAGE, 8 * PAGE);
	LIVE_CHECK(p, 2 * PAGE, 1);
	LIVE_CHECK_AT(p + 10 * PAGE, 22 * PAGE, 1, 10 * PAGE);
	close_both();
}
BOTH_WAYS(test_devices_discard_of_a_part)

/* To addresses that lie otherwise in their blocks, and across two of them. */
static void test_devices_mremap(const struct live_way *way)
{
	char *p = live_map_small(64, 1), *area = live_map(2 * LARGE);
	char *q = area + LARGE - 20 * PAGE;

	open_both();
	interleave(p, 64);
	HMMU_CHECK(way->remap(p, 64 * PAGE, 64 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	LIVE_CHECK_SOON(used() == 32 && other_used() == 32);
	check_view(live_device, q, 64);
	check_view(other, q, 64);
	check_read_by(live_device, q, 64);
	check_read_by(other, q, 64);
	HMMU_CHECK_INT(live_present(q, 64 * PAGE), 0);
	LIVE_CHECK(q, 64 * PAGE, 1);
	LIVE_CHECK_SOON(used() == 0 && other_used() == 0);
	close_both();
}
BOTH_WAYS(test_devices_mremap)

static void test_devices_fork(void)
{
	char *p = live_map_small(32, 1);
	pid_t child;

	open_both();
	interleave(p, 32);
	child = fork();
	if (child == 0) {
		LIVE_CHECK(p, 32 * PAGE, 1);
		_exit(0);
	}
	live_child_ok(child);
	HMMU_CHECK_INT(used() + other_used(), 0);
	LIVE_CHECK(p, 32 * PAGE, 1);
	close_both();
}

/* A large page of one, and a page of it taken by the other after it was home. */
static void test_devices_page_out_of_a_large_one(void)
{
	char *p = live_map_large(1, 1);
	struct hmmu_migrate_result r;
	uint64_t e[1];

	open_both();
	live_take(p, LARGE);
	live_look(live_device, p + 7 * PAGE, 1, 0, e);
	HMMU_CHECK_INT(hmmu_entry_order(e[0]), HMMU_LARGE_LG2 - HMMU_PAGE_LG2);
	r = live_migrate(other, p + 7 * PAGE, PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], 1);
	HMMU_CHECK_OK(hmmu_migrate_to_system(
		live_space, (uintptr_t)p + 7 * PAGE, PAGE, NULL));
	r = live_migrate(other, p + 7 * PAGE, PAGE);
	HMMU_CHECK_INT(r.pages_moved, 1);
	HMMU_CHECK_INT(used(), PER_LARGE - 1);
	HMMU_CHECK_INT(other_used(), 1);
	live_look(live_device, p + 8 * PAGE, 1, 0, e);
	HMMU_CHECK_INT(hmmu_entry_order(e[0]), 0);
	/* A fault of one for all of it takes the other's page home. */
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, LARGE,
					HMMU_ACCESS_WRITE));
	LIVE_CHECK_SOON(other_used() == 0);
	LIVE_CHECK(p, LARGE, 1);
	LIVE_CHECK_SOON(used() == 0);
	/* All of it may be large again. */
	live_take(p, LARGE);
	LIVE_CHECK(p, LARGE, 1);
	close_both();
}

/* MV24: no large place, once; then as ever. */
static void test_devices_mv24_no_large_place(void)
{
	char *p = live_map_large(3, 1);
	struct hmmu_migrate_result r;
	uint64_t e[1];

	live_need_move();
	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	open_both();
	HMMU_CHECK_INT(hmmu_memory_fail_large(NULL), -EINVAL);
	HMMU_CHECK_OK(hmmu_memory_fail_large(live_memory));
	r = live_migrate(live_device, p, 3 * LARGE);
	HMMU_CHECK_INT(r.pages_moved, 3 * PER_LARGE);
	HMMU_CHECK_INT(r.large_moved, 2);
	live_look(live_device, p, 1, 0, e);
	HMMU_CHECK_INT(hmmu_entry_order(e[0]), 0);
	live_look(live_device, p + LARGE, 1, 0, e);
	HMMU_CHECK_INT(hmmu_entry_order(e[0]), HMMU_LARGE_LG2 - HMMU_PAGE_LG2);
	LIVE_CHECK(p, 3 * LARGE, 1);
	HMMU_CHECK_INT(live_huge(p, 3 * LARGE), 2 * PER_LARGE);
	LIVE_CHECK_SOON(used() == 0);
	r = live_migrate(live_device, p + LARGE, 2 * LARGE);
	HMMU_CHECK_INT(r.large_moved, 2);
	LIVE_CHECK(p, 3 * LARGE, 1);
	close_both();
}

static void test_devices_mv24_no_large_place_at_home(void)
{
	char *p = live_map_large(3, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_need_move();
	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	open_both();
	live_take(p, 3 * LARGE);
	/* Another memory's is not meant. */
	HMMU_CHECK_OK(hmmu_memory_fail_large(other_memory));
	HMMU_CHECK_OK(hmmu_memory_fail_large(live_memory));
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)p,
					     3 * LARGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 3 * PER_LARGE);
	HMMU_CHECK_INT(r.large_moved, 2);
	HMMU_CHECK_INT(live_huge(p, 3 * LARGE), 2 * PER_LARGE);
	HMMU_CHECK_INT(live_huge(p, LARGE), 0);
	LIVE_CHECK(p, 3 * LARGE, 1);
	HMMU_CHECK_INT(used(), 0);
	/* By a touch, too. */
	live_take(p + LARGE, LARGE);
	HMMU_CHECK_OK(hmmu_memory_fail_large(live_memory));
	LIVE_CHECK(p, 3 * LARGE, 1);
	HMMU_CHECK_INT(live_huge(p + LARGE, LARGE), 0);
	LIVE_CHECK_SOON(used() == 0);
	live_take(p + 2 * LARGE, LARGE);
	LIVE_CHECK(p, 3 * LARGE, 1);
	/* The kernel makes the other two large again by itself, sooner or later. */
	HMMU_CHECK_INT(live_huge(p + 2 * LARGE, LARGE), PER_LARGE);
	close_both();
}

/* Threads of both devices take, and the CPU uses, the pages of one block. */
static void *migrate_all_the_time(void *arg)
{
	struct hmmu_device *device = ((void **)arg)[0];
	char *p = ((void **)arg)[1];
	size_t i;

	for (i = 0; i < 300; i++) {
		live_migrate(device, p + i * 7 % 60 * PAGE, 4 * PAGE);
		if (i % 50 == 49)
			HMMU_CHECK_OK(hmmu_migrate_evict(device, NULL));
	}
	return NULL;
}

static void *add_words(void *arg)
{
	uint64_t *words = ((void **)arg)[1];
	size_t i;

	for (i = 0; i < 100000; i++)
		__atomic_fetch_add(&words[i * 4099 % (64 * PAGE / 8)], 1,
				   __ATOMIC_RELAXED);
	return NULL;
}

static void test_devices_no_update_is_lost(void)
{
	uint64_t *p = live_map(64 * PAGE), sum = 0;
	pthread_t threads[3];
	void *of_one[2], *of_other[2];
	size_t i;

	open_both();
	live_migrate(live_device, p, PAGE);
	of_one[0] = live_device;
	of_other[0] = other;
	of_one[1] = of_other[1] = p;
	threads[0] = live_thread(migrate_all_the_time, of_one);
	threads[1] = live_thread(migrate_all_the_time, of_other);
	threads[2] = live_thread(add_words, of_one);
	for (i = 0; i < 3; i++)
		live_join(threads[i]);
	for (i = 0; i < 64 * PAGE / 8; i++)
		sum += p[i];
	HMMU_CHECK_INT(sum, 100000);
	LIVE_CHECK_SOON(used() + other_used() == live_device_pages());
	close_both();
}

HMMU_TEST_MAIN(HMMU_TEST(test_devices_interleaved),
	       HMMU_TEST(test_devices_interleaved_whole_block),
	       HMMU_TEST(test_devices_mv7_foreign_is_counted),
	       HMMU_TEST(test_devices_home_by_range),
	       HMMU_TEST(test_devices_evict_one),
	       HMMU_TEST(test_devices_dp11_one_is_destroyed),
	       TEST_BOTH(test_devices_unmap_of_a_part),
	       TEST_BOTH(test_devices_discard_of_a_part),
	       TEST_BOTH(test_devices_mremap), HMMU_TEST(test_devices_fork),
	       HMMU_TEST(test_devices_page_out_of_a_large_one),
	       HMMU_TEST(test_devices_mv24_no_large_place),
	       HMMU_TEST(test_devices_mv24_no_large_place_at_home),
	       HMMU_TEST(test_devices_no_update_is_lost))
