/* SPDX-License-Identifier: MIT */
/*
 * Readers and updaters at once. Each test runs for a fixed short time; run
 * under ThreadSanitizer it also checks that every race is a meant one.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <hmmu/mirror.h>

#include "pagetable/mirror_walk.h"

#define PAGE	HMMU_PAGE_BYTES
#define LARGE	HMMU_LARGE_BYTES
#define REGION	HMMU_HUGE_BYTES
#define BASE	(512ul << 30)
#define RUN_NS	300000000u
#define READERS 2u
#define VALID	HMMU_MIRROR_VALID

static struct hmmu_mirror *mirror;
static atomic_bool stop;
static atomic_uint wrong; /* what a thread found amiss; asserted at the end */

static void expect(bool ok)
{
	if (!ok)
		atomic_fetch_add_explicit(&wrong, 1, memory_order_relaxed);
}

static bool stopped(void)
{
	return atomic_load_explicit(&stop, memory_order_relaxed);
}

static int setup(void **state)
{
	(void)state;
	atomic_store(&stop, false);
	atomic_store(&wrong, 0);
	assert_int_equal(hmmu_mirror_create(NULL, &mirror), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hmmu_mirror_destroy(mirror);
	return 0;
}

static void sleep_ns(long ns)
{
	struct timespec ts = { .tv_nsec = ns };

	nanosleep(&ts, NULL);
}

/* Run @n threads of @fn, each with its number, for a while. */
static void run_threads(unsigned int n, void *(*const *fn)(void *))
{
	pthread_t thread[8];
	uintptr_t i;

	for (i = 0; i < n; i++)
		assert_int_equal(
			pthread_create(&thread[i], NULL, fn[i], (void *)i), 0);
	sleep_ns(RUN_NS);
	atomic_store_explicit(&stop, true, memory_order_relaxed);
	for (i = 0; i < n; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(atomic_load(&wrong), 0);
	assert_true(hmmu__mirror_is_valid(mirror));
}

/* xorshift, for the choice of addresses */
static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/*
 * One translation, never taken away, only said in other words: its leaves are
 * replaced, split and merged. No lookup may miss it.
 */

static void *reshape(void *arg)
{
	uint64_t x = 88172645463325252ull;
	uintptr_t va;

	(void)arg;
	while (!stopped()) {
		va = BASE + next_random(&x) % (REGION / PAGE) * PAGE;
		switch (x >> 60) {
		case 0 ... 5:
			expect(!hmmu_mirror_map_range(mirror, va, PAGE, va,
						      HMMU_MIRROR_WRITE));
			break;
		case 6 ... 10:
			expect(!hmmu_mirror_protect_range(mirror, va, PAGE,
							  HMMU_MIRROR_WRITE));
			break;
		case 11 ... 13:
			expect(!hmmu_mirror_protect_range(mirror, BASE, REGION,
							  HMMU_MIRROR_WRITE));
			expect(!hmmu_mirror_coalesce_range(mirror, BASE,
							   REGION));
			break;
		default:
			expect(!hmmu_mirror_map_range(mirror, BASE, REGION,
						      BASE, HMMU_MIRROR_WRITE));
			break;
		}
	}
	return NULL;
}

static void look_at_whole(uintptr_t va)
{
	struct hmmu_mirror_run run;
	uint64_t entry = 0;

	expect(hmmu_mirror_lookup(mirror, va, &entry));
	expect(hmmu_mirror_payload(entry) == va);
	expect(hmmu_mirror_lookup_run(mirror, va, 16 * PAGE, &run));
	expect(run.start <= va && va < run.end && run.payload == run.start);
}

static void walk_whole(void)
{
	struct hmmu_mirror_walk walk;
	uintptr_t va = BASE;

	hmmu_mirror_walk_range(&walk, mirror, BASE, REGION,
			       HMMU_MIRROR_WALK_RUNS);
	for (; hmmu_mirror_walk_next(&walk); va = walk.run.end) {
		expect(walk.run.start == va);
		expect(walk.run.payload == va);
	}
	expect(va == BASE + REGION);
}

static void *look_while_reshaped(void *arg)
{
	struct hmmu_mirror_reader *reader;
	uint64_t x = (uintptr_t)arg + 1;
	unsigned int i;

	expect(!hmmu_mirror_reader_create(mirror, &reader));
	while (!stopped()) {
		hmmu_mirror_read_begin(mirror, reader);
		for (i = 0; i < 64; i++) {
			/* The last slot of a table is where graves are
			 * linked: every other lookup is of such a page. */
			uintptr_t va = next_random(&x) % (REGION / PAGE) * PAGE;

			look_at_whole(BASE + (i & 1 ? va : va | 511 * PAGE));
		}
		walk_whole();
		hmmu_mirror_read_end(mirror, reader);
	}
	hmmu_mirror_reader_destroy(mirror, reader);
	return NULL;
}

static void test_mirror_no_page_is_missing_while_reshaped(void **state)
{
	void *(*const fn[])(void *) = { reshape, look_while_reshaped,
					look_while_reshaped };

	(void)state;
	assert_int_equal(hmmu_mirror_map_range(mirror, BASE, REGION, BASE, 0),
			 0);
	run_threads(3, fn);
}

/* The same for one page alone, the one in whose slot a grave is linked: its
 * table comes and goes as fast as can be. */

static void *flip(void *arg)
{
	while (!stopped()) {
		expect(!hmmu_mirror_map_range(mirror, BASE, PAGE, BASE, 0));
		expect(!hmmu_mirror_map_range(mirror, BASE, LARGE, BASE, 0));
	}
	return arg;
}

static void *look_while_flipped(void *arg)
{
	struct hmmu_mirror_reader *reader;
	uintptr_t va = BASE + 511 * PAGE;
	uint64_t entry = 0;
	unsigned int i;

	expect(!hmmu_mirror_reader_create(mirror, &reader));
	while (!stopped()) {
		hmmu_mirror_read_begin(mirror, reader);
		for (i = 0; i < 64; i++) {
			expect(hmmu_mirror_lookup(mirror, va, &entry));
			expect(hmmu_mirror_payload(entry) == va);
		}
		hmmu_mirror_read_end(mirror, reader);
	}
	hmmu_mirror_reader_destroy(mirror, reader);
	return arg;
}

static void test_mirror_no_page_is_missing_while_flipped(void **state)
{
	void *(*const fn[])(void *) = { flip, look_while_flipped };

	(void)state;
	assert_int_equal(hmmu_mirror_map_range(mirror, BASE, LARGE, BASE, 0),
			 0);
	run_threads(2, fn);
}

/*
 * Memory goes away: after unmap and synchronize no reader may use it.
 */

#define FRAMES 64u
static _Atomic uint32_t alive[FRAMES];
static atomic_ulong hits;

static uintptr_t frame_va(unsigned int i)
{
	/* Some in one table, some in others, some in other regions. */
	return BASE + i % 4 * PAGE + i / 4 % 4 * LARGE + i / 16 * REGION;
}

static void *take_away(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; !stopped(); i = (i + 7) % FRAMES) {
		atomic_store_explicit(&alive[i], 1, memory_order_relaxed);
		expect(!hmmu_mirror_map_range(mirror, frame_va(i), PAGE,
					      i * PAGE, 0));
		if (i % 3 == 0)
			sleep_ns(1000);
		expect(!hmmu_mirror_unmap_range(mirror, frame_va(i), PAGE,
						NULL));
		hmmu_mirror_synchronize(mirror);
		atomic_store_explicit(&alive[i], 0, memory_order_relaxed);
	}
	return NULL;
}

static void *use_frames(void *arg)
{
	struct hmmu_mirror_reader *reader;
	uint64_t x = (uintptr_t)arg + 1;
	uint64_t entry;
	unsigned int i, k;

	expect(!hmmu_mirror_reader_create(mirror, &reader));
	while (!stopped()) {
		i = next_random(&x) % FRAMES;
		hmmu_mirror_read_begin(mirror, reader);
		if (hmmu_mirror_lookup(mirror, frame_va(i), &entry)) {
			expect(hmmu_mirror_payload(entry) == i * PAGE);
			/* Not only at once, but to the end of the section. */
			for (k = 0; k < 100; k++)
				expect(atomic_load_explicit(
					&alive[i], memory_order_relaxed));
			atomic_fetch_add_explicit(&hits, 1,
						  memory_order_relaxed);
		}
		hmmu_mirror_read_end(mirror, reader);
	}
	hmmu_mirror_reader_destroy(mirror, reader);
	return NULL;
}

static void test_mirror_synchronize_waits_for_readers(void **state)
{
	void *(*const fn[])(void *) = { take_away, use_frames, use_frames };
	unsigned int i;

	(void)state;
	/* In half of the tables a neighbour stays, so that no table dies. */
	for (i = 0; i < FRAMES / 2; i += 4)
		assert_int_equal(hmmu_mirror_map_range(mirror,
						       frame_va(i) + 100 * PAGE,
						       PAGE, 0, 0),
				 0);
	run_threads(3, fn);
	assert_true(atomic_load(&hits) > 0);
}

/*
 * Regions come and go beside each other, below the same upper tables: the race
 * drawn in pagetable/state.h.
 */

static uint64_t look_once(struct hmmu_mirror_reader *reader, uintptr_t va)
{
	uint64_t entry = 0;

	hmmu_mirror_read_begin(mirror, reader);
	if (!hmmu_mirror_lookup(mirror, va, &entry))
		entry = 0;
	hmmu_mirror_read_end(mirror, reader);
	return entry;
}

static void *come_and_go(void *arg)
{
	struct hmmu_mirror_reader *reader;
	uintptr_t va = BASE + (uintptr_t)arg * REGION;
	size_t pages;

	expect(!hmmu_mirror_reader_create(mirror, &reader));
	while (!stopped()) {
		expect(!hmmu_mirror_map_range(mirror, va, PAGE, va, 0));
		expect(look_once(reader, va) == (va | VALID));
		pages = 0;
		expect(!hmmu_mirror_unmap_range(mirror, va, PAGE, &pages));
		expect(pages == 1);
		expect(look_once(reader, va) == 0);
	}
	hmmu_mirror_reader_destroy(mirror, reader);
	return NULL;
}

static void test_mirror_neighbour_regions_come_and_go(void **state)
{
	void *(*const fn[])(void *) = { come_and_go, come_and_go, come_and_go };
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	(void)state;
	run_threads(3, fn);
	assert_int_equal(hmmu_mirror_get_stats(mirror, &stats), 0);
	assert_int_equal(stats.tables, 1);
}

/*
 * Edits over many regions against edits of one: the wide ones are atomic
 * against the others, and nobody waits for ever.
 */

static void *wide_edits(void *arg)
{
	uintptr_t start = BASE + (uintptr_t)arg * 40 * REGION - PAGE;
	uintptr_t end = start + 70 * REGION;
	size_t pages;

	while (!stopped()) {
		expect(!hmmu_mirror_map_range(mirror, start, end - start, start,
					      0));
		pages = 0;
		expect(!hmmu_mirror_unmap_range(mirror, start, 2 * PAGE,
						&pages));
		expect(!hmmu_mirror_protect_range(mirror, start, end - start,
						  HMMU_MIRROR_WRITE));
		expect(!hmmu_mirror_unmap_range(mirror, start, end - start,
						&pages));
	}
	return NULL;
}

static void *narrow_edits(void *arg)
{
	uint64_t x = (uintptr_t)arg + 1;
	uintptr_t va;

	while (!stopped()) {
		va = BASE + next_random(&x) % 110 * REGION;
		expect(!hmmu_mirror_map_range(mirror, va, PAGE, va, 0));
		expect(!hmmu_mirror_unmap_range(mirror, va, PAGE, NULL));
	}
	return NULL;
}

static void *figures(void *arg)
{
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	while (!stopped()) {
		expect(!hmmu_mirror_get_stats(mirror, &stats));
		expect(stats.tables > 0);
	}
	return arg;
}

static void test_mirror_wide_and_narrow_edits_mix(void **state)
{
	void *(*const fn[])(void *) = { wide_edits, wide_edits, narrow_edits,
					narrow_edits, figures };
	struct hmmu_mirror_stats stats = { .size = sizeof(stats) };

	(void)state;
	run_threads(5, fn);
	assert_int_equal(hmmu_mirror_unmap_range(mirror, 0, 1ul << 48, NULL),
			 0);
	assert_int_equal(hmmu_mirror_get_stats(mirror, &stats), 0);
	assert_int_equal(stats.tables, 1);
}

/*
 * A wide edit is seen by other updates as one: either all pages of the range
 * are there to be unmapped, or none is.
 */

static void *map_pair(void *arg)
{
	while (!stopped())
		expect(!hmmu_mirror_map_range(mirror, BASE - PAGE, 2 * PAGE, 0,
					      0));
	return arg;
}

static void *unmap_pair(void *arg)
{
	size_t pages;

	while (!stopped()) {
		pages = 1;
		expect(!hmmu_mirror_unmap_range(mirror, BASE - PAGE, 2 * PAGE,
						&pages));
		expect(pages == 0 || pages == 2);
	}
	return arg;
}

/* In the second of the two regions, which has the first of all locks. */
static void *edit_beside_pair(void *arg)
{
	uintptr_t va = BASE + 5 * PAGE;
	size_t pages;

	while (!stopped()) {
		expect(!hmmu_mirror_map_range(mirror, va, PAGE, 0, 0));
		pages = 0;
		expect(!hmmu_mirror_unmap_range(mirror, va, PAGE, &pages));
		expect(pages == 1);
	}
	return arg;
}

static void test_mirror_updates_are_atomic(void **state)
{
	void *(*const fn[])(void *) = { map_pair, unmap_pair,
					edit_beside_pair };

	(void)state;
	run_threads(3, fn);
}

#define RULE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RULE(test_mirror_no_page_is_missing_while_reshaped),
		RULE(test_mirror_no_page_is_missing_while_flipped),
		RULE(test_mirror_synchronize_waits_for_readers),
		RULE(test_mirror_neighbour_regions_come_and_go),
		RULE(test_mirror_wide_and_narrow_edits_mix),
		RULE(test_mirror_updates_are_atomic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
