/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_ARRAY_MM_H
#define HMMU_TESTS_ARRAY_MM_H

/*
 * An address space that is an array of pages
 *
 * Overview. The second implementation of mm.h: no userfaultfd, no privilege,
 * no mapping of the kernel's. Addresses of the space start at ARRAY_BASE, where
 * this process has nothing mapped. The bytes of a page are in its frame,
 * elsewhere, so a core that uses an address of the space as a pointer crashes.
 * What is not in use is filled with ARRAY_POISON, so a device that uses an old
 * translation reads that.
 *
 * It checks its caller: an operation that is called with a lock it does not
 * allow, or outside of a hold, ends the program with a message.
 *
 * Failures and races. array_fail() makes later calls of an operation fail.
 * array_on() runs a function of the test inside an operation, before it does
 * anything, with the locks that core holds there. From an operation that is
 * called without locks the function may change the space: what another thread
 * would do just then.
 *
 * Locking: @events is what hold() takes, @lock guards the array. Of the
 * functions below the operations, each may be called from any thread that
 * holds no lock.
 *
 * Not supported: files, swap, more than one process.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"
#include "mm.h"

#define ARRAY_BASE    0x200000000ul
#define ARRAY_BLOCKS  20u
#define ARRAY_PAGES   (ARRAY_BLOCKS * HMMU_PAGES_PER_LARGE)
#define ARRAY_END     (ARRAY_BASE + ARRAY_BLOCKS * HMMU_LARGE_BYTES)
#define ARRAY_POISON  0x5a5a5a5a5a5a5a5aull

/* Private anonymous memory that can be read and written. */
#define ARRAY_ANON_RW (HMMU_VMA_READ | HMMU_VMA_WRITE | HMMU_VMA_ANON)

/* The operations, and two steps of a change that are not. */
enum array_op {
	ARRAY_NEXT_VMA,
	ARRAY_FAULT_IN,
	ARRAY_SNAPSHOT,
	ARRAY_WATCH,
	ARRAY_ARM,
	ARRAY_RELEASE,
	ARRAY_TAKE,
	ARRAY_PUT,
	ARRAY_FILL_HOLE,
	ARRAY_EMPTY,
	ARRAY_ADD_POOL,
	ARRAY_REMOVE_POOL,
	ARRAY_EXCLUDE,
	ARRAY_HOLD,
	ARRAY_UNHOLD,
	ARRAY_SYNC,
	ARRAY_HELP,
	ARRAY_DESTROY,
	/* Invalidation has begun; pages are as before. */
	ARRAY_BEGUN,
	/* Pages have changed; core still records the device pages. */
	ARRAY_CHANGED,
	ARRAY_OPS,
};

enum array_state {
	ARRAY_ABSENT,
	ARRAY_PRESENT,
	/* The shared zero page. */
	ARRAY_ZERO,
	/* Taken: absent, and its bytes are in device memory. */
	ARRAY_TAKEN,
};

struct array_page {
	/* enum hmmu_vma_flags. */
	uint8_t flags;
	uint8_t state;
	/* Neighbours with another number are in another mapping. 0: none. */
	uint16_t mapping;
	uint32_t frame;
	bool is_large;
	bool is_armed;
	/* Shared after a fork: a write makes it the process's own. */
	bool is_shared;
	/* Why take() refuses it, and why exclude() marks it: 1 + the reason. */
	uint8_t stay;
	uint8_t excluded;
};

/* Device memory, and what each chunk of 2 MiB has. */
struct array_pool {
	uint8_t *host;
	size_t bytes;
	uint8_t chunk[512];
};

/* Calls that fail: after @skip that do not, @times. */
struct array_failure {
	unsigned int skip;
	unsigned int times;
	int err;
	/* Of take() and arm(). */
	enum hmmu_stay why;
	size_t stay_bytes;
	/* Of take() and put(): what is done before. */
	size_t done_bytes;
};

struct array_hook {
	unsigned int skip;
	void (*fn)(void *arg);
	void *arg;
};

struct array_mm {
	struct hmmu_mm mm;
	pthread_mutex_t lock;
	struct hmmu_rwlock events;
	/* Aligned to 2 MiB; @reserved is the mapping around it. */
	uint8_t *frames;
	void *reserved;
	struct array_page page[ARRAY_PAGES];
	struct array_pool pool[8];
	uint16_t mappings;
	/* Changes that are under way, and those that have not been reported. */
	_Atomic unsigned int changing;
	_Atomic unsigned int unreported;
	/* A place in device memory may have kept what it had. */
	_Atomic bool empty_failed;
	_Atomic unsigned int calls[ARRAY_OPS];
	struct array_failure failure[ARRAY_OPS];
	bool failed[ARRAY_OPS];
	struct array_hook hook[ARRAY_OPS];
	/* Set by the test: a first touch of an empty block makes a large page, a
	 * first read the zero page; snapshot() describes so many pages at a time,
	 * 0: all; help() breaks the section. */
	bool has_large;
	bool has_zero;
	size_t snapshot_pages;
	_Atomic bool help_breaks;
};

/* NULL: no memory. hmmu__space_create() owns it then. */
struct array_mm *array_create(void);

/* The same without the operations that may be missing: take() and help(). */
struct array_mm *array_create_required(void);

static inline struct array_mm *array_of(struct hmmu_mm *mm)
{
	return (struct array_mm *)(void *)mm;
}

void array_fail(struct array_mm *m, enum array_op op,
		const struct array_failure *failure);
/* The @nth call of @op from now on runs @fn, once. */
void array_on(struct array_mm *m, enum array_op op, unsigned int nth,
	      void (*fn)(void *arg), void *arg);
unsigned int array_calls(struct array_mm *m, enum array_op op);

/* --- the program ----------------------------------------------------------- */

/* Where the host has the page of @addr while it is present. */
void *array_host(struct array_mm *m, uintptr_t addr);
struct array_page *array_page(struct array_mm *m, uintptr_t addr);

/* Nothing is mapped there before. @flags are enum hmmu_vma_flags. */
void array_map(struct array_mm *m, uintptr_t addr, size_t bytes,
	       unsigned int flags);
void array_unmap(struct array_mm *m, uintptr_t addr, size_t bytes);
void array_discard(struct array_mm *m, uintptr_t addr, size_t bytes);
/* The same in two steps, as when a raw system call is reported later. */
void array_unmap_unreported(struct array_mm *m, uintptr_t addr, size_t bytes);
void array_unmap_report(struct array_mm *m, uintptr_t addr, size_t bytes);
void array_protect(struct array_mm *m, uintptr_t addr, size_t bytes,
		   unsigned int flags);
/* Nothing is mapped at @to before. */
void array_move(struct array_mm *m, uintptr_t from, uintptr_t to, size_t bytes);

/* The page at @addr and the next one get each other's content. */
void array_exchange(struct array_mm *m, uintptr_t addr);

/* A CPU thread's access; the calling thread serves its own fault. */
int array_load(struct array_mm *m, uintptr_t addr, uint64_t *ret);
int array_store(struct array_mm *m, uintptr_t addr, uint64_t value);

/* Writes a number into each page; looks for it. */
static inline uint64_t array_number(size_t page, uint64_t seed)
{
	return seed << 32 | (page + 1);
}

void array_fill(struct array_mm *m, uintptr_t addr, size_t bytes,
		uint64_t seed);
void array_expect(struct array_mm *m, uintptr_t addr, size_t bytes,
		  uint64_t seed);

/* --- what a kernel may have done --------------------------------------------- */

/* The block becomes one large page; its pages are present and in order. */
void array_make_large(struct array_mm *m, uintptr_t block);
/* Neighbours swap their frames: no two pages follow one another. */
void array_scatter(struct array_mm *m, uintptr_t addr, size_t bytes);
void array_share(struct array_mm *m, uintptr_t addr, size_t bytes);
/* @why is an enum hmmu_stay; -1: no more. */
void array_stay(struct array_mm *m, uintptr_t addr, size_t bytes, int why);
void array_exclude(struct array_mm *m, uintptr_t addr, size_t bytes, int why);

#endif
