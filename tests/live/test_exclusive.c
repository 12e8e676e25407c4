/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access (contract EX1 to EX12).
 */
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <hmmu/exclusive.h>
#include <hmmu/pin.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)

static int make(struct hmmu_device *d, const void *p, size_t bytes)
{
	return hmmu_make_exclusive(d, (uintptr_t)p, (uintptr_t)p + bytes, NULL);
}

static bool is_exclusive(struct hmmu_device *d, const void *p)
{
	uint64_t leaf = 0;

	return live_leaf(d, p, &leaf) && leaf & HMMU_DEVICE_LEAF_EXCLUSIVE &&
	       leaf & HMMU_MIRROR_WRITE;
}

static size_t count_exclusive(struct hmmu_device *d, const char *p,
			      size_t bytes)
{
	size_t at, n = 0;

	for (at = 0; at < bytes; at += PAGE)
		n += is_exclusive(d, p + at);
	return n;
}

static void need_moves(void)
{
	if (!live_can_migrate())
		HMMU_SKIP("UFFDIO_MOVE");
}

static char *open_exclusive(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	need_moves();
	HMMU_CHECK_OK(make(live_device, p, BYTES));
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES);
	return p;
}

/* EX1, EX6, EX7 ------------------------------------------------------------------ */

static void test_exclusive_ex7_touch_takes_one_page_back(void)
{
	char *p = open_exclusive();

	HMMU_CHECK_INT(live_present(p, BYTES), 0);
	HMMU_CHECK(*(volatile uint64_t *)(p + 3 * PAGE) ==
		   live_word(1, 3 * PAGE / 8));
	HMMU_CHECK(!is_exclusive(live_device, p + 3 * PAGE));
	HMMU_CHECK_INT(live_present(p, BYTES), 1);
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES - 1);
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), 0);
	live_close();
}

/* The device's writes are in the page when the CPU has it again. */
static void test_exclusive_device_writes_come_back(void)
{
	char *p = open_exclusive();
	struct hmmu_port *port = live_port();
	size_t at;

	for (at = 0; at < BYTES; at += PAGE)
		live_store(port, p + at, at + 5);
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES);
	for (at = 0; at < BYTES; at += PAGE)
		HMMU_CHECK_INT(*(volatile uint64_t *)(p + at), at + 5);
	hmmu_port_close(port);
	live_close();
}

/* EX2 ------------------------------------------------------------------------------ */

static void test_exclusive_ex2_brings_device_pages_home(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_memory *memory;
	struct hmmu_device *other;

	live_open();
	need_moves();
	other = live_add_device(LARGE, &memory);
	live_take(p, BYTES);
	HMMU_CHECK_OK(make(live_device, p, BYTES / 2));
	/* And another device's. */
	HMMU_CHECK_OK(make(other, p + BYTES / 2, BYTES / 2));
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES / 2);
	HMMU_CHECK_INT(count_exclusive(other, p, BYTES), PAGES / 2);
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	live_close();
}

static void test_exclusive_ex2_ends_another_ones(void)
{
	char *p = open_exclusive();
	struct hmmu_device *other = live_add_device(0, NULL);

	HMMU_CHECK_OK(make(other, p, BYTES));
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), 0);
	HMMU_CHECK_INT(count_exclusive(other, p, BYTES), PAGES);
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	live_close();
}

/* Absent pages are made, one's own stay (E14: nothing else is). */
static void test_exclusive_ex2_absent_and_twice(void)
{
	char *p = live_map(BYTES);

	live_open();
	need_moves();
	HMMU_CHECK_OK(make(live_device, p, BYTES));
	HMMU_CHECK_OK(make(live_device, p, BYTES));
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES);
	LIVE_CHECK_ZERO(p, BYTES);
	live_close();
}

/* EX3, arguments --------------------------------------------------------------------- */

static void test_exclusive_ex3_refusals(void)
{
	char *p = live_map_small(PAGES, 1);
	char *shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t done = 77;

	live_open();
	need_moves();
	HMMU_CHECK_INT(make(live_device, shared, PAGE), -EOPNOTSUPP);
	HMMU_CHECK_OK(mprotect(p + 4 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_INT(make(live_device, p + 4 * PAGE, PAGE), -EFAULT);
	HMMU_CHECK_INT(hmmu_make_exclusive(live_device, (uintptr_t)p,
					   (uintptr_t)p + BYTES, &done),
		       -EFAULT);
	HMMU_CHECK_INT(done, 4 * PAGE);
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), 4);
	HMMU_CHECK_OK(mprotect(p + 4 * PAGE, PAGE, PROT_NONE));
	HMMU_CHECK_INT(make(live_device, p + 4 * PAGE, PAGE), -EFAULT);
	HMMU_CHECK_OK(munmap(p + 4 * PAGE, PAGE));
	HMMU_CHECK_INT(make(live_device, p + 4 * PAGE, PAGE), -EFAULT);
	HMMU_CHECK_INT(make(live_device, p + 1, PAGE), -EINVAL);
	HMMU_CHECK_INT(make(live_device, p, 0), -EINVAL);
	HMMU_CHECK_INT(make(NULL, p, PAGE), -EINVAL);
	HMMU_CHECK_INT(hmmu_make_exclusive(live_device, (uintptr_t)p,
					   (uintptr_t)p - PAGE, NULL),
		       -EINVAL);
	live_close();
}

/* EX9 is stricter here: who holds the page already is not shut out. */
static void test_exclusive_ex9_pinned(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	need_moves();
	HMMU_CHECK_OK(hmmu_pin(live_space, (uintptr_t)p, (uintptr_t)p + PAGE));
	HMMU_CHECK_INT(make(live_device, p, PAGE), -EBUSY);
	HMMU_CHECK_OK(
		hmmu_unpin(live_space, (uintptr_t)p, (uintptr_t)p + PAGE));
	HMMU_CHECK_OK(make(live_device, p, PAGE));
	live_close();
}

/* EX4 ------------------------------------------------------------------------------------ */

static void test_exclusive_ex4_one_page_of_a_large_one(void)
{
	char *p = live_map_large(1, 1);

	live_open();
	need_moves();
	HMMU_CHECK_OK(make(live_device, p + 7 * PAGE, PAGE));
	HMMU_CHECK_INT(count_exclusive(live_device, p, LARGE), 1);
	HMMU_CHECK_INT(live_present(p, LARGE), PER_LARGE - 1);
	LIVE_CHECK(p, LARGE, 1);
	live_close();
}

/* EX5, EX7, IN26: what is told ------------------------------------------------------------ */

static struct {
	_Atomic unsigned int exclusive;
	_Atomic unsigned int cleared;
	_Atomic unsigned int others;
	const void *_Atomic owner;
} told;

static void note(struct hmmu_notifier *sub, void *arg,
		 const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	hmmu_notifier_set_seq(sub, cur_seq);
	if (inv->event == HMMU_EVENT_EXCLUSIVE) {
		atomic_fetch_add(&told.exclusive, 1);
		atomic_store(&told.owner, inv->owner);
	} else if (inv->event == HMMU_EVENT_CLEAR && !inv->owner) {
		atomic_fetch_add(&told.cleared, 1);
	} else {
		atomic_fetch_add(&told.others, 1);
	}
}

static void test_exclusive_ex5_is_told_with_its_owner(void)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = note };
	char *p = live_map_small(PAGES, 1);
	struct hmmu_notifier *sub;

	live_open();
	need_moves();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &sub));
	HMMU_CHECK_OK(make(live_device, p, PAGE));
	HMMU_CHECK_INT(atomic_load(&told.exclusive), 1);
	HMMU_CHECK(atomic_load(&told.owner) == live_device);
	HMMU_CHECK_INT(atomic_load(&told.cleared), 0);
	HMMU_CHECK(*(volatile uint64_t *)p == live_word(1, 0));
	/* Before the CPU had it. */
	HMMU_CHECK_INT(atomic_load(&told.cleared), 1);
	HMMU_CHECK_INT(atomic_load(&told.others), 0);
	hmmu_notifier_remove(sub);
	live_close();
}

/* RF22 ---------------------------------------------------------------------------------------- */

static void look(uint64_t *entries, const char *p, uint64_t request)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = note };
	struct hmmu_range r = { .size = sizeof(r),
				.owner = live_device,
				.start = (uintptr_t)p,
				.end = (uintptr_t)p + BYTES,
				.entries = entries,
				.default_flags = request };

	memset(entries, 0, PAGES * sizeof(*entries));
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, r.start, BYTES, 0, &ops,
					   NULL, &r.notifier));
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&r, 0));
	hmmu_notifier_remove(r.notifier);
}

static void test_exclusive_rf22_range_fault_ends_it(void)
{
	uint64_t entries[PAGES];
	char *p = open_exclusive();
	size_t i;

	look(entries, p, 0);
	for (i = 0; i < PAGES; i++)
		HMMU_CHECK_INT(entries[i], 0);
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES);
	look(entries, p, HMMU_ENTRY_REQ_FAULT);
	for (i = 0; i < PAGES; i++)
		HMMU_CHECK(entries[i] & HMMU_ENTRY_VALID);
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), 0);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* Atomics ------------------------------------------------------------------------------------- */

enum {
	ADDS = 3000,
};

static void *add_on_device(void *arg)
{
	struct hmmu_port *port = live_port();
	int i, err;

	for (i = 0; i < ADDS; i++) {
		err = i % 16 ? 0 : make(live_device, arg, PAGE);
		HMMU_CHECK(!err || err == -EBUSY);
		do {
			err = hmmu_port_fetch_add(port, (uintptr_t)arg, 8, 1,
						  NULL);
		} while (err == -EBUSY);
		HMMU_CHECK_OK(err);
	}
	hmmu_port_close(port);
	return NULL;
}

/* Against a CPU that adds to the same word: not one is lost. */
static void test_exclusive_atomics_are_atomic(void)
{
	uint64_t *word = live_map(PAGE);
	pthread_t thread;
	int i;

	live_open();
	need_moves();
	*word = 0;
	thread = live_thread(add_on_device, word);
	for (i = 0; i < ADDS; i++) {
		__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
		if (i % 64 == 0)
			usleep(10);
	}
	live_join(thread);
	HMMU_CHECK_INT(__atomic_load_n(word, __ATOMIC_RELAXED), 2 * ADDS);
	live_close();
}

static char *fought;

static void *fight(void *arg)
{
	struct hmmu_device *d = arg;
	extern char *fought;
	int i, err;

	for (i = 0; i < 200; i++) {
		err = make(d, fought, PAGE);
		HMMU_CHECK(!err || err == -EBUSY);
	}
	return NULL;
}

static void test_exclusive_two_devices_fight(void)
{
	struct hmmu_device *other;
	pthread_t threads[2];

	fought = live_map_small(1, 1);
	live_open();
	need_moves();
	other = live_add_device(0, NULL);
	threads[0] = live_thread(fight, live_device);
	threads[1] = live_thread(fight, other);
	live_join(threads[0]);
	live_join(threads[1]);
	LIVE_CHECK(fought, PAGE, 1);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	live_close();
}

/* EX11, EX12: what the program does to it ----------------------------------------------------- */

static void test_exclusive_ex11_fork(void)
{
	char *p = open_exclusive();
	pid_t child = fork();

	HMMU_CHECK(child >= 0);
	if (!child) {
		LIVE_CHECK(p, BYTES, 1);
		live_fill(p, BYTES, 2);
		_exit(0);
	}
	live_fill(p, BYTES / 2, 3);
	live_child_ok(child);
	LIVE_CHECK(p, BYTES / 2, 3);
	LIVE_CHECK_AT(p + BYTES / 2, BYTES / 2, 1, BYTES / 2);
	/* Own again, and shared no more. */
	HMMU_CHECK_OK(make(live_device, p, BYTES));
	live_close();
}

static void test_exclusive_e14_breaks_cow(void)
{
	char *p = live_map_small(PAGES, 1);
	pid_t child;

	live_open();
	need_moves();
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		live_sleep_ms(200);
		LIVE_CHECK(p, BYTES, 1);
		_exit(0);
	}
	HMMU_CHECK_OK(make(live_device, p, BYTES));
	HMMU_CHECK_INT(count_exclusive(live_device, p, BYTES), PAGES);
	live_fill(p, BYTES, 4);
	live_child_ok(child);
	live_close();
}

static void test_exclusive_ex12_unmapped(const struct live_way *way)
{
	char *p = open_exclusive();

	HMMU_CHECK_OK(way->unmap(p, BYTES / 2));
	LIVE_CHECK_AFTER(way,
			 count_exclusive(live_device, p, BYTES) == PAGES / 2);
	HMMU_CHECK_OK(way->advise(p + BYTES / 2, PAGE, MADV_DONTNEED));
	LIVE_CHECK_ZERO(p + BYTES / 2, PAGE);
	LIVE_CHECK_AT(p + BYTES / 2 + PAGE, BYTES / 2 - PAGE, 1,
		      BYTES / 2 + PAGE);
	live_close();
}
BOTH_WAYS(test_exclusive_ex12_unmapped)

static void test_exclusive_mremap_carries_it(const struct live_way *way)
{
	char *p = open_exclusive(), *to = (char *)live_map(2 * BYTES) + PAGE;

	HMMU_CHECK(way->remap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
			      to) == to);
	LIVE_CHECK(to, BYTES, 1);
	live_close();
}
BOTH_WAYS(test_exclusive_mremap_carries_it)

static void test_exclusive_migration_leaves_it(void)
{
	char *p = open_exclusive();
	struct hmmu_migrate_result r;

	r = live_migrate(live_device, p, BYTES);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_EXCLUSIVE], PAGES);
	HMMU_CHECK_OK(hmmu_migrate_home(live_space, (uintptr_t)p,
					(uintptr_t)p + BYTES, NULL));
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	HMMU_CHECK_OK(make(live_device, p, BYTES));
	HMMU_CHECK_OK(hmmu_migrate_evict(live_device, NULL));
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* Closing with pages exclusive brings them home. */
static void test_exclusive_close(void)
{
	char *p = open_exclusive();

	live_close();
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	LIVE_CHECK(p, BYTES, 1);
	HMMU_CHECK(!live_is_registered());
}

HMMU_TEST_MAIN(HMMU_TEST(test_exclusive_ex7_touch_takes_one_page_back),
	       HMMU_TEST(test_exclusive_device_writes_come_back),
	       HMMU_TEST(test_exclusive_ex2_brings_device_pages_home),
	       HMMU_TEST(test_exclusive_ex2_ends_another_ones),
	       HMMU_TEST(test_exclusive_ex2_absent_and_twice),
	       HMMU_TEST(test_exclusive_ex3_refusals),
	       HMMU_TEST(test_exclusive_ex9_pinned),
	       HMMU_TEST(test_exclusive_ex4_one_page_of_a_large_one),
	       HMMU_TEST(test_exclusive_ex5_is_told_with_its_owner),
	       HMMU_TEST(test_exclusive_rf22_range_fault_ends_it),
	       HMMU_TEST(test_exclusive_atomics_are_atomic),
	       HMMU_TEST(test_exclusive_two_devices_fight),
	       HMMU_TEST(test_exclusive_ex11_fork),
	       HMMU_TEST(test_exclusive_e14_breaks_cow),
	       TEST_BOTH(test_exclusive_ex12_unmapped),
	       TEST_BOTH(test_exclusive_mremap_carries_it),
	       HMMU_TEST(test_exclusive_migration_leaves_it),
	       HMMU_TEST(test_exclusive_close))
