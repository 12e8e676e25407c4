/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_MEASURE_H
#define HMMU_BENCH_MEASURE_H

/*
 * Time, medians, threads and memory for the rows.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "row.h"

/* The optimiser must believe that @value is used. */
static inline void bench_keep(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

uint64_t bench_now_ns(void);

/* Sorts @values; the one in the middle, and the one that 99 % do not exceed. */
double bench_median(double *values, size_t count);
double bench_p99(const double *sorted, size_t count);

/* malloc() that ends the row when there is none. */
void *bench_alloc(struct bench_run *run, size_t bytes);

/* Pins the calling thread. */
void bench_pin(int cpu);

/*
 * Makes the C library believe in a second thread for the rest of the process:
 * without one it leaves atomics out, and locks look cheaper than they are.
 */
void bench_second_thread(struct bench_run *run);

/*
 * Another busy CPU: a thread of this process that spins on @cpu, so that every
 * change of a page-table entry has to interrupt it. It spins without PAUSE,
 * which a hypervisor may intercept.
 */
struct bench_spinner {
	pthread_t thread;
	_Atomic bool stop;
	_Atomic bool runs;
	/* Of the time it was meant to spin, how much it did: 0 to 1. */
	double share;
	int cpu;
};

void bench_spinner_start(struct bench_run *run, struct bench_spinner *s,
			 int cpu);
/*
 * Sets @s->share. Where another process wanted the CPU too, this one was not
 * as busy there as the case says, and there was less to interrupt.
 */
void bench_spinner_stop(struct bench_spinner *s);

/* --- memory ---------------------------------------------------------------- */

enum bench_pages {
	BENCH_SMALL_PAGES = 0, /* MADV_NOHUGEPAGE */
	BENCH_LARGE_PAGES, /* MADV_HUGEPAGE; large or the row is skipped */
};

/*
 * Private anonymous memory, 2 MiB aligned, alone between two inaccessible
 * neighbours, so that no other mapping merges with it. Touched: word 0 of each
 * page holds bench_page_word(). Backed by the host after the first time.
 */
void *bench_map(struct bench_run *run, size_t bytes, enum bench_pages pages);
/* The same, untouched. */
void *bench_map_empty(struct bench_run *run, size_t bytes,
		      enum bench_pages pages);
void bench_unmap(void *p, size_t bytes);

static inline uint64_t bench_page_word(size_t page)
{
	return page * 0x9e3779b97f4a7c15ull + 1;
}

/* Writes the words of all pages; fails the row unless they are as written. */
void bench_fill(void *p, size_t bytes);
void bench_check(struct bench_run *run, const void *p, size_t bytes);

/* How many bytes of the range are present, and mapped as large pages. */
size_t bench_present_bytes(struct bench_run *run, const void *p, size_t bytes);
size_t bench_large_bytes(struct bench_run *run, const void *p, size_t bytes);

/* All categories the kernel knows; 0 where there is no PAGEMAP_SCAN. */
uint64_t bench_scan_categories(struct bench_run *run);

/*
 * One bare PAGEMAP_SCAN of the range for @categories; returns the number of
 * regions it reported.
 */
size_t bench_scan(struct bench_run *run, const void *p, size_t bytes,
		  uint64_t categories);

#endif
