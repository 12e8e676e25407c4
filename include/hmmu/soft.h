/* SPDX-License-Identifier: MIT */
/*
 * The software accelerator: a device made of threads
 *
 * Overview: hmmu_soft_create() starts worker threads. They share one device,
 * and each has a port. There are two kinds of work. Descriptors
 * (soft_descriptor.h) go through bounded queues (soft_queue.h), as in hardware.
 * Kernels are C functions that get a port and can follow any pointer of the
 * program.
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
 * Order: workers take the descriptors of a queue in the order of submission and
 * run them concurrently. To order two descriptors, use HMMU_SOFT_FENCE or
 * HMMU_SOFT_DRAIN, or wait for the record of the first. Kernels run before
 * descriptors, and queues are served in turn.
 *
 * Threads: the workers, their stacks, the queues and the pool of records are in
 * memory that is never on a device. The program's signals are blocked in the
 * workers.
 *
 * Locking: functions that wait say so. Their caller holds no lock that a kernel
 * or a callback takes. The others need no lock.
 *
 * Not supported: use in a forked child, because it has no workers.
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
/** Jobs that were launched and not yet waited for. */
#define HMMU_SOFT_JOBS_MAX    64u

/**
 * struct hmmu_soft_options - options of hmmu_soft_create()
 * @size:    sizeof(struct hmmu_soft_options), bytes.
 * @name:    as in hmmu_device_options. May be NULL.
 * @memory:  the device's own memory; borrowed until the accelerator is
 *           destroyed. May be NULL.
 * @workers: number of threads, at most HMMU_SOFT_WORKERS_MAX. 0: one for each
 *           CPU that the caller may run on.
 * @records: size of the pool of records, at most HMMU_SOFT_RECORDS_MAX.
 * @fault_around_pages: as in hmmu_device_options.
 * @reserved: 0.
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
 * hmmu_soft_create() - create a software accelerator and start its workers
 * @space:    an open space; borrowed until the accelerator is destroyed.
 * @options:  borrowed for the call. NULL: the defaults.
 * @ret_soft: receives the accelerator. Free it with hmmu_soft_destroy().
 *
 * Context: May sleep. Starts threads. Not from a callback.
 * Return:
 *   0        success
 *   -EINVAL  NULL, size too small, too many workers or records, @reserved not
 *            0, or the memory is of another space
 *   -E2BIG   @options has a field that this library does not know: see base.h
 *   -EBUSY   the memory belongs to another device: create one for each device
 *   -EAGAIN  no thread can be created: raise RLIMIT_NPROC
 *   -ENOMEM  out of memory
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_create(struct hmmu_space *space,
		 const struct hmmu_soft_options *options,
		 struct hmmu_soft **ret_soft);

/**
 * hmmu_soft_destroy() - finish all work and free a software accelerator
 * @soft: freed on success. NULL: does nothing and returns 0. No other thread
 *        uses it, its queues or its jobs.
 *
 * Waits for all descriptors and kernels. To limit the wait, call
 * hmmu_soft_drain() first. Frees the queues, jobs and records that are left.
 * Then it destroys the device, and its pages migrate back.
 *
 * Context: Sleeps until the work is done. Not from a callback.
 * Return:
 *   0        success
 *   -EBUSY   the caller has ports open on the device: close them and call
 *            again. Or the program kept changing mappings: call again. The work
 *            is done, and no more is accepted
 *   -ENOMEM  out of memory: free some and call again; as for -EBUSY
 *   -EDEADLK called in a kernel of the accelerator; nothing was changed
 *   -ECHILD  called in a forked child; nothing was changed
 * Since: 0.1
 */
HMMU_API int hmmu_soft_destroy(struct hmmu_soft *soft);

/**
 * hmmu_soft_device() - get the device of a software accelerator
 * @soft: the accelerator.
 *
 * For hmmu_device_migrate(), hmmu_device_fault(), and ports of the caller.
 *
 * Context: Does not sleep.
 * Return: the device; borrowed until @soft is destroyed.
 * Since: 0.1
 */
HMMU_API struct hmmu_device *hmmu_soft_device(struct hmmu_soft *soft);

/**
 * hmmu_soft_record_at() - get a completion record that is never on a device
 * @soft:  the accelerator.
 * @index: index in the pool, less than the records of the options.
 *
 * A record can be in any memory of the program. Reading one that is on a device
 * migrates its page back; reading one of the pool does not. The caller decides
 * which descriptor uses which record.
 *
 * Context: Does not sleep.
 * Return: the record, zeroed at first; borrowed until @soft is destroyed. NULL:
 *         no such index.
 * Since: 0.1
 */
HMMU_API struct hmmu_soft_record *hmmu_soft_record_at(struct hmmu_soft *soft,
						      uint32_t index);

/**
 * typedef hmmu_soft_kernel_fn - a kernel: a C function that runs on the device
 * @port:    the worker's port; valid during the call. End each section.
 * @arg:     from hmmu_soft_launch(). Access it through @port.
 * @worker:  index of this call, from 0.
 * @workers: number of calls of the job. All of them run at the same time.
 *
 * Context: May sleep. Accesses the program's memory directly only outside of
 *          sections. It can be aborted at each access to a span
 *          (hmmu_port_run()), so it must not hold locks or allocations.
 * Return: 0, or an error that the job reports.
 * Since: 0.1
 */
typedef int (*hmmu_soft_kernel_fn)(struct hmmu_port *port, void *arg,
				   unsigned int worker, unsigned int workers);

/**
 * hmmu_soft_launch() - launch a kernel
 * @soft:    the accelerator.
 * @fn:      called @workers times, by as many workers at the same time. The
 *           calls may wait for each other. They start when the kernels that
 *           were launched before have left enough workers.
 * @arg:     passed to @fn.
 * @workers: number of calls, at most the number of workers. 0: all workers.
 * @ret_job: receives the job. Free it with hmmu_soft_job_wait().
 *
 * Context: Does not wait for workers. May be called in a kernel. Not from a
 *          callback.
 * Return:
 *   0          success
 *   -EINVAL    NULL, or more calls than workers
 *   -EAGAIN    HMMU_SOFT_JOBS_MAX jobs exist, or too many calls are queued:
 *              wait for a job
 *   -ESHUTDOWN @soft is being destroyed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_soft_launch(struct hmmu_soft *soft,
					      hmmu_soft_kernel_fn fn, void *arg,
					      unsigned int workers,
					      struct hmmu_soft_job **ret_job);

/**
 * struct hmmu_soft_job_result - result of a kernel
 * @size:   sizeof(struct hmmu_soft_job_result), bytes.
 * @worker: the call that returned @error.
 * @error:  0 if all calls returned 0, else the error of the first call that
 *          failed. -EFAULT if the kernel accessed unmapped memory through a
 *          span.
 * @fault:  the last device fault of that call's port, if @error is an error of
 *          hmmu_port_fault; else zero.
 */
struct hmmu_soft_job_result {
	size_t size;
	uint32_t worker;
	int32_t error;
	struct hmmu_port_fault fault;
};

/**
 * hmmu_soft_job_wait() - wait for a kernel
 * @job:        freed on success. One thread waits for a job.
 * @timeout_ns: time limit, ns, or HMMU_SOFT_FOREVER. 0: do not wait.
 * @result:     in: size; out: the result. May be any memory of the program, or
 *              NULL.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0          all calls have returned; see @result for their error
 *   -ETIMEDOUT some have not returned; the job continues
 *   -EINVAL    @job is NULL, or @result->size is too small; nothing was changed
 *   -EDEADLK   called in a kernel of the same accelerator, which would wait for
 *              itself
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_job_wait(struct hmmu_soft_job *job, uint64_t timeout_ns,
		   struct hmmu_soft_job_result *result);

/**
 * hmmu_soft_drain() - wait for all work of an accelerator
 * @soft:       the accelerator.
 * @timeout_ns: time limit, ns, or HMMU_SOFT_FOREVER. 0: do not wait.
 *
 * Context: May sleep. Not from a callback.
 * Return: as hmmu_soft_queue_drain(), for descriptors and kernels.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_soft_drain(struct hmmu_soft *soft,
					     uint64_t timeout_ns);

/**
 * struct hmmu_soft_stats - counters of an accelerator
 * @size:          sizeof(struct hmmu_soft_stats), bytes.
 * @descriptors:   descriptors that have run, with the members of batches.
 * @batches:       batches among them.
 * @failed:        descriptors whose status was not SUCCESS.
 * @page_faults:   descriptors whose status was PAGE_FAULT.
 * @access_faults: descriptors whose status was ACCESS_FAULT.
 * @bytes:         bytes that descriptors have processed.
 * @calls:         calls of kernels.
 * @refused:       submissions and launches that returned -EAGAIN.
 * @sections_retried: sections that began again because they were aborted.
 * @steps_staged:  steps of at most 64 KiB that used a buffer: the ranges
 *                 overlap, the source is read once for two uses, or the direct
 *                 access failed.
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
 * @soft:  the accelerator.
 * @stats: in: size; out: the counters. Work counts when it is done. May be any
 *         memory of the program.
 *
 * Context: Does not sleep.
 * Return:
 *   0        success
 *   -EINVAL  NULL argument, or @stats->size too small
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_soft_get_stats(struct hmmu_soft *soft,
						 struct hmmu_soft_stats *stats);

HMMU_END_DECLS

#endif
