/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_INBOX_H
#define HMMU_LIVE_INBOX_H

/*
 * The inbox: messages of the userfaultfd that are read but not processed
 *
 * A thread that reads messages holds the events lock exclusively. It leaves
 * those that are not for it in the inbox. The service serves the faults there
 * and applies the events in their order.
 *
 * Locking: inbox_lock guards the two queues. It is a leaf.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/thread.h"
#include "live/state.h"

static inline bool hmmu__is_fault(const struct uffd_msg *msg)
{
	return msg->event == UFFD_EVENT_PAGEFAULT;
}

static inline uintptr_t hmmu__page_of(uintptr_t addr)
{
	return addr & ~(HMMU_PAGE_BYTES - 1);
}

/* True for the thread that serves CPU faults: it must not wait for itself. */
static inline bool hmmu__is_service(const struct hmmu_live *l)
{
	/* Relaxed: the value is equal only if the caller stored it. */
	return atomic_load_explicit(&l->service_tid, memory_order_relaxed) ==
	       hmmu__thread_id();
}

/* --- the events lock ---------------------------------------------------------- */

/*
 * Take and release the events lock exclusively, around reading and applying
 * events.
 */
void hmmu__events_begin(struct hmmu_live *l);
void hmmu__events_end(struct hmmu_live *l);

/* True between the two, for the thread that called begin. */
static inline bool hmmu__events_are_own(struct hmmu_live *l)
{
	/* Relaxed: the value is equal only if the caller stored it. */
	return atomic_load_explicit(&l->events_owner, memory_order_relaxed) ==
	       hmmu__thread_id();
}

/*
 * An event was read and is not applied. False for the thread that applies it.
 */
static inline bool hmmu__must_wait_for_events(struct hmmu_live *l)
{
	/*
	 * Acquire: pairs with the service's release after it has applied an
	 * event.
	 */
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire) &&
	       !hmmu__events_are_own(l);
}

/* --- messages ----------------------------------------------------------------- */

/* True if there is room for one more event. Faults need no room. */
bool hmmu__inbox_has_room(struct hmmu_live *l);
/*
 * Read one message. False: there is none. With the events lock held
 * exclusively.
 */
bool hmmu__inbox_read(struct hmmu_live *l, struct uffd_msg *msg);
/*
 * Add a message. There must be room, and the caller holds the events lock
 * exclusively, so that no event is applied before one that was read earlier.
 */
void hmmu__inbox_put(struct hmmu_live *l, const struct uffd_msg *msg);
/* Remove the oldest message. False: there is none. */
bool hmmu__inbox_take_fault(struct hmmu_live *l, struct uffd_msg *msg);
bool hmmu__inbox_take_event(struct hmmu_live *l, struct uffd_msg *msg);
/* Get fault @i. It is removed if it is a fault of thread @tid. */
bool hmmu__inbox_fault(struct hmmu_live *l, uint32_t i, int tid,
		       struct uffd_msg *msg);
/* True if the inbox has events. */
bool hmmu__inbox_has_events(const struct hmmu_live *l);
/*
 * is_readable: the userfaultfd has a message. pending_faults: the number of
 * faults that nobody has read, or 1 if it is not known.
 */
bool hmmu__inbox_is_readable(const struct hmmu_live *l);
unsigned long hmmu__inbox_pending_faults(const struct hmmu_live *l);

/* --- waiting for the service ---------------------------------------------------- */

/*
 * For a thread that waits for a port section: read a CPU fault that nobody has
 * read, so that a section whose own thread has faulted is aborted (design.md
 * section 4, rule 3). Waits for at most @timeout_ns.
 */
void hmmu__live_pump(struct hmmu_mm *mm, uint64_t timeout_ns);
/*
 * Wait until every event that was read is applied: all changes whose calls have
 * returned are visible to core.
 */
void hmmu__live_events_wait(struct hmmu_mm *mm);
/*
 * Also wait, for at most @timeout_ns, until no change of a mapping is in
 * progress.
 */
void hmmu__live_quiet(struct hmmu_mm *mm, uint64_t timeout_ns);
/*
 * For the holder of the events lock after a put has failed with -EAGAIN: let
 * the threads continue whose changes make the kernel refuse.
 */
void hmmu__live_drain(struct hmmu_mm *mm);

#endif
