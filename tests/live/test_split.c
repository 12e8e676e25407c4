/* SPDX-License-Identifier: MIT */
/*
 * Two at once move parts of one large page, which must be split for that: one
 * of them meets the other's lock, and tries again within the kernel (MV17).
 *
 *      one thread                          another
 *      moves pages of block 1              moves pages of block 2
 *        splits the large page               finds it locked, tries again
 *        moves                               moves, and is told EEXIST
 *
 * Required: each page is in one place, with what was in it.
 */
#include <sched.h>
#include <sys/mman.h>

#include "fixture.h"

enum {
	ROUNDS = 400,
};

/* One large page at addresses of two blocks: the kernel maps it by pages. */
#define SHIFT (LARGE / 2 + 3 * PAGE)
/* Where the kernel maps nothing by itself. */
#define PLACE ((char *)0x40000000ul)

static _Atomic unsigned int ready;
static pthread_t other;

struct half {
	void (*act)(char *p, size_t bytes);
	char *p;
	size_t bytes;
};

/* Both begin together. */
static void *act(void *arg)
{
	struct half *h = arg;

	atomic_fetch_add_explicit(&ready, 1, memory_order_acq_rel);
	while (atomic_load_explicit(&ready, memory_order_acquire) < 2)
		;
	h->act(h->p, h->bytes);
	return arg;
}

/* On both sides of the border between the two blocks. */
static void both(char *p, void (*fn)(char *p, size_t bytes))
{
	size_t first = LARGE - (uintptr_t)p % LARGE;
	struct half halves[2] = { { fn, p, first },
				  { fn, p + first, LARGE - first } };

	atomic_store_explicit(&ready, 0, memory_order_release);
	other = live_thread(act, &halves[0]);
	(void)act(&halves[1]);
	live_join(other);
}

static void out(char *p, size_t bytes)
{
	(void)live_migrate(live_device, p, bytes);
}

static void home(char *p, size_t bytes)
{
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, bytes, NULL));
}

static char *large_page(uint64_t seed)
{
	char *p = live_map(LARGE);

	madvise(p, LARGE, MADV_HUGEPAGE);
	live_fill(p, LARGE, seed);
	return p;
}

static char *shift(char *p)
{
	char *to = (char *)live_map(2 * LARGE) + SHIFT;

	HMMU_CHECK(mremap(p, LARGE, LARGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
		   to);
	return to;
}

/* What was around it is used no more. */
static void drop(char *p)
{
	HMMU_CHECK_OK(munmap(p - SHIFT, 2 * LARGE));
}

static void test_split_mv17_two_take_parts_of_one(void)
{
	uint64_t seed;
	char *p;

	live_open();
	for (seed = 1; seed < ROUNDS; seed++) {
		p = shift(large_page(seed));
		both(p, out);
		LIVE_CHECK(p, LARGE, seed);
		drop(p);
	}
	live_close();
}

static void test_split_mv17_two_bring_home_parts_of_one(void)
{
	uint64_t seed;
	char *p;

	live_open();
	for (seed = 1; seed < ROUNDS; seed++) {
		p = large_page(seed);
		live_take(p, LARGE);
		p = shift(p);
		both(p, home);
		LIVE_CHECK(p, LARGE, seed);
		drop(p);
	}
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}

/* The device writes one half while the other is being moved. */
static void test_split_mv17_device_writes_are_kept(void)
{
	struct hmmu_port *port;
	uint64_t seed;
	size_t at;
	char *p;

	live_open();
	port = live_port();
	for (seed = 1; seed < ROUNDS; seed++) {
		p = shift(large_page(seed));
		both(p, out);
		for (at = 0; at < LARGE; at += PAGE)
			live_store(port, p + at, seed);
		both(p, home);
		for (at = 0; at < LARGE; at += PAGE)
			HMMU_CHECK_INT(*(volatile uint64_t *)(p + at), seed);
		drop(p);
	}
	hmmu_port_close(port);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_split_mv17_two_take_parts_of_one),
	       HMMU_TEST(test_split_mv17_two_bring_home_parts_of_one),
	       HMMU_TEST(test_split_mv17_device_writes_are_kept))
