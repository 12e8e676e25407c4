/* SPDX-License-Identifier: MIT */
/*
 * What kernels after 6.1 ask of their test devices: large pages that move both
 * ways, with an allocation that fails and without; ranges that were never
 * touched; memory that is unmapped in part, moved or freed while it is away;
 * pagemap's view of it; and memory that the program's own userfaultfd serves.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"
#include "harness.h"

#define SWAPPED	 (1ull << 62)
#define PRESENT	 (1ull << 63)

#define QUARTER	 (LARGE / 4)
#define MAX_SIZE (4 * LARGE)

/* One with private memory, one with coherent memory. */
static const int kinds[] = { 0, 2 };

static char out[MAX_SIZE];

/* All of @npages must have moved: so many are counted, however large they are. */
static void move(int fd, unsigned long request, char *p, size_t npages)
{
	struct dmirror_cmd c = command(p, npages, out);

	need_move();
	HMMU_CHECK_INT(run(fd, request, &c), 0);
	HMMU_CHECK_INT(c.cpages, npages);
}

static void fail_next_large(int fd, char *p)
{
	struct dmirror_cmd c = command(p, DMIRROR_FLAG_FAIL_ALLOC, out);

	HMMU_CHECK_INT(run(fd, DMIRROR_FLAGS, &c), 0);
}

static char *aligned(char *p)
{
	return p + -(uintptr_t)p % LARGE;
}

/* Two large pages' room, of which the first whole one is @*block. */
static char *room(char **block, int prot, int advice)
{
	char *p =
		mmap(NULL, 2 * LARGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	HMMU_CHECK(p != MAP_FAILED);
	*block = aligned(p);
	HMMU_CHECK_INT(madvise(*block, LARGE, advice), 0);
	return p;
}

static void check_zero(const char *p)
{
	size_t i;

	for (i = 0; i < LARGE; i += 512)
		HMMU_CHECK_INT(p[i], 0);
}

/* Both ways ------------------------------------------------------------------------- */

static void there_and_back(int fd, size_t bytes, int advice)
{
	char *p = map(bytes);
	int round;

	HMMU_CHECK_INT(madvise(p, bytes, advice), 0);
	fill(p, bytes / PAGE, 3);
	for (round = 0; round < 3; round++) {
		memset(out, 0, bytes);
		move(fd, DMIRROR_MIGRATE_TO_DEV, p, bytes / PAGE);
		check(out, bytes / PAGE, 3);
		move(fd, DMIRROR_MIGRATE_TO_SYS, p, bytes / PAGE);
	}
	check(p, bytes / PAGE, 3);
	HMMU_CHECK_INT(munmap(p, bytes), 0);
}

static void test_later_each_size_moves_both_ways(void)
{
	size_t kind, bytes;
	int fd;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		for (bytes = QUARTER; bytes <= MAX_SIZE; bytes *= 2) {
			there_and_back(fd, bytes, MADV_HUGEPAGE);
			there_and_back(fd, bytes, MADV_NOHUGEPAGE);
		}
		close(fd);
	}
}

/* One page of it comes home by a touch, the others when they are told. */
static void test_later_failed_allocation_loses_no_page(void)
{
	size_t kind;
	char *p;
	int fd;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		p = map_large();
		fail_next_large(fd, p);
		move(fd, DMIRROR_MIGRATE_TO_DEV, p, PER_LARGE);
		check(out, PER_LARGE, 1);
		HMMU_CHECK_INT(p[2 * PAGE], 3);
		move(fd, DMIRROR_MIGRATE_TO_DEV, p, PER_LARGE);
		fail_next_large(fd, p);
		move(fd, DMIRROR_MIGRATE_TO_SYS, p, PER_LARGE);
		check(p, PER_LARGE, 1);
		close(fd);
	}
}

/* Never written ---------------------------------------------------------------------- */

static void move_unwritten(int fd, int prot, bool touch, bool fail)
{
	char *block, *p = room(&block, prot, MADV_HUGEPAGE);

	if (touch)
		HMMU_CHECK_INT(*(volatile char *)block, 0);
	if (fail)
		fail_next_large(fd, block);
	memset(out, 1, LARGE);
	move(fd, DMIRROR_MIGRATE_TO_DEV, block, PER_LARGE);
	check_zero(out);
	check_zero(block);
	HMMU_CHECK_INT(munmap(p, 2 * LARGE), 0);
}

/* MV8: holes; MV9: the zero page. Each also where nothing may be written. */
static void test_later_mv8_mv9_empty_range_moves(void)
{
	size_t kind;
	int fd, how;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		for (how = 0; how < 8; how++)
			move_unwritten(fd,
				       PROT_READ | (how & 1 ? PROT_WRITE : 0),
				       how & 2, how & 4);
		close(fd);
	}
}

/* Changed while it is away ------------------------------------------------------------ */

/* Of each page the content may be lost, as MADV_FREE has it; nothing else. */
static void test_later_freed_while_away(void)
{
	size_t kind, i;
	char *p;
	int fd;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		p = map_large();
		move(fd, DMIRROR_MIGRATE_TO_DEV, p, PER_LARGE);
		HMMU_CHECK_INT(madvise(p, LARGE, MADV_FREE), 0);
		for (i = 0; i < PER_LARGE; i++)
			if (p[i * PAGE])
				HMMU_CHECK_INT(p[i * PAGE], 1 + (int)(i % 100));
		HMMU_CHECK_INT(munmap(p, LARGE), 0);
		close(fd);
	}
}

static void unmap_half(int fd, size_t offset, int advice)
{
	size_t at = offset / PAGE, half = PER_LARGE / 2, i;
	char *block, *p = room(&block, PROT_READ | PROT_WRITE, advice);
	struct dmirror_cmd c;

	fill(block, PER_LARGE, 1);
	move(fd, DMIRROR_MIGRATE_TO_DEV, block, PER_LARGE);
	HMMU_CHECK_INT(munmap(block + offset, LARGE / 2), 0);
	c = command(block, PER_LARGE, out);
	HMMU_CHECK_INT(run(fd, DMIRROR_READ, &c), -EFAULT);
	for (i = 0; i < PER_LARGE; i++)
		if (i - at >= half)
			HMMU_CHECK_INT(block[i * PAGE], 1 + (int)(i % 100));
	HMMU_CHECK_INT(munmap(p, 2 * LARGE), 0);
}

/* DP14: what is unmapped is dropped, what is beside it stays. */
static void test_later_dp14_unmapped_in_part(void)
{
	size_t kind, offset;
	int fd;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		for (offset = 0; offset <= LARGE / 2; offset += QUARTER) {
			unmap_half(fd, offset, MADV_HUGEPAGE);
			unmap_half(fd, offset, MADV_NOHUGEPAGE);
		}
		close(fd);
	}
}

static char *move_mapping(char *from, char *to, int flags)
{
	flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
	HMMU_CHECK(mremap(from, LARGE, LARGE, flags, to) == to);
	if (flags & MREMAP_DONTUNMAP)
		check_zero(from);
	return to;
}

static void remap(int fd, size_t offset, int flags, int advice, bool before)
{
	char *p = map(8 * LARGE), *from = aligned(p);
	char *to = from + LARGE + offset, *block = from;

	HMMU_CHECK_INT(madvise(from, LARGE, advice), 0);
	HMMU_CHECK_INT(munmap(from + LARGE, 2 * LARGE), 0);
	fill(from, PER_LARGE, 1);
	if (before)
		block = move_mapping(from, to, flags);
	move(fd, DMIRROR_MIGRATE_TO_DEV, block, PER_LARGE);
	check(out, PER_LARGE, 1);
	if (!before)
		block = move_mapping(from, to, flags);
	/* The device finds it at the new address, as the CPU does. */
	memset(out, 0, LARGE);
	move(fd, DMIRROR_READ, block, PER_LARGE);
	check(out, PER_LARGE, 1);
	check(block, PER_LARGE, 1);
	HMMU_CHECK_INT(munmap(p, 8 * LARGE), 0);
}

/* DP15: it follows its mapping, to an address that is no large page's, too. */
static void test_later_dp15_moved(void)
{
	size_t kind, offset;
	int fd, how;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		for (how = 0; how < 8; how++)
			for (offset = 0; offset <= LARGE / 2; offset += QUARTER)
				remap(fd, offset,
				      how & 1 ? MREMAP_DONTUNMAP : 0,
				      how & 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE,
				      how & 4);
		close(fd);
	}
}

static void child_writes(int unit, char *p)
{
	struct dmirror_cmd c = command(p, PER_LARGE, out);
	int fd = open_unit(unit);

	check(p, PER_LARGE, 1);
	fill(out, PER_LARGE, 20);
	HMMU_CHECK_INT(run(fd, DMIRROR_WRITE, &c), 0);
	HMMU_CHECK_INT(c.cpages, PER_LARGE);
	HMMU_CHECK_INT(c.faults, 1);
	check(p, PER_LARGE, 20);
	close(fd);
	_exit(0);
}

/* FK5: the child's device writes to the child's copy. */
static void test_later_fk5_large_page_is_copied(void)
{
	int fd, status;
	size_t kind;
	pid_t child;
	char *p;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		p = map_large();
		move(fd, DMIRROR_MIGRATE_TO_DEV, p, PER_LARGE);
		child = fork();
		HMMU_CHECK(child >= 0);
		if (!child)
			child_writes(kinds[kind], p);
		HMMU_CHECK_INT(waitpid(child, &status, 0), child);
		HMMU_CHECK_INT(status, 0);
		check(p, PER_LARGE, 1);
		close(fd);
	}
}

/* pagemap ------------------------------------------------------------------------------- */

static int pagemap;

static uint64_t record(int fd, const char *p)
{
	off_t at = (off_t)((uintptr_t)p / PAGE * sizeof(uint64_t));
	uint64_t one, other;

	HMMU_CHECK_INT(pread(fd, &one, sizeof(one), at), sizeof(one));
	HMMU_CHECK_INT(lseek(fd, at, SEEK_SET), at);
	HMMU_CHECK_INT(read(fd, &other, sizeof(other)), sizeof(other));
	HMMU_CHECK(one == other);
	return one & (SWAPPED | PRESENT);
}

static void open_pagemap(void)
{
	pagemap = open("/proc/self/pagemap", O_RDONLY);
	HMMU_CHECK(pagemap >= 0);
}

/* DP12: swapped, not present; DC1: coherent memory is present. */
static void test_later_dp12_pagemap_says_swapped(void)
{
	int fds[3] = { open_unit(0), open_unit(1), open_unit(2) }, copy, i;
	char *p = map(4 * PAGE);

	open_pagemap();
	copy = dup(pagemap);
	HMMU_CHECK(copy >= 0);
	HMMU_CHECK_INT(madvise(p, 4 * PAGE, MADV_NOHUGEPAGE), 0);
	fill(p, 4, 1);
	for (i = 0; i < 3; i++)
		move(fds[i], DMIRROR_MIGRATE_TO_DEV, p + (size_t)i * PAGE, 1);
	HMMU_CHECK(record(pagemap, p) == SWAPPED);
	HMMU_CHECK(record(copy, p + PAGE) == SWAPPED);
	HMMU_CHECK(record(pagemap, p + 2 * PAGE) == PRESENT);
	HMMU_CHECK(record(pagemap, p + 3 * PAGE) == PRESENT);
	check(p, 4, 1);
	HMMU_CHECK(record(pagemap, p) == PRESENT);
	HMMU_CHECK(record(copy, p + PAGE) == PRESENT);
	/* What is gone is neither. */
	move(fds[0], DMIRROR_MIGRATE_TO_DEV, p, 1);
	HMMU_CHECK_INT(munmap(p, PAGE), 0);
	HMMU_CHECK(record(pagemap, p) == 0);
}

/* A buffer that takes many records at once, and is away itself. */
static void test_later_dp12_many_records(void)
{
	int fd = open_unit(0);
	char *p = map_large();
	uint64_t *records = (void *)map(PAGE);
	size_t i;

	open_pagemap();
	HMMU_CHECK_INT(madvise(records, PAGE, MADV_NOHUGEPAGE), 0);
	memset(records, 1, PAGE);
	move(fd, DMIRROR_MIGRATE_TO_DEV, p, PER_LARGE);
	move(fd, DMIRROR_MIGRATE_TO_DEV, (char *)records, 1);
	/* The last three are of what is behind: never touched. */
	HMMU_CHECK(madvise(p + LARGE - 3 * PAGE, 3 * PAGE, MADV_DONTNEED) == 0);
	if (pread(pagemap, records, PAGE,
		  (off_t)((uintptr_t)p / PAGE * sizeof(*records))) < 0)
		/* An ordinary user's system calls do not bring it home. */
		HMMU_SKIP("a userfaultfd that serves the kernel");
	for (i = 0; i < PER_LARGE; i++)
		HMMU_CHECK((records[i] & (SWAPPED | PRESENT)) ==
			   (i < PER_LARGE - 3 ? SWAPPED : 0));
}

/* The program's own userfaultfd -------------------------------------------------------- */

static int uffd;

/* Every page that it is asked for is filled with 0xab. */
static void *serve(void *arg)
{
	static char page[PAGE];
	struct uffdio_copy copy = { .src = (uintptr_t)page, .len = PAGE };
	struct uffd_msg msg;

	(void)arg;
	memset(page, 0xab, sizeof(page));
	while (read(uffd, &msg, sizeof(msg)) == (ssize_t)sizeof(msg)) {
		HMMU_CHECK_INT(msg.event, UFFD_EVENT_PAGEFAULT);
		copy.dst = msg.arg.pagefault.address & ~(PAGE - 1);
		HMMU_CHECK_INT(ioctl(uffd, UFFDIO_COPY, &copy), 0);
	}
	return NULL;
}

static void watch(char *p, size_t bytes)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .range = { (uintptr_t)p, bytes },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };

	uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		HMMU_SKIP("userfaultfd");
	HMMU_CHECK_INT(ioctl(uffd, UFFDIO_API, &api), 0);
	HMMU_CHECK_INT(ioctl(uffd, UFFDIO_REGISTER, &reg), 0);
}

/* RF38, RF39: the device waits for the program to serve the page. */
static void test_later_rf39_programs_own_userfaultfd(void)
{
	enum {
		PAGES = 4
	};
	struct dmirror_cmd c;
	pthread_t server;
	size_t kind, i;
	char *p;
	int fd;

	for (kind = 0; kind < 2; kind++) {
		fd = open_unit(kinds[kind]);
		p = map(PAGES * PAGE);
		watch(p, PAGES * PAGE);
		HMMU_CHECK_INT(pthread_create(&server, NULL, serve, NULL), 0);
		c = command(p, PAGES, out);
		HMMU_CHECK_INT(run(fd, DMIRROR_READ_UNLOCKED, &c), 0);
		HMMU_CHECK_INT(c.cpages, PAGES);
		for (i = 0; i < PAGES * PAGE; i++)
			HMMU_CHECK_INT((unsigned char)out[i], 0xab);
		HMMU_CHECK_INT(pthread_cancel(server), 0);
		HMMU_CHECK_INT(pthread_join(server, NULL), 0);
		close(uffd);
		close(fd);
	}
}

HMMU_TEST_MAIN(HMMU_TEST_TIMEOUT(test_later_each_size_moves_both_ways, 60),
	       HMMU_TEST(test_later_failed_allocation_loses_no_page),
	       HMMU_TEST(test_later_mv8_mv9_empty_range_moves),
	       HMMU_TEST(test_later_freed_while_away),
	       HMMU_TEST(test_later_dp14_unmapped_in_part),
	       HMMU_TEST_TIMEOUT(test_later_dp15_moved, 60),
	       HMMU_TEST(test_later_fk5_large_page_is_copied),
	       HMMU_TEST(test_later_dp12_pagemap_says_swapped),
	       HMMU_TEST(test_later_dp12_many_records),
	       HMMU_TEST(test_later_rf39_programs_own_userfaultfd))
