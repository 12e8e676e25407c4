/* SPDX-License-Identifier: MIT */
/*
 * Device pages of changed mappings: drop, lift and land
 *
 * When a mapping or its content is gone, its device pages are dropped. When a
 * mapping moves, they are lifted out of their block and land at the new
 * address. If there is no memory to record them there, they migrate to system
 * memory.
 *
 * Locking: block locks are taken inside. The address space excludes every hold
 * around lift, land and moved, so that no page is taken or put while it is
 * recorded at no address.
 */
#include <errno.h>

#include "base/log.h"
#include "base/sched.h"
#include "core/space.h"
#include "memory/pool.h"

/* Discards the content of device pages and frees them. */
static void pages_drop(struct hmmu_space *space, struct hmmu_memory *m,
		       uint32_t place, uint32_t pages)
{
	if (m->kind != HMMU_MEMORY_COHERENT)
		(void)space->mm->ops->empty(space->mm,
					    hmmu__memory_host(m, place),
					    (size_t)pages << HMMU_PAGE_LG2);
	hmmu__memory_give(m, place, pages, pages < HMMU_PAGES_PER_LARGE);
	hmmu__count(&space->counters.device_pages, (uint64_t)0 - pages);
}

static void block_drop(struct hmmu_space *space, struct hmmu_block *b,
		       uintptr_t start, uintptr_t end)
{
	struct hmmu_block_run r;
	unsigned int page, stop;
	unsigned int n = 0;

	hmmu__block_clip(b, start, end, &page, &stop);
	hmmu__block_lock(b);
	for (; hmmu__block_run(b, page, stop, &r); page = r.page + r.n) {
		pages_drop(space, r.memory, r.place, r.n);
		hmmu__block_clear(b, r.page, r.n);
		n += r.n;
	}
	hmmu__block_unlock(b);
	hmmu__count(&space->counters.pages_dropped, n);
}

void hmmu__core_drop(struct hmmu_space *space, uintptr_t start, uintptr_t end)
{
	struct hmmu_block *b;

	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		if (atomic_load_explicit(&b->held_pages, memory_order_acquire))
			block_drop(space, b, start, end);
	}
}

static bool block_lift(struct hmmu_block *b, uintptr_t start, uintptr_t end,
		       struct hmmu_lifted *lifted)
{
	struct hmmu_block_run r;
	unsigned int page, stop;
	bool found;

	hmmu__block_clip(b, start, end, &page, &stop);
	hmmu__block_lock(b);
	found = hmmu__block_run(b, page, stop, &r);
	if (found) {
		*lifted = (struct hmmu_lifted){
			.memory = r.memory,
			.addr = hmmu__block_addr(b, r.page),
			.place = r.place,
			.pages = r.n,
		};
		hmmu__block_clear(b, r.page, r.n);
	}
	hmmu__block_unlock(b);
	return found;
}

bool hmmu__core_lift(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     struct hmmu_lifted *ret_lifted)
{
	struct hmmu_block *b;

	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		if (block_lift(b, start, end, ret_lifted))
			return true;
	}
	return false;
}

/*
 * Longest time for which a put is retried. The kernel may have no memory for a
 * page table, or refuse while the thread that called mremap has not run yet.
 */
#define PUT_BACK_NS 10000000000ull

static void put_retry(struct hmmu_space *space, struct hmmu_mm_put *put)
{
	uint64_t begun = hmmu__sched_now_ns();
	int err;

	for (;;) {
		err = space->mm->ops->put(space->mm, put);
		if (err != -EAGAIN && err != -ENOMEM)
			break;
		if (hmmu__sched_now_ns() - begun > PUT_BACK_NS) {
			hmmu__log(
				HMMU_LOG_ERROR,
				"no memory: %lu bytes of device pages are "
				"lost",
				(unsigned long)(put->bytes - put->done_bytes));
			break;
		}
		space->mm->ops->sync(space->mm, 0);
	}
}

/* Puts @pages from @place on to @addr: there is no memory to record them. */
static void land_in_system(struct hmmu_space *space, struct hmmu_memory *m,
			   uintptr_t addr, uint32_t place, uint32_t pages)
{
	struct hmmu_mm_put put = {
		.start = addr,
		.bytes = (size_t)pages << HMMU_PAGE_LG2,
		.host = hmmu__memory_host(m, place),
	};

	if (m->kind != HMMU_MEMORY_COHERENT)
		put_retry(space, &put);
	pages_drop(space, m, place, pages);
}

static bool land_in_block(struct hmmu_space *space, struct hmmu_memory *m,
			  uintptr_t addr, uint32_t place, uint32_t pages)
{
	struct hmmu_block *b = hmmu__block_get(&space->blocks, addr);
	bool ok;

	if (!b)
		return false;
	hmmu__block_lock(b);
	ok = hmmu__block_set(b, m, hmmu__block_page(b, addr), pages, place);
	hmmu__block_unlock(b);
	return ok;
}

void hmmu__core_land(struct hmmu_space *space, const struct hmmu_lifted *lifted,
		     uintptr_t to)
{
	uintptr_t end = to + ((uintptr_t)lifted->pages << HMMU_PAGE_LG2);
	uint32_t place = lifted->place, n;
	uintptr_t next;

	for (; to < end; to = next, place += n) {
		next = hmmu_min(end, (to | (HMMU_LARGE_BYTES - 1)) + 1);
		n = (uint32_t)((next - to) >> HMMU_PAGE_LG2);
		if (!land_in_block(space, lifted->memory, to, place, n))
			land_in_system(space, lifted->memory, to, place, n);
	}
}

void hmmu__core_lifted_drop(struct hmmu_space *space,
			    const struct hmmu_lifted *lifted)
{
	hmmu__count(&space->counters.pages_dropped, lifted->pages);
	pages_drop(space, lifted->memory, lifted->place, lifted->pages);
}

void hmmu__core_moved(struct hmmu_space *space, uintptr_t from, uintptr_t to,
		      size_t bytes)
{
	struct hmmu_lifted lifted;
	uintptr_t at = from;

	while (hmmu__core_lift(space, at, from + bytes, &lifted)) {
		hmmu__core_land(space, &lifted, to + (lifted.addr - from));
		at = lifted.addr + ((uintptr_t)lifted.pages << HMMU_PAGE_LG2);
	}
}

/* --- queries ---------------------------------------------------------------- */

bool hmmu__core_is_held(struct hmmu_space *space, uintptr_t start,
			uintptr_t end)
{
	struct hmmu_block *b;

	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		if (atomic_load_explicit(&b->held_pages, memory_order_acquire))
			return true;
	}
	return false;
}

bool hmmu__core_next_away(struct hmmu_space *space, uintptr_t start,
			  uintptr_t end, uintptr_t *ret_at)
{
	struct hmmu_block *b;

	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		if (!atomic_load_explicit(&b->away_pages, memory_order_acquire))
			continue;
		*ret_at = b->start;
		return true;
	}
	return false;
}

bool hmmu__core_is_away(struct hmmu_space *space, uintptr_t start,
			uintptr_t end)
{
	uintptr_t at;

	return hmmu__core_next_away(space, start, end, &at);
}

uint64_t hmmu__core_device_pages(struct hmmu_space *space)
{
	return atomic_load_explicit(&space->counters.device_pages,
				    memory_order_relaxed);
}
