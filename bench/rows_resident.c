/* SPDX-License-Identifier: MIT */
/*
 * hmmu_populate() before a system call, and pinning
 *
 * For device memory the floor is the two system calls that are always needed:
 * UFFDIO_MOVE of the same pages, and MADV_POPULATE_WRITE of the range, which
 * may have holes. For present memory it is only the second.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <hmmu/pin.h>

#include "device.h"
#include "measure.h"
#include "rows.h"
#include "uapi/linux_mm.h"

#define LARGE_UNITS 32u

/* @bytes of memory, populated in units of @unit_bytes. */
struct resident {
	struct bench_run *run;
	char *memory;
	size_t bytes;
	size_t unit_bytes;
	enum bench_pages pages;
	/* The memory is present before, not on the device. */
	bool is_present;
	/* Floor. */
	char *staging;
	int fd;
	/* Ours; NULL for the floor. */
	struct bench_device *device;
};

static void take_away(const struct resident *r)
{
	size_t at;

	if (r->is_present)
		return;
	if (r->device) {
		bench_to_device(r->device, r->memory, r->bytes);
		return;
	}
	for (at = 0; at < r->bytes; at += HMMU_LARGE_BYTES)
		bench_uffd_move(r->run, r->fd, (uintptr_t)r->staging + at,
				(uintptr_t)r->memory + at, HMMU_LARGE_BYTES);
}

static void make_present(const struct resident *r, size_t at)
{
	uintptr_t start = (uintptr_t)r->memory + at;

	if (r->device) {
		bench_must(r->run,
			   hmmu_populate(r->device->space, start,
					 r->unit_bytes),
			   "hmmu_populate");
		return;
	}
	if (!r->is_present)
		bench_uffd_move(r->run, r->fd, start,
				(uintptr_t)r->staging + at, r->unit_bytes);
	if (madvise(r->memory + at, r->unit_bytes, MADV_POPULATE_WRITE))
		bench_fail(r->run, "MADV_POPULATE_WRITE: %s", strerror(errno));
}

/* The median and the 99th percentile, in us. */
static double measure(const struct resident *r, double *p99)
{
	size_t rounds = r->run->quick ? 2 : 12;
	size_t units = r->bytes / r->unit_bytes;
	double *us = bench_alloc(r->run, (rounds + 1) * units * sizeof(*us));
	double median;
	uint64_t begin;
	size_t i, k;

	for (i = 0; i <= rounds; i++) {
		take_away(r);
		for (k = 0; k < units; k++) {
			begin = bench_now_ns();
			make_present(r, k * r->unit_bytes);
			us[i * units + k] =
				(double)(bench_now_ns() - begin) * 1e-3;
		}
	}
	/* The first round warms up. */
	median = bench_median(us + units, rounds * units);
	*p99 = bench_p99(us + units, rounds * units);
	return median;
}

static double measure_floor(struct resident *r, double *p99)
{
	double us;

	r->fd = bench_uffd_open(r->run);
	r->staging = bench_map_empty(r->run, r->bytes, r->pages);
	bench_uffd_watch(r->run, r->fd, r->memory, r->bytes);
	bench_uffd_watch(r->run, r->fd, r->staging, r->bytes);
	us = measure(r, p99);
	close(r->fd);
	bench_unmap(r->staging, r->bytes);
	return us;
}

/* All pages are present, with their content, and large if they were. */
static void verify(const struct resident *r)
{
	size_t want = r->pages == BENCH_LARGE_PAGES ? r->bytes : 0;

	if (bench_present_bytes(r->run, r->memory, r->bytes) != r->bytes)
		bench_fail(r->run, "populated pages are not present");
	if (bench_large_bytes(r->run, r->memory, r->bytes) < want)
		bench_fail(r->run, "large pages were lost");
	bench_check(r->run, r->memory, r->bytes);
}

static void resident_case(struct resident r, const char *label)
{
	struct bench_case *c = bench_case(r.run, "%s", label);
	double floor_p99, ours_p99;
	struct bench_device d;

	bench_where(c, "CPU %d, service CPU %d", r.run->cpu, r.run->cpu);
	r.memory = bench_map(r.run, r.bytes, r.pages);
	c->floor = measure_floor(&r, &floor_p99);
	bench_device_open(r.run, &d, r.bytes, 1);
	bench_service_pin(r.run, r.run->cpu);
	r.device = &d;
	c->ours = measure(&r, &ours_p99);
	bench_note(c, "99 %% within: floor %.1f, ours %.1f", floor_p99,
		   ours_p99);
	verify(&r);
	bench_device_close(&d);
	bench_unmap(r.memory, r.bytes);
}

void bench_make_resident(struct bench_run *run)
{
	struct resident r = { .run = run,
			      .bytes = HMMU_LARGE_BYTES,
			      .unit_bytes = HMMU_PAGE_BYTES,
			      .pages = BENCH_SMALL_PAGES };

	bench_pin(run->cpu);
	resident_case(r, "4 KiB, device");
	r.is_present = true;
	resident_case(r, "4 KiB, present");
	r.is_present = false;
	r.bytes = LARGE_UNITS * HMMU_LARGE_BYTES;
	r.unit_bytes = HMMU_LARGE_BYTES;
	resident_case(r, "2 MiB of 4 KiB pages, device");
	r.pages = BENCH_LARGE_PAGES;
	resident_case(r, "2 MiB, a large page, device");
}

/* --- pin ------------------------------------------------------------------- */

static double pin_ns(struct bench_device *d, uintptr_t start, uintptr_t end)
{
	size_t rounds = d->run->quick ? 500 : 4000;
	double *ns = bench_alloc(d->run, rounds * sizeof(*ns));
	uint64_t begin;
	size_t i;
	int err;

	for (i = 0; i < rounds; i++) {
		begin = bench_now_ns();
		err = hmmu_pin_range(d->space, start, end - start);
		if (!err)
			err = hmmu_unpin_range(d->space, start, end - start);
		ns[i] = (double)(bench_now_ns() - begin);
		bench_must(d->run, err, "hmmu_pin_range or hmmu_unpin_range");
	}
	return bench_median(ns + rounds / 8, rounds - rounds / 8);
}

void bench_pin_unpin(struct bench_run *run)
{
	struct bench_case *page = bench_case(run, "4 KiB");
	struct bench_case *large = bench_case(run, "2 MiB, a large page");
	uintptr_t start;
	struct bench_device d;

	bench_pin(run->cpu);
	start = (uintptr_t)bench_map(run, HMMU_LARGE_BYTES, BENCH_LARGE_PAGES);
	bench_device_open(run, &d, HMMU_LARGE_BYTES, 1);
	page->ours = pin_ns(&d, start, start + HMMU_PAGE_BYTES);
	large->ours = pin_ns(&d, start, start + HMMU_LARGE_BYTES);
	bench_device_close(&d);
}
