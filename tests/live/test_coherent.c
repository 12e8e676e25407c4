/* SPDX-License-Identifier: MIT */
/*
 * Coherent device memory, rules DC1 to DC5: the CPU goes on using the page, the
 * device sees it as its own, and its place is given back when the page goes.
 */
#include <sys/mman.h>
#include <sys/uio.h>

#include <hmmu/pin.h>

#include "fixture.h"

static struct hmmu_memory *memory;
static struct hmmu_device *device;

/* Beside live_device, which has private memory. */
static void open_bytes(size_t bytes)
{
	live_open();
	device = live_add_kind(HMMU_MEMORY_COHERENT, bytes, &memory);
}

static void open_all(void)
{
	open_bytes(8 * LARGE);
}

static void close_all(void)
{
	live_remove_device(device, memory);
	live_close();
}

static size_t used(void)
{
	return live_used_pages(memory);
}

static void take(const void *p, size_t bytes)
{
	struct hmmu_migrate_result r = live_migrate(device, p, bytes);

	HMMU_CHECK_INT(r.pages_stayed, 0);
}

static struct hmmu_port *port_of_it(void)
{
	struct hmmu_port *port;

	HMMU_CHECK_OK(hmmu_port_open(device, &port));
	return port;
}

/* Where @owner sees the page. */
static enum hmmu_where where_is(const struct hmmu_device *owner, const void *p)
{
	uint64_t e;

	live_look(owner, p, 1, 0, &e);
	HMMU_CHECK(e & HMMU_ENTRY_VALID);
	return hmmu_entry_where(e);
}

static void test_coherent_dc1_the_cpu_goes_on(void)
{
	char *p = live_map_small(16, 1);
	struct hmmu_migrate_result r;
	struct hmmu_port *port;
	uint64_t entry;

	open_all();
	port = port_of_it();
	r = live_migrate(device, p, 16 * PAGE);
	HMMU_CHECK_INT(r.pages_moved, 16);
	HMMU_CHECK_INT(used(), 16);
	HMMU_CHECK_INT(live_device_pages(), 16);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 16);
	HMMU_CHECK(!live_is_armed(p));
	LIVE_CHECK(p, 16 * PAGE, 1);
	/* Each sees at once what the other writes. */
	live_store(port, p + 64, 5);
	HMMU_CHECK_INT(*(volatile uint64_t *)(p + 64), 5);
	*(volatile uint64_t *)(p + PAGE) = 6;
	HMMU_CHECK_INT(live_load(port, p + PAGE), 6);
	HMMU_CHECK(live_leaf(device, p, &entry));
	HMMU_CHECK(entry & HMMU_DEVICE_LEAF_LOCAL);
	HMMU_CHECK((entry & HMMU_MIRROR_PAYLOAD) == (uintptr_t)p);
	HMMU_CHECK_INT(used(), 16);
	HMMU_CHECK_INT(live_stats().cpu_faults, 0);
	r = live_migrate(device, p, 16 * PAGE);
	HMMU_CHECK_INT(r.pages_already, 16);
	hmmu_port_close(port);
	close_all();
}

static void test_coherent_dc1_large_pages(void)
{
	char *p = live_map_large(2, 1);
	uint64_t entry;

	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	open_all();
	take(p, 2 * LARGE);
	HMMU_CHECK_INT(live_huge(p, 2 * LARGE), 2 * PER_LARGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, LARGE,
					HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(live_leaf(device, p + 9 * PAGE, &entry), HMMU_LARGE_LG2);
	HMMU_CHECK(entry & HMMU_DEVICE_LEAF_LOCAL);
	LIVE_CHECK(p, 2 * LARGE, 1);
	HMMU_CHECK_INT(used(), 2 * PER_LARGE);
	close_all();
}

/* DC2, and nobody's request brings it home. */
static void test_coherent_dc2_present_for_all(void)
{
	char *p = live_map_small(4, 1);
	uint64_t e[4];
	size_t i;

	open_all();
	take(p, 3 * PAGE);
	live_look(device, p, 4, 0, e);
	for (i = 0; i < 3; i++) {
		HMMU_CHECK(e[i] & HMMU_ENTRY_VALID && e[i] & HMMU_ENTRY_WRITE);
		HMMU_CHECK_INT(hmmu_entry_where(e[i]), HMMU_WHERE_COHERENT);
		HMMU_CHECK_INT(hmmu_entry_index(e[i]),
			       hmmu_entry_index(e[0]) + i);
	}
	HMMU_CHECK_INT(hmmu_entry_where(e[3]), HMMU_WHERE_SYSTEM);
	live_look(live_device, p, 4, HMMU_ENTRY_REQ_FAULT, e);
	HMMU_CHECK_INT(hmmu_entry_where(e[0]), HMMU_WHERE_COHERENT_OTHER);
	HMMU_CHECK(e[0] & HMMU_ENTRY_VALID);
	live_look(NULL, p, 4, HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE, e);
	HMMU_CHECK_INT(hmmu_entry_where(e[2]), HMMU_WHERE_COHERENT_OTHER);
	HMMU_CHECK(e[2] & HMMU_ENTRY_WRITE);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, 4 * PAGE,
					HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(used(), 3);
	close_all();
}

/* A page is counted once, by who has it. */
static void test_coherent_residency(void)
{
	char *p = live_map_small(PER_LARGE, 1);
	struct hmmu_residency r;

	open_all();
	take(p, 100 * PAGE);
	HMMU_CHECK_OK(
		hmmu_space_get_residency(live_space, (uintptr_t)p, LARGE, &r));
	HMMU_CHECK_INT(r.device_pages, 100);
	HMMU_CHECK_INT(r.system_pages, PER_LARGE - 100);
	close_all();
}

/* Of a large page in part, the device knows small pages only. */
static void test_coherent_part_of_a_large_page(void)
{
	static uint64_t e[PER_LARGE];
	char *p = live_map_large(1, 1);
	uint64_t entry;

	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	open_all();
	take(p, 16 * PAGE);
	live_look(device, p, PER_LARGE, 0, e);
	HMMU_CHECK_INT(hmmu_entry_order(e[0]), 0);
	HMMU_CHECK_INT(hmmu_entry_order(e[16]), 0);
	HMMU_CHECK_INT(hmmu_entry_where(e[15]), HMMU_WHERE_COHERENT);
	HMMU_CHECK_INT(hmmu_entry_where(e[16]), HMMU_WHERE_SYSTEM);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, LARGE,
					HMMU_ACCESS_WRITE));
	HMMU_CHECK_INT(live_leaf(device, p, &entry), HMMU_PAGE_LG2);
	HMMU_CHECK(entry & HMMU_DEVICE_LEAF_LOCAL);
	HMMU_CHECK_INT(live_leaf(device, p + 16 * PAGE, &entry), HMMU_PAGE_LG2);
	HMMU_CHECK(!(entry & HMMU_DEVICE_LEAF_LOCAL));
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, LARGE, NULL));
	take(p, LARGE);
	live_look(device, p, PER_LARGE, 0, e);
	HMMU_CHECK_INT(hmmu_entry_order(e[7]), HMMU_LARGE_LG2 - HMMU_PAGE_LG2);
	HMMU_CHECK_INT(hmmu_entry_index(e[7]), hmmu_entry_index(e[0]) + 7);
	LIVE_CHECK(p, LARGE, 1);
	close_all();
}

static void test_coherent_mv8_holes_become_pages(void)
{
	char *p = live_map(16 * PAGE);
	uint64_t e[16];

	open_all();
	p[3 * PAGE] = 0;
	take(p, 16 * PAGE);
	/* The pages that they will be, not the zero page. */
	live_look(device, p, 16, 0, e);
	HMMU_CHECK(e[3] & HMMU_ENTRY_WRITE && e[4] & HMMU_ENTRY_WRITE);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 16);
	HMMU_CHECK_INT(used(), 16);
	HMMU_CHECK_INT(where_is(device, p + 9 * PAGE), HMMU_WHERE_COHERENT);
	LIVE_CHECK_ZERO(p, 16 * PAGE);
	close_all();
}

/* And PN3. */
static void test_coherent_dc3_a_pin_brings_home(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_migrate_result r;

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK_OK(
		hmmu_pin_range(live_space, (uintptr_t)p + 2 * PAGE, 2 * PAGE));
	HMMU_CHECK_INT(used(), 6);
	HMMU_CHECK_INT(where_is(device, p + 2 * PAGE), HMMU_WHERE_SYSTEM);
	r = live_migrate(device, p, 8 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 2);
	HMMU_CHECK_INT(r.pages_already, 6);
	HMMU_CHECK_OK(hmmu_unpin_range(live_space, (uintptr_t)p + 2 * PAGE,
				       2 * PAGE));
	take(p, 8 * PAGE);
	HMMU_CHECK_INT(used(), 8);
	LIVE_CHECK(p, 8 * PAGE, 1);
	close_all();
}

/* DC4: the kernel may use it for the length of a call; an ordinary user, too. */
static void test_coherent_dc4_the_kernel_touches(void)
{
	char *p = live_map_small(8, 1), *q = live_map_small(8, 2);
	struct iovec from = { p, 8 * PAGE }, to = { q, 8 * PAGE };
	int ends[2];

	open_all();
	take(p, 8 * PAGE);
	take(q, 8 * PAGE);
	HMMU_CHECK_OK(pipe(ends));
	HMMU_CHECK_INT(write(ends[1], p, 2 * PAGE), 2 * PAGE);
	HMMU_CHECK_INT(read(ends[0], q, 2 * PAGE), 2 * PAGE);
	LIVE_CHECK(q, 2 * PAGE, 1);
	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 8 * (int)PAGE)
		LIVE_CHECK(q, 8 * PAGE, 1);
	HMMU_CHECK_INT(used(), 16);
	close_all();
}

/* DC5: nobody is left with the other's writes. */
static void test_coherent_dc5_fork(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_port *port;
	int go[2];
	pid_t child;
	char c;

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK_OK(pipe(go));
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		LIVE_CHECK(p, 8 * PAGE, 1);
		memset(p, 0, 8 * PAGE);
		_exit(0);
	}
	HMMU_CHECK_INT(used(), 0);
	port = port_of_it();
	live_store(port, p, 99);
	*(volatile uint64_t *)(p + PAGE) = 98;
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	live_child_ok(child);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 99);
	live_store(port, p, live_word(1, 0));
	live_store(port, p + PAGE, live_word(1, PAGE / 8));
	take(p, 8 * PAGE);
	LIVE_CHECK(p, 8 * PAGE, 1);
	HMMU_CHECK_INT(used(), 8);
	hmmu_port_close(port);
	close_all();
}

/* What is migrated while it is shared is made the process's own before. */
static void test_coherent_dc5_shared_before(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_port *port;
	int go[2];
	pid_t child;
	char c;

	open_all();
	HMMU_CHECK_OK(pipe(go));
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		LIVE_CHECK(p, 8 * PAGE, 1);
		_exit(0);
	}
	take(p, 8 * PAGE);
	port = port_of_it();
	live_store(port, p, 99);
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	live_child_ok(child);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 99);
	HMMU_CHECK_INT(used(), 8);
	hmmu_port_close(port);
	close_all();
}

static void test_coherent_unmap_gives_places_back(const struct live_way *way)
{
	char *p = live_map_small(8, 1), *q = live_map_large(2, 1);

	open_all();
	take(p, 8 * PAGE);
	take(q, 2 * LARGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, 8 * PAGE,
					HMMU_ACCESS_WRITE));
	HMMU_CHECK_OK(way->unmap(p + 2 * PAGE, 3 * PAGE));
	LIVE_CHECK_AFTER(way, used() == 5 + 2 * PER_LARGE);
	LIVE_CHECK_AFTER(way, !live_leaf(device, p + 3 * PAGE, NULL));
	HMMU_CHECK_OK(way->unmap(q + LARGE / 2, LARGE));
	LIVE_CHECK_AFTER(way, used() == 5 + PER_LARGE);
	LIVE_CHECK(q, LARGE / 2, 1);
	LIVE_CHECK(p, 2 * PAGE, 1);
	/* What comes there next is not the device's. */
	HMMU_CHECK(way->map(p + 2 * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED) == p + 2 * PAGE);
	p[3 * PAGE] = 1;
	HMMU_CHECK_INT(where_is(device, p + 3 * PAGE), HMMU_WHERE_SYSTEM);
	close_all();
}
BOTH_WAYS(test_coherent_unmap_gives_places_back)

static void test_coherent_map_over_gives_places_back(const struct live_way *way)
{
	char *p = live_map_small(8, 1);

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK(way->map(p + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED) == p + PAGE);
	LIVE_CHECK_AFTER(way, used() == 6);
	LIVE_CHECK_ZERO(p + PAGE, 2 * PAGE);
	LIVE_CHECK(p, PAGE, 1);
	close_all();
}
BOTH_WAYS(test_coherent_map_over_gives_places_back)

static void test_coherent_discard_gives_places_back(const struct live_way *way)
{
	char *p = live_map_small(8, 1);

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK_OK(way->advise(p + 2 * PAGE, 3 * PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, used() == 5);
	LIVE_CHECK_ZERO(p + 2 * PAGE, 3 * PAGE);
	LIVE_CHECK_AT(p + 5 * PAGE, 3 * PAGE, 1, 5 * PAGE);
	HMMU_CHECK_INT(used(), 5);
	close_all();
}
BOTH_WAYS(test_coherent_discard_gives_places_back)

static void test_coherent_mremap_takes_it_along(const struct live_way *way)
{
	char *p = live_map_small(8, 1), *q = live_map(8 * PAGE);

	open_all();
	take(p + PAGE, 4 * PAGE);
	HMMU_CHECK(way->remap(p, 8 * PAGE, 8 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	LIVE_CHECK_SOON(where_is(device, q + PAGE) == HMMU_WHERE_COHERENT);
	HMMU_CHECK_INT(where_is(device, q), HMMU_WHERE_SYSTEM);
	HMMU_CHECK_INT(used(), 4);
	LIVE_CHECK(q, 8 * PAGE, 1);
	HMMU_CHECK_OK(way->unmap(q, 8 * PAGE));
	LIVE_CHECK_AFTER(way, used() == 0);
	close_all();
}
BOTH_WAYS(test_coherent_mremap_takes_it_along)

/* Permission is the mapping's; who holds the page has not changed. */
static void test_coherent_mprotect(void)
{
	char *p = live_map_small(8, 1);
	uint64_t e;

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK_OK(mprotect(p, 8 * PAGE, PROT_READ));
	live_look(device, p, 1, 0, &e);
	HMMU_CHECK_INT(hmmu_entry_where(e), HMMU_WHERE_COHERENT);
	HMMU_CHECK(!(e & HMMU_ENTRY_WRITE));
	HMMU_CHECK_INT(hmmu_device_fault(device, (uintptr_t)p, PAGE,
					 HMMU_ACCESS_WRITE),
		       -EPERM);
	HMMU_CHECK_INT(used(), 8);
	HMMU_CHECK_OK(mprotect(p, 8 * PAGE, PROT_READ | PROT_WRITE));
	p[0] = p[0];
	LIVE_CHECK(p, 8 * PAGE, 1);
	close_all();
}

static void test_coherent_home_and_evict(void)
{
	char *p = live_map_small(8, 1), *q = live_map_large(2, 2);
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	uint64_t entry;

	open_all();
	take(p, 8 * PAGE);
	take(q, 2 * LARGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, PAGE,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, 2 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 2);
	HMMU_CHECK_INT(used(), 6 + 2 * PER_LARGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, PAGE,
					HMMU_ACCESS_READ));
	HMMU_CHECK(live_leaf(device, p, &entry));
	HMMU_CHECK(!(entry & HMMU_DEVICE_LEAF_LOCAL));
	HMMU_CHECK_OK(hmmu_migrate_evict(device, &r));
	HMMU_CHECK_INT(r.pages_moved, 6 + 2 * PER_LARGE);
	HMMU_CHECK_INT(used(), 0);
	HMMU_CHECK_INT(live_device_pages(), 0);
	HMMU_CHECK_INT(live_huge(q, 2 * LARGE), 2 * PER_LARGE);
	take(q, 2 * LARGE);
	close_all();
	LIVE_CHECK(p, 8 * PAGE, 1);
	LIVE_CHECK(q, 2 * LARGE, 2);
}

static void test_coherent_full(void)
{
	char *p = live_map_small(600, 1);
	struct hmmu_migrate_result r;

	open_bytes(LARGE);
	r = live_migrate(device, p, 600 * PAGE);
	HMMU_CHECK_INT(r.pages_moved, PER_LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FULL], 600 - PER_LARGE);
	HMMU_CHECK_INT(used(), PER_LARGE);
	HMMU_CHECK_OK(munmap(p, 100 * PAGE));
	LIVE_CHECK_SOON(used() == PER_LARGE - 100);
	r = live_migrate(device, p + 100 * PAGE, 500 * PAGE);
	HMMU_CHECK_INT(r.pages_moved, 600 - PER_LARGE);
	LIVE_CHECK_AT(p + 100 * PAGE, 500 * PAGE, 1, 100 * PAGE);
	close_all();
}

static void check_stays(const void *p, enum hmmu_stay why)
{
	struct hmmu_migrate_result r = live_migrate(device, p, 2 * PAGE);

	HMMU_CHECK_INT(r.stayed[why], 2);
	HMMU_CHECK_INT(used(), 0);
}

static void test_coherent_what_stays(void)
{
	char *p = live_map_small(8, 1), *q;
	int file = memfd_create("test", MFD_CLOEXEC);

	open_all();
	HMMU_CHECK_OK(ftruncate(file, 2 * PAGE));
	/* What stays where it is need not be writable. */
	HMMU_CHECK_OK(mprotect(p, 2 * PAGE, PROT_READ));
	HMMU_CHECK_INT(live_migrate(device, p, 2 * PAGE).pages_moved, 2);
	HMMU_CHECK_OK(hmmu_migrate_evict(device, NULL));
	HMMU_CHECK_OK(mprotect(p, 2 * PAGE, PROT_NONE));
	check_stays(p, HMMU_STAY_PROTECTED);
	HMMU_CHECK_OK(munmap(p, 2 * PAGE));
	check_stays(p, HMMU_STAY_UNMAPPED);
	q = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	check_stays(q, HMMU_STAY_KIND);
	q = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	check_stays(q, HMMU_STAY_KIND);
	close_all();
}

/* Private and coherent pages in one block: each stays with whom has it. */
static void test_coherent_beside_private(void)
{
	char *p = live_map_small(16, 1);
	struct hmmu_migrate_result r;

	open_all();
	live_take(p, 4 * PAGE);
	live_take(p + 8 * PAGE, 4 * PAGE);
	r = live_migrate(device, p, 12 * PAGE);
	HMMU_CHECK_INT(r.pages_moved, 4);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], 8);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 8);
	r = live_migrate(live_device, p, 16 * PAGE);
	HMMU_CHECK_INT(r.pages_already, 8);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], 4);
	HMMU_CHECK_INT(r.pages_moved, 4);
	/* The CPU uses the one in place, and brings the other home. */
	LIVE_CHECK_AT(p + 4 * PAGE, 4 * PAGE, 1, 4 * PAGE);
	HMMU_CHECK_INT(live_memory_stats().used_pages, 12);
	LIVE_CHECK(p, 16 * PAGE, 1);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	HMMU_CHECK_INT(used(), 4);
	HMMU_CHECK_INT(where_is(device, p + 4 * PAGE), HMMU_WHERE_COHERENT);
	close_all();
}

static void test_coherent_exclusive_leaves_it(void)
{
	char *p = live_map_small(8, 1);

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK_OK(live_make_exclusive(device, p, PAGE, NULL));
	HMMU_CHECK_INT(used(), 7);
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 7);
	LIVE_CHECK(p, 8 * PAGE, 1);
	HMMU_CHECK_INT(where_is(device, p), HMMU_WHERE_SYSTEM);
	close_all();
}

static void test_coherent_when_all_closes(void)
{
	char *p = live_map_small(8, 1);

	open_all();
	take(p, 8 * PAGE);
	HMMU_CHECK_INT(hmmu_memory_destroy(memory), -EBUSY);
	close_all();
	LIVE_CHECK(p, 8 * PAGE, 1);
	HMMU_CHECK(!live_is_registered());
}

static _Atomic unsigned int stop;

static void *use_all_the_time(void *arg)
{
	volatile uint64_t *p = arg;
	uint64_t i;

	for (i = 0; !atomic_load_explicit(&stop, memory_order_acquire); i++) {
		__atomic_fetch_add(&p[i % (64 * PAGE / 8)], 1,
				   __ATOMIC_RELAXED);
		p[64 * PAGE / 8] = i;
	}
	p[64 * PAGE / 8] = i;
	return NULL;
}

/* To it and home while both sides use the pages: no write is lost. */
static void test_coherent_no_update_is_lost(void)
{
	uint64_t *p = live_map(65 * PAGE), sum = 0, made = 0;
	struct hmmu_port *port;
	pthread_t thread;
	size_t i;

	open_all();
	port = port_of_it();
	thread = live_thread(use_all_the_time, p);
	for (i = 0; i < 300; i++, made++) {
		live_migrate(device, p, 65 * PAGE);
		HMMU_CHECK_OK(hmmu_port_fetch_add(
			port, (uintptr_t)&p[i * 61 % (64 * PAGE / 8)], 8, 1,
			NULL));
		HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)p,
						     65 * PAGE, NULL));
	}
	atomic_store_explicit(&stop, 1, memory_order_release);
	live_join(thread);
	for (i = 0; i < 64 * PAGE / 8; i++)
		sum += p[i];
	HMMU_CHECK_INT(sum, made + p[64 * PAGE / 8]);
	hmmu_port_close(port);
	close_all();
}

HMMU_TEST_MAIN(HMMU_TEST(test_coherent_dc1_the_cpu_goes_on),
	       HMMU_TEST(test_coherent_dc1_large_pages),
	       HMMU_TEST(test_coherent_dc2_present_for_all),
	       HMMU_TEST(test_coherent_residency),
	       HMMU_TEST(test_coherent_part_of_a_large_page),
	       HMMU_TEST(test_coherent_mv8_holes_become_pages),
	       HMMU_TEST(test_coherent_dc3_a_pin_brings_home),
	       HMMU_TEST(test_coherent_dc4_the_kernel_touches),
	       HMMU_TEST(test_coherent_dc5_fork),
	       HMMU_TEST(test_coherent_dc5_shared_before),
	       TEST_BOTH(test_coherent_unmap_gives_places_back),
	       TEST_BOTH(test_coherent_map_over_gives_places_back),
	       TEST_BOTH(test_coherent_discard_gives_places_back),
	       TEST_BOTH(test_coherent_mremap_takes_it_along),
	       HMMU_TEST(test_coherent_mprotect),
	       HMMU_TEST(test_coherent_home_and_evict),
	       HMMU_TEST(test_coherent_full),
	       HMMU_TEST(test_coherent_what_stays),
	       HMMU_TEST(test_coherent_beside_private),
	       HMMU_TEST(test_coherent_exclusive_leaves_it),
	       HMMU_TEST(test_coherent_when_all_closes),
	       HMMU_TEST(test_coherent_no_update_is_lost))
