/* SPDX-License-Identifier: MIT */
/*
 * A device: what a driver supplies, and what it may ask.
 *
 * Overview: a device has a page table of its own, the mirror, which HMMU keeps
 * true: hmmu_device_fault() fills it when the hardware faults, and a change of
 * the program's memory empties it again before the program goes on (README.md,
 * Limits, has the few that nothing tells of). A device
 * may have memory of its own (memory.h); pages move there by migrate.h.
 *
 * A device in the same process reaches memory through ports (port.h). A device
 * outside reads the mirror, or is told by the invalidate callback.
 */
#ifndef HMMU_DEVICE_H
#define HMMU_DEVICE_H

#include <hmmu/base.h>
#include <hmmu/mirror.h>
#include <hmmu/notifier.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_memory;
struct hmmu_device;

/**
 * enum hmmu_access - what an access wants
 * @HMMU_ACCESS_READ:  to read.
 * @HMMU_ACCESS_WRITE: to read and write.
 */
enum hmmu_access {
	HMMU_ACCESS_READ = 0,
	HMMU_ACCESS_WRITE = 1,
};

/**
 * struct hmmu_device_ops - what a driver supplies
 * @size:       sizeof(struct hmmu_device_ops) as built, bytes.
 * @invalidate: optional; the device must not use any translation of the range
 *              when it returns. The mirror has been emptied already. Gets
 *              HMMU_EVENT_RELEASE, too. Context as for hmmu_invalidate_fn.
 */
struct hmmu_device_ops {
	size_t size;
	void (*invalidate)(struct hmmu_device *device, void *arg,
			   const struct hmmu_invalidation *inv);
};

/**
 * struct hmmu_device_options - how to make a device
 * @size:    sizeof(struct hmmu_device_options) as built, bytes.
 * @name:    for messages; copied, at most 31 characters are kept. May be NULL.
 * @memory:  memory of its own; borrowed, outlives the device. May be NULL. A
 *           memory belongs to one device.
 * @ops:     copied. May be NULL.
 * @arg:     handed to the callbacks.
 * @va_bits: 48 or 57; 0 means 48.
 * @fault_around_pages: how many pages at most one device fault maps beside the
 *           ones asked for, if they are present: 0 means the whole 2 MiB block,
 *           1 none.
 */
struct hmmu_device_options {
	size_t size;
	const char *name;
	struct hmmu_memory *memory;
	const struct hmmu_device_ops *ops;
	void *arg;
	uint32_t va_bits;
	uint32_t fault_around_pages;
};

/**
 * hmmu_device_create() - make a device
 * @space:      an open space; outlives the device.
 * @options:    borrowed for the call; NULL for the defaults.
 * @ret_device: receives the device, see hmmu_device_destroy().
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        made
 *   -EINVAL  NULL, size unknown, va_bits not 48 or 57
 *   -EBUSY   the memory belongs to another device
 *   -E2BIG   @options is of a newer HMMU
 *   -ENOMEM  no memory
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_device_create(struct hmmu_space *space,
		   const struct hmmu_device_options *options,
		   struct hmmu_device **ret_device);

/**
 * hmmu_device_destroy() - bring its pages home and end a device
 * @device: consumed on success. NULL is 0.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        gone
 *   -EBUSY   ports are open on it: close them first; or mappings kept changing
 *            while pages came home. It is still there, and nothing is lost
 *   -ENOMEM  no memory; it is still there
 *   -ECHILD  called in a forked child
 * Since: 0.1
 */
HMMU_API int hmmu_device_destroy(struct hmmu_device *device);

/**
 * hmmu_device_fault() - the device touched memory it has no translation of
 * @device: the device.
 * @va:     first byte touched; need not be aligned.
 * @bytes:  how many bytes from there must be mapped afterwards; not 0.
 * @access: what for.
 *
 * Faults the pages as a CPU thread would and maps them into the mirror with
 * the largest leaves that are safe. Fault-around maps what is present beside
 * them. By the time it returns an invalidation may have taken the mapping away
 * again: look, and fault again.
 *
 * Context: May sleep; faults pages. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        mapped
 *   -EFAULT  nothing readable is mapped somewhere in the range: a device fault
 *   -EPERM   write to memory without write permission: a device fault
 *   -EBUSY   collided with invalidations for longer than 1 s; try again
 *   -ENOMEM  no memory
 *   -EINVAL  NULL, empty or wrapping range, unknown access
 * Source: contract RF2, RF36.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_device_fault(struct hmmu_device *device,
					       uintptr_t va, size_t bytes,
					       enum hmmu_access access);

/**
 * hmmu_device_mirror() - the page table of a device
 * @device: the device.
 *
 * Look entries up with hmmu_mirror_lookup(); do not change them. The payload
 * of a leaf is the host address of the page.
 *
 * Return: borrowed until the device is destroyed.
 * Since: 0.1
 */
HMMU_API struct hmmu_mirror *hmmu_device_mirror(struct hmmu_device *device);

/** Leaf flag: the page is in the device's own memory. */
#define HMMU_DEVICE_LEAF_LOCAL	   HMMU_MIRROR_USER0

/** Leaf flag: the page is the device's alone, until the CPU touches it. */
#define HMMU_DEVICE_LEAF_EXCLUSIVE HMMU_MIRROR_USER1

HMMU_END_DECLS

#endif
