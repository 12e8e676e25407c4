/* SPDX-License-Identifier: MIT */
/*
 * What a program does with memory that is wholly on a device, and with memory
 * of which a part is there, a part exclusive to it, and a part at home: what is
 * left is exact.
 */
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include <hmmu/exclusive.h>

#include "fixture.h"

#define BYTES (2 * LARGE)

#define WHOLE_AND_PART(test)           \
	static void test##_whole(void) \
	{                              \
		test(true);            \
	}                              \
	static void test##_part(void)  \
	{                              \
		test(false);           \
	}
/* clang-format off */
#define TEST_BOTH_KINDS(test) HMMU_TEST(test##_whole), HMMU_TEST(test##_part)
/* clang-format on */

static struct hmmu_port *port;

static void open_all(void)
{
	live_open();
	port = live_port();
}

static void close_all(void)
{
	hmmu_port_close(port);
	live_close();
}

/* All of it on the device; or of eight pages three, and two exclusive. */
static void spread(char *p, size_t bytes, bool whole)
{
	size_t at;

	if (whole) {
		(void)live_migrate(live_device, p, bytes);
		return;
	}
	for (at = 0; at + 8 * PAGE <= bytes; at += 8 * PAGE) {
		(void)live_migrate(live_device, p + at, 3 * PAGE);
		/* Some blocks only: it is done page by page. */
		if (at % LARGE < 64 * PAGE)
			HMMU_CHECK_OK(live_make_exclusive(live_device,
							  p + at + 3 * PAGE,
							  2 * PAGE, NULL));
	}
}

static void check_device(const char *p, size_t bytes, uint64_t seed, size_t at)
{
	size_t i;

	for (i = 0; i < bytes; i += PAGE)
		HMMU_CHECK_INT(
			live_load(port, p + i),
			seed == UINT64_MAX ? 0 : live_word(seed, (at + i) / 8));
}

/* As the device sees it where it is, then as the CPU does. */
static void check(const char *p, size_t bytes, uint64_t seed, size_t at)
{
	check_device(p, bytes, seed, at);
	live_check_at(__FILE__, __LINE__, p, bytes, seed, at);
}

static void check_zero(const char *p, size_t bytes)
{
	check(p, bytes, UINT64_MAX, 0);
}

/* The heap ------------------------------------------------------------------ */

static int raw_brk(void *top)
{
	return syscall(SYS_brk, top) == (long)top ? 0 : -1;
}

/* Down to an odd page and up again, more than once. */
static void check_brk(int (*set)(void *), bool whole)
{
	char *top = (char *)(((uintptr_t)sbrk(0) + LARGE) & ~(LARGE - 1));
	size_t i, kept = BYTES;

	open_all();
	HMMU_CHECK_OK(set(top + BYTES));
	live_fill(top, BYTES, 1);
	for (i = 0; i < 4; i++) {
		spread(top, BYTES, whole);
		kept -= 101 * PAGE;
		HMMU_CHECK_OK(set(top + kept));
		HMMU_CHECK_OK(set(top + BYTES));
		check_zero(top + kept, BYTES - kept);
		check(top, kept, 1, 0);
	}
	close_all();
}

static void test_mixed_brk_hooked(bool whole)
{
	check_brk(brk, whole);
}
WHOLE_AND_PART(test_mixed_brk_hooked)

static void test_mixed_brk_raw(bool whole)
{
	check_brk(raw_brk, whole);
}
WHOLE_AND_PART(test_mixed_brk_raw)

static char *block;

static void spread_block(size_t bytes, bool whole)
{
	char *start = (char *)(((uintptr_t)block + PAGE - 1) &
			       ~(uintptr_t)(PAGE - 1));

	spread(start, (bytes - (size_t)(start - block)) & ~(PAGE - 1), whole);
}

/* The C library calls mremap(2) by itself (E6): in steps, up and down. */
static void test_mixed_realloc(bool whole)
{
	size_t bytes = BYTES;
	unsigned int i;

	live_need_libc_heap();
	block = malloc(bytes);
	HMMU_CHECK(block);
	live_fill(block, bytes, 1);
	open_all();
	for (i = 0; i < 12; i++) {
		spread_block(bytes, whole);
		bytes += i < 6 ? 300 * PAGE : 0;
		bytes -= i < 6 ? 0 : 250 * PAGE;
		block = realloc(block, bytes);
		HMMU_CHECK(block);
		LIVE_CHECK(block, i < 6 ? bytes - 300 * PAGE : bytes, 1);
		live_fill(block, bytes, 1);
	}
	spread_block(bytes, whole);
	free(block);
	LIVE_CHECK_SOON(!live_used_pages(live_memory));
	close_all();
}
WHOLE_AND_PART(test_mixed_realloc)

/* Stacks -------------------------------------------------------------------- */

enum {
	DEEP = 60000,
};

static struct {
	_Atomic unsigned int ready;
	int go[2];
	char *low;
} sleeper;

/* The C library discards what is below, and keeps the stack for the next. */
static void *sleep_and_end(void *arg)
{
	volatile uint64_t words[DEEP];
	size_t i;
	char c;

	for (i = 0; i < DEEP; i++)
		words[i] = live_word(4, i);
	sleeper.low = (char *)(uintptr_t)words;
	atomic_store_explicit(&sleeper.ready, 1, memory_order_release);
	while (read(sleeper.go[0], &c, 1) != 1)
		HMMU_CHECK_INT(errno, EINTR);
	for (i = 0; i < DEEP; i++)
		HMMU_CHECK(words[i] == live_word(4, i));
	return arg;
}

static void test_mixed_thread_ends(bool whole)
{
	pthread_t thread;
	unsigned int i;
	char *low;

	live_need_program_alone();
	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	HMMU_CHECK_OK(pipe(sleeper.go));
	open_all();
	for (i = 0; i < 4; i++) {
		atomic_store(&sleeper.ready, 0);
		thread = live_thread(sleep_and_end, NULL);
		HMMU_CHECK(live_wait_for(&sleeper.ready, 1, 5000));
		/* It sleeps in read(2) by then; what was discarded before at
		 * the same place stays for a while. */
		live_sleep_ms(i ? 300 : 20);
		low = (char *)(((uintptr_t)sleeper.low + PAGE - 1) &
			       ~(uintptr_t)(PAGE - 1));
		spread(low, (DEEP * 8 - PAGE) & ~(PAGE - 1), whole);
		HMMU_CHECK(live_device_pages() > DEEP * 8 / PAGE / 4);
		HMMU_CHECK_INT(write(sleeper.go[1], "", 1), 1);
		live_join(thread);
	}
	close_all();
}
WHOLE_AND_PART(test_mixed_thread_ends)

/* Advice -------------------------------------------------------------------- */

static const struct live_way *const ways[2] = { &live_hooked, &live_raw };

/* What only says how memory is to be kept changes nothing of what is in it. */
static void check_harmless(int advice, bool whole)
{
	char *p = live_map_small(BYTES / PAGE, 1);
	size_t i;

	open_all();
	for (i = 0; i < 2; i++) {
		spread(p, BYTES, whole);
		/* Some kernels refuse it for what is at hand. */
		(void)ways[i]->advise(p + 5 * PAGE, LARGE, advice);
		(void)ways[i]->advise(p, BYTES, advice);
		check(p, BYTES, 1, 0);
		spread(p, BYTES, whole);
		check(p, BYTES, 1, 0);
	}
	close_all();
}

static void test_mixed_hugepage(bool whole)
{
	check_harmless(MADV_HUGEPAGE, whole);
}
WHOLE_AND_PART(test_mixed_hugepage)

static void test_mixed_collapse(bool whole)
{
	check_harmless(MADV_COLLAPSE, whole);
}
WHOLE_AND_PART(test_mixed_collapse)

/* It is refused for private anonymous memory: nothing has gone. */
static void test_mixed_remove_refused(bool whole)
{
	char *p = live_map_small(BYTES / PAGE, 1);
	size_t i;

	open_all();
	for (i = 0; i < 2; i++) {
		spread(p, BYTES, whole);
		HMMU_CHECK_INT(ways[i]->advise(p, BYTES, MADV_REMOVE), -1);
		HMMU_CHECK_INT(errno, EINVAL);
		check(p, BYTES, 1, 0);
	}
	close_all();
}
WHOLE_AND_PART(test_mixed_remove_refused)

static void test_mixed_remove_of_shared(const struct live_way *way)
{
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	HMMU_CHECK(p != MAP_FAILED);
	open_all();
	live_fill(p, BYTES, 1);
	check_device(p, BYTES, 1, 0);
	HMMU_CHECK_OK(way->advise(p + 3 * PAGE, LARGE, MADV_REMOVE));
	check_zero(p + 3 * PAGE, LARGE);
	check(p, 3 * PAGE, 1, 0);
	check(p + LARGE + 3 * PAGE, LARGE - 3 * PAGE, 1, LARGE + 3 * PAGE);
	live_store(port, p + 5 * PAGE, 7);
	HMMU_CHECK_INT(*(volatile uint64_t *)(p + 5 * PAGE), 7);
	HMMU_CHECK_OK(munmap(p, BYTES));
	close_all();
}

BOTH_WAYS(test_mixed_remove_of_shared)

/* Each page is as it was, or zero; what is written afterwards stays. */
static void test_mixed_free(bool whole)
{
	char *p = live_map_small(BYTES / PAGE, 1);
	uint64_t word;
	size_t i, at;

	open_all();
	for (i = 0; i < 2; i++) {
		live_fill(p, BYTES, 1);
		spread(p, BYTES, whole);
		HMMU_CHECK_OK(ways[i]->advise(p + 3 * PAGE, LARGE, MADV_FREE));
		for (at = 3 * PAGE; at < LARGE + 3 * PAGE; at += PAGE) {
			word = live_load(port, p + at);
			HMMU_CHECK(!word || word == live_word(1, at / 8));
			live_store(port, p + at, live_word(2, at / 8));
		}
		for (at = 3 * PAGE; at < LARGE + 3 * PAGE; at += PAGE)
			HMMU_CHECK(*(volatile uint64_t *)(p + at) ==
				   live_word(2, at / 8));
		check(p, 3 * PAGE, 1, 0);
		check(p + LARGE + 3 * PAGE, LARGE - 3 * PAGE, 1,
		      LARGE + 3 * PAGE);
	}
	close_all();
}
WHOLE_AND_PART(test_mixed_free)

/* System V ------------------------------------------------------------------ */

/* A segment over the middle of it, and gone again: both sides stay. */
static void test_mixed_shm_over_the_middle(bool whole)
{
	char *p = live_map_small(BYTES / PAGE, 1), *middle = p + LARGE / 2;
	uint64_t value;
	int id;

	open_all();
	if (live_is_late(&live_hooked))
		HMMU_SKIP("hooks");
	id = shmget(IPC_PRIVATE, LARGE, IPC_CREAT | 0600);
	if (id < 0)
		HMMU_SKIP("System V shared memory");
	spread(p, BYTES, whole);
	HMMU_CHECK(shmat(id, middle, SHM_REMAP) == middle);
	HMMU_CHECK_INT(shmctl(id, IPC_RMID, NULL), 0);
	check_zero(middle, LARGE);
	live_store(port, middle + PAGE, 3);
	HMMU_CHECK_INT(*(volatile uint64_t *)(middle + PAGE), 3);
	spread(p, BYTES, true);
	HMMU_CHECK_INT(shmdt(middle), 0);
	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)middle, &value),
		       -EFAULT);
	check(p, LARGE / 2, 1, 0);
	check(middle + LARGE, LARGE / 2, 1, LARGE + LARGE / 2);
	close_all();
}
WHOLE_AND_PART(test_mixed_shm_over_the_middle)

HMMU_TEST_MAIN(TEST_BOTH_KINDS(test_mixed_brk_hooked),
	       TEST_BOTH_KINDS(test_mixed_brk_raw),
	       TEST_BOTH_KINDS(test_mixed_realloc),
	       TEST_BOTH_KINDS(test_mixed_thread_ends),
	       TEST_BOTH_KINDS(test_mixed_hugepage),
	       TEST_BOTH_KINDS(test_mixed_collapse),
	       TEST_BOTH_KINDS(test_mixed_remove_refused),
	       TEST_BOTH(test_mixed_remove_of_shared),
	       TEST_BOTH_KINDS(test_mixed_free),
	       TEST_BOTH_KINDS(test_mixed_shm_over_the_middle))
