/* SPDX-License-Identifier: MIT */
/*
 * Views: merge system pages and device pages of a range
 *
 * The address space supplies runs of system pages. The records of blocks are
 * merged with them: a device page is absent for the CPU, and only its owner
 * sees it. A coherent page is the CPU's page, at a place in a device's memory.
 *
 * The result may be out of date when it is returned. A device fault checks its
 * notifier before it uses the result.
 *
 * Locking: the caller holds no lock. Each block's lock is taken for its part.
 */
#include "core/view.h"

#include "core/device.h"
#include "memory/pool.h"

/* System runs of one snapshot. */
#define SYSTEM_RUNS 32u

#define LARGE_ORDER (HMMU_LARGE_LG2 - HMMU_PAGE_LG2)

struct merge {
	const struct hmmu_view *view;
	bool vma_writes;
	const struct hmmu_mm_run *system;
	size_t system_n;
	/* The first system run that ends after the pages merged so far. */
	size_t system_at;
	struct hmmu_view_run *runs;
	size_t max;
	size_t n;
	/* The first address for which there is no room, or the end. */
	uintptr_t next;
};

static bool emit(struct merge *m, const struct hmmu_view_run *run)
{
	if (m->n == m->max) {
		m->next = run->start;
		return false;
	}
	m->runs[m->n++] = *run;
	return true;
}

static uint8_t system_where(const struct hmmu_mm_run *s)
{
	return s->flags & HMMU_MM_RUN_ZERO ? HMMU_WHERE_ZERO :
					     HMMU_WHERE_SYSTEM;
}

/* The part of @s in [start, end), as a run of @where at @index. */
static struct hmmu_view_run clip(const struct hmmu_mm_run *s, uintptr_t start,
				 uintptr_t end, uint8_t where, uint32_t index)
{
	uintptr_t lo = hmmu_max(s->start, start);

	return (struct hmmu_view_run){
		.start = lo,
		.end = hmmu_min(s->end, end),
		.host = s->host + (lo - s->start),
		.index = index + (uint32_t)((lo - start) >> HMMU_PAGE_LG2),
		.where = where,
		.order = s->order,
		.write = s->flags & HMMU_MM_RUN_WRITE,
	};
}

/*
 * System pages of [start, end). @held: they are coherent pages of its memory.
 * @is_split: a device cannot map a large page of them as one.
 */
static bool merge_system(struct merge *m, uintptr_t start, uintptr_t end,
			 const struct hmmu_block_run *held, bool is_split)
{
	struct hmmu_view_run run;
	uint8_t where = 0;
	size_t i;

	while (m->system_at < m->system_n &&
	       m->system[m->system_at].end <= start)
		m->system_at++;
	if (held)
		where = held->memory->owner == m->view->owner ?
				HMMU_WHERE_COHERENT :
				HMMU_WHERE_COHERENT_OTHER;
	for (i = m->system_at; i < m->system_n && m->system[i].start < end;
	     i++) {
		run = clip(&m->system[i], start, end, where,
			   held ? held->place : 0);
		if (!held) {
			run.where = system_where(&m->system[i]);
			run.index = 0;
		}
		if (is_split)
			run.order = 0;
		if (!emit(m, &run))
			return false;
	}
	return true;
}

static bool is_shown(const struct merge *m, const struct hmmu_memory *memory)
{
	return memory->owner == m->view->owner &&
	       (memory->kind != HMMU_MEMORY_EXCLUSIVE || m->view->exclusive);
}

/* Merges pages that are absent for the CPU. Only their owner sees them. */
static bool merge_device(struct merge *m, struct hmmu_block *b,
			 const struct hmmu_block_run *held, bool is_split)
	HMMU_REQUIRES(&b->lock)
{
	uintptr_t start = hmmu__block_addr(b, held->page);
	struct hmmu_view_run run = {
		.start = start,
		.end = start + ((uintptr_t)held->n << HMMU_PAGE_LG2),
		.host = (uintptr_t)hmmu__memory_host(held->memory, held->place),
		.index = held->place,
		.where = held->memory->kind == HMMU_MEMORY_EXCLUSIVE ?
				 HMMU__WHERE_EXCLUSIVE :
				 HMMU_WHERE_DEVICE,
		.order = hmmu__block_is_large(b) && !is_split ? LARGE_ORDER : 0,
		.write = m->vma_writes,
	};

	return !is_shown(m, held->memory) || emit(m, &run);
}

/*
 * Only some pages of a large page are in a coherent memory, or not in the order
 * of their addresses: the CPU has one page, the device has many.
 */
static bool is_mixed(const struct hmmu_block *b) HMMU_REQUIRES(&b->lock)
{
	if (hmmu__bitmap_is_equal(&b->held, &b->away))
		return false;
	return !hmmu__bitmap_is_full(&b->held) || b->scattered || b->is_split ||
	       b->first % HMMU_PAGES_PER_LARGE;
}

static bool merge_block(struct merge *m, struct hmmu_block *b, uintptr_t start,
			uintptr_t end)
{
	struct hmmu_block_run held;
	unsigned int page, stop;
	bool mixed, room = true;

	hmmu__block_clip(b, start, end, &page, &stop);
	hmmu__block_lock(b);
	mixed = is_mixed(b);
	while (room && hmmu__block_run(b, page, stop, &held)) {
		uintptr_t lo = hmmu__block_addr(b, held.page);
		uintptr_t hi = lo + ((uintptr_t)held.n << HMMU_PAGE_LG2);

		room = merge_system(m, hmmu__block_addr(b, page), lo, NULL,
				    mixed);
		if (room && held.memory->kind == HMMU_MEMORY_COHERENT)
			room = merge_system(m, lo, hi, &held, mixed);
		else if (room)
			room = merge_device(m, b, &held, mixed);
		page = held.page + held.n;
	}
	if (room)
		room = merge_system(m, hmmu__block_addr(b, page),
				    hmmu__block_addr(b, stop), NULL, mixed);
	hmmu__block_unlock(b);
	return room;
}

/* A count of 0 that is read without the lock: the block holds nothing. */
static bool holds_pages(const struct hmmu_block *b)
{
	return atomic_load_explicit(&b->held_pages, memory_order_acquire) != 0;
}

static void merge_all(struct merge *m, struct hmmu_block_index *blocks,
		      uintptr_t start, uintptr_t end)
{
	struct hmmu_block *b;
	uintptr_t stop;

	m->next = end;
	hmmu__block_for_each(b, blocks, start, end)
	{
		if (!holds_pages(b))
			continue;
		if (b->start > start &&
		    !merge_system(m, start, b->start, NULL, false))
			return;
		stop = hmmu_min(b->start + HMMU_LARGE_BYTES, end);
		if (!merge_block(m, b, hmmu_max(start, b->start), stop))
			return;
		start = stop;
	}
	(void)merge_system(m, start, end, NULL, false);
}

int hmmu__view_runs(struct hmmu_space *space, const struct hmmu_view *view,
		    const struct hmmu_vma_info *vma, uintptr_t start,
		    uintptr_t end, struct hmmu_view_run *runs, size_t max,
		    size_t *ret_n, uintptr_t *ret_next)
{
	struct hmmu_mm_run system[SYSTEM_RUNS];
	struct merge m = {
		.view = view,
		.vma_writes = vma->flags & HMMU_VMA_WRITE,
		.system = system,
		.runs = runs,
		.max = max,
	};
	uintptr_t next;
	int err;

	err = space->mm->ops->snapshot(space->mm, vma, start, end, system,
				       SYSTEM_RUNS, &m.system_n, &next);
	if (err)
		return err;
	merge_all(&m, &space->blocks, start, next);
	*ret_n = m.n;
	*ret_next = m.next;
	return 0;
}

/* --- the public form ---------------------------------------------------------- */

#define ENTRY_RUNS 32u

static uint64_t entry_of(const struct hmmu_view_run *r)
{
	return HMMU_ENTRY_VALID | (r->write ? HMMU_ENTRY_WRITE : 0) |
	       (uint64_t)r->where << HMMU_ENTRY_WHERE_SHIFT |
	       (uint64_t)r->order << HMMU_ENTRY_ORDER_SHIFT |
	       (uint64_t)r->index << HMMU_ENTRY_INDEX_SHIFT;
}

static bool has_index(const struct hmmu_view_run *r)
{
	return r->where != HMMU_WHERE_SYSTEM && r->where != HMMU_WHERE_ZERO;
}

static void entries_set(uint64_t *entries, uintptr_t start, uintptr_t end,
			uint64_t value)
{
	size_t n = (end - start) >> HMMU_PAGE_LG2;
	size_t i;

	for (i = 0; i < n; i++)
		entries[i] = (entries[i] & HMMU_ENTRY_STICKY) | value;
}

/* The same for pages of a device: each has the next index. */
static void entries_count_up(uint64_t *entries, uintptr_t start, uintptr_t end,
			     uint64_t value)
{
	uintptr_t at;

	for (at = start; at < end; at += HMMU_PAGE_BYTES, entries++) {
		*entries = (*entries & HMMU_ENTRY_STICKY) | value;
		value += 1ull << HMMU_ENTRY_INDEX_SHIFT;
	}
}

static void entries_fill(uint64_t *entries, uintptr_t start, uintptr_t end,
			 const struct hmmu_view_run *runs, size_t n)
{
	uintptr_t at = start;
	size_t i;

	for (i = 0; i < n; i++) {
		const struct hmmu_view_run *r = &runs[i];
		uint64_t *e = entries + ((r->start - start) >> HMMU_PAGE_LG2);

		entries_set(entries + ((at - start) >> HMMU_PAGE_LG2), at,
			    r->start, 0);
		if (has_index(r))
			entries_count_up(e, r->start, r->end, entry_of(r));
		else
			entries_set(e, r->start, r->end, entry_of(r));
		at = r->end;
	}
	entries_set(entries + ((at - start) >> HMMU_PAGE_LG2), at, end, 0);
}

/* @entries may be the program's memory: no lock is held while it is written. */
int hmmu__view_entries(struct hmmu_space *space, const struct hmmu_view *view,
		       const struct hmmu_vma_info *vma, uintptr_t start,
		       uintptr_t end, uint64_t *entries)
{
	struct hmmu_view_run runs[ENTRY_RUNS];
	uintptr_t at, next;
	size_t n;
	int err = 0;

	for (at = start; at < end; at = next) {
		err = hmmu__view_runs(space, view, vma, at, end, runs,
				      ENTRY_RUNS, &n, &next);
		if (err)
			break;
		entries_fill(entries + ((at - start) >> HMMU_PAGE_LG2), at,
			     next, runs, n);
	}
	if (err)
		entries_set(entries, start, end, 0);
	return err;
}

int hmmu__vma_check(const struct hmmu_vma_info *vma, bool write)
{
	if (vma->flags & (HMMU_VMA_SPECIAL | HMMU_VMA_OWN) ||
	    !(vma->flags & HMMU_VMA_READ))
		return -EFAULT;
	if (write && !(vma->flags & HMMU_VMA_WRITE))
		return -EPERM;
	return 0;
}
