/* SPDX-License-Identifier: MIT */
/*
 * The fault service: the thread that reads the userfaultfd
 *
 * Two kinds of messages arrive. A CPU fault: its thread waits until the page is
 * present. An event: a mapping was changed without a hook. Its thread waits
 * only until the event is read, so by then no device may use the memory. read()
 * returns faults before events and does not say in advance which comes (E4):
 *
 *	service                             program
 *	readable                            munmap() by a raw system call
 *	  no port is open, or no fault        the pages are gone
 *	  is pending: an event is next        waits for the read
 *	stop all sections, then read        munmap returns
 *	invalidate, drop, start sections
 *
 * Required: a section, a device fault or a snapshot that begins after munmap
 * has returned sees the change. A section cannot begin before the drop. The
 * other two first wait for the events lock (hmmu__live_events_wait()), which is
 * held from before the read.
 *
 * A pending fault can vanish before the read (its thread took a signal). Then
 * an event is read while sections run. Such events are counted as late.
 *
 * While an event is unread, and until the thread that made the change has run,
 * the kernel refuses to move pages. A CPU fault that meets such a change waits
 * in the inbox; events are read, and the fault is served again.
 *
 * Locking: no lock is held at the head of the loop. The events lock is held
 * exclusively while messages are read and events are applied.
 *
 * The thread's stack, and with it its TLS, is in the arena. The thread calls
 * nothing that allocates from the program's heap or changes its mappings (E1,
 * E5).
 */
#include "live/service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/sched.h"
#include "base/thread.h"
#include "live/events.h"
#include "live/inbox.h"
#include "live/task.h"
#include "live/uffd.h"
#include "live/watch.h"

#define STACK_BYTES (512ul << 10)

/* --- reading -------------------------------------------------------------------- */

/* Apply the oldest event of the inbox. False: there is none. */
static bool apply_next_event(struct hmmu_live *l)
{
	struct uffd_msg msg;

	if (!hmmu__inbox_take_event(l, &msg))
		return false;
	hmmu__event_apply(l, &msg);
	return true;
}

/* --- CPU faults -------------------------------------------------------------------- */

static void read_messages(struct hmmu_live *l, bool only_events);

/*
 * mremap(2) of a locked mapping that grows populates the new part before its
 * event is sent, and until then the kernel refuses to put a page there:
 *
 *	program                             service
 *	mremap: a change is in progress
 *	  accesses the new part, waits      CPU fault: refused (EAGAIN)
 *	                                    no event to read
 *
 * Forbidden: both wait forever. The page that mremap accesses is new and on no
 * device, so let the kernel fill it. A message can be old: its thread was
 * woken, accessed another page and now waits in mremap. To find out, wake the
 * thread first. If the message is true, it comes a second time.
 */
static bool serve_mremap_populate(struct hmmu_live *l,
				  const struct uffd_msg *msg)
{
	uintptr_t page = hmmu__page_of(msg->arg.pagefault.address);
	int tid = (int)msg->arg.pagefault.feat.ptid;
	bool again = l->populate_tid == tid && l->populate_page == page &&
		     !l->populate_is_filled;

	if (!tid || !hmmu__task_is_in_mremap(tid))
		return false;
	l->populate_tid = tid;
	l->populate_page = page;
	l->populate_is_filled = again;
	if (again)
		hmmu__watch_demote_page(l, page);
	hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
	return true;
}

/* Refusals of a fault until it is checked for mremap. */
#define POPULATE_TRIES 16

/* True for the second message of a page, or the first of the page after it. */
static bool is_next_mremap_populate(const struct hmmu_live *l,
				    const struct uffd_msg *msg)
{
	uintptr_t next = l->populate_page;

	if (l->populate_is_filled)
		next += HMMU_PAGE_BYTES;
	return l->populate_tid == (int)msg->arg.pagefault.feat.ptid &&
	       next == hmmu__page_of(msg->arg.pagefault.address);
}

/* The thread in mremap may be one whose fault waits in the inbox. */
static void serve_all_mremap_populates(struct hmmu_live *l)
{
	struct uffd_msg msg;
	uint32_t i = 0;
	int tid;

	while (hmmu__inbox_fault(l, i, 0, &msg)) {
		tid = (int)msg.arg.pagefault.feat.ptid;
		if (!tid || !hmmu__task_is_in_mremap(tid))
			i++;
		else if (hmmu__inbox_fault(l, i, tid, &msg))
			(void)serve_mremap_populate(l, &msg);
	}
}

static void serve_fault(struct hmmu_live *l, const struct uffd_msg *msg)
{
	uintptr_t addr = msg->arg.pagefault.address;
	unsigned int round = 0, tries = 0;
	int err;

	for (;;) {
		err = hmmu__core_cpu_fault(l->mm.space, addr);
		if (err != -EAGAIN && err != -ENOMEM)
			break;
		if (atomic_load_explicit(&l->stop, memory_order_acquire) &&
		    tries > 1000)
			break;
		if (++tries == 10000)
			hmmu__log(HMMU_LOG_ERROR,
				  "CPU fault at %lx cannot be served yet: %d",
				  (unsigned long)addr, err);
		/*
		 * Retry soon: after the event is read there may be a moment
		 * without a change.
		 */
		if (hmmu__inbox_is_readable(l))
			round = 0;
		read_messages(l, true);
		hmmu__backoff(&round);
		if (err != -EAGAIN || (tries % POPULATE_TRIES &&
				       !is_next_mremap_populate(l, msg)))
			continue;
		if (serve_mremap_populate(l, msg))
			return;
		serve_all_mremap_populates(l);
	}
	/*
	 * The thread accesses the page again, and the kernel decides what is
	 * mapped now.
	 */
	if (err)
		hmmu__uffd_wake(l, hmmu__page_of(addr),
				hmmu__page_of(addr) + HMMU_PAGE_BYTES);
}

/* --- the loop ------------------------------------------------------------------------ */

/* Longest wait for the event of a change that was made. */
#define EVENT_WAIT_NS 2000000000ull

/*
 * Put @first, which was read, and all further messages into the inbox. The
 * caller holds the events lock.
 */
static void read_all_messages(struct hmmu_live *l, const struct uffd_msg *first)
{
	struct uffd_msg msg;

	if (first)
		hmmu__inbox_put(l, first);
	while (hmmu__inbox_has_room(l) && hmmu__inbox_read(l, &msg))
		hmmu__inbox_put(l, &msg);
}

/*
 * Apply the events of the inbox. If an older event is still pending, read more
 * until no change is in progress. The caller holds the events lock.
 */
static void apply_pending_events(struct hmmu_live *l)
{
	uint64_t begun = hmmu__sched_now_ns();
	unsigned int round = 0;

	hmmu__rw_assert_write_held(&l->events);
	for (;;) {
		while (apply_next_event(l))
			;
		if (!hmmu__events_awaited(l) || !hmmu__uffd_is_changing(l) ||
		    hmmu__sched_now_ns() - begun > EVENT_WAIT_NS)
			break;
		read_all_messages(l, NULL);
		hmmu__backoff(&round);
	}
	hmmu__events_forget_awaited(l);
}

/*
 * Apply the events of the inbox, then read one message with the events lock
 * held, and apply it if it is an event. A fault is returned in @msg. False:
 * there was no message.
 */
static bool read_one(struct hmmu_live *l, struct uffd_msg *msg,
		     bool stopped) HMMU_NO_TSA
{
	bool any;

	hmmu__events_begin(l);
	apply_pending_events(l);
	any = hmmu__inbox_has_room(l) && hmmu__inbox_read(l, msg);
	if (any && !hmmu__is_fault(msg)) {
		if (!stopped)
			hmmu__count(&l->mm.counters.events_late, 1);
		read_all_messages(l, msg);
		apply_pending_events(l);
	}
	hmmu__events_end(l);
	return any;
}

/* Most faults that are put into the inbox in one call. */
#define MAX_FAULTS_READ 4096

/*
 * Read until an event came, or no message is left. Faults come first (E4), and
 * threads that get signals fault again all the time: one fault for each call
 * might never reach the event. Always returns false: the faults wait in the
 * inbox, behind the one that is being served.
 */
static bool read_event(struct hmmu_live *l, struct uffd_msg *msg, bool stopped)
{
	int n;

	for (n = 0; n < MAX_FAULTS_READ && read_one(l, msg, stopped); n++) {
		if (!hmmu__is_fault(msg))
			break;
		hmmu__inbox_put(l, msg);
	}
	return false;
}

/*
 * Sections are stopped unless the next message is a fault. @only_events: a
 * fault is being served; put other faults into the inbox.
 */
static void read_messages(struct hmmu_live *l, bool only_events)
{
	struct hmmu_space *space = l->mm.space;
	/*
	 * A change in progress means that an event comes, perhaps after faults.
	 * If no port is open, there is no section to wait for, and stopping
	 * costs nothing.
	 */
	bool stop = hmmu__core_ports_idle(space) ||
		    !hmmu__inbox_pending_faults(l) || hmmu__uffd_is_changing(l);
	struct uffd_msg msg;
	bool any;

	if (only_events && !hmmu__inbox_is_readable(l) &&
	    !hmmu__inbox_has_events(l))
		return;
	if (only_events && !hmmu__inbox_has_room(l))
		return;
	if (stop)
		hmmu__core_ports_hold(space);
	any = only_events ? read_event(l, &msg, stop) : read_one(l, &msg, stop);
	if (stop)
		hmmu__core_ports_release(space);
	if (any && hmmu__is_fault(&msg))
		serve_fault(l, &msg);
}

static void process_inbox(struct hmmu_live *l) HMMU_NO_TSA
{
	struct uffd_msg msg;

	if (hmmu__inbox_has_events(l)) {
		hmmu__events_begin(l);
		apply_pending_events(l);
		hmmu__events_end(l);
	}
	while (hmmu__inbox_take_fault(l, &msg))
		serve_fault(l, &msg);
}

/* Time after which a mapping is disarmed that could not be disarmed at once. */
#define DISARM_DELAY_NS 5000000u

/* The next timer deadline, from now; UINT64_MAX: none. */
static uint64_t next_deadline_ns(const struct hmmu_live *l)
{
	return l->disarm_later ? DISARM_DELAY_NS : UINT64_MAX;
}

static void disarm_idle(struct hmmu_live *l)
{
	if (!l->disarm_later)
		return;
	atomic_store_explicit(&l->disarm_later, false, memory_order_relaxed);
	hmmu__live_release(&l->mm, 0, UINTPTR_MAX);
}

/* True: there is a message, or another thread has woken the service. */
static bool wait_for_message(const struct hmmu_live *l, struct pollfd *fds)
{
	uint64_t ns = next_deadline_ns(l);
	struct timespec timeout = { .tv_sec = (time_t)(ns / 1000000000u),
				    .tv_nsec = (long)(ns % 1000000000u) };

	return hmmu__sys_poll(fds, 2, ns == UINT64_MAX ? NULL : &timeout) > 0;
}

static void *service_main(void *arg)
{
	struct hmmu_live *l = arg;
	struct pollfd fds[2] = {
		{ .fd = hmmu__uffd(l), .events = POLLIN },
		{ .fd = l->wake_fd, .events = POLLIN },
	};
	uint64_t count;
	bool any;

	atomic_store_explicit(&l->service_tid, hmmu__sched_gettid(),
			      memory_order_relaxed);
	while (!atomic_load_explicit(&l->stop, memory_order_acquire)) {
		/*
		 * What other threads put into the inbox from here on wakes the
		 * poll.
		 */
		process_inbox(l);
		any = wait_for_message(l, fds);
		if (!any) {
			disarm_idle(l);
			continue;
		}
		if (fds[1].revents)
			(void)hmmu__sys_read(l->wake_fd, &count, sizeof(count));
		if (fds[0].revents)
			read_messages(l, false);
	}
	/*
	 * Close the userfaultfd before the thread ends. Code that runs at its
	 * end - the clean-up of a sanitizer or of libc, destructors of a
	 * callback's thread-specific data - may unmap registered memory, and
	 * nobody would read that event. Closing ends all registrations and
	 * wakes all waiting threads.
	 */
	hmmu__platform_close(&l->platform);
	return NULL;
}

/* --- start and stop --------------------------------------------------------------------- */

static int fdinfo_open(struct hmmu_live *l)
{
	char path[64] = "/proc/self/fdinfo/";

	hmmu__append_number(path, hmmu__uffd(l));
	l->fdinfo_fd = hmmu__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	return l->fdinfo_fd < 0 ? l->fdinfo_fd : 0;
}

static int thread_start(struct hmmu_live *l)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	err = pthread_attr_setstack(&attr, l->stack, STACK_BYTES);
	if (!err)
		err = pthread_create(&l->thread, &attr, service_main, l);
	(void)pthread_attr_destroy(&attr);
	if (!err)
		(void)pthread_setname_np(l->thread, "hmmu-service");
	return -err;
}

int hmmu__service_start(struct hmmu_live *l)
{
	int err = fdinfo_open(l);

	if (err)
		return err;
	l->stack = hmmu__arena_reserve(STACK_BYTES, HMMU_PAGE_BYTES);
	if (!l->stack)
		return -ENOMEM;
	err = thread_start(l);
	if (err) {
		hmmu__arena_release(l->stack, STACK_BYTES);
		l->stack = NULL;
	}
	return err;
}

void hmmu__service_stop(struct hmmu_live *l)
{
	uint64_t one = 1;

	if (!l->stack)
		return;
	atomic_store_explicit(&l->stop, true, memory_order_release);
	(void)hmmu__sys_write(l->wake_fd, &one, sizeof(one));
	(void)pthread_join(l->thread, NULL);
	hmmu__arena_release(l->stack, STACK_BYTES);
}
