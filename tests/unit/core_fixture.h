/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_CORE_FIXTURE_H
#define HMMU_TESTS_CORE_FIXTURE_H

/*
 * A space over the address space that is an array, for tests of core
 *
 * One space for each case: core_setup() and core_teardown() are cmocka's. What
 * a case has made is ended by teardown, which also checks that the space is
 * consistent and that nothing of the library's own memory is lost.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <hmmu.h>

#include "base/arena.h"
#include "base/fault_point.h"
#include "base/sched.h"
#include "base/thread.h"
#include "core/device.h"
#include "core/space.h"
#include "memory/pool.h"
#include "tests/unit/array_mm.h"

#define PAGE	     HMMU_PAGE_BYTES
#define LARGE	     HMMU_LARGE_BYTES
#define BASE	     ARRAY_BASE

#define CORE_DEVICES 4

/* What a case works on. */
struct core {
	struct array_mm *m;
	struct hmmu_space *space;
	struct hmmu_device *device[CORE_DEVICES];
	struct hmmu_memory *memory[CORE_DEVICES];
	size_t used_bytes;
};

extern struct core core;

/* The space, over @m; core_teardown() ends both. */
void core_create(struct array_mm *m);
int core_setup(void **state);
/* Without take(): devices, ports and coherent memory only. */
int core_setup_without_take(void **state);
int core_teardown(void **state);

#define CORE_TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, core_setup, core_teardown)

/* Device @i with private memory of @chunks, or with none: 0. */
struct hmmu_device *core_device(unsigned int i, size_t chunks);
struct hmmu_device *core_coherent_device(unsigned int i, size_t chunks);
void core_end_device(unsigned int i);

/*
 * What must be true whenever no call of core runs. Pages that blocks record as
 * away are those that were taken, and the pools count the same pages. Each leaf
 * of each mirror is at the page as it is now, with no more than its permission.
 */
void core_check(void);

/* Private anonymous memory in which each page has its number of seed 1. */
void core_map_filled(uintptr_t addr, size_t bytes);
/* The same, as large pages. */
void core_map_large(uintptr_t addr, size_t blocks);

/* Bytes of the arena that are in use. */
size_t core_used_bytes(void);

/* The leaf of @addr in the mirror of @device; 0: none. */
uint64_t core_leaf(struct hmmu_device *device, uintptr_t addr);
/* Pages of [addr, addr + bytes) that the mirror maps. */
size_t core_mapped_pages(struct hmmu_device *device, uintptr_t addr,
			 size_t bytes);

/* What the device reads and writes at @addr through its mirror, faulting. */
uint64_t core_device_load(struct hmmu_device *device, uintptr_t addr);
void core_device_store(struct hmmu_device *device, uintptr_t addr,
		       uint64_t value);
/* As array_expect(), by the device; no page leaves it. */
void core_device_expect(struct hmmu_device *device, uintptr_t addr,
			size_t bytes, uint64_t seed);

/* 0 or the error, with the result in *@r if not NULL. */
int core_migrate(struct hmmu_device *device, uintptr_t addr, size_t bytes,
		 struct hmmu_migrate_result *r);
int core_home(uintptr_t addr, size_t bytes, struct hmmu_migrate_result *r);
int core_fault(struct hmmu_device *device, uintptr_t addr, size_t bytes,
	       enum hmmu_access access);

struct hmmu_space_stats core_stats(void);
uint64_t core_device_pages(void);
struct hmmu_memory_stats core_memory_stats(unsigned int i);

/* Subscribes, and notes what is reported: how often, and the first ones. */
struct core_event {
	struct hmmu_invalidation inv;
	uint64_t seq;
};

struct core_log {
	struct hmmu_notifier *sub;
	unsigned int n;
	struct core_event event[64];
	unsigned int finished;
};

void core_log_begin(struct core_log *log, uintptr_t addr, size_t bytes);
void core_log_end(struct core_log *log);

/*
 * Lets each thing that can fail in @operation fail once: the fault points, and
 * every call of the address space with every error that it may answer. After
 * each run @undo gets the result, checks what must hold then, and makes the
 * state what it was before. Nothing of the library's memory may be lost.
 */
void core_sweep(int (*operation)(void), void (*undo)(int err));

/* --- a second thread ------------------------------------------------------- */

/* A step that one thread waits for and another sets. */
static inline void step_wait(_Atomic int *step, int value)
{
	while (atomic_load_explicit(step, memory_order_acquire) < value)
		hmmu__sched_sleep(50000);
}

static inline void step_set(_Atomic int *step, int value)
{
	atomic_store_explicit(step, value, memory_order_release);
}

/* For array_on(), with a step: sets step 1, and waits for step 2. */
void stall_here(void *step);

#define SHORT_NS 20000000u

/* Runs fn(arg); @done is 1 when it has returned. */
struct helper {
	void (*fn)(void *arg);
	void *arg;
	pthread_t thread;
	_Atomic int done;
};

void helper_start(struct helper *h, void (*fn)(void *arg), void *arg);
bool helper_is_done_soon(struct helper *h);
void helper_join(struct helper *h);

#endif
