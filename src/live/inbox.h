/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_INBOX_H
#define HMMU_LIVE_INBOX_H

/*
 * Messages of the userfaultfd
 *
 * Whoever reads messages holds the events lock exclusively, and puts aside what
 * is not for him: the service serves faults and applies events in their order.
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

/* The caller is the thread that serves CPU faults: it must not wait for itself. */
static inline bool hmmu__is_service(const struct hmmu_live *l)
{
	/* Relaxed: only the service's own value is ever compared equal. */
	return atomic_load_explicit(&l->service_tid, memory_order_relaxed) ==
	       hmmu__thread_id();
}

/* --- the events lock ---------------------------------------------------------- */

/* Around reading and applying events: the lock, exclusively. */
void hmmu__events_begin(struct hmmu_live *l);
void hmmu__events_end(struct hmmu_live *l);

/* The caller is between the two. */
static inline bool hmmu__events_are_own(struct hmmu_live *l)
{
	/* Relaxed: only the caller's own value is ever equal. */
	return atomic_load_explicit(&l->events_owner, memory_order_relaxed) ==
	       hmmu__thread_id();
}

/* An event has been read and not applied; who applies it does not wait. */
static inline bool hmmu__must_wait_for_events(struct hmmu_live *l)
{
	/* Acquire: pairs with the service's release when it has applied one. */
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire) &&
	       !hmmu__events_are_own(l);
}

/* --- messages ----------------------------------------------------------------- */

/* For an event; a fault always finds a place. */
bool hmmu__inbox_has_room(struct hmmu_live *l);
/* One message; false: there is none. With the events lock held exclusively. */
bool hmmu__inbox_read(struct hmmu_live *l, struct uffd_msg *msg);
/*
 * Puts a message aside. The caller has seen room and holds the events lock
 * exclusively, so that no event is applied before one that was read earlier.
 */
void hmmu__inbox_put(struct hmmu_live *l, const struct uffd_msg *msg);
/* The next one that was put aside; false: there is none. */
bool hmmu__inbox_take_fault(struct hmmu_live *l, struct uffd_msg *msg);
bool hmmu__inbox_take_event(struct hmmu_live *l, struct uffd_msg *msg);
/* The fault at place @i; it is taken out if it is @tid's. */
bool hmmu__inbox_fault(struct hmmu_live *l, uint32_t i, int tid,
		       struct uffd_msg *msg);
/* Events were put aside. */
bool hmmu__inbox_has_events(const struct hmmu_live *l);
/* The userfaultfd has a message; faults that nobody has read, 1 if not known. */
bool hmmu__inbox_is_readable(const struct hmmu_live *l);
unsigned long hmmu__inbox_pending_faults(const struct hmmu_live *l);

/* --- waiting for the service ---------------------------------------------------- */

/*
 * The caller waits for a port section: reads CPU faults that no one has read, so
 * that a section whose own thread faulted is broken (design.md section 4, rule
 * 3). Waits @timeout_ns at most.
 */
void hmmu__live_pump(struct hmmu_mm *mm, uint64_t timeout_ns);
/* Every event that was read is known to core: calls that returned are visible. */
void hmmu__live_events_wait(struct hmmu_mm *mm);
/* And no change of a mapping is under way, or for so long. */
void hmmu__live_quiet(struct hmmu_mm *mm, uint64_t timeout_ns);
/*
 * The caller holds the events lock exclusively, and put says -EAGAIN: lets the
 * threads go on that it waits for.
 */
void hmmu__live_drain(struct hmmu_mm *mm);

#endif
