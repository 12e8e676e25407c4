/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_STATE_H
#define HMMU_LIVE_STATE_H

/*
 * The state of the live address space: this process's memory
 *
 * It is for the files of this folder. Each has a header of its own for what it
 * does. A file may include those before it:
 *
 *	vma  pagescan  probe        what the kernel reports
 *	touch  look  uffd  task     lookups, and the calls of the userfaultfd
 *	inbox  records              messages that were read; registered mappings
 *	watch  pool  hole  page     register mappings, move pages
 *	exclude  displaced          pages that stay; orphaned pages
 *	events  service             apply events; the fault service
 *	live                        create and destroy, table of operations
 *	current  fork  hooks/       the process's space; fork and libc calls
 *
 * Locks, in the order of their ranks: events (EVENTS), watch_lock (WATCH),
 * inbox_lock (LEAF). The block locks of core lie between the first two.
 */

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/itree.h"
#include "base/lock.h"
#include "base/sys.h"
#include "live/pagescan.h"
#include "live/probe.h"
#include "live/vma.h"
#include "mm.h"
#include "uapi/linux_mm.h"

/* Messages of one kind in the inbox. */
#define HMMU_INBOX_MESSAGES 1024u

/* A ring: first in, first out. */
struct hmmu_inbox_queue {
	uint32_t head;
	uint32_t count;
	struct uffd_msg *msg;
};

/* Mappings whose unmap event is pending, and discards that are pending. */
#define HMMU_AWAITED	   256u
#define HMMU_DISCARDS	   32u

/* Segments of libhmmu, libc and the loader: three each, and some to spare. */
#define HMMU_STATIC_RANGES 64u

/*
 * A mapping that is registered with our userfaultfd. It is in one of two
 * states:
 * - WATCHED: changes raise events. Page faults work as without registration.
 * - ARMED: also, a CPU thread that accesses an absent page waits until the
 *   service has put the page. A mapping is armed while one of its pages is on a
 *   device; the blocks know whether one is.
 */
struct hmmu_watch {
	struct hmmu_itree_node node;
	bool armed;
	/* A large page was seen in it: fill holes with large pages. */
	bool saw_large;
	/* Armed in user mode, and its holes are not filled since. */
	bool has_holes;
	/* Where the last search found a device page: see is_away_locked(). */
	uintptr_t away_at;
};

struct hmmu_displaced;

struct hmmu_static_range {
	uintptr_t start;
	uintptr_t end;
};

/* See events.c. @move_told: a remap event of it was read. */
struct hmmu_awaited {
	uintptr_t start;
	uintptr_t end;
	bool move_told;
};

/* A discard that may not have happened before @until_ns. */
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

	/*
	 * See mm.h. Held exclusively from before events are read until they are
	 * applied.
	 */
	struct hmmu_rwlock events;
	/*
	 * Events that were read and not applied: the number in @inbox_events.
	 */
	_Atomic uint32_t unprocessed;

	struct hmmu_mutex watch_lock;
	struct hmmu_itree watches HMMU_GUARDED_BY(&watch_lock);

	struct hmmu_mutex inbox_lock;
	struct hmmu_inbox_queue inbox_faults HMMU_GUARDED_BY(&inbox_lock);
	struct hmmu_inbox_queue inbox_events HMMU_GUARDED_BY(&inbox_lock);

	/* The fault service. @stack is NULL if it is not running. */
	pthread_t thread;
	void *stack;
	int wake_fd;
	int fdinfo_fd;
	_Atomic int service_tid;
	_Atomic bool stop;
	/*
	 * The thread that reads and applies events, with @events held
	 * exclusively. 0: none.
	 */
	_Atomic int events_owner;

	/* The hooks of C library calls are enabled. */
	bool hooks;
	/* User mode: the hooks pin the buffers of system calls, see lend.h. */
	bool lends;

	/*
	 * An armed mapping may have no device page: the service checks later.
	 */
	_Atomic bool disarm_later;

	/* Used by the service only. */
	struct hmmu_awaited awaited[HMMU_AWAITED];
	unsigned int awaits;
	struct hmmu_displaced *displaced;
	/*
	 * The thread that was last woken in mremap, and its page: see
	 * serve_mremap_populate().
	 */
	int populate_tid;
	uintptr_t populate_page;
	bool populate_is_filled;

	/* Written with @events held exclusively. */
	struct hmmu_discard discard[HMMU_DISCARDS];

	/*
	 * A large zeroed page to fill large holes with. Used by the service
	 * only.
	 */
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

#endif
