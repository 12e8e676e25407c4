/* SPDX-License-Identifier: MIT */
/*
 * Pins: keep pages in system memory
 *
 * Overview: a pin is for DMA that cannot fault. A device that HMMU does not
 * manage, or a kernel interface that uses physical addresses, gets no
 * notification of a migration. Pinned pages migrate to system memory and stay
 * there until they are unpinned. Devices of HMMU still access them there.
 *
 * Pages that the kernel pins (io_uring buffers, RDMA, VFIO) do not migrate
 * either. Pin them here, too, in two cases:
 *
 * - pages that vmsplice(2) has put into a pipe, because they migrate;
 * - coherent memory, because a pin of the kernel does not remove its pages from
 *   the device memory.
 *
 * Not supported: keeping the kernel from swapping or moving the page. Lock it
 * with mlock(2), or let the kernel interface pin it.
 */
#ifndef HMMU_PIN_H
#define HMMU_PIN_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;

/**
 * hmmu_pin_range() - migrate pages to system memory and keep them there
 * @space:   an open space.
 * @address: any address of the program.
 * @bytes:   length, not 0; rounded outwards to pages, see base.h.
 *
 * Pages migrate back from all devices, also from coherent memory, and are
 * faulted in. If the mapping is writable they are faulted in for writing, so
 * that a later write does not replace them. Until hmmu_unpin_range() no
 * migration (HMMU_STAY_PINNED) and no exclusive access takes them.
 *
 * Pins are counted: a range that is pinned twice must be unpinned twice. Ranges
 * may overlap. A pin belongs to the addresses: when the program moves a mapping
 * with mremap(2), the pin stays at the old address. After an error nothing is
 * pinned.
 *
 * Context: May sleep. Accesses the program's memory. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        pinned; unpin the same pages with hmmu_unpin_range()
 *   -EINVAL  NULL, empty or wrapping range
 *   -EFAULT  a part of the range is not mapped or not readable
 *   -EBUSY   the program kept changing the mappings: call again
 *   -ENOMEM  out of memory
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Source: contract PN1, PN2, DC3.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_pin_range(struct hmmu_space *space,
					    uintptr_t address, size_t bytes);

/**
 * hmmu_unpin_range() - let pages migrate again
 * @space:   an open space.
 * @address: an address in the first page that was pinned.
 * @bytes:   length, up to the last page that was pinned.
 *
 * Ends one pin. The pages must be those of one hmmu_pin_range(): not a part of
 * them, and not two pins together.
 *
 * Context: Does not sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        success
 *   -EINVAL  NULL, empty or wrapping range
 *   -ENOENT  no pin has exactly these pages: unpin the range that was pinned
 *   -ENOMEM  out of memory; the pages are still pinned: call again
 *   -ECHILD  called in a forked child: only the parent can unpin its pages
 * Since: 0.1
 */
HMMU_API int hmmu_unpin_range(struct hmmu_space *space, uintptr_t address,
			      size_t bytes);

/* Names of 0.1 ------------------------------------------------------------- */

/** hmmu_pin() - hmmu_pin_range() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int hmmu_pin(struct hmmu_space *space,
					      uintptr_t start, uintptr_t end)
{
	return hmmu_pin_range(space, start,
			      hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES));
}

/** hmmu_unpin() - hmmu_unpin_range() of [@start, @end) */
HMMU_NAME_OF_0_1 int hmmu_unpin(struct hmmu_space *space, uintptr_t start,
				uintptr_t end)
{
	return hmmu_unpin_range(space, start,
				hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES));
}

HMMU_END_DECLS

#endif
