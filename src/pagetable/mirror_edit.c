/* SPDX-License-Identifier: MIT */
/*
 * Edits: changing a range of a mirror
 *
 * Overview: one descent serves the whole range. At each slot that the range
 * overlaps, slot_action() chooses one of three actions:
 *
 *   skip     nothing changes.
 *   whole    one store replaces the slot, and the tables below it are retired.
 *   descend  into the table below. If there is none, a spare table is filled
 *            with the slot's content: nothing, or the parts of a large leaf. It
 *            is edited, and then linked, so that readers see each page in its
 *            old or its new state only.
 *
 * On the way back the table's live count is stored in the slot. A table with a
 * count of 0 is unlinked and retired. Counts are updated once for each range,
 * not once for each page.
 *
 * need_range() makes the same choices beforehand to count the spare tables.
 * The edit makes the same choices again, because the locks are held over both.
 *
 * Locking: the caller holds the locks of the regions, and the upper lock if the
 * edit begins at the root.
 */
#include "base/compiler.h"
#include "pagetable/entry.h"
#include "pagetable/mirror_edit.h"
#include "pagetable/mirror_table.h"
#include "pagetable/state.h"

enum slot_action {
	SLOT_SKIP,
	SLOT_WHOLE,
	SLOT_DESCEND,
};

static size_t page_count(uintptr_t lo, uintptr_t hi)
{
	return (hi - lo) >> HMMU_PAGE_LG2;
}

/* The end of @lo's slot of @level, at most @hi. */
static uintptr_t slot_end_until(unsigned int level, uintptr_t lo, uintptr_t hi)
{
	uintptr_t end = (lo | (level_bytes(level) - 1)) + 1;

	return end < hi ? end : hi;
}

static uint64_t map_payload(const struct hmmu_mirror_edit *edit, uintptr_t va)
{
	return edit->payload + (va - edit->start);
}

static const uint64_t *edit_entries(const struct hmmu_mirror_edit *edit,
				    uintptr_t va)
{
	return edit->entries + page_count(edit->start, va);
}

static bool entries_are_zero(const uint64_t *entries, size_t n)
{
	while (n && !*entries) {
		entries++;
		n--;
	}
	return n == 0;
}

/* True if 512 entries map one aligned large page. */
static bool entries_are_large(const uint64_t *entries)
{
	size_t i;

	if (hmmu_mirror_payload(entries[0]) % HMMU_LARGE_BYTES)
		return false;
	for (i = 1; i < MIRROR_SLOTS; i++) {
		if (entries[i] != entries[0] + i * HMMU_PAGE_BYTES)
			return false;
	}
	return true;
}

static enum slot_action unmap_action(uint64_t old, bool full)
{
	if (!old)
		return SLOT_SKIP;
	return full ? SLOT_WHOLE : SLOT_DESCEND;
}

/*
 * The address and payload of a leaf are aligned to its size; @full implies the
 * address. The largest leaf is a huge page.
 */
static enum slot_action map_action(const struct hmmu_mirror_edit *edit,
				   unsigned int level, uintptr_t lo, bool full)
{
	if (full && level <= MIRROR_HUGE_LEVEL &&
	    !(map_payload(edit, lo) & (level_bytes(level) - 1)))
		return SLOT_WHOLE;
	return SLOT_DESCEND;
}

/* Entries that are all 0 unmap: they must not need a table. */
static enum slot_action entries_action(const struct hmmu_mirror_edit *edit,
				       uint64_t old, unsigned int level,
				       uintptr_t lo, uintptr_t hi, bool full)
{
	const uint64_t *entries = edit_entries(edit, lo);

	if (entries_are_zero(entries, page_count(lo, hi)))
		return unmap_action(old, full);
	if (full && level == 1 && entries_are_large(entries))
		return SLOT_WHOLE;
	return SLOT_DESCEND;
}

/* A leaf without the flags must not be split. */
static enum slot_action protect_action(const struct hmmu_mirror_edit *edit,
				       uint64_t old, bool full)
{
	if (!old)
		return SLOT_SKIP;
	if (entry_is_table(old))
		return SLOT_DESCEND;
	if (!(old & edit->flags))
		return SLOT_SKIP;
	return full ? SLOT_WHOLE : SLOT_DESCEND;
}

/*
 * A table of small leaves is merged as a whole. Tables above are merged after
 * the descent, when their leaves are large.
 */
static enum slot_action coalesce_action(uint64_t old, unsigned int level,
					bool full)
{
	if (!entry_is_table(old))
		return SLOT_SKIP;
	if (level > 1)
		return SLOT_DESCEND;
	return full ? SLOT_WHOLE : SLOT_SKIP;
}

static enum slot_action slot_action(const struct hmmu_mirror_edit *edit,
				    uint64_t old, unsigned int level,
				    uintptr_t lo, uintptr_t hi)
{
	bool full = hi - lo == level_bytes(level);

	switch (edit->kind) {
	case MIRROR_MAP:
		return map_action(edit, level, lo, full);
	case MIRROR_ENTRIES:
		return entries_action(edit, old, level, lo, hi, full);
	case MIRROR_UNMAP:
		return unmap_action(old, full);
	case MIRROR_PROTECT:
		return protect_action(edit, old, full);
	case MIRROR_COALESCE:
		return coalesce_action(old, level, full);
	}
	HMMU_ASSERT(false);
	return SLOT_SKIP;
}

/*
 * Count the tables that an edit needs. Below a slot without a table, the
 * recursion uses the content of the table to be made: 0, or the parts of the
 * leaf @above.
 */

static size_t need_range(const struct hmmu_mirror_edit *edit,
			 const uint64_t *table, uint64_t above,
			 unsigned int level, uintptr_t lo, uintptr_t hi);

static size_t need_slot(const struct hmmu_mirror_edit *edit, uint64_t old,
			unsigned int level, uintptr_t lo, uintptr_t hi)
{
	if (slot_action(edit, old, level, lo, hi) != SLOT_DESCEND)
		return 0;
	if (entry_is_table(old))
		return need_range(edit, entry_table(old), 0, level - 1, lo, hi);
	return 1 + need_range(edit, NULL, old, level - 1, lo, hi);
}

static size_t need_range(const struct hmmu_mirror_edit *edit,
			 const uint64_t *table, uint64_t above,
			 unsigned int level, uintptr_t lo, uintptr_t hi)
{
	size_t n = 0;
	uintptr_t end;
	unsigned int i;

	for (i = level_index(level, lo); level && lo < hi; lo = end, i++) {
		end = slot_end_until(level, lo, hi);
		n += need_slot(edit,
			       table ? entry_load(&table[i]) :
				       leaf_split(above, level + 1, i),
			       level, lo, end);
	}
	return n;
}

/*
 * Edits of a table of level 0. On x86 the release stores are plain moves.
 * Readers see each page change on its own.
 */

static int pages_map(uint64_t *slot, size_t n, uint64_t entry)
{
	int fresh = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		fresh += !entry_load(&slot[i]);
		entry_store(&slot[i], entry + i * HMMU_PAGE_BYTES);
	}
	return fresh;
}

static int pages_set(uint64_t *slot, size_t n, const uint64_t *entries)
{
	int delta = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		delta += (entries[i] != 0) - (entry_load(&slot[i]) != 0);
		entry_store(&slot[i], entries[i]);
	}
	return delta;
}

static int pages_clear(uint64_t *slot, size_t n)
{
	int gone = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		gone += entry_load(&slot[i]) != 0;
		entry_store(&slot[i], 0);
	}
	return -gone;
}

static void pages_protect(uint64_t *slot, size_t n, uint64_t flags)
{
	size_t i;

	for (i = 0; i < n; i++)
		entry_store(&slot[i], entry_load(&slot[i]) & ~flags);
}

static int pages_edit(struct hmmu_mirror_edit *edit, uint64_t *slot,
		      uintptr_t lo, uintptr_t hi)
{
	size_t n = page_count(lo, hi);
	int delta;

	switch (edit->kind) {
	case MIRROR_MAP:
		return pages_map(slot, n,
				 leaf_entry(map_payload(edit, lo), edit->flags,
					    0));
	case MIRROR_ENTRIES:
		return pages_set(slot, n, edit_entries(edit, lo));
	case MIRROR_UNMAP:
		delta = pages_clear(slot, n);
		edit->pages += (size_t)-delta;
		return delta;
	case MIRROR_PROTECT:
		pages_protect(slot, n, edit->flags);
		return 0;
	case MIRROR_COALESCE:
		break; /* part of a table is not merged */
	}
	return 0;
}

/*
 * Retire the table that @entry, of @level, pointed to, and all tables below it.
 * Returns the number of 4 KiB pages that they mapped.
 */
static size_t tree_retire(struct hmmu_mirror_edit *edit, uint64_t entry,
			  unsigned int level)
{
	uint64_t *table = entry_table(entry);
	size_t pages = 0;
	unsigned int i;
	uint64_t e;

	if (level == 1)
		pages = entry_live(entry);
	for (i = 0; level > 1 && i < MIRROR_SLOTS; i++) {
		e = entry_load(&table[i]);
		if (entry_is_table(e))
			pages += tree_retire(edit, e, level - 1);
		else if (e)
			pages += page_count(0, level_bytes(level - 1));
	}
	hmmu__mirror_table_retire(edit, table);
	return pages;
}

/* Replace the entry @old of @slot, and retire the tables below it. */
static int slot_replace(struct hmmu_mirror_edit *edit, uint64_t *slot,
			uint64_t old, uint64_t new, unsigned int level)
{
	/*
	 * Unlink first: a retired table's mark sends readers back to the root,
	 * where they must not find the table again.
	 */
	entry_store(slot, new);
	if (entry_is_table(old))
		edit->pages += tree_retire(edit, old, level);
	else if (old)
		edit->pages += page_count(0, level_bytes(level));
	return (new != 0) - (old != 0);
}

/* The large leaf that can replace the table of @old, or @old. */
static uint64_t table_merged(uint64_t old, unsigned int level)
{
	const uint64_t *table = entry_table(old);
	uint64_t first = entry_load(&table[0]);
	unsigned int i;

	if (entry_live(old) != MIRROR_SLOTS || entry_is_table(first) ||
	    (hmmu_mirror_payload(first) & (level_bytes(level) - 1)))
		return old;
	for (i = 1; i < MIRROR_SLOTS; i++) {
		if (entry_load(&table[i]) !=
		    first + i * (uint64_t)level_bytes(level - 1))
			return old;
	}
	return first + (1ull << HMMU_MIRROR_LEVEL_SHIFT);
}

static int slot_merge(struct hmmu_mirror_edit *edit, uint64_t *slot,
		      unsigned int level)
{
	uint64_t old = entry_load(slot);
	uint64_t new = table_merged(old, level);

	return new == old ? 0 : slot_replace(edit, slot, old, new, level);
}

static int slot_whole(struct hmmu_mirror_edit *edit, uint64_t *slot,
		      uint64_t old, unsigned int level, uintptr_t lo)
{
	uint64_t new = 0;

	switch (edit->kind) {
	case MIRROR_MAP:
		new = leaf_entry(map_payload(edit, lo), edit->flags, level);
		break;
	case MIRROR_ENTRIES:
		/* The entries are all 0, or they are a large page. */
		new = *edit_entries(edit, lo);
		if (new)
			new = leaf_entry(new, 0, level);
		break;
	case MIRROR_UNMAP:
		break;
	case MIRROR_PROTECT:
		new = old & ~edit->flags;
		break;
	case MIRROR_COALESCE:
		return slot_merge(edit, slot, level);
	}
	return slot_replace(edit, slot, old, new, level);
}

/*
 * The table to descend into: the table of @old, or a spare one with the same
 * mapping. @live: its live count.
 */
static uint64_t *child_open(struct hmmu_mirror_edit *edit, uint64_t old,
			    unsigned int level, int *live)
{
	uint64_t *table;
	unsigned int i;

	if (entry_is_table(old)) {
		*live = (int)entry_live(old);
		return entry_table(old);
	}
	*live = old ? (int)MIRROR_SLOTS : 0;
	table = hmmu__mirror_spare_pop(edit);
	for (i = 0; old && i < MIRROR_SLOTS; i++)
		entry_store(&table[i], leaf_split(old, level, i));
	return table;
}

/*
 * Store the live count of @table in @slot. This links a new table, and unlinks
 * an empty one.
 */
static int child_close(struct hmmu_mirror_edit *edit, uint64_t *slot,
		       uint64_t old, uint64_t *table, int live)
{
	uint64_t new = live ? table_entry(table, (unsigned int)live) : 0;

	HMMU_ASSERT(live >= 0 && live <= (int)MIRROR_SLOTS);
	/* No edit descends to clear a slot without a table. */
	HMMU_ASSERT(live || entry_is_table(old));
	/*
	 * Do not store an unchanged count: readers share the cache line. The
	 * store's release publishes the content of a new table.
	 */
	if (new != old)
		entry_store(slot, new);
	if (!new)
		hmmu__mirror_table_retire(edit, table);
	return (new != 0) - (old != 0);
}

static int range_edit(struct hmmu_mirror_edit *edit, uint64_t *table,
		      unsigned int level, uintptr_t lo, uintptr_t hi);

static int slot_edit(struct hmmu_mirror_edit *edit, uint64_t *slot,
		     unsigned int level, uintptr_t lo, uintptr_t hi)
{
	uint64_t old = entry_load(slot);
	uint64_t *table;
	int live, delta;

	switch (slot_action(edit, old, level, lo, hi)) {
	case SLOT_SKIP:
		return 0;
	case SLOT_WHOLE:
		return slot_whole(edit, slot, old, level, lo);
	case SLOT_DESCEND:
		break;
	}
	table = child_open(edit, old, level, &live);
	live += range_edit(edit, table, level - 1, lo, hi);
	delta = child_close(edit, slot, old, table, live);
	if (edit->kind == MIRROR_COALESCE && level == MIRROR_HUGE_LEVEL &&
	    hi - lo == level_bytes(level))
		delta += slot_merge(edit, slot, level);
	return delta;
}

/*
 * Edit [@lo, @hi) below @table, of @level. Returns the change of the table's
 * live count.
 */
static int range_edit(struct hmmu_mirror_edit *edit, uint64_t *table,
		      unsigned int level, uintptr_t lo, uintptr_t hi)
{
	unsigned int i = level_index(level, lo);
	uintptr_t end;
	int delta = 0;

	if (!level)
		return pages_edit(edit, &table[i], lo, hi);
	for (; lo < hi; lo = end, i++) {
		end = slot_end_until(level, lo, hi);
		delta += slot_edit(edit, &table[i], level, lo, end);
	}
	return delta;
}

/* Allocate the tables for @edit and apply it below @table. */
static int edit_below(struct hmmu_mirror_edit *edit, uint64_t *table,
		      unsigned int level, int *delta)
{
	size_t n = 0;
	int err;

	if (level)
		n = need_range(edit, table, 0, level, edit->start, edit->end);
	if (n) {
		err = hmmu__mirror_spare_get(edit, n);
		if (err)
			return err;
	}
	*delta = range_edit(edit, table, level, edit->start, edit->end);
	return 0;
}

/*
 * Most edits are small, below one table that exists. Go straight to the lowest
 * such table and edit there. The tables above change only if its live count
 * does.
 */
int hmmu__mirror_edit_apply(struct hmmu_mirror_edit *edit, uint64_t *table,
			    unsigned int top, int *delta)
{
	uintptr_t differ = edit->start ^ (edit->end - 1);
	uint64_t *slot[MIRROR_LEVELS_MAX];
	unsigned int level = top;
	uint64_t old;
	int err;

	for (; level; level--, table = entry_table(old)) {
		slot[level] = &table[level_index(level, edit->start)];
		old = entry_load(slot[level]);
		/* Descend if the edit is a part of one slot. */
		if (!entry_is_table(old) || differ >> level_lg2(level) ||
		    differ == level_bytes(level) - 1)
			break;
	}
	err = edit_below(edit, table, level, delta);
	if (err)
		return err;
	for (level++; *delta && level <= top; level++) {
		old = entry_load(slot[level]);
		*delta = child_close(edit, slot[level], old, entry_table(old),
				     (int)entry_live(old) + *delta);
	}
	return 0;
}

/*
 * The entry for the edit's start below @table has been removed. Count that in
 * the slot of @table that leads to it, and go on upward while tables become
 * empty.
 */
static int table_drop(struct hmmu_mirror_edit *edit, uint64_t *table,
		      unsigned int level)
{
	uint64_t *slot = &table[level_index(level, edit->start)];
	uint64_t old = entry_load(slot);
	int delta = -1;

	if (level > MIRROR_HUGE_LEVEL + 1)
		delta = table_drop(edit, entry_table(old), level - 1);
	return child_close(edit, slot, old, entry_table(old),
			   (int)entry_live(old) + delta);
}

void hmmu__mirror_edit_drop(struct hmmu_mirror_edit *edit)
{
	hmmu__mutex_assert_held(&edit->mirror->upper);
	(void)table_drop(edit, edit->mirror->root, edit->mirror->top_level);
}
