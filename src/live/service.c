/* SPDX-License-Identifier: MIT */
/*
 * The fault service: one thread that reads the userfaultfd.
 *
 * Two kinds of messages come out of it. A CPU fault: its thread waits until
 * the page is there. An event - a mapping was changed behind the hooks: its
 * thread waits until the event is read, no longer, so by then no device may be
 * using the memory. read() hands out faults before events and does not say
 * beforehand which comes (E4):
 *
 *      service                             program
 *      readable                            munmap() by a raw system call
 *        no port is open, or no fault        pages are gone
 *        pending: an event is next           waits for the read
 *      stop all sections, then read        munmap returns
 *      invalidate, drop, start sections
 *
 * Required: a section, a device fault or a snapshot that begins when munmap has
 * returned sees it. A section can not begin before the drop; the other two wait
 * for the events lock first (hmmu__live_events_wait()), which is held from
 * before the read.
 *
 * A fault that is pending may vanish before the read (its thread took a
 * signal), and then an event is read with sections running: counted as late.
 *
 * While an event is unread the kernel refuses to move pages, and for a little
 * longer, until the thread that made the change has run. So a CPU fault that
 * meets such a change is put aside, events are read, and it is tried again.
 *
 * The thread's stack, and with it its TLS, lies in the arena. It calls nothing
 * that allocates from the program's heap or changes its mappings (E1, E5).
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

/* The next event that was put aside; false: there is none. */
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
 * mremap(2) of a locked mapping that grows fills the new part before it tells
 * where it has gone, and until then nobody may put a page there:
 *
 *      program                             service
 *      mremap: a change is under way
 *        touches the new part, stops       CPU fault: refused (EAGAIN)
 *                                          no event to be read
 *
 * Forbidden: both wait for ever. What mremap itself touches is new and on no
 * device, so the kernel is let fill it. Of a message that is old - its thread
 * has been woken, touched something else since and stopped in mremap - nobody
 * knows that. So the thread is woken first: if the message is true it comes a
 * second time.
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

/* So often a fault is refused before somebody asks why. */
#define POPULATE_TRIES 16

/* The second message of a page, or the first of the page behind it. */
static bool is_next_mremap_populate(const struct hmmu_live *l,
				    const struct uffd_msg *msg)
{
	uintptr_t next = l->populate_page;

	if (l->populate_is_filled)
		next += HMMU_PAGE_BYTES;
	return l->populate_tid == (int)msg->arg.pagefault.feat.ptid &&
	       next == hmmu__page_of(msg->arg.pagefault.address);
}

/* The thread in mremap may be one whose fault was put aside behind this one. */
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
				  "CPU fault at %lx can not be served: %d",
				  (unsigned long)addr, err);
		/* The moment in which nothing changes may be right after that. */
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
	/* It looks again, and finds what the kernel makes of the address. */
	if (err)
		hmmu__uffd_wake(l, hmmu__page_of(addr),
				hmmu__page_of(addr) + HMMU_PAGE_BYTES);
}

/* --- the loop ------------------------------------------------------------------------ */

/* So long a thread that made a change may take to tell it. */
#define EVENT_WAIT_NS 2000000000ull

/* With the events lock held: puts all there is behind @first, which was read. */
static void read_all_messages(struct hmmu_live *l, const struct uffd_msg *first)
{
	struct uffd_msg msg;

	if (first)
		hmmu__inbox_put(l, first);
	while (hmmu__inbox_has_room(l) && hmmu__inbox_read(l, &msg))
		hmmu__inbox_put(l, &msg);
}

/*
 * With the events lock held: applies what was put aside, and where something
 * older is still to be told, reads on until no change is under way.
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
 * Applies what was put aside, then reads one message under the events lock and
 * applies it if it is an event. A fault comes back in @msg. False: nothing was
 * there.
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

/* So many faults are put aside in a row. */
#define MAX_FAULTS_READ 4096

/*
 * Reads until there was an event, or nothing more. Faults come first (E4), and
 * threads that get signals leave theirs and fault again all the time: one at a
 * time the event might never be reached. Never returns true: the faults wait
 * behind the one in hand.
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
 * fault in hand waits; other faults are put aside behind it.
 */
static void read_messages(struct hmmu_live *l, bool only_events)
{
	struct hmmu_space *space = l->mm.space;
	/*
	 * A change under way means an event, whatever comes first. While no
	 * port is open to be waited for, it costs nothing to let none begin.
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

/* So long after a change what could not be disarmed then is tried again. */
#define DISARM_DELAY_NS 5000000u

/* How long until there is something to do that nobody tells; UINT64_MAX: never. */
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

/* True: a message, or somebody has woken it. */
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
		/* What is put aside from here on by others wakes the poll. */
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
	 * Before the thread ends, for what runs then - a sanitizer's or libc's
	 * tidying up, destructors of a callback's thread-specific data - may
	 * unmap memory that is registered, and nobody would read that event.
	 * Closing ends every registration and wakes all who wait.
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
