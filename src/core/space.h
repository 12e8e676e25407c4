/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_SPACE_H
#define HMMU_CORE_SPACE_H

/*
 * A space: the state that core keeps for one address space
 *
 * The caller of hmmu__space_create() supplies the address space (mm.h).
 * hmmu__space_destroy() destroys it, too. Several spaces can exist; src/api
 * decides which of them is the process's own, and closes it.
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

/* Counters of struct hmmu_space_stats that core itself increments; relaxed. */
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
	/* Devices, memories and subscriptions. The space closes only at 0. */
	_Atomic uint32_t users;
	/* mm->no_take or mm->take_warning has been logged. */
	_Atomic bool take_logged;
};

/* Takes ownership of @mm and sets @mm->space. NULL: out of memory. */
struct hmmu_space *hmmu__space_create(struct hmmu_mm *mm);
/*
 * Destroys @space and its address space. The caller has made sure that it has
 * no users and no device pages.
 */
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
 * Enters the library for a public call on @space, as hmmu__enter(). The public
 * call returns an error (-ECHILD, -ENOMEM) to its caller.
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
 * The same for a call that may wait for sections of other threads. Those
 * threads may wait for the caller's own sections, so it aborts its own.
 */
HMMU_MUST_CHECK static inline int
hmmu__space_enter_to_wait(struct hmmu_space *space, struct hmmu_thread **self)
{
	int err = hmmu__space_enter(space, self);

	if (!err)
		hmmu__ports_break_own(&space->ports);
	return err;
}

/* Checks a range of the public API: aligned, not empty, does not wrap. */
static inline bool hmmu__range_is_valid(uintptr_t start, uintptr_t end)
{
	return start < end && start % HMMU_PAGE_BYTES == 0 &&
	       end % HMMU_PAGE_BYTES == 0;
}

#endif
