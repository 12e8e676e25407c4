/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_BATCH_H
#define HMMU_CORE_BATCH_H

/*
 * Blocks that are locked together, in the order of their addresses, for one
 * migration in either direction.
 */

#include "base/compiler.h"
#include "core/block.h"

/* So many locks are held at once. */
#define HMMU_BATCH_BLOCKS 16u
#define HMMU_BATCH_BYTES  (HMMU_BATCH_BLOCKS * HMMU_LARGE_BYTES)

/*
 * A program that changes its mappings all the time may leave no moment in which
 * a page can move. Give up when no page has moved for so long; wait for so long
 * until no change is under way.
 */
#define HMMU_CHANGING_NS  10000000000ull
#define HMMU_QUIET_NS	  100000000ull

/* A range of HMMU_BATCH_BYTES may touch one block more. */
struct hmmu_batch {
	struct hmmu_block *block[HMMU_BATCH_BLOCKS + 1];
	unsigned int n;
};

/* clang 14 can not follow a set of locks. */
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

/* The block of @addr, where the blocks of @b are neighbours. */
static inline struct hmmu_block *hmmu__batch_block(const struct hmmu_batch *b,
						   uintptr_t addr)
{
	return b->block[(addr >> HMMU_LARGE_LG2) -
			(b->block[0]->start >> HMMU_LARGE_LG2)];
}

#endif
