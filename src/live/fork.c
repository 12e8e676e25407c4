/* SPDX-License-Identifier: MIT */
/*
 * Around fork(3): every page is in system memory while the process is copied
 *
 * The child inherits no userfaultfd registration, so a device page would read
 * as zeroes there. Before the fork all pages migrate back, and none migrates to
 * a device until the fork is over. The child keeps its data and has no space.
 * It may open its own.
 *
 * Locking: the thread lock and the arena's lock are held over the fork; the
 * events lock is not, see migrate_all_back().
 */
#include "live/fork.h"

#include <errno.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/process.h"
#include "base/thread.h"
#include "live/armed.h"
#include "live/current.h"
#include "live/inbox.h"
#include "live/state.h"
#include "live/stack.h"

/*
 * State that prepare() leaves for the two handlers after it. It is per thread:
 * since glibc 2.36 several threads can be in their handlers at the same time,
 * and only the locks taken last make one fork wait for another.
 */
static HMMU_TLS struct hmmu_live *forking;
static HMMU_TLS struct hmmu_thread *forking_thread;
/* Copied pages become read-only (FK3). The kernel does not say which ones. */
static HMMU_TLS struct hmmu_invalidate_call forking_call;

/*
 * Migrate all pages back and begin an invalidation that keeps them there. The
 * invalidation begins while the events lock is held, so every later migration
 * meets it. The lock itself is not held over the fork, because handlers of
 * other libraries run meanwhile.
 */
static void migrate_all_back(struct hmmu_live *l)
{
	struct hmmu_space *s = l->mm.space;
	bool done = false;

	while (!done) {
		int err = hmmu__core_all_home(s);

		if (err)
			hmmu__log(HMMU_LOG_ERROR,
				  "fork: pages did not migrate back (%d): the "
				  "child reads zeroes there",
				  err);
		hmmu__events_begin(l);
		done = !hmmu__core_device_pages(s) || err;
		if (done)
			hmmu__core_invalidate_begin(s, &forking_call);
		hmmu__events_end(l);
	}
}

static void prepare(void)
{
	struct hmmu_live *l = hmmu__live_current();

	/* Relaxed: read by the same thread or after a lock. */
	atomic_fetch_add_explicit(&hmmu__forks, 1, memory_order_relaxed);
	if (!l || !hmmu__process_is_ours() || hmmu__is_inside())
		return;
	forking_thread = hmmu__enter();
	if (!forking_thread)
		return;
	forking_call.inv = (struct hmmu_invalidation){
		.start = 0,
		.end = HMMU_MM_END,
		.event = HMMU_EVENT_PROTECTION_PAGE,
	};
	hmmu__core_break_own(l->mm.space);
	migrate_all_back(l);
	hmmu__threads_fork_before();
	hmmu__arena_fork_before();
	forking = l;
}

static void after_parent(void)
{
	struct hmmu_live *l = forking;

	if (!l)
		return;
	forking = NULL;
	hmmu__arena_fork_after();
	hmmu__threads_fork_after_parent();
	hmmu__core_invalidate_end(l->mm.space, &forking_call);
	hmmu__leave(forking_thread);
}

static void files_close(struct hmmu_live *l)
{
	/* Another thread of the parent may have held the lock. */
	hmmu__mutex_init(&l->vmas.lock, HMMU_RANK_LEAF, "maps");
	hmmu__sys_close(l->fdinfo_fd);
	hmmu__sys_close(l->wake_fd);
	hmmu__pagescan_close(&l->pages);
	hmmu__vma_close(&l->vmas);
	hmmu__platform_close(&l->platform);
}

static void after_child(void)
{
	struct hmmu_live *l = forking;

	hmmu__stack_bounds_fork_after_child();
	if (!l)
		return;
	forking = NULL;
	hmmu__arena_fork_after();
	hmmu__threads_fork_after_child();
	hmmu__log_fork_after_child();
	/* The space is the parent's. Calls on it return -ECHILD. */
	atomic_store_explicit(&l->mm.forked, true, memory_order_release);
	hmmu__live_forget();
	hmmu__armed_forget();
	files_close(l);
	hmmu__leave(forking_thread);
}

static int atfork_err;

static void install_atfork(void)
{
	atfork_err = -pthread_atfork(prepare, after_parent, after_child);
}

int hmmu__fork_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install_atfork);
	return atfork_err;
}

/*
 * Count forks from the start of the process: a page that was shared then may be
 * shared now.
 */
static __attribute__((constructor)) void count_from_start(void)
{
	(void)hmmu__fork_install();
}
