/* SPDX-License-Identifier: MIT */
#include "live/armed.h"

#include <stdatomic.h>

#include "base/compiler.h"

/* A program with more of them pays for a closer look each time. */
#define RANGES 64u

/*
 * Written by one thread at a time; @version is odd meanwhile. @missing counts
 * those that there was no room for.
 */
static struct {
	_Atomic uint32_t version;
	_Atomic uint32_t count;
	_Atomic uint32_t missing;
	_Atomic uintptr_t start[RANGES];
	_Atomic uintptr_t end[RANGES];
} armed;

/* How many threads are about to arm a mapping. */
static _Atomic uint32_t arming;

/* Relaxed: write_begin() and write_end() order them. */
static uint32_t count_get(void)
{
	return atomic_load_explicit(&armed.count, memory_order_relaxed);
}

static void range_set(uint32_t i, uintptr_t start, uintptr_t end)
{
	atomic_store_explicit(&armed.start[i], start, memory_order_relaxed);
	atomic_store_explicit(&armed.end[i], end, memory_order_relaxed);
}

static uintptr_t start_of(uint32_t i)
{
	return atomic_load_explicit(&armed.start[i], memory_order_relaxed);
}

static uintptr_t end_of(uint32_t i)
{
	return atomic_load_explicit(&armed.end[i], memory_order_relaxed);
}

/* A full fence: nothing of what follows is seen with the even number before. */
static void write_begin(void)
{
	atomic_fetch_add_explicit(&armed.version, 1, memory_order_relaxed);
	hmmu__fence_seq_cst();
}

/* Release: pairs with the acquire load of hmmu__armed_overlaps(). */
static void write_end(void)
{
	atomic_fetch_add_explicit(&armed.version, 1, memory_order_release);
}

static void missing_add(int n)
{
	atomic_fetch_add_explicit(&armed.missing, (uint32_t)n,
				  memory_order_relaxed);
}

void hmmu__armed_add(uintptr_t start, uintptr_t end)
{
	uint32_t count = count_get();

	write_begin();
	if (count == RANGES) {
		missing_add(1);
	} else {
		range_set(count, start, end);
		atomic_store_explicit(&armed.count, count + 1,
				      memory_order_relaxed);
	}
	write_end();
}

/* The index of the range, or the count. */
static uint32_t find(uintptr_t start, uintptr_t end)
{
	uint32_t i, count = count_get();

	for (i = 0; i < count; i++)
		if (start_of(i) == start && end_of(i) == end)
			break;
	return i;
}

void hmmu__armed_remove(uintptr_t start, uintptr_t end)
{
	uint32_t i = find(start, end), count = count_get();

	write_begin();
	if (i == count) {
		missing_add(-1);
	} else {
		range_set(i, start_of(count - 1), end_of(count - 1));
		atomic_store_explicit(&armed.count, count - 1,
				      memory_order_relaxed);
	}
	write_end();
}

/* Relaxed: the child has one thread. */
void hmmu__armed_forget(void)
{
	atomic_store_explicit(&armed.version, 0, memory_order_relaxed);
	atomic_store_explicit(&armed.count, 0, memory_order_relaxed);
	atomic_store_explicit(&armed.missing, 0, memory_order_relaxed);
	atomic_store_explicit(&arming, 0, memory_order_relaxed);
}

/* seq_cst: against hmmu__loans_settle() and the look that follows it. */
void hmmu__arming_begin(void)
{
	atomic_fetch_add_explicit(&arming, 1, memory_order_seq_cst);
}

/* Release: who sees none arming sees what was added. */
void hmmu__arming_end(void)
{
	atomic_fetch_sub_explicit(&arming, 1, memory_order_release);
}

bool hmmu__is_arming(void)
{
	return atomic_load_explicit(&arming, memory_order_seq_cst) != 0;
}

static bool is_in_any(uintptr_t start, uintptr_t end)
{
	uint32_t i, count = count_get();

	for (i = 0; i < count; i++)
		if (start_of(i) < end && start < end_of(i))
			return true;
	return false;
}

bool hmmu__armed_overlaps(uintptr_t start, uintptr_t end)
{
	uint32_t version;
	bool found;

	if (hmmu__is_arming())
		return true;
	version = atomic_load_explicit(&armed.version, memory_order_acquire);
	found = version & 1 || is_in_any(start, end) ||
		atomic_load_explicit(&armed.missing, memory_order_relaxed);
	/* x86-64 does not reorder loads; the compiler must not either. */
	hmmu__barrier();
	return found || atomic_load_explicit(&armed.version,
					     memory_order_relaxed) != version;
}
