/* SPDX-License-Identifier: MIT */
/*
 * Mirror: a device page table in host memory.
 *
 * Overview: a radix table, 9 bits a level, over 48 or 57 bits of virtual
 * address. Leaves are 4 KiB, 2 MiB or 1 GiB. A leaf is one 64-bit word: a page
 * aligned payload, whose meaning is the owner's (a host address, an IOVA, a
 * page index shifted left by 12), and flags. The mirror never looks at what a
 * payload points to.
 *
 * Memory: a table is exactly 4 KiB, with nothing beside it. It is unlinked as
 * soon as its last entry goes, and freed when no reader can still be in it.
 * A mirror in which nothing is mapped has its root table and no other.
 *
 * Readers: lookups take no lock. They run inside a read section; whatever a
 * lookup returned may be used until the section ends. To take memory away:
 *
 *	hmmu_mirror_unmap_range(mirror, address, bytes, NULL);
 *	hmmu_mirror_synchronize(mirror);
 *	... no reader uses the old translation from here on ...
 *
 * A lookup that runs beside an update sees each page as it was before or as it
 * is after the update, never a third state: no page is missing for a moment
 * because its leaf is split, merged or replaced.
 *
 * Updates: any thread may update at any time. An update is atomic against
 * other updates. Updates within different 1 GiB regions run in parallel (there
 * are 16 locks for all regions), but for the moment in which a region gets its
 * first or loses its last page; an update that crosses from one region into
 * the next runs alone with others of its kind. A failed update has changed
 * nothing.
 *
 * Where arguments may lie: a mirror may be updated by the thread that brings
 * device memory home, and a read section may be what that thread waits for.
 * Between read_begin and read_end touch only memory that cannot be away on a
 * device. Updates copy their arguments before they take a lock.
 *
 * Not supported, because it keeps an update short: one leaf size per device
 * other than these three, accessed and dirty bits, negative (kernel half)
 * addresses. Leaves do not merge by themselves; see hmmu_mirror_coalesce_range().
 *
 * Example, a device's fault path, under its own lock and after
 * hmmu_notifier_read_retry() said false:
 *
 *	err = hmmu_mirror_map_range(mirror, va, HMMU_PAGE_BYTES, host,
 *				    HMMU_MIRROR_WRITE);
 *
 * and the pipeline that translates:
 *
 *	hmmu_mirror_read_begin(mirror, reader);
 *	if (hmmu_mirror_lookup(mirror, va, &entry))
 *		p = hmmu_mirror_payload(entry) + (va & (HMMU_PAGE_BYTES - 1));
 *	...
 *	hmmu_mirror_read_end(mirror, reader);
 */
#ifndef HMMU_MIRROR_H
#define HMMU_MIRROR_H

#include <stdbool.h>

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_mirror;
struct hmmu_mirror_reader;

/*
 * Bits of an entry.
 *
 * VALID:   the page is mapped. Implied by hmmu_mirror_map_range().
 * WRITE:   the device may write.
 * DEVICE:  the payload names device memory.
 * USER0-3: the owner's own; carried along, never looked at.
 * LEVEL:   out only: size of the leaf, 0 for 4 KiB, 1 for 2 MiB, 2 for 1 GiB.
 * PAYLOAD: bits 12 to 63.
 *
 * TABLE is never set in an entry handed out; bits 8 and 9 are reserved.
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

/* All flags that an owner may give to a leaf besides VALID. */
#define HMMU_MIRROR_FLAGS	0xfcull

/**
 * hmmu_mirror_payload() - the payload of the 4 KiB page an entry describes
 * @entry: from hmmu_mirror_lookup().
 *
 * Return: the payload, page aligned.
 * Since: 0.1
 */
static inline uint64_t hmmu_mirror_payload(uint64_t entry)
{
	return entry & HMMU_MIRROR_PAYLOAD;
}

/**
 * hmmu_mirror_leaf_lg2() - size of the leaf that maps a page
 * @entry: from hmmu_mirror_lookup().
 *
 * Return: 12, 21 or 30.
 * Since: 0.1
 */
static inline unsigned int hmmu_mirror_leaf_lg2(uint64_t entry)
{
	return HMMU_PAGE_LG2 + 9 * (unsigned int)((entry & HMMU_MIRROR_LEVEL) >>
						  HMMU_MIRROR_LEVEL_SHIFT);
}

/**
 * struct hmmu_mirror_options - how to create a mirror
 * @size:    sizeof(struct hmmu_mirror_options) as the caller was built, bytes.
 * @va_bits: 48 or 57; 0 means 48.
 * @pad:     0.
 */
struct hmmu_mirror_options {
	size_t size;
	uint32_t va_bits;
	uint32_t pad;
};

/**
 * hmmu_mirror_create() - make an empty mirror
 * @opts: borrowed for the call; NULL for the defaults.
 * @ret:  the mirror, owned by the caller; end it with hmmu_mirror_destroy().
 *
 * Context: Does not sleep for long. Not from a signal handler.
 * Locking: Takes none that the caller could hold.
 * Return:
 *   0            made
 *   -EINVAL      @ret NULL, @opts->size too small, or @opts->pad not 0
 *   -E2BIG       @opts has a non-zero field this library does not know
 *   -EOPNOTSUPP  @opts->va_bits is neither 48 nor 57
 *   -ENOMEM      the arena is full
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_create(const struct hmmu_mirror_options *opts,
		   struct hmmu_mirror **ret);

/**
 * hmmu_mirror_destroy() - free a mirror and all its tables
 * @mirror: consumed; NULL is allowed. No reader of it may exist and no call on
 *          it may run.
 *
 * Context: Does not sleep: with no reader there is nothing to wait for.
 * Locking: Takes none that the caller could hold.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_destroy(struct hmmu_mirror *mirror);

/**
 * hmmu_mirror_map_range() - map a range to consecutive payloads
 * @mirror:  a mirror.
 * @address: first byte, page aligned.
 * @bytes:   how many, a multiple of the page size; not 0.
 * @payload: of the page at @address, page aligned; advances with the address.
 * @flags:   any of HMMU_MIRROR_FLAGS and HMMU_MIRROR_VALID, which is implied.
 *
 * Uses the largest leaves that the alignment of both address and payload
 * allows. Whatever was mapped in the range is replaced. This call does not
 * round: a translation is of whole pages, and the device would reach more than
 * was asked for.
 *
 * Context: May be called from an invalidate callback and inside a read
 *          section. Does not wait for readers.
 * Locking: Takes only locks of the mirror; nobody waits for anything else while
 *          holding one.
 * Return:
 *   0            mapped
 *   -EINVAL      misaligned or empty range, one that ends beyond the mirror's
 *                address space, or a payload that is misaligned or would wrap
 *   -EOPNOTSUPP  a flag this library does not know
 *   -ENOMEM      no memory for tables; nothing has changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_map_range(struct hmmu_mirror *mirror, uintptr_t address,
		      size_t bytes, uint64_t payload, uint64_t flags);

/**
 * hmmu_mirror_map_entries() - make a range exactly what an array says
 * @mirror:  a mirror.
 * @start:   first byte, page aligned.
 * @npages:  number of 4 KiB pages and of @entries; not 0.
 * @entries: one per page: payload | VALID | flags, or 0 for a page that is not
 *           to be mapped (a page mapped there before is unmapped). Borrowed
 *           for the call and copied before any lock is taken.
 *
 * 2 MiB whose entries are consecutive and aligned become one large leaf.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: As hmmu_mirror_map_range().
 * Return:
 *   0            done
 *   -EINVAL      bad range as in hmmu_mirror_map_range(), or an entry that is
 *                not 0 and lacks VALID
 *   -EOPNOTSUPP  a bit in an entry this library does not know, or LEVEL bits
 *   -ENOMEM      no memory; nothing has changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_mirror_map_entries(struct hmmu_mirror *mirror,
						     uintptr_t start,
						     size_t npages,
						     const uint64_t *entries);

/**
 * hmmu_mirror_unmap_range() - take a range away
 * @mirror:             a mirror.
 * @address:            any address.
 * @bytes:              how many, not 0: the pages that hold them, see base.h.
 * @ret_unmapped_pages: how many 4 KiB pages had been mapped; may be NULL.
 *
 * Large leaves that lie partly in the range are split; tables that become
 * empty are unlinked at once. Readers may still use the old translations:
 * call hmmu_mirror_synchronize() before the memory behind them goes.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: As hmmu_mirror_map_range().
 * Return:
 *   0        done, also where nothing was mapped
 *   -EINVAL  empty range, or one that ends beyond the mirror's address space
 *   -ENOMEM  no memory to split a large leaf; nothing has changed. Unmapping
 *            the whole leaf needs none.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_unmap_range(struct hmmu_mirror *mirror, uintptr_t address,
			size_t bytes, size_t *ret_unmapped_pages);

/**
 * hmmu_mirror_protect_range() - clear flags in a range
 * @mirror:      a mirror.
 * @address:     any address.
 * @bytes:       how many, not 0: the pages that hold them, see base.h.
 * @clear_flags: any of HMMU_MIRROR_FLAGS; the usual one is WRITE.
 *
 * Pages that are not mapped stay so. Large leaves that lie partly in the range
 * and have one of the flags are split.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: As hmmu_mirror_map_range().
 * Return:
 *   0            done
 *   -EINVAL      bad range as in hmmu_mirror_unmap_range(), or VALID in
 *                @clear_flags (that is hmmu_mirror_unmap_range())
 *   -EOPNOTSUPP  a flag this library does not know
 *   -ENOMEM      no memory to split a large leaf; nothing has changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_protect_range(struct hmmu_mirror *mirror, uintptr_t address,
			  size_t bytes, uint64_t clear_flags);

/**
 * hmmu_mirror_coalesce_range() - make leaves large where they can be
 * @mirror:  a mirror.
 * @address: any address.
 * @bytes:   how many, not 0: the pages that hold them, see base.h.
 *
 * Each aligned 2 MiB within these pages whose 512 small leaves have equal flags
 * and consecutive, aligned payloads becomes one large leaf; then each 1 GiB
 * alike. Translations do not change. Needs no memory.
 *
 * Context: As hmmu_mirror_map_range().
 * Locking: As hmmu_mirror_map_range().
 * Return:
 *   0        done, also where nothing could be merged
 *   -EINVAL  bad range as in hmmu_mirror_unmap_range()
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_coalesce_range(struct hmmu_mirror *mirror, uintptr_t address,
			   size_t bytes);

/**
 * hmmu_mirror_synchronize() - wait for readers
 * @mirror: a mirror.
 *
 * Waits until every read section that was open at the call has ended, and
 * frees the tables that waited for that.
 *
 * Context: Sleeps. Not inside a read section of the calling thread.
 * Locking: The caller holds no lock that a reader could want in its section.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_synchronize(struct hmmu_mirror *mirror);

/* Names of 0.1 --------------------------------------------------------------- */

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
