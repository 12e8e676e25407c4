/* SPDX-License-Identifier: MIT */
/*
 * Ports: any address of the program, faults as values, sections that a change
 * waits for. Never a signal, never content that was not there.
 */
#include <sched.h>
#include <sys/mman.h>

#include "fixture.h"

static void test_ports_load_and_store_every_size(void)
{
	uint8_t *p = live_map_small(4, 1);
	struct hmmu_port *port;
	uint8_t v8 = 0;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;
	int on_device;

	live_open();
	port = live_port();
	for (on_device = 0; on_device < 2; on_device++) {
		uintptr_t a = (uintptr_t)p;

		HMMU_CHECK_OK(hmmu_port_store8(port, a + 1, 0x12));
		HMMU_CHECK_OK(hmmu_port_store16(port, a + 2, 0x3456));
		HMMU_CHECK_OK(hmmu_port_store32(port, a + 4, 0x789abcde));
		HMMU_CHECK_OK(hmmu_port_store64(port, a + 8, 0xfeedf00dull));
		HMMU_CHECK_OK(hmmu_port_load8(port, a + 1, &v8));
		HMMU_CHECK_OK(hmmu_port_load16(port, a + 2, &v16));
		HMMU_CHECK_OK(hmmu_port_load32(port, a + 4, &v32));
		HMMU_CHECK_OK(hmmu_port_load64(port, a + 8, &v64));
		HMMU_CHECK(v8 == 0x12 && v16 == 0x3456);
		HMMU_CHECK(v32 == 0x789abcde && v64 == 0xfeedf00dull);
		/* Across pages and not aligned. */
		HMMU_CHECK_OK(hmmu_port_store64(port, a + PAGE - 3,
						0x1122334455667788ull));
		HMMU_CHECK_OK(hmmu_port_load64(port, a + PAGE - 3, &v64));
		HMMU_CHECK(v64 == 0x1122334455667788ull);
		HMMU_CHECK_OK(hmmu_port_load32(port, a + PAGE - 1, &v32));
		HMMU_CHECK(v32 == 0x33445566);
		if (!on_device)
			live_take(p, 4 * PAGE);
	}
	LIVE_CHECK_SOON(live_device_pages() == 4);
	HMMU_CHECK_INT(p[1], 0x12);
	HMMU_CHECK_INT(p[PAGE], 0x55);
	hmmu_port_close(port);
	live_close();
}

static void test_ports_read_and_write_any_length(void)
{
	size_t bytes = 3 * LARGE - 5, done = 0;
	char *p = live_map_large(3, 1);
	struct hmmu_port *port;
	unsigned char *buffer;

	live_open();
	port = live_port();
	buffer = hmmu_alloc(bytes);
	HMMU_CHECK(buffer);
	/* Part on the device, part not. */
	live_take(p + LARGE, LARGE);
	HMMU_CHECK_OK(
		hmmu_port_read(port, (uintptr_t)p + 3, buffer, bytes, &done));
	HMMU_CHECK_INT(done, bytes);
	LIVE_CHECK_SOON(live_device_pages() == PER_LARGE);
	HMMU_CHECK_MEM(buffer, p + 3, bytes);
	live_take(p + LARGE, LARGE);
	memset(buffer, 0x5a, bytes);
	HMMU_CHECK_OK(
		hmmu_port_write(port, (uintptr_t)p + 3, buffer, bytes, &done));
	HMMU_CHECK_INT(done, bytes);
	HMMU_CHECK_MEM(buffer, p + 3, bytes);
	HMMU_CHECK_OK(hmmu_port_read(port, (uintptr_t)p, buffer, 0, &done));
	HMMU_CHECK_INT(done, 0);
	hmmu_free(buffer, bytes);
	hmmu_port_close(port);
	live_close();
}

static void test_ports_partial_read_says_how_far(void)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	struct hmmu_port_fault last;
	unsigned char *buffer;
	size_t done = 0;

	live_open();
	port = live_port();
	buffer = hmmu_alloc(4 * PAGE);
	HMMU_CHECK_OK(munmap(p + 2 * PAGE, PAGE));
	HMMU_CHECK_INT(hmmu_port_read(port, (uintptr_t)p + 100, buffer,
				      3 * PAGE, &done),
		       -EFAULT);
	HMMU_CHECK_INT(done, 2 * PAGE - 100);
	HMMU_CHECK_MEM(buffer, p + 100, done);
	hmmu_port_last_fault(port, &last);
	HMMU_CHECK(last.va == (uintptr_t)p + 2 * PAGE);
	HMMU_CHECK_INT(last.access, HMMU_ACCESS_READ);
	HMMU_CHECK_INT(last.error, -EFAULT);
	HMMU_CHECK_INT(hmmu_port_read(port, UINTPTR_MAX - 5, buffer, 100, NULL),
		       -EINVAL);
	hmmu_free(buffer, 4 * PAGE);
	hmmu_port_close(port);
	live_close();
}

static void check_fault(struct hmmu_port *port, const void *p,
			enum hmmu_access access, int error)
{
	struct hmmu_port_fault last;
	uint64_t value = 0x1111;
	int err = access ? hmmu_port_store64(port, (uintptr_t)p, 1) :
			   hmmu_port_load64(port, (uintptr_t)p, &value);

	HMMU_CHECK_INT(err, error);
	HMMU_CHECK_INT(value, 0x1111);
	hmmu_port_last_fault(port, &last);
	HMMU_CHECK(last.va == (uintptr_t)p);
	HMMU_CHECK_INT(last.access, access);
	HMMU_CHECK_INT(last.error, error);
}

static void test_ports_e7_faults_are_values(void)
{
	char *p = live_map_small(8, 1);
	struct hmmu_port *port;
	void *own;

	live_open();
	port = live_port();
	HMMU_CHECK_OK(munmap(p + PAGE, PAGE));
	HMMU_CHECK_OK(mprotect(p + 3 * PAGE, PAGE, PROT_NONE));
	HMMU_CHECK_OK(mprotect(p + 5 * PAGE, PAGE, PROT_READ));
	check_fault(port, p + PAGE + 8, HMMU_ACCESS_READ, -EFAULT);
	check_fault(port, p + PAGE + 8, HMMU_ACCESS_WRITE, -EFAULT);
	check_fault(port, p + 3 * PAGE, HMMU_ACCESS_READ, -EFAULT);
	check_fault(port, p + 3 * PAGE, HMMU_ACCESS_WRITE, -EFAULT);
	check_fault(port, p + 5 * PAGE, HMMU_ACCESS_WRITE, -EPERM);
	check_fault(port, NULL, HMMU_ACCESS_READ, -EFAULT);
	check_fault(port, (void *)8, HMMU_ACCESS_WRITE, -EFAULT);
	check_fault(port, (void *)(1ul << 47), HMMU_ACCESS_READ, -EFAULT);
	check_fault(port, (void *)(1ul << 60), HMMU_ACCESS_WRITE, -EFAULT);
	check_fault(port, (void *)0xffffffff81000000ul, HMMU_ACCESS_READ,
		    -EFAULT);
	/* HMMU's own memory no device reaches (design, rule 1). */
	own = hmmu_alloc(PAGE);
	check_fault(port, own, HMMU_ACCESS_WRITE, -EFAULT);
	hmmu_free(own, PAGE);
	HMMU_CHECK(live_load(port, p + 5 * PAGE) == live_word(1, 5 * PAGE / 8));
	hmmu_port_close(port);
	live_close();
}

static void test_ports_compare_exchange_and_add(void)
{
	uint64_t *p = live_map_small(1, 1), want[2], with[2] = { 7, 8 }, old;
	struct hmmu_port *port;
	uintptr_t a = (uintptr_t)p;
	uint8_t small = 5, next = 6;

	live_open();
	port = live_port();
	p[0] = 1;
	p[1] = 2;
	want[0] = 1;
	want[1] = 3;
	HMMU_CHECK_INT(hmmu_port_compare_exchange(port, a, 16, want, with), 0);
	HMMU_CHECK(want[0] == 1 && want[1] == 2 && p[1] == 2);
	HMMU_CHECK_INT(hmmu_port_compare_exchange(port, a, 16, want, with), 1);
	HMMU_CHECK(p[0] == 7 && p[1] == 8);
	*(uint8_t *)p = 5;
	HMMU_CHECK_INT(hmmu_port_compare_exchange(port, a, 1, &small, &next),
		       1);
	HMMU_CHECK_INT(*(uint8_t *)p, 6);
	HMMU_CHECK_INT(hmmu_port_compare_exchange(port, a + 1, 8, want, with),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_port_compare_exchange(port, a, 3, want, with),
		       -EINVAL);
	p[2] = UINT32_MAX;
	p[3] = 40;
	HMMU_CHECK_OK(hmmu_port_fetch_add(port, a + 16, 4, 2, &old));
	HMMU_CHECK_INT(old, UINT32_MAX);
	HMMU_CHECK_INT(p[2], 1);
	HMMU_CHECK_OK(hmmu_port_fetch_add(port, a + 24, 8, 2, NULL));
	HMMU_CHECK_INT(p[3], 42);
	HMMU_CHECK_INT(hmmu_port_fetch_add(port, a + 24, 2, 2, NULL), -EINVAL);
	HMMU_CHECK_INT(hmmu_port_fetch_add(port, a + 25, 8, 2, NULL), -EINVAL);
	HMMU_CHECK_OK(mprotect(p, PAGE, PROT_READ));
	HMMU_CHECK_INT(hmmu_port_fetch_add(port, a, 8, 2, NULL), -EPERM);
	HMMU_CHECK_OK(munmap(p, PAGE));
	HMMU_CHECK_INT(hmmu_port_fetch_add(port, a, 8, 2, NULL), -EFAULT);
	HMMU_CHECK_INT(hmmu_port_compare_exchange(port, a, 8, want, with),
		       -EFAULT);
	hmmu_port_close(port);
	live_close();
}

static void test_ports_report_only(void)
{
	char *p = live_map_small(1, 1);
	struct hmmu_port *port;
	uint64_t value = 0;

	live_open();
	port = live_port();
	hmmu_port_set_fault_mode(port, 1);
	check_fault(port, p + 8, HMMU_ACCESS_READ, -ENOENT);
	HMMU_CHECK_INT(live_leaf(live_device, p, NULL), 0);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p + 8, 8,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(hmmu_port_load64(port, (uintptr_t)p + 8, &value));
	HMMU_CHECK(value == live_word(1, 1));
	hmmu_port_set_fault_mode(port, 0);
	hmmu_port_close(port);
	live_close();
}

static void test_ports_span(void)
{
	char *p = live_map_large(2, 1);
	struct hmmu_port *port;
	size_t run = 0;
	void *host;

	live_open();
	port = live_port();
	HMMU_CHECK_INT(hmmu_port_span(port, (uintptr_t)p, 8, HMMU_ACCESS_READ,
				      &host, &run),
		       -EINVAL);
	hmmu_port_begin(port);
	HMMU_CHECK_INT(hmmu_port_span(port, (uintptr_t)p, 0, HMMU_ACCESS_READ,
				      &host, &run),
		       -EINVAL);
	HMMU_CHECK_INT(hmmu_port_span(port, UINTPTR_MAX, 8, HMMU_ACCESS_READ,
				      &host, &run),
		       -EINVAL);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)p + 100, LARGE,
				     HMMU_ACCESS_WRITE, &host, &run));
	HMMU_CHECK(run >= 1 && run <= LARGE);
	HMMU_CHECK(host == p + 100);
	hmmu_port_end(port);
	live_take(p, 2 * LARGE);
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)p + 800, LARGE,
				     HMMU_ACCESS_READ, &host, &run));
	HMMU_CHECK(host != p + 800);
	HMMU_CHECK(*(uint64_t *)host == live_word(1, 100));
	hmmu_port_end(port);
	LIVE_CHECK_SOON(live_device_pages() == 2 * PER_LARGE);
	hmmu_port_close(port);
	live_close();
}

static struct {
	const struct live_way *way;
	char *p;
	_Atomic unsigned int began;
	_Atomic unsigned int ended;
} change;

static void *unmap_it(void *arg)
{
	(void)arg;
	atomic_store_explicit(&change.began, 1, memory_order_release);
	HMMU_CHECK_OK(change.way->unmap(change.p, 4 * PAGE));
	atomic_store_explicit(&change.ended, 1, memory_order_release);
	return NULL;
}

/* Who takes memory away waits for the sections that may use it (IN13). */
static void check_section_holds(const struct live_way *way, bool on_device)
{
	struct hmmu_port *port;
	pthread_t thread;
	size_t run;
	void *host;

	change.p = live_map_small(4, 1);
	change.way = way;
	live_open();
	port = live_port();
	if (on_device)
		live_take(change.p, 4 * PAGE);
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)change.p, PAGE,
				     HMMU_ACCESS_READ, &host, &run));
	thread = live_thread(unmap_it, NULL);
	HMMU_CHECK(live_wait_for(&change.began, 1, 5000));
	HMMU_CHECK(!live_wait_for(&change.ended, 1, 100));
	/* Behind the hooks only what is on the device is still there. */
	if (on_device || (way->hooked && !live_is_forced("NO_HOOKS")))
		HMMU_CHECK(*(volatile uint64_t *)host == live_word(1, 0));
	hmmu_port_end(port);
	live_join(thread);
	check_fault(port, change.p, HMMU_ACCESS_READ, -EFAULT);
	hmmu_port_close(port);
	live_close();
}

static void test_ports_in13_section_holds_a_change(const struct live_way *way)
{
	check_section_holds(way, false);
}
BOTH_WAYS(test_ports_in13_section_holds_a_change)

static void
test_ports_in13_section_holds_device_page(const struct live_way *way)
{
	check_section_holds(way, true);
}
BOTH_WAYS(test_ports_in13_section_holds_device_page)

/* A section that holds no span is begun again silently. */
static void test_ports_section_without_span_goes_on(const struct live_way *way)
{
	char *p = live_map_small(8, 1);
	struct hmmu_port *port;
	int i;

	live_open();
	port = live_port();
	hmmu_port_begin(port);
	for (i = 0; i < 50; i++) {
		HMMU_CHECK(live_load(port, p) == live_word(1, 0));
		HMMU_CHECK(live_load(port, p + PAGE) == live_word(1, PAGE / 8));
		hmmu_port_end(port);
		HMMU_CHECK_OK(way->advise(p + 4 * PAGE, PAGE, MADV_DONTNEED));
		hmmu_port_begin(port);
	}
	hmmu_port_end(port);
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_ports_section_without_span_goes_on)

/* Rule 3 of the design: a thread would wait for its own section. */
static void test_ports_own_touch_breaks_the_section(void)
{
	char *p = live_map_small(4, 1), *q = live_map_small(4, 2);
	struct hmmu_port *port;
	uint64_t value = 0;
	size_t run;
	void *host;

	live_open();
	port = live_port();
	live_take(p, 4 * PAGE);
	live_take(q, 4 * PAGE);
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)p, 8, HMMU_ACCESS_READ,
				     &host, &run));
	HMMU_CHECK(*(volatile uint64_t *)p == live_word(1, 0));
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p, &value), -EAGAIN);
	HMMU_CHECK_INT(hmmu_port_span(port, (uintptr_t)p, 8, HMMU_ACCESS_READ,
				      &host, &run),
		       -EAGAIN);
	hmmu_port_end(port);
	HMMU_CHECK(live_stats().sections_broken >= 1);
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)p, 8, HMMU_ACCESS_READ,
				     &host, &run));
	HMMU_CHECK(*(volatile uint64_t *)host == live_word(1, 0));
	/* Other memory that is away, too. */
	LIVE_CHECK(q, 4 * PAGE, 2);
	hmmu_port_end(port);
	hmmu_port_close(port);
	live_close();
}

static int touch_what_is_gone(struct hmmu_port *port, void *arg)
{
	size_t run;
	void *host;
	int err;

	hmmu_port_begin(port);
	err = hmmu_port_span(port, (uintptr_t)arg, 8, HMMU_ACCESS_READ, &host,
			     &run);
	if (!err) {
		change.p = arg;
		/* The service waits for this section: not in this thread. */
		syscall(SYS_mprotect, arg, PAGE, PROT_NONE);
		err = (int)*(volatile char *)host;
	}
	hmmu_port_end(port);
	return err;
}

static int return_argument(struct hmmu_port *port, void *arg)
{
	(void)port;
	return *(int *)arg;
}

static void test_ports_run_turns_a_signal_into_a_value(void)
{
	char *p = live_map_small(4, 1);
	struct hmmu_port *port;
	int value = 123;

	live_open();
	port = live_port();
	HMMU_CHECK_INT(hmmu_port_run(port, return_argument, &value), 123);
	HMMU_CHECK_INT(hmmu_port_run(port, touch_what_is_gone, p), -EFAULT);
	/* Its section has ended, the port works. */
	HMMU_CHECK(live_load(port, p + PAGE) == live_word(1, PAGE / 8));
	HMMU_CHECK_OK(munmap(p + PAGE, PAGE));
	hmmu_port_close(port);
	live_close();
}

/* Races ----------------------------------------------------------------------- */

#define TAG    0x7a67000000000000ull
#define ROUNDS 1500

static struct {
	const struct live_way *way;
	char *p;
	bool migrates;
	_Atomic unsigned int gone;
	_Atomic unsigned int stop;
} race;

/*
 * Maps the page, writes the number of the round, perhaps migrates it, unmaps
 * it; says after each round that its number must not be seen any more.
 */
static void *map_and_unmap(void *arg)
{
	volatile uint64_t *word = (void *)race.p;
	unsigned int round;
	int err;

	(void)arg;
	for (round = 1; round <= ROUNDS; round++) {
		HMMU_CHECK(race.way->map(race.p, PAGE, PROT_READ | PROT_WRITE,
					 MAP_FIXED) == race.p);
		word[0] = TAG + round;
		if (race.migrates) {
			err = hmmu_device_migrate(
				live_device, (uintptr_t)race.p, PAGE, NULL);
			HMMU_CHECK(!err || err == -EOPNOTSUPP);
		}
		if (round % 3 == 0)
			sched_yield();
		HMMU_CHECK_OK(race.way->unmap(race.p, PAGE));
		atomic_store_explicit(&race.gone, round, memory_order_release);
	}
	atomic_store_explicit(&race.stop, 1, memory_order_release);
	return NULL;
}

static void *read_through_port(void *arg)
{
	struct hmmu_port *port = arg;
	uint64_t gone, value = 0;
	int err;

	while (!atomic_load_explicit(&race.stop, memory_order_acquire)) {
		gone = atomic_load_explicit(&race.gone, memory_order_acquire);
		err = hmmu_port_load64(port, (uintptr_t)race.p, &value);
		if (err != -EFAULT && err != -EBUSY)
			HMMU_CHECK_OK(err);
		if (!err && value && value <= TAG + gone)
			hmmu_test_fail(__FILE__, __LINE__,
				       "0x%llx after round %llu was gone",
				       (unsigned long long)value,
				       (unsigned long long)gone);
		HMMU_CHECK(err || !value || value <= TAG + ROUNDS);
	}
	return NULL;
}

static void check_race(const struct live_way *way, bool migrates)
{
	struct hmmu_port *port[2];
	pthread_t threads[3];
	size_t i;

	if (migrates && !live_can_move())
		HMMU_SKIP("UFFDIO_MOVE");
	race.p = live_map(PAGE);
	race.way = way;
	race.migrates = migrates;
	live_open();
	for (i = 0; i < 2; i++) {
		port[i] = live_port();
		threads[i] = live_thread(read_through_port, port[i]);
	}
	threads[2] = live_thread(map_and_unmap, NULL);
	for (i = 0; i < 3; i++)
		live_join(threads[i]);
	for (i = 0; i < 2; i++)
		hmmu_port_close(port[i]);
	live_close();
}

static void test_ports_e7_race_with_munmap(const struct live_way *way)
{
	check_race(way, false);
}
BOTH_WAYS(test_ports_e7_race_with_munmap)

static void
test_ports_e8_race_with_munmap_of_device_page(const struct live_way *way)
{
	check_race(way, true);
}
BOTH_WAYS(test_ports_e8_race_with_munmap_of_device_page)

static void *add_through_port(void *arg)
{
	struct hmmu_port *port;
	int i;

	HMMU_CHECK_OK(hmmu_port_open(live_device, &port));
	for (i = 0; i < 20000; i++)
		HMMU_CHECK_OK(
			hmmu_port_fetch_add(port, (uintptr_t)arg, 8, 1, NULL));
	hmmu_port_close(port);
	return NULL;
}

static void *add_by_cpu(void *arg)
{
	int i;

	for (i = 0; i < 20000; i++)
		__atomic_fetch_add((uint64_t *)arg, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void *move_to_and_fro(void *arg)
{
	uintptr_t page = (uintptr_t)arg & ~(PAGE - 1);
	int i, err;

	for (i = 0; i < 200; i++) {
		err = hmmu_device_migrate(live_device, page, PAGE, NULL);
		HMMU_CHECK(!err || err == -EOPNOTSUPP);
		sched_yield();
	}
	return NULL;
}

/* Ports, CPUs and migration on one word: nothing is lost. */
static void test_ports_atomics_meet_the_cpu(void)
{
	uint64_t *p = live_map(PAGE);
	pthread_t threads[5];
	size_t i;

	live_open();
	for (i = 0; i < 2; i++) {
		threads[2 * i] = live_thread(add_through_port, p + 9);
		threads[2 * i + 1] = live_thread(add_by_cpu, p + 9);
	}
	threads[4] = live_thread(move_to_and_fro, p + 9);
	for (i = 0; i < 5; i++)
		live_join(threads[i]);
	HMMU_CHECK_INT(p[9], 80000);
	live_close();
}

static void *open_and_close(void *arg)
{
	struct hmmu_port *port;
	int i;

	for (i = 0; i < 200; i++) {
		HMMU_CHECK_OK(hmmu_port_open(live_device, &port));
		HMMU_CHECK(live_load(port, arg) == live_word(1, 0));
		hmmu_port_close(port);
	}
	return NULL;
}

static void test_ports_come_and_go(void)
{
	char *p = live_map_small(4, 1);
	pthread_t threads[4];
	size_t i;

	live_open();
	for (i = 0; i < 4; i++)
		threads[i] = live_thread(open_and_close, p);
	for (i = 0; i < 200; i++)
		HMMU_CHECK_OK(madvise(p + PAGE, PAGE, MADV_DONTNEED));
	for (i = 0; i < 4; i++)
		live_join(threads[i]);
	hmmu_port_close(NULL);
	live_close();
}

/* Inline code of another version has the port: its TLB is never filled. */
static void test_ports_of_another_layout_go_out_of_line(void)
{
	enum {
		HEAD_BYTES = 1 << 16,
		TLB = offsetof(struct hmmu_port, large)
	};
	char *p = live_map_small(16, 1);
	struct hmmu_port *port = NULL;
	unsigned char ones[HEAD_BYTES];
	size_t run = 0, i;
	void *host;

	memset(ones, 0xff, sizeof(ones));
	live_open();
	HMMU_CHECK_OK(hmmu__port_open_layout(live_device, HMMU_PORT_LAYOUT + 1,
					     HEAD_BYTES, &port));
	for (i = 0; i < 16; i++)
		HMMU_CHECK(live_load(port, p + i * PAGE) ==
			   live_word(1, i * PAGE / 8));
	live_take(p, 16 * PAGE);
	hmmu_port_begin(port);
	for (i = 0; i < 16; i++)
		HMMU_CHECK(live_load(port, p + i * PAGE) ==
			   live_word(1, i * PAGE / 8));
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)p, 16 * PAGE,
				     HMMU_ACCESS_WRITE, &host, &run));
	HMMU_CHECK_INT(run, 16 * PAGE);
	hmmu_port_end(port);
	live_store(port, p + 8, 42);
	HMMU_CHECK_INT(*(uint64_t *)(void *)(p + 8), 42);
	live_store(port, p + 8, live_word(1, 1));
	LIVE_CHECK(p, 16 * PAGE, 1);
	HMMU_CHECK_OK(munmap(p, PAGE));
	HMMU_CHECK_INT(hmmu_port_store64(port, (uintptr_t)p, 1), -EFAULT);
	HMMU_CHECK_MEM((unsigned char *)port + TLB, ones, HEAD_BYTES - TLB);
	hmmu_port_close(port);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_ports_load_and_store_every_size),
	       HMMU_TEST(test_ports_read_and_write_any_length),
	       HMMU_TEST(test_ports_partial_read_says_how_far),
	       HMMU_TEST(test_ports_e7_faults_are_values),
	       HMMU_TEST(test_ports_compare_exchange_and_add),
	       HMMU_TEST(test_ports_report_only), HMMU_TEST(test_ports_span),
	       TEST_BOTH(test_ports_in13_section_holds_a_change),
	       TEST_BOTH(test_ports_in13_section_holds_device_page),
	       TEST_BOTH(test_ports_section_without_span_goes_on),
	       HMMU_TEST(test_ports_own_touch_breaks_the_section),
	       HMMU_TEST(test_ports_run_turns_a_signal_into_a_value),
	       TEST_BOTH(test_ports_e7_race_with_munmap),
	       TEST_BOTH(test_ports_e8_race_with_munmap_of_device_page),
	       HMMU_TEST(test_ports_atomics_meet_the_cpu),
	       HMMU_TEST(test_ports_come_and_go),
	       HMMU_TEST(test_ports_of_another_layout_go_out_of_line))
