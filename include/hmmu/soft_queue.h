/* SPDX-License-Identifier: MIT */
/*
 * The queues of the software accelerator. Included by soft.h.
 *
 * A queue takes descriptors until it is full and says so then; it never
 * overwrites and never waits. The workers of the accelerator serve all of its
 * queues in turn. A descriptor holds its place until it is done, so the depth
 * bounds what waits and what runs together.
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
/** A timeout that never comes. */
#define HMMU_SOFT_FOREVER    UINT64_MAX

/**
 * enum hmmu_soft_queue_kind - who may submit
 * @HMMU_SOFT_SHARED:    any thread.
 * @HMMU_SOFT_DEDICATED: the thread that submits first, alone.
 */
enum hmmu_soft_queue_kind {
	HMMU_SOFT_SHARED = 0,
	HMMU_SOFT_DEDICATED = 1,
};

/**
 * struct hmmu_soft_queue_options - how to make a queue
 * @size:  sizeof(struct hmmu_soft_queue_options) as built, bytes.
 * @kind:  enum hmmu_soft_queue_kind.
 * @depth: descriptors that may wait or run at a time: a power of two, at most
 *         HMMU_SOFT_DEPTH_MAX; 0 means 64.
 */
struct hmmu_soft_queue_options {
	size_t size;
	uint32_t kind;
	uint32_t depth;
};

/**
 * hmmu_soft_queue_create() - add a queue
 * @soft:      outlives the queue.
 * @options:   borrowed for the call; NULL for a shared queue.
 * @ret_queue: receives the queue, see hmmu_soft_queue_destroy().
 *
 * Context: Does not sleep for long.
 * Locking: None; any thread.
 * Return:
 *   0          made
 *   -EINVAL    NULL, size or kind unknown, depth not a power of two or too deep
 *   -E2BIG     @options is of a newer HMMU
 *   -ENOSPC    there are HMMU_SOFT_QUEUES_MAX; destroy one first
 *   -ENOMEM    no memory
 *   -ESHUTDOWN @soft is being destroyed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_queue_create(struct hmmu_soft *soft,
		       const struct hmmu_soft_queue_options *options,
		       struct hmmu_soft_queue **ret_queue);

/**
 * hmmu_soft_queue_destroy() - finish the work of a queue and remove it
 * @queue: consumed on success. NULL is 0. No other thread uses it, or is in
 *         hmmu_soft_drain().
 *
 * Context: May sleep until its descriptors are done; hmmu_soft_queue_drain()
 *          bounds that wait.
 * Locking: None that the caller could hold.
 * Return: 0; -EDEADLK when a kernel of the same accelerator would have to
 *   wait, nothing was changed.
 * Since: 0.1
 */
HMMU_API int hmmu_soft_queue_destroy(struct hmmu_soft_queue *queue);

/**
 * hmmu_soft_queue_drain() - wait for what was submitted to a queue before
 * @queue:      one.
 * @timeout_ns: bound, or HMMU_SOFT_FOREVER; 0 only looks.
 *
 * Context: May sleep.
 * Locking: None that the caller could hold.
 * Return:
 *   0          all descriptors submitted before the call are done
 *   -ETIMEDOUT not yet; the descriptors go on
 *   -EINVAL    NULL
 *   -EDEADLK   a kernel of the same accelerator would have to wait
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_queue_drain(struct hmmu_soft_queue *queue, uint64_t timeout_ns);

/**
 * hmmu_soft_submit() - hand a descriptor to a queue
 * @queue:      one.
 * @descriptor: copied. Whatever is wrong with it but the record address is
 *              reported in the record.
 *
 * Context: Does not wait; may make a system call to wake a worker. Also from a
 *          kernel.
 * Locking: None.
 * Return:
 *   0          accepted; the record will be written if one was asked for
 *   -EAGAIN    the queue is full: try again when something is done
 *   -EINVAL    NULL; or HMMU_SOFT_RECORD with a record that is NULL or not
 *              32-byte aligned
 *   -EPERM     a dedicated queue of another thread
 *   -ESHUTDOWN the accelerator is being destroyed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_submit(struct hmmu_soft_queue *queue,
		 const struct hmmu_soft_descriptor *descriptor);

/**
 * hmmu_soft_wait() - wait until a record is written
 * @soft:       whose workers write it.
 * @record:     of a submitted descriptor.
 * @timeout_ns: bound, or HMMU_SOFT_FOREVER; 0 only looks.
 *
 * The status may be a failure: look at it. A record whose own memory refuses
 * the device is never written (see records_lost): wait with a bound where that
 * can be.
 *
 * Context: May sleep; touches @record, so its page comes home.
 * Locking: None that the caller could hold.
 * Return:
 *   0          the record is written
 *   -ETIMEDOUT not yet; the descriptor goes on
 *   -EINVAL    NULL
 *   -EDEADLK   a kernel of @soft would have to wait
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_wait(struct hmmu_soft *soft, const struct hmmu_soft_record *record,
	       uint64_t timeout_ns);

HMMU_END_DECLS

#endif
