/* SPDX-License-Identifier: MIT */
/*
 * The program changes its memory: what core does about it.
 */
#include <errno.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/sys.h"
#include "core/core.h"
#include "memory/pool.h"

void hmmu__core_invalidate_begin(struct hmmu_space *space,
				 struct hmmu_invalidate_call *call)
{
	hmmu__count(&space->counters.invalidations, 1);
	call->unmapped = false;
	hmmu__ports_changing(&space->ports);
	hmmu__notifiers_begin(&space->notifiers, call);
	(void)hmmu__ports_changed(&space->ports, call->unmapped, space->mm);
}

void hmmu__core_invalidate_end(struct hmmu_space *space,
			       struct hmmu_invalidate_call *call)
{
	hmmu__notifiers_end(&space->notifiers, call);
}

/*
 * Lock-free, for the hooks' common case. Whoever subscribes to something may
 * subscribe to this: the exact answer wants the lock.
 */
bool hmmu__core_may_be_used(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end)
{
	/* Acquire: pairs with the increment of insert. */
	return atomic_load_explicit(&space->notifiers.users,
				    memory_order_acquire) ||
	       hmmu__block_next(&space->blocks, start, end);
}

bool hmmu__core_is_used(struct hmmu_space *space, uintptr_t start,
			uintptr_t end)
{
	return hmmu__block_next(&space->blocks, start, end) ||
	       hmmu__notifiers_overlap(&space->notifiers, start, end);
}

bool hmmu__core_is_clearing(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end)
{
	return hmmu__notifiers_clearing(&space->notifiers, start, end);
}

/* Pages whose content nobody wants: emptied and given back. */
static void places_drop(struct hmmu_space *space, struct hmmu_memory *m,
			uint32_t place, unsigned int n)
{
	if (m->kind != HMMU_MEMORY_COHERENT)
		(void)space->mm->ops->empty(space->mm,
					    hmmu__memory_host(m, place),
					    (size_t)n << HMMU_PAGE_LG2);
	hmmu__memory_give(m, place, n, n < HMMU_PAGES_PER_LARGE);
	hmmu__count(&space->counters.device_pages, (uint64_t)0 - n);
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
		places_drop(space, r.memory, r.place, r.n);
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

/* A run of device pages on its way from one address to another. */
struct moving {
	struct hmmu_memory *memory;
	uintptr_t to;
	uint32_t place;
	unsigned int n;
};

/* A run that was put aside; @run.to is where it was. */
struct hmmu_displaced {
	struct moving run;
	struct hmmu_displaced *next;
};

/* Takes the first run of held pages of [start, end) out of its block. */
static bool run_lift(struct hmmu_block *b, uintptr_t start, uintptr_t end,
		     uintptr_t *at, struct moving *m)
{
	struct hmmu_block_run r;
	unsigned int page, stop;
	bool found;

	hmmu__block_clip(b, start, end, &page, &stop);
	hmmu__block_lock(b);
	found = hmmu__block_run(b, page, stop, &r);
	if (found) {
		m->memory = r.memory;
		m->place = r.place;
		m->n = r.n;
		*at = hmmu__block_addr(b, r.page);
		hmmu__block_clear(b, r.page, r.n);
	}
	hmmu__block_unlock(b);
	return found;
}

/* So long the kernel may have no memory for a page table, or mappings change. */
#define RUN_HOME_NS 10000000000ull

/*
 * Where the run can not be recorded it goes home, at its new address. The
 * caller of mremap has not run yet: until then EAGAIN.
 */
static void run_put(struct hmmu_space *space, const struct moving *m,
		    unsigned int n)
{
	uint64_t begun = hmmu__sys_clock_ns();
	struct hmmu_mm_put put = {
		.start = m->to,
		.bytes = (size_t)n << HMMU_PAGE_LG2,
		.host = hmmu__memory_host(m->memory, m->place),
	};
	int err;

	for (;;) {
		err = space->mm->ops->put(space->mm, &put);
		if (err != -EAGAIN && err != -ENOMEM)
			break;
		if (hmmu__sys_clock_ns() - begun > RUN_HOME_NS) {
			hmmu__log(HMMU_LOG_ERROR,
				  "no memory: %u device pages are lost", n);
			break;
		}
		space->mm->ops->drain(space->mm);
	}
}

static void run_home(struct hmmu_space *space, const struct moving *m,
		     unsigned int n)
{
	if (m->memory->kind != HMMU_MEMORY_COHERENT)
		run_put(space, m, n);
	places_drop(space, m->memory, m->place, n);
}

static void run_land(struct hmmu_space *space, struct moving *m)
{
	struct hmmu_block *b;
	unsigned int page, n;
	bool ok = false;

	while (m->n) {
		b = hmmu__block_get(space, m->to);
		page = b ? hmmu__block_page(b, m->to) : 0;
		n = HMMU_PAGES_PER_LARGE - page;
		n = n < m->n ? n : m->n;
		if (b) {
			hmmu__block_lock(b);
			ok = hmmu__block_set(b, m->memory, page, n, m->place);
			hmmu__block_unlock(b);
		}
		if (!b || !ok)
			run_home(space, m, n);
		m->to += (uintptr_t)n << HMMU_PAGE_LG2;
		m->place += n;
		m->n -= n;
	}
}

/*
 * The caller is the service with the events lock held exclusively: nobody
 * takes or puts while a run is between its two addresses.
 */
void hmmu__core_moved(struct hmmu_space *space, uintptr_t from, uintptr_t to,
		      size_t bytes)
{
	struct hmmu_block *b;
	struct moving m;
	uintptr_t at;

	hmmu__block_for_each(b, &space->blocks, from, from + bytes)
	{
		while (run_lift(b, from, from + bytes, &at, &m)) {
			m.to = to + (at - from);
			run_land(space, &m);
		}
	}
}

static void displace_one(struct hmmu_space *space, const struct moving *m)
{
	struct hmmu_displaced *d = hmmu__alloc(sizeof(*d));

	/* Without memory the page is lost with its old mapping, which is most
	 * often gone. */
	if (!d) {
		hmmu__log(HMMU_LOG_ERROR, "no memory: device pages are lost");
		places_drop(space, m->memory, m->place, m->n);
		return;
	}
	d->run = *m;
	d->next = space->displaced;
	space->displaced = d;
}

void hmmu__core_displace(struct hmmu_space *space, uintptr_t start,
			 uintptr_t end)
{
	struct hmmu_block *b;
	struct moving m;

	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		while (run_lift(b, start, end, &m.to, &m))
			displace_one(space, &m);
	}
}

/* The part of a displaced run that lies in [start, end), cut out of it. */
static bool displaced_take(struct hmmu_space *space, uintptr_t start,
			   uintptr_t end, struct moving *part)
{
	struct hmmu_displaced **p, *d;

	for (p = &space->displaced; (d = *p); p = &d->next) {
		uintptr_t run_end =
			d->run.to + ((uintptr_t)d->run.n << HMMU_PAGE_LG2);
		uintptr_t lo = d->run.to > start ? d->run.to : start;
		uintptr_t hi = run_end < end ? run_end : end;
		struct moving rest = d->run;

		if (lo >= hi)
			continue;
		*p = d->next;
		*part = d->run;
		part->to = lo;
		part->place += (uint32_t)((lo - d->run.to) >> HMMU_PAGE_LG2);
		part->n = (unsigned int)((hi - lo) >> HMMU_PAGE_LG2);
		hmmu__free(d, sizeof(*d));
		if (lo > rest.to) {
			struct moving left = rest;

			left.n =
				(unsigned int)((lo - rest.to) >> HMMU_PAGE_LG2);
			displace_one(space, &left);
		}
		if (run_end > hi) {
			rest.place +=
				(uint32_t)((hi - rest.to) >> HMMU_PAGE_LG2);
			rest.n =
				(unsigned int)((run_end - hi) >> HMMU_PAGE_LG2);
			rest.to = hi;
			displace_one(space, &rest);
		}
		return true;
	}
	return false;
}

void hmmu__core_displaced_drop(struct hmmu_space *space, uintptr_t start,
			       uintptr_t end)
{
	struct moving m;

	while (displaced_take(space, start, end, &m)) {
		hmmu__count(&space->counters.pages_dropped, m.n);
		places_drop(space, m.memory, m.place, m.n);
	}
}

void hmmu__core_displaced_moved(struct hmmu_space *space, uintptr_t from,
				uintptr_t to, size_t bytes)
{
	struct moving m;

	while (displaced_take(space, from, from + bytes, &m)) {
		m.to = to + (m.to - from);
		run_land(space, &m);
	}
}

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

void hmmu__core_ports_hold(struct hmmu_space *space)
{
	hmmu__ports_hold(&space->ports, space->mm);
}

void hmmu__core_ports_release(struct hmmu_space *space)
{
	hmmu__ports_release(&space->ports);
}

bool hmmu__core_ports_idle(struct hmmu_space *space)
{
	return hmmu__ports_idle(&space->ports);
}

void hmmu__core_break_own(struct hmmu_space *space)
{
	if (!hmmu__ports_idle(&space->ports))
		hmmu__ports_break(&space->ports, hmmu__thread_id());
}

bool hmmu__core_is_in_section(struct hmmu_space *space, int tid)
{
	return hmmu__ports_in_section(&space->ports, tid);
}

void hmmu__core_break(struct hmmu_space *space, int tid)
{
	hmmu__ports_break(&space->ports, tid);
}
