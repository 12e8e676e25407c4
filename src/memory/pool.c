/* SPDX-License-Identifier: MIT */
/*
 * The pool of a device memory: allocation of chunks and pages
 *
 * Locking: the pool's mutex is taken inside.
 */
#include "memory/pool.h"

#include "base/fault_point.h"

#define PER_CHUNK HMMU_PAGES_PER_LARGE

static bool is_free(const struct hmmu_memory *m, uint32_t c)
	HMMU_REQUIRES(&m->lock)
{
	hmmu__mutex_assert_held(&m->lock);
	return !m->chunk[c].used_pages;
}

/* The first free chunk at or after the cursor, cyclic; @m->chunks if none. */
static uint32_t free_from_cursor(const struct hmmu_memory *m)
	HMMU_REQUIRES(&m->lock)
{
	uint32_t i, c;

	hmmu__mutex_assert_held(&m->lock);
	if (!m->free_chunks)
		return m->chunks;
	for (i = 0; i < m->chunks; i++) {
		c = m->cursor + i;
		if (c >= m->chunks)
			c -= m->chunks;
		if (is_free(m, c))
			return c;
	}
	return m->chunks;
}

static void use_whole(struct hmmu_memory *m, uint32_t c) HMMU_REQUIRES(&m->lock)
{
	struct hmmu_chunk *k = &m->chunk[c];

	hmmu__mutex_assert_held(&m->lock);
	hmmu__bitmap_fill(&k->used);
	k->used_pages = PER_CHUNK;
	k->split = false;
	k->tainted = false;
	m->free_chunks--;
	m->used_pages += PER_CHUNK;
}

uint32_t hmmu__memory_take_chunks(struct hmmu_memory *m, uint32_t want,
				  uint32_t *ret_page, bool *ret_tainted)
{
	uint32_t c, n = 0;

	*ret_tainted = false;
	if (HMMU_FAULT_POINT("memory chunk", 1))
		return 0;
	hmmu__mutex_lock(&m->lock);
	c = free_from_cursor(m);
	*ret_page = c * PER_CHUNK;
	while (n < want && c + n < m->chunks && is_free(m, c + n)) {
		*ret_tainted |= m->chunk[c + n].tainted;
		use_whole(m, c + n);
		n++;
	}
	m->cursor = c + n < m->chunks ? c + n : 0;
	hmmu__mutex_unlock(&m->lock);
	return n;
}

bool hmmu__memory_is_failing(const struct hmmu_memory *m)
{
	/* Relaxed: the flag orders nothing. */
	return atomic_load_explicit(&m->fail_large, memory_order_relaxed);
}

bool hmmu__memory_fails_large(struct hmmu_memory *m)
{
	return hmmu__memory_is_failing(m) &&
	       atomic_exchange_explicit(&m->fail_large, false,
					memory_order_relaxed);
}

static void use_page(struct hmmu_memory *m, uint32_t page)
	HMMU_REQUIRES(&m->lock)
{
	struct hmmu_chunk *k = &m->chunk[page / PER_CHUNK];

	hmmu__mutex_assert_held(&m->lock);
	if (!k->used_pages)
		m->free_chunks--;
	hmmu__bitmap_set(&k->used, page % PER_CHUNK);
	k->used_pages++;
	m->used_pages++;
}

static bool chunk_has_room(const struct hmmu_chunk *k)
{
	return k->used_pages && k->used_pages < PER_CHUNK;
}

static uint32_t room_anywhere(const struct hmmu_memory *m, bool split)
	HMMU_REQUIRES(&m->lock)
{
	uint32_t c;

	hmmu__mutex_assert_held(&m->lock);
	for (c = 0; c < m->chunks; c++)
		if (chunk_has_room(&m->chunk[c]) && m->chunk[c].split == split)
			break;
	return c;
}

/*
 * Find a chunk for a single page; @m->chunks if the memory is full. Prefer a
 * split chunk, then a free one, then the rest of a chunk that a block uses.
 */
static uint32_t split_chunk(struct hmmu_memory *m) HMMU_REQUIRES(&m->lock)
{
	uint32_t c = m->split_hint;

	hmmu__mutex_assert_held(&m->lock);
	if (c < m->chunks && m->chunk[c].split && chunk_has_room(&m->chunk[c]))
		return c;
	c = room_anywhere(m, true);
	if (c == m->chunks) {
		c = free_from_cursor(m);
		if (c < m->chunks) {
			m->chunk[c].split = true;
			m->chunk[c].tainted = true;
		}
	}
	m->split_hint = c;
	return c < m->chunks ? c : room_anywhere(m, false);
}

uint32_t hmmu__memory_take_page(struct hmmu_memory *m)
{
	uint32_t page = HMMU_NO_PAGE;
	uint32_t c;

	if (HMMU_FAULT_POINT("memory page", 1))
		return HMMU_NO_PAGE;
	hmmu__mutex_lock(&m->lock);
	c = split_chunk(m);
	if (c < m->chunks) {
		page = c * PER_CHUNK +
		       hmmu__bitmap_first_clear_from(&m->chunk[c].used, 0);
		use_page(m, page);
	}
	hmmu__mutex_unlock(&m->lock);
	return page;
}

bool hmmu__memory_take_pages_at(struct hmmu_memory *m, uint32_t page,
				uint32_t n)
{
	uint32_t at = page % PER_CHUNK;
	struct hmmu_chunk *k;
	bool ok;

	if (page / PER_CHUNK >= m->chunks || at + n > PER_CHUNK)
		return false;
	hmmu__mutex_lock(&m->lock);
	k = &m->chunk[page / PER_CHUNK];
	ok = k->used_pages && !hmmu__bitmap_any_range(&k->used, at, at + n);
	if (ok) {
		while (n--)
			use_page(m, page++);
		k->tainted = true;
	}
	hmmu__mutex_unlock(&m->lock);
	return ok;
}

static void give_in_chunk(struct hmmu_memory *m, uint32_t page, uint32_t n,
			  bool small) HMMU_REQUIRES(&m->lock)
{
	struct hmmu_chunk *k = &m->chunk[page / PER_CHUNK];
	uint32_t at = page % PER_CHUNK;

	hmmu__mutex_assert_held(&m->lock);
	hmmu__bitmap_clear_range(&k->used, at, at + n);
	k->used_pages = (uint16_t)(k->used_pages - n);
	k->tainted |= small || n < PER_CHUNK;
	m->used_pages -= n;
	if (!k->used_pages) {
		k->split = false;
		m->free_chunks++;
	}
}

void hmmu__memory_give(struct hmmu_memory *m, uint32_t page, uint32_t n,
		       bool small)
{
	hmmu__mutex_lock(&m->lock);
	while (n) {
		uint32_t room = PER_CHUNK - page % PER_CHUNK;
		uint32_t now = n < room ? n : room;

		give_in_chunk(m, page, now, small);
		page += now;
		n -= now;
	}
	hmmu__mutex_unlock(&m->lock);
}
