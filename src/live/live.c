/* SPDX-License-Identifier: MIT */
/*
 * The live address space: making and ending it.
 */
#include "live/live.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "base/arena.h"
#include "base/process.h"
#include "base/thread.h"

static void events_lock_shared(struct hmmu_mm *mm) HMMU_NO_TSA
{
	hmmu__rw_read_lock(&hmmu__live(mm)->events);
}

static void events_unlock_shared(struct hmmu_mm *mm) HMMU_NO_TSA
{
	hmmu__rw_read_unlock(&hmmu__live(mm)->events);
}

static bool take_begin(struct hmmu_mm *mm)
{
	(void)mm;
	return hmmu__take_begin();
}

static void take_wait(struct hmmu_mm *mm)
{
	(void)mm;
	hmmu__take_wait();
}

static void take_end(struct hmmu_mm *mm)
{
	(void)mm;
	hmmu__take_end();
}

#define OPS_BUT_TAKE                                                      \
	.describe = hmmu__live_describe,                                  \
	.describe_next = hmmu__live_describe_next,                        \
	.fault_in = hmmu__live_fault_in, .snapshot = hmmu__live_snapshot, \
	.watch = hmmu__live_watch, .arm = hmmu__live_arm,                 \
	.release = hmmu__live_release, .put = hmmu__live_put,             \
	.fill_hole = hmmu__live_fill_hole, .empty = hmmu__live_empty,     \
	.add_pool = hmmu__live_add_pool,                                  \
	.remove_pool = hmmu__live_remove_pool,                            \
	.events_lock_shared = events_lock_shared,                         \
	.events_unlock_shared = events_unlock_shared,                     \
	.events_wait = hmmu__live_events_wait, .quiet = hmmu__live_quiet, \
	.take_begin = take_begin, .take_end = take_end,                   \
	.take_wait = take_wait, .exclude = hmmu__live_exclude,            \
	.may_exclude = hmmu__live_may_exclude,                            \
	.is_service = hmmu__live_is_service, .pump = hmmu__live_pump,     \
	.is_stuck = hmmu__live_is_stuck, .drain = hmmu__live_drain

static const struct hmmu_mm_ops live_ops = {
	OPS_BUT_TAKE,
	.take = hmmu__live_take,
};

/* A kernel that can not move pages: everything but migration works. */
static const struct hmmu_mm_ops live_ops_without_take = {
	OPS_BUT_TAKE,
	.take = NULL,
};

/* The vma source that finds stack bounds; one live space at a time. */
static struct hmmu__vma_source *_Atomic bounds_source;

/*
 * How many threads are asking it. They are not inside yet, so nothing else keeps
 * the space from being closed meanwhile:
 *
 *      thread                              close
 *      askers += 1                         source = NULL
 *      source                              waits until there are no askers
 *      asks; askers -= 1                   frees it
 */
static _Atomic uint32_t bounds_askers;

static int bounds_query(uintptr_t sp, struct hmmu__vma *vma)
{
	struct hmmu__vma_source *src;
	int err;

	/* seq_cst: against bounds_end(). */
	atomic_fetch_add_explicit(&bounds_askers, 1, memory_order_seq_cst);
	src = atomic_load_explicit(&bounds_source, memory_order_seq_cst);
	err = src ? hmmu__vma_query(src, sp, vma) : -EFAULT;
	/* Release: it has been used before it is freed. */
	atomic_fetch_sub_explicit(&bounds_askers, 1, memory_order_release);
	return err;
}

static void bounds_end(void)
{
	unsigned int round = 0;

	/* seq_cst: against bounds_query(). */
	atomic_store_explicit(&bounds_source, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&bounds_askers, memory_order_seq_cst))
		hmmu__backoff(&round);
}

/* Other threads of the parent may have been asking. */
void hmmu__bounds_fork_after_child(void)
{
	atomic_store_explicit(&bounds_askers, 0, memory_order_relaxed);
}

static int stack_bounds(uintptr_t sp, uintptr_t *lo, uintptr_t *hi)
{
	struct hmmu__vma vma;
	int err = bounds_query(sp, &vma);

	if (err)
		return err;
	*lo = vma.start;
	*hi = vma.end;
	return 0;
}

static int sources_open(struct hmmu_live *l)
{
	int err = hmmu__vma_open(&l->vmas, !l->platform.have_procmap_query);

	if (!err)
		err = hmmu__pagescan_open(&l->pages,
					  !l->platform.have_pagemap_scan);
	return err;
}

#define STASH_BYTES (HMMU_STASH_MESSAGES * sizeof(struct uffd_msg))

static int stash_make(struct hmmu_live *l)
{
	l->stashed_faults.msg = hmmu__alloc(STASH_BYTES);
	l->stashed_events.msg = hmmu__alloc(STASH_BYTES);
	l->zero_chunk = hmmu__arena_reserve(HMMU_LARGE_BYTES, HMMU_LARGE_BYTES);
	if (!l->stashed_faults.msg || !l->stashed_events.msg || !l->zero_chunk)
		return -ENOMEM;
	(void)hmmu__sys_madvise((uintptr_t)l->zero_chunk, HMMU_LARGE_BYTES,
				MADV_HUGEPAGE);
	return 0;
}

static void live_free(struct hmmu_live *l)
{
	bounds_end();
	if (l->fdinfo_fd >= 0)
		hmmu__sys_close(l->fdinfo_fd);
	if (l->wake_fd >= 0)
		hmmu__sys_close(l->wake_fd);
	hmmu__pagescan_close(&l->pages);
	hmmu__vma_close(&l->vmas);
	hmmu__platform_close(&l->platform);
	if (l->zero_chunk)
		hmmu__arena_release(l->zero_chunk, HMMU_LARGE_BYTES);
	hmmu__free(l->stashed_faults.msg, STASH_BYTES);
	hmmu__free(l->stashed_events.msg, STASH_BYTES);
	hmmu__rw_fini(&l->events);
	hmmu__mutex_fini(&l->watch_lock);
	hmmu__mutex_fini(&l->stash_lock);
	hmmu__free(l, sizeof(*l));
}

static int live_open(struct hmmu_live *l, const struct hmmu_space_options *o,
		     const char **why)
{
	int err = hmmu__platform_open(&l->platform);

	if (err)
		return err;
	l->mm.space->hooks = !o->no_hooks && l->platform.hooks_allowed;
	l->mm.space->lends = l->mm.space->hooks && l->platform.user_mode_only;
	l->mm.no_take = l->platform.have_move ? NULL : HMMU__WITHOUT_MOVE;
	l->mm.ops = l->platform.have_move ? &live_ops : &live_ops_without_take;
	if (l->platform.uffd == -EMFILE || l->platform.uffd == -ENFILE ||
	    l->platform.uffd == -ENOMEM)
		return l->platform.uffd;
	if (l->platform.uffd < 0) {
		*why = l->platform.why;
		return -EOPNOTSUPP;
	}
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0)
		return -EMFILE;
	err = sources_open(l);
	if (err) {
		*why = "/proc/self/maps or /proc/self/pagemap can not be "
		       "opened: mount /proc, and do not make the process "
		       "undumpable";
		return err;
	}
	err = stash_make(l);
	if (err)
		return err;
	atomic_store_explicit(&bounds_source, &l->vmas, memory_order_release);
	atomic_store_explicit(&hmmu__thread_bounds, stack_bounds,
			      memory_order_release);
	hmmu__keep_collect(l);
	err = hmmu__fork_install();
	if (!err)
		err = hmmu__process_mark();
	return err ? err : hmmu__service_start(l);
}

int hmmu__live_create(struct hmmu_space *space,
		      const struct hmmu_space_options *o, const char **why)
{
	struct hmmu_live *l = hmmu__alloc(sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->mm.space = space;
	l->wake_fd = -1;
	l->fdinfo_fd = -1;
	l->platform.uffd = -1;
	hmmu__rw_init(&l->events, HMMU_RANK_EVENTS, "events");
	hmmu__mutex_init(&l->watch_lock, HMMU_RANK_WATCH, "watches");
	hmmu__mutex_init(&l->stash_lock, HMMU_RANK_LEAF, "stash");
	l->vmas.fd = -1;
	l->pages.fd = -1;
	space->mm = &l->mm;
	/* All is set before the service runs. */
	err = live_open(l, o, why);
	if (err) {
		live_free(l);
		space->mm = NULL;
		return err;
	}
	return 0;
}

void hmmu__live_destroy(struct hmmu_mm *mm)
{
	struct hmmu_live *l = hmmu__live(mm);

	hmmu__service_stop(l);
	hmmu__watches_free(l);
	live_free(l);
}
