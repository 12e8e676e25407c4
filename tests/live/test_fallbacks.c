/* SPDX-License-Identifier: MIT */
/*
 * Each fallback alone, in pairs and all together: the same answers, and the
 * fallback is seen to be the one that gave them.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <hmmu/log.h>
#include <hmmu/platform.h>

#include "fixture.h"

static const struct {
	const char *variable;
	const char *facility;
} fallbacks[] = {
	{ "HMMU_FORCE_NO_PAGEMAP_SCAN", "pagemap-scan" },
	{ "HMMU_FORCE_NO_PROCMAP_QUERY", "procmap-query" },
	{ "HMMU_FORCE_NO_MOVE", "move" },
	{ "HMMU_FORCE_USER_MODE", "kernel-faults" },
	{ "HMMU_FORCE_NO_POPULATE", "madvise-populate" },
	{ "HMMU_FORCE_NO_MEMBARRIER", "membarrier" },
	{ "HMMU_FORCE_NO_HOOKS", "hooks" },
};

enum {
	FALLBACKS = sizeof(fallbacks) / sizeof(fallbacks[0])
};

static void check_facility(const char *name, const char *variable)
{
	static struct hmmu_facility all[64];
	size_t count, i;

	all[0].size = sizeof(all[0]);
	HMMU_CHECK_OK(hmmu_platform_query(all, 64, &count));
	for (i = 0; i < count && i < 64; i++) {
		if (strcmp(all[i].name, name) != 0)
			continue;
		if (!all[i].forced_off || all[i].available)
			hmmu_test_fail(__FILE__, __LINE__, "%s: %d %d: %s",
				       name, all[i].forced_off,
				       all[i].available, all[i].reason);
		HMMU_CHECK(all[i].reason && all[i].instead);
		HMMU_CHECK(strstr(all[i].reason, variable));
		return;
	}
	hmmu_test_fail(__FILE__, __LINE__, "no facility %s", name);
}

/* Chosen by a set of bits, before the first space of the process is opened. */
static void force(unsigned int set)
{
	unsigned int i;

	for (i = 0; i < FALLBACKS; i++) {
		if (set & (1u << i))
			HMMU_CHECK_OK(setenv(fallbacks[i].variable, "1", 1));
	}
	/* Some are decided once per process, by the first who asks. */
	for (i = 0; i < FALLBACKS; i++) {
		if (set & (1u << i))
			check_facility(fallbacks[i].facility,
				       fallbacks[i].variable);
	}
}

/* To the device; without UFFDIO_MOVE it is refused, and the rest is the same. */
static void take_if_possible(char *p, size_t bytes)
{
	if (live_can_move())
		live_take(p, bytes);
	else
		HMMU_CHECK_INT(hmmu_device_migrate(live_device, (uintptr_t)p,
						   bytes, NULL),
			       -EOPNOTSUPP);
}

static void check_migration(char *p, size_t bytes, uint64_t seed)
{
	size_t taken = live_can_move() ? bytes / PAGE : 0;
	struct hmmu_port *port = live_port();

	take_if_possible(p, bytes);
	HMMU_CHECK(live_load(port, p + 88) == live_word(seed, 11));
	live_store(port, p + 88, live_word(seed, 11));
	LIVE_CHECK_SOON(live_device_pages() == taken);
	LIVE_CHECK(p, bytes, seed);
	LIVE_CHECK_SOON(live_device_pages() == 0);
	hmmu_port_close(port);
}

static void check_changes(const struct live_way *way)
{
	char *p = live_map_small(64, 3), *to;
	uint64_t mapped = live_mirror(live_device).mapped_bytes;
	struct hmmu_port *port = live_port();

	take_if_possible(p, 64 * PAGE);
	HMMU_CHECK_OK(way->advise(p, 4 * PAGE, MADV_DONTNEED));
	HMMU_CHECK_INT(live_load(port, p), 0);
	LIVE_CHECK_ZERO(p, 4 * PAGE);
	to = way->remap(p, 32 * PAGE, 70 * PAGE, MREMAP_MAYMOVE, NULL);
	HMMU_CHECK(to != MAP_FAILED);
	LIVE_CHECK_AT(to + 4 * PAGE, 28 * PAGE, 3, 4 * PAGE);
	HMMU_CHECK_OK(way->unmap(p + 32 * PAGE, 8 * PAGE));
	LIVE_CHECK_AT(p + 40 * PAGE, 24 * PAGE, 3, 40 * PAGE);
	HMMU_CHECK_OK(way->unmap(p + 32 * PAGE, 32 * PAGE));
	HMMU_CHECK_OK(way->unmap(to, 70 * PAGE));
	LIVE_CHECK_AFTER(way, !live_memory_stats().used_pages);
	LIVE_CHECK_AFTER(way, live_mirror(live_device).mapped_bytes == mapped);
	hmmu_port_close(port);
}

static void check_refusals(void)
{
	char *p = live_map_small(8, 4);

	HMMU_CHECK_OK(mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	HMMU_CHECK_OK(munmap(p + 4 * PAGE, PAGE));
	HMMU_CHECK_INT(hmmu_device_fault(live_device, (uintptr_t)p, 3 * PAGE,
					 HMMU_ACCESS_WRITE),
		       -EPERM);
	HMMU_CHECK_INT(hmmu_device_fault(live_device, (uintptr_t)p, 5 * PAGE,
					 HMMU_ACCESS_READ),
		       -EFAULT);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, 4 * PAGE,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(munmap(p, 8 * PAGE));
}

static void check_fork(void)
{
	char *p = live_map_small(16, 5);
	pid_t child;

	take_if_possible(p, 16 * PAGE);
	child = fork();
	if (child == 0) {
		LIVE_CHECK(p, 16 * PAGE, 5);
		_exit(0);
	}
	live_fill(p, 16 * PAGE, 6);
	live_child_ok(child);
	LIVE_CHECK(p, 16 * PAGE, 6);
}

/* What shows from outside that the fallback is in use. */
static void check_effects(void)
{
	char *p = live_map_small(4, 7);
	int file = memfd_create("test", MFD_CLOEXEC);

	if (live_is_forced("NO_HOOKS"))
		HMMU_CHECK(live_stats().events_unmap > 0);
	take_if_possible(p, 4 * PAGE);
	if (live_is_forced("USER_MODE") && live_can_move()) {
		HMMU_CHECK_INT(syscall(SYS_write, file, p, PAGE), -1);
		HMMU_CHECK_INT(errno, EFAULT);
		HMMU_CHECK_INT(write(file, p, PAGE),
			       live_is_forced("NO_HOOKS") ? -1 : (ssize_t)PAGE);
	} else if (live_serves_kernel() || !live_can_move()) {
		HMMU_CHECK_INT(write(file, p, PAGE), PAGE);
	}
	LIVE_CHECK(p, 4 * PAGE, 7);
	close(file);
}

static void check_round(unsigned int set)
{
	char *large;

	force(set);
	live_open();
	large = live_map_large(2, 1);
	check_migration(large, 2 * LARGE, 1);
	check_migration(live_map_small(40, 2), 40 * PAGE, 2);
	check_changes(&live_hooked);
	check_effects();
	check_changes(&live_raw);
	check_refusals();
	check_fork();
	LIVE_CHECK_SOON(live_stats().device_pages == 0);
	live_close();
	HMMU_CHECK(!live_is_registered());
	LIVE_CHECK(large, 2 * LARGE, 1);
}

#define ALONE(name, bit)                                \
	static void test_fallbacks_##name##_alone(void) \
	{                                               \
		check_round(1u << (bit));               \
	}
ALONE(no_pagemap_scan, 0)
ALONE(no_procmap_query, 1)
ALONE(no_move, 2)
ALONE(user_mode, 3)
ALONE(no_populate, 4)
ALONE(no_membarrier, 5)
ALONE(no_hooks, 6)

static void test_fallbacks_none(void)
{
	check_round(0);
	if (!live_is_forced("NO_HOOKS") && !live_is_forced("NO_MOVE"))
		HMMU_CHECK(live_can_move());
}

static void test_fallbacks_all_together(void)
{
	check_round((1u << FALLBACKS) - 1);
}

/* Each pair in a child of its own: a space is opened once per process. */
static void test_fallbacks_in_pairs(void)
{
	unsigned int i, j;
	int status;
	pid_t child;

	for (i = 0; i < FALLBACKS; i++) {
		for (j = 0; j < i; j++) {
			child = fork();
			if (child == 0) {
				printf("%s %s\n", fallbacks[i].facility,
				       fallbacks[j].facility);
				check_round(1u << i | 1u << j);
				_exit(0);
			}
			HMMU_CHECK_INT(waitpid(child, &status, 0), child);
			/* A skip of the child, which has said why. */
			if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
				_exit(77);
			HMMU_CHECK_INT(status, 0);
		}
	}
}

static struct {
	unsigned int count;
	char text[256];
} warning;

static void keep_warning(void *arg, enum hmmu_log_level level,
			 const char *message)
{
	(void)arg;
	if (level != HMMU_LOG_WARN)
		return;
	warning.count++;
	(void)strncpy(warning.text, message, sizeof(warning.text) - 1);
}

/* Only where faults of system calls are not served; once for each space. */
static void test_fallbacks_user_mode_is_logged(void)
{
	char *p = live_map_small(8, 1);

	live_open();
	live_need_move();
	hmmu_log_set(keep_warning, NULL, HMMU_LOG_WARN);
	(void)live_migrate(live_device, p, 4 * PAGE);
	(void)live_migrate(live_device, p, 8 * PAGE);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
	HMMU_CHECK_INT(warning.count, live_serves_kernel() ? 0 : 1);
	if (warning.count) {
		HMMU_CHECK(strstr(warning.text, "EFAULT"));
		HMMU_CHECK(strstr(warning.text, "hmmu_populate()"));
		HMMU_CHECK(strstr(warning.text, live_is_forced("USER_MODE") ?
							"HMMU_FORCE_USER_MODE" :
							"/dev/userfaultfd"));
	}
	live_close();
}

static void test_fallbacks_forced_user_mode_is_logged(void)
{
	HMMU_CHECK_OK(setenv("HMMU_FORCE_USER_MODE", "1", 1));
	test_fallbacks_user_mode_is_logged();
}

static void test_fallbacks_no_uffd_says_why(void)
{
	struct hmmu_space *s = NULL;
	const char *why = NULL;

	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_UFFD", "1", 1));
	HMMU_CHECK_INT(hmmu_space_open(NULL, &why, &s), -EOPNOTSUPP);
	HMMU_CHECK(why && !s);
	check_facility("userfaultfd", "HMMU_FORCE_NO_UFFD");
}

/* The option of the caller does what the environment does. */
static void test_fallbacks_no_hooks_by_option(void)
{
	struct hmmu_space_options options = { .size = sizeof(options),
					      .no_hooks = 1 };
	char *p = live_map_small(8, 1);
	struct hmmu_device *device;
	int err = hmmu_space_open(&options, NULL, &live_space);

	if (err == -EOPNOTSUPP)
		HMMU_SKIP("userfaultfd");
	HMMU_CHECK_OK(err);
	device = live_add_device(0, NULL);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, 8 * PAGE,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(munmap(p, 8 * PAGE));
	LIVE_CHECK_AFTER(&live_raw, live_stats().events_unmap >= 1);
	LIVE_CHECK_AFTER(&live_raw, !live_mirror(device).mapped_bytes);
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static char *map_at(char *at, size_t pages)
{
	return mmap(at, pages * PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

/*
 * In user mode a system call fails on a hole of an armed mapping. Two mappings
 * are watched one after the other and become one. A neighbour in their block
 * migrates. They must not be armed for that.
 */
static void test_fallbacks_user_mode_arms_no_neighbour(void)
{
	char *p = live_map_small(256, 1);
	struct stat *st = (void *)(p + 32 * PAGE);
	struct hmmu_device *device;

	HMMU_CHECK_OK(setenv("HMMU_FORCE_USER_MODE", "1", 1));
	live_open();
	device = live_device;
	live_need_move();
	HMMU_CHECK_OK(munmap(p, 256 * PAGE));
	HMMU_CHECK(map_at(p + 64 * PAGE, 64) == p + 64 * PAGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p + 64 * PAGE, 1,
					HMMU_ACCESS_READ));
	HMMU_CHECK(map_at(p, 64) == p);
	HMMU_CHECK_OK(
		hmmu_device_fault(device, (uintptr_t)p, 1, HMMU_ACCESS_READ));
	HMMU_CHECK(map_at(p + 192 * PAGE, 64) == p + 192 * PAGE);
	live_fill(p + 192 * PAGE, 64 * PAGE, 1);
	live_take(p + 192 * PAGE, 64 * PAGE);
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p + PAGE, 1,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(fstatat(AT_FDCWD, "/", st, 0));
	HMMU_CHECK(S_ISDIR(st->st_mode));
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_fallbacks_none),
	       HMMU_TEST(test_fallbacks_no_pagemap_scan_alone),
	       HMMU_TEST(test_fallbacks_no_procmap_query_alone),
	       HMMU_TEST(test_fallbacks_no_move_alone),
	       HMMU_TEST(test_fallbacks_user_mode_alone),
	       HMMU_TEST(test_fallbacks_no_populate_alone),
	       HMMU_TEST(test_fallbacks_no_membarrier_alone),
	       HMMU_TEST(test_fallbacks_no_hooks_alone),
	       HMMU_TEST(test_fallbacks_in_pairs),
	       HMMU_TEST(test_fallbacks_all_together),
	       HMMU_TEST(test_fallbacks_user_mode_is_logged),
	       HMMU_TEST(test_fallbacks_forced_user_mode_is_logged),
	       HMMU_TEST(test_fallbacks_no_uffd_says_why),
	       HMMU_TEST(test_fallbacks_user_mode_arms_no_neighbour),
	       HMMU_TEST(test_fallbacks_no_hooks_by_option))
