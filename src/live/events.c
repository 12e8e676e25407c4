/* SPDX-License-Identifier: MIT */
/*
 * Events: what has become of a mapping that was changed behind the hooks.
 *
 * Applied by the service with the events lock held exclusively.
 */
#include "live/events.h"

#include <errno.h>

#include "base/log.h"
#include "base/sched.h"
#include "live/displaced.h"
#include "live/state.h"
#include "live/look.h"
#include "live/records.h"
#include "live/watch.h"

static void apply_change(struct hmmu_live *l, uintptr_t start, uintptr_t end,
			 enum hmmu_event event)
{
	struct hmmu_invalidate_call call = {
		.inv = { .start = start, .end = end, .event = event },
	};

	hmmu__core_invalidate_begin(l->mm.space, &call);
	hmmu__core_drop(l->mm.space, start, end);
	if (event == HMMU_EVENT_UNMAP)
		hmmu__watch_cut(l, start, end);
	/* The rest of a mapping may have nothing away any more. */
	hmmu__watch_release_exclusive(l, start ? start - 1 : 0, end + 1);
	hmmu__core_invalidate_end(l->mm.space, &call);
}

/* --- what is still to be told --------------------------------------------------- */

/*
 * The departure of what stood at an address may be told after what has come
 * there since:
 *
 *      one thread                          another
 *      munmap(R): the mapping is gone
 *                                          mremap(P) lands in R
 *                                          event: P moved to R
 *      event: R was unmapped
 *
 * Required: the second event does not drop what has landed. A record of ours
 * at R when the landing is told means that its end has not been: it is awaited.
 * The first unmapping told of such a page is the one that is awaited; if it was
 * the newer one after all, the other one does the same to the same pages.
 *
 * A move away is told by two events, a move and an unmapping. The first move
 * told of an awaited page is the older one, unless nothing is mapped there: then
 * what has landed has left, too.
 */
static void await_overlapped(struct hmmu_live *l, uintptr_t start,
			     uintptr_t end)
{
	uintptr_t lo, hi;

	for (; hmmu__watch_overlap(l, start, end, &lo, &hi); start = hi) {
		if (l->awaits == HMMU_AWAITED) {
			hmmu__log(HMMU_LOG_WARN,
				  "too many mappings change at once");
			return;
		}
		l->awaited[l->awaits++] = (struct hmmu_awaited){
			.start = lo,
			.end = hi,
		};
		if (hi >= end)
			return;
	}
}

/* The part of [at, end) that is awaited as a whole or not at all. */
static struct hmmu_awaited *awaited_at(struct hmmu_live *l, uintptr_t at,
				       uintptr_t *end)
{
	unsigned int i;

	for (i = 0; i < l->awaits; i++) {
		struct hmmu_awaited *w = &l->awaited[i];

		if (w->start <= at && at < w->end) {
			*end = w->end < *end ? w->end : *end;
			return w;
		}
		if (w->start > at && w->start < *end)
			*end = w->start;
	}
	return NULL;
}

/* [start, end) of @w has been told. */
static void awaited_told(struct hmmu_live *l, struct hmmu_awaited *w,
			 uintptr_t start, uintptr_t end)
{
	struct hmmu_awaited rest = *w;

	*w = l->awaited[--l->awaits];
	if (rest.start < start) {
		l->awaited[l->awaits] = rest;
		l->awaited[l->awaits++].end = start;
	}
	/* Two from one: without room the last part counts as told. */
	if (end < rest.end && l->awaits < HMMU_AWAITED) {
		l->awaited[l->awaits] = rest;
		l->awaited[l->awaits++].start = end;
	}
}

bool hmmu__events_awaited(const struct hmmu_live *l)
{
	return l->awaits > 0;
}

void hmmu__events_forget_awaited(struct hmmu_live *l)
{
	l->awaits = 0;
	hmmu__displaced_drop(l, 0, UINTPTR_MAX);
}

/* A move of the awaited [at, *end), all mapped or all not: is it the older? */
static bool move_is_older(struct hmmu_live *l, struct hmmu_awaited *w,
			  uintptr_t at, uintptr_t *end)
{
	struct hmmu_vma_info vma;
	bool mapped = !hmmu__live_describe_next(&l->mm, at, &vma);

	if (mapped && vma.start > at) {
		*end = vma.start < *end ? vma.start : *end;
		mapped = false;
	} else if (mapped) {
		*end = vma.end < *end ? vma.end : *end;
	}
	if (!mapped || w->move_told)
		return false;
	w->move_told = *end == w->end;
	return true;
}

/* A part of what moved away: of what stood there before a landing, or not. */
static void move_part(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		      size_t bytes, bool stale)
{
	if (stale)
		hmmu__displaced_moved(l, from, to, bytes);
	else
		hmmu__core_moved(l->mm.space, from, to, bytes);
}

/*
 * Something moved to where another mapping was a moment ago, and that one's
 * leaving may be told after this: its pages are put aside.
 */
static void apply_remap(struct hmmu_live *l, uintptr_t from, uintptr_t to,
			size_t bytes)
{
	struct hmmu_invalidate_call call = {
		.inv = { .start = from,
			 .end = from + bytes,
			 .event = HMMU_EVENT_UNMAP },
	};
	struct hmmu_invalidate_call over = {
		.inv = { .start = to,
			 .end = to + bytes,
			 .event = HMMU_EVENT_UNMAP },
	};
	struct hmmu_awaited *w;
	uintptr_t at, next;
	bool stale;

	/* What stood there is gone, whenever that is told. */
	hmmu__core_invalidate_begin(l->mm.space, &over);
	hmmu__displace(l, to, to + bytes);
	hmmu__core_invalidate_begin(l->mm.space, &call);
	for (at = from; at < from + bytes; at = next) {
		next = from + bytes;
		w = awaited_at(l, at, &next);
		stale = w && move_is_older(l, w, at, &next);
		move_part(l, at, to + (at - from), next - at, stale);
	}
	hmmu__core_invalidate_end(l->mm.space, &call);
	await_overlapped(l, to, to + bytes);
	hmmu__watch_moved(l, from, to, bytes);
	hmmu__core_invalidate_end(l->mm.space, &over);
}

static void apply_unmap(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_awaited *w;
	uintptr_t next;

	for (; start < end; start = next) {
		next = end;
		w = awaited_at(l, start, &next);
		if (!w) {
			apply_change(l, start, next, HMMU_EVENT_UNMAP);
			continue;
		}
		hmmu__displaced_drop(l, start, next);
		awaited_told(l, w, start, next);
	}
}

/* --- discards -------------------------------------------------------------------- */

/* So long the discard itself may come after its event was read. */
#define DISCARD_DELAY_NS 200000000ull

/*
 * A discard is told before it is made:
 *
 *      service                             program
 *                                          madvise(R, MADV_DONTNEED)
 *      event: R is discarded; read           goes on
 *      drops device pages of R
 *      somebody migrates R                   empties R
 *
 * Forbidden: a page that left between the two: it would come home with what was
 * to be discarded. Linux does not tell when the discard is over. So pages of R
 * stay for a time, unless a hook made the call: that one is an invalidation
 * under way, which migrations keep clear of.
 */
static void note_discard(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	uint64_t now = hmmu__sched_now_ns();
	struct hmmu_discard *d = &l->discard[0];
	unsigned int i;

	if (hmmu__core_is_clearing(l->mm.space, start, end))
		return;
	for (i = 0; i < HMMU_DISCARDS && d->until_ns > now; i++)
		d = &l->discard[i];
	/* No room: one range for two. */
	if (d->until_ns > now) {
		start = start < d->start ? start : d->start;
		end = end > d->end ? end : d->end;
	}
	d->start = start;
	d->end = end;
	d->until_ns = now + DISCARD_DELAY_NS;
}

static void apply_discard(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	note_discard(l, start, end);
	apply_change(l, start, end, HMMU_EVENT_CLEAR);
}

/* --- all ------------------------------------------------------------------------- */

void hmmu__event_apply(struct hmmu_live *l, const struct uffd_msg *msg)
{
	struct hmmu_mm_counters *c = &l->mm.counters;

	switch (msg->event) {
	case UFFD_EVENT_UNMAP:
		hmmu__count(&c->events_unmap, 1);
		apply_unmap(l, msg->arg.remove.start,
			    hmmu_round_up(msg->arg.remove.end,
					  HMMU_PAGE_BYTES));
		break;
	case UFFD_EVENT_REMOVE:
		hmmu__count(&c->events_remove, 1);
		apply_discard(l, msg->arg.remove.start,
			      hmmu_round_up(msg->arg.remove.end,
					    HMMU_PAGE_BYTES));
		break;
	case UFFD_EVENT_REMAP:
		hmmu__count(&c->events_remap, 1);
		/* Of no length: shared memory has got a second mapping. Nothing
		 * has left, and what stood there was told by itself. */
		if (msg->arg.remap.len)
			apply_remap(l, msg->arg.remap.from, msg->arg.remap.to,
				    hmmu_round_up(msg->arg.remap.len,
						  HMMU_PAGE_BYTES));
		break;
	default:
		hmmu__log(HMMU_LOG_WARN, "userfaultfd: unknown event %u",
			  (unsigned int)msg->event);
		break;
	}
}
