/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/format.h"
#include "base/log.h"
#include "base/sched.h"
#include "base/sys.h"

struct inbox {
	unsigned int count;
	enum hmmu_log_level level;
	char text[2 * HMMU_LINE_BYTES];
};

static void receive(void *arg, enum hmmu_log_level level, const char *message)
{
	struct inbox *inbox = arg;

	inbox->count++;
	inbox->level = level;
	(void)snprintf(inbox->text, sizeof(inbox->text), "%s", message);
}

static void test_log_delivers_level_and_text(void **state)
{
	struct inbox inbox = { 0 };

	(void)state;
	hmmu_log_set(receive, &inbox, HMMU_LOG_DEBUG);
	hmmu__log(HMMU_LOG_WARN, "page %u of %s", 7u, "block");
	assert_int_equal(inbox.count, 1);
	assert_int_equal(inbox.level, HMMU_LOG_WARN);
	assert_string_equal(inbox.text, "page 7 of block");
	hmmu_log_set(NULL, NULL, HMMU_LOG_DEBUG);
	hmmu__log(HMMU_LOG_ERROR, "nobody hears");
	assert_int_equal(inbox.count, 1);
}

static void test_log_filters_by_level(void **state)
{
	(void)state;
	for (int max = HMMU_LOG_ERROR; max <= HMMU_LOG_DEBUG; max++) {
		struct inbox inbox = { 0 };

		hmmu_log_set(receive, &inbox, (enum hmmu_log_level)max);
		hmmu__log(HMMU_LOG_ERROR, "e");
		hmmu__log(HMMU_LOG_WARN, "w");
		hmmu__log(HMMU_LOG_INFO, "i");
		hmmu__log(HMMU_LOG_DEBUG, "d");
		assert_int_equal(inbox.count, max + 1);
		assert_int_equal(inbox.level, max);
		hmmu_log_set(NULL, NULL, HMMU_LOG_ERROR);
	}
}

static void test_log_evaluates_only_what_is_wanted(void **state)
{
	unsigned int evaluated = 0;
	struct inbox inbox = { 0 };

	(void)state;
	hmmu_log_set(receive, &inbox, HMMU_LOG_WARN);
	hmmu__log(HMMU_LOG_INFO, "%u", ++evaluated);
	assert_int_equal(evaluated, 0);
	hmmu__log(HMMU_LOG_WARN, "%u", ++evaluated);
	assert_int_equal(evaluated, 1);
	hmmu_log_set(NULL, NULL, HMMU_LOG_ERROR);
}

static void test_log_cuts_long_messages(void **state)
{
	struct inbox inbox = { 0 };
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	hmmu_log_set(receive, &inbox, HMMU_LOG_ERROR);
	hmmu__log(HMMU_LOG_ERROR, "%s", text);
	hmmu_log_set(NULL, NULL, HMMU_LOG_ERROR);
	assert_int_equal(strlen(inbox.text), HMMU_LINE_BYTES - 1);
}

/* Both formatters, all bytes and the returned length. */
#define assert_formats_alike(...)                                            \
	do {                                                                 \
		char ours_[128], theirs_[128];                               \
		size_t n_ = hmmu__format(ours_, sizeof(ours_), __VA_ARGS__); \
		int m_ = snprintf(theirs_, sizeof(theirs_), __VA_ARGS__);    \
		assert_string_equal(ours_, theirs_);                         \
		assert_int_equal(n_, m_);                                    \
	} while (0)

static void test_format_agrees_with_snprintf(void **state)
{
	(void)state;
	assert_formats_alike("plain");
	assert_formats_alike("%%|%c|%s|%s", 'q', "", "text");
	assert_formats_alike("%d %d %d", 0, INT_MIN, INT_MAX);
	assert_formats_alike("%i %u %x", -1, UINT_MAX, UINT_MAX);
	assert_formats_alike("%ld %ld %li", LONG_MIN, LONG_MAX, 0L);
	assert_formats_alike("%lu %lx %lx", ULONG_MAX, ULONG_MAX, 0xabcdefUL);
	assert_formats_alike("%llu %lld %llx", ULLONG_MAX, LLONG_MIN, 1ULL);
	assert_formats_alike("%zu %zx %zd", SIZE_MAX, (size_t)0x1000,
			     (ssize_t)-5);
	assert_formats_alike("%p", (void *)0x7f0012345678);
}

static void test_format_never_overruns(void **state)
{
	const char *volatile nothing = NULL;
	char buf[9];

	(void)state;
	for (size_t bytes = 0; bytes <= 8; bytes++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(hmmu__format(buf, bytes, "%d", 1234567), 7);
		assert_int_equal(buf[bytes], '#');
		if (bytes)
			assert_int_equal(strlen(buf), bytes - 1);
	}
	assert_int_equal(hmmu__format(buf, sizeof(buf), "%s", nothing), 6);
	assert_string_equal(buf, "(null)");
}

static _Atomic bool stop;

static void *talk(void *arg)
{
	(void)arg;
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		hmmu__log(HMMU_LOG_INFO, "message %d", 1);
	return NULL;
}

struct calls {
	_Atomic unsigned int begun;
	_Atomic unsigned int ended;
};

/* Takes a while, so that it is often found running. */
static void count_calls(void *arg, enum hmmu_log_level level,
			const char *message)
{
	struct calls *calls = arg;

	(void)level;
	(void)message;
	atomic_fetch_add_explicit(&calls->begun, 1, memory_order_relaxed);
	hmmu__sched_yield();
	atomic_fetch_add_explicit(&calls->ended, 1, memory_order_relaxed);
}

/* Freed as soon as it is replaced: a late call would be a use after free. */
static void set_and_remove(void)
{
	struct calls *calls = calloc(1, sizeof(*calls));
	unsigned int begun;

	assert_non_null(calls);
	hmmu_log_set(count_calls, calls, HMMU_LOG_INFO);
	while (atomic_load_explicit(&calls->begun, memory_order_relaxed) == 0)
		hmmu__sched_yield();
	hmmu_log_set(NULL, NULL, HMMU_LOG_ERROR);
	begun = atomic_load_explicit(&calls->begun, memory_order_relaxed);
	assert_int_equal(atomic_load_explicit(&calls->ended,
					      memory_order_relaxed),
			 begun);
	free(calls);
}

static void test_log_set_waits_for_running_callbacks(void **state)
{
	uint64_t end_ns = hmmu__sched_now_ns() + 500000000;
	pthread_t thread[2];

	(void)state;
	atomic_store_explicit(&stop, false, memory_order_relaxed);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, talk, NULL),
				 0);
	for (int i = 0; i < 2000 && hmmu__sched_now_ns() < end_ns; i++)
		set_and_remove();
	atomic_store_explicit(&stop, true, memory_order_relaxed);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_delivers_level_and_text),
		cmocka_unit_test(test_log_filters_by_level),
		cmocka_unit_test(test_log_evaluates_only_what_is_wanted),
		cmocka_unit_test(test_log_cuts_long_messages),
		cmocka_unit_test(test_format_agrees_with_snprintf),
		cmocka_unit_test(test_format_never_overruns),
		cmocka_unit_test(test_log_set_waits_for_running_callbacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
