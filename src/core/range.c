/* SPDX-License-Identifier: MIT */
/*
 * Range fault and snapshot (contract 1.1)
 *
 * Overview: without requests, the entries of a mapping are read once. With
 * requests, each part of at most one block is read, its missing pages are
 * faulted in, and it is read again.
 *
 * Locking: the caller holds no lock. The block locks are taken to read entries.
 * None is held while pages are faulted in, or while the caller's entries, which
 * are the program's memory, are written.
 *
 * Not supported: retrying inside the call. When the notifier's sequence has
 * changed, hmmu_range_fault() returns -EBUSY. hmmu_range_fault_unlocked()
 * retries.
 */
#include <errno.h>

#include <hmmu/range.h>

#include "base/sched.h"
#include "base/sized.h"
#include "core/view.h"

/* Returns the request for a page (RF4, RF6). */
static uint64_t page_request(const struct hmmu_range *r, uint64_t in)
{
	uint64_t req = (in & r->entry_mask) | r->default_flags;

	if (!(req & HMMU_ENTRY_REQ_FAULT))
		return 0;
	return req & (HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE);
}

/* True if no entry can have a request (RF8). */
static bool is_snapshot(const struct hmmu_range *r)
{
	return !((r->default_flags | r->entry_mask) & HMMU_ENTRY_REQ_FAULT);
}

static size_t entry_slot(const struct hmmu_range *r, uintptr_t addr)
{
	return (addr - r->start) >> HMMU_PAGE_LG2;
}

static bool any_requested(const struct hmmu_range *r, uintptr_t start,
			  uintptr_t end)
{
	size_t i;

	if (is_snapshot(r))
		return false;
	for (i = entry_slot(r, start); i < entry_slot(r, end); i++)
		if (page_request(r, r->entries[i]))
			return true;
	return false;
}

static int mark_part_error(struct hmmu_range *r, uintptr_t start, uintptr_t end)
{
	size_t i;

	/* A requested page fails the call; others get a mark (RF13, RF14). */
	if (any_requested(r, start, end))
		return -EFAULT;
	for (i = entry_slot(r, start); i < entry_slot(r, end); i++)
		r->entries[i] = (r->entries[i] & HMMU_ENTRY_STICKY) |
				HMMU_ENTRY_ERROR;
	return 0;
}

static bool entry_satisfies(uint64_t entry, uint64_t request)
{
	return entry & HMMU_ENTRY_VALID &&
	       (!(request & HMMU_ENTRY_REQ_WRITE) || entry & HMMU_ENTRY_WRITE);
}

/* A page that does not satisfy its request yet. */
struct want {
	uintptr_t addr;
	uint64_t request;
};

/*
 * Linux does not show whether a page-table entry is writable. A page is, right
 * after a write fault on it has succeeded. [@start, @end) was faulted; @now
 * begins at @start.
 */
static void mark_written(const struct hmmu_range *r, uint64_t *now,
			 uintptr_t start, uintptr_t end)
{
	size_t first = entry_slot(r, start);
	size_t i;

	for (i = 0; i < (end - start) >> HMMU_PAGE_LG2; i++)
		if (now[i] & HMMU_ENTRY_VALID &&
		    page_request(r, r->entries[first + i]) &
			    HMMU_ENTRY_REQ_WRITE)
			now[i] |= HMMU_ENTRY_WRITE;
}

/* An exclusive page is not present, not even for its owner (RF22). */
static int view_part(const struct hmmu_range *r,
		     const struct hmmu_vma_info *vma, uintptr_t start,
		     uintptr_t end, uint64_t *entries)
{
	const struct hmmu_view view = { .owner = r->owner };

	return hmmu__view_entries(r->notifier->space, &view, vma, start, end,
				  entries);
}

/*
 * Reads a part of at most one block into @now, because the caller's entries
 * still have the requests. @want becomes the first page that does not satisfy
 * its request. The requests of [@start, @written) have been faulted.
 */
static int snapshot_part(const struct hmmu_range *r,
			 const struct hmmu_vma_info *vma, uintptr_t start,
			 uintptr_t end, uintptr_t written, uint64_t *now,
			 struct want *want)
{
	size_t n = (end - start) >> HMMU_PAGE_LG2;
	size_t i;
	int err;

	want->request = 0;
	err = view_part(r, vma, start, end, now);
	if (!err)
		mark_written(r, now, start, written);
	for (i = 0; i < n && !err; i++) {
		uint64_t in = r->entries[entry_slot(r, start) + i];
		uint64_t req = page_request(r, in);

		now[i] |= in & HMMU_ENTRY_STICKY;
		/* RF20: an owned device page is never faulted. */
		if (!req || entry_satisfies(now[i], req))
			continue;
		if (now[i] & HMMU_ENTRY_VALID &&
		    hmmu_entry_where(now[i]) == HMMU_WHERE_DEVICE)
			continue;
		want->addr = start + (i << HMMU_PAGE_LG2);
		want->request = req;
		break;
	}
	return err;
}

/* Returns the end of the pages from @w->addr on with one request (RF34). */
static uintptr_t want_end(const struct hmmu_range *r, const struct want *w,
			  uintptr_t end)
{
	uintptr_t at = w->addr + HMMU_PAGE_BYTES;

	while (at < end &&
	       page_request(r, r->entries[entry_slot(r, at)]) == w->request)
		at += HMMU_PAGE_BYTES;
	return at;
}

static bool has_collided(const struct hmmu_range *r)
{
	return hmmu__notifier_retry(r->notifier, r->seq);
}

/*
 * Faults a part of at most one block. Each page is faulted once. If it is
 * missing afterwards, a concurrent change has removed it, and the caller
 * retries.
 */
static int fault_part(struct hmmu_range *r, const struct hmmu_vma_info *vma,
		      uintptr_t start, uintptr_t end)
{
	struct hmmu_mm *mm = r->notifier->space->mm;
	uint64_t now[HMMU_PAGES_PER_LARGE] = { 0 };
	uintptr_t written = start, done = start, stop;
	struct want w;
	size_t i;
	int err;

	for (;;) {
		if (has_collided(r))
			return -EBUSY;
		err = snapshot_part(r, vma, start, end, written, now, &w);
		if (err)
			return err;
		if (!w.request)
			break;
		if (w.addr < done && !(w.request & HMMU_ENTRY_REQ_WRITE))
			return -EBUSY;
		err = hmmu__vma_check(vma, w.request & HMMU_ENTRY_REQ_WRITE);
		if (err)
			return err;
		if (w.addr < done) {
			/* The write fault succeeded; Linux does not show it. */
			written = done;
			done = w.addr;
			continue;
		}
		stop = want_end(r, &w, end);
		err = mm->ops->fault_in(mm, w.addr, stop,
					w.request & HMMU_ENTRY_REQ_WRITE);
		if (err)
			return err;
		done = stop;
	}
	for (i = 0; i < (end - start) >> HMMU_PAGE_LG2; i++)
		r->entries[entry_slot(r, start) + i] = now[i];
	return 0;
}

static int snapshot_to_caller(struct hmmu_range *r,
			      const struct hmmu_vma_info *vma, uintptr_t start,
			      uintptr_t end)
{
	if (has_collided(r))
		return -EBUSY;
	return view_part(r, vma, start, end, &r->entries[entry_slot(r, start)]);
}

/* Fills the entries of one mapping: at once without requests, else by block. */
static int fill_vma_part(struct hmmu_range *r, const struct hmmu_vma_info *vma,
			 uintptr_t start, uintptr_t end)
{
	uintptr_t next;
	int err = 0;

	if (hmmu__vma_check(vma, false))
		return mark_part_error(r, start, end);
	if (is_snapshot(r))
		return snapshot_to_caller(r, vma, start, end);
	for (; start < end && !err; start = next) {
		next = hmmu_min(end, (start | (HMMU_LARGE_BYTES - 1)) + 1);
		if (any_requested(r, start, next))
			err = fault_part(r, vma, start, next);
		else
			err = snapshot_to_caller(r, vma, start, next);
	}
	return err;
}

static int walk_range(struct hmmu_range *r)
{
	struct hmmu_mm *mm = r->notifier->space->mm;
	struct hmmu_vma_info vma;
	uintptr_t at = r->start, to;
	int err = 0, watched;

	/* Changes of calls that have returned must be recorded from here on. */
	mm->ops->sync(mm, 0);
	while (at < r->end && !err) {
		if (has_collided(r))
			return -EBUSY;
		if (mm->ops->next_vma(mm, at, &vma))
			return mark_part_error(r, at, r->end);
		if (vma.start > at) {
			to = hmmu_min(vma.start, r->end);
			err = mark_part_error(r, at, to);
		} else {
			watched = mm->ops->watch(mm, &vma);
			if (watched == -EAGAIN)
				return -EBUSY;
			if (watched == -ENOMEM)
				return watched;
			to = hmmu_min(vma.end, r->end);
			err = fill_vma_part(r, &vma, at, to);
		}
		at = to;
	}
	return err;
}

static bool is_in_subscription(const struct hmmu_range *r)
{
	return r->start >= r->notifier->node.start &&
	       r->end - 1 <= r->notifier->node.last;
}

static int range_check(const struct hmmu_range *in, struct hmmu_range *r)
{
	const uint64_t req = HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE;
	int err;

	if (!in)
		return -EINVAL;
	err = hmmu__copy_sized(r, sizeof(*r), sizeof(*r), in);
	if (err)
		return err;
	if (!r->notifier || !r->entries || r->default_flags & ~req ||
	    !hmmu__range_is_valid(r->start, r->end) || !is_in_subscription(r))
		return -EINVAL;
	return hmmu__space_is_usable(r->notifier->space) ? 0 : -ECHILD;
}

int hmmu_range_fault(struct hmmu_range *range)
{
	struct hmmu_thread *self;
	struct hmmu_range r;
	int err;

	err = range_check(range, &r);
	if (err)
		return err;
	err = hmmu__space_enter_to_wait(r.notifier->space, &self);
	if (err)
		return err;
	err = walk_range(&r);
	hmmu__leave(self);
	return err;
}

int hmmu_range_fault_unlocked(struct hmmu_range *range, uint64_t timeout_ns)
{
	uint64_t begun = hmmu__sched_now_ns();
	struct hmmu_range r;
	int err;

	err = range_check(range, &r);
	if (err)
		return err;
	do {
		range->seq = hmmu_notifier_read_begin(r.notifier);
		err = hmmu_range_fault(range);
	} while (err == -EBUSY &&
		 (!timeout_ns || hmmu__sched_now_ns() - begun < timeout_ns));
	return err;
}
