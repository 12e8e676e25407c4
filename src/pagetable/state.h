/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_STATE_H
#define HMMU_PAGETABLE_STATE_H

/*
 * A mirror, its locks, and an edit of it
 *
 * Terms, besides those of entry.h:
 *
 *   region  1 GiB of addresses: a slot of level 2 and all tables below it.
 *   upper   the tables of level 2 and above, and their live counts.
 *
 * Locking: a region's lock guards its slot of level 2, all tables below it and
 * their counts. The regions share 16 locks in turn, so 16 consecutive regions
 * have one each. The upper lock guards which tables of level 2 and above exist,
 * and their live counts. An edit locks all its regions in ascending order. If a
 * region may be inserted or removed, it then takes the upper lock. No thread
 * holds these locks while it waits for readers.
 *
 * The race: a region is removed while its neighbour in the same table is
 * inserted.
 *
 *   unmap, last page of region A         map, first page of region B
 *   ------------------------------------ ------------------------------------
 *   lock(A)                              lock(B)
 *                                        load slot B: 0, B must be inserted
 *   slot A = 0
 *   lock(upper)
 *   live of the table 1 -> 0:
 *     unlink and retire it
 *   unlock(upper), unlock(A)
 *                                        lock(upper)
 *                                        MUST NOT insert into the table found
 *                                        before; walk again from the root
 *                                        and make a new table
 *
 * Without the upper lock the load of slot B may hit a retired table. The
 * section of region B's own reader keeps that memory readable. If slot B is 0
 * or a retired mark, the map takes the upper lock and walks again. Any other
 * value is valid: lock(B) guards the slot, and while it is set, the tables
 * above it have a live entry and stay. (An edit that unmaps a table as a whole,
 * with live entries, spans more regions than there are locks, so it holds
 * lock(B) too.)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/mirror.h>

#include "base/epoch.h"
#include "base/lock.h"

/*
 * Locks for regions. A wide edit holds all of them: the lock checker allows 24
 * held locks and ThreadSanitizer 64. With 16, as many threads as usually share
 * a mirror can fault at the same time.
 */
#define MIRROR_REGIONS 16u

_Static_assert(MIRROR_REGIONS < 32, "a set of regions is a 32-bit word");

/*
 * A lock that regions share, and the reader for its holder. It has its own
 * cache lines, because other regions are updated at the same time.
 */
struct hmmu_mirror_region {
	struct hmmu_mutex lock;
	struct hmmu_epoch_reader reader;
} __attribute__((aligned(64)));

/*
 * Retired tables. Retiring allocates no memory: the tables are chained through
 * slot 511, and one item serves all. While the item and the tables in @queued
 * wait for their grace period (@is_queued), other tables are added to @pending.
 */
struct hmmu_mirror_retired {
	struct hmmu_mutex lock;
	struct hmmu_epoch_item item;
	bool is_queued;
	uint64_t *pending;
	uint64_t *queued;
	size_t npending;
	size_t nqueued;
};

struct hmmu_mirror {
	struct hmmu_mirror_head head; /* first: lookups cast to it */
	uint64_t *root;
	unsigned int top_level;
	struct hmmu_epoch_domain epoch;
	struct hmmu_mutex upper;
	struct hmmu_mirror_retired retired;
	struct hmmu_mirror_region stats;
	struct hmmu_mirror_region region[MIRROR_REGIONS];
};

struct hmmu_mirror_reader {
	struct hmmu_epoch_reader epoch;
} __attribute__((aligned(64)));

/**
 * enum hmmu_mirror_edit_kind - the operation of an edit
 * @MIRROR_MAP:      map to payload and flags.
 * @MIRROR_ENTRIES:  map as given by an array of entries.
 * @MIRROR_UNMAP:    unmap.
 * @MIRROR_PROTECT:  clear flags.
 * @MIRROR_COALESCE: merge leaves into large ones.
 */
enum hmmu_mirror_edit_kind {
	MIRROR_MAP,
	MIRROR_ENTRIES,
	MIRROR_UNMAP,
	MIRROR_PROTECT,
	MIRROR_COALESCE,
};

/**
 * struct hmmu_mirror_edit - an edit of a range; on its caller's stack
 * @mirror:  the mirror.
 * @kind:    the operation.
 * @start:   first byte, page aligned.
 * @end:     one past the last byte.
 * @payload: MAP: payload of the page at @start.
 * @flags:   MAP: flags of the new leaves. PROTECT: flags to clear.
 * @entries: ENTRIES: one for each page, in memory that is never on a device.
 * @pages:   out: 4 KiB pages that lost their leaf; exact for UNMAP.
 * @spare:   tables allocated beforehand, all zero, chained through slot 0.
 * @retired: tables that this edit retired, chained through slot 511.
 * @retired_last: the end of that chain, the table retired first.
 * @nretired: their number.
 */
struct hmmu_mirror_edit {
	struct hmmu_mirror *mirror;
	enum hmmu_mirror_edit_kind kind;
	uintptr_t start;
	uintptr_t end;
	uint64_t payload;
	uint64_t flags;
	const uint64_t *entries;
	size_t pages;
	uint64_t *spare;
	uint64_t *retired;
	uint64_t *retired_last;
	size_t nretired;
};

#endif
