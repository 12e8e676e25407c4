/* SPDX-License-Identifier: MIT */
/*
 * Pages come home: on a touch by the program, by the kernel in a system call,
 * on demand, and when the device goes. What is read is the page's content.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include "fixture.h"

static int home(const void *p, size_t bytes, struct hmmu_migrate_result *r)
{
	return hmmu_migrate_to_system(live_space, (uintptr_t)p, bytes, r);
}

static void test_home_dp1_read_touch(void)
{
	uint64_t *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK(*(volatile uint64_t *)&p[10 * 512 + 3] ==
		   live_word(1, 10 * 512 + 3));
	LIVE_CHECK_SOON(live_stats().cpu_faults == 1);
	HMMU_CHECK_INT(live_present(p + 10 * 512, PAGE), 1);
	LIVE_CHECK(p, 64 * PAGE, 1);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	live_close();
}

static void test_home_dp1_write_touch(void)
{
	volatile uint64_t *p = live_map_small(64, 1);

	live_open();
	live_take((void *)p, 64 * PAGE);
	p[20 * 512] = 99;
	HMMU_CHECK_INT(p[20 * 512], 99);
	p[20 * 512] = live_word(1, 20 * 512);
	LIVE_CHECK((void *)p, 64 * PAGE, 1);
	live_close();
}

static void test_home_dp4_large_page_stays_large(void)
{
	char *p = live_map_large(2, 1);

	live_need_move();
	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	live_open();
	live_take(p, 2 * LARGE);
	*(volatile char *)(p + 7 * PAGE) = p[7 * PAGE];
	HMMU_CHECK_INT(live_huge(p, LARGE), PER_LARGE);
	LIVE_CHECK_SOON(live_device_pages() == PER_LARGE);
	LIVE_CHECK_SOON(live_stats().large_home == 1);
	LIVE_CHECK(p, 2 * LARGE, 1);
	LIVE_CHECK_SOON(live_stats().cpu_faults == 2);
	live_close();
}

static void test_home_device_writes_are_seen(void)
{
	char *p = live_map_small(16, 1);
	struct hmmu_port *port;
	size_t i;

	live_open();
	port = live_port();
	live_take(p, 16 * PAGE);
	for (i = 0; i < 16 * PAGE / 8; i++)
		live_store(port, p + 8 * i, live_word(2, i));
	LIVE_CHECK_SOON(live_device_pages() == 16);
	LIVE_CHECK(p, 16 * PAGE, 2);
	hmmu_port_close(port);
	live_close();
}

/* Never-written memory of a mapping that is partly on the device. */
static void test_home_holes_read_zero(void)
{
	char *p = live_map(4 * LARGE);
	volatile char *hole = p + 2 * LARGE;

	live_open();
	madvise(p, 4 * LARGE, MADV_HUGEPAGE);
	live_fill(p, LARGE, 1);
	live_take(p, LARGE);
	HMMU_CHECK_INT(hole[5 * PAGE], 0);
	hole[9 * PAGE] = 3;
	HMMU_CHECK_INT(hole[9 * PAGE], 3);
	hole[9 * PAGE] = 0;
	LIVE_CHECK_ZERO(p + LARGE, 3 * LARGE);
	LIVE_CHECK_SOON(live_device_pages() == PER_LARGE);
	LIVE_CHECK(p, LARGE, 1);
	/* An ordinary user's holes are filled before. */
	if (live_serves_kernel())
		HMMU_CHECK(live_stats().hole_faults >= 1);
	live_close();
}

static int make_file(void)
{
	int file = memfd_create("test", MFD_CLOEXEC);

	HMMU_CHECK(file >= 0);
	return file;
}

/* The kernel reads and writes memory that is away: behind the hooks (test_io.c). */
static ssize_t raw_write(int file, const char *p)
{
	return syscall(SYS_pwrite64, file, p, 32 * PAGE, 0l);
}

static ssize_t raw_read(int file, char *p)
{
	return syscall(SYS_pread64, file, p, 32 * PAGE, 0l);
}

static void test_home_kernel_touch(void)
{
	char *p = live_map_small(32, 1), *q = live_map_small(32, 2);
	ssize_t bytes = 32 * (ssize_t)PAGE;
	int file = make_file();

	live_open();
	live_take(p, 32 * PAGE);
	live_take(q, 32 * PAGE);
	if (live_serves_kernel()) {
		HMMU_CHECK_INT(raw_write(file, p), bytes);
		HMMU_CHECK_INT(raw_read(file, q), bytes);
	} else {
		/* Documented: an ordinary user brings it home before. */
		errno = 0;
		HMMU_CHECK(raw_write(file, p) < bytes);
		HMMU_CHECK_INT(errno, EFAULT);
		HMMU_CHECK_OK(home(p, 32 * PAGE, NULL));
		HMMU_CHECK_OK(home(q, 32 * PAGE, NULL));
		HMMU_CHECK_INT(raw_write(file, p), bytes);
		HMMU_CHECK_INT(raw_read(file, q), bytes);
	}
	LIVE_CHECK(p, 32 * PAGE, 1);
	LIVE_CHECK(q, 32 * PAGE, 1);
	live_close();
}

static void test_home_process_vm_readv(void)
{
	char *p = live_map_small(8, 1), *q = live_map_small(8, 2);
	struct iovec from = { p, 8 * PAGE }, to = { q, 8 * PAGE };
	ssize_t got;

	live_open();
	live_take(p, 8 * PAGE);
	got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	if (got < 0 && errno != EFAULT)
		HMMU_SKIP("process_vm_readv");
	if (live_serves_kernel())
		HMMU_CHECK_INT(got, 8 * PAGE);
	else
		HMMU_CHECK(got < (ssize_t)(8 * PAGE));
	LIVE_CHECK(p, 8 * PAGE, 1);
	if (live_serves_kernel())
		LIVE_CHECK(q, 8 * PAGE, 1);
	live_close();
}

/* DP13: what touches the pages brings them home; they are locked there. */
static void test_home_mlock_and_populate(void)
{
	char *p = live_map_small(8, 1);

	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	live_open();
	live_take(p, 8 * PAGE);
	HMMU_CHECK_OK(madvise(p, 4 * PAGE, MADV_POPULATE_READ));
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_take(p, 8 * PAGE);
	HMMU_CHECK_OK(madvise(p, 8 * PAGE, MADV_POPULATE_WRITE));
	LIVE_CHECK_SOON(live_device_pages() == 0);
	live_take(p, 8 * PAGE);
	HMMU_CHECK_OK(live_lock(p, 8 * PAGE));
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 8);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static _Atomic unsigned int start_all;

static void *check_all(void *arg)
{
	while (!atomic_load_explicit(&start_all, memory_order_acquire))
		;
	LIVE_CHECK(arg, LARGE, 1);
	return NULL;
}

/* DP2: a second toucher waits and sees the same. */
static void check_many_touchers(void *p)
{
	pthread_t threads[8];
	size_t i;
	int round;

	for (round = 0; round < 10; round++) {
		atomic_store_explicit(&start_all, 0, memory_order_release);
		live_take(p, LARGE);
		for (i = 0; i < 8; i++)
			threads[i] = live_thread(check_all, p);
		atomic_store_explicit(&start_all, 1, memory_order_release);
		for (i = 0; i < 8; i++)
			live_join(threads[i]);
	}
}

static void test_home_dp2_many_touchers_small(void)
{
	void *p = live_map_small(PER_LARGE, 1);

	live_open();
	check_many_touchers(p);
	live_close();
}

static void test_home_dp2_many_touchers_large(void)
{
	void *p = live_map_large(1, 1);

	live_open();
	check_many_touchers(p);
	live_close();
}

static void test_home_on_demand(void)
{
	char *p = live_map_small(64, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK_OK(home(p + 8 * PAGE, 8 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 8);
	HMMU_CHECK_INT(r.pages_stayed, 0);
	HMMU_CHECK_INT(live_present(p, 64 * PAGE), 8);
	HMMU_CHECK_INT(live_present(p + 8 * PAGE, 8 * PAGE), 8);
	LIVE_CHECK_SOON(live_device_pages() == 56);
	HMMU_CHECK_OK(home(p, 64 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 56);
	HMMU_CHECK_OK(home(p, 64 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 0);
	LIVE_CHECK_SOON(live_stats().cpu_faults == 0);
	LIVE_CHECK(p, 64 * PAGE, 1);
	live_close();
}

static void test_home_part_of_a_large_page(void)
{
	char *p = live_map_large(1, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_open();
	live_take(p, LARGE);
	HMMU_CHECK_OK(home(p + 100 * PAGE, 3 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 3);
	LIVE_CHECK_SOON(live_device_pages() == PER_LARGE - 3);
	LIVE_CHECK(p, LARGE, 1);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	live_close();
}

/* The whole address space is a range as any. */
static void test_home_of_everything(void)
{
	char *p = live_map_small(64, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, 0, 1ul << 47, &r));
	HMMU_CHECK_INT(r.pages_moved, 64);
	LIVE_CHECK(p, 64 * PAGE, 1);
	live_close();
}

static void test_home_mv32_evict(void)
{
	char *p = live_map_small(64, 1), *q = live_map_large(1, 2);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_open();
	live_take(p, 64 * PAGE);
	live_take(q, LARGE);
	HMMU_CHECK_OK(hmmu_migrate_evict(live_device, &r));
	HMMU_CHECK_INT(r.pages_moved, 64 + PER_LARGE);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	HMMU_CHECK_INT(live_present(p, 64 * PAGE), 64);
	HMMU_CHECK(!live_is_armed(p) && !live_is_armed(q));
	LIVE_CHECK(p, 64 * PAGE, 1);
	LIVE_CHECK(q, LARGE, 2);
	HMMU_CHECK_OK(hmmu_migrate_evict(live_device, NULL));
	live_close();
}

static void test_home_when_the_device_goes(void)
{
	char *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK_OK(hmmu_device_destroy(live_device));
	LIVE_CHECK_SOON(live_device_pages() == 0);
	HMMU_CHECK_INT(live_present(p, 64 * PAGE), 64);
	HMMU_CHECK_OK(hmmu_memory_destroy(live_memory));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	LIVE_CHECK(p, 64 * PAGE, 1);
}

static void test_home_device_with_ports_stays(void)
{
	struct hmmu_port *port;
	char *p = live_map_small(4, 1);

	live_open();
	port = live_port();
	live_take(p, 4 * PAGE);
	HMMU_CHECK_INT(hmmu_device_destroy(live_device), -EBUSY);
	LIVE_CHECK_SOON(live_device_pages() == 4);
	hmmu_port_close(port);
	live_close();
	LIVE_CHECK(p, 4 * PAGE, 1);
}

/* Brought home while the mapping may not be written, or not even read. */
static void check_home_protected(int prot)
{
	char *p = live_map_small(16, 1);

	live_take(p, 16 * PAGE);
	HMMU_CHECK_OK(mprotect(p, 16 * PAGE, prot));
	HMMU_CHECK_OK(home(p, 16 * PAGE, NULL));
	LIVE_CHECK_SOON(live_device_pages() == 0);
	HMMU_CHECK_OK(mprotect(p, 16 * PAGE, PROT_READ));
	LIVE_CHECK(p, 16 * PAGE, 1);
}

static void test_home_into_protected_memory(void)
{
	live_open();
	check_home_protected(PROT_READ);
	check_home_protected(PROT_NONE);
	live_close();
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
	(void)number;
	alarms = alarms + 1;
}

/* Signals during the wait for a page change nothing. */
static void test_home_signals_do_not_disturb(void)
{
	char *p = live_map_small(256, 1);
	struct sigaction action = { .sa_handler = on_alarm };
	timer_t timer;
	struct itimerspec often = { .it_interval = { .tv_nsec = 200000 },
				    .it_value = { .tv_nsec = 200000 } };
	int i;

	live_open();
	HMMU_CHECK_OK(sigaction(SIGALRM, &action, NULL));
	HMMU_CHECK_OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
	HMMU_CHECK_OK(timer_settime(timer, 0, &often, NULL));
	for (i = 0; i < 100 || (alarms < 20 && i < 5000); i++) {
		live_take(p, 256 * PAGE);
		LIVE_CHECK(p, 256 * PAGE, 1);
	}
	HMMU_CHECK_OK(timer_delete(timer));
	HMMU_CHECK(alarms > 0);
	live_close();
}

/* The block comes with the page, and the places are free again (DP5, DP7). */
static void test_home_dp5_the_block_comes_too(void)
{
	char *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK(*(volatile uint64_t *)(p + 7 * PAGE) ==
		   live_word(1, 7 * PAGE / 8));
	LIVE_CHECK_SOON(live_present(p, 64 * PAGE) == 64 ||
			(uintptr_t)p / LARGE !=
				((uintptr_t)p + 63 * PAGE) / LARGE);
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)p,
					     64 * PAGE, NULL));
	HMMU_CHECK_INT(live_memory_stats().used_pages, 0);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_home_dp5_the_block_comes_too),
	       HMMU_TEST(test_home_dp1_read_touch),
	       HMMU_TEST(test_home_dp1_write_touch),
	       HMMU_TEST(test_home_dp4_large_page_stays_large),
	       HMMU_TEST(test_home_device_writes_are_seen),
	       HMMU_TEST(test_home_holes_read_zero),
	       HMMU_TEST(test_home_kernel_touch),
	       HMMU_TEST(test_home_process_vm_readv),
	       HMMU_TEST(test_home_mlock_and_populate),
	       HMMU_TEST(test_home_dp2_many_touchers_small),
	       HMMU_TEST(test_home_dp2_many_touchers_large),
	       HMMU_TEST(test_home_on_demand),
	       HMMU_TEST(test_home_part_of_a_large_page),
	       HMMU_TEST(test_home_of_everything),
	       HMMU_TEST(test_home_mv32_evict),
	       HMMU_TEST(test_home_when_the_device_goes),
	       HMMU_TEST(test_home_device_with_ports_stays),
	       HMMU_TEST(test_home_into_protected_memory),
	       HMMU_TEST(test_home_signals_do_not_disturb))
