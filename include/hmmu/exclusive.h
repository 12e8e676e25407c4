/* SPDX-License-Identifier: MIT */
/*
 * Exclusive access: pages that a device has for itself, for atomics.
 *
 * While a page is exclusive the CPU does not have it, so an atomic operation of
 * the device is atomic against the CPU, too. A CPU touch takes the page back:
 * the device is told first (HMMU_EVENT_CLEAR), and has let go of it before the
 * CPU goes on.
 */
#ifndef HMMU_EXCLUSIVE_H
#define HMMU_EXCLUSIVE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_device;

/**
 * hmmu_device_make_exclusive() - take pages for a device alone
 * @device:    the device; needs no memory of its own.
 * @address:   any address of the program.
 * @bytes:     how many, not 0: the pages that hold them, see base.h.
 * @ret_bytes: receives how many bytes became exclusive, whole pages from that
 *             of @address on, also on failure. May be NULL.
 *
 * Page by page: each is made the process's own and writable as by a write of
 * the CPU (EX2), which brings it home from a device's memory and ends another
 * device's exclusive access; then it is taken, and mapped into the mirror with
 * HMMU_MIRROR_WRITE and HMMU_DEVICE_LEAF_EXCLUSIVE. Large pages are split
 * (EX4). Subscribers get HMMU_EVENT_EXCLUSIVE with @device as owner: a driver
 * that subscribes itself must let its own pass, or waits for itself (IN26).
 *
 * Nothing guarantees that a page is still exclusive when the call returns: look
 * for the flag under the driver's lock, or use the page through a port. The
 * page ends being exclusive when the CPU touches it, when the program unmaps or
 * discards it (EX12), forks (EX11), or asks it home (hmmu_migrate_to_system());
 * mremap(2) takes it along. Others who hold the page already (direct I/O, RDMA)
 * are not kept out (EX9): it is refused then.
 *
 * Context: May sleep; faults pages. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0            all pages were made exclusive
 *   -EINVAL      NULL, empty or wrapping range
 *   -EFAULT      nothing is mapped there, or it is not readable and writable
 *   -EOPNOTSUPP  not private anonymous memory, or this kernel cannot take
 *                pages out (Linux 6.8 can, see `hmmu info`)
 *   -EBUSY       the page is pinned, locked, or of those that may not leave
 *                (enum hmmu_stay); or the CPU, a device or the program took it
 *                back for a second
 *   -ENOMEM      no memory; a device has 1 GiB at most exclusively
 *   -ECHILD      called in a forked child
 * Source: contract EX1-EX12.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_device_make_exclusive(struct hmmu_device *device, uintptr_t address,
			   size_t bytes, size_t *ret_bytes);

/* Names of 0.1 --------------------------------------------------------------- */

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
