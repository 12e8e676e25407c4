/* SPDX-License-Identifier: MIT */
/*
 * Jobs: launch, run and wait for kernels
 *
 * Overview: a job is one call of its kernel for each worker it asks for. The
 * calls enter the ring together and at consecutive positions. Workers take
 * calls in that order and before descriptors. A job has no more calls than
 * there are workers. So all calls of a job run at the same time, once the calls
 * before them have returned.
 *
 * Locking: none. @used guards a slot of the job table, @remaining its result.
 */
#include <errno.h>
#include <string.h>

#include "soft/job.h"
#include "soft/state.h"
#include "soft/wait.h"

_Static_assert(sizeof(struct hmmu_soft_call) == HMMU_RING_ENTRY_BYTES,
	       "a call is an entry of the ring");
_Static_assert(HMMU_SOFT_CALLS_DEPTH >= HMMU_SOFT_WORKERS_MAX,
	       "the largest job fits into the ring");

static struct hmmu_soft_job *claim_job(struct hmmu_soft *soft)
{
	struct hmmu_soft_job *job;
	uint32_t used, i;

	for (i = 0; i < HMMU_SOFT_JOBS_MAX; i++) {
		job = &soft->jobs[i];
		used = 0;
		/* Acquire pairs with the release in release_job(). */
		if (atomic_compare_exchange_strong_explicit(
			    &job->used, &used, 1, memory_order_acquire,
			    memory_order_relaxed))
			return job;
	}
	return NULL;
}

static void release_job(struct hmmu_soft_job *job)
{
	/* Pairs with claim_job(). */
	atomic_store_explicit(&job->used, 0, memory_order_release);
}

static int push_calls(struct hmmu_soft_job *job)
{
	struct hmmu_soft_call calls[HMMU_SOFT_WORKERS_MAX];
	uint32_t i;

	memset(calls, 0, job->workers * sizeof(calls[0]));
	for (i = 0; i < job->workers; i++) {
		calls[i].job = job;
		calls[i].index = i;
	}
	return hmmu__ring_push(&job->soft->calls, calls, job->workers);
}

static int refuse_job(struct hmmu_soft *soft)
{
	/* Relaxed: a statistic. */
	atomic_fetch_add_explicit(&soft->refused, 1, memory_order_relaxed);
	return -EAGAIN;
}

int hmmu_soft_launch(struct hmmu_soft *soft, hmmu_soft_kernel_fn fn, void *arg,
		     unsigned int workers, struct hmmu_soft_job **ret_job)
{
	struct hmmu_soft_job *job;

	if (!soft || !fn || !ret_job || workers > soft->worker_count)
		return -EINVAL;
	if (hmmu__soft_is_stopping(soft))
		return -ESHUTDOWN;
	job = claim_job(soft);
	if (!job)
		return refuse_job(soft);
	job->soft = soft;
	job->fn = fn;
	job->arg = arg;
	job->workers = workers ? workers : soft->worker_count;
	job->failed_worker = 0;
	job->failed_error = 0;
	job->fault = (struct hmmu_port_fault){ .error = 0 };
	/* Relaxed, both: published by the ring. */
	atomic_store_explicit(&job->failed, 0, memory_order_relaxed);
	atomic_store_explicit(&job->remaining, job->workers,
			      memory_order_relaxed);
	/* Before the push: after it the job may be done and released. */
	workers = job->workers;
	if (push_calls(job)) {
		release_job(job);
		return refuse_job(soft);
	}
	hmmu__soft_ring_bell(soft, workers);
	*ret_job = job;
	return 0;
}

static int call_kernel(struct hmmu_port *port, void *arg)
{
	const struct hmmu_soft_call *call = arg;
	struct hmmu_soft_job *job = call->job;

	return job->fn(port, job->arg, call->index, job->workers);
}

static bool is_port_error(int err)
{
	return err == -EFAULT || err == -EPERM || err == -EBUSY ||
	       err == -ENOMEM;
}

static void fail_job(struct hmmu_soft_worker *worker,
		     const struct hmmu_soft_call *call, int err)
{
	struct hmmu_soft_job *job = call->job;

	/* Relaxed: only one call reads 0; @remaining publishes the result. */
	if (atomic_exchange_explicit(&job->failed, 1, memory_order_relaxed))
		return;
	job->failed_worker = call->index;
	job->failed_error = err;
	if (is_port_error(err))
		hmmu_port_last_fault(worker->port, &job->fault);
}

bool hmmu__soft_serve_call(struct hmmu_soft_worker *worker)
{
	struct hmmu_soft *soft = worker->soft;
	struct hmmu_soft_call call;
	const void *entry;
	uint64_t position;
	int err;

	entry = hmmu__ring_take(&soft->calls, &position);
	if (!entry)
		return false;
	memcpy(&call, entry, sizeof(call));
	hmmu__soft_set_reports(worker, false);
	err = hmmu_port_run(worker->port, call_kernel, &call);
	/* A section that the kernel left open would block the program. */
	while (worker->port->depth)
		hmmu_port_end(worker->port);
	if (err)
		fail_job(worker, &call, err);
	hmmu__soft_count(worker, HMMU_SOFT_COUNT_CALLS, 1);
	/* Release pairs with the acquire in job_is_done(). After the last call
	 * the job belongs to its waiter. */
	atomic_fetch_sub_explicit(&call.job->remaining, 1,
				  memory_order_acq_rel);
	/* After it, so that the job is done when a drain returns. */
	hmmu__ring_done(&soft->calls, position);
	hmmu__soft_progress(soft);
	return true;
}

static bool job_is_done(void *arg)
{
	struct hmmu_soft_job *job = arg;

	return !atomic_load_explicit(&job->remaining, memory_order_acquire);
}

int hmmu_soft_job_wait(struct hmmu_soft_job *job, uint64_t timeout_ns,
		       struct hmmu_soft_job_result *result)
{
	int err;

	if (!job || (result && result->size < sizeof(*result)))
		return -EINVAL;
	err = hmmu__soft_wait_until(job->soft, job_is_done, job, timeout_ns);
	if (err)
		return err;
	if (result) {
		result->worker = job->failed_worker;
		result->error = job->failed_error;
		result->fault = job->fault;
	}
	release_job(job);
	return 0;
}
