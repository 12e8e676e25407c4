/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_MEASURE_H
#define HMMU_BENCH_MEASURE_H

/*
 * Time, medians, threads and memory for the rows
 */

#include <pthread.h>
#include <stdatomic.h>

#include "row.h"

/* Make the optimiser assume that @value is used. */
static inline void bench_keep(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

uint64_t bench_now_ns(void);

/* bench_median() sorts @values; bench_p99() needs them sorted. */
double bench_median(double *values, size_t count);
double bench_p99(const double *sorted, size_t count);

/* malloc() that skips the row if it fails. */
void *bench_alloc(struct bench_run *run, size_t bytes);

/* Pin the calling thread. */
void bench_pin(int cpu);

/*
 * Create a second thread for the rest of the process. Without one the C library
 * omits atomic instructions, and locks look cheaper than they are.
 */
void bench_second_thread(struct bench_run *run);

/*
 * Another busy CPU: a thread of this process spins on @cpu, so that every
 * change of a page-table entry must interrupt it. It spins without PAUSE, which
 * a hypervisor may intercept.
 */
struct bench_spinner {
	pthread_t thread;
	_Atomic bool stop;
	_Atomic bool runs;
	/* The CPU time it got, as a share of the wall time: 0 to 1. */
	double share;
	int cpu;
};

void bench_spinner_start(struct bench_run *run, struct bench_spinner *s,
			 int cpu);
/*
 * Sets @s->share. It is low if another process used the CPU, too. Then the CPU
 * was less busy with this process than the case claims.
 */
void bench_spinner_stop(struct bench_spinner *s);

/* --- memory ---------------------------------------------------------------- */

enum bench_pages {
	BENCH_SMALL_PAGES = 0, /* MADV_NOHUGEPAGE */
	BENCH_LARGE_PAGES, /* MADV_HUGEPAGE; if not large, skip the row */
};

/*
 * Private anonymous memory, 2 MiB aligned, between two inaccessible neighbours,
 * so that it does not merge with another mapping. Populated: word 0 of each
 * page is bench_page_word(). After the first use the host backs it, too.
 */
void *bench_map(struct bench_run *run, size_t bytes, enum bench_pages pages);
/* The same, not populated. */
void *bench_map_empty(struct bench_run *run, size_t bytes,
		      enum bench_pages pages);
void bench_unmap(void *p, size_t bytes);

static inline uint64_t bench_page_word(size_t page)
{
	return page * 0x9e3779b97f4a7c15ull + 1;
}

/* Write the words of all pages; check them and fail the row if one differs. */
void bench_fill(void *p, size_t bytes);
void bench_check(struct bench_run *run, const void *p, size_t bytes);

/* The bytes of the range that are present, or mapped as large pages. */
size_t bench_present_bytes(struct bench_run *run, const void *p, size_t bytes);
size_t bench_large_bytes(struct bench_run *run, const void *p, size_t bytes);

/* All categories that the kernel has. Skips the row without PAGEMAP_SCAN. */
uint64_t bench_scan_categories(struct bench_run *run);

/*
 * One bare PAGEMAP_SCAN of the range for @categories; returns the number of
 * regions it reported.
 */
size_t bench_scan(struct bench_run *run, const void *p, size_t bytes,
		  uint64_t categories);

#endif
