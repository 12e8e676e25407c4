/* SPDX-License-Identifier: MIT */
/*
 * Range fault and snapshot: the state of a range of pages
 *
 * Overview: hmmu_range_fault() writes an entry for each 4 KiB page of a range.
 * Without a request it takes a snapshot and faults nothing. With a request it
 * faults pages in as a CPU access would. The result counts only under the
 * driver's lock, after hmmu_notifier_read_retry() has returned 0; notifier.h
 * shows the loop.
 *
 * Locking: the caller holds no lock that a callback takes.
 *
 * Not supported:
 * - References to pages. An entry is valid until the next invalidation of the
 *   range.
 * - Certain WRITE bits in a snapshot. Linux does not show whether a page-table
 *   entry is writable. Request the write.
 */
#ifndef HMMU_RANGE_H
#define HMMU_RANGE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_notifier;
struct hmmu_device;

/**
 * Bits of an entry; one 64-bit entry describes one 4 KiB page
 *
 * VALID:     out: the page is present and readable.
 * WRITE:     out, with VALID: the page may be written.
 * ERROR:     out: the page cannot be made VALID.
 * REQ_FAULT: in: make the page VALID, or fail the call.
 * REQ_WRITE: in, with REQ_FAULT: make the page WRITE, too.
 * STICKY:    in and out: three bits of the caller, which are preserved.
 * WHERE:     out, with VALID: enum hmmu_where.
 * ORDER:     out, with VALID: the page is in a mapping of 2^order pages, which
 *            all have the same permission. It may reach beyond the range.
 * INDEX:     out: index of the page in its device memory, for DEVICE, COHERENT
 *            and COHERENT_OTHER.
 *
 * An entry of 0 is absent and can be faulted in.
 *
 * Source: contract RF4-RF12.
 */
#define HMMU_ENTRY_VALID       (1ull << 0)
#define HMMU_ENTRY_WRITE       (1ull << 1)
#define HMMU_ENTRY_ERROR       (1ull << 2)
#define HMMU_ENTRY_REQ_FAULT   (1ull << 3)
#define HMMU_ENTRY_REQ_WRITE   (1ull << 4)
#define HMMU_ENTRY_STICKY      (7ull << 5)
#define HMMU_ENTRY_WHERE_SHIFT 8
#define HMMU_ENTRY_WHERE       (15ull << HMMU_ENTRY_WHERE_SHIFT)
#define HMMU_ENTRY_ORDER_SHIFT 16
#define HMMU_ENTRY_ORDER       (31ull << HMMU_ENTRY_ORDER_SHIFT)
#define HMMU_ENTRY_INDEX_SHIFT 24

/**
 * enum hmmu_where - where a VALID page is
 * @HMMU_WHERE_SYSTEM: system memory.
 * @HMMU_WHERE_ZERO:   system memory, the shared zero page.
 * @HMMU_WHERE_DEVICE: host-private memory of the range's owner.
 * @HMMU_WHERE_COHERENT: coherent memory of the range's owner; present for the
 *                     CPU, too.
 * @HMMU_WHERE_COHERENT_OTHER: coherent memory of another device.
 *
 * Source: contract RF19, RF27, DC2.
 */
enum hmmu_where {
	HMMU_WHERE_SYSTEM = 0,
	HMMU_WHERE_ZERO = 1,
	HMMU_WHERE_DEVICE = 2,
	HMMU_WHERE_COHERENT = 3,
	HMMU_WHERE_COHERENT_OTHER = 4,
};

/** hmmu_entry_where() - get enum hmmu_where of a VALID entry */
static inline enum hmmu_where hmmu_entry_where(uint64_t entry)
{
	return (enum hmmu_where)((entry & HMMU_ENTRY_WHERE) >>
				 HMMU_ENTRY_WHERE_SHIFT);
}

/** hmmu_entry_order() - get the order of the mapping of a VALID entry */
static inline unsigned int hmmu_entry_order(uint64_t entry)
{
	return (unsigned int)((entry & HMMU_ENTRY_ORDER) >>
			      HMMU_ENTRY_ORDER_SHIFT);
}

/** hmmu_entry_index() - get the index of a page in its device memory */
static inline uint64_t hmmu_entry_index(uint64_t entry)
{
	return entry >> HMMU_ENTRY_INDEX_SHIFT;
}

/**
 * How long a caller should retry after collisions: 1 s, in ns.
 *
 * Source: contract RF43.
 */
#define HMMU_RANGE_DEFAULT_TIMEOUT_NS 1000000000ull

/**
 * struct hmmu_range - a range fault or snapshot
 * @size:          sizeof(struct hmmu_range), bytes.
 * @notifier:      subscription that covers the range; borrowed for the call.
 * @owner:         device whose memory counts as present; NULL: none.
 * @seq:           from hmmu_notifier_read_begin(), called before.
 * @start:         first byte; page aligned. It is not rounded, because each
 *                 page has an entry.
 * @end:           one past the last byte; page aligned.
 * @entries:       (end - start) / 4096 entries; owned by the caller.
 * @default_flags: REQ_FAULT and REQ_WRITE for each page.
 * @entry_mask:    request bits that are read from the entries.
 *
 * Source: contract RF2-RF4, RF19.
 */
struct hmmu_range {
	size_t size;
	struct hmmu_notifier *notifier;
	const struct hmmu_device *owner;
	uint64_t seq;
	uintptr_t start;
	uintptr_t end;
	uint64_t *entries;
	uint64_t default_flags;
	uint64_t entry_mask;
};

/**
 * hmmu_range_fault() - get the state of pages, and fault them in if requested
 * @range: borrowed for the call.
 *
 * After an error, finished entries have results and the others still have their
 * requests. A page in the memory of @range->owner is never faulted: with
 * REQ_WRITE, check WRITE. A page in another device's memory, or one that is
 * exclusive to a device, is not VALID, and migrates back when it is faulted.
 *
 * WRITE of a snapshot is the best that the kernel shows; with REQ_WRITE it is
 * certain. After a fork of this process, a snapshot also reads the exclusively
 * mapped bit of each page in /proc/self/pagemap.
 *
 * Context: May sleep. Accesses the program's memory. Not from a callback.
 * Return:
 *   0        all entries are filled
 *   -EBUSY   collided with an invalidation: start again with a new @range->seq
 *   -EFAULT  a requested page is not mapped or not readable
 *   -EPERM   a write was requested in a mapping without write permission
 *   -ENOMEM  out of memory
 *   -EINVAL  NULL, misaligned, empty or wrapping range, a range that the
 *            subscription does not cover, unknown flag, or size too small
 *   -E2BIG   @range has a field that this library does not know: see base.h
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Source: contract RF1-RF37, RF42.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_range_fault(struct hmmu_range *range);

/**
 * hmmu_range_fault_unlocked() - call hmmu_range_fault() until it succeeds
 * @range:      as for hmmu_range_fault(). The call sets @range->seq.
 * @timeout_ns: time limit of retries after collisions, ns; 0: no limit.
 *
 * Context: As hmmu_range_fault().
 * Return: as hmmu_range_fault(). -EBUSY: the time limit was reached.
 * Source: contract RF39-RF41.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_range_fault_unlocked(struct hmmu_range *range,
						       uint64_t timeout_ns);

HMMU_END_DECLS

#endif
