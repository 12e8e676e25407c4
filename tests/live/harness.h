/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_HARNESS_H
#define HMMU_TESTS_HARNESS_H

/*
 * Tests against the real kernel
 * =============================
 *
 * What such a test breaks is the process it runs in: a page that never comes
 * home stops every thread that touches it, and only SIGKILL ends a thread that
 * waits in userfaultfd. So each case runs in a child of its own, in a process
 * group of its own, under a time limit; what the group leaves behind is killed.
 * The parent never opens a space.
 *
 *	static void test_heap_comes_home(void)
 *	{
 *		if (!can_userfaultfd())
 *			HMMU_SKIP("userfaultfd");
 *		HMMU_CHECK_INT(hmmu_space_open(...), 0);
 *	}
 *
 *	HMMU_TEST_MAIN(HMMU_TEST(test_heap_comes_home),
 *		       HMMU_TEST_TIMEOUT(test_whole_heap, 120))
 *
 * A case that returns has passed. A check that fails, a signal, a non-zero
 * exit and the time limit fail it. Checks may be used in any thread of the
 * child; in a grandchild they end the grandchild, whose status the case looks
 * at. The output is TAP.
 *
 * Options: --list, --only NAME (again for more), --timeout SECONDS,
 * --seed N, --seconds N, --ops N, --trace, --no-fork (for a debugger, with
 * --only). What --trace prints is kept whole with --no-fork only.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct hmmu_test - one case
 * @name: what TAP, --list and --only call it.
 * @fn: the case; returns when it has passed.
 * @timeout_s: its limit in seconds; 0 for the default of 30.
 */
struct hmmu_test {
	const char *name;
	void (*fn)(void);
	unsigned int timeout_s;
};

/* clang-format off */
#define HMMU_TEST(fn)                  { #fn, fn, 0 }
#define HMMU_TEST_TIMEOUT(fn, seconds) { #fn, fn, seconds }
/* clang-format on */

/**
 * hmmu_test_main() - run the cases that the command line asks for
 * @argc: as main() got it.
 * @argv: as main() got it.
 * @tests: the cases, in the order in which they run.
 * @count: how many.
 *
 * Return: the exit status: 0 none failed, 1 some failed, 2 wrong arguments.
 */
int hmmu_test_main(int argc, char **argv, const struct hmmu_test *tests,
		   size_t count);

#define HMMU_TEST_MAIN(...)                                              \
	int main(int argc, char **argv)                                  \
	{                                                                \
		static const struct hmmu_test tests[] = { __VA_ARGS__ }; \
                                                                         \
		return hmmu_test_main(argc, argv, tests,                 \
				      sizeof(tests) / sizeof(tests[0])); \
	}

/**
 * hmmu_test_fail() - end the case as failed
 * @file: where.
 * @line: where.
 * @format: printf format of the reason.
 *
 * Ends the whole process without running exit handlers: after a failure the
 * program may stand on memory that nobody serves any more.
 */
_Noreturn void hmmu_test_fail(const char *file, int line, const char *format,
			      ...) __attribute__((format(printf, 3, 4)));

/**
 * hmmu_test_skip() - end the case as skipped
 * @capability: what is missing, in a few words without a `#`; the same words
 *              wherever the same thing is missing, because they are counted.
 */
_Noreturn void hmmu_test_skip(const char *capability);

/**
 * hmmu_test_seed() - the seed of this run
 *
 * Random unless --seed gives it; printed as a comment of the case, so that
 * a failure can be run again.
 */
uint64_t hmmu_test_seed(void);

/**
 * hmmu_test_seconds() - how long a stress test goes on
 *
 * From --seconds, else 5. It raises the limits of the cases by the same time.
 */
unsigned int hmmu_test_seconds(void);

/**
 * hmmu_test_ops() - after how many operations a stress test ends
 *
 * From --ops, else as many as there is time for. For tests that count them.
 */
uint64_t hmmu_test_ops(void);

/**
 * hmmu_test_trace() - whether a stress test prints each operation
 *
 * From --trace. For tests whose operations can be printed.
 */
bool hmmu_test_trace(void);

/**
 * hmmu_test_slowness() - by what factor this build is slower than a plain one
 *
 * 1, and more under sanitizers: for time limits inside a test.
 */
unsigned int hmmu_test_slowness(void);

void hmmu_test_check_int(const char *file, int line, const char *text_a,
			 const char *text_b, long long a, long long b);
void hmmu_test_check_ok(const char *file, int line, const char *text,
			long long result);
void hmmu_test_check_mem(const char *file, int line, const void *a,
			 const void *b, size_t size_bytes);

/* End the case as skipped: @capability is missing here. */
#define HMMU_SKIP(capability) hmmu_test_skip(capability)

/* Fail unless @expr is true. */
#define HMMU_CHECK(expr)                                                 \
	do {                                                             \
		if (!(expr))                                             \
			hmmu_test_fail(__FILE__, __LINE__, "%s", #expr); \
	} while (0)

/* Fail unless the integers are equal; prints both. */
#define HMMU_CHECK_INT(a, b)                                            \
	hmmu_test_check_int(__FILE__, __LINE__, #a, #b, (long long)(a), \
			    (long long)(b))

/* Fail unless @expr, 0 or -errno, is 0; prints the name of the error. */
#define HMMU_CHECK_OK(expr) \
	hmmu_test_check_ok(__FILE__, __LINE__, #expr, (long long)(expr))

/* Fail unless the bytes are equal; prints the first that differ. */
#define HMMU_CHECK_MEM(a, b, size_bytes) \
	hmmu_test_check_mem(__FILE__, __LINE__, a, b, size_bytes)

#endif
