/* SPDX-License-Identifier: MIT */
/*
 * fork(2) of a program with memory on a device
 *
 * The floor is a fork of the same memory before a space is opened. Ours first
 * migrates all pages back and invalidates all devices. The cost afterwards,
 * each process's first writes, is the same for both.
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

#define ROUNDS_MAX 24u

struct forking {
	struct bench_run *run;
	char *memory;
	size_t bytes;
	/* Ours. The memory is on it before each fork if @away. */
	struct bench_device *device;
	bool away;
};

/* Unshare each page in the parent after the previous fork. */
static void prepare(const struct forking *f)
{
	if (madvise(f->memory, f->bytes, MADV_POPULATE_WRITE))
		bench_skip(f->run, "MADV_POPULATE_WRITE (Linux 5.14)");
	if (f->away)
		bench_to_device(f->device, f->memory, f->bytes);
}

static double fork_us(const struct forking *f)
{
	uint64_t begin = bench_now_ns();
	pid_t child = fork();
	double us = (double)(bench_now_ns() - begin) * 1e-3;
	int status;

	if (child == 0)
		_exit(0);
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		bench_fail(f->run, "fork failed");
	return us;
}

static double measure(const struct forking *f)
{
	size_t rounds = f->run->quick ? 5 : 21;
	double us[ROUNDS_MAX];
	size_t i;

	for (i = 0; i <= rounds; i++) {
		prepare(f);
		us[i] = fork_us(f);
	}
	/* The first round warms up. */
	return bench_median(us + 1, rounds);
}

void bench_fork(struct bench_run *run)
{
	struct forking f = { .run = run,
			     .bytes = run->quick ? BENCH_GIB / 8 : BENCH_GIB };
	struct bench_case *away =
		bench_case(run, "%zu MiB of large pages", f.bytes >> 20);
	struct bench_case *home = bench_case(run, "the same in system memory");
	struct bench_device d;

	bench_pin(run->cpu);
	bench_where(away, "CPU %d, service CPU %d", run->cpu, run->cpu);
	bench_where(home, "CPU %d, service CPU %d", run->cpu, run->cpu);
	f.memory = bench_map(run, f.bytes, BENCH_LARGE_PAGES);
	away->floor = home->floor = measure(&f);
	bench_device_open(run, &d, f.bytes, 1);
	bench_service_pin(run, run->cpu);
	f.device = &d;
	home->ours = measure(&f);
	f.away = true;
	away->ours = measure(&f);
	if (bench_large_bytes(run, f.memory, f.bytes) != f.bytes)
		bench_fail(run, "large pages were lost");
	bench_check(run, f.memory, f.bytes);
	bench_device_close(&d);
}
