/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_LIVE_H
#define HMMU_LIVE_LIVE_H

/*
 * The live address space: this process's real memory.
 *
 * Files: live.c makes and ends it; service.c is the fault service and reads
 * events; events.c applies them; watch.c registers mappings; page.c moves
 * pages; look.c looks and faults; exclude.c says what must not leave; hooks.c
 * and its like stand around the C library's calls, lend.c brings home what
 * those of I/O work on; fork.c stands around fork.
 *
 * Locks, in the order of their ranks: events (EVENTS), watch_lock (WATCH),
 * stash_lock (LEAF).
 */

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/itree.h"
#include "base/lock.h"
#include "base/sys.h"
#include "core/core.h"
#include "live/pagescan.h"
#include "live/probe.h"
#include "live/vma.h"
#include "mm.h"
#include "uapi/linux_mm.h"

/* Messages of one kind that have been read and wait for the service. */
#define HMMU_STASH_MESSAGES 1024u

/* First in, first out. */
struct hmmu_stash {
	uint32_t head;
	uint32_t count;
	struct uffd_msg *msg;
};

/* Departures that are still to be told, and discards still to be made. */
#define HMMU_AWAITED	   256u
#define HMMU_DISCARDS	   32u

/* Segments of libhmmu, libc and the loader: three each, and room. */
#define HMMU_STATIC_RANGES 64u

/*
 * A mapping that is registered with our userfaultfd.
 *
 * WATCHED: its changes arrive as events; costs its page faults nothing.
 * ARMED: absent pages stop the CPU thread that touches them, too. It is that as
 * long as a page of it is on a device; whether one is, the blocks say.
 */
struct hmmu_watch {
	struct hmmu_itree_node node;
	bool armed;
	/* A large page was seen in it: holes are filled with large ones. */
	bool saw_large;
	/* Armed, but an ordinary user's holes have not been filled since. */
	bool has_holes;
	/* Where something was away when last looked at: see is_away_locked(). */
	uintptr_t away_at;
};

struct hmmu_static_range {
	uintptr_t start;
	uintptr_t end;
};

/* See events.c. @move_told: its move away has been. */
struct hmmu_awaited {
	uintptr_t start;
	uintptr_t end;
	bool move_told;
};

/* A discard that may not have been made before @until_ns. */
struct hmmu_discard {
	uintptr_t start;
	uintptr_t end;
	uint64_t until_ns;
};

struct hmmu_live {
	struct hmmu_mm mm;
	struct hmmu__platform platform;
	struct hmmu__vma_source vmas;
	struct hmmu__pagescan_source pages;

	/* See mm.h: exclusive from before events are read until core knows. */
	struct hmmu_rwlock events;
	/* Events that have been read and not been applied: @stashed_events. */
	_Atomic uint32_t unprocessed;

	struct hmmu_mutex watch_lock;
	struct hmmu_itree watches HMMU_GUARDED_BY(&watch_lock);

	struct hmmu_mutex stash_lock;
	struct hmmu_stash stashed_faults HMMU_GUARDED_BY(&stash_lock);
	struct hmmu_stash stashed_events HMMU_GUARDED_BY(&stash_lock);

	pthread_t thread;
	void *stack;
	int wake_fd;
	int fdinfo_fd;
	_Atomic int service_tid;
	_Atomic bool stop;
	/* The thread that reads and applies events, holding @events so; 0: none. */
	_Atomic int events_owner;

	/* Something armed has nothing away; told to the service. */
	_Atomic bool disarm_later;

	/* The service's own. */
	struct hmmu_awaited awaited[HMMU_AWAITED];
	unsigned int awaits;
	/* Who was last woken in mremap, and where: see growth_filled(). */
	int growth_tid;
	uintptr_t growth_page;
	bool growth_is_filled;

	/* Written with @events held exclusively. */
	struct hmmu_discard discard[HMMU_DISCARDS];

	/* One large zeroed page, to fill large holes; the service's own. */
	void *zero_chunk;

	struct hmmu_static_range keep[HMMU_STATIC_RANGES];
	unsigned int keeps;
};

static inline struct hmmu_live *hmmu__live(struct hmmu_mm *mm)
{
	return hmmu_container_of(mm, struct hmmu_live, mm);
}

static inline int hmmu__uffd(const struct hmmu_live *l)
{
	return l->platform.uffd;
}

/* watch.c */
int hmmu__live_watch(struct hmmu_mm *mm, const struct hmmu_vma_info *vma);
int hmmu__live_arm(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
		   enum hmmu_stay *why);
void hmmu__live_release(struct hmmu_mm *mm, uintptr_t start, uintptr_t end);
/* The same for the service while it holds the events lock exclusively. */
void hmmu__watch_release_exclusive(struct hmmu_live *l, uintptr_t start,
				   uintptr_t end);
/* True if [start, end) lies in one armed mapping. */
bool hmmu__watch_is_armed(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* One mapping's registration; false when @addr is in none. */
bool hmmu__watch_get(struct hmmu_live *l, uintptr_t addr,
		     struct hmmu_watch *copy);
void hmmu__watch_saw_large(struct hmmu_live *l, uintptr_t addr);
/* The first part of [start, end) that is watched; false: none is. */
bool hmmu__watch_overlap(struct hmmu_live *l, uintptr_t start, uintptr_t end,
			 uintptr_t *lo, uintptr_t *hi);
/* [start, end) is not mapped any more, or not by what was watched. */
void hmmu__watch_cut(struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* A watched mapping appeared at @to with the registration it had at @from. */
void hmmu__watch_moved(struct hmmu_live *l, uintptr_t from, uintptr_t to,
		       size_t bytes);
/* What ended at @end goes on to @new_end: the record, too. */
void hmmu__watch_grown(struct hmmu_live *l, uintptr_t end, uintptr_t new_end);
/* Ends the registration of a part without telling; and back again. */
bool hmmu__watch_suspend(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__watch_resume(struct hmmu_live *l, uintptr_t start, uintptr_t end);
void hmmu__watch_let_fill(struct hmmu_live *l, uintptr_t page);
void hmmu__watch_leave_fill(struct hmmu_live *l, uintptr_t page);
void hmmu__watches_free(struct hmmu_live *l);

/* page.c */
int hmmu__live_take(struct hmmu_mm *mm, struct hmmu_mm_take *t);
int hmmu__live_put(struct hmmu_mm *mm, struct hmmu_mm_put *put);
int hmmu__live_fill_hole(struct hmmu_mm *mm, uintptr_t addr,
			 const struct hmmu_bitmap512 *device_pages);
int hmmu__live_empty(struct hmmu_mm *mm, void *host, size_t bytes);
int hmmu__live_add_pool(struct hmmu_mm *mm, void *host, size_t bytes);
void hmmu__live_remove_pool(struct hmmu_mm *mm, void *host, size_t bytes);
void hmmu__uffd_wake(const struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* A mapping is being changed and its event, or its caller, is pending. */
bool hmmu__uffd_is_changing(const struct hmmu_live *l);
/* That, or an event has been read and not been applied. */
bool hmmu__live_is_changing(const struct hmmu_live *l);
int hmmu__uffd_register(const struct hmmu_live *l, uintptr_t start,
			uintptr_t end, uint64_t mode);
int hmmu__uffd_unregister(const struct hmmu_live *l, uintptr_t start,
			  uintptr_t end);

/* Around reading and applying events: the lock, exclusively. */
void hmmu__events_begin(struct hmmu_live *l);
void hmmu__events_end(struct hmmu_live *l);
/* The caller is between the two. */
static inline bool hmmu__events_are_own(struct hmmu_live *l)
{
	/* Relaxed: only the caller's own value is ever equal. */
	return atomic_load_explicit(&l->events_owner, memory_order_relaxed) ==
	       hmmu__thread_id();
}

/* look.c */
int hmmu__live_describe(struct hmmu_mm *mm, uintptr_t addr,
			struct hmmu_vma_info *out);
int hmmu__live_describe_next(struct hmmu_mm *mm, uintptr_t addr,
			     struct hmmu_vma_info *out);
int hmmu__live_fault_in(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			bool write);
int hmmu__live_snapshot(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
			uintptr_t start, uintptr_t end, uint64_t *entries);
/* How many whole 2 MiB pages [start, end) holds; both 2 MiB aligned. */
size_t hmmu__large_pages(const struct hmmu_live *l, uintptr_t start,
			 uintptr_t end);
/* True when no page of [start, end) is present. */
bool hmmu__is_absent(const struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* Touches the page at @addr as user code would; -EFAULT if that faults. */
int hmmu__touch(uintptr_t addr, bool write);
/* Reads @words words of 8 bytes at @addr, in the same way. */
int hmmu__peek(uintptr_t addr, uint64_t *to, size_t words);

/* exclude.c */
void hmmu__live_exclude(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			struct hmmu_bitmap512 *skip, uint8_t *why);
bool hmmu__live_may_exclude(struct hmmu_mm *mm, uintptr_t start, uintptr_t end);
void hmmu__keep_collect(struct hmmu_live *l);
/* True if a thread's stack or TLS, known by its robust list, is inside. */
bool hmmu__holds_thread(uintptr_t start, uintptr_t end);

/* events.c: by the service with the events lock held exclusively. */
void hmmu__event_apply(struct hmmu_live *l, const struct uffd_msg *msg);
/* An older change is still to be told: read on while one is under way. */
bool hmmu__events_awaited(const struct hmmu_live *l);
/* Everything has been told. */
void hmmu__events_settled(struct hmmu_live *l);

/* service.c */
int hmmu__service_start(struct hmmu_live *l);
void hmmu__service_stop(struct hmmu_live *l);
bool hmmu__live_is_service(struct hmmu_mm *mm);
void hmmu__live_pump(struct hmmu_mm *mm, uint64_t timeout_ns);
void hmmu__live_events_wait(struct hmmu_mm *mm);
void hmmu__live_quiet(struct hmmu_mm *mm, uint64_t timeout_ns);
bool hmmu__live_is_stuck(struct hmmu_mm *mm, int tid);
void hmmu__live_drain(struct hmmu_mm *mm);

/* In the child of a fork, whether there was a space or not. */
void hmmu__bounds_fork_after_child(void);

/* fork.c */
int hmmu__fork_install(void);
/* Forks of this process since the library was loaded; see look.c. */
extern _Atomic uint32_t hmmu__forks;

#endif
