/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_PORT_INTERNAL_H
#define HMMU_CORE_PORT_INTERNAL_H

/*
 * The whole of a port, for the three files that make it up: port.c (sections),
 * port_access.c (accesses), extable.c (exceptions).
 */

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hmmu/mirror.h>
#include <hmmu/port.h>

#include "base/compiler.h"
#include "base/lock.h"
#include "core/port.h"

/*
 * The states of port.h. The owner goes from USER to SLOW and back. Others make
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
	struct hmmu_port head; /* first: the public pointer is to it */
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
};

static inline struct hmmu_port_full *port_full(const struct hmmu_port *port)
{
	return (struct hmmu_port_full *)(uintptr_t)port;
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

#endif
