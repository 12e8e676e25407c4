/* SPDX-License-Identifier: MIT */
/*
 * Pins: memory that must stay in system memory, for DMA that knows no faults.
 *
 * A device that HMMU does not manage, or a kernel interface that holds pages by
 * their physical address, is told of no migration. What is pinned here is home
 * and stays so until it is unpinned. The kernel's own pins (io_uring buffers,
 * RDMA, VFIO) keep pages from migrating without this; a pin says it beforehand
 * and brings home what is away. Not known are the pages that vmsplice(2) has
 * lent to a pipe, pins for a short time (direct I/O) where pages are copied, and
 * any pin of the kernel's in coherent memory: pin such memory here.
 */
#ifndef HMMU_PIN_H
#define HMMU_PIN_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;

/**
 * hmmu_pin() - bring memory home and keep it there
 * @space: an open space.
 * @start: first byte, page aligned (inclusive).
 * @end:   one past the last byte, page aligned (exclusive).
 *
 * Pages come home from every device, coherent memory included (DC3), and are
 * made present: writable where the mapping allows it, so that a later write
 * does not replace them. Until hmmu_unpin() no migration and no exclusive
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
 *   0        pinned; owed: hmmu_unpin() of the same range
 *   -EINVAL  NULL, misaligned, empty or wrapping range
 *   -EFAULT  nothing readable is mapped somewhere in the range
 *   -EBUSY   the program kept changing the mappings
 *   -ENOMEM  no memory
 * On failure nothing is pinned.
 * Source: contract PN1, PN2, DC3.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_pin(struct hmmu_space *space, uintptr_t start,
				      uintptr_t end);

/**
 * hmmu_unpin() - let memory migrate again
 * @space: an open space.
 * @start: as pinned.
 * @end:   as pinned.
 *
 * Context: Does not sleep for long. Not from a callback.
 * Return:
 *   0        one pin of this range is gone
 *   -EINVAL  NULL, misaligned, empty or wrapping range
 *   -ENOENT  no pin has this range
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_unpin(struct hmmu_space *space,
					uintptr_t start, uintptr_t end);

HMMU_END_DECLS

#endif
