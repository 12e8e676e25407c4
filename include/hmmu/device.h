/* SPDX-License-Identifier: MIT */
/*
 * Devices: creation, device faults, and the device's page table
 *
 * Overview: a device has a page table, its mirror. hmmu_device_fault() adds
 * entries after the hardware has faulted. HMMU removes entries before the
 * program's memory changes. Changes that are reported later, or not at all, are
 * listed in hmmu_notifier(3), CAVEATS. A device can have memory of its own
 * (memory.h), to which pages migrate (migrate.h).
 *
 * A device in the same process accesses memory through ports (port.h). The
 * driver of a device outside the process reads the mirror, and its invalidate
 * callback stops the hardware from using old translations.
 *
 * Locking: the caller of each function holds no lock that a callback takes.
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
 * enum hmmu_access - what a device does with memory
 * @HMMU_ACCESS_READ:  read.
 * @HMMU_ACCESS_WRITE: read and write.
 */
enum hmmu_access {
	HMMU_ACCESS_READ = 0,
	HMMU_ACCESS_WRITE = 1,
};

/**
 * struct hmmu_device_ops - a driver's callbacks
 * @size:       sizeof(struct hmmu_device_ops), bytes.
 * @invalidate: optional. When it returns, the device no longer uses a
 *              translation of the range. HMMU has removed the range from the
 *              mirror before the call. It also gets HMMU_EVENT_RELEASE. @inv is
 *              valid during the call. Context as for hmmu_invalidate_fn.
 */
struct hmmu_device_ops {
	size_t size;
	void (*invalidate)(struct hmmu_device *device, void *arg,
			   const struct hmmu_invalidation *inv);
};

/**
 * struct hmmu_device_options - options of hmmu_device_create()
 * @size:    sizeof(struct hmmu_device_options), bytes.
 * @name:    used in messages; copied, at most 31 characters. May be NULL.
 * @memory:  the device's own memory; borrowed until the device is destroyed. A
 *           memory belongs to one device. May be NULL.
 * @ops:     callbacks; copied. May be NULL.
 * @arg:     passed to the callbacks; borrowed until the device is destroyed.
 * @va_bits: width of the device's addresses: 48 or 57; 0 means 48.
 * @fault_around_pages: how many pages one device fault may map, if they are
 *           present, beside the pages that it must map. 0: all of the 2 MiB
 *           block. 1: none.
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
 * hmmu_device_create() - create a device with an empty mirror
 * @space:      an open space; borrowed until the device is destroyed.
 * @options:    borrowed for the call. NULL: the defaults.
 * @ret_device: receives the device. Free it with hmmu_device_destroy().
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success; callbacks may run before the function returns
 *   -EINVAL  NULL argument, size too small, @va_bits not 0, 48 or 57, or the
 *            memory is of another space
 *   -EBUSY   the memory belongs to another device: create one for each device
 *   -E2BIG   @options or its ops has a field that this library does not know:
 *            see base.h
 *   -ENOMEM  out of memory
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_device_create(struct hmmu_space *space,
		   const struct hmmu_device_options *options,
		   struct hmmu_device **ret_device);

/**
 * hmmu_device_destroy() - migrate a device's pages back and free the device
 * @device: freed on success. NULL: does nothing and returns 0.
 *
 * After an error the device exists as before and no page is lost.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EBUSY   ports are open: close them and call again. Or the program kept
 *            changing mappings while pages migrated: call again
 *   -ENOMEM  out of memory: free some and call again
 *   -ECHILD  called in a forked child: only the parent can destroy the device
 * Since: 0.1
 */
HMMU_API int hmmu_device_destroy(struct hmmu_device *device);

/**
 * hmmu_device_fault() - map memory that the device has accessed
 * @device: the device.
 * @va:     first byte of the access; need not be aligned.
 * @bytes:  length of the access; not 0. All of it is mapped.
 * @access: the kind of access.
 *
 * Faults pages in as a CPU access would, and maps them in the mirror with the
 * largest leaves that are safe. Fault-around also maps present pages beside
 * them. An invalidation may remove the entries again before the function
 * returns: repeat the access, and fault again if it misses. After an error,
 * pages before the one that failed may be mapped.
 *
 * If the calling thread has a section of a port open, the section is aborted.
 *
 * Context: May sleep. Accesses the program's memory. Not from a callback.
 * Return:
 *   0        the range was mapped
 *   -EFAULT  a part of the range is not mapped or not readable, is memory of
 *            HMMU, or is beyond @va_bits: report an error to the device
 *   -EPERM   write to a mapping without write permission: report an error to
 *            the device
 *   -EBUSY   collided with invalidations for 1 s: call again
 *   -ENOMEM  out of memory
 *   -EINVAL  NULL, empty or wrapping range, or unknown access
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Source: contract RF2, RF36.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_device_fault(struct hmmu_device *device,
					       uintptr_t va, size_t bytes,
					       enum hmmu_access access);

/**
 * hmmu_device_mirror() - get the page table of a device
 * @device: the device.
 *
 * Read entries with hmmu_mirror_lookup(). Do not change them. The payload of a
 * leaf is the host address of the page.
 *
 * Context: Does not sleep.
 * Return: the mirror; borrowed until the device is destroyed.
 * Since: 0.1
 */
HMMU_API struct hmmu_mirror *hmmu_device_mirror(struct hmmu_device *device);

/** Leaf flag: the page is in the device's own memory. */
#define HMMU_DEVICE_LEAF_LOCAL	   HMMU_MIRROR_USER0

/** Leaf flag: the page is exclusive to the device, see exclusive.h. */
#define HMMU_DEVICE_LEAF_EXCLUSIVE HMMU_MIRROR_USER1

HMMU_END_DECLS

#endif
