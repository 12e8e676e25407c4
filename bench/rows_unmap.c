/* SPDX-License-Identifier: MIT */
/*
 * What the hook adds to munmap.
 *
 * Floor and ours alternate within one loop, with the space open: the floor is
 * the system call itself, which no hook sees, on memory that no device used.
 * Each mapping stands in a hole between inaccessible neighbours, so that it is
 * a mapping by itself and does not merge.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

#define ROUNDS 4000u

struct unmap {
	struct bench_run *run;
	struct bench_device device;
	char *hole;
	size_t bytes;
	/* What happens to the memory before it is unmapped by the hook. */
	enum {
		UNUSED,
		MIRRORED,
		AWAY
	} use;
	bool is_populated;
};

/* One mapping in the hole. */
static void *make(const struct unmap *u)
{
	void *p = mmap(u->hole, u->bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		       0);

	if (p != u->hole)
		bench_fail(u->run, "mmap into the hole failed");
	if (u->is_populated)
		bench_fill(p, u->bytes);
	return p;
}

static double time_raw(const struct unmap *u)
{
	void *p = make(u);
	uint64_t begin = bench_now_ns();

	(void)syscall(SYS_munmap, p, u->bytes);
	return (double)(bench_now_ns() - begin);
}

static double time_hooked(struct unmap *u)
{
	void *p = make(u);
	uint64_t begin;

	if (u->use == MIRRORED)
		bench_must(u->run,
			   hmmu_device_fault(u->device.device, (uintptr_t)p,
					     u->bytes, HMMU_ACCESS_WRITE),
			   "hmmu_device_fault");
	if (u->use == AWAY)
		bench_to_device(&u->device, p, u->bytes);
	begin = bench_now_ns();
	munmap(p, u->bytes);
	return (double)(bench_now_ns() - begin);
}

/* With a hole of u->bytes between two inaccessible neighbours. */
static void open_hole(struct unmap *u)
{
	u->hole = bench_map_empty(u->run, HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	if (mprotect(u->hole, HMMU_LARGE_BYTES, PROT_NONE))
		bench_fail(u->run, "mprotect failed");
	u->hole += HMMU_LARGE_BYTES / 2;
	(void)syscall(SYS_munmap, u->hole, u->bytes);
}

static void measure(struct unmap *u, struct bench_case *c)
{
	size_t rounds = u->run->quick ? ROUNDS / 8 : ROUNDS;
	double *raw = bench_alloc(u->run, rounds * sizeof(*raw));
	double *hooked = bench_alloc(u->run, rounds * sizeof(*hooked));
	size_t warm_up = rounds / 8;
	size_t i;

	open_hole(u);
	for (i = 0; i < rounds; i++) {
		/* Neither side always runs after the other. */
		if (i % 2)
			raw[i] = time_raw(u);
		hooked[i] = time_hooked(u);
		if (i % 2 == 0)
			raw[i] = time_raw(u);
	}
	c->floor = bench_median(raw + warm_up, rounds - warm_up);
	c->ours = bench_median(hooked + warm_up, rounds - warm_up);
	bench_note(c, "%.0f ns over; 99 %% within: floor %.0f, ours %.0f",
		   c->ours - c->floor,
		   bench_p99(raw + warm_up, rounds - warm_up),
		   bench_p99(hooked + warm_up, rounds - warm_up));
	u->hole = NULL;
}

static struct bench_case *new_case(const struct unmap *u, const char *label)
{
	struct bench_case *c = bench_case(u->run, "%s", label);

	bench_where(c, "CPU %d, service CPU %d", u->run->cpu, u->run->cpu);
	return c;
}

void bench_munmap_used(struct bench_run *run)
{
	struct unmap u = { .run = run, .is_populated = true };

	bench_pin(run->cpu);
	bench_device_open(run, &u.device, 4 * HMMU_LARGE_BYTES, 0);
	bench_service_pin(run, run->cpu);
	u.use = MIRRORED;
	u.bytes = HMMU_PAGE_BYTES;
	measure(&u, new_case(&u, "4 KiB, mapped by the device"));
	u.bytes = 16 * HMMU_PAGE_BYTES;
	measure(&u, new_case(&u, "64 KiB, mapped by the device"));
	u.use = AWAY;
	measure(&u, new_case(&u, "64 KiB, in device memory"));
	bench_device_close(&u.device);
}

void bench_munmap_unused(struct bench_run *run)
{
	struct unmap u = { .run = run, .use = UNUSED };

	bench_pin(run->cpu);
	bench_device_open(run, &u.device, 4 * HMMU_LARGE_BYTES, 0);
	u.bytes = HMMU_PAGE_BYTES;
	measure(&u, new_case(&u, "4 KiB, untouched"));
	u.is_populated = true;
	measure(&u, new_case(&u, "4 KiB, touched"));
	u.bytes = 16 * HMMU_PAGE_BYTES;
	measure(&u, new_case(&u, "64 KiB, touched"));
	bench_device_close(&u.device);
}
