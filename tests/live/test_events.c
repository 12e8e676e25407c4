/* SPDX-License-Identifier: MIT */
/*
 * Changes behind the hooks, and what meets them: whoever looks when the call
 * has returned sees the change, and nothing is lost or comes back because of
 * what is told late (E4, doc/protocols.md). All of it also through the hooks.
 */
#include <sched.h>
#include <sys/mman.h>

#include "gate.h"

enum {
	PAGES = 16,
	ROUNDS = 200,
};

#define BYTES ((size_t)PAGES * PAGE)

/* Others who want what a call needs: it and what is told of it come apart. */
static _Atomic unsigned int stop;
static pthread_t hog;

static bool is_stopped(void)
{
	return atomic_load_explicit(&stop, memory_order_acquire);
}

static void *use_time(void *arg)
{
	while (!is_stopped())
		;
	return arg;
}

static void hog_begin(void *(*use)(void *))
{
	hog = live_thread(use, NULL);
}

static void hog_end(void)
{
	atomic_store_explicit(&stop, 1, memory_order_release);
	live_join(hog);
}

/* Each page as the device sees it. */
static void check_by_port(struct hmmu_port *port, const char *p)
{
	uint64_t found;
	size_t at;

	for (at = 0; at < BYTES; at += PAGE) {
		found = live_load(port, p + at);
		if (found)
			hmmu_test_fail(__FILE__, __LINE__,
				       "port, page %zu: 0x%llx, not 0",
				       at / PAGE, (unsigned long long)found);
	}
}

static void map_over(const struct live_way *way, char *p)
{
	HMMU_CHECK(way->map(p, BYTES, PROT_READ | PROT_WRITE, MAP_FIXED) == p);
}

static void unmap_and_map(const struct live_way *way, char *p)
{
	HMMU_CHECK_OK(way->unmap(p, BYTES));
	HMMU_CHECK(way->map(p, BYTES, PROT_READ | PROT_WRITE,
			    MAP_FIXED_NOREPLACE) == p);
}

/* What is looked for must not be found any more ------------------------------ */

/* On the device, and mapped by it or not. */
static void to_device(char *p, bool is_mapped)
{
	live_fill(p, BYTES, 1);
	live_take(p, BYTES);
	if (is_mapped)
		HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p,
						BYTES, HMMU_ACCESS_READ));
}

/* No port was open when the memory went: nobody was stopped. */
static void test_events_new_port_sees_the_change(const struct live_way *way)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_port *port;
	int i;

	live_open();
	hog_begin(use_time);
	for (i = 0; i < ROUNDS; i++) {
		to_device(p, i % 4 < 2);
		(i % 2 ? unmap_and_map : map_over)(way, p);
		port = live_port();
		check_by_port(port, p);
		hmmu_port_close(port);
	}
	hog_end();
	LIVE_CHECK_ZERO(p, BYTES);
	live_close();
}
BOTH_WAYS(test_events_new_port_sees_the_change)

static void test_events_device_fault_sees_the_change(const struct live_way *way)
{
	char *p = live_map_small(PAGES, 1);
	uint64_t leaf;
	size_t page;
	int i;

	live_open();
	hog_begin(use_time);
	for (i = 0; i < ROUNDS; i++) {
		to_device(p, i % 4 < 2);
		(i % 2 ? unmap_and_map : map_over)(way, p);
		HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p,
						BYTES, HMMU_ACCESS_READ));
		for (page = 0; page < PAGES; page++) {
			leaf = 0;
			HMMU_CHECK_INT(live_leaf(live_device, p + page * PAGE,
						 &leaf),
				       12);
			HMMU_CHECK(!(leaf & HMMU_DEVICE_LEAF_LOCAL));
		}
	}
	HMMU_CHECK_OK(way->unmap(p, BYTES));
	HMMU_CHECK_INT(hmmu_device_fault(live_device, (uintptr_t)p, PAGE,
					 HMMU_ACCESS_READ),
		       -EFAULT);
	hog_end();
	live_close();
}
BOTH_WAYS(test_events_device_fault_sees_the_change)

static void set_seq(struct hmmu_notifier *sub, void *arg,
		    const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static struct hmmu_notifier *subscribe(const char *p)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = set_seq };
	struct hmmu_notifier *sub;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &sub));
	return sub;
}

/* No entry of the snapshot may be valid: nothing has been written since. */
static void check_snapshot_empty(struct hmmu_notifier *sub, const char *p)
{
	uint64_t entries[PAGES] = { 0 };
	struct hmmu_range range = { .size = sizeof(range),
				    .notifier = sub,
				    .start = (uintptr_t)p,
				    .end = (uintptr_t)p + BYTES,
				    .entries = entries,
				    .owner = live_device };
	size_t page;
	int err;

	do {
		range.seq = hmmu_notifier_read_begin(sub);
		memset(entries, 0, sizeof(entries));
		err = hmmu_range_fault(&range);
	} while (err == -EBUSY);
	HMMU_CHECK_OK(err);
	for (page = 0; page < PAGES; page++)
		if (entries[page] & HMMU_ENTRY_VALID)
			hmmu_test_fail(__FILE__, __LINE__,
				       "page %zu: entry 0x%llx", page,
				       (unsigned long long)entries[page]);
}

static void test_events_snapshot_sees_the_change(const struct live_way *way)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_notifier *sub;
	int i;

	live_open();
	sub = subscribe(p);
	hog_begin(use_time);
	for (i = 0; i < ROUNDS; i++) {
		to_device(p, i % 4 < 2);
		(i % 2 ? unmap_and_map : map_over)(way, p);
		check_snapshot_empty(sub, p);
	}
	to_device(p, false);
	HMMU_CHECK_OK(way->unmap(p, BYTES));
	check_snapshot_empty(sub, p);
	hog_end();
	hmmu_notifier_remove(sub);
	live_close();
}
BOTH_WAYS(test_events_snapshot_sees_the_change)

/* Discards ---------------------------------------------------------------------- */

static struct live_gate migrator;

/* So long does a change of its mapping keep who wants any mapping waiting. */
#define HOGGED_BYTES (1ul << 30)

static struct {
	char *p;
	int prot;
	_Atomic unsigned int has_begun;
} hogged;

static void hogged_map(void)
{
	hogged.p = mmap(NULL, HOGGED_BYTES, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	HMMU_CHECK(hogged.p != MAP_FAILED);
	madvise(hogged.p, HOGGED_BYTES, MADV_NOHUGEPAGE);
	madvise(hogged.p, HOGGED_BYTES, MADV_POPULATE_READ);
	hogged.prot = PROT_READ;
}

static void *use_mappings(void *arg)
{
	hogged.prot ^= PROT_READ;
	live_set(&hogged.has_begun, 1);
	HMMU_CHECK_OK(
		syscall(SYS_mprotect, hogged.p, HOGGED_BYTES, hogged.prot));
	return arg;
}

static struct {
	const struct live_way *way;
	bool writes;
	char *p;
	struct live_teller teller;
} discard;

/* So often it is looked whether the discard waits, as long as the other may. */
#define LOOKS 100

/*
 * Told with the events lock held: who is let go on here waits for that. The
 * program has been woken, and waits for the other thread when it has run.
 */
static void discard_is_told(enum hmmu_event event)
{
	int look;

	if (event != HMMU_EVENT_CLEAR)
		return;
	live_gate_open(&migrator);
	for (look = 0; live_is_late(discard.way) && look < LOOKS; look++) {
		if (live_is_waiting(live_get(&discard.teller.tid)))
			break;
		usleep(100);
	}
}

static void *migrate_discarded(void *arg)
{
	(void)live_migrate(live_device, discard.p, BYTES);
	return arg;
}

static void discard_now(void)
{
	size_t at;

	HMMU_CHECK_OK(discard.way->advise(discard.p, BYTES, MADV_DONTNEED));
	for (at = 0; discard.writes && at < BYTES; at += PAGE)
		((uint64_t *)(discard.p + at))[1] = 1;
}

static void check_discarded(bool by_device)
{
	const volatile uint64_t *page;
	struct hmmu_port *port = live_port();
	size_t at;

	for (at = 0; at < BYTES; at += PAGE) {
		page = (const uint64_t *)(discard.p + at);
		if (by_device)
			HMMU_CHECK_INT(live_load(port, discard.p + at), 0);
		HMMU_CHECK_INT(page[0], 0);
		HMMU_CHECK_INT(page[1], discard.writes);
		LIVE_CHECK_ZERO(discard.p + at + 16, PAGE - 16);
	}
	hmmu_port_close(port);
}

static void discard_once(int round)
{
	pthread_t taker, hogging;

	live_fill(discard.p, BYTES, 1);
	live_gate_shut(&migrator);
	taker = live_thread(migrate_discarded, NULL);
	live_gate_until(&migrator, 1);
	live_service_hold_in_event();
	live_teller_start(&discard.teller, discard_now);
	live_set(&hogged.has_begun, 0);
	hogging = live_thread(use_mappings, NULL);
	HMMU_CHECK(live_wait_for(&hogged.has_begun, 1, LIVE_SOON_MS));
	usleep(500);
	live_service_go_on();
	live_teller_end(&discard.teller);
	live_join(hogging);
	live_join(taker);
	check_discarded(round % 2);
}

/*
 *      migrator            service             program             another
 *      is to take R
 *                                              madvise(R) tells
 *                                                                  changes a
 *                          reads that, drops     goes on, waits      large
 *                            what is away          for the other     mapping
 *      takes R
 *                                                empties R
 *
 * Forbidden: what was to be discarded comes home.
 */
static void check_discards(const struct live_way *way, bool writes)
{
	char *p = live_map_small(2 * PAGES, 1);
	uint64_t end = live_now_ns() + 2000000000ull;
	int i;

	discard.way = way;
	discard.writes = writes;
	discard.p = p + BYTES;
	migrator.event = HMMU_EVENT_MIGRATE;
	migrator.otherwise = discard_is_told;
	live_service_open(HMMU_EVENT_CLEAR);
	live_gate_build(&migrator, discard.p, BYTES);
	/* As long as some of it is away the mapping is not looked at. */
	live_take(p, BYTES);
	hogged_map();
	for (i = 0; i < 20 && live_now_ns() < end; i++)
		discard_once(i);
	hmmu_notifier_remove(migrator.sub);
	LIVE_CHECK(p, BYTES, 1);
	live_service_close();
}

static void test_events_discarded_does_not_return(const struct live_way *way)
{
	check_discards(way, false);
}
BOTH_WAYS(test_events_discarded_does_not_return)

static void
test_events_written_after_a_discard_is_kept(const struct live_way *way)
{
	check_discards(way, true);
}
BOTH_WAYS(test_events_written_after_a_discard_is_kept)

/* Nothing tells when a discard behind the hooks is over. */
static void test_events_discarded_stays_a_while(const struct live_way *way)
{
	char *p = live_map_small(2 * PAGES, 1);
	struct hmmu_migrate_result r;

	live_open();
	live_take(p, 2 * BYTES);
	LIVE_CHECK(p, 2 * BYTES, 1);
	HMMU_CHECK_OK(way->advise(p, BYTES, MADV_DONTNEED));
	r = live_migrate(live_device, p, 2 * BYTES);
	HMMU_CHECK_INT(r.pages_stayed, live_is_late(way) ? PAGES : 0);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_CHANGED], r.pages_stayed);
	live_sleep_ms(300);
	live_take(p, 2 * BYTES);
	LIVE_CHECK_ZERO(p, BYTES);
	LIVE_CHECK_AT(p + BYTES, BYTES, 1, BYTES);
	live_close();
}
BOTH_WAYS(test_events_discarded_stays_a_while)

/* Places that one leaves and the other takes ----------------------------------- */

enum {
	SLOTS = 3,
	SLOT_PAGES = 64,
};

#define SLOT_BYTES ((size_t)SLOT_PAGES * PAGE)
/* Where the kernel maps nothing by itself: a slot that is left stays empty. */
#define SLOT_START 0x40000000ul

struct mover {
	const struct live_way *way;
	uint64_t seed;
	unsigned int slot;
};

static char *slot_at(unsigned int slot)
{
	return (char *)SLOT_START + slot * 2 * SLOT_BYTES;
}

/* The mapping that was there has gone, whether or not that has been told. */
static void wait_until_left(const char *at)
{
	unsigned char present[SLOT_PAGES];

	while (mincore((void *)(uintptr_t)at, SLOT_BYTES, present) == 0)
		sched_yield();
	HMMU_CHECK_INT(errno, ENOMEM);
}

/* The kernel orders who leaves a slot and who takes it: told to the sanitizer. */
static void order_movers(void)
{
	static _Atomic unsigned int moves;

	if (HMMU_TSAN)
		atomic_fetch_add_explicit(&moves, 1, memory_order_acq_rel);
}

/* Two regions go round three slots, each to what the other has just left. */
static void *move_round(void *arg)
{
	struct mover *m = arg;
	char *from, *to;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		from = slot_at(m->slot);
		m->slot = (m->slot + 1) % SLOTS;
		to = slot_at(m->slot);
		(void)live_migrate(live_device, from, SLOT_BYTES);
		wait_until_left(to);
		order_movers();
		HMMU_CHECK(m->way->remap(from, SLOT_BYTES, SLOT_BYTES,
					 MREMAP_MAYMOVE | MREMAP_FIXED,
					 to) == to);
		if (i % 2)
			(void)live_migrate(live_device, to, SLOT_BYTES / 2);
		LIVE_CHECK(to, SLOT_BYTES, m->seed + (uint64_t)i);
		live_fill(to, SLOT_BYTES, m->seed + (uint64_t)i + 1);
	}
	return NULL;
}

static void test_events_mremap_to_what_was_just_left(const struct live_way *way)
{
	struct mover movers[2] = { { way, 1000, 0 }, { way, 5000, 1 } };
	pthread_t threads[2];
	unsigned int i;

	live_open();
	for (i = 0; i < 2; i++) {
		char *at = slot_at(i);

		HMMU_CHECK(
			mmap(at, SLOT_BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0) == at);
		madvise(at, SLOT_BYTES, MADV_NOHUGEPAGE);
		live_fill(at, SLOT_BYTES, movers[i].seed);
	}
	hog_begin(use_time);
	for (i = 0; i < 2; i++)
		threads[i] = live_thread(move_round, &movers[i]);
	for (i = 0; i < 2; i++)
		live_join(threads[i]);
	hog_end();
	for (i = 0; i < 2; i++) {
		LIVE_CHECK(slot_at(movers[i].slot), SLOT_BYTES,
			   movers[i].seed + ROUNDS);
		HMMU_CHECK_OK(munmap(slot_at(movers[i].slot), SLOT_BYTES));
	}
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}
BOTH_WAYS(test_events_mremap_to_what_was_just_left)

/* Where a thread leaves is mapped and unmapped while that is being told. */
static struct {
	const struct live_way *way;
	_Atomic unsigned int moves;
	_Atomic unsigned int taken;
} left;

static bool try_to_take(char *at)
{
	char *p = left.way->map(at, SLOT_BYTES, PROT_READ | PROT_WRITE,
				MAP_FIXED_NOREPLACE);

	if (p == MAP_FAILED)
		return false;
	HMMU_CHECK(p == at);
	HMMU_CHECK_OK(left.way->unmap(at, SLOT_BYTES));
	return true;
}

/* The slot that is being left, as soon as it has been. */
static void *take_what_is_left(void *arg)
{
	unsigned int seen = 0, now;

	while (!is_stopped()) {
		now = atomic_load_explicit(&left.moves, memory_order_acquire);
		if (now != seen && try_to_take(slot_at((now - 1) % 2))) {
			seen = now;
			atomic_store_explicit(&left.taken, seen,
					      memory_order_release);
		}
	}
	return arg;
}

static void move_to_other_slot(unsigned int i)
{
	char *from = slot_at(i % 2), *to = slot_at((i + 1) % 2);

	live_take(from, SLOT_BYTES);
	atomic_store_explicit(&left.moves, i + 1, memory_order_release);
	HMMU_CHECK(left.way->remap(from, SLOT_BYTES, SLOT_BYTES,
				   MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	HMMU_CHECK(
		live_wait_for(&left.taken, i + 1, 5000 * hmmu_test_slowness()));
	LIVE_CHECK(to, SLOT_BYTES, i + 1);
	live_fill(to, SLOT_BYTES, i + 2);
}

static void
test_events_unmap_of_what_came_keeps_what_left(const struct live_way *way)
{
	pthread_t taker;
	unsigned int i;

	left.way = way;
	live_open();
	HMMU_CHECK(mmap(slot_at(0), SLOT_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0) == slot_at(0));
	madvise(slot_at(0), SLOT_BYTES, MADV_NOHUGEPAGE);
	live_fill(slot_at(0), SLOT_BYTES, 1);
	taker = live_thread(take_what_is_left, NULL);
	for (i = 0; i < ROUNDS; i++)
		move_to_other_slot(i);
	atomic_store_explicit(&stop, 1, memory_order_release);
	live_join(taker);
	HMMU_CHECK_OK(munmap(slot_at(ROUNDS % 2), SLOT_BYTES));
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}

static void test_events_unmap_of_what_came_keeps_what_left_mixed(void)
{
	static struct live_way mixed;

	mixed = live_hooked;
	mixed.remap = live_raw.remap;
	test_events_unmap_of_what_came_keeps_what_left(&mixed);
}
BOTH_WAYS(test_events_unmap_of_what_came_keeps_what_left)

/* Sections of another thread than the port's opener ------------------------------ */

static struct {
	struct hmmu_port *port;
	char *p;
	_Atomic unsigned int is_open;
	_Atomic unsigned int may_end;
	_Atomic unsigned int is_done;
} handed;

static void section_begin(void)
{
	size_t run;
	void *host;

	hmmu_port_begin(handed.port);
	HMMU_CHECK_OK(hmmu_port_span(handed.port, (uintptr_t)handed.p, 8,
				     HMMU_ACCESS_READ, &host, &run));
	atomic_store_explicit(&handed.is_open, 1, memory_order_release);
}

static int section_end(void)
{
	uint64_t value;
	int err = hmmu_port_load64(handed.port, (uintptr_t)handed.p, &value);

	hmmu_port_end(handed.port);
	atomic_store_explicit(&handed.is_done, 1, memory_order_release);
	return err;
}

/* Waits for a page that comes home when this very section has ended. */
static void *touch_in_section(void *arg)
{
	section_begin();
	HMMU_CHECK(*(volatile uint64_t *)handed.p == live_word(1, 0));
	HMMU_CHECK_INT(section_end(), -EAGAIN);
	return arg;
}

static void handed_open(void)
{
	handed.p = live_map_small(PAGES, 1);
	live_open();
	handed.port = live_port();
	/* A section of the opener's: it is the owner until somebody else is. */
	HMMU_CHECK(live_load(handed.port, handed.p) == live_word(1, 0));
	live_take(handed.p, BYTES);
}

static void handed_close(void)
{
	hmmu_port_close(handed.port);
	live_close();
}

static void test_events_section_is_broken_for_its_owner(void)
{
	uint64_t broken;
	pthread_t thread;

	handed_open();
	broken = live_stats().sections_broken;
	thread = live_thread(touch_in_section, NULL);
	HMMU_CHECK(
		live_wait_for(&handed.is_done, 1, 5000 * hmmu_test_slowness()));
	live_join(thread);
	HMMU_CHECK(live_stats().sections_broken > broken);
	LIVE_CHECK(handed.p, BYTES, 1);
	handed_close();
}

static void *stay_in_section(void *arg)
{
	section_begin();
	HMMU_CHECK(live_wait_for(&handed.may_end, 1,
				 20000 * hmmu_test_slowness()));
	HMMU_CHECK_OK(section_end());
	return arg;
}

static void *end_soon(void *arg)
{
	live_sleep_ms(100);
	atomic_store_explicit(&handed.may_end, 1, memory_order_release);
	return arg;
}

/* The opener stops at memory that is away: it is not its section. */
static void test_events_section_is_not_broken_for_the_opener(void)
{
	pthread_t inside, ender;
	uint64_t broken;

	handed_open();
	inside = live_thread(stay_in_section, NULL);
	HMMU_CHECK(
		live_wait_for(&handed.is_open, 1, 5000 * hmmu_test_slowness()));
	/* While it looked for the page it may have begun again. */
	broken = live_stats().sections_broken;
	ender = live_thread(end_soon, NULL);
	LIVE_CHECK(handed.p, BYTES, 1);
	/* The section was waited for. */
	HMMU_CHECK_INT(
		atomic_load_explicit(&handed.may_end, memory_order_acquire), 1);
	live_join(ender);
	live_join(inside);
	HMMU_CHECK_INT(live_stats().sections_broken, broken);
	handed_close();
}

HMMU_TEST_MAIN(TEST_BOTH(test_events_new_port_sees_the_change),
	       TEST_BOTH(test_events_device_fault_sees_the_change),
	       TEST_BOTH(test_events_snapshot_sees_the_change),
	       TEST_BOTH(test_events_discarded_does_not_return),
	       TEST_BOTH(test_events_written_after_a_discard_is_kept),
	       TEST_BOTH(test_events_discarded_stays_a_while),
	       TEST_BOTH(test_events_mremap_to_what_was_just_left),
	       TEST_BOTH(test_events_unmap_of_what_came_keeps_what_left),
	       HMMU_TEST(test_events_unmap_of_what_came_keeps_what_left_mixed),
	       HMMU_TEST(test_events_section_is_broken_for_its_owner),
	       HMMU_TEST(test_events_section_is_not_broken_for_the_opener))
