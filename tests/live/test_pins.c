/* SPDX-License-Identifier: MIT */
/*
 * Pins: what hmmu_pin_range() keeps home, and what the kernel itself holds.
 * Rules PN1 to PN4, DC3, MV13 and MV14.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <hmmu/pin.h>

#include "fixture.h"
#include "ranges.h"

static int pin(const void *p, size_t bytes)
{
	return hmmu_pin_range(live_space, (uintptr_t)p, bytes);
}

static int unpin(const void *p, size_t bytes)
{
	return hmmu_unpin_range(live_space, (uintptr_t)p, bytes);
}

static void check_pinned(const void *p, size_t bytes, size_t pinned)
{
	struct hmmu_migrate_result r = live_migrate(live_device, p, bytes);

	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], pinned);
	HMMU_CHECK_INT(r.pages_stayed, pinned);
}

static void test_pins_pn2_stay_until_unpinned(void)
{
	char *p = live_map_small(16, 1);

	live_open();
	HMMU_CHECK_OK(pin(p + 4 * PAGE, 3 * PAGE));
	check_pinned(p, 16 * PAGE, 3);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 3);
	HMMU_CHECK_INT(live_present(p + 4 * PAGE, 3 * PAGE), 3);
	LIVE_CHECK(p, 16 * PAGE, 1);
	HMMU_CHECK_OK(unpin(p + 4 * PAGE, 3 * PAGE));
	check_pinned(p, 16 * PAGE, 0);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

static void test_pins_are_counted(void)
{
	char *p = live_map_small(8, 1);

	live_open();
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	HMMU_CHECK_OK(pin(p + 2 * PAGE, 4 * PAGE));
	check_pinned(p, 8 * PAGE, 6);
	HMMU_CHECK_OK(unpin(p, 4 * PAGE));
	check_pinned(p, 8 * PAGE, 6);
	HMMU_CHECK_OK(unpin(p, 4 * PAGE));
	HMMU_CHECK_INT(unpin(p, 4 * PAGE), -ENOENT);
	check_pinned(p, 8 * PAGE, 4);
	HMMU_CHECK_OK(unpin(p + 2 * PAGE, 4 * PAGE));
	check_pinned(p, 8 * PAGE, 0);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static int pin_at(uintptr_t address, size_t bytes)
{
	return hmmu_pin_range(live_space, address, bytes);
}

static int unpin_at(uintptr_t address, size_t bytes)
{
	return hmmu_unpin_range(live_space, address, bytes);
}

static void test_pins_errors(void)
{
	char *p = live_map_small(8, 1);
	uintptr_t at = (uintptr_t)p;

	live_open();
	HMMU_CHECK_INT(hmmu_pin_range(NULL, at, PAGE), -EINVAL);
	HMMU_CHECK_INT(hmmu_unpin_range(NULL, at, PAGE), -EINVAL);
	check_ranges(pin_at, at);
	check_ranges(unpin_at, at);
	HMMU_CHECK_INT(unpin(p, PAGE), -ENOENT);
	/* Of a part, or of more, there is no pin. */
	HMMU_CHECK_OK(pin(p, 2 * PAGE));
	HMMU_CHECK_INT(unpin(p, PAGE), -ENOENT);
	HMMU_CHECK_INT(unpin(p + PAGE, PAGE), -ENOENT);
	HMMU_CHECK_INT(unpin(p, 3 * PAGE), -ENOENT);
	HMMU_CHECK_OK(unpin(p, 2 * PAGE));
	live_close();
}

/* Unpinned are the pages that were pinned, in whatever way they are named. */
static void test_pins_round_outwards(void)
{
	char *p = live_map_small(8, 1);

	live_open();
	HMMU_CHECK_OK(pin(p + PAGE - 1, 2));
	check_pinned(p, 8 * PAGE, 2);
	HMMU_CHECK_INT(unpin(p + PAGE - 1, 1), -ENOENT);
	HMMU_CHECK_INT(unpin(p + PAGE - 1, PAGE + 2), -ENOENT);
	HMMU_CHECK_OK(unpin(p, PAGE + 1));
	check_pinned(p, 8 * PAGE, 0);
	HMMU_CHECK_OK(pin(p + 4 * PAGE, 2 * PAGE));
	HMMU_CHECK_OK(unpin(p + 5 * PAGE - 1, 2));
	check_pinned(p, 8 * PAGE, 0);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

/* On failure nothing is pinned. */
static void check_refused(const char *p, size_t pages)
{
	HMMU_CHECK_INT(pin(p, pages * PAGE), -EFAULT);
	HMMU_CHECK_INT(unpin(p, pages * PAGE), -ENOENT);
}

static void test_pins_need_readable_memory(void)
{
	char *p = live_map_small(8, 1);

	live_open();
	HMMU_CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	HMMU_CHECK_OK(mprotect(p + 4 * PAGE, PAGE, PROT_NONE));
	HMMU_CHECK_OK(mprotect(p + 6 * PAGE, PAGE, PROT_WRITE));
	check_refused(p, 3);
	check_refused(p + 3 * PAGE, 2);
	check_refused(p + 6 * PAGE, 1);
	check_pinned(p, 2 * PAGE, 0);
	/* What can only be read may be pinned. */
	HMMU_CHECK_OK(mprotect(p + 7 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_OK(pin(p + 7 * PAGE, PAGE));
	HMMU_CHECK_OK(unpin(p + 7 * PAGE, PAGE));
	live_close();
}

/* Present, and the page that a later write would have, too. */
static void test_pins_make_present(void)
{
	char *p = live_map(8 * PAGE);
	uint64_t e[8];
	size_t i;

	live_open();
	(void)*(volatile char *)(p + PAGE);
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 4);
	live_look(NULL, p, 8, 0, e);
	for (i = 0; i < 4; i++)
		HMMU_CHECK_INT(hmmu_entry_where(e[i]), HMMU_WHERE_SYSTEM);
	HMMU_CHECK_OK(unpin(p, 4 * PAGE));
	live_close();
}

static void test_pins_pn1_bring_home_from_private(void)
{
	char *p = live_map_small(16, 1), *q = live_map_large(2, 2);

	live_open();
	live_take(p, 16 * PAGE);
	live_take(q, 2 * LARGE);
	HMMU_CHECK_OK(pin(p + 2 * PAGE, 4 * PAGE));
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 4);
	HMMU_CHECK_INT(live_present(p + 2 * PAGE, 4 * PAGE), 4);
	HMMU_CHECK_OK(pin(q, LARGE));
	HMMU_CHECK_INT(live_present(q, 2 * LARGE), PER_LARGE);
	if (!live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_CHECK_INT(live_huge(q, LARGE), PER_LARGE);
	LIVE_CHECK(p, 16 * PAGE, 1);
	LIVE_CHECK(q, 2 * LARGE, 2);
	HMMU_CHECK_OK(unpin(p + 2 * PAGE, 4 * PAGE));
	HMMU_CHECK_OK(unpin(q, LARGE));
	live_close();
}

static void test_pins_pn1_end_exclusive_access(void)
{
	char *p = live_map_small(4, 1);
	uint64_t entry;

	live_open();
	HMMU_CHECK_OK(live_make_exclusive(live_device, p, 2 * PAGE, NULL));
	HMMU_CHECK_OK(pin(p, PAGE));
	HMMU_CHECK_INT(live_present(p, 2 * PAGE), 1);
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	HMMU_CHECK(live_leaf(live_device, p + PAGE, &entry));
	HMMU_CHECK(entry & HMMU_DEVICE_LEAF_EXCLUSIVE);
	HMMU_CHECK_INT(hmmu_device_make_exclusive(live_device, (uintptr_t)p,
						  PAGE, NULL),
		       -EBUSY);
	LIVE_CHECK(p, 4 * PAGE, 1);
	HMMU_CHECK_OK(unpin(p, PAGE));
	live_close();
}

/* Large pages beside a pinned one go whole; the rest of the pinned one goes. */
static void test_pins_large_pages_beside(void)
{
	char *p = live_map_large(4, 1);
	struct hmmu_migrate_result r;

	live_open();
	HMMU_CHECK_OK(pin(p + LARGE + 5 * PAGE, PAGE));
	r = live_migrate(live_device, p, 4 * LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_PINNED], 1);
	HMMU_CHECK_INT(r.pages_moved, 4 * PER_LARGE - 1);
	if (!live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_CHECK_INT(r.large_moved, 3);
	HMMU_CHECK_INT(live_present(p, 4 * LARGE), 1);
	HMMU_CHECK_INT(live_present(p + LARGE + 5 * PAGE, PAGE), 1);
	LIVE_CHECK(p, 4 * LARGE, 1);
	HMMU_CHECK_OK(unpin(p + LARGE + 5 * PAGE, PAGE));
	live_close();
}

/* The device goes on using what is pinned, where it is. */
static void test_pins_device_uses_it_in_place(void)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;

	live_open();
	port = live_port();
	HMMU_CHECK_OK(pin(p, PAGE));
	live_store(port, p, 77);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 77);
	HMMU_CHECK_INT(live_present(p, PAGE), 1);
	HMMU_CHECK_OK(unpin(p, PAGE));
	hmmu_port_close(port);
	live_close();
}

/* It is the address that is pinned. */
static void test_pins_belong_to_addresses(void)
{
	char *p = live_map_small(4, 1), *q = live_map(4 * PAGE);

	live_open();
	HMMU_CHECK_OK(pin(p, 2 * PAGE));
	HMMU_CHECK(mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			  q) == q);
	check_pinned(q, 4 * PAGE, 0);
	LIVE_CHECK(q, 4 * PAGE, 1);
	HMMU_CHECK(mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	check_pinned(p, 4 * PAGE, 2);
	HMMU_CHECK_OK(unpin(p, 2 * PAGE));
	live_close();
}

/* What is still pinned when the space closes is forgotten. */
static void test_pins_space_closes(void)
{
	char *p = live_map_small(4, 1);
	pid_t child;

	live_open();
	HMMU_CHECK_OK(pin(p, 2 * PAGE));
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(pin(p, PAGE), -ECHILD);
		HMMU_CHECK_INT(unpin(p, 2 * PAGE), -ECHILD);
		_exit(0);
	}
	live_child_ok(child);
	live_close();
	live_open();
	HMMU_CHECK_INT(unpin(p, 2 * PAGE), -ENOENT);
	check_pinned(p, 4 * PAGE, 0);
	live_close();
}

/* --- races ------------------------------------------------------------------- */

static struct {
	char *p;
	_Atomic unsigned int stop;
} race;

static void *migrate_all_the_time(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&race.stop, memory_order_acquire))
		live_migrate(live_device, race.p, 128 * PAGE);
	return NULL;
}

/* Between pin and unpin the pages are there, whenever one looks. */
static void test_pins_never_leave(void)
{
	pthread_t threads[2];
	uint64_t end;
	size_t i, at, looks;

	live_open();
	race.p = live_map_small(128, 1);
	live_migrate(live_device, race.p, PAGE);
	threads[0] = live_thread(migrate_all_the_time, NULL);
	threads[1] = live_thread(migrate_all_the_time, NULL);
	end = live_now_ns() + 2000000000ull;
	for (i = 0; live_now_ns() < end; i++) {
		at = i * 37 % 120;
		HMMU_CHECK_OK(pin(race.p + at * PAGE, 8 * PAGE));
		for (looks = 0; looks < 20; looks++)
			HMMU_CHECK_INT(
				live_present(race.p + at * PAGE, 8 * PAGE), 8);
		HMMU_CHECK_OK(unpin(race.p + at * PAGE, 8 * PAGE));
	}
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	live_join(threads[0]);
	live_join(threads[1]);
	LIVE_CHECK(race.p, 128 * PAGE, 1);
	HMMU_CHECK(i > 20);
	live_close();
}

static void *migrate_on_go(void *arg)
{
	unsigned int round;

	for (round = 1; round <= 400; round++) {
		HMMU_CHECK(live_wait_for(arg, round, 10000));
		live_migrate(live_device, race.p, 128 * PAGE);
		atomic_store_explicit(&race.stop, round, memory_order_release);
	}
	return NULL;
}

/*
 * The same against a migration that finds nothing of the block on a device: it
 * has looked at the pins and not recorded anything yet.
 */
static void test_pins_against_a_first_migration(void)
{
	static _Atomic unsigned int go;
	volatile unsigned int spin;
	unsigned int round;
	pthread_t thread;
	char *last;

	live_open();
	race.p = live_map_small(128, 1);
	last = race.p + 120 * PAGE;
	live_migrate(live_device, race.p, PAGE);
	thread = live_thread(migrate_on_go, &go);
	for (round = 1; round <= 400; round++) {
		HMMU_CHECK_OK(hmmu_migrate_to_system(
			live_space, (uintptr_t)race.p, 128 * PAGE, NULL));
		atomic_store_explicit(&go, round, memory_order_release);
		for (spin = 0; spin < round * 50; spin++)
			;
		HMMU_CHECK_OK(pin(last, 8 * PAGE));
		HMMU_CHECK(live_wait_for(&race.stop, round, 10000));
		HMMU_CHECK_INT(live_present(last, 8 * PAGE), 8);
		HMMU_CHECK_OK(unpin(last, 8 * PAGE));
	}
	live_join(thread);
	LIVE_CHECK(race.p, 128 * PAGE, 1);
	live_close();
}

/* --- what the kernel holds ---------------------------------------------------- */

/* A ring of raw system calls, and what is mapped of it. */
struct ring {
	int file;
	struct io_uring_params params;
	unsigned int *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
};

static void *map_ring(int file, size_t bytes, off_t offset)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, file, offset);

	HMMU_CHECK(p != MAP_FAILED);
	return p;
}

static void ring_open(struct ring *r, void *p, size_t bytes)
{
	struct iovec iov = { .iov_base = p, .iov_len = bytes };
	char *sq, *cq;

	*r = (struct ring){ .file = -1 };
	r->file = (int)syscall(SYS_io_uring_setup, 4, &r->params);
	if (r->file < 0 || syscall(SYS_io_uring_register, r->file,
				   IORING_REGISTER_BUFFERS, &iov, 1))
		HMMU_SKIP("io_uring");
	sq = map_ring(r->file, 2 * PAGE, IORING_OFF_SQ_RING);
	cq = map_ring(r->file, 2 * PAGE, IORING_OFF_CQ_RING);
	r->sqes = map_ring(r->file, PAGE, IORING_OFF_SQES);
	r->sq_tail = (void *)(sq + r->params.sq_off.tail);
	r->sq_mask = (void *)(sq + r->params.sq_off.ring_mask);
	r->sq_array = (void *)(sq + r->params.sq_off.array);
	r->cq_head = (void *)(cq + r->params.cq_off.head);
	r->cq_tail = (void *)(cq + r->params.cq_off.tail);
}

/* Reads @bytes of @file into @p, which is of the registered buffer. */
static void ring_submit(struct ring *r, int file, void *p, size_t bytes)
{
	unsigned int tail = *r->sq_tail, at = tail & *r->sq_mask;

	r->sqes[at] = (struct io_uring_sqe){
		.opcode = IORING_OP_READ_FIXED,
		.fd = file,
		.addr = (uintptr_t)p,
		.len = (uint32_t)bytes,
		.off = ~0ull,
	};
	r->sq_array[at] = at;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
	HMMU_CHECK_INT(syscall(SYS_io_uring_enter, r->file, 1, 0, 0, NULL, 0),
		       1);
}

static void ring_wait(struct ring *r)
{
	HMMU_CHECK(syscall(SYS_io_uring_enter, r->file, 0, 1,
			   IORING_ENTER_GETEVENTS, NULL, 0) >= 0);
	HMMU_CHECK(__atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) !=
		   *r->cq_head);
	__atomic_store_n(r->cq_head, *r->cq_head + 1, __ATOMIC_RELEASE);
}

/* A read into a registered buffer is under way while its pages are wanted. */
static void test_pins_mv13_io_uring_read_in_flight(void)
{
	char *p = live_map_small(16, 1);
	struct ring ring;
	int ends[2];

	live_open();
	HMMU_CHECK_OK(pipe(ends));
	ring_open(&ring, p + 4 * PAGE, 2 * PAGE);
	ring_submit(&ring, ends[0], p + 4 * PAGE, 16);
	check_pinned(p, 16 * PAGE, 2);
	HMMU_CHECK_INT(live_present(p + 4 * PAGE, 2 * PAGE), 2);
	HMMU_CHECK_INT(write(ends[1], "0123456789abcdef", 16), 16);
	ring_wait(&ring);
	HMMU_CHECK_MEM(p + 4 * PAGE, "0123456789abcdef", 16);
	HMMU_CHECK_OK(close(ring.file));
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

/* PN1: what is away when the kernel wants it comes home before. */
static void test_pins_pn1_io_uring_brings_home(void)
{
	char *p = live_map_small(16, 1);
	struct ring ring;

	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	live_open();
	live_take(p, 16 * PAGE);
	ring_open(&ring, p + 4 * PAGE, 2 * PAGE);
	HMMU_CHECK_INT(live_present(p + 4 * PAGE, 2 * PAGE), 2);
	check_pinned(p, 16 * PAGE, 2);
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

static int open_direct(size_t bytes)
{
	static char name[] = "hmmu-direct-XXXXXX";
	char *fill = live_map_small(bytes / PAGE, 7);
	int file = mkstemp(name);

	/* Beside the programs, where an ordinary user may not write. */
	if (file < 0)
		HMMU_SKIP("O_DIRECT");
	HMMU_CHECK_INT(write(file, fill, bytes), bytes);
	HMMU_CHECK_OK(fsync(file));
	close(file);
	file = open(name, O_RDONLY | O_DIRECT | O_CLOEXEC);
	unlink(name);
	if (file < 0)
		HMMU_SKIP("O_DIRECT");
	return file;
}

#define DIRECT_PAGES 64u

static void *migrate_direct(void *arg)
{
	while (!atomic_load_explicit(&race.stop, memory_order_acquire)) {
		live_migrate(live_device, arg, DIRECT_PAGES * PAGE);
		HMMU_CHECK_OK(hmmu_migrate_to_system(
			live_space, (uintptr_t)arg, DIRECT_PAGES * PAGE, NULL));
	}
	return NULL;
}

/* No byte that the disk writes goes to a page that has left. */
static void test_pins_mv14_direct_read_in_flight(void)
{
	size_t bytes = DIRECT_PAGES * PAGE;
	char *p = live_map_small(DIRECT_PAGES, 1);
	pthread_t thread;
	int file, i;
	ssize_t got;

	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	file = open_direct(bytes);
	live_open();
	thread = live_thread(migrate_direct, p);
	for (i = 0; i < 200; i++) {
		memset(p, 0, bytes);
		got = pread(file, p, bytes, 0);
		if (got < 0 && errno == EINVAL)
			HMMU_SKIP("O_DIRECT");
		HMMU_CHECK_INT(got, bytes);
		LIVE_CHECK(p, bytes, 7);
	}
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	live_join(thread);
	close(file);
	live_close();
}

/*
 * Linux does not say that a pipe holds a page: it may leave, and the pipe goes
 * on holding it. What the pipe gives out is what was put in, for nobody writes
 * to the page meanwhile.
 */
static void test_pins_vmsplice_loses_no_byte(void)
{
	char *p = live_map_small(8, 1), *q = live_map_small(8, 2);
	struct iovec iov = { .iov_base = p, .iov_len = 4 * PAGE };
	struct hmmu_migrate_result r;
	int ends[2];

	live_open();
	HMMU_CHECK_OK(pipe(ends));
	HMMU_CHECK_INT(vmsplice(ends[1], &iov, 1, 0), 4 * PAGE);
	r = live_migrate(live_device, p, 8 * PAGE);
	HMMU_CHECK(r.pages_moved + r.stayed[HMMU_STAY_PINNED] == 8);
	HMMU_CHECK_INT(read(ends[0], q, 4 * PAGE), 4 * PAGE);
	LIVE_CHECK(q, 4 * PAGE, 1);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

/* What is pinned before it is lent stays, and the pipe sees later writes. */
static void test_pins_vmsplice_of_pinned_pages(void)
{
	char *p = live_map_small(8, 1), *q = live_map_small(8, 2);
	struct iovec iov = { .iov_base = p, .iov_len = 4 * PAGE };
	int ends[2];

	live_open();
	HMMU_CHECK_OK(pin(p, 4 * PAGE));
	HMMU_CHECK_OK(pipe(ends));
	HMMU_CHECK_INT(vmsplice(ends[1], &iov, 1, 0), 4 * PAGE);
	check_pinned(p, 8 * PAGE, 4);
	live_fill(p, 4 * PAGE, 5);
	HMMU_CHECK_INT(read(ends[0], q, 4 * PAGE), 4 * PAGE);
	LIVE_CHECK(q, 4 * PAGE, 5);
	HMMU_CHECK_OK(unpin(p, 4 * PAGE));
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_pins_pn2_stay_until_unpinned),
	       HMMU_TEST(test_pins_are_counted), HMMU_TEST(test_pins_errors),
	       HMMU_TEST(test_pins_round_outwards),
	       HMMU_TEST(test_pins_need_readable_memory),
	       HMMU_TEST(test_pins_make_present),
	       HMMU_TEST(test_pins_pn1_bring_home_from_private),
	       HMMU_TEST(test_pins_pn1_end_exclusive_access),
	       HMMU_TEST(test_pins_large_pages_beside),
	       HMMU_TEST(test_pins_device_uses_it_in_place),
	       HMMU_TEST(test_pins_belong_to_addresses),
	       HMMU_TEST(test_pins_space_closes),
	       HMMU_TEST(test_pins_never_leave),
	       HMMU_TEST(test_pins_against_a_first_migration),
	       HMMU_TEST(test_pins_mv13_io_uring_read_in_flight),
	       HMMU_TEST(test_pins_pn1_io_uring_brings_home),
	       HMMU_TEST(test_pins_mv14_direct_read_in_flight),
	       HMMU_TEST(test_pins_vmsplice_loses_no_byte),
	       HMMU_TEST(test_pins_vmsplice_of_pinned_pages))
