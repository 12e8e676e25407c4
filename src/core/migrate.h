/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_MIGRATE_H
#define HMMU_CORE_MIGRATE_H

/*
 * One migration to a device, handed down through its steps.
 */

#include "core/core.h"

/* Blocks of one batch: so many locks are held at once. */
#define HMMU_BATCH_BLOCKS 16u
#define HMMU_BATCH_BYTES  (HMMU_BATCH_BLOCKS * HMMU_LARGE_BYTES)

/*
 * While a program changes its mappings all the time there may be no moment to move
 * a page in. So long it is tried without any success, both ways; and so long one
 * waits for the moment.
 */
#define HMMU_CHANGING_NS  10000000000ull
#define HMMU_QUIET_NS	  100000000ull

struct hmmu_migration {
	struct hmmu_space *space;
	struct hmmu_device *device;
	/* Where the pages go. */
	struct hmmu_memory *memory;
	enum hmmu_event event;
	struct hmmu_migrate_result result;
	/* Blocks of the batch, locked in this order. */
	struct hmmu_block *block[HMMU_BATCH_BLOCKS + 1];
	unsigned int blocks;
	/* The page that was made exclusive last: it gets one try (MV13). */
	uintptr_t retried;
	/* Out of a batch: first address not dealt with yet. */
	uintptr_t at;
	/* Out of a batch: make [at, at + bytes) exclusive, then go on. */
	size_t unshare_bytes;
	/* Out of a batch: nothing was tried, see hmmu_mm_ops.take_begin. */
	bool refused;
	/* Room for one block's reasons. */
	uint8_t why[HMMU_PAGES_PER_LARGE];
};

static inline void hmmu__stayed(struct hmmu_migration *m, enum hmmu_stay why,
				uint64_t pages)
{
	m->result.pages_stayed += pages;
	m->result.stayed[why] += pages;
}

/*
 * -EOPNOTSUPP where the address space can not take pages. The first call that
 * meets this logs the reason.
 */
int hmmu__take_check(struct hmmu_space *space);

/*
 * Moves what can be moved of [start, end), as @m says and into its result.
 * Holding nothing. 0 or -ENOMEM.
 */
int hmmu__migration_run(struct hmmu_migration *m, uintptr_t start,
			uintptr_t end);

/*
 * Moves what can be moved of [m->at, end), which is locked. 0: all dealt with;
 * -EAGAIN: let go and begin again at m->at. migrate_batch.c.
 */
int hmmu__batch_take(struct hmmu_migration *m, uintptr_t end);

#endif
