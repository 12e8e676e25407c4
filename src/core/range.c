/* SPDX-License-Identifier: MIT */
/*
 * Range fault and snapshot (contract 1.1).
 */
#include <errno.h>

#include <hmmu/range.h>

#include "base/sched.h"
#include "base/sized.h"
#include "core/view.h"

/* RF4, RF6: what is asked of a page. */
static uint64_t page_request(const struct hmmu_range *r, uint64_t in)
{
	uint64_t req = (in & r->entry_mask) | r->default_flags;

	if (!(req & HMMU_ENTRY_REQ_FAULT))
		return 0;
	return req & (HMMU_ENTRY_REQ_FAULT | HMMU_ENTRY_REQ_WRITE);
}

/* RF8. */
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

	/* RF13, RF14: an error if asked for, else a mark, and on it goes. */
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

/* One page that does not have what is asked of it yet. */
struct want {
	uintptr_t addr;
	uint64_t request;
};

/*
 * Pages whose write fault succeeded are writable, whatever the snapshot could
 * tell of them. [@start, @end) was faulted; @now begins at @start.
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

/* An exclusive page, even one's own, is not present (RF22). */
static int view_part(const struct hmmu_range *r,
		     const struct hmmu_vma_info *vma, uintptr_t start,
		     uintptr_t end, uint64_t *entries)
{
	const struct hmmu_view view = { .owner = r->owner };

	return hmmu__view_entries(r->notifier->space, &view, vma, start, end,
				  entries);
}

/*
 * Looks at a part of at most one block. Without requests the entries go
 * straight to the caller. With some, into @now first: the caller's entries
 * still hold the requests. [@start, @written) was faulted as was asked.
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

/* The run of pages from @addr that ask for the same (RF34). */
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
 * One part of at most a block with requests in it: look, fault what is wanted,
 * look again. Each page is faulted once; what is not there then is lost to a
 * change that runs beside us, and the caller begins again.
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
			/* Faulted for writing, and the kernel can not say so. */
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

/* The part of one mapping: whole for a snapshot, by blocks else. */
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

	/* What was changed by a call that has returned is recorded. */
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
