/* SPDX-License-Identifier: MIT */
/*
 * The mirror alone: updates, look-ups, and its memory
 *
 * The floor of an update is a store of the entries under an uncontended mutex.
 * The floor of a look-up is one load from a flat array. The peer has the
 * structure of SPDK's mem_map: two levels, only 2 MiB pages, tables that are
 * never freed.
 */
#include <pthread.h>
#include <stdlib.h>

#include <hmmu/mirror.h>

#include "measure.h"
#include "rows.h"

#define ROUNDS_MAX 31u
#define LOOKUPS	   (1u << 16)
#define BASE	   (64ul << 30)
#define SPAN	   (64ul << 30)
#define PAGE	   HMMU_PAGE_BYTES

static struct bench_run *run;
static struct hmmu_mirror *mirror;
static struct hmmu_mirror_reader *reader;
static uintptr_t *random_va; /* LOOKUPS addresses in the span */
static uint64_t *flat;
static uint64_t **two_level;

static void must(int err)
{
	bench_must(run, err, "hmmu_mirror");
}

/* @n operations on @leaves leaves each. Only run() is timed. */
struct step {
	size_t n;
	size_t leaves;
	void (*before)(size_t n);
	void (*run)(size_t n);
	void (*after)(size_t n);
};

/* Median over rounds, in ns per leaf. The first round warms up. */
static double step_ns(const struct step *s)
{
	size_t rounds = run->quick ? 7 : ROUNDS_MAX;
	double ns[ROUNDS_MAX];
	uint64_t begin;
	size_t i;

	for (i = 0; i <= rounds; i++) {
		if (s->before)
			s->before(s->n);
		begin = bench_now_ns();
		s->run(s->n);
		begin = bench_now_ns() - begin;
		if (i)
			ns[i - 1] = (double)begin / (double)(s->n * s->leaves);
		if (s->after)
			s->after(s->n);
	}
	return bench_median(ns, rounds);
}

static void open_mirror(struct bench_run *the_run)
{
	run = the_run;
	bench_pin(run->cpu);
	bench_second_thread(run);
	must(hmmu_mirror_create(NULL, &mirror));
	must(hmmu_mirror_reader_create(mirror, &reader));
}

static void close_mirror(void)
{
	hmmu_mirror_reader_destroy(mirror, reader);
	hmmu_mirror_destroy(mirror);
}

/* --- floors of updates ----------------------------------------------------- */

static pthread_mutex_t floor_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t floor_table[512];

static void floor_1(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		pthread_mutex_lock(&floor_lock);
		__atomic_store_n(&floor_table[i % 512], i, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&floor_lock);
	}
}

static void floor_256(size_t n)
{
	size_t i, k;

	for (i = 0; i < n; i++) {
		pthread_mutex_lock(&floor_lock);
		for (k = 0; k < 256; k++)
			__atomic_store_n(&floor_table[k], i + k,
					 __ATOMIC_RELEASE);
		pthread_mutex_unlock(&floor_lock);
	}
}

/* --- updates, each with its inverse before or after ------------------------ */

static void map_step(size_t n, size_t bytes, uint64_t payload)
{
	uintptr_t va = BASE;
	size_t i;

	for (i = 0; i < n; i++, va += bytes)
		must(hmmu_mirror_map_range(mirror, va, bytes, payload + va,
					   HMMU_MIRROR_WRITE));
}

static void unmap_step(size_t n, size_t bytes)
{
	uintptr_t va = BASE;
	size_t i;

	for (i = 0; i < n; i++, va += bytes)
		must(hmmu_mirror_unmap_range(mirror, va, bytes, NULL));
}

static void clear(size_t n)
{
	(void)n;
	must(hmmu_mirror_unmap_range(mirror, 0, 1ul << 48, NULL));
	hmmu_mirror_synchronize(mirror);
}

static void map_small(size_t n)
{
	map_step(n, PAGE, 0);
}

static void unmap_small(size_t n)
{
	unmap_step(n, PAGE);
}

static void map_large(size_t n)
{
	map_step(n, HMMU_LARGE_BYTES, 0);
}

static void unmap_large(size_t n)
{
	unmap_step(n, HMMU_LARGE_BYTES);
}

static void map_huge(size_t n)
{
	map_step(n, HMMU_HUGE_BYTES, 0);
}

static void unmap_huge(size_t n)
{
	unmap_step(n, HMMU_HUGE_BYTES);
}

static void map_256(size_t n)
{
	map_step(n, 256 * PAGE, PAGE);
}

static void unmap_256(size_t n)
{
	unmap_step(n, 256 * PAGE);
}

/* Map and unmap one page. If it is alone, so are three tables each time. */
static void map_unmap_one(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		map_small(1);
		unmap_small(1);
	}
}

static void map_neighbour(size_t n)
{
	(void)n;
	must(hmmu_mirror_map_range(mirror, BASE + PAGE, PAGE, 0, 0));
}

/* Measure a case; @floor is NULL if it has none. */
static struct bench_case *measure(const char *label, const struct step *floor,
				  const struct step *ours)
{
	struct bench_case *c = bench_case(run, "%s", label);

	if (floor)
		c->floor = step_ns(floor);
	c->ours = step_ns(ours);
	return c;
}

void bench_mirror_map_1(struct bench_run *the_run)
{
	static const struct step floor = { 100000, 1, NULL, floor_1, NULL };
	static const struct step small = { 100000, 1, clear, map_small, NULL };
	static const struct step large = { 50000, 1, clear, map_large, NULL };
	static const struct step huge = { 50000, 1, clear, map_huge, NULL };

	open_mirror(the_run);
	bench_note(measure("4 KiB", &floor, &small), "generic_pt: 53");
	bench_note(measure("2 MiB", &floor, &large), "generic_pt: 59");
	bench_note(measure("1 GiB", &floor, &huge), "generic_pt: 54");
	clear(0);
	close_mirror();
}

void bench_mirror_unmap_1(struct bench_run *the_run)
{
	static const struct step floor = { 100000, 1, NULL, floor_1, NULL };
	static const struct step small = { 100000, 1, map_small, unmap_small,
					   clear };
	static const struct step large = { 50000, 1, map_large, unmap_large,
					   clear };
	static const struct step huge = { 50000, 1, map_huge, unmap_huge,
					  clear };
	/* Two updates each. */
	static const struct step beside = { 50000, 2, map_neighbour,
					    map_unmap_one, clear };
	static const struct step alone = { 20000, 2, clear, map_unmap_one,
					   NULL };

	open_mirror(the_run);
	bench_note(measure("4 KiB", &floor, &small), "generic_pt: 67");
	bench_note(measure("2 MiB", &floor, &large), "generic_pt: 64");
	bench_note(measure("1 GiB", &floor, &huge), "generic_pt: 59");
	measure("map and unmap, tables stay", &floor, &beside);
	measure("map and unmap, with 3 tables", &floor, &alone)->judge =
		BENCH_NOT_JUDGED;
	close_mirror();
}

void bench_mirror_map_256(struct bench_run *the_run)
{
	static const struct step floor = { 10000, 256, NULL, floor_256, NULL };
	static const struct step map = { 1000, 256, clear, map_256, NULL };
	static const struct step unmap = { 1000, 256, map_256, unmap_256,
					   clear };

	open_mirror(the_run);
	bench_note(measure("map 256", &floor, &map), "generic_pt: 1.5");
	clear(0);
	bench_note(measure("unmap 256", &floor, &unmap), "generic_pt: 0.84");
	close_mirror();
}

/* --- look-ups -------------------------------------------------------------- */

static void lookup_flat(size_t n)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += flat[(random_va[i] - BASE) >> HMMU_LARGE_LG2];
	bench_keep(sum);
}

static void lookup_two_level(size_t n)
{
	uint64_t sum = 0;
	const uint64_t *table;
	size_t i;

	for (i = 0; i < n; i++) {
		table = two_level[random_va[i] >> HMMU_HUGE_LG2];
		if (table)
			sum += table[(random_va[i] >> HMMU_LARGE_LG2) % 512];
	}
	bench_keep(sum);
}

static void lookup_mirror(size_t n)
{
	uint64_t sum = 0;
	uint64_t entry;
	size_t i;

	hmmu_mirror_read_begin(mirror, reader);
	for (i = 0; i < n; i++) {
		if (hmmu_mirror_lookup(mirror, random_va[i], &entry))
			sum += entry;
	}
	hmmu_mirror_read_end(mirror, reader);
	bench_keep(sum);
}

/* Each address depends on the look-up before it: latency, not throughput. */
static void lookup_latency(size_t n)
{
	uint64_t entry = 0;
	size_t i;

	hmmu_mirror_read_begin(mirror, reader);
	for (i = 0; i < n; i++) {
		if (!hmmu_mirror_lookup(mirror, random_va[i] + (entry >> 63),
					&entry))
			entry = 0;
	}
	hmmu_mirror_read_end(mirror, reader);
	bench_keep(entry);
}

static void lookup_in_sections(size_t n)
{
	uint64_t sum = 0;
	uint64_t entry;
	size_t i;

	for (i = 0; i < n; i++) {
		hmmu_mirror_read_begin(mirror, reader);
		if (hmmu_mirror_lookup(mirror, random_va[i], &entry))
			sum += entry;
		hmmu_mirror_read_end(mirror, reader);
	}
	bench_keep(sum);
}

/* Large leaves. Payloads descend, so that no leaf is 1 GiB. */
static void map_span(size_t n)
{
	uintptr_t va;

	(void)n;
	for (va = BASE; va < BASE + SPAN; va += HMMU_LARGE_BYTES)
		must(hmmu_mirror_map_range(mirror, va, HMMU_LARGE_BYTES,
					   BASE + SPAN - va,
					   HMMU_MIRROR_WRITE));
}

static uint64_t random_next(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

static void make_tables(void)
{
	size_t pages = SPAN >> HMMU_LARGE_LG2;
	size_t i;

	random_va = bench_alloc(run, LOOKUPS * sizeof(*random_va));
	flat = bench_alloc(run, pages * sizeof(*flat));
	two_level = calloc(1u << 18, sizeof(*two_level));
	if (!two_level)
		bench_skip(run, "memory");
	for (i = 0; i < pages; i++) {
		uint64_t **top = &two_level[(BASE >> HMMU_HUGE_LG2) + i / 512];

		flat[i] = i;
		if (!*top)
			*top = bench_alloc(run, 4096);
		(*top)[i % 512] = i;
	}
	for (i = 0; i < LOOKUPS; i++)
		random_va[i] = BASE + random_next() % SPAN;
}

void bench_mirror_lookup(struct bench_run *the_run)
{
	static const struct step floor = { LOOKUPS, 1, NULL, lookup_flat,
					   NULL };
	static const struct step peer = { LOOKUPS, 1, NULL, lookup_two_level,
					  NULL };
	static const struct step ours = { LOOKUPS, 1, NULL, lookup_mirror,
					  NULL };
	static const struct step late = { LOOKUPS, 1, NULL, lookup_latency,
					  NULL };
	static const struct step own = { LOOKUPS, 1, NULL, lookup_in_sections,
					 NULL };

	open_mirror(the_run);
	make_tables();
	map_span(0);
	bench_note(measure("2 MiB leaves", &floor, &ours),
		   "peer, two levels, only 2 MiB pages: %.2f", step_ns(&peer));
	measure("dependent look-ups", &floor, &late)->judge = BENCH_NOT_JUDGED;
	measure("one section for each", &floor, &own)->judge = BENCH_NOT_JUDGED;
	clear(0);
	close_mirror();
}

static void lookup_run_large(size_t n)
{
	struct hmmu_mirror_run found;
	uint64_t sum = 0;
	size_t i;

	hmmu_mirror_read_begin(mirror, reader);
	for (i = 0; i < n; i++) {
		if (hmmu_mirror_lookup_run(mirror, random_va[i], 0, &found))
			sum += found.end;
	}
	hmmu_mirror_read_end(mirror, reader);
	bench_keep(sum);
}

/* Look up the run of an address: the 512 small leaves of one table. */
static void lookup_run_512(size_t n)
{
	struct hmmu_mirror_run found;
	uint64_t sum = 0;
	size_t i;

	hmmu_mirror_read_begin(mirror, reader);
	for (i = 0; i < n; i++) {
		if (hmmu_mirror_lookup_run(mirror, BASE + (i % 512) * PAGE,
					   HMMU_LARGE_BYTES, &found))
			sum += found.end;
	}
	hmmu_mirror_read_end(mirror, reader);
	bench_keep(sum);
}

static void map_one_table(size_t n)
{
	(void)n;
	must(hmmu_mirror_map_range(mirror, BASE, HMMU_LARGE_BYTES, PAGE, 0));
}

static void walk_span(size_t n)
{
	struct hmmu_mirror_walk walk;
	uint64_t sum = 0;

	(void)n;
	hmmu_mirror_read_begin(mirror, reader);
	hmmu_mirror_walk_range(&walk, mirror, 0, UINTPTR_MAX,
			       HMMU_MIRROR_WALK_LEAVES);
	while (hmmu_mirror_walk_next(&walk))
		sum += walk.run.payload;
	hmmu_mirror_read_end(mirror, reader);
	bench_keep(sum);
}

void bench_mirror_runs(struct bench_run *the_run)
{
	static const struct step one = { LOOKUPS, 1, NULL, lookup_run_large,
					 NULL };
	static const struct step walk = { SPAN >> HMMU_LARGE_LG2, 1, NULL,
					  walk_span, NULL };
	static const struct step run_512 = { 10000, 512, map_one_table,
					     lookup_run_512, clear };

	open_mirror(the_run);
	make_tables();
	map_span(0);
	measure("run look-up, one leaf", NULL, &one);
	measure("walk over large leaves", NULL, &walk);
	clear(0);
	measure("run look-up, 512 small leaves", NULL, &run_512);
	close_mirror();
}

/* --- memory ---------------------------------------------------------------- */

static double table_bytes(void)
{
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	must(hmmu_mirror_get_stats(mirror, &stats));
	return (double)(stats.tables + stats.dead_tables) * PAGE;
}

/*
 * Bytes per GiB. Measures the increase for @gib after @gib are mapped already,
 * so that the table above them is not counted. Leaves are small if @payload is
 * not 2 MiB aligned, and never 1 GiB.
 */
static double bytes_per_gib(size_t gib, uint64_t payload)
{
	size_t bytes = gib << HMMU_HUGE_LG2;
	double half;

	must(hmmu_mirror_map_range(mirror, BASE, bytes, payload, 0));
	half = table_bytes();
	must(hmmu_mirror_map_range(mirror, BASE + bytes, bytes, payload + bytes,
				   0));
	return (table_bytes() - half) / (double)gib;
}

/* Tables other than the root when nothing is mapped. */
static double bytes_left(void)
{
	clear(0);
	return table_bytes() - PAGE;
}

void bench_mirror_memory(struct bench_run *the_run)
{
	struct bench_case *large, *small, *left;

	open_mirror(the_run);
	large = bench_case(the_run, "2 MiB leaves");
	large->floor = 512 * sizeof(uint64_t);
	large->limit = large->floor;
	large->ours = bytes_per_gib(16, HMMU_LARGE_BYTES);
	bench_note(large, "floor: 512 entries of 8 bytes");
	clear(0);
	small = bench_case(the_run, "4 KiB leaves");
	small->floor = 512 * 512 * sizeof(uint64_t);
	small->limit = small->floor + PAGE;
	small->ours = bytes_per_gib(2, PAGE);
	bench_note(small, "floor: 262144 entries of 8 bytes; one table above");
	left = bench_case(the_run, "after unmap, without the root");
	left->ours = bytes_left();
	close_mirror();
}
