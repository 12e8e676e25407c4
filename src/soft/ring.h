/* SPDX-License-Identifier: MIT */
/*
 * A bounded ring of 64-byte entries: many producers, many consumers, no lock
 *
 * Overview: position p is in cell p % depth. The sequence of a cell gives the
 * position and its state:
 *
 *   2 * p              free for position p
 *   2 * p + 1          position p is filled, or taken and not yet done
 *   2 * (p + depth)    position p is done; free for position p + depth
 *
 * A producer moves the tail to take positions, fills the cells and stores their
 * sequences (release). A consumer moves the head to take a position and uses
 * the entry in place. It gives the cell back when the work is done, so the
 * cells also show which positions are done. A fence waits for these.
 *
 * No function here waits. If a producer is stopped after it has taken a
 * position and before it has filled the cell, consumers stop at that cell.
 * Other producers continue.
 */
#ifndef HMMU_SOFT_RING_H
#define HMMU_SOFT_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define HMMU_RING_ENTRY_BYTES 64u

struct hmmu_ring_cell {
	_Atomic uint64_t seq HMMU_CACHE_ALIGNED;
	unsigned char entry[HMMU_RING_ENTRY_BYTES] HMMU_CACHE_ALIGNED;
};

struct hmmu_ring {
	_Atomic uint64_t tail HMMU_CACHE_ALIGNED;
	_Atomic uint64_t head HMMU_CACHE_ALIGNED;
	struct hmmu_ring_cell *cells HMMU_CACHE_ALIGNED;
	uint64_t depth;
};

/* @depth is a power of two. Returns 0 or -ENOMEM. */
int hmmu__ring_init(struct hmmu_ring *ring, uint32_t depth) HMMU_MUST_CHECK;
void hmmu__ring_fini(struct hmmu_ring *ring);

/*
 * Put @count entries at consecutive positions, or none: -EAGAIN if there is no
 * room. @entries has @count * 64 bytes.
 */
int hmmu__ring_push(struct hmmu_ring *ring, const void *entries, uint32_t count)
	HMMU_MUST_CHECK;

/*
 * Take the next position, or return NULL when none is filled. The entry stays
 * valid until hmmu__ring_done() of *@ret_position.
 */
const void *hmmu__ring_take(struct hmmu_ring *ring, uint64_t *ret_position)
	HMMU_MUST_CHECK;
void hmmu__ring_done(struct hmmu_ring *ring, uint64_t position);

/* A wait for positions: those in [next, end) may still be pending. */
struct hmmu_ring_wait {
	const struct hmmu_ring *ring;
	uint64_t next;
	uint64_t end;
};

/* Wait for all positions before @end. Producers have taken all of them. */
struct hmmu_ring_wait hmmu__ring_wait_before(const struct hmmu_ring *ring,
					     uint64_t end);
/* Wait for all positions that producers have taken so far. */
struct hmmu_ring_wait hmmu__ring_wait_all(const struct hmmu_ring *ring);

/*
 * True when all of them are done. Acquire: everything before hmmu__ring_done()
 * of these positions is visible. @arg is a struct hmmu_ring_wait.
 */
bool hmmu__ring_waited(void *arg);

#endif
