/* SPDX-License-Identifier: MIT */
/*
 * The tables of a mirror: allocation, retiring, freeing
 *
 * Overview: an edit allocates all tables it needs before it changes anything,
 * so it succeeds as a whole or changes nothing. An unlinked table is retired
 * until no reader can be in it. It keeps its content for them, except slot 511,
 * which holds a mark and the link to the next retired table. A reader that
 * loads the mark starts again from the root. The mark is stored after the table
 * is unlinked:
 *
 *   reader                               edit
 *   ------------------------------------ ------------------------------------
 *   find the table
 *                                        unlink it: store the new entry
 *                                        store the mark (release)
 *   load slot 511 (acquire): the mark
 *   start again from the root:
 *   MUST NOT find the table again        (ensured by release and acquire)
 *
 * So a reader starts again at most once for each concurrent edit. It returns
 * the page as it was before or after the edit, also if a large leaf replaces
 * the table. In the other 511 slots it loads the entry from before the edit.
 *
 * Locking: an edit's tables are private to it. The lock of the retired tables
 * guards their chains. It is taken with no other lock of the mirror held.
 */
#include <errno.h>

#include "base/arena.h"
#include "base/thread.h"
#include "base/compiler.h"
#include "base/fault_point.h"
#include "pagetable/entry.h"
#include "pagetable/mirror_table.h"
#include "pagetable/state.h"

/*
 * The retired tables after which an edit polls for the end of a grace period. A
 * poll can cost a membarrier, about a microsecond, which these tables share.
 */
#define RETIRED_BATCH 32u

/* The slots that chain an edit's spare tables, and retired tables. */
#define SPARE_SLOT    0
#define RETIRED_SLOT  (MIRROR_SLOTS - 1)

uint64_t *hmmu__mirror_table_alloc(void)
{
	if (HMMU_FAULT_POINT("mirror table", ENOMEM))
		return NULL;
	return hmmu__alloc_pages_inside(1);
}

void hmmu__mirror_table_free(uint64_t *table)
{
	hmmu__free_pages_inside(table, 1);
}

uint64_t *hmmu__mirror_spare_pop(struct hmmu_mirror_edit *edit)
{
	uint64_t *table = edit->spare;

	HMMU_ASSERT(table);
	edit->spare = (uint64_t *)(uintptr_t)table[SPARE_SLOT];
	table[SPARE_SLOT] = 0;
	return table;
}

/* Allocate @n tables for @edit, or none and -ENOMEM. */
int hmmu__mirror_spare_get(struct hmmu_mirror_edit *edit, size_t n)
{
	uint64_t *table;

	while (n--) {
		table = hmmu__mirror_table_alloc();
		if (!table)
			goto fail;
		table[SPARE_SLOT] = (uint64_t)(uintptr_t)edit->spare;
		edit->spare = table;
	}
	return 0;

fail:
	hmmu__mirror_spare_put(edit);
	return -ENOMEM;
}

void hmmu__mirror_spare_put(struct hmmu_mirror_edit *edit)
{
	while (edit->spare)
		hmmu__mirror_table_free(hmmu__mirror_spare_pop(edit));
}

/* Retire @table, which has been unlinked. */
void hmmu__mirror_table_retire(struct hmmu_mirror_edit *edit, uint64_t *table)
{
	uint64_t next = (uint64_t)(uintptr_t)edit->retired;

	/* After the store that has unlinked it: see the race above. */
	entry_store(&table[RETIRED_SLOT], next | MIRROR_RETIRED);
	edit->retired = table;
	if (!edit->retired_last)
		edit->retired_last = table;
	edit->nretired++;
}

static uint64_t *retired_next(const uint64_t *table)
{
	return (uint64_t *)(uintptr_t)(table[RETIRED_SLOT] &
				       HMMU_MIRROR_PAYLOAD);
}

static void retired_free(uint64_t *table)
{
	uint64_t *next;

	for (; table; table = next) {
		next = retired_next(table);
		hmmu__mirror_table_free(table);
	}
}

static void retired_free_due(struct hmmu_epoch_item *item);

/* Queue the pending tables for a grace period, unless the item is in use. */
static void retired_send_locked(struct hmmu_mirror *mirror)
	HMMU_REQUIRES(&mirror->retired.lock)
{
	struct hmmu_mirror_retired *retired = &mirror->retired;

	hmmu__mutex_assert_held(&retired->lock);
	if (retired->is_queued || !retired->pending)
		return;
	retired->queued = retired->pending;
	retired->nqueued = retired->npending;
	retired->pending = NULL;
	retired->npending = 0;
	retired->is_queued = true;
	hmmu__epoch_retire(&mirror->epoch, &retired->item, retired_free_due);
}

/* The grace period of the queued tables is over: free them. */
static void retired_free_due(struct hmmu_epoch_item *item)
{
	struct hmmu_mirror *mirror =
		hmmu_container_of(item, struct hmmu_mirror, retired.item);
	struct hmmu_mirror_retired *retired = &mirror->retired;
	uint64_t *queued;

	hmmu__mutex_lock(&mirror->retired.lock);
	queued = retired->queued;
	retired->queued = NULL;
	retired->nqueued = 0;
	retired->is_queued = false;
	retired_send_locked(mirror);
	hmmu__mutex_unlock(&mirror->retired.lock);
	retired_free(queued);
}

/*
 * Take over the retired tables of a finished edit. The caller holds no lock and
 * no open section of a region's reader. Does not wait.
 */
void hmmu__mirror_retired_take(struct hmmu_mirror_edit *edit)
{
	struct hmmu_mirror *mirror = edit->mirror;
	struct hmmu_mirror_retired *retired = &mirror->retired;
	bool poll;

	hmmu__mutex_lock(&mirror->retired.lock);
	/* Readers may be in this table: replace its mark by a mark. */
	entry_store(&edit->retired_last[RETIRED_SLOT],
		    (uint64_t)(uintptr_t)retired->pending | MIRROR_RETIRED);
	retired->pending = edit->retired;
	retired->npending += edit->nretired;
	/* Once for each batch, also while a reader delays the grace period. */
	poll = retired->npending % RETIRED_BATCH < edit->nretired;
	if (poll)
		retired_send_locked(mirror);
	hmmu__mutex_unlock(&mirror->retired.lock);
	if (poll)
		(void)hmmu__epoch_poll(&mirror->epoch);
}

/* Wait for the readers in retired tables, and free all of these. */
void hmmu__mirror_retired_drain(struct hmmu_mirror *mirror)
{
	hmmu__mutex_lock(&mirror->retired.lock);
	retired_send_locked(mirror);
	hmmu__mutex_unlock(&mirror->retired.lock);
	hmmu__epoch_drain(&mirror->epoch);
}

/* Free @table, of level @level, and all tables below. No reader is left. */
void hmmu__mirror_tree_free(uint64_t *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; level && i < MIRROR_SLOTS; i++) {
		if (entry_is_table(table[i]))
			hmmu__mirror_tree_free(entry_table(table[i]),
					       level - 1);
	}
	hmmu__mirror_table_free(table);
}
