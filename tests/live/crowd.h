/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_CROWD_H
#define HMMU_TESTS_CROWD_H

/*
 * A program of several threads that checks all its words: on the heap, on its
 * stacks, in its TLS and in its signal handlers. Meanwhile the calling thread
 * migrates that memory to the device again and again.
 */
#include <stdbool.h>
#include <stdint.h>

enum crowd_part {
	CROWD_HEAP = 1u << 0,
	CROWD_STACKS = 1u << 1,
	/* From the first page to the last. */
	CROWD_EVERYTHING = 1u << 2,
};

/**
 * struct crowd - parameters of a run
 * @parts: the memory that migrates: enum crowd_part.
 * @threads: number of threads, at most 16.
 * @milliseconds: duration.
 * @seed: seed of the random numbers.
 * @signals: send SIGALRM by a timer, and SIGUSR1 to every thread.
 * @calls: the threads call HMMU, too.
 */
struct crowd {
	unsigned int parts;
	unsigned int threads;
	unsigned int milliseconds;
	uint64_t seed;
	bool signals;
	bool calls;
};

/*
 * Run it in an open live_space with live_device. Returns when all threads have
 * ended; fails if a word is wrong or no page migrated. Skips if a sanitizer's
 * memory would migrate.
 */
void crowd_run(const struct crowd *crowd);

#endif
