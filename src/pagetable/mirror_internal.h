/* SPDX-License-Identifier: MIT */
/*
 * The inside of a mirror: entries, locks, edits, graves.
 *
 * Words used here:
 *
 *   level   0 is the table of 4 KiB pages, 1 of 2 MiB, 2 of 1 GiB; 3 is the
 *           root of a 48-bit mirror, 4 that of a 57-bit one. An entry (slot)
 *           of level L spans 1 << (12 + 9 L) bytes.
 *   slot    address of an entry within its table.
 *   live    number of entries of a table that are not 0; kept in the entry
 *           that points to the table, for there is no room beside a table.
 *   region  1 GiB of addresses: one slot of level 2 and all below it.
 *   upper   the tables of level 2 and above and the live counts of them.
 *   grave   a table that was unlinked and waits for the readers in it.
 *
 * An entry is one of
 *
 *   0                           nothing is mapped
 *   payload | flags | VALID     a leaf; the bits are those of <hmmu/mirror.h>
 *   table | live << 2 | TABLE | VALID
 *   next grave | GRAVE          in slot 511 of a grave only
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
#ifndef HMMU_PAGETABLE_MIRROR_INTERNAL_H
#define HMMU_PAGETABLE_MIRROR_INTERNAL_H

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
#define MIRROR_REGIONS	  16u

#define MIRROR_SLOTS	  512u
#define MIRROR_GRAVE	  (1ull << 3)
#define MIRROR_LIVE_SHIFT 2
#define MIRROR_LIVE	  (0x3ffull << MIRROR_LIVE_SHIFT)
#define MIRROR_HUGE_LEVEL 2u
#define MIRROR_LEVELS_MAX 5u

_Static_assert(!(MIRROR_GRAVE & (HMMU_MIRROR_VALID | HMMU_MIRROR_TABLE)),
	       "lookups must see a grave's mark as a page that is not mapped");
_Static_assert(MIRROR_REGIONS < 32, "a set of regions is a 32-bit word");
_Static_assert((MIRROR_LIVE | HMMU_MIRROR_VALID | HMMU_MIRROR_TABLE) == 0xfff,
	       "0 to 512 live entries take 10 bits");

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

/*
 * Updates of a slot are plain stores under a lock; what readers need is that a
 * table is filled before it can be found, and that the owner's data is written
 * before the leaf that leads to it.
 */
static inline uint64_t entry_load(const uint64_t *slot)
{
	/* Pairs with entry_store() of an update. */
	return __atomic_load_n(slot, __ATOMIC_ACQUIRE);
}

static inline void entry_store(uint64_t *slot, uint64_t entry)
{
	/* Pairs with entry_load() and with hmmu_mirror_lookup(). */
	__atomic_store_n(slot, entry, __ATOMIC_RELEASE);
}

static inline bool entry_is_table(uint64_t entry)
{
	return entry & HMMU_MIRROR_TABLE;
}

static inline bool entry_is_leaf(uint64_t entry)
{
	return (entry & (HMMU_MIRROR_TABLE | HMMU_MIRROR_VALID)) ==
	       HMMU_MIRROR_VALID;
}

static inline bool entry_is_grave(uint64_t entry)
{
	return entry && !(entry & HMMU_MIRROR_VALID);
}

static inline uint64_t *entry_table(uint64_t entry)
{
	return (uint64_t *)(uintptr_t)(entry & HMMU_MIRROR_PAYLOAD);
}

static inline unsigned int entry_live(uint64_t entry)
{
	return (unsigned int)((entry & MIRROR_LIVE) >> MIRROR_LIVE_SHIFT);
}

static inline uint64_t table_entry(const uint64_t *table, unsigned int live)
{
	return (uint64_t)(uintptr_t)table |
	       (uint64_t)live << MIRROR_LIVE_SHIFT | HMMU_MIRROR_TABLE |
	       HMMU_MIRROR_VALID;
}

static inline uint64_t leaf_entry(uint64_t payload, uint64_t flags,
				  unsigned int level)
{
	return payload | (uint64_t)level << HMMU_MIRROR_LEVEL_SHIFT | flags |
	       HMMU_MIRROR_VALID;
}

static inline unsigned int level_lg2(unsigned int level)
{
	return HMMU_PAGE_LG2 + 9 * level;
}

static inline uintptr_t level_bytes(unsigned int level)
{
	return (uintptr_t)1 << level_lg2(level);
}

static inline unsigned int level_index(unsigned int level, uintptr_t va)
{
	return (va >> level_lg2(level)) % MIRROR_SLOTS;
}

/* Entry of the @i-th slot below @leaf, a leaf of level @level; 0 below 0. */
static inline uint64_t leaf_split(uint64_t leaf, unsigned int level,
				  unsigned int i)
{
	if (!leaf)
		return 0;
	return leaf - (1ull << HMMU_MIRROR_LEVEL_SHIFT) +
	       i * (uint64_t)level_bytes(level - 1);
}

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

/* mirror_edit.c: the work on tables. The caller holds the locks of the regions
 * and has got the spare tables. */

/**
 * hmmu__mirror_edit_apply() - do an edit, whole or not at all
 * @edit:  the edit.
 * @table: the root, with the upper lock held; or, for an edit within one
 *         region that exists, the table of level 2 above it.
 * @top:   level of @table.
 * @delta: by how much its number of live entries has changed; for a table of
 *         level 2 that is 0, or -1 when the region has gone.
 *
 * Return: 0, or -ENOMEM with nothing changed.
 */
int hmmu__mirror_edit_apply(struct hmmu_mirror_edit *edit, uint64_t *table,
			    unsigned int top, int *delta);

/**
 * hmmu__mirror_edit_drop() - account upward for a region that has gone
 * @edit: the edit; the slot of level 2 for its start is 0 already.
 */
void hmmu__mirror_edit_drop(struct hmmu_mirror_edit *edit)
	HMMU_REQUIRES(&edit->mirror->upper);

/* mirror_table.c: where tables come from and go to. */
uint64_t *hmmu__mirror_table_alloc(void);
void hmmu__mirror_table_free(uint64_t *table);
int hmmu__mirror_spare_get(struct hmmu_mirror_edit *edit, size_t n);
void hmmu__mirror_spare_put(struct hmmu_mirror_edit *edit);
uint64_t *hmmu__mirror_spare_pop(struct hmmu_mirror_edit *edit);
void hmmu__mirror_bury(struct hmmu_mirror_edit *edit, uint64_t *table);
void hmmu__mirror_graves_take(struct hmmu_mirror_edit *edit);
void hmmu__mirror_graves_drain(struct hmmu_mirror *mirror);
void hmmu__mirror_tree_free(uint64_t *table, unsigned int level);

/**
 * hmmu__mirror_is_valid() - check every table against its rules
 * @mirror: a mirror nobody updates meanwhile.
 *
 * Counts are right, no table but the root is empty, leaves are aligned and of
 * the level they stand in. For tests.
 *
 * Return: true when all is well.
 */
bool hmmu__mirror_is_valid(const struct hmmu_mirror *mirror);

#endif
