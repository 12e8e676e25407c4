/* SPDX-License-Identifier: MIT */
/*
 * Apply an event: the program's mapping was changed without a hook
 *
 * Locking: the service holds the events lock exclusively. Block locks and the
 * watch lock are taken inside.
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
	/* The rest of the mapping may have no device page any more. */
	hmmu__watch_release_exclusive(l, start ? start - 1 : 0, end + 1);
	hmmu__core_invalidate_end(l->mm.space, &call);
}

/* --- pending events ----------------------------------------------------------- */

/*
 * The unmap or remap event of an old mapping may be read after the event of a
 * mapping that came to its address later:
 *
 *	one thread                          another
 *	munmap(R): the mapping is gone
 *	                                    mremap(P) moves P to R
 *	                                    event: P moved to R
 *	event: R was unmapped
 *
 * Required: the second event does not drop the pages of the newer mapping. If R
 * still has a record when the event of the move to R is applied, the end of the
 * old mapping is pending: R is awaited. The first unmap event of such a page
 * counts as the awaited one. If it belonged to the newer mapping after all, the
 * other event does the same to the same pages.
 *
 * A move away raises two events, remap and unmap. The first remap event of an
 * awaited page belongs to the older mapping, unless nothing is mapped there:
 * then the newer one has moved away, too.
 */
static void await_overlapped(struct hmmu_live *l, uintptr_t start,
			     uintptr_t end)
{
	uintptr_t lo, hi;

	for (; hmmu__watch_overlap(l, start, end, &lo, &hi); start = hi) {
		if (l->awaits == HMMU_AWAITED) {
			hmmu__log(HMMU_LOG_WARN,
				  "too many unmap events are pending");
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

/*
 * The awaited range that has @at, or NULL. *@end is clipped so that [at, *end)
 * is awaited as a whole or not at all.
 */
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

/* The event of [start, end), a part of @w, has arrived. */
static void awaited_told(struct hmmu_live *l, struct hmmu_awaited *w,
			 uintptr_t start, uintptr_t end)
{
	struct hmmu_awaited rest = *w;

	*w = l->awaited[--l->awaits];
	if (rest.start < start) {
		l->awaited[l->awaits] = rest;
		l->awaited[l->awaits++].end = start;
	}
	/*
	 * A cut makes two ranges of one. Without room the last is no longer
	 * awaited.
	 */
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

/*
 * True if the move of the awaited range [at, *end) is one of the older mapping.
 * *@end is clipped so that the range is all mapped or all not.
 */
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

/* A part has moved away. @stale: it is a part of the older mapping. */
static void move_part(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		      size_t bytes, bool stale)
{
	if (stale)
		hmmu__displaced_moved(l, from, to, bytes);
	else
		hmmu__core_moved(l->mm.space, from, to, bytes);
}

/*
 * A mapping has moved to an address whose old mapping may still have an event
 * pending: put the old mapping's device pages aside.
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

	/*
	 * The old mapping there is gone, whether its event has arrived or not.
	 */
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

/* Longest time from the event of a discard to the discard itself. */
#define DISCARD_DELAY_NS 200000000ull

/*
 * The event of a discard is sent before the discard:
 *
 *	service                             program
 *	                                    madvise(R, MADV_DONTNEED)
 *	event: R is discarded; read           continues
 *	drops device pages of R
 *	another thread migrates R             empties R
 *
 * Forbidden: a page migrates between the two: it would come back with the
 * content that was to be discarded. Linux does not report the end of the
 * discard. So pages of R stay for a while, unless a hook made the call: then
 * its invalidation is still active, and migrations wait for that.
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
	/* No room: merge two ranges. */
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

/* --- the switch --------------------------------------------------------------- */

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
		/*
		 * Length 0: shared memory got a second mapping. Nothing has
		 * moved away, and the old mapping at the address has an event
		 * of its own.
		 */
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
