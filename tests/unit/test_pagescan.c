/* SPDX-License-Identifier: MIT */
/*
 * What the page tables hold: each case runs by PAGEMAP_SCAN, where the kernel
 * has it, and by the records of pagemap.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "live/pagescan.h"
#include "live/probe.h"
#include "uapi/linux_mm.h"

#define PAGE	  HMMU_PAGE_BYTES
#define PRESENT	  HMMU__PAGE_PRESENT
#define ALL_FLAGS 0x7fu
#define RUNS	  64u

/* Index 0 uses what the kernel can do best, 1 always the records. */
static struct hmmu__pagescan_source sources[2];

static int open_sources(void **state)
{
	(void)state;
	assert_int_equal(hmmu__pagescan_open(&sources[0], false), 0);
	assert_int_equal(hmmu__pagescan_open(&sources[1], true), 0);
	assert_false(sources[1].have_scan);
	return 0;
}

static int close_sources(void **state)
{
	(void)state;
	hmmu__pagescan_close(&sources[0]);
	hmmu__pagescan_close(&sources[1]);
	return 0;
}

/* Untouched memory of small pages. */
static char *map_small(size_t pages)
{
	char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	/* EINVAL: a kernel without large pages. */
	(void)madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
	return memory;
}

static void touch(char *memory, size_t page)
{
	*(volatile char *)(memory + page * PAGE) = 1;
}

static void unmap(char *memory, size_t pages)
{
	assert_int_equal(munmap(memory, pages * PAGE), 0);
}

/* All runs of @pages pages, with nothing left over. */
static size_t scanned(const struct hmmu__pagescan_source *src,
		      const char *memory, size_t pages, uint32_t want,
		      struct hmmu__page_run runs[RUNS])
{
	uintptr_t start = (uintptr_t)memory;
	uintptr_t end = start + pages * PAGE;
	uintptr_t next = 0;
	size_t count = 0;

	assert_int_equal(hmmu__pagescan(src, start, end, want, runs, RUNS,
					&count, &next),
			 0);
	assert_true(next == end);
	return count;
}

/* A run of @pages pages from page @first of @memory. */
static void assert_run(const struct hmmu__page_run *run, const char *memory,
		       size_t first, size_t pages, uint32_t flags)
{
	assert_true(run->start == (uintptr_t)memory + first * PAGE);
	assert_true(run->end == run->start + pages * PAGE);
	assert_int_equal(run->flags, flags);
}

static void test_pagescan_reports_touched_pages_only(void **state)
{
	char *memory = map_small(16);
	struct hmmu__page_run runs[RUNS];

	(void)state;
	for (int way = 0; way < 2; way++)
		assert_int_equal(
			scanned(&sources[way], memory, 16, PRESENT, runs), 0);
	touch(memory, 0);
	touch(memory, 5);
	touch(memory, 6);
	touch(memory, 15);
	for (int way = 0; way < 2; way++) {
		assert_int_equal(
			scanned(&sources[way], memory, 16, PRESENT, runs), 3);
		assert_run(&runs[0], memory, 0, 1, PRESENT);
		assert_run(&runs[1], memory, 5, 2, PRESENT);
		assert_run(&runs[2], memory, 15, 1, PRESENT);
		/* PRESENT is asked for whether one says so or not. */
		assert_int_equal(scanned(&sources[way], memory + 6 * PAGE, 1, 0,
					 runs),
				 1);
		assert_run(&runs[0], memory, 6, 1, PRESENT);
	}
	unmap(memory, 16);
}

static void test_pagescan_goes_over_holes_of_the_mapping(void **state)
{
	char *memory = map_small(6);
	struct hmmu__page_run runs[RUNS];

	(void)state;
	for (size_t page = 0; page < 6; page++)
		touch(memory, page);
	unmap(memory + 2 * PAGE, 2);
	for (int way = 0; way < 2; way++) {
		assert_int_equal(
			scanned(&sources[way], memory, 6, PRESENT, runs), 2);
		assert_run(&runs[0], memory, 0, 2, PRESENT);
		assert_run(&runs[1], memory, 4, 2, PRESENT);
	}
	unmap(memory, 2);
	unmap(memory + 4 * PAGE, 2);
}

/* Every second page, with room for too few runs: going on finds the rest. */
static void test_pagescan_goes_on_where_room_ended(void **state)
{
	enum {
		PAGES = 600,
		ROOM = 7
	};
	char *memory = map_small(PAGES);
	uintptr_t end = (uintptr_t)memory + PAGES * PAGE;
	struct hmmu__page_run runs[ROOM + 1];

	(void)state;
	for (size_t page = 0; page < PAGES; page += 2)
		touch(memory, page);
	for (int way = 0; way < 2; way++) {
		uintptr_t at = (uintptr_t)memory;
		size_t page = 0;

		while (at < end) {
			size_t count = 0;

			memset(&runs[ROOM], 0x5a, sizeof(runs[ROOM]));
			assert_int_equal(hmmu__pagescan(&sources[way], at, end,
							PRESENT, runs, ROOM,
							&count, &at),
					 0);
			assert_true(count <= ROOM);
			assert_true(runs[ROOM].start == 0x5a5a5a5a5a5a5a5a);
			for (size_t i = 0; i < count; i++, page += 2)
				assert_run(&runs[i], memory, page, 1, PRESENT);
		}
		assert_true(at == end);
		assert_int_equal(page, PAGES);
	}
	unmap(memory, PAGES);
}

/* A run longer than the records that are read at a time is still one. */
static void test_pagescan_long_run_is_one(void **state)
{
	enum {
		PAGES = 700
	};
	char *memory = map_small(PAGES);
	struct hmmu__page_run runs[RUNS];

	(void)state;
	for (size_t page = 3; page < PAGES; page++)
		touch(memory, page);
	for (int way = 0; way < 2; way++) {
		assert_int_equal(scanned(&sources[way], memory, PAGES, PRESENT,
					 runs),
				 1);
		assert_run(&runs[0], memory, 3, PAGES - 3, PRESENT);
	}
	unmap(memory, PAGES);
}

static void test_pagescan_tells_file_from_anonymous(void **state)
{
	int fd = memfd_create("pagescan", MFD_CLOEXEC);
	struct hmmu__page_run runs[RUNS];
	char *memory;

	(void)state;
	assert_true(fd >= 0 && ftruncate(fd, 4 * PAGE) == 0);
	memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
		      0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	for (size_t page = 0; page < 4; page++)
		(void)*(volatile char *)(memory + page * PAGE);
	touch(memory, 2);
	for (int way = 0; way < 2; way++) {
		assert_int_equal(scanned(&sources[way], memory, 4,
					 HMMU__PAGE_FILE, runs),
				 3);
		assert_run(&runs[0], memory, 0, 2, PRESENT | HMMU__PAGE_FILE);
		assert_run(&runs[1], memory, 2, 1, PRESENT);
		assert_run(&runs[2], memory, 3, 1, PRESENT | HMMU__PAGE_FILE);
		/* Not asked for, not told, and then it is one run. */
		assert_int_equal(
			scanned(&sources[way], memory, 4, PRESENT, runs), 1);
		assert_run(&runs[0], memory, 0, 4, PRESENT);
	}
	unmap(memory, 4);
	close(fd);
}

static void test_pagescan_tells_the_zero_page(void **state)
{
	char *memory = map_small(2);
	struct hmmu__page_run runs[RUNS];

	(void)state;
	(void)*(volatile char *)memory;
	touch(memory, 1);
	assert_int_equal(scanned(&sources[1], memory, 2, HMMU__PAGE_ZERO, runs),
			 1);
	assert_run(&runs[0], memory, 0, 2, PRESENT);
	if (!sources[0].have_scan)
		skip();
	assert_int_equal(scanned(&sources[0], memory, 2, HMMU__PAGE_ZERO, runs),
			 2);
	assert_run(&runs[0], memory, 0, 1, PRESENT | HMMU__PAGE_ZERO);
	assert_run(&runs[1], memory, 1, 1, PRESENT);
	unmap(memory, 2);
}

/* 2 MiB of memory that the kernel agreed to make one large page, or NULL. */
static char *map_large(char **ret_whole)
{
	char *whole = map_small(2 * HMMU_PAGES_PER_LARGE);
	char *large = whole + (-(uintptr_t)whole & (HMMU_LARGE_BYTES - 1));

	*ret_whole = whole;
	(void)madvise(large, HMMU_LARGE_BYTES, MADV_HUGEPAGE);
	memset(large, 1, HMMU_LARGE_BYTES);
	return madvise(large, HMMU_LARGE_BYTES, MADV_COLLAPSE) ? NULL : large;
}

static void test_pagescan_tells_large_pages(void **state)
{
	struct hmmu__page_run runs[RUNS];
	char *whole, *large;

	(void)state;
	if (!sources[0].have_scan)
		skip();
	large = map_large(&whole);
	if (!large) {
		unmap(whole, 2 * HMMU_PAGES_PER_LARGE);
		skip();
	}
	assert_int_equal(scanned(&sources[0], large, HMMU_PAGES_PER_LARGE,
				 HMMU__PAGE_HUGE, runs),
			 1);
	assert_run(&runs[0], large, 0, HMMU_PAGES_PER_LARGE,
		   PRESENT | HMMU__PAGE_HUGE);
	/* Mapped by small entries it is small. */
	assert_int_equal(mprotect(large, PAGE, PROT_READ), 0);
	assert_int_equal(scanned(&sources[0], large, HMMU_PAGES_PER_LARGE,
				 HMMU__PAGE_HUGE, runs),
			 1);
	assert_run(&runs[0], large, 0, HMMU_PAGES_PER_LARGE, PRESENT);
	unmap(whole, 2 * HMMU_PAGES_PER_LARGE);
}

static void test_pagescan_tells_guards(void **state)
{
	char *memory = map_small(4);
	struct hmmu__page_run runs[RUNS];
	const uint32_t want = HMMU__PAGE_GUARD | HMMU__PAGE_SWAPPED;

	(void)state;
	for (size_t page = 0; page < 4; page++)
		touch(memory, page);
	if (madvise(memory + PAGE, PAGE, MADV_GUARD_INSTALL)) {
		unmap(memory, 4);
		skip();
	}
	for (int way = 0; way < 2; way++) {
		if (way == 0 && !sources[0].have_guard)
			continue;
		assert_int_equal(scanned(&sources[way], memory, 4, want, runs),
				 3);
		assert_run(&runs[0], memory, 0, 1, PRESENT);
		assert_run(&runs[1], memory, 1, 1, HMMU__PAGE_GUARD);
		assert_run(&runs[2], memory, 2, 2, PRESENT);
		/* Neither asked for: it is absent. */
		assert_int_equal(
			scanned(&sources[way], memory, 4, PRESENT, runs), 2);
		/* Write protection is not invented for it. */
		assert_int_equal(scanned(&sources[way], memory + PAGE, 1,
					 ALL_FLAGS, runs),
				 1);
		assert_run(&runs[0], memory, 1, 1, HMMU__PAGE_GUARD);
		assert_int_equal(scanned(&sources[way], memory + PAGE, 1,
					 HMMU__PAGE_SWAPPED, runs),
				 1);
		assert_run(&runs[0], memory, 1, 1, HMMU__PAGE_SWAPPED);
	}
	unmap(memory, 4);
}

/* Registers @pages pages with @uffd for write protection. */
static bool watch(int uffd, char *memory, size_t pages)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)memory, pages * PAGE },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return hmmu__sys_ioctl(uffd, UFFDIO_REGISTER, &reg) == 0;
}

static void protect(int uffd, char *memory, size_t pages)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)memory, pages * PAGE },
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};

	assert_int_equal(hmmu__sys_ioctl(uffd, UFFDIO_WRITEPROTECT, &wp), 0);
}

static void test_pagescan_tells_write_protection(void **state)
{
	char *memory = map_small(4);
	struct hmmu__page_run runs[RUNS];
	struct hmmu__platform platform;

	(void)state;
	assert_int_equal(hmmu__platform_open(&platform), 0);
	if (platform.uffd < 0 || !watch(platform.uffd, memory, 4)) {
		hmmu__platform_close(&platform);
		unmap(memory, 4);
		skip();
	}
	for (size_t page = 0; page < 3; page++)
		touch(memory, page);
	protect(platform.uffd, memory + PAGE, 1);
	for (int way = 0; way < 2; way++) {
		assert_int_equal(scanned(&sources[way], memory, 4,
					 HMMU__PAGE_WP, runs),
				 3);
		assert_run(&runs[0], memory, 0, 1, PRESENT);
		assert_run(&runs[1], memory, 1, 1, PRESENT | HMMU__PAGE_WP);
		assert_run(&runs[2], memory, 2, 1, PRESENT);
		assert_int_equal(
			scanned(&sources[way], memory, 4, PRESENT, runs), 1);
	}
	/* Closed, it sends no event that the unmapping would wait for. */
	hmmu__platform_close(&platform);
	unmap(memory, 4);
}

/* --- pagemap's bit 56 ----------------------------------------------------- */

static struct hmmu_bitmap512 exclusive(const char *memory, size_t pages)
{
	struct hmmu_bitmap512 map[2];

	for (int way = 0; way < 2; way++) {
		hmmu__bitmap_fill(&map[way]);
		assert_int_equal(hmmu__pagemap_exclusive(&sources[way],
							 (uintptr_t)memory,
							 pages, &map[way]),
				 0);
	}
	assert_true(hmmu__bitmap_is_equal(&map[0], &map[1]));
	return map[0];
}

static void test_pagemap_exclusive_marks_present_pages(void **state)
{
	char *memory = map_small(512);
	struct hmmu_bitmap512 map;

	(void)state;
	map = exclusive(memory, 512);
	assert_true(hmmu__bitmap_is_empty(&map));
	touch(memory, 0);
	touch(memory, 129);
	touch(memory, 511);
	map = exclusive(memory, 512);
	assert_int_equal(hmmu__bitmap_count(&map), 3);
	assert_true(hmmu__bitmap_test(&map, 0));
	assert_true(hmmu__bitmap_test(&map, 129));
	assert_true(hmmu__bitmap_test(&map, 511));
	/* Not beyond what was asked. */
	map = exclusive(memory + 120 * PAGE, 9);
	assert_true(hmmu__bitmap_is_empty(&map));
	map = exclusive(memory + 120 * PAGE, 10);
	assert_int_equal(hmmu__bitmap_count(&map), 1);
	assert_true(hmmu__bitmap_test(&map, 9));
	map = exclusive(memory, 0);
	assert_true(hmmu__bitmap_is_empty(&map));
	unmap(memory, 512);
}

/* The child lives until @go is closed. */
static pid_t fork_and_wait_in_child(int go[2])
{
	pid_t child;
	char byte;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		close(go[1]);
		_exit(read(go[0], &byte, 1) ? 1 : 0);
	}
	assert_true(child > 0);
	close(go[0]);
	return child;
}

static void test_pagemap_shared_with_a_child_is_not_exclusive(void **state)
{
	char *memory = map_small(2);
	struct hmmu_bitmap512 map;
	int status = -1;
	pid_t child;
	int go[2];

	(void)state;
	touch(memory, 0);
	touch(memory, 1);
	child = fork_and_wait_in_child(go);
	map = exclusive(memory, 2);
	assert_true(hmmu__bitmap_is_empty(&map));
	/* Writing breaks the sharing of the one page. */
	touch(memory, 1);
	map = exclusive(memory, 2);
	assert_false(hmmu__bitmap_test(&map, 0));
	assert_true(hmmu__bitmap_test(&map, 1));
	close(go[1]);
	assert_true(waitpid(child, &status, 0) == child && status == 0);
	unmap(memory, 2);
}

static void test_pagescan_file_is_closed_on_exec(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++)
		assert_int_equal(fcntl(sources[way].fd, F_GETFD), FD_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pagescan_reports_touched_pages_only),
		cmocka_unit_test(test_pagescan_goes_over_holes_of_the_mapping),
		cmocka_unit_test(test_pagescan_goes_on_where_room_ended),
		cmocka_unit_test(test_pagescan_long_run_is_one),
		cmocka_unit_test(test_pagescan_tells_file_from_anonymous),
		cmocka_unit_test(test_pagescan_tells_the_zero_page),
		cmocka_unit_test(test_pagescan_tells_large_pages),
		cmocka_unit_test(test_pagescan_tells_guards),
		cmocka_unit_test(test_pagescan_tells_write_protection),
		cmocka_unit_test(test_pagemap_exclusive_marks_present_pages),
		cmocka_unit_test(
			test_pagemap_shared_with_a_child_is_not_exclusive),
		cmocka_unit_test(test_pagescan_file_is_closed_on_exec),
	};

	return cmocka_run_group_tests(tests, open_sources, close_sources);
}
