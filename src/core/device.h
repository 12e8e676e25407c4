/* SPDX-License-Identifier: MIT */
#ifndef HMMU_CORE_DEVICE_H
#define HMMU_CORE_DEVICE_H

/*
 * A device: a mirror, its subscription to all changes, and its memories
 *
 * Locking: @next, and the owner of the device's memory, are guarded by the
 * space's lock.
 */

#include <stdatomic.h>
#include <stdint.h>

#include <hmmu/device.h>

#include "core/notifier.h"

struct hmmu_memory;
struct hmmu_space;

struct hmmu_device {
	struct hmmu_notifier sub;
	struct hmmu_space *space;
	struct hmmu_memory *memory;
	/* Pool of its exclusive pages. Created for the first one. */
	struct hmmu_memory *exclusive;
	struct hmmu_mirror *mirror;
	struct hmmu_device_ops ops;
	void *arg;
	/* One past the last address that the mirror can map. */
	uintptr_t va_limit;
	uint32_t fault_around_pages;
	/* While > 0 the device cannot be destroyed. */
	_Atomic uint32_t open_ports;
	struct hmmu_device *next;
	char name[32];
};

#endif
