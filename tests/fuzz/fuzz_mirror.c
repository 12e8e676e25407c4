/* SPDX-License-Identifier: MIT */
/*
 * Fuzz a mirror against a plain array: each 8 bytes of the input are one
 * operation (struct model_step). A difference aborts.
 */
#include "tests/unit/test_mirror_model.h"

#define STEPS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_step step;
	struct model m;
	unsigned int n;

	model_init(&m);
	for (n = 0; size >= sizeof(step) && n < STEPS_MAX; n++) {
		memcpy(&step, data, sizeof(step));
		data += sizeof(step);
		size -= sizeof(step);
		model_step(&m, &step);
	}
	model_compare(&m);
	model_clear(&m);
	model_fini(&m);
	return 0;
}
