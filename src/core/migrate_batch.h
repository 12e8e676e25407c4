/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_MIGRATE_BATCH_H
#define HMMU_CORE_MIGRATE_BATCH_H

/*
 * One migration to a device, handed down through its steps
 */

#include <hmmu/migrate.h>

#include "core/batch.h"
#include "core/space.h"

struct hmmu_migration {
	struct hmmu_space *space;
	struct hmmu_device *device;
	/* Where the pages go. */
	struct hmmu_memory *memory;
	enum hmmu_event event;
	struct hmmu_migrate_result result;
	struct hmmu_batch batch;
	/* The page that was unshared last: it gets one try (MV13). */
	uintptr_t retried;
	/* Out of a batch: first address not dealt with yet. */
	uintptr_t at;
	/* Out of a batch: unshare [at, at + bytes), then go on. */
	size_t unshare_bytes;
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
 * Moves what can be moved of [m->at, end), whose blocks are locked, in a hold
 * for taking. 0: all dealt with; -EAGAIN: release the locks and begin again at
 * m->at.
 */
int hmmu__batch_take(struct hmmu_migration *m, uintptr_t end);

#endif
