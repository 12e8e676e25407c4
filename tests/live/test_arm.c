/* SPDX-License-Identifier: MIT */
/*
 * What is armed is what was looked at. A mapping that nobody is told of may be
 * replaced between the two, raw:
 *
 *      migration                           program
 *      looks up V: private, anonymous
 *                                          mmap(over V): a private file
 *      arms V
 *                                          reads it
 *
 * Forbidden: zeroes where the file has content; a file that stays armed.
 */
#include <sys/mman.h>

#include "base/thread.h"
#include "core/space.h"
#include "fixture.h"
#include "live/state.h"
#include "live/uffd.h"

enum {
	PAGES = 64
};

#define BYTES ((size_t)PAGES * PAGE)

static struct hmmu_vma_info seen;
static enum hmmu_stay why;

static int of_space(int (*call)(struct hmmu_mm *mm))
{
	struct hmmu_thread *self = hmmu__enter();
	int err;

	HMMU_CHECK(self);
	err = call(live_space->mm);
	hmmu__leave(self);
	return err;
}

static int look(struct hmmu_mm *mm)
{
	return hmmu__mm_vma_at(mm, seen.start, &seen);
}

static int arm(struct hmmu_mm *mm)
{
	return mm->ops->arm(mm, &seen, &why);
}

static int watch(struct hmmu_mm *mm)
{
	return mm->ops->watch(mm, &seen);
}

static char *looked_at(void)
{
	char *p = live_map(BYTES);

	live_open();
	seen.start = (uintptr_t)p;
	HMMU_CHECK_OK(of_space(look));
	HMMU_CHECK_INT(seen.start, (uintptr_t)p);
	HMMU_CHECK_INT(seen.end, (uintptr_t)p + BYTES);
	return p;
}

static int file_of(uint64_t seed)
{
	int fd = memfd_create("test_arm", MFD_CLOEXEC);
	char *p;

	HMMU_CHECK(fd >= 0);
	HMMU_CHECK_OK(ftruncate(fd, (off_t)BYTES));
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	HMMU_CHECK(p != MAP_FAILED);
	live_fill(p, BYTES, seed);
	munmap(p, BYTES);
	return fd;
}

static void replace(char *p, size_t bytes, int flags, int fd)
{
	HMMU_CHECK((char *)syscall(SYS_mmap, p, bytes, PROT_READ | PROT_WRITE,
				   flags | MAP_FIXED, fd, 0L) == p);
	if (fd >= 0)
		close(fd);
}

static void test_arm_part_is_a_file(void)
{
	char *p = looked_at();
	char *part = p + BYTES / 4;

	replace(part, BYTES / 2, MAP_PRIVATE, file_of(3));
	HMMU_CHECK_INT(of_space(arm), -EAGAIN);
	HMMU_CHECK(!live_is_armed(part));
	LIVE_CHECK(part, BYTES / 2, 3);
	live_fill(p, BYTES / 4, 1);
	(void)live_migrate(live_device, p, BYTES);
	LIVE_CHECK(part, BYTES / 2, 3);
	LIVE_CHECK(p, BYTES / 4, 1);
	live_close();
}

static void test_arm_all_is_a_file(void)
{
	char *p = looked_at();

	replace(p, BYTES, MAP_PRIVATE, file_of(3));
	HMMU_CHECK_INT(of_space(arm), -EAGAIN);
	HMMU_CHECK(!live_is_armed(p));
	LIVE_CHECK(p, BYTES, 3);
	live_close();
}

/* A hole of the file: nobody serves it, if it were armed. */
static void test_arm_hole_of_a_file(void)
{
	char *p = looked_at();
	int fd = memfd_create("test_arm", MFD_CLOEXEC);

	HMMU_CHECK(fd >= 0);
	HMMU_CHECK_OK(ftruncate(fd, (off_t)BYTES));
	replace(p, BYTES, MAP_SHARED, fd);
	HMMU_CHECK_INT(of_space(arm), -EAGAIN);
	HMMU_CHECK(!live_is_armed(p));
	LIVE_CHECK_ZERO(p, BYTES);
	live_close();
}

/* The same kind again is as good as what was looked at. */
static void test_arm_replaced_by_its_like(void)
{
	char *p = looked_at();

	replace(p + PAGE, PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		-1);
	HMMU_CHECK_OK(of_space(arm));
	HMMU_CHECK(live_is_armed(p) && live_is_armed(p + PAGE));
	LIVE_CHECK_ZERO(p, BYTES);
	live_close();
}

static void test_arm_protected_meanwhile(void)
{
	char *p = looked_at();

	HMMU_CHECK_INT(syscall(SYS_mprotect, p, BYTES, PROT_READ), 0);
	HMMU_CHECK_INT(of_space(arm), -EAGAIN);
	LIVE_CHECK_ZERO(p, BYTES);
	live_close();
}

/*
 * A device that reads a file beside armed memory, in the place of a part of it:
 * the record of the whole is no reason to arm the file.
 */
static void test_arm_watched_beside_armed(void)
{
	char *p = looked_at();
	char *part = p + BYTES / 4;

	HMMU_CHECK_OK(of_space(arm));
	replace(part, BYTES / 2, MAP_PRIVATE, file_of(3));
	seen.start = (uintptr_t)part;
	HMMU_CHECK_OK(of_space(look));
	HMMU_CHECK(of_space(watch) >= 0);
	HMMU_CHECK(!live_is_armed(part));
	LIVE_CHECK(part, BYTES / 2, 3);
	live_close();
}

static int arm_behind(struct hmmu_mm *mm)
{
	return hmmu__uffd_register(hmmu__live(mm), seen.start, seen.end,
				   UFFDIO_REGISTER_MODE_MISSING);
}

/* However it came to be armed: who touches it does not fault for ever. */
static void test_arm_hole_that_nobody_fills(void)
{
	char *p = looked_at();
	int fd = memfd_create("test_arm", MFD_CLOEXEC);

	HMMU_CHECK(fd >= 0);
	HMMU_CHECK_OK(ftruncate(fd, (off_t)BYTES));
	replace(p, BYTES, MAP_SHARED, fd);
	HMMU_CHECK_OK(of_space(arm_behind));
	HMMU_CHECK(live_is_armed(p));
	HMMU_CHECK_INT(p[PAGE], 0);
	HMMU_CHECK(!live_is_armed(p));
	HMMU_CHECK(!live_is_armed(p + BYTES - PAGE));
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_arm_part_is_a_file),
	       HMMU_TEST(test_arm_all_is_a_file),
	       HMMU_TEST(test_arm_hole_of_a_file),
	       HMMU_TEST(test_arm_replaced_by_its_like),
	       HMMU_TEST(test_arm_protected_meanwhile),
	       HMMU_TEST(test_arm_watched_beside_armed),
	       HMMU_TEST(test_arm_hole_that_nobody_fills))
