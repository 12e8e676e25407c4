/* SPDX-License-Identifier: MIT */
/*
 * The state of the software accelerator
 *
 * Overview: struct hmmu_soft owns a device, its workers, a table of queues and
 * a table of jobs. All of it comes from hmmu_alloc() and never migrates to a
 * device.
 *
 * Locking: there is no lock. Rings carry the work, a state word guards each
 * queue and each job, and threads wait on two futex words (wait.h).
 */
#ifndef HMMU_SOFT_STATE_H
#define HMMU_SOFT_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/soft.h>

#include "base/compiler.h"
#include "soft/ring.h"

/*
 * Most bytes of one section. A thread that changes the program's memory waits
 * for the section to end: some microseconds for 64 KiB.
 */
#define HMMU_SOFT_STEP_BYTES  (64u * 1024)
/* Stack of a worker and its kernels, below which there is a guard page. */
#define HMMU_SOFT_STACK_BYTES (1024u * 1024)
/* Calls of kernels that can be queued. */
#define HMMU_SOFT_CALLS_DEPTH 1024u
#define HMMU_SOFT_QUEUE_DEPTH 64u

/* Each worker has its own counters; hmmu_soft_get_stats() sums them. */
enum hmmu_soft_counter {
	HMMU_SOFT_COUNT_DESCRIPTORS,
	HMMU_SOFT_COUNT_BATCHES,
	HMMU_SOFT_COUNT_FAILED,
	HMMU_SOFT_COUNT_PAGE_FAULTS,
	HMMU_SOFT_COUNT_ACCESS_FAULTS,
	HMMU_SOFT_COUNT_BYTES,
	HMMU_SOFT_COUNT_CALLS,
	HMMU_SOFT_COUNT_RETRIED,
	HMMU_SOFT_COUNT_STAGED,
	HMMU_SOFT_COUNT_LOST,
	HMMU_SOFT_COUNTERS,
};

enum hmmu_soft_worker_state {
	HMMU_SOFT_WORKER_STARTING = 0,
	HMMU_SOFT_WORKER_RUNNING,
	HMMU_SOFT_WORKER_FAILED,
};

/*
 * @error:   the reason of FAILED; written before @state.
 * @reports: the port's fault mode; true: it reports missing translations.
 * @stage:   two buffers of HMMU_SOFT_STEP_BYTES.
 */
struct hmmu_soft_worker {
	struct hmmu_soft *soft;
	struct hmmu_port *port;
	pthread_t thread;
	void *stack;
	unsigned char *stage[2];
	uint32_t next_queue;
	int error;
	bool reports;
	_Atomic uint32_t state;
	_Atomic uint64_t count[HMMU_SOFT_COUNTERS] HMMU_CACHE_ALIGNED;
};

/*
 * States of a queue, which is a slot of the accelerator. The creator goes from
 * FREE to MAKING by compare-exchange, and from MAKING to LIVE with release,
 * which publishes the ring. The destroyer goes from LIVE to MAKING and then
 * waits for the visitors.
 */
enum hmmu_soft_queue_state {
	HMMU_SOFT_QUEUE_FREE = 0,
	HMMU_SOFT_QUEUE_MAKING,
	HMMU_SOFT_QUEUE_LIVE,
};

/*
 * @visitors: workers that may be using the ring.
 * @owner:    the thread that submits to a dedicated queue; 0 before the first.
 */
struct hmmu_soft_queue {
	struct hmmu_soft *soft;
	uint32_t kind;
	_Atomic uint32_t state;
	_Atomic uint32_t visitors;
	_Atomic uintptr_t owner;
	struct hmmu_ring ring;
};

/*
 * @remaining: calls that have not returned; 0 publishes the result.
 * @failed:    set by the first call that fails. That call writes the result.
 */
struct hmmu_soft_job {
	struct hmmu_soft *soft;
	hmmu_soft_kernel_fn fn;
	void *arg;
	uint32_t workers;
	_Atomic uint32_t used;
	_Atomic uint32_t remaining;
	_Atomic uint32_t failed;
	uint32_t failed_worker;
	int failed_error;
	struct hmmu_port_fault fault;
};

/* An entry of the ring of calls. */
struct hmmu_soft_call {
	struct hmmu_soft_job *job;
	uint32_t index;
	uint32_t pad[13];
};

struct hmmu_soft {
	struct hmmu_device *device;
	struct hmmu_soft_worker *workers;
	struct hmmu_soft_record *records;
	uint32_t worker_count;
	uint32_t started_count;
	uint32_t record_count;
	int pid;
	_Atomic uint32_t stopping;
	_Atomic uint64_t refused;

	_Atomic uint32_t bell HMMU_CACHE_ALIGNED;
	_Atomic uint32_t sleepers;
	_Atomic uint32_t progress HMMU_CACHE_ALIGNED;
	_Atomic uint32_t waiters;

	struct hmmu_ring calls HMMU_CACHE_ALIGNED;
	struct hmmu_soft_job jobs[HMMU_SOFT_JOBS_MAX];
	struct hmmu_soft_queue queues[HMMU_SOFT_QUEUES_MAX];
};

/* Only the worker itself writes, so two relaxed accesses are enough. */
static inline void hmmu__soft_count(struct hmmu_soft_worker *worker,
				    enum hmmu_soft_counter counter, uint64_t n)
{
	_Atomic uint64_t *c = &worker->count[counter];

	atomic_store_explicit(c,
			      atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline bool hmmu__soft_is_stopping(struct hmmu_soft *soft)
{
	/* Acquire pairs with the release in hmmu__soft_stop(). */
	return atomic_load_explicit(&soft->stopping, memory_order_acquire) != 0;
}

/* Make the calling thread a worker of @soft. */
void hmmu__soft_enter_worker(const struct hmmu_soft *soft);
/* True in a worker of @soft. */
bool hmmu__soft_in_worker(const struct hmmu_soft *soft);
/* Let the port of @worker report missing translations, or resolve them. */
void hmmu__soft_set_reports(struct hmmu_soft_worker *worker, bool reports);

#endif
