/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_CORE_H
#define HMMU_CORE_CORE_H

/*
 * What the parts of core share: the space and the device.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <hmmu/device.h>
#include <hmmu/space.h>

#include "base/lock.h"
#include "base/process.h"
#include "base/thread.h"
#include "core/block.h"
#include "core/notifier.h"
#include "core/pin.h"
#include "core/port.h"
#include "mm.h"

/* Counters of struct hmmu_space_stats that core itself raises; relaxed. */
struct hmmu_counters {
	_Atomic uint64_t device_faults;
	_Atomic uint64_t device_fault_retries;
	_Atomic uint64_t cpu_faults;
	_Atomic uint64_t hole_faults;
	_Atomic uint64_t pages_to_device;
	_Atomic uint64_t large_to_device;
	_Atomic uint64_t pages_home;
	_Atomic uint64_t large_home;
	_Atomic uint64_t pages_copied;
	_Atomic uint64_t pages_dropped;
	_Atomic uint64_t invalidations;
	_Atomic uint64_t events_unmap;
	_Atomic uint64_t events_remove;
	_Atomic uint64_t events_remap;
	_Atomic uint64_t events_late;
	_Atomic uint64_t thp_lost;
	_Atomic uint64_t device_pages;
};

static inline void hmmu__count(_Atomic uint64_t *counter, uint64_t n)
{
	/* Relaxed: a figure for people. */
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

struct hmmu_space {
	struct hmmu_mm *mm;
	struct hmmu_notifier_set notifiers;
	struct hmmu_block_index blocks;
	struct hmmu_port_list ports;
	struct hmmu_pin_set pins;
	struct hmmu_counters counters;
	struct hmmu_mutex lock;
	struct hmmu_device *devices HMMU_GUARDED_BY(&lock);
	/* See hmmu__core_displace(); the service's own. */
	struct hmmu_displaced *displaced;
	/* Devices, memories and subscriptions that stand in close's way. */
	_Atomic uint32_t users;
	/* The log has the reason why no page can be taken. */
	_Atomic bool no_take_logged;
	/* A fork child has the memory of the space, not the space. */
	_Atomic bool forked;
	bool hooks;
	/* The kernel is not served: system calls' memory is lent, see lend.h. */
	bool lends;
	uint32_t opens;
};

struct hmmu_device {
	struct hmmu_notifier sub;
	struct hmmu_space *space;
	struct hmmu_memory *memory;
	/* What it has exclusively; made when it first wants something so. */
	struct hmmu_memory *exclusive;
	struct hmmu_mirror *mirror;
	struct hmmu_device_ops ops;
	void *arg;
	/* One past the last address the mirror can map. */
	uintptr_t va_limit;
	uint32_t fault_around_pages;
	_Atomic uint32_t open_ports;
	struct hmmu_device *next;
	char name[32];
};

/* False after fork in the child, however made, where every call gets -ECHILD. */
static inline bool hmmu__space_is_usable(const struct hmmu_space *space)
{
	return !atomic_load_explicit(&space->forked, memory_order_acquire) &&
	       hmmu__process_is_ours();
}

/*
 * As hmmu__enter(), for a call of the public API on @space: -ECHILD or -ENOMEM
 * is the call's result.
 */
HMMU_MUST_CHECK static inline int
hmmu__space_enter(const struct hmmu_space *space, struct hmmu_thread **self)
{
	if (!hmmu__space_is_usable(space))
		return -ECHILD;
	*self = hmmu__enter();
	return *self ? 0 : -ENOMEM;
}

/* A range of the public API: page aligned, not empty, not wrapping. */
static inline bool hmmu__range_is_valid(uintptr_t start, uintptr_t end)
{
	return start < end && start % HMMU_PAGE_BYTES == 0 &&
	       end % HMMU_PAGE_BYTES == 0;
}

/* The live space's maker; space.c calls it. Sets @space->mm and @hooks. */
int hmmu__live_create(struct hmmu_space *space,
		      const struct hmmu_space_options *o, const char **why);
void hmmu__live_destroy(struct hmmu_mm *mm);

/* The space of this process or NULL; lock-free. */
extern struct hmmu_space *_Atomic hmmu__live_space;

/* True while that one lends: all that a hook around I/O asks elsewhere. */
extern _Atomic bool hmmu__lends;

/*
 * The space of this process, which is not closed before it is returned; NULL:
 * there is none, and nothing is owed. Inside.
 */
struct hmmu_space *hmmu__space_borrow(void);
void hmmu__space_return(void);

/* Around fork, by the live space's handlers. */
void hmmu__space_forked(struct hmmu_space *space);

/* Ends the pool of what @d has had exclusively, which is empty. */
void hmmu__exclusive_fini(struct hmmu_device *d);

/*
 * All of the range is home and present, for a pin also writable where it may be;
 * 0, or an error of hmmu_make_resident(). Holding nothing.
 */
int hmmu__make_resident(struct hmmu_space *space, uintptr_t start,
			uintptr_t end, bool for_pin);

/*
 * Brings the device pages of a range home, @only's or everybody's, waiting out
 * changes. Holding nothing.
 */
int hmmu__range_home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     const struct hmmu_device *only,
		     struct hmmu_migrate_result *result);

#endif
