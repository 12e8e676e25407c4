/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access under contention: of the CPU, and of several devices.
 */
#include <sched.h>

#include "fixture.h"

/* So often the device gets the page back from the CPU, or for so long. */
#define TURNS  2000u
#define RUN_NS 2000000000ull

enum {
	CPUS = 2,
};

static struct {
	uint64_t *word;
	_Atomic unsigned int stop;
	_Atomic unsigned int kept;
	/* Odd while a thread is about to add, or waits for the page. */
	_Atomic unsigned int turn[CPUS];
	uint64_t made[CPUS];
} shared;

static bool is_stopped(void)
{
	return atomic_load_explicit(&shared.stop, memory_order_acquire);
}

static void *cpu_adds(void *arg)
{
	size_t i = (size_t)(uintptr_t)arg;
	_Atomic unsigned int *turn = &shared.turn[i];

	while (!is_stopped()) {
		atomic_fetch_add_explicit(turn, 1, memory_order_seq_cst);
		__atomic_fetch_add(shared.word, 1, __ATOMIC_RELAXED);
		atomic_fetch_add_explicit(turn, 1, memory_order_release);
		if (++shared.made[i] % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static bool is_adding(void)
{
	size_t i;

	for (i = 0; i < CPUS; i++)
		if (atomic_load_explicit(&shared.turn[i],
					 memory_order_acquire) %
		    2)
			return true;
	return false;
}

/* As long as it takes the CPU to add, if it can: then that add is lost. */
static void let_cpu_add(void)
{
	uint64_t end = live_now_ns() + 500000;
	unsigned int spin;

	while (!is_adding() && live_now_ns() < end)
		;
	for (spin = 0; spin < 5000; spin++)
		__asm__ volatile("");
}

/*
 * A plain increment, which is no atomic one: it may be made only where the page
 * is the device's alone. False: it is not, any more.
 */
static bool plain_add(struct hmmu_port *port)
{
	uintptr_t va = (uintptr_t)shared.word;
	volatile uint64_t *host;
	uint64_t value;
	void *at;
	size_t run;
	bool own;
	int err;

	hmmu_port_begin(port);
	err = hmmu_port_span(port, va, 8, HMMU_ACCESS_WRITE, &at, &run);
	HMMU_CHECK(!err || err == -EAGAIN);
	own = !err && live_is_exclusive(live_device, shared.word);
	if (own) {
		host = at;
		value = *host;
		let_cpu_add();
		*host = value + 1;
	}
	hmmu_port_end(port);
	return own;
}

static int acquire(struct hmmu_device *device)
{
	int err = live_make_exclusive(
		device, (void *)((uintptr_t)shared.word & ~(PAGE - 1)), PAGE,
		NULL);

	HMMU_CHECK(!err || err == -EBUSY);
	return err;
}

static bool device_add(struct hmmu_port *port, bool plain)
{
	if (plain)
		return plain_add(port);
	HMMU_CHECK_OK(
		hmmu_port_fetch_add(port, (uintptr_t)shared.word, 8, 1, NULL));
	return true;
}

/* How many increments the device made beside those of the CPU. */
static uint64_t device_adds(bool plain)
{
	struct hmmu_port *port = live_port();
	uint64_t made = 0, end = live_now_ns() + RUN_NS;
	unsigned int turns = 0, i;

	while (turns < TURNS && live_now_ns() < end) {
		turns += !live_is_exclusive(live_device, shared.word);
		if (acquire(live_device))
			continue;
		for (i = 0; i < 5 && device_add(port, plain); i++)
			made++;
	}
	hmmu_port_close(port);
	return made;
}

static void check_adds(bool plain)
{
	pthread_t threads[CPUS];
	uint64_t made;
	size_t i;

	live_open();
	shared.word = (uint64_t *)live_map_small(1, 1) + 5;
	*shared.word = 0;
	for (i = 0; i < CPUS; i++)
		threads[i] = live_thread(cpu_adds, (void *)(uintptr_t)i);
	made = device_adds(plain);
	HMMU_CHECK(made);
	atomic_store_explicit(&shared.stop, 1, memory_order_release);
	for (i = 0; i < CPUS; i++) {
		live_join(threads[i]);
		made += shared.made[i];
	}
	HMMU_CHECK_INT(*shared.word, made);
	live_close();
}

static void test_exclusive_no_increment_is_lost(void)
{
	check_adds(false);
}

/* It is mapped as the device's in a read section, or not at all. */
static void test_exclusive_ex8_plain_increments_are_atomic(void)
{
	check_adds(true);
}

#define FIGHTERS 3u
#define ROUNDS	 200u

static uint64_t longest_ns;

static void *fight(void *arg)
{
	struct hmmu_device *device = arg;
	struct hmmu_port *port;
	uint64_t begun, took, worst = 0;
	unsigned int i;

	HMMU_CHECK_OK(hmmu_port_open(device, &port));
	for (i = 0; i < ROUNDS; i++) {
		begun = live_now_ns();
		if (!acquire(device))
			atomic_fetch_add_explicit(&shared.kept, 1,
						  memory_order_relaxed);
		took = live_now_ns() - begun;
		worst = took > worst ? took : worst;
		HMMU_CHECK_OK(hmmu_port_fetch_add(port, (uintptr_t)shared.word,
						  8, 1, NULL));
	}
	hmmu_port_close(port);
	if (worst > __atomic_load_n(&longest_ns, __ATOMIC_RELAXED))
		__atomic_store_n(&longest_ns, worst, __ATOMIC_RELAXED);
	return NULL;
}

/* Several devices want one page: each gets on, and no increment is lost. */
static void test_exclusive_devices_fight_for_a_page(void)
{
	struct hmmu_device *devices[FIGHTERS];
	pthread_t threads[FIGHTERS];
	size_t i;

	live_open();
	shared.word = live_map_small(1, 1);
	*shared.word = 0;
	for (i = 0; i < FIGHTERS; i++)
		devices[i] = live_add_device(0, NULL);
	/* Skips, if it must, in this thread. */
	acquire(devices[0]);
	for (i = 0; i < FIGHTERS; i++)
		threads[i] = live_thread(fight, devices[i]);
	for (i = 0; i < FIGHTERS; i++)
		live_join(threads[i]);
	HMMU_CHECK_INT(*shared.word, FIGHTERS * ROUNDS);
	HMMU_CHECK(shared.kept > FIGHTERS * ROUNDS / 2);
	HMMU_CHECK(longest_ns < 3000000000ull * hmmu_test_slowness());
	for (i = 0; i < FIGHTERS; i++)
		HMMU_CHECK_OK(hmmu_device_destroy(devices[i]));
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_exclusive_no_increment_is_lost),
	       HMMU_TEST(test_exclusive_ex8_plain_increments_are_atomic),
	       HMMU_TEST(test_exclusive_devices_fight_for_a_page))
