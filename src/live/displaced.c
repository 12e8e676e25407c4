/* SPDX-License-Identifier: MIT */
/* Orphaned pages: see displaced.h. */
#include "live/displaced.h"

#include "base/arena.h"
#include "base/log.h"
#include "live/state.h"

struct hmmu_displaced {
	struct hmmu_lifted run;
	struct hmmu_displaced *next;
};

static uintptr_t lifted_end(const struct hmmu_lifted *run)
{
	return run->addr + ((uintptr_t)run->pages << HMMU_PAGE_LG2);
}

/* The part [start, end) of @run. */
static struct hmmu_lifted lifted_part(const struct hmmu_lifted *run,
				      uintptr_t start, uintptr_t end)
{
	return (struct hmmu_lifted){
		.memory = run->memory,
		.addr = start,
		.place = run->place +
			 (uint32_t)((start - run->addr) >> HMMU_PAGE_LG2),
		.pages = (uint32_t)((end - start) >> HMMU_PAGE_LG2),
	};
}

static void displace_one(struct hmmu_live *l, const struct hmmu_lifted *run)
{
	struct hmmu_displaced *d = hmmu__alloc(sizeof(*d));

	/*
	 * Without memory the pages are lost with their old mapping, which in
	 * most cases is gone.
	 */
	if (!d) {
		hmmu__log(HMMU_LOG_ERROR,
			  "out of memory: device pages are lost");
		hmmu__core_lifted_drop(l->mm.space, run);
		return;
	}
	d->run = *run;
	d->next = l->displaced;
	l->displaced = d;
}

void hmmu__displace(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_lifted run;

	while (hmmu__core_lift(l->mm.space, start, end, &run)) {
		displace_one(l, &run);
		start = lifted_end(&run);
	}
}

/* Take the first part of an orphaned run that lies in [start, end). */
static bool displaced_take(struct hmmu_live *l, uintptr_t start, uintptr_t end,
			   struct hmmu_lifted *part)
{
	struct hmmu_displaced **p, *d;

	for (p = &l->displaced; (d = *p); p = &d->next) {
		struct hmmu_lifted run = d->run, rest;
		uintptr_t lo = hmmu_max(run.addr, start);
		uintptr_t hi = hmmu_min(lifted_end(&run), end);

		if (lo >= hi)
			continue;
		*p = d->next;
		hmmu__free(d, sizeof(*d));
		*part = lifted_part(&run, lo, hi);
		rest = lifted_part(&run, run.addr, lo);
		if (rest.pages)
			displace_one(l, &rest);
		rest = lifted_part(&run, hi, lifted_end(&run));
		if (rest.pages)
			displace_one(l, &rest);
		return true;
	}
	return false;
}

void hmmu__displaced_drop(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_lifted run;

	while (displaced_take(l, start, end, &run))
		hmmu__core_lifted_drop(l->mm.space, &run);
}

void hmmu__displaced_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
			   size_t bytes)
{
	struct hmmu_lifted run;

	while (displaced_take(l, from, from + bytes, &run))
		hmmu__core_land(l->mm.space, &run, to + (run.addr - from));
}
