/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_MIGRATE_H
#define HMMU_CORE_MIGRATE_H

#include "core/migrate_batch.h"

/*
 * Returns 0, or -EOPNOTSUPP if the address space cannot take pages. The first
 * failing call logs the reason.
 */
int hmmu__take_check(struct hmmu_space *space);

/*
 * Migrates the pages of [start, end) that can migrate to @m->memory, and counts
 * all of them in @m->result. The caller holds no lock. Returns 0 or -ENOMEM.
 */
int hmmu__migration_run(struct hmmu_migration *m, uintptr_t start,
			uintptr_t end);

#endif
