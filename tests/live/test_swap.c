/* SPDX-License-Identifier: MIT */
/*
 * Pages in swap: of the program, and of a device's memory.
 */
#include <sys/mman.h>
#include <sys/syscall.h>

#include <hmmu/exclusive.h>

#include "swap.h"

enum {
	PAGES = 8,
};

#define BYTES ((size_t)PAGES * PAGE)

static char *p;
static struct hmmu_port *port;

/* In swap before a space is opened. */
static void open_swapped(size_t bytes)
{
	live_need_swap();
	p = live_map_small(PAGES, 1);
	live_swap_out(p, bytes);
	live_open();
	port = live_port();
}

static void close_all(void)
{
	hmmu_port_close(port);
	live_close();
	LIVE_CHECK(p, BYTES, 1);
}

static void check_device_reads(size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += PAGE)
		HMMU_CHECK(live_load(port, p + at) == live_word(1, at / 8));
}

static void test_swap_rf18_absent_until_it_is_faulted(void)
{
	uint64_t entries[PAGES];
	size_t i;

	open_swapped(BYTES / 2);
	live_look(live_device, p, PAGES, 0, entries);
	for (i = 0; i < PAGES; i++)
		HMMU_CHECK(i < PAGES / 2 ? !entries[i] :
					   entries[i] & HMMU_ENTRY_VALID);
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES / 2);
	live_look(live_device, p, PAGES, HMMU_ENTRY_REQ_FAULT, entries);
	for (i = 0; i < PAGES; i++)
		HMMU_CHECK(entries[i] & HMMU_ENTRY_VALID);
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	close_all();
}

/* It is not read in to be moved. */
static void test_swap_mv10_moves_as_it_is(void)
{
	size_t before;

	open_swapped(BYTES);
	before = live_swapped();
	HMMU_CHECK(before >= PAGES);
	live_take(p, BYTES);
	HMMU_CHECK_INT(live_swapped(), before);
	check_device_reads(BYTES / 2);
	HMMU_CHECK_INT(live_device_pages(), PAGES);
	LIVE_CHECK(p, BYTES, 1);
	close_all();
}

static void test_swap_mv10_large_page(void)
{
	live_need_swap();
	p = live_map_large(1, 1);
	live_swap_out(p, LARGE);
	live_open();
	port = live_port();
	live_take(p, LARGE);
	check_device_reads(LARGE);
	LIVE_CHECK(p, LARGE, 1);
	close_all();
}

static void test_swap_exclusive(void)
{
	open_swapped(BYTES);
	HMMU_CHECK_OK(live_make_exclusive(live_device, p, BYTES, NULL));
	check_device_reads(BYTES);
	HMMU_CHECK(live_is_exclusive(live_device, p));
	close_all();
}

/* What has gone leaves nothing behind, there either. */
static void test_swap_dp14_dropped(void)
{
	size_t before;

	open_swapped(BYTES);
	before = live_swapped();
	live_take(p, BYTES);
	HMMU_CHECK_OK(madvise(p, BYTES / 2, MADV_DONTNEED));
	LIVE_CHECK_ZERO(p, BYTES / 2);
	HMMU_CHECK_OK(munmap(p, BYTES));
	LIVE_CHECK_SOON(!live_used_pages(live_memory));
	HMMU_CHECK(live_swapped() + PAGES <= before);
	hmmu_port_close(port);
	live_close();
}

/* Where the device has the page at @va. */
static void *host_of(const char *va)
{
	void *host;
	size_t run;

	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)va, PAGE,
				     HMMU_ACCESS_READ, &host, &run));
	hmmu_port_end(port);
	return host;
}

/* As reclaim does it: the device's memory is memory of the process. */
static void swap_device_out(void)
{
	size_t at;
	void *host;

	for (at = 0; at < BYTES; at += PAGE) {
		host = host_of(p + at);
		HMMU_CHECK(host != p + at);
		HMMU_CHECK_OK(syscall(SYS_madvise, host, PAGE, MADV_PAGEOUT));
		if (live_present(host, PAGE))
			HMMU_SKIP("swap");
	}
}

static void open_device_swapped(void)
{
	live_need_swap();
	p = live_map_small(PAGES, 1);
	live_open();
	port = live_port();
	live_take(p, BYTES);
	swap_device_out();
}

static void test_swap_device_memory_is_read_in(void)
{
	open_device_swapped();
	check_device_reads(BYTES / 2);
	HMMU_CHECK_INT(live_device_pages(), PAGES);
	close_all();
}

static void test_swap_device_memory_comes_home(void)
{
	open_device_swapped();
	LIVE_CHECK(p, BYTES / 2, 1);
	HMMU_CHECK_OK(hmmu_migrate_evict(live_device, NULL));
	HMMU_CHECK_INT(live_device_pages(), 0);
	LIVE_CHECK(p, BYTES, 1);
	close_all();
}

static void test_swap_device_memory_of_a_readonly_mapping(void)
{
	open_device_swapped();
	HMMU_CHECK_OK(mprotect(p, BYTES, PROT_READ));
	LIVE_CHECK(p, BYTES, 1);
	close_all();
}

static void test_swap_fk1_fork(void)
{
	pid_t child;

	open_device_swapped();
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		LIVE_CHECK(p, BYTES, 1);
		_exit(0);
	}
	live_fill(p, BYTES / 2, 2);
	live_child_ok(child);
	LIVE_CHECK(p, BYTES / 2, 2);
	live_fill(p, BYTES / 2, 1);
	close_all();
}

HMMU_TEST_MAIN(HMMU_TEST(test_swap_rf18_absent_until_it_is_faulted),
	       HMMU_TEST(test_swap_mv10_moves_as_it_is),
	       HMMU_TEST(test_swap_mv10_large_page),
	       HMMU_TEST(test_swap_exclusive),
	       HMMU_TEST(test_swap_dp14_dropped),
	       HMMU_TEST(test_swap_device_memory_is_read_in),
	       HMMU_TEST(test_swap_device_memory_comes_home),
	       HMMU_TEST(test_swap_device_memory_of_a_readonly_mapping),
	       HMMU_TEST(test_swap_fk1_fork))
