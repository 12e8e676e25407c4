/* SPDX-License-Identifier: MIT */
/*
 * The cost of exclusive access
 *
 * The floor is the bare UFFDIO_MOVE of the page. Ours notifies all subscribers,
 * unshares the page, moves it, and maps it in the device. The end of exclusive
 * access is the row exclusive_revoke in rows_touch.c.
 */
#include <unistd.h>

#include <hmmu/exclusive.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

#define PAGES ((size_t)HMMU_PAGES_PER_LARGE)

struct acquire {
	struct bench_run *run;
	char *memory;
	/* Floor. */
	char *staging;
	int fd;
	/* Ours; NULL for the floor. */
	struct bench_device *device;
};

static void take_exclusive(const struct acquire *a, size_t page)
{
	size_t at = page * HMMU_PAGE_BYTES;

	if (a->device)
		bench_must(a->run,
			   hmmu_device_make_exclusive(a->device->device,
						      (uintptr_t)a->memory + at,
						      HMMU_PAGE_BYTES, NULL),
			   "hmmu_device_make_exclusive");
	else
		bench_uffd_move(a->run, a->fd, (uintptr_t)a->staging + at,
				(uintptr_t)a->memory + at, HMMU_PAGE_BYTES);
}

static void give_back(const struct acquire *a)
{
	if (a->device)
		bench_to_home(a->device, a->memory, PAGES * HMMU_PAGE_BYTES);
	else
		bench_uffd_move(a->run, a->fd, (uintptr_t)a->memory,
				(uintptr_t)a->staging, PAGES * HMMU_PAGE_BYTES);
}

/* The median and the 99th percentile, in us. */
static double measure(const struct acquire *a, double *p99)
{
	size_t rounds = a->run->quick ? 2 : 12;
	double *us = bench_alloc(a->run, (rounds + 1) * PAGES * sizeof(*us));
	double median;
	uint64_t begin;
	size_t i, page;

	for (i = 0; i <= rounds; i++) {
		for (page = 0; page < PAGES; page++) {
			begin = bench_now_ns();
			take_exclusive(a, page);
			us[i * PAGES + page] =
				(double)(bench_now_ns() - begin) * 1e-3;
		}
		give_back(a);
	}
	/* The first round warms up. */
	median = bench_median(us + PAGES, rounds * PAGES);
	*p99 = bench_p99(us + PAGES, rounds * PAGES);
	return median;
}

void bench_exclusive_acquire(struct bench_run *run)
{
	struct acquire a = { .run = run };
	struct bench_case *c =
		bench_case(run, "4 KiB, in system memory before");
	struct bench_device d;
	double floor_p99, ours_p99;

	bench_pin(run->cpu);
	bench_where(c, "CPU %d, service CPU %d", run->cpu, run->cpu);
	a.memory = bench_map(run, HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	a.fd = bench_uffd_open(run);
	a.staging = bench_map_empty(run, HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	bench_uffd_watch(run, a.fd, a.memory, HMMU_LARGE_BYTES);
	bench_uffd_watch(run, a.fd, a.staging, HMMU_LARGE_BYTES);
	c->floor = measure(&a, &floor_p99);
	close(a.fd);
	bench_unmap(a.staging, HMMU_LARGE_BYTES);

	bench_device_open(run, &d, HMMU_LARGE_BYTES, 1);
	bench_service_pin(run, run->cpu);
	a.device = &d;
	c->ours = measure(&a, &ours_p99);
	bench_note(c, "99 %% within: floor %.1f, ours %.1f", floor_p99,
		   ours_p99);
	bench_check(run, a.memory, HMMU_LARGE_BYTES);
	bench_device_close(&d);
}
