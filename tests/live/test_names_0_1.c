/* SPDX-License-Identifier: MIT */
/*
 * The names of 0.1: each is there twice, inline in its header and exported for
 * programs that were built against 0.1. Both do what they did: start and end,
 * both aligned, else -EINVAL and nothing changed.
 */
#include <hmmu/pin.h>

#include "fixture.h"
#include "ranges.h"

/* What a binary of 0.1 calls: the inline one hides its declaration. */
#define EXPORTED(name) __asm__(#name)

int to_device(struct hmmu_device *device, uintptr_t start, uintptr_t end,
	      struct hmmu_migrate_result *result)
	EXPORTED(hmmu_migrate_to_device);
int home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
	 struct hmmu_migrate_result *result) EXPORTED(hmmu_migrate_home);
int make_resident(struct hmmu_space *space, uintptr_t start, uintptr_t end)
	EXPORTED(hmmu_make_resident);
int pin(struct hmmu_space *space, uintptr_t start, uintptr_t end)
	EXPORTED(hmmu_pin);
int unpin(struct hmmu_space *space, uintptr_t start, uintptr_t end)
	EXPORTED(hmmu_unpin);
int make_exclusive(struct hmmu_device *device, uintptr_t start, uintptr_t end,
		   size_t *ret_bytes) EXPORTED(hmmu_make_exclusive);
int residency(struct hmmu_space *space, uintptr_t start, uintptr_t end,
	      struct hmmu_residency *out) EXPORTED(hmmu_space_residency);

static char *p;
static uintptr_t at;

static void open_all(void)
{
	live_open();
	p = live_map_small(16, 1);
	at = (uintptr_t)p;
	live_take(p, 8 * PAGE);
}

/* Nothing has changed since open_all(). */
static void close_all(void)
{
	LIVE_CHECK_SOON(live_device_pages() == 8);
	HMMU_CHECK_INT(live_stats().pages_to_device, 8);
	HMMU_CHECK_INT(live_stats().pages_home, 0);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* Migration ----------------------------------------------------------------- */

static int inline_to_device(uintptr_t start, uintptr_t end)
{
	return hmmu_migrate_to_device(live_device, start, end, NULL);
}

static int exported_to_device(uintptr_t start, uintptr_t end)
{
	return to_device(live_device, start, end, NULL);
}

static int inline_home(uintptr_t start, uintptr_t end)
{
	return hmmu_migrate_home(live_space, start, end, NULL);
}

static int exported_home(uintptr_t start, uintptr_t end)
{
	return home(live_space, start, end, NULL);
}

static int inline_make_resident(uintptr_t start, uintptr_t end)
{
	return hmmu_make_resident(live_space, start, end);
}

static int exported_make_resident(uintptr_t start, uintptr_t end)
{
	return make_resident(live_space, start, end);
}

static void test_names_migrate_refuse(void)
{
	open_all();
	check_aligned_ranges(inline_to_device, at, PAGE);
	check_aligned_ranges(exported_to_device, at, PAGE);
	check_aligned_ranges(inline_home, at, PAGE);
	check_aligned_ranges(exported_home, at, PAGE);
	check_aligned_ranges(inline_make_resident, at, PAGE);
	check_aligned_ranges(exported_make_resident, at, PAGE);
	HMMU_CHECK_INT(hmmu_migrate_to_device(NULL, at, at + PAGE, NULL),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_migrate_home(NULL, at, at + PAGE, NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_make_resident(NULL, at, at + PAGE), -EINVAL);
	close_all();
}

static void test_names_migrate_work(void)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	open_all();
	HMMU_CHECK_OK(hmmu_migrate_to_device(live_device, at + 8 * PAGE,
					     at + 10 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 2);
	HMMU_CHECK_OK(
		to_device(live_device, at + 10 * PAGE, at + 13 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 3);
	HMMU_CHECK_OK(hmmu_migrate_home(live_space, at, at + 2 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 2);
	HMMU_CHECK_OK(home(live_space, at + 2 * PAGE, at + 4 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 2);
	HMMU_CHECK_OK(
		hmmu_make_resident(live_space, at + 4 * PAGE, at + 5 * PAGE));
	HMMU_CHECK_OK(make_resident(live_space, at + 5 * PAGE, at + 6 * PAGE));
	HMMU_CHECK_INT(live_device_pages(), 7);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* Pins ---------------------------------------------------------------------- */

static int inline_pin(uintptr_t start, uintptr_t end)
{
	return hmmu_pin(live_space, start, end);
}

static int exported_pin(uintptr_t start, uintptr_t end)
{
	return pin(live_space, start, end);
}

static int inline_unpin(uintptr_t start, uintptr_t end)
{
	return hmmu_unpin(live_space, start, end);
}

static int exported_unpin(uintptr_t start, uintptr_t end)
{
	return unpin(live_space, start, end);
}

static void test_names_pin_refuse(void)
{
	open_all();
	check_aligned_ranges(inline_pin, at, PAGE);
	check_aligned_ranges(exported_pin, at, PAGE);
	check_aligned_ranges(inline_unpin, at, PAGE);
	check_aligned_ranges(exported_unpin, at, PAGE);
	HMMU_CHECK_INT(hmmu_pin(NULL, at, at + PAGE), -EINVAL);
	HMMU_CHECK_INT(hmmu_unpin(NULL, at, at + PAGE), -EINVAL);
	close_all();
}

static void test_names_pin_work(void)
{
	struct hmmu_migrate_result r;

	open_all();
	HMMU_CHECK_OK(hmmu_pin(live_space, at, at + 2 * PAGE));
	HMMU_CHECK_OK(pin(live_space, at + 2 * PAGE, at + 4 * PAGE));
	HMMU_CHECK_INT(live_device_pages(), 4);
	r = live_migrate(live_device, p, 8 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 4);
	HMMU_CHECK_INT(hmmu_unpin(live_space, at, at + PAGE), -ENOENT);
	HMMU_CHECK_OK(unpin(live_space, at, at + 2 * PAGE));
	HMMU_CHECK_OK(hmmu_unpin(live_space, at + 2 * PAGE, at + 4 * PAGE));
	live_take(p, 8 * PAGE);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* Exclusive access ---------------------------------------------------------- */

static size_t done;

static int inline_exclusive(uintptr_t start, uintptr_t end)
{
	return hmmu_make_exclusive(live_device, start, end, &done);
}

static int exported_exclusive(uintptr_t start, uintptr_t end)
{
	return make_exclusive(live_device, start, end, &done);
}

static void test_names_exclusive(void)
{
	open_all();
	check_aligned_ranges(inline_exclusive, at, PAGE);
	check_aligned_ranges(exported_exclusive, at, PAGE);
	HMMU_CHECK_INT(hmmu_make_exclusive(NULL, at, at + PAGE, NULL), -EINVAL);
	HMMU_CHECK_OK(inline_exclusive(at + 8 * PAGE, at + 10 * PAGE));
	HMMU_CHECK_INT(done, 2 * PAGE);
	HMMU_CHECK_OK(exported_exclusive(at + 10 * PAGE, at + 11 * PAGE));
	HMMU_CHECK_INT(done, PAGE);
	HMMU_CHECK(live_is_exclusive(live_device, p + 9 * PAGE));
	HMMU_CHECK(live_is_exclusive(live_device, p + 10 * PAGE));
	HMMU_CHECK_INT(live_device_pages(), 11);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* Residency ----------------------------------------------------------------- */

static struct hmmu_residency records[8];

static int inline_residency(uintptr_t start, uintptr_t end)
{
	return hmmu_space_residency(live_space, start, end, records);
}

static int exported_residency(uintptr_t start, uintptr_t end)
{
	return residency(live_space, start, end, records);
}

static void test_names_residency(void)
{
	uintptr_t block;

	open_all();
	block = at & ~(LARGE - 1);
	memset(records, 0x5a, sizeof(records));
	check_aligned_ranges(inline_residency, at, LARGE);
	check_aligned_ranges(exported_residency, at, LARGE);
	HMMU_CHECK_INT(hmmu_space_residency(live_space, block, block + LARGE,
					    NULL),
		       -EINVAL);
	HMMU_CHECK_INT(*(unsigned char *)records, 0x5a);
	HMMU_CHECK_OK(inline_residency(block, block + 2 * LARGE));
	HMMU_CHECK_INT(records[0].device_pages, 8);
	HMMU_CHECK(records[1].start == block + LARGE);
	HMMU_CHECK_INT(*(unsigned char *)&records[2], 0x5a);
	HMMU_CHECK_OK(exported_residency(block - LARGE, block + LARGE));
	HMMU_CHECK_INT(records[1].device_pages, 8);
	close_all();
}

HMMU_TEST_MAIN(HMMU_TEST(test_names_migrate_refuse),
	       HMMU_TEST(test_names_migrate_work),
	       HMMU_TEST(test_names_pin_refuse), HMMU_TEST(test_names_pin_work),
	       HMMU_TEST(test_names_exclusive), HMMU_TEST(test_names_residency))
