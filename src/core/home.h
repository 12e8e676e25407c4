/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_HOME_H
#define HMMU_CORE_HOME_H

#include <stdint.h>

#include <hmmu/migrate.h>

/*
 * Migrates device pages of [start, end) to system memory: those of device
 * @only, or of all devices (NULL). Waits while mappings change. The caller
 * holds no lock. Returns 0, -ENOMEM, or -EBUSY: mappings changed for too long.
 */
int hmmu__range_home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     const struct hmmu_device *only,
		     struct hmmu_migrate_result *result);

#endif
