/* SPDX-License-Identifier: MIT */
/*
 * The break, which ends the heap: where it goes down, subscribers are told
 * before (IN19), and where that is refused all is as it was.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include "fixture.h"

enum {
	PAGES = 16,
	KEPT = 5,
};

#define BYTES ((size_t)PAGES * PAGE)

/* The end of the heap, and behind it memory that no allocator knows. */
static char *heap_grow(void)
{
	char *top = (char *)(((uintptr_t)sbrk(0) + LARGE) & ~(LARGE - 1));

	HMMU_CHECK_OK(brk(top + BYTES));
	HMMU_CHECK(sbrk(0) == top + BYTES);
	live_fill(top, BYTES, 1);
	return top;
}

static void need_hooks(void)
{
	if (live_is_late(&live_hooked))
		HMMU_SKIP("hooks");
}

static int raw_brk(void *top)
{
	return syscall(SYS_brk, top) == (long)top ? 0 : -1;
}

/* What a subscriber of the heap's end saw ----------------------------------- */

static struct {
	_Atomic unsigned int unmaps;
	_Atomic unsigned int mapped;
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
} told;

static void note(struct hmmu_notifier *sub, void *arg,
		 const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	unsigned char vec;

	hmmu_notifier_set_seq(sub, cur_seq);
	if (inv->event != HMMU_EVENT_UNMAP || told.unmaps)
		return;
	told.start = inv->start;
	told.end = inv->end;
	told.mapped =
		!syscall(SYS_mincore, (char *)arg + BYTES - PAGE, PAGE, &vec);
	told.unmaps++;
}

static struct hmmu_notifier *subscribe(char *p)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = note };
	struct hmmu_notifier *sub;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, p, &sub));
	return sub;
}

static void check_told(const char *p)
{
	HMMU_CHECK(told.start == (uintptr_t)p + (KEPT + 1) * PAGE);
	HMMU_CHECK(told.end == (uintptr_t)p + BYTES);
}

/* In the middle of a page, which stays as a whole. */
static void check_lowered(int (*set)(void *), bool on_device)
{
	char *p = heap_grow();
	struct hmmu_notifier *sub;

	live_open();
	sub = subscribe(p);
	if (on_device)
		live_take(p, BYTES);
	HMMU_CHECK_INT(told.unmaps, 0);
	HMMU_CHECK_OK(set(p + KEPT * PAGE + 8));
	LIVE_CHECK_AFTER(&live_raw, told.unmaps);
	check_told(p);
	if (set == brk && !live_is_late(&live_hooked))
		HMMU_CHECK(told.mapped);
	HMMU_CHECK(!live_is_mapped(p + (KEPT + 1) * PAGE));
	LIVE_CHECK_AFTER(&live_raw, live_memory_stats().used_pages ==
					    (on_device ? KEPT + 1 : 0));
	HMMU_CHECK_OK(set(p + BYTES));
	LIVE_CHECK_ZERO(p + (KEPT + 1) * PAGE, BYTES - (KEPT + 1) * PAGE);
	LIVE_CHECK(p, (KEPT + 1) * PAGE, 1);
	hmmu_notifier_remove(sub);
	live_close();
	LIVE_CHECK(p, (KEPT + 1) * PAGE, 1);
}

static void test_brk_is_told_hooked(void)
{
	check_lowered(brk, false);
}

static void test_brk_is_told_raw(void)
{
	check_lowered(raw_brk, false);
}

static void test_brk_device_pages_hooked(void)
{
	check_lowered(brk, true);
}

static void test_brk_device_pages_raw(void)
{
	check_lowered(raw_brk, true);
}

/* The device lets go before the memory does, and finds nothing there later. */
static void test_brk_device_lets_go(void)
{
	char *p = heap_grow();
	struct hmmu_port *port;
	uint64_t value;

	live_open();
	need_hooks();
	port = live_port();
	live_store(port, p + BYTES - PAGE, 7);
	HMMU_CHECK(live_leaf(live_device, p + BYTES - PAGE, NULL));
	HMMU_CHECK(sbrk(-(intptr_t)PAGE) == p + BYTES);
	HMMU_CHECK(!live_leaf(live_device, p + BYTES - PAGE, NULL));
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p + BYTES - PAGE,
					&value),
		       -EFAULT);
	HMMU_CHECK(sbrk(PAGE) == p + BYTES - PAGE);
	HMMU_CHECK_INT(live_load(port, p + BYTES - PAGE), 0);
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	hmmu_port_close(port);
	live_close();
}

/* Refused ------------------------------------------------------------------- */

/* Nothing has gone, and what happens next is still told. */
static void check_untouched(char *p)
{
	struct hmmu_port *port = live_port();

	HMMU_CHECK(sbrk(0) == p + BYTES);
	HMMU_CHECK((void *)syscall(SYS_brk, 0) == p + BYTES);
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	LIVE_CHECK(p, BYTES, 1);
	live_take(p, BYTES);
	LIVE_CHECK(p, BYTES, 1);
	live_take(p, BYTES);
	HMMU_CHECK_OK(brk(p + PAGE));
	LIVE_CHECK_AFTER(&live_raw, live_memory_stats().used_pages == 1);
	LIVE_CHECK(p, PAGE, 1);
	hmmu_port_close(port);
}

static void test_brk_refused_by_a_limit(void)
{
	struct rlimit none = { 0 }, old;
	char *p = heap_grow();

	live_open();
	live_take(p, BYTES);
	HMMU_CHECK_OK(getrlimit(RLIMIT_DATA, &old));
	none.rlim_max = old.rlim_max;
	HMMU_CHECK_OK(setrlimit(RLIMIT_DATA, &none));
	/* Linux leaves the break where it is, which is no failure of libc's. */
	HMMU_CHECK_INT(brk(p), 0);
	HMMU_CHECK_INT(live_memory_stats().used_pages, PAGES);
	HMMU_CHECK_INT(brk(p + 2 * BYTES), -1);
	HMMU_CHECK_INT(errno, ENOMEM);
	errno = 0;
	HMMU_CHECK(sbrk(PAGE) == (void *)-1);
	HMMU_CHECK_INT(errno, ENOMEM);
	HMMU_CHECK_OK(setrlimit(RLIMIT_DATA, &old));
	check_untouched(p);
	live_close();
}

static void test_brk_refused_below_the_heap(void)
{
	char *p = heap_grow();

	live_open();
	live_take(p, BYTES);
	HMMU_CHECK_INT(brk((void *)PAGE), 0);
	HMMU_CHECK_INT(live_memory_stats().used_pages, PAGES);
	HMMU_CHECK(sbrk(-((intptr_t)p + (intptr_t)BYTES - (intptr_t)PAGE)) ==
		   p + BYTES);
	HMMU_CHECK_INT(live_memory_stats().used_pages, PAGES);
	check_untouched(p);
	live_close();
}

/* No place for a break: nobody is told of anything. */
static void test_brk_refused_beyond_memory(void)
{
	char *p = heap_grow();
	struct hmmu_notifier *sub;

	live_open();
	sub = subscribe(p);
	live_take(p, BYTES);
	HMMU_CHECK_INT(brk((void *)-1), -1);
	HMMU_CHECK_INT(errno, ENOMEM);
	errno = 0;
	HMMU_CHECK(sbrk(INTPTR_MIN) == (void *)-1);
	HMMU_CHECK_INT(errno, ENOMEM);
	errno = 0;
	HMMU_CHECK(sbrk(-(intptr_t)p - 2 * (intptr_t)BYTES) == (void *)-1);
	HMMU_CHECK_INT(errno, ENOMEM);
	HMMU_CHECK_INT(brk(NULL), 0);
	HMMU_CHECK_INT(told.unmaps, 0);
	hmmu_notifier_remove(sub);
	check_untouched(p);
	live_close();
}

/* As the C library's ------------------------------------------------------------ */

static void check_values(void)
{
	char *top = sbrk(0);

	HMMU_CHECK(sbrk(3 * PAGE + 5) == top);
	HMMU_CHECK(sbrk(0) == top + 3 * PAGE + 5);
	HMMU_CHECK((void *)syscall(SYS_brk, 0) == top + 3 * PAGE + 5);
	HMMU_CHECK(sbrk(-5) == top + 3 * PAGE + 5);
	HMMU_CHECK_OK(brk(top + PAGE));
	HMMU_CHECK(sbrk(-(intptr_t)PAGE) == top + PAGE);
	HMMU_CHECK(sbrk(0) == top);
	/* Moved behind the C library, which goes by what it has seen. */
	HMMU_CHECK_OK(raw_brk(top + 2 * PAGE));
	HMMU_CHECK(sbrk(0) == top);
	HMMU_CHECK_OK(brk(top));
	HMMU_CHECK((void *)syscall(SYS_brk, 0) == top);
}

static void test_brk_values(void)
{
	check_values();
	live_open();
	check_values();
	live_close();
	check_values();
}

HMMU_TEST_MAIN(HMMU_TEST(test_brk_is_told_hooked),
	       HMMU_TEST(test_brk_is_told_raw),
	       HMMU_TEST(test_brk_device_pages_hooked),
	       HMMU_TEST(test_brk_device_pages_raw),
	       HMMU_TEST(test_brk_device_lets_go),
	       HMMU_TEST(test_brk_refused_by_a_limit),
	       HMMU_TEST(test_brk_refused_below_the_heap),
	       HMMU_TEST(test_brk_refused_beyond_memory),
	       HMMU_TEST(test_brk_values))
