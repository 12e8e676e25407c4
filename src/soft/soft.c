/* SPDX-License-Identifier: MIT */
/*
 * The software accelerator as a whole: create, destroy, drain, statistics
 *
 * Locking: none. The creator publishes the accelerator by returning it.
 *
 * Not supported: use in a forked child, which has none of the workers.
 * hmmu_soft_destroy() is -ECHILD there.
 */
#include <errno.h>

#include <hmmu/device.h>
#include <hmmu/space.h>

#include "base/lock.h"
#include "base/sized.h"
#include "base/sys.h"
#include "soft/crc32c.h"
#include "soft/queue.h"
#include "soft/state.h"
#include "soft/wait.h"
#include "soft/worker.h"

/* The CPUs that the calling thread may run on; 1 if the call fails. */
static uint32_t count_usable_cpus(void)
{
	uint64_t mask[128] = { 0 };
	uint32_t count = 0;
	size_t i;
	long ret;

	ret = hmmu__syscall(SYS_sched_getaffinity, 0, sizeof(mask), (long)mask,
			    0, 0, 0);
	if (ret <= 0)
		return 1;
	for (i = 0; i < HMMU_ARRAY_SIZE(mask); i++)
		count += (uint32_t)__builtin_popcountll(mask[i]);
	return (uint32_t)hmmu_min(count, HMMU_SOFT_WORKERS_MAX);
}

static int read_soft_options(const struct hmmu_soft_options *from,
			     struct hmmu_soft_options *to)
{
	int err;

	*to = (struct hmmu_soft_options){ .name = NULL };
	if (from) {
		err = hmmu__copy_sized(to, sizeof(*to), sizeof(*to), from);
		if (err)
			return err;
	}
	if (to->workers > HMMU_SOFT_WORKERS_MAX ||
	    to->records > HMMU_SOFT_RECORDS_MAX || to->reserved)
		return -EINVAL;
	if (!to->workers)
		to->workers = count_usable_cpus();
	return 0;
}

static size_t workers_bytes(const struct hmmu_soft *soft)
{
	return soft->worker_count * sizeof(struct hmmu_soft_worker);
}

static size_t records_bytes(const struct hmmu_soft *soft)
{
	return soft->record_count * sizeof(struct hmmu_soft_record);
}

/* Allocate an accelerator without device and threads, all zero; or NULL. */
static struct hmmu_soft *alloc_soft(const struct hmmu_soft_options *opt)
{
	struct hmmu_soft *soft = hmmu_alloc(sizeof(*soft));

	if (!soft)
		return NULL;
	soft->pid = (int)hmmu__syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
	soft->worker_count = opt->workers;
	soft->record_count = opt->records;
	soft->workers = hmmu_alloc(workers_bytes(soft));
	soft->records = hmmu_alloc(records_bytes(soft));
	if (soft->workers && (soft->records || !soft->record_count) &&
	    !hmmu__ring_init(&soft->calls, HMMU_SOFT_CALLS_DEPTH))
		return soft;
	hmmu_free(soft->records, records_bytes(soft));
	hmmu_free(soft->workers, workers_bytes(soft));
	hmmu_free(soft, sizeof(*soft));
	return NULL;
}

static void free_soft(struct hmmu_soft *soft)
{
	hmmu__soft_queues_fini(soft);
	hmmu__ring_fini(&soft->calls);
	hmmu_free(soft->records, records_bytes(soft));
	hmmu_free(soft->workers, workers_bytes(soft));
	hmmu_free(soft, sizeof(*soft));
}

static int create_device(struct hmmu_space *space, struct hmmu_soft *soft,
			 const struct hmmu_soft_options *opt)
{
	const struct hmmu_device_options device_options = {
		.size = sizeof(device_options),
		.name = opt->name,
		.memory = opt->memory,
		.fault_around_pages = opt->fault_around_pages,
	};

	return hmmu_device_create(space, &device_options, &soft->device);
}

int hmmu_soft_create(struct hmmu_space *space,
		     const struct hmmu_soft_options *options,
		     struct hmmu_soft **ret_soft)
{
	struct hmmu_soft_options opt;
	struct hmmu_soft *soft;
	int err, failed;

	if (!space || !ret_soft)
		return -EINVAL;
	err = read_soft_options(options, &opt);
	if (err)
		return err;
	hmmu__crc32c_prepare();
	soft = alloc_soft(&opt);
	if (!soft)
		return -ENOMEM;
	err = create_device(space, soft, &opt);
	if (err)
		goto fail;
	err = hmmu__soft_start(soft);
	if (err)
		goto fail_started;
	*ret_soft = soft;
	return 0;
fail_started:
	hmmu__soft_stop(soft);
	failed = hmmu_device_destroy(soft->device);
	/* No port is open: no other thread knows the device. */
	HMMU_ASSERT(!failed);
	(void)failed;
fail:
	free_soft(soft);
	return err;
}

int hmmu_soft_destroy(struct hmmu_soft *soft)
{
	int err;

	if (!soft)
		return 0;
	if (hmmu__soft_in_worker(soft))
		return -EDEADLK;
	if (soft->pid != (int)hmmu__syscall(SYS_getpid, 0, 0, 0, 0, 0, 0))
		return -ECHILD;
	hmmu__soft_stop(soft);
	err = hmmu_device_destroy(soft->device);
	if (err)
		return err;
	free_soft(soft);
	return 0;
}

struct hmmu_device *hmmu_soft_device(struct hmmu_soft *soft)
{
	return soft->device;
}

struct hmmu_soft_record *hmmu_soft_record_at(struct hmmu_soft *soft,
					     uint32_t index)
{
	return index < soft->record_count ? &soft->records[index] : NULL;
}

/* The rings that a drain still waits for; it begins at the last. */
struct drain {
	struct hmmu_ring_wait rings[HMMU_SOFT_QUEUES_MAX + 1];
	unsigned int count;
};

static bool is_drained(void *arg)
{
	struct drain *drain = arg;

	while (drain->count &&
	       hmmu__ring_waited(&drain->rings[drain->count - 1]))
		drain->count--;
	return !drain->count;
}

int hmmu_soft_drain(struct hmmu_soft *soft, uint64_t timeout_ns)
{
	struct drain drain = { .count = 0 };
	struct hmmu_soft_queue *queue;
	uint32_t i;

	if (!soft)
		return -EINVAL;
	drain.rings[drain.count++] = hmmu__ring_wait_all(&soft->calls);
	for (i = 0; i < HMMU_SOFT_QUEUES_MAX; i++) {
		queue = &soft->queues[i];
		/* Acquire pairs with the release in queue_create(). */
		if (atomic_load_explicit(&queue->state, memory_order_acquire) ==
		    HMMU_SOFT_QUEUE_LIVE)
			drain.rings[drain.count++] =
				hmmu__ring_wait_all(&queue->ring);
	}
	return hmmu__soft_wait_until(soft, is_drained, &drain, timeout_ns);
}

/* Relaxed: statistics. */
static uint64_t sum_counter(const struct hmmu_soft *soft,
			    enum hmmu_soft_counter counter)
{
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < soft->worker_count; i++)
		sum += atomic_load_explicit(&soft->workers[i].count[counter],
					    memory_order_relaxed);
	return sum;
}

int hmmu_soft_get_stats(struct hmmu_soft *soft, struct hmmu_soft_stats *stats)
{
	if (!soft || !stats || stats->size < sizeof(*stats))
		return -EINVAL;
	stats->descriptors = sum_counter(soft, HMMU_SOFT_COUNT_DESCRIPTORS);
	stats->batches = sum_counter(soft, HMMU_SOFT_COUNT_BATCHES);
	stats->failed = sum_counter(soft, HMMU_SOFT_COUNT_FAILED);
	stats->page_faults = sum_counter(soft, HMMU_SOFT_COUNT_PAGE_FAULTS);
	stats->access_faults = sum_counter(soft, HMMU_SOFT_COUNT_ACCESS_FAULTS);
	stats->bytes = sum_counter(soft, HMMU_SOFT_COUNT_BYTES);
	stats->calls = sum_counter(soft, HMMU_SOFT_COUNT_CALLS);
	stats->refused =
		atomic_load_explicit(&soft->refused, memory_order_relaxed);
	stats->sections_retried = sum_counter(soft, HMMU_SOFT_COUNT_RETRIED);
	stats->steps_staged = sum_counter(soft, HMMU_SOFT_COUNT_STAGED);
	stats->records_lost = sum_counter(soft, HMMU_SOFT_COUNT_LOST);
	return 0;
}
