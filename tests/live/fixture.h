/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_FIXTURE_H
#define HMMU_TESTS_FIXTURE_H

/*
 * The fixture of the live tests: a space with one device that has memory,
 * memory of the program with known content, and functions that find out without
 * HMMU where a page is (/proc/self/pagemap). It uses only the public interface.
 *
 * A change of the program's memory can be hooked (through the C library) or raw
 * (a system call). BOTH_WAYS() makes two cases of a function that takes the
 * way.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <hmmu/device.h>
#include <hmmu/exclusive.h>
#include <hmmu/memory.h>
#include <hmmu/migrate.h>
#include <hmmu/mirror.h>
#include <hmmu/notifier.h>
#include <hmmu/port.h>
#include <hmmu/range.h>
#include <hmmu/space.h>
#include <uapi/linux_mm.h>

#include "harness.h"
#include "src/base/compiler.h"

#define PAGE	       HMMU_PAGE_BYTES
#define LARGE	       HMMU_LARGE_BYTES
#define PER_LARGE      HMMU_PAGES_PER_LARGE

/* A sanitizer's runtime is in the program and has its own allocator. */
#define LIVE_SANITIZED (HMMU_ASAN || HMMU_TSAN)

/* Set by live_open(). */
extern struct hmmu_space *live_space;
extern struct hmmu_memory *live_memory;
extern struct hmmu_device *live_device;

/* Open only the space; skips without userfaultfd. */
void live_open_space(void);
/* Open a space; create a device and @bytes of device memory. */
void live_open_bytes(size_t bytes);
/* The same with 64 MiB. */
void live_open(void);
/*
 * The same, if system calls can access memory on a device. Skips if neither the
 * kernel nor the hooks do that: then a program must call hmmu_populate().
 */
void live_open_served(void);
void live_close(void);
/* Create another device, with memory unless @bytes is 0. */
struct hmmu_device *live_add_device(size_t bytes, struct hmmu_memory **memory);
/* The same with memory of @kind. Destroy both with live_remove_device(). */
struct hmmu_device *live_add_kind(enum hmmu_memory_kind kind, size_t bytes,
				  struct hmmu_memory **memory);
void live_remove_device(struct hmmu_device *device, struct hmmu_memory *memory);

/* Capabilities of this kernel, these privileges and the forced fallbacks. */
bool live_is_forced(const char *fallback);
/* The fault service resolves faults of the kernel, as in read(2). */
bool live_serves_kernel(void);
/* Pages can migrate to host-private memory: UFFDIO_MOVE. */
bool live_can_move(void);
/* Skip if they cannot. */
void live_need_move(void);

/* Skip if malloc() does not use [heap], or free() not munmap() inside libc. */
void live_need_libc_heap(void);
/*
 * Skip if a sanitizer's memory would migrate, too. Its runtime has locks and
 * accesses its shadow memory while it holds them; the fault service would wait
 * for these locks.
 */
void live_need_program_alone(void);

/*
 * Open a userfaultfd of the program with @flags and @features. If it lacks
 * them, skips and names @what, or fails if @what is NULL.
 */
int live_userfaultfd(int flags, uint64_t features, const char *what);
/* Register the memory with @file. */
void live_userfaultfd_register(int file, const void *p, size_t bytes,
			       uint64_t mode);

/* The word of 8 bytes at @index; differs for each index and seed. */
static inline uint64_t live_word(uint64_t seed, uint64_t index)
{
	uint64_t x = (seed << 40) + index + 1;

	return (x ^ (x >> 17)) * 0x9e3779b97f4a7c15ull;
}

/*
 * Private anonymous memory between inaccessible pages, so that it never merges
 * with a neighbour. 2 MiB aligned if it is that large, else within one block of
 * 2 MiB.
 */
void *live_map(size_t bytes);
/* The system calls mlock(2) and munlock(2), which sanitizers replace. */
int live_lock(const void *p, size_t bytes);
int live_unlock(const void *p, size_t bytes);
/* The same with 2 MiB pages and live_fill(); skips without such pages. */
void *live_map_large(size_t blocks, uint64_t seed);
/* The same with 4 KiB pages. */
void *live_map_small(size_t pages, uint64_t seed);
/* Writes live_word(@seed, 0), (@seed, 1) ... */
void live_fill(void *p, size_t bytes, uint64_t seed);
void live_check_at(const char *file, int line, const void *p, size_t bytes,
		   uint64_t seed, size_t at_bytes);

/* The memory holds what live_fill() wrote. */
#define LIVE_CHECK(p, bytes, seed) \
	live_check_at(__FILE__, __LINE__, p, bytes, seed, 0)
/* The memory holds what live_fill() wrote at offset @at. */
#define LIVE_CHECK_AT(p, bytes, seed, at) \
	live_check_at(__FILE__, __LINE__, p, bytes, seed, at)
/* The memory is zero. */
#define LIVE_CHECK_ZERO(p, bytes) \
	live_check_at(__FILE__, __LINE__, p, bytes, UINT64_MAX, 0)

/*
 * Migrate, and check the counts of the result. Skips if the kernel cannot
 * migrate pages.
 */
struct hmmu_migrate_result live_migrate(struct hmmu_device *device,
					const void *p, size_t bytes);
/* The same to live_device; all pages must be on it afterwards. */
void live_take(const void *p, size_t bytes);
struct hmmu_space_stats live_stats(void);
struct hmmu_memory_stats live_memory_stats(void);
size_t live_used_pages(struct hmmu_memory *memory);
uint64_t live_device_pages(void);

/* From the kernel: the present pages, and the pages of large pages. */
size_t live_present(const void *p, size_t bytes);
size_t live_huge(const void *p, size_t bytes);
/* True if @p is mapped. */
bool live_is_mapped(const void *p);
/* The mapping of @p is armed: registered for missing pages. */
bool live_is_armed(const void *p);
/* True if any mapping of the process is registered with a userfaultfd. */
bool live_is_registered(void);
size_t live_count_maps(void);
size_t live_count_files(void);
size_t live_count_threads(void);
/*
 * Read @file ("stat", "wchan") of a thread of this process in /proc, cut to
 * @bytes. False if the thread has ended, or the file is empty.
 */
bool live_task_says(unsigned int tid, const char *file, char *text,
		    size_t bytes);

/* The leaf of @device that maps @p: 12, 21, 30, or 0; @entry may be NULL. */
unsigned int live_leaf(struct hmmu_device *device, const void *p,
		       uint64_t *entry);
/* hmmu_device_make_exclusive(); skips if the kernel cannot move pages. */
int live_make_exclusive(struct hmmu_device *device, const void *p, size_t bytes,
			size_t *done);
/* @device maps the page as exclusive. */
bool live_is_exclusive(struct hmmu_device *device, const void *p);
/*
 * hmmu_range_fault_unlocked() of [p, p + pages) for @owner, with @flags for
 * every page.
 */
void live_look(const struct hmmu_device *owner, const void *p, size_t pages,
	       uint64_t flags, uint64_t *entries);
struct hmmu_mirror_stats live_mirror(struct hmmu_device *device);

/* A way in which the program changes its memory. */
struct live_way {
	bool hooked;
	int (*unmap)(void *p, size_t bytes);
	void *(*map)(void *p, size_t bytes, int prot, int flags);
	void *(*remap)(void *p, size_t bytes, size_t new_bytes, int flags,
		       void *to);
	int (*advise)(void *p, size_t bytes, int advice);
	int (*protect)(void *p, size_t bytes, int prot);
};

/*
 * Check @expr after a change has returned. The event of a raw change is read
 * before the call returns and applied right after it; until then only ports are
 * stopped. So for such a change wait until @expr is true.
 */
#define LIVE_CHECK_AFTER(way, expr)                                  \
	do {                                                         \
		unsigned int live_ms = live_is_late(way) ? 2000 : 0; \
                                                                     \
		for (; live_ms && !(expr); live_ms--)                \
			live_sleep_ms(1);                            \
		HMMU_CHECK(expr);                                    \
	} while (0)

extern const struct live_way live_hooked;
extern const struct live_way live_raw;

/* Counters change soon after a CPU fault is resolved, not at once. */
#define LIVE_CHECK_SOON(expr) LIVE_CHECK_AFTER(&live_raw, expr)

/* Changes are not reported by a hook. */
bool live_is_late(const struct live_way *way);

#define BOTH_WAYS(test)                 \
	static void test##_hooked(void) \
	{                               \
		test(&live_hooked);     \
	}                               \
	static void test##_raw(void)    \
	{                               \
		test(&live_raw);        \
	}
/* clang-format off */
#define TEST_BOTH(test) HMMU_TEST(test##_hooked), HMMU_TEST(test##_raw)
/* clang-format on */

/* Port accesses that must succeed. */
uint64_t live_load(struct hmmu_port *port, const void *p);
void live_store(struct hmmu_port *port, void *p, uint64_t value);
struct hmmu_port *live_port(void);

pthread_t live_thread(void *(*fn)(void *), void *arg);
void live_join(pthread_t thread);
/* Wait for the child, which must exit with status 0. */
void live_child_ok(pid_t child);
/* Signal @number killed it; with a sanitizer it exited with an error. */
bool live_died(int status, int number);
/* Wait until *@word reaches @value; false after @timeout_ms. */
bool live_wait_for(_Atomic unsigned int *word, unsigned int value,
		   unsigned int timeout_ms);
uint64_t live_now_ns(void);
void live_sleep_ms(unsigned int ms);

#endif
