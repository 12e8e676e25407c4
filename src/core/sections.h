/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_SECTIONS_H
#define HMMU_CORE_SECTIONS_H

/*
 * Sections of ports
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

#include <hmmu/mirror.h>
#include <hmmu/port.h>

#include "base/compiler.h"
#include "base/lock.h"

struct hmmu_device;
struct hmmu_mm;

/* --- the owner's side ------------------------------------------------------- */

/*
 * The states. The owner goes from USER to SLOW and back. Others make
 * SLOW to BROKEN at any time, and USER to BROKEN while the owner is stopped or
 * is themselves. From BROKEN only the owner comes back, by ending the section.
 */
enum port_state {
	PORT_USER = 0,
	PORT_SLOW,
	PORT_BROKEN,
};

/* Between the program's buffers and a section: see port_access.c. */
#define PORT_BOUNCE_BYTES (16ul << 10)

struct hmmu_port_full {
	struct hmmu_port_list *list;
	struct hmmu_device *device;
	struct hmmu_mirror *mirror;
	struct hmmu_mirror_reader *reader;
	_Atomic uint32_t state;

	/* The owner's own. The section in which a span was handed out: */
	uint64_t span_section;
	struct hmmu_port_fault fault;
	unsigned char *bounce;
	/* 2 MiB of the latest misses that found a 4 KiB leaf, and how many. */
	uintptr_t small_block;
	uint32_t small_misses;
	bool is_tlb_used;
	bool is_report_only;

	/* Guarded by list->lock; who waits for the port pins it in the list. */
	uint32_t pins;
	struct hmmu_port_full *prev;
	struct hmmu_port_full *next;

	/*
	 * The TLB of the paths out of line, and one less than its entries. It is
	 * that of @head, if the inline code that has the port knows the same.
	 * Else it is @own, and of what that code takes for tags none ever matches.
	 */
	struct hmmu_port_entry *large;
	struct hmmu_port_entry *small;
	uint32_t large_mask;
	uint32_t small_mask;
	struct hmmu_port_entry own[2];

	/* Of all of this, with what inline code may know behind the head. */
	size_t bytes;
	/* Last, so that there can be more. The public pointer is to it. */
	struct hmmu_port head __attribute__((aligned(64)));
};

static inline struct hmmu_port_full *port_full(const struct hmmu_port *port)
{
	return hmmu_container_of((struct hmmu_port *)(uintptr_t)port,
				 struct hmmu_port_full, head);
}

/*
 * In a section, state USER or BROKEN: makes the section good again. -EAGAIN if
 * it was broken and spans were handed out in it; without spans a new one has
 * begun. The owner only.
 */
int hmmu__port_settle(struct hmmu_port_full *full);

/*
 * Around what may wait for others. Begin: false if the section is broken, then
 * there is no end. Between them no translation may be used, and after them
 * only when hmmu__port_settle() has been called.
 */
bool hmmu__port_slow_begin(struct hmmu_port_full *full);
void hmmu__port_slow_end(struct hmmu_port_full *full);

/* Records a device fault and returns @error. */
int hmmu__port_set_fault(struct hmmu_port_full *full, uintptr_t va,
			 enum hmmu_access access, int error);

/* No entry of the TLB matches any more. */
void hmmu__port_tlb_forget(struct hmmu_port_full *full);

/* --- those who wait ---------------------------------------------------------- */

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
 * hmmu__core_ports_hold() and _release(), _idle(), hmmu__core_break(). Break:
 * the thread stands in a CPU fault and can not go on until the call returns:
 * who runs on uses memory that a broken section gave up.
 */
void hmmu__ports_hold(struct hmmu_port_list *list, struct hmmu_mm *mm);
void hmmu__ports_release(struct hmmu_port_list *list);
bool hmmu__ports_idle(struct hmmu_port_list *list);
void hmmu__ports_break(struct hmmu_port_list *list, int tid);
/* The caller's own: it is about to wait for who may wait for them. */
void hmmu__ports_break_own(struct hmmu_port_list *list);
/* True if a port of thread @tid is in a section. */
bool hmmu__ports_in_section(struct hmmu_port_list *list, int tid);

#endif
