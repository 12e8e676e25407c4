/* SPDX-License-Identifier: MIT */
/*
 * The cost of the munmap hook, and of unmapping a part of device memory
 *
 * Floor and ours alternate in one loop, with the space open. The floor is the
 * raw system call, which bypasses the hook, on memory that no device has used.
 * Each mapping is in a hole between inaccessible neighbours, so that it does
 * not merge with another mapping.
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
	/* How the device uses the memory before the hook unmaps it. */
	enum {
		UNUSED,
		MIRRORED,
		AWAY
	} use;
	bool is_populated;
};

/* Map memory in the hole. */
static void *map_in_hole(const struct unmap *u)
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
	void *p = map_in_hole(u);
	uint64_t begin = bench_now_ns();

	(void)syscall(SYS_munmap, p, u->bytes);
	return (double)(bench_now_ns() - begin);
}

static double time_hooked(struct unmap *u)
{
	void *p = map_in_hole(u);
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

/* Make a hole of @u->bytes between two inaccessible neighbours. */
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
		/* Alternate, so that neither side always runs second. */
		if (i % 2)
			raw[i] = time_raw(u);
		hooked[i] = time_hooked(u);
		if (i % 2 == 0)
			raw[i] = time_raw(u);
	}
	c->floor = bench_median(raw + warm_up, rounds - warm_up);
	c->ours = bench_median(hooked + warm_up, rounds - warm_up);
	bench_note(
		c,
		"%.0f ns over the floor; 99 %% within: floor %.0f, ours %.0f",
		c->ours - c->floor, bench_p99(raw + warm_up, rounds - warm_up),
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
	measure(&u, new_case(&u, "4 KiB, not populated"));
	u.is_populated = true;
	measure(&u, new_case(&u, "4 KiB, populated"));
	u.bytes = 16 * HMMU_PAGE_BYTES;
	measure(&u, new_case(&u, "64 KiB, populated"));
	bench_device_close(&u.device);
}

/* --- a part ---------------------------------------------------------------- */

#define PART_ROUNDS 400u

/* A mapping of @bytes, of which @part_bytes in the middle are unmapped. */
struct part {
	struct bench_run *run;
	struct bench_device device;
	enum bench_pages pages;
	size_t bytes;
	size_t part_bytes;
};

/* In us. The floor's memory is in system memory and was never used. */
static double time_part(struct part *p, bool is_ours)
{
	char *all = bench_map(p->run, p->bytes, p->pages);
	char *middle = all + p->bytes / 2;
	uint64_t begin;
	double us;

	if (is_ours)
		bench_to_device(&p->device, all, p->bytes);
	begin = bench_now_ns();
	if (is_ours)
		munmap(middle, p->part_bytes);
	else
		(void)syscall(SYS_munmap, middle, p->part_bytes);
	us = (double)(bench_now_ns() - begin) * 1e-3;
	bench_unmap(all, p->bytes);
	return us;
}

static void measure_part(struct part *p, const char *label)
{
	struct bench_case *c = bench_case(p->run, "%s", label);
	size_t rounds = p->run->quick ? PART_ROUNDS / 8 : PART_ROUNDS;
	double *floor = bench_alloc(p->run, rounds * sizeof(*floor));
	double *ours = bench_alloc(p->run, rounds * sizeof(*ours));
	size_t warm_up = rounds / 8;
	size_t i;

	bench_where(c, "CPU %d, service CPU %d", p->run->cpu, p->run->cpu);
	for (i = 0; i < rounds; i++) {
		floor[i] = time_part(p, false);
		ours[i] = time_part(p, true);
	}
	c->floor = bench_median(floor + warm_up, rounds - warm_up);
	c->ours = bench_median(ours + warm_up, rounds - warm_up);
	bench_note(c, "99 %% within: floor %.1f, ours %.1f",
		   bench_p99(floor + warm_up, rounds - warm_up),
		   bench_p99(ours + warm_up, rounds - warm_up));
}

void bench_munmap_part(struct bench_run *run)
{
	struct part p = { .run = run, .bytes = 4 * HMMU_LARGE_BYTES };

	bench_pin(run->cpu);
	bench_device_open(run, &p.device, 4 * HMMU_LARGE_BYTES, 1);
	bench_service_pin(run, run->cpu);
	p.pages = BENCH_SMALL_PAGES;
	p.part_bytes = 16 * HMMU_PAGE_BYTES;
	measure_part(&p, "64 KiB of 8 MiB of 4 KiB pages");
	p.pages = BENCH_LARGE_PAGES;
	measure_part(&p, "64 KiB of 8 MiB of large pages");
	p.part_bytes = HMMU_LARGE_BYTES;
	measure_part(&p, "2 MiB of 8 MiB of large pages");
	bench_device_close(&p.device);
}
