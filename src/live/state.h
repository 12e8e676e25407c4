/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_STATE_H
#define HMMU_LIVE_STATE_H

/*
 * The live address space: this process's real memory
 *
 * This is its state, for the files of this folder; each has a header of its own
 * for what it does. A file may include those before it:
 *
 *      vma  pagescan  probe        the kernel's answers
 *      touch  look  uffd  task     looking, and the calls of the userfaultfd
 *      inbox  records              messages that were read; registered mappings
 *      watch  pool  hole  page     registering, and moving pages
 *      exclude  displaced          what must stay; pages at no address
 *      events  service             applying events; the fault service
 *      live                        makes and ends it, the table of operations
 *      current  fork  hooks/       the process's one; around fork and libc calls
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

/* Messages of one kind that have been read and wait for the service. */
#define HMMU_INBOX_MESSAGES 1024u

/* First in, first out. */
struct hmmu_inbox_queue {
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

struct hmmu_displaced;

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
	/* Events that have been read and not been applied: @inbox_events. */
	_Atomic uint32_t unprocessed;

	struct hmmu_mutex watch_lock;
	struct hmmu_itree watches HMMU_GUARDED_BY(&watch_lock);

	struct hmmu_mutex inbox_lock;
	struct hmmu_inbox_queue inbox_faults HMMU_GUARDED_BY(&inbox_lock);
	struct hmmu_inbox_queue inbox_events HMMU_GUARDED_BY(&inbox_lock);

	/* The fault service; @stack is NULL while there is none. */
	pthread_t thread;
	void *stack;
	int wake_fd;
	int fdinfo_fd;
	_Atomic int service_tid;
	_Atomic bool stop;
	/* The thread that reads and applies events, holding @events so; 0: none. */
	_Atomic int events_owner;

	/* The hooks of the C library's calls do something. */
	bool hooks;
	/* The kernel is not served: system calls' memory is lent, see lend.h. */
	bool lends;

	/* Something armed has nothing away; told to the service. */
	_Atomic bool disarm_later;

	/* The service's own. */
	struct hmmu_awaited awaited[HMMU_AWAITED];
	unsigned int awaits;
	struct hmmu_displaced *displaced;
	/* Who was last woken in mremap, and where: see serve_mremap_populate(). */
	int populate_tid;
	uintptr_t populate_page;
	bool populate_is_filled;

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

#endif
