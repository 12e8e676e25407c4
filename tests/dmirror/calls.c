/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "harness.h"
#include "uapi/linux_mm.h"

int open_unit(int unit)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/hmm_dmirror%d", unit);
	fd = open(path, O_RDWR);
	if (fd < 0 && errno == EOPNOTSUPP)
		HMMU_SKIP("userfaultfd");
	HMMU_CHECK(fd >= 0);
	return fd;
}

static bool has_move(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int file =
		(int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	bool has;

	if (file < 0)
		return false;
	has = !ioctl(file, UFFDIO_API, &api) &&
	      (api.features & UFFD_FEATURE_MOVE);
	close(file);
	return has;
}

void need_move(void)
{
	if (getenv("HMMU_FORCE_NO_MOVE") || !has_move())
		HMMU_SKIP("UFFDIO_MOVE");
}

char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	HMMU_CHECK(p != MAP_FAILED);
	return p;
}

void fill(char *p, size_t pages, int seed)
{
	size_t i;

	for (i = 0; i < pages; i++)
		/* None is zero: the kernel has one page for all such. */
		memset(p + i * PAGE, seed + (int)(i % 100), PAGE);
}

void check(const char *p, size_t pages, int seed)
{
	size_t i, j;

	for (i = 0; i < pages; i++)
		for (j = 0; j < PAGE; j += 512)
			HMMU_CHECK_INT(p[i * PAGE + j],
				       (char)(seed + (int)(i % 100)));
}

struct dmirror_cmd command(void *addr, size_t npages, void *ptr)
{
	return (struct dmirror_cmd){ .addr = (uintptr_t)addr,
				     .ptr = (uintptr_t)ptr,
				     .npages = npages,
				     .cpages = 99,
				     .faults = 99 };
}

int run(int fd, unsigned long request, struct dmirror_cmd *c)
{
	struct dmirror_cmd before = *c;

	if (!ioctl(fd, request, c))
		return 0;
	HMMU_CHECK(!memcmp(&before, c, sizeof(*c)));
	return -errno;
}

char *map_large(void)
{
	char *p = map(2 * LARGE);

	p += -(uintptr_t)p % LARGE;
	madvise(p, LARGE, MADV_HUGEPAGE);
	fill(p, LARGE / PAGE, 1);
	return p;
}
