/* SPDX-License-Identifier: MIT */
/*
 * The software accelerator: a device made of threads.
 *
 * Overview: hmmu_soft_create() starts worker threads that share one device,
 * each with a port of its own. Work reaches them in two ways. Descriptors
 * (soft_descriptor.h) go through bounded queues (soft_queue.h), as they would
 * to hardware; kernels are C functions that get a port and follow any pointer
 * of the program.
 *
 *	struct hmmu_soft_record rec = { 0 };
 *	struct hmmu_soft_descriptor d = {
 *		.opcode = HMMU_SOFT_MEMMOVE,
 *		.flags = HMMU_SOFT_RECORD | HMMU_SOFT_BLOCK_ON_FAULT,
 *		.record = (uintptr_t)&rec,
 *		.src = (uintptr_t)from,
 *		.dst = (uintptr_t)to,
 *		.bytes = n,
 *	};
 *
 *	while ((err = hmmu_soft_submit(queue, &d)) == -EAGAIN)
 *		sched_yield();
 *	if (!err)
 *		err = hmmu_soft_wait(soft, &rec, HMMU_SOFT_FOREVER);
 *	if (!err && hmmu_soft_record_status(&rec) != HMMU_SOFT_SUCCESS)
 *		...
 *
 * Order: workers take the descriptors of a queue in the order of submission
 * and run them at the same time; between two of them only HMMU_SOFT_FENCE,
 * HMMU_SOFT_DRAIN or waiting for the record makes an order. Queues are served
 * in turn, kernels before queues.
 *
 * Threads: they, their stacks, the queues and the pool of records are in
 * HMMU's own memory and never away. Signals of the program are not delivered
 * to them.
 *
 * Locking: there is no lock in here. A call that may wait says so.
 *
 * After a fork the child has no workers: nothing of a soft may be used there.
 */
#ifndef HMMU_SOFT_H
#define HMMU_SOFT_H

#include <hmmu/base.h>
#include <hmmu/port.h>
#include <hmmu/soft_descriptor.h>
#include <hmmu/soft_queue.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_device;
struct hmmu_memory;
struct hmmu_soft;
struct hmmu_soft_job;

#define HMMU_SOFT_WORKERS_MAX 64u
#define HMMU_SOFT_RECORDS_MAX 65536u
/** How many jobs may be launched and not yet waited for. */
#define HMMU_SOFT_JOBS_MAX    64u

/**
 * struct hmmu_soft_options - how to make a software accelerator
 * @size:    sizeof(struct hmmu_soft_options) as built, bytes.
 * @name:    as of hmmu_device_options. May be NULL.
 * @memory:  device memory of its own; outlives it. May be NULL.
 * @workers: threads, at most HMMU_SOFT_WORKERS_MAX; 0 means one for each CPU
 *           the caller may run on.
 * @records: size of the pool of records, at most HMMU_SOFT_RECORDS_MAX.
 * @fault_around_pages: as of hmmu_device_options.
 * @reserved: zero.
 */
struct hmmu_soft_options {
	size_t size;
	const char *name;
	struct hmmu_memory *memory;
	uint32_t workers;
	uint32_t records;
	uint32_t fault_around_pages;
	uint32_t reserved;
};

/**
 * hmmu_soft_create() - make a software accelerator and start its workers
 * @space:    an open space; outlives it.
 * @options:  borrowed for the call; NULL for the defaults.
 * @ret_soft: receives it, see hmmu_soft_destroy().
 *
 * Context: May sleep. Starts threads. Not from a callback.
 * Locking: None that the caller could hold.
 * Return:
 *   0        made, its workers wait for work
 *   -EINVAL  NULL, size unknown, too many workers or records, reserved not 0
 *   -E2BIG   @options is of a newer HMMU
 *   -EBUSY   the memory belongs to another device
 *   -EAGAIN  the system has no thread left
 *   -ENOMEM  no memory
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_create(struct hmmu_space *space,
		 const struct hmmu_soft_options *options,
		 struct hmmu_soft **ret_soft);

/**
 * hmmu_soft_destroy() - finish all work and end a software accelerator
 * @soft: consumed on success. NULL is 0. No other thread uses it, its queues
 *        or its jobs.
 *
 * Finishes what was submitted and launched, and waits for it; with
 * hmmu_soft_drain() the caller can bound that wait before. Queues, jobs and
 * records that are left go with it. Then its device is destroyed and its pages
 * come home.
 *
 * Context: May sleep, as long as the work takes. Not from a callback.
 * Locking: None that the caller could hold.
 * Return:
 *   0        gone
 *   -EBUSY   the caller has ports of its own open on its device. The work is
 *            finished and no more is accepted; close them and call again
 *   -EDEADLK called from one of its own kernels; nothing was changed
 *   -ECHILD  called in a forked child; nothing was changed
 * Since: 0.1
 */
HMMU_API int hmmu_soft_destroy(struct hmmu_soft *soft);

/**
 * hmmu_soft_device() - the device of a software accelerator
 * @soft: one.
 *
 * For hmmu_device_migrate(), hmmu_device_fault() and ports of one's own.
 *
 * Context: Any.
 * Locking: None.
 * Return: borrowed until @soft is destroyed.
 * Since: 0.1
 */
HMMU_API struct hmmu_device *hmmu_soft_device(struct hmmu_soft *soft);

/**
 * hmmu_soft_record_at() - a completion record that is never away
 * @soft:  one.
 * @index: less than the records of its options.
 *
 * Records may be in any memory of the program. To look at one that is on a
 * device brings its page home; to look at one of the pool does not.
 *
 * Context: Any.
 * Locking: None; who uses which is up to the caller.
 * Return: borrowed until @soft is destroyed, zeroed at the start; NULL for an
 *         @index beyond the pool.
 * Since: 0.1
 */
HMMU_API struct hmmu_soft_record *hmmu_soft_record_at(struct hmmu_soft *soft,
						      uint32_t index);

/**
 * typedef hmmu_soft_kernel_fn - work in C
 * @port:    of the worker; use it in this call only, and end each section.
 * @arg:     as of hmmu_soft_launch(); may point anywhere in the program, but
 *           is to be followed through @port.
 * @worker:  which of @workers this call is, from 0.
 * @workers: how many calls make up the job; all of them run at the same time.
 *
 * The function may touch the program's memory directly only outside a section.
 * It must not own what leaving it in the middle would leak (hmmu_port_run()).
 *
 * Return: 0, or what the job is to report.
 */
typedef int (*hmmu_soft_kernel_fn)(struct hmmu_port *port, void *arg,
				   unsigned int worker, unsigned int workers);

/**
 * hmmu_soft_launch() - run a kernel
 * @soft:    one.
 * @fn:      called @workers times, on as many workers at the same time, so that
 *           the calls may wait for one another. They begin when the kernels
 *           launched before are done with as many workers as it takes.
 * @arg:     handed to @fn.
 * @workers: at most as many as @soft has; 0 means all.
 * @ret_job: receives the job, see hmmu_soft_job_wait().
 *
 * Context: Does not wait. Also from a kernel.
 * Locking: None.
 * Return:
 *   0          launched
 *   -EINVAL    NULL or more workers than there are
 *   -EAGAIN    HMMU_SOFT_JOBS_MAX jobs are not waited for, or too many calls
 *              are queued; wait for one
 *   -ESHUTDOWN @soft is being destroyed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_soft_launch(struct hmmu_soft *soft,
					      hmmu_soft_kernel_fn fn, void *arg,
					      unsigned int workers,
					      struct hmmu_soft_job **ret_job);

/**
 * struct hmmu_soft_job_result - how a kernel ended
 * @size:   sizeof(*result) as built, bytes.
 * @worker: the call that @error is of.
 * @error:  0 if all calls returned 0, else what the first to fail returned;
 *          -EFAULT if it touched through a span what was gone by then.
 * @fault:  the last device fault of that call's port when @error is one of the
 *          errors of hmmu_port_fault, else zero.
 */
struct hmmu_soft_job_result {
	size_t size;
	uint32_t worker;
	int32_t error;
	struct hmmu_port_fault fault;
};

/**
 * hmmu_soft_job_wait() - wait for a kernel
 * @job:        consumed on success.
 * @timeout_ns: bound, or HMMU_SOFT_FOREVER; 0 only looks.
 * @result:     in: size; out: how it ended. May be NULL.
 *
 * Context: May sleep.
 * Locking: None that the caller could hold. One thread waits for a job.
 * Return:
 *   0          every call has returned
 *   -ETIMEDOUT not yet; the job goes on and is still the caller's
 *   -EINVAL    @job is NULL or @result->size too small; nothing was changed
 *   -EDEADLK   a kernel of the same accelerator would have to wait
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_job_wait(struct hmmu_soft_job *job, uint64_t timeout_ns,
		   struct hmmu_soft_job_result *result);

/**
 * hmmu_soft_drain() - wait for all work given to an accelerator before
 * @soft:       one.
 * @timeout_ns: bound, or HMMU_SOFT_FOREVER; 0 only looks.
 *
 * Context: May sleep.
 * Locking: None that the caller could hold.
 * Return: as hmmu_soft_queue_drain().
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_soft_drain(struct hmmu_soft *soft,
					     uint64_t timeout_ns);

/**
 * struct hmmu_soft_stats - what an accelerator has done
 * @size:          sizeof(*stats) as built, bytes.
 * @descriptors:   descriptors run, members of batches included.
 * @batches:       of them, batches.
 * @failed:        descriptors that ended with another status than SUCCESS.
 * @page_faults:   of them, with PAGE_FAULT.
 * @access_faults: of them, with ACCESS_FAULT.
 * @bytes:         bytes done by descriptors.
 * @calls:         calls of kernels.
 * @refused:       submissions and launches answered with -EAGAIN.
 * @sections_retried: sections begun again because they were broken.
 * @steps_staged:  steps (of 64 KiB at most) that went through a buffer because
 *                 the ranges overlap, the source is read once for two uses, or
 *                 the direct way failed.
 * @records_lost:  records that could not be written.
 */
struct hmmu_soft_stats {
	size_t size;
	uint64_t descriptors;
	uint64_t batches;
	uint64_t failed;
	uint64_t page_faults;
	uint64_t access_faults;
	uint64_t bytes;
	uint64_t calls;
	uint64_t refused;
	uint64_t sections_retried;
	uint64_t steps_staged;
	uint64_t records_lost;
};

/**
 * hmmu_soft_get_stats() - read the counters of an accelerator
 * @soft:  one.
 * @stats: in: size; out: the counters. Work that is running counts when it is
 *         done.
 *
 * Context: Does not sleep.
 * Locking: None.
 * Return: 0, or -EINVAL when an argument is NULL or the size is too small.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_soft_get_stats(struct hmmu_soft *soft,
						 struct hmmu_soft_stats *stats);

HMMU_END_DECLS

#endif
