/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_MIGRATE_H
#define HMMU_CORE_MIGRATE_H

#include "core/migrate_batch.h"

/*
 * -EOPNOTSUPP where the address space can not take pages. The first call that
 * meets this logs the reason.
 */
int hmmu__take_check(struct hmmu_space *space);

/*
 * Migrates what it can of [start, end), as @m says and into its result. Caller
 * holds no lock. 0 or -ENOMEM.
 */
int hmmu__migration_run(struct hmmu_migration *m, uintptr_t start,
			uintptr_t end);

#endif
