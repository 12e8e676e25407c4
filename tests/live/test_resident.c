/* SPDX-License-Identifier: MIT */
/*
 * Memory made present for a system call: an ordinary user's userfaultfd does
 * not serve the kernel.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)

static int resident(const void *p, size_t bytes)
{
	return hmmu_populate(live_space, (uintptr_t)p, bytes);
}

/* Through a pipe of its own, as the kernel copies: behind the hooks (test_io.c). */
static ssize_t through_the_kernel(char *p, size_t bytes)
{
	int pipes[2];
	ssize_t n;

	HMMU_CHECK_INT(pipe(pipes), 0);
	n = syscall(SYS_write, pipes[1], p, bytes);
	if (n > 0)
		n = syscall(SYS_read, pipes[0], p, (size_t)n);
	close(pipes[0]);
	close(pipes[1]);
	return n;
}

static void test_resident_serves_the_kernel(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	live_take(p, BYTES);
	if (!live_serves_kernel()) {
		HMMU_CHECK_INT(through_the_kernel(p, BYTES), -1);
		HMMU_CHECK_INT(errno, EFAULT);
	}
	HMMU_CHECK_OK(resident(p, BYTES));
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	HMMU_CHECK_INT(through_the_kernel(p, BYTES), BYTES);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* A hole beside what is on the device. */
static void test_resident_fills_holes(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	live_take(p, BYTES / 2);
	HMMU_CHECK_OK(live_raw.advise(p + BYTES / 2, BYTES / 2, MADV_DONTNEED));
	HMMU_CHECK_OK(resident(p + BYTES / 2, BYTES / 2));
	HMMU_CHECK_INT(live_present(p + BYTES / 2, BYTES / 2), PAGES / 2);
	HMMU_CHECK_INT(through_the_kernel(p + BYTES / 2, BYTES / 2), BYTES / 2);
	LIVE_CHECK_ZERO(p + BYTES / 2, BYTES / 2);
	HMMU_CHECK_INT(live_device_pages(), PAGES / 2);
	LIVE_CHECK(p, BYTES / 2, 1);
	live_close();
}

static void test_resident_refusals(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	live_take(p, BYTES);
	HMMU_CHECK_INT(resident(p, 0), -EINVAL);
	HMMU_CHECK_INT(resident(p + 1, 0), -EINVAL);
	HMMU_CHECK_INT(hmmu_populate(NULL, (uintptr_t)p, PAGE), -EINVAL);
	HMMU_CHECK_OK(munmap(p + PAGE, PAGE));
	HMMU_CHECK_INT(resident(p, 3 * PAGE), -EFAULT);
	HMMU_CHECK_INT(live_present(p, PAGE), 1);
	HMMU_CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_OK(resident(p + 2 * PAGE, PAGE));
	HMMU_CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	HMMU_CHECK_INT(resident(p + 2 * PAGE, PAGE), -EFAULT);
	LIVE_CHECK_AT(p + 3 * PAGE, BYTES - 3 * PAGE, 1, 3 * PAGE);
	live_close();
}

/* A private mapping goes on showing the file. */
static void test_resident_copies_no_file(void)
{
	int fd = memfd_create("test_resident", MFD_CLOEXEC);
	char *shared, *p;

	HMMU_CHECK(fd >= 0);
	HMMU_CHECK_OK(ftruncate(fd, (off_t)BYTES));
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	HMMU_CHECK(shared != MAP_FAILED && p != MAP_FAILED);
	live_fill(shared, BYTES, 1);
	live_open();
	HMMU_CHECK_OK(resident(p, BYTES));
	LIVE_CHECK(p, BYTES, 1);
	live_fill(shared, BYTES, 2);
	LIVE_CHECK(p, BYTES, 2);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_resident_serves_the_kernel),
	       HMMU_TEST(test_resident_fills_holes),
	       HMMU_TEST(test_resident_copies_no_file),
	       HMMU_TEST(test_resident_refusals))
