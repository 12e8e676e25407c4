/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_SECTIONS_H
#define HMMU_CORE_SECTIONS_H

/*
 * Access sections of ports
 *
 * Overview: a port uses a translation only inside a section. The word `state`
 * has one of these values:
 *
 *   USER   the owner runs its own code or an inline access
 *   SLOW   the owner is in a slow path of the port and uses no translation
 *          before it returns from it
 *   BROKEN the section was aborted: by an invalidation that found it SLOW,
 *          or by another thread while the owner was stopped in a CPU fault
 *
 * An invalidation empties the mirror, increments the gate of each port (the
 * port then drops its TLB at the next begin), executes a membarrier and waits
 * for every section that is open, unless it can abort the section.
 *
 *      port                                 invalidation
 *      section = odd                        mirror entry = 0
 *      (compiler barrier)                   gate += 2
 *      if gate != gate_seen: drop TLB       membarrier
 *      use TLB or mirror                    wait while section is that odd one
 *
 * Forbidden: the port uses the old entry and the invalidation does not wait.
 *
 * Locking: the list's lock guards the list. Threads wait for sections without
 * it. The owner of a port takes no lock.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/mirror.h>
#include <hmmu/port.h>

#include "base/compiler.h"
#include "base/lock.h"

struct hmmu_device;
struct hmmu_mm;

/* --- the owner's side ------------------------------------------------------- */

/*
 * The owner changes USER to SLOW and back. Any thread may change SLOW to
 * BROKEN, and USER to BROKEN while the owner is stopped or is that thread
 * itself. Only the owner leaves BROKEN, when it ends the section.
 */
enum port_state {
	PORT_USER = 0,
	PORT_SLOW,
	PORT_BROKEN,
};

/* Buffer between the program's memory and a section: see port_access.c. */
#define PORT_BOUNCE_BYTES (16ul << 10)

struct hmmu_port_full {
	struct hmmu_port_list *list;
	struct hmmu_device *device;
	struct hmmu_mirror *mirror;
	struct hmmu_mirror_reader *reader;
	_Atomic uint32_t state;

	/* The fields from here to is_report_only are for the owner only. */
	/* The section in which a span was last returned. */
	uint64_t span_section;
	struct hmmu_port_fault fault;
	unsigned char *bounce;
	/* The block of the latest misses on a 4 KiB leaf, and their number. */
	uintptr_t small_block;
	uint32_t small_misses;
	bool is_tlb_used;
	bool is_report_only;

	/* Guarded by list->lock. A waiting thread pins the port in the list. */
	uint32_t pins;
	struct hmmu_port_full *prev;
	struct hmmu_port_full *next;

	/*
	 * The TLB of the out-of-line paths; the masks are its sizes less one.
	 * It is the TLB of @head, if the program's inline code has this layout.
	 * Otherwise it is @own, and no tag ever matches in the inline code.
	 */
	struct hmmu_port_entry *large;
	struct hmmu_port_entry *small;
	uint32_t large_mask;
	uint32_t small_mask;
	struct hmmu_port_entry own[2];

	/* Allocated size: @head may be larger in the program's inline code. */
	size_t bytes;
	/* Last, so that it can be larger. The public pointer points to it. */
	struct hmmu_port head __attribute__((aligned(64)));
};

static inline struct hmmu_port_full *port_full(const struct hmmu_port *port)
{
	return hmmu_container_of((struct hmmu_port *)(uintptr_t)port,
				 struct hmmu_port_full, head);
}

/*
 * Begins a new section in place of an aborted one; does nothing otherwise.
 * Returns -EAGAIN if the aborted section had a span: the program must drop it
 * and end the section. Only the owner calls it, in state USER or BROKEN.
 */
int hmmu__port_settle(struct hmmu_port_full *full);

/*
 * Enclose code that may wait for other threads. Begin returns false if the
 * section is aborted; end must not be called then. Use no translation between
 * them, and after them only when hmmu__port_settle() has been called.
 */
bool hmmu__port_slow_begin(struct hmmu_port_full *full);
void hmmu__port_slow_end(struct hmmu_port_full *full);

/* Records a device fault and returns @error. */
int hmmu__port_set_fault(struct hmmu_port_full *full, uintptr_t va,
			 enum hmmu_access access, int error);

/* Empties the TLB. */
void hmmu__port_tlb_forget(struct hmmu_port_full *full);

/* --- threads that wait for sections ----------------------------------------- */

/*
 * All ports of a space. @lock is held only to walk or edit the list: a thread
 * that waits for a port pins it and releases the lock. @waiters_pending counts
 * invalidations between changing and changed: another one, which found the
 * mirror empty already, must wait for the same sections.
 */
struct hmmu_port_list {
	struct hmmu_mutex lock;
	struct hmmu_port_full *first HMMU_GUARDED_BY(&lock);
	/* The value that the gates of all ports have been moved to. */
	uint64_t gate HMMU_GUARDED_BY(&lock);
	_Atomic uint32_t ports;
	_Atomic uint32_t waiters_pending;
	/* Futex word: number of holds. Sections begin only while it is 0. */
	_Atomic uint32_t hold;
	_Atomic uint32_t hold_waiters;
	_Atomic uint64_t broken_count;
	_Atomic uint64_t overdue_count;
};

void hmmu__ports_init(struct hmmu_port_list *list);
void hmmu__ports_fini(struct hmmu_port_list *list);

/*
 * An invalidation calls changing, empties the mirrors, and calls changed, which
 * waits for sections. @unmapped: a mirror had leaves of the range. If none had,
 * changed waits only if another invalidation may have removed them. Returns
 * true if it has waited.
 */
void hmmu__ports_changing(struct hmmu_port_list *list);
bool hmmu__ports_changed(struct hmmu_port_list *list, bool unmapped,
			 struct hmmu_mm *mm);

/*
 * Implement hmmu__core_ports_hold(), _release(), _idle() and
 * hmmu__core_break(). Break: thread @tid is stopped in a CPU fault until the
 * call returns. A running thread would go on to use translations of the aborted
 * section.
 */
void hmmu__ports_hold(struct hmmu_port_list *list, struct hmmu_mm *mm);
void hmmu__ports_release(struct hmmu_port_list *list);
bool hmmu__ports_idle(struct hmmu_port_list *list);
void hmmu__ports_break(struct hmmu_port_list *list, int tid);
/*
 * Aborts the caller's own sections. It is about to wait for a thread that may
 * wait for them.
 */
void hmmu__ports_break_own(struct hmmu_port_list *list);
/* True if a port of thread @tid is in a section. */
bool hmmu__ports_in_section(struct hmmu_port_list *list, int tid);

#endif
