/* SPDX-License-Identifier: MIT */
/*
 * What is registered is what has been recorded, and the other way round:
 *
 *      migration, or device fault          program
 *      looks up mapping V: new, nobody
 *        is told of its changes
 *                                          munmap(a part of V), raw: not told
 *      registers V, records all of it
 *                                          mmap(that part), raw: a mapping
 *                                            that is not registered
 *      takes pages of it, or maps them
 *
 * Forbidden: the CPU finds zeroes where a page was taken; the device keeps what
 * it maps when the part is unmapped behind the hooks.
 */
#include <sched.h>
#include <sys/mman.h>

#include "fixture.h"

enum {
	PAGES = 256,
	TAIL = 192,
	ROUNDS = 1500,
};

#define BYTES	   ((size_t)PAGES * PAGE)
#define TAIL_BYTES ((size_t)TAIL * PAGE)

static _Atomic unsigned int stop;
static char *at;

static bool is_stopped(void)
{
	return atomic_load_explicit(&stop, memory_order_acquire);
}

static void map_raw(char *p, size_t bytes)
{
	HMMU_CHECK((char *)syscall(SYS_mmap, p, bytes, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS |
					   MAP_FIXED_NOREPLACE,
				   -1L, 0L) == p);
}

static void unmap_raw(char *p, size_t bytes)
{
	HMMU_CHECK_INT(syscall(SYS_munmap, p, bytes), 0);
}

/* The tail goes and comes back at any moment of somebody's look. */
static void renew_tail(unsigned int round)
{
	char *tail = at + BYTES - TAIL_BYTES;
	unsigned int i;

	for (i = 0; i < round % 40; i++)
		sched_yield();
	unmap_raw(tail, TAIL_BYTES);
	for (i = 0; i < round % 7; i++)
		sched_yield();
	map_raw(tail, TAIL_BYTES);
}

static void churn(bool (*check)(void *arg, char *tail, unsigned int round),
		  void *arg)
{
	uint64_t begun = live_now_ns();
	char *tail = at + BYTES - TAIL_BYTES;
	unsigned int round;

	for (round = 0; round < ROUNDS; round++) {
		renew_tail(round);
		if (!check(arg, tail, round))
			hmmu_test_fail(__FILE__, __LINE__, "round %u", round);
		unmap_raw(at, BYTES);
		map_raw(at, BYTES);
		if (live_now_ns() - begun > 3000000000ull)
			break;
	}
	atomic_store_explicit(&stop, 1, memory_order_release);
}

static void open_all(void)
{
	at = live_map(BYTES);
	live_open();
}

static void *migrate(void *arg)
{
	while (!is_stopped())
		(void)live_migrate(live_device, at, BYTES);
	return arg;
}

static bool keeps_words(void *arg, char *tail, unsigned int round)
{
	volatile uint64_t *words = (uint64_t *)tail;
	size_t i, step = PAGE / 8;

	(void)arg;
	for (i = 0; i < TAIL * step; i += step)
		words[i] = round + i + 1;
	sched_yield();
	for (i = 0; i < TAIL * step; i += step)
		if (words[i] != round + i + 1)
			return false;
	return true;
}

static void test_register_new_part_is_not_taken_unarmed(void)
{
	pthread_t threads[2];
	unsigned int i;

	open_all();
	for (i = 0; i < 2; i++)
		threads[i] = live_thread(migrate, NULL);
	churn(keeps_words, NULL);
	for (i = 0; i < 2; i++)
		live_join(threads[i]);
	live_close();
}

static void *fault(void *arg)
{
	int err;

	while (!is_stopped()) {
		err = hmmu_device_fault(live_device, (uintptr_t)at, BYTES,
					HMMU_ACCESS_READ);
		HMMU_CHECK(!err || err == -EFAULT || err == -EBUSY);
	}
	return arg;
}

static bool is_unmapped_soon(const char *p)
{
	unsigned int ms;

	for (ms = 0; ms < 2000; ms++) {
		if (!live_leaf(live_device, p, NULL))
			return true;
		live_sleep_ms(1);
	}
	return false;
}

/* The device maps the tail, and lets go of it when it goes. */
static bool sees_it_go(void *arg, char *tail, unsigned int round)
{
	uint64_t found = 0;
	bool ok;

	*(volatile uint64_t *)tail = round + 1;
	while (hmmu_port_load64(arg, (uintptr_t)tail, &found) == -EBUSY)
		;
	unmap_raw(tail, TAIL_BYTES);
	ok = is_unmapped_soon(tail);
	map_raw(tail, TAIL_BYTES);
	return ok && found == round + 1;
}

static void test_register_new_part_is_watched(void)
{
	struct hmmu_port *port;
	pthread_t thread;

	open_all();
	port = live_port();
	thread = live_thread(fault, NULL);
	churn(sees_it_go, port);
	live_join(thread);
	hmmu_port_close(port);
	live_close();
}

/*
 * What has been mapped beside a registered mapping would be one with it, but for
 * HMMU: a call of the C library moves both.
 */
static void moves_as_one(size_t watched)
{
	size_t half = BYTES / 2, other = half - watched;
	char *to;

	at = live_map(BYTES);
	to = live_map(BYTES);
	live_open();
	if (live_is_late(&live_hooked))
		HMMU_SKIP("hooks");
	unmap_raw(at + other, half);
	live_fill(at + watched, half, 1);
	live_take(at + watched, half);
	map_raw(at + other, half);
	live_fill(at + other, half, 2);
	HMMU_CHECK(live_hooked.remap(at, BYTES, BYTES,
				     MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	LIVE_CHECK(to + watched, half, 1);
	LIVE_CHECK(to + other, half, 2);
	HMMU_CHECK(!live_is_mapped(at) && !live_is_mapped(at + half));
	live_take(to, BYTES);
	LIVE_CHECK(to + watched, half, 1);
	live_close();
}

static void test_register_e3_neighbours_move_as_one(void)
{
	moves_as_one(0);
}

/* Linux 6.17 moves the first, and then refuses. */
static void test_register_e3_neighbour_before_moves_too(void)
{
	moves_as_one(BYTES / 2);
}

/* Memory that no device has touched is not registered (E2). */
static void test_register_e2_nothing_ahead_of_use(void)
{
	char *other = live_map_small(PAGES, 1);

	open_all();
	HMMU_CHECK(!live_is_armed(at) && !live_is_armed(other));
	live_fill(at, BYTES, 1);
	live_take(at, BYTES);
	HMMU_CHECK(live_is_armed(at));
	HMMU_CHECK(!live_is_armed(other));
	LIVE_CHECK(at, BYTES, 1);
	/* And is an ordinary mapping again when all is home. */
	LIVE_CHECK_SOON(!live_is_armed(at));
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_register_e2_nothing_ahead_of_use),
	       HMMU_TEST(test_register_new_part_is_not_taken_unarmed),
	       HMMU_TEST(test_register_new_part_is_watched),
	       HMMU_TEST(test_register_e3_neighbours_move_as_one),
	       HMMU_TEST(test_register_e3_neighbour_before_moves_too))
