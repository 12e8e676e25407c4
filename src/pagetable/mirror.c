/* SPDX-License-Identifier: MIT */
/*
 * Mirrors: life cycle, readers, and the frame of an edit
 *
 * Overview: an edit checks its arguments, locks its regions, allocates tables,
 * changes the tables, unlocks, and hands the retired tables over.
 *
 * Locking: see state.h. The caller of an edit holds no lock of the mirror.
 */
#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/range.h"
#include "base/sized.h"
#include "base/thread.h"
#include "pagetable/entry.h"
#include "pagetable/mirror_edit.h"
#include "pagetable/mirror_table.h"
#include "pagetable/state.h"

/* Up to this many entries are copied to the stack, more to the arena. */
#define ENTRIES_ON_STACK 64u

/* The flags that an owner may pass. */
#define FLAGS_IN	 (HMMU_MIRROR_FLAGS | HMMU_MIRROR_VALID)

/* Check the caller's options @in and get the address bits. */
static int mirror_options_read(const struct hmmu_mirror_options *in,
			       unsigned int *ret_va_bits)
{
	struct hmmu_mirror_options o = { .size = sizeof(o) };
	int err;

	if (in) {
		err = hmmu__copy_sized(&o, sizeof(o), sizeof(o), in);
		if (err)
			return err;
	}
	if (o.pad)
		return -EINVAL;
	*ret_va_bits = o.va_bits ? o.va_bits : 48;
	return *ret_va_bits == 48 || *ret_va_bits == 57 ? 0 : -EOPNOTSUPP;
}

/*
 * Regions and statistics have their own reader. The holder of the lock uses it,
 * so a thread that edits needs no reader.
 */
static void region_init(struct hmmu_mirror *mirror,
			struct hmmu_mirror_region *region, const char *name)
{
	hmmu__mutex_init(&region->lock, HMMU_RANK_MIRROR, name);
	hmmu__epoch_reader_add(&mirror->epoch, &region->reader);
}

static void region_fini(struct hmmu_mirror *mirror,
			struct hmmu_mirror_region *region)
{
	hmmu__epoch_reader_remove(&mirror->epoch, &region->reader);
	hmmu__mutex_fini(&region->lock);
}

static void mirror_init(struct hmmu_mirror *mirror, unsigned int va_bits)
{
	unsigned int i;

	mirror->head.root = mirror->root;
	mirror->head.va_end = (uintptr_t)1 << va_bits;
	mirror->top_level = (va_bits - HMMU_PAGE_LG2) / 9 - 1;
	hmmu__epoch_domain_init(&mirror->epoch);
	hmmu__mutex_init(&mirror->upper, HMMU_RANK_MIRROR, "mirror upper");
	hmmu__mutex_init(&mirror->retired.lock, HMMU_RANK_MIRROR,
			 "mirror retired");
	region_init(mirror, &mirror->stats, "mirror statistics");
	for (i = 0; i < MIRROR_REGIONS; i++)
		region_init(mirror, &mirror->region[i], "mirror region");
}

int hmmu_mirror_create(const struct hmmu_mirror_options *opts,
		       struct hmmu_mirror **ret)
{
	struct hmmu_mirror *mirror;
	unsigned int va_bits;
	int err;

	if (!ret)
		return -EINVAL;
	err = mirror_options_read(opts, &va_bits);
	if (err)
		return err;
	mirror = hmmu__alloc_inside(sizeof(*mirror));
	if (!mirror)
		return -ENOMEM;
	mirror->root = hmmu__mirror_table_alloc();
	if (!mirror->root) {
		hmmu__free_inside(mirror, sizeof(*mirror));
		return -ENOMEM;
	}
	mirror_init(mirror, va_bits);
	*ret = mirror;
	return 0;
}

void hmmu_mirror_destroy(struct hmmu_mirror *mirror)
{
	unsigned int i;

	if (!mirror)
		return;
	/* The domain must not end while the item is pending. */
	hmmu__mirror_retired_drain(mirror);
	for (i = 0; i < MIRROR_REGIONS; i++)
		region_fini(mirror, &mirror->region[i]);
	region_fini(mirror, &mirror->stats);
	hmmu__epoch_domain_fini(&mirror->epoch);
	hmmu__mutex_fini(&mirror->retired.lock);
	hmmu__mutex_fini(&mirror->upper);
	hmmu__mirror_tree_free(mirror->root, mirror->top_level);
	hmmu__free_inside(mirror, sizeof(*mirror));
}

int hmmu_mirror_reader_create(struct hmmu_mirror *mirror,
			      struct hmmu_mirror_reader **ret)
{
	struct hmmu_mirror_reader *reader;

	if (!mirror || !ret)
		return -EINVAL;
	reader = hmmu__alloc_inside(sizeof(*reader));
	if (!reader)
		return -ENOMEM;
	hmmu__epoch_reader_add(&mirror->epoch, &reader->epoch);
	*ret = reader;
	return 0;
}

void hmmu_mirror_reader_destroy(struct hmmu_mirror *mirror,
				struct hmmu_mirror_reader *reader)
{
	if (!reader)
		return;
	hmmu__epoch_reader_remove(&mirror->epoch, &reader->epoch);
	hmmu__free_inside(reader, sizeof(*reader));
}

/*
 * Not inline in the header: that would fix the layout of a reader. The call
 * costs less than a nanosecond, much less than the walk.
 */
void hmmu_mirror_read_begin(struct hmmu_mirror *mirror,
			    struct hmmu_mirror_reader *reader)
{
	hmmu__epoch_enter(&mirror->epoch, &reader->epoch);
}

void hmmu_mirror_read_end(struct hmmu_mirror *mirror,
			  struct hmmu_mirror_reader *reader)
{
	hmmu__epoch_exit(&mirror->epoch, &reader->epoch);
}

void hmmu_mirror_synchronize(struct hmmu_mirror *mirror)
{
	/* The drain alone does not wait if no table is retired. */
	hmmu__epoch_synchronize(&mirror->epoch);
	hmmu__mirror_retired_drain(mirror);
}

/* The region locks for [@start, @end), one bit for each. */
static unsigned int regions_of(uintptr_t start, uintptr_t end)
{
	const unsigned int all = (1u << MIRROR_REGIONS) - 1;
	uintptr_t first = start >> HMMU_HUGE_LG2;
	uintptr_t n = ((end - 1) >> HMMU_HUGE_LG2) - first + 1;
	unsigned int turn = first % MIRROR_REGIONS;
	unsigned int set;

	if (n >= MIRROR_REGIONS)
		return all;
	set = (1u << n) - 1;
	return (set << turn | set >> (MIRROR_REGIONS - turn)) & all;
}

static struct hmmu_mirror_region *region_of(struct hmmu_mirror *mirror,
					    uintptr_t va)
{
	return &mirror->region[(va >> HMMU_HUGE_LG2) % MIRROR_REGIONS];
}

/*
 * In ascending order, so that two edits cannot deadlock. Thread-safety analysis
 * does not support loops over locks, here and below.
 */
static HMMU_NO_TSA void regions_lock(struct hmmu_mirror *mirror,
				     unsigned int set)
{
	unsigned int i;

	for (; set; set &= set - 1) {
		i = (unsigned int)__builtin_ctz(set);
		hmmu__mutex_lock_sub(&mirror->region[i].lock, i);
	}
}

static HMMU_NO_TSA void regions_unlock(struct hmmu_mirror *mirror,
				       unsigned int set)
{
	for (; set; set &= set - 1)
		hmmu__mutex_unlock(&mirror->region[__builtin_ctz(set)].lock);
}

static void upper_lock(struct hmmu_mirror *mirror) HMMU_ACQUIRES(&mirror->upper)
{
	hmmu__mutex_lock_sub(&mirror->upper, MIRROR_REGIONS);
}

static void upper_unlock(struct hmmu_mirror *mirror)
	HMMU_RELEASES(&mirror->upper)
{
	hmmu__mutex_unlock(&mirror->upper);
}

/* Find the table of level 2 for @va; NULL if its slot for @va is not set. */
static uint64_t *region_find(const struct hmmu_mirror *mirror, uintptr_t va)
{
	unsigned int level = mirror->top_level;
	uint64_t *table = mirror->root;
	uint64_t entry;

	for (; level > MIRROR_HUGE_LEVEL; level--) {
		entry = entry_load(&table[level_index(level, va)]);
		if (!entry_is_table(entry))
			return NULL;
		table = entry_table(entry);
	}
	entry = entry_load(&table[level_index(level, va)]);
	return entry & HMMU_MIRROR_VALID ? table : NULL;
}

/*
 * The same for the holder of the region's lock. The section keeps tables
 * readable that are being retired. If the slot is set, the lock alone keeps it
 * and the tables above it; see state.h.
 */
static uint64_t *region_find_locked(struct hmmu_mirror *mirror,
				    struct hmmu_mirror_region *region,
				    uintptr_t va) HMMU_REQUIRES(&region->lock)
{
	uint64_t *table;

	hmmu__mutex_assert_held(&region->lock);
	hmmu__epoch_enter(&mirror->epoch, &region->reader);
	table = region_find(mirror, va);
	hmmu__epoch_exit(&mirror->epoch, &region->reader);
	return table;
}

/*
 * Count the removal of the region of @edit, whose lock the caller holds. Until
 * then the count is one too high, which only keeps a table a little longer.
 */
static void upper_drop(struct hmmu_mirror_edit *edit)
{
	upper_lock(edit->mirror);
	hmmu__mirror_edit_drop(edit);
	upper_unlock(edit->mirror);
}

static int upper_edit(struct hmmu_mirror_edit *edit)
{
	struct hmmu_mirror *mirror = edit->mirror;
	int err, delta;

	upper_lock(mirror);
	err = hmmu__mirror_edit_apply(edit, mirror->root, mirror->top_level,
				      &delta);
	upper_unlock(mirror);
	return err;
}

/* The other edits skip a region that does not exist. */
static bool edit_makes_regions(const struct hmmu_mirror_edit *edit)
{
	return edit->kind == MIRROR_MAP || edit->kind == MIRROR_ENTRIES;
}

/* The usual case: the range is in one region. */
static int update_region(struct hmmu_mirror_edit *edit)
{
	struct hmmu_mirror_region *region =
		region_of(edit->mirror, edit->start);
	uint64_t *table;
	int err = 0;
	int delta = 0;

	hmmu__mutex_lock_sub(&region->lock,
			     (uint64_t)(region - edit->mirror->region));
	table = region_find_locked(edit->mirror, region, edit->start);
	if (table)
		err = hmmu__mirror_edit_apply(edit, table, MIRROR_HUGE_LEVEL,
					      &delta);
	else if (edit_makes_regions(edit))
		err = upper_edit(edit);
	if (delta)
		upper_drop(edit);
	hmmu__mutex_unlock(&region->lock);
	return err;
}

/*
 * The range is in several regions. With all their locks held, the edit is
 * atomic, and the number of tables that it needs does not change before it is
 * done.
 */
static int update_regions(struct hmmu_mirror_edit *edit)
{
	unsigned int set = regions_of(edit->start, edit->end);
	int err;

	regions_lock(edit->mirror, set);
	err = upper_edit(edit);
	regions_unlock(edit->mirror, set);
	return err;
}

static int update_range(struct hmmu_mirror_edit *edit)
{
	int err;

	if ((edit->start ^ (edit->end - 1)) >> HMMU_HUGE_LG2)
		err = update_regions(edit);
	else
		err = update_region(edit);
	/* The edit has used all tables it had allocated. */
	HMMU_ASSERT(!edit->spare);
	if (edit->retired)
		hmmu__mirror_retired_take(edit);
	return err;
}

/* Set the pages of @edit, rounded outwards; false: the range is invalid. */
static bool edit_set_range(struct hmmu_mirror_edit *edit, uintptr_t address,
			   size_t bytes)
{
	return edit->mirror &&
	       hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &edit->start,
				 &edit->end) &&
	       edit->end <= edit->mirror->head.va_end;
}

int hmmu_mirror_map_range(struct hmmu_mirror *mirror, uintptr_t address,
			  size_t bytes, uint64_t payload, uint64_t flags)
{
	struct hmmu_mirror_edit edit = {
		.mirror = mirror,
		.kind = MIRROR_MAP,
		.payload = payload,
		.flags = flags,
	};

	if (!hmmu_is_aligned(address | bytes | payload, HMMU_PAGE_BYTES) ||
	    !edit_set_range(&edit, address, bytes) ||
	    payload + (bytes - 1) < payload)
		return -EINVAL;
	if (flags & ~FLAGS_IN)
		return -EOPNOTSUPP;
	return update_range(&edit);
}

/* Check a copy of entries, which other threads cannot change. */
static int entries_check(const uint64_t *entries, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (entries[i] & ~(HMMU_MIRROR_PAYLOAD | FLAGS_IN))
			return -EOPNOTSUPP;
		if (entries[i] && !(entries[i] & HMMU_MIRROR_VALID))
			return -EINVAL;
	}
	return 0;
}

static int map_entries(struct hmmu_mirror *mirror, uintptr_t start,
		       size_t npages, const uint64_t *entries)
{
	struct hmmu_mirror_edit edit = {
		.mirror = mirror,
		.kind = MIRROR_ENTRIES,
		.start = start,
		.end = start + npages * HMMU_PAGE_BYTES,
		.entries = entries,
	};
	int err = entries_check(entries, npages);

	return err ? err : update_range(&edit);
}

int hmmu_mirror_map_entries(struct hmmu_mirror *mirror, uintptr_t start,
			    size_t npages, const uint64_t *entries)
{
	uint64_t few[ENTRIES_ON_STACK];
	uint64_t *copy = few;
	size_t bytes;
	int err;

	if (!mirror || !entries || !npages ||
	    !hmmu_is_aligned(start, HMMU_PAGE_BYTES) ||
	    start >= mirror->head.va_end ||
	    npages > (mirror->head.va_end - start) >> HMMU_PAGE_LG2)
		return -EINVAL;
	bytes = npages * sizeof(*entries);
	if (npages > ENTRIES_ON_STACK)
		copy = hmmu__alloc_inside(bytes);
	if (!copy)
		return -ENOMEM;
	/* @entries can be on a device: read them before any lock is taken. */
	memcpy(copy, entries, bytes);
	err = map_entries(mirror, start, npages, copy);
	if (copy != few)
		hmmu__free_inside(copy, bytes);
	return err;
}

int hmmu_mirror_unmap_range(struct hmmu_mirror *mirror, uintptr_t address,
			    size_t bytes, size_t *ret_unmapped_pages)
{
	struct hmmu_mirror_edit edit = {
		.mirror = mirror,
		.kind = MIRROR_UNMAP,
	};
	int err;

	if (!edit_set_range(&edit, address, bytes))
		return -EINVAL;
	err = update_range(&edit);
	if (!err && ret_unmapped_pages)
		*ret_unmapped_pages = edit.pages;
	return err;
}

int hmmu_mirror_protect_range(struct hmmu_mirror *mirror, uintptr_t address,
			      size_t bytes, uint64_t clear_flags)
{
	struct hmmu_mirror_edit edit = {
		.mirror = mirror,
		.kind = MIRROR_PROTECT,
		.flags = clear_flags,
	};

	if (!edit_set_range(&edit, address, bytes))
		return -EINVAL;
	if (clear_flags & ~FLAGS_IN)
		return -EOPNOTSUPP;
	if (clear_flags & HMMU_MIRROR_VALID)
		return -EINVAL;
	return update_range(&edit);
}

int hmmu_mirror_coalesce_range(struct hmmu_mirror *mirror, uintptr_t address,
			       size_t bytes)
{
	struct hmmu_mirror_edit edit = {
		.mirror = mirror,
		.kind = MIRROR_COALESCE,
	};

	return edit_set_range(&edit, address, bytes) ? update_range(&edit) :
						       -EINVAL;
}
