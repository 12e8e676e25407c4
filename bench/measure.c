/* SPDX-License-Identifier: MIT */
/*
 * Time, medians, threads and memory for the rows
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"
#include "uapi/linux_mm.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t bench_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), compare_double);
	return values[count / 2];
}

double bench_p99(const double *sorted, size_t count)
{
	return sorted[count * 99 / 100];
}

void *bench_alloc(struct bench_run *run, size_t bytes)
{
	void *p = malloc(bytes);

	if (!p)
		bench_skip(run, "%zu bytes of memory", bytes);
	return p;
}

/* --- threads --------------------------------------------------------------- */

void bench_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

void bench_second_thread(struct bench_run *run)
{
	pthread_t thread;

	bench_must(run, -pthread_create(&thread, NULL, sleeper, NULL),
		   "pthread_create");
}

static void *spin(void *arg)
{
	struct bench_spinner *s = arg;
	uint64_t wall, own;

	bench_pin(s->cpu);
	wall = bench_now_ns();
	own = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	atomic_store_explicit(&s->runs, true, memory_order_release);
	while (!atomic_load_explicit(&s->stop, memory_order_relaxed))
		continue;
	own = clock_ns(CLOCK_THREAD_CPUTIME_ID) - own;
	s->share = (double)own / (double)(bench_now_ns() - wall);
	return NULL;
}

void bench_spinner_start(struct bench_run *run, struct bench_spinner *s,
			 int cpu)
{
	s->cpu = cpu;
	atomic_init(&s->stop, false);
	atomic_init(&s->runs, false);
	bench_must(run, -pthread_create(&s->thread, NULL, spin, s),
		   "pthread_create");
	/* Pairs with the release store in spin(). */
	while (!atomic_load_explicit(&s->runs, memory_order_acquire))
		sched_yield();
}

void bench_spinner_stop(struct bench_spinner *s)
{
	atomic_store_explicit(&s->stop, true, memory_order_relaxed);
	pthread_join(s->thread, NULL);
}

/* --- memory ---------------------------------------------------------------- */

void *bench_map_empty(struct bench_run *run, size_t bytes,
		      enum bench_pages pages)
{
	size_t all = bytes + 2 * HMMU_LARGE_BYTES;
	char *p =
		mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t at;

	if (p == MAP_FAILED)
		bench_skip(run, "%zu MiB of address space", all >> 20);
	at = ((uintptr_t)p + HMMU_LARGE_BYTES) & ~(HMMU_LARGE_BYTES - 1);
	p += at - (uintptr_t)p;
	if (mprotect(p, bytes, PROT_READ | PROT_WRITE))
		bench_fail(run, "mprotect: %s", strerror(errno));
	(void)madvise(p, bytes,
		      pages == BENCH_LARGE_PAGES ? MADV_HUGEPAGE :
						   MADV_NOHUGEPAGE);
	return p;
}

void *bench_map(struct bench_run *run, size_t bytes, enum bench_pages pages)
{
	void *p = bench_map_empty(run, bytes, pages);

	bench_fill(p, bytes);
	if (pages == BENCH_LARGE_PAGES &&
	    bench_large_bytes(run, p, bytes) != bytes)
		bench_skip(run,
			   "transparent huge pages (enabled=madvise, and "
			   "%zu MiB of memory that is not fragmented)",
			   bytes >> 20);
	return p;
}

/* The inaccessible neighbours remain until the process ends. */
void bench_unmap(void *p, size_t bytes)
{
	munmap(p, bytes);
}

void bench_fill(void *p, size_t bytes)
{
	char *at = p;
	size_t i;

	for (i = 0; i < bytes / HMMU_PAGE_BYTES; i++)
		*(uint64_t *)(at + i * HMMU_PAGE_BYTES) = bench_page_word(i);
}

void bench_check(struct bench_run *run, const void *p, size_t bytes)
{
	const char *at = p;
	size_t i;

	for (i = 0; i < bytes / HMMU_PAGE_BYTES; i++)
		if (*(const uint64_t *)(at + i * HMMU_PAGE_BYTES) !=
		    bench_page_word(i))
			bench_fail(run, "page %zu has lost its content", i);
}

/* --- PAGEMAP_SCAN ---------------------------------------------------------- */

#define REGIONS 4096u

static struct page_region regions[REGIONS];

static int pagemap(struct bench_run *run)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		bench_skip(run, "/proc/self/pagemap");
	return fd;
}

/* Scan from @arg->start; the number of regions, or -errno. */
static long scan(struct bench_run *run, struct pm_scan_arg *arg)
{
	long n = ioctl(pagemap(run), PAGEMAP_SCAN, arg);

	if (n < 0 && errno == ENOTTY)
		bench_skip(run, "PAGEMAP_SCAN (Linux 6.7)");
	return n < 0 ? -errno : n;
}

static size_t count_bytes(struct bench_run *run, const void *p, size_t bytes,
			  uint64_t categories)
{
	struct pm_scan_arg arg = { .size = sizeof(arg),
				   .start = (uintptr_t)p,
				   .end = (uintptr_t)p + bytes,
				   .vec = (uintptr_t)regions,
				   .vec_len = REGIONS,
				   .category_mask = categories,
				   .return_mask = categories };
	size_t found = 0;
	long n, i;

	for (; arg.start < arg.end; arg.start = arg.walk_end) {
		n = scan(run, &arg);
		if (n < 0)
			bench_fail(run, "PAGEMAP_SCAN: %s", strerror((int)-n));
		for (i = 0; i < n; i++)
			found += regions[i].end - regions[i].start;
	}
	return found;
}

size_t bench_present_bytes(struct bench_run *run, const void *p, size_t bytes)
{
	return count_bytes(run, p, bytes, PAGE_IS_PRESENT);
}

size_t bench_large_bytes(struct bench_run *run, const void *p, size_t bytes)
{
	return count_bytes(run, p, bytes, PAGE_IS_PRESENT | PAGE_IS_HUGE);
}

uint64_t bench_scan_categories(struct bench_run *run)
{
	static const uint64_t tries[] = { 0x1ff, 0x7f };
	struct pm_scan_arg arg = { .size = sizeof(arg),
				   .start = (uintptr_t)regions & ~0xffful,
				   .vec = (uintptr_t)regions,
				   .vec_len = REGIONS };
	size_t i;

	arg.end = arg.start + HMMU_PAGE_BYTES;
	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		arg.category_anyof_mask = arg.return_mask = tries[i];
		if (scan(run, &arg) >= 0)
			return tries[i];
	}
	bench_skip(run, "PAGEMAP_SCAN");
}

size_t bench_scan(struct bench_run *run, const void *p, size_t bytes,
		  uint64_t categories)
{
	struct pm_scan_arg arg = { .size = sizeof(arg),
				   .start = (uintptr_t)p,
				   .end = (uintptr_t)p + bytes,
				   .vec = (uintptr_t)regions,
				   .vec_len = REGIONS,
				   .category_anyof_mask = categories,
				   .return_mask = categories };
	size_t found = 0;
	long n;

	for (; arg.start < arg.end; arg.start = arg.walk_end) {
		n = scan(run, &arg);
		if (n < 0)
			bench_fail(run, "PAGEMAP_SCAN: %s", strerror((int)-n));
		found += (size_t)n;
	}
	return found;
}
