/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access, rules EX1 to EX12: who gets the page, who is told, and that
 * neither side ever loses a write.
 */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <hmmu/exclusive.h>
#include <hmmu/pin.h>

#include "fixture.h"
#include "ranges.h"

/* Of live_device, and all of it. */
static void make(const void *p, size_t bytes)
{
	size_t done = 0;

	HMMU_CHECK_OK(live_make_exclusive(live_device, p, bytes, &done));
	HMMU_CHECK_INT(done, bytes);
}

static bool has_flag(struct hmmu_device *device, const void *p)
{
	uint64_t entry;

	return live_leaf(device, p, &entry) &&
	       entry & HMMU_DEVICE_LEAF_EXCLUSIVE;
}

static void touch(const void *p)
{
	(void)*(const volatile char *)p;
}

static void check_device_reads_at(const void *p, size_t bytes, uint64_t seed,
				  size_t at_bytes)
{
	struct hmmu_port *port = live_port();
	size_t i;

	for (i = 0; i < bytes / 8; i++)
		HMMU_CHECK(live_load(port, (const char *)p + 8 * i) ==
			   live_word(seed, at_bytes / 8 + i));
	hmmu_port_close(port);
}

static void check_device_reads(const void *p, size_t bytes, uint64_t seed)
{
	check_device_reads_at(p, bytes, seed, 0);
}

static void test_exclusive_ex1_the_cpu_loses_the_page(void)
{
	char *p = live_map_small(4, 1);

	live_open();
	make(p + PAGE, PAGE);
	HMMU_CHECK(live_is_exclusive(live_device, p + PAGE));
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 3);
	HMMU_CHECK_INT(live_present(p + PAGE, PAGE), 0);
	HMMU_CHECK_INT(live_device_pages(), 1);
	/* It is not the device's memory that holds it. */
	HMMU_CHECK_INT(live_memory_stats().used_pages, 0);
	check_device_reads(p, 4 * PAGE, 1);
	HMMU_CHECK_INT(live_present(p + PAGE, PAGE), 0);
	LIVE_CHECK(p, 4 * PAGE, 1);
	HMMU_CHECK(!has_flag(live_device, p + PAGE));
	LIVE_CHECK_SOON(live_device_pages() == 0);
	live_close();
}

/* It needs no memory of its own, and what it writes is found (EX10). */
static void test_exclusive_ex10_writes_of_the_device_are_seen(void)
{
	struct hmmu_device *device;
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	size_t i;

	live_open_space();
	device = live_add_device(0, NULL);
	HMMU_CHECK_OK(live_make_exclusive(device, p, 4 * PAGE, NULL));
	HMMU_CHECK_OK(hmmu_port_open(device, &port));
	for (i = 0; i < 4 * PAGE / 8; i++)
		live_store(port, p + 8 * i, live_word(2, i));
	for (i = 0; i < 4; i++)
		HMMU_CHECK(live_is_exclusive(device, p + i * PAGE));
	LIVE_CHECK(p, 4 * PAGE, 2);
	hmmu_port_close(port);
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static void test_exclusive_ex2_untouched_memory(void)
{
	char *p = live_map(4 * PAGE);
	struct hmmu_port *port;

	live_open();
	make(p, 4 * PAGE);
	port = live_port();
	HMMU_CHECK_INT(live_load(port, p + 2 * PAGE), 0);
	HMMU_CHECK(live_is_exclusive(live_device, p + 2 * PAGE));
	hmmu_port_close(port);
	LIVE_CHECK_ZERO(p, 4 * PAGE);
	live_close();
}

/* From the device's own memory: the page leaves it, the others stay there. */
static void test_exclusive_ex2_own_memory(void)
{
	char *p = live_map_small(16, 1);

	live_open();
	live_take(p, 16 * PAGE);
	make(p + 3 * PAGE, PAGE);
	HMMU_CHECK(live_is_exclusive(live_device, p + 3 * PAGE));
	HMMU_CHECK_INT(live_memory_stats().used_pages, 15);
	check_device_reads(p, 16 * PAGE, 1);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 0);
	/* The touch of a private page brings the block, but what is exclusive. */
	touch(p);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	HMMU_CHECK_INT(live_present(p, 16 * PAGE), 15);
	check_device_reads(p, 16 * PAGE, 1);
	HMMU_CHECK(live_is_exclusive(live_device, p + 3 * PAGE));
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_close();
}

static void test_exclusive_ex2_large_page_of_own_memory(void)
{
	char *p = live_map_large(1, 1);

	live_open();
	live_take(p, LARGE);
	make(p + 3 * PAGE, 2 * PAGE);
	HMMU_CHECK_INT(live_memory_stats().used_pages, PER_LARGE - 2);
	check_device_reads(p, LARGE, 1);
	HMMU_CHECK(live_is_exclusive(live_device, p + 4 * PAGE));
	HMMU_CHECK(!has_flag(live_device, p + 5 * PAGE));
	LIVE_CHECK(p, LARGE, 1);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 0);
	live_close();
}

static void test_exclusive_ex2_memory_of_another_device(void)
{
	char *p = live_map_small(16, 1);
	struct hmmu_memory *memory;
	struct hmmu_device *other;

	live_open();
	other = live_add_device(LARGE, &memory);
	live_migrate(other, p, 16 * PAGE);
	make(p + 3 * PAGE, PAGE);
	HMMU_CHECK(live_is_exclusive(live_device, p + 3 * PAGE));
	HMMU_CHECK_INT(live_used_pages(memory), 15);
	HMMU_CHECK_OK(
		hmmu_device_fault(other, (uintptr_t)p, PAGE, HMMU_ACCESS_READ));
	LIVE_CHECK(p, 16 * PAGE, 1);
	live_remove_device(other, memory);
	live_close();
}

/* Who wants it has it: the other has lost it. */
static void test_exclusive_ex2_page_of_another_device(void)
{
	struct hmmu_device *other;
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;

	live_open();
	other = live_add_device(0, NULL);
	make(p, 2 * PAGE);
	port = live_port();
	live_store(port, p, 77);
	HMMU_CHECK_OK(live_make_exclusive(other, p, PAGE, NULL));
	HMMU_CHECK(live_is_exclusive(other, p));
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	HMMU_CHECK(live_is_exclusive(live_device, p + PAGE));
	HMMU_CHECK(!live_leaf(other, p + PAGE, NULL));
	/* A plain fault of the first takes it away again. */
	HMMU_CHECK_INT(live_load(port, p), 77);
	HMMU_CHECK(!has_flag(other, p) && !has_flag(live_device, p));
	hmmu_port_close(port);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 77);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	live_close();
}

/* E14: neither side of a fork sees the other's later writes. */
static void check_cow(char *p, size_t bytes)
{
	struct hmmu_port *port;
	int go[2];
	pid_t child;
	char c;

	HMMU_CHECK_OK(pipe(go));
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		LIVE_CHECK(p, bytes, 1);
		_exit(0);
	}
	make(p, PAGE);
	port = live_port();
	live_store(port, p, 99);
	HMMU_CHECK(live_is_exclusive(live_device, p));
	hmmu_port_close(port);
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	live_child_ok(child);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 99);
	*(volatile uint64_t *)p = live_word(1, 0);
	LIVE_CHECK(p, bytes, 1);
	close(go[0]);
	close(go[1]);
}

static void test_exclusive_ex2_e14_breaks_cow(void)
{
	char *p = live_map_small(4, 1), *q = live_map_large(1, 1);

	live_open();
	check_cow(p, 4 * PAGE);
	check_cow(q, LARGE);
	live_close();
}

static void check_refused(const void *p, int err)
{
	size_t done = 5;

	HMMU_CHECK_INT(live_make_exclusive(live_device, p, PAGE, &done), err);
	HMMU_CHECK_INT(done, 0);
	HMMU_CHECK(!has_flag(live_device, p));
}

static void test_exclusive_ex2_no_access_is_efault(void)
{
	char *p = live_map_small(8, 1);

	live_open();
	make(p, PAGE);
	HMMU_CHECK_OK(mprotect(p + PAGE, PAGE, PROT_READ));
	HMMU_CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	HMMU_CHECK_OK(mprotect(p + 3 * PAGE, PAGE, PROT_WRITE));
	HMMU_CHECK_OK(munmap(p + 4 * PAGE, PAGE));
	check_refused(p + PAGE, -EFAULT);
	check_refused(p + 2 * PAGE, -EFAULT);
	check_refused(p + 3 * PAGE, -EFAULT);
	check_refused(p + 4 * PAGE, -EFAULT);
	check_refused((void *)(1ul << 48), -EFAULT);
	LIVE_CHECK(p, 2 * PAGE, 1);
	live_close();
}

static char *map_file(int flags)
{
	int file = memfd_create("test", MFD_CLOEXEC);
	char *p;

	HMMU_CHECK(file >= 0);
	HMMU_CHECK_OK(ftruncate(file, PAGE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
	HMMU_CHECK(p != MAP_FAILED);
	close(file);
	return p;
}

/* Only private anonymous memory, and no hugetlb pages, mapped or not. */
static void test_exclusive_ex3_other_kinds(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	void *p;

	live_open();
	make(live_map_small(1, 1), PAGE);
	check_refused(map_file(MAP_SHARED), -EOPNOTSUPP);
	check_refused(map_file(MAP_PRIVATE), -EOPNOTSUPP);
	p = mmap(NULL, PAGE, rw, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check_refused(p, -EOPNOTSUPP);
	p = mmap(NULL, LARGE, rw,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1,
		 0);
	if (p != MAP_FAILED)
		check_refused(p, -EOPNOTSUPP);
	live_close();
}

static int ring_with(void *p, size_t bytes)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = { .iov_base = p, .iov_len = bytes };
	int ring = (int)syscall(SYS_io_uring_setup, 4, &params);

	if (ring < 0 || syscall(SYS_io_uring_register, ring,
				IORING_REGISTER_BUFFERS, &iov, 1))
		HMMU_SKIP("io_uring");
	return ring;
}

/* EX9: others who hold the page are not kept out, so it is not given. */
static void test_exclusive_ex9_pinned_by_the_kernel(void)
{
	char *p = live_map_small(4, 1);

	live_open();
	ring_with(p + PAGE, PAGE);
	check_refused(p + PAGE, -EBUSY);
	make(p, PAGE);
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

static void test_exclusive_what_must_stay_is_busy(void)
{
	char *p = live_map_small(4, 1), *own;

	live_open();
	make(p, PAGE);
	HMMU_CHECK_OK(hmmu_pin_range(live_space, (uintptr_t)p, PAGE));
	check_refused(p, -EBUSY);
	HMMU_CHECK_OK(hmmu_unpin_range(live_space, (uintptr_t)p, PAGE));
	make(p, PAGE);
	if (live_lock(p + PAGE, PAGE) == 0)
		check_refused(p + PAGE, -EBUSY);
	own = hmmu_alloc(2 * PAGE);
	HMMU_CHECK(own);
	check_refused((char *)(((uintptr_t)own + PAGE - 1) & ~(PAGE - 1)),
		      -EBUSY);
	hmmu_free(own, 2 * PAGE);
	/* stdout's record is the C library's; its file is private, too. */
	HMMU_CHECK(
		live_make_exclusive(live_device,
				    (void *)((uintptr_t)stdout & ~(PAGE - 1)),
				    PAGE, NULL) < 0);
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

static void test_exclusive_ex4_one_page_of_a_large_one(void)
{
	char *p = live_map_large(1, 1);

	live_open();
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, LARGE,
					HMMU_ACCESS_WRITE));
	make(p + 7 * PAGE, PAGE);
	HMMU_CHECK(live_is_exclusive(live_device, p + 7 * PAGE));
	HMMU_CHECK_INT(live_present(p, LARGE), PER_LARGE - 1);
	/* The others are the program's as before. */
	p[8 * PAGE] = p[8 * PAGE];
	HMMU_CHECK(live_is_exclusive(live_device, p + 7 * PAGE));
	check_device_reads(p, LARGE, 1);
	HMMU_CHECK(live_is_exclusive(live_device, p + 7 * PAGE));
	LIVE_CHECK(p, LARGE, 1);
	live_close();
}

/* All pages of a block are still pages. */
static void test_exclusive_ex4_all_pages_of_a_large_one(void)
{
	char *p = live_map_large(1, 1);
	size_t i;

	live_open();
	make(p, LARGE);
	HMMU_CHECK_INT(live_present(p, LARGE), 0);
	check_device_reads(p, LARGE, 1);
	for (i = 0; i < PER_LARGE; i++)
		HMMU_CHECK(live_is_exclusive(live_device, p + i * PAGE));
	touch(p + 100 * PAGE);
	HMMU_CHECK_INT(live_present(p, LARGE), 1);
	for (i = 0; i < PER_LARGE; i++)
		HMMU_CHECK(live_is_exclusive(live_device, p + i * PAGE) ==
			   (i != 100));
	LIVE_CHECK(p, LARGE, 1);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	live_close();
}

/* What a driver's own subscription is told. */
struct told {
	struct hmmu_notifier *sub;
	const char *watch;
	/* The driver's own: to be let pass, unread (IN26). */
	const void *own;
	_Atomic unsigned int calls;
	_Atomic unsigned int waits;
	_Atomic unsigned int go;
	struct hmmu_invalidation at[8];
	size_t present[8];
};

static struct told told;

static void on_told(struct hmmu_notifier *sub, void *arg,
		    const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	struct told *t = arg;
	unsigned int i;

	if (inv->owner != t->own || !t->own)
		hmmu_notifier_set_seq(sub, cur_seq);
	i = atomic_load_explicit(&t->calls, memory_order_acquire);
	if (i < 8) {
		t->at[i] = *inv;
		t->present[i] = live_present(t->watch, PAGE);
	}
	atomic_fetch_add_explicit(&t->calls, 1, memory_order_acq_rel);
	if (atomic_load_explicit(&t->waits, memory_order_acquire))
		HMMU_CHECK(live_wait_for(&t->go, 1, 10000));
}

static void subscribe(const char *p, size_t bytes)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = on_told };

	told.watch = p;
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, bytes, 0,
					   &ops, &told, &told.sub));
}

static unsigned int times_told(void)
{
	return atomic_load_explicit(&told.calls, memory_order_acquire);
}

static void check_told(unsigned int i, enum hmmu_event event, const void *owner,
		       const char *p)
{
	HMMU_CHECK(times_told() > i);
	HMMU_CHECK_INT(told.at[i].event, event);
	HMMU_CHECK(told.at[i].owner == owner);
	HMMU_CHECK(told.at[i].start == (uintptr_t)p);
	HMMU_CHECK(told.at[i].end == (uintptr_t)p + PAGE);
}

/* EX5, EX7: before the page is taken, and before it comes back. */
static void test_exclusive_ex5_ex7_events(void)
{
	char *p = live_map_small(4, 1);

	live_open();
	subscribe(p + PAGE, PAGE);
	make(p + PAGE, PAGE);
	HMMU_CHECK_INT(times_told(), 1);
	check_told(0, HMMU_EVENT_EXCLUSIVE, live_device, p + PAGE);
	HMMU_CHECK_INT(told.present[0], 1);
	touch(p + PAGE);
	HMMU_CHECK_INT(times_told(), 2);
	check_told(1, HMMU_EVENT_CLEAR, NULL, p + PAGE);
	HMMU_CHECK_INT(told.present[1], 0);
	hmmu_notifier_remove(told.sub);
	live_close();
}

/* IN26: who lets his own pass does not collide with himself. */
static void test_exclusive_in26_own_event_is_let_pass(void)
{
	char *p = live_map_small(4, 1);
	uint64_t seq;

	live_open();
	subscribe(p, PAGE);
	told.own = live_device;
	seq = hmmu_notifier_read_begin(told.sub);
	make(p, PAGE);
	HMMU_CHECK(!hmmu_notifier_read_retry(told.sub, seq));
	HMMU_CHECK_INT(times_told(), 1);
	touch(p);
	HMMU_CHECK(hmmu_notifier_read_retry(told.sub, seq));
	/* And who does not, begins again. */
	told.own = NULL;
	seq = hmmu_notifier_read_begin(told.sub);
	make(p, PAGE);
	HMMU_CHECK(hmmu_notifier_read_retry(told.sub, seq));
	hmmu_notifier_remove(told.sub);
	live_close();
}

/* Whoever ends it, the device is told what it can not take for its own. */
static void check_revoke_is_clear(const char *p)
{
	unsigned int i, n = times_told();

	HMMU_CHECK(n > 0 && n <= 8);
	for (i = 0; i < n; i++)
		if (told.at[i].event == HMMU_EVENT_CLEAR)
			break;
	check_told(i, HMMU_EVENT_CLEAR, NULL, p);
	atomic_store_explicit(&told.calls, 0, memory_order_release);
}

static void test_exclusive_ex7_home_and_other_devices_are_clear(void)
{
	struct hmmu_device *other;
	char *p = live_map_small(4, 1);

	live_open();
	other = live_add_device(0, NULL);
	make(p, PAGE);
	subscribe(p, PAGE);
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, PAGE, NULL));
	check_revoke_is_clear(p);
	make(p, PAGE);
	atomic_store_explicit(&told.calls, 0, memory_order_release);
	HMMU_CHECK_OK(live_make_exclusive(other, p, PAGE, NULL));
	check_revoke_is_clear(p);
	hmmu_notifier_remove(told.sub);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	live_close();
}

static _Atomic unsigned int gone_on;

static void *touch_and_say(void *arg)
{
	touch(arg);
	atomic_store_explicit(&gone_on, 1, memory_order_release);
	return NULL;
}

/* EX7: the CPU waits until the device has let go. */
static void test_exclusive_ex7_the_device_is_told_first(void)
{
	char *p = live_map_small(4, 1);
	pthread_t thread;

	live_open();
	make(p, 4 * PAGE);
	subscribe(p, PAGE);
	atomic_store_explicit(&told.waits, 1, memory_order_release);
	thread = live_thread(touch_and_say, p);
	HMMU_CHECK(live_wait_for(&told.calls, 1, 5000));
	live_sleep_ms(50);
	HMMU_CHECK(!atomic_load_explicit(&gone_on, memory_order_acquire));
	HMMU_CHECK_INT(live_present(p, PAGE), 0);
	atomic_store_explicit(&told.go, 1, memory_order_release);
	live_join(thread);
	/* One page only. */
	HMMU_CHECK_INT(live_present(p, 4 * PAGE), 1);
	HMMU_CHECK(!live_leaf(live_device, p, NULL));
	HMMU_CHECK(live_is_exclusive(live_device, p + PAGE));
	hmmu_notifier_remove(told.sub);
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}

/* A section of the device holds the touch off. */
static void test_exclusive_ex6_a_section_holds_the_touch(void)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	pthread_t thread;
	size_t run;
	void *host;

	live_open();
	port = live_port();
	make(p, PAGE);
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)p, 8, HMMU_ACCESS_WRITE,
				     &host, &run));
	HMMU_CHECK(host != p && live_is_exclusive(live_device, p));
	thread = live_thread(touch_and_say, p);
	live_sleep_ms(50);
	HMMU_CHECK(!atomic_load_explicit(&gone_on, memory_order_acquire));
	*(volatile uint64_t *)host = 5;
	hmmu_port_end(port);
	live_join(thread);
	HMMU_CHECK_INT(*(volatile uint64_t *)p, 5);
	hmmu_port_close(port);
	live_close();
}

/* EX7: it comes back with what the mapping allows, and its content. */
static void
test_exclusive_ex7_mapping_read_only_by_then(const struct live_way *way)
{
	char *p = live_map_small(4, 1);

	live_open();
	make(p, 4 * PAGE);
	HMMU_CHECK_OK(way->protect(p, 4 * PAGE, PROT_READ));
	if (!live_is_late(way))
		HMMU_CHECK(!live_leaf(live_device, p, NULL));
	LIVE_CHECK(p, 2 * PAGE, 1);
	HMMU_CHECK_OK(way->protect(p, 4 * PAGE, PROT_READ | PROT_WRITE));
	p[0] = p[0];
	LIVE_CHECK(p, 4 * PAGE, 1);
	live_close();
}
BOTH_WAYS(test_exclusive_ex7_mapping_read_only_by_then)

/* RF22: neither one's own nor another's is present; asked for, it is taken. */
static void test_exclusive_rf22_range(void)
{
	struct hmmu_device *other;
	char *p = live_map_small(4, 1);
	uint64_t e[4];

	live_open();
	other = live_add_device(0, NULL);
	make(p, 2 * PAGE);
	HMMU_CHECK_OK(live_make_exclusive(other, p + 2 * PAGE, PAGE, NULL));
	live_look(live_device, p, 4, 0, e);
	HMMU_CHECK(e[0] == 0 && e[1] == 0 && e[2] == 0);
	HMMU_CHECK(e[3] & HMMU_ENTRY_VALID);
	HMMU_CHECK(live_is_exclusive(live_device, p) &&
		   live_is_exclusive(other, p + 2 * PAGE));
	live_look(live_device, p + PAGE, 2, HMMU_ENTRY_REQ_FAULT, e);
	HMMU_CHECK(e[0] & HMMU_ENTRY_VALID && e[1] & HMMU_ENTRY_VALID);
	HMMU_CHECK_INT(hmmu_entry_where(e[0]), HMMU_WHERE_SYSTEM);
	HMMU_CHECK(live_is_exclusive(live_device, p));
	HMMU_CHECK(!has_flag(live_device, p + PAGE));
	HMMU_CHECK(!has_flag(other, p + 2 * PAGE));
	LIVE_CHECK(p, 4 * PAGE, 1);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	live_close();
}

/* EX11: the child has the content of the moment. */
static void test_exclusive_ex11_fork(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_port *port;
	int go[2];
	pid_t child;
	char c;

	live_open();
	HMMU_CHECK_OK(pipe(go));
	make(p, 4 * PAGE);
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(read(go[0], &c, 1), 1);
		LIVE_CHECK(p, 8 * PAGE, 1);
		p[0]++;
		_exit(0);
	}
	HMMU_CHECK(!has_flag(live_device, p));
	HMMU_CHECK_INT(live_device_pages(), 0);
	port = live_port();
	live_store(port, p, 99);
	live_store(port, p, live_word(1, 0));
	live_store(port, p + PAGE, 98);
	HMMU_CHECK_INT(write(go[1], "", 1), 1);
	live_child_ok(child);
	live_store(port, p + PAGE, live_word(1, PAGE / 8));
	hmmu_port_close(port);
	LIVE_CHECK(p, 8 * PAGE, 1);
	make(p, PAGE);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static void test_exclusive_ex12_munmap(const struct live_way *way)
{
	char *p = live_map_small(8, 1);

	live_open();
	make(p, 8 * PAGE);
	HMMU_CHECK_OK(way->unmap(p + 2 * PAGE, 3 * PAGE));
	LIVE_CHECK_AFTER(way, live_device_pages() == 5);
	LIVE_CHECK_AFTER(way, !live_leaf(live_device, p + 3 * PAGE, NULL));
	LIVE_CHECK_AFTER(way, live_stats().pages_dropped == 3);
	HMMU_CHECK(live_is_exclusive(live_device, p + 5 * PAGE));
	HMMU_CHECK(way->map(p + 2 * PAGE, 3 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED) == p + 2 * PAGE);
	LIVE_CHECK_ZERO(p + 2 * PAGE, 3 * PAGE);
	LIVE_CHECK(p, 2 * PAGE, 1);
	LIVE_CHECK_AT(p + 5 * PAGE, 3 * PAGE, 1, 5 * PAGE);
	live_close();
}
BOTH_WAYS(test_exclusive_ex12_munmap)

static void test_exclusive_ex12_discard(const struct live_way *way)
{
	char *p = live_map_small(8, 1);

	live_open();
	make(p, 8 * PAGE);
	HMMU_CHECK_OK(way->advise(p + 2 * PAGE, 3 * PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, live_device_pages() == 5);
	LIVE_CHECK_AFTER(way, !live_leaf(live_device, p + 3 * PAGE, NULL));
	LIVE_CHECK_ZERO(p + 2 * PAGE, 3 * PAGE);
	LIVE_CHECK(p, 2 * PAGE, 1);
	/* The range may be had again, at once: who makes it so waits. */
	make(p + 2 * PAGE, PAGE);
	LIVE_CHECK_ZERO(p + 2 * PAGE, 3 * PAGE);
	LIVE_CHECK_AT(p + 5 * PAGE, 3 * PAGE, 1, 5 * PAGE);
	live_close();
}
BOTH_WAYS(test_exclusive_ex12_discard)

static void test_exclusive_mremap_takes_it_along(const struct live_way *way)
{
	char *p = live_map_small(8, 1), *q = live_map(8 * PAGE);

	live_open();
	make(p + PAGE, 2 * PAGE);
	HMMU_CHECK(way->remap(p, 8 * PAGE, 8 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, q) == q);
	LIVE_CHECK_AFTER(way, !live_leaf(live_device, p + PAGE, NULL));
	LIVE_CHECK(q, 8 * PAGE, 1);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	live_close();
}
BOTH_WAYS(test_exclusive_mremap_takes_it_along)

static void test_exclusive_stays_when_the_rest_migrates(void)
{
	char *p = live_map_small(8, 1), *q = live_map_large(2, 1);
	struct hmmu_migrate_result r;

	live_open();
	make(p + 2 * PAGE, 2 * PAGE);
	r = live_migrate(live_device, p, 8 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_EXCLUSIVE], 2);
	HMMU_CHECK_INT(r.pages_moved, 6);
	check_device_reads(p, 8 * PAGE, 1);
	HMMU_CHECK(live_is_exclusive(live_device, p + 2 * PAGE));
	LIVE_CHECK(p, 8 * PAGE, 1);
	make(q + 9 * PAGE, PAGE);
	r = live_migrate(live_device, q, 2 * LARGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_EXCLUSIVE], 1);
	HMMU_CHECK_INT(r.pages_moved, 2 * PER_LARGE - 1);
	LIVE_CHECK(q, 2 * LARGE, 1);
	live_close();
}

static void test_exclusive_home_and_evict(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_migrate_result r = { .size = sizeof(r) };

	live_open();
	make(p, 4 * PAGE);
	live_migrate(live_device, p + 4 * PAGE, 4 * PAGE);
	HMMU_CHECK_OK(
		hmmu_migrate_to_system(live_space, (uintptr_t)p, 6 * PAGE, &r));
	HMMU_CHECK_INT(r.pages_moved, 6);
	HMMU_CHECK(!has_flag(live_device, p));
	make(p, 2 * PAGE);
	HMMU_CHECK_OK(hmmu_migrate_evict(live_device, &r));
	HMMU_CHECK_INT(r.pages_moved, 4);
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 8);
	HMMU_CHECK(!live_is_armed(p));
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static void test_exclusive_when_device_and_space_go(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_device *other;

	live_open();
	other = live_add_device(0, NULL);
	HMMU_CHECK_OK(live_make_exclusive(other, p, 4 * PAGE, NULL));
	make(p + 4 * PAGE, 4 * PAGE);
	HMMU_CHECK_OK(hmmu_device_destroy(other));
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 4);
	/* The block has been invalidated; whose the page is has not changed. */
	check_device_reads_at(p + 4 * PAGE, 4 * PAGE, 1, 4 * PAGE);
	HMMU_CHECK(live_is_exclusive(live_device, p + 4 * PAGE));
	live_close();
	HMMU_CHECK_INT(live_present(p, 8 * PAGE), 8);
	LIVE_CHECK(p, 8 * PAGE, 1);
}

static void test_exclusive_error_in_the_middle(void)
{
	char *p = live_map_small(8, 1);
	size_t done = 0, i;

	live_open();
	HMMU_CHECK_OK(mprotect(p + 4 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_INT(live_make_exclusive(live_device, p, 8 * PAGE, &done),
		       -EFAULT);
	HMMU_CHECK_INT(done, 4 * PAGE);
	for (i = 0; i < 8; i++)
		HMMU_CHECK(live_is_exclusive(live_device, p + i * PAGE) ==
			   (i < 4));
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static int try_range(uintptr_t address, size_t bytes)
{
	return hmmu_device_make_exclusive(live_device, address, bytes, NULL);
}

static void test_exclusive_arguments(void)
{
	uintptr_t p = (uintptr_t)live_map_small(4, 1);

	live_open();
	HMMU_CHECK_INT(hmmu_device_make_exclusive(NULL, p, PAGE, NULL),
		       -EINVAL);
	check_ranges(try_range, p);
	HMMU_CHECK_INT(live_device_pages(), 0);
	/* Twice is no error. */
	make((void *)p, PAGE);
	make((void *)p, PAGE);
	HMMU_CHECK_INT(live_device_pages(), 1);
	live_close();
}

/* Every page that holds a byte of the range; @done counts whole pages. */
static void test_exclusive_rounds_outwards(void)
{
	char *p = live_map_small(8, 1);
	size_t done = 0;

	live_open();
	HMMU_CHECK_OK(
		live_make_exclusive(live_device, p + 2 * PAGE - 1, 2, &done));
	HMMU_CHECK_INT(done, 2 * PAGE);
	HMMU_CHECK_INT(live_device_pages(), 2);
	HMMU_CHECK(live_is_exclusive(live_device, p + PAGE));
	HMMU_CHECK(live_is_exclusive(live_device, p + 2 * PAGE));
	HMMU_CHECK(!live_is_exclusive(live_device, p));
	HMMU_CHECK(!live_is_exclusive(live_device, p + 3 * PAGE));
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static void test_exclusive_child_has_no_device(void)
{
	char *p = live_map_small(4, 1);
	pid_t child;

	live_open();
	child = fork();
	if (child == 0) {
		HMMU_CHECK_INT(try_range((uintptr_t)p, (uintptr_t)p + PAGE),
			       -ECHILD);
		_exit(0);
	}
	live_child_ok(child);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_exclusive_ex1_the_cpu_loses_the_page),
	       HMMU_TEST(test_exclusive_ex10_writes_of_the_device_are_seen),
	       HMMU_TEST(test_exclusive_ex2_untouched_memory),
	       HMMU_TEST(test_exclusive_ex2_own_memory),
	       HMMU_TEST(test_exclusive_ex2_large_page_of_own_memory),
	       HMMU_TEST(test_exclusive_ex2_memory_of_another_device),
	       HMMU_TEST(test_exclusive_ex2_page_of_another_device),
	       HMMU_TEST(test_exclusive_ex2_e14_breaks_cow),
	       HMMU_TEST(test_exclusive_ex2_no_access_is_efault),
	       HMMU_TEST(test_exclusive_ex3_other_kinds),
	       HMMU_TEST(test_exclusive_ex9_pinned_by_the_kernel),
	       HMMU_TEST(test_exclusive_what_must_stay_is_busy),
	       HMMU_TEST(test_exclusive_ex4_one_page_of_a_large_one),
	       HMMU_TEST(test_exclusive_ex4_all_pages_of_a_large_one),
	       HMMU_TEST(test_exclusive_ex5_ex7_events),
	       HMMU_TEST(test_exclusive_in26_own_event_is_let_pass),
	       HMMU_TEST(test_exclusive_ex7_home_and_other_devices_are_clear),
	       HMMU_TEST(test_exclusive_ex7_the_device_is_told_first),
	       HMMU_TEST(test_exclusive_ex6_a_section_holds_the_touch),
	       TEST_BOTH(test_exclusive_ex7_mapping_read_only_by_then),
	       HMMU_TEST(test_exclusive_rf22_range),
	       HMMU_TEST(test_exclusive_ex11_fork),
	       TEST_BOTH(test_exclusive_ex12_munmap),
	       TEST_BOTH(test_exclusive_ex12_discard),
	       TEST_BOTH(test_exclusive_mremap_takes_it_along),
	       HMMU_TEST(test_exclusive_stays_when_the_rest_migrates),
	       HMMU_TEST(test_exclusive_home_and_evict),
	       HMMU_TEST(test_exclusive_when_device_and_space_go),
	       HMMU_TEST(test_exclusive_error_in_the_middle),
	       HMMU_TEST(test_exclusive_arguments),
	       HMMU_TEST(test_exclusive_rounds_outwards),
	       HMMU_TEST(test_exclusive_child_has_no_device))
