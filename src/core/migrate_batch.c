/* SPDX-License-Identifier: MIT */
/*
 * One batch of a migration: choose places and take the pages
 *
 * Blocks that can migrate whole get consecutive chunks, so that one call takes
 * many large pages. Other pages migrate in runs of small pages. A run gets the
 * places that continue those of its block. In an empty block a long run gets a
 * chunk of its own. All other runs get any free pages.
 *
 * Locking: the caller holds the locks of all blocks of the batch, in a hold for
 * taking.
 */
#include "core/migrate_batch.h"

#include <errno.h>

#include "base/fault_point.h"
#include "memory/pool.h"

/* Shortest run that gets a chunk of its own. */
#define OWN_CHUNK_PAGES 64u

/* Records taken pages in their blocks, which hmmu__block_prepare() prepared. */
static void record_taken(struct hmmu_migration *m, uintptr_t start,
			 size_t bytes, uint32_t place)
{
	uint64_t pages = bytes >> HMMU_PAGE_LG2;

	m->result.pages_moved += pages;
	hmmu__count(&m->space->counters.pages_to_device, pages);
	hmmu__count(&m->space->counters.device_pages, pages);
	while (bytes) {
		struct hmmu_block *b = hmmu__batch_block(&m->batch, start);
		unsigned int page = hmmu__block_page(b, start);
		unsigned int n = HMMU_PAGES_PER_LARGE - page;
		bool ok;

		hmmu__mutex_assert_held(&b->lock);
		if (n > bytes >> HMMU_PAGE_LG2)
			n = (unsigned int)(bytes >> HMMU_PAGE_LG2);
		ok = hmmu__block_set(b, m->memory, page, n, place);
		HMMU_ASSERT(ok);
		(void)ok;
		start += (uintptr_t)n << HMMU_PAGE_LG2;
		bytes -= (size_t)n << HMMU_PAGE_LG2;
		place += n;
	}
}

/*
 * Handles pages that could not be taken. Shared ones are unshared and tried
 * once more, all others are counted.
 */
static int handle_refusal(struct hmmu_migration *m,
			  const struct hmmu_mm_take *t)
{
	uintptr_t addr = t->start + t->done_bytes;

	m->at = addr;
	/* After a retry it is not shared any more, so it is pinned (MV14). */
	if (t->shared && m->retried != addr) {
		m->unshare_bytes = t->stay_bytes;
		return -EAGAIN;
	}
	hmmu__stayed(m, t->why, t->stay_bytes >> HMMU_PAGE_LG2);
	m->at += t->stay_bytes;
	return 0;
}

/* Coherent pages are not moved, because the CPU uses them in place. */
static int take_pages(struct hmmu_migration *m, struct hmmu_mm_take *t)
{
	struct hmmu_mm *mm = m->space->mm;

	if (m->memory->kind != HMMU_MEMORY_COHERENT)
		return mm->ops->take(mm, t);
	t->done_bytes = t->bytes;
	return 0;
}

/* Takes [m->at, m->at + bytes) to @place, and frees the unused places. */
static int take_to_place(struct hmmu_migration *m, size_t bytes, uint32_t place)
{
	struct hmmu_memory *mem = m->memory;
	struct hmmu_mm_take t = {
		.start = m->at,
		.bytes = bytes,
		.host = hmmu__memory_host(mem, place),
	};
	uint32_t total = (uint32_t)(bytes >> HMMU_PAGE_LG2);
	uint32_t done;
	int err;

	err = HMMU_FAULT_POINT("take", ENOMEM);
	if (!err)
		err = take_pages(m, &t);
	done = (uint32_t)(t.done_bytes >> HMMU_PAGE_LG2);
	record_taken(m, m->at, t.done_bytes, place);
	m->result.large_moved += t.large;
	hmmu__count(&m->space->counters.large_to_device, t.large);
	if (done < total)
		hmmu__memory_give(mem, place + done, total - done, true);
	if (err == -EBUSY)
		return handle_refusal(m, &t);
	m->at += t.done_bytes;
	return err;
}

/* Counts the blocks from m->at on that can migrate whole. */
static uint32_t count_whole_blocks(const struct hmmu_migration *m,
				   uintptr_t end)
{
	struct hmmu_mm *mm = m->space->mm;
	uintptr_t at = m->at;
	uint32_t n = 0;

	if (at % HMMU_LARGE_BYTES)
		return 0;
	for (; at < end && end - at >= HMMU_LARGE_BYTES;
	     at += HMMU_LARGE_BYTES, n++) {
		const struct hmmu_block *b = hmmu__batch_block(&m->batch, at);

		hmmu__mutex_assert_held(&b->lock);
		if (!hmmu__bitmap_is_empty(&b->held) ||
		    mm->ops->exclude(mm, at, at + HMMU_LARGE_BYTES, NULL,
				     NULL) ||
		    hmmu__pins_overlap(&m->space->pins, at,
				       at + HMMU_LARGE_BYTES))
			break;
	}
	return n;
}

/*
 * Allocates up to *@n consecutive places and returns the first. *@n becomes
 * their number.
 */
static uint32_t alloc_places(struct hmmu_migration *m, unsigned int *n)
{
	struct hmmu_memory *mem = m->memory;
	uint32_t first = hmmu__memory_take_page(mem);
	unsigned int got = 1;

	if (first == HMMU_NO_PAGE)
		return first;
	while (got < *n) {
		uint32_t next = hmmu__memory_take_page(mem);

		if (next == HMMU_NO_PAGE)
			break;
		if (next != first + got) {
			hmmu__memory_give(mem, next, 1, true);
			break;
		}
		got++;
	}
	*n = got;
	return first;
}

/* Takes [page, page + n) to @place. HMMU_NO_PAGE: the memory is full. */
static int take_if_found(struct hmmu_migration *m, struct hmmu_block *b,
			 unsigned int page, unsigned int n, uint32_t place)
{
	hmmu__mutex_assert_held(&b->lock);
	if (place == HMMU_NO_PAGE) {
		hmmu__stayed(m, HMMU_STAY_FULL, n);
		m->at += (uintptr_t)n << HMMU_PAGE_LG2;
		return 0;
	}
	if (!hmmu__block_prepare(b, m->memory, page, place)) {
		hmmu__memory_give(m->memory, place, n, true);
		return -ENOMEM;
	}
	return take_to_place(m, (size_t)n << HMMU_PAGE_LG2, place);
}

/*
 * Takes the first page of a large page for which there is no chunk (MV24). That
 * splits the large page. The others follow as a run of small pages.
 */
static int take_first_page(struct hmmu_migration *m)
{
	struct hmmu_block *b = hmmu__batch_block(&m->batch, m->at);
	unsigned int n = 1;
	int err = take_if_found(m, b, 0, n, alloc_places(m, &n));

	hmmu__mutex_assert_held(&b->lock);
	b->is_split = !hmmu__bitmap_is_empty(&b->held);
	return err;
}

/* Takes up to @blocks blocks to chunks. *@full: there is no free chunk. */
static int take_whole_blocks(struct hmmu_migration *m, uint32_t blocks,
			     bool *full)
{
	struct hmmu_memory *mem = m->memory;
	struct hmmu_mm *mm = m->space->mm;
	uint32_t place, got;
	bool tainted;
	int err = 0;

	*full = false;
	if (hmmu__memory_fails_large(mem))
		return take_first_page(m);
	got = hmmu__memory_take_chunks(mem, blocks, &place, &tainted);
	*full = !got;
	if (!got)
		return 0;
	if (tainted && mem->host)
		err = mm->ops->empty(mm, hmmu__memory_host(mem, place),
				     (size_t)got << HMMU_LARGE_LG2);
	if (err) {
		hmmu__memory_give(mem, place, got * HMMU_PAGES_PER_LARGE, true);
		return err;
	}
	return take_to_place(m, (size_t)got << HMMU_LARGE_LG2, place);
}

/* Allocates places of a new chunk for [page, page + n) of an empty block. */
static uint32_t alloc_own_chunk(struct hmmu_migration *m, unsigned int page,
				unsigned int n)
{
	struct hmmu_memory *mem = m->memory;
	unsigned int after = HMMU_PAGES_PER_LARGE - page - n;
	struct hmmu_mm *mm = m->space->mm;
	bool tainted;
	uint32_t c;

	if (hmmu__memory_fails_large(mem) ||
	    !hmmu__memory_take_chunks(mem, 1, &c, &tainted))
		return HMMU_NO_PAGE;
	if (tainted && mem->host &&
	    mm->ops->empty(mm, hmmu__memory_host(mem, c), HMMU_LARGE_BYTES)) {
		hmmu__memory_give(mem, c, HMMU_PAGES_PER_LARGE, true);
		return HMMU_NO_PAGE;
	}
	if (page)
		hmmu__memory_give(mem, c, page, true);
	if (after)
		hmmu__memory_give(mem, c + page + n, after, true);
	return c + page;
}

static uint32_t alloc_run(struct hmmu_migration *m, struct hmmu_block *b,
			  unsigned int page, unsigned int *n)
{
	uint32_t place;
	bool is_empty;

	hmmu__mutex_assert_held(&b->lock);
	is_empty = hmmu__bitmap_is_empty(&b->held);
	if (!is_empty && !b->scattered && b->memory == m->memory &&
	    hmmu__memory_take_pages_at(m->memory, b->first + page, *n))
		return b->first + page;
	if (is_empty && *n >= OWN_CHUNK_PAGES) {
		place = alloc_own_chunk(m, page, *n);
		if (place != HMMU_NO_PAGE)
			return place;
	}
	return alloc_places(m, n);
}

/* Takes a run of pages none of which is excluded. */
static int take_run(struct hmmu_migration *m, struct hmmu_block *b,
		    unsigned int page, unsigned int n)
{
	uint32_t place = alloc_run(m, b, page, &n);

	return take_if_found(m, b, page, n, place);
}

/* Returns the end of the pages from @page on whose bit is that of @page. */
static unsigned int alike_run_end(const struct hmmu_bitmap512 *map,
				  unsigned int page, unsigned int stop)
{
	unsigned int end = hmmu__bitmap_test(map, page) ?
				   hmmu__bitmap_first_clear_from(map, page) :
				   hmmu__bitmap_first_set_from(map, page);

	return end < stop ? end : stop;
}

static void skip_pages(struct hmmu_migration *m, unsigned int pages)
{
	m->at += (uintptr_t)pages << HMMU_PAGE_LG2;
}

/* Counts the run at m->at, which this or another device holds already. */
static void skip_held_run(struct hmmu_migration *m, struct hmmu_block *b,
			  unsigned int page, unsigned int stop)
{
	struct hmmu_block_run r;

	hmmu__mutex_assert_held(&b->lock);
	(void)hmmu__block_run(b, page, stop, &r);
	if (r.memory == m->memory)
		m->result.pages_already += r.n;
	else if (r.memory->kind == HMMU_MEMORY_EXCLUSIVE)
		hmmu__stayed(m, HMMU_STAY_EXCLUSIVE, r.n);
	else
		hmmu__stayed(m, HMMU_STAY_FOREIGN, r.n);
	skip_pages(m, r.n);
}

/* Counts or takes the run at m->at, which lies in one block. */
static int take_block_run(struct hmmu_migration *m, struct hmmu_block *b,
			  const struct hmmu_bitmap512 *skip, unsigned int stop)
{
	unsigned int page = hmmu__block_page(b, m->at);
	unsigned int end;

	hmmu__mutex_assert_held(&b->lock);
	if (hmmu__bitmap_test(&b->held, page)) {
		skip_held_run(m, b, page, stop);
		return 0;
	}
	end = alike_run_end(&b->held, page, stop);
	if (hmmu__bitmap_test(skip, page)) {
		hmmu__stayed(m, m->why[page], 1);
		skip_pages(m, 1);
		return 0;
	}
	return take_run(m, b, page, alike_run_end(skip, page, end) - page);
}

static int take_block_part(struct hmmu_migration *m, uintptr_t end)
{
	struct hmmu_block *b = hmmu__batch_block(&m->batch, m->at);
	struct hmmu_bitmap512 skip = { 0 };
	uintptr_t b_end = b->start + HMMU_LARGE_BYTES;
	unsigned int stop;
	int err = 0;

	if (end > b_end)
		end = b_end;
	stop = (unsigned int)((end - b->start) >> HMMU_PAGE_LG2);
	(void)m->space->mm->ops->exclude(m->space->mm, m->at, end, &skip,
					 m->why);
	hmmu__pins_exclude(&m->space->pins, m->at, end, &skip, m->why);
	while (m->at < end && !err)
		err = take_block_run(m, b, &skip, stop);
	return err;
}

int hmmu__batch_take(struct hmmu_migration *m, uintptr_t end)
{
	bool full = false;
	int err = 0;

	while (m->at < end && !err) {
		uint32_t n = full ? 0 : count_whole_blocks(m, end);

		if (n)
			err = take_whole_blocks(m, n, &full);
		if (!n || full)
			err = take_block_part(m, end);
	}
	return err;
}
