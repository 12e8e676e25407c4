/* SPDX-License-Identifier: MIT */
#include <hmmu.h>
#include <stdio.h>
#include <stdlib.h>

static struct item {
	uint64_t value;
	struct item *next;
} *first, *last;
static uint64_t total;

/* Runs on the device, on each worker: follows the program's own pointers. */
static int add_up(struct hmmu_port *port, void *list, unsigned int worker, unsigned int workers)
{
	uint64_t item = (uintptr_t)list, value, sum = 0;

	for (; item; sum += value % workers == worker ? value : 0)
		if (hmmu_port_load64(port, item, &value) ||
		    hmmu_port_load64(port, item + 8, &item))
			return -EFAULT; /* a value, never a SIGSEGV */
	return hmmu_port_fetch_add(port, (uintptr_t)&total, 8, sum, NULL);
}

int main(void)
{
	struct hmmu_memory_options pool = { .size = sizeof(pool), .bytes = 64 << 20 };
	struct hmmu_soft_options how = { .size = sizeof(how), .workers = 2 };
	struct hmmu_migrate_result moved = { .size = sizeof(moved) };
	struct hmmu_soft_job_result done = { .size = sizeof(done) };
	struct hmmu_space *space;
	struct hmmu_soft *soft;
	struct hmmu_soft_job *job;
	const char *why = NULL;

	for (uint64_t i = 1; i <= 100000; i++) { /* an ordinary list */
		last = *(last ? &last->next : &first) = calloc(1, sizeof(*last));
		last->value = i;
	}
	if (hmmu_space_open(NULL, &why, &space) ||
	    hmmu_memory_create(space, &pool, &how.memory) ||
	    hmmu_soft_create(space, &how, &soft) ||
	    hmmu_device_migrate(hmmu_soft_device(soft), (uintptr_t)first,
				(uintptr_t)(last + 1) - (uintptr_t)first, &moved) ||
	    hmmu_soft_launch(soft, add_up, first, 0, &job) ||
	    hmmu_soft_job_wait(job, HMMU_SOFT_FOREVER, &done) || done.error)
		return fprintf(stderr, "hello: %s\n", why ? why : "failed"), 1;
	printf("%lu pages moved, sum %lu, last %lu\n", moved.pages_moved, total,
	       last->value); /* the CPU reads it, and its page comes home */
	return hmmu_soft_destroy(soft) || hmmu_memory_destroy(how.memory) ||
	       hmmu_space_close(space);
}
