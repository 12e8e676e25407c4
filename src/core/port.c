/* SPDX-License-Identifier: MIT */
/*
 * Ports: open and close
 *
 * A port is in the list of its space from open to close. A thread that waits
 * for one of its sections pins it there, and the close waits for that thread.
 *
 * The program may be compiled with the header of another version, whose inline
 * code has another TLB layout. The words before the TLB are the same in all
 * versions. The rest of the part that such code knows is filled with ones,
 * which match as a tag in no layout. So all accesses of that code go out of
 * line.
 *
 * Locking: the list's lock is taken inside. The caller of close makes sure that
 * no section of the port is open.
 */
#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/epoch.h"
#include "base/fault_point.h"
#include "base/thread.h"
#include "core/device.h"
#include "core/space.h"

#define TLB_OFFSET     offsetof(struct hmmu_port, large)
/* An upper limit for all future layouts. */
#define HEAD_BYTES_MAX (1ul << 20)

/* The inline code of all versions reads these. */
#define AT(field, at)                                             \
	_Static_assert(offsetof(struct hmmu_port, field) == (at), \
		       "the words before the TLB are the same for ever")
AT(section, 0);
AT(gate, 8);
AT(gate_seen, 16);
AT(broken, 24);
AT(depth, 28);
AT(fence, 32);
AT(owner, 36);
AT(large, 40);

_Static_assert(HMMU_PORT_NO_TAG == UINTPTR_MAX, "all ones match in no layout");

static void port_free(struct hmmu_port_full *full)
{
	hmmu_mirror_reader_destroy(full->mirror, full->reader);
	hmmu__free(full->bounce, PORT_BOUNCE_BYTES);
	hmmu__free(full, full->bytes);
}

/* @head_bytes: size of struct hmmu_port in the caller's inline code. */
static void tlb_init(struct hmmu_port_full *full, uint32_t layout,
		     size_t head_bytes)
{
	struct hmmu_port *port = &full->head;

	memset((unsigned char *)port + TLB_OFFSET, 0xff,
	       hmmu_max(head_bytes, sizeof(*port)) - TLB_OFFSET);
	full->large = &full->own[0];
	full->small = &full->own[1];
	if (layout == HMMU_PORT_LAYOUT && head_bytes == sizeof(*port)) {
		full->large = port->large;
		full->small = port->small;
		full->large_mask = HMMU_PORT_LARGE_ENTRIES - 1;
		full->small_mask = HMMU_PORT_SMALL_ENTRIES - 1;
	}
	hmmu__port_tlb_forget(full);
}

static struct hmmu_port_full *port_alloc(struct hmmu_device *device,
					 uint32_t layout, size_t head_bytes)
{
	struct hmmu_port_full *full;
	size_t bytes = sizeof(*full);

	if (head_bytes > sizeof(full->head))
		bytes += head_bytes - sizeof(full->head);
	if (HMMU_FAULT_POINT("port", ENOMEM))
		return NULL;
	full = hmmu__alloc(bytes);
	if (!full)
		return NULL;
	full->bytes = bytes;
	full->device = device;
	full->list = &device->space->ports;
	full->mirror = device->mirror;
	full->bounce = hmmu__alloc(PORT_BOUNCE_BYTES);
	if (!full->bounce ||
	    hmmu_mirror_reader_create(full->mirror, &full->reader) != 0) {
		port_free(full);
		return NULL;
	}
	/* hmmu_mirror_reader_create() has decided it. */
	full->head.fence = hmmu__fast_fence_needed();
	full->small_block = HMMU_PORT_NO_TAG;
	/* No owner. 0 would be a thread that is new to HMMU. */
	full->head.owner = -1;
	tlb_init(full, layout, head_bytes);
	return full;
}

static void list_insert(struct hmmu_port_list *list,
			struct hmmu_port_full *full)
{
	/* seq_cst: pairs with the fence of has_ports(). */
	atomic_fetch_add_explicit(&list->ports, 1, memory_order_seq_cst);
	hmmu__mutex_lock(&list->lock);
	/* gate_seen is 0, so the first begin is slow and checks hold. */
	full->head.gate = list->gate;
	full->next = list->first;
	if (full->next)
		full->next->prev = full;
	list->first = full;
	hmmu__mutex_unlock(&list->lock);
}

static bool list_try_remove(struct hmmu_port_list *list,
			    struct hmmu_port_full *full)
{
	bool is_pinned;

	hmmu__mutex_lock(&list->lock);
	is_pinned = full->pins > 0;
	if (!is_pinned) {
		if (full->prev)
			full->prev->next = full->next;
		else
			list->first = full->next;
		if (full->next)
			full->next->prev = full->prev;
	}
	hmmu__mutex_unlock(&list->lock);
	return !is_pinned;
}

/* A thread that has pinned the port sees no open section and unpins it. */
static void list_remove(struct hmmu_port_list *list,
			struct hmmu_port_full *full)
{
	unsigned int round = 0;

	while (!list_try_remove(list, full))
		hmmu__backoff(&round);
	/* Release: the port's last use of memory is before it. */
	atomic_fetch_sub_explicit(&list->ports, 1, memory_order_release);
}

/* NULL: out of memory. */
static struct hmmu_port_full *
port_open_inside(struct hmmu_device *device, uint32_t layout, size_t head_bytes)
{
	struct hmmu_port_full *full = port_alloc(device, layout, head_bytes);

	if (!full)
		return NULL;
	atomic_fetch_add_explicit(&device->open_ports, 1, memory_order_acq_rel);
	list_insert(full->list, full);
	return full;
}

int hmmu__port_open_layout(struct hmmu_device *device, uint32_t layout,
			   size_t head_bytes, struct hmmu_port **ret_port)
{
	struct hmmu_port_full *full;
	struct hmmu_thread *self;

	if (!device || !ret_port || head_bytes < TLB_OFFSET ||
	    head_bytes > HEAD_BYTES_MAX)
		return -EINVAL;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	full = port_open_inside(device, layout, head_bytes);
	hmmu__leave(self);
	if (!full)
		return -ENOMEM;
	*ret_port = &full->head;
	return 0;
}

static void port_close_inside(struct hmmu_port_full *full)
{
	struct hmmu_device *device = full->device;

	list_remove(full->list, full);
	port_free(full);
	atomic_fetch_sub_explicit(&device->open_ports, 1, memory_order_acq_rel);
}

void hmmu_port_close(struct hmmu_port *port)
{
	struct hmmu_thread *self;
	unsigned int round = 0;

	if (!port)
		return;
	HMMU_ASSERT(port->depth == 0);
	/* Close cannot fail: a thread that is new to HMMU waits for memory. */
	while (!(self = hmmu__enter()))
		hmmu__backoff(&round);
	port_close_inside(port_full(port));
	hmmu__leave(self);
}

void hmmu_port_last_fault(const struct hmmu_port *port,
			  struct hmmu_port_fault *fault)
{
	*fault = port_full(port)->fault;
}

void hmmu_port_set_fault_mode(struct hmmu_port *port, int report_only)
{
	port_full(port)->is_report_only = report_only != 0;
}
