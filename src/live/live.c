/* SPDX-License-Identifier: MIT */
/*
 * The live address space: create, start and destroy it, and its table of
 * operations
 *
 * Locking: hold takes the events lock shared. Creating and destroying take
 * none: only the caller knows the space then.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "base/arena.h"
#include "base/thread.h"
#include "live/current.h"
#include "live/exclude.h"
#include "live/fork.h"
#include "live/hole.h"
#include "live/inbox.h"
#include "live/state.h"
#include "live/look.h"
#include "live/open.h"
#include "live/page.h"
#include "live/pool.h"
#include "live/records.h"
#include "live/service.h"
#include "live/stack.h"
#include "live/task.h"
#include "live/uffd.h"
#include "live/watch.h"

/* --- operations of mm.h without a file of their own ------------------------------ */

/*
 * Report the arena as a mapping of its own. The kernel may have merged it with
 * its neighbours.
 */
static int next_vma(struct hmmu_mm *mm, uintptr_t addr,
		    struct hmmu_vma_info *vma)
{
	uintptr_t start = hmmu__arena_start(), end = hmmu__arena_end();
	int err = hmmu__live_describe_next(mm, addr, vma);

	if (err || vma->end <= start || vma->start >= end)
		return err;
	if (hmmu_max(addr, vma->start) < start) {
		vma->end = start;
	} else if (hmmu_max(addr, vma->start) < end) {
		vma->start = hmmu_max(vma->start, start);
		vma->end = hmmu_min(vma->end, end);
		vma->flags |= HMMU_VMA_OWN;
	} else {
		vma->start = end;
	}
	return 0;
}

/*
 * hold. A thread that enters HMMU may be about to touch its stack and wait for
 * the service, which may need a lock of the holder's. So a hold for taking
 * releases the lock and begins again while a thread enters.
 */
static void hold_events(struct hmmu_mm *mm, bool taking) HMMU_NO_TSA
{
	struct hmmu_live *l = hmmu__live(mm);

	hmmu__rw_read_lock(&l->events);
	while (taking && !hmmu__take_begin()) {
		hmmu__rw_read_unlock(&l->events);
		hmmu__take_wait();
		hmmu__rw_read_lock(&l->events);
	}
}

static void unhold_events(struct hmmu_mm *mm, bool taking) HMMU_NO_TSA
{
	if (taking)
		hmmu__take_end();
	hmmu__rw_read_unlock(&hmmu__live(mm)->events);
}

static void wait_for_changes(struct hmmu_mm *mm, uint64_t timeout_ns)
{
	if (hmmu__events_are_own(hmmu__live(mm)))
		hmmu__live_drain(mm);
	else if (timeout_ns)
		hmmu__live_quiet(mm, timeout_ns);
	else
		hmmu__live_events_wait(mm);
}

static bool help_waiter(struct hmmu_mm *mm, uint64_t timeout_ns, int owner)
{
	struct hmmu_live *l = hmmu__live(mm);

	hmmu__live_pump(mm, timeout_ns);
	/*
	 * Only the service reads events: a thread that waits for one waits on.
	 */
	return hmmu__is_service(l) && hmmu__uffd_is_changing(l) &&
	       hmmu__task_changes_mappings(owner);
}

static void destroy(struct hmmu_mm *mm);

#define OPS_BUT_TAKE                                                          \
	.next_vma = next_vma, .fault_in = hmmu__live_fault_in,                \
	.snapshot = hmmu__live_snapshot, .watch = hmmu__live_watch,           \
	.arm = hmmu__live_arm, .release = hmmu__live_release,                 \
	.put = hmmu__live_put, .fill_hole = hmmu__live_fill_hole,             \
	.empty = hmmu__live_empty, .add_pool = hmmu__live_add_pool,           \
	.remove_pool = hmmu__live_remove_pool, .exclude = hmmu__live_exclude, \
	.hold = hold_events, .unhold = unhold_events,                         \
	.sync = wait_for_changes, .help = help_waiter, .destroy = destroy

static const struct hmmu_mm_ops live_ops = {
	OPS_BUT_TAKE,
	.take = hmmu__live_take,
};

/* For a kernel that cannot move pages: everything except migration works. */
static const struct hmmu_mm_ops live_ops_without_take = {
	OPS_BUT_TAKE,
	.take = NULL,
};

/* --- making and ending ------------------------------------------------------------ */

static int sources_open(struct hmmu_live *l)
{
	int err = hmmu__vma_open(&l->vmas, !l->platform.have_procmap_query);

	if (!err)
		err = hmmu__pagescan_open(&l->pages,
					  !l->platform.have_pagemap_scan);
	return err;
}

#define INBOX_BYTES (HMMU_INBOX_MESSAGES * sizeof(struct uffd_msg))

static int inbox_alloc(struct hmmu_live *l)
{
	l->inbox_faults.msg = hmmu__alloc(INBOX_BYTES);
	l->inbox_events.msg = hmmu__alloc(INBOX_BYTES);
	l->zero_chunk = hmmu__arena_reserve(HMMU_LARGE_BYTES, HMMU_LARGE_BYTES);
	if (!l->inbox_faults.msg || !l->inbox_events.msg || !l->zero_chunk)
		return -ENOMEM;
	(void)hmmu__sys_madvise((uintptr_t)l->zero_chunk, HMMU_LARGE_BYTES,
				MADV_HUGEPAGE);
	return 0;
}

static void live_free(struct hmmu_live *l)
{
	hmmu__stack_bounds_end();
	if (l->fdinfo_fd >= 0)
		hmmu__sys_close(l->fdinfo_fd);
	if (l->wake_fd >= 0)
		hmmu__sys_close(l->wake_fd);
	hmmu__pagescan_close(&l->pages);
	hmmu__vma_close(&l->vmas);
	hmmu__platform_close(&l->platform);
	if (l->zero_chunk)
		hmmu__arena_release(l->zero_chunk, HMMU_LARGE_BYTES);
	hmmu__free(l->inbox_faults.msg, INBOX_BYTES);
	hmmu__free(l->inbox_events.msg, INBOX_BYTES);
	hmmu__rw_fini(&l->events);
	hmmu__mutex_fini(&l->watch_lock);
	hmmu__mutex_fini(&l->inbox_lock);
	hmmu__free(l, sizeof(*l));
}

static int live_open(struct hmmu_live *l, const struct hmmu_space_options *o,
		     const char **why)
{
	int err = hmmu__platform_open(&l->platform);

	if (err)
		return err;
	l->hooks = !o->no_hooks && l->platform.hooks_allowed;
	l->lends = l->hooks && l->platform.user_mode_only;
	l->mm.no_take = l->platform.have_move ? NULL :
						hmmu__without_move_sentence();
	l->mm.take_warning =
		l->platform.user_mode_only ? hmmu__user_mode_sentence() : NULL;
	l->mm.ops = l->platform.have_move ? &live_ops : &live_ops_without_take;
	if (hmmu__is_exhausted(l->platform.uffd))
		return l->platform.uffd;
	if (l->platform.uffd < 0) {
		*why = l->platform.why;
		return -EOPNOTSUPP;
	}
	l->wake_fd = hmmu__sys_eventfd(EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0)
		return l->wake_fd;
	err = sources_open(l);
	if (err)
		return err;
	err = inbox_alloc(l);
	if (err)
		return err;
	hmmu__stack_bounds_start(&l->vmas);
	hmmu__keep_collect(l);
	return hmmu__fork_install();
}

int hmmu__live_create(const struct hmmu_space_options *o, const char **why,
		      struct hmmu_mm **ret_mm)
{
	struct hmmu_live *l = hmmu__alloc(sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->wake_fd = -1;
	l->fdinfo_fd = -1;
	l->platform.uffd = -1;
	hmmu__rw_init(&l->events, HMMU_RANK_EVENTS, "events");
	hmmu__mutex_init(&l->watch_lock, HMMU_RANK_WATCH, "watches");
	hmmu__mutex_init(&l->inbox_lock, HMMU_RANK_LEAF, "inbox");
	l->vmas.fd = -1;
	l->pages.fd = -1;
	err = live_open(l, o, why);
	if (err) {
		live_free(l);
		return err;
	}
	*ret_mm = &l->mm;
	return 0;
}

/* Everything else is set before the service runs. */
int hmmu__live_start(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);
	int err = hmmu__service_start(l);

	if (!err)
		hmmu__live_publish(l);
	return err;
}

void hmmu__live_stop_hooks(void)
{
	hmmu__live_withdraw();
}

struct hmmu_mm *hmmu__live_mm(void)
{
	struct hmmu_live *l = hmmu__live_current();

	return l ? &l->mm : NULL;
}

static void destroy(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);

	hmmu__service_stop(l);
	hmmu__watches_free(l);
	live_free(l);
}
