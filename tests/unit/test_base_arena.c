/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fault_point.h"
#include "base/sys.h"

#if HMMU_ASAN
#include <sanitizer/asan_interface.h>
#endif

#define skip_without(what)                         \
	do {                                       \
		print_message("needs %s\n", what); \
		skip();                            \
	} while (0)

static size_t used_bytes(void)
{
	struct hmmu_arena_stats stats;

	hmmu__arena_stats(&stats);
	return stats.used_bytes;
}

static size_t committed_bytes(void)
{
	struct hmmu_arena_stats stats;

	hmmu__arena_stats(&stats);
	assert_true(stats.used_bytes <= stats.committed_bytes);
	assert_true(stats.committed_bytes <= stats.reserved_bytes);
	return stats.committed_bytes;
}

static bool is_zero(const void *p, size_t bytes)
{
	const char *c = p;

	for (size_t i = 0; i < bytes; i++) {
		if (c[i] != 0)
			return false;
	}
	return true;
}

/* Readable by the kernel: says so without dying when it is not. */
static bool is_readable(const void *p)
{
	int pipe_fd[2];
	ssize_t ret;

	assert_int_equal(pipe(pipe_fd), 0);
	ret = hmmu__sys_write(pipe_fd[1], p, 1);
	assert_true(ret == 1 || ret == -EFAULT);
	(void)hmmu__sys_close(pipe_fd[0]);
	(void)hmmu__sys_close(pipe_fd[1]);
	return ret == 1;
}

/* Where it is --------------------------------------------------------------- */

static int allocate_with_little_address_space(void)
{
	struct rlimit limit = { 8ul << 30, 8ul << 30 };
	struct hmmu_arena_stats stats;
	void *p;

	if (setrlimit(RLIMIT_AS, &limit))
		return 1;
	p = hmmu__alloc(100);
	if (!p)
		return 2;
	memset(p, 1, 100);
	hmmu__arena_stats(&stats);
	if (stats.reserved_bytes < 1ul << 30 ||
	    stats.reserved_bytes > 8ul << 30)
		return 3;
	return 0;
}

static int allocate_with_no_address_space(void)
{
	struct rlimit limit = { 64ul << 20, 64ul << 20 };

	if (setrlimit(RLIMIT_AS, &limit))
		return 1;
	return hmmu__alloc(100) || hmmu__arena_start() ? 2 : 0;
}

static void assert_child_returns_0(int (*fn)(void))
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(fn());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Must be the first test: the arena does not exist yet. */
static void test_arena_shrinks_to_the_limit_of_address_space(void **state)
{
	(void)state;
	assert_false(hmmu__arena_contains(0));
	assert_false(hmmu__arena_overlaps(0, UINTPTR_MAX));
	if (HMMU_ASAN || HMMU_TSAN)
		skip_without("an address space that can be limited");
	assert_child_returns_0(allocate_with_little_address_space);
	assert_child_returns_0(allocate_with_no_address_space);
}

static void test_arena_contains_its_memory_and_no_other(void **state)
{
	uintptr_t start = hmmu__arena_start();
	uintptr_t end = hmmu__arena_end();
	char *small = hmmu__alloc(1);
	char *pages = hmmu__alloc_pages(3);
	int on_stack = 0;

	(void)state;
	assert_true(start != 0 && start % HMMU_LARGE_BYTES == 0);
	assert_true(end > start && end % HMMU_LARGE_BYTES == 0);
	assert_true(hmmu__arena_contains((uintptr_t)small));
	assert_true(hmmu__arena_contains((uintptr_t)pages));
	assert_true(hmmu__arena_contains(start));
	assert_true(hmmu__arena_contains(end - 1));
	assert_false(hmmu__arena_contains(start - 1));
	assert_false(hmmu__arena_contains(end));
	assert_false(hmmu__arena_contains((uintptr_t)&on_stack));
	assert_false(hmmu__arena_overlaps(0, start));
	assert_true(hmmu__arena_overlaps(0, start + 1));
	assert_true(hmmu__arena_overlaps(end - 1, UINTPTR_MAX));
	assert_false(hmmu__arena_overlaps(end, UINTPTR_MAX));
	assert_true(hmmu__arena_overlaps(0, UINTPTR_MAX));
	assert_false(hmmu__arena_overlaps(start + 5, start + 5));
	hmmu__free(small, 1);
	hmmu__free_pages(pages, 3);
}

/* Objects ------------------------------------------------------------------- */

static size_t alignment_of_size(size_t bytes)
{
	if (bytes > HMMU_ARENA_SMALL_MAX_BYTES)
		return HMMU_PAGE_BYTES;
	return bytes >= 64 ? 64 : 16;
}

static void test_arena_objects_are_zeroed_and_aligned(void **state)
{
	size_t before = used_bytes();

	(void)state;
	for (size_t bytes = 1; bytes < 9000; bytes += bytes < 2200 ? 1 : 97) {
		char *a = hmmu__alloc(bytes);
		char *b = hmmu__alloc(bytes);

		assert_non_null(a);
		assert_non_null(b);
		assert_true(a + bytes <= b || b + bytes <= a);
		assert_true(is_zero(a, bytes) && is_zero(b, bytes));
		assert_int_equal((uintptr_t)a % alignment_of_size(bytes), 0);
		assert_int_equal((uintptr_t)b % alignment_of_size(bytes), 0);
		assert_true(used_bytes() >= before + 2 * bytes);
		memset(a, 0xff, bytes);
		hmmu__free(a, bytes);
		memset(b, 0xff, bytes);
		hmmu__free(b, bytes);
	}
	assert_int_equal(used_bytes(), before);
	hmmu__free(NULL, 100);
	hmmu__free_pages(NULL, 1);
	hmmu__arena_release(NULL, 1);
}

#define MANY 20000u

/* Full slabs are found again when their objects come back. */
static void test_arena_reuses_what_was_freed(void **state)
{
	static void *object[MANY];
	size_t committed = 0;

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < MANY; i++) {
			object[i] = hmmu__alloc(200);
			assert_non_null(object[i]);
		}
		if (round == 0)
			committed = committed_bytes();
		for (unsigned int i = 0; i < MANY; i++)
			hmmu__free(object[(i * 7919ul) % MANY], 200);
	}
	assert_int_equal(committed_bytes(), committed);
}

static void test_arena_page_runs_merge(void **state)
{
	static void *run[512];
	size_t committed = 0;
	void *whole;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < 512; i++) {
			run[i] = hmmu__alloc_pages(1 + i % 5);
			assert_non_null(run[i]);
			assert_true(is_zero(run[i], (1 + i % 5) * 4096));
			memset(run[i], 0x55, (1 + i % 5) * 4096);
		}
		for (unsigned int i = 0; i < 512; i++) {
			unsigned int n = i * 211 % 512;

			hmmu__free_pages(run[n], 1 + n % 5);
		}
		if (round == 0)
			committed = committed_bytes();
	}
	/* As long as all of them together: only merged runs have room. */
	whole = hmmu__alloc_pages(1500);
	assert_non_null(whole);
	assert_true(is_zero(whole, 1500 * 4096));
	assert_int_equal(committed_bytes(), committed);
	hmmu__free_pages(whole, 1500);
}

static void test_arena_refuses_what_cannot_be(void **state)
{
	size_t before = used_bytes();

	(void)state;
	assert_null(hmmu__alloc(SIZE_MAX));
	assert_null(hmmu__alloc(1ul << 50));
	assert_null(hmmu__alloc_pages(SIZE_MAX));
	assert_null(hmmu__alloc_pages(1ul << 31));
	assert_null(hmmu__alloc_pages(1ul << 30));
	assert_null(hmmu__arena_reserve(SIZE_MAX, 4096));
	assert_null(hmmu__arena_reserve(1ul << 50, 4096));
	assert_null(hmmu__arena_reserve(0, 4096));
	assert_int_equal(used_bytes(), before);
}

/* Regions ------------------------------------------------------------------- */

static void test_arena_region_is_fresh_each_time(void **state)
{
	size_t bytes = 3 * HMMU_LARGE_BYTES + 4096;
	size_t before = used_bytes();
	char *first, *again;

	(void)state;
	first = hmmu__arena_reserve(bytes, HMMU_LARGE_BYTES);
	assert_non_null(first);
	assert_int_equal((uintptr_t)first % HMMU_LARGE_BYTES, 0);
	assert_true(hmmu__arena_contains((uintptr_t)first));
	assert_true(hmmu__arena_contains((uintptr_t)first + bytes - 1));
	memset(first, 0x77, bytes);
	assert_true(is_readable(first));
	assert_true(used_bytes() >= before + bytes);
	hmmu__arena_release(first, bytes);
	assert_false(is_readable(first));
	assert_int_equal(used_bytes(), before);
	again = hmmu__arena_reserve(bytes, HMMU_LARGE_BYTES);
	assert_ptr_equal(again, first);
	assert_true(is_zero(again, bytes));
	hmmu__arena_release(again, bytes);
}

static void test_arena_regions_merge_and_keep_neighbours(void **state)
{
	char *a = hmmu__arena_reserve(10 * 4096, 4096);
	char *b = hmmu__arena_reserve(20 * 4096, 4096);
	char *c = hmmu__arena_reserve(30 * 4096, 4096);
	char *aligned, *all;

	(void)state;
	assert_true(a && b && c);
	memset(a, 1, 10 * 4096);
	memset(b, 2, 20 * 4096);
	memset(c, 3, 30 * 4096);
	hmmu__arena_release(b, 20 * 4096);
	assert_int_equal(a[10 * 4096 - 1], 1);
	assert_int_equal(c[0], 3);
	aligned = hmmu__arena_reserve(4096, HMMU_HUGE_BYTES);
	assert_non_null(aligned);
	assert_int_equal((uintptr_t)aligned % HMMU_HUGE_BYTES, 0);
	hmmu__arena_release(a, 10 * 4096);
	hmmu__arena_release(c, 30 * 4096);
	hmmu__arena_release(aligned, 4096);
	all = hmmu__arena_reserve(60 * 4096, 4096);
	assert_ptr_equal(all, a < b ? a : b);
	hmmu__arena_release(all, 60 * 4096);
}

/* Fuzz ---------------------------------------------------------------------- */

/* ThreadSanitizer makes each byte that is looked at 50 times dearer. */
#define ROUNDS(n) ((n) / (HMMU_TSAN ? 10 : 1))

#define SLOTS	  400u

enum kind {
	KIND_OBJECT,
	KIND_PAGES,
	KIND_REGION
};

struct slot {
	unsigned char *p;
	size_t amount; /* bytes, or pages for KIND_PAGES */
	enum kind kind;
	unsigned char fill;
};

struct fuzzer {
	uint64_t random;
	struct slot slot[SLOTS];
};

static uint64_t random_below(struct fuzzer *f, uint64_t bound)
{
	f->random = f->random * 6364136223846793005ull + 1442695040888963407ull;
	return (f->random >> 24) % bound;
}

static size_t slot_bytes(const struct slot *s)
{
	return s->kind == KIND_PAGES ? s->amount * 4096 : s->amount;
}

static void slot_fill(struct fuzzer *f, struct slot *s)
{
	unsigned int what = (unsigned int)random_below(f, 100);

	if (what < 80) {
		s->kind = KIND_OBJECT;
		s->amount = 1 + random_below(f, what < 70 ? 2048 : 20000);
		s->p = hmmu__alloc(s->amount);
	} else if (what < 98) {
		s->kind = KIND_PAGES;
		s->amount = 1 + random_below(f, what < 95 ? 8 : 120);
		s->p = hmmu__alloc_pages(s->amount);
	} else {
		s->kind = KIND_REGION;
		s->amount = 1 + random_below(f, 600000);
		s->p = hmmu__arena_reserve(s->amount,
					   4096ul << random_below(f, 10));
	}
	assert_non_null(s->p);
	assert_true(is_zero(s->p, slot_bytes(s)));
	s->fill = (unsigned char)(1 + random_below(f, 255));
	memset(s->p, s->fill, slot_bytes(s));
}

/* Whole and as it was left: no other object lies in it. */
static void slot_empty(struct slot *s)
{
	for (size_t i = 0; i < slot_bytes(s); i++) {
		if (s->p[i] != s->fill)
			fail_msg("byte %zu of %zu changed", i, slot_bytes(s));
	}
	if (s->kind == KIND_OBJECT)
		hmmu__free(s->p, s->amount);
	else if (s->kind == KIND_PAGES)
		hmmu__free_pages(s->p, s->amount);
	else
		hmmu__arena_release(s->p, s->amount);
	s->p = NULL;
}

static void fuzz(struct fuzzer *f, unsigned int steps)
{
	for (unsigned int step = 0; step < steps; step++) {
		struct slot *s = &f->slot[random_below(f, SLOTS)];

		if (s->p)
			slot_empty(s);
		else
			slot_fill(f, s);
	}
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (f->slot[i].p)
			slot_empty(&f->slot[i]);
	}
}

static void test_arena_fuzz_objects_do_not_overlap(void **state)
{
	static struct fuzzer f;
	size_t before = used_bytes();

	(void)state;
	f.random = 42;
	fuzz(&f, ROUNDS(15000));
	assert_int_equal(used_bytes(), before);
}

#define THREADS	  4
#define MAILBOXES 64

/* Objects travel: who allocates one is seldom who frees it. */
static unsigned char *_Atomic mailbox[MAILBOXES];

/* The size is a function of the first byte, so that anyone can free it. */
static size_t parcel_bytes(unsigned char tag)
{
	return 17 + tag * 7ul;
}

static unsigned char *parcel_create(unsigned char tag)
{
	size_t bytes = parcel_bytes(tag);
	unsigned char *p = hmmu__alloc(bytes);

	if (!p || !is_zero(p, bytes))
		abort();
	memset(p, tag, bytes);
	return p;
}

static void parcel_destroy(unsigned char *p)
{
	size_t bytes;

	if (!p)
		return;
	bytes = parcel_bytes(p[0]);
	for (size_t i = 0; i < bytes; i++) {
		if (p[i] != p[0])
			abort();
	}
	hmmu__free(p, bytes);
}

static void *exchange_parcels(void *arg)
{
	struct fuzzer f = { .random = (uintptr_t)arg };

	for (int i = 0; i < ROUNDS(30000); i++) {
		unsigned char tag = (unsigned char)random_below(&f, 250);
		size_t box = random_below(&f, MAILBOXES);

		/* Release and acquire: the contents travel with it. */
		parcel_destroy(atomic_exchange_explicit(&mailbox[box],
							parcel_create(tag),
							memory_order_acq_rel));
	}
	return NULL;
}

static void test_arena_threads_free_what_others_allocated(void **state)
{
	size_t before = used_bytes();
	pthread_t thread[THREADS];

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL,
						exchange_parcels,
						(void *)(i + 1)),
				 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	for (int i = 0; i < MAILBOXES; i++)
		parcel_destroy(atomic_exchange_explicit(&mailbox[i], NULL,
							memory_order_acq_rel));
	assert_int_equal(used_bytes(), before);
}

/* One class, slabs that fill and empty all the time: the relisting race. */
static void *fill_and_empty(void *arg)
{
	void *p[80];

	(void)arg;
	for (int round = 0; round < ROUNDS(400); round++) {
		for (unsigned int i = 0; i < HMMU_ARRAY_SIZE(p); i++) {
			p[i] = hmmu__alloc(2000);
			if (!p[i])
				abort();
		}
		for (unsigned int i = 0; i < HMMU_ARRAY_SIZE(p); i++)
			hmmu__free(p[i], 2000);
	}
	return NULL;
}

static void test_arena_slabs_are_not_lost_by_threads(void **state)
{
	pthread_t thread[THREADS];
	size_t committed = 0;

	(void)state;
	(void)fill_and_empty(NULL);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_create(&thread[i], NULL,
							fill_and_empty, NULL),
					 0);
		for (int i = 0; i < THREADS; i++)
			assert_int_equal(pthread_join(thread[i], NULL), 0);
		if (round == 0)
			committed = committed_bytes();
	}
	/* 320 objects of 2 KiB at once: a step more is luck, a lost slab not. */
	assert_true(committed_bytes() <= committed + HMMU_LARGE_BYTES);
}

/* Misuse -------------------------------------------------------------------- */

static void test_arena_freed_memory_is_poisoned(void **state)
{
	(void)state;
#if HMMU_ASAN
	char *a = hmmu__alloc(100);
	char *pages = hmmu__alloc_pages(2);

	assert_false(__asan_address_is_poisoned(a));
	assert_false(__asan_address_is_poisoned(a + 99));
	/* The rest of the object of 128 bytes that it lies in. */
	assert_true(__asan_address_is_poisoned(a + 100));
	assert_false(__asan_address_is_poisoned(pages + 8191));
	hmmu__free(a, 100);
	assert_true(__asan_address_is_poisoned(a));
	assert_true(__asan_address_is_poisoned(a + 127));
	hmmu__free_pages(pages, 2);
	assert_true(__asan_address_is_poisoned(pages));
	assert_true(__asan_address_is_poisoned(pages + 8191));
#else
	skip_without("AddressSanitizer");
#endif
}

#if HMMU_DEBUG
static void assert_child_aborts(void (*fn)(void))
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		(void)close(2);
		(void)signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void free_object_twice(void)
{
	void *p = hmmu__alloc(64);
	void *volatile copy = p;

	hmmu__free(p, 64);
#if HMMU_ASAN
	/* The debug pattern is written first, and would be the report. */
	__asan_unpoison_memory_region(copy, 64);
#endif
	hmmu__free(copy, 64);
}

static void free_with_wrong_size(void)
{
	hmmu__free(hmmu__alloc(64), 65);
}

static void free_pages_twice(void)
{
	void *p = hmmu__alloc_pages(4);
	void *volatile copy = p;

	hmmu__free_pages(p, 4);
	hmmu__free_pages(copy, 4);
}

static void free_part_of_pages(void)
{
	hmmu__free_pages(hmmu__alloc_pages(4), 3);
}
#endif

static void test_arena_debug_build_sees_misuse(void **state)
{
	(void)state;
#if HMMU_DEBUG
	assert_child_aborts(free_object_twice);
	assert_child_aborts(free_with_wrong_size);
	assert_child_aborts(free_pages_twice);
	assert_child_aborts(free_part_of_pages);
#else
	skip_without("HMMU_DEBUG=1");
#endif
}

/* Each point in turn fails, and nothing is left behind. */
static void test_arena_survives_failure_sweep(void **state)
{
	size_t before = used_bytes();
	unsigned int failures = 0;
	const char *failed;

	(void)state;
	if (!HMMU_FAULT_POINTS)
		skip_without("HMMU_FAULT_POINTS=1");
	for (uint64_t nth = 1;; nth++) {
		void *object, *pages, *region;

		hmmu__fault_points_arm_thread(nth);
		object = hmmu__alloc(10);
		pages = hmmu__alloc_pages(2);
		region = hmmu__arena_reserve(8192, 4096);
		failed = hmmu__fault_points_failed();
		hmmu__fault_points_disarm();
		assert_int_equal(!failed, object && pages && region);
		hmmu__free(object, 10);
		hmmu__free_pages(pages, 2);
		hmmu__arena_release(region, 8192);
		assert_int_equal(used_bytes(), before);
		if (!failed)
			break;
		failures++;
	}
	/* object, pages, reserve and its two nodes */
	assert_int_equal(failures, 5);
}

static void test_arena_works_in_a_child(void **state)
{
	int status = 0;
	pid_t child;

	(void)state;
	hmmu__arena_fork_before();
	child = fork();
	hmmu__arena_fork_after();
	assert_true(child >= 0);
	if (child == 0) {
		char *p = hmmu__alloc_pages(1);

		_exit(p && is_zero(p, 4096) ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_arena_shrinks_to_the_limit_of_address_space),
		cmocka_unit_test(test_arena_contains_its_memory_and_no_other),
		cmocka_unit_test(test_arena_objects_are_zeroed_and_aligned),
		cmocka_unit_test(test_arena_reuses_what_was_freed),
		cmocka_unit_test(test_arena_page_runs_merge),
		cmocka_unit_test(test_arena_refuses_what_cannot_be),
		cmocka_unit_test(test_arena_region_is_fresh_each_time),
		cmocka_unit_test(test_arena_regions_merge_and_keep_neighbours),
		cmocka_unit_test(test_arena_fuzz_objects_do_not_overlap),
		cmocka_unit_test(test_arena_threads_free_what_others_allocated),
		cmocka_unit_test(test_arena_slabs_are_not_lost_by_threads),
		cmocka_unit_test(test_arena_freed_memory_is_poisoned),
		cmocka_unit_test(test_arena_debug_build_sees_misuse),
		cmocka_unit_test(test_arena_survives_failure_sweep),
		cmocka_unit_test(test_arena_works_in_a_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
