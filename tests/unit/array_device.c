/* SPDX-License-Identifier: MIT */
/*
 * Pages that devices have of the address space that is an array: taken to the
 * host memory of a pool, and put back.
 */
#include "tests/unit/array_internal.h"

#include <string.h>

/* What a chunk of a pool has; NONE and LARGE can hold a large page. */
enum {
	CHUNK_NONE,
	CHUNK_LARGE,
	CHUNK_SMALL,
};

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && !memcmp(page, page + 1, HMMU_PAGE_BYTES - 1);
}

/* What the chunk of @host has. */
static uint8_t *chunk_of(struct array_mm *m, const uint8_t *host)
{
	size_t i;

	for (i = 0; i < HMMU_ARRAY_SIZE(m->pool); i++) {
		struct array_pool *p = &m->pool[i];

		if (host >= p->host && host < p->host + p->bytes)
			return &p->chunk[(size_t)(host - p->host) >>
					 HMMU_LARGE_LG2];
	}
	ARRAY_CHECK(!"no pool has been added there");
	return NULL;
}

/* The page leaves its frame for @host, which must be empty. */
static void page_take(struct array_mm *m, struct array_page *p, uint8_t *host)
{
	uint8_t *frame = array__frame(m, p);

	ARRAY_CHECK(is_zero(host));
	if (p->state == ARRAY_PRESENT) {
		memcpy(host, frame, HMMU_PAGE_BYTES);
		memset(frame, (int)(ARRAY_POISON & 0xff), HMMU_PAGE_BYTES);
	}
	p->state = ARRAY_TAKEN;
}

static void take_small(struct array_mm *m, struct hmmu_mm_take *t)
{
	size_t i = array__index(t->start + t->done_bytes);
	uint8_t *host = (uint8_t *)t->host + t->done_bytes;

	array__split(m, i);
	page_take(m, &m->page[i], host);
	*chunk_of(m, host) = CHUNK_SMALL;
	t->done_bytes += HMMU_PAGE_BYTES;
}

/* A large page goes as one if all of it goes, to a chunk that never had small. */
static bool is_taken_whole(struct array_mm *m, const struct hmmu_mm_take *t)
{
	uintptr_t at = t->start + t->done_bytes;
	uint8_t *host = (uint8_t *)t->host + t->done_bytes;

	return m->page[array__index(at)].is_large &&
	       (at | (uintptr_t)host) % HMMU_LARGE_BYTES == 0 &&
	       t->bytes - t->done_bytes >= HMMU_LARGE_BYTES &&
	       *chunk_of(m, host) == CHUNK_NONE;
}

static void take_large(struct array_mm *m, struct hmmu_mm_take *t)
{
	size_t first = array__index(t->start + t->done_bytes), i;
	uint8_t *host = (uint8_t *)t->host + t->done_bytes;

	*chunk_of(m, host) = CHUNK_LARGE;
	for (i = 0; i < HMMU_PAGES_PER_LARGE; i++) {
		page_take(m, &m->page[first + i], host + i * HMMU_PAGE_BYTES);
		m->page[first + i].is_large = false;
	}
	t->done_bytes += HMMU_LARGE_BYTES;
	t->large++;
}

/* How many pages share the fate of the one that stays. */
static int take_refused(struct array_mm *m, struct hmmu_mm_take *t)
{
	size_t i = array__index(t->start + t->done_bytes);
	const struct array_page *first = &m->page[i];
	size_t left = t->bytes - t->done_bytes;

	t->why = first->stay ? (enum hmmu_stay)(first->stay - 1) :
			       HMMU_STAY_PINNED;
	/* As UFFDIO_MOVE: a shared page and a pinned one look alike. */
	t->shared = t->why == HMMU_STAY_PINNED;
	for (; t->stay_bytes < left && m->page[i].stay == first->stay &&
	       m->page[i].is_shared == first->is_shared;
	     i++)
		t->stay_bytes += HMMU_PAGE_BYTES;
	return -EBUSY;
}

static int take_next(struct array_mm *m, struct hmmu_mm_take *t)
{
	const struct array_page *p =
		&m->page[array__index(t->start + t->done_bytes)];
	uint8_t *host = (uint8_t *)t->host + t->done_bytes;

	if (!p->mapping || !(p->flags & HMMU_VMA_ANON) || !p->is_armed)
		return -EAGAIN;
	ARRAY_CHECK(p->state != ARRAY_TAKEN);
	if (p->stay || p->is_shared)
		return take_refused(m, t);
	/* Only where it could not be emptied is a place not empty. */
	if (atomic_load(&m->empty_failed) && !is_zero(host)) {
		memset(host, 0, HMMU_PAGE_BYTES);
		return -EAGAIN;
	}
	if (is_taken_whole(m, t))
		take_large(m, t);
	else
		take_small(m, t);
	return 0;
}

int array__take(struct hmmu_mm *mm, struct hmmu_mm_take *t)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_TAKE), stop = 0;
	size_t end = t->bytes;

	array__check_held(m, 1);
	ARRAY_CHECK(!t->done_bytes && !t->large && !t->stay_bytes);
	if (err)
		end = hmmu_min(end, m->failure[ARRAY_TAKE].done_bytes);
	array__lock(m);
	while (!stop && t->done_bytes < end)
		stop = take_next(m, t);
	if (!stop && err == -EBUSY) {
		t->why = m->failure[ARRAY_TAKE].why;
		t->shared = t->why == HMMU_STAY_PINNED;
		t->stay_bytes = hmmu_min(m->failure[ARRAY_TAKE].stay_bytes,
					 t->bytes - t->done_bytes);
	}
	array__unlock(m);
	return stop ? stop : err;
}

static void page_put(struct array_mm *m, size_t i, uint8_t *host)
{
	struct array_page *p = &m->page[i];
	bool is_hole = is_zero(host);

	if (!array__is_present(p)) {
		ARRAY_CHECK(p->state == ARRAY_TAKEN);
		p->state = is_hole ? ARRAY_ABSENT : ARRAY_PRESENT;
		if (!is_hole)
			memcpy(array__frame(m, p), host, HMMU_PAGE_BYTES);
	}
	memset(host, 0, HMMU_PAGE_BYTES);
}

static int put_small(struct array_mm *m, struct hmmu_mm_put *p)
{
	size_t i = array__index(p->start + p->done_bytes);
	uint8_t *host = (uint8_t *)p->host + p->done_bytes;

	if (!m->page[i].mapping)
		return -ENOENT;
	/* A new mapping, and the end of the old one has not been reported. */
	if (m->page[i].state == ARRAY_ABSENT && atomic_load(&m->unreported))
		return -EAGAIN;
	page_put(m, i, host);
	if (!(m->page[i].flags & HMMU_VMA_WRITE)) {
		p->copied++;
		p->unmoved = true;
	}
	*chunk_of(m, host) = CHUNK_SMALL;
	p->done_bytes += HMMU_PAGE_BYTES;
	return 0;
}

static bool is_put_whole(struct array_mm *m, const struct hmmu_mm_put *p)
{
	uintptr_t at = p->start + p->done_bytes;
	uint8_t *host = (uint8_t *)p->host + p->done_bytes;
	const struct array_page *page = &m->page[array__index(at)];
	size_t i;

	if ((at | (uintptr_t)host) % HMMU_LARGE_BYTES ||
	    p->bytes - p->done_bytes < HMMU_LARGE_BYTES ||
	    *chunk_of(m, host) != CHUNK_LARGE)
		return false;
	for (i = 0; i < HMMU_PAGES_PER_LARGE; i++)
		if (!array__is_same_mapping(&page[i], page) ||
		    page[i].state != ARRAY_TAKEN || page[i].frame % 512 != i)
			return false;
	return page->mapping && page->flags & HMMU_VMA_WRITE;
}

static void put_large(struct array_mm *m, struct hmmu_mm_put *p)
{
	size_t first = array__index(p->start + p->done_bytes), i;
	uint8_t *host = (uint8_t *)p->host + p->done_bytes;

	for (i = 0; i < HMMU_PAGES_PER_LARGE; i++) {
		page_put(m, first + i, host + i * HMMU_PAGE_BYTES);
		if (m->page[first + i].state == ARRAY_ABSENT)
			array__fill(m, first + i, true);
	}
	array__make_large(m, first);
	*chunk_of(m, host) = CHUNK_NONE;
	p->done_bytes += HMMU_LARGE_BYTES;
	p->large++;
}

int array__put(struct hmmu_mm *mm, struct hmmu_mm_put *p)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_PUT), stop = 0;
	size_t end = p->bytes;

	array__check_held(m, array__is_applying() ? 0 : 1);
	if (err)
		end = hmmu_min(end, m->failure[ARRAY_PUT].done_bytes);
	array__lock(m);
	while (!stop && p->done_bytes < end) {
		if (is_put_whole(m, p))
			put_large(m, p);
		else
			stop = put_small(m, p);
	}
	array__unlock(m);
	return stop ? stop : err;
}

int array__fill_hole(struct hmmu_mm *mm, uintptr_t addr,
		     const struct hmmu_bitmap512 *device_pages)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_FILL_HOLE);
	size_t i = array__index(addr);

	array__check_held(m, 1);
	ARRAY_CHECK(!hmmu__bitmap_test(device_pages, (unsigned int)(i % 512)));
	if (err)
		return err;
	array__lock(m);
	if (m->page[i].mapping && !array__is_present(&m->page[i])) {
		/* Taken, and on no device: it was lost. */
		ARRAY_CHECK(m->page[i].state == ARRAY_ABSENT);
		array__fill(m, i, true);
	}
	array__unlock(m);
	return 0;
}

int array__empty(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_EMPTY);
	uint8_t *at = host, *end = at + bytes;

	if (err) {
		atomic_store(&m->empty_failed, true);
		return err;
	}
	memset(host, 0, bytes);
	array__lock(m);
	for (; at < end; at += HMMU_PAGE_BYTES) {
		bool whole = (uintptr_t)at % HMMU_LARGE_BYTES == 0 &&
			     (size_t)(end - at) >= HMMU_LARGE_BYTES;

		*chunk_of(m, at) = whole ? CHUNK_NONE : CHUNK_SMALL;
		if (whole)
			at += HMMU_LARGE_BYTES - HMMU_PAGE_BYTES;
	}
	array__unlock(m);
	return 0;
}

int array__add_pool(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_ADD_POOL);
	size_t i = 0;

	ARRAY_CHECK((uintptr_t)host % HMMU_LARGE_BYTES == 0);
	if (err)
		return err;
	array__lock(m);
	while (i < HMMU_ARRAY_SIZE(m->pool) && m->pool[i].bytes)
		i++;
	ARRAY_CHECK(i < HMMU_ARRAY_SIZE(m->pool));
	m->pool[i] = (struct array_pool){ .host = host, .bytes = bytes };
	array__unlock(m);
	return 0;
}

void array__remove_pool(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct array_mm *m = array_of(mm);
	size_t i = 0;

	(void)array__enter(m, ARRAY_REMOVE_POOL);
	array__lock(m);
	while (i < HMMU_ARRAY_SIZE(m->pool) && m->pool[i].host != host)
		i++;
	ARRAY_CHECK(i < HMMU_ARRAY_SIZE(m->pool) && m->pool[i].bytes == bytes);
	m->pool[i] = (struct array_pool){ 0 };
	array__unlock(m);
}
