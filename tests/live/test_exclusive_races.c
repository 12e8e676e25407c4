/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access under contention: of the CPU, and of several devices.
 */
#include <sched.h>

#include "fixture.h"

#define ADDS 20000u

static struct {
	uint64_t *word;
	_Atomic unsigned int done;
	_Atomic unsigned int kept;
} shared;

static void *cpu_adds(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < ADDS; i++) {
		__atomic_fetch_add(shared.word, 1, __ATOMIC_RELAXED);
		if (i % 64 == 0)
			sched_yield();
	}
	atomic_fetch_add_explicit(&shared.done, 1, memory_order_acq_rel);
	return NULL;
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
	unsigned int spin;
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
		for (spin = 0; spin < 200; spin++)
			__asm__ volatile("");
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

/* How many increments the device made beside those of the CPU. */
static uint64_t device_adds(bool plain)
{
	struct hmmu_port *port = live_port();
	uint64_t made = 0;
	unsigned int i;

	while (atomic_load_explicit(&shared.done, memory_order_acquire) < 2) {
		if (acquire(live_device))
			continue;
		for (i = 0; i < 20; i++) {
			if (plain && !plain_add(port))
				break;
			if (!plain)
				HMMU_CHECK_OK(hmmu_port_fetch_add(
					port, (uintptr_t)shared.word, 8, 1,
					NULL));
			made++;
		}
	}
	hmmu_port_close(port);
	return made;
}

static void check_adds(bool plain)
{
	pthread_t threads[2];
	uint64_t made;

	live_open();
	shared.word = (uint64_t *)live_map_small(1, 1) + 5;
	*shared.word = 0;
	threads[0] = live_thread(cpu_adds, NULL);
	threads[1] = live_thread(cpu_adds, NULL);
	made = device_adds(plain);
	live_join(threads[0]);
	live_join(threads[1]);
	HMMU_CHECK_INT(*shared.word, 2 * ADDS + made);
	HMMU_CHECK(made > 0);
	live_close();
}

static void test_exclusive_no_increment_is_lost(void)
{
	check_adds(false);
}

static void test_exclusive_plain_increments_are_atomic(void)
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
	       HMMU_TEST(test_exclusive_plain_increments_are_atomic),
	       HMMU_TEST(test_exclusive_devices_fight_for_a_page))
