/* SPDX-License-Identifier: MIT */
/*
 * Exception tables: instructions that may fault, and where to continue
 *
 * Overview: an access that may fault is one instruction with an entry in a
 * table, which names the address to continue at. Each object that contains such
 * accesses registers its table when it is loaded (HMMU__EXTABLE in
 * hmmu/port.h). The signal handler (api/signals.c) looks up the instruction
 * that faulted.
 *
 * Removing a table races with a signal handler that searches it. The module
 * unmaps the table afterwards:
 *
 *      handler                              module that is unloaded
 *      searching += 1                       start = TABLE_CLAIMED
 *      load start                           wait until searching is 0
 *      search the table                     start = TABLE_FREE
 *      searching -= 1                       unmap the table
 *
 * Required: if the handler loads the old start, the module sees searching above
 * 0. Each side stores one word and loads the other, hence seq_cst.
 *
 * Locking: none; a signal handler cannot wait for a lock.
 *
 * Not supported: more than TABLES objects with port accesses. A fixed array can
 * be used before main() and in a signal handler.
 */
#include "base/extable.h"

#include <stdatomic.h>
#include <stddef.h>

#include <hmmu/log.h>
#include <hmmu/port.h>

#include "base/lock.h"
#include "base/log.h"

/* Written by HMMU__EXTABLE: both are relative to their own address. */
struct extable_entry {
	int32_t insn;
	int32_t fixup;
};

/* Objects with port accesses: the program and its modules. */
#define TABLES	      256u
#define TABLE_FREE    ((uintptr_t)0)
#define TABLE_CLAIMED ((uintptr_t)1)

/* @start: TABLE_FREE, the table, or TABLE_CLAIMED in between. */
struct table {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
};

static struct table tables[TABLES];

/* Handlers that search; hmmu__extable_remove() waits for 0. */
static _Atomic uint32_t searching;

static uintptr_t entry_target(const int32_t *field)
{
	return (uintptr_t)field + (uintptr_t)(intptr_t)*field;
}

static uintptr_t table_search(uintptr_t start, uintptr_t end, uintptr_t insn)
{
	const struct extable_entry *e = (const struct extable_entry *)start;
	const struct extable_entry *last = (const struct extable_entry *)end;

	for (; e < last; e++) {
		if (entry_target(&e->insn) == insn)
			return entry_target(&e->fixup);
	}
	return 0;
}

uintptr_t hmmu__extable_find(uintptr_t insn)
{
	uintptr_t start, fixup = 0;
	unsigned int i;

	/* seq_cst, here and below: see the race above. */
	atomic_fetch_add_explicit(&searching, 1, memory_order_seq_cst);
	for (i = 0; i < TABLES && !fixup; i++) {
		start = atomic_load_explicit(&tables[i].start,
					     memory_order_seq_cst);
		if (start == TABLE_FREE || start == TABLE_CLAIMED)
			continue;
		/* Relaxed: written before @start. */
		fixup = table_search(start,
				     atomic_load_explicit(&tables[i].end,
							  memory_order_relaxed),
				     insn);
	}
	/* Release: the search is over; pairs with hmmu__extable_remove(). */
	atomic_fetch_sub_explicit(&searching, 1, memory_order_release);
	return fixup;
}

static struct table *table_find(uintptr_t start)
{
	unsigned int i;

	for (i = 0; i < TABLES; i++) {
		/* Relaxed: one module adds and removes its table in order. */
		if (atomic_load_explicit(&tables[i].start,
					 memory_order_relaxed) == start)
			return &tables[i];
	}
	return NULL;
}

/* NULL: the registry is full. */
static struct table *table_claim(void)
{
	unsigned int i;

	for (i = 0; i < TABLES; i++) {
		uintptr_t expected = TABLE_FREE;

		/* Acquire: pairs with the release of hmmu__extable_remove(). */
		if (atomic_compare_exchange_strong_explicit(
			    &tables[i].start, &expected, TABLE_CLAIMED,
			    memory_order_acquire, memory_order_relaxed))
			return &tables[i];
	}
	return NULL;
}

/* Called by each file of an object, with the same table. */
void hmmu__extable_add(const void *start, const void *end)
{
	struct table *table;

	if (!start || start == end || table_find((uintptr_t)start))
		return;
	table = table_claim();
	if (!table) {
		hmmu__log(
			HMMU_LOG_WARN,
			"too many modules access memory through ports: "
			"a bad access in this one raises a signal. Load fewer");
		return;
	}
	atomic_store_explicit(&table->end, (uintptr_t)end,
			      memory_order_relaxed);
	/* seq_cst: release for @end; pairs with hmmu__extable_find(). */
	atomic_store_explicit(&table->start, (uintptr_t)start,
			      memory_order_seq_cst);
}

void hmmu__extable_remove(const void *start)
{
	struct table *table = start ? table_find((uintptr_t)start) : NULL;
	unsigned int round = 0;

	if (!table)
		return;
	/* Not free yet: handlers may still search it. */
	atomic_store_explicit(&table->start, TABLE_CLAIMED,
			      memory_order_seq_cst);
	while (atomic_load_explicit(&searching, memory_order_seq_cst) != 0)
		hmmu__backoff(&round);
	atomic_store_explicit(&table->start, TABLE_FREE, memory_order_release);
}
