/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_STATE_H
#define HMMU_PAGETABLE_STATE_H

/*
 * A mirror, its locks, and an update of it.
 *
 * Words used here, besides those of entry.h:
 *
 *   region  1 GiB of addresses: one slot of level 2 and all below it.
 *   upper   the tables of level 2 and above and the live counts of them.
 *
 * Locks. A region's lock guards its slot of level 2, all tables below it and
 * their counts. A few locks are shared out over the regions, so that as many
 * consecutive regions have one each. The upper lock guards the rest: which
 * tables of level 2 and 3 exist, and how many live entries they have. An edit
 * takes the locks of all regions it touches, in ascending order, and, where a
 * region may come or go, the upper lock after them. Nobody holds a lock while
 * waiting for readers.
 *
 * One hard case: a region goes while its neighbour in the same table comes.
 *
 *   unmap, last page of region A         map, first page of region B
 *   ------------------------------------ ------------------------------------
 *   lock(A)                              lock(B)
 *                                        looks at slot B: 0, so B must come
 *   slot A = 0
 *   lock(upper)
 *   live of the table 1 -> 0:
 *     unlink it, make it a grave
 *   unlock(upper), unlock(A)
 *                                        lock(upper)
 *                                        MUST NOT insert into the table seen
 *                                        before; it walks again from the root
 *                                        and makes a new one
 *
 * The look at slot B without the upper lock may hit a grave; the section of
 * region B's own reader keeps that memory readable, and a slot that is 0 (or
 * is the mark of a grave) decides nothing but to take the upper lock. A slot B
 * that is neither can be trusted: it is guarded by lock(B), and while it is
 * set the tables above it have a live entry and cannot go. (A table that is
 * unmapped as a whole, with live entries, spans more regions than there are
 * locks: who does that holds lock(B) too.)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/mirror.h>

#include "base/epoch.h"
#include "base/lock.h"

/*
 * Locks for regions. A wide edit holds all of them, which both the checker of
 * ranks (24) and ThreadSanitizer (64) limit; 16 let as many threads fault side
 * by side as usually share one mirror.
 */
#define MIRROR_REGIONS 16u

_Static_assert(MIRROR_REGIONS < 32, "a set of regions is a 32-bit word");

/* One of the locks shared out over the regions, and the reader of its holder.
 * Cache lines of its own: updates of other regions run beside it. */
struct hmmu_mirror_region {
	struct hmmu_mutex lock;
	struct hmmu_epoch_reader reader;
} __attribute__((aligned(64)));

/*
 * Tables on their way out. No memory is asked for when a table dies: graves
 * are chained through their slot 511, and one item serves all. While the item
 * waits for its grace period (@waiting) further graves gather in @pending.
 */
struct hmmu_mirror_graves {
	struct hmmu_mutex lock;
	struct hmmu_epoch_item item;
	bool waiting;
	uint64_t *pending;
	uint64_t *dying;
	size_t npending;
	size_t ndying;
};

struct hmmu_mirror {
	struct hmmu_mirror_head head; /* first: lookups cast to it */
	uint64_t *root;
	unsigned int top_level;
	struct hmmu_epoch_domain epoch;
	struct hmmu_mutex upper;
	struct hmmu_mirror_graves graves;
	struct hmmu_mirror_region stats;
	struct hmmu_mirror_region region[MIRROR_REGIONS];
};

struct hmmu_mirror_reader {
	struct hmmu_epoch_reader epoch;
} __attribute__((aligned(64)));

/**
 * enum hmmu_mirror_edit_kind - what an edit does to a range
 * @MIRROR_MAP:      map to payload and flags.
 * @MIRROR_ENTRIES:  make it what entries say.
 * @MIRROR_UNMAP:    clear.
 * @MIRROR_PROTECT:  clear flags.
 * @MIRROR_COALESCE: make leaves large.
 */
enum hmmu_mirror_edit_kind {
	MIRROR_MAP,
	MIRROR_ENTRIES,
	MIRROR_UNMAP,
	MIRROR_PROTECT,
	MIRROR_COALESCE,
};

/**
 * struct hmmu_mirror_edit - one update; on the stack of its caller
 * @mirror:  the mirror.
 * @kind:    what to do.
 * @start:   first byte, page aligned.
 * @end:     one past the last byte.
 * @payload: MAP: payload of the page at @start.
 * @flags:   MAP: flags of the new leaves. PROTECT: flags to clear.
 * @entries: ENTRIES: one per page, in memory that cannot be away.
 * @pages:   out: 4 KiB pages that lost their leaf (counted for UNMAP).
 * @spare:   tables got beforehand, all zero, chained through slot 0.
 * @dead:    graves this edit made, chained through slot 511.
 * @last:    the first of them made, and so the end of the chain.
 * @ndead:   how many.
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
	uint64_t *dead;
	uint64_t *last;
	size_t ndead;
};

#endif
