/* SPDX-License-Identifier: MIT */
/*
 * Reading a mirror: the slow path of the lookup, runs, walks, statistics, and
 * the check of a whole mirror
 *
 * Overview: all readers use a cursor, which remembers the table of its last
 * address. So a table costs one descent, and each address in it one load. The
 * caller's read section keeps the table readable, also if it has been retired
 * since. Its content is then the mapping at the time of the descent.
 *
 * Locking: none for lookups and walks. Statistics take the locks of the reader
 * that they share and of the retired tables.
 *
 * Not supported: a consistent view of several pages. Each page is read on its
 * own, because readers take no lock.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "pagetable/entry.h"
#include "pagetable/mirror_walk.h"
#include "pagetable/state.h"

/**
 * struct cursor - a position in a mirror
 * @mirror: the mirror.
 * @table:  the table of the last address.
 * @base:   first address @table spans.
 * @lg2:    one slot of it spans 1 << @lg2 bytes.
 */
struct cursor {
	const struct hmmu_mirror *mirror;
	const uint64_t *table;
	uintptr_t base;
	unsigned int lg2;
};

static void cursor_rewind(struct cursor *c)
{
	c->table = c->mirror->root;
	c->base = 0;
	c->lg2 = level_lg2(c->mirror->top_level);
}

static struct cursor cursor_init(const struct hmmu_mirror *mirror)
{
	struct cursor c = { .mirror = mirror };

	cursor_rewind(&c);
	return c;
}

static const uint64_t *cursor_slot(const struct cursor *c, uintptr_t va)
{
	return &c->table[(va >> c->lg2) % MIRROR_SLOTS];
}

/* The first address of the slot of @va, and the first behind the slot. */
static uintptr_t cursor_start(const struct cursor *c, uintptr_t va)
{
	return va >> c->lg2 << c->lg2;
}

static uintptr_t cursor_end(const struct cursor *c, uintptr_t va)
{
	return cursor_start(c, va) + ((uintptr_t)1 << c->lg2);
}

/*
 * Load the leaf of @va, or 0. @va is in the mirror. Leaves the cursor at the
 * slot of the leaf or hole.
 */
static uint64_t cursor_read(struct cursor *c, uintptr_t va)
{
	uint64_t entry;

	if ((va - c->base) >> c->lg2 >= MIRROR_SLOTS)
		cursor_rewind(c);
	for (;;) {
		entry = entry_load(cursor_slot(c, va));
		if (hmmu_unlikely(entry_is_retired(entry))) {
			/*
			 * The loop ends: each round needs another edit. The
			 * race is drawn in mirror_table.c.
			 */
			cursor_rewind(c);
		} else if (!entry_is_table(entry)) {
			return entry;
		} else {
			c->table = entry_table(entry);
			c->base = cursor_start(c, va);
			c->lg2 -= 9;
		}
	}
}

/* The leaf of the 4 KiB page at @va, cut from @leaf; without its level. */
static uint64_t cursor_page(const struct cursor *c, uint64_t leaf, uintptr_t va)
{
	return (leaf + (va - cursor_start(c, va))) & ~HMMU_MIRROR_LEVEL;
}

bool hmmu_mirror_lookup_again(const struct hmmu_mirror *mirror, uintptr_t va,
			      uint64_t *entry)
{
	struct cursor c = cursor_init(mirror);
	uintptr_t page = hmmu_round_down(va, HMMU_PAGE_BYTES);
	uint64_t leaf;

	if (va >= mirror->head.va_end)
		return false;
	leaf = cursor_read(&c, va);
	if (!leaf)
		return false;
	*entry = cursor_page(&c, leaf, page) | (leaf & HMMU_MIRROR_LEVEL);
	return true;
}

/*
 * A run in both directions. The page at @va belongs to the run if its leaf is
 * @page. (Forward, @va is the next page; backward, it is the run's first page.)
 * In a table the slots are compared one by one.
 */

/* The end of the run that continues at @va. The search stops at @limit. */
static uintptr_t run_forward(struct cursor *c, uintptr_t va, uintptr_t limit,
			     uint64_t page)
{
	const uint64_t *slot, *last;
	uint64_t leaf, step;
	uintptr_t end;

	while (va < limit) {
		leaf = cursor_read(c, va);
		if (!leaf || cursor_page(c, leaf, va) != page)
			break;
		slot = cursor_slot(c, va);
		step = 1ull << c->lg2;
		end = cursor_end(c, va);
		last = c->table + MIRROR_SLOTS - 1;
		while (end < limit && slot < last &&
		       entry_load(slot + 1) == leaf + step) {
			slot++;
			leaf += step;
			end += step;
		}
		page += end - va;
		va = end;
	}
	return va;
}

/* The start of the run that contains @va. The search stops at @limit. */
static uintptr_t run_backward(struct cursor *c, uintptr_t va, uintptr_t limit,
			      uint64_t page)
{
	const uint64_t *slot;
	uint64_t leaf, step;
	uintptr_t start;

	while (va > limit) {
		va -= HMMU_PAGE_BYTES;
		page -= HMMU_PAGE_BYTES;
		leaf = cursor_read(c, va);
		if (!leaf || cursor_page(c, leaf, va) != page)
			return va + HMMU_PAGE_BYTES;
		slot = cursor_slot(c, va);
		step = 1ull << c->lg2;
		start = cursor_start(c, va);
		while (start > limit && slot > c->table &&
		       entry_load(slot - 1) == leaf - step) {
			slot--;
			leaf -= step;
			start -= step;
		}
		page -= va - start;
		va = start;
	}
	return va;
}

static void run_set(struct hmmu_mirror_run *run, uintptr_t start, uintptr_t end,
		    uint64_t page)
{
	run->start = start;
	run->end = end;
	run->payload = hmmu_mirror_payload(page);
	run->flags = page & (HMMU_MIRROR_FLAGS | HMMU_MIRROR_VALID);
}

bool hmmu_mirror_lookup_run(const struct hmmu_mirror *mirror, uintptr_t va,
			    size_t max_bytes, struct hmmu_mirror_run *ret)
{
	struct cursor c = cursor_init(mirror);
	uintptr_t start, end, low, high;
	uint64_t leaf, page;

	if (va >= mirror->head.va_end)
		return false;
	leaf = cursor_read(&c, va);
	if (!leaf)
		return false;
	start = cursor_start(&c, va);
	end = cursor_end(&c, va);
	page = leaf & ~HMMU_MIRROR_LEVEL;
	low = va - hmmu_min(max_bytes, va);
	high = va + hmmu_min(max_bytes, mirror->head.va_end - va);
	end = run_forward(&c, end, high, page + (end - start));
	low = run_backward(&c, start, low, page);
	run_set(ret, low, end, page - (start - low));
	return true;
}

void hmmu_mirror_walk_range(struct hmmu_mirror_walk *walk,
			    const struct hmmu_mirror *mirror, uintptr_t address,
			    size_t bytes, enum hmmu_mirror_walk_mode mode)
{
	uintptr_t end = mirror->head.va_end;

	if (address < end && bytes < end - address)
		end = address + bytes;
	memset(walk, 0, sizeof(*walk));
	walk->mode = mode;
	walk->mirror = mirror;
	walk->table = mirror->root;
	walk->lg2 = level_lg2(mirror->top_level);
	walk->next = hmmu_round_down(address, HMMU_PAGE_BYTES);
	walk->limit = bytes ? hmmu_round_up(end, HMMU_PAGE_BYTES) : walk->next;
}

bool hmmu_mirror_walk_next(struct hmmu_mirror_walk *walk)
{
	struct cursor c = { walk->mirror, walk->table, walk->base, walk->lg2 };
	uintptr_t start = walk->next;
	uintptr_t end = start;
	uint64_t leaf = 0;
	uint64_t page;

	for (; end < walk->limit && !leaf; end = cursor_end(&c, start)) {
		start = end;
		leaf = cursor_read(&c, start);
	}
	if (leaf) {
		walk->leaf_lg2 = hmmu_mirror_leaf_lg2(leaf);
		page = cursor_page(&c, leaf, start);
		if (walk->mode == HMMU_MIRROR_WALK_RUNS)
			end = run_forward(&c, end, walk->limit,
					  page + (end - start));
		end = hmmu_min(end, walk->limit);
		run_set(&walk->run, start, end, page);
	}
	walk->next = end;
	walk->table = c.table;
	walk->base = c.base;
	walk->lg2 = c.lg2;
	return leaf != 0;
}

/*
 * Count the leaves and tables from @table on, of @level above 0. A table of
 * small leaves is not read: the entry that points to it has the count.
 */
static void table_count(struct hmmu_mirror_stats *stats, const uint64_t *table,
			unsigned int level)
{
	unsigned int i;
	uint64_t entry;

	stats->tables++;
	for (i = 0; i < MIRROR_SLOTS; i++) {
		entry = entry_load(&table[i]);
		if (entry_is_leaf(entry)) {
			stats->leaves[level]++;
		} else if (entry_is_table(entry) && level > 1) {
			table_count(stats, entry_table(entry), level - 1);
		} else if (entry_is_table(entry)) {
			stats->tables++;
			stats->leaves[0] += entry_live(entry);
		}
	}
}

static uint64_t retired_count(struct hmmu_mirror *mirror)
{
	uint64_t n;

	hmmu__mutex_lock(&mirror->retired.lock);
	n = mirror->retired.npending + mirror->retired.nqueued;
	hmmu__mutex_unlock(&mirror->retired.lock);
	return n;
}

int hmmu_mirror_get_stats(struct hmmu_mirror *mirror,
			  struct hmmu_mirror_stats *stats)
{
	struct hmmu_mirror_stats found = { 0 };
	unsigned int level;

	if (!mirror || !stats || stats->size < sizeof(*stats))
		return -EINVAL;
	hmmu__mutex_lock(&mirror->stats.lock);
	hmmu__epoch_enter(&mirror->epoch, &mirror->stats.reader);
	table_count(&found, mirror->root, mirror->top_level);
	hmmu__epoch_exit(&mirror->epoch, &mirror->stats.reader);
	hmmu__mutex_unlock(&mirror->stats.lock);
	for (level = 0; level <= MIRROR_HUGE_LEVEL; level++)
		found.mapped_bytes += found.leaves[level] << level_lg2(level);
	found.dead_tables = retired_count(mirror);
	found.size = stats->size;
	*stats = found;
	return 0;
}

static bool leaf_is_valid(uint64_t leaf, unsigned int level)
{
	return entry_is_leaf(leaf) && level <= MIRROR_HUGE_LEVEL &&
	       hmmu_mirror_leaf_lg2(leaf) == level_lg2(level) &&
	       hmmu_is_aligned(hmmu_mirror_payload(leaf), level_bytes(level));
}

/* The number of entries of @table, of @level; -1 if a rule is broken. */
static int table_check(const uint64_t *table, unsigned int level)
{
	unsigned int i;
	uint64_t entry;
	int live = 0;

	for (i = 0; i < MIRROR_SLOTS; i++) {
		entry = entry_load(&table[i]);
		if (!entry)
			continue;
		live++;
		if (!entry_is_table(entry)) {
			if (!leaf_is_valid(entry, level))
				return -1;
			continue;
		}
		if (!level || !entry_live(entry) ||
		    table_check(entry_table(entry), level - 1) !=
			    (int)entry_live(entry))
			return -1;
	}
	return live;
}

bool hmmu__mirror_is_valid(const struct hmmu_mirror *mirror)
{
	return table_check(mirror->root, mirror->top_level) >= 0;
}
