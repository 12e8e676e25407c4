/* SPDX-License-Identifier: MIT */
/*
 * Watch and arm mappings: register them with the userfaultfd
 *
 * Overview: whole mappings are registered, never parts. Registering a part
 * splits the mapping, and then the program's own mremap fails (E3). A watched
 * mapping is registered for write protection, which is never used there: its
 * page faults and large pages are as before, and its changes raise events. An
 * armed mapping is registered for missing pages.
 *
 * A record has what was registered; only the kernel knows what is registered
 * now. A mapping that has grown or merged since is registered again as a whole
 * the next time, and gets one record.
 *
 * Locking: the watch lock guards the records. watch and arm also take the
 * events lock shared, release takes it exclusively.
 */
#include "live/watch.h"

#include <errno.h>

#include "base/arena.h"
#include "base/sched.h"
#include "base/loan.h"
#include "live/armed.h"
#include "live/inbox.h"
#include "live/look.h"
#include "live/records.h"
#include "live/task.h"
#include "live/uffd.h"

#define MODE_WATCH ((uint64_t)UFFDIO_REGISTER_MODE_WP)

#define MODE_ARMED ((uint64_t)UFFDIO_REGISTER_MODE_MISSING)

/* The service may be asleep: it checks the flag before it sleeps. */
static void release_later(struct hmmu_live *l)
{
	uint64_t one = 1;

	atomic_store_explicit(&l->disarm_later, true, memory_order_relaxed);
	if (!hmmu__is_service(l))
		(void)hmmu__sys_write(l->wake_fd, &one, sizeof(one));
}

/*
 * True if the mapping is still as it was looked up, as a whole. Check it after
 * it has been registered: from then on no part can go without an event. A part
 * that went before was not registered, and neither is a mapping that has taken
 * its place:
 *
 *	here                                program
 *	looks up mapping V, which is not
 *	  registered
 *	                                    munmap(a part of V)
 *	registers V: only the rest
 *	                                    mmap(that part): not registered
 */
static bool is_whole(struct hmmu_live *l, const struct hmmu_vma_info *vma)
{
	struct hmmu_vma_info now;

	return !hmmu__live_describe(&l->mm, vma->start, &now) &&
	       now.start <= vma->start && now.end >= vma->end &&
	       now.flags == vma->flags;
}

/* Only mappings whose pages can migrate to a device are armed. */
static uint64_t mode_for(const struct hmmu_vma_info *vma, bool armed)
{
	return armed && vma->flags & HMMU_VMA_ANON ? MODE_ARMED : MODE_WATCH;
}

/* False: a mapping changed between the lookup and its registration. */
static bool register_round(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_vma_info vma;
	bool same = true;

	for (; start < end && !hmmu__live_describe_next(&l->mm, start, &vma) &&
	       vma.start < end;
	     start = vma.end) {
		if (vma.start < start)
			vma.start = start;
		if (vma.end > end)
			vma.end = end;
		same &= hmmu__uffd_register(l, vma.start, vma.end,
					    mode_for(&vma, true)) ||
			is_whole(l, &vma);
	}
	return same;
}

/*
 * Few are needed: a thread that changes registered memory waits until its event
 * is read.
 */
#define REGISTER_ROUNDS 16

/*
 * The range has other mappings than the one that was looked up. Register each
 * of them as it may need to be: one that is armed may have moved here with
 * device pages. A file must not be armed, because its holes are not zeroes.
 */
static void register_each(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	unsigned int round = 0;

	while (!register_round(l, start, end) && ++round < REGISTER_ROUNDS)
		;
	hmmu__uffd_wake(l, start, end);
}

/*
 * -EAGAIN: the mapping has changed. What is registered now has no record, or a
 * smaller one, and gets one the next time it is looked up.
 */
static int register_whole(struct hmmu_live *l, const struct hmmu_vma_info *vma,
			  bool armed)
{
	int err = hmmu__uffd_register(l, vma->start, vma->end,
				      mode_for(vma, armed));

	if (err || is_whole(l, vma))
		return err;
	register_each(l, vma->start, vma->end);
	return -EAGAIN;
}

static int register_locked(struct hmmu_live *l, const struct hmmu_vma_info *vma,
			   bool armed) HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_watch *w = hmmu__alloc(sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	/* A mapping with device pages stays armed. */
	armed |= hmmu__watch_armed_locked(l, vma->start, vma->end) ||
		 hmmu__core_is_away(l->mm.space, vma->start, vma->end);
	w->armed = armed && vma->flags & HMMU_VMA_ANON;
	err = register_whole(l, vma, armed);
	if (err) {
		hmmu__free(w, sizeof(*w));
		return err;
	}
	hmmu__watch_replace_locked(l, w, vma->start, vma->end);
	return 0;
}

static bool is_watchable(const struct hmmu_vma_info *vma)
{
	return !(vma->flags & HMMU_VMA_SPECIAL) &&
	       !hmmu__arena_overlaps(vma->start, vma->end);
}

/*
 * A mapping that is registered here for changes only loses its registration for
 * missing pages. If it is armed and has just moved here, its device pages would
 * be lost. So do not register while a change is in progress. A change that
 * began meanwhile is visible afterwards, because its event cannot be read now:
 * then arm the mapping in case it is needed.
 */
static int watch_locked(struct hmmu_live *l, const struct hmmu_vma_info *vma)
	HMMU_REQUIRES(&l->watch_lock)
{
	int err;

	if (hmmu__watch_covers(hmmu__watch_first_locked(l, vma->start,
							vma->end),
			       vma->start, vma->end))
		return 0;
	if (hmmu__live_is_changing(l))
		return -EAGAIN;
	err = register_locked(l, vma, false);
	if (!err && hmmu__uffd_is_changing(l)) {
		err = register_locked(l, vma, true);
		release_later(l);
	}
	return err == -EINVAL ? -EOPNOTSUPP : err;
}

static bool has_record(struct hmmu_live *l, const struct hmmu_vma_info *vma)
{
	bool covered;

	hmmu__mutex_lock(&l->watch_lock);
	covered = hmmu__watch_covers(hmmu__watch_first_locked(l, vma->start,
							      vma->end),
				     vma->start, vma->end);
	hmmu__mutex_unlock(&l->watch_lock);
	return covered;
}

static int watch_vma(struct hmmu_live *l,
		     const struct hmmu_vma_info *vma) HMMU_NO_TSA
{
	int err;

	hmmu__rw_read_lock(&l->events);
	hmmu__mutex_lock(&l->watch_lock);
	err = watch_locked(l, vma);
	hmmu__mutex_unlock(&l->watch_lock);
	hmmu__rw_read_unlock(&l->events);
	return err;
}

/*
 * Registered alike, two neighbours become one mapping: it gets one record while
 * nothing of it is on a device. Later a device page of another mapping in the
 * same block would count as one of this.
 */
int hmmu__live_watch(struct hmmu_mm *mm, const struct hmmu_vma_info *vma)
{
	struct hmmu_live *l = hmmu__live(mm);
	struct hmmu_vma_info now;
	int err;

	if (!is_watchable(vma) || !l->platform.have_events)
		return -EOPNOTSUPP;
	if (has_record(l, vma))
		return 0;
	err = watch_vma(l, vma);
	if (!err && !hmmu__live_describe(mm, vma->start, &now) &&
	    is_watchable(&now) && !has_record(l, &now))
		err = watch_vma(l, &now);
	return err;
}

/*
 * In user mode a read(2) into an absent page of an armed mapping would fail. So
 * an armed mapping has no holes, and stacks, which the kernel writes at any
 * time, are not armed.
 */
static int user_mode_check(struct hmmu_live *l, const struct hmmu_vma_info *vma,
			   enum hmmu_stay *why)
{
	struct hmmu__vma v;

	if (!l->platform.user_mode_only)
		return 0;
	*why = HMMU_STAY_KERNEL;
	if (!hmmu__vma_query(&l->vmas, vma->start, &v) && v.stack)
		return -EBUSY;
	return hmmu__holds_thread(vma->start, vma->end) ? -EBUSY : 0;
}

/* Attempts to fill one hole while mappings change. */
#define FILL_ROUNDS 64

static void fill_one(struct hmmu_live *l, uintptr_t at)
{
	int round = 0;

	while (hmmu__core_fill(l->mm.space, at) == -EAGAIN &&
	       round++ < FILL_ROUNDS)
		hmmu__live_quiet(&l->mm, HMMU_FOREVER);
}

/*
 * Fill all absent pages of the mapping that are not on a device. Pages that are
 * taken meanwhile belong to the record of another mapping, which was not part
 * of this one when it was armed.
 */
static void fill_all(struct hmmu_live *l, const struct hmmu_vma_info *vma)
{
	uintptr_t at = vma->start, next;

	for (; at < vma->end; at = next) {
		next = (at | (HMMU_LARGE_BYTES - 1)) + 1;
		if (next > vma->end)
			next = vma->end;
		for (; at < next; at += HMMU_PAGE_BYTES)
			if (hmmu__is_absent(l, at, at + HMMU_PAGE_BYTES))
				fill_one(l, at);
	}
}

/*
 * Register again each time, because the record can be older than the mapping:
 * no event is raised when an unmapped part of a record is mapped again.
 */
static int arm_locked(struct hmmu_live *l, const struct hmmu_vma_info *vma,
		      bool *fresh) HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_watch *w =
		hmmu__watch_first_locked(l, vma->start, vma->end);

	*fresh = !hmmu__watch_covers(w, vma->start, vma->end) || !w->armed ||
		 w->has_holes;
	if (*fresh || w->node.start != vma->start ||
	    w->node.last != vma->end - 1)
		return register_locked(l, vma, true);
	return register_whole(l, vma, true);
}

struct pinned {
	uintptr_t start;
	uintptr_t end;
	uintptr_t lo[HMMU_LOANS];
	uintptr_t hi[HMMU_LOANS];
	unsigned int n;
};

static void pinned_add(void *arg, uintptr_t lo, uintptr_t hi)
{
	struct pinned *pinned = arg;

	if (pinned->n == HMMU_LOANS)
		return;
	pinned->lo[pinned->n] = hmmu_max(lo, pinned->start);
	pinned->hi[pinned->n] = hmmu_min(hi, pinned->end);
	pinned->n++;
}

/*
 * A system call may be in progress with a hole of the mapping as its buffer.
 * Once the mapping is armed, the call would fail there: fault in all buffers
 * that are pinned. A thread that pins a buffer from now on sees that a mapping
 * is about to be armed. If there are more pins than room, fill_all() fills the
 * rest a moment later.
 */
static void fill_pinned(struct hmmu_live *l, const struct hmmu_vma_info *vma)
{
	struct pinned pinned = { .start = vma->start, .end = vma->end };
	unsigned int i;

	/* Pairs with hmmu__loans_settle(). */
	hmmu__sched_fence();
	hmmu__loans_visit(vma->start, vma->end, pinned_add, &pinned);
	for (i = 0; i < pinned.n; i++)
		(void)hmmu__live_fault_in(&l->mm, pinned.lo[i], pinned.hi[i],
					  false);
}

/* In user mode the armer fills the holes. If it fails, the next one does. */
static void note_holes_locked(struct hmmu_live *l,
			      const struct hmmu_vma_info *vma, bool has_holes)
	HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_watch *w =
		hmmu__watch_first_locked(l, vma->start, vma->end);

	if (w)
		w->has_holes = has_holes;
}

/*
 * Do not arm while a change is in progress: a record made now, of a mapping
 * that has just come here, would be taken for that of the mapping that has left
 * (events.c).
 */
static int arm_vma(struct hmmu_live *l, const struct hmmu_vma_info *vma,
		   bool *fresh) HMMU_NO_TSA
{
	int err = -EAGAIN;

	hmmu__rw_read_lock(&l->events);
	hmmu__mutex_lock(&l->watch_lock);
	if (!hmmu__live_is_changing(l)) {
		err = arm_locked(l, vma, fresh);
		if (*fresh)
			note_holes_locked(l, vma, err);
	}
	hmmu__mutex_unlock(&l->watch_lock);
	hmmu__rw_read_unlock(&l->events);
	return err;
}

static int arm_and_fill(struct hmmu_live *l, const struct hmmu_vma_info *vma)
{
	bool fresh;
	int err;

	hmmu__armed_add(1);
	if (!hmmu__watch_is_armed(l, vma->start, vma->end))
		fill_pinned(l, vma);
	err = arm_vma(l, vma, &fresh);
	if (!err && fresh)
		fill_all(l, vma);
	hmmu__armed_add(-1);
	return err;
}

int hmmu__live_arm(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
		   enum hmmu_stay *why)
{
	struct hmmu_live *l = hmmu__live(mm);
	bool fresh;
	int err;

	*why = HMMU_STAY_HMMU;
	if (hmmu__arena_overlaps(vma->start, vma->end))
		return -EBUSY;
	err = user_mode_check(l, vma, why);
	if (err)
		return err;
	err = l->platform.user_mode_only ? arm_and_fill(l, vma) :
					   arm_vma(l, vma, &fresh);
	/* Droppable memory cannot be registered with a userfaultfd. */
	*why = HMMU_STAY_KIND;
	if (err == -EINVAL && is_whole(l, vma))
		return -EBUSY;
	*why = HMMU_STAY_FOREIGN;
	return err == -EINVAL || err == -ENOMEM ? -EAGAIN : err;
}

/*
 * Get the whole mapping of a record, which may have grown in place. A mapping
 * that is registered in two modes is two mappings, and the program could not
 * move it any more (E3). False: it cannot be disarmed as a whole.
 */
static bool find_whole_vma_locked(struct hmmu_live *l,
				  const struct hmmu_watch *w,
				  struct hmmu_vma_info *vma)
	HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_itree_node *n;

	if (hmmu__live_describe(&l->mm, w->node.start, vma))
		return false;
	if (vma->start > w->node.start)
		vma->start = w->node.start;
	if (vma->end <= w->node.last)
		vma->end = w->node.last + 1;
	hmmu__itree_for_each(n, &l->watches, vma->start, vma->end - 1)
	{
		if (n != &w->node && hmmu__watch_of_node(n)->armed)
			return false;
	}
	return !hmmu__core_is_away(l->mm.space, vma->start, vma->end);
}

/*
 * This is called for each page that migrates back, and a mapping can have many
 * blocks. So the search starts where the last one found a device page. If pages
 * migrate back in the order of addresses, it takes a few steps.
 */
static bool is_away_locked(struct hmmu_live *l, struct hmmu_watch *w)
	HMMU_REQUIRES(&l->watch_lock)
{
	uintptr_t start = w->node.start;
	uintptr_t end = w->node.last + 1;
	uintptr_t from = hmmu_max(start, hmmu_min(w->away_at, end));

	return hmmu__core_next_away(l->mm.space, from, end, &w->away_at) ||
	       hmmu__core_next_away(l->mm.space, start, from, &w->away_at);
}

/*
 * Watch the mapping only. Threads that wait for a hole are woken; the kernel
 * fills it.
 */
static void disarm_locked(struct hmmu_live *l, struct hmmu_watch *w)
	HMMU_REQUIRES(&l->watch_lock)
{
	struct hmmu_vma_info vma;

	if (!w->armed || is_away_locked(l, w))
		return;
	/*
	 * While a change is in progress the record may be out of date: another
	 * mapping with device pages may have moved to the address. Try again
	 * later.
	 */
	if (hmmu__live_is_changing(l)) {
		release_later(l);
		return;
	}
	if (!find_whole_vma_locked(l, w, &vma) ||
	    hmmu__uffd_register(l, vma.start, vma.end, MODE_WATCH))
		return;
	if (hmmu__uffd_is_changing(l)) {
		(void)register_whole(l, &vma, true);
		release_later(l);
		return;
	}
	w->armed = false;
	hmmu__armed_add(-1);
	hmmu__uffd_wake(l, vma.start, vma.end);
}

/*
 * The caller holds the events lock exclusively: no page may be taken between
 * the check of the blocks and the kernel's call, for it would read as zeroes.
 */
void hmmu__watch_release_exclusive(struct hmmu_live *l, uintptr_t start,
				   uintptr_t end)
{
	struct hmmu_itree_node *n;

	hmmu__mutex_lock(&l->watch_lock);
	hmmu__itree_for_each(n, &l->watches, start, end - 1)
	{
		disarm_locked(l, hmmu__watch_of_node(n));
	}
	hmmu__mutex_unlock(&l->watch_lock);
}

/* Check without the events lock: is there a mapping to disarm? */
static bool may_release(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_itree_node *n;
	bool may = false;

	hmmu__mutex_lock(&l->watch_lock);
	hmmu__itree_for_each(n, &l->watches, start, end - 1)
	{
		may = hmmu__watch_of_node(n)->armed &&
		      !is_away_locked(l, hmmu__watch_of_node(n));
		if (may)
			break;
	}
	hmmu__mutex_unlock(&l->watch_lock);
	return may;
}

void hmmu__live_release(struct hmmu_mm *mm, uintptr_t start,
			uintptr_t end) HMMU_NO_TSA
{
	struct hmmu_live *l = hmmu__live(mm);

	if (!may_release(l, start, end))
		return;
	hmmu__rw_write_lock(&l->events);
	hmmu__watch_release_exclusive(l, start, end);
	hmmu__rw_write_unlock(&l->events);
}

/*
 * For a hook that is about to unmap the range: without registration the kernel
 * sends no event to wait for. Ending a registration for write protection walks
 * every page, and one for missing pages does not: change the mode first, for
 * more than this many bytes.
 */
#define SUSPEND_BYTES (4 * HMMU_PAGE_BYTES)

bool hmmu__watch_suspend(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_itree_node *n;
	bool any = false;

	hmmu__mutex_lock(&l->watch_lock);
	hmmu__itree_for_each(n, &l->watches, start, end - 1)
	{
		uintptr_t lo = n->start > start ? n->start : start;
		uintptr_t hi = n->last + 1 < end ? n->last + 1 : end;

		if (!hmmu__watch_of_node(n)->armed && hi - lo > SUSPEND_BYTES)
			(void)hmmu__uffd_register(l, lo, hi,
						  UFFDIO_REGISTER_MODE_MISSING);
		(void)hmmu__uffd_unregister(l, lo, hi);
		any = true;
	}
	hmmu__mutex_unlock(&l->watch_lock);
	return any;
}

/* The unmapping failed: register what is mapped there as before. */
void hmmu__watch_resume(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_vma_info vma;
	uintptr_t at = start;

	hmmu__mutex_lock(&l->watch_lock);
	while (at < end && !hmmu__live_describe_next(&l->mm, at, &vma) &&
	       vma.start < end) {
		(void)register_locked(l, &vma,
				      hmmu__core_is_away(l->mm.space, vma.start,
							 vma.end));
		at = vma.end;
	}
	hmmu__mutex_unlock(&l->watch_lock);
}

/* Let the kernel fill a hole. The record stays as it is. */
void hmmu__watch_demote_page(struct hmmu_live *l, uintptr_t page)
{
	hmmu__mutex_lock(&l->watch_lock);
	(void)hmmu__uffd_register(l, page, page + HMMU_PAGE_BYTES, MODE_WATCH);
	hmmu__mutex_unlock(&l->watch_lock);
}

/*
 * The mapping of @page has an armed record, or was armed in case it was needed,
 * but its holes must not be filled with zeroes. No fault there would ever be
 * served. Watch it only, as a whole: in parts the program could not move it any
 * more (E3).
 */
void hmmu__watch_demote_vma(struct hmmu_live *l, uintptr_t page)
{
	struct hmmu_vma_info vma;

	hmmu__mutex_lock(&l->watch_lock);
	if (!hmmu__live_describe(&l->mm, page, &vma) &&
	    !(vma.flags & HMMU_VMA_ANON))
		(void)register_whole(l, &vma, false);
	hmmu__mutex_unlock(&l->watch_lock);
}
