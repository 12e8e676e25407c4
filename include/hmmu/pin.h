/* SPDX-License-Identifier: MIT */
/*
 * Pins: memory that must stay in system memory, for DMA that knows no faults.
 *
 * A device that HMMU does not manage, or a kernel interface that holds pages by
 * their physical address, is told of no migration. What is pinned here is home
 * and stays so until it is unpinned. The kernel's own pins (io_uring buffers,
 * RDMA, VFIO) keep pages from migrating without this; a pin says it beforehand
 * and brings home what is away. Not known are the pages that vmsplice(2) has
 * lent to a pipe, and any pin of the kernel's in coherent memory: pin such
 * memory here.
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
 * @bytes:   how many, not 0: the pages that hold them, see base.h.
 *
 * Pages migrate back from every device, coherent memory included (DC3), and
 * are made present: writable where the mapping allows it, so that a later write
 * does not replace them. Until hmmu_unpin_range() no migration and no exclusive
 * access takes them (HMMU_STAY_PINNED). Pins are counted: a range that is
 * pinned twice is unpinned twice; ranges may overlap.
 *
 * It is the addresses that are pinned: a mapping that the program moves away
 * (mremap) leaves its pin behind. It does not keep the kernel from swapping or
 * moving the page: for that, mlock(2) it or let the kernel interface pin it.
 *
 * Context: May sleep; faults pages. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        pinned; owed: hmmu_unpin_range() of the same pages
 *   -EINVAL  NULL, empty or wrapping range
 *   -EFAULT  nothing readable is mapped somewhere in the range
 *   -EBUSY   the program kept changing the mappings
 *   -ENOMEM  no memory
 *   -ECHILD  called in a forked child
 * On failure nothing is pinned.
 * Source: contract PN1, PN2, DC3.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_pin_range(struct hmmu_space *space,
					    uintptr_t address, size_t bytes);

/**
 * hmmu_unpin_range() - let pages migrate again
 * @space:   an open space.
 * @address: in the same first page as in hmmu_pin_range().
 * @bytes:   up to the same last page.
 *
 * The rounded range must be that of one pin: a part of it is not unpinned, nor
 * two pins at once.
 *
 * Context: Does not sleep for long. Not from a callback.
 * Return:
 *   0        one pin of these pages is gone
 *   -EINVAL  NULL, empty or wrapping range
 *   -ENOENT  no pin is of these pages
 *   -ENOMEM  no memory for a thread that is new to HMMU; still pinned
 *   -ECHILD  called in a forked child
 * Since: 0.1
 */
HMMU_API int hmmu_unpin_range(struct hmmu_space *space, uintptr_t address,
			      size_t bytes);

/* Names of 0.1 --------------------------------------------------------------- */

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
