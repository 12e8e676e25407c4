/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_BATCH_H
#define HMMU_CORE_BATCH_H

/*
 * A batch: blocks that one migration locks together, in either direction
 *
 * Locking: the blocks are locked in the order of their addresses. The
 * address space's hold (mm.h) is taken before them.
 */

#include "base/compiler.h"
#include "core/block.h"

/* Blocks of a batch. All of their locks are held at once. */
#define HMMU_BATCH_BLOCKS 16u
#define HMMU_BATCH_BYTES  (HMMU_BATCH_BLOCKS * HMMU_LARGE_BYTES)

/*
 * A program that changes its mappings all the time may leave no moment in which
 * a page can move. A migration gives up after CHANGING_NS in which no page has
 * moved. Each wait until no change is running lasts at most QUIET_NS.
 */
#define HMMU_CHANGING_NS  10000000000ull
#define HMMU_QUIET_NS	  100000000ull

/* A range of HMMU_BATCH_BYTES that is not aligned overlaps one more block. */
struct hmmu_batch {
	struct hmmu_block *block[HMMU_BATCH_BLOCKS + 1];
	unsigned int n;
};

/* Not analysed: clang 14 cannot follow a set of locks. */
static inline void hmmu__batch_lock(const struct hmmu_batch *b) HMMU_NO_TSA
{
	unsigned int i;

	for (i = 0; i < b->n; i++)
		hmmu__block_lock(b->block[i]);
}

static inline void hmmu__batch_unlock(const struct hmmu_batch *b) HMMU_NO_TSA
{
	unsigned int i;

	for (i = b->n; i-- > 0;)
		hmmu__block_unlock(b->block[i]);
}

/* The block of @addr. The blocks of @b must be neighbours. */
static inline struct hmmu_block *hmmu__batch_block(const struct hmmu_batch *b,
						   uintptr_t addr)
{
	return b->block[(addr >> HMMU_LARGE_LG2) -
			(b->block[0]->start >> HMMU_LARGE_LG2)];
}

#endif
