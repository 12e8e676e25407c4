/* SPDX-License-Identifier: MIT */
/*
 * Queues: create, submit, serve, destroy
 *
 * Overview: a queue is a slot of the accelerator with a ring of descriptors.
 * Workers visit all live queues in turn and run one descriptor at each visit.
 *
 * Locking: none. @state and @visitors keep the ring while a worker uses it:
 *
 *	worker                              hmmu_soft_queue_destroy()
 *
 *	visitors++                          state = MAKING
 *	state is LIVE?                      visitors is 0?
 *	  yes: use the ring                   no: wait
 *	visitors--                          free the ring
 *
 * Required: no worker uses a ring that is freed. Each side writes one word and
 * then reads the other, all seq_cst, so one of them sees the other's write.
 */
#include <errno.h>

#include "base/lock.h"
#include "base/sized.h"
#include "soft/descriptor.h"
#include "soft/execute.h"
#include "soft/queue.h"
#include "soft/state.h"
#include "soft/wait.h"

static int read_queue_options(const struct hmmu_soft_queue_options *from,
			      struct hmmu_soft_queue_options *to)
{
	int err;

	*to = (struct hmmu_soft_queue_options){ .kind = HMMU_SOFT_SHARED };
	if (from) {
		err = hmmu__copy_sized(to, sizeof(*to), sizeof(*to), from);
		if (err)
			return err;
	}
	if (!to->depth)
		to->depth = HMMU_SOFT_QUEUE_DEPTH;
	if (to->kind > HMMU_SOFT_DEDICATED || !hmmu_is_power_of_2(to->depth) ||
	    to->depth > HMMU_SOFT_DEPTH_MAX)
		return -EINVAL;
	return 0;
}

static struct hmmu_soft_queue *claim_slot(struct hmmu_soft *soft)
{
	struct hmmu_soft_queue *queue;
	uint32_t state, i;

	for (i = 0; i < HMMU_SOFT_QUEUES_MAX; i++) {
		queue = &soft->queues[i];
		state = HMMU_SOFT_QUEUE_FREE;
		/* Acquire pairs with the release in release_slot(). */
		if (atomic_compare_exchange_strong_explicit(
			    &queue->state, &state, HMMU_SOFT_QUEUE_MAKING,
			    memory_order_acquire, memory_order_relaxed))
			return queue;
	}
	return NULL;
}

static void release_slot(struct hmmu_soft_queue *queue)
{
	hmmu__ring_fini(&queue->ring);
	/* Pairs with claim_slot(). */
	atomic_store_explicit(&queue->state, HMMU_SOFT_QUEUE_FREE,
			      memory_order_release);
}

int hmmu_soft_queue_create(struct hmmu_soft *soft,
			   const struct hmmu_soft_queue_options *options,
			   struct hmmu_soft_queue **ret_queue)
{
	struct hmmu_soft_queue_options opt;
	struct hmmu_soft_queue *queue;
	int err;

	if (!soft || !ret_queue)
		return -EINVAL;
	err = read_queue_options(options, &opt);
	if (err)
		return err;
	if (hmmu__soft_is_stopping(soft))
		return -ESHUTDOWN;
	queue = claim_slot(soft);
	if (!queue)
		return -ENOSPC;
	err = hmmu__ring_init(&queue->ring, opt.depth);
	if (err) {
		release_slot(queue);
		return err;
	}
	queue->soft = soft;
	queue->kind = opt.kind;
	/* Relaxed: published by the state. */
	atomic_store_explicit(&queue->owner, 0, memory_order_relaxed);
	/* Pairs with the loads in visit_queue(). */
	atomic_store_explicit(&queue->state, HMMU_SOFT_QUEUE_LIVE,
			      memory_order_release);
	*ret_queue = queue;
	return 0;
}

int hmmu_soft_queue_drain(struct hmmu_soft_queue *queue, uint64_t timeout_ns)
{
	struct hmmu_ring_wait wait;

	if (!queue)
		return -EINVAL;
	wait = hmmu__ring_wait_all(&queue->ring);
	return hmmu__soft_wait_until(queue->soft, hmmu__ring_waited, &wait,
				     timeout_ns);
}

static void leave_queue(struct hmmu_soft_queue *queue)
{
	/* Pairs with the load in expel_visitors(): no more use of the ring. */
	atomic_fetch_sub_explicit(&queue->visitors, 1, memory_order_release);
}

/* seq_cst, both: see the top of the file. */
static bool visit_queue(struct hmmu_soft_queue *queue)
{
	/* Relaxed: a hint that saves the add for slots without a queue. */
	if (atomic_load_explicit(&queue->state, memory_order_relaxed) !=
	    HMMU_SOFT_QUEUE_LIVE)
		return false;
	atomic_fetch_add_explicit(&queue->visitors, 1, memory_order_seq_cst);
	if (atomic_load_explicit(&queue->state, memory_order_seq_cst) ==
	    HMMU_SOFT_QUEUE_LIVE)
		return true;
	leave_queue(queue);
	return false;
}

/* The wait is short: the queue is empty, so visitors leave at once. */
static void expel_visitors(struct hmmu_soft_queue *queue)
{
	unsigned int round = 0;

	/* seq_cst, both: see the top of the file. */
	atomic_store_explicit(&queue->state, HMMU_SOFT_QUEUE_MAKING,
			      memory_order_seq_cst);
	while (atomic_load_explicit(&queue->visitors, memory_order_seq_cst))
		hmmu__backoff(&round);
}

int hmmu_soft_queue_destroy(struct hmmu_soft_queue *queue)
{
	int err;

	if (!queue)
		return 0;
	err = hmmu_soft_queue_drain(queue, HMMU_SOFT_FOREVER);
	if (err)
		return err;
	expel_visitors(queue);
	release_slot(queue);
	return 0;
}

void hmmu__soft_queues_fini(struct hmmu_soft *soft)
{
	uint32_t i;

	for (i = 0; i < HMMU_SOFT_QUEUES_MAX; i++)
		hmmu__ring_fini(&soft->queues[i].ring);
}

/* The address of the thread's own copy identifies the thread. */
static HMMU_TLS char thread_name;

/*
 * The first thread that submits owns a dedicated queue. Relaxed: a thread only
 * compares the word with its own name.
 */
static bool may_submit(struct hmmu_soft_queue *queue)
{
	uintptr_t self = (uintptr_t)&thread_name, owner = 0;

	if (queue->kind == HMMU_SOFT_SHARED)
		return true;
	if (atomic_load_explicit(&queue->owner, memory_order_relaxed) == self)
		return true;
	return atomic_compare_exchange_strong_explicit(&queue->owner, &owner,
						       self,
						       memory_order_relaxed,
						       memory_order_relaxed);
}

static bool record_is_valid(const struct hmmu_soft_descriptor *d)
{
	return !(d->flags & HMMU_SOFT_RECORD) ||
	       (d->record &&
		hmmu_is_aligned(d->record, sizeof(struct hmmu_soft_record)));
}

int hmmu_soft_submit(struct hmmu_soft_queue *queue,
		     const struct hmmu_soft_descriptor *descriptor)
{
	struct hmmu_soft_descriptor d;
	struct hmmu_soft *soft;
	int err;

	if (!queue || !descriptor)
		return -EINVAL;
	/* Before taking a cell: reading @descriptor may fault and sleep. */
	d = *descriptor;
	if (!record_is_valid(&d))
		return -EINVAL;
	if (!may_submit(queue))
		return -EPERM;
	soft = queue->soft;
	if (hmmu__soft_is_stopping(soft))
		return -ESHUTDOWN;
	err = hmmu__ring_push(&queue->ring, &d, 1);
	if (err) {
		/* Relaxed: a statistic. */
		atomic_fetch_add_explicit(&soft->refused, 1,
					  memory_order_relaxed);
		return err;
	}
	hmmu__soft_ring_bell(soft, 1);
	return 0;
}

/* The cell is given back before progress: a drain checks the cells. */
static bool serve_queue(struct hmmu_soft_worker *worker,
			struct hmmu_soft_queue *queue)
{
	const struct hmmu_soft_descriptor *d;
	struct hmmu_ring_wait before;
	uint64_t position;

	d = hmmu__ring_take(&queue->ring, &position);
	if (!d)
		return false;
	if (hmmu__soft_is_fenced(d)) {
		before = hmmu__ring_wait_before(&queue->ring, position);
		hmmu__soft_wait_in_worker(worker->soft, hmmu__ring_waited,
					  &before);
	}
	hmmu__soft_execute(worker, d);
	hmmu__ring_done(&queue->ring, position);
	hmmu__soft_progress(worker->soft);
	return true;
}

/* One descriptor of one queue; the next call begins at the next queue. */
bool hmmu__soft_serve_queues(struct hmmu_soft_worker *worker)
{
	struct hmmu_soft_queue *queue;
	bool served = false;
	uint32_t i;

	for (i = 0; i < HMMU_SOFT_QUEUES_MAX && !served; i++) {
		queue = &worker->soft->queues[worker->next_queue];
		worker->next_queue =
			(worker->next_queue + 1) % HMMU_SOFT_QUEUES_MAX;
		if (!visit_queue(queue))
			continue;
		served = serve_queue(worker, queue);
		leave_queue(queue);
	}
	return served;
}
