/* SPDX-License-Identifier: MIT */
/*
 * Queues of the software accelerator. Included by soft.h.
 *
 * Overview: a queue accepts descriptors until it is full; then submit returns
 * -EAGAIN. It never waits and never overwrites a descriptor. The workers serve
 * all queues in turn. A descriptor occupies its slot until it is done, so the
 * depth limits waiting and running descriptors together.
 *
 * Locking: functions that wait say so. Their caller holds no lock that a kernel
 * or a callback takes. The others need no lock, and any thread may call them.
 */
#ifndef HMMU_SOFT_QUEUE_H
#define HMMU_SOFT_QUEUE_H

#include <hmmu/base.h>
#include <hmmu/soft_descriptor.h>

HMMU_BEGIN_DECLS

struct hmmu_soft;
struct hmmu_soft_queue;

#define HMMU_SOFT_QUEUES_MAX 16u
#define HMMU_SOFT_DEPTH_MAX  4096u
/** No timeout. */
#define HMMU_SOFT_FOREVER    UINT64_MAX

/**
 * enum hmmu_soft_queue_kind - which threads may submit
 * @HMMU_SOFT_SHARED:    all threads.
 * @HMMU_SOFT_DEDICATED: only the thread that submits first.
 */
enum hmmu_soft_queue_kind {
	HMMU_SOFT_SHARED = 0,
	HMMU_SOFT_DEDICATED = 1,
};

/**
 * struct hmmu_soft_queue_options - options of hmmu_soft_queue_create()
 * @size:  sizeof(struct hmmu_soft_queue_options), bytes.
 * @kind:  enum hmmu_soft_queue_kind.
 * @depth: number of slots: a power of two, at most HMMU_SOFT_DEPTH_MAX; 0 means
 *         64.
 */
struct hmmu_soft_queue_options {
	size_t size;
	uint32_t kind;
	uint32_t depth;
};

/**
 * hmmu_soft_queue_create() - add a queue to an accelerator
 * @soft:      the accelerator; borrowed until the queue is destroyed.
 * @options:   borrowed for the call. NULL: a shared queue of depth 64.
 * @ret_queue: receives the queue. Free it with hmmu_soft_queue_destroy().
 *
 * Context: Does not sleep.
 * Return:
 *   0          success
 *   -EINVAL    NULL, size too small, unknown kind, or a depth that is not a
 *              power of two or too large
 *   -E2BIG     @options has a field that this library does not know: see base.h
 *   -ENOSPC    there are HMMU_SOFT_QUEUES_MAX queues: destroy one first
 *   -ENOMEM    out of memory
 *   -ESHUTDOWN @soft is being destroyed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_queue_create(struct hmmu_soft *soft,
		       const struct hmmu_soft_queue_options *options,
		       struct hmmu_soft_queue **ret_queue);

/**
 * hmmu_soft_queue_destroy() - finish the work of a queue and remove it
 * @queue: freed on success. NULL: does nothing and returns 0. No other thread
 *         uses it or is in hmmu_soft_drain().
 *
 * Context: Sleeps until its descriptors are done. To limit the wait, call
 *          hmmu_soft_queue_drain() first. Not from a callback.
 * Return:
 *   0        success
 *   -EDEADLK called in a kernel of the same accelerator while descriptors are
 *            not done; nothing was changed
 * Since: 0.1
 */
HMMU_API int hmmu_soft_queue_destroy(struct hmmu_soft_queue *queue);

/**
 * hmmu_soft_queue_drain() - wait for the descriptors of a queue
 * @queue:      the queue.
 * @timeout_ns: time limit, ns, or HMMU_SOFT_FOREVER. 0: do not wait.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0          all descriptors that were submitted before the call are done
 *   -ETIMEDOUT some are not done; they continue
 *   -EINVAL    NULL
 *   -EDEADLK   called in a kernel of the same accelerator, which would wait for
 *              itself
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_queue_drain(struct hmmu_soft_queue *queue, uint64_t timeout_ns);

/**
 * hmmu_soft_submit() - submit a descriptor to a queue
 * @queue:      the queue.
 * @descriptor: copied. May be in any memory of the program. Errors in it are
 *              reported in the record, except of the record's address.
 *
 * Context: Does not wait for workers. May be called in a kernel, outside of
 *          sections. Not from a callback.
 * Return:
 *   0          accepted; the record, if requested, will be written
 *   -EAGAIN    the queue is full: submit again when a descriptor is done
 *   -EINVAL    NULL; or HMMU_SOFT_RECORD with a record that is NULL or not
 *              aligned to 32 bytes
 *   -EPERM     the queue is dedicated to another thread
 *   -ESHUTDOWN the accelerator is being destroyed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_submit(struct hmmu_soft_queue *queue,
		 const struct hmmu_soft_descriptor *descriptor);

/**
 * hmmu_soft_wait() - wait until a record is written
 * @soft:       the accelerator of the descriptor.
 * @record:     the record of a submitted descriptor.
 * @timeout_ns: time limit, ns, or HMMU_SOFT_FOREVER. 0: do not wait.
 *
 * Check the status: it can be a failure. If the device cannot write to the
 * memory of the record, the record is never written and counted in
 * records_lost: use a time limit if that is possible.
 *
 * Context: May sleep. Reads @record, so its page migrates back. Not from a
 *          callback.
 * Return:
 *   0          the record is written
 *   -ETIMEDOUT it is not written; the descriptor continues
 *   -EINVAL    NULL
 *   -EDEADLK   called in a kernel of @soft, which would wait for itself
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_wait(struct hmmu_soft *soft, const struct hmmu_soft_record *record,
	       uint64_t timeout_ns);

HMMU_END_DECLS

#endif
