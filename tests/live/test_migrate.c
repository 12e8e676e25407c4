/* SPDX-License-Identifier: MIT */
/*
 * Migration to a device: what moves, what stays and why, and that the counts
 * are honest. Rules MV1 to MV34.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "fixture.h"

static void test_migrate_mv16_large_pages_move_whole(void)
{
	char *p = live_map_large(3, 1);
	struct hmmu_migrate_result r;

	live_need_move();
	if (live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_SKIP("PAGEMAP_SCAN");
	live_open();
	r = live_migrate(live_device, p, 3 * LARGE);
	HMMU_CHECK_INT(r.pages_moved, 3 * PER_LARGE);
	HMMU_CHECK_INT(r.large_moved, 3);
	HMMU_CHECK_INT(live_present(p, 3 * LARGE), 0);
	HMMU_CHECK_INT(live_stats().thp_lost, 0);
	/* MV31. */
	HMMU_CHECK_INT(live_stats().pages_copied, 0);
	LIVE_CHECK(p, 3 * LARGE, 1);
	/* And they are large at home. */
	HMMU_CHECK_INT(live_huge(p, 3 * LARGE), 3 * PER_LARGE);
	live_close();
}

static void test_migrate_large_pages_many_times(void)
{
	char *p = live_map_large(4, 1);
	int i;

	live_open();
	for (i = 0; i < 20; i++) {
		live_take(p, 4 * LARGE);
		HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)p,
						     4 * LARGE, NULL));
	}
	HMMU_CHECK_INT(live_huge(p, 4 * LARGE), 4 * PER_LARGE);
	LIVE_CHECK(p, 4 * LARGE, 1);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	live_close();
}

static void test_migrate_small_pages(void)
{
	char *p = live_map_small(700, 1);
	struct hmmu_migrate_result r;

	live_open();
	r = live_migrate(live_device, p, 700 * PAGE);
	HMMU_CHECK_INT(r.pages_moved, 700);
	HMMU_CHECK_INT(r.large_moved, 0);
	HMMU_CHECK_INT(live_present(p, 700 * PAGE), 0);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 700);
	r = live_migrate(live_device, p, 700 * PAGE);
	HMMU_CHECK_INT(r.pages_already, 700);
	HMMU_CHECK_INT(r.pages_moved, 0);
	LIVE_CHECK(p, 700 * PAGE, 1);
	live_close();
}

/* What may be read through the device is zero, without coming home. */
static void check_zero_on_device(const char *p, size_t pages)
{
	struct hmmu_port *port = live_port();
	size_t i;

	for (i = 0; i < pages; i++)
		HMMU_CHECK_INT(live_load(port, p + i * PAGE + 8), 0);
	hmmu_port_close(port);
	LIVE_CHECK_SOON(live_device_pages() == pages);
}

/* And MV23: they are counted as moved. */
static void test_migrate_mv8_absent_pages_become_zeroes(void)
{
	char *p = live_map(64 * PAGE);

	live_open();
	live_take(p, 64 * PAGE);
	LIVE_CHECK_SOON(live_device_pages() == 64);
	check_zero_on_device(p, 64);
	LIVE_CHECK_ZERO(p, 64 * PAGE);
	live_close();
}

static void test_migrate_mv8_absent_large_page(void)
{
	char *p = live_map(LARGE);

	live_open();
	madvise(p, LARGE, MADV_HUGEPAGE);
	live_take(p, LARGE);
	check_zero_on_device(p, PER_LARGE);
	LIVE_CHECK_ZERO(p, LARGE);
	live_close();
}

static void test_migrate_mv9_zero_pages(void)
{
	volatile char *p = live_map(8 * PAGE);
	size_t i;

	live_open();
	for (i = 0; i < 8; i++)
		(void)p[i * PAGE];
	live_take((void *)p, 8 * PAGE);
	check_zero_on_device((void *)p, 8);
	LIVE_CHECK_ZERO((void *)p, 8 * PAGE);
	live_close();
}

/* Device memory that is used again does not show what was there before. */
static void test_migrate_reused_device_pages_are_clean(void)
{
	char *p = live_map_small(512, 3), *q = live_map(512 * PAGE);

	live_open_bytes(LARGE);
	live_take(p, 512 * PAGE);
	HMMU_CHECK_OK(munmap(p, 512 * PAGE));
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	live_take(q, 512 * PAGE);
	check_zero_on_device(q, 512);
	LIVE_CHECK_ZERO(q, 512 * PAGE);
	live_close();
}

static void test_migrate_part_of_a_large_page(void)
{
	char *p = live_map_large(1, 1);
	struct hmmu_migrate_result r;

	live_open();
	r = live_migrate(live_device, p + 40 * PAGE, 16 * PAGE);
	HMMU_CHECK_INT(r.pages_moved, 16);
	HMMU_CHECK_INT(live_present(p, LARGE), PER_LARGE - 16);
	HMMU_CHECK_INT(live_present(p + 40 * PAGE, 16 * PAGE), 0);
	LIVE_CHECK(p, LARGE, 1);
	live_close();
}

static void test_migrate_mapping_across_blocks(void)
{
	char *p = live_map(4 * LARGE);

	live_open();
	madvise(p, 4 * LARGE, MADV_HUGEPAGE);
	/* From page 5 of one block to page 9 of the third. */
	HMMU_CHECK_OK(munmap(p, 5 * PAGE));
	HMMU_CHECK_OK(munmap(p + 2 * LARGE + 9 * PAGE, 2 * LARGE - 9 * PAGE));
	live_fill(p + 5 * PAGE, 2 * LARGE + 4 * PAGE, 4);
	live_take(p + 5 * PAGE, 2 * LARGE + 4 * PAGE);
	LIVE_CHECK_SOON(live_device_pages() == 2 * PER_LARGE + 4);
	LIVE_CHECK(p + 5 * PAGE, 2 * LARGE + 4 * PAGE, 4);
	live_close();
}

static char *map_memfd(int flags, size_t bytes)
{
	int file = memfd_create("test", MFD_CLOEXEC);
	char *p;

	HMMU_CHECK(file >= 0);
	HMMU_CHECK_OK(ftruncate(file, (off_t)bytes));
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, file, 0);
	HMMU_CHECK(p != MAP_FAILED);
	close(file);
	return p;
}

static void check_stays(void *p, size_t pages, enum hmmu_stay why)
{
	struct hmmu_migrate_result r =
		live_migrate(live_device, p, pages * PAGE);

	HMMU_CHECK_INT(r.stayed[why], pages);
	HMMU_CHECK_INT(r.pages_stayed, pages);
	LIVE_CHECK_SOON(live_device_pages() == 0);
}

/* And MV26. */
static void test_migrate_dp9_only_private_anonymous_memory(void)
{
	char *p;

	live_open();
	p = map_memfd(MAP_SHARED, 4 * PAGE);
	live_fill(p, 4 * PAGE, 1);
	check_stays(p, 4, HMMU_STAY_KIND);
	LIVE_CHECK(p, 4 * PAGE, 1);
	p = map_memfd(MAP_PRIVATE, 4 * PAGE);
	live_fill(p, 4 * PAGE, 2);
	check_stays(p, 4, HMMU_STAY_KIND);
	LIVE_CHECK(p, 4 * PAGE, 2);
	p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	live_fill(p, 4 * PAGE, 3);
	check_stays(p, 4, HMMU_STAY_KIND);
	LIVE_CHECK(p, 4 * PAGE, 3);
	live_close();
}

static void test_migrate_protected_memory_stays(void)
{
	char *p = live_map_small(4, 1);

	live_open();
	HMMU_CHECK_OK(mprotect(p, 4 * PAGE, PROT_READ));
	check_stays(p, 4, HMMU_STAY_PROTECTED);
	HMMU_CHECK_OK(mprotect(p, 4 * PAGE, PROT_NONE));
	check_stays(p, 4, HMMU_STAY_PROTECTED);
	HMMU_CHECK_OK(mprotect(p, 4 * PAGE, PROT_READ | PROT_WRITE));
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

/* RF24: among pages that move, first of a block, alone and in a row. */
static void test_migrate_rf24_guard_pages_stay(void)
{
	static const struct {
		size_t first;
		size_t count;
	} guards[] = { { 0, 1 }, { 5, 3 }, { PER_LARGE, 1 } };
	char *p = live_map_small(2 * PER_LARGE, 1);
	struct hmmu_migrate_result r;
	struct hmmu_port *port;
	uint64_t value;
	size_t i;

	for (i = 0; i < 3; i++)
		if (madvise(p + guards[i].first * PAGE, guards[i].count * PAGE,
			    MADV_GUARD_INSTALL))
			HMMU_SKIP("MADV_GUARD_INSTALL");
	live_open();
	r = live_migrate(live_device, p, 2 * LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PROTECTED], 5);
	HMMU_CHECK_INT(r.pages_moved, 2 * PER_LARGE - 5);
	LIVE_CHECK_AT(p + PAGE, 4 * PAGE, 1, PAGE);
	LIVE_CHECK_AT(p + 8 * PAGE, 504 * PAGE, 1, 8 * PAGE);
	LIVE_CHECK_AT(p + 513 * PAGE, 511 * PAGE, 1, 513 * PAGE);
	port = live_port();
	for (i = 0; i < 3; i++)
		HMMU_CHECK_INT(
			hmmu_port_load64(port,
					 (uintptr_t)p + guards[i].first * PAGE,
					 &value),
			-EFAULT);
	hmmu_port_close(port);
	live_close();
}

static void test_migrate_locked_memory_stays(void)
{
	char *p = live_map_small(4, 1);

	live_open();
	if (live_lock(p, 4 * PAGE))
		HMMU_SKIP("mlock");
	check_stays(p, 4, HMMU_STAY_LOCKED);
	HMMU_CHECK_OK(live_unlock(p, 4 * PAGE));
	live_take(p, 4 * PAGE);
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

/* Mappings of all kinds and a hole in one range. */
static void test_migrate_mixed_range_is_honest(void)
{
	char *p = live_map_small(20, 1);
	struct hmmu_migrate_result r;

	live_open();
	HMMU_CHECK_OK(munmap(p + 4 * PAGE, 3 * PAGE));
	HMMU_CHECK_OK(mprotect(p + 9 * PAGE, 2 * PAGE, PROT_READ));
	HMMU_CHECK(mmap(p + 15 * PAGE, PAGE, PROT_READ | PROT_WRITE,
			MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1,
			0) == p + 15 * PAGE);
	r = live_migrate(live_device, p, 20 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_UNMAPPED], 3);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PROTECTED], 2);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_KIND], 1);
	HMMU_CHECK_INT(r.pages_moved, 14);
	LIVE_CHECK(p, 4 * PAGE, 1);
	LIVE_CHECK_AT(p + 7 * PAGE, 8 * PAGE, 1, 7 * PAGE);
	LIVE_CHECK_AT(p + 16 * PAGE, 4 * PAGE, 1, 16 * PAGE);
	live_close();
}

/* MV4: the result says that nothing moved. */
static void test_migrate_nothing_mapped_is_no_error(void)
{
	char *p = live_map(4 * PAGE);

	live_open();
	HMMU_CHECK_OK(munmap(p, 4 * PAGE));
	check_stays(p, 4, HMMU_STAY_UNMAPPED);
	live_close();
}

/* A page shared with a child is made private, or stays: never both. */
static void check_fork_shared(char *p, size_t bytes, bool alive)
{
	struct hmmu_migrate_result r;
	int go[2];
	pid_t child;
	char c;

	HMMU_CHECK_OK(pipe(go));
	child = fork();
	if (child == 0) {
		if (alive)
			HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		LIVE_CHECK(p, bytes, 1);
		_exit(0);
	}
	if (!alive)
		live_child_ok(child);
	r = live_migrate(live_device, p, bytes);
	HMMU_CHECK_INT(r.pages_stayed, 0);
	live_fill(p, bytes, 2);
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	if (alive)
		live_child_ok(child);
	LIVE_CHECK(p, bytes, 2);
	live_fill(p, bytes, 1);
}

static void test_migrate_mv15_fork_shared_pages(void)
{
	char *p = live_map_small(32, 1);

	live_open();
	check_fork_shared(p, 32 * PAGE, true);
	check_fork_shared(p, 32 * PAGE, false);
	live_close();
}

static void test_migrate_mv15_fork_shared_large_page(void)
{
	char *p = live_map_large(1, 1);

	live_open();
	check_fork_shared(p, LARGE, false);
	HMMU_CHECK_INT(live_huge(p, LARGE), PER_LARGE);
	check_fork_shared(p, LARGE, true);
	live_close();
}

/* A buffer registered with io_uring is pinned for as long as the ring lives. */
static int pin(void *p, size_t bytes)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { .iov_base = p, .iov_len = bytes };
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params);

	if (ring < 0)
		HMMU_SKIP("io_uring");
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &iov,
		    1))
		HMMU_SKIP("io_uring");
	return ring;
}

static void unpin(int ring)
{
	HMMU_CHECK_OK(syscall(SYS_io_uring_register, ring,
			      IORING_UNREGISTER_BUFFERS, NULL, 0));
	close(ring);
}

/* And MV13: by the pin, the kernel can not make it shareable. */
static void test_migrate_mv14_pinned_pages_stay(void)
{
	char *p = live_map_small(16, 1);
	struct hmmu_migrate_result r;
	int ring;

	live_open();
	ring = pin(p + 4 * PAGE, 2 * PAGE);
	r = live_migrate(live_device, p, 16 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 2);
	HMMU_CHECK_INT(r.pages_moved, 14);
	HMMU_CHECK_INT(live_present(p + 4 * PAGE, 2 * PAGE), 2);
	unpin(ring);
	live_take(p, 16 * PAGE);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

/* Each try is told of. The ring is to be let go with the second one, or 0. */
static struct {
	int ring;
	unsigned int tries;
} held;

static void count_tries(struct hmmu_notifier *sub, void *arg,
			const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	hmmu_notifier_set_seq(sub, cur_seq);
	if (inv->event == HMMU_EVENT_MIGRATE && ++held.tries == 2 && held.ring)
		unpin(held.ring);
}

/* What is held for a moment is tried again, and stays if it is held longer. */
static void test_migrate_mv11_tried_again_then_stays(void)
{
	static const struct hmmu_notifier_ops ops = {
		.size = sizeof(ops), .invalidate = count_tries
	};
	char *p = live_map_small(4, 1);
	struct hmmu_notifier *sub;
	int ring;

	live_open();
	ring = pin(p, PAGE);
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, PAGE, 0,
					   &ops, NULL, &sub));
	HMMU_CHECK_INT(live_migrate(live_device, p, PAGE).pages_stayed, 1);
	HMMU_CHECK_INT(held.tries, 2);
	held.tries = 0;
	held.ring = ring;
	live_take(p, 4 * PAGE);
	HMMU_CHECK_INT(held.tries, 2);
	hmmu_notifier_remove(sub);
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

static void test_migrate_mv14_pin_within_a_large_page(void)
{
	char *p = live_map_large(1, 1);
	struct hmmu_migrate_result r;
	int ring;

	live_open();
	ring = pin(p + 4 * PAGE, PAGE);
	r = live_migrate(live_device, p, LARGE);
	/* A pin of a part may hold the whole large page. */
	HMMU_CHECK(r.stayed[HMMU_STAY_PINNED] >= 1);
	HMMU_CHECK_INT(live_present(p + 4 * PAGE, PAGE), 1);
	LIVE_CHECK(p, LARGE, 1);
	unpin(ring);
	live_take(p, LARGE);
	LIVE_CHECK(p, LARGE, 1);
	live_close();
}

/* PN1: to pin a page brings it home first. */
static void test_migrate_pn1_pin_brings_home(void)
{
	char *p = live_map_small(4, 1);
	int ring;

	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	live_open();
	live_take(p, 4 * PAGE);
	ring = pin(p, 4 * PAGE);
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 4);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	LIVE_CHECK(p, 4 * PAGE, 1);
	unpin(ring);
	live_close();
}

static void test_migrate_foreign_userfaultfd_is_respected(void)
{
	char *p = live_map_small(8, 1);
	struct uffdio_range range = { (uintptr_t)p, 8 * PAGE };
	struct hmmu_port *port;
	int file;

	live_open();
	file = live_userfaultfd(O_NONBLOCK, 0, NULL);
	live_userfaultfd_register(file, p, 8 * PAGE,
				  UFFDIO_REGISTER_MODE_MISSING);
	check_stays(p, 8, HMMU_STAY_FOREIGN);
	/* The device uses the memory all the same. */
	port = live_port();
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	live_store(port, p, live_word(1, 0));
	hmmu_port_close(port);
	/* It is the program's still. */
	HMMU_CHECK_OK(ioctl(file, UFFDIO_UNREGISTER, &range));
	close(file);
	live_take(p, 8 * PAGE);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

/* A writable mapping of the file whose name ends so. */
static bool find_mapping(const char *name, uintptr_t *start, uintptr_t *end)
{
	char line[512];
	char prot[8];
	FILE *maps = fopen("/proc/self/maps", "re");
	bool found = false;

	HMMU_CHECK(maps);
	while (!found && fgets(line, sizeof(line), maps))
		found = strstr(line, name) &&
			sscanf(line, "%lx-%lx %7s", start, end, prot) == 3 &&
			prot[1] == 'w';
	fclose(maps);
	return found;
}

static void check_data_stays(const char *name)
{
	struct hmmu_migrate_result r;
	uintptr_t start, end;

	if (!find_mapping(name, &start, &end))
		return;
	r = live_migrate(live_device, (void *)start, end - start);
	HMMU_CHECK_INT(r.pages_moved, 0);
	HMMU_CHECK(r.stayed[HMMU_STAY_HMMU] + r.stayed[HMMU_STAY_KIND] +
			   r.stayed[HMMU_STAY_PROTECTED] ==
		   (end - start) / PAGE);
}

static void test_migrate_e1_data_of_libraries_stays(void)
{
	live_open();
	check_data_stays("/libc.so");
	check_data_stays("/ld-linux");
	check_data_stays("/libhmmu");
	live_close();
}

struct node {
	struct node *next;
	uint64_t value;
	char name[40];
};

static struct node *make_list(size_t count)
{
	struct node *head = NULL, *node;

	while (count--) {
		node = malloc(sizeof(*node));
		HMMU_CHECK(node);
		node->next = head;
		node->value = live_word(7, count);
		snprintf(node->name, sizeof(node->name), "node %zu", count);
		head = node;
	}
	return head;
}

static void check_list(const struct node *node, size_t count)
{
	char name[40];
	size_t i;

	for (i = 0; i < count; i++, node = node->next) {
		snprintf(name, sizeof(name), "node %zu", i);
		HMMU_CHECK(node->value == live_word(7, i));
		HMMU_CHECK(strcmp(node->name, name) == 0);
	}
	HMMU_CHECK(!node);
}

static void test_migrate_whole_heap(void)
{
	struct hmmu_migrate_result r;
	struct node *list = make_list(60000);
	uintptr_t start, end;

	live_need_libc_heap();
	live_open();
	HMMU_CHECK(find_mapping("[heap]", &start, &end));
	r = live_migrate(live_device, (void *)start, end - start);
	HMMU_CHECK_INT(r.pages_stayed, 0);
	check_list(list, 60000);
	/* malloc goes on while its own records are away. */
	r = live_migrate(live_device, (void *)start, end - start);
	check_list(make_list(30000), 30000);
	check_list(list, 60000);
	live_close();
}

/* From the first page to the last: the program goes on all the same. */
static void test_migrate_the_whole_program(void)
{
	struct node *list = make_list(20000);
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	int i;

	live_need_program_alone();
	live_need_move();
	live_open();
	for (i = 0; i < 10; i++) {
		HMMU_CHECK_OK(hmmu_device_migrate(live_device, PAGE,
						  (1ul << 47) - 2 * PAGE, &r));
		HMMU_CHECK(r.pages_moved + r.pages_already > 100);
		check_list(list, 20000);
	}
	live_close();
	check_list(list, 20000);
}

/* A thread that waits in the kernel, and whose stack is taken meanwhile. */
static struct {
	_Atomic unsigned int ready;
	uintptr_t start;
	size_t bytes;
	int go[2];
} sleeper;

static __thread uint64_t sleeper_tls;

static void *sleep_and_check(void *arg)
{
	volatile uint64_t words[3000];
	pthread_attr_t attr;
	void *start;
	size_t i;
	char c;

	(void)arg;
	sleeper_tls = 5;
	for (i = 0; i < 3000; i++)
		words[i] = live_word(3, i);
	HMMU_CHECK_OK(-pthread_getattr_np(pthread_self(), &attr));
	HMMU_CHECK_OK(-pthread_attr_getstack(&attr, &start, &sleeper.bytes));
	pthread_attr_destroy(&attr);
	sleeper.start = (uintptr_t)start;
	atomic_store_explicit(&sleeper.ready, 1, memory_order_release);
	while (read(sleeper.go[0], &c, 1) != 1)
		HMMU_CHECK_INT(errno, EINTR);
	for (i = 0; i < 3000; i++)
		HMMU_CHECK(words[i] == live_word(3, i));
	HMMU_CHECK_INT(sleeper_tls, 5);
	return NULL;
}

/* design.md section 4, rule 2; an ordinary user's stacks stay (KERNEL). */
static void test_migrate_stack_of_a_waiting_thread(void)
{
	struct hmmu_migrate_result r;
	pthread_t thread;

	live_open();
	HMMU_CHECK_OK(pipe(sleeper.go));
	thread = live_thread(sleep_and_check, NULL);
	HMMU_CHECK(live_wait_for(&sleeper.ready, 1, 5000));
	live_sleep_ms(50);
	r = live_migrate(live_device, (void *)sleeper.start, sleeper.bytes);
	if (live_serves_kernel()) {
		HMMU_CHECK(r.pages_moved >= sleeper.bytes / PAGE / 2);
	} else {
		HMMU_CHECK_INT(r.pages_moved, 0);
		HMMU_CHECK(r.stayed[HMMU_STAY_KERNEL] > 0);
	}
	HMMU_CHECK_INT(write(sleeper.go[1], "", 1), 1);
	live_join(thread);
	live_close();
}

static void test_migrate_own_stack(void)
{
	volatile uint64_t words[3000];
	struct hmmu_migrate_result r;
	uintptr_t start, end;
	size_t i;

	live_open();
	for (i = 0; i < 3000; i++)
		words[i] = live_word(3, i);
	HMMU_CHECK(find_mapping("[stack]", &start, &end));
	for (i = 0; i < 20; i++) {
		r = live_migrate(live_device, (void *)start, end - start);
		HMMU_CHECK(r.stayed[HMMU_STAY_IN_USE] +
				   r.stayed[HMMU_STAY_KERNEL] >=
			   1);
	}
	for (i = 0; i < 3000; i++)
		HMMU_CHECK(words[i] == live_word(3, i));
	live_close();
}

static void test_migrate_device_full(void)
{
	char *p = live_map_small(3 * PER_LARGE, 1);
	struct hmmu_migrate_result r;
	struct hmmu_memory_stats s;

	live_open_bytes(2 * LARGE);
	r = live_migrate(live_device, p, 3 * LARGE);
	HMMU_CHECK_INT(r.pages_moved, 2 * PER_LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FULL], PER_LARGE);
	s = live_memory_stats();
	HMMU_CHECK_INT(s.total_pages, 2 * PER_LARGE);
	HMMU_CHECK_INT(s.used_pages, 2 * PER_LARGE);
	HMMU_CHECK_INT(s.free_chunks, 0);
	LIVE_CHECK(p, 3 * LARGE, 1);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	live_take(p + LARGE, 2 * LARGE);
	LIVE_CHECK(p, 3 * LARGE, 1);
	live_close();
}

/* No chunk is whole: a large page goes in pieces, and comes home right. */
static void test_migrate_large_page_into_fragments(void)
{
	char *p = live_map_large(1, 1), *q = live_map_small(4, 2);
	struct hmmu_migrate_result r;

	live_open_bytes(2 * LARGE);
	live_take(q, 4 * PAGE);
	live_take(p, LARGE);
	LIVE_CHECK(p, LARGE, 1);
	live_close();
	q = live_map_small(600, 3);
	live_open_bytes(2 * LARGE);
	live_take(q, 600 * PAGE);
	r = live_migrate(live_device, p, LARGE);
	HMMU_CHECK_INT(r.large_moved, 0);
	HMMU_CHECK_INT(r.pages_moved, 2 * PER_LARGE - 600);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FULL], PER_LARGE - r.pages_moved);
	LIVE_CHECK(p, LARGE, 1);
	LIVE_CHECK(q, 600 * PAGE, 3);
	live_close();
}

static void test_migrate_mv7_second_device(void)
{
	struct hmmu_memory *memory;
	struct hmmu_device *other;
	struct hmmu_migrate_result r;
	char *p = live_map_small(2 * PER_LARGE, 1);

	live_open();
	other = live_add_device(4 * LARGE, &memory);
	live_take(p, LARGE);
	r = live_migrate(other, p, 2 * LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], PER_LARGE);
	HMMU_CHECK_INT(r.pages_moved, PER_LARGE);
	HMMU_CHECK_OK(hmmu_migrate_evict(live_device, NULL));
	r = live_migrate(other, p, 2 * LARGE);
	HMMU_CHECK_INT(r.pages_already, PER_LARGE);
	HMMU_CHECK_INT(r.pages_moved, PER_LARGE);
	/* Each device reaches what the other holds: it comes home. */
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, 2 * LARGE,
					HMMU_ACCESS_WRITE));
	LIVE_CHECK(p, 2 * LARGE, 1);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	live_close();
}

static void *migrate_to_and_fro(void *arg)
{
	uintptr_t p = (uintptr_t)arg;
	int i, err;

	for (i = 0; i < 100; i++) {
		HMMU_CHECK_OK(hmmu_device_migrate(live_device, p, LARGE, NULL));
		err = hmmu_migrate_to_system(live_space, p, LARGE, NULL);
		HMMU_CHECK(!err || err == -EBUSY);
	}
	return NULL;
}

static void *add_words(void *arg)
{
	uint64_t *words = arg;
	size_t i;

	for (i = 0; i < 400000; i++)
		__atomic_fetch_add(&words[i * 4099 % (LARGE / 8)], 1,
				   __ATOMIC_RELAXED);
	return NULL;
}

/* MV12: no update by a CPU is lost while pages go to and fro. */
static void test_migrate_mv12_no_update_is_lost(void)
{
	uint64_t *p = live_map(LARGE), sum = 0;
	pthread_t threads[4];
	size_t i;

	live_need_move();
	live_open();
	madvise(p, LARGE, MADV_HUGEPAGE);
	for (i = 0; i < 4; i++)
		threads[i] =
			live_thread(i < 2 ? migrate_to_and_fro : add_words, p);
	for (i = 0; i < 4; i++)
		live_join(threads[i]);
	for (i = 0; i < LARGE / 8; i++)
		sum += p[i];
	HMMU_CHECK_INT(sum, 800000);
	live_close();
}

static void test_migrate_reasons_have_words(void)
{
	unsigned int i;

	for (i = 0; i < HMMU_STAY_REASONS; i++) {
		HMMU_CHECK(hmmu_stay_text(i));
		/* 4 is no reason. */
		HMMU_CHECK((strcmp(hmmu_stay_text(i), "unknown") == 0) ==
			   (i == 4));
	}
	HMMU_CHECK(strcmp(hmmu_stay_text(i), "unknown") == 0);
	HMMU_CHECK(strcmp(hmmu_stay_text(~0u), "unknown") == 0);
}

HMMU_TEST_MAIN(HMMU_TEST(test_migrate_mv16_large_pages_move_whole),
	       HMMU_TEST(test_migrate_large_pages_many_times),
	       HMMU_TEST(test_migrate_small_pages),
	       HMMU_TEST(test_migrate_mv8_absent_pages_become_zeroes),
	       HMMU_TEST(test_migrate_mv8_absent_large_page),
	       HMMU_TEST(test_migrate_mv9_zero_pages),
	       HMMU_TEST(test_migrate_reused_device_pages_are_clean),
	       HMMU_TEST(test_migrate_part_of_a_large_page),
	       HMMU_TEST(test_migrate_mapping_across_blocks),
	       HMMU_TEST(test_migrate_dp9_only_private_anonymous_memory),
	       HMMU_TEST(test_migrate_protected_memory_stays),
	       HMMU_TEST(test_migrate_rf24_guard_pages_stay),
	       HMMU_TEST(test_migrate_locked_memory_stays),
	       HMMU_TEST(test_migrate_mixed_range_is_honest),
	       HMMU_TEST(test_migrate_nothing_mapped_is_no_error),
	       HMMU_TEST(test_migrate_mv15_fork_shared_pages),
	       HMMU_TEST(test_migrate_mv15_fork_shared_large_page),
	       HMMU_TEST(test_migrate_mv14_pinned_pages_stay),
	       HMMU_TEST(test_migrate_mv11_tried_again_then_stays),
	       HMMU_TEST(test_migrate_mv14_pin_within_a_large_page),
	       HMMU_TEST(test_migrate_pn1_pin_brings_home),
	       HMMU_TEST(test_migrate_foreign_userfaultfd_is_respected),
	       HMMU_TEST(test_migrate_e1_data_of_libraries_stays),
	       HMMU_TEST(test_migrate_whole_heap),
	       HMMU_TEST(test_migrate_the_whole_program),
	       HMMU_TEST(test_migrate_stack_of_a_waiting_thread),
	       HMMU_TEST(test_migrate_own_stack),
	       HMMU_TEST(test_migrate_device_full),
	       HMMU_TEST(test_migrate_large_page_into_fragments),
	       HMMU_TEST(test_migrate_mv7_second_device),
	       HMMU_TEST(test_migrate_mv12_no_update_is_lost),
	       HMMU_TEST(test_migrate_reasons_have_words))
