/* SPDX-License-Identifier: MIT */
/*
 * The whole program (heap, stacks, TLS and data) migrates to the device while
 * its threads work, call HMMU and get signals; every word is checked
 */
#include "crowd.h"
#include "fixture.h"

static void run(unsigned int parts, bool calls)
{
	const struct crowd crowd = {
		.parts = parts,
		.threads = 6,
		.milliseconds = 1000 * hmmu_test_seconds(),
		.seed = hmmu_test_seed(),
		.signals = true,
		.calls = calls,
	};

	live_open_bytes(256 * LARGE);
	crowd_run(&crowd);
	live_close();
}

static void stress_threads_heap(void)
{
	run(CROWD_HEAP, true);
}

static void stress_threads_everything(void)
{
	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	run(CROWD_HEAP | CROWD_STACKS | CROWD_EVERYTHING, true);
}

HMMU_TEST_MAIN(HMMU_TEST(stress_threads_heap),
	       HMMU_TEST(stress_threads_everything))
