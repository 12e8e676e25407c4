/* SPDX-License-Identifier: MIT */
/*
 * Read the userfaultfd: the inbox, the events lock, and waiting for the service
 */
#include "live/inbox.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/sched.h"
#include "base/thread.h"
#include "live/state.h"
#include "live/look.h"
#include "live/uffd.h"

static struct uffd_msg *inbox_slot(const struct hmmu_inbox_queue *s, uint32_t i)
{
	return &s->msg[(s->head + i) % HMMU_INBOX_MESSAGES];
}

/* Faults need no room: one that finds none is woken. */
bool hmmu__inbox_has_room(struct hmmu_live *l)
{
	bool room;

	hmmu__mutex_lock(&l->inbox_lock);
	room = l->inbox_events.count < HMMU_INBOX_MESSAGES;
	hmmu__mutex_unlock(&l->inbox_lock);
	return room;
}

/*
 * A thread waits in one fault at a time. After a signal it can fault again, and
 * then its newest message replaces the older one.
 */
static struct uffd_msg *fault_of_same_thread(const struct hmmu_inbox_queue *s,
					     const struct uffd_msg *msg)
{
	uint32_t i;

	for (i = 0; msg->arg.pagefault.feat.ptid && i < s->count; i++)
		if (inbox_slot(s, i)->arg.pagefault.feat.ptid ==
		    msg->arg.pagefault.feat.ptid)
			return inbox_slot(s, i);
	return NULL;
}

/* False: more threads wait than there is room for. */
static bool inbox_put_fault_locked(struct hmmu_live *l,
				   const struct uffd_msg *msg)
	HMMU_REQUIRES(&l->inbox_lock)
{
	struct hmmu_inbox_queue *s = &l->inbox_faults;
	struct uffd_msg *place = fault_of_same_thread(s, msg);

	if (!place && s->count < HMMU_INBOX_MESSAGES)
		place = inbox_slot(s, s->count++);
	if (place)
		*place = *msg;
	return place;
}

static void inbox_put_event_locked(struct hmmu_live *l,
				   const struct uffd_msg *msg)
	HMMU_REQUIRES(&l->inbox_lock)
{
	struct hmmu_inbox_queue *s = &l->inbox_events;

	*inbox_slot(s, s->count++) = *msg;
	/* Relaxed: take and put check it with the events lock held. */
	atomic_fetch_add_explicit(&l->unprocessed, 1, memory_order_relaxed);
}

void hmmu__inbox_put(struct hmmu_live *l, const struct uffd_msg *msg)
{
	uintptr_t page = msg->arg.pagefault.address & ~(HMMU_PAGE_BYTES - 1);
	bool placed = true;
	uint64_t one = 1;

	hmmu__mutex_lock(&l->inbox_lock);
	if (hmmu__is_fault(msg))
		placed = inbox_put_fault_locked(l, msg);
	else
		inbox_put_event_locked(l, msg);
	hmmu__mutex_unlock(&l->inbox_lock);
	/* The thread faults again, and its message is read again. */
	if (!placed)
		hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
	if (!hmmu__is_service(l))
		(void)hmmu__sys_write(l->wake_fd, &one, sizeof(one));
}

bool hmmu__inbox_fault(struct hmmu_live *l, uint32_t i, int tid,
		       struct uffd_msg *msg)
{
	struct hmmu_inbox_queue *s = &l->inbox_faults;
	bool any;

	hmmu__mutex_lock(&l->inbox_lock);
	any = i < s->count;
	if (any)
		*msg = *inbox_slot(s, i);
	if (any && tid && (int)msg->arg.pagefault.feat.ptid == tid)
		*inbox_slot(s, i) = *inbox_slot(s, --s->count);
	hmmu__mutex_unlock(&l->inbox_lock);
	return any;
}

static bool inbox_get(struct hmmu_live *l, struct hmmu_inbox_queue *s,
		      struct uffd_msg *msg)
{
	bool any;

	hmmu__mutex_lock(&l->inbox_lock);
	any = s->count > 0;
	if (any) {
		*msg = s->msg[s->head];
		s->head = (s->head + 1) % HMMU_INBOX_MESSAGES;
		s->count--;
	}
	hmmu__mutex_unlock(&l->inbox_lock);
	return any;
}

/*
 * A thread that waits in a CPU fault inside a section cannot end the section,
 * and the reader of the fault may wait for that section. The events lock is
 * held exclusively, so nobody puts a page at the address: while the page is
 * absent, the thread waits, and its section can be aborted. But the page can be
 * present and the thread not woken:
 *
 *	program                             owner of the section
 *	MADV_GUARD_INSTALL of P:
 *	  removes the page
 *	                                    touches P and waits
 *	  installs the guard
 *
 * mremap() to the address does the same. Then wake the thread: it continues, or
 * gets a signal, or faults again and its message is read again.
 */
static void break_faulting_section(struct hmmu_live *l,
				   const struct uffd_msg *msg)
{
	int tid = (int)msg->arg.pagefault.feat.ptid;
	uintptr_t page = hmmu__page_of(msg->arg.pagefault.address);

	if (!hmmu__core_is_in_section(l->mm.space, tid))
		return;
	if (hmmu__is_absent(l, page, page + HMMU_PAGE_BYTES))
		hmmu__core_break(l->mm.space, tid);
	else
		hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
}

bool hmmu__inbox_read(struct hmmu_live *l, struct uffd_msg *msg)
{
	if (hmmu__sys_read(hmmu__uffd(l), msg, sizeof(*msg)) != sizeof(*msg))
		return false;
	if (hmmu__is_fault(msg))
		break_faulting_section(l, msg);
	return true;
}

/* The number of faults that nobody has read; 1 if it cannot be read. */
unsigned long hmmu__inbox_pending_faults(const struct hmmu_live *l)
{
	char text[256];
	ssize_t n = hmmu__sys_pread(l->fdinfo_fd, text, sizeof(text) - 1, 0);
	unsigned long count = 0;
	const char *p;

	if (n <= 0)
		return 1;
	text[n] = '\0';
	p = strstr(text, "pending:");
	if (!p)
		return 1;
	for (p += sizeof("pending:") - 1; *p == ' ' || *p == '\t'; p++)
		;
	for (; *p >= '0' && *p <= '9'; p++)
		count = count * 10 + (unsigned long)(*p - '0');
	return count;
}

bool hmmu__inbox_is_readable(const struct hmmu_live *l)
{
	struct pollfd fd = { .fd = hmmu__uffd(l), .events = POLLIN };

	struct timespec now = { 0 };

	return hmmu__sys_poll(&fd, 1, &now) > 0 && fd.revents & POLLIN;
}

void hmmu__events_begin(struct hmmu_live *l) HMMU_NO_TSA
{
	hmmu__rw_write_lock(&l->events);
	/* seq_cst: before the read that lets a thread continue. */
	atomic_store_explicit(&l->events_owner, hmmu__thread_id(),
			      memory_order_seq_cst);
}

void hmmu__events_end(struct hmmu_live *l) HMMU_NO_TSA
{
	/* Release: the events that were applied or counted. */
	atomic_store_explicit(&l->events_owner, 0, memory_order_release);
	hmmu__rw_write_unlock(&l->events);
}

bool hmmu__inbox_has_events(const struct hmmu_live *l)
{
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire);
}

static bool has_pending_fault(const struct hmmu_live *l)
{
	return hmmu__inbox_pending_faults(l) && hmmu__inbox_is_readable(l);
}

/*
 * The owner of the section that the caller waits for may itself wait in a CPU
 * fault that nobody has read, because the caller may be the service. If the
 * fault has vanished, an event is read instead: it is left to the service, and
 * nobody takes pages until it is applied.
 */
void hmmu__live_pump(struct hmmu_mm *mm, uint64_t timeout_ns) HMMU_NO_TSA
{
	struct hmmu_live *l = hmmu__live(mm);
	bool own = hmmu__events_are_own(l);
	struct uffd_msg msg;
	bool any = false;

	if (!has_pending_fault(l) || !hmmu__inbox_has_room(l)) {
		hmmu__sched_sleep(timeout_ns < 50000 ? timeout_ns : 50000);
		return;
	}
	if (!own)
		hmmu__events_begin(l);
	if (has_pending_fault(l))
		any = hmmu__inbox_read(l, &msg);
	if (any && !hmmu__is_fault(&msg))
		hmmu__count(&mm->counters.events_late, 1);
	if (any)
		hmmu__inbox_put(l, &msg);
	if (!own)
		hmmu__events_end(l);
}

/*
 * While the service applies an event, the thread that raised it may wait for
 * its next event to be read, and the kernel moves no page until that thread has
 * run. Read the next message; it is applied in its turn.
 */
void hmmu__live_drain(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);
	struct uffd_msg msg;

	if (hmmu__inbox_has_room(l) && hmmu__inbox_read(l, &msg))
		hmmu__inbox_put(l, &msg);
	else
		hmmu__sched_yield();
}

/*
 * A thread that reads events sets events_owner first, and counts the events
 * that it leaves in the inbox before it clears events_owner. Do not wait for
 * the lock instead: threads that disarm hold it, too.
 */
void hmmu__live_events_wait(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);
	unsigned int round = 0;
	int owner;

	/* Acquire, and the owner first: pairs with hmmu__events_end(). */
	while (((owner = atomic_load_explicit(&l->events_owner,
					      memory_order_acquire)) &&
		owner != hmmu__thread_id()) ||
	       hmmu__inbox_has_events(l))
		hmmu__backoff(&round);
}

void hmmu__live_quiet(struct hmmu_mm *mm, uint64_t timeout_ns)
{
	struct hmmu_live *l = hmmu__live(mm);
	uint64_t begun = hmmu__sched_now_ns();
	unsigned int round = 0;

	if (hmmu__is_service(l))
		return;
	while (hmmu__uffd_is_changing(l) &&
	       hmmu__sched_now_ns() - begun < timeout_ns)
		hmmu__backoff(&round);
	hmmu__live_events_wait(mm);
}

bool hmmu__inbox_take_fault(struct hmmu_live *l, struct uffd_msg *msg)
{
	return inbox_get(l, &l->inbox_faults, msg);
}

bool hmmu__inbox_take_event(struct hmmu_live *l, struct uffd_msg *msg)
{
	if (!inbox_get(l, &l->inbox_events, msg))
		return false;
	/*
	 * Relaxed: nobody checks it before the event is applied, because the
	 * caller holds the events lock.
	 */
	atomic_fetch_sub_explicit(&l->unprocessed, 1, memory_order_relaxed);
	return true;
}
