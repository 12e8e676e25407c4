/* SPDX-License-Identifier: MIT */
/* One case for each way to end; counting.py has the expected results. */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void test_passes(void)
{
	HMMU_CHECK(true);
	HMMU_CHECK_INT(-1, -1);
	HMMU_CHECK_OK(0);
	HMMU_CHECK_MEM("same", "same", 5);
	printf("ok 99 - what a case prints is no result\n");
}

static void test_skips(void)
{
	HMMU_SKIP("a fifth wheel");
}

static void test_check_fails(void)
{
	HMMU_CHECK(1 + 1 == 3);
}

static void test_int_fails(void)
{
	HMMU_CHECK_INT(7, 8);
}

static void test_ok_fails(void)
{
	HMMU_CHECK_OK(-EBUSY);
}

static void test_mem_fails(void)
{
	HMMU_CHECK_MEM("abc", "abd", 3);
}

static void test_signal(void)
{
	kill(getpid(), SIGKILL);
}

static void test_exit_status(void)
{
	exit(3);
}

/* The exit status of a skipped case, but no missing capability is named. */
static void test_skip_status(void)
{
	exit(77);
}

/* counting.py checks that it is gone after the program has ended. */
static void leave_grandchild(void)
{
	pid_t pid = fork();

	if (pid > 0)
		printf("grandchild %d\n", pid);
	while (pid == 0)
		pause();
}

/* Passes while a grandchild keeps its output open. */
static void test_stray_grandchild(void)
{
	leave_grandchild();
}

static void test_hangs(void)
{
	leave_grandchild();
	for (;;)
		pause();
}

HMMU_TEST_MAIN(HMMU_TEST(test_passes), HMMU_TEST(test_skips),
	       HMMU_TEST(test_check_fails), HMMU_TEST(test_int_fails),
	       HMMU_TEST(test_ok_fails), HMMU_TEST(test_mem_fails),
	       HMMU_TEST(test_signal), HMMU_TEST(test_exit_status),
	       HMMU_TEST(test_skip_status), HMMU_TEST(test_stray_grandchild),
	       HMMU_TEST_TIMEOUT(test_hangs, 1))
