/* SPDX-License-Identifier: MIT */
/*
 * Range fault and snapshot: what is mapped, and make it so.
 */
#ifndef HMMU_RANGE_H
#define HMMU_RANGE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_notifier;
struct hmmu_device;

/**
 * Bits of an entry; one 64-bit entry describes one 4 KiB page.
 *
 * VALID:     out: the page is present and readable.
 * WRITE:     out: the page may be written. Only with VALID.
 * ERROR:     out: there is no way to make this page VALID.
 * REQ_FAULT: in: make the page VALID or fail the call (RF7).
 * REQ_WRITE: in: make it WRITE too; counts only with REQ_FAULT (RF6).
 * STICKY:    in and out: three bits of the caller, carried along (RF11).
 * WHERE:     out: enum hmmu_where, meaningful with VALID.
 * ORDER:     out: the mapping is 2^order pages large, and the whole large page
 *            has one permission; meaningful with VALID (RF10, RF12).
 * INDEX:     out: page number within the device's memory, for WHERE_DEVICE
 *            and the coherent ones.
 *
 * An entry that is 0 is not present but can be faulted (RF10).
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
 * enum hmmu_where - who holds a VALID page
 * @HMMU_WHERE_SYSTEM: system memory.
 * @HMMU_WHERE_ZERO:   system memory, the shared zero page (RF27).
 * @HMMU_WHERE_DEVICE: memory of the device named in the range (RF19).
 * @HMMU_WHERE_COHERENT: coherent memory of that device: present for the CPU,
 *                     too (DC2).
 * @HMMU_WHERE_COHERENT_OTHER: coherent memory of another device (DC2).
 */
enum hmmu_where {
	HMMU_WHERE_SYSTEM = 0,
	HMMU_WHERE_ZERO = 1,
	HMMU_WHERE_DEVICE = 2,
	HMMU_WHERE_COHERENT = 3,
	HMMU_WHERE_COHERENT_OTHER = 4,
};

static inline enum hmmu_where hmmu_entry_where(uint64_t entry)
{
	return (enum hmmu_where)((entry & HMMU_ENTRY_WHERE) >>
				 HMMU_ENTRY_WHERE_SHIFT);
}

static inline unsigned int hmmu_entry_order(uint64_t entry)
{
	return (unsigned int)((entry & HMMU_ENTRY_ORDER) >>
			      HMMU_ENTRY_ORDER_SHIFT);
}

static inline uint64_t hmmu_entry_index(uint64_t entry)
{
	return entry >> HMMU_ENTRY_INDEX_SHIFT;
}

/** A fault retries collisions for so long by default, ns (RF43: 1000 ms). */
#define HMMU_RANGE_DEFAULT_TIMEOUT_NS 1000000000ull

/**
 * struct hmmu_range - one attempt to read a span of the shared space
 * @size:          sizeof(struct hmmu_range) as built, bytes.
 * @notifier:      subscription that covers [start, end); outlives the call.
 * @owner:         device whose memory counts as present (RF19), or NULL.
 * @seq:           from hmmu_notifier_read_begin(), taken before.
 * @start:         first byte (inclusive); page aligned, not rounded, because
 *                 each page has its entry.
 * @end:           one past the last byte (exclusive), page aligned.
 * @entries:       (end - start) / 4096 entries, owned by the caller.
 * @default_flags: REQ_FAULT and REQ_WRITE asked of every page.
 * @entry_mask:    which request bits of the incoming entries count (RF4).
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
 * hmmu_range_fault() - fill @range->entries, faulting pages when asked
 * @range: in/out description of the attempt. Not retained after return.
 *
 * Without any request it is a snapshot: nothing is faulted, nothing altered
 * (RF5, RF8). The entries may be used only under the caller's update lock and
 * only while hmmu_notifier_read_retry() still returns 0 (RF36); they hold no
 * reference to a page (RF37). On failure finished entries hold results, the
 * others still their requests (RF33).
 *
 * WRITE of a snapshot is the best the kernel tells: no bit of it says that a
 * page-table entry is writable. After a fork of this process a snapshot reads
 * the exclusive bit of each page too. With REQ_WRITE it is certain.
 *
 * Context: May sleep; faults pages as a CPU thread would. Not from a callback.
 * Locking: Caller holds no HMMU lock and none that a callback takes.
 * Return:
 *   0        all entries are filled
 *   -EBUSY   an invalidation collided; begin again with a new @range->seq
 *   -EFAULT  a requested page has no mapping or no readable one (RF13, RF14)
 *   -EPERM   a write was asked of a mapping without write permission (RF16)
 *   -ENOMEM  no memory for the page
 *   -EINVAL  misaligned, empty or wrapping range, not covered by the
 *            subscription, NULL, or @range->size unknown
 *   -E2BIG   @range is of a newer HMMU
 *   -ECHILD  called in a forked child
 * Source: contract RF1-RF37, RF42.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_range_fault(struct hmmu_range *range);

/**
 * hmmu_range_fault_unlocked() - the same, with its own retries
 * @range:      @range->seq is refreshed by the call.
 * @timeout_ns: bound on retries after collisions, 0 for none (RF40).
 *
 * Return: as hmmu_range_fault(); -EBUSY when the time is over.
 * Source: contract RF39-RF41.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_range_fault_unlocked(struct hmmu_range *range,
						       uint64_t timeout_ns);

HMMU_END_DECLS

#endif
