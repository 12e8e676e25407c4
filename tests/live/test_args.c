/* SPDX-License-Identifier: MIT */
/*
 * Misaligned, empty, wrapping, NULL, unmapped and wrong-sized arguments: the
 * documented errno, nothing changed. Those of hmmu_space_open() and of
 * notifiers and ports are in test_space.c, test_notifier.c and test_ports.c.
 */
#include <sys/mman.h>

#include <hmmu/platform.h>

#include "fixture.h"
#include "ranges.h"

static char *p;
static uintptr_t at;

static void open_all(void)
{
	live_open();
	p = live_map_small(16, 1);
	at = (uintptr_t)p;
	live_take(p, 8 * PAGE);
}

static void close_all(void)
{
	LIVE_CHECK_SOON(live_device_pages() == 8);
	HMMU_CHECK_INT(live_stats().pages_to_device, 8);
	HMMU_CHECK_INT(live_stats().pages_home, 0);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* A struct as a newer program has it: a field more. */
#define NEWER(type)              \
	struct {                 \
		struct type old; \
		uint64_t more;   \
	}

/* Migration ----------------------------------------------------------------- */

static int to_device(uintptr_t address, size_t bytes)
{
	return hmmu_device_migrate(live_device, address, bytes, NULL);
}

static int to_system(uintptr_t address, size_t bytes)
{
	return hmmu_migrate_to_system(live_space, address, bytes, NULL);
}

static int populate(uintptr_t address, size_t bytes)
{
	return hmmu_populate(live_space, address, bytes);
}

static void test_args_migrate_ranges(void)
{
	struct hmmu_device *bare;

	open_all();
	check_ranges(to_device, at);
	check_ranges(to_system, at);
	check_ranges(populate, at);
	HMMU_CHECK_INT(hmmu_device_migrate(NULL, at, PAGE, NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_migrate_to_system(NULL, at, PAGE, NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_migrate_evict(NULL, NULL), -EINVAL);
	/* A device without memory. */
	bare = live_add_device(0, NULL);
	HMMU_CHECK_INT(hmmu_device_migrate(bare, at, PAGE, NULL), -EINVAL);
	HMMU_CHECK_OK(hmmu_migrate_evict(bare, NULL));
	HMMU_CHECK_OK(hmmu_device_destroy(bare));
	close_all();
}

static void test_args_migrate_result_size(void)
{
	NEWER(hmmu_migrate_result) r = { .old.size = 8, .more = 99 };

	open_all();
	HMMU_CHECK_INT(hmmu_device_migrate(live_device, at + 8 * PAGE, 8 * PAGE,
					   &r.old),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_migrate_to_system(live_space, at, PAGE, &r.old),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_migrate_evict(live_device, &r.old), -EINVAL);
	r.old.size = 0;
	HMMU_CHECK_INT(hmmu_migrate_to_system(live_space, at, PAGE, &r.old),
		       -EINVAL);
	/* A newer program's result: what this one does not know stays. */
	r.old.size = sizeof(r);
	HMMU_CHECK_OK(hmmu_device_migrate(live_device, at, 8 * PAGE, &r.old));
	HMMU_CHECK_INT(r.old.pages_already, 8);
	HMMU_CHECK_INT(r.old.size, sizeof(r));
	HMMU_CHECK_INT(r.more, 99);
	close_all();
}

/* Every page that holds a byte of the range, and no other. */
static void test_args_migrate_rounds_outwards(void)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_open();
	p = live_map_small(16, 1);
	at = (uintptr_t)p;
	r = live_migrate(live_device, p + PAGE + 100, 1);
	HMMU_CHECK_INT(r.pages_moved, 1);
	r = live_migrate(live_device, p + 3 * PAGE - 1, 2);
	HMMU_CHECK_INT(r.pages_moved, 2);
	r = live_migrate(live_device, p + 5 * PAGE, PAGE + 1);
	HMMU_CHECK_INT(r.pages_moved, 2);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 11);
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, at + 2 * PAGE - 1, 2, &r));
	HMMU_CHECK_INT(r.pages_moved, 2);
	HMMU_CHECK_OK(hmmu_populate(live_space, at + 3 * PAGE + 7, 1));
	HMMU_CHECK_INT(live_device_pages(), 2);
	HMMU_CHECK_OK(hmmu_populate(live_space, at + 5 * PAGE + 7, PAGE));
	HMMU_CHECK_INT(live_device_pages(), 0);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* Addresses that no program has are unmapped, not wrong. */
static void test_args_migrate_beyond_the_program(void)
{
	uintptr_t far = 1ul << 63;
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	open_all();
	HMMU_CHECK_OK(hmmu_device_migrate(live_device, far, 16 * PAGE, &r));
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_UNMAPPED], 16);
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, far, 16 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 0);
	HMMU_CHECK_OK(hmmu_device_migrate(
		live_device, UINTPTR_MAX - 16 * PAGE + 1, 15 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_stayed, 15);
	close_all();
}

/* Space --------------------------------------------------------------------- */

static struct hmmu_residency records[8];

static int residency(uintptr_t address, size_t bytes)
{
	return hmmu_space_get_residency(live_space, address, bytes, records);
}

static void test_args_residency(void)
{
	uintptr_t block;

	open_all();
	block = at & ~(LARGE - 1);
	memset(records, 0x5a, sizeof(records));
	check_ranges(residency, at);
	HMMU_CHECK_INT(residency(UINTPTR_MAX - LARGE + 1, PAGE), -EINVAL);
	HMMU_CHECK_INT(hmmu_space_get_residency(NULL, block, LARGE, records),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_space_get_residency(live_space, block, LARGE, NULL),
		       -EINVAL);
	HMMU_CHECK_INT(*(unsigned char *)records, 0x5a);
	/* A record for each block that holds a byte, and no more. */
	HMMU_CHECK_INT(hmmu_residency_blocks(block, 1), 1);
	HMMU_CHECK_INT(hmmu_residency_blocks(block, LARGE), 1);
	HMMU_CHECK_INT(hmmu_residency_blocks(block + 1, LARGE), 2);
	HMMU_CHECK_INT(hmmu_residency_blocks(block + LARGE - 1, 2), 2);
	HMMU_CHECK_OK(residency(block + LARGE - 1, 2));
	HMMU_CHECK(records[0].start == block);
	HMMU_CHECK_INT(records[0].device_pages, 8);
	HMMU_CHECK(records[1].start == block + LARGE);
	HMMU_CHECK_INT(*(unsigned char *)&records[2], 0x5a);
	/* Where nothing is mapped there is nothing. */
	HMMU_CHECK_OK(hmmu_space_get_residency(live_space, 0, LARGE, records));
	HMMU_CHECK_INT(records[0].system_pages + records[0].device_pages, 0);
	close_all();
}

/* Memory -------------------------------------------------------------------- */

static int make_memory(struct hmmu_memory_options *options)
{
	struct hmmu_memory *memory = (void *)records;
	int err = hmmu_memory_create(live_space, options, &memory);

	HMMU_CHECK(!err || memory == (void *)records);
	if (!err)
		HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	return err;
}

static void test_args_memory(void)
{
	const struct hmmu_memory_options good = { .size = sizeof(good),
						  .bytes = LARGE };
	struct hmmu_memory_options o = good;
	NEWER(hmmu_memory_options) newer = { .old = good, .more = 1 };
	struct hmmu_memory *memory;

	open_all();
	o.bytes = 0;
	HMMU_CHECK_INT(make_memory(&o), -EINVAL);
	o.bytes = LARGE + PAGE;
	HMMU_CHECK_INT(make_memory(&o), -EINVAL);
	o.bytes = SIZE_MAX & ~(LARGE - 1);
	HMMU_CHECK_INT(make_memory(&o), -ENOMEM);
	o.bytes = 1ul << 50;
	HMMU_CHECK_INT(make_memory(&o), -ENOMEM);
	o = good;
	o.kind = 77;
	HMMU_CHECK_INT(make_memory(&o), -EINVAL);
	o = good;
	o.size = 8;
	HMMU_CHECK_INT(make_memory(&o), -EINVAL);
	newer.old.size = sizeof(newer);
	HMMU_CHECK_INT(make_memory(&newer.old), -E2BIG);
	newer.more = 0;
	HMMU_CHECK_OK(make_memory(&newer.old));
	HMMU_CHECK_INT(make_memory(NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_memory_create(NULL, &good, &memory), -EINVAL);
	HMMU_CHECK_INT(hmmu_memory_create(live_space, &good, NULL), -EINVAL);
	HMMU_CHECK_OK(hmmu_memory_destroy(NULL));
	HMMU_CHECK_INT(hmmu_memory_destroy(live_memory), -EBUSY);
	close_all();
}

static void test_args_memory_stats(void)
{
	NEWER(hmmu_memory_stats) s = { .old.size = sizeof(s), .more = 5 };

	open_all();
	HMMU_CHECK_INT(hmmu_memory_get_stats(NULL, &s.old), -EINVAL);
	HMMU_CHECK_INT(hmmu_memory_get_stats(live_memory, NULL), -EINVAL);
	HMMU_CHECK_OK(hmmu_memory_get_stats(live_memory, &s.old));
	HMMU_CHECK_INT(s.old.used_pages, 8);
	HMMU_CHECK_INT(s.more, 5);
	s.old.size = 8;
	HMMU_CHECK_INT(hmmu_memory_get_stats(live_memory, &s.old), -EINVAL);
	close_all();
}

/* Device -------------------------------------------------------------------- */

static int make_device(struct hmmu_device_options *options)
{
	struct hmmu_device *device = (void *)records;
	int err = hmmu_device_create(live_space, options, &device);

	HMMU_CHECK(!err || device == (void *)records);
	if (!err)
		HMMU_CHECK_OK(hmmu_device_destroy(device));
	return err;
}

static void test_args_device(void)
{
	const struct hmmu_device_options good = { .size = sizeof(good) };
	struct hmmu_device_options o = good;
	NEWER(hmmu_device_options) newer = { .old = good, .more = 1 };
	NEWER(hmmu_device_ops)
	ops = { .old.size = sizeof(ops), .more = 1 };
	char name[1000];

	open_all();
	HMMU_CHECK_OK(make_device(NULL));
	HMMU_CHECK_OK(make_device(&o));
	o.va_bits = 39;
	HMMU_CHECK_INT(make_device(&o), -EINVAL);
	o = good;
	o.size = 0;
	HMMU_CHECK_INT(make_device(&o), -EINVAL);
	o = good;
	o.memory = live_memory;
	HMMU_CHECK_INT(make_device(&o), -EBUSY);
	newer.old.size = sizeof(newer);
	HMMU_CHECK_INT(make_device(&newer.old), -E2BIG);
	o = good;
	o.ops = &ops.old;
	HMMU_CHECK_INT(make_device(&o), -E2BIG);
	ops.old.size = 3;
	HMMU_CHECK_INT(make_device(&o), -EINVAL);
	/* A long name is cut. */
	o = good;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	o.name = name;
	HMMU_CHECK_OK(make_device(&o));
	o.fault_around_pages = UINT32_MAX;
	HMMU_CHECK_OK(make_device(&o));
	HMMU_CHECK_INT(hmmu_device_create(NULL, &good, (void *)records),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_device_create(live_space, &good, NULL), -EINVAL);
	HMMU_CHECK_OK(hmmu_device_destroy(NULL));
	close_all();
}

static int fault(uintptr_t va, size_t bytes, unsigned int access)
{
	return hmmu_device_fault(live_device, va, bytes,
				 (enum hmmu_access)access);
}

static void test_args_device_fault(void)
{
	open_all();
	HMMU_CHECK_INT(hmmu_device_fault(NULL, at, 1, HMMU_ACCESS_READ),
		       -EINVAL);
	HMMU_CHECK_INT(fault(at, 0, HMMU_ACCESS_READ), -EINVAL);
	HMMU_CHECK_INT(fault(at, SIZE_MAX, HMMU_ACCESS_READ), -EINVAL);
	HMMU_CHECK_INT(fault(UINTPTR_MAX, 2, HMMU_ACCESS_READ), -EINVAL);
	HMMU_CHECK_INT(fault(at, 1, 2), -EINVAL);
	HMMU_CHECK_INT(fault(at, 1, 77), -EINVAL);
	HMMU_CHECK_INT(fault(0, 1, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(fault(1ul << 47, 1, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(fault(1ul << 52, 1, HMMU_ACCESS_WRITE), -EFAULT);
	HMMU_CHECK_INT(fault(UINTPTR_MAX - 1, 1, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(fault(at - 1, 2, HMMU_ACCESS_READ), -EFAULT);
	HMMU_CHECK_INT(live_mirror(live_device).mapped_bytes, 0);
	close_all();
}

static void test_args_port(void)
{
	struct hmmu_port *port = (void *)records;

	open_all();
	HMMU_CHECK_INT(hmmu_port_open(NULL, &port), -EINVAL);
	HMMU_CHECK(port == (void *)records);
	HMMU_CHECK_INT(hmmu_port_open(live_device, NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_signal_handle(11, NULL, NULL), 0);
	close_all();
}

/* Range --------------------------------------------------------------------- */

static void ignore(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static struct hmmu_notifier *some_pages;
static uint64_t entries[16];

static struct hmmu_range good_range(void)
{
	return (struct hmmu_range){
		.size = sizeof(struct hmmu_range),
		.notifier = some_pages,
		.seq = hmmu_notifier_read_begin(some_pages),
		.start = at + 8 * PAGE,
		.end = at + 12 * PAGE,
		.entries = entries,
		.default_flags = HMMU_ENTRY_REQ_FAULT,
	};
}

/* Both calls, and the entries stay as they are. */
static void check_range(struct hmmu_range *range, int error)
{
	size_t i;

	memset(entries, 0x11, sizeof(entries));
	HMMU_CHECK_INT(hmmu_range_fault(range), error);
	HMMU_CHECK_INT(hmmu_range_fault_unlocked(range, 1000), error);
	for (i = 0; error && i < 16; i++)
		HMMU_CHECK(entries[i] == 0x1111111111111111ull);
}

static int range_of(uintptr_t start, uintptr_t end)
{
	struct hmmu_range range = good_range();

	range.start = start;
	range.end = end;
	return hmmu_range_fault_unlocked(&range, 1000);
}

static void test_args_rf42_range(void)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = ignore };
	NEWER(hmmu_range) newer;
	struct hmmu_range range;

	open_all();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, at + 8 * PAGE, 8 * PAGE,
					   0, &ops, NULL, &some_pages));
	check_aligned_ranges(range_of, at, PAGE);
	/* Not covered by the subscription (RF2). */
	HMMU_CHECK_INT(range_of(at + 7 * PAGE, at + 9 * PAGE), -EINVAL);
	HMMU_CHECK_INT(range_of(at + 15 * PAGE, at + 17 * PAGE), -EINVAL);
	check_range(NULL, -EINVAL);
	range = good_range();
	range.notifier = NULL;
	check_range(&range, -EINVAL);
	range = good_range();
	range.entries = NULL;
	check_range(&range, -EINVAL);
	range = good_range();
	range.size = 16;
	check_range(&range, -EINVAL);
	range = good_range();
	range.default_flags |= HMMU_ENTRY_VALID;
	check_range(&range, -EINVAL);
	newer.old = good_range();
	newer.old.size = sizeof(newer);
	newer.more = 1;
	check_range(&newer.old, -E2BIG);
	newer.more = 0;
	check_range(&newer.old, 0);
	hmmu_notifier_remove(some_pages);
	close_all();
}

static void test_args_platform(void)
{
	struct hmmu_facility one = { .size = sizeof(one) };
	size_t count = 77, again = 0;

	HMMU_CHECK_INT(hmmu_platform_query(&one, 1, NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_platform_query(NULL, 1, &count), -EINVAL);
	one.size = 8;
	HMMU_CHECK_INT(hmmu_platform_query(&one, 1, &count), -EINVAL);
	HMMU_CHECK_INT(count, 77);
	HMMU_CHECK_OK(hmmu_platform_query(NULL, 0, &count));
	one.size = sizeof(one);
	HMMU_CHECK_OK(hmmu_platform_query(&one, 1, &again));
	HMMU_CHECK_INT(count, again);
	HMMU_CHECK(one.name && one.reason && count > 5);
	HMMU_CHECK(!one.available == !!one.instead);
}

HMMU_TEST_MAIN(HMMU_TEST(test_args_migrate_ranges),
	       HMMU_TEST(test_args_migrate_result_size),
	       HMMU_TEST(test_args_migrate_beyond_the_program),
	       HMMU_TEST(test_args_migrate_rounds_outwards),
	       HMMU_TEST(test_args_residency), HMMU_TEST(test_args_memory),
	       HMMU_TEST(test_args_memory_stats), HMMU_TEST(test_args_device),
	       HMMU_TEST(test_args_device_fault), HMMU_TEST(test_args_port),
	       HMMU_TEST(test_args_rf42_range), HMMU_TEST(test_args_platform))
