/* SPDX-License-Identifier: MIT */
/*
 * Events: what has become of a mapping that was changed behind the hooks.
 *
 * Applied by the service with the events lock held exclusively.
 */
#include <errno.h>

#include "base/log.h"
#include "live/live.h"

static void changed(struct hmmu_live *l, uintptr_t start, uintptr_t end,
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

static void awaiting_set(struct hmmu_live *l, bool is_awaiting)
{
	/* Relaxed: the service looks again. */
	atomic_store_explicit(&l->is_awaiting, is_awaiting,
			      memory_order_relaxed);
}

static void forget_unknown(struct hmmu_live *l)
{
	unsigned int i, n = 0;

	for (i = 0; i < l->awaits; i++)
		if (l->awaited[i].is_known)
			l->awaited[n++] = l->awaited[i];
	l->awaits = n;
}

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
 * Required: the second event does not drop what has landed. Until no change is
 * under way any more, the first unmapping told of a page where something has
 * landed is the one that is awaited.
 *
 * A record of ours at R when the landing is told means that somebody stood there,
 * whose end has not been told: if that unmapping was the newer one after all, the
 * other one does the same to the same pages. Without a record - what has grown
 * in place has none of that part - nobody may have been there:
 *
 *      one thread
 *      mremap(P) lands in R
 *      munmap(R)
 *
 * So when all is told the kernel is asked whether what landed is there still: it
 * is registered, and whoever has mapped R anew is not.
 *
 * A move away is told by two events, a move and an unmapping. The first move
 * told of an awaited page is the older one, unless nothing is mapped there: then
 * what has landed has left, too. Without a record it counts as the newer one until
 * the kernel can be asked; what is there still then is taken back.
 */
static void await_part(struct hmmu_live *l, uintptr_t start, uintptr_t end,
		       bool is_known)
{
	if (start >= end)
		return;
	if (l->awaits == HMMU_AWAITED && is_known)
		forget_unknown(l);
	if (l->awaits == HMMU_AWAITED) {
		hmmu__log(HMMU_LOG_WARN, "too many mappings change at once");
		return;
	}
	l->awaited[l->awaits++] = (struct hmmu_awaited){
		.start = start,
		.end = end,
		.is_known = is_known,
	};
	awaiting_set(l, false);
}

static void await(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	uintptr_t lo, hi;

	for (; start < end; start = hi) {
		if (!hmmu__watch_overlap(l, start, end, &lo, &hi))
			lo = hi = end;
		await_part(l, start, lo, false);
		await_part(l, lo, hi, true);
	}
}

/* The part of [at, *end) that is awaited as a whole or not at all. */
static struct hmmu_awaited *awaited_at(struct hmmu_live *l, uintptr_t at,
				       uintptr_t *end, bool is_known)
{
	unsigned int i;

	for (i = 0; i < l->awaits; i++) {
		struct hmmu_awaited *w = &l->awaited[i];

		if (w->is_known != is_known)
			continue;
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

/*
 * What landed in [start, end) may have been what was unmapped, or has moved to
 * @to. Without room it was.
 */
static void doubt(struct hmmu_live *l, uintptr_t start, uintptr_t end,
		  uintptr_t to)
{
	if (l->doubts < HMMU_DOUBTS) {
		l->doubt[l->doubts++] = (struct hmmu_doubt){ .start = start,
							     .end = end,
							     .to = to };
		return;
	}
	hmmu__log(HMMU_LOG_WARN, "too many mappings change at once");
	if (!to)
		changed(l, start, end, HMMU_EVENT_UNMAP);
}

/* Something else lands there: so what had landed before has moved away. */
static void doubts_end(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	unsigned int i, n = 0;

	for (i = 0; i < l->doubts; i++) {
		const struct hmmu_doubt *d = &l->doubt[i];

		if (!d->to || d->end <= start || d->start >= end)
			l->doubt[n++] = *d;
	}
	l->doubts = n;
}

/* What is at the start of @d, and to where: 0 or -EAGAIN. */
static int doubt_ask(struct hmmu_live *l, struct hmmu_doubt *d, uintptr_t *end)
{
	struct hmmu_vma_info vma;
	int is_there = 0;

	*end = d->end;
	if (!hmmu__live_describe_next(&l->mm, d->start, &vma)) {
		if (vma.start > d->start) {
			*end = hmmu_min(vma.start, d->end);
		} else {
			*end = hmmu_min(vma.end, d->end);
			is_there = hmmu__uffd_is_registered(l, d->start);
		}
	}
	d->is_there = is_there > 0;
	return is_there < 0 ? is_there : 0;
}

/* One for each mapping and each hole. False: something changes again. */
static bool doubts_ask(struct hmmu_live *l)
{
	uintptr_t end;
	unsigned int i;

	for (i = 0; i < l->doubts; i++) {
		struct hmmu_doubt *d = &l->doubt[i];
		struct hmmu_doubt rest = *d;

		if (doubt_ask(l, d, &end))
			return false;
		/* Without room the first part speaks for all. */
		if (end == d->end || l->doubts == HMMU_DOUBTS)
			continue;
		rest.start = end;
		rest.to += d->to ? end - d->start : 0;
		d->end = end;
		l->doubt[l->doubts++] = rest;
	}
	return true;
}

/* What is there still has not moved to @m's place. */
static void take_back(struct hmmu_live *l, const struct hmmu_doubt *m,
		      uintptr_t start, uintptr_t end)
{
	uintptr_t to = m->to + (start - m->start);
	struct hmmu_invalidate_call call = {
		.inv = { .start = to,
			 .end = to + (end - start),
			 .event = HMMU_EVENT_UNMAP },
	};

	hmmu__core_invalidate_begin(l->mm.space, &call);
	hmmu__core_moved(l->mm.space, to, start, end - start);
	hmmu__core_invalidate_end(l->mm.space, &call);
}

/*
 * It was the older one only if that has been told to be unmapped, too: else it is
 * what landed, and left its mapping there (MREMAP_DONTUNMAP).
 */
static void move_settle(struct hmmu_live *l, const struct hmmu_doubt *m)
{
	unsigned int i;

	for (i = 0; i < l->doubts; i++) {
		const struct hmmu_doubt *d = &l->doubt[i];
		uintptr_t start = hmmu_max(d->start, m->start);
		uintptr_t end = hmmu_min(d->end, m->end);

		if (!d->to && start < end)
			take_back(l, m, start, end);
	}
}

/* Moves first: where they went may have been unmapped. */
static void doubts_settle(struct hmmu_live *l)
{
	unsigned int i;

	for (i = 0; i < l->doubts; i++)
		if (l->doubt[i].to && l->doubt[i].is_there)
			move_settle(l, &l->doubt[i]);
	for (i = 0; i < l->doubts; i++)
		if (!l->doubt[i].to && !l->doubt[i].is_there)
			changed(l, l->doubt[i].start, l->doubt[i].end,
				HMMU_EVENT_UNMAP);
	l->doubts = 0;
}

/* Nobody can say: what was told last counts. */
static void doubts_drop(struct hmmu_live *l)
{
	unsigned int i;

	for (i = 0; i < l->doubts; i++)
		l->doubt[i].is_there = false;
	doubts_settle(l);
}

static bool is_known_awaited(const struct hmmu_live *l)
{
	unsigned int i;

	for (i = 0; i < l->awaits; i++)
		if (l->awaited[i].is_known)
			return true;
	return false;
}

/* So long a thread that made a change may take to tell it. */
#define AWAITED_NS 2000000000ull
/* And so long everybody waits for the chance that all has been told. */
#define PERHAPS_NS 1000000ull

bool hmmu__events_awaited(const struct hmmu_live *l)
{
	return l->awaits || l->doubts;
}

uint64_t hmmu__events_patience_ns(const struct hmmu_live *l)
{
	if (l->doubts || is_known_awaited(l))
		return AWAITED_NS;
	/* Relaxed: under the same lock. Once for all that are not known. */
	return atomic_load_explicit(&l->is_awaiting, memory_order_relaxed) ?
		       0 :
		       PERHAPS_NS;
}

static void forget_all(struct hmmu_live *l)
{
	l->awaits = 0;
	hmmu__core_displaced_drop(l->mm.space, 0, UINTPTR_MAX);
	awaiting_set(l, false);
}

bool hmmu__events_settled(struct hmmu_live *l)
{
	if (!doubts_ask(l))
		return false;
	doubts_settle(l);
	forget_all(l);
	return true;
}

/* Where perhaps nobody is awaited he is so for longer: it holds up nobody. */
void hmmu__events_unsettled(struct hmmu_live *l)
{
	if (l->doubts || is_known_awaited(l)) {
		hmmu__log(HMMU_LOG_WARN, "mappings change all the time");
		doubts_drop(l);
		forget_all(l);
	} else {
		awaiting_set(l, true);
	}
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
static void part_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		       size_t bytes, bool stale)
{
	if (stale)
		hmmu__core_displaced_moved(l->mm.space, from, to, bytes);
	else
		hmmu__core_moved(l->mm.space, from, to, bytes);
}

/*
 * Something moved to where another mapping was a moment ago, and that one's
 * leaving may be told after this: its pages are put aside.
 */
static void moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
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
	hmmu__core_displace(l->mm.space, to, to + bytes);
	doubts_end(l, to, to + bytes);
	hmmu__core_invalidate_begin(l->mm.space, &call);
	if (hmmu__live_copies(l))
		hmmu__copy_moved(l, from, to, bytes);
	for (at = from; at < from + bytes; at = next) {
		next = from + bytes;
		w = awaited_at(l, at, &next, true);
		stale = w && move_is_older(l, w, at, &next);
		if (!w && awaited_at(l, at, &next, false))
			doubt(l, at, next, to + (at - from));
		part_moved(l, at, to + (at - from), next - at, stale);
	}
	hmmu__core_invalidate_end(l->mm.space, &call);
	await(l, to, to + bytes);
	hmmu__watch_moved(l, from, to, bytes);
	hmmu__core_invalidate_end(l->mm.space, &over);
}

static void unmapped(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_awaited *w;
	uintptr_t next;

	for (; start < end; start = next) {
		next = end;
		w = awaited_at(l, start, &next, true);
		if (!w)
			w = awaited_at(l, start, &next, false);
		if (!w) {
			changed(l, start, next, HMMU_EVENT_UNMAP);
			continue;
		}
		hmmu__core_displaced_drop(l->mm.space, start, next);
		if (!w->is_known)
			doubt(l, start, next, 0);
		awaited_told(l, w, start, next);
	}
}

/* --- discards -------------------------------------------------------------------- */

/* So long the discard itself may come after its event was read. */
#define DISCARD_NS 200000000ull

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
static void discard_remember(struct hmmu_live *l, uintptr_t start,
			     uintptr_t end)
{
	uint64_t now = hmmu__sys_clock_ns();
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
	d->until_ns = now + DISCARD_NS;
}

static void discarded(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	discard_remember(l, start, end);
	changed(l, start, end, HMMU_EVENT_CLEAR);
}

static uintptr_t page_up(uintptr_t addr)
{
	return (addr + HMMU_PAGE_BYTES - 1) & ~(HMMU_PAGE_BYTES - 1);
}

/* --- all ------------------------------------------------------------------------- */

void hmmu__event_apply(struct hmmu_live *l, const struct uffd_msg *msg)
{
	struct hmmu_counters *c = &l->mm.space->counters;

	switch (msg->event) {
	case UFFD_EVENT_UNMAP:
		hmmu__count(&c->events_unmap, 1);
		unmapped(l, msg->arg.remove.start,
			 page_up(msg->arg.remove.end));
		break;
	case UFFD_EVENT_REMOVE:
		hmmu__count(&c->events_remove, 1);
		discarded(l, msg->arg.remove.start,
			  page_up(msg->arg.remove.end));
		break;
	case UFFD_EVENT_REMAP:
		hmmu__count(&c->events_remap, 1);
		/* Of no length: shared memory has got a second mapping. Nothing
		 * has left, and what stood there was told by itself. */
		if (msg->arg.remap.len)
			moved(l, msg->arg.remap.from, msg->arg.remap.to,
			      page_up(msg->arg.remap.len));
		break;
	default:
		hmmu__log(HMMU_LOG_WARN, "userfaultfd: unknown event %u",
			  (unsigned int)msg->event);
		break;
	}
}
