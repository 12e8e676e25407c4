/* SPDX-License-Identifier: MIT */
/*
 * What a mirror costs: one leaf, 256 leaves, a lookup.
 *
 * Each row is the median of many rounds, on one CPU, after a warm-up round.
 * The floor of the updates is storing the entries under an uncontended mutex;
 * the floor of the lookups is a flat array, one load each; the peer is the
 * shape SPDK uses (two levels, 2 MiB pages only, no unmap of tables).
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hmmu/mirror.h>

#define ROUNDS	 31u
#define LOOKUPS	 (1u << 16)
#define BASE	 (64ul << 30)
#define SPAN_LG2 36 /* 64 GiB */
#define PAGE	 HMMU_PAGE_BYTES

static struct hmmu_mirror *mirror;
static struct hmmu_mirror_reader *reader;
static uintptr_t *random_va; /* LOOKUPS addresses in the span */
static uint64_t *flat;
static uint64_t **two_level;
static uint64_t sink;

/* The optimiser must believe that @value is used. */
static void keep(uint64_t value)
{
	__asm__ volatile("" : : "r"(value) : "memory");
}

static void must(int err)
{
	if (err) {
		fprintf(stderr, "bench_mirror: %s\n", strerror(-err));
		exit(1);
	}
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

/* A case runs @n operations; prepare and clean up are not timed. */
struct bench_case {
	const char *name;
	size_t n; /* operations of a round */
	size_t leaves; /* that each of them handles */
	void (*before)(size_t n);
	void (*run)(size_t n);
	void (*after)(size_t n);
	const char *note;
};

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double bench_case_run(const struct bench_case *c)
{
	double ns[ROUNDS];
	uint64_t start;
	unsigned int i;

	for (i = 0; i <= ROUNDS; i++) {
		if (c->before)
			c->before(c->n);
		start = now_ns();
		c->run(c->n);
		start = now_ns() - start;
		if (i) /* the first one warms up */
			ns[i - 1] = (double)start / (double)c->n;
		if (c->after)
			c->after(c->n);
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), compare_double);
	return ns[ROUNDS / 2];
}

/* Floors of updates. */

static pthread_mutex_t floor_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t floor_table[512];

static void floor_store_one(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		pthread_mutex_lock(&floor_lock);
		__atomic_store_n(&floor_table[i % 512], i, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&floor_lock);
	}
}

static void floor_store_256(size_t n)
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

/* Updates; each of them has its inverse as before or after. */

static void map_step(size_t n, size_t bytes, size_t stride, uint64_t payload)
{
	uintptr_t va = BASE;
	size_t i;

	for (i = 0; i < n; i++, va += stride)
		must(hmmu_mirror_map(mirror, va, va + bytes, payload + va,
				     HMMU_MIRROR_WRITE));
}

static void unmap_step(size_t n, size_t bytes, size_t stride)
{
	uintptr_t va = BASE;
	size_t i;

	for (i = 0; i < n; i++, va += stride)
		must(hmmu_mirror_unmap(mirror, va, va + bytes, NULL));
}

static void clear(size_t n)
{
	(void)n;
	must(hmmu_mirror_unmap(mirror, 0, 1ul << 48, NULL));
	hmmu_mirror_synchronize(mirror);
}

static void map_small(size_t n)
{
	map_step(n, PAGE, PAGE, 0);
}

static void unmap_small(size_t n)
{
	unmap_step(n, PAGE, PAGE);
}

static void map_large(size_t n)
{
	map_step(n, HMMU_LARGE_BYTES, HMMU_LARGE_BYTES, 0);
}

static void unmap_large(size_t n)
{
	unmap_step(n, HMMU_LARGE_BYTES, HMMU_LARGE_BYTES);
}

static void map_huge(size_t n)
{
	map_step(n, HMMU_HUGE_BYTES, HMMU_HUGE_BYTES, 0);
}

static void unmap_huge(size_t n)
{
	unmap_step(n, HMMU_HUGE_BYTES, HMMU_HUGE_BYTES);
}

static void map_256(size_t n)
{
	map_step(n, 256 * PAGE, 256 * PAGE, PAGE);
}

static void unmap_256(size_t n)
{
	unmap_step(n, 256 * PAGE, 256 * PAGE);
}

/* One page over and over, alone in the mirror: three tables come and go. */
static void map_unmap_alone(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		map_small(1);
		unmap_small(1);
	}
}

/* The same beside a neighbour: no table comes or goes. */
static void neighbour(size_t n)
{
	(void)n;
	must(hmmu_mirror_map(mirror, BASE + PAGE, BASE + 2 * PAGE, 0, 0));
}

/* Lookups. */

static void lookup_flat(size_t n)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < n; i++)
		sum += flat[(random_va[i] - BASE) >> HMMU_LARGE_LG2];
	keep(sum);
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
	keep(sum);
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
	keep(sum);
}

/* Each address depends on the lookup before it: latency, not throughput. */
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
	keep(entry);
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
	keep(sum);
}

static void lookup_run_large(size_t n)
{
	struct hmmu_mirror_run run;
	size_t i;

	hmmu_mirror_read_begin(mirror, reader);
	for (i = 0; i < n; i++) {
		if (hmmu_mirror_lookup_run(mirror, random_va[i], 0, &run))
			sink += run.end;
	}
	hmmu_mirror_read_end(mirror, reader);
}

/* The run around an address: the 512 small leaves of one table. */
static void lookup_run_512(size_t n)
{
	struct hmmu_mirror_run run;
	size_t i;

	hmmu_mirror_read_begin(mirror, reader);
	for (i = 0; i < n; i++) {
		if (hmmu_mirror_lookup_run(mirror, BASE + (i % 512) * PAGE,
					   HMMU_LARGE_BYTES, &run))
			sink += run.end;
	}
	hmmu_mirror_read_end(mirror, reader);
}

static void map_one_table(size_t n)
{
	(void)n;
	must(hmmu_mirror_map(mirror, BASE, BASE + HMMU_LARGE_BYTES, PAGE, 0));
}

static void map_span(size_t n)
{
	uintptr_t end = BASE + (1ul << SPAN_LG2);
	uintptr_t va;

	(void)n;
	/* Payloads against the addresses, so that no leaf is 1 GiB. */
	for (va = BASE; va < end; va += HMMU_LARGE_BYTES)
		must(hmmu_mirror_map(mirror, va, va + HMMU_LARGE_BYTES,
				     end - va, HMMU_MIRROR_WRITE));
}

static void walk_span(size_t n)
{
	struct hmmu_mirror_walk walk;

	(void)n;
	hmmu_mirror_read_begin(mirror, reader);
	hmmu_mirror_walk_begin(&walk, mirror, 0, UINTPTR_MAX,
			       HMMU_MIRROR_WALK_LEAVES);
	while (hmmu_mirror_walk_next(&walk))
		sink += walk.run.payload;
	hmmu_mirror_read_end(mirror, reader);
}

static uint64_t random_next(void)
{
	static uint64_t x = 88172645463325252ull;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

/* The C library leaves atomics out while there is but one thread. */
static void *second_thread(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void setup(void)
{
	size_t pages = 1ul << (SPAN_LG2 - HMMU_LARGE_LG2);
	pthread_t thread;
	size_t i;

	must(-pthread_create(&thread, NULL, second_thread, NULL));
	must(hmmu_mirror_create(NULL, &mirror));
	must(hmmu_mirror_reader_create(mirror, &reader));
	random_va = malloc(LOOKUPS * sizeof(*random_va));
	flat = malloc(pages * sizeof(*flat));
	two_level = calloc(1u << 18, sizeof(*two_level));
	if (!random_va || !flat || !two_level)
		must(-12);
	for (i = 0; i < pages; i++) {
		uint64_t **top = &two_level[(BASE >> HMMU_HUGE_LG2) + i / 512];

		flat[i] = i;
		if (!*top)
			*top = aligned_alloc(4096, 4096);
		(*top)[i % 512] = i;
	}
	for (i = 0; i < LOOKUPS; i++)
		random_va[i] = BASE + random_next() % (1ul << SPAN_LG2);
}

static const struct bench_case cases[] = {
	{ "floor: mutex + 1 store", 100000, 1, NULL, floor_store_one, NULL,
	  "" },
	{ "map one 4 KiB leaf", 100000, 1, clear, map_small, NULL,
	  "generic_pt 53, target 50" },
	{ "unmap one 4 KiB leaf", 100000, 1, map_small, unmap_small, clear,
	  "generic_pt 67, target 50" },
	{ "map one 2 MiB leaf", 50000, 1, clear, map_large, NULL,
	  "generic_pt 59, target 50" },
	{ "unmap one 2 MiB leaf", 50000, 1, map_large, unmap_large, clear,
	  "generic_pt 64, target 50" },
	{ "map one 1 GiB leaf", 50000, 1, clear, map_huge, NULL,
	  "generic_pt 54, target 50" },
	{ "unmap one 1 GiB leaf", 50000, 1, map_huge, unmap_huge, clear,
	  "generic_pt 59, target 50" },
	{ "map + unmap 1 leaf, neighbour stays", 100000, 1, neighbour,
	  map_unmap_alone, clear, "target 100" },
	{ "map + unmap 1 leaf, 3 tables come and go", 20000, 1, clear,
	  map_unmap_alone, clear, "" },
	{ "floor: mutex + 256 stores", 10000, 256, NULL, floor_store_256, NULL,
	  "" },
	{ "map 256 4 KiB leaves", 1000, 256, clear, map_256, NULL,
	  "generic_pt 384 ns, target 384" },
	{ "unmap 256 4 KiB leaves", 1000, 256, map_256, unmap_256, clear,
	  "generic_pt 216 ns, target 384" },
	{ "floor: lookup in a flat array", LOOKUPS, 1, map_span, lookup_flat,
	  NULL, "" },
	{ "peer: lookup in two levels, 2 MiB only", LOOKUPS, 1, NULL,
	  lookup_two_level, NULL, "SPDK mem_map 1.8" },
	{ "lookup, random over 64 GiB", LOOKUPS, 1, NULL, lookup_mirror, NULL,
	  "target 2" },
	{ "lookup, one after the other", LOOKUPS, 1, NULL, lookup_latency, NULL,
	  "" },
	{ "lookup in a section of its own", LOOKUPS, 1, NULL,
	  lookup_in_sections, NULL, "" },
	{ "run lookup, bound 0", LOOKUPS, 1, NULL, lookup_run_large, NULL, "" },
	{ "walk 32768 large leaves", 1u << 15, 1, map_span, walk_span, clear,
	  "" },
	{ "run lookup, 512 small leaves", 10000, 512, map_one_table,
	  lookup_run_512, clear, "" },
};

int main(void)
{
	size_t i;
	double ns;

	pin();
	setup();
	printf("%-42s %9s %9s  %s\n", "mirror", "ns", "ns/leaf", "");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ns = bench_case_run(&cases[i]);
		printf("%-42s %9.1f %9.2f  %s\n", cases[i].name, ns,
		       ns / (double)cases[i].leaves, cases[i].note);
	}
	keep(sink);
	hmmu_mirror_reader_destroy(mirror, reader);
	hmmu_mirror_destroy(mirror);
	return 0;
}
