/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_HARNESS_H
#define HMMU_TESTS_HARNESS_H

/*
 * Tests against the real kernel
 * =============================
 *
 * A failure in such a test can block its process: if a page never migrates
 * back, every thread that accesses it waits, and only SIGKILL ends a thread
 * that waits in userfaultfd. So each case runs in a child and a process group
 * of its own, with a time limit. The parent kills the group at the end of the
 * case. The parent never opens a space.
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
 * A case passes if it returns. It fails if a check fails, by a signal, with a
 * non-zero exit status, and at the time limit. Checks may be used in any thread
 * of the child. In a grandchild a failed check ends the grandchild, and the
 * case must check its status. The output is TAP.
 *
 * Options: --list, --only NAME (again for more), --timeout SECONDS,
 * --seed N, --seconds N, --ops N, --trace, --no-fork (for a debugger, with
 * --only). The output of --trace is complete only with --no-fork.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct hmmu_test - one case
 * @name: its name in TAP, --list and --only.
 * @fn: the case; returns if it passes.
 * @timeout_s: its time limit in seconds; 0 for the default of 30.
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
 * hmmu_test_main() - run the cases that the command line selects
 * @argc: from main().
 * @argv: from main().
 * @tests: the cases, in the order in which they run.
 * @count: number of cases.
 *
 * Return: the exit status: 0 no case failed, 1 a case failed, 2 wrong
 * arguments.
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
 * @file: source file.
 * @line: line in @file.
 * @format: printf format of the reason.
 *
 * Ends the whole process without running exit handlers: after a failure, faults
 * on the program's memory may never be resolved.
 */
_Noreturn void hmmu_test_fail(const char *file, int line, const char *format,
			      ...) __attribute__((format(printf, 3, 4)));

/**
 * hmmu_test_skip() - end the case as skipped
 * @capability: the missing capability, in a few words without a `#`. Use the
 *              same words for the same capability, because they are counted.
 */
_Noreturn void hmmu_test_skip(const char *capability);

/**
 * hmmu_test_seed() - the seed of this run
 *
 * From --seed, else random. It is printed as a comment of the case, so that a
 * failure can be repeated.
 */
uint64_t hmmu_test_seed(void);

/**
 * hmmu_test_seconds() - duration of a stress test
 *
 * From --seconds, else HMMU_TEST_SECONDS of the environment, else 3. The first
 * two raise the limits of the cases by the same time.
 */
unsigned int hmmu_test_seconds(void);

/**
 * hmmu_test_ops() - number of operations of a stress test
 *
 * From --ops, else without limit. For tests that count operations.
 */
uint64_t hmmu_test_ops(void);

/**
 * hmmu_test_trace() - true if a stress test must print each operation
 *
 * From --trace. For tests that can print their operations.
 */
bool hmmu_test_trace(void);

/**
 * hmmu_test_slowness() - factor by which this build is slower than a plain one
 *
 * 1, and more with sanitizers. For time limits inside a test.
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
