/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access: pages that only one device can access
 *
 * Overview: while a page is exclusive to a device, the CPU has no access to it.
 * So an atomic operation of the device is atomic against the CPU, however the
 * device implements it. When the CPU accesses the page, the device is
 * invalidated first (HMMU_EVENT_CLEAR); then the CPU thread continues.
 *
 * Not supported:
 * - Shared, file and hugetlb memory: -EOPNOTSUPP. The kernel moves only private
 *   anonymous pages.
 * - Large pages. They are split.
 * - Pages that are pinned, for example by direct I/O or RDMA: -EBUSY. The
 *   holder of the pin would still access them.
 */
#ifndef HMMU_EXCLUSIVE_H
#define HMMU_EXCLUSIVE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_device;

/**
 * hmmu_device_make_exclusive() - give a device exclusive access to pages
 * @device:    the device; needs no memory of its own.
 * @address:   any address of the program.
 * @bytes:     length, not 0; rounded outwards to pages, see base.h.
 * @ret_bytes: receives the length of the exclusive pages, from the page of
 *             @address on, also after an error. May be NULL.
 *
 * Works page by page. Each page is made private and writable, as by a write of
 * the CPU. If it is in device memory it migrates back, and another device's
 * exclusive access ends. Then the page is taken from the CPU and mapped in the
 * mirror with HMMU_MIRROR_WRITE and HMMU_DEVICE_LEAF_EXCLUSIVE.
 *
 * Subscribers get HMMU_EVENT_EXCLUSIVE with @device as the owner. A driver with
 * its own subscription must ignore the event if the owner is its own device;
 * otherwise it retries forever.
 *
 * The exclusive access of a page ends when the CPU accesses the page, when the
 * program unmaps or discards it, forks, or calls hmmu_migrate_to_system().
 * This can happen before the function returns: check the leaf's flag under the
 * driver's lock, or access the page through a port. An mremap(2) moves
 * exclusive pages to the new address.
 *
 * Context: May sleep. Accesses the program's memory. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0            all pages were made exclusive
 *   -EINVAL      NULL, empty or wrapping range
 *   -EFAULT      a page is not mapped, or not readable and writable
 *   -EOPNOTSUPP  not private anonymous memory; or the kernel cannot move pages:
 *                use Linux 6.8 or later, see `hmmu info`
 *   -EBUSY       the page is pinned or locked, or does not migrate for another
 *                reason of enum hmmu_stay; or it was taken back for 1 s: call
 *                again
 *   -ENOMEM      out of memory, or 1 GiB is exclusive to the device already
 *   -ECHILD      called in a forked child: open a space of the child's own
 * Source: contract EX1-EX12, IN26.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_device_make_exclusive(struct hmmu_device *device, uintptr_t address,
			   size_t bytes, size_t *ret_bytes);

/* Names of 0.1 ------------------------------------------------------------- */

/** hmmu_make_exclusive() - hmmu_device_make_exclusive() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_make_exclusive(struct hmmu_device *device, uintptr_t start, uintptr_t end,
		    size_t *ret_bytes)
{
	return hmmu_device_make_exclusive(
		device, start, hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES),
		ret_bytes);
}

HMMU_END_DECLS

#endif
