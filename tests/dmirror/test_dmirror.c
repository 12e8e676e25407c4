/* SPDX-License-Identifier: MIT */
/*
 * The test devices in a program that does not know of HMMU: what each command
 * does and refuses (contract part 2). Preloaded by meson.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "harness.h"

enum {
	PAGES = 8,
	UNITS = 4,
};

static char *region;
static char out[PAGES * PAGE];

static int run_all(int fd, unsigned long request, size_t npages)
{
	struct dmirror_cmd c = command(region, npages, out);
	int err = run(fd, request, &c);

	if (!err && request != DMIRROR_CHECK_EXCLUSIVE &&
	    request != DMIRROR_RELEASE)
		HMMU_CHECK_INT(c.cpages, npages);
	return err;
}

static void snapshot(int fd, size_t npages, unsigned int each)
{
	size_t i;

	HMMU_CHECK_INT(run_all(fd, DMIRROR_SNAPSHOT, npages), 0);
	for (i = 0; i < npages; i++)
		HMMU_CHECK_INT((unsigned char)out[i], each);
}

static void open_region(void)
{
	region = map(PAGES * PAGE);
	madvise(region, PAGES * PAGE, MADV_NOHUGEPAGE);
	fill(region, PAGES, 1);
}

/* Arguments ---------------------------------------------------------------------- */

static void test_dmirror_arguments(void)
{
	static const unsigned long all[] = {
		DMIRROR_READ,
		DMIRROR_WRITE,
		DMIRROR_SNAPSHOT,
		DMIRROR_EXCLUSIVE,
		DMIRROR_CHECK_EXCLUSIVE,
		DMIRROR_RELEASE,
		DMIRROR_FLAGS,
		DMIRROR_READ_UNLOCKED,
		DMIRROR_MIGRATE_TO_DEV,
		DMIRROR_MIGRATE_TO_SYS,
	};
	struct dmirror_cmd c;
	size_t i;
	int fd = open_unit(0);

	open_region();
	for (i = 0; i < sizeof(all) / sizeof(*all); i++) {
		HMMU_CHECK_INT(ioctl(fd, all[i], (void *)1), -1);
		HMMU_CHECK_INT(errno, EFAULT);
		c = command(region + 1, 1, out);
		HMMU_CHECK_INT(run(fd, all[i], &c), -EINVAL);
		c = command(region, 0, out);
		HMMU_CHECK_INT(run(fd, all[i], &c), -EINVAL);
		c = command((void *)-PAGE, 2, out);
		HMMU_CHECK_INT(run(fd, all[i], &c), -EINVAL);
		c = command(region, SIZE_MAX, out);
		HMMU_CHECK_INT(run(fd, all[i], &c), -EINVAL);
	}
	c = command(region, 1, out);
	HMMU_CHECK_INT(run(fd, _IOWR('H', 0x42, struct dmirror_cmd), &c),
		       -EINVAL);
	c = command(region, 1, (void *)1);
	HMMU_CHECK_INT(run(fd, DMIRROR_READ, &c), -EFAULT);
	HMMU_CHECK_INT(run(fd, DMIRROR_WRITE, &c), -EFAULT);
	HMMU_CHECK_INT(run(fd, DMIRROR_SNAPSHOT, &c), -EFAULT);
	HMMU_CHECK_INT(close(fd), 0);
	HMMU_CHECK_INT(open("/dev/hmm_dmirror4", O_RDWR), -1);
	HMMU_CHECK_INT(errno, ENOENT);
	HMMU_CHECK_INT(open("/dev/hmm_dmirror", O_RDWR), -1);
	HMMU_CHECK_INT(errno, ENOENT);
}

/* Reading and writing --------------------------------------------------------------- */

static void test_dmirror_read_e12_faults_the_rest_at_once(void)
{
	struct dmirror_cmd c;
	int fd = open_unit(0);

	open_region();
	c = command(region, PAGES, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_READ, &c), 0);
	HMMU_CHECK_INT(c.cpages, PAGES);
	HMMU_CHECK_INT(c.faults, 1);
	check(out, PAGES, 1);
	/* What is mapped needs no fault. */
	HMMU_CHECK_INT(run(fd, DMIRROR_READ, &c), 0);
	HMMU_CHECK_INT(c.faults, 0);
	HMMU_CHECK_INT(mprotect(region, PAGES * PAGE, PROT_NONE), 0);
	HMMU_CHECK_INT(run(fd, DMIRROR_READ, &c), -EFAULT);
	HMMU_CHECK_INT(munmap(region, PAGES * PAGE), 0);
	HMMU_CHECK_INT(run(fd, DMIRROR_READ, &c), -EFAULT);
	HMMU_CHECK_INT(run(fd, DMIRROR_READ_UNLOCKED, &c), -EFAULT);
	close(fd);
}

static void test_dmirror_write(void)
{
	struct dmirror_cmd c;
	int fd = open_unit(2);

	open_region();
	fill(out, PAGES, 100);
	c = command(region, PAGES, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_WRITE, &c), 0);
	HMMU_CHECK_INT(c.faults, 1);
	check(region, PAGES, 100);
	HMMU_CHECK_INT(mprotect(region, PAGES * PAGE, PROT_READ), 0);
	/* Nothing but a hook tells of that (E6). */
	if (!getenv("HMMU_FORCE_NO_HOOKS"))
		HMMU_CHECK_INT(run(fd, DMIRROR_WRITE, &c), -EPERM);
	close(fd);
}

/* Migration ---------------------------------------------------------------------------- */

static void test_dmirror_migrate(void)
{
	int unit, fd;

	need_move();
	for (unit = 0; unit < UNITS; unit++) {
		fd = open_unit(unit);
		open_region();
		HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
		check(out, PAGES, 1);
		snapshot(fd, PAGES,
			 DMIRROR_PROT_WRITE |
				 (unit < 2 ? DMIRROR_PROT_PRIVATE :
					     DMIRROR_PROT_COHERENT));
		HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_SYS, PAGES), 0);
		snapshot(fd, PAGES, DMIRROR_PROT_WRITE);
		HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
		HMMU_CHECK_INT(run_all(fd, DMIRROR_RELEASE, PAGES), 0);
		snapshot(fd, PAGES, DMIRROR_PROT_WRITE);
		check(region, PAGES, 1);
		close(fd);
	}
}

static void test_dmirror_migrate_refusals(void)
{
	int fd = open_unit(0), other = open_unit(1);
	char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct dmirror_cmd c;

	need_move();
	open_region();
	/* Another device has it. */
	HMMU_CHECK_INT(run_all(other, DMIRROR_MIGRATE_TO_DEV, 1), 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, 2), -ENOENT);
	/* A hole; what comes before it has moved (MV3). */
	HMMU_CHECK_INT(munmap(region + 4 * PAGE, PAGE), 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), -EINVAL);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_SYS, PAGES), -EINVAL);
	HMMU_CHECK_INT(mprotect(region, PAGE, PROT_NONE), 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, 1), -EINVAL);
	shared[0] = 1;
	c = command(shared, 1, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_MIGRATE_TO_DEV, &c), -ENOENT);
	close(fd);
	close(other);
}

/* A zero page and a page that was never there move, too (MV8, MV9). */
static void test_dmirror_migrate_mv8_holes(void)
{
	int fd = open_unit(0);

	need_move();
	region = map(PAGES * PAGE);
	HMMU_CHECK_INT(*(volatile char *)region, 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
	snapshot(fd, PAGES, DMIRROR_PROT_PRIVATE | DMIRROR_PROT_WRITE);
	fill(out, PAGES, 50);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_WRITE, PAGES), 0);
	check(region, PAGES, 50);
	close(fd);
}

static void large_snapshot(int fd, unsigned int each)
{
	struct dmirror_cmd c;
	static unsigned char bytes[LARGE / PAGE];
	size_t i;

	c = command(region, LARGE / PAGE, bytes);
	HMMU_CHECK_INT(run(fd, DMIRROR_SNAPSHOT, &c), 0);
	for (i = 0; i < LARGE / PAGE; i++)
		HMMU_CHECK_INT(bytes[i], each);
}

static void large_migrate(int fd, unsigned long request)
{
	static char buffer[LARGE];
	struct dmirror_cmd c = command(region, LARGE / PAGE, buffer);

	need_move();
	HMMU_CHECK_INT(run(fd, request, &c), 0);
}

static void test_dmirror_mv24_large_page_fails_once(void)
{
	const unsigned int away = DMIRROR_PROT_PRIVATE | DMIRROR_PROT_WRITE;
	int fd = open_unit(0);
	struct dmirror_cmd c;

	region = map_large();
	c = command(region, LARGE / PAGE, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_SNAPSHOT, &c), 0);
	if (out[0] != (DMIRROR_PROT_WRITE | DMIRROR_PROT_PMD))
		HMMU_SKIP("large pages");
	c = command(region, DMIRROR_FLAG_FAIL_ALLOC, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_FLAGS, &c), 0);
	large_migrate(fd, DMIRROR_MIGRATE_TO_DEV);
	large_snapshot(fd, away);
	check(region, LARGE / PAGE, 1);
	close(fd);
}

static void test_dmirror_large_page_stays_large(void)
{
	const unsigned int away = DMIRROR_PROT_PRIVATE | DMIRROR_PROT_WRITE;
	int fd = open_unit(0);
	struct dmirror_cmd c;

	region = map_large();
	c = command(region, LARGE / PAGE, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_SNAPSHOT, &c), 0);
	if (out[0] != (DMIRROR_PROT_WRITE | DMIRROR_PROT_PMD))
		HMMU_SKIP("large pages");
	large_migrate(fd, DMIRROR_MIGRATE_TO_DEV);
	large_snapshot(fd, away | DMIRROR_PROT_PMD);
	large_migrate(fd, DMIRROR_MIGRATE_TO_SYS);
	large_snapshot(fd, DMIRROR_PROT_WRITE | DMIRROR_PROT_PMD);
	large_migrate(fd, DMIRROR_MIGRATE_TO_DEV);
	/* The way home fails once, too. */
	c = command(region, DMIRROR_FLAG_FAIL_ALLOC, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_FLAGS, &c), 0);
	large_migrate(fd, DMIRROR_MIGRATE_TO_SYS);
	large_snapshot(fd, DMIRROR_PROT_WRITE);
	check(region, LARGE / PAGE, 1);
	close(fd);
}

/* Exclusive access ------------------------------------------------------------------------ */

static void test_dmirror_exclusive(void)
{
	int fd = open_unit(1);

	need_move();
	open_region();
	HMMU_CHECK_INT(run_all(fd, DMIRROR_EXCLUSIVE, PAGES), 0);
	check(out, PAGES, 1);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_CHECK_EXCLUSIVE, PAGES), -EPERM);
	/* RF22. */
	snapshot(fd, PAGES, DMIRROR_PROT_NONE);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_CHECK_EXCLUSIVE, PAGES), -EPERM);
	/* One page comes back alone (EX7). */
	HMMU_CHECK_INT(region[0], 1);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_CHECK_EXCLUSIVE, 1), 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_CHECK_EXCLUSIVE, PAGES), -EPERM);
	check(region, PAGES, 1);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_CHECK_EXCLUSIVE, PAGES), 0);
	HMMU_CHECK_INT(mprotect(region, PAGE, PROT_READ), 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_EXCLUSIVE, 1), -EFAULT);
	close(fd);
}

/* A kernel without UFFDIO_MOVE ---------------------------------------------------------- */

/* Private memory and exclusive access are refused, coherent memory works. */
static void test_dmirror_without_move(void)
{
	int fd, coherent;

	HMMU_CHECK_INT(setenv("HMMU_FORCE_NO_MOVE", "1", 1), 0);
	fd = open_unit(0);
	coherent = open_unit(2);
	open_region();
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), -EOPNOTSUPP);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_EXCLUSIVE, PAGES), -EOPNOTSUPP);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_READ, PAGES), 0);
	check(out, PAGES, 1);
	snapshot(fd, PAGES, DMIRROR_PROT_WRITE);
	HMMU_CHECK_INT(run_all(coherent, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
	snapshot(coherent, PAGES, DMIRROR_PROT_COHERENT | DMIRROR_PROT_WRITE);
	check(region, PAGES, 1);
	close(coherent);
	close(fd);
}

/* Files ------------------------------------------------------------------------------------ */

static void test_dmirror_dup_is_the_same_device(void)
{
	int fd = open_unit(0), second = dup(fd);

	need_move();
	open_region();
	HMMU_CHECK(second >= 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
	HMMU_CHECK_INT(close(fd), 0);
	snapshot(second, PAGES, DMIRROR_PROT_PRIVATE | DMIRROR_PROT_WRITE);
	HMMU_CHECK_INT(close(second), 0);
	check(region, PAGES, 1);
	HMMU_CHECK_INT(ioctl(second, DMIRROR_READ, NULL), -1);
	HMMU_CHECK_INT(errno, EBADF);
}

static void child_of_fork(int fd)
{
	int own;

	check(region, PAGES, 1);
	/* The parent's address space is not to be reached (E15). */
	HMMU_CHECK_INT(run_all(fd, DMIRROR_READ, PAGES), -ECHILD);
	own = open_unit(0);
	HMMU_CHECK_INT(run_all(own, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
	fill(out, PAGES, 70);
	HMMU_CHECK_INT(run_all(own, DMIRROR_WRITE, PAGES), 0);
	check(region, PAGES, 70);
	HMMU_CHECK_INT(close(own), 0);
	HMMU_CHECK_INT(close(fd), 0);
}

static void test_dmirror_fork(void)
{
	int fd = open_unit(0), status;
	pid_t child;

	need_move();
	open_region();
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, PAGES), 0);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		child_of_fork(fd);
		_exit(0);
	}
	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	HMMU_CHECK_INT(status, 0);
	check(region, PAGES, 1);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_READ, PAGES), 0);
	check(out, PAGES, 1);
	close(fd);
}

/* Pins --------------------------------------------------------------------------------------- */

static int gup(int fd, unsigned long request, void *addr, unsigned int flags)
{
	struct gup_cmd g = { .addr = (uintptr_t)addr,
			     .size = PAGE,
			     .nr_pages_per_call = 1,
			     .gup_flags = GUP_WRITE | flags };

	return ioctl(fd, request, &g) ? -errno : 0;
}

static void test_dmirror_dc3_long_pin_brings_home(void)
{
	int fd = open_unit(2),
	    pins = open("/sys/kernel/debug/gup_test", O_RDWR);

	HMMU_CHECK(pins >= 0);
	open_region();
	HMMU_CHECK_INT(run_all(fd, DMIRROR_MIGRATE_TO_DEV, 2), 0);
	/* DC4: for a short time it may stay. */
	HMMU_CHECK_INT(gup(pins, GUP_BASIC, region, 0), 0);
	HMMU_CHECK_INT(gup(pins, GUP_PIN_LONG, region + PAGE, 0), 0);
	HMMU_CHECK_INT(run_all(fd, DMIRROR_SNAPSHOT, 2), 0);
	HMMU_CHECK_INT((unsigned char)out[0],
		       DMIRROR_PROT_COHERENT | DMIRROR_PROT_WRITE);
	HMMU_CHECK_INT((unsigned char)out[1], DMIRROR_PROT_WRITE);
	HMMU_CHECK_INT(munmap(region, PAGE), 0);
	HMMU_CHECK_INT(gup(pins, GUP_BASIC, region, 0), -EFAULT);
	HMMU_CHECK_INT(gup(pins, GUP_PIN_LONG, region, 0), -EFAULT);
	close(pins);
	close(fd);
}

HMMU_TEST_MAIN(HMMU_TEST(test_dmirror_arguments),
	       HMMU_TEST(test_dmirror_read_e12_faults_the_rest_at_once),
	       HMMU_TEST(test_dmirror_write), HMMU_TEST(test_dmirror_migrate),
	       HMMU_TEST(test_dmirror_migrate_refusals),
	       HMMU_TEST(test_dmirror_migrate_mv8_holes),
	       HMMU_TEST(test_dmirror_mv24_large_page_fails_once),
	       HMMU_TEST(test_dmirror_large_page_stays_large),
	       HMMU_TEST(test_dmirror_exclusive),
	       HMMU_TEST(test_dmirror_without_move),
	       HMMU_TEST(test_dmirror_dup_is_the_same_device),
	       HMMU_TEST(test_dmirror_fork),
	       HMMU_TEST(test_dmirror_dc3_long_pin_brings_home))
