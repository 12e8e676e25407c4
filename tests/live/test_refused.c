/* SPDX-License-Identifier: MIT */
/*
 * Changes that the kernel refuses change nothing, on a device either.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include "fixture.h"

enum {
	PAGES = 64,
};

#define BYTES ((size_t)PAGES * PAGE)

static char *region;

static void open_all(void)
{
	/* With room behind it: what else is there may refuse in its own way. */
	region = live_map(2 * LARGE);
	madvise(region, 2 * LARGE, MADV_NOHUGEPAGE);
	live_fill(region, BYTES, 1);
	live_open();
	live_take(region, BYTES);
}

static void close_all(void)
{
	struct hmmu_port *port = live_port();
	size_t at;

	for (at = 0; at < BYTES; at += PAGE)
		HMMU_CHECK(live_load(port, region + at) ==
			   live_word(1, at / 8));
	hmmu_port_close(port);
	LIVE_CHECK(region, BYTES, 1);
	live_close();
}

static void limit_address_space(rlim_t bytes)
{
	const struct rlimit limit = { bytes, RLIM_INFINITY };

	HMMU_CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
}

/* Linux raises an event of it all the same, which takes the pages away. */
static void test_refused_map_over_keeps_all(void)
{
	char *p;

	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	open_all();
	limit_address_space(1);
	p = live_hooked.map(region, 2 * BYTES + LARGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED);
	limit_address_space(RLIM_INFINITY);
	HMMU_CHECK(p == MAP_FAILED);
	HMMU_CHECK_INT(errno, ENOMEM);
	close_all();
}

static void test_refused_arguments_keep_all(const struct live_way *way)
{
	open_all();
	HMMU_CHECK(way->unmap(region + 1, PAGE) < 0);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->unmap(region, 0) < 0);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->unmap(region, SIZE_MAX - PAGE) < 0);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->advise(region + 1, PAGE, MADV_DONTNEED) < 0);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->protect(region + 1, PAGE, PROT_READ) < 0);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->map(region + 1, PAGE, PROT_READ, MAP_FIXED) ==
		   MAP_FAILED);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->remap(region, BYTES, 0, MREMAP_MAYMOVE, NULL) ==
		   MAP_FAILED);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->remap(region, BYTES, BYTES,
			      MREMAP_MAYMOVE | MREMAP_FIXED,
			      region + PAGE) == MAP_FAILED);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK_INT(live_device_pages(), PAGES);
	close_all();
}
BOTH_WAYS(test_refused_arguments_keep_all)

static void test_refused_growth_keeps_all(const struct live_way *way)
{
	open_all();
	limit_address_space(1);
	HMMU_CHECK(way->remap(region, BYTES, 1ul << 30, MREMAP_MAYMOVE, NULL) ==
		   MAP_FAILED);
	HMMU_CHECK_INT(errno, ENOMEM);
	limit_address_space(RLIM_INFINITY);
	HMMU_CHECK_INT(live_device_pages(), PAGES);
	close_all();
}
BOTH_WAYS(test_refused_growth_keeps_all)

HMMU_TEST_MAIN(HMMU_TEST(test_refused_map_over_keeps_all),
	       TEST_BOTH(test_refused_arguments_keep_all),
	       TEST_BOTH(test_refused_growth_keeps_all))
