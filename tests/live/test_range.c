/* SPDX-License-Identifier: MIT */
/*
 * Range snapshot and fault, rules RF1 to RF43.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fixture.h"

#define FAULT HMMU_ENTRY_REQ_FAULT
#define WRITE (HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE)

static struct hmmu_notifier *everything;
static uint64_t entries[2 * PER_LARGE];

static void ignore(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static void open_all(void)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = ignore };

	live_open();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, 0, SIZE_MAX,
					   HMMU_NOTIFIER_LAZY, &ops, NULL,
					   &everything));
}

static void close_all(void)
{
	hmmu_notifier_remove(everything);
	live_close();
}

static struct hmmu_range range_of(const void *p, size_t pages, uint64_t flags)
{
	return (struct hmmu_range){ .size = sizeof(struct hmmu_range),
				    .notifier = everything,
				    .seq = hmmu_notifier_read_begin(everything),
				    .start = (uintptr_t)p,
				    .end = (uintptr_t)p + pages * PAGE,
				    .entries = entries,
				    .default_flags = flags };
}

/* With its own retries, as most callers will. */
static int look(const void *p, size_t pages, uint64_t flags)
{
	struct hmmu_range range = range_of(p, pages, flags);

	memset(entries, 0, pages * sizeof(entries[0]));
	return hmmu_range_fault_unlocked(&range, HMMU_RANGE_DEFAULT_TIMEOUT_NS);
}

static bool is_valid(uint64_t entry)
{
	return entry & HMMU_ENTRY_VALID;
}

static bool is_writable(uint64_t entry)
{
	return (entry & HMMU_ENTRY_WRITE) && is_valid(entry);
}

/* And RF10, RF17: what is absent is 0. */
static void test_range_rf5_snapshot_faults_nothing(void)
{
	char *p = live_map(8 * PAGE);
	size_t i;

	open_all();
	p[2 * PAGE] = 1;
	p[5 * PAGE] = 1;
	HMMU_CHECK_OK(look(p, 8, 0));
	for (i = 0; i < 8; i++) {
		HMMU_CHECK(is_valid(entries[i]) == (i == 2 || i == 5));
		HMMU_CHECK(is_valid(entries[i]) || entries[i] == 0);
	}
	HMMU_CHECK(is_writable(entries[2]) && is_writable(entries[5]));
	HMMU_CHECK_INT(hmmu_entry_where(entries[2]), HMMU_WHERE_SYSTEM);
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 2);
	close_all();
}

static void test_range_rf7_fault_makes_valid(void)
{
	char *p = live_map(8 * PAGE);
	size_t i;

	open_all();
	HMMU_CHECK_OK(look(p, 4, FAULT));
	for (i = 0; i < 4; i++)
		HMMU_CHECK(is_valid(entries[i]));
	HMMU_CHECK_OK(look(p + 4 * PAGE, 4, WRITE));
	for (i = 0; i < 4; i++)
		HMMU_CHECK(is_writable(entries[i]));
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 8);
	LIVE_CHECK_ZERO(p, 8 * PAGE);
	close_all();
}

static void test_range_rf6_write_alone_is_no_request(void)
{
	char *p = live_map(4 * PAGE);

	open_all();
	HMMU_CHECK_OK(look(p, 4, HMMU_ENTRY_REQ_WRITE));
	HMMU_CHECK_INT(entries[0] | entries[1] | entries[2] | entries[3], 0);
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 0);
	close_all();
}

/* And RF8: without a mask the entries ask for nothing. */
static void test_range_rf4_entries_ask_through_the_mask(void)
{
	char *p = live_map(4 * PAGE);
	struct hmmu_range range;

	open_all();
	range = range_of(p, 4, 0);
	entries[1] = WRITE;
	entries[2] = FAULT;
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range, 0));
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 0);
	memset(entries, 0, sizeof(entries));
	entries[1] = WRITE;
	entries[2] = FAULT;
	range.entry_mask = WRITE;
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range, 0));
	HMMU_CHECK(!is_valid(entries[0]) && !is_valid(entries[3]));
	HMMU_CHECK(is_writable(entries[1]) && is_valid(entries[2]));
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 2);
	/* The mask takes the write away from the request. */
	memset(entries, 0, sizeof(entries));
	entries[3] = WRITE;
	range.entry_mask = FAULT;
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range, 0));
	HMMU_CHECK(is_valid(entries[3]) && !is_writable(entries[3]));
	/* Page by page the zero page can not be told from another. */
	if (!live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_CHECK_INT(hmmu_entry_where(entries[3]), HMMU_WHERE_ZERO);
	close_all();
}

/* Each run gets what it asks for, and what lies between stays as it is. */
static void test_range_rf34_runs_that_ask_for_the_same(void)
{
	static const uint64_t asks[4] = { 0, FAULT, WRITE, FAULT };
	char *p = live_map(64 * PAGE);
	struct hmmu_range range;
	size_t i, present = 0;

	madvise(p, 64 * PAGE, MADV_NOHUGEPAGE);
	open_all();
	range = range_of(p, 64, 0);
	range.entry_mask = WRITE;
	/* Runs of two, one after the other. */
	for (i = 0; i < 64; i++)
		entries[i] = asks[i / 2 % 4];
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range, 0));
	for (i = 0; i < 64; i++) {
		HMMU_CHECK(is_valid(entries[i]) == !!asks[i / 2 % 4]);
		HMMU_CHECK(is_writable(entries[i]) ==
			   (asks[i / 2 % 4] == WRITE));
		present += is_valid(entries[i]);
	}
	HMMU_CHECK_INT(live_present(p, 64 * PAGE), present);
	close_all();
}

static void test_range_rf11_sticky_bits_stay(void)
{
	char *p = live_map_small(2, 1);
	struct hmmu_range range;
	uint64_t sticky = 5ull << 5;

	open_all();
	HMMU_CHECK_OK(munmap(p + PAGE, PAGE));
	range = range_of(p, 2, 0);
	entries[0] = ~0ull & ~(2ull << 5);
	entries[1] = sticky | HMMU_ENTRY_VALID;
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range, 0));
	HMMU_CHECK_INT(entries[0] & HMMU_ENTRY_STICKY, sticky);
	HMMU_CHECK_INT(entries[1] & HMMU_ENTRY_STICKY, sticky);
	HMMU_CHECK(is_valid(entries[0]) && !is_valid(entries[1]));
	/* Everything else is overwritten, requests too. */
	HMMU_CHECK(!(entries[0] & (WRITE | HMMU_ENTRY_ERROR)));
	HMMU_CHECK_INT(hmmu_entry_order(entries[0]), 0);
	close_all();
}

static void check_order(size_t pages, unsigned int order)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		HMMU_CHECK(is_writable(entries[i]));
		HMMU_CHECK_INT(hmmu_entry_order(entries[i]), order);
	}
}

/* And RF3: an entry for each of its pages. */
static void test_range_rf12_large_page_has_order_9(void)
{
	char *p = live_map_large(2, 1);

	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	open_all();
	HMMU_CHECK_OK(look(p, 2 * PER_LARGE, 0));
	check_order(2 * PER_LARGE, 9);
	HMMU_CHECK_OK(look(p, 2 * PER_LARGE, WRITE));
	check_order(2 * PER_LARGE, 9);
	/* The mapping may extend beyond the range. */
	HMMU_CHECK_OK(look(p + 100 * PAGE, 3, 0));
	check_order(3, 9);
	close_all();
}

static void test_range_rf28_small_page_has_order_0(void)
{
	char *p = live_map_small(PER_LARGE, 1);

	open_all();
	HMMU_CHECK_OK(look(p, PER_LARGE, WRITE));
	check_order(PER_LARGE, 0);
	close_all();
}

/* A large page of which the program has protected a part is small. */
static void test_range_rf28_split_mapping_has_order_0(void)
{
	char *p = live_map_large(1, 1);
	size_t i;

	open_all();
	HMMU_CHECK_OK(mprotect(p + 8 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_OK(look(p, PER_LARGE, 0));
	for (i = 0; i < PER_LARGE; i++) {
		HMMU_CHECK_INT(hmmu_entry_order(entries[i]), 0);
		HMMU_CHECK(is_writable(entries[i]) == (i != 8));
	}
	HMMU_CHECK_OK(munmap(p + LARGE / 2, LARGE / 2));
	HMMU_CHECK_OK(look(p, PER_LARGE / 2, FAULT));
	for (i = 0; i < PER_LARGE / 2; i++)
		HMMU_CHECK_INT(hmmu_entry_order(entries[i]), 0);
	close_all();
}

static void test_range_rf28_hugetlb(void)
{
	char *p;

	p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (21 << 26), -1, 0);
	if (p == MAP_FAILED)
		HMMU_SKIP("hugetlb pages");
	open_all();
	HMMU_CHECK_OK(look(p, PER_LARGE, 0));
	HMMU_CHECK(!is_valid(entries[7]));
	p[0] = 1;
	HMMU_CHECK_OK(look(p, PER_LARGE, WRITE));
	check_order(PER_LARGE, 9);
	close_all();
}

static void test_range_rf13_hole(void)
{
	char *p = live_map_small(4, 1);

	open_all();
	HMMU_CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK(is_valid(entries[1]) && is_valid(entries[3]));
	HMMU_CHECK(!is_valid(entries[2]));
	HMMU_CHECK(entries[2] & HMMU_ENTRY_ERROR);
	HMMU_CHECK_INT(look(p, 4, FAULT), -EFAULT);
	HMMU_CHECK_INT(look(p + 2 * PAGE, 1, FAULT), -EFAULT);
	/* The ends of the address space. */
	HMMU_CHECK_INT(look(NULL, 1, FAULT), -EFAULT);
	HMMU_CHECK_OK(look((void *)(UINTPTR_MAX - 8 * PAGE + 1), 4, 0));
	HMMU_CHECK(entries[0] & HMMU_ENTRY_ERROR);
	close_all();
}

/* On failure finished entries hold results, the others their requests. */
static void test_range_rf33_failure_keeps_requests(void)
{
	char *p = live_map(4 * PAGE);
	struct hmmu_range range;
	size_t i;

	open_all();
	HMMU_CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	range = range_of(p, 4, 0);
	range.entry_mask = WRITE;
	for (i = 0; i < 4; i++)
		entries[i] = WRITE | HMMU_ENTRY_STICKY;
	HMMU_CHECK_INT(hmmu_range_fault_unlocked(&range, 0), -EFAULT);
	for (i = 0; i < 4; i++)
		HMMU_CHECK(entries[i] == (WRITE | HMMU_ENTRY_STICKY) ||
			   (i < 2 && is_writable(entries[i])));
	close_all();
}

static void check_no_access(int prot)
{
	char *p = live_map_small(4, 1);

	HMMU_CHECK_OK(mprotect(p + PAGE, PAGE, prot));
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK(is_valid(entries[0]) && is_valid(entries[2]));
	HMMU_CHECK(!is_valid(entries[1]));
	HMMU_CHECK(entries[1] & HMMU_ENTRY_ERROR);
	HMMU_CHECK_INT(look(p, 4, FAULT), -EFAULT);
	HMMU_CHECK_INT(look(p, 4, WRITE), -EFAULT);
	HMMU_CHECK_OK(mprotect(p + PAGE, PAGE, PROT_READ));
	LIVE_CHECK(p, 4 * PAGE, 1);
}

static void test_range_rf14_prot_none_is_an_error(void)
{
	open_all();
	check_no_access(PROT_NONE);
	close_all();
}

static void test_range_rf15_write_only_is_no_access(void)
{
	open_all();
	check_no_access(PROT_WRITE);
	close_all();
}

static void test_range_rf14_device_mapping_is_an_error(void)
{
	unsigned long start = 0, finish = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	HMMU_CHECK(maps);
	while (fgets(line, sizeof(line), maps) && !strstr(line, "[vvar]"))
		line[0] = '\0';
	fclose(maps);
	if (sscanf(line, "%lx-%lx", &start, &finish) != 2)
		HMMU_SKIP("a vvar mapping");
	open_all();
	HMMU_CHECK_OK(look((void *)start, 1, 0));
	HMMU_CHECK(entries[0] & HMMU_ENTRY_ERROR);
	HMMU_CHECK(!is_valid(entries[0]));
	HMMU_CHECK_INT(look((void *)start, 1, FAULT), -EFAULT);
	close_all();
}

static void test_range_rf16_write_to_readonly(void)
{
	char *p = live_map_small(4, 1);

	open_all();
	HMMU_CHECK_OK(mprotect(p, 4 * PAGE, PROT_READ));
	HMMU_CHECK_OK(look(p, 4, FAULT));
	HMMU_CHECK(is_valid(entries[3]) && !is_writable(entries[3]));
	HMMU_CHECK_INT(look(p, 4, WRITE), -EPERM);
	HMMU_CHECK_INT(look(p + 3 * PAGE, 1, WRITE), -EPERM);
	LIVE_CHECK(p, 4 * PAGE, 1);
	close_all();
}

static void test_range_rf27_zero_page(void)
{
	volatile char *p = live_map(4 * PAGE);

	madvise((void *)p, 4 * PAGE, MADV_NOHUGEPAGE);
	open_all();
	(void)p[0];
	(void)p[PAGE];
	HMMU_CHECK_OK(look((void *)p, 2, 0));
	HMMU_CHECK(is_valid(entries[0]) && !is_writable(entries[0]));
	if (!live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_CHECK_INT(hmmu_entry_where(entries[0]), HMMU_WHERE_ZERO);
	HMMU_CHECK_OK(look((void *)p, 1, WRITE));
	HMMU_CHECK(is_writable(entries[0]));
	HMMU_CHECK_INT(hmmu_entry_where(entries[0]), HMMU_WHERE_SYSTEM);
	HMMU_CHECK_INT(p[0], 0);
	close_all();
}

static int look_as(const struct hmmu_device *owner, const void *p, size_t pages,
		   uint64_t flags)
{
	struct hmmu_range range = range_of(p, pages, flags);

	range.owner = owner;
	memset(entries, 0, pages * sizeof(entries[0]));
	return hmmu_range_fault_unlocked(&range, HMMU_RANGE_DEFAULT_TIMEOUT_NS);
}

static void check_device_entries(size_t pages, unsigned int order)
{
	size_t i;

	for (i = 0; i < pages; i++) {
		HMMU_CHECK(is_writable(entries[i]));
		HMMU_CHECK_INT(hmmu_entry_where(entries[i]), HMMU_WHERE_DEVICE);
		HMMU_CHECK_INT(hmmu_entry_order(entries[i]), order);
		if (order)
			HMMU_CHECK_INT(hmmu_entry_index(entries[i]),
				       hmmu_entry_index(entries[0]) + i);
	}
}

static void test_range_rf19_own_device_pages_are_valid(void)
{
	char *p = live_map_small(8, 1);

	open_all();
	live_take(p, 8 * PAGE);
	HMMU_CHECK_OK(look_as(live_device, p, 8, 0));
	check_device_entries(8, 0);
	/* Never faulted, even when asked for. */
	HMMU_CHECK_OK(look_as(live_device, p, 8, WRITE));
	check_device_entries(8, 0);
	LIVE_CHECK_SOON(live_device_pages() == 8);
	LIVE_CHECK(p, 8 * PAGE, 1);
	close_all();
}

static void test_range_rf30_own_large_device_page(void)
{
	char *p = live_map_large(1, 1);

	live_need_move();
	open_all();
	live_take(p, LARGE);
	HMMU_CHECK_OK(look_as(live_device, p, PER_LARGE, FAULT));
	check_device_entries(PER_LARGE, 9);
	HMMU_CHECK_INT(hmmu_entry_index(entries[0]) % PER_LARGE, 0);
	LIVE_CHECK_SOON(live_device_pages() == PER_LARGE);
	close_all();
}

static void check_foreign(const struct hmmu_device *owner)
{
	char *p = live_map_small(8, 1);

	live_take(p, 8 * PAGE);
	HMMU_CHECK_OK(look_as(owner, p, 8, 0));
	HMMU_CHECK(!is_valid(entries[0]) && !is_valid(entries[7]));
	HMMU_CHECK(!(entries[0] & HMMU_ENTRY_ERROR));
	LIVE_CHECK_SOON(live_device_pages() == 8);
	HMMU_CHECK_OK(look_as(owner, p, 8, FAULT));
	HMMU_CHECK(is_valid(entries[0]) && is_valid(entries[7]));
	HMMU_CHECK_INT(hmmu_entry_where(entries[0]), HMMU_WHERE_SYSTEM);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	LIVE_CHECK(p, 8 * PAGE, 1);
}

static void test_range_rf21_foreign_device_pages_come_home(void)
{
	struct hmmu_device *other;

	open_all();
	check_foreign(NULL);
	other = live_add_device(0, NULL);
	check_foreign(other);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	close_all();
}

/* The kernel's own quirk RF20: a device page may turn read-only. */
static void test_range_rf20_own_page_of_a_readonly_mapping(void)
{
	char *p = live_map_small(4, 1);

	open_all();
	live_take(p, 4 * PAGE);
	HMMU_CHECK_OK(mprotect(p, 4 * PAGE, PROT_READ));
	HMMU_CHECK_OK(look_as(live_device, p, 4, FAULT));
	HMMU_CHECK(is_valid(entries[0]) && !is_writable(entries[0]));
	LIVE_CHECK(p, 4 * PAGE, 1);
	close_all();
}

static void test_range_rf32_collision_is_busy(const struct live_way *way)
{
	char *p = live_map_small(4, 1);
	struct hmmu_range range;

	open_all();
	HMMU_CHECK_OK(look(p, 4, FAULT));
	range = range_of(p, 4, FAULT);
	HMMU_CHECK_OK(way->advise(p, PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, hmmu_notifier_check_retry(everything, range.seq));
	HMMU_CHECK_INT(hmmu_range_fault(&range), -EBUSY);
	HMMU_CHECK(hmmu_notifier_read_retry(everything, range.seq));
	range.seq = hmmu_notifier_read_begin(everything);
	HMMU_CHECK_OK(hmmu_range_fault(&range));
	HMMU_CHECK(!hmmu_notifier_read_retry(everything, range.seq));
	close_all();
}
BOTH_WAYS(test_range_rf32_collision_is_busy)

static void test_range_rf39_unlocked_takes_its_own_sequence(void)
{
	char *p = live_map_small(4, 1);
	struct hmmu_range range;

	open_all();
	HMMU_CHECK_OK(look(p, 4, FAULT));
	range = range_of(p, 4, FAULT);
	HMMU_CHECK_OK(madvise(p, PAGE, MADV_DONTNEED));
	HMMU_CHECK_OK(hmmu_range_fault_unlocked(&range, 0));
	HMMU_CHECK(!hmmu_notifier_read_retry(everything, range.seq));
	HMMU_CHECK(is_valid(entries[0]));
	close_all();
}

/* The other errors: RF13, RF16, RF32, and those of test_args and test_sweep. */
static void test_range_rf42_not_in_a_child(void)
{
	char *p = live_map_small(1, 1);
	pid_t child;

	open_all();
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		struct hmmu_range range = { .size = sizeof(range),
					    .notifier = everything,
					    .start = (uintptr_t)p,
					    .end = (uintptr_t)p + PAGE,
					    .entries = entries };

		HMMU_CHECK_INT(hmmu_range_fault(&range), -ECHILD);
		HMMU_CHECK_INT(hmmu_range_fault_unlocked(&range, 0), -ECHILD);
		_exit(0);
	}
	live_child_ok(child);
	close_all();
}

static char *map_file(int flags, size_t pages, int *ret_file)
{
	int file = memfd_create("test", MFD_CLOEXEC);
	char *p;

	HMMU_CHECK(file >= 0);
	HMMU_CHECK_OK(ftruncate(file, (off_t)(pages * PAGE)));
	p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
	HMMU_CHECK(p != MAP_FAILED);
	*ret_file = file;
	return p;
}

static void test_range_files_are_system_memory(void)
{
	int file;
	char *p = map_file(MAP_SHARED, 4, &file);
	char *q = map_file(MAP_PRIVATE, 4, &file);

	open_all();
	HMMU_CHECK_OK(look(p, 4, WRITE));
	HMMU_CHECK(is_writable(entries[0]) && is_writable(entries[3]));
	HMMU_CHECK_INT(hmmu_entry_where(entries[0]), HMMU_WHERE_SYSTEM);
	HMMU_CHECK_OK(look(q, 4, FAULT));
	HMMU_CHECK(is_valid(entries[0]));
	HMMU_CHECK_OK(look(q, 4, WRITE));
	HMMU_CHECK(is_writable(entries[0]));
	close_all();
}

/* A file on a disk: nobody can watch it, it is used all the same. */
static void test_range_text_of_the_program(void)
{
	char *p = (char *)((uintptr_t)test_range_text_of_the_program &
			   ~(PAGE - 1));

	open_all();
	HMMU_CHECK_OK(look(p, 1, FAULT));
	HMMU_CHECK(is_valid(entries[0]) && !is_writable(entries[0]));
	HMMU_CHECK_INT(look(p, 1, WRITE), -EPERM);
	close_all();
}

static void test_range_rf35_beyond_the_end_of_a_file(void)
{
	int file;
	char *p = map_file(MAP_SHARED, 4, &file);

	open_all();
	HMMU_CHECK_OK(ftruncate(file, 2 * PAGE));
	HMMU_CHECK_OK(look(p, 2, FAULT));
	HMMU_CHECK_INT(look(p, 4, FAULT), -EFAULT);
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK(is_valid(entries[1]) && !is_valid(entries[2]));
	close_all();
}

static void test_range_rf24_guard_page(void)
{
	char *p = live_map_small(4, 1);

	if (madvise(p + PAGE, PAGE, MADV_GUARD_INSTALL))
		HMMU_SKIP("MADV_GUARD_INSTALL");
	open_all();
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK(is_valid(entries[0]) && !is_valid(entries[1]));
	HMMU_CHECK_INT(look(p, 4, FAULT), -EFAULT);
	close_all();
}

/* FK5: a write request breaks the sharing with the child as a write would. */
static void test_range_fk5_write_request_after_fork(void)
{
	char *p = live_map_small(4, 1);
	int go[2];
	pid_t child;
	char c;

	open_all();
	HMMU_CHECK_OK(pipe(go));
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		LIVE_CHECK(p, 4 * PAGE, 1);
		_exit(0);
	}
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK(is_valid(entries[0]) && !is_writable(entries[0]));
	HMMU_CHECK_OK(look(p, 4, WRITE));
	HMMU_CHECK(is_writable(entries[0]) && is_writable(entries[3]));
	live_fill(p, 4 * PAGE, 2);
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	live_child_ok(child);
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK(is_writable(entries[0]));
	close_all();
}

static void *write_here(void *arg)
{
	volatile char *p = arg;
	int i;

	for (i = 0; i < 2000; i++)
		p[(i % 64) * PAGE] = (char)i;
	return NULL;
}

/* Many rounds over memory that is moved and discarded meanwhile. */
static void test_range_rf36_what_is_reported_holds(void)
{
	char *p = live_map_small(64, 1);
	pthread_t thread;
	int i;

	open_all();
	for (i = 0; i < 20; i++) {
		thread = live_thread(write_here, p);
		(void)live_migrate(live_device, p, 64 * PAGE);
		HMMU_CHECK_OK(look(p, 64, WRITE));
		HMMU_CHECK(is_writable(entries[0]) && is_writable(entries[63]));
		HMMU_CHECK_OK(madvise(p, 64 * PAGE, MADV_DONTNEED));
		live_join(thread);
	}
	close_all();
}

/* The program's own userfaultfd, whose thread answers with a page of its own. */
static struct {
	int fd;
	char *page;
	_Atomic unsigned int served;
} foreign;

static void *serve_foreign(void *arg)
{
	struct uffd_msg msg;
	struct uffdio_copy c;

	while (read(foreign.fd, &msg, sizeof(msg)) == sizeof(msg) &&
	       msg.event == UFFD_EVENT_PAGEFAULT) {
		c = (struct uffdio_copy){
			.dst = msg.arg.pagefault.address & ~(PAGE - 1),
			.src = (uintptr_t)foreign.page,
			.len = PAGE,
		};
		atomic_fetch_add(&foreign.served, 1);
		HMMU_CHECK_INT(ioctl(foreign.fd, UFFDIO_COPY, &c), 0);
	}
	return arg;
}

static void open_foreign(char *p, size_t bytes)
{
	foreign.fd = live_userfaultfd(0, 0, NULL);
	live_userfaultfd_register(foreign.fd, p, bytes,
				  UFFDIO_REGISTER_MODE_MISSING);
	foreign.page = live_map_small(1, 9);
	/* It reads until the process ends. */
	(void)live_thread(serve_foreign, NULL);
}

static void test_range_rf38_memory_of_anothers_userfaultfd(void)
{
	char *p = live_map(4 * PAGE);
	size_t i;

	open_all();
	open_foreign(p, 4 * PAGE);
	HMMU_CHECK_OK(look(p, 4, 0));
	HMMU_CHECK_INT(atomic_load(&foreign.served), 0);
	HMMU_CHECK_OK(look(p, 4, FAULT));
	HMMU_CHECK_INT(atomic_load(&foreign.served), 4);
	for (i = 0; i < 4; i++)
		HMMU_CHECK(is_valid(entries[i]));
	LIVE_CHECK(p + 2 * PAGE, PAGE, 9);
	HMMU_CHECK_INT(
		live_migrate(live_device, p, 4 * PAGE).stayed[HMMU_STAY_FOREIGN],
		4);
	/* Its own registration is as it was. */
	HMMU_CHECK_OK(madvise(p, PAGE, MADV_DONTNEED));
	HMMU_CHECK(*(volatile uint64_t *)p == live_word(9, 0));
	HMMU_CHECK_INT(atomic_load(&foreign.served), 5);
	close_all();
}

HMMU_TEST_MAIN(HMMU_TEST(test_range_rf38_memory_of_anothers_userfaultfd),
	       HMMU_TEST(test_range_rf5_snapshot_faults_nothing),
	       HMMU_TEST(test_range_rf7_fault_makes_valid),
	       HMMU_TEST(test_range_rf6_write_alone_is_no_request),
	       HMMU_TEST(test_range_rf4_entries_ask_through_the_mask),
	       HMMU_TEST(test_range_rf34_runs_that_ask_for_the_same),
	       HMMU_TEST(test_range_rf11_sticky_bits_stay),
	       HMMU_TEST(test_range_rf12_large_page_has_order_9),
	       HMMU_TEST(test_range_rf28_small_page_has_order_0),
	       HMMU_TEST(test_range_rf28_split_mapping_has_order_0),
	       HMMU_TEST(test_range_rf28_hugetlb),
	       HMMU_TEST(test_range_rf13_hole),
	       HMMU_TEST(test_range_rf33_failure_keeps_requests),
	       HMMU_TEST(test_range_rf14_prot_none_is_an_error),
	       HMMU_TEST(test_range_rf15_write_only_is_no_access),
	       HMMU_TEST(test_range_rf14_device_mapping_is_an_error),
	       HMMU_TEST(test_range_rf16_write_to_readonly),
	       HMMU_TEST(test_range_rf27_zero_page),
	       HMMU_TEST(test_range_rf19_own_device_pages_are_valid),
	       HMMU_TEST(test_range_rf30_own_large_device_page),
	       HMMU_TEST(test_range_rf21_foreign_device_pages_come_home),
	       HMMU_TEST(test_range_rf20_own_page_of_a_readonly_mapping),
	       TEST_BOTH(test_range_rf32_collision_is_busy),
	       HMMU_TEST(test_range_rf39_unlocked_takes_its_own_sequence),
	       HMMU_TEST(test_range_rf42_not_in_a_child),
	       HMMU_TEST(test_range_files_are_system_memory),
	       HMMU_TEST(test_range_text_of_the_program),
	       HMMU_TEST(test_range_rf35_beyond_the_end_of_a_file),
	       HMMU_TEST(test_range_rf24_guard_page),
	       HMMU_TEST(test_range_fk5_write_request_after_fork),
	       HMMU_TEST(test_range_rf36_what_is_reported_holds))
