/* SPDX-License-Identifier: MIT */
/*
 * Memory of every kind, see kinds.h
 */
#include "kinds.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "swap.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

#define PAGES 4ul
#define BYTES (PAGES * PAGE)
#define SEED  1

static void set(struct kind_memory *m, void *p, size_t pages)
{
	m->p = p;
	m->pages = pages;
	m->readable = true;
}

static void *page_up(const void *p)
{
	return (void *)(((uintptr_t)p + PAGE - 1) & ~(PAGE - 1));
}

static void touch_all(const struct kind_memory *m)
{
	size_t i;

	for (i = 0; i < m->pages; i++)
		(void)*(volatile char *)(m->p + i * PAGE);
}

/* Private anonymous memory -------------------------------------------------- */

void kind_anonymous(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
}

void kind_large(struct kind_memory *m)
{
	set(m, live_map_large(1, SEED), PER_LARGE);
}

void kind_absent(struct kind_memory *m)
{
	set(m, live_map(BYTES), PAGES);
}

void kind_zero(struct kind_memory *m)
{
	set(m, live_map(BYTES), PAGES);
	touch_all(m);
}

void kind_large_zero(struct kind_memory *m)
{
	set(m, live_map(LARGE), PER_LARGE);
	if (madvise(m->p, LARGE, MADV_HUGEPAGE))
		HMMU_SKIP("transparent large pages");
	touch_all(m);
	if (live_huge(m->p, LARGE) != PER_LARGE)
		HMMU_SKIP("a large zero page");
}

/* Unmap the end of the heap with brk(2). */
static void shrink_heap(struct kind_memory *m)
{
	HMMU_CHECK_OK(brk(m->p));
}

void kind_heap(struct kind_memory *m)
{
	char *end;

	live_need_libc_heap();
	end = page_up(sbrk(0));
	HMMU_CHECK_OK(brk(end + BYTES));
	set(m, end, PAGES);
	m->unmap = shrink_heap;
	live_fill(m->p, BYTES, SEED);
}

/* malloc() in a second thread, which has its own arena. */
static void *allocate(void *arg)
{
	*(void **)arg = malloc(BYTES + PAGE);
	return NULL;
}

void kind_arena(struct kind_memory *m)
{
	void *p = NULL;

	live_need_libc_heap();
	live_join(live_thread(allocate, &p));
	HMMU_CHECK(p);
	set(m, page_up(p), PAGES);
	m->stays = true;
	live_fill(m->p, BYTES, SEED);
}

/* Large, so that its middle has a distance to the program's variables. */
static char bss[64 * PAGE] __attribute__((aligned(4096)));

void kind_bss(struct kind_memory *m)
{
	live_need_program_alone();
	set(m, bss + 30 * PAGE, PAGES);
	m->stays = true;
	live_fill(m->p, BYTES, SEED);
}

static void *stand_on_stack(void *arg)
{
	/* The thread waits on the part of the stack below it. */
	char area[BYTES + PAGE];
	struct kind_memory *m = arg;
	char c;

	m->p = page_up(area);
	live_fill(m->p, BYTES, SEED);
	HMMU_CHECK_INT(write(m->pipe[1], "", 1), 1);
	while (read(m->file, &c, 1) < 0)
		HMMU_CHECK_INT(errno, EINTR);
	return NULL;
}

void kind_thread_stack(struct kind_memory *m)
{
	int go[2];
	char c;

	live_need_program_alone();
	set(m, NULL, PAGES);
	m->stays = true;
	HMMU_CHECK_OK(pipe(m->pipe));
	HMMU_CHECK_OK(pipe(go));
	m->file = go[0];
	m->thread = live_thread(stand_on_stack, m);
	m->has_thread = true;
	HMMU_CHECK_INT(read(m->pipe[0], &c, 1), 1);
	close(m->pipe[1]);
	m->pipe[1] = go[1];
	/* Give it time to sleep in read(2). */
	live_sleep_ms(20);
}

void kind_main_stack(struct kind_memory *m)
{
	live_need_program_alone();
	HMMU_CHECK(m->p);
	set(m, m->p, PAGES);
	m->stays = true;
	live_fill(m->p, BYTES, SEED);
}

void kind_locked(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	if (live_lock(m->p, BYTES))
		HMMU_SKIP("mlock");
}

void kind_droppable(struct kind_memory *m)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		HMMU_SKIP("MAP_DROPPABLE");
	set(m, p, PAGES);
	live_fill(p, BYTES, SEED);
}

static void protect(struct kind_memory *m, int prot)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	HMMU_CHECK_OK(mprotect(m->p, BYTES, prot));
	m->readable = prot & PROT_READ;
}

void kind_readonly(struct kind_memory *m)
{
	protect(m, PROT_READ);
}

void kind_writeonly(struct kind_memory *m)
{
	protect(m, PROT_WRITE);
}

void kind_none(struct kind_memory *m)
{
	protect(m, PROT_NONE);
}

void kind_guard(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	if (madvise(m->p, BYTES, MADV_GUARD_INSTALL))
		HMMU_SKIP("MADV_GUARD_INSTALL");
	m->readable = false;
}

void kind_hole(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	HMMU_CHECK_OK(munmap(m->p, BYTES));
	m->readable = false;
}

void kind_swapped(struct kind_memory *m)
{
	live_need_swap();
	set(m, live_map_small(PAGES, SEED), PAGES);
	live_swap_out(m->p, BYTES);
}

/* After a fork -------------------------------------------------------------- */

/* The child shares the pages and checks at its end that they are the same. */
static void fork_beside(struct kind_memory *m)
{
	char c;

	HMMU_CHECK_OK(pipe(m->pipe));
	m->child = fork();
	HMMU_CHECK(m->child >= 0);
	if (m->child)
		return;
	close(m->pipe[1]);
	while (read(m->pipe[0], &c, 1) < 0)
		;
	LIVE_CHECK(m->p, m->pages * PAGE, SEED);
	_exit(0);
}

static void end_child(struct kind_memory *m)
{
	close(m->pipe[1]);
	live_child_ok(m->child);
	close(m->pipe[0]);
	m->child = 0;
}

void kind_forked(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	fork_beside(m);
}

void kind_forked_large(struct kind_memory *m)
{
	set(m, live_map_large(1, SEED), PER_LARGE);
	fork_beside(m);
}

void kind_child_gone(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	fork_beside(m);
	end_child(m);
}

/* Shared memory ------------------------------------------------------------- */

static uint64_t see_other(const struct kind_memory *m)
{
	return *(volatile uint64_t *)m->other;
}

void kind_shared_anonymous(struct kind_memory *m)
{
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	HMMU_CHECK(p != MAP_FAILED);
	set(m, p, PAGES);
	live_fill(p, BYTES, SEED);
	/* With an old length of 0 mremap(2) maps the same memory again. */
	m->other = mremap(p, 0, BYTES, MREMAP_MAYMOVE);
	HMMU_CHECK(m->other != MAP_FAILED);
	m->others_see = see_other;
}

static void detach(struct kind_memory *m)
{
	HMMU_CHECK_OK(shmdt(m->p));
}

void kind_sysv(struct kind_memory *m)
{
	int id = shmget(IPC_PRIVATE, BYTES, IPC_CREAT | 0600);

	if (id < 0)
		HMMU_SKIP("System V shared memory");
	set(m, shmat(id, NULL, 0), PAGES);
	HMMU_CHECK(m->p != MAP_FAILED);
	m->other = shmat(id, NULL, 0);
	HMMU_CHECK(m->other != MAP_FAILED);
	HMMU_CHECK_OK(shmctl(id, IPC_RMID, NULL));
	m->unmap = detach;
	m->others_see = see_other;
	live_fill(m->p, BYTES, SEED);
}

static void *need_hugetlb(void *p, unsigned int lg2)
{
	if (p == MAP_FAILED)
		HMMU_SKIP(lg2 == HMMU_LARGE_LG2 ? "hugetlb pages" :
						  "hugetlb pages of 1 GiB");
	return p;
}

static void map_hugetlb(struct kind_memory *m, unsigned int lg2)
{
	size_t bytes = 1ul << lg2;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			       (int)(lg2 << 26),
		       -1, 0);

	set(m, need_hugetlb(p, lg2), PER_LARGE);
	m->all = p;
	m->all_bytes = bytes;
	live_fill(p, LARGE, SEED);
}

void kind_hugetlb(struct kind_memory *m)
{
	map_hugetlb(m, HMMU_LARGE_LG2);
}

void kind_hugetlb_1g(struct kind_memory *m)
{
	map_hugetlb(m, 30);
}

void kind_hugetlb_shared(struct kind_memory *m)
{
	int file = memfd_create("test", MFD_CLOEXEC | MFD_HUGETLB | 21u << 26);
	void *p = MAP_FAILED;

	if (file >= 0 && !ftruncate(file, LARGE))
		p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, file,
			 0);
	set(m, need_hugetlb(p, HMMU_LARGE_LG2), PER_LARGE);
	m->other = mmap(NULL, LARGE, PROT_READ, MAP_SHARED, file, 0);
	HMMU_CHECK(m->other != MAP_FAILED);
	m->file = file;
	m->others_see = see_other;
	live_fill(p, LARGE, SEED);
}

/* Files --------------------------------------------------------------------- */

static uint64_t see_file(const struct kind_memory *m)
{
	uint64_t word;

	HMMU_CHECK_INT(pread(m->file, &word, sizeof(word), 0), sizeof(word));
	return word;
}

static void fill_file(int file)
{
	uint64_t words[PAGE / sizeof(uint64_t)];
	size_t page, i, count = PAGE / sizeof(uint64_t);

	for (page = 0; page < PAGES; page++) {
		for (i = 0; i < count; i++)
			words[i] = live_word(SEED, page * count + i);
		HMMU_CHECK_INT(write(file, words, PAGE), PAGE);
	}
}

static int make_memfd(void)
{
	int file = memfd_create("test", MFD_CLOEXEC);

	HMMU_CHECK(file >= 0);
	fill_file(file);
	return file;
}

/* In /var/tmp, because /tmp may be in memory. */
static int make_file(void)
{
	int file = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (file < 0)
		HMMU_SKIP("a file in /var/tmp");
	fill_file(file);
	return file;
}

static void map_file(struct kind_memory *m, int file, int prot, int flags)
{
	void *p = mmap(NULL, BYTES, prot, flags, file, 0);

	HMMU_CHECK(p != MAP_FAILED);
	set(m, p, PAGES);
	m->file = file;
	m->others_see = see_file;
	touch_all(m);
}

/* Write each page, so that it becomes the program's own copy. */
static void copy_pages(const struct kind_memory *m)
{
	size_t i;

	for (i = 0; i < m->pages; i++)
		*(volatile uint64_t *)(m->p + i * PAGE + 8) = 7;
}

void kind_memfd_shared(struct kind_memory *m)
{
	map_file(m, make_memfd(), PROT_READ | PROT_WRITE, MAP_SHARED);
}

void kind_memfd_private(struct kind_memory *m)
{
	map_file(m, make_memfd(), PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

void kind_memfd_copied(struct kind_memory *m)
{
	kind_memfd_private(m);
	copy_pages(m);
}

void kind_file_shared(struct kind_memory *m)
{
	map_file(m, make_file(), PROT_READ | PROT_WRITE, MAP_SHARED);
}

void kind_file_private(struct kind_memory *m)
{
	map_file(m, make_file(), PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

void kind_file_copied(struct kind_memory *m)
{
	kind_file_private(m);
	copy_pages(m);
}

void kind_file_readonly(struct kind_memory *m)
{
	map_file(m, make_file(), PROT_READ, MAP_SHARED);
}

/* Mapped, but beyond the end of a truncated file: a CPU access is SIGBUS. */
void kind_file_end(struct kind_memory *m)
{
	map_file(m, make_file(), PROT_READ | PROT_WRITE, MAP_SHARED);
	HMMU_CHECK_OK(ftruncate(m->file, 0));
	m->others_see = NULL;
	m->readable = false;
}

/* Code in a page of its own. */
__attribute__((aligned(4096), used, noinline)) static void code(void)
{
	__asm__ volatile("	.fill 4096, 1, 0x90\n");
}

void kind_text(struct kind_memory *m)
{
	set(m, (char *)(uintptr_t)code, 1);
	m->stays = true;
	m->kept = true;
	touch_all(m);
}

/* Special mappings ---------------------------------------------------------- */

void kind_vdso(struct kind_memory *m)
{
	void *p = (void *)getauxval(AT_SYSINFO_EHDR);

	if (!p)
		HMMU_SKIP("a vdso");
	set(m, p, 1);
	m->stays = true;
	m->kept = true;
	touch_all(m);
}

/* VM_PFNMAP and VM_IO, but readable by the CPU. */
void kind_vvar(struct kind_memory *m)
{
	unsigned long start = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	HMMU_CHECK(maps);
	while (fgets(line, sizeof(line), maps) && !strstr(line, "[vvar]"))
		line[0] = '\0';
	fclose(maps);
	if (sscanf(line, "%lx-", &start) != 1)
		HMMU_SKIP("a vvar mapping");
	set(m, (char *)start, 1);
	/* Its content changes with the clock. */
	m->readable = false;
	m->stays = true;
	m->kept = true;
}

/* VM_PFNMAP and VM_IO, and writable. */
void kind_perf(struct kind_memory *m)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.size = sizeof(attr),
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.exclude_kernel = 1 };
	int file = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1,
				PERF_FLAG_FD_CLOEXEC);
	void *p = file < 0 ? MAP_FAILED :
			     mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, file, 0);

	if (p == MAP_FAILED)
		HMMU_SKIP("perf_event_open");
	set(m, p, 2);
	m->file = file;
	/* Its content changes. */
	m->readable = false;
}

void kind_io_uring(struct kind_memory *m)
{
	struct io_uring_params params = { 0 };
	int file = (int)syscall(SYS_io_uring_setup, 4, &params);
	void *p = file < 0 ? MAP_FAILED :
			     mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED, file, IORING_OFF_SQ_RING);

	if (p == MAP_FAILED)
		HMMU_SKIP("io_uring");
	set(m, p, 1);
	m->file = file;
	/* Discarded content cannot be restored. */
	m->kept = true;
}

void kind_secret(struct kind_memory *m)
{
	int file = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
	void *p = MAP_FAILED;

	if (file >= 0 && !ftruncate(file, BYTES))
		p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file,
			 0);
	if (p == MAP_FAILED)
		HMMU_SKIP("memfd_secret");
	set(m, p, PAGES);
	m->file = file;
	live_fill(p, BYTES, SEED);
}

/* The program's own userfaultfd --------------------------------------------- */

static void register_missing(const struct kind_memory *m)
{
	live_userfaultfd_register(m->file, m->p, m->pages * PAGE,
				  UFFDIO_REGISTER_MODE_MISSING);
}

/* All pages are present, so no thread has to resolve faults. */
void kind_userfaultfd(struct kind_memory *m)
{
	set(m, live_map_small(PAGES, SEED), PAGES);
	m->file = live_userfaultfd(O_NONBLOCK, 0, NULL);
	register_missing(m);
	m->kept = true;
}

/* Poisoned by a userfaultfd that is closed. */
void kind_poison(struct kind_memory *m)
{
	struct uffdio_poison poison;

	set(m, live_map(BYTES), PAGES);
	m->file = live_userfaultfd(O_NONBLOCK, UFFD_FEATURE_POISON,
				   "UFFDIO_POISON");
	register_missing(m);
	poison = (struct uffdio_poison){ .range = { (uintptr_t)m->p, BYTES } };
	if (ioctl(m->file, UFFDIO_POISON, &poison))
		HMMU_SKIP("UFFDIO_POISON");
	close(m->file);
	m->file = -1;
	m->readable = false;
}

/* Memory that must not migrate ---------------------------------------------- */

static void free_own(struct kind_memory *m)
{
	hmmu_free(m->all, m->all_bytes);
}

void kind_hmmu(struct kind_memory *m)
{
	size_t bytes = BYTES + PAGE;
	void *p = hmmu_alloc(bytes);

	HMMU_CHECK(p);
	set(m, page_up(p), PAGES);
	m->all = p;
	m->all_bytes = bytes;
	m->unmap = free_own;
	m->kept = true;
	live_fill(m->p, BYTES, SEED);
}

/* Beginning and ending ------------------------------------------------------ */

void kind_begin(struct kind_memory *m, kind_make_fn *make)
{
	*m = (struct kind_memory){ .p = m->p, .file = -1 };
	make(m);
	if (!m->all) {
		m->all = m->p;
		m->all_bytes = m->pages * PAGE;
	}
}

void kind_unmap(struct kind_memory *m)
{
	if (m->unmap)
		m->unmap(m);
	else if (!m->stays)
		HMMU_CHECK_OK(munmap(m->all, m->all_bytes));
	m->unmap = NULL;
	m->stays = true;
}

void kind_end(struct kind_memory *m)
{
	if (m->has_thread) {
		close(m->pipe[1]);
		live_join(m->thread);
		close(m->pipe[0]);
	}
	if (m->child)
		end_child(m);
	kind_unmap(m);
	/* munmap(2) also detaches System V memory. */
	if (m->other)
		HMMU_CHECK_OK(munmap(m->other, m->pages * PAGE));
	if (m->file >= 0)
		close(m->file);
}
