/* SPDX-License-Identifier: MIT */
/*
 * Memory that a userfaultfd of the program's own watches (design.md section 4,
 * rule 5): a device uses it unwatched and waits for the program's handler as
 * any thread does, nothing of it migrates, and the program's userfaultfd gets
 * what it would get without HMMU.
 *
 * The main thread is the handler, and a second one the device's.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "fixture.h"

#define PAGES	4ul
#define BYTES	(PAGES * PAGE)
/* Longer than a device fault tries again after collisions (RF43). */
#define LONG_MS 1500

static int program_file;
static char *watched;

/* Its own userfaultfd over @watched; @features may be refused by the kernel. */
static void open_own(uint64_t features, uint64_t mode)
{
	program_file = live_userfaultfd(O_NONBLOCK, features,
					"a feature of userfaultfd");
	live_userfaultfd_register(program_file, watched, BYTES, mode);
}

/* Nothing is present: each touch is for the program's handler. */
static void open_missing(void)
{
	live_open();
	watched = live_map(BYTES);
	open_own(0, UFFDIO_REGISTER_MODE_MISSING);
}

static void close_all(void)
{
	live_close();
	close(program_file);
}

/* The next fault: where, and its flags. False: none within @ms. */
static bool next_fault(int ms, uintptr_t *ret_page, uint64_t *ret_flags)
{
	struct pollfd poll_file = { .fd = program_file, .events = POLLIN };
	struct uffd_msg msg;

	if (poll(&poll_file, 1, ms) != 1)
		return false;
	HMMU_CHECK_INT(read(program_file, &msg, sizeof(msg)), sizeof(msg));
	HMMU_CHECK_INT(msg.event, UFFD_EVENT_PAGEFAULT);
	*ret_page = msg.arg.pagefault.address & ~(PAGE - 1);
	*ret_flags = msg.arg.pagefault.flags;
	return true;
}

static uint64_t wait_for_fault(const char *p)
{
	uintptr_t page = 0;
	uint64_t flags = 0;

	HMMU_CHECK(next_fault(5000 * (int)hmmu_test_slowness(), &page, &flags));
	HMMU_CHECK(page == ((uintptr_t)p & ~(PAGE - 1)));
	return flags;
}

static void serve(const char *p, uint64_t seed)
{
	static uint64_t words[PAGE / sizeof(uint64_t)]
		__attribute__((aligned(4096)));
	struct uffdio_copy copy = { .dst = (uintptr_t)p & ~(PAGE - 1),
				    .src = (uintptr_t)words,
				    .len = PAGE };

	live_fill(words, PAGE, seed);
	HMMU_CHECK_OK(ioctl(program_file, UFFDIO_COPY, &copy));
}

static void write_protect(const char *p, size_t pages, bool protect)
{
	struct uffdio_writeprotect wp = {
		.range = { (uintptr_t)p, pages * PAGE },
		.mode = protect ? UFFDIO_WRITEPROTECT_MODE_WP : 0
	};

	HMMU_CHECK_OK(ioctl(program_file, UFFDIO_WRITEPROTECT, &wp));
}

/* What the device does, in a thread of its own ------------------------------ */

static struct {
	struct hmmu_port *port;
	char *p;
	bool write;
	uint64_t value;
	int err;
	_Atomic unsigned int done;
} asked;

static void *do_access(void *arg)
{
	(void)arg;
	if (asked.write)
		asked.err = hmmu_port_store64(asked.port, (uintptr_t)asked.p,
					      asked.value);
	else
		asked.err = hmmu_port_load64(asked.port, (uintptr_t)asked.p,
					     &asked.value);
	atomic_store_explicit(&asked.done, 1, memory_order_release);
	return NULL;
}

static pthread_t begin_access(struct hmmu_port *port, char *p, bool write,
			      uint64_t value)
{
	asked.port = port;
	asked.p = p;
	asked.write = write;
	asked.value = value;
	asked.done = 0;
	return live_thread(do_access, NULL);
}

static bool is_waiting(void)
{
	live_sleep_ms(30);
	return !atomic_load_explicit(&asked.done, memory_order_acquire);
}

static void end_access(pthread_t thread)
{
	HMMU_CHECK(live_wait_for(&asked.done, 1, 5000));
	live_join(thread);
	HMMU_CHECK_OK(asked.err);
}

/* Missing pages ------------------------------------------------------------- */

static void check_missing(bool write)
{
	struct hmmu_port *port;
	pthread_t thread;
	char *p;

	open_missing();
	port = live_port();
	p = watched + PAGE + 8;
	thread = begin_access(port, p, write, 77);
	wait_for_fault(p);
	HMMU_CHECK(is_waiting());
	serve(p, 1);
	end_access(thread);
	HMMU_CHECK(asked.value == (write ? 77 : live_word(1, 1)));
	HMMU_CHECK(*(volatile uint64_t *)p == asked.value);
	/* The one page that was asked for: the others are not touched. */
	HMMU_CHECK_INT(live_present(watched, BYTES), 1);
	hmmu_port_close(port);
	close_all();
}

static void test_foreign_rf38_read_waits_for_the_handler(void)
{
	check_missing(false);
}

static void test_foreign_rf38_write_waits_for_the_handler(void)
{
	check_missing(true);
}

/* RF40: to wait for a handler is no collision, however long it takes. */
static void test_foreign_rf40_handler_may_take_long(void)
{
	struct hmmu_port *port;
	pthread_t thread;

	open_missing();
	port = live_port();
	thread = begin_access(port, watched, false, 0);
	wait_for_fault(watched);
	live_sleep_ms(LONG_MS);
	serve(watched, 1);
	end_access(thread);
	HMMU_CHECK(asked.value == live_word(1, 0));
	hmmu_port_close(port);
	close_all();
}

/* Who waits for the program's handler keeps nobody else from anything. */
static void test_foreign_others_go_on_meanwhile(const struct live_way *way)
{
	struct hmmu_port *port, *other;
	char *p = live_map_small(8, 2), *q = live_map_small(8, 3);
	pthread_t thread;

	open_missing();
	port = live_port();
	other = live_port();
	live_take(p, 8 * PAGE);
	HMMU_CHECK(live_load(other, q) == live_word(3, 0));
	thread = begin_access(port, watched, false, 0);
	wait_for_fault(watched);
	LIVE_CHECK(p, 8 * PAGE, 2);
	HMMU_CHECK_OK(way->unmap(q, 8 * PAGE));
	live_take(p, 8 * PAGE);
	HMMU_CHECK(live_load(other, p) == live_word(2, 0));
	HMMU_CHECK(is_waiting());
	serve(watched, 1);
	end_access(thread);
	hmmu_port_close(other);
	hmmu_port_close(port);
	close_all();
}
BOTH_WAYS(test_foreign_others_go_on_meanwhile)

static void *do_range_fault(void *arg)
{
	uint64_t entry = 0;

	(void)arg;
	live_look(NULL, watched, 1, HMMU_ENTRY_REQ_FAULT, &entry);
	asked.value = entry;
	atomic_store_explicit(&asked.done, 1, memory_order_release);
	return NULL;
}

static void test_foreign_rf38_range_fault_waits(void)
{
	uint64_t entries[PAGES];
	pthread_t thread;

	open_missing();
	/* RF5: a snapshot waits for nobody. */
	live_look(NULL, watched, PAGES, 0, entries);
	HMMU_CHECK_INT(entries[0], 0);
	asked.done = 0;
	thread = live_thread(do_range_fault, NULL);
	wait_for_fault(watched);
	HMMU_CHECK(is_waiting());
	serve(watched, 1);
	end_access(thread);
	HMMU_CHECK(asked.value & HMMU_ENTRY_VALID);
	close_all();
}

/* A fault that waits holds nothing: others look at what is beside it. */
static void test_foreign_rf34_nothing_is_held_meanwhile(void)
{
	uint64_t entries[PAGES];
	pthread_t thread;

	open_missing();
	serve(watched + PAGE, 1);
	asked.done = 0;
	thread = live_thread(do_range_fault, NULL);
	wait_for_fault(watched);
	live_look(NULL, watched, PAGES, 0, entries);
	HMMU_CHECK(!entries[0] && entries[1] & HMMU_ENTRY_VALID);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)watched + PAGE,
					PAGE, HMMU_ACCESS_READ));
	HMMU_CHECK(is_waiting());
	serve(watched, 1);
	end_access(thread);
	HMMU_CHECK(asked.value & HMMU_ENTRY_VALID);
	close_all();
}

/* A range fault of two pages, by a thread of its own. */
static struct {
	uint64_t timeout_ns;
	uint64_t took_ms;
	int err;
	_Atomic unsigned int done;
} bounded;

static void ignore(struct hmmu_notifier *sub, void *arg,
		   const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static void *do_bounded_fault(void *arg)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = ignore };
	uint64_t entries[2] = { 0 }, begun = live_now_ns();
	struct hmmu_range range = { .size = sizeof(range),
				    .start = (uintptr_t)watched,
				    .end = (uintptr_t)watched + 2 * PAGE,
				    .entries = entries,
				    .default_flags = HMMU_ENTRY_REQ_FAULT };

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, range.start, 2 * PAGE,
					   HMMU_NOTIFIER_LAZY, &ops, NULL,
					   &range.notifier));
	bounded.err = hmmu_range_fault_unlocked(&range, bounded.timeout_ns);
	hmmu_notifier_remove(range.notifier);
	bounded.took_ms = (live_now_ns() - begun) / 1000000;
	atomic_store_explicit(&bounded.done, 1, memory_order_release);
	return arg;
}

/* For so long the handler takes the other page away with each that it gives. */
static void collide(uint64_t timeout_ms, uint64_t collide_ms)
{
	uint64_t end = live_now_ns() + collide_ms * 1000000;
	uintptr_t page, other;
	pthread_t thread;
	uint64_t flags;

	bounded.timeout_ns = timeout_ms * 1000000;
	bounded.done = 0;
	thread = live_thread(do_bounded_fault, NULL);
	while (!atomic_load_explicit(&bounded.done, memory_order_acquire)) {
		if (!next_fault(10, &page, &flags))
			continue;
		other = (uintptr_t)watched +
			PAGE * (page == (uintptr_t)watched);
		if (live_now_ns() < end)
			HMMU_CHECK_OK(
				madvise((void *)other, PAGE, MADV_DONTNEED));
		serve((void *)page, 1);
	}
	live_join(thread);
}

static void test_foreign_rf40_timeout_bounds_collisions(void)
{
	open_missing();
	collide(300, 20000);
	HMMU_CHECK_INT(bounded.err, -EBUSY);
	HMMU_CHECK(bounded.took_ms >= 300 && bounded.took_ms < 10000);
	collide(300, 0);
	HMMU_CHECK_OK(bounded.err);
	close_all();
}

static void test_foreign_rf40_without_timeout_it_goes_on(void)
{
	open_missing();
	collide(0, LONG_MS);
	HMMU_CHECK_OK(bounded.err);
	HMMU_CHECK(bounded.took_ms > HMMU_RANGE_DEFAULT_TIMEOUT_NS / 1000000);
	close_all();
}

/* The handler is asked anew for what the program has discarded. */
static void
test_foreign_discarded_is_asked_for_again(const struct live_way *way)
{
	struct hmmu_port *port;
	pthread_t thread;
	uint64_t seed;

	open_missing();
	port = live_port();
	for (seed = 1; seed < 4; seed++) {
		thread = begin_access(port, watched, false, 0);
		wait_for_fault(watched);
		serve(watched, seed);
		end_access(thread);
		HMMU_CHECK(asked.value == live_word(seed, 0));
		HMMU_CHECK(live_load(port, watched) == live_word(seed, 0));
		HMMU_CHECK_OK(way->advise(watched, BYTES, MADV_DONTNEED));
	}
	hmmu_port_close(port);
	close_all();
}
BOTH_WAYS(test_foreign_discarded_is_asked_for_again)

/* E7: gone without being told, for nobody watches it. */
static void test_foreign_e7_unmapped_is_refused(const struct live_way *way)
{
	struct hmmu_port *port;
	uint64_t value;

	open_missing();
	serve(watched, 1);
	port = live_port();
	HMMU_CHECK(live_load(port, watched) == live_word(1, 0));
	HMMU_CHECK_OK(way->unmap(watched, BYTES));
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)watched, &value),
		       -EFAULT);
	hmmu_port_close(port);
	close_all();
}
BOTH_WAYS(test_foreign_e7_unmapped_is_refused)

/* Where the program wants SIGBUS instead of a message, it is a device fault. */
static void test_foreign_sigbus_is_a_device_fault(void)
{
	struct hmmu_port *port;
	uint64_t value;

	live_open();
	watched = live_map(BYTES);
	open_own(UFFD_FEATURE_SIGBUS, UFFDIO_REGISTER_MODE_MISSING);
	port = live_port();
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)watched, &value),
		       -EFAULT);
	serve(watched, 1);
	HMMU_CHECK(live_load(port, watched) == live_word(1, 0));
	hmmu_port_close(port);
	close_all();
}

/* Write protection and minor faults ----------------------------------------- */

/* @before: the device could write when the program took that away. */
static void check_write_protected(bool before)
{
	struct hmmu_port *port;
	pthread_t thread;
	uint64_t entry;

	live_open();
	watched = live_map_small(PAGES, 1);
	open_own(0, UFFDIO_REGISTER_MODE_WP);
	port = live_port();
	if (before)
		live_store(port, watched, live_word(1, 0));
	write_protect(watched, PAGES, true);
	live_look(NULL, watched, 1, 0, &entry);
	HMMU_CHECK((entry & HMMU_ENTRY_VALID) && !(entry & HMMU_ENTRY_WRITE));
	HMMU_CHECK(live_load(port, watched) == live_word(1, 0));
	thread = begin_access(port, watched, true, 5);
	HMMU_CHECK(wait_for_fault(watched) & UFFD_PAGEFAULT_FLAG_WP);
	HMMU_CHECK(is_waiting());
	HMMU_CHECK(*(volatile uint64_t *)watched == live_word(1, 0));
	write_protect(watched, 1, false);
	end_access(thread);
	HMMU_CHECK_INT(*(volatile uint64_t *)watched, 5);
	hmmu_port_close(port);
	close_all();
}

static void test_foreign_write_protection_holds_the_device(void)
{
	check_write_protected(false);
}

static void test_foreign_write_protection_of_what_was_written(void)
{
	check_write_protected(true);
}

static void test_foreign_minor_fault_waits_for_the_handler(void)
{
	struct uffdio_continue go_on;
	struct hmmu_port *port;
	pthread_t thread;
	char *other;

	live_open();
	watched = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	HMMU_CHECK(watched != MAP_FAILED);
	other = mremap(watched, 0, BYTES, MREMAP_MAYMOVE);
	HMMU_CHECK(other != MAP_FAILED);
	live_fill(other, BYTES, 1);
	open_own(UFFD_FEATURE_MINOR_SHMEM, UFFDIO_REGISTER_MODE_MINOR);
	port = live_port();
	thread = begin_access(port, watched, false, 0);
	HMMU_CHECK(wait_for_fault(watched) & UFFD_PAGEFAULT_FLAG_MINOR);
	HMMU_CHECK(is_waiting());
	go_on = (struct uffdio_continue){ .range = { (uintptr_t)watched,
						     BYTES } };
	HMMU_CHECK_OK(ioctl(program_file, UFFDIO_CONTINUE, &go_on));
	end_access(thread);
	HMMU_CHECK(asked.value == live_word(1, 0));
	hmmu_port_close(port);
	close_all();
}

/* Migration, and the end ---------------------------------------------------- */

/* MV21: holes of such a mapping are not filled in by a migration, either. */
static void test_foreign_mv21_nothing_of_it_migrates(void)
{
	char *p = live_map_small(12, 1);
	struct hmmu_migrate_result r;
	uint64_t flags;
	uintptr_t page;

	live_open();
	watched = p + 4 * PAGE;
	HMMU_CHECK_OK(madvise(watched + PAGE, 3 * PAGE, MADV_DONTNEED));
	open_own(0, UFFDIO_REGISTER_MODE_MISSING);
	r = live_migrate(live_device, p, 12 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_FOREIGN], PAGES);
	HMMU_CHECK_INT(r.pages_moved, 8);
	HMMU_CHECK_INT(live_present(watched, BYTES), 1);
	/* Nobody has touched it for that. */
	HMMU_CHECK(!next_fault(0, &page, &flags));
	LIVE_CHECK(p, 5 * PAGE, 1);
	LIVE_CHECK_AT(p + 8 * PAGE, 4 * PAGE, 1, 8 * PAGE);
	close_all();
}

static void *touch_word(void *arg)
{
	asked.value = *(volatile uint64_t *)arg;
	asked.err = 0;
	atomic_store_explicit(&asked.done, 1, memory_order_release);
	return NULL;
}

/* The program's threads are served by the program: before, beside and after. */
static void check_own_touch(char *p, uint64_t seed)
{
	pthread_t thread;

	asked.done = 0;
	thread = live_thread(touch_word, p);
	wait_for_fault(p);
	serve(p, seed);
	end_access(thread);
	HMMU_CHECK(asked.value == live_word(seed, 0));
}

static void test_foreign_program_keeps_its_own(void)
{
	struct hmmu_port *port;
	pthread_t thread;

	open_missing();
	check_own_touch(watched, 1);
	port = live_port();
	thread = begin_access(port, watched + PAGE, false, 0);
	wait_for_fault(watched + PAGE);
	serve(watched + PAGE, 2);
	end_access(thread);
	live_migrate(live_device, watched, BYTES);
	check_own_touch(watched + 2 * PAGE, 3);
	hmmu_port_close(port);
	live_close();
	check_own_touch(watched + 3 * PAGE, 4);
	HMMU_CHECK(*(volatile uint64_t *)(watched + PAGE) == live_word(2, 0));
	close(program_file);
}

/* E2: Linux lets one userfaultfd watch a mapping, and HMMU takes none ahead. */
static void test_foreign_e2_memory_no_device_used_is_free(void)
{
	struct uffdio_range range;
	struct hmmu_port *port;
	char *used = live_map_small(PAGES, 1);
	struct uffdio_register reg = { .range = { (uintptr_t)used, BYTES },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };

	open_missing();
	port = live_port();
	HMMU_CHECK(live_load(port, used) == live_word(1, 0));
	HMMU_CHECK_INT(ioctl(program_file, UFFDIO_REGISTER, &reg), -1);
	HMMU_CHECK_INT(errno, EBUSY);
	hmmu_port_close(port);
	live_close();
	HMMU_CHECK_OK(ioctl(program_file, UFFDIO_REGISTER, &reg));
	range = reg.range;
	HMMU_CHECK_OK(ioctl(program_file, UFFDIO_UNREGISTER, &range));
	close(program_file);
}

HMMU_TEST_MAIN(HMMU_TEST(test_foreign_rf38_read_waits_for_the_handler),
	       HMMU_TEST(test_foreign_rf38_write_waits_for_the_handler),
	       HMMU_TEST(test_foreign_rf40_handler_may_take_long),
	       TEST_BOTH(test_foreign_others_go_on_meanwhile),
	       HMMU_TEST(test_foreign_rf38_range_fault_waits),
	       HMMU_TEST(test_foreign_rf34_nothing_is_held_meanwhile),
	       HMMU_TEST(test_foreign_rf40_timeout_bounds_collisions),
	       HMMU_TEST(test_foreign_rf40_without_timeout_it_goes_on),
	       TEST_BOTH(test_foreign_discarded_is_asked_for_again),
	       TEST_BOTH(test_foreign_e7_unmapped_is_refused),
	       HMMU_TEST(test_foreign_sigbus_is_a_device_fault),
	       HMMU_TEST(test_foreign_write_protection_holds_the_device),
	       HMMU_TEST(test_foreign_write_protection_of_what_was_written),
	       HMMU_TEST(test_foreign_minor_fault_waits_for_the_handler),
	       HMMU_TEST(test_foreign_mv21_nothing_of_it_migrates),
	       HMMU_TEST(test_foreign_program_keeps_its_own),
	       HMMU_TEST(test_foreign_e2_memory_no_device_used_is_free))
