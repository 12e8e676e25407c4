/* SPDX-License-Identifier: MIT */
/*
 * Lookups in a mirror: one page, a run of pages, a walk over a range. Included
 * by mirror.h.
 *
 * Lookups and walks run in a read section. Each page that they return was
 * mapped so at some moment of the call or, for a walk, of the walk.
 *
 * Locking: none. Lookups and sections never sleep and make no system call. The
 * acquire loads pair with the release stores of updates: what the owner wrote
 * before it mapped a page is visible.
 */
#ifndef HMMU_MIRROR_LOOKUP_H
#define HMMU_MIRROR_LOOKUP_H

#include <hmmu/mirror.h>

HMMU_BEGIN_DECLS

/**
 * hmmu_mirror_reader_create() - create a reader
 * @mirror: the mirror; borrowed until the reader is destroyed.
 * @ret:    receives the reader. Free it with hmmu_mirror_reader_destroy(). One
 *          thread uses it at a time.
 *
 * The library allocates it, because hmmu_mirror_synchronize() reads it: it must
 * not be in memory that can be on a device.
 *
 * Context: Does not sleep.
 * Return:
 *   0        success
 *   -EINVAL  @mirror or @ret is NULL
 *   -ENOMEM  out of memory
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_reader_create(struct hmmu_mirror *mirror,
			  struct hmmu_mirror_reader **ret);

/**
 * hmmu_mirror_reader_destroy() - free a reader
 * @mirror: the mirror of the reader.
 * @reader: freed by the call; has no section open. May be NULL.
 *
 * Context: Does not sleep.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_reader_destroy(struct hmmu_mirror *mirror,
					 struct hmmu_mirror_reader *reader);

/**
 * hmmu_mirror_read_begin() - begin a read section
 * @mirror: the mirror.
 * @reader: a reader of @mirror. It has no section open: sections do not nest.
 *
 * Context: Any.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_read_begin(struct hmmu_mirror *mirror,
				     struct hmmu_mirror_reader *reader);

/**
 * hmmu_mirror_read_end() - end a read section
 * @mirror: the mirror.
 * @reader: the reader that began it.
 *
 * Do not use what the lookups of the section returned any more.
 *
 * Context: Any.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_read_end(struct hmmu_mirror *mirror,
				   struct hmmu_mirror_reader *reader);

/**
 * struct hmmu_mirror_head - the first part of each struct hmmu_mirror
 * @root:   512 entries; does not change after the creation.
 * @va_end: end of the addresses: 1 << 48 or 1 << 57.
 *
 * Used by hmmu_mirror_lookup() only. The format of a table is not part of the
 * interface.
 */
struct hmmu_mirror_head {
	const uint64_t *root;
	uintptr_t va_end;
};

/**
 * hmmu_mirror_lookup_again() - the slow half of hmmu_mirror_lookup()
 * @mirror: the mirror.
 * @va:     any address.
 * @entry:  receives the entry if the page is mapped.
 *
 * Called by hmmu_mirror_lookup() when it finds a table that is being unlinked.
 * Do not call it otherwise.
 *
 * Context: Any, in a read section of the calling thread.
 * Return: true if the page is mapped.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK bool
hmmu_mirror_lookup_again(const struct hmmu_mirror *mirror, uintptr_t va,
			 uint64_t *entry);

/*
 * Returns the entry for @va in the table of @e. Each entry of that table spans
 * 1 << @lg2 bytes.
 */
static inline uint64_t hmmu__mirror_step(uint64_t e, uintptr_t va,
					 unsigned int lg2)
{
	const uint64_t *table =
		(const uint64_t *)(uintptr_t)(e & HMMU_MIRROR_PAYLOAD);

	return __atomic_load_n(&table[(va >> lg2) % 512], __ATOMIC_ACQUIRE);
}

/*
 * Returns the entry for @va that spans 512 GiB; 0 beyond the addresses. Shifts
 * by constants are twice as fast as one loop over all levels.
 */
static inline uint64_t hmmu__mirror_top(const struct hmmu_mirror *mirror,
					uintptr_t va)
{
	const struct hmmu_mirror_head *head =
		(const struct hmmu_mirror_head *)(const void *)mirror;
	uint64_t e;

	if (__builtin_expect(va >= head->va_end, 0))
		return 0;
	if (__builtin_expect(head->va_end <= 1ull << 48, 1))
		return __atomic_load_n(&head->root[va >> 39], __ATOMIC_ACQUIRE);
	e = __atomic_load_n(&head->root[va >> 48], __ATOMIC_ACQUIRE);
	return e & HMMU_MIRROR_TABLE ? hmmu__mirror_step(e, va, 39) : e;
}

/**
 * hmmu_mirror_lookup() - translate an address
 * @mirror: the mirror.
 * @va:     any address; need not be aligned.
 * @entry:  receives payload and flags of the 4 KiB page of @va, if it is
 *          mapped.
 *
 * Context: Any, in a read section of the calling thread.
 * Return: true if the page is mapped; false also beyond the mirror's addresses.
 * Since: 0.1
 */
static inline __attribute__((always_inline)) HMMU_MUST_CHECK bool
hmmu_mirror_lookup(const struct hmmu_mirror *mirror, uintptr_t va,
		   uint64_t *entry)
{
	uintptr_t within = HMMU_HUGE_BYTES - HMMU_PAGE_BYTES;
	uint64_t e = hmmu__mirror_top(mirror, va);

	if (__builtin_expect(!(e & HMMU_MIRROR_TABLE), 0))
		goto miss;
	e = hmmu__mirror_step(e, va, HMMU_HUGE_LG2);
	if (e & HMMU_MIRROR_TABLE) {
		within = HMMU_LARGE_BYTES - HMMU_PAGE_BYTES;
		e = hmmu__mirror_step(e, va, HMMU_LARGE_LG2);
		if (e & HMMU_MIRROR_TABLE) {
			within = 0;
			e = hmmu__mirror_step(e, va, HMMU_PAGE_LG2);
		}
	}
	if (__builtin_expect(!(e & HMMU_MIRROR_VALID), 0))
		goto miss;
	/* In a large leaf, advance to the page of @va. */
	*entry = e + (va & within);
	return true;

miss:
	return e && hmmu_mirror_lookup_again(mirror, va, entry);
}

/**
 * struct hmmu_mirror_run - pages with equal flags and consecutive payloads
 * @start:   first byte, page aligned.
 * @end:     one past the last byte, page aligned.
 * @payload: payload of the page at @start.
 * @flags:   VALID and the HMMU_MIRROR_FLAGS of the pages.
 */
struct hmmu_mirror_run {
	uintptr_t start;
	uintptr_t end;
	uint64_t payload;
	uint64_t flags;
};

/**
 * hmmu_mirror_lookup_run() - get the run of pages around an address
 * @mirror:    the mirror.
 * @va:        any address; need not be aligned.
 * @max_bytes: limit of the search on each side of @va. The search stops on a
 *             side where the run reaches that far. 0: only the leaf of @va.
 * @ret:       receives the run, if @va is mapped. It consists of whole leaves.
 *
 * A run can have leaves of several tables and sizes.
 *
 * Context: Any, in a read section of the calling thread.
 * Return: true if @va is mapped.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK bool
hmmu_mirror_lookup_run(const struct hmmu_mirror *mirror, uintptr_t va,
		       size_t max_bytes, struct hmmu_mirror_run *ret);

/**
 * enum hmmu_mirror_walk_mode - what a step of a walk returns
 * @HMMU_MIRROR_WALK_LEAVES: one leaf.
 * @HMMU_MIRROR_WALK_RUNS:   one run of adjacent leaves.
 */
enum hmmu_mirror_walk_mode {
	HMMU_MIRROR_WALK_LEAVES = 0,
	HMMU_MIRROR_WALK_RUNS = 1,
};

/**
 * struct hmmu_mirror_walk - a walk in progress, on the caller's stack
 * @run:      result of the step, cut to the range of the walk.
 * @leaf_lg2: size of the first leaf of the step: 12, 21 or 30.
 * @mode:     from hmmu_mirror_walk_range().
 * @mirror:   private, like all that follows.
 * @table:    table of the position.
 * @base:     first address that @table spans.
 * @next:     position.
 * @limit:    end of the walk.
 * @lg2:      an entry of @table spans 1 << @lg2 bytes.
 * @pad:      0.
 */
struct hmmu_mirror_walk {
	struct hmmu_mirror_run run;
	uint32_t leaf_lg2;
	uint32_t mode;
	const struct hmmu_mirror *mirror;
	const uint64_t *table;
	uintptr_t base;
	uintptr_t next;
	uintptr_t limit;
	uint32_t lg2;
	uint32_t pad;
};

/**
 * hmmu_mirror_walk_range() - begin a walk over the mapped pages of a range
 * @walk:    initialized by the call. There is no end: the section ends it.
 * @mirror:  the mirror; borrowed until the section ends.
 * @address: any address.
 * @bytes:   length; rounded outwards to pages, see base.h. This call cannot
 *           fail: an empty range has no step, and a range that wraps or ends
 *           beyond the mirror's addresses is walked up to their end.
 * @mode:    leaves or runs.
 *
 *	hmmu_mirror_walk_range(&walk, mirror, address, bytes, mode);
 *	while (hmmu_mirror_walk_next(&walk))
 *		use(&walk.run);
 *
 * Context: Any, in a read section of the calling thread.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_walk_range(struct hmmu_mirror_walk *walk,
				     const struct hmmu_mirror *mirror,
				     uintptr_t address, size_t bytes,
				     enum hmmu_mirror_walk_mode mode);

/**
 * hmmu_mirror_walk_next() - go to the next leaf or run, in ascending order
 * @walk: from hmmu_mirror_walk_range(), in the same section.
 *
 * Context: Any, in a read section of the calling thread.
 * Return: true with the result in @walk->run; false at the end.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK bool
hmmu_mirror_walk_next(struct hmmu_mirror_walk *walk);

/**
 * struct hmmu_mirror_stats - contents of a mirror
 * @size:         sizeof(struct hmmu_mirror_stats), bytes. Fields that this
 *                library does not know are not written.
 * @tables:       tables in use, with the root; 4 KiB each.
 * @leaves:       leaves of 4 KiB, 2 MiB and 1 GiB.
 * @mapped_bytes: bytes that the leaves map.
 * @dead_tables:  unlinked tables that wait for readers; 4 KiB each.
 */
struct hmmu_mirror_stats {
	size_t size;
	uint64_t tables;
	uint64_t leaves[3];
	uint64_t mapped_bytes;
	uint64_t dead_tables;
};

/**
 * hmmu_mirror_get_stats() - count the tables and leaves of a mirror
 * @mirror: the mirror.
 * @stats:  in: size; out: the counts, exact if no update runs.
 *
 * Walks the tables above the lowest level, so that updates need not count.
 *
 * Context: May be called in a read section.
 * Locking: Takes a lock of the mirror.
 * Return:
 *   0        success
 *   -EINVAL  NULL argument, or @stats->size too small
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_get_stats(struct hmmu_mirror *mirror,
		      struct hmmu_mirror_stats *stats);

/* Names of 0.1 ------------------------------------------------------------- */

/**
 * hmmu_mirror_walk_begin() - hmmu_mirror_walk_range() of [@start, @end)
 *
 * Neither need be aligned. An empty range has no step.
 */
HMMU_NAME_OF_0_1 void hmmu_mirror_walk_begin(struct hmmu_mirror_walk *walk,
					     const struct hmmu_mirror *mirror,
					     uintptr_t start, uintptr_t end,
					     enum hmmu_mirror_walk_mode mode)
{
	hmmu_mirror_walk_range(walk, mirror, start,
			       start < end ? end - start : 0, mode);
}

HMMU_END_DECLS

#endif
