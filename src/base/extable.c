/* SPDX-License-Identifier: MIT */
/*
 * Instructions that may fault.
 *
 * An access to memory that may not be there is one instruction with an entry in
 * a table: "if this faults, go on there". Each object that contains such
 * accesses registers its table when it is loaded (HMMU__EXTABLE in
 * hmmu/port.h). The signal handler (api/signals.c) looks for the entry of the
 * instruction that faulted.
 *
 * Locking: none. The registry is used before main() and in signal handlers.
 */
#include "base/extable.h"

#include <stdatomic.h>
#include <stddef.h>

#include <hmmu/log.h>
#include <hmmu/port.h>

#include "base/lock.h"
#include "base/log.h"

/* As HMMU__EXTABLE writes it: both relative to their own place. */
struct extable_entry {
	int32_t insn;
	int32_t fixup;
};

/* Objects of the program that contain accesses: the program and its modules. */
#define TABLES	      256u
#define TABLE_FREE    ((uintptr_t)0)
#define TABLE_CLAIMED ((uintptr_t)1)

/*
 * @start is TABLE_FREE, TABLE_CLAIMED while @end is written, or the table. The
 * registry is static: it is used before main() and in signal handlers.
 */
struct table {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
};

static struct table tables[TABLES];

/*
 * How many handlers are searching. Who takes a table away waits for 0, for the
 * table goes with the module that it lies in:
 *
 *      handler                              module that is unloaded
 *      searching += 1                       start = TABLE_FREE
 *      start (seq_cst)                      searching (seq_cst)
 *      read the table                       wait until 0, then unmap it
 *
 * Forbidden: the handler reads the table's old start, and the module 0.
 */
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

	/* seq_cst, here and below: the two columns above. */
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
	/* Release: the table has been read. */
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

/* NULL if all are taken. */
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

/* Each file of an object calls it, with the one table of the object. */
void hmmu__extable_add(const void *start, const void *end)
{
	struct table *table;

	if (!start || start == end || table_find((uintptr_t)start))
		return;
	table = table_claim();
	if (!table) {
		hmmu__log(HMMU_LOG_WARN,
			  "too many modules with port accesses: a fault in "
			  "one more of them is a signal");
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
	/* Not free yet: nobody may fill it while handlers still read it. */
	atomic_store_explicit(&table->start, TABLE_CLAIMED,
			      memory_order_seq_cst);
	while (atomic_load_explicit(&searching, memory_order_seq_cst) != 0)
		hmmu__backoff(&round);
	atomic_store_explicit(&table->start, TABLE_FREE, memory_order_release);
}
