/* SPDX-License-Identifier: MIT */
/*
 * Device memory: a pool of 4 KiB pages in chunks of 2 MiB.
 *
 * A device page is an opaque number within its pool. Two kinds:
 *
 * - host-private: host memory that the program cannot see; the pool is filled
 *   and emptied by moving page-table entries, so no byte is copied and large
 *   pages stay large. A CPU touch of what is in it brings the page home.
 * - coherent: memory that the CPU goes on using in place (DC1). A page leaves
 *   it when it is asked home, before a fork (DC5) or a pin (DC3), and when the
 *   program discards it. Here the page stays at its address in system memory
 *   and is counted in the pool: for models of such devices.
 */
#ifndef HMMU_MEMORY_H
#define HMMU_MEMORY_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_memory;

/**
 * enum hmmu_memory_kind - what a device memory is made of
 * @HMMU_MEMORY_HOST_PRIVATE: host memory, zero-copy, the CPU cannot see it.
 * @HMMU_MEMORY_COHERENT:     the CPU goes on using the page where it is.
 */
enum hmmu_memory_kind {
	HMMU_MEMORY_HOST_PRIVATE = 0,
	HMMU_MEMORY_COHERENT = 1,
};

/**
 * struct hmmu_memory_options - how to make a device memory
 * @size:  sizeof(struct hmmu_memory_options) as built, bytes.
 * @kind:  enum hmmu_memory_kind.
 * @reserved: zero.
 * @bytes: capacity, a multiple of 2 MiB. Only what is used takes memory.
 */
struct hmmu_memory_options {
	size_t size;
	uint32_t kind;
	uint32_t reserved;
	size_t bytes;
};

/**
 * struct hmmu_memory_stats - how full a device memory is
 * @size:        sizeof(*stats) as built, bytes.
 * @total_pages: capacity in 4 KiB pages.
 * @used_pages:  pages given out.
 * @free_chunks: wholly free chunks of 2 MiB.
 * @split_chunks: chunks given out as single pages.
 */
struct hmmu_memory_stats {
	size_t size;
	uint64_t total_pages;
	uint64_t used_pages;
	uint64_t free_chunks;
	uint64_t split_chunks;
};

/**
 * hmmu_memory_create() - make a device memory
 * @space:      the space whose pages it will hold; outlives the memory.
 * @options:    borrowed for the call.
 * @ret_memory: receives the memory, see hmmu_memory_destroy().
 *
 * Context: May sleep.
 * Return:
 *   0            made
 *   -EINVAL      NULL, size unknown, kind unknown, bytes 0 or not a multiple
 *   -E2BIG       @options is of a newer HMMU
 *   -ENOMEM      no address space for it; ask for less
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_memory_create(struct hmmu_space *space,
		   const struct hmmu_memory_options *options,
		   struct hmmu_memory **ret_memory);

/**
 * hmmu_memory_destroy() - end a device memory
 * @memory: consumed on success. NULL is 0.
 *
 * Return: 0, or -EBUSY while a device uses it; destroy the device first.
 * Since: 0.1
 */
HMMU_API int hmmu_memory_destroy(struct hmmu_memory *memory);

/**
 * hmmu_memory_get_stats() - how full is it?
 * @memory: a device memory.
 * @stats:  in: size; out: the figures.
 * Return: 0, or -EINVAL when an argument is NULL or the size is too small.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_memory_get_stats(struct hmmu_memory *memory,
		      struct hmmu_memory_stats *stats);

/**
 * hmmu_memory_fail_large() - refuse one large page, for tests of a driver
 * @memory: a device memory.
 *
 * The next place of 2 MiB that is wanted is refused, once, in whichever
 * direction: a large page that was to move into @memory moves as small pages
 * (MV24), or one that was to leave it comes home as small pages. Content and
 * counts of pages are as ever; only large_moved is one less.
 *
 * Context: Does not sleep. From anywhere.
 * Return: 0, or -EINVAL when @memory is NULL.
 * Source: contract MV24; part 2, FLAGS.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_memory_fail_large(struct hmmu_memory *memory);

HMMU_END_DECLS

#endif
