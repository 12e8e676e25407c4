/* SPDX-License-Identifier: MIT */
/*
 * Changes that a program makes in the address space that is an array, and their
 * reports to core.
 */
#include <string.h>

#include "base/thread.h"
#include "tests/unit/array_internal.h"

static _Thread_local bool is_applying;

bool array__is_applying(void)
{
	return is_applying;
}

static struct hmmu_thread *go_inside(void)
{
	struct hmmu_thread *self = hmmu__enter();

	ARRAY_CHECK(self);
	return self;
}

/* --- accesses ----------------------------------------------------------------- */

void *array_host(struct array_mm *m, uintptr_t addr)
{
	uint8_t *frame = array__frame(m, array_page(m, addr));

	return frame + (addr & (HMMU_PAGE_BYTES - 1));
}

struct array_page *array_page(struct array_mm *m, uintptr_t addr)
{
	ARRAY_CHECK(array__index(addr) < ARRAY_PAGES);
	return &m->page[array__index(addr)];
}

/* 1: the page has gone again. */
static int access_once(struct array_mm *m, uintptr_t addr, bool write,
		       uint64_t *value)
{
	int err;

	array__lock(m);
	err = array__touch_locked(m, addr, write);
	if (!err && write)
		memcpy(array_host(m, addr), value, sizeof(*value));
	else if (!err)
		memcpy(value, array_host(m, addr), sizeof(*value));
	array__unlock(m);
	return err;
}

static int access_value(struct array_mm *m, uintptr_t addr, bool write,
			uint64_t *value)
{
	struct hmmu_thread *self = go_inside();
	int err;

	ARRAY_CHECK(addr % sizeof(*value) == 0);
	do {
		err = array__touch(m, addr, write);
		if (!err)
			err = access_once(m, addr, write, value);
	} while (err > 0);
	hmmu__leave(self);
	return err;
}

int array_load(struct array_mm *m, uintptr_t addr, uint64_t *ret)
{
	return access_value(m, addr, false, ret);
}

int array_store(struct array_mm *m, uintptr_t addr, uint64_t value)
{
	return access_value(m, addr, true, &value);
}

void array_fill(struct array_mm *m, uintptr_t addr, size_t bytes, uint64_t seed)
{
	size_t i;

	for (i = 0; i < bytes >> HMMU_PAGE_LG2; i++)
		ARRAY_CHECK(!array_store(m, addr + (i << HMMU_PAGE_LG2),
					 array_number(i, seed)));
}

void array_expect(struct array_mm *m, uintptr_t addr, size_t bytes,
		  uint64_t seed)
{
	uint64_t value;
	size_t i;

	for (i = 0; i < bytes >> HMMU_PAGE_LG2; i++) {
		ARRAY_CHECK(
			!array_load(m, addr + (i << HMMU_PAGE_LG2), &value));
		ARRAY_CHECK(value == array_number(i, seed));
	}
}

/* --- changes ------------------------------------------------------------------ */

/* One change, from the call of the program to its return. */
struct change {
	struct array_mm *m;
	struct hmmu_invalidate_call call;
	struct hmmu_thread *self;
};

static void change_begin(struct change *c, struct array_mm *m, uintptr_t addr,
			 size_t bytes, enum hmmu_event event)
{
	*c = (struct change){ .m = m,
			      .call.inv = { .start = addr,
					    .end = addr + bytes,
					    .event = event },
			      .self = go_inside() };
	ARRAY_CHECK(addr >= ARRAY_BASE && addr + bytes <= ARRAY_END);
	atomic_fetch_add(&m->changing, 1);
	hmmu__core_invalidate_begin(m->mm.space, &c->call);
	(void)array__enter(m, ARRAY_BEGUN);
}

static void change_end(struct change *c)
{
	hmmu__core_invalidate_end(c->m->mm.space, &c->call);
	atomic_fetch_sub(&c->m->changing, 1);
	hmmu__leave(c->self);
}

/* The pages and what they hold are gone. */
static void zap(struct array_mm *m, uintptr_t addr, size_t bytes, bool unmap)
{
	size_t i;

	array__lock(m);
	for (i = array__index(addr); i < array__index(addr + bytes); i++) {
		struct array_page *p = &m->page[i];

		array__split(m, i);
		if (p->state == ARRAY_PRESENT)
			memset(array__frame(m, p), (int)(ARRAY_POISON & 0xff),
			       HMMU_PAGE_BYTES);
		if (unmap)
			*p = (struct array_page){ .frame = p->frame };
		p->state = ARRAY_ABSENT;
		p->is_shared = false;
	}
	array__unlock(m);
	(void)array__enter(m, ARRAY_CHANGED);
}

void array_map(struct array_mm *m, uintptr_t addr, size_t bytes,
	       unsigned int flags)
{
	size_t i;

	array__lock(m);
	m->mappings++;
	for (i = array__index(addr); i < array__index(addr + bytes); i++) {
		ARRAY_CHECK(!m->page[i].mapping);
		m->page[i].flags = (uint8_t)flags;
		m->page[i].mapping = m->mappings;
	}
	array__unlock(m);
}

static void discard(struct array_mm *m, uintptr_t addr, size_t bytes,
		    bool unmap)
{
	struct change c;

	change_begin(&c, m, addr, bytes,
		     unmap ? HMMU_EVENT_UNMAP : HMMU_EVENT_CLEAR);
	zap(m, addr, bytes, unmap);
	hmmu__core_drop(m->mm.space, addr, addr + bytes);
	change_end(&c);
}

void array_unmap(struct array_mm *m, uintptr_t addr, size_t bytes)
{
	discard(m, addr, bytes, true);
}

void array_discard(struct array_mm *m, uintptr_t addr, size_t bytes)
{
	discard(m, addr, bytes, false);
}

void array_unmap_unreported(struct array_mm *m, uintptr_t addr, size_t bytes)
{
	atomic_fetch_add(&m->unreported, 1);
	zap(m, addr, bytes, true);
}

void array_unmap_report(struct array_mm *m, uintptr_t addr, size_t bytes)
{
	struct change c;

	change_begin(&c, m, addr, bytes, HMMU_EVENT_UNMAP);
	hmmu__core_drop(m->mm.space, addr, addr + bytes);
	atomic_fetch_sub(&m->unreported, 1);
	change_end(&c);
}

void array_protect(struct array_mm *m, uintptr_t addr, size_t bytes,
		   unsigned int flags)
{
	struct change c;
	size_t i;

	change_begin(&c, m, addr, bytes, HMMU_EVENT_PROTECTION_VMA);
	array__lock(m);
	for (i = array__index(addr); i < array__index(addr + bytes); i++)
		m->page[i].flags = (uint8_t)flags;
	array__unlock(m);
	change_end(&c);
}

void array_exchange(struct array_mm *m, uintptr_t addr)
{
	struct array_page *p = array_page(m, addr);
	struct change c;
	uint32_t frame;

	change_begin(&c, m, addr, 2 * HMMU_PAGE_BYTES, HMMU_EVENT_CLEAR);
	array__lock(m);
	frame = p[0].frame;
	p[0].frame = p[1].frame;
	p[1].frame = frame;
	array__unlock(m);
	(void)array__enter(m, ARRAY_CHANGED);
	change_end(&c);
}

static void pages_swap(struct array_mm *m, uintptr_t from, uintptr_t to,
		       size_t bytes)
{
	size_t a = array__index(from), b = array__index(to), i;
	size_t n = bytes >> HMMU_PAGE_LG2;

	array__lock(m);
	for (i = 0; i < n; i++) {
		struct array_page p = m->page[a + i];

		ARRAY_CHECK(!m->page[b + i].mapping);
		array__split(m, a + i);
		p.is_large = false;
		m->page[a + i] = m->page[b + i];
		m->page[b + i] = p;
	}
	array__unlock(m);
}

/* No page may be taken or put between the move and its record: every hold ends
 * before, and none begins. */
void array_move(struct array_mm *m, uintptr_t from, uintptr_t to,
		size_t bytes) HMMU_NO_TSA
{
	struct change c;

	ARRAY_CHECK(to >= ARRAY_BASE && to + bytes <= ARRAY_END);
	change_begin(&c, m, from, bytes, HMMU_EVENT_UNMAP);
	hmmu__rw_write_lock(&m->events);
	is_applying = true;
	pages_swap(m, from, to, bytes);
	(void)array__enter(m, ARRAY_CHANGED);
	hmmu__core_moved(m->mm.space, from, to, bytes);
	is_applying = false;
	hmmu__rw_write_unlock(&m->events);
	change_end(&c);
}

/* --- what a kernel may have done ------------------------------------------------- */

void array__make_large(struct array_mm *m, size_t i)
{
	struct array_page *p = &m->page[i];
	size_t j;

	ARRAY_CHECK(i % HMMU_PAGES_PER_LARGE == 0);
	for (j = 0; j < HMMU_PAGES_PER_LARGE; j++) {
		ARRAY_CHECK(p[j].state == ARRAY_PRESENT &&
			    p[j].mapping == p->mapping &&
			    p[j].frame == p->frame + j);
		p[j].is_large = true;
	}
	ARRAY_CHECK(p->frame % HMMU_PAGES_PER_LARGE == 0);
}

void array__split(struct array_mm *m, size_t i)
{
	size_t first = i & ~(HMMU_PAGES_PER_LARGE - 1ul), j;

	if (!m->page[i].is_large)
		return;
	for (j = first; j < first + HMMU_PAGES_PER_LARGE; j++)
		m->page[j].is_large = false;
}

void array_make_large(struct array_mm *m, uintptr_t block)
{
	array__lock(m);
	array__make_large(m, array__index(block));
	array__unlock(m);
}

static void frames_exchange(struct array_mm *m, struct array_page *a,
			    struct array_page *b)
{
	uint8_t bytes[HMMU_PAGE_BYTES];
	uint32_t frame = a->frame;

	memcpy(bytes, array__frame(m, a), sizeof(bytes));
	memcpy(array__frame(m, a), array__frame(m, b), sizeof(bytes));
	memcpy(array__frame(m, b), bytes, sizeof(bytes));
	a->frame = b->frame;
	b->frame = frame;
}

void array_scatter(struct array_mm *m, uintptr_t addr, size_t bytes)
{
	size_t i;

	array__lock(m);
	for (i = array__index(addr); i + 1 < array__index(addr + bytes);
	     i += 2) {
		array__split(m, i);
		frames_exchange(m, &m->page[i], &m->page[i + 1]);
	}
	array__unlock(m);
}

void array_share(struct array_mm *m, uintptr_t addr, size_t bytes)
{
	size_t i;

	array__lock(m);
	for (i = array__index(addr); i < array__index(addr + bytes); i++)
		m->page[i].is_shared = true;
	array__unlock(m);
}

void array_stay(struct array_mm *m, uintptr_t addr, size_t bytes, int why)
{
	size_t i;

	array__lock(m);
	for (i = array__index(addr); i < array__index(addr + bytes); i++)
		m->page[i].stay = (uint8_t)(why + 1);
	array__unlock(m);
}

void array_exclude(struct array_mm *m, uintptr_t addr, size_t bytes, int why)
{
	size_t i;

	array__lock(m);
	for (i = array__index(addr); i < array__index(addr + bytes); i++)
		m->page[i].excluded = (uint8_t)(why + 1);
	array__unlock(m);
}
