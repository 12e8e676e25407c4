/* SPDX-License-Identifier: MIT */
/*
 * What the rest of the system sees of memory on a device (DP10, DP12, DP13):
 * its data, or an error that doc/kinds.md names; and that a look does not bring
 * it home.
 */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "fixture.h"

#define PAGES 8ul
#define BYTES (PAGES * PAGE)
/* Of them, these are on the device. */
#define AWAY  4ul

static char *memory;

static void open_away(void)
{
	live_open();
	memory = live_map_small(PAGES, 1);
	live_take(memory, AWAY * PAGE);
	LIVE_CHECK_SOON(live_device_pages() == AWAY);
}

/* Nothing has come home for a look, and nothing was lost. */
static void close_away(void)
{
	HMMU_CHECK_INT(live_device_pages(), AWAY);
	HMMU_CHECK_INT(live_present(memory, BYTES), PAGES - AWAY);
	LIVE_CHECK(memory, BYTES, 1);
	live_close();
}

/* /proc/PID/pagemap and PAGEMAP_SCAN ---------------------------------------- */

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_SWAPPED (1ull << 62)

static uint64_t pagemap_record(const char *p)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t record = 0;

	HMMU_CHECK(file >= 0);
	HMMU_CHECK_INT(pread(file, &record, sizeof(record),
			     (off_t)((uintptr_t)p / PAGE * sizeof(record))),
		       sizeof(record));
	close(file);
	return record;
}

static void test_outside_dp12_pagemap_says_absent(void)
{
	open_away();
	HMMU_CHECK(!(pagemap_record(memory) &
		     (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)));
	HMMU_CHECK(pagemap_record(memory + AWAY * PAGE) & PAGEMAP_PRESENT);
	close_away();
}

static void test_outside_dp12_scan_leaves_it_out(void)
{
	struct page_region regions[4];
	struct pm_scan_arg scan;
	int file, found;

	open_away();
	scan = (struct pm_scan_arg){
		.size = sizeof(scan),
		.start = (uintptr_t)memory,
		.end = (uintptr_t)memory + BYTES,
		.vec = (uintptr_t)regions,
		.vec_len = sizeof(regions) / sizeof(regions[0]),
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};
	file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	found = ioctl(file, PAGEMAP_SCAN, &scan);
	close(file);
	if (found < 0)
		HMMU_SKIP("PAGEMAP_SCAN");
	HMMU_CHECK_INT(found, 1);
	HMMU_CHECK(regions[0].start == (uintptr_t)memory + AWAY * PAGE);
	HMMU_CHECK(regions[0].end == (uintptr_t)memory + BYTES);
	close_away();
}

static void test_outside_dp12_mincore_says_absent(void)
{
	unsigned char in_core[PAGES];
	size_t i;

	open_away();
	HMMU_CHECK_OK(mincore(memory, BYTES, in_core));
	for (i = 0; i < PAGES; i++)
		HMMU_CHECK_INT(in_core[i] & 1, i >= AWAY);
	close_away();
}

/* /proc/PID/smaps and status ------------------------------------------------ */

/* The kB that a line of smaps says of the mapping of @p. */
static unsigned long smaps_kb(const char *p, const char *what)
{
	unsigned long start, end, kb = 0;
	bool is_here = false;
	char line[512];
	FILE *file = fopen("/proc/self/smaps", "re");

	HMMU_CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			is_here = (uintptr_t)p >= start && (uintptr_t)p < end;
		else if (is_here && strncmp(line, what, strlen(what)) == 0)
			kb = strtoul(line + strlen(what), NULL, 10);
	}
	fclose(file);
	return kb;
}

static unsigned long status_kb(const char *what)
{
	unsigned long kb = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	HMMU_CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, what, strlen(what)) == 0)
			kb = strtoul(line + strlen(what), NULL, 10);
	fclose(file);
	return kb;
}

static void test_outside_dp12_smaps_counts_what_is_home(void)
{
	open_away();
	HMMU_CHECK_INT(smaps_kb(memory, "Rss:"), (PAGES - AWAY) * PAGE / 1024);
	HMMU_CHECK_INT(smaps_kb(memory, "Swap:"), 0);
	HMMU_CHECK_INT(smaps_kb(memory, "Size:"), BYTES / 1024);
	close_away();
}

/* DP10: it is the pool that has it, which is memory of the process. */
static void test_outside_dp10_process_keeps_its_size(void)
{
	const size_t blocks = 8;
	const unsigned long moved_kb = blocks * LARGE / 1024;
	unsigned long before, away;
	char *p;

	live_need_program_alone();
	p = live_map_small(blocks * PER_LARGE, 1);
	live_open();
	before = status_kb("RssAnon:");
	live_take(p, blocks * LARGE);
	HMMU_CHECK_INT(smaps_kb(p, "Rss:"), 0);
	away = status_kb("RssAnon:");
	HMMU_CHECK(away + moved_kb / 8 > before);
	HMMU_CHECK(away < before + moved_kb / 8);
	HMMU_CHECK_OK(munmap(p, blocks * LARGE));
	live_close();
	HMMU_CHECK(status_kb("RssAnon:") + moved_kb / 2 < before);
}

/* move_pages(2) and madvise(2) ---------------------------------------------- */

/* DP13: no node has it. */
static void test_outside_dp13_move_pages_says_no_entry(void)
{
	void *pages[2];
	int status[2] = { 77, 77 };

	open_away();
	pages[0] = memory;
	pages[1] = memory + AWAY * PAGE;
	if (syscall(SYS_move_pages, 0, 2ul, pages, NULL, status, 0))
		HMMU_SKIP("move_pages");
	HMMU_CHECK_INT(status[0], -ENOENT);
	HMMU_CHECK(status[1] >= 0);
	close_away();
}

static void test_outside_dp13_reclaim_leaves_it(void)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT, MADV_MERGEABLE };
	size_t i;

	open_away();
	for (i = 0; i < sizeof(advice) / sizeof(advice[0]); i++)
		if (madvise(memory, AWAY * PAGE, advice[i]))
			HMMU_CHECK_INT(errno, EINVAL);
	close_away();
}

/* Reading the memory of a process ------------------------------------------- */

static int open_mem(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* What a debugger gets: EIO, and no zeroes. */
static void check_mem_file(pid_t pid)
{
	int file = open_mem(pid);
	uint64_t word = 0;

	if (file < 0)
		_exit(77);
	errno = 0;
	HMMU_CHECK_INT(pread(file, &word, 8, (off_t)(uintptr_t)memory), -1);
	HMMU_CHECK_INT(errno, EIO);
	HMMU_CHECK_INT(pwrite(file, &word, 8, (off_t)(uintptr_t)memory), -1);
	HMMU_CHECK_INT(errno, EIO);
	HMMU_CHECK_INT(pread(file, &word, 8,
			     (off_t)((uintptr_t)memory + AWAY * PAGE)),
		       8);
	HMMU_CHECK(word == live_word(1, AWAY * PAGE / 8));
	close(file);
}

static void test_outside_own_mem_file_is_an_error(void)
{
	open_away();
	check_mem_file(getpid());
	close_away();
}

/*
 * A process beside us that looks when it is told to: a fork after the migration
 * would bring everything home.
 */
static struct {
	int go[2];
	pid_t pid;
} onlooker;

static void start_onlooker(void (*look)(void))
{
	char c;

	HMMU_CHECK_OK(pipe(onlooker.go));
	/* Where only a parent may look at its children. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	onlooker.pid = fork();
	HMMU_CHECK(onlooker.pid >= 0);
	if (onlooker.pid)
		return;
	close(onlooker.go[1]);
	HMMU_CHECK_INT(read(onlooker.go[0], &c, 1), 1);
	look();
	_exit(0);
}

static void let_onlooker_look(void)
{
	int status;

	HMMU_CHECK_INT(write(onlooker.go[1], "", 1), 1);
	HMMU_CHECK_INT(waitpid(onlooker.pid, &status, 0), onlooker.pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		HMMU_SKIP("ptrace");
	HMMU_CHECK_INT(status, 0);
}

static void look_at_mem_file(void)
{
	check_mem_file(getppid());
}

static void test_outside_debugger_gets_an_error(void)
{
	live_open();
	memory = live_map_small(PAGES, 1);
	start_onlooker(look_at_mem_file);
	live_take(memory, AWAY * PAGE);
	let_onlooker_look();
	close_away();
}

/* PN1: by way of the page tables, as the kernel's own accesses. */
static void look_by_process_vm(void)
{
	static uint64_t words[BYTES / sizeof(uint64_t)];
	struct iovec to = { words, BYTES }, from = { memory, BYTES };
	ssize_t got = process_vm_readv(getppid(), &to, 1, &from, 1, 0);
	int err = errno;

	if (got < 0 && err != EFAULT)
		_exit(77);
	if (live_serves_kernel()) {
		HMMU_CHECK_INT(got, BYTES);
		LIVE_CHECK(words, BYTES, 1);
	} else {
		HMMU_CHECK_INT(got, -1);
		HMMU_CHECK_INT(err, EFAULT);
	}
}

static void test_outside_pn1_process_vm_readv(void)
{
	live_open();
	memory = live_map_small(PAGES, 1);
	start_onlooker(look_by_process_vm);
	live_take(memory, AWAY * PAGE);
	let_onlooker_look();
	LIVE_CHECK(memory, BYTES, 1);
	live_close();
}

/* A core dump --------------------------------------------------------------- */

/* Where the bytes of @p stand in a core; 0: not at all. */
static off_t offset_in_core(int file, const void *p)
{
	Elf64_Ehdr head;
	Elf64_Phdr part;
	size_t i;

	HMMU_CHECK_INT(pread(file, &head, sizeof(head), 0), sizeof(head));
	for (i = 0; i < head.e_phnum; i++) {
		HMMU_CHECK_INT(pread(file, &part, sizeof(part),
				     (off_t)(head.e_phoff + i * sizeof(part))),
			       sizeof(part));
		if (part.p_type == PT_LOAD &&
		    (uintptr_t)p - part.p_vaddr < part.p_filesz)
			return (off_t)(part.p_offset + (uintptr_t)p -
				       part.p_vaddr);
	}
	return 0;
}

static uint64_t word_in_core(int file, const void *p)
{
	off_t at = offset_in_core(file, p);
	uint64_t word;

	HMMU_CHECK(at);
	HMMU_CHECK_INT(pread(file, &word, sizeof(word), at), sizeof(word));
	return word;
}

/* Documented: no thread serves while a core is written. */
static void check_core(int file, const void *host)
{
	HMMU_CHECK_INT(word_in_core(file, memory), 0);
	HMMU_CHECK(word_in_core(file, memory + AWAY * PAGE) ==
		   live_word(1, AWAY * PAGE / 8));
	/* It is not lost: the device's memory is in the core as well. */
	HMMU_CHECK(word_in_core(file, host) == live_word(1, 0));
}

/* Where the device has the first page, for the parent. */
static void die_with_core(int to_parent)
{
	struct hmmu_port *port;
	struct rlimit limit;
	size_t run;
	void *host;

	HMMU_CHECK_OK(getrlimit(RLIMIT_CORE, &limit));
	limit.rlim_cur = limit.rlim_max;
	HMMU_CHECK_OK(setrlimit(RLIMIT_CORE, &limit));
	open_away();
	port = live_port();
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)memory, 8,
				     HMMU_ACCESS_READ, &host, &run));
	hmmu_port_end(port);
	HMMU_CHECK_INT(write(to_parent, &host, sizeof(host)), sizeof(host));
	HMMU_CHECK_INT(write(to_parent, &memory, sizeof(memory)),
		       sizeof(memory));
	signal(SIGABRT, SIG_DFL);
	abort();
}

static bool has_plain_core_pattern(void)
{
	int file = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);
	char text[16] = "";
	ssize_t got = file < 0 ? -1 : read(file, text, sizeof(text) - 1);

	if (file >= 0)
		close(file);
	return got > 0 && strcmp(text, "core\n") == 0;
}

static void test_outside_core_dump_has_it_elsewhere(void)
{
	char folder[] = "/tmp/hmmu-core-XXXXXX";
	int pipe_of[2], status, file;
	void *host = NULL;
	pid_t child;

	if (!has_plain_core_pattern() || LIVE_SANITIZED)
		HMMU_SKIP("a core file");
	HMMU_CHECK(mkdtemp(folder));
	HMMU_CHECK_OK(chdir(folder));
	HMMU_CHECK_OK(pipe(pipe_of));
	child = fork();
	if (child == 0)
		die_with_core(pipe_of[1]);
	close(pipe_of[1]);
	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	file = open("core", O_RDONLY | O_CLOEXEC);
	unlink("core");
	HMMU_CHECK_OK(rmdir(folder));
	if (file < 0 || read(pipe_of[0], &host, sizeof(host)) < 1 ||
	    read(pipe_of[0], &memory, sizeof(memory)) < 1)
		HMMU_SKIP("a core file");
	HMMU_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	check_core(file, host);
}

HMMU_TEST_MAIN(HMMU_TEST(test_outside_dp12_pagemap_says_absent),
	       HMMU_TEST(test_outside_dp12_scan_leaves_it_out),
	       HMMU_TEST(test_outside_dp12_mincore_says_absent),
	       HMMU_TEST(test_outside_dp12_smaps_counts_what_is_home),
	       HMMU_TEST(test_outside_dp10_process_keeps_its_size),
	       HMMU_TEST(test_outside_dp13_move_pages_says_no_entry),
	       HMMU_TEST(test_outside_dp13_reclaim_leaves_it),
	       HMMU_TEST(test_outside_own_mem_file_is_an_error),
	       HMMU_TEST(test_outside_debugger_gets_an_error),
	       HMMU_TEST(test_outside_pn1_process_vm_readv),
	       HMMU_TEST(test_outside_core_dump_has_it_elsewhere))
