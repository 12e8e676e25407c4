/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_MIGRATE_BATCH_H
#define HMMU_CORE_MIGRATE_BATCH_H

/*
 * One migration to a device: its state, and the step for one batch
 */

#include <hmmu/migrate.h>

#include "core/batch.h"
#include "core/space.h"

struct hmmu_migration {
	struct hmmu_space *space;
	struct hmmu_device *device;
	/* The pages migrate to this memory. */
	struct hmmu_memory *memory;
	enum hmmu_event event;
	struct hmmu_migrate_result result;
	struct hmmu_batch batch;
	/* The last page that was unshared. It is tried once more (MV13). */
	uintptr_t retried;
	/* The first address that is not done. A batch moves it on. */
	uintptr_t at;
	/* Set by a batch: unshare [at, at + unshare_bytes), then call again. */
	size_t unshare_bytes;
	/* Buffer: why each page of the current block cannot migrate. */
	uint8_t why[HMMU_PAGES_PER_LARGE];
};

/* Counts @pages that do not migrate because of @why. */
static inline void hmmu__stayed(struct hmmu_migration *m, enum hmmu_stay why,
				uint64_t pages)
{
	m->result.pages_stayed += pages;
	m->result.stayed[why] += pages;
}

/*
 * Takes the pages of [m->at, end) that can be taken. The caller has locked the
 * blocks, in a hold for taking. Returns 0 when the batch is done, -ENOMEM, or
 * -EAGAIN: the caller releases the locks and calls again from m->at.
 */
int hmmu__batch_take(struct hmmu_migration *m, uintptr_t end);

#endif
