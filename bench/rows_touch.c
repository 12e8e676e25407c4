/* SPDX-License-Identifier: MIT */
/*
 * CPU access to pages on the device
 *
 * The floor is the bare round trip: a thread polls and reads a userfaultfd and
 * resolves the fault with UFFDIO_MOVE from a staging area. It runs on the CPU
 * of the faulting thread, or on another one, which may have to be woken. The
 * fault service of the space is pinned in the same way. An access to a page
 * that is exclusive to a device has the same floor.
 */
#include <unistd.h>

#include <hmmu/exclusive.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

#define BLOCKS 64u

/* In each block of 2 MiB one page of @unit_bytes is on the device. */
struct touch {
	struct bench_run *run;
	char *memory;
	size_t unit_bytes;
	bool is_write;
	/* Ours is exclusive to the device, not in its memory. */
	bool exclusive;
	/* Floor. */
	char *staging;
	int fd;
	/* Ours; NULL for the floor. */
	struct bench_device *device;
};

static void take_ours(const struct touch *t, const char *p)
{
	uintptr_t start = (uintptr_t)p;

	if (t->exclusive)
		bench_must(t->run,
			   hmmu_device_make_exclusive(t->device->device, start,
						      t->unit_bytes, NULL),
			   "hmmu_device_make_exclusive");
	else
		bench_to_device(t->device, p, t->unit_bytes);
}

static void take_away(const struct touch *t)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		size_t at = i * HMMU_LARGE_BYTES;

		if (t->device)
			take_ours(t, t->memory + at);
		else
			bench_uffd_move(t->run, t->fd,
					(uintptr_t)t->staging + at,
					(uintptr_t)t->memory + at,
					t->unit_bytes);
	}
}

/* Access all pages; the time of each access in us. */
static void touch_all(const struct touch *t, double *us)
{
	uint64_t begin;
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		volatile uint64_t *p =
			(volatile uint64_t *)(void *)(t->memory +
						      i * HMMU_LARGE_BYTES);

		begin = bench_now_ns();
		if (t->is_write)
			*p = bench_page_word(i * HMMU_PAGES_PER_LARGE);
		else
			bench_keep(*p);
		us[i] = (double)(bench_now_ns() - begin) * 1e-3;
	}
}

static void uffd_take_all(const struct touch *t, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at += HMMU_LARGE_BYTES)
		bench_uffd_move(t->run, t->fd, (uintptr_t)t->staging + at,
				(uintptr_t)t->memory + at, HMMU_LARGE_BYTES);
}

/* The median and the 99th percentile, in us. */
static double measure(const struct touch *t, double *p99)
{
	size_t rounds = t->run->quick ? 4 : 24;
	double *us = bench_alloc(t->run, (rounds + 1) * BLOCKS * sizeof(*us));
	double median;
	size_t i;

	for (i = 0; i <= rounds; i++) {
		take_away(t);
		touch_all(t, us + i * BLOCKS);
	}
	/* The first round warms up. */
	median = bench_median(us + BLOCKS, rounds * BLOCKS);
	*p99 = bench_p99(us + BLOCKS, rounds * BLOCKS);
	return median;
}

static double floor_of(const struct touch *t, int service_cpu, double *p99)
{
	struct bench_server server = {
		.run = t->run,
		.fd = t->fd,
		.cpu = service_cpu,
		.staging_minus_memory =
			(uintptr_t)t->staging - (uintptr_t)t->memory,
		.unit_bytes = t->unit_bytes,
	};
	double us;

	bench_server_start(&server);
	us = measure(t, p99);
	bench_server_stop(&server);
	return us;
}

/* A case of touch_4k and touch_2m. */
struct placement {
	struct bench_case *c;
	int service_cpu;
	bool is_write;
	double floor_p99;
};

static void plan(struct bench_run *run, struct placement *p, bool is_write,
		 bool other)
{
	p->is_write = is_write;
	p->service_cpu = other ? run->other_cpu : run->cpu;
	p->c = bench_case(run, "%s, service on %s CPU",
			  is_write ? "write" : "read",
			  other ? "another" : "the same");
	bench_where(p->c, "CPU %d, service CPU %d", run->cpu, p->service_cpu);
}

/* A userfaultfd over the memory and a staging area of its size. */
static int open_floor(struct touch *t, size_t bytes)
{
	t->fd = bench_uffd_open(t->run);
	t->staging = bench_map_empty(t->run, bytes, BENCH_LARGE_PAGES);
	bench_uffd_watch(t->run, t->fd, t->memory, bytes);
	bench_uffd_watch(t->run, t->fd, t->staging, bytes);
	return t->fd;
}

static void close_floor(struct touch *t, size_t bytes)
{
	close(t->fd);
	bench_unmap(t->staging, bytes);
}

static void measure_floors(struct touch *t, struct placement *p, size_t count)
{
	size_t i;

	open_floor(t, BLOCKS * HMMU_LARGE_BYTES);
	for (i = 0; i < count; i++) {
		t->is_write = p[i].is_write;
		p[i].c->floor = floor_of(t, p[i].service_cpu, &p[i].floor_p99);
	}
	close_floor(t, BLOCKS * HMMU_LARGE_BYTES);
}

static void measure_ours(struct touch *t, struct placement *p, size_t count)
{
	struct bench_device d;
	double p99;
	size_t i;

	bench_device_open(t->run, &d, BLOCKS * HMMU_LARGE_BYTES, 1);
	t->device = &d;
	for (i = 0; i < count; i++) {
		bench_service_pin(t->run, p[i].service_cpu);
		t->is_write = p[i].is_write;
		p[i].c->ours = measure(t, &p99);
		bench_note(p[i].c, "99 %% within: floor %.1f, ours %.1f",
			   p[i].floor_p99, p99);
	}
	bench_check(t->run, t->memory, BLOCKS * HMMU_LARGE_BYTES);
	bench_device_close(&d);
}

static void touch(struct bench_run *run, size_t unit_bytes,
		  enum bench_pages pages, bool exclusive)
{
	struct placement p[4];
	size_t count = run->other_cpu >= 0 ? 4 : 2;
	struct touch t = { .run = run,
			   .unit_bytes = unit_bytes,
			   .exclusive = exclusive };
	size_t i;

	bench_pin(run->cpu);
	for (i = 0; i < count; i++)
		plan(run, &p[i], i % 2 == 0, i >= 2);
	t.memory = bench_map(run, BLOCKS * HMMU_LARGE_BYTES, pages);
	measure_floors(&t, p, count);
	measure_ours(&t, p, count);
}

void bench_touch_4k(struct bench_run *run)
{
	touch(run, HMMU_PAGE_BYTES, BENCH_SMALL_PAGES, false);
}

void bench_exclusive_revoke(struct bench_run *run)
{
	touch(run, HMMU_PAGE_BYTES, BENCH_SMALL_PAGES, true);
}

void bench_touch_2m(struct bench_run *run)
{
	touch(run, HMMU_LARGE_BYTES, BENCH_LARGE_PAGES, false);
}

/* --- sweep ----------------------------------------------------------------- */

/* UMap's benchmark accesses each page once; the other steps are additional. */
static const struct sweep {
	const char *label;
	size_t step_bytes;
	bool is_judged;
} sweeps[] = {
	{ "a word of each 2 MiB, like UMap", HMMU_LARGE_BYTES, true },
	{ "a word of each 4 KiB", HMMU_PAGE_BYTES, false },
	{ "every word", sizeof(uint64_t), false },
};

#define SWEEPS (sizeof(sweeps) / sizeof(sweeps[0]))

static double sweep_gbs(const char *p, size_t bytes, size_t step_bytes)
{
	uint64_t begin = bench_now_ns();
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < bytes; i += step_bytes)
		sum += *(const uint64_t *)(const void *)(p + i);
	bench_keep(sum);
	return (double)bytes / (double)(bench_now_ns() - begin);
}

enum side {
	AT_HOME,
	FLOOR,
	OURS
};

/* Median over rounds. */
static double sweep_rounds(const struct touch *t, enum side side, size_t bytes,
			   size_t step_bytes)
{
	size_t rounds = t->run->quick ? 3 : 7;
	double gbs[8];
	size_t i;

	for (i = 0; i <= rounds; i++) {
		if (side == OURS)
			bench_to_device(t->device, t->memory, bytes);
		else if (side == FLOOR)
			uffd_take_all(t, bytes);
		gbs[i] = sweep_gbs(t->memory, bytes, step_bytes);
	}
	return bench_median(gbs + 1, rounds);
}

static void sweep_floors(struct touch *t, struct bench_case **c, size_t bytes)
{
	struct bench_server server = { .run = t->run,
				       .cpu = t->run->cpu,
				       .unit_bytes = HMMU_LARGE_BYTES };
	double home[SWEEPS];
	size_t i;

	for (i = 0; i < SWEEPS; i++)
		home[i] = sweep_rounds(t, AT_HOME, bytes, sweeps[i].step_bytes);
	server.fd = open_floor(t, bytes);
	server.staging_minus_memory =
		(uintptr_t)t->staging - (uintptr_t)t->memory;
	bench_server_start(&server);
	for (i = 0; i < SWEEPS; i++) {
		c[i]->floor =
			sweep_rounds(t, FLOOR, bytes, sweeps[i].step_bytes);
		bench_note(c[i],
			   "floor: bare userfaultfd; system memory: %.0f GB/s",
			   home[i]);
	}
	bench_server_stop(&server);
	close_floor(t, bytes);
}

void bench_sweep(struct bench_run *run)
{
	size_t bytes = run->quick ? BENCH_GIB / 8 : BENCH_GIB;
	struct touch t = { .run = run };
	struct bench_case *c[SWEEPS];
	struct bench_device d;
	size_t i;

	bench_pin(run->cpu);
	t.memory = bench_map(run, bytes, BENCH_LARGE_PAGES);
	for (i = 0; i < SWEEPS; i++) {
		c[i] = bench_case(run, "%s", sweeps[i].label);
		bench_where(c[i], "CPU %d, service CPU %d", run->cpu, run->cpu);
		if (!sweeps[i].is_judged)
			c[i]->judge = BENCH_NOT_JUDGED;
	}
	sweep_floors(&t, c, bytes);
	bench_device_open(run, &d, bytes, 1);
	bench_service_pin(run, run->cpu);
	t.device = &d;
	for (i = 0; i < SWEEPS; i++)
		c[i]->ours =
			sweep_rounds(&t, OURS, bytes, sweeps[i].step_bytes);
	bench_check(run, t.memory, bytes);
	bench_device_close(&d);
}
