/* SPDX-License-Identifier: MIT */
/*
 * Snapshots and device faults of populated memory
 *
 * The floor of both is PAGEMAP_SCAN with all categories, the only system call
 * that reports the present pages. For large pages it writes one region for all
 * of them, but a snapshot changes one entry for each 4 KiB. The note has the
 * cost of these entries alone.
 */
#include <hmmu/notifier.h>
#include <hmmu/range.h>

#include "device.h"
#include "measure.h"
#include "rows.h"

/* --- snapshot -------------------------------------------------------------- */

struct snapshot {
	struct bench_run *run;
	struct bench_device device;
	struct hmmu_notifier *sub;
	char *memory;
	size_t bytes;
	uint64_t *entries;
	uint64_t categories;
};

static void on_invalidate(struct hmmu_notifier *sub, void *arg,
			  const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static void take_snapshot(const struct snapshot *s)
{
	struct hmmu_range range = {
		.size = sizeof(range),
		.notifier = s->sub,
		.start = (uintptr_t)s->memory,
		.end = (uintptr_t)s->memory + s->bytes,
		.entries = s->entries,
	};
	int err;

	do {
		range.seq = hmmu_notifier_read_begin(s->sub);
		err = hmmu_range_fault(&range);
	} while (err == -EBUSY);
	bench_must(s->run, err, "hmmu_range_fault");
}

/* Median in us; the bare scan if @is_floor. */
static double snapshot_us(const struct snapshot *s, bool is_floor)
{
	size_t rounds = s->run->quick ? 7 : 31;
	double us[32];
	uint64_t begin;
	size_t i;

	for (i = 0; i <= rounds; i++) {
		begin = bench_now_ns();
		if (is_floor)
			bench_keep(bench_scan(s->run, s->memory, s->bytes,
					      s->categories));
		else
			take_snapshot(s);
		us[i] = (double)(bench_now_ns() - begin) * 1e-3;
	}
	return bench_median(us + 1, rounds);
}

/* The cost of changing one entry for each page, without a scan. */
static double entries_us(const struct snapshot *s)
{
	size_t count = s->bytes >> HMMU_PAGE_LG2;
	double us[9];
	uint64_t begin;
	size_t i, k;

	for (i = 0; i < 9; i++) {
		begin = bench_now_ns();
		for (k = 0; k < count; k++)
			s->entries[k] |= i;
		bench_keep(s->entries[count / 2]);
		us[i] = (double)(bench_now_ns() - begin) * 1e-3;
	}
	return bench_median(us, 9);
}

static void check_entries(const struct snapshot *s, unsigned int order)
{
	size_t count = s->bytes >> HMMU_PAGE_LG2;
	size_t i;

	for (i = 0; i < count; i++)
		if (!(s->entries[i] & HMMU_ENTRY_VALID) ||
		    hmmu_entry_order(s->entries[i]) != order)
			bench_fail(
				s->run,
				"entry %zu is %#llx, not valid with order %u",
				i, (unsigned long long)s->entries[i], order);
}

static void subscribe(struct snapshot *s)
{
	const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
					       .invalidate = on_invalidate };

	bench_must(s->run,
		   hmmu_notifier_insert(s->device.space, (uintptr_t)s->memory,
					s->bytes, HMMU_NOTIFIER_LAZY, &ops,
					NULL, &s->sub),
		   "hmmu_notifier_insert");
}

static void snapshot_case(struct bench_run *run, const char *label,
			  enum bench_pages pages)
{
	struct bench_case *c = bench_case(run, "%s", label);
	struct snapshot s = { .run = run };
	double entries;

	s.bytes = run->quick ? BENCH_GIB / 8 : BENCH_GIB;
	s.memory = bench_map(run, s.bytes, pages);
	s.entries = hmmu_alloc((s.bytes >> HMMU_PAGE_LG2) * sizeof(uint64_t));
	if (!s.entries)
		bench_skip(run, "memory for the entries");
	s.categories = bench_scan_categories(run);
	c->floor = snapshot_us(&s, true);
	bench_device_open(run, &s.device, 0, 0);
	subscribe(&s);
	c->ours = snapshot_us(&s, false);
	check_entries(&s, pages == BENCH_LARGE_PAGES ? 9 : 0);
	entries = entries_us(&s);
	bench_note(c,
		   "changing %zu entries alone: %.0f us; ours is %.2f of both",
		   s.bytes >> HMMU_PAGE_LG2, entries,
		   c->ours / (c->floor + entries));
	hmmu_notifier_remove(s.sub);
	bench_device_close(&s.device);
	hmmu_free(s.entries, (s.bytes >> HMMU_PAGE_LG2) * sizeof(uint64_t));
	bench_unmap(s.memory, s.bytes);
}

void bench_snapshot(struct bench_run *run)
{
	bench_pin(run->cpu);
	snapshot_case(run, "4 KiB pages", BENCH_SMALL_PAGES);
	snapshot_case(run, "2 MiB pages", BENCH_LARGE_PAGES);
}

/* --- device faults --------------------------------------------------------- */

struct fault {
	struct bench_run *run;
	char *memory;
	size_t step_bytes; /* one fault in each */
	size_t unit_bytes; /* length of a fault */
	size_t count;
	uint32_t fault_around_pages;
	enum hmmu_access access;
};

static double scan_us(const struct fault *f)
{
	uint64_t categories = bench_scan_categories(f->run);
	double *us = bench_alloc(f->run, f->count * sizeof(*us));
	uint64_t begin;
	size_t i;

	for (i = 0; i < f->count; i++) {
		begin = bench_now_ns();
		bench_keep(bench_scan(f->run, f->memory + i * f->step_bytes,
				      f->unit_bytes, categories));
		us[i] = (double)(bench_now_ns() - begin) * 1e-3;
	}
	return bench_median(us, f->count);
}

/* One fault in each step; the device has mapped none of them. */
static void fault_round(const struct fault *f, struct bench_device *d,
			double *us)
{
	uint64_t begin;
	size_t i;
	int err;

	for (i = 0; i < f->count; i++) {
		begin = bench_now_ns();
		err = hmmu_device_fault(
			d->device, (uintptr_t)f->memory + i * f->step_bytes,
			f->unit_bytes, f->access);
		us[i] = (double)(bench_now_ns() - begin) * 1e-3;
		bench_must(f->run, err, "hmmu_device_fault");
	}
}

/* Check the contents of the device's page table after a round. */
static void check_mapped(const struct fault *f, struct bench_device *d,
			 unsigned int leaf_lg2)
{
	struct hmmu_mirror *mirror = hmmu_device_mirror(d->device);
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };
	size_t pages = f->fault_around_pages == 1 ? f->unit_bytes :
						    f->step_bytes;

	bench_must(f->run, hmmu_mirror_get_stats(mirror, &stats),
		   "hmmu_mirror_get_stats");
	if (stats.mapped_bytes != f->count * pages ||
	    stats.leaves[(leaf_lg2 - HMMU_PAGE_LG2) / 9] !=
		    stats.mapped_bytes >> leaf_lg2)
		bench_fail(f->run, "%llu bytes are mapped, %llu large leaves",
			   (unsigned long long)stats.mapped_bytes,
			   (unsigned long long)stats.leaves[1]);
}

static void fault_case(const struct fault *f, const char *label,
		       unsigned int leaf_lg2)
{
	size_t rounds = f->run->quick ? 3 : 11;
	double *us = bench_alloc(f->run, f->count * rounds * sizeof(*us));
	struct bench_case *c = bench_case(f->run, "%s", label);
	struct bench_device d;
	size_t i;

	c->floor = scan_us(f);
	bench_device_open(f->run, &d, 0, f->fault_around_pages);
	fault_round(f, &d, us); /* warms up */
	for (i = 0; i < rounds; i++) {
		bench_device_renew(&d, f->fault_around_pages);
		fault_round(f, &d, us + i * f->count);
	}
	check_mapped(f, &d, leaf_lg2);
	c->ours = bench_median(us, f->count * rounds);
	bench_note(c, "99 %% within %.1f", bench_p99(us, f->count * rounds));
	bench_device_close(&d);
}

void bench_device_fault_4k(struct bench_run *run)
{
	struct fault f = { .run = run,
			   .step_bytes = HMMU_PAGE_BYTES,
			   .unit_bytes = HMMU_PAGE_BYTES,
			   .count = 4096,
			   .fault_around_pages = 1 };

	bench_pin(run->cpu);
	f.memory = bench_map(run, 64 * HMMU_LARGE_BYTES, BENCH_SMALL_PAGES);
	fault_case(&f, "read, no fault-around", HMMU_PAGE_LG2);
	f.access = HMMU_ACCESS_WRITE;
	fault_case(&f, "write, no fault-around", HMMU_PAGE_LG2);
	f.step_bytes = HMMU_LARGE_BYTES;
	f.count = 64;
	f.fault_around_pages = 0;
	f.access = HMMU_ACCESS_READ;
	fault_case(&f, "read, fault-around of 512 pages", HMMU_PAGE_LG2);
	run->out->at[run->out->cases - 1].judge = BENCH_NOT_JUDGED;
}

void bench_device_fault_2m(struct bench_run *run)
{
	struct fault f = { .run = run,
			   .step_bytes = HMMU_LARGE_BYTES,
			   .unit_bytes = HMMU_LARGE_BYTES,
			   .count = 64,
			   .fault_around_pages = 1 };

	bench_pin(run->cpu);
	f.memory = bench_map(run, 64 * HMMU_LARGE_BYTES, BENCH_LARGE_PAGES);
	fault_case(&f, "read of 2 MiB", HMMU_LARGE_LG2);
	f.access = HMMU_ACCESS_WRITE;
	fault_case(&f, "write of 2 MiB", HMMU_LARGE_LG2);
	f.fault_around_pages = 0;
	f.unit_bytes = HMMU_PAGE_BYTES;
	f.access = HMMU_ACCESS_READ;
	fault_case(&f, "read of 4 KiB", HMMU_LARGE_LG2);
}
