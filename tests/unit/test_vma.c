/* SPDX-License-Identifier: MIT */
/*
 * Mappings: the text of maps alone, then those of this very process, asked in
 * both ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "live/vma.h"

#define PAGE HMMU_PAGE_BYTES

/* Index 0 asks as the kernel can do best, 1 always reads the text. */
static struct hmmu__vma_source sources[2];

static int open_sources(void **state)
{
	(void)state;
	assert_int_equal(hmmu__vma_open(&sources[0], false), 0);
	assert_int_equal(hmmu__vma_open(&sources[1], true), 0);
	return 0;
}

static int close_sources(void **state)
{
	(void)state;
	hmmu__vma_close(&sources[0]);
	hmmu__vma_close(&sources[1]);
	return 0;
}

/* --- the text ------------------------------------------------------------- */

static struct hmmu__maps_line parsed(const char *text)
{
	struct hmmu__maps_line line;

	assert_int_equal(hmmu__maps_parse(text, strlen(text), &line), 0);
	return line;
}

static void test_maps_reads_each_field(void **state)
{
	struct hmmu__maps_line line = parsed(
		"7f0012345000-7f0012347000 rw-s 0000abcd000 fe:1f "
		"18446744073709551615             /tmp/a file (deleted)");

	(void)state;
	assert_true(line.start == 0x7f0012345000 && line.end == 0x7f0012347000);
	assert_int_equal(line.prot,
			 HMMU__VMA_R | HMMU__VMA_W | HMMU__VMA_SHARED);
	assert_true(line.offset == 0xabcd000);
	assert_true(line.dev == makedev(0xfe, 0x1f));
	assert_true(line.ino == UINT64_MAX);
	assert_true(line.has_file);
	assert_string_equal(line.name, "/tmp/a file (deleted)");
	line = parsed("1000-2000 --xp 00000000 00:00 0 ");
	assert_int_equal(line.prot, HMMU__VMA_X);
	assert_false(line.has_file);
	assert_string_equal(line.name, "");
}

static void test_maps_keeps_the_beginning_of_a_long_name(void **state)
{
	char text[300] = "1000-2000 r--p 00000000 00:00 7   /";
	struct hmmu__maps_line line;

	(void)state;
	memset(text + strlen(text), 'n', 200);
	line = parsed(text);
	assert_int_equal(strlen(line.name), HMMU__MAPS_NAME_BYTES - 1);
	assert_memory_equal(line.name, "/nnn", 4);
}

static void test_maps_refuses_what_is_no_line(void **state)
{
	static const char *const bad[] = {
		"",
		"1000",
		"1000-2000",
		"-2000 r--p 00000000 00:00 0",
		"1000-1000 r--p 00000000 00:00 0",
		"2000-1000 r--p 00000000 00:00 0",
		"1000-2000 rw-- 00000000 00:00 0",
		"1000-2000 rrrp 00000000 00:00 0",
		"1000-2000 r--p 00000000 0000 0",
		"1000-2000 r--p 00000000 100000000:00 0",
		"1000-2000 r--p 00000000 00:00 ",
		"1000-2000 r--p 00000000 00:00 0x",
		"1000-2000 r--p  00000000 00:00 0",
		"1000-10000000000003000 r--p 00000000 00:00 0",
		"1000-2000 r--p 00000000 00:00 18446744073709551616",
		"1000-2000 R--p 00000000 00:00 0",
		"10G0-2000 r--p 00000000 00:00 0",
	};
	struct hmmu__maps_line line;

	(void)state;
	for (size_t i = 0; i < HMMU_ARRAY_SIZE(bad); i++) {
		if (hmmu__maps_parse(bad[i], strlen(bad[i]), &line) != -EINVAL)
			fail_msg("taken for a line: %s", bad[i]);
	}
}

/* A text that is handed out in pieces of one size. */
struct pieces {
	const char *text;
	size_t left;
	size_t piece;
	int err;
};

static ssize_t read_piece(void *arg, void *buf, size_t bytes)
{
	struct pieces *p = arg;

	if (p->err && !p->left)
		return p->err;
	bytes = hmmu_min(hmmu_min(bytes, p->piece), p->left);
	memcpy(buf, p->text, bytes);
	p->text += bytes;
	p->left -= bytes;
	return (ssize_t)bytes;
}

static char reader_buf[HMMU__MAPS_BUFFER_BYTES];

static void assert_lines(const char *text, size_t piece,
			 const char *const *lines, size_t count)
{
	struct pieces pieces = { text, strlen(text), piece, 0 };
	struct hmmu__maps_reader reader;
	const char *line;
	size_t bytes;

	hmmu__maps_reader_init(&reader, read_piece, &pieces, reader_buf);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(hmmu__maps_reader_next(&reader, &line, &bytes),
				 1);
		assert_int_equal(bytes, strlen(lines[i]));
		assert_memory_equal(line, lines[i], bytes);
	}
	assert_int_equal(hmmu__maps_reader_next(&reader, &line, &bytes), 0);
	assert_int_equal(hmmu__maps_reader_next(&reader, &line, &bytes), 0);
}

static void test_maps_lines_survive_any_split(void **state)
{
	static const char *const lines[] = { "first", "", "third one", "last" };

	(void)state;
	for (size_t piece = 1; piece < 30; piece++)
		assert_lines("first\n\nthird one\nlast", piece, lines, 4);
	assert_lines("", 1, NULL, 0);
}

/* Around the size of the buffer, where a line begins to be cut. */
static void test_maps_cuts_only_the_long_line(void **state)
{
	static char text[2 * HMMU__MAPS_BUFFER_BYTES + 32];
	static char cut[HMMU__MAPS_BUFFER_BYTES + 1];
	const char *lines[] = { "before", cut, "after" };
	const size_t limit = HMMU__MAPS_BUFFER_BYTES;

	(void)state;
	for (size_t length = limit - 8; length < 2 * limit;
	     length += length < limit + 8 ? 1 : 500) {
		strcpy(text, "before\n");
		memset(text + 7, 'x', length);
		strcpy(text + 7 + length, "\nafter\n");
		memset(cut, 'x', limit);
		cut[hmmu_min(length, limit)] = '\0';
		assert_lines(text, 1000, lines, 3);
		assert_lines(text, SIZE_MAX, lines, 3);
	}
}

static void test_maps_passes_on_a_read_error(void **state)
{
	struct pieces pieces = { "one\ntwo", 7, 4, -EIO };
	struct hmmu__maps_reader reader;
	const char *line;
	size_t bytes;

	(void)state;
	hmmu__maps_reader_init(&reader, read_piece, &pieces, reader_buf);
	assert_int_equal(hmmu__maps_reader_next(&reader, &line, &bytes), 1);
	assert_int_equal(hmmu__maps_reader_next(&reader, &line, &bytes), -EIO);
}

/* --- kinds, by their text ------------------------------------------------- */

/* 0:1 is the shared memory of this made-up kernel, 0:f its hugetlbfs. */
static const struct hmmu__vma_source made_up = {
	.device = { { 0x1, HMMU__VMA_SHMEM, PAGE },
		    { 0xf, HMMU__VMA_HUGETLB, HMMU_HUGE_BYTES } },
	.device_count = 2,
};

static const struct {
	const char *rest;
	enum hmmu__vma_kind kind;
} kinds[] = {
	{ "rw-p 00000000 00:00 0 ", HMMU__VMA_ANON },
	{ "rw-p 00000000 00:00 0     [heap]", HMMU__VMA_ANON },
	{ "rw-p 00000000 00:00 0     [stack]", HMMU__VMA_ANON },
	{ "rw-p 00000000 00:00 0     [anon:my arena]", HMMU__VMA_ANON },
	{ "rw-p 00000000 00:05 6     /dev/zero", HMMU__VMA_ANON },
	{ "rw-s 00000000 00:05 6     /dev/zero", HMMU__VMA_SPECIAL },
	{ "r--p 00000000 00:00 0     [vvar]", HMMU__VMA_SPECIAL },
	{ "r--p 00000000 00:00 0     [vvar_vclock]", HMMU__VMA_SPECIAL },
	{ "r-xp 00000000 00:00 0     [vdso]", HMMU__VMA_FILE },
	{ "--xp 00000000 00:00 0     [uprobes]", HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:05 99    /dev/dri/renderD128", HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:0e 5     anon_inode:[io_uring]",
	  HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:08 5     socket:[12345]", HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:0c 5     /dmabuf:", HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:0d 5     /[aio] (deleted)", HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:16 5     /sys/bus/pci/devices/0/resource0",
	  HMMU__VMA_SPECIAL },
	{ "rw-s 00000000 00:01 5     /memfd:x y (deleted)", HMMU__VMA_SHMEM },
	{ "rw-p 00000000 00:01 5     /memfd:x (deleted)", HMMU__VMA_SHMEM },
	{ "rw-s 00000000 00:01 0     /SYSV00000000 (deleted)",
	  HMMU__VMA_SHMEM },
	{ "rw-s 00000000 00:01 9     /dev/zero (deleted)", HMMU__VMA_SHMEM },
	{ "rw-s 00000000 00:01 9     [anon_shmem:mine]", HMMU__VMA_SHMEM },
	{ "rw-s 00000000 00:0f 9     /anon_hugepage (deleted)",
	  HMMU__VMA_HUGETLB },
	{ "rw-p 00000000 00:0f 9     /dev/hugepages/pool", HMMU__VMA_HUGETLB },
	{ "rw-p 00000000 00:44 9     /anon_hugepage (deleted)",
	  HMMU__VMA_HUGETLB },
	{ "r-xp 00000000 fe:00 9     /usr/bin/true", HMMU__VMA_FILE },
	{ "rw-s 00000000 fe:00 9     /home/me/a [stack]", HMMU__VMA_FILE },
	{ "rw-s 00000000 fe:00 9     /devices.txt", HMMU__VMA_FILE },
};

static void test_vma_kind_of_each_name(void **state)
{
	struct hmmu__maps_line line;
	struct hmmu__vma vma;
	char text[200];

	(void)state;
	for (size_t i = 0; i < HMMU_ARRAY_SIZE(kinds); i++) {
		snprintf(text, sizeof(text), "1000-3000 %s", kinds[i].rest);
		line = parsed(text);
		hmmu__vma_classify(&made_up, &line, &vma);
		if (vma.kind != kinds[i].kind)
			fail_msg("kind %d: %s", vma.kind, text);
		assert_int_equal(vma.stack, strstr(text, " [stack]") &&
						    !strstr(text, "/home"));
	}
}

static void test_vma_page_size_of_hugetlb(void **state)
{
	struct hmmu__maps_line line =
		parsed("1000-3000 rw-p 0 00:0f 9 /anon_hugepage (deleted)");
	struct hmmu__vma vma;

	(void)state;
	hmmu__vma_classify(&made_up, &line, &vma);
	assert_true(vma.page_bytes == HMMU_HUGE_BYTES);
	/* The ioctl has told it, and of an unknown file system. */
	line.dev = makedev(1, 2);
	line.page_bytes = HMMU_LARGE_BYTES;
	strcpy(line.name, "/mnt/pool");
	hmmu__vma_classify(&made_up, &line, &vma);
	assert_int_equal(vma.kind, HMMU__VMA_HUGETLB);
	assert_true(vma.page_bytes == HMMU_LARGE_BYTES);
	strcpy(line.name, "/dev/dax0.0");
	hmmu__vma_classify(&made_up, &line, &vma);
	assert_int_equal(vma.kind, HMMU__VMA_SPECIAL);
}

/* --- this process --------------------------------------------------------- */

static void *map(size_t bytes, int prot, int flags, int fd)
{
	void *memory = mmap(NULL, bytes, prot, flags, fd, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

static void unmap(void *memory, size_t bytes)
{
	assert_int_equal(munmap(memory, bytes), 0);
}

static void assert_same(const struct hmmu__vma *a, const struct hmmu__vma *b)
{
	assert_true(a->start == b->start && a->end == b->end);
	assert_int_equal(a->prot, b->prot);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->stack, b->stack);
	assert_true(a->page_bytes == b->page_bytes);
	assert_true(a->ino == b->ino && a->dev == b->dev);
	assert_true(a->offset == b->offset);
}

/* Asks both ways about one address, and wants one answer. */
static struct hmmu__vma asked(const void *addr)
{
	struct hmmu__vma vma[2] = { 0 };

	for (int way = 0; way < 2; way++)
		assert_int_equal(hmmu__vma_query(&sources[way], (uintptr_t)addr,
						 &vma[way]),
				 0);
	assert_same(&vma[0], &vma[1]);
	assert_in_range((uintptr_t)addr, vma[0].start, vma[0].end - 1);
	return vma[0];
}

/* Maps, asks, unmaps. */
static struct hmmu__vma asked_of_map(size_t bytes, int prot, int flags, int fd)
{
	void *memory = map(bytes, prot, flags, fd);
	struct hmmu__vma vma = asked(memory);

	unmap(memory, bytes);
	return vma;
}

static void test_vma_tells_protection(void **state)
{
	static const struct {
		int prot;
		uint32_t bits;
	} cases[] = {
		{ PROT_NONE, 0 },
		{ PROT_READ, HMMU__VMA_R },
		{ PROT_READ | PROT_WRITE, HMMU__VMA_R | HMMU__VMA_W },
		{ PROT_READ | PROT_EXEC, HMMU__VMA_R | HMMU__VMA_X },
	};

	(void)state;
	for (size_t i = 0; i < HMMU_ARRAY_SIZE(cases); i++) {
		struct hmmu__vma vma = asked_of_map(
			PAGE, cases[i].prot, MAP_PRIVATE | MAP_ANONYMOUS, -1);

		assert_int_equal(vma.prot, cases[i].bits);
		assert_int_equal(vma.kind, HMMU__VMA_ANON);
		vma = asked_of_map(PAGE, cases[i].prot,
				   MAP_SHARED | MAP_ANONYMOUS, -1);
		assert_int_equal(vma.prot, cases[i].bits | HMMU__VMA_SHARED);
		assert_int_equal(vma.kind, HMMU__VMA_SHMEM);
	}
}

static void test_vma_tells_exact_span(void **state)
{
	char *memory =
		map(5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct hmmu__vma vma;

	(void)state;
	unmap(memory, PAGE);
	unmap(memory + 4 * PAGE, PAGE);
	assert_int_equal(mprotect(memory + PAGE, PAGE, PROT_NONE), 0);
	vma = asked(memory + 3 * PAGE - 1);
	assert_true(vma.start == (uintptr_t)memory + 2 * PAGE);
	assert_true(vma.end == (uintptr_t)memory + 4 * PAGE);
	unmap(memory + PAGE, 3 * PAGE);
}

static void test_vma_holes_are_efault_and_next_goes_over_them(void **state)
{
	char *memory =
		map(3 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uintptr_t hole = (uintptr_t)memory;
	struct hmmu__vma vma;

	(void)state;
	unmap(memory, 2 * PAGE);
	for (int way = 0; way < 2; way++) {
		struct hmmu__vma_source *src = &sources[way];

		assert_int_equal(hmmu__vma_query(src, hole, &vma), -EFAULT);
		assert_int_equal(hmmu__vma_query_next(src, hole, &vma), 0);
		assert_true(vma.start == hole + 2 * PAGE);
		assert_int_equal(hmmu__vma_query_next(src, hole + 3 * PAGE - 1,
						      &vma),
				 0);
		assert_true(vma.start == hole + 2 * PAGE);
		assert_int_equal(hmmu__vma_query(src, 0, &vma), -EFAULT);
		/* Nothing above the stack; [vsyscall] is not the program's. */
		assert_int_equal(hmmu__vma_query(src, 0xffffffffff600000, &vma),
				 -EFAULT);
		assert_int_equal(hmmu__vma_query_next(src, 0x7ffffffff000,
						      &vma),
				 -EFAULT);
	}
	unmap(memory + 2 * PAGE, PAGE);
}

static char data_of_program = 1;

static void test_vma_kinds_of_a_program(void **state)
{
	char on_stack = 0;
	/* Some sanitizers keep malloc() away from it. */
	char *heap = sbrk(PAGE);
	struct hmmu__vma vma;

	(void)state;
	vma = asked(&on_stack);
	assert_true(vma.stack && vma.kind == HMMU__VMA_ANON);
	vma = asked((void *)(uintptr_t)open_sources);
	assert_int_equal(vma.kind, HMMU__VMA_FILE);
	assert_int_equal(vma.prot, HMMU__VMA_R | HMMU__VMA_X);
	vma = asked(&data_of_program);
	assert_int_equal(vma.kind, HMMU__VMA_FILE);
	if (heap != (char *)-1) {
		vma = asked(heap);
		assert_true(vma.kind == HMMU__VMA_ANON && !vma.stack);
	}
	if (getauxval(AT_SYSINFO_EHDR)) {
		vma = asked((void *)getauxval(AT_SYSINFO_EHDR));
		assert_int_equal(vma.kind, HMMU__VMA_FILE);
	}
}

static void test_vma_tells_file_and_offset(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct hmmu__vma vma;
	struct stat st;
	void *memory;

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
	assert_ptr_not_equal(memory, MAP_FAILED);
	vma = asked(memory);
	assert_int_equal(vma.kind, HMMU__VMA_FILE);
	assert_int_equal(vma.prot, HMMU__VMA_R | HMMU__VMA_SHARED);
	assert_true(vma.ino == st.st_ino && vma.offset == PAGE);
	assert_true(vma.page_bytes == PAGE);
	unmap(memory, PAGE);
	close(fd);
}

static void test_vma_kinds_of_shared_memory(void **state)
{
	int fd = memfd_create("a name  with spaces", MFD_CLOEXEC);
	int id = shmget(IPC_PRIVATE, PAGE, IPC_CREAT | 0600);
	struct hmmu__vma vma;
	void *memory;

	(void)state;
	assert_true(fd >= 0 && ftruncate(fd, PAGE) == 0);
	vma = asked_of_map(PAGE, PROT_READ, MAP_SHARED, fd);
	assert_int_equal(vma.kind, HMMU__VMA_SHMEM);
	vma = asked_of_map(PAGE, PROT_READ, MAP_PRIVATE, fd);
	assert_int_equal(vma.kind, HMMU__VMA_SHMEM);
	assert_int_equal(vma.prot, HMMU__VMA_R);
	close(fd);
	if (id < 0)
		return;
	memory = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	assert_ptr_not_equal(memory, (void *)-1);
	vma = asked(memory);
	assert_int_equal(vma.kind, HMMU__VMA_SHMEM);
	shmdt(memory);
}

static void test_vma_dev_zero_is_anonymous_if_private(void **state)
{
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	struct hmmu__vma vma;

	(void)state;
	if (fd < 0)
		skip();
	vma = asked_of_map(PAGE, PROT_READ, MAP_PRIVATE, fd);
	assert_int_equal(vma.kind, HMMU__VMA_ANON);
	vma = asked_of_map(PAGE, PROT_READ, MAP_SHARED, fd);
	assert_int_equal(vma.kind, HMMU__VMA_SHMEM);
	close(fd);
}

/* Without reservation a mapping needs no page of the pool. */
static void assert_hugetlb(unsigned int page_lg2)
{
	size_t bytes = (size_t)1 << page_lg2;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE |
		    (int)(page_lg2 << MAP_HUGE_SHIFT);
	void *memory = mmap(NULL, bytes, PROT_READ, flags, -1, 0);
	struct hmmu__vma vma;

	if (memory == MAP_FAILED)
		skip();
	vma = asked(memory);
	assert_int_equal(vma.kind, HMMU__VMA_HUGETLB);
	assert_true(vma.page_bytes == bytes);
	unmap(memory, bytes);
}

static void test_vma_hugetlb_2m(void **state)
{
	(void)state;
	assert_hugetlb(HMMU_LARGE_LG2);
}

static void test_vma_hugetlb_1g(void **state)
{
	(void)state;
	assert_hugetlb(HMMU_HUGE_LG2);
}

/* A path that PROCMAP_QUERY has no room for in our buffer. */
static void test_vma_file_of_a_long_path(void **state)
{
	char path[1200] = "/tmp/hmmu-test-XXXXXX";
	char file[1210];
	struct hmmu__vma vma;
	size_t made = 1;
	int fd;

	(void)state;
	if (!mkdtemp(path))
		skip();
	for (; made < 5; made++) {
		strcat(path, "/");
		memset(path + strlen(path), 'd', 200);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	snprintf(file, sizeof(file), "%s/f", path);
	fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && ftruncate(fd, PAGE) == 0);
	vma = asked_of_map(PAGE, PROT_READ, MAP_PRIVATE, fd);
	/* A tmpfs that is not /dev/shm passes for a file. */
	assert_int_equal(vma.kind, HMMU__VMA_FILE);
	close(fd);
	unlink(file);
	for (; made; made--) {
		assert_int_equal(rmdir(path), 0);
		*strrchr(path, '/') = '\0';
	}
}

/* More text than the buffer holds, so lines fall across its pieces. */
static void test_vma_both_ways_agree_on_everything(void **state)
{
	enum {
		PAGES = 600
	};
	char *memory =
		map(PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct hmmu__vma vma[2] = { 0 };
	size_t count = 0;
	int err[2];

	(void)state;
	for (size_t i = 0; i < PAGES; i += 2)
		assert_int_equal(mprotect(memory + i * PAGE, PAGE, PROT_NONE),
				 0);
	for (;;) {
		uintptr_t at = vma[0].end;

		for (int way = 0; way < 2; way++)
			err[way] = hmmu__vma_query_next(&sources[way], at,
							&vma[way]);
		assert_int_equal(err[0], err[1]);
		if (err[0])
			break;
		assert_same(&vma[0], &vma[1]);
		count++;
	}
	assert_int_equal(err[0], -EFAULT);
	assert_true(count > PAGES);
	unmap(memory, PAGES * PAGE);
}

static _Atomic bool churn_stops;

/* Changes the number of mappings in front of and behind the one asked about. */
static void *churn(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&churn_stops, memory_order_relaxed)) {
		char *memory = mmap(NULL, 8 * PAGE, PROT_READ,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return memory;
		for (size_t i = 0; i < 8; i += 2)
			mprotect(memory + i * PAGE, PAGE, PROT_NONE);
		munmap(memory, 8 * PAGE);
	}
	return NULL;
}

struct asker {
	struct hmmu__vma_source *src;
	uintptr_t page;
	size_t wrong;
};

static void *ask_again_and_again(void *arg)
{
	struct asker *asker = arg;
	struct hmmu__vma vma;

	for (int i = 0; i < 1000; i++) {
		if (hmmu__vma_query(asker->src, asker->page, &vma) ||
		    vma.start != asker->page || vma.end != asker->page + PAGE)
			asker->wrong++;
	}
	return NULL;
}

/* The page asked about stands in the text behind one buffer full of others. */
static void test_vma_is_right_while_others_change_mappings(void **state)
{
	enum {
		PAGES = 201,
		THREADS = 4
	};
	char *memory =
		map(PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	pthread_t churner, thread[THREADS];
	struct asker asker[THREADS];

	(void)state;
	for (size_t i = 1; i < PAGES; i += 2)
		assert_int_equal(mprotect(memory + i * PAGE, PAGE, PROT_READ),
				 0);
	atomic_store_explicit(&churn_stops, false, memory_order_relaxed);
	assert_int_equal(pthread_create(&churner, NULL, churn, NULL), 0);
	for (size_t i = 0; i < THREADS; i++) {
		/* One asks the kernel, three share the text. */
		asker[i] = (struct asker){
			.src = &sources[i > 0],
			.page = (uintptr_t)memory + (PAGES - 2) * PAGE,
		};
		assert_int_equal(pthread_create(&thread[i], NULL,
						ask_again_and_again, &asker[i]),
				 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		assert_int_equal(asker[i].wrong, 0);
	}
	atomic_store_explicit(&churn_stops, true, memory_order_relaxed);
	pthread_join(churner, NULL);
	unmap(memory, PAGES * PAGE);
}

/* A child that opened its own is told of its own mappings. */
static void test_vma_of_a_forked_child_is_its_own(void **state)
{
	void *memory = map(PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	struct hmmu__vma vma;
	int status = -1;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		munmap(memory, PAGE);
		for (int way = 0; way < 2; way++) {
			hmmu__vma_close(&sources[way]);
			if (hmmu__vma_open(&sources[way], way == 1) ||
			    hmmu__vma_query(&sources[way], (uintptr_t)memory,
					    &vma) != -EFAULT)
				_exit(1);
		}
		_exit(0);
	}
	assert_true(waitpid(child, &status, 0) == child && status == 0);
	(void)asked(memory);
	unmap(memory, PAGE);
}

static void test_vma_file_is_closed_on_exec(void **state)
{
	(void)state;
	for (int way = 0; way < 2; way++)
		assert_int_equal(fcntl(sources[way].fd, F_GETFD), FD_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps_reads_each_field),
		cmocka_unit_test(test_maps_keeps_the_beginning_of_a_long_name),
		cmocka_unit_test(test_maps_refuses_what_is_no_line),
		cmocka_unit_test(test_maps_lines_survive_any_split),
		cmocka_unit_test(test_maps_cuts_only_the_long_line),
		cmocka_unit_test(test_maps_passes_on_a_read_error),
		cmocka_unit_test(test_vma_kind_of_each_name),
		cmocka_unit_test(test_vma_page_size_of_hugetlb),
		cmocka_unit_test(test_vma_tells_protection),
		cmocka_unit_test(test_vma_tells_exact_span),
		cmocka_unit_test(
			test_vma_holes_are_efault_and_next_goes_over_them),
		cmocka_unit_test(test_vma_kinds_of_a_program),
		cmocka_unit_test(test_vma_tells_file_and_offset),
		cmocka_unit_test(test_vma_kinds_of_shared_memory),
		cmocka_unit_test(test_vma_dev_zero_is_anonymous_if_private),
		cmocka_unit_test(test_vma_hugetlb_2m),
		cmocka_unit_test(test_vma_hugetlb_1g),
		cmocka_unit_test(test_vma_file_of_a_long_path),
		cmocka_unit_test(test_vma_both_ways_agree_on_everything),
		cmocka_unit_test(
			test_vma_is_right_while_others_change_mappings),
		cmocka_unit_test(test_vma_of_a_forked_child_is_its_own),
		cmocka_unit_test(test_vma_file_is_closed_on_exec),
	};

	return cmocka_run_group_tests(tests, open_sources, close_sources);
}
