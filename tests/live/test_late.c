/* SPDX-License-Identifier: MIT */
/*
 * Changes behind the hooks that are told late: in another order than they were
 * made, or read and not yet applied (doc/protocols.md). Chance brings that
 * about once in thousands of calls; here gates do.
 */
#include <signal.h>
#include <sys/mman.h>

#include "gate.h"

enum {
	PAGES = 64,
};

#define BYTES ((size_t)PAGES * PAGE)

static void move(char *from, size_t bytes, char *to)
{
	HMMU_CHECK(live_raw.remap(from, bytes, BYTES,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
}

/* The first word of each page as the device sees it, then all as the CPU does. */
static void check_both(const char *p, uint64_t seed)
{
	struct hmmu_port *port = live_port();
	uint64_t want;
	size_t at;

	for (at = 0; at < BYTES; at += PAGE) {
		want = seed == UINT64_MAX ? 0 : live_word(seed, at / 8);
		HMMU_CHECK_INT(live_load(port, p + at), want);
	}
	hmmu_port_close(port);
	LIVE_CHECK_AT(p, BYTES, seed, 0);
}

/* Departures that are told after what has come ------------------------------------- */

/* @left and the pages behind it go; @to is where those of @left go. */
static struct {
	char *left;
	char *to;
	char *coming;
	char *landing;
} places;

/*
 * Three messages, one after the other: @to was unmapped, @left has moved there,
 * what is behind was unmapped.
 */
static void leave(void)
{
	move(places.left, 2 * BYTES, places.to);
}

static void land(void)
{
	move(places.coming, BYTES, places.landing);
}

/*
 *      one thread                          another
 *      mremap(R and what is behind it,
 *        to Q): all of it has left
 *      tells: Q was unmapped
 *                                          mremap(P to L), which has left
 *                                          tells: P has moved to L
 *      tells: R has moved to Q
 *      tells: what was behind R was
 *        unmapped
 *
 * Required: what P held is at L, what R held at Q, and nothing else is kept.
 */
static void check_landing(size_t at_bytes)
{
	struct live_teller one, other;

	places.left = live_map_small(2 * PAGES, 1);
	places.to = live_map_small(PAGES, 3);
	places.coming = live_map_small(PAGES, 5);
	places.landing = places.left + at_bytes;
	live_service_open(HMMU_EVENT_CLEAR);
	live_take(places.left, 2 * BYTES);
	live_take(places.to, BYTES);
	live_take(places.coming, BYTES);
	live_service_hold_in_event();
	live_teller_start(&one, leave);
	live_teller_start(&other, land);
	live_service_go_on();
	live_teller_end(&one);
	live_teller_end(&other);
	check_both(places.landing, 5);
	check_both(places.to, 1);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_service_close();
}

/* L is R itself. */
static void test_late_moved_is_not_what_landed(void)
{
	check_landing(0);
}

/* L is what was behind R. */
static void test_late_unmapped_is_not_what_landed(void)
{
	check_landing(BYTES);
}

/* No record of what has come before that is told ------------------------------------ */

static struct live_gate migrator;

static void *migrate_both(void *arg)
{
	(void)live_migrate(live_device, places.left, 2 * BYTES);
	return arg;
}

static void unmap_landing(void)
{
	HMMU_CHECK_OK(live_raw.unmap(places.landing, BYTES));
}

/*
 *      one thread            another               a third
 *                            migrates K and L:
 *                              K is there already
 *      mremap(P to L)
 *      tells: P has moved
 *        to L
 *                            registers L: a record
 *                              of what is there?
 *                                                  munmap(L)
 *                                                  tells: L was unmapped
 *
 * Required: the last message drops what P held. With the record the first one
 * takes L for somebody else's, whose end is still to be told.
 */
static void test_late_landing_gets_no_record(void)
{
	struct live_teller one, third;
	pthread_t another;

	places.left = live_map_small(2 * PAGES, 1);
	places.landing = places.left + BYTES;
	places.coming = live_map_small(PAGES, 5);
	/* Two mappings. */
	HMMU_CHECK_OK(madvise(places.left, BYTES, MADV_DONTDUMP));
	migrator.event = HMMU_EVENT_MIGRATE;
	live_service_open(HMMU_EVENT_MIGRATE);
	live_gate_build(&migrator, places.left, BYTES);
	live_take(places.left, BYTES);
	live_take(places.coming, BYTES);
	live_gate_shut(&migrator);
	another = live_thread(migrate_both, NULL);
	live_gate_until(&migrator, 1);
	live_service_hold_in_fault();
	live_teller_start(&one, land);
	live_gate_open(&migrator);
	live_sleep_ms(50);
	live_teller_start(&third, unmap_landing);
	live_service_go_on();
	live_teller_end(&one);
	live_teller_end(&third);
	live_join(another);
	live_join(live_service.toucher);
	HMMU_CHECK(live_raw.map(places.landing, BYTES, PROT_READ | PROT_WRITE,
				MAP_FIXED_NOREPLACE) == places.landing);
	check_both(places.landing, UINT64_MAX);
	check_both(places.left, 1);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	hmmu_notifier_remove(migrator.sub);
	live_service_close();
}

/* One message, and none behind it: the old mapping stays, and is empty. */
static void move_and_stay(void)
{
	HMMU_CHECK(
		live_raw.remap(places.left, BYTES, BYTES,
			       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			       places.to) == places.to);
}

static void unmap_to(void)
{
	HMMU_CHECK_OK(live_raw.unmap(places.to, BYTES));
}

static void unmap_behind_to(void)
{
	HMMU_CHECK_OK(live_raw.unmap(places.to + BYTES, BYTES));
}

/*
 *      service                             program
 *                                          munmap(what is behind L): waits
 *                                          munmap(L): waits
 *                                          mremap(P to L): waits
 *      reads all three
 *                                          goes on
 *      applies the first: nothing of
 *        the mapping is away any more,
 *        it need not be armed
 *      applies the others: P's pages
 *        are at L
 *
 * Forbidden: what is mapped at L is armed no longer; it would read as zeroes.
 */
static void test_late_landing_stays_armed(void)
{
	static struct live_gate gate = { .event = HMMU_EVENT_UNMAP };
	struct live_teller first, second, third;

	places.to = live_map_small(2 * PAGES, 1);
	/* A block of its own: whether something is away is asked of blocks. */
	places.left = live_map(LARGE);
	madvise(places.left, LARGE, MADV_NOHUGEPAGE);
	live_fill(places.left, BYTES, 5);
	live_service_open(HMMU_EVENT_CLEAR);
	live_gate_build(&gate, places.to + BYTES, BYTES);
	live_take(places.to + BYTES, BYTES);
	live_take(places.left, BYTES);
	live_gate_shut(&gate);
	live_service_hold_in_event();
	live_teller_start(&first, unmap_behind_to);
	live_teller_start(&second, unmap_to);
	live_teller_start(&third, move_and_stay);
	live_service_go_on();
	live_gate_until(&gate, 1);
	live_teller_end(&first);
	live_teller_end(&second);
	live_teller_end(&third);
	live_gate_open(&gate);
	check_both(places.to, 5);
	LIVE_CHECK_ZERO(places.left, BYTES);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	hmmu_notifier_remove(gate.sub);
	live_service_close();
}

/* Read, and not yet applied ----------------------------------------------------- */

static struct hmmu_notifier *sub;

static void set_seq(struct hmmu_notifier *notifier, void *arg,
		    const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(notifier, cur_seq);
}

static void subscribe(const char *p)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = set_seq };

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &sub));
}

static void discard_page(void)
{
	HMMU_CHECK_OK(live_raw.advise(live_service.p, PAGE, MADV_DONTNEED));
}

static void map_anew(void)
{
	HMMU_CHECK(live_raw.map(places.left, BYTES, PROT_READ | PROT_WRITE,
				MAP_FIXED) == places.left);
}

static void *go_on_soon(void *arg)
{
	live_sleep_ms(100);
	live_service_go_on();
	return arg;
}

/*
 *      service                             program
 *      reads two events, applies the
 *        first one
 *                                          mmap(R) over R returns
 *                                          looks at R: waits
 *      applies the second: R is dropped
 *                                          goes on
 *
 * Forbidden: what stood in R before is found.
 */
static void check_look(void (*look)(void))
{
	struct live_teller first, second;
	pthread_t opener;

	places.left = live_map_small(PAGES, 1);
	live_service_open(HMMU_EVENT_CLEAR);
	subscribe(places.left);
	live_take(places.left, BYTES);
	live_service_hold_in_event();
	live_teller_start(&first, discard_page);
	live_teller_start(&second, map_anew);
	live_set(&live_service.gate.may_pass, 1);
	live_gate_until(&live_service.gate, 2);
	live_teller_end(&first);
	live_teller_end(&second);
	opener = live_thread(go_on_soon, NULL);
	look();
	live_join(opener);
	check_both(places.left, UINT64_MAX);
	hmmu_notifier_remove(sub);
	live_service_close();
}

static void look_as_device(void)
{
	uint64_t leaf;
	size_t at;

	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)places.left,
					BYTES, HMMU_ACCESS_READ));
	for (at = 0; at < BYTES; at += PAGE) {
		HMMU_CHECK_INT(live_leaf(live_device, places.left + at, &leaf),
			       12);
		HMMU_CHECK(!(leaf & HMMU_DEVICE_LEAF_LOCAL));
	}
}

static void test_late_device_fault_waits_for_what_was_read(void)
{
	check_look(look_as_device);
}

static void look_by_snapshot(void)
{
	uint64_t entries[PAGES] = { 0 };
	struct hmmu_range range = { .size = sizeof(range),
				    .notifier = sub,
				    .start = (uintptr_t)places.left,
				    .end = (uintptr_t)places.left + BYTES,
				    .entries = entries,
				    .owner = live_device };
	size_t page;
	int err;

	do {
		range.seq = hmmu_notifier_read_begin(sub);
		err = hmmu_range_fault(&range);
	} while (err == -EBUSY);
	HMMU_CHECK_OK(err);
	for (page = 0; page < PAGES; page++)
		HMMU_CHECK(!(entries[page] & HMMU_ENTRY_VALID));
}

static void test_late_snapshot_waits_for_what_was_read(void)
{
	check_look(look_by_snapshot);
}

static void discard_by_hook(void)
{
	HMMU_CHECK_OK(madvise(places.left, BYTES, MADV_DONTNEED));
}

/*
 * A hook's call is under way until its event has been applied. Else that would
 * be taken for a discard that is still to be made.
 */
static void test_late_hook_waits_for_what_was_read(void)
{
	struct live_teller first, second;

	places.left = live_map_small(PAGES, 1);
	live_service_open(HMMU_EVENT_CLEAR);
	live_take(places.left, BYTES);
	live_service_hold_in_event();
	live_teller_start(&first, discard_page);
	live_teller_start(&second, discard_by_hook);
	live_set(&live_service.gate.may_pass, 1);
	live_gate_until(&live_service.gate, 2);
	live_teller_end(&first);
	live_sleep_ms(50);
	HMMU_CHECK_INT(live_get(&second.is_done), live_is_late(&live_hooked));
	live_service_go_on();
	live_teller_end(&second);
	LIVE_CHECK_ZERO(places.left, BYTES);
	if (!live_is_late(&live_hooked))
		live_take(places.left, BYTES);
	live_service_close();
}

/* Put aside by who waits for a section --------------------------------------------- */

static struct {
	char *p;
	struct hmmu_port *port;
	_Atomic unsigned int is_open;
	_Atomic unsigned int may_end;
} section;

static void *stay_in_section(void *arg)
{
	size_t run;
	void *host;

	hmmu_port_begin(section.port);
	HMMU_CHECK_OK(hmmu_port_span(section.port, (uintptr_t)section.p, 8,
				     HMMU_ACCESS_READ, &host, &run));
	live_set(&section.is_open, 1);
	while (!live_get(&section.may_end))
		usleep(100);
	hmmu_port_end(section.port);
	return arg;
}

static void section_begin(pthread_t *holder)
{
	/* What has just come home is disarmed before: that waits for sections. */
	live_sleep_ms(30);
	live_set(&section.is_open, 0);
	live_set(&section.may_end, 0);
	*holder = live_thread(stay_in_section, NULL);
	HMMU_CHECK(live_wait_for(&section.is_open, 1, LIVE_SOON_MS));
}

/* Its fault comes and goes. */
static struct {
	char *p;
	pthread_t thread;
	pthread_t interrupter;
	_Atomic unsigned int tid;
	_Atomic unsigned int stop;
} flicker;

static void no_action(int number)
{
	(void)number;
}

static void *touch_interrupted(void *arg)
{
	live_set(&flicker.tid, (unsigned int)syscall(SYS_gettid));
	LIVE_CHECK(flicker.p, PAGE, 7);
	return arg;
}

static void *interrupt(void *arg)
{
	while (!live_get(&flicker.stop))
		syscall(SYS_tgkill, getpid(), live_get(&flicker.tid), SIGUSR1);
	return arg;
}

static void flicker_begin(void)
{
	live_set(&flicker.tid, 0);
	live_set(&flicker.stop, 0);
	flicker.thread = live_thread(touch_interrupted, NULL);
	HMMU_CHECK(live_wait_for(&flicker.tid, 1, LIVE_SOON_MS));
	flicker.interrupter = live_thread(interrupt, NULL);
}

static void flicker_end(void)
{
	live_set(&flicker.stop, 1);
	live_join(flicker.interrupter);
	live_join(flicker.thread);
}

static _Atomic unsigned int has_changed;

static void *move_left(void *arg)
{
	move_and_stay();
	live_set(&has_changed, 1);
	return arg;
}

static void *touch_left(void *arg)
{
	/* Before the move, or after. */
	(void)*(volatile char *)places.left;
	return arg;
}

/* Whether an event is put aside is chance: once in a few tries. */
static void try_until_put_aside(bool (*try)(void))
{
	const struct sigaction action = { .sa_handler = no_action };
	uint64_t end = live_now_ns() + 5000000000ull, late;
	bool done;

	HMMU_CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	section.p = live_map_small(1, 8);
	flicker.p = live_map_small(1, 7);
	migrator.event = HMMU_EVENT_MIGRATE;
	live_service_open(HMMU_EVENT_MIGRATE);
	section.port = live_port();
	do {
		live_set(&has_changed, 0);
		late = live_stats().events_late;
		done = try() && live_stats().events_late > late;
	} while (!done && live_now_ns() < end);
	if (!done)
		printf("# nothing was put aside\n");
	hmmu_port_close(section.port);
	live_service_close();
}

/* False: it was not put aside; another time. */
static bool try_put_aside(void)
{
	pthread_t holder, mover, toucher;
	bool in_time;

	places.left = live_map_small(PAGES, 1);
	places.to = live_map(BYTES);
	live_fill(flicker.p, PAGE, 7);
	live_take(places.left, BYTES);
	live_take(flicker.p, PAGE);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)places.left,
					BYTES, HMMU_ACCESS_READ));
	section_begin(&holder);
	toucher = live_thread(touch_left, NULL);
	live_sleep_ms(20);
	mover = live_thread(move_left, NULL);
	flicker_begin();
	in_time = live_wait_for(&has_changed, 1, 500);
	live_set(&section.may_end, 1);
	live_join(holder);
	live_join(toucher);
	live_join(mover);
	flicker_end();
	check_both(places.to, 1);
	HMMU_CHECK_OK(live_raw.unmap(places.left, BYTES));
	HMMU_CHECK_OK(live_raw.unmap(places.to, BYTES));
	return in_time;
}

/*
 *      service                 one thread            another
 *      CPU fault at X: waits
 *        for a section
 *                              mremap(X to Y): is    touches Z: a fault is
 *                                to be read            pending
 *      a fault is pending,
 *        perhaps of who is in
 *        the section: reads
 *                                                    gets a signal: it is
 *                                                      pending no more
 *      it was the event: puts
 *        it aside                returns
 *      the section ends:
 *        brings X home?
 *
 * Forbidden: pages that are Y's by now are put to X.
 */
static void test_late_page_comes_home_to_where_it_is(void)
{
	try_until_put_aside(try_put_aside);
}

/* New memory where somebody is about to take pages. */
static void *map_over_left(void *arg)
{
	map_anew();
	live_fill(places.left, BYTES, 2);
	live_set(&has_changed, 1);
	return arg;
}

static void *migrate_left(void *arg)
{
	(void)live_migrate(live_device, places.left, BYTES);
	return arg;
}

static void *migrate_away(void *arg)
{
	(void)live_migrate(live_device, places.coming, PAGE);
	return arg;
}

static void try_take_prepare(void)
{
	places.left = live_map_small(PAGES, 1);
	places.coming = live_map_small(1, 3);
	live_fill(flicker.p, PAGE, 7);
	live_fill(live_service.p, PAGE, 9);
	live_take(flicker.p, PAGE);
	live_take(live_service.p, PAGE);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)places.coming,
					PAGE, HMMU_ACCESS_READ));
	live_gate_build(&migrator, places.left, BYTES);
	live_gate_shut(&migrator);
}

static bool try_take(void)
{
	pthread_t holder, taker, pump, changer;
	bool in_time;

	try_take_prepare();
	/* First: its device fault may meet the migration in one block. */
	section_begin(&holder);
	taker = live_thread(migrate_left, NULL);
	live_gate_until(&migrator, 1);
	live_service_hold_in_fault();
	pump = live_thread(migrate_away, NULL);
	changer = live_thread(map_over_left, NULL);
	flicker_begin();
	in_time = live_wait_for(&has_changed, 1, 500);
	live_gate_open(&migrator);
	live_set(&section.may_end, 1);
	live_join(holder);
	live_sleep_ms(20);
	live_service_go_on();
	live_join(changer);
	live_join(taker);
	live_join(pump);
	live_join(live_service.toucher);
	flicker_end();
	LIVE_CHECK(places.left, BYTES, 2);
	hmmu_notifier_remove(migrator.sub);
	return in_time;
}

/*
 *      migration           service             another             program
 *      is to take from R
 *                          serves a fault
 *                                              waits for a
 *                                                section
 *                                                                  mmap(R)
 *                                              reads that, and       over R
 *                                                puts it aside
 *                                                                  writes R
 *      takes from R?
 *
 * Forbidden: nobody is registered for what is at R by now, and it would read as
 * zeroes.
 */
static void test_late_new_memory_is_not_taken(void)
{
	try_until_put_aside(try_take);
}

/* Subscriptions ------------------------------------------------------------------ */

static struct {
	char *p;
	struct live_gate gate;
	char *changes;
	_Atomic unsigned int done;
} newcomer;

static void discard_beside(void)
{
	HMMU_CHECK_OK(live_raw.advise(newcomer.changes, PAGE, MADV_DONTNEED));
}

static void *build_gate(void *arg)
{
	newcomer.gate.event = HMMU_EVENT_RELEASE;
	live_gate_build(&newcomer.gate, newcomer.p, BYTES);
	live_set(&newcomer.done, 1);
	return arg;
}

/* Who subscribes while something else changes is told of raw changes, too. */
static void test_late_subscriber_is_told(void)
{
	struct live_teller teller;
	pthread_t thread;
	uint64_t seq;

	live_service_open(HMMU_EVENT_MIGRATE);
	newcomer.p = live_map_small(PAGES, 1);
	newcomer.changes = live_map_small(1, 1);
	HMMU_CHECK_OK(hmmu_device_fault(live_device,
					(uintptr_t)newcomer.changes, PAGE,
					HMMU_ACCESS_READ));
	live_service_hold_in_fault();
	live_teller_start(&teller, discard_beside);
	thread = live_thread(build_gate, NULL);
	(void)live_wait_for(&newcomer.done, 1, 100);
	live_service_go_on();
	live_join(thread);
	live_teller_end(&teller);
	live_join(live_service.toucher);
	seq = hmmu_notifier_read_begin(newcomer.gate.sub);
	HMMU_CHECK_OK(live_raw.unmap(newcomer.p, PAGE));
	LIVE_CHECK_SOON(hmmu_notifier_check_retry(newcomer.gate.sub, seq));
	hmmu_notifier_remove(newcomer.gate.sub);
	live_service_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_late_subscriber_is_told),
	       HMMU_TEST(test_late_moved_is_not_what_landed),
	       HMMU_TEST(test_late_unmapped_is_not_what_landed),
	       HMMU_TEST(test_late_landing_gets_no_record),
	       HMMU_TEST(test_late_landing_stays_armed),
	       HMMU_TEST(test_late_device_fault_waits_for_what_was_read),
	       HMMU_TEST(test_late_snapshot_waits_for_what_was_read),
	       HMMU_TEST(test_late_hook_waits_for_what_was_read),
	       HMMU_TEST(test_late_page_comes_home_to_where_it_is),
	       HMMU_TEST(test_late_new_memory_is_not_taken))
