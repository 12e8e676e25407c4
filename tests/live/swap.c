/* SPDX-License-Identifier: MIT */
#include "swap.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/swap.h>

#define SWAP_PAGES 4096u

/* The first page of a swap area, as mkswap(8) writes it. */
union header {
	struct {
		char boot[1024];
		uint32_t version;
		uint32_t last_page;
		uint32_t bad_pages;
	} info;
	struct {
		char rest[PAGE - 10];
		char magic[10];
	} magic;
};

static bool has_swap(void)
{
	char line[512];
	FILE *swaps = fopen("/proc/swaps", "re");
	int lines = 0;

	while (swaps && fgets(line, sizeof(line), swaps))
		lines++;
	if (swaps)
		fclose(swaps);
	return lines > 1;
}

/* Written in full: a swap area has no holes. */
static bool write_area(int file)
{
	static union header page = { .info = { .version = 1,
					       .last_page = SWAP_PAGES - 1 } };
	unsigned int i;

	memcpy(page.magic.magic, "SWAPSPACE2", sizeof(page.magic.magic));
	for (i = 0; i < SWAP_PAGES; i++) {
		if (write(file, &page, PAGE) != (ssize_t)PAGE)
			return false;
		memset(&page, 0, sizeof(page));
	}
	return fsync(file) == 0;
}

/*
 * Takes the swap away when the case is over, however it ends: it is killed with
 * all its group, and this process is in none of it. Whoever reads what the case
 * prints must not wait for it.
 */
static void guard(const char *path, int folder, int alive)
{
	char c;
	int fd;

	setsid();
	for (fd = 0; fd < 256; fd++)
		if (fd != folder && fd != alive)
			close(fd);
	while (read(alive, &c, 1) < 0 && errno == EINTR)
		;
	swapoff(path);
	_exit(unlink(path) ? 1 : 0);
}

/* The guard first: it takes away also what has got no further. */
static void begin_guard(const char *path, int folder)
{
	int alive[2];
	pid_t child;

	HMMU_CHECK_OK(pipe2(alive, O_CLOEXEC));
	child = fork();
	if (!child) {
		close(alive[1]);
		guard(path, folder, alive[0]);
	}
	if (child < 0)
		unlink(path);
	HMMU_CHECK(child >= 0);
	close(alive[0]);
}

static void make_swap(int folder)
{
	/* On a disk, which /tmp need not be. */
	static char path[] = "/var/tmp/hmmu-swap-XXXXXX";
	int file = mkostemp(path, O_CLOEXEC);
	bool good;

	if (file < 0)
		HMMU_SKIP("swap");
	begin_guard(path, folder);
	good = write_area(file) && !swapon(path, 0);
	close(file);
	if (!good)
		HMMU_SKIP("swap");
}

void live_need_swap(void)
{
	static bool has_looked;
	int folder;

	if (has_looked)
		return;
	has_looked = true;
	folder = open("/var/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	/* Until the swap of another test has gone, with what it holds. */
	if (folder >= 0)
		HMMU_CHECK_OK(flock(folder, LOCK_EX));
	if (!has_swap())
		make_swap(folder);
	close(folder);
}

void live_swap_out(void *p, size_t bytes)
{
	if (madvise(p, bytes, MADV_PAGEOUT) || live_present(p, bytes))
		HMMU_SKIP("swap");
}

size_t live_swapped(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	size_t kb, sum = 0;
	char line[512];

	HMMU_CHECK(smaps);
	while (fgets(line, sizeof(line), smaps))
		if (sscanf(line, "Swap: %zu kB", &kb) == 1)
			sum += kb;
	fclose(smaps);
	return sum * 1024 / PAGE;
}
