/* SPDX-License-Identifier: MIT */
/*
 * What a thread does is told after what another one has done since (E4): who
 * unmaps several mappings tells each userfaultfd in its turn, so one of the
 * test's own, over a page that goes first, holds up him who is to tell ours.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>

#include "gate.h"

enum {
	PAGES = 16,
};

#define BYTES  ((size_t)PAGES * PAGE)
/* Where the kernel maps nothing by itself: what is left stays empty. */
#define PLACES 0x40000000ul

static char *place(unsigned int i)
{
	return (char *)PLACES + i * 16 * BYTES;
}

static void map_at(char *p, size_t bytes)
{
	HMMU_CHECK(mmap(p, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0) == p);
	madvise(p, bytes, MADV_NOHUGEPAGE);
}

static void go(char *from, char *to)
{
	HMMU_CHECK(live_raw.remap(from, BYTES, BYTES,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
}

static void map_filled(char *p, uint64_t seed)
{
	map_at(p, BYTES);
	live_fill(p, BYTES, seed);
}

/* Away: on the device. */
static void map_away(char *p, uint64_t seed)
{
	map_filled(p, seed);
	live_take(p, BYTES);
}

/* Who unmaps [own page, end), and waits with the first of two things to tell. */
static struct {
	const struct live_way *way;
	int file;
	char *start;
	size_t bytes;
	/* Where it moves, instead. */
	char *to;
	struct live_teller teller;
} held;

static void own_page(char *p)
{
	map_at(p, PAGE);
	held.file =
		live_userfaultfd(O_NONBLOCK, UFFD_FEATURE_EVENT_UNMAP, NULL);
	live_userfaultfd_register(held.file, p, PAGE,
				  UFFDIO_REGISTER_MODE_MISSING);
}

static void unmap_held(void)
{
	HMMU_CHECK_OK(held.way->unmap(held.start, held.bytes));
}

static void move_held(void)
{
	HMMU_CHECK(held.way->remap(held.start, held.bytes, held.bytes,
				   MREMAP_MAYMOVE | MREMAP_FIXED,
				   held.to) == held.to);
}

/* [p - PAGE, p + bytes) is gone, and of [p, p + bytes) it has not been told. */
static void unmap_begin(const struct live_way *way, char *p, size_t bytes)
{
	held.way = way;
	held.start = p - PAGE;
	held.bytes = bytes + PAGE;
	live_teller_start(&held.teller, unmap_held);
	HMMU_CHECK(!live_is_mapped(p));
}

/* [p, p + bytes) moves over the own page at @to, and has not told of it. */
static void move_begin(const struct live_way *way, char *p, size_t bytes,
		       char *to)
{
	held.way = way;
	held.start = p;
	held.bytes = bytes;
	held.to = to;
	live_teller_start(&held.teller, move_held);
	HMMU_CHECK(!live_is_mapped(p));
}

/* One of them takes his time. */
static void be_late(const struct live_way *way)
{
	if (way->hooked)
		live_sleep_ms(20);
}

static void held_end(void)
{
	struct pollfd own = { .fd = held.file, .events = POLLIN };
	struct uffd_msg msg;

	HMMU_CHECK_INT(poll(&own, 1, (int)LIVE_SOON_MS), 1);
	HMMU_CHECK_INT(read(held.file, &msg, sizeof(msg)), sizeof(msg));
	HMMU_CHECK_INT(msg.event, UFFD_EVENT_UNMAP);
	live_teller_end(&held.teller);
	close(held.file);
}

/*
 *      another                             program
 *      munmap(R): it is gone
 *                                          mremap(X) lands in R
 *                                          event: X moved there
 *      event: R was unmapped
 *
 * Forbidden: what has landed is dropped.
 */
static void check_landing(const struct live_way *way, char *r, size_t bytes,
			  char *to)
{
	own_page(r - PAGE);
	map_away(place(2), 2);
	unmap_begin(way, r, bytes);
	go(place(2), to);
	be_late(way);
	held_end();
	LIVE_CHECK(to, BYTES, 2);
	live_take(to, BYTES);
	LIVE_CHECK(to, BYTES, 2);
	HMMU_CHECK_OK(munmap(to, BYTES));
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
}

static void test_awaited_end_of_a_mapping(const struct live_way *way)
{
	char *r = place(1);

	live_open();
	map_away(r, 1);
	check_landing(way, r, BYTES, r);
	live_close();
}
BOTH_WAYS(test_awaited_end_of_a_mapping)

/* In place. Behind the hooks nobody knows of it. */
static void grow(char *r)
{
	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	HMMU_CHECK(live_hooked.remap(r, BYTES, 3 * BYTES, 0, NULL) == r);
}

static void test_awaited_end_of_what_has_grown(const struct live_way *way)
{
	char *r = place(1);

	live_open();
	map_away(r, 1);
	grow(r);
	check_landing(way, r, 3 * BYTES, r + BYTES);
	live_close();
}
BOTH_WAYS(test_awaited_end_of_what_has_grown)

/* A part of it moves away: told after what has landed there. */
static void test_awaited_move_of_what_has_grown(const struct live_way *way)
{
	char *r = place(1), *landed = r + BYTES, *to = place(4);

	live_open();
	map_away(r, 1);
	grow(r);
	live_fill(landed, BYTES, 3);
	map_away(place(2), 2);
	own_page(to);
	move_begin(way, landed, BYTES, to);
	go(place(2), landed);
	be_late(way);
	held_end();
	LIVE_CHECK(landed, BYTES, 2);
	LIVE_CHECK(to, BYTES, 3);
	LIVE_CHECK(r, BYTES, 1);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}
BOTH_WAYS(test_awaited_move_of_what_has_grown)

/* Something else changes, so that it is not known that all has been told. */
static void change_begin(void)
{
	char *w = place(3);

	own_page(w - PAGE);
	map_away(w, 3);
	unmap_begin(&live_raw, w, BYTES);
}

static void land(char *from, char *to, uint64_t seed)
{
	map_away(from, seed);
	change_begin();
	go(from, to);
}

/* What landed there is gone, and something new is there. */
static void replace(char *p)
{
	HMMU_CHECK_OK(live_raw.unmap(p, BYTES));
	map_filled(p, 4);
}

/* The device sees the new one, and keeps nothing. */
static void check_replaced(char *p)
{
	struct hmmu_port *port = live_port();
	size_t at;

	for (at = 0; at < BYTES; at += PAGE)
		HMMU_CHECK_INT(live_load(port, p + at),
			       live_word(4, at / sizeof(uint64_t)));
	hmmu_port_close(port);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
}

/*
 *      another                             program
 *      something else: is to be told
 *                                          mremap(X) lands in R
 *                                          munmap(R)
 *                                          mmap: R, and writes
 *      tells
 *
 * Forbidden: what had landed is kept for what is there now.
 */
static void test_awaited_by_nobody(void)
{
	char *to = place(1);

	live_open();
	land(place(2), to, 2);
	replace(to);
	held_end();
	check_replaced(to);
	live_take(to, BYTES);
	LIVE_CHECK(to, BYTES, 4);
	live_close();
}

/* And then another one lands there, and is unmapped. */
static void test_awaited_by_nobody_twice(void)
{
	char *to = place(1);

	live_open();
	map_away(place(5), 5);
	land(place(2), to, 2);
	HMMU_CHECK_OK(live_raw.unmap(to, BYTES));
	go(place(5), to);
	replace(to);
	held_end();
	check_replaced(to);
	live_close();
}

/* What changes besides takes longer than the service has patience. */
static void test_awaited_for_too_long(void)
{
	char *to = place(1);

	live_open();
	land(place(2), to, 2);
	replace(to);
	live_sleep_ms(2200);
	held_end();
	check_replaced(to);
	LIVE_CHECK(to, BYTES, 4);
	live_close();
}

/* Half of it. */
static void test_awaited_by_a_part(void)
{
	char *to = place(1);

	live_open();
	land(place(2), to, 2);
	HMMU_CHECK_OK(live_raw.unmap(to, BYTES / 2));
	held_end();
	LIVE_CHECK_SOON(live_memory_stats().used_pages == PAGES / 2);
	HMMU_CHECK(!live_is_mapped(to));
	LIVE_CHECK_AT(to + BYTES / 2, BYTES / 2, 2, BYTES / 2);
	live_close();
}

/* What landed moves on, and something else is mapped there. */
static void test_awaited_landed_moves_on(void)
{
	char *r = place(1), *to = place(4);

	live_open();
	land(place(2), r, 2);
	go(r, to);
	map_filled(r, 4);
	held_end();
	LIVE_CHECK(to, BYTES, 2);
	check_replaced(r);
	live_close();
}

/* The mapping stays, and is empty: it has not been told to be unmapped. */
static void test_awaited_landed_leaves_its_mapping(void)
{
	char *r = place(1), *to = place(4);

	live_open();
	land(place(2), r, 2);
	HMMU_CHECK(
		live_raw.remap(r, BYTES, BYTES,
			       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			       to) == to);
	held_end();
	LIVE_CHECK(to, BYTES, 2);
	LIVE_CHECK_ZERO(r, BYTES);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}

HMMU_TEST_MAIN(TEST_BOTH(test_awaited_end_of_a_mapping),
	       TEST_BOTH(test_awaited_end_of_what_has_grown),
	       TEST_BOTH(test_awaited_move_of_what_has_grown),
	       HMMU_TEST(test_awaited_by_nobody),
	       HMMU_TEST(test_awaited_by_nobody_twice),
	       HMMU_TEST(test_awaited_for_too_long),
	       HMMU_TEST(test_awaited_by_a_part),
	       HMMU_TEST(test_awaited_landed_moves_on),
	       HMMU_TEST(test_awaited_landed_leaves_its_mapping))
