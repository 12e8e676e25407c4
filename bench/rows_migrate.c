/* SPDX-License-Identifier: MIT */
/*
 * Migration to the device and back, and bare UFFDIO_MOVE of the same memory
 *
 * The floors move units of 2 MiB, one ioctl each: one page-table entry for a
 * large page, 512 for small pages. Both sides use the same memory. The first
 * rounds warm it up and are not counted.
 */
#include <unistd.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

#define ROUNDS_MAX  32u
#define WARM_UP	    2u
/* With a smaller share of its CPU the spinner's result has no meaning. */
#define BUSY_ENOUGH 0.9

/* One side of the row, floor or ours: the memory and how to move it. */
struct mover {
	struct bench_run *run;
	char *memory;
	size_t bytes;
	/* Floor: the destination and the userfaultfd. */
	char *staging;
	int fd;
	/* Ours. */
	struct bench_device *device;
};

/* The cost of one side, in ms per GiB. */
struct cost {
	double out;
	double home;
	/* The spinner's share of the other CPU, if it ran. */
	double busy;
};

static void move_all(const struct mover *m, const char *from, char *to)
{
	size_t at;

	for (at = 0; at < m->bytes; at += HMMU_LARGE_BYTES)
		bench_uffd_move(m->run, m->fd, (uintptr_t)to + at,
				(uintptr_t)from + at, HMMU_LARGE_BYTES);
}

static void move_out(const struct mover *m)
{
	if (m->device)
		bench_to_device(m->device, m->memory, m->bytes);
	else
		move_all(m, m->memory, m->staging);
}

static void move_home(const struct mover *m)
{
	if (m->device)
		bench_to_home(m->device, m->memory, m->bytes);
	else
		move_all(m, m->staging, m->memory);
}

/* Medians over rounds. Each round migrates to the device and back. */
static struct cost measure(const struct mover *m)
{
	double scale = 1e-6 * (double)BENCH_GIB / (double)m->bytes;
	double out[ROUNDS_MAX], home[ROUNDS_MAX];
	size_t rounds = m->run->quick ? 5 : 21;
	uint64_t t0, t1, t2;
	size_t i;

	for (i = 0; i < rounds + WARM_UP; i++) {
		t0 = bench_now_ns();
		move_out(m);
		t1 = bench_now_ns();
		move_home(m);
		t2 = bench_now_ns();
		if (i < WARM_UP)
			continue;
		out[i - WARM_UP] = (double)(t1 - t0) * scale;
		home[i - WARM_UP] = (double)(t2 - t1) * scale;
	}
	return (struct cost){ .out = bench_median(out, rounds),
			      .home = bench_median(home, rounds) };
}

/*
 * The same with a spinning thread on the other CPU. Repeated if another process
 * used that CPU.
 */
static struct cost measure_busy(const struct mover *m)
{
	struct bench_spinner spinner;
	struct cost cost;
	unsigned int tries = 0;

	do {
		bench_spinner_start(m->run, &spinner, m->run->other_cpu);
		cost = measure(m);
		bench_spinner_stop(&spinner);
		cost.busy = spinner.share;
	} while (cost.busy < BUSY_ENOUGH && ++tries < 5);
	return cost;
}

/* cost[0] is alone, cost[1] beside a busy CPU. */
static void measure_both(const struct mover *m, struct cost cost[2])
{
	cost[0] = measure(m);
	if (m->run->other_cpu >= 0)
		cost[1] = measure_busy(m);
}

static void measure_floor(struct mover *m, struct cost cost[2])
{
	m->fd = bench_uffd_open(m->run);
	m->staging = bench_map_empty(m->run, m->bytes, BENCH_LARGE_PAGES);
	bench_uffd_watch(m->run, m->fd, m->memory, m->bytes);
	bench_uffd_watch(m->run, m->fd, m->staging, m->bytes);
	measure_both(m, cost);
	close(m->fd);
	bench_unmap(m->staging, m->bytes);
}

/* Pages are large on the device, and in system memory afterwards. */
static void verify_large(const struct mover *m, struct bench_case *c)
{
	size_t away, left, home;

	bench_to_device(m->device, m->memory, m->bytes);
	away = bench_device_large_bytes(m->device, m->memory, m->bytes);
	left = bench_present_bytes(m->run, m->memory, m->bytes);
	bench_to_home(m->device, m->memory, m->bytes);
	home = bench_large_bytes(m->run, m->memory, m->bytes);
	bench_note(c,
		   "ours %.0f GB/s; MiB in large pages: device %zu, system %zu",
		   (double)BENCH_GIB * 1e-6 / c->ours, away >> 20, home >> 20);
	if (away != m->bytes || home != m->bytes || left)
		bench_fail(m->run,
			   "large pages were lost: %s, %zu KiB did not migrate",
			   c->note, left >> 10);
}

static void set_cost(struct bench_case *c, const struct cost *floor,
		     const struct cost *ours, bool home)
{
	if (floor)
		c->floor = home ? floor->home : floor->out;
	if (ours)
		c->ours = home ? ours->home : ours->out;
}

static void bandwidth_note(struct bench_case *c)
{
	bench_note(c, "ours %.0f GB/s, floor %.0f GB/s",
		   (double)BENCH_GIB * 1e-6 / c->ours,
		   (double)BENCH_GIB * 1e-6 / c->floor);
}

/* Do not judge the case if the other CPU was not busy enough. */
static void judge_busy(struct bench_case *c, const struct cost *floor,
		       const struct cost *ours)
{
	if (floor->busy >= BUSY_ENOUGH && ours->busy >= BUSY_ENOUGH)
		return;
	c->judge = BENCH_NOT_JUDGED;
	bench_note(c,
		   "not judged: the spinner had %.0f %% and %.0f %% of a CPU",
		   floor->busy * 100, ours->busy * 100);
}

static void migrate(struct bench_run *run, size_t bytes, enum bench_pages pages,
		    bool home)
{
	struct bench_case *alone = bench_case(run, "alone");
	struct bench_case *busy = NULL;
	struct cost floor[2] = { 0 }, ours[2] = { 0 };
	struct bench_device d;
	struct mover m = { .run = run, .bytes = bytes };

	bench_pin(run->cpu);
	if (run->other_cpu >= 0) {
		busy = bench_case(run, "beside a busy CPU");
		bench_where(busy, "CPU %d, CPU %d spins", run->cpu,
			    run->other_cpu);
	}
	m.memory = bench_map(run, bytes, pages);
	measure_floor(&m, floor);
	set_cost(alone, &floor[0], NULL, home);
	if (busy)
		set_cost(busy, &floor[1], NULL, home);

	bench_device_open(run, &d, bytes, 1);
	m.device = &d;
	measure_both(&m, ours);
	set_cost(alone, &floor[0], &ours[0], home);
	if (busy) {
		set_cost(busy, &floor[1], &ours[1], home);
		bandwidth_note(busy);
	}
	bandwidth_note(alone);
	if (pages == BENCH_LARGE_PAGES)
		verify_large(&m, alone);
	if (busy)
		judge_busy(busy, &floor[1], &ours[1]);
	bench_check(run, m.memory, bytes);
	bench_device_close(&d);
}

void bench_migrate_out_large(struct bench_run *run)
{
	migrate(run, run->quick ? BENCH_GIB / 8 : BENCH_GIB, BENCH_LARGE_PAGES,
		false);
}

void bench_migrate_home_large(struct bench_run *run)
{
	migrate(run, run->quick ? BENCH_GIB / 8 : BENCH_GIB, BENCH_LARGE_PAGES,
		true);
}

void bench_migrate_out_small(struct bench_run *run)
{
	migrate(run, run->quick ? BENCH_GIB / 32 : BENCH_GIB / 4,
		BENCH_SMALL_PAGES, false);
}

void bench_migrate_home_small(struct bench_run *run)
{
	migrate(run, run->quick ? BENCH_GIB / 32 : BENCH_GIB / 4,
		BENCH_SMALL_PAGES, true);
}
