/* SPDX-License-Identifier: MIT */
/*
 * Coherent device memory (contract DC1 to DC5), and pages of several devices in
 * one block.
 */
#include <sys/mman.h>

#include <hmmu/pin.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)

static struct hmmu_memory *coherent_memory;
static struct hmmu_device *coherent;

/* Beside the private one of the fixture. */
static void open_coherent(size_t bytes)
{
	struct hmmu_memory_options mo = { .size = sizeof(mo),
					  .kind = HMMU_MEMORY_COHERENT,
					  .bytes = bytes };
	struct hmmu_device_options o = { .size = sizeof(o) };

	live_open();
	if (!live_can_migrate())
		HMMU_SKIP("UFFDIO_MOVE");
	HMMU_CHECK_OK(hmmu_memory_create(live_space, &mo, &coherent_memory));
	o.memory = coherent_memory;
	HMMU_CHECK_OK(hmmu_device_create(live_space, &o, &coherent));
}

static uint64_t used(void)
{
	struct hmmu_memory_stats s = { .size = sizeof(s) };

	HMMU_CHECK_OK(hmmu_memory_get_stats(coherent_memory, &s));
	return s.used_pages;
}

static void close_coherent(void)
{
	HMMU_CHECK_OK(hmmu_device_destroy(coherent));
	HMMU_CHECK_INT(used(), 0);
	HMMU_CHECK_OK(hmmu_memory_destroy(coherent_memory));
	live_close();
}

static void take_coherent(char *p, size_t bytes)
{
	struct hmmu_migrate_result r = live_migrate(coherent, p, bytes);

	HMMU_CHECK_INT(r.pages_moved, bytes / PAGE);
}

static void set_seq(struct hmmu_notifier *sub, void *arg,
		    const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static uint64_t entry(struct hmmu_device *owner, const char *p)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = set_seq };
	uint64_t e = 0;
	struct hmmu_range r = { .size = sizeof(r),
				.owner = owner,
				.start = (uintptr_t)p,
				.end = (uintptr_t)p + PAGE,
				.entries = &e };

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, r.start, PAGE, 0, &ops,
					   NULL, &r.notifier));
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&r, 0));
	hmmu_notifier_remove(r.notifier);
	return e;
}

static void check_where(struct hmmu_device *owner, const char *p,
			enum hmmu_where where)
{
	uint64_t e = entry(owner, p);

	HMMU_CHECK(e & HMMU_ENTRY_VALID && e & HMMU_ENTRY_WRITE);
	HMMU_CHECK_INT(hmmu_entry_where(e), where);
}

static void test_coherent_dc1_the_cpu_goes_on(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_port *port;
	uint64_t faults;

	open_coherent(LARGE);
	take_coherent(p, BYTES);
	HMMU_CHECK_INT(used(), PAGES);
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	faults = live_stats().cpu_faults;
	HMMU_CHECK_OK(hmmu_port_open(coherent, &port));
	LIVE_CHECK(p, BYTES, 1);
	live_store(port, p, 77);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 77);
	*(volatile uint64_t *)p = 78;
	HMMU_CHECK_INT(live_load(port, p), 78);
	HMMU_CHECK_INT(live_stats().cpu_faults, faults);
	HMMU_CHECK_INT(used(), PAGES);
	hmmu_port_close(port);
	close_coherent();
}

static void test_coherent_dc2_snapshot(void)
{
	char *p = live_map_small(PAGES, 1);

	open_coherent(LARGE);
	take_coherent(p, PAGE);
	check_where(coherent, p, HMMU_WHERE_COHERENT);
	check_where(live_device, p, HMMU_WHERE_COHERENT_OTHER);
	check_where(NULL, p, HMMU_WHERE_COHERENT_OTHER);
	check_where(coherent, p + PAGE, HMMU_WHERE_SYSTEM);
	close_coherent();
}

/* And PN3. */
static void test_coherent_dc3_pin_brings_home(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_migrate_result r;

	open_coherent(LARGE);
	take_coherent(p, BYTES);
	HMMU_CHECK_OK(
		hmmu_pin(live_space, (uintptr_t)p, (uintptr_t)p + 4 * PAGE));
	HMMU_CHECK_INT(used(), PAGES - 4);
	check_where(coherent, p, HMMU_WHERE_SYSTEM);
	r = live_migrate(coherent, p, BYTES);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 4);
	HMMU_CHECK_INT(r.pages_already, PAGES - 4);
	HMMU_CHECK_OK(
		hmmu_unpin(live_space, (uintptr_t)p, (uintptr_t)p + 4 * PAGE));
	take_coherent(p, 4 * PAGE);
	close_coherent();
}

static void test_coherent_dc5_fork_gives_places_back(void)
{
	char *p = live_map_small(PAGES, 1);
	pid_t child;

	open_coherent(LARGE);
	take_coherent(p, BYTES);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		LIVE_CHECK(p, BYTES, 1);
		live_fill(p, BYTES, 2);
		_exit(0);
	}
	live_child_ok(child);
	HMMU_CHECK_INT(used(), 0);
	LIVE_CHECK(p, BYTES, 1);
	close_coherent();
}

static void test_coherent_mv8_holes_become_pages(void)
{
	char *p = live_map(BYTES);

	open_coherent(LARGE);
	take_coherent(p, BYTES);
	HMMU_CHECK_INT(live_present(p, BYTES), PAGES);
	LIVE_CHECK_ZERO(p, BYTES);
	close_coherent();
}

/* What the program gives up, the device has no more. */
static void test_coherent_changes(const struct live_way *way)
{
	char *p = live_map_small(PAGES, 1), *to = live_map(BYTES);

	open_coherent(LARGE);
	take_coherent(p, BYTES);
	HMMU_CHECK_OK(way->unmap(p, PAGE));
	LIVE_CHECK_AFTER(way, used() == PAGES - 1);
	HMMU_CHECK_OK(way->advise(p + PAGE, PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, used() == PAGES - 2);
	HMMU_CHECK(way->map(p + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED) == p + 2 * PAGE);
	LIVE_CHECK_AFTER(way, used() == PAGES - 3);
	HMMU_CHECK(way->remap(p + BYTES / 2, BYTES / 2, BYTES / 2,
			      MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	LIVE_CHECK_SOON(hmmu_entry_where(entry(coherent, to)) ==
			HMMU_WHERE_COHERENT);
	LIVE_CHECK_AT(to, BYTES / 2, 1, BYTES / 2);
	HMMU_CHECK_INT(used(), PAGES - 3);
	close_coherent();
}
BOTH_WAYS(test_coherent_changes)

static void test_coherent_full(void)
{
	char *p = live_map_small(2 * PER_LARGE, 1);
	struct hmmu_migrate_result r;

	open_coherent(LARGE);
	r = live_migrate(coherent, p, 2 * LARGE);
	HMMU_CHECK_INT(r.pages_moved, PER_LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FULL], PER_LARGE);
	HMMU_CHECK_OK(hmmu_migrate_evict(coherent, NULL));
	HMMU_CHECK_INT(used(), 0);
	LIVE_CHECK(p, 2 * LARGE, 1);
	close_coherent();
}

/* Several devices in one block ------------------------------------------------------ */

static void test_coherent_mv7_devices_share_a_block(void)
{
	char *p = live_map_small(3 * PAGES, 1);
	struct hmmu_memory *memory;
	struct hmmu_device *third;
	struct hmmu_migrate_result r;

	open_coherent(LARGE);
	third = live_add_device(LARGE, &memory);
	live_take(p, BYTES);
	take_coherent(p + BYTES, BYTES);
	r = live_migrate(third, p + 2 * BYTES, BYTES);
	HMMU_CHECK_INT(r.pages_moved, PAGES);
	/* What another device has stays with it. */
	r = live_migrate(third, p, 3 * BYTES);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], 2 * PAGES);
	HMMU_CHECK_INT(r.pages_already, PAGES);
	check_where(live_device, p, HMMU_WHERE_DEVICE);
	HMMU_CHECK_INT(entry(third, p), 0);
	check_where(third, p + 2 * BYTES, HMMU_WHERE_DEVICE);
	/* A touch brings the private pages of the block home, of its device. */
	HMMU_CHECK_OK(hmmu_migrate_evict(third, NULL));
	HMMU_CHECK_INT(live_present(p, 3 * BYTES), 2 * PAGES);
	HMMU_CHECK_INT(live_device_pages(), 2 * PAGES);
	LIVE_CHECK(p, 3 * BYTES, 1);
	HMMU_CHECK_INT(used(), PAGES);
	HMMU_CHECK_OK(hmmu_device_destroy(third));
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	close_coherent();
}

static void
test_coherent_interleaved_devices_move_along(const struct live_way *way)
{
	char *p = live_map_small(PAGES, 1);
	char *to = (char *)live_map(2 * LARGE) + LARGE - BYTES / 2;
	struct hmmu_memory *memory;
	struct hmmu_device *other;
	size_t at;

	open_coherent(LARGE);
	other = live_add_device(LARGE, &memory);
	for (at = 0; at < BYTES; at += 2 * PAGE) {
		(void)live_migrate(live_device, p + at, PAGE);
		(void)live_migrate(other, p + at + PAGE, PAGE);
	}
	HMMU_CHECK_INT(live_device_pages(), PAGES);
	/* Over the border of two blocks. */
	HMMU_CHECK(way->remap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED,
			      to) == to);
	LIVE_CHECK_SOON(hmmu_entry_where(entry(other, to + PAGE)) ==
			HMMU_WHERE_DEVICE);
	HMMU_CHECK_INT(live_device_pages(), PAGES);
	HMMU_CHECK_OK(way->unmap(to, 2 * PAGE));
	LIVE_CHECK_AFTER(way, live_device_pages() == PAGES - 2);
	HMMU_CHECK_OK(hmmu_migrate_evict(other, NULL));
	HMMU_CHECK_INT(live_device_pages(), PAGES / 2 - 1);
	LIVE_CHECK_AT(to + 2 * PAGE, BYTES - 2 * PAGE, 1, 2 * PAGE);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	close_coherent();
}
BOTH_WAYS(test_coherent_interleaved_devices_move_along)

/* Pins --------------------------------------------------------------------------------- */

static int pin(const char *p, size_t bytes)
{
	return hmmu_pin(live_space, (uintptr_t)p, (uintptr_t)p + bytes);
}

static int unpin(const char *p, size_t bytes)
{
	return hmmu_unpin(live_space, (uintptr_t)p, (uintptr_t)p + bytes);
}

static void test_coherent_pn1_pin_brings_home_and_keeps(void)
{
	char *p = live_map_small(PAGES, 1);
	struct hmmu_migrate_result r;

	open_coherent(LARGE);
	live_take(p, BYTES);
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	HMMU_CHECK_OK(pin(p + 2 * PAGE, 4 * PAGE));
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	r = live_migrate(live_device, p, BYTES);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 6);
	HMMU_CHECK_INT(live_present(p, BYTES), 6);
	HMMU_CHECK_OK(unpin(p, 4 * PAGE));
	HMMU_CHECK_INT(unpin(p, 5 * PAGE), -ENOENT);
	r = live_migrate(live_device, p, BYTES);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 6);
	HMMU_CHECK_OK(unpin(p, 4 * PAGE));
	r = live_migrate(live_device, p, BYTES);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 4);
	HMMU_CHECK_OK(unpin(p + 2 * PAGE, 4 * PAGE));
	HMMU_CHECK_INT(unpin(p, 4 * PAGE), -ENOENT);
	live_take(p, BYTES);
	LIVE_CHECK(p, BYTES, 1);
	close_coherent();
}

static void test_coherent_pin_refusals(void)
{
	char *p = live_map_small(PAGES, 1);

	open_coherent(LARGE);
	HMMU_CHECK_OK(munmap(p + PAGE, PAGE));
	HMMU_CHECK_INT(pin(p, 2 * PAGE), -EFAULT);
	HMMU_CHECK_INT(unpin(p, 2 * PAGE), -ENOENT);
	HMMU_CHECK_INT(pin(p + 1, PAGE), -EINVAL);
	HMMU_CHECK_INT(pin(p, 0), -EINVAL);
	HMMU_CHECK_INT(unpin(p, 0), -EINVAL);
	HMMU_CHECK_INT(hmmu_pin(NULL, (uintptr_t)p, (uintptr_t)p + PAGE),
		       -EINVAL);
	HMMU_CHECK_OK(mprotect(p, PAGE, PROT_READ));
	HMMU_CHECK_OK(pin(p, PAGE));
	HMMU_CHECK_OK(unpin(p, PAGE));
	HMMU_CHECK_OK(mprotect(p, PAGE, PROT_NONE));
	HMMU_CHECK_INT(pin(p, PAGE), -EFAULT);
	close_coherent();
}

static _Atomic unsigned int stop;

static void *migrate(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_acquire)) {
		(void)live_migrate(live_device, arg, LARGE);
		(void)!hmmu_migrate_home(live_space, (uintptr_t)arg,
					 (uintptr_t)arg + LARGE, NULL);
	}
	return arg;
}

/*
 * mincore() counts a page that the kernel itself has in hand, for it splits
 * what is beside it.
 */
static size_t resident(char *p, size_t pages)
{
	unsigned char vec[PAGES];
	size_t i, n = 0;

	HMMU_CHECK_INT(mincore(p, pages * PAGE, vec), 0);
	for (i = 0; i < pages; i++)
		n += vec[i] & 1;
	return n;
}

/* However hard somebody tries, what is pinned is present. */
static void test_coherent_pn2_pinned_never_leaves(void)
{
	char *p = live_map_large(1, 1), *part;
	pthread_t thread;
	int i, j;

	open_coherent(LARGE);
	thread = live_thread(migrate, p);
	for (i = 0; i < 200; i++) {
		part = p + (size_t)(i % 64) * 8 * PAGE;
		HMMU_CHECK_OK(pin(part, 4 * PAGE));
		for (j = 0; j < 20; j++)
			HMMU_CHECK_INT(resident(part, 4), 4);
		HMMU_CHECK_OK(unpin(part, 4 * PAGE));
	}
	atomic_store_explicit(&stop, 1, memory_order_release);
	live_join(thread);
	LIVE_CHECK(p, LARGE, 1);
	close_coherent();
}

HMMU_TEST_MAIN(HMMU_TEST(test_coherent_dc1_the_cpu_goes_on),
	       HMMU_TEST(test_coherent_dc2_snapshot),
	       HMMU_TEST(test_coherent_dc3_pin_brings_home),
	       HMMU_TEST(test_coherent_dc5_fork_gives_places_back),
	       HMMU_TEST(test_coherent_mv8_holes_become_pages),
	       TEST_BOTH(test_coherent_changes), HMMU_TEST(test_coherent_full),
	       HMMU_TEST(test_coherent_mv7_devices_share_a_block),
	       TEST_BOTH(test_coherent_interleaved_devices_move_along),
	       HMMU_TEST(test_coherent_pn1_pin_brings_home_and_keeps),
	       HMMU_TEST(test_coherent_pin_refusals),
	       HMMU_TEST(test_coherent_pn2_pinned_never_leaves))
