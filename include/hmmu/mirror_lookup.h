/* SPDX-License-Identifier: MIT */
/*
 * Reading a mirror: read sections, and in them one page, the run around a page,
 * everything in a range. Included by mirror.h.
 *
 * Lookups and walks run inside a read section (hmmu_mirror_read_begin()) and
 * take no lock. Each page they report was mapped so at some moment of the call; for
 * a walk, of the walk.
 */
#ifndef HMMU_MIRROR_LOOKUP_H
#define HMMU_MIRROR_LOOKUP_H

#include <hmmu/mirror.h>

HMMU_BEGIN_DECLS

/**
 * hmmu_mirror_reader_create() - register a reader
 * @mirror: a mirror; must outlive the reader.
 * @ret:    the reader, owned by the caller; for one thread at a time.
 *
 * The library allocates it because hmmu_mirror_synchronize() reads it: it must
 * not lie in memory that can be away on a device.
 *
 * Context: Not from a signal handler.
 * Locking: Takes none that the caller could hold.
 * Return:
 *   0        registered
 *   -EINVAL  @mirror or @ret is NULL
 *   -ENOMEM  the arena is full
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_reader_create(struct hmmu_mirror *mirror,
			  struct hmmu_mirror_reader **ret);

/**
 * hmmu_mirror_reader_destroy() - unregister and free a reader
 * @mirror: the mirror it was made for.
 * @reader: consumed; not in a section. NULL is allowed.
 *
 * Context: Not from a signal handler.
 * Locking: Takes none that the caller could hold.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_reader_destroy(struct hmmu_mirror *mirror,
					 struct hmmu_mirror_reader *reader);

/**
 * hmmu_mirror_read_begin() - open a read section
 * @mirror: a mirror.
 * @reader: one of its readers, not in a section: sections do not nest.
 *
 * Context: Any. Never sleeps, takes no lock, makes no system call.
 * Locking: None.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_read_begin(struct hmmu_mirror *mirror,
				     struct hmmu_mirror_reader *reader);

/**
 * hmmu_mirror_read_end() - close a read section
 * @mirror: as for the begin.
 * @reader: as for the begin.
 *
 * What lookups of the section returned must not be used any more.
 *
 * Context: Any. Never sleeps, takes no lock, makes no system call.
 * Locking: None.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_read_end(struct hmmu_mirror *mirror,
				   struct hmmu_mirror_reader *reader);

/**
 * struct hmmu_mirror_head - the part of a mirror that lookups read
 * @root:   512 entries; set when the mirror is created, never changed.
 * @va_end: first address beyond the address space: 1 << 48 or 1 << 57.
 *
 * Every struct hmmu_mirror begins with it. For hmmu_mirror_lookup() only: the
 * format of a table is not part of the interface otherwise.
 */
struct hmmu_mirror_head {
	const uint64_t *root;
	uintptr_t va_end;
};

/**
 * hmmu_mirror_lookup_again() - what hmmu_mirror_lookup() does when it must
 * @mirror: a mirror.
 * @va:     any address.
 * @entry:  set only when the page is mapped.
 *
 * The inline path ends here when it ran into a table that was being taken
 * away. There is no reason to call it otherwise.
 *
 * Context: Inside a read section of the calling thread.
 * Locking: None.
 * Return: true when the page is mapped.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK bool
hmmu_mirror_lookup_again(const struct hmmu_mirror *mirror, uintptr_t va,
			 uint64_t *entry);

/* The entry for @va in the table that @e leads to; one entry of it spans
 * 1 << @lg2 bytes. */
static inline uint64_t hmmu__mirror_step(uint64_t e, uintptr_t va,
					 unsigned int lg2)
{
	const uint64_t *table =
		(const uint64_t *)(uintptr_t)(e & HMMU_MIRROR_PAYLOAD);

	return __atomic_load_n(&table[(va >> lg2) % 512], __ATOMIC_ACQUIRE);
}

/* The entry for @va that spans 512 GiB; 0 beyond the address space. Shifts by
 * constants make it twice as fast as one loop over all levels. */
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
 * hmmu_mirror_lookup() - translate one address
 * @mirror: a mirror.
 * @va:     any address; need not be aligned.
 * @entry:  payload of the 4 KiB page of @va, and flags; set only when mapped.
 *
 * An address beyond the mirror's address space is not mapped.
 *
 * Context: Inside a read section of the calling thread. Never sleeps.
 * Locking: None. The acquire loads pair with the release stores of updates:
 *          what the owner wrote before it mapped a page is visible.
 * Return: true when the page is mapped.
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
	/* Within a large leaf, advance to the page of @va. */
	*entry = e + (va & within);
	return true;

miss:
	return e && hmmu_mirror_lookup_again(mirror, va, entry);
}

/**
 * struct hmmu_mirror_run - pages mapped alike, one after the other
 * @start:   first byte, page aligned.
 * @end:     one past the last byte, page aligned.
 * @payload: of the page at @start; the others follow it.
 * @flags:   VALID and the HMMU_MIRROR_FLAGS all of them have.
 */
struct hmmu_mirror_run {
	uintptr_t start;
	uintptr_t end;
	uint64_t payload;
	uint64_t flags;
};

/**
 * hmmu_mirror_lookup_run() - translate an address and all that goes with it
 * @mirror:    a mirror.
 * @va:        any address; need not be aligned.
 * @max_bytes: bound of the search: no further leaf is looked at on a side of
 *             @va on which the run reaches this far already. With 0 the run is
 *             the leaf that holds @va.
 * @ret:       the run; set only when @va is mapped. Leaves are not cut.
 *
 * The run crosses tables and leaf sizes.
 *
 * Context: Inside a read section of the calling thread. Never sleeps.
 * Locking: None; ordering as for hmmu_mirror_lookup().
 * Return: true when @va is mapped.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK bool
hmmu_mirror_lookup_run(const struct hmmu_mirror *mirror, uintptr_t va,
		       size_t max_bytes, struct hmmu_mirror_run *ret);

/**
 * enum hmmu_mirror_walk_mode - what one step of a walk reports
 * @HMMU_MIRROR_WALK_LEAVES: each leaf by itself.
 * @HMMU_MIRROR_WALK_RUNS:   neighbouring leaves that make one run as one.
 */
enum hmmu_mirror_walk_mode {
	HMMU_MIRROR_WALK_LEAVES = 0,
	HMMU_MIRROR_WALK_RUNS = 1,
};

/**
 * struct hmmu_mirror_walk - a walk in progress; lives on the caller's stack
 * @run:      the step: what is mapped, cut to the range of the walk.
 * @leaf_lg2: size of the (first) leaf of the step: 12, 21 or 30.
 * @mode:     as given to hmmu_mirror_walk_range().
 * @mirror:   private, as all that follows.
 * @table:    table that holds the position.
 * @base:     first address @table spans.
 * @next:     position.
 * @limit:    end of the walk.
 * @lg2:      one entry of @table spans 1 << @lg2 bytes.
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
 * hmmu_mirror_walk_range() - start to walk over what is mapped in a range
 * @walk:    set up; there is no end call, the section ends it.
 * @mirror:  a mirror.
 * @address: any address.
 * @bytes:   how many: the pages that hold them, see base.h. A range that ends
 *           beyond the mirror's address space, or wraps, is walked up to its
 *           end, an empty one in no step: this call cannot fail.
 * @mode:    leaves or runs.
 *
 *	hmmu_mirror_walk_range(&walk, mirror, address, bytes, mode);
 *	while (hmmu_mirror_walk_next(&walk))
 *		use(&walk.run);
 *
 * Context: Inside a read section of the calling thread. Never sleeps.
 * Locking: None.
 * Since: 0.1
 */
HMMU_API void hmmu_mirror_walk_range(struct hmmu_mirror_walk *walk,
				     const struct hmmu_mirror *mirror,
				     uintptr_t address, size_t bytes,
				     enum hmmu_mirror_walk_mode mode);

/**
 * hmmu_mirror_walk_next() - take one step, in ascending order
 * @walk: begun in the section that is still open.
 *
 * Context: As for the begin.
 * Locking: None; ordering as for hmmu_mirror_lookup().
 * Return: true with the next step in @walk->run; false at the end.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK bool
hmmu_mirror_walk_next(struct hmmu_mirror_walk *walk);

/**
 * struct hmmu_mirror_stats - what a mirror holds
 * @size:         sizeof(struct hmmu_mirror_stats) as the caller was built;
 *                what this library does not know behind it is left alone.
 * @tables:       linked tables, the root among them; 4 KiB each.
 * @leaves:       leaves by size: 4 KiB, 2 MiB, 1 GiB.
 * @mapped_bytes: what the leaves map.
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
 * hmmu_mirror_get_stats() - count what a mirror holds
 * @mirror: a mirror.
 * @stats:  in: size; out: the figures. Exact when no update runs meanwhile.
 *
 * Counts by walking the tables above the lowest level, and so costs updates
 * nothing.
 *
 * Context: Any but a signal handler; inside a read section too.
 * Locking: Takes none that the caller could hold.
 * Return:
 *   0        filled in
 *   -EINVAL  an argument is NULL, or @stats->size too small
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_mirror_get_stats(struct hmmu_mirror *mirror,
		      struct hmmu_mirror_stats *stats);

/* Names of 0.1 --------------------------------------------------------------- */

/**
 * hmmu_mirror_walk_begin() - hmmu_mirror_walk_range() of [@start, @end)
 *
 * Neither need be aligned; an empty range is walked in no step.
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
