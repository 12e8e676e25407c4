/* SPDX-License-Identifier: MIT */
/*
 * Device faults and the mirror: filled with the largest leaves that are safe,
 * empty again before a change of the program's memory is over.
 */
#include <sys/mman.h>

#include "fixture.h"

static int fault(const void *p, size_t bytes, enum hmmu_access access)
{
	return hmmu_device_fault(live_device, (uintptr_t)p, bytes, access);
}

static uint64_t mapped_bytes(void)
{
	return live_mirror(live_device).mapped_bytes;
}

static void test_fault_maps_a_large_leaf(void)
{
	char *p = live_map_large(2, 1);
	struct hmmu_mirror_stats stats;
	uint64_t entry;

	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	live_open();
	HMMU_CHECK_OK(fault(p + 5 * PAGE + 3, 1, HMMU_ACCESS_READ));
	HMMU_CHECK_INT(live_leaf(live_device, p, NULL), HMMU_LARGE_LG2);
	HMMU_CHECK_INT(live_leaf(live_device, p + LARGE - 1, NULL),
		       HMMU_LARGE_LG2);
	HMMU_CHECK_OK(fault(p, 2 * LARGE, HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(live_leaf(live_device, p + LARGE, &entry),
		       HMMU_LARGE_LG2);
	HMMU_CHECK(entry & HMMU_MIRROR_WRITE);
	HMMU_CHECK(!(entry & HMMU_DEVICE_LEAF_LOCAL));
	HMMU_CHECK(hmmu_mirror_payload(entry) == (uintptr_t)p + LARGE);
	stats = live_mirror(live_device);
	HMMU_CHECK_INT(stats.leaves[0], 0);
	HMMU_CHECK_INT(stats.leaves[1], 2);
	live_close();
}

/* Mirror memory: one table per GiB of large leaves and those above it. */
static void test_fault_mirror_memory_is_small_and_given_back(void)
{
	char *p = live_map_large(16, 1);
	uint64_t empty;

	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	live_open();
	empty = live_mirror(live_device).tables;
	HMMU_CHECK_INT(empty, 1);
	HMMU_CHECK_OK(fault(p, 16 * LARGE, HMMU_ACCESS_WRITE));
	HMMU_CHECK(live_mirror(live_device).tables <= 5);
	HMMU_CHECK_OK(munmap(p, 16 * LARGE));
	LIVE_CHECK_AFTER(&live_hooked,
			 live_mirror(live_device).tables == empty);
	HMMU_CHECK_INT(mapped_bytes(), 0);
	live_close();
}

static void test_fault_maps_small_leaves_around(void)
{
	char *p = live_map(LARGE);
	uint64_t entry;

	madvise(p, LARGE, MADV_NOHUGEPAGE);
	live_fill(p + 16 * PAGE, 4 * PAGE, 1);
	live_open();
	HMMU_CHECK_OK(fault(p + 16 * PAGE, 1, HMMU_ACCESS_READ));
	HMMU_CHECK_INT(live_leaf(live_device, p + 16 * PAGE, &entry),
		       HMMU_PAGE_LG2);
	HMMU_CHECK(hmmu_mirror_payload(entry) == (uintptr_t)p + 16 * PAGE);
	/* What is present beside it, and nothing that is not. */
	HMMU_CHECK_INT(live_leaf(live_device, p + 19 * PAGE, NULL),
		       HMMU_PAGE_LG2);
	HMMU_CHECK_INT(live_leaf(live_device, p + 20 * PAGE, NULL), 0);
	HMMU_CHECK_INT(mapped_bytes(), 4 * PAGE);
	HMMU_CHECK_INT(live_present(p, LARGE), 4);
	/* The page asked for is made present. */
	HMMU_CHECK_OK(fault(p + 40 * PAGE, 1, HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(live_present(p, LARGE), 5);
	HMMU_CHECK_INT(live_leaf(live_device, p + 40 * PAGE, &entry),
		       HMMU_PAGE_LG2);
	HMMU_CHECK(entry & HMMU_MIRROR_WRITE);
	live_close();
}

static void test_fault_around_can_be_bounded(void)
{
	struct hmmu_device_options options = { .size = sizeof(options),
					       .fault_around_pages = 1 };
	struct hmmu_device *device;
	char *p = live_map_small(PER_LARGE, 1);

	live_open_space();
	HMMU_CHECK_OK(hmmu_device_create(live_space, &options, &device));
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p + 7 * PAGE, 1,
					HMMU_ACCESS_READ));
	HMMU_CHECK_INT(live_mirror(device).mapped_bytes, PAGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p + PAGE - 1, 2,
					HMMU_ACCESS_READ));
	HMMU_CHECK_INT(live_mirror(device).mapped_bytes, 3 * PAGE);
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static void test_fault_zero_page_then_write(void)
{
	volatile uint64_t *p = live_map(PAGE);
	struct hmmu_port *port;
	uint64_t entry;

	live_open();
	port = live_port();
	HMMU_CHECK_INT(live_load(port, (void *)p), 0);
	HMMU_CHECK(live_leaf(live_device, (void *)p, &entry));
	HMMU_CHECK(!(entry & HMMU_MIRROR_WRITE));
	live_store(port, (void *)p, 77);
	HMMU_CHECK_INT(p[0], 77);
	HMMU_CHECK(live_leaf(live_device, (void *)p, &entry));
	HMMU_CHECK(entry & HMMU_MIRROR_WRITE);
	p[0] = 78;
	HMMU_CHECK_INT(live_load(port, (void *)p), 78);
	hmmu_port_close(port);
	live_close();
}

static void test_fault_refused_maps_nothing(void)
{
	char *p = live_map_small(8, 1);

	live_open();
	HMMU_CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	HMMU_CHECK_OK(mprotect(p + 4 * PAGE, PAGE, PROT_NONE));
	HMMU_CHECK_OK(mprotect(p + 6 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_INT(fault(p + 2 * PAGE, 1, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(fault(p + 4 * PAGE, 1, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(fault(p + 4 * PAGE, 1, HMMU_ACCESS_WRITE), -EFAULT);
	HMMU_CHECK_INT(fault(p + 6 * PAGE, 1, HMMU_ACCESS_WRITE), -EPERM);
	HMMU_CHECK_INT(fault(p, 8 * PAGE, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(live_leaf(live_device, p + 2 * PAGE, NULL), 0);
	HMMU_CHECK_INT(live_leaf(live_device, p + 4 * PAGE, NULL), 0);
	HMMU_CHECK_OK(fault(p + 6 * PAGE, 1, HMMU_ACCESS_READ));
	live_close();
}

static void test_fault_57_bits(void)
{
	struct hmmu_device_options options = { .size = sizeof(options),
					       .va_bits = 57 };
	struct hmmu_device *device;
	char *p = live_map_small(1, 1);

	live_open_space();
	HMMU_CHECK_OK(hmmu_device_create(live_space, &options, &device));
	HMMU_CHECK_OK(
		hmmu_device_fault(device, (uintptr_t)p, 1, HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(live_leaf(device, p, NULL), HMMU_PAGE_LG2);
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static void test_fault_local_pages_are_mapped_as_such(void)
{
	char *p = live_map_large(1, 1);
	struct hmmu_port *port;
	uint64_t entry;

	live_open();
	live_take(p, LARGE);
	HMMU_CHECK_OK(fault(p, LARGE, HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(live_leaf(live_device, p, &entry), HMMU_LARGE_LG2);
	HMMU_CHECK(entry & HMMU_DEVICE_LEAF_LOCAL);
	HMMU_CHECK(entry & HMMU_MIRROR_WRITE);
	HMMU_CHECK(hmmu_mirror_payload(entry) != (uintptr_t)p);
	port = live_port();
	HMMU_CHECK(live_load(port, p + 8 * 1000) == live_word(1, 1000));
	live_store(port, p + 8 * 1000, 5);
	LIVE_CHECK_SOON(live_device_pages() == PER_LARGE);
	HMMU_CHECK_INT(*(volatile uint64_t *)(p + 8 * 1000), 5);
	/* Come home, it is mapped as local no longer. */
	HMMU_CHECK_INT(live_leaf(live_device, p + 8 * 1000, NULL), 0);
	hmmu_port_close(port);
	live_close();
}

static void
test_fault_in13_munmap_empties_the_mirror(const struct live_way *way)
{
	char *p = live_map_small(64, 1);

	live_open();
	HMMU_CHECK_OK(fault(p, 64 * PAGE, HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(mapped_bytes(), 64 * PAGE);
	HMMU_CHECK_OK(way->unmap(p + 8 * PAGE, 8 * PAGE));
	LIVE_CHECK_AFTER(way, !live_leaf(live_device, p + 8 * PAGE, NULL));
	HMMU_CHECK_INT(live_leaf(live_device, p + 15 * PAGE, NULL), 0);
	HMMU_CHECK_OK(way->unmap(p, 64 * PAGE));
	LIVE_CHECK_AFTER(way, !mapped_bytes());
	/* Its tables go behind its leaves. */
	LIVE_CHECK_AFTER(way, live_mirror(live_device).tables == 1);
	live_close();
}
BOTH_WAYS(test_fault_in13_munmap_empties_the_mirror)

static void test_fault_in13_part_of_a_large_leaf(const struct live_way *way)
{
	char *p = live_map_large(1, 1);
	struct hmmu_port *port;

	live_open();
	port = live_port();
	HMMU_CHECK_OK(fault(p, LARGE, HMMU_ACCESS_WRITE));
	HMMU_CHECK_OK(way->unmap(p + 100 * PAGE, PAGE));
	LIVE_CHECK_AFTER(way, !live_leaf(live_device, p + 100 * PAGE, NULL));
	HMMU_CHECK(live_load(port, p + 99 * PAGE) ==
		   live_word(1, 99 * PAGE / 8));
	HMMU_CHECK(live_leaf(live_device, p + 99 * PAGE, NULL) <=
		   HMMU_PAGE_LG2);
	HMMU_CHECK_INT(fault(p + 100 * PAGE, 1, HMMU_ACCESS_READ), -EFAULT);
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_fault_in13_part_of_a_large_leaf)

/* Memory taken away and mapped again at once at the same address. */
static void check_fresh(const struct live_way *way, struct hmmu_port *port,
			char *p, unsigned int round)
{
	live_store(port, p + PAGE, round + 1);
	HMMU_CHECK(live_load(port, p + PAGE) == round + 1);
	if (round % 2)
		HMMU_CHECK_OK(way->unmap(p, 4 * PAGE));
	HMMU_CHECK(way->map(p, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_FIXED) ==
		   p);
	HMMU_CHECK_INT(live_load(port, p + PAGE), 0);
	*(volatile uint64_t *)(p + PAGE) = round + 7;
	HMMU_CHECK(live_load(port, p + PAGE) == round + 7);
}

static void test_fault_e8_same_address_again(const struct live_way *way)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	unsigned int i;

	live_open();
	port = live_port();
	for (i = 0; i < 500; i++)
		check_fresh(way, port, p, i);
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_fault_e8_same_address_again)

static void test_fault_discarded_memory_reads_zero(const struct live_way *way)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	unsigned int i;

	live_open();
	port = live_port();
	for (i = 1; i < 200; i++) {
		live_store(port, p + PAGE, i);
		HMMU_CHECK_OK(way->advise(p, 4 * PAGE, MADV_DONTNEED));
		HMMU_CHECK_INT(live_load(port, p + PAGE), 0);
	}
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_fault_discarded_memory_reads_zero)

static void test_fault_moved_memory_is_followed(const struct live_way *way)
{
	char *p = live_map_small(16, 1), *to;
	struct hmmu_port *port;
	uint64_t value;

	live_open();
	port = live_port();
	HMMU_CHECK_OK(fault(p, 16 * PAGE, HMMU_ACCESS_WRITE));
	to = way->remap(p, 16 * PAGE, 64 * PAGE, MREMAP_MAYMOVE, NULL);
	HMMU_CHECK(to != MAP_FAILED && to != p);
	LIVE_CHECK_AFTER(way, !mapped_bytes());
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p, &value), -EFAULT);
	HMMU_CHECK(live_load(port, to + PAGE) == live_word(1, PAGE / 8));
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_fault_moved_memory_is_followed)

/* Raw mprotect() has no event; the access itself must notice (E6, E7). */
static void test_fault_protected_memory_refuses(const struct live_way *way)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	struct hmmu_port_fault last;
	uint64_t value = 5;

	live_open();
	port = live_port();
	live_store(port, p, 1);
	HMMU_CHECK_OK(way->protect(p, 4 * PAGE, PROT_READ));
	HMMU_CHECK_INT(hmmu_port_store64(port, (uintptr_t)p + 16, 2), -EPERM);
	hmmu_port_last_fault(port, &last);
	HMMU_CHECK(last.va == (uintptr_t)p + 16);
	HMMU_CHECK_INT(last.error, -EPERM);
	HMMU_CHECK_INT(live_load(port, p), 1);
	HMMU_CHECK_OK(way->protect(p, 4 * PAGE, PROT_NONE));
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p, &value), -EFAULT);
	HMMU_CHECK_INT(value, 5);
	HMMU_CHECK_OK(way->protect(p, 4 * PAGE, PROT_READ | PROT_WRITE));
	live_store(port, p, 3);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 3);
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_fault_protected_memory_refuses)

static struct {
	_Atomic unsigned int calls;
	uintptr_t start;
	uintptr_t end;
	char *p;
} told;

static void on_invalidate(struct hmmu_device *device, void *arg,
			  const struct hmmu_invalidation *inv)
{
	(void)device;
	HMMU_CHECK(arg == &told);
	told.start = inv->start;
	told.end = inv->end;
	atomic_fetch_add_explicit(&told.calls, 1, memory_order_acq_rel);
}

static void test_fault_driver_is_told(const struct live_way *way)
{
	struct hmmu_device_ops ops = { .size = sizeof(ops),
				       .invalidate = on_invalidate };
	struct hmmu_device_options options = { .size = sizeof(options),
					       .ops = &ops,
					       .arg = &told };
	char *p = live_map_small(8, 1);
	struct hmmu_device *device;

	live_open_space();
	HMMU_CHECK_OK(hmmu_device_create(live_space, &options, &device));
	memset(&ops, 0, sizeof(ops));
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, 8 * PAGE,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(way->unmap(p + 2 * PAGE, PAGE));
	LIVE_CHECK_AFTER(way, told.calls >= 1);
	HMMU_CHECK(told.start <= (uintptr_t)p + 2 * PAGE &&
		   told.end >= (uintptr_t)p + 3 * PAGE);
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}
BOTH_WAYS(test_fault_driver_is_told)

static void test_fault_every_device_is_emptied(const struct live_way *way)
{
	char *p = live_map_small(8, 1);
	struct hmmu_device *other;

	live_open();
	other = live_add_device(0, NULL);
	HMMU_CHECK_OK(fault(p, 8 * PAGE, HMMU_ACCESS_READ));
	HMMU_CHECK_OK(hmmu_device_fault(other, (uintptr_t)p, 8 * PAGE,
					HMMU_ACCESS_WRITE));
	HMMU_CHECK_OK(way->unmap(p, 8 * PAGE));
	LIVE_CHECK_AFTER(way, !mapped_bytes());
	LIVE_CHECK_AFTER(way, !live_mirror(other).mapped_bytes);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	live_close();
}
BOTH_WAYS(test_fault_every_device_is_emptied)

/* FK5: what the device writes after the fork is not the child's. */
static void test_fault_fk5_device_writes_are_not_the_childs(void)
{
	uint64_t *p = live_map_small(4, 1);
	struct hmmu_port *port;
	int go[2];
	pid_t child;
	char c;

	live_open();
	port = live_port();
	live_store(port, p, 11);
	HMMU_CHECK_OK(pipe(go));
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		HMMU_CHECK_INT(p[0], 11);
		_exit(0);
	}
	live_store(port, p, 12);
	HMMU_CHECK_INT(p[0], 12);
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	live_child_ok(child);
	hmmu_port_close(port);
	live_close();
}

/* FK6: shared memory is shared with the device too. */
static void test_fault_fk6_shared_memory_is_seen_by_all(void)
{
	uint64_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct hmmu_port *port;
	pid_t child;

	HMMU_CHECK(p != MAP_FAILED);
	live_open();
	port = live_port();
	p[0] = 1;
	child = fork();
	if (child == 0) {
		while (*(volatile uint64_t *)p != 2)
			live_sleep_ms(1);
		p[1] = 3;
		_exit(0);
	}
	live_store(port, p, 2);
	live_child_ok(child);
	HMMU_CHECK_INT(live_load(port, p + 1), 3);
	hmmu_port_close(port);
	live_close();
}

static void test_fault_is_counted(void)
{
	char *p = live_map_small(4, 1);
	uint64_t before;

	live_open();
	before = live_stats().device_faults;
	HMMU_CHECK_OK(fault(p, 1, HMMU_ACCESS_READ));
	HMMU_CHECK_INT(live_stats().device_faults, before + 1);
	HMMU_CHECK(live_stats().mirror_bytes >= 4 * PAGE);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_fault_maps_a_large_leaf),
	       HMMU_TEST(test_fault_mirror_memory_is_small_and_given_back),
	       HMMU_TEST(test_fault_maps_small_leaves_around),
	       HMMU_TEST(test_fault_around_can_be_bounded),
	       HMMU_TEST(test_fault_zero_page_then_write),
	       HMMU_TEST(test_fault_refused_maps_nothing),
	       HMMU_TEST(test_fault_57_bits),
	       HMMU_TEST(test_fault_local_pages_are_mapped_as_such),
	       TEST_BOTH(test_fault_in13_munmap_empties_the_mirror),
	       TEST_BOTH(test_fault_in13_part_of_a_large_leaf),
	       TEST_BOTH(test_fault_e8_same_address_again),
	       TEST_BOTH(test_fault_discarded_memory_reads_zero),
	       TEST_BOTH(test_fault_moved_memory_is_followed),
	       TEST_BOTH(test_fault_protected_memory_refuses),
	       TEST_BOTH(test_fault_driver_is_told),
	       TEST_BOTH(test_fault_every_device_is_emptied),
	       HMMU_TEST(test_fault_fk5_device_writes_are_not_the_childs),
	       HMMU_TEST(test_fault_fk6_shared_memory_is_seen_by_all),
	       HMMU_TEST(test_fault_is_counted))
