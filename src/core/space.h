/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_SPACE_H
#define HMMU_CORE_SPACE_H

/*
 * A space: what core keeps for one address space
 *
 * It is made over an address space that the caller hands in (mm.h), and ends
 * it. There may be several; whichever is the process's own, and who closes it,
 * is the business of src/api.
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <hmmu/space.h>

#include "base/lock.h"
#include "base/thread.h"
#include "core/block.h"
#include "core/notifier.h"
#include "core/pin.h"
#include "core/sections.h"
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
	_Atomic uint64_t device_pages;
};

struct hmmu_space {
	struct hmmu_mm *mm;
	struct hmmu_notifier_set notifiers;
	struct hmmu_block_index blocks;
	struct hmmu_port_list ports;
	struct hmmu_pin_set pins;
	struct hmmu_counters counters;
	struct hmmu_mutex lock;
	struct hmmu_device *devices HMMU_GUARDED_BY(&lock);
	/* Devices, memories and subscriptions: it can not be closed while > 0. */
	_Atomic uint32_t users;
	/* The log has the reason why no page can be taken. */
	_Atomic bool no_take_logged;
};

/* NULL: no memory. Owns @mm from now on; sets @mm->space. */
struct hmmu_space *hmmu__space_create(struct hmmu_mm *mm);
/* No users, no device pages; ends its address space, too. */
void hmmu__space_destroy(struct hmmu_space *space);

static inline void hmmu__space_user_add(struct hmmu_space *space)
{
	atomic_fetch_add_explicit(&space->users, 1, memory_order_acq_rel);
}

static inline void hmmu__space_user_remove(struct hmmu_space *space)
{
	atomic_fetch_sub_explicit(&space->users, 1, memory_order_acq_rel);
}

static inline bool hmmu__space_is_usable(const struct hmmu_space *space)
{
	return hmmu__mm_is_usable(space->mm);
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

/*
 * The same for a call that may wait for sections of other threads, which may
 * wait for the caller's own: those are broken.
 */
HMMU_MUST_CHECK static inline int
hmmu__space_enter_to_wait(struct hmmu_space *space, struct hmmu_thread **self)
{
	int err = hmmu__space_enter(space, self);

	if (!err)
		hmmu__ports_break_own(&space->ports);
	return err;
}

/* A range of the public API: page aligned, not empty, not wrapping. */
static inline bool hmmu__range_is_valid(uintptr_t start, uintptr_t end)
{
	return start < end && start % HMMU_PAGE_BYTES == 0 &&
	       end % HMMU_PAGE_BYTES == 0;
}

#endif
