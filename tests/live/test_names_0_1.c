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
int mirror_map(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
	       uint64_t payload, uint64_t flags) EXPORTED(hmmu_mirror_map);
int mirror_unmap(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		 size_t *ret_unmapped_pages) EXPORTED(hmmu_mirror_unmap);
int mirror_protect(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		   uint64_t clear_flags) EXPORTED(hmmu_mirror_protect);
int mirror_coalesce(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end)
	EXPORTED(hmmu_mirror_coalesce);
void mirror_walk_begin(struct hmmu_mirror_walk *walk,
		       const struct hmmu_mirror *mirror, uintptr_t start,
		       uintptr_t end, enum hmmu_mirror_walk_mode mode)
	EXPORTED(hmmu_mirror_walk_begin);
int port_open(struct hmmu_device *device, struct hmmu_port **ret_port)
	EXPORTED(hmmu_port_open);

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

/* Mirrors ------------------------------------------------------------------- */

/* The calls that change a mirror, inline or exported. */
struct mirror_calls {
	int (*map)(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		   uint64_t payload, uint64_t flags);
	int (*unmap)(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		     size_t *ret_unmapped_pages);
	int (*protect)(struct hmmu_mirror *mirror, uintptr_t start,
		       uintptr_t end, uint64_t clear_flags);
	int (*coalesce)(struct hmmu_mirror *mirror, uintptr_t start,
			uintptr_t end);
	void (*walk_begin)(struct hmmu_mirror_walk *walk,
			   const struct hmmu_mirror *mirror, uintptr_t start,
			   uintptr_t end, enum hmmu_mirror_walk_mode mode);
};

static const struct mirror_calls inline_mirror = {
	hmmu_mirror_map,      hmmu_mirror_unmap,      hmmu_mirror_protect,
	hmmu_mirror_coalesce, hmmu_mirror_walk_begin,
};
static const struct mirror_calls exported_mirror = {
	mirror_map,	 mirror_unmap,	    mirror_protect,
	mirror_coalesce, mirror_walk_begin,
};

/* What is under test. */
static const struct mirror_calls *calls;
static struct hmmu_mirror *mirror;

static int map_pages(uintptr_t start, uintptr_t end)
{
	return calls->map(mirror, start, end, 0, HMMU_MIRROR_WRITE);
}

static int unmap_pages(uintptr_t start, uintptr_t end)
{
	return calls->unmap(mirror, start, end, NULL);
}

static int protect_pages(uintptr_t start, uintptr_t end)
{
	return calls->protect(mirror, start, end, HMMU_MIRROR_WRITE);
}

static int coalesce_pages(uintptr_t start, uintptr_t end)
{
	return calls->coalesce(mirror, start, end);
}

static void check_walk(uintptr_t start, uintptr_t end, size_t pages)
{
	struct hmmu_mirror_reader *reader;
	struct hmmu_mirror_walk walk;
	size_t bytes = 0;

	HMMU_CHECK_OK(hmmu_mirror_reader_create(mirror, &reader));
	hmmu_mirror_read_begin(mirror, reader);
	calls->walk_begin(&walk, mirror, start, end, HMMU_MIRROR_WALK_RUNS);
	while (hmmu_mirror_walk_next(&walk))
		bytes += walk.run.end - walk.run.start;
	hmmu_mirror_read_end(mirror, reader);
	hmmu_mirror_reader_destroy(mirror, reader);
	HMMU_CHECK_INT(bytes, pages * PAGE);
}

static void check_mirror(const struct mirror_calls *under_test)
{
	const uintptr_t va = 1ul << 40;
	struct hmmu_mirror_stats s = { .size = sizeof(s) };
	size_t pages = 77;

	calls = under_test;
	HMMU_CHECK_OK(hmmu_mirror_create(NULL, &mirror));
	HMMU_CHECK_OK(map_pages(va, va + LARGE));
	check_aligned_ranges(map_pages, va, PAGE);
	check_aligned_ranges(unmap_pages, va, PAGE);
	check_aligned_ranges(protect_pages, va, PAGE);
	check_aligned_ranges(coalesce_pages, va, PAGE);
	HMMU_CHECK_INT(calls->map(NULL, va, va + PAGE, 0, 0), -EINVAL);
	check_walk(va, va + LARGE, PER_LARGE);
	check_walk(va + PAGE + 1, va + 2 * PAGE + 1, 2);
	check_walk(va, va, 0);
	check_walk(va + PAGE, va, 0);
	check_walk(0, UINTPTR_MAX, PER_LARGE);
	HMMU_CHECK_OK(protect_pages(va, va + LARGE / 2));
	HMMU_CHECK_OK(protect_pages(va + LARGE / 2, va + LARGE));
	HMMU_CHECK_OK(hmmu_mirror_get_stats(mirror, &s));
	HMMU_CHECK_INT(s.leaves[0], PER_LARGE);
	HMMU_CHECK_OK(coalesce_pages(va, va + LARGE));
	HMMU_CHECK_OK(hmmu_mirror_get_stats(mirror, &s));
	HMMU_CHECK_INT(s.leaves[1], 1);
	HMMU_CHECK_OK(calls->unmap(mirror, va, va + 3 * PAGE, &pages));
	HMMU_CHECK_INT(pages, 3);
	hmmu_mirror_destroy(mirror);
}

static void test_names_mirror(void)
{
	check_mirror(&inline_mirror);
	check_mirror(&exported_mirror);
}

/* Ports --------------------------------------------------------------------- */

/* The inline code of a binary of 0.1, whose TLB this header has, finds tags. */
static void test_names_port_open(void)
{
	struct hmmu_port *port = NULL;

	open_all();
	HMMU_CHECK_INT(port_open(NULL, &port), -EINVAL);
	HMMU_CHECK_INT(port_open(live_device, NULL), -EINVAL);
	HMMU_CHECK_OK(port_open(live_device, &port));
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	HMMU_CHECK(port->small[(at >> HMMU_PAGE_LG2) % HMMU_PORT_SMALL_ENTRIES]
			   .read_tag == at >> HMMU_PAGE_LG2);
	hmmu_port_close(port);
	close_all();
}

/* Numbers ------------------------------------------------------------------- */

/* What is not named any more has left its number; the others have theirs. */
static void test_names_numbers(void)
{
	HMMU_CHECK_INT(HMMU_EVENT_SOFT_DIRTY, 4);
	HMMU_CHECK_INT(HMMU_EVENT_RELEASE, 5);
	HMMU_CHECK_INT(HMMU_STAY_LOCKED, 3);
	HMMU_CHECK_INT(HMMU_STAY_SHARED, 4);
	HMMU_CHECK_INT(HMMU_STAY_PINNED, 5);
	HMMU_CHECK_INT(HMMU_STAY_EXCLUSIVE, 12);
	HMMU_CHECK_INT(HMMU_STAY_REASONS, 13);
	HMMU_CHECK_INT(sizeof(struct hmmu_migrate_result), 18 * 8);
	HMMU_CHECK_INT(strcmp(hmmu_stay_text(HMMU_STAY_SHARED), "unknown"), 0);
	HMMU_CHECK_INT(strcmp(hmmu_stay_text(HMMU_STAY_REASONS), "unknown"), 0);
}

HMMU_TEST_MAIN(HMMU_TEST(test_names_migrate_refuse),
	       HMMU_TEST(test_names_migrate_work),
	       HMMU_TEST(test_names_pin_refuse), HMMU_TEST(test_names_pin_work),
	       HMMU_TEST(test_names_exclusive), HMMU_TEST(test_names_residency),
	       HMMU_TEST(test_names_mirror), HMMU_TEST(test_names_port_open),
	       HMMU_TEST(test_names_numbers))
