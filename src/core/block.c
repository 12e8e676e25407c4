/* SPDX-License-Identifier: MIT */
/*
 * Blocks: the radix index, and the record of each block's device pages
 *
 * Locking: creating a block takes the notifiers' lock. Functions that read or
 * write a record require the block's lock.
 */
#include "core/block.h"

#include <string.h>

#include "base/arena.h"
#include "memory/pool.h"

#define SLOTS	     512u
#define SLOT_LG2     9u
#define PLACES_BYTES (HMMU_PAGES_PER_LARGE * sizeof(struct hmmu_place))

/* Address bits of a level: 48-56 (root), 39-47, 30-38, 21-29 (blocks). */
enum {
	LEVEL_ROOT = 3,
	LEVEL_LEAF = 0
};

static unsigned int slot_index(uintptr_t addr, unsigned int level)
{
	return (unsigned int)(addr >> (HMMU_LARGE_LG2 + level * SLOT_LG2)) %
	       SLOTS;
}

static bool is_indexed(uintptr_t addr)
{
	return addr >> (HMMU_LARGE_LG2 + 4 * SLOT_LG2) == 0;
}

void hmmu__blocks_init(struct hmmu_block_index *index,
		       struct hmmu_notifier_set *notifiers)
{
	index->notifiers = notifiers;
}

/* Acquire: pairs with the release of slot_publish(). */
static uintptr_t slot_load(_Atomic uintptr_t *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

/* Returns @fresh, or the pointer that another thread published first. */
static uintptr_t slot_publish(_Atomic uintptr_t *slot, uintptr_t fresh)
{
	uintptr_t old = 0;

	if (atomic_compare_exchange_strong_explicit(slot, &old, fresh,
						    memory_order_acq_rel,
						    memory_order_acquire))
		return fresh;
	return old;
}

struct hmmu_block *hmmu__block_find(struct hmmu_block_index *index,
				    uintptr_t addr)
{
	_Atomic uintptr_t *table = index->root;
	unsigned int level;

	if (!is_indexed(addr))
		return NULL;
	for (level = LEVEL_ROOT; level > LEVEL_LEAF; level--) {
		table = (_Atomic uintptr_t *)slot_load(
			&table[slot_index(addr, level)]);
		if (!table)
			return NULL;
	}
	return (struct hmmu_block *)slot_load(&table[slot_index(addr, 0)]);
}

/* Returns the first byte after the slot of @addr at @level; 0 if it wraps. */
static uintptr_t index_slot_end(uintptr_t addr, unsigned int level)
{
	unsigned int lg2 = HMMU_LARGE_LG2 + level * SLOT_LG2;

	return ((addr >> lg2) + 1) << lg2;
}

struct hmmu_block *hmmu__block_next(struct hmmu_block_index *index,
				    uintptr_t addr, uintptr_t end)
{
	while (addr < end && is_indexed(addr)) {
		_Atomic uintptr_t *table = index->root;
		unsigned int level = LEVEL_ROOT;
		uintptr_t v;

		while ((v = slot_load(&table[slot_index(addr, level)])) &&
		       level > LEVEL_LEAF) {
			table = (_Atomic uintptr_t *)v;
			level--;
		}
		if (v)
			return (struct hmmu_block *)v;
		addr = index_slot_end(addr, level);
		if (!addr)
			return NULL;
	}
	return NULL;
}

static _Atomic uintptr_t *table_get(_Atomic uintptr_t *slot)
{
	uintptr_t v = slot_load(slot);
	void *fresh;

	if (v)
		return (_Atomic uintptr_t *)v;
	fresh = hmmu__alloc_pages(1);
	if (!fresh)
		return NULL;
	v = slot_publish(slot, (uintptr_t)fresh);
	if (v != (uintptr_t)fresh)
		hmmu__free_pages(fresh, 1);
	return (_Atomic uintptr_t *)v;
}

/*
 * The invalidate callback of a block. A device fault that has read the old
 * sequence retries. The callbacks of the devices empty the mirrors afterwards.
 */
static void block_invalidate(struct hmmu_notifier *sub, void *arg,
			     const struct hmmu_invalidation *inv,
			     uint64_t cur_seq)
{
	struct hmmu_block *b = arg;

	(void)inv;
	hmmu__block_lock(b);
	hmmu__notifier_set_seq(sub, cur_seq);
	hmmu__block_unlock(b);
}

static struct hmmu_block *block_create(uintptr_t start)
{
	struct hmmu_block *b = hmmu__alloc(sizeof(*b));

	if (!b)
		return NULL;
	b->start = start;
	b->sub.internal = true;
	b->sub.ops.invalidate = block_invalidate;
	b->sub.arg = b;
	hmmu__mutex_init(&b->lock, HMMU_RANK_BLOCK, "block");
	return b;
}

static void block_free(struct hmmu_block *b)
{
	hmmu__mutex_fini(&b->lock);
	hmmu__free(b->scattered, PLACES_BYTES);
	hmmu__free(b, sizeof(*b));
}

/*
 * A new block subscribes before it is published, because a thread that finds it
 * may call read_begin at once:
 *
 *      fault                               invalidation
 *      subscribe                           begin: finds the block, or not
 *      publish in the index
 *      read_begin: waits if the
 *        invalidation found the block, or
 *        began before it subscribed (IN7)
 */
struct hmmu_block *hmmu__block_get(struct hmmu_block_index *index,
				   uintptr_t addr)
{
	_Atomic uintptr_t *table = index->root;
	struct hmmu_block *b;
	unsigned int level;
	uintptr_t v;

	if (!is_indexed(addr))
		return NULL;
	for (level = LEVEL_ROOT; level > LEVEL_LEAF; level--) {
		table = table_get(&table[slot_index(addr, level)]);
		if (!table)
			return NULL;
	}
	v = slot_load(&table[slot_index(addr, 0)]);
	if (v)
		return (struct hmmu_block *)v;
	b = block_create(addr & ~(HMMU_LARGE_BYTES - 1));
	if (!b)
		return NULL;
	hmmu__notifier_add(index->notifiers, &b->sub, b->start,
			   b->start + HMMU_LARGE_BYTES - 1);
	v = slot_publish(&table[slot_index(addr, 0)], (uintptr_t)b);
	if (v != (uintptr_t)b) {
		hmmu__notifier_del(index->notifiers, &b->sub);
		block_free(b);
	}
	return (struct hmmu_block *)v;
}

static void tables_free(_Atomic uintptr_t *table, unsigned int level)
{
	unsigned int i;

	for (i = 0; i < SLOTS; i++) {
		uintptr_t v = slot_load(&table[i]);

		if (v && level > LEVEL_LEAF)
			tables_free((_Atomic uintptr_t *)v, level - 1);
		else if (v)
			block_free((struct hmmu_block *)v);
		atomic_store_explicit(&table[i], 0, memory_order_relaxed);
	}
	if (level < LEVEL_ROOT)
		hmmu__free_pages(table, 1);
}

void hmmu__blocks_fini(struct hmmu_block_index *index)
{
	struct hmmu_block *b;

	hmmu__block_for_each(b, index, 0, UINTPTR_MAX)
	{
		hmmu__notifier_del(index->notifiers, &b->sub);
	}
	tables_free(index->root, LEVEL_ROOT);
}

bool hmmu__block_is_large(const struct hmmu_block *b)
{
	hmmu__mutex_assert_held(&b->lock);
	/* An exclusive pool never has large pages (EX4). */
	return hmmu__bitmap_is_full(&b->away) && !b->scattered &&
	       !b->is_split && b->memory->kind != HMMU_MEMORY_EXCLUSIVE &&
	       b->first % HMMU_PAGES_PER_LARGE == 0;
}

static bool place_follows(const struct hmmu_place *a)
{
	return a[1].memory == a[0].memory && a[1].page == a[0].page + 1;
}

bool hmmu__block_run(const struct hmmu_block *b, unsigned int page,
		     unsigned int end, struct hmmu_block_run *r)
{
	unsigned int i = hmmu__bitmap_first_set_from(&b->held, page);
	struct hmmu_place p;
	unsigned int stop;

	hmmu__mutex_assert_held(&b->lock);
	if (i >= end)
		return false;
	p = hmmu__block_place(b, i);
	stop = hmmu__bitmap_first_clear_from(&b->held, i);
	if (stop > end)
		stop = end;
	*r = (struct hmmu_block_run){ .page = i,
				      .memory = p.memory,
				      .place = p.page };
	if (b->scattered) {
		while (i + 1 < stop && place_follows(&b->scattered[i]))
			i++;
		stop = i + 1;
	}
	r->n = stop - r->page;
	return true;
}

static bool scatter_places(struct hmmu_block *b) HMMU_REQUIRES(&b->lock)
{
	struct hmmu_place *s;
	unsigned int i;

	hmmu__mutex_assert_held(&b->lock);
	if (b->scattered)
		return true;
	s = hmmu__alloc(PLACES_BYTES);
	if (!s)
		return false;
	for (i = 0; i < HMMU_PAGES_PER_LARGE; i++)
		s[i] = hmmu__block_place(b, i);
	b->scattered = s;
	return true;
}

/* True if the block needs no array, even with @page at @place added. */
static bool keeps_order(const struct hmmu_block *b,
			const struct hmmu_memory *memory, unsigned int page,
			uint32_t place) HMMU_REQUIRES(&b->lock)
{
	hmmu__mutex_assert_held(&b->lock);
	return !b->scattered &&
	       (hmmu__bitmap_is_empty(&b->held) ||
		(b->memory == memory && b->first == place - page));
}

bool hmmu__block_prepare(struct hmmu_block *b, struct hmmu_memory *memory,
			 unsigned int page, uint32_t place)
{
	hmmu__mutex_assert_held(&b->lock);
	return keeps_order(b, memory, page, place) || scatter_places(b);
}

static void counts_update(struct hmmu_block *b) HMMU_REQUIRES(&b->lock)
{
	hmmu__mutex_assert_held(&b->lock);
	/*
	 * Release: a thread that reads 0 without the lock sees the pages back
	 * in system memory.
	 */
	atomic_store_explicit(&b->held_pages, hmmu__bitmap_count(&b->held),
			      memory_order_release);
	atomic_store_explicit(&b->away_pages, hmmu__bitmap_count(&b->away),
			      memory_order_release);
}

bool hmmu__block_set(struct hmmu_block *b, struct hmmu_memory *memory,
		     unsigned int page, unsigned int n, uint32_t place)
{
	unsigned int i;

	hmmu__mutex_assert_held(&b->lock);
	if (!hmmu__block_prepare(b, memory, page, place))
		return false;
	if (!b->scattered) {
		b->memory = memory;
		b->first = place - page;
	} else {
		for (i = 0; i < n; i++)
			b->scattered[page + i] =
				(struct hmmu_place){ .memory = memory,
						     .page = place + i };
	}
	hmmu__bitmap_set_range(&b->held, page, page + n);
	if (memory->kind != HMMU_MEMORY_COHERENT)
		hmmu__bitmap_set_range(&b->away, page, page + n);
	counts_update(b);
	return true;
}

void hmmu__block_clear(struct hmmu_block *b, unsigned int page, unsigned int n)
{
	hmmu__mutex_assert_held(&b->lock);
	hmmu__bitmap_clear_range(&b->held, page, page + n);
	hmmu__bitmap_clear_range(&b->away, page, page + n);
	counts_update(b);
	if (!hmmu__bitmap_is_empty(&b->held))
		return;
	b->is_split = false;
	hmmu__free(b->scattered, PLACES_BYTES);
	b->scattered = NULL;
}
