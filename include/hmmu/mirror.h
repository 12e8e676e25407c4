/* SPDX-License-Identifier: MIT */
/*
 * Mirrors: device page tables in host memory
 *
 * Overview: a radix table with 9 bits of address in each level, for addresses
 * of 48 or 57 bits. A leaf maps 4 KiB, 2 MiB or 1 GiB. It is a 64-bit word with
 * flags and a page-aligned payload. The owner of the mirror defines the meaning
 * of the payload: a host address, an IOVA, a page index shifted left by 12. The
 * mirror does not interpret it.
 *
 * HMMU maintains the mirror of each device (device.h). A driver can also create
 * mirrors of its own. A driver maps a page under its own lock, after
 * hmmu_notifier_read_retry() has returned 0:
 *
 *	err = hmmu_mirror_map_range(mirror, va, HMMU_PAGE_BYTES, host,
 *				    HMMU_MIRROR_WRITE);
 *
 * and translates an address:
 *
 *	hmmu_mirror_read_begin(mirror, reader);
 *	if (hmmu_mirror_lookup(mirror, va, &entry))
 *		p = hmmu_mirror_payload(entry) + (va & (HMMU_PAGE_BYTES - 1));
 *	...
 *	hmmu_mirror_read_end(mirror, reader);
 *
 * Readers: a lookup takes no lock. It runs in a read section, and its result is
 * valid until the section ends. A lookup sees each page as it was before a
 * concurrent update or as it is after it. A page is never missing because its
 * leaf is split, merged or replaced. To free memory that was mapped:
 *
 *	hmmu_mirror_unmap_range(mirror, address, bytes, NULL);
 *	hmmu_mirror_synchronize(mirror);
 *	... no reader uses the old translation: free the memory ...
 *
 * Updates: any thread may update at any time. Updates are atomic against each
 * other. If they fail, nothing has changed.
 *
 * Memory: a table is 4 KiB. It is unlinked when its last entry is removed, and
 * freed when no reader can use it. An empty mirror has only its root table.
 *
 * Locking: updates take only locks of the mirror, and wait for nothing else
 * while they hold one. There are 16 locks for the 1 GiB regions: updates in
 * different regions run in parallel, except when a region gets its first page
 * or loses its last one. An update that crosses regions excludes other such
 * updates. Arguments are copied before a lock is taken.
 *
 * In a read section, access only memory that cannot be on a device. The thread
 * that migrates the memory back may be waiting for the section.
 *
 * Not supported, to keep updates short: other leaf sizes, accessed and dirty
 * bits, and kernel (negative) addresses. Leaves are not merged automatically:
 * call hmmu_mirror_coalesce_range().
 */
#ifndef HMMU_MIRROR_H
#define HMMU_MIRROR_H

#include <stdbool.h>

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_mirror;
struct hmmu_mirror_reader;

/*
 * Bits of an entry
 *
 * VALID:   the page is mapped. hmmu_mirror_map_range() sets it.
 * TABLE:   never set in an entry that a lookup returns.
 * WRITE:   the device may write.
 * DEVICE:  the payload is in device memory.
 * USER0-3: defined by the owner; the mirror does not interpret them.
 * LEVEL:   out only: size of the leaf. 0: 4 KiB, 1: 2 MiB, 2: 1 GiB.
 * PAYLOAD: bits 12 to 63.
 *
 * Bits 8 and 9 are reserved.
 */
#define HMMU_MIRROR_VALID	(1ull << 0)
#define HMMU_MIRROR_TABLE	(1ull << 1)
#define HMMU_MIRROR_WRITE	(1ull << 2)
#define HMMU_MIRROR_DEVICE	(1ull << 3)
#define HMMU_MIRROR_USER0	(1ull << 4)
#define HMMU_MIRROR_USER1	(1ull << 5)
#define HMMU_MIRROR_USER2	(1ull << 6)
#define HMMU_MIRROR_USER3	(1ull << 7)
#define HMMU_MIRROR_LEVEL_SHIFT 10
#define HMMU_MIRROR_LEVEL	(3ull << HMMU_MIRROR_LEVEL_SHIFT)
#define HMMU_MIRROR_PAYLOAD	(~0xfffull)

/* The flags that an owner may set, beside VALID. */
#define HMMU_MIRROR_FLAGS	0xfcull

/**
 * hmmu_mirror_payload() - get the payload of a 4 KiB page
 * @entry: from hmmu_mirror_lookup().
 *
 * Context: Any.
 * Return: the payload, page aligned.
 * Since: 0.1
 */
static inline uint64_t hmmu_mirror_payload(uint64_t entry)
{
	return entry & HMMU_MIRROR_PAYLOAD;
}

/**
 * hmmu_mirror_leaf_lg2() - get the size of the leaf that maps a page
 * @entry: from hmmu_mirror_lookup().
 *
 * Context: Any.
 * Return: the logarithm of the size in bytes: 12, 21 or 30.
 * Since: 0.1
 */
static inline unsigned int hmmu_mirror_leaf_lg2(uint64_t entry)
{
	return HMMU_PAGE_LG2 + 9 * (unsigned int)((entry & HMMU_MIRROR_LEVEL) >>
						  HMMU_MIRROR_LEVEL_SHIFT);
}

/**
 * struct hmmu_mirror_options - options of hmmu_mirror_create()
 * @size:    sizeof(struct hmmu_mirror_options), bytes.
 * @va_bits: width of an address: 48 or 57; 0 means 48.
 * @pad:     0.
 */
struct hmmu_mirror_options {
	size_t size;
	uint32_t va_bits;
	uint32_t pad;
};

/**
 * hmmu_mirror_create() - create an empty mirror
 * @opts: borrowed for the call. NULL: the defaults.
 * @ret:  receives the mirror. Free it with hmmu_mirror_destroy().
 *
 * Context: Does not sleep.
 * Locking: None.
 * Return:
 *   0            success
 *   -EINVAL      @ret is NULL, @opts->size is too small, or @opts->pad is not 0
 *   -E2BIG       @opts has a field that this library does not know: see base.h
 *   -EOPNOTSUPP  @opts->va_bits is not 0, 48 or 57
 *   -ENOMEM      out of memory
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_create(const struct hmmu_mirror_options *opts,
		   struct hmmu_mirror **ret);

/**
 * hmmu_mirror_destroy() - free a mirror and all its tables
 * @mirror: freed by the call. May be NULL. It has no reader, and no other call
 *          uses it.
 *
 * Context: Does not sleep: there is no reader to wait for.
 * Locking: None.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_destroy(struct hmmu_mirror *mirror);

/**
 * hmmu_mirror_map_range() - map a range to consecutive payloads
 * @mirror:  the mirror.
 * @address: first byte, page aligned.
 * @bytes:   length, a multiple of the page size; not 0.
 * @payload: payload of the page at @address, page aligned. The payload of each
 *           following page is larger by the page size.
 * @flags:   HMMU_MIRROR_FLAGS, and VALID, which is always set.
 *
 * Uses the largest leaves that the alignment of address and payload allows.
 * Replaces what was mapped in the range. The range is not rounded, because the
 * device could then access more than the caller has mapped.
 *
 * Context: Does not sleep and does not wait for readers. May be called from an
 *          invalidate callback and in a read section.
 * Locking: See above.
 * Return:
 *   0            success
 *   -EINVAL      the range is misaligned, empty, or ends beyond the mirror's
 *                addresses; or the payload is misaligned or wraps
 *   -EOPNOTSUPP  unknown flag
 *   -ENOMEM      out of memory; nothing has changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_map_range(struct hmmu_mirror *mirror, uintptr_t address,
		      size_t bytes, uint64_t payload, uint64_t flags);

/**
 * hmmu_mirror_map_entries() - map and unmap pages as in an array
 * @mirror:  the mirror.
 * @start:   first byte, page aligned.
 * @npages:  number of 4 KiB pages and of @entries; not 0.
 * @entries: payload | VALID | flags of each page, or 0 to unmap the page.
 *           Borrowed for the call, and copied before a lock is taken.
 *
 * 2 MiB with consecutive and aligned payloads become one large leaf.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: See above.
 * Return:
 *   0            success
 *   -EINVAL      invalid range as in hmmu_mirror_map_range(), or an entry that
 *                is not 0 and lacks VALID
 *   -EOPNOTSUPP  an unknown bit in an entry, or a LEVEL bit
 *   -ENOMEM      out of memory; nothing has changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_mirror_map_entries(struct hmmu_mirror *mirror,
						     uintptr_t start,
						     size_t npages,
						     const uint64_t *entries);

/**
 * hmmu_mirror_unmap_range() - unmap a range
 * @mirror:             the mirror.
 * @address:            any address.
 * @bytes:              length, not 0; rounded outwards to pages, see base.h.
 * @ret_unmapped_pages: receives the number of 4 KiB pages that were mapped. May
 *                      be NULL.
 *
 * Splits large leaves that are partly in the range. Readers can still use the
 * old translations: call hmmu_mirror_synchronize() before you free the memory.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: See above.
 * Return:
 *   0        success, also if nothing was mapped
 *   -EINVAL  empty range, or one that ends beyond the mirror's addresses
 *   -ENOMEM  no memory to split a large leaf; nothing has changed. Unmap the
 *            whole leaf, which needs none
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_unmap_range(struct hmmu_mirror *mirror, uintptr_t address,
			size_t bytes, size_t *ret_unmapped_pages);

/**
 * hmmu_mirror_protect_range() - clear flags in a range
 * @mirror:      the mirror.
 * @address:     any address.
 * @bytes:       length, not 0; rounded outwards to pages, see base.h.
 * @clear_flags: HMMU_MIRROR_FLAGS; usually WRITE.
 *
 * Pages that are not mapped do not change. Large leaves that are partly in the
 * range and have one of the flags are split.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: See above.
 * Return:
 *   0            success
 *   -EINVAL      invalid range as in hmmu_mirror_unmap_range(); or VALID in
 *                @clear_flags: call hmmu_mirror_unmap_range()
 *   -EOPNOTSUPP  unknown flag
 *   -ENOMEM      no memory to split a large leaf; nothing has changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_protect_range(struct hmmu_mirror *mirror, uintptr_t address,
			  size_t bytes, uint64_t clear_flags);

/**
 * hmmu_mirror_coalesce_range() - merge small leaves into large ones
 * @mirror:  the mirror.
 * @address: any address.
 * @bytes:   length, not 0; rounded outwards to pages, see base.h.
 *
 * Merges the 512 small leaves of each aligned 2 MiB within the pages, if their
 * flags are equal and their payloads consecutive and aligned. Then it does the
 * same for each 1 GiB. Translations do not change.
 *
 * Context: As hmmu_mirror_map_range(). Allocates no memory.
 * Locking: See above.
 * Return:
 *   0        success, also if nothing was merged
 *   -EINVAL  invalid range as in hmmu_mirror_unmap_range()
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_coalesce_range(struct hmmu_mirror *mirror, uintptr_t address,
			   size_t bytes);

/**
 * hmmu_mirror_synchronize() - wait for readers
 * @mirror: the mirror.
 *
 * Waits until each read section that was open at the call has ended, and frees
 * the tables that waited for that.
 *
 * Context: Sleeps. Not in a read section of the calling thread.
 * Locking: Caller holds no lock that a reader takes in its section.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_synchronize(struct hmmu_mirror *mirror);

/* Names of 0.1 ------------------------------------------------------------- */

/** hmmu_mirror_map() - hmmu_mirror_map_range() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_mirror_map(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		uint64_t payload, uint64_t flags)
{
	return hmmu_mirror_map_range(
		mirror, start, hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES),
		payload, flags);
}

/** hmmu_mirror_unmap() - hmmu_mirror_unmap_range() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_mirror_unmap(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		  size_t *ret_unmapped_pages)
{
	return hmmu_mirror_unmap_range(
		mirror, start, hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES),
		ret_unmapped_pages);
}

/** hmmu_mirror_protect() - hmmu_mirror_protect_range() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_mirror_protect(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end,
		    uint64_t clear_flags)
{
	return hmmu_mirror_protect_range(
		mirror, start, hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES),
		clear_flags);
}

/** hmmu_mirror_coalesce() - hmmu_mirror_coalesce_range() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_mirror_coalesce(struct hmmu_mirror *mirror, uintptr_t start, uintptr_t end)
{
	return hmmu_mirror_coalesce_range(
		mirror, start, hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES));
}

HMMU_END_DECLS

#include <hmmu/mirror_lookup.h>

#endif
