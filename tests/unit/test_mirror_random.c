/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a mirror against a plain array. The seed is printed
 * when it fails, and may be given as the first argument.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/test_mirror_model.h"

#define SEED  20240611u
#define STEPS 1200u

static uint64_t seed = SEED;

static uint64_t random_next(uint64_t *state)
{
	/* xorshift64*, Vigna 2016 */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static bool seconds_are_over(time_t start, time_t seconds)
{
	return time(NULL) - start >= seconds;
}

static void test_mirror_matches_array(void **state)
{
	struct model m;
	struct model_step step;
	uint64_t random = seed;
	uint64_t bits;
	time_t start = time(NULL);
	unsigned int i;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	model_init(&m);
	for (i = 0; i < STEPS && !seconds_are_over(start, 4); i++) {
		bits = random_next(&random);
		memcpy(&step, &bits, sizeof(step));
		model_step(&m, &step);
		model_compare(&m);
		if (i % 256 == 255)
			model_clear(&m);
	}
	model_clear(&m);
	model_fini(&m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mirror_matches_array),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0) | 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
