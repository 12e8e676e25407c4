/* SPDX-License-Identifier: MIT */
/*
 * Changes that are made in part, or told in an order of their own.
 */
#include <sys/mman.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)

/* mremap(2) of nothing: shared memory gets a second mapping. */
static void test_partial_second_mapping(const struct live_way *way)
{
	char *p = live_map(BYTES), *second;
	struct hmmu_port *port;

	HMMU_CHECK(mmap(p, BYTES, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	live_open();
	port = live_port();
	live_store(port, p, 1);
	second = way->remap(p, 0, BYTES, MREMAP_MAYMOVE, NULL);
	HMMU_CHECK(second != MAP_FAILED && second != p);
	HMMU_CHECK_INT(live_load(port, second), 1);
	live_store(port, second, 2);
	HMMU_CHECK_INT(live_load(port, p), 2);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 2);
	HMMU_CHECK_OK(way->unmap(second, BYTES));
	HMMU_CHECK_INT(live_load(port, p), 2);
	hmmu_port_close(port);
	live_close();
}

BOTH_WAYS(test_partial_second_mapping)

/* Guards are installed up to a hole; only what is behind it stays as it was. */
static void test_partial_guard(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_port *port;
	uint64_t value;

	/* Linux tells nobody of a guard that is installed behind the hooks. */
	if (live_is_late(&live_hooked))
		return;
	live_open();
	port = live_port();
	HMMU_CHECK_OK(munmap(p + 4 * PAGE, PAGE));
	live_take(p, 4 * PAGE);
	live_take(p + 5 * PAGE, BYTES - 5 * PAGE);
	if (!madvise(p, BYTES, MADV_GUARD_INSTALL))
		hmmu_test_fail(__FILE__, __LINE__, "no hole");
	if (errno == EINVAL)
		HMMU_SKIP("MADV_GUARD_INSTALL");
	HMMU_CHECK_INT(errno, ENOMEM);
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p, &value), -EFAULT);
	HMMU_CHECK_OK(madvise(p, 4 * PAGE, MADV_GUARD_REMOVE));
	HMMU_CHECK_INT(live_load(port, p), 0);
	LIVE_CHECK_ZERO(p, 4 * PAGE);
	hmmu_port_close(port);
	live_close();
}

/* What is not guarded is not dropped. */
static void test_partial_guard_refused(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	HMMU_CHECK_OK(live_lock(p, PAGE));
	live_take(p + PAGE, BYTES - PAGE);
	HMMU_CHECK_INT(madvise(p, BYTES, MADV_GUARD_INSTALL), -1);
	HMMU_CHECK_INT(live_device_pages(), PAGES - 1);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* A guard is of the mapping: pages leave beside it, and it stays. */
static void test_partial_guard_stays(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_migrate_result r;
	struct hmmu_port *port;
	uint64_t value;

	if (madvise(p + 4 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL))
		HMMU_SKIP("MADV_GUARD_INSTALL");
	live_open();
	port = live_port();
	r = live_migrate(live_device, p, BYTES);
	HMMU_CHECK_INT(r.pages_moved, PAGES - 2);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PROTECTED], 2);
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p + 4 * PAGE, &value),
		       -EFAULT);
	LIVE_CHECK(p, 4 * PAGE, 1);
	LIVE_CHECK_AT(p + 6 * PAGE, BYTES - 6 * PAGE, 1, 6 * PAGE);
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p + 5 * PAGE, &value),
		       -EFAULT);
	HMMU_CHECK_OK(madvise(p + 4 * PAGE, 2 * PAGE, MADV_GUARD_REMOVE));
	LIVE_CHECK_ZERO(p + 4 * PAGE, 2 * PAGE);
	hmmu_port_close(port);
	live_close();
}

/*
 * A locked mapping that grows is filled before its event is raised: nobody can
 * put a page there by then.
 */
static void test_partial_locked_growth(const struct live_way *way)
{
	char *p = live_map(LARGE + BYTES), *to = live_map(2 * BYTES);

	live_open();
	live_fill(p, LARGE + BYTES, 1);
	/* As long as these are away all of the mapping is armed. */
	live_take(p + LARGE, BYTES);
	HMMU_CHECK_OK(live_lock(p, 4 * PAGE));
	HMMU_CHECK(way->remap(p, 4 * PAGE, 12 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	LIVE_CHECK(to, 4 * PAGE, 1);
	LIVE_CHECK_ZERO(to + 4 * PAGE, 8 * PAGE);
	HMMU_CHECK_OK(live_unlock(to, 12 * PAGE));
	live_take(to, 12 * PAGE);
	LIVE_CHECK(to, 4 * PAGE, 1);
	LIVE_CHECK_ZERO(to + 4 * PAGE, 8 * PAGE);
	LIVE_CHECK_AT(p + LARGE, BYTES, 1, LARGE);
	live_close();
}

BOTH_WAYS(test_partial_locked_growth)

/* Page by page, but no page waits for long. */
static void test_partial_locked_growth_is_soon_filled(void)
{
	char *p = live_map(2 * LARGE), *to = live_map(LARGE);
	uint64_t begun;

	live_open();
	HMMU_CHECK_OK(madvise(to, LARGE, MADV_NOHUGEPAGE));
	HMMU_CHECK_OK(madvise(p, 2 * LARGE, MADV_NOHUGEPAGE));
	live_fill(p, 2 * LARGE, 1);
	live_take(p + LARGE, BYTES);
	HMMU_CHECK_OK(live_lock(p, 4 * PAGE));
	begun = live_now_ns();
	HMMU_CHECK(live_raw.remap(p, 4 * PAGE, LARGE,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	/* Some 30 ms; 16 tries for each page made it 10 s. */
	HMMU_CHECK(live_now_ns() - begun < 2000000000ull);
	LIVE_CHECK(to, 4 * PAGE, 1);
	LIVE_CHECK_ZERO(to + 4 * PAGE, LARGE - 4 * PAGE);
	live_close();
}

HMMU_TEST_MAIN(TEST_BOTH(test_partial_second_mapping),
	       HMMU_TEST(test_partial_guard),
	       HMMU_TEST(test_partial_guard_refused),
	       HMMU_TEST(test_partial_guard_stays),
	       TEST_BOTH(test_partial_locked_growth),
	       HMMU_TEST(test_partial_locked_growth_is_soon_filled))
