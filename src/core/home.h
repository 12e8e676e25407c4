/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_HOME_H
#define HMMU_CORE_HOME_H

#include <stdint.h>

#include <hmmu/migrate.h>

/*
 * Puts device pages of [start, end) back into system memory: @only's, or those
 * of all devices (NULL). Waits while mappings change. Caller holds no lock.
 * 0, -EBUSY: they changed for too long, or -ENOMEM.
 */
int hmmu__range_home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     const struct hmmu_device *only,
		     struct hmmu_migrate_result *result);

#endif
