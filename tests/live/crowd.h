/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_CROWD_H
#define HMMU_TESTS_CROWD_H

/*
 * A program of several threads that knows what each of its words must be - on
 * the heap, on its stacks, in its TLS, in its signal handlers - and goes on
 * while the calling thread takes that memory to the device again and again.
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
 * struct crowd - what happens
 * @parts: what is taken to the device: enum crowd_part.
 * @threads: how many work, at most 16.
 * @milliseconds: for how long.
 * @seed: of the random numbers.
 * @signals: SIGALRM by a timer and SIGUSR1 to every thread, all the time.
 * @calls: the threads call HMMU too.
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
 * Runs it in an open live_space with live_device, and returns when all threads
 * have ended and found everything right. What moved must be more than nothing.
 * Skips where a sanitizer's memory would be taken.
 */
void crowd_run(const struct crowd *crowd);

#endif
