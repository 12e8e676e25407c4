/* SPDX-License-Identifier: MIT */
/*
 * The ring of ring.h, which describes the protocol of its cells
 *
 * Locking: none. The head and the tail only hand out positions and are relaxed;
 * the sequences of the cells order the entries.
 */
#include <errno.h>
#include <string.h>

#include <hmmu/space.h>

#include "soft/ring.h"

static struct hmmu_ring_cell *cell_at(const struct hmmu_ring *ring,
				      uint64_t position)
{
	return &ring->cells[position & (ring->depth - 1)];
}

static uint64_t seq_free(uint64_t position)
{
	return 2 * position;
}

static uint64_t seq_filled(uint64_t position)
{
	return 2 * position + 1;
}

static size_t cells_bytes(uint64_t depth)
{
	return depth * sizeof(struct hmmu_ring_cell);
}

int hmmu__ring_init(struct hmmu_ring *ring, uint32_t depth)
{
	uint64_t i;

	HMMU_ASSERT(hmmu_is_power_of_2(depth));
	ring->cells = hmmu_alloc(cells_bytes(depth));
	if (!ring->cells)
		return -ENOMEM;
	ring->depth = depth;
	/* Relaxed: the ring is not visible to others yet. */
	atomic_store_explicit(&ring->tail, 0, memory_order_relaxed);
	atomic_store_explicit(&ring->head, 0, memory_order_relaxed);
	for (i = 0; i < depth; i++)
		atomic_store_explicit(&ring->cells[i].seq, seq_free(i),
				      memory_order_relaxed);
	return 0;
}

void hmmu__ring_fini(struct hmmu_ring *ring)
{
	if (!ring->cells)
		return;
	hmmu_free(ring->cells, cells_bytes(ring->depth));
	ring->cells = NULL;
}

/*
 * Checks each cell, because positions become done in any order. More than the
 * depth is never free: two positions would need the same cell. Acquire pairs
 * with the release in hmmu__ring_done(): the consumer no longer reads the
 * entry.
 */
static bool ring_has_room(const struct hmmu_ring *ring, uint64_t position,
			  uint32_t count)
{
	uint64_t p;

	for (p = position; p < position + count; p++)
		if (atomic_load_explicit(&cell_at(ring, p)->seq,
					 memory_order_acquire) != seq_free(p))
			return false;
	return true;
}

static void fill_cell(struct hmmu_ring *ring, uint64_t position,
		      const void *entry)
{
	struct hmmu_ring_cell *cell = cell_at(ring, position);

	memcpy(cell->entry, entry, HMMU_RING_ENTRY_BYTES);
	/* Pairs with the acquire load in hmmu__ring_take(). */
	atomic_store_explicit(&cell->seq, seq_filled(position),
			      memory_order_release);
}

/*
 * Only the producer that moves the tail past a position can fill the cell of
 * that position. So the cells that were free are still free when the exchange
 * succeeds.
 */
int hmmu__ring_push(struct hmmu_ring *ring, const void *entries, uint32_t count)
{
	const unsigned char *entry = entries;
	uint64_t position, seen;
	uint32_t i;

	position = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	for (;;) {
		if (!ring_has_room(ring, position, count)) {
			seen = position;
			position = atomic_load_explicit(&ring->tail,
							memory_order_relaxed);
			if (position == seen)
				return -EAGAIN;
			continue;
		}
		if (atomic_compare_exchange_weak_explicit(
			    &ring->tail, &position, position + count,
			    memory_order_relaxed, memory_order_relaxed))
			break;
	}
	for (i = 0; i < count; i++)
		fill_cell(ring, position + i,
			  entry + i * HMMU_RING_ENTRY_BYTES);
	return 0;
}

const void *hmmu__ring_take(struct hmmu_ring *ring, uint64_t *ret_position)
{
	struct hmmu_ring_cell *cell;
	uint64_t position, seen;

	position = atomic_load_explicit(&ring->head, memory_order_relaxed);
	for (;;) {
		cell = cell_at(ring, position);
		/* Pairs with the release store in fill_cell(). */
		if (atomic_load_explicit(&cell->seq, memory_order_acquire) !=
		    seq_filled(position)) {
			seen = position;
			position = atomic_load_explicit(&ring->head,
							memory_order_relaxed);
			if (position == seen)
				return NULL;
			continue;
		}
		/* Relaxed: the load above orders the entry. */
		if (atomic_compare_exchange_weak_explicit(
			    &ring->head, &position, position + 1,
			    memory_order_relaxed, memory_order_relaxed))
			break;
	}
	*ret_position = position;
	return cell->entry;
}

void hmmu__ring_done(struct hmmu_ring *ring, uint64_t position)
{
	/* Pairs with ring_has_room() and with hmmu__ring_waited(). */
	atomic_store_explicit(&cell_at(ring, position)->seq,
			      seq_free(position + ring->depth),
			      memory_order_release);
}

/* A position more than a depth back is done: a later one has its cell. */
struct hmmu_ring_wait hmmu__ring_wait_before(const struct hmmu_ring *ring,
					     uint64_t end)
{
	struct hmmu_ring_wait wait = {
		.ring = ring,
		.next = end > ring->depth ? end - ring->depth : 0,
		.end = end,
	};

	return wait;
}

struct hmmu_ring_wait hmmu__ring_wait_all(const struct hmmu_ring *ring)
{
	/* Relaxed: program order includes the caller's own submissions. */
	return hmmu__ring_wait_before(
		ring, atomic_load_explicit(&ring->tail, memory_order_relaxed));
}

bool hmmu__ring_waited(void *arg)
{
	struct hmmu_ring_wait *wait = arg;
	uint64_t seq;

	for (; wait->next < wait->end; wait->next++) {
		/* Pairs with the release store in hmmu__ring_done(). */
		seq = atomic_load_explicit(
			&cell_at(wait->ring, wait->next)->seq,
			memory_order_acquire);
		if (seq < seq_free(wait->next + wait->ring->depth))
			return false;
	}
	return true;
}
