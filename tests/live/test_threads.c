/* SPDX-License-Identifier: MIT */
/*
 * A program takes the memory its own threads stand on to the device while they
 * run, call HMMU and take signals, and goes on (design.md section 4, rule 2).
 */
#include <sys/mman.h>

#include "crowd.h"
#include "fixture.h"

#define DEVICE_BYTES (128 * LARGE)

static void need_kernel_faults(void)
{
	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
}

static void run(struct crowd crowd)
{
	crowd.threads = 4;
	crowd.seed = hmmu_test_seed();
	live_open_bytes(DEVICE_BYTES);
	crowd_run(&crowd);
	live_close();
}

static void test_threads_heap(void)
{
	run((struct crowd){ .parts = CROWD_HEAP, .milliseconds = 1000 });
}

static void test_threads_heap_with_calls_and_signals(void)
{
	run((struct crowd){ .parts = CROWD_HEAP,
			    .milliseconds = 1000,
			    .signals = true,
			    .calls = true });
}

static void test_threads_stacks(void)
{
	need_kernel_faults();
	run((struct crowd){ .parts = CROWD_STACKS, .milliseconds = 1000 });
}

static void test_threads_stacks_with_calls(void)
{
	need_kernel_faults();
	run((struct crowd){
		.parts = CROWD_STACKS, .milliseconds = 1000, .calls = true });
}

static void test_threads_stacks_with_signals(void)
{
	need_kernel_faults();
	run((struct crowd){
		.parts = CROWD_STACKS, .milliseconds = 1000, .signals = true });
}

static void test_threads_everything(void)
{
	need_kernel_faults();
	run((struct crowd){ .parts = CROWD_HEAP | CROWD_STACKS |
				     CROWD_EVERYTHING,
			    .milliseconds = 2000,
			    .signals = true,
			    .calls = true });
}

static struct {
	_Atomic unsigned int ready;
	_Atomic unsigned int go;
	uintptr_t start;
	size_t bytes;
} standing;

static void *stand(void *arg)
{
	pthread_attr_t attr;
	void *start;

	(void)arg;
	HMMU_CHECK_OK(-pthread_getattr_np(pthread_self(), &attr));
	HMMU_CHECK_OK(-pthread_attr_getstack(&attr, &start, &standing.bytes));
	pthread_attr_destroy(&attr);
	standing.start = (uintptr_t)start;
	atomic_store_explicit(&standing.ready, 1, memory_order_release);
	HMMU_CHECK(live_wait_for(&standing.go, 1, 20000));
	return NULL;
}

/* What the kernel itself writes to can not be away: signal frames are there. */
static void test_threads_stacks_of_an_ordinary_user_stay(void)
{
	struct hmmu_migrate_result r;
	pthread_t thread;

	if (live_serves_kernel())
		HMMU_SKIP("an ordinary user's userfaultfd");
	live_open();
	thread = live_thread(stand, NULL);
	HMMU_CHECK(live_wait_for(&standing.ready, 1, 5000));
	r = live_migrate(live_device, (void *)standing.start, standing.bytes);
	HMMU_CHECK_INT(r.pages_moved, 0);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_KERNEL], r.pages_stayed);
	atomic_store_explicit(&standing.go, 1, memory_order_release);
	live_join(thread);
	live_close();
}

static void *end_at_once(void *arg)
{
	volatile char deep[100000];

	deep[0] = deep[99999] = 1;
	return (char *)arg + deep[0] - deep[99999];
}

/* Threads begin and end while everything is taken: libc gives stacks back. */
static void test_threads_come_and_go(void)
{
	pthread_t threads[8];
	int round;
	size_t i;

	need_kernel_faults();
	live_need_program_alone();
	live_open_bytes(DEVICE_BYTES);
	for (round = 0; round < 30; round++) {
		for (i = 0; i < 8; i++)
			threads[i] = live_thread(end_at_once, NULL);
		(void)live_migrate(live_device, (void *)PAGE,
				   (1ul << 47) - 2 * PAGE);
		for (i = 0; i < 8; i++)
			live_join(threads[i]);
	}
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_threads_heap),
	       HMMU_TEST(test_threads_heap_with_calls_and_signals),
	       HMMU_TEST(test_threads_stacks),
	       HMMU_TEST(test_threads_stacks_with_calls),
	       HMMU_TEST(test_threads_stacks_with_signals),
	       HMMU_TEST(test_threads_everything),
	       HMMU_TEST(test_threads_stacks_of_an_ordinary_user_stay),
	       HMMU_TEST(test_threads_come_and_go))
