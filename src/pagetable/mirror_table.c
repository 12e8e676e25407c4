/* SPDX-License-Identifier: MIT */
/*
 * Where the tables of a mirror come from and go to.
 *
 * An edit gets all tables it could need before it changes anything, so that it
 * fails whole or not at all. A table that leaves the mirror becomes a grave:
 * it keeps its content, for readers may still be in it, except for slot 511,
 * which links it to the next grave. A reader that meets this mark knows that
 * it stands in a grave and starts again from the root. The mark is stored
 * after the table was unlinked:
 *
 *   reader                               update
 *   ------------------------------------ ------------------------------------
 *   finds the table
 *                                        unlinks it: stores the new entry
 *                                        stores the mark (release)
 *   loads slot 511 (acquire): the mark
 *   starts again from the root:
 *   MUST NOT find the grave again        (release and acquire see to that)
 *
 * so it starts again once for each update that gets in its way, and reports
 * the page as it was before or is after, even if a large leaf has replaced the
 * table. In the other 511 slots it finds the entry from before the update.
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
 * Graves that may gather before an update looks after them. Each look can cost
 * a membarrier, about a microsecond: this many tables share it.
 */
#define GRAVES_BATCH 32u

/* Where an edit's spare tables are chained, and where graves are. */
#define SPARE_SLOT   0
#define GRAVE_SLOT   (MIRROR_SLOTS - 1)

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

/* Get @n tables, or none and -ENOMEM. */
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

/* Make @table, which no entry leads to any more, a grave of @edit. */
void hmmu__mirror_bury(struct hmmu_mirror_edit *edit, uint64_t *table)
{
	uint64_t next = (uint64_t)(uintptr_t)edit->dead;

	/* After the store that unlinked it: the race is drawn above. */
	entry_store(&table[GRAVE_SLOT], next | MIRROR_GRAVE);
	edit->dead = table;
	if (!edit->last)
		edit->last = table;
	edit->ndead++;
}

static uint64_t *grave_next(const uint64_t *table)
{
	return (uint64_t *)(uintptr_t)(table[GRAVE_SLOT] & HMMU_MIRROR_PAYLOAD);
}

static void graves_free(uint64_t *table)
{
	uint64_t *next;

	for (; table; table = next) {
		next = grave_next(table);
		hmmu__mirror_table_free(table);
	}
}

static void graves_due(struct hmmu_epoch_item *item);

/* Send off what has gathered, unless the item is already on its way. */
static void graves_send_locked(struct hmmu_mirror *mirror)
	HMMU_REQUIRES(&mirror->graves.lock)
{
	struct hmmu_mirror_graves *graves = &mirror->graves;

	hmmu__mutex_assert_held(&graves->lock);
	if (graves->waiting || !graves->pending)
		return;
	graves->dying = graves->pending;
	graves->ndying = graves->npending;
	graves->pending = NULL;
	graves->npending = 0;
	graves->waiting = true;
	hmmu__epoch_retire(&mirror->epoch, &graves->item, graves_due);
}

/* The readers that could be in the dying tables have gone. */
static void graves_due(struct hmmu_epoch_item *item)
{
	struct hmmu_mirror *mirror =
		hmmu_container_of(item, struct hmmu_mirror, graves.item);
	struct hmmu_mirror_graves *graves = &mirror->graves;
	uint64_t *dying;

	hmmu__mutex_lock(&mirror->graves.lock);
	dying = graves->dying;
	graves->dying = NULL;
	graves->ndying = 0;
	graves->waiting = false;
	graves_send_locked(mirror);
	hmmu__mutex_unlock(&mirror->graves.lock);
	graves_free(dying);
}

/* Take over the graves of a finished edit. No lock is held, and no section of
 * a region's reader is open. Does not wait. */
void hmmu__mirror_graves_take(struct hmmu_mirror_edit *edit)
{
	struct hmmu_mirror *mirror = edit->mirror;
	struct hmmu_mirror_graves *graves = &mirror->graves;
	bool look;

	hmmu__mutex_lock(&mirror->graves.lock);
	/* Still a mark for the readers in it: a store like the first one. */
	entry_store(&edit->last[GRAVE_SLOT],
		    (uint64_t)(uintptr_t)graves->pending | MIRROR_GRAVE);
	graves->pending = edit->dead;
	graves->npending += edit->ndead;
	/* Once per batch, also while a reader holds everything up. */
	look = graves->npending % GRAVES_BATCH < edit->ndead;
	if (look)
		graves_send_locked(mirror);
	hmmu__mutex_unlock(&mirror->graves.lock);
	if (look)
		(void)hmmu__epoch_poll(&mirror->epoch);
}

/* Wait for the readers in graves, and free all there are. */
void hmmu__mirror_graves_drain(struct hmmu_mirror *mirror)
{
	hmmu__mutex_lock(&mirror->graves.lock);
	graves_send_locked(mirror);
	hmmu__mutex_unlock(&mirror->graves.lock);
	hmmu__epoch_drain(&mirror->epoch);
}

/* Free @table, of level @level, and all tables below; there are no readers. */
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
