/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access, fork, and unmapping a part of what is on the device.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hmmu/exclusive.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

/* Pages, one in each block of 2 MiB. */
#define BLOCKS 64u

struct exclusive {
	struct bench_run *run;
	struct bench_device device;
	char *memory;
	char *staging;
	int fd;
};

static char *page_at(const struct exclusive *x, size_t i)
{
	return x->memory + i * HMMU_LARGE_BYTES;
}

static void acquire(const struct exclusive *x, size_t i)
{
	uintptr_t va = (uintptr_t)page_at(x, i);

	bench_must(x->run,
		   hmmu_make_exclusive(x->device.device, va,
				       va + HMMU_PAGE_BYTES, NULL),
		   "hmmu_make_exclusive");
}

static void touch(const struct exclusive *x, size_t i)
{
	*(volatile uint64_t *)(void *)page_at(x, i) =
		bench_page_word(i * HMMU_PAGES_PER_LARGE);
}

static void bare_acquire(const struct exclusive *x, size_t i)
{
	bench_uffd_move(x->run, x->fd,
			(uintptr_t)x->staging + i * HMMU_LARGE_BYTES,
			(uintptr_t)page_at(x, i), HMMU_PAGE_BYTES);
}

static void move_home(const struct exclusive *x, size_t i)
{
	bench_uffd_move(x->run, x->fd, (uintptr_t)page_at(x, i),
			(uintptr_t)x->staging + i * HMMU_LARGE_BYTES,
			HMMU_PAGE_BYTES);
}

/* Medians of the two steps, in us. */
static void rounds_of(const struct exclusive *x,
		      void (*take)(const struct exclusive *x, size_t i),
		      void (*back)(const struct exclusive *x, size_t i),
		      double *take_us, double *back_us)
{
	size_t rounds = x->run->quick ? 4 : 24;
	size_t n = (rounds + 1) * BLOCKS, i;
	double *a = bench_alloc(x->run, n * sizeof(*a));
	double *b = bench_alloc(x->run, n * sizeof(*b));

	for (i = 0; i < n; i++) {
		uint64_t begin = bench_now_ns(), middle;

		take(x, i % BLOCKS);
		middle = bench_now_ns();
		back(x, i % BLOCKS);
		a[i] = (double)(middle - begin) * 1e-3;
		b[i] = (double)(bench_now_ns() - middle) * 1e-3;
	}
	/* The first round warms up. */
	*take_us = bench_median(a + BLOCKS, n - BLOCKS);
	*back_us = bench_median(b + BLOCKS, n - BLOCKS);
}

static void floors(struct exclusive *x, double *move_us, double *trip_us)
{
	size_t bytes = BLOCKS * HMMU_LARGE_BYTES;
	struct bench_server server = { .run = x->run,
				       .cpu = x->run->cpu,
				       .unit_bytes = HMMU_PAGE_BYTES };
	double home_us;

	x->fd = bench_uffd_open(x->run);
	x->staging = bench_map_empty(x->run, bytes, BENCH_SMALL_PAGES);
	bench_uffd_watch(x->run, x->fd, x->memory, bytes);
	bench_uffd_watch(x->run, x->fd, x->staging, bytes);
	rounds_of(x, bare_acquire, move_home, move_us, &home_us);
	server.fd = x->fd;
	server.staging_minus_memory =
		(uintptr_t)x->staging - (uintptr_t)x->memory;
	bench_server_start(&server);
	rounds_of(x, bare_acquire, touch, move_us, trip_us);
	bench_server_stop(&server);
	close(x->fd);
	bench_unmap(x->staging, bytes);
}

void bench_exclusive(struct bench_run *run)
{
	struct exclusive x = { .run = run };
	struct bench_case *take = bench_case(run, "acquire a page");
	struct bench_case *back = bench_case(run, "CPU touch: revoke");

	bench_pin(run->cpu);
	bench_where(take, "CPU %d", run->cpu);
	bench_where(back, "CPU %d, service CPU %d", run->cpu, run->cpu);
	x.memory = bench_map(run, BLOCKS * HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	floors(&x, &take->floor, &back->floor);
	bench_device_open(run, &x.device, 0, 1);
	bench_service_pin(run, run->cpu);
	rounds_of(&x, acquire, touch, &take->ours, &back->ours);
	bench_note(take, "floor: UFFDIO_MOVE of the page");
	bench_note(back, "floor: bare userfaultfd round trip");
	bench_check(run, x.memory, BLOCKS * HMMU_LARGE_BYTES);
	bench_device_close(&x.device);
}

/* --- fork ---------------------------------------------------------------------- */

/* How long fork takes in the parent, ms. */
static double fork_ms(struct bench_run *run)
{
	uint64_t begin = bench_now_ns();
	pid_t child = fork();
	double ms;

	if (!child)
		_exit(0);
	ms = (double)(bench_now_ns() - begin) * 1e-6;
	if (child < 0 || waitpid(child, NULL, 0) != child)
		bench_fail(run, "fork failed");
	return ms;
}

/* Large pages stay so while nobody writes. */
void bench_fork(struct bench_run *run)
{
	size_t bytes = run->quick ? BENCH_GIB / 8 : BENCH_GIB;
	struct bench_case *c =
		bench_case(run, "%zu MiB in large pages", bytes >> 20);
	char *memory = bench_map(run, bytes, BENCH_LARGE_PAGES);
	double floor[9], ours[9];
	struct bench_device d;
	size_t i, n = run->quick ? 3 : 8;

	bench_pin(run->cpu);
	bench_where(c, "CPU %d", run->cpu);
	for (i = 0; i <= n; i++)
		floor[i] = fork_ms(run);
	bench_device_open(run, &d, bytes, 0);
	for (i = 0; i <= n; i++) {
		bench_to_device(&d, memory, bytes);
		ours[i] = fork_ms(run);
	}
	c->floor = bench_median(floor + 1, n);
	c->ours = bench_median(ours + 1, n);
	bench_note(c, "floor: fork of the same memory; all comes home first");
	bench_check(run, memory, bytes);
	bench_device_close(&d);
}

/* --- unmapping a part ------------------------------------------------------------- */

/* 64 KiB out of the middle of 2 MiB, us. */
static double unmap_us(struct bench_run *run, struct bench_device *d)
{
	char *p = bench_map(run, HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	uint64_t begin;
	double us;

	if (d)
		bench_to_device(d, p, HMMU_LARGE_BYTES);
	begin = bench_now_ns();
	if (d)
		munmap(p + HMMU_LARGE_BYTES / 2, 16 * HMMU_PAGE_BYTES);
	else
		(void)syscall(SYS_munmap, p + HMMU_LARGE_BYTES / 2,
			      16 * HMMU_PAGE_BYTES);
	us = (double)(bench_now_ns() - begin) * 1e-3;
	bench_unmap(p, HMMU_LARGE_BYTES);
	return us;
}

void bench_munmap_part(struct bench_run *run)
{
	size_t n = run->quick ? 20 : 200, i;
	double *floor = bench_alloc(run, n * sizeof(*floor));
	double *ours = bench_alloc(run, n * sizeof(*ours));
	struct bench_case *c = bench_case(run, "64 KiB of 2 MiB on the device");
	struct bench_device d;

	bench_pin(run->cpu);
	bench_where(c, "CPU %d, service CPU %d", run->cpu, run->cpu);
	bench_device_open(run, &d, 8 * HMMU_LARGE_BYTES, 0);
	bench_service_pin(run, run->cpu);
	for (i = 0; i < n; i++) {
		floor[i] = unmap_us(run, NULL);
		ours[i] = unmap_us(run, &d);
	}
	c->floor = bench_median(floor, n);
	c->ours = bench_median(ours, n);
	bench_note(c, "floor: the system call, in system memory");
	bench_device_close(&d);
}
