/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_PORT_H
#define HMMU_CORE_PORT_H

/*
 * Ports, as invalidation and the fault service see them
 *
 * States of a port's section, in the word `state`:
 *
 *   USER   the owner runs its own code or an inline access
 *   SLOW   the owner is inside a slow path of the port and uses no
 *          translation until it has left it
 *   BROKEN the section was taken away: by an invalidation that found SLOW, or
 *          by the service that found the owner stopped in a CPU fault
 *
 * An invalidation empties the mirror, moves the gate of each port (so that the
 * TLB is dropped at the next begin), executes a membarrier and waits for every
 * section that was open then, unless it can break it.
 *
 *      port                                 invalidation
 *      section = odd                        mirror entry = 0
 *      (compiler barrier)                   gate += 2
 *      if gate != gate_seen: drop TLB       membarrier
 *      use TLB or mirror                    wait while section is that odd one
 *
 * Forbidden: the port uses the old entry and the invalidation does not wait.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/port.h>

#include "base/lock.h"

struct hmmu_space;
struct hmmu_device;
struct hmmu_mm;

/*
 * All ports of a space; embedded in struct hmmu_space. @list is guarded by
 * @lock (rank LEAF-like THREADS; held only to walk or edit the list, copied
 * out under it or waits are done with a reference count on the port).
 * @waiters_pending counts invalidations between "mirror emptied" and "sections
 * ended": another one whose own unmap found nothing must wait too.
 */
struct hmmu_port_list {
	struct hmmu_mutex lock;
	struct hmmu_port_full *first HMMU_GUARDED_BY(&lock);
	/* The value that the gates of all ports have been moved to. */
	uint64_t gate HMMU_GUARDED_BY(&lock);
	_Atomic uint32_t ports;
	_Atomic uint32_t waiters_pending;
	/* Futex word: how many holds there are; sections begin while 0. */
	_Atomic uint32_t hold;
	_Atomic uint32_t hold_waiters;
	_Atomic uint64_t broken_count;
	_Atomic uint64_t overdue_count;
};

void hmmu__ports_init(struct hmmu_port_list *list);
void hmmu__ports_fini(struct hmmu_port_list *list);

/*
 * Around emptying mirrors, in this order: changing, empty, changed. Between
 * the two another invalidation may find nothing to empty and must wait for the
 * same sections: @unmapped is whether the caller found anything itself. True:
 * sections were waited for.
 */
void hmmu__ports_changing(struct hmmu_port_list *list);
bool hmmu__ports_changed(struct hmmu_port_list *list, bool unmapped,
			 struct hmmu_mm *mm);

/*
 * Mirrors have been emptied: TLBs are dropped and sections that began before
 * have ended (or are broken) when it returns. @mm gives pump().
 */
void hmmu__ports_wait(struct hmmu_port_list *list, struct hmmu_mm *mm);

/*
 * hmmu__core_ports_hold() and _release(), _idle(), hmmu__core_break(). Break:
 * the thread stands in a CPU fault and can not go on until the call returns:
 * who runs on uses memory that a broken section gave up.
 */
void hmmu__ports_hold(struct hmmu_port_list *list, struct hmmu_mm *mm);
void hmmu__ports_release(struct hmmu_port_list *list);
bool hmmu__ports_idle(struct hmmu_port_list *list);
void hmmu__ports_break(struct hmmu_port_list *list, int tid);
/* True if a port of thread @tid is in a section. */
bool hmmu__ports_in_section(struct hmmu_port_list *list, int tid);

/* --- what the port needs of core (device.c, fault.c) ----------------------- */

struct hmmu_mirror;
struct hmmu_port_list *hmmu__device_ports(struct hmmu_device *device);
/* Counts open ports, so that a device in use is not destroyed. */
void hmmu__device_port_opened(struct hmmu_device *device);
void hmmu__device_port_closed(struct hmmu_device *device);
/* hmmu_device_fault() without argument checks; enters the thread layer. */
int hmmu__device_fault(struct hmmu_device *device, uintptr_t va, size_t bytes,
		       enum hmmu_access access);

/* --- exceptions: src/core/extable.c ----------------------------------------- */

/*
 * Installs the SIGSEGV and SIGBUS handler once per process; what was installed
 * before gets what is not ours. 0 or -errno.
 */
int hmmu__signals_install(void);

#endif
