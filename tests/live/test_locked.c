/* SPDX-License-Identifier: MIT */
/*
 * A program that locks all its memory, and so a device's memory too, which is
 * HMMU's: what is moved is whole, and what has gone is not seen again.
 */
#include <sys/mman.h>

#include "fixture.h"

enum {
	PAGES = 16,
	DEVICE_BLOCKS = 4,
	ROUNDS = 3,
};

#define BYTES ((size_t)PAGES * PAGE)

/* A sanitizer's does nothing, as it would lock its shadow, too. */
static void lock_all(int flags)
{
	if (mlockall(flags))
		HMMU_SKIP("mlockall");
}

/* HMMU reserves more addresses than RLIMIT_MEMLOCK lets an ordinary user lock. */
static void need_room(void)
{
	void *p = mmap(NULL, 2ul << 30, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		HMMU_SKIP("an unlimited RLIMIT_MEMLOCK");
	HMMU_CHECK_OK(munmap(p, 2ul << 30));
}

/* Programs that lock what they map later: the device's memory among it. */
static void open_locked(void)
{
	lock_all(MCL_FUTURE);
	need_room();
	live_open_bytes(DEVICE_BLOCKS * LARGE);
}

/* Programs that lock what is mapped, but for @p, which may leave. */
static void open_then_lock(void *p, size_t bytes)
{
	live_open_bytes(DEVICE_BLOCKS * LARGE);
	lock_all(MCL_CURRENT);
	HMMU_CHECK_OK(live_unlock(p, bytes));
}

/* For 200 ms what is discarded behind the hooks does not migrate. */
static void empty(char *p, size_t bytes)
{
	HMMU_CHECK_OK(madvise(p, bytes, MADV_DONTNEED));
	if (live_is_late(&live_hooked))
		live_sleep_ms(250);
}

/* Holes that the device now has: zeroes, whatever its memory held before. */
static void check_holes(char *p, size_t bytes)
{
	struct hmmu_port *port = live_port();
	size_t at;

	live_take(p, bytes);
	for (at = 0; at < bytes; at += PAGE)
		HMMU_CHECK_INT(live_load(port, p + at), 0);
	LIVE_CHECK_ZERO(p, bytes);
	hmmu_port_close(port);
}

/* Filled, on the device, home; then dropped there. */
static void use(char *p, size_t bytes)
{
	unsigned int round;

	for (round = 1; round <= ROUNDS; round++) {
		live_fill(p, bytes, round);
		live_take(p, bytes);
		LIVE_CHECK(p, bytes, round);
		live_take(p, bytes);
		empty(p, bytes);
		LIVE_CHECK_AFTER(&live_hooked, !live_memory_stats().used_pages);
		check_holes(p, bytes);
		empty(p, bytes);
	}
	HMMU_CHECK_INT(live_memory_stats().used_pages, 0);
}

static void test_locked_future_small(void)
{
	char *p = live_map_small(PAGES, 1);

	open_locked();
	use(p, BYTES);
	live_close();
}

static void test_locked_future_large(void)
{
	char *p = live_map_large(2, 1);

	open_locked();
	use(p, 2 * LARGE);
	live_close();
}

static void test_locked_current_small(void)
{
	char *p = live_map_small(PAGES, 1);

	open_then_lock(p, BYTES);
	use(p, BYTES);
	live_close();
}

static void test_locked_current_large(void)
{
	char *p = live_map_large(2, 1);

	open_then_lock(p, 2 * LARGE);
	use(p, 2 * LARGE);
	live_close();
}

/* What is on the device then comes home, and is as locked as the rest (DP13). */
static void test_locked_while_away(void)
{
	char *p = live_map_small(PAGES, 1);
	char *other = live_map_small(PAGES, 2);
	struct hmmu_migrate_result r;

	live_open_bytes(DEVICE_BLOCKS * LARGE);
	live_take(p, BYTES);
	live_take(other, BYTES);
	lock_all(MCL_CURRENT);
	LIVE_CHECK(p, BYTES, 1);
	LIVE_CHECK(other, BYTES, 2);
	if (!LIVE_SANITIZED) {
		r = live_migrate(live_device, p, BYTES);
		HMMU_CHECK_INT(r.stayed[HMMU_STAY_LOCKED], PAGES);
	}
	HMMU_CHECK_OK(live_unlock(p, BYTES));
	use(p, BYTES);
	live_close();
	LIVE_CHECK(other, BYTES, 2);
}

/* The device's memory alone is locked while it holds pages. */
static void test_locked_around_a_part(void)
{
	char *p = live_map_small(PAGES, 1);
	size_t part = 5 * PAGE;

	open_then_lock(p, BYTES);
	live_take(p, BYTES);
	empty(p, part);
	HMMU_CHECK_OK(munmap(p + BYTES - part, part));
	LIVE_CHECK_AFTER(&live_hooked,
			 live_memory_stats().used_pages == PAGES - 10);
	check_holes(p, part);
	LIVE_CHECK_AT(p + part, BYTES - 2 * part, 1, part);
	live_close();
}

static void test_locked_exclusive(void)
{
	char *p = live_map_small(PAGES, 1);
	size_t done;

	open_then_lock(p, BYTES);
	HMMU_CHECK_OK(live_make_exclusive(live_device, p, BYTES, &done));
	HMMU_CHECK_INT(done, BYTES);
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK_OK(live_make_exclusive(live_device, p, BYTES, &done));
	empty(p, BYTES);
	LIVE_CHECK_ZERO(p, BYTES);
	live_close();
}

static struct {
	char *p;
	_Atomic unsigned int stop;
} migrated;

static void *migrates(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&migrated.stop, memory_order_acquire))
		(void)live_migrate(live_device, migrated.p, BYTES);
	return NULL;
}

/* Not the C library's: a sanitizer's does nothing. */
static int lock(const void *p, size_t bytes)
{
	return (int)syscall(SYS_mlock, p, bytes);
}

static bool is_locked(const char *p)
{
	return msync((void *)(uintptr_t)p, PAGE, MS_INVALIDATE) &&
	       errno == EBUSY;
}

/* Locked, or not, within @ns. */
static bool is_soon(const char *p, bool locked, uint64_t ns)
{
	uint64_t end = live_now_ns() + ns;

	do {
		if (is_locked(p) == locked)
			return true;
	} while (live_now_ns() < end);
	return false;
}

#define SOON_NS 1000000000ull

/* @fn with locked and unlocked memory, for a second, while it migrates. */
static void while_it_migrates(void (*fn)(char *p))
{
	uint64_t end = live_now_ns() + 1000000000ull;
	pthread_t thread;

	migrated.p = live_map_small(PAGES, 1);
	live_open_bytes(DEVICE_BLOCKS * LARGE);
	if (!live_serves_kernel())
		HMMU_SKIP("a userfaultfd that serves the kernel");
	live_fill(migrated.p, BYTES, 1);
	thread = live_thread(migrates, NULL);
	while (live_now_ns() < end) {
		LIVE_CHECK(migrated.p, BYTES, 1);
		HMMU_CHECK_OK(lock(migrated.p, BYTES));
		fn(migrated.p);
		HMMU_CHECK_OK(live_unlock(migrated.p, BYTES));
	}
	atomic_store_explicit(&migrated.stop, 1, memory_order_release);
	live_join(thread);
	LIVE_CHECK(migrated.p, BYTES, 1);
	live_close();
}

static void stays_locked(char *p)
{
	HMMU_CHECK(is_soon(p, true, SOON_NS));
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK(is_soon(p, true, SOON_NS));
}

/*
 * What the program locks while it migrates is locked; where the kernel can not
 * move pages, after a moment.
 */
static void test_locked_while_it_migrates(void)
{
	while_it_migrates(stays_locked);
}

/*
 * What a copy has unlocked is locked again, by a call that looks at the pages
 * when it has let go of the mapping:
 *
 *      program                             migration
 *                                          mlock2(ONFAULT): locked
 *      munlock()
 *                                            touches the pages, for they are
 *                                            not on fault any more
 *
 * Forbidden: it waits there for the service, which waits for it.
 */
static void unlock_at_once(char *p)
{
	if (is_soon(p, false, 50000))
		HMMU_CHECK(is_soon(p, true, SOON_NS));
}

static void test_locked_no_longer_while_it_migrates(void)
{
	while_it_migrates(unlock_at_once);
}

HMMU_TEST_MAIN(HMMU_TEST(test_locked_future_small),
	       HMMU_TEST(test_locked_future_large),
	       HMMU_TEST(test_locked_current_small),
	       HMMU_TEST(test_locked_current_large),
	       HMMU_TEST(test_locked_while_away),
	       HMMU_TEST(test_locked_around_a_part),
	       HMMU_TEST(test_locked_exclusive),
	       HMMU_TEST(test_locked_while_it_migrates),
	       HMMU_TEST(test_locked_no_longer_while_it_migrates))
