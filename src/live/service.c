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
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/thread.h"
#include "live/armed.h"
#include "live/live.h"

#define STACK_BYTES (512ul << 10)

bool hmmu__live_is_service(struct hmmu_mm *mm)
{
	/* Relaxed: only the service's own value is ever compared equal. */
	return atomic_load_explicit(&hmmu__live(mm)->service_tid,
				    memory_order_relaxed) == hmmu__thread_id();
}

/* --- the stash: messages that have been read and wait ------------------------ */

static bool is_fault(const struct uffd_msg *msg)
{
	return msg->event == UFFD_EVENT_PAGEFAULT;
}

static struct uffd_msg *stash_at(const struct hmmu_stash *s, uint32_t i)
{
	return &s->msg[(s->head + i) % HMMU_STASH_MESSAGES];
}

/* For an event; a fault always finds a place. */
static bool stash_has_room(struct hmmu_live *l)
{
	bool room;

	hmmu__mutex_lock(&l->stash_lock);
	room = l->stashed_events.count < HMMU_STASH_MESSAGES;
	hmmu__mutex_unlock(&l->stash_lock);
	return room;
}

/*
 * A thread waits in one fault at a time, and one that gets signals leaves it
 * and faults again: its latest message is the one that counts.
 */
static struct uffd_msg *same_thread(const struct hmmu_stash *s,
				    const struct uffd_msg *msg)
{
	uint32_t i;

	for (i = 0; msg->arg.pagefault.feat.ptid && i < s->count; i++)
		if (stash_at(s, i)->arg.pagefault.feat.ptid ==
		    msg->arg.pagefault.feat.ptid)
			return stash_at(s, i);
	return NULL;
}

/* False: there are more threads than places. */
static bool stash_fault_locked(struct hmmu_live *l, const struct uffd_msg *msg)
	HMMU_REQUIRES(&l->stash_lock)
{
	struct hmmu_stash *s = &l->stashed_faults;
	struct uffd_msg *place = same_thread(s, msg);

	if (!place && s->count < HMMU_STASH_MESSAGES)
		place = stash_at(s, s->count++);
	if (place)
		*place = *msg;
	return place;
}

static void stash_event_locked(struct hmmu_live *l, const struct uffd_msg *msg)
	HMMU_REQUIRES(&l->stash_lock)
{
	struct hmmu_stash *s = &l->stashed_events;

	*stash_at(s, s->count++) = *msg;
	/* Relaxed: who takes or puts pages looks with the events lock held. */
	atomic_fetch_add_explicit(&l->unprocessed, 1, memory_order_relaxed);
}

/*
 * The caller has seen room and holds the events lock exclusively, so that an
 * event is not applied before one that was read earlier.
 */
static void stash_put(struct hmmu_live *l, const struct uffd_msg *msg)
{
	uintptr_t page = msg->arg.pagefault.address & ~(HMMU_PAGE_BYTES - 1);
	bool placed = true;
	uint64_t one = 1;

	hmmu__mutex_lock(&l->stash_lock);
	if (is_fault(msg))
		placed = stash_fault_locked(l, msg);
	else
		stash_event_locked(l, msg);
	hmmu__mutex_unlock(&l->stash_lock);
	/* It faults again, and is read again. */
	if (!placed)
		hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
	if (!hmmu__live_is_service(&l->mm))
		(void)hmmu__sys_write(l->wake_fd, &one, sizeof(one));
}

/* The fault at place @i; it is taken out if it is @tid's. */
static bool stash_fault(struct hmmu_live *l, uint32_t i, int tid,
			struct uffd_msg *msg)
{
	struct hmmu_stash *s = &l->stashed_faults;
	bool any;

	hmmu__mutex_lock(&l->stash_lock);
	any = i < s->count;
	if (any)
		*msg = *stash_at(s, i);
	if (any && tid && (int)msg->arg.pagefault.feat.ptid == tid)
		*stash_at(s, i) = *stash_at(s, --s->count);
	hmmu__mutex_unlock(&l->stash_lock);
	return any;
}

static bool stash_get(struct hmmu_live *l, struct hmmu_stash *s,
		      struct uffd_msg *msg)
{
	bool any;

	hmmu__mutex_lock(&l->stash_lock);
	any = s->count > 0;
	if (any) {
		*msg = s->msg[s->head];
		s->head = (s->head + 1) % HMMU_STASH_MESSAGES;
		s->count--;
	}
	hmmu__mutex_unlock(&l->stash_lock);
	return any;
}

/* --- reading -------------------------------------------------------------------- */

static uintptr_t page_of(uintptr_t addr)
{
	return addr & ~(HMMU_PAGE_BYTES - 1);
}

/*
 * Whoever has stopped inside a section can not end it, and who has read that may
 * be waiting for the section. With the events lock held exclusively nobody puts
 * a page where he stands, so while it is absent he stays. But a page may be
 * there and he not woken:
 *
 *      program                             owner of the section
 *      MADV_GUARD_INSTALL of P:
 *        its page goes
 *                                          touches P, and stops
 *        the guard comes
 *
 * mremap() to where he waits does it, too. He is woken, and goes on, or gets
 * a signal, or stops again and is read again.
 */
static void look_at_toucher(struct hmmu_live *l, const struct uffd_msg *msg)
{
	int tid = (int)msg->arg.pagefault.feat.ptid;
	uintptr_t page = page_of(msg->arg.pagefault.address);

	if (!hmmu__core_is_in_section(l->mm.space, tid))
		return;
	if (hmmu__is_absent(l, page, page + HMMU_PAGE_BYTES))
		hmmu__core_break(l->mm.space, tid);
	else
		hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
}

/* With the events lock held exclusively. */
static bool read_message(struct hmmu_live *l, struct uffd_msg *msg)
{
	if (hmmu__sys_read(hmmu__uffd(l), msg, sizeof(*msg)) != sizeof(*msg))
		return false;
	if (is_fault(msg))
		look_at_toucher(l, msg);
	return true;
}

/* Faults nobody has read; 1 when it can not be known. */
static unsigned long pending_faults(const struct hmmu_live *l)
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

/* The next event that was put aside; false: there is none. */
static bool stashed_apply(struct hmmu_live *l)
{
	struct uffd_msg msg;

	if (!stash_get(l, &l->stashed_events, &msg))
		return false;
	/* Relaxed: the lock that is held keeps everybody out until it is. */
	atomic_fetch_sub_explicit(&l->unprocessed, 1, memory_order_relaxed);
	hmmu__event_apply(l, &msg);
	return true;
}

/* --- other threads, as /proc says ------------------------------------------------- */

#define TASKS "/proc/self/task/"

/* System calls that raise events. */
static bool changes_mappings(long nr)
{
	return nr == SYS_munmap || nr == SYS_mmap || nr == SYS_mremap ||
	       nr == SYS_madvise || nr == SYS_brk;
}

/* Reads "NUMBER ..." of a file; -1 for anything else ("running"). */
static long first_number(const char *path)
{
	int fd = hmmu__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	char text[32];
	long nr = 0;
	ssize_t n, i;

	if (fd < 0)
		return -1;
	n = hmmu__sys_read(fd, text, sizeof(text));
	hmmu__sys_close(fd);
	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		nr = nr * 10 + (text[i] - '0');
	return i > 0 ? nr : -1;
}

static void append_number(char *path, int number)
{
	char *at = path + strlen(path);
	char digits[12];
	int n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (n)
		*at++ = digits[--n];
	*at = '\0';
}

/* "/proc/self/task/TID/NAME" */
static void task_path(char *path, size_t room, int tid, const char *name)
{
	memcpy(path, TASKS, sizeof(TASKS));
	append_number(path, tid);
	(void)strncat(path, name, room - strlen(path) - 1);
}

/* What a thread of the process sleeps for in the kernel. */
enum hmmu_sleep {
	HMMU_SLEEP_UNKNOWN,
	HMMU_SLEEP_FOR_EVENT,
	HMMU_SLEEP_OTHERWISE,
};

/* "0" is said of a thread that runs, and where it is not to be known. */
static enum hmmu_sleep sleep_of(int tid)
{
	static const char wait[] = "userfaultfd_event_wait_completion";
	char path[64], text[64] = "";
	ssize_t n = -1;
	int fd;

	task_path(path, sizeof(path), tid, "/wchan");
	fd = hmmu__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		n = hmmu__sys_read(fd, text, sizeof(text) - 1);
		hmmu__sys_close(fd);
	}
	if (n <= 1)
		return HMMU_SLEEP_UNKNOWN;
	return strncmp(text, wait, sizeof(wait) - 1) ? HMMU_SLEEP_OTHERWISE :
						       HMMU_SLEEP_FOR_EVENT;
}

/* Stopped there, at a page, while its change is under way. */
static bool is_in_mremap(int tid)
{
	char path[64];

	task_path(path, sizeof(path), tid, "/syscall");
	return first_number(path) == SYS_mremap &&
	       sleep_of(tid) != HMMU_SLEEP_FOR_EVENT;
}

/* --- CPU faults -------------------------------------------------------------------- */

static void service_read(struct hmmu_live *l, bool only_events);

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
static bool growth_filled(struct hmmu_live *l, const struct uffd_msg *msg)
{
	uintptr_t page = page_of(msg->arg.pagefault.address);
	int tid = (int)msg->arg.pagefault.feat.ptid;
	bool again = l->growth_tid == tid && l->growth_page == page &&
		     !l->growth_is_filled;

	if (!tid || !is_in_mremap(tid))
		return false;
	l->growth_tid = tid;
	l->growth_page = page;
	l->growth_is_filled = again;
	if (again)
		hmmu__watch_let_fill(l, page);
	hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
	return true;
}

/* So often a fault is refused before somebody asks why. */
#define GROWTH_TRIES 16

/* The second message of a page, or the first of the page behind it. */
static bool growth_goes_on(const struct hmmu_live *l,
			   const struct uffd_msg *msg)
{
	uintptr_t next = l->growth_page;

	if (l->growth_is_filled)
		next += HMMU_PAGE_BYTES;
	return l->growth_tid == (int)msg->arg.pagefault.feat.ptid &&
	       next == page_of(msg->arg.pagefault.address);
}

/* The thread in mremap may be one whose fault was put aside behind this one. */
static void growths_filled(struct hmmu_live *l)
{
	struct uffd_msg msg;
	uint32_t i = 0;
	int tid;

	while (stash_fault(l, i, 0, &msg)) {
		tid = (int)msg.arg.pagefault.feat.ptid;
		if (!tid || !is_in_mremap(tid))
			i++;
		else if (stash_fault(l, i, tid, &msg))
			(void)growth_filled(l, &msg);
	}
}

static bool is_readable(const struct hmmu_live *l)
{
	struct pollfd fd = { .fd = hmmu__uffd(l), .events = POLLIN };

	struct timespec now = { 0 };

	return hmmu__sys_poll(&fd, 1, &now) > 0 && fd.revents & POLLIN;
}

static void fault_serve(struct hmmu_live *l, const struct uffd_msg *msg)
{
	uintptr_t addr = msg->arg.pagefault.address;
	bool write = msg->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE;
	unsigned int round = 0, tries = 0;
	int err;

	for (;;) {
		err = hmmu__core_cpu_fault(l->mm.space, addr, write);
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
		if (is_readable(l))
			round = 0;
		service_read(l, true);
		hmmu__backoff(&round);
		if (err != -EAGAIN ||
		    (tries % GROWTH_TRIES && !growth_goes_on(l, msg)))
			continue;
		if (growth_filled(l, msg))
			return;
		growths_filled(l);
	}
	/* It looks again, and finds what the kernel makes of the address. */
	if (err)
		hmmu__uffd_wake(l, page_of(addr),
				page_of(addr) + HMMU_PAGE_BYTES);
}

/* --- the loop ------------------------------------------------------------------------ */

/* So long a thread that made a change may take to tell it. */
#define SETTLE_NS 2000000000ull

/* With the events lock held: puts all there is behind @first, which was read. */
static void gather(struct hmmu_live *l, const struct uffd_msg *first)
{
	struct uffd_msg msg;

	if (first)
		stash_put(l, first);
	while (stash_has_room(l) && read_message(l, &msg))
		stash_put(l, &msg);
}

void hmmu__events_begin(struct hmmu_live *l) HMMU_NO_TSA
{
	hmmu__rw_write_lock(&l->events);
	/* seq_cst: before the read that lets a thread go on. */
	atomic_store_explicit(&l->events_owner, hmmu__thread_id(),
			      memory_order_seq_cst);
}

void hmmu__events_end(struct hmmu_live *l) HMMU_NO_TSA
{
	/* Release: what was applied or counted. */
	atomic_store_explicit(&l->events_owner, 0, memory_order_release);
	hmmu__rw_write_unlock(&l->events);
}

/*
 * With the events lock held: applies what was put aside, and where something
 * older is still to be told, reads on until no change is under way.
 */
static void events_settle(struct hmmu_live *l)
{
	uint64_t begun = hmmu__sys_clock_ns();
	unsigned int round = 0;

	hmmu__rw_assert_write_held(&l->events);
	for (;;) {
		while (stashed_apply(l))
			;
		if (!hmmu__events_awaited(l) || !hmmu__uffd_is_changing(l) ||
		    hmmu__sys_clock_ns() - begun > SETTLE_NS)
			break;
		gather(l, NULL);
		hmmu__backoff(&round);
	}
	hmmu__events_settled(l);
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
	events_settle(l);
	any = stash_has_room(l) && read_message(l, msg);
	if (any && !is_fault(msg)) {
		if (!stopped)
			hmmu__count(&l->mm.space->counters.events_late, 1);
		gather(l, msg);
		events_settle(l);
	}
	hmmu__events_end(l);
	return any;
}

static bool has_unprocessed(const struct hmmu_live *l)
{
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire);
}

/* So many faults are put aside in a row. */
#define FAULTS_IN_A_ROW 4096

/*
 * Reads until there was an event, or nothing more. Faults come first (E4), and
 * threads that get signals leave theirs and fault again all the time: one at a
 * time the event might never be reached. Never returns true: the faults wait
 * behind the one in hand.
 */
static bool read_event(struct hmmu_live *l, struct uffd_msg *msg, bool stopped)
{
	int n;

	for (n = 0; n < FAULTS_IN_A_ROW && read_one(l, msg, stopped); n++) {
		if (!is_fault(msg))
			break;
		stash_put(l, msg);
	}
	return false;
}

/*
 * Sections are stopped unless the next message is a fault. @only_events: a
 * fault in hand waits; other faults are put aside behind it.
 */
static void service_read(struct hmmu_live *l, bool only_events)
{
	struct hmmu_space *space = l->mm.space;
	/*
	 * A change under way means an event, whatever comes first. While no
	 * port is open to be waited for, it costs nothing to let none begin.
	 */
	bool stop = hmmu__core_ports_idle(space) || !pending_faults(l) ||
		    hmmu__uffd_is_changing(l);
	struct uffd_msg msg;
	bool any;

	if (only_events && !is_readable(l) && !has_unprocessed(l))
		return;
	if (only_events && !stash_has_room(l))
		return;
	if (stop)
		hmmu__core_ports_hold(space);
	any = only_events ? read_event(l, &msg, stop) : read_one(l, &msg, stop);
	if (stop)
		hmmu__core_ports_release(space);
	if (any && is_fault(&msg))
		fault_serve(l, &msg);
}

static void stash_serve(struct hmmu_live *l) HMMU_NO_TSA
{
	struct uffd_msg msg;

	if (has_unprocessed(l)) {
		hmmu__events_begin(l);
		events_settle(l);
		hmmu__events_end(l);
	}
	while (stash_get(l, &l->stashed_faults, &msg))
		fault_serve(l, &msg);
}

/* So long after a change what could not be disarmed then is tried again. */
#define LATER_NS 5000000u

/* How long until there is something to do that nobody tells; UINT64_MAX: never. */
static uint64_t look_in_ns(const struct hmmu_live *l)
{
	return l->disarm_later ? LATER_NS : UINT64_MAX;
}

static void disarm_what_was_left(struct hmmu_live *l)
{
	if (!l->disarm_later)
		return;
	atomic_store_explicit(&l->disarm_later, false, memory_order_relaxed);
	hmmu__live_release(&l->mm, 0, UINTPTR_MAX);
}

/* True: a message, or somebody has woken it. */
static bool wait_for_message(const struct hmmu_live *l, struct pollfd *fds)
{
	uint64_t ns = look_in_ns(l);
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

	atomic_store_explicit(&l->service_tid, hmmu__sys_gettid(),
			      memory_order_relaxed);
	while (!atomic_load_explicit(&l->stop, memory_order_acquire)) {
		/* What is put aside from here on by others wakes the poll. */
		stash_serve(l);
		any = wait_for_message(l, fds);
		if (!any) {
			disarm_what_was_left(l);
			continue;
		}
		if (fds[1].revents)
			(void)hmmu__sys_read(l->wake_fd, &count, sizeof(count));
		if (fds[0].revents)
			service_read(l, false);
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

/* --- others -------------------------------------------------------------------------- */

static bool pump_may_read(const struct hmmu_live *l)
{
	return pending_faults(l) && is_readable(l);
}

/*
 * The thread waits for a section; the section's owner may be waiting for us in
 * a CPU fault that nobody has read yet, for the service may be what waits. An
 * event that is read here instead (its fault vanished) is left to the service;
 * nobody takes pages until it has been applied.
 */
void hmmu__live_pump(struct hmmu_mm *mm, uint64_t timeout_ns) HMMU_NO_TSA
{
	struct hmmu_live *l = hmmu__live(mm);
	bool own = hmmu__events_are_own(l);
	struct uffd_msg msg;
	bool any = false;

	if (!pump_may_read(l) || !stash_has_room(l)) {
		hmmu__sys_nanosleep(timeout_ns < 50000 ? timeout_ns : 50000);
		return;
	}
	if (!own)
		hmmu__events_begin(l);
	if (pump_may_read(l))
		any = read_message(l, &msg);
	if (any && !is_fault(&msg))
		hmmu__count(&mm->space->counters.events_late, 1);
	if (any)
		stash_put(l, &msg);
	if (!own)
		hmmu__events_end(l);
}

/*
 * While the service applies an event, the thread that raised it may wait for
 * its next one to be read, and the kernel moves no page until that thread has
 * run. What is read here is applied in its turn.
 */
void hmmu__live_drain(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);
	struct uffd_msg msg;

	if (stash_has_room(l) && read_message(l, &msg))
		stash_put(l, &msg);
	else
		hmmu__sys_sched_yield();
}

/*
 * Who reads events says so before, and what he leaves unapplied is counted
 * before he stops saying so. Not by the lock: who only disarms takes that, too.
 */
void hmmu__live_events_wait(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);
	unsigned int round = 0;
	int owner;

	/* Acquire, the owner first: pairs with hmmu__events_end(). */
	while (((owner = atomic_load_explicit(&l->events_owner,
					      memory_order_acquire)) &&
		owner != hmmu__thread_id()) ||
	       has_unprocessed(l))
		hmmu__backoff(&round);
}

void hmmu__live_quiet(struct hmmu_mm *mm, uint64_t timeout_ns)
{
	uint64_t begun = hmmu__sys_clock_ns();
	unsigned int round = 0;

	if (hmmu__live_is_service(mm))
		return;
	while (hmmu__uffd_is_changing(hmmu__live(mm)) &&
	       hmmu__sys_clock_ns() - begun < timeout_ns)
		hmmu__backoff(&round);
	hmmu__live_events_wait(mm);
}

/*
 * Only the service reads events, so a thread that waits for one stays stopped
 * while the service looks at it.
 */
bool hmmu__live_is_stuck(struct hmmu_mm *mm, int tid)
{
	char path[64];

	if (!hmmu__live_is_service(mm))
		return false;
	task_path(path, sizeof(path), tid, "/syscall");
	return hmmu__uffd_is_changing(hmmu__live(mm)) &&
	       changes_mappings(first_number(path)) &&
	       sleep_of(tid) != HMMU_SLEEP_OTHERWISE;
}

/* --- start and stop --------------------------------------------------------------------- */

static int fdinfo_open(struct hmmu_live *l)
{
	char path[64] = "/proc/self/fdinfo/";

	append_number(path, hmmu__uffd(l));
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

	atomic_store_explicit(&l->stop, true, memory_order_release);
	(void)hmmu__sys_write(l->wake_fd, &one, sizeof(one));
	(void)pthread_join(l->thread, NULL);
	hmmu__arena_release(l->stack, STACK_BYTES);
}
