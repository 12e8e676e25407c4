/* SPDX-License-Identifier: MIT */
/*
 * Range fault and snapshot (contract 1.1).
 */
#include <errno.h>

#include <hmmu/range.h>

#include "base/arena.h"
#include "base/sized.h"
#include "base/sys.h"
#include "core/residency.h"
#include "memory/pool.h"

static uint64_t where(unsigned int w, uint32_t index)
{
	return (uint64_t)w << HMMU_ENTRY_WHERE_SHIFT |
	       (uint64_t)index << HMMU_ENTRY_INDEX_SHIFT;
}

static uint64_t device_entry(const struct hmmu_block *b,
			     const struct hmmu_place *p, bool write)
	HMMU_REQUIRES(&b->lock)
{
	unsigned int w = p->memory->kind == HMMU_MEMORY_EXCLUSIVE ?
				 HMMU__WHERE_EXCLUSIVE :
				 HMMU_WHERE_DEVICE;
	uint64_t e = HMMU_ENTRY_VALID | where(w, p->page);

	if (write)
		e |= HMMU_ENTRY_WRITE;
	if (hmmu__block_is_large(b))
		e |= (uint64_t)(HMMU_LARGE_LG2 - HMMU_PAGE_LG2)
		     << HMMU_ENTRY_ORDER_SHIFT;
	return e;
}

/* A held page as @view sees it: 0 for one that is away and not to be seen. */
static uint64_t held_entry(const struct hmmu_block *b, unsigned int page,
			   const struct hmmu_view *view, bool write)
	HMMU_REQUIRES(&b->lock)
{
	struct hmmu_place p = hmmu__block_place(b, page);
	bool own = p.memory->owner == view->owner;

	switch (p.memory->kind) {
	case HMMU_MEMORY_COHERENT:
		return where(own ? HMMU_WHERE_COHERENT :
				   HMMU_WHERE_COHERENT_OTHER,
			     p.page);
	case HMMU_MEMORY_EXCLUSIVE:
		own = own && view->exclusive;
		break;
	default:
		break;
	}
	return own ? device_entry(b, &p, write) : 0;
}

/* A coherent page is what the kernel says it is, but for where it is (DC2). */
static uint64_t coherent_entry(uint64_t system, uint64_t held)
{
	const uint64_t place = HMMU_ENTRY_WHERE |
			       ~0ull << HMMU_ENTRY_INDEX_SHIFT;

	return system & HMMU_ENTRY_VALID ? (system & ~place) | held : system;
}

/*
 * Of a large page only some pages are in a coherent memory, or here and there:
 * it is one page to the CPU and none to the device. Its order goes, as if it
 * had been split.
 */
static bool is_mixed(const struct hmmu_block *b) HMMU_REQUIRES(&b->lock)
{
	if (hmmu__bitmap_is_equal(&b->held, &b->away))
		return false;
	return !hmmu__bitmap_is_full(&b->held) || b->scattered || b->is_split ||
	       b->first % HMMU_PAGES_PER_LARGE;
}

/*
 * The caller's array may itself be away: it is not written under the lock, so
 * the block's entries are made in @tmp first.
 */
static void block_overlay(struct hmmu_block *b, const struct hmmu_view *view,
			  bool write, uintptr_t start, uintptr_t end,
			  uint64_t *entries, uint64_t *tmp)
{
	struct hmmu_bitmap512 held, away;
	unsigned int first, stop, i;
	bool mixed;

	if (!atomic_load_explicit(&b->held_pages, memory_order_acquire))
		return;
	hmmu__block_clip(b, start, end, &first, &stop);
	hmmu__block_lock(b);
	held = b->held;
	away = b->away;
	mixed = is_mixed(b);
	for (i = first; i < stop; i++)
		if (hmmu__bitmap_test(&held, i))
			tmp[i] = held_entry(b, i, view, write);
	hmmu__block_unlock(b);
	for (i = first; i < stop; i++) {
		uint64_t *e = &entries[(hmmu__block_addr(b, i) - start) >>
				       HMMU_PAGE_LG2];

		if (hmmu__bitmap_test(&away, i))
			*e = (*e & HMMU_ENTRY_STICKY) | tmp[i];
		else if (hmmu__bitmap_test(&held, i))
			*e = coherent_entry(*e, tmp[i]);
		if (mixed)
			*e &= ~HMMU_ENTRY_ORDER;
	}
}

int hmmu__entries_fill(struct hmmu_space *space, const struct hmmu_view *view,
		       const struct hmmu_vma_info *vma, uintptr_t start,
		       uintptr_t end, uint64_t *entries)
{
	uint64_t tmp[HMMU_PAGES_PER_LARGE];
	struct hmmu_block *b;
	int err;

	err = space->mm->ops->snapshot(space->mm, vma, start, end, entries);
	if (err)
		return err;
	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		block_overlay(b, view, vma->flags & HMMU_VMA_WRITE, start, end,
			      entries, tmp);
	}
	return 0;
}

int hmmu__vma_check(const struct hmmu_vma_info *vma, bool write)
{
	if (vma->flags & HMMU_VMA_SPECIAL || !(vma->flags & HMMU_VMA_READ))
		return -EFAULT;
	if (write && !(vma->flags & HMMU_VMA_WRITE))
		return -EPERM;
	return 0;
}

/* RF4, RF6: what is asked of a page. */
static uint64_t request_of(const struct hmmu_range *r, uint64_t in)
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

static size_t slot(const struct hmmu_range *r, uintptr_t addr)
{
	return (addr - r->start) >> HMMU_PAGE_LG2;
}

static bool any_requested(const struct hmmu_range *r, uintptr_t start,
			  uintptr_t end)
{
	size_t i;

	if (is_snapshot(r))
		return false;
	for (i = slot(r, start); i < slot(r, end); i++)
		if (request_of(r, r->entries[i]))
			return true;
	return false;
}

static int part_error(struct hmmu_range *r, uintptr_t start, uintptr_t end)
{
	size_t i;

	/* RF13, RF14: an error if asked for, else a mark, and on it goes. */
	if (any_requested(r, start, end))
		return -EFAULT;
	for (i = slot(r, start); i < slot(r, end); i++)
		r->entries[i] = (r->entries[i] & HMMU_ENTRY_STICKY) |
				HMMU_ENTRY_ERROR;
	return 0;
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
	size_t first = slot(r, start);
	size_t i;

	for (i = 0; i < (end - start) >> HMMU_PAGE_LG2; i++)
		if (now[i] & HMMU_ENTRY_VALID &&
		    request_of(r, r->entries[first + i]) & HMMU_ENTRY_REQ_WRITE)
			now[i] |= HMMU_ENTRY_WRITE;
}

/* An exclusive page, even one's own, is not present (RF22). */
static int entries_fill(const struct hmmu_range *r,
			const struct hmmu_vma_info *vma, uintptr_t start,
			uintptr_t end, uint64_t *entries)
{
	const struct hmmu_view view = { .owner = r->owner };

	return hmmu__entries_fill(r->notifier->space, &view, vma, start, end,
				  entries);
}

/*
 * Looks at a part of at most one block. Without requests the entries go
 * straight to the caller. With some, into @now first: the caller's entries
 * still hold the requests. [@start, @written) was faulted as was asked.
 */
static int look(const struct hmmu_range *r, const struct hmmu_vma_info *vma,
		uintptr_t start, uintptr_t end, uintptr_t written,
		uint64_t *now, struct want *want)
{
	size_t n = (end - start) >> HMMU_PAGE_LG2;
	size_t i;
	int err;

	want->request = 0;
	err = entries_fill(r, vma, start, end, now);
	if (!err)
		mark_written(r, now, start, written);
	for (i = 0; i < n && !err; i++) {
		uint64_t in = r->entries[slot(r, start) + i];
		uint64_t req = request_of(r, in);

		now[i] |= in & HMMU_ENTRY_STICKY;
		/* RF20: an owned device page is never faulted. */
		if (!req ||
		    hmmu__entry_satisfies(now[i], req & HMMU_ENTRY_REQ_WRITE))
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

	while (at < end && request_of(r, r->entries[slot(r, at)]) == w->request)
		at += HMMU_PAGE_BYTES;
	return at;
}

static bool collided(const struct hmmu_range *r)
{
	return hmmu__notifier_retry(r->notifier, r->seq);
}

/*
 * One part of at most a block with requests in it: look, fault what is wanted,
 * look again. Each page is faulted once; what is not there then is lost to a
 * change that runs beside us, and the caller begins again.
 */
static int part_fault(struct hmmu_range *r, const struct hmmu_vma_info *vma,
		      uintptr_t start, uintptr_t end)
{
	struct hmmu_mm *mm = r->notifier->space->mm;
	uint64_t now[HMMU_PAGES_PER_LARGE] = { 0 };
	uintptr_t written = start, done = start, stop;
	struct want w;
	size_t i;
	int err;

	for (;;) {
		if (collided(r))
			return -EBUSY;
		err = look(r, vma, start, end, written, now, &w);
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
		r->entries[slot(r, start) + i] = now[i];
	return 0;
}

static int part_snapshot(struct hmmu_range *r, const struct hmmu_vma_info *vma,
			 uintptr_t start, uintptr_t end)
{
	if (collided(r))
		return -EBUSY;
	return entries_fill(r, vma, start, end, &r->entries[slot(r, start)]);
}

static uintptr_t least(uintptr_t a, uintptr_t b)
{
	return a < b ? a : b;
}

/* The part of one mapping: whole for a snapshot, by blocks else. */
static int vma_part(struct hmmu_range *r, const struct hmmu_vma_info *vma,
		    uintptr_t start, uintptr_t end)
{
	uintptr_t next;
	int err = 0;

	if (hmmu__vma_check(vma, false))
		return part_error(r, start, end);
	if (is_snapshot(r))
		return part_snapshot(r, vma, start, end);
	for (; start < end && !err; start = next) {
		next = least(end, (start | (HMMU_LARGE_BYTES - 1)) + 1);
		if (any_requested(r, start, next))
			err = part_fault(r, vma, start, next);
		else
			err = part_snapshot(r, vma, start, next);
	}
	return err;
}

static int range_walk(struct hmmu_range *r)
{
	struct hmmu_mm *mm = r->notifier->space->mm;
	struct hmmu_vma_info vma;
	uintptr_t at = r->start, to;
	int err = 0, watched;

	/* What was changed by a call that has returned is recorded. */
	mm->ops->events_wait(mm);
	while (at < r->end && !err) {
		if (collided(r))
			return -EBUSY;
		if (mm->ops->describe_next(mm, at, &vma))
			return part_error(r, at, r->end);
		if (vma.start > at) {
			to = least(vma.start, r->end);
			err = part_error(r, at, to);
		} else {
			/* Watched from here on; what was looked up may have
			 * changed just before: look again. */
			watched = mm->ops->watch(mm, &vma);
			if (watched > 0)
				continue;
			if (watched == -EAGAIN)
				return -EBUSY;
			if (watched == -ENOMEM)
				return watched;
			to = least(vma.end, r->end);
			/* Out of a device's reach (design.md 4.1). */
			if (hmmu__arena_overlaps(at, to))
				err = part_error(r, at, to);
			else
				err = vma_part(r, &vma, at, to);
		}
		at = to;
	}
	return err;
}

static bool is_covered(const struct hmmu_range *r)
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
	    !hmmu__range_is_valid(r->start, r->end) || !is_covered(r))
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
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	hmmu__core_break_own(r.notifier->space);
	err = range_walk(&r);
	hmmu__leave(self);
	return err;
}

int hmmu_range_fault_unlocked(struct hmmu_range *range, uint64_t timeout_ns)
{
	uint64_t begun = hmmu__sys_clock_ns();
	struct hmmu_range r;
	int err;

	err = range_check(range, &r);
	if (err)
		return err;
	do {
		range->seq = hmmu_notifier_read_begin(r.notifier);
		err = hmmu_range_fault(range);
	} while (err == -EBUSY &&
		 (!timeout_ns || hmmu__sys_clock_ns() - begun < timeout_ns));
	return err;
}
