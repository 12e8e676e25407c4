/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_FIXTURE_H
#define HMMU_TESTS_FIXTURE_H

/*
 * What the live tests share: a space with one device that has memory, memory
 * of the program with known content, and ways to see from outside HMMU where a
 * page is (/proc/self/pagemap). Public interface only.
 *
 * A change of the program's memory is made in two ways, through the C library
 * (hooked) and behind its back (raw): BOTH_WAYS() makes two cases of a function
 * that takes the way.
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

/* A sanitizer's runtime lives in the program, with an allocator of its own. */
#define LIVE_SANITIZED (HMMU_ASAN || HMMU_TSAN)

/* live_open() fills them in. */
extern struct hmmu_space *live_space;
extern struct hmmu_memory *live_memory;
extern struct hmmu_device *live_device;

/* Only the space; skips where there is no userfaultfd. */
void live_open_space(void);
/* Space, device memory of so many bytes, and a device. */
void live_open_bytes(size_t bytes);
/* The same with 64 MiB. */
void live_open(void);
/*
 * The same, where system calls may be given memory on a device. With neither the
 * kernel nor a hook hmmu_populate() is the program's to call: a skip.
 */
void live_open_served(void);
void live_close(void);
/* A further device, and memory for it unless @bytes is 0. */
struct hmmu_device *live_add_device(size_t bytes, struct hmmu_memory **memory);
/* The same with a memory of @kind; both end in live_remove_device(). */
struct hmmu_device *live_add_kind(enum hmmu_memory_kind kind, size_t bytes,
				  struct hmmu_memory **memory);
void live_remove_device(struct hmmu_device *device, struct hmmu_memory *memory);

/* What this kernel, these privileges and the forced fallbacks allow. */
bool live_is_forced(const char *fallback);
/* Touches by the kernel itself (read(2) and the like) are served. */
bool live_serves_kernel(void);
/* Pages can migrate to host-private memory: UFFDIO_MOVE. */
bool live_can_move(void);
/* Skip where they can not. */
void live_need_move(void);

/* Skip where malloc() has no [heap], and free() no munmap() inside libc. */
void live_need_libc_heap(void);
/*
 * Skip where a sanitizer's memory would be taken with everything else: its
 * runtime has locks, and touches its shadow within any other, which the fault
 * service then waits for.
 */
void live_need_program_alone(void);

/*
 * The program's own userfaultfd, opened with @flags and @features. Without them a
 * skip that names @what, or a failure where that is NULL.
 */
int live_userfaultfd(int flags, uint64_t features, const char *what);
/* From now on @file watches the memory. */
void live_userfaultfd_register(int file, const void *p, size_t bytes,
			       uint64_t mode);

/* One word per 8 bytes, different at each place and for each seed. */
static inline uint64_t live_word(uint64_t seed, uint64_t index)
{
	uint64_t x = (seed << 40) + index + 1;

	return (x ^ (x >> 17)) * 0x9e3779b97f4a7c15ull;
}

/*
 * Private anonymous memory between inaccessible pages, so that it never
 * becomes one mapping with a neighbour. 2 MiB aligned when it is as large, else
 * within one block of 2 MiB.
 */
void *live_map(size_t bytes);
/* mlock(2) and munlock(2) themselves: the sanitizers' do nothing. */
int live_lock(const void *p, size_t bytes);
int live_unlock(const void *p, size_t bytes);
/* The same, filled with 2 MiB pages and live_fill(); skips if none are had. */
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
/* It holds what live_fill() wrote @at bytes behind its start. */
#define LIVE_CHECK_AT(p, bytes, seed, at) \
	live_check_at(__FILE__, __LINE__, p, bytes, seed, at)
/* It is all zero. */
#define LIVE_CHECK_ZERO(p, bytes) \
	live_check_at(__FILE__, __LINE__, p, bytes, UINT64_MAX, 0)

/*
 * Migrates and checks that the counts of the result add up. Skips where the
 * kernel cannot take pages out.
 */
struct hmmu_migrate_result live_migrate(struct hmmu_device *device,
					const void *p, size_t bytes);
/* The same to live_device, and all pages must be there afterwards. */
void live_take(const void *p, size_t bytes);
struct hmmu_space_stats live_stats(void);
struct hmmu_memory_stats live_memory_stats(void);
size_t live_used_pages(struct hmmu_memory *memory);
uint64_t live_device_pages(void);

/* As the kernel sees it: pages present, and pages of 2 MiB mappings. */
size_t live_present(const void *p, size_t bytes);
size_t live_huge(const void *p, size_t bytes);
/* Is there a mapping at @p? */
bool live_is_mapped(const void *p);
/* The mapping of @p stops who touches its absent pages. */
bool live_is_armed(const void *p);
/* Any mapping of the process is registered with a userfaultfd. */
bool live_is_registered(void);
size_t live_count_maps(void);
size_t live_count_files(void);
size_t live_count_threads(void);
/*
 * What /proc says of a thread of this process in @file ("stat", "wchan"), as
 * far as there is room; false if it has ended, or nothing is said.
 */
bool live_task_says(unsigned int tid, const char *file, char *text,
		    size_t bytes);

/* The leaf of @device that maps @p: 12, 21, 30, or 0; @entry may be NULL. */
unsigned int live_leaf(struct hmmu_device *device, const void *p,
		       uint64_t *entry);
/* hmmu_device_make_exclusive(); skips where the kernel cannot take pages out. */
int live_make_exclusive(struct hmmu_device *device, const void *p, size_t bytes,
			size_t *done);
/* The page is mapped as @device's alone. */
bool live_is_exclusive(struct hmmu_device *device, const void *p);
/*
 * What @owner sees of [p, p + pages): hmmu_range_fault_unlocked() with @flags
 * of every page.
 */
void live_look(const struct hmmu_device *owner, const void *p, size_t pages,
	       uint64_t flags, uint64_t *entries);
struct hmmu_mirror_stats live_mirror(struct hmmu_device *device);

/* How the program changes its memory. */
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
 * What core has recorded when the call has returned. The event of a change
 * behind the hooks is read before the call returns, and recorded right after:
 * only ports are held until then.
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

/* Counters follow a CPU touch that was served: soon, not at once. */
#define LIVE_CHECK_SOON(expr) LIVE_CHECK_AFTER(&live_raw, expr)

/* Changes are not told by a hook. */
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
/* The child ended with status 0. */
void live_child_ok(pid_t child);
/* It died of signal @number; a sanitizer reports that, and exits. */
bool live_died(int status, int number);
/* False after @timeout_ms without *@word reaching @value. */
bool live_wait_for(_Atomic unsigned int *word, unsigned int value,
		   unsigned int timeout_ms);
uint64_t live_now_ns(void);
void live_sleep_ms(unsigned int ms);

#endif
