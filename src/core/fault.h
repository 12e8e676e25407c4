/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_FAULT_H
#define HMMU_CORE_FAULT_H

#include <hmmu/device.h>

/* hmmu_device_fault() without the argument checks; calls hmmu__enter(). */
int hmmu__device_fault(struct hmmu_device *device, uintptr_t va, size_t bytes,
		       enum hmmu_access access);

#endif
