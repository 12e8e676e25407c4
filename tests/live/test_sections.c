/* SPDX-License-Identifier: MIT */
/*
 * A section whose owner stops in a CPU fault, and who waits for it meanwhile:
 * port.h, doc/protocols.md.
 */
#include <sys/mman.h>

#include "gate.h"

/* It stops at @p inside a section, and may go on to another one. */
static struct {
	char *p;
	pthread_t thread;
	int to_kernel;
	ssize_t done;
	int error;
	_Atomic unsigned int tid;
	_Atomic unsigned int has_ended;
	_Atomic unsigned int may_begin;
	_Atomic unsigned int is_open;
	_Atomic unsigned int may_end;
} owner;

/* Waits for the owner's section: @p is in the device's page tables. */
static struct waiter {
	char *p;
	pthread_t thread;
	_Atomic unsigned int is_done;
} first, second;

static void *migrates(void *arg)
{
	struct waiter *w = arg;

	live_take(w->p, PAGE);
	live_set(&w->is_done, 1);
	return arg;
}

static void waiter_prepare(struct waiter *w, uint64_t seed)
{
	w->p = live_map_small(1, seed);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)w->p, PAGE,
					HMMU_ACCESS_READ));
}

static void waiter_start(struct waiter *w)
{
	w->thread = live_thread(migrates, w);
}

static bool waiter_is_done_in(struct waiter *w, unsigned int ms)
{
	return live_wait_for(&w->is_done, 1, ms);
}

static bool is_in_fault(unsigned int tid)
{
	static const char fault[] = "handle_userfault";
	char text[64];

	return live_task_says(tid, "wchan", text, sizeof(text)) &&
	       strncmp(text, fault, sizeof(fault) - 1) == 0;
}

/* Where the kernel does not say, by the time. */
static void owner_start(void *(*fn)(void *))
{
	unsigned int ms;

	owner.thread = live_thread(fn, NULL);
	HMMU_CHECK(live_wait_for(&owner.tid, 1, LIVE_SOON_MS));
	for (ms = 0; ms < 200 && !is_in_fault(live_get(&owner.tid)); ms++)
		live_sleep_ms(1);
}

/* The kernel touches it, and says what became of that. */
static void *writes_inside(void *arg)
{
	struct hmmu_port *port = live_port();

	hmmu_port_begin(port);
	live_set(&owner.tid, (unsigned int)syscall(SYS_gettid));
	owner.done = syscall(SYS_write, owner.to_kernel, owner.p, 1);
	owner.error = errno;
	hmmu_port_end(port);
	live_set(&owner.has_ended, 1);
	hmmu_port_close(port);
	return arg;
}

/* A hole in memory that is armed. */
static char *hole(void)
{
	char *p = live_map(2 * PAGE);

	madvise(p, 2 * PAGE, MADV_NOHUGEPAGE);
	live_fill(p, PAGE, 1);
	live_take(p, PAGE);
	return p + PAGE;
}

/*
 *      program                 owner of the section    another
 *      MADV_GUARD_INSTALL: a
 *        page goes
 *                              touches it: stops
 *        the guard comes
 *                                                      waits for the section
 *
 * Forbidden: both wait for ever. It is no page that HMMU would put there, and
 * the guard is not told as an event; so who reads the fault wakes the owner.
 */
static void test_sections_guard_where_the_owner_stops(void)
{
	int ends[2];

	live_service_open(HMMU_EVENT_MIGRATE);
	if (!live_serves_kernel())
		HMMU_SKIP("a userfaultfd that serves the kernel");
	HMMU_CHECK_OK(pipe(ends));
	owner.to_kernel = ends[1];
	owner.p = hole();
	waiter_prepare(&first, 2);
	live_service_hold_in_fault();
	owner_start(writes_inside);
	if (live_raw.advise(owner.p, PAGE, MADV_GUARD_INSTALL))
		HMMU_SKIP("MADV_GUARD_INSTALL");
	waiter_start(&first);
	HMMU_CHECK(waiter_is_done_in(&first, LIVE_SOON_MS));
	HMMU_CHECK(live_wait_for(&owner.has_ended, 1, LIVE_SOON_MS));
	live_join(owner.thread);
	live_join(first.thread);
	HMMU_CHECK_INT(owner.done, -1);
	HMMU_CHECK_INT(owner.error, EFAULT);
	live_service_go_on();
	live_join(live_service.toucher);
	LIVE_CHECK(first.p, PAGE, 2);
	live_service_close();
}

static void *touches_inside(void *arg)
{
	struct hmmu_port *port = live_port();

	hmmu_port_begin(port);
	live_set(&owner.tid, (unsigned int)syscall(SYS_gettid));
	LIVE_CHECK(owner.p, PAGE, 1);
	hmmu_port_end(port);
	live_set(&owner.has_ended, 1);
	HMMU_CHECK(live_wait_for(&owner.may_begin, 1, LIVE_SOON_MS));
	hmmu_port_begin(port);
	live_set(&owner.is_open, 1);
	HMMU_CHECK(live_wait_for(&owner.may_end, 1, LIVE_SOON_MS));
	HMMU_CHECK(!waiter_is_done_in(&second, 0));
	hmmu_port_end(port);
	hmmu_port_close(port);
	return arg;
}

/*
 *      service                 owner of sections       others
 *      serves a fault:
 *        is held up
 *                              touches P in a
 *                                section: stops
 *                                                      read that, and put it
 *                                                        aside for the service
 *                                                      bring P home
 *                              goes on, ends it
 *                                                      P to the device again
 *                              begins another
 *                                                      wait for that section
 *
 * Forbidden: it is broken while its owner runs, for the message of the first
 * is still there and P is absent.
 */
static void test_sections_message_of_an_earlier_one(void)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_service_open(HMMU_EVENT_MIGRATE);
	owner.p = live_map_small(1, 1);
	live_take(owner.p, PAGE);
	waiter_prepare(&first, 2);
	waiter_prepare(&second, 3);
	live_service_hold_in_fault();
	owner_start(touches_inside);
	waiter_start(&first);
	HMMU_CHECK(waiter_is_done_in(&first, LIVE_SOON_MS));
	HMMU_CHECK(!live_get(&owner.has_ended));
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)owner.p,
					     PAGE, &r));
	HMMU_CHECK(live_wait_for(&owner.has_ended, 1, LIVE_SOON_MS));
	live_take(owner.p, PAGE);
	live_set(&owner.may_begin, 1);
	HMMU_CHECK(live_wait_for(&owner.is_open, 1, LIVE_SOON_MS));
	waiter_start(&second);
	HMMU_CHECK(!waiter_is_done_in(&second, 100));
	live_set(&owner.may_end, 1);
	live_join(owner.thread);
	live_join(first.thread);
	live_join(second.thread);
	live_service_go_on();
	live_join(live_service.toucher);
	LIVE_CHECK(owner.p, PAGE, 1);
	LIVE_CHECK(first.p, PAGE, 2);
	LIVE_CHECK(second.p, PAGE, 3);
	live_service_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_sections_guard_where_the_owner_stops),
	       HMMU_TEST(test_sections_message_of_an_earlier_one))
