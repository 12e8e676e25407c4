/* SPDX-License-Identifier: MIT */
/*
 * Device memory: pools of pages to which a device's pages migrate
 *
 * Overview: a device memory is a pool of 4 KiB pages in chunks of 2 MiB. A
 * device page is an opaque index within its pool. There are two kinds:
 *
 * - Host-private: host memory that the CPU cannot access at the program's
 *   address. Pages migrate by moving page-table entries: nothing is copied, and
 *   large pages are not split. A CPU access migrates the page back.
 * - Coherent: the CPU uses the page in place, without faults. This is a model
 *   of a coherent device: the page stays in system memory, at its address, and
 *   is counted in the pool. It leaves the pool when it migrates back, before it
 *   is pinned, before a fork, and when the program unmaps or discards it.
 */
#ifndef HMMU_MEMORY_H
#define HMMU_MEMORY_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_memory;

/**
 * enum hmmu_memory_kind - kinds of device memory
 * @HMMU_MEMORY_HOST_PRIVATE: host memory; absent for the CPU.
 * @HMMU_MEMORY_COHERENT:     a pool of pages that the CPU uses in place.
 *
 * Source: contract DP1-DP16, DC1-DC5.
 */
enum hmmu_memory_kind {
	HMMU_MEMORY_HOST_PRIVATE = 0,
	HMMU_MEMORY_COHERENT = 1,
};

/**
 * struct hmmu_memory_options - options of hmmu_memory_create()
 * @size:  sizeof(struct hmmu_memory_options), bytes.
 * @kind:  enum hmmu_memory_kind.
 * @reserved: 0.
 * @bytes: capacity, a multiple of 2 MiB. Unused pages take no host memory.
 */
struct hmmu_memory_options {
	size_t size;
	uint32_t kind;
	uint32_t reserved;
	size_t bytes;
};

/**
 * struct hmmu_memory_stats - use of a device memory
 * @size:        sizeof(struct hmmu_memory_stats), bytes.
 * @total_pages: capacity in 4 KiB pages.
 * @used_pages:  pages in use.
 * @free_chunks: chunks of 2 MiB without a page in use.
 * @split_chunks: chunks that are in use as single pages.
 */
struct hmmu_memory_stats {
	size_t size;
	uint64_t total_pages;
	uint64_t used_pages;
	uint64_t free_chunks;
	uint64_t split_chunks;
};

/**
 * hmmu_memory_create() - create a device memory
 * @space:      the space whose pages it will hold; borrowed until the memory is
 *              destroyed.
 * @options:    borrowed for the call.
 * @ret_memory: receives the memory. Free it with hmmu_memory_destroy().
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        success
 *   -EINVAL  NULL, size too small, unknown kind, @reserved not 0, @bytes 0 or
 *            not a multiple of 2 MiB
 *   -E2BIG   @options has a field that this library does not know: see base.h
 *   -ENOMEM  out of memory or address space: create a smaller one
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_memory_create(struct hmmu_space *space,
		   const struct hmmu_memory_options *options,
		   struct hmmu_memory **ret_memory);

/**
 * hmmu_memory_destroy() - free a device memory
 * @memory: freed on success. NULL: does nothing and returns 0.
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        success
 *   -EBUSY   a device uses the memory: destroy the device first
 *   -ENOMEM  out of memory: free some and call again
 * Since: 0.1
 */
HMMU_API int hmmu_memory_destroy(struct hmmu_memory *memory);

/**
 * hmmu_memory_get_stats() - count the pages of a device memory
 * @memory: a device memory.
 * @stats:  in: size; out: the counts. May be any memory of the program.
 *
 * Context: Does not sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        success
 *   -EINVAL  NULL argument, or @stats->size too small
 *   -ENOMEM  out of memory
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_memory_get_stats(struct hmmu_memory *memory,
		      struct hmmu_memory_stats *stats);

/**
 * hmmu_memory_fail_large() - make one large allocation fail, to test a driver
 * @memory: a device memory.
 *
 * The next migration of a large page, to @memory or back, moves it as small
 * pages. This happens once. Contents and page counts are as without the call,
 * except that large_moved is smaller by one.
 *
 * Context: Any. Does not sleep.
 * Locking: None.
 * Return: 0, or -EINVAL if @memory is NULL.
 * Source: contract MV24.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_memory_fail_large(struct hmmu_memory *memory);

HMMU_END_DECLS

#endif
