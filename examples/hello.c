/* SPDX-License-Identifier: MIT */
#include <hmmu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct item {
	uint64_t value;
	struct item *next;
} *first, *last;
static uint64_t sum;

/* Runs on the device and follows the program's pointers. */
static int sum_list(struct hmmu_port *port, void *list, unsigned int worker, unsigned int workers)
{
	uint64_t item = (uintptr_t)list, value, total = 0;

	(void)worker, (void)workers; /* one worker */
	for (; item; total += value)
		if (hmmu_port_load64(port, item, &value) ||
		    hmmu_port_load64(port, item + offsetof(struct item, next), &item))
			return -EFAULT; /* a bad pointer is an error, not a signal */
	return hmmu_port_store64(port, (uintptr_t)&sum, total);
}

int main(void)
{
	struct hmmu_memory_options pool = { .size = sizeof(pool), .bytes = 64 << 20 };
	struct hmmu_soft_options options = { .size = sizeof(options), .workers = 1 };
	struct hmmu_migrate_result moved = { .size = sizeof(moved) };
	struct hmmu_soft_job_result result = { .size = sizeof(result) };
	struct hmmu_space *space;
	struct hmmu_soft *soft;
	struct hmmu_soft_job *job;
	const char *why = NULL;
	int err;

	for (uint64_t i = 1; i <= 100000; last->value = i++) /* an ordinary list */
		last = *(last ? &last->next : &first) = calloc(1, sizeof(*last));
	if ((err = hmmu_space_open(NULL, &why, &space)) ||
	    (err = hmmu_memory_create(space, &pool, &options.memory)) ||
	    (err = hmmu_soft_create(space, &options, &soft)) ||
	    ((err = hmmu_device_migrate(hmmu_soft_device(soft), (uintptr_t)first,
		(uintptr_t)(last + 1) - (uintptr_t)first, &moved)) && err != -EOPNOTSUPP) ||
	    (err = hmmu_soft_launch(soft, sum_list, first, 1, &job)) ||
	    (err = hmmu_soft_job_wait(job, HMMU_SOFT_FOREVER, &result)) || (err = result.error))
		return fprintf(stderr, "hello: %s\n", why ? why : strerror(-err)), 1;
	printf("%lu pages moved, sum %lu, last %lu\n", moved.pages_moved, sum, last->value);
	return hmmu_soft_destroy(soft) || hmmu_memory_destroy(options.memory) ||
	       hmmu_space_close(space);
}
