/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_ENTRY_H
#define HMMU_PAGETABLE_ENTRY_H

/*
 * The entries of a mirror's tables
 *
 * Terms:
 *
 *   level    0 is the table of 4 KiB pages, 1 of 2 MiB, 2 of 1 GiB; 3 is the
 *            root of a 48-bit mirror, 4 that of a 57-bit mirror. An entry of
 *            level L spans 1 << (12 + 9 L) bytes.
 *   slot     the address of an entry in its table.
 *   live     the number of entries of a table that are not 0. The entry that
 *            points to the table holds it, because a table fills its page.
 *   retired  an unlinked table whose readers have not left it yet.
 *
 * An entry is one of these:
 *
 *   0                           not mapped
 *   payload | flags | VALID     a leaf; the bits are those of <hmmu/mirror.h>
 *   table | live << 2 | TABLE | VALID
 *   next retired table | RETIRED
 *                               only in slot 511 of a retired table
 *
 * Locking: the caller's; state.h names the locks.
 */

#include <stdbool.h>
#include <stdint.h>

#include <hmmu/mirror.h>

#define MIRROR_SLOTS	  512u
#define MIRROR_RETIRED	  (1ull << 3)
#define MIRROR_LIVE_SHIFT 2
#define MIRROR_LIVE	  (0x3ffull << MIRROR_LIVE_SHIFT)
#define MIRROR_HUGE_LEVEL 2u
#define MIRROR_LEVELS_MAX 5u

_Static_assert(!(MIRROR_RETIRED & (HMMU_MIRROR_VALID | HMMU_MIRROR_TABLE)),
	       "a lookup must read a retired mark as an unmapped page");
_Static_assert((MIRROR_LIVE | HMMU_MIRROR_VALID | HMMU_MIRROR_TABLE) == 0xfff,
	       "0 to 512 live entries take 10 bits");

/*
 * An update of a slot is a store under a lock. Its release makes a table's
 * content visible before the table, and the owner's data before the leaf that
 * leads to it.
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

static inline bool entry_is_retired(uint64_t entry)
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

/* The @i-th entry of a table that replaces @leaf, of @level; 0 if that is 0. */
static inline uint64_t leaf_split(uint64_t leaf, unsigned int level,
				  unsigned int i)
{
	if (!leaf)
		return 0;
	return leaf - (1ull << HMMU_MIRROR_LEVEL_SHIFT) +
	       i * (uint64_t)level_bytes(level - 1);
}

#endif
