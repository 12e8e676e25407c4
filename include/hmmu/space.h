/* SPDX-License-Identifier: MIT */
/*
 * A space: one address space that the program shares with its devices.
 *
 * Overview: hmmu_space_open() starts the fault service and returns the space
 * of this process. Devices (device.h), subscriptions (notifier.h) and device
 * memories (memory.h) belong to a space. hmmu_space_close() brings every page
 * home and leaves the process as if HMMU had never been there.
 *
 * A process has one live space, because Linux lets one userfaultfd watch a
 * mapping: a second open returns the same space and counts it.
 */
#ifndef HMMU_SPACE_H
#define HMMU_SPACE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;

/**
 * struct hmmu_space_options - how to open a space
 * @size:     sizeof(struct hmmu_space_options) as the caller was built, bytes.
 * @no_hooks: non-zero: leave munmap, mmap, mremap, madvise, mprotect, brk ... of
 *            the C library alone and rely on userfaultfd's events. Slower for
 *            the program (each change of used memory waits for the service); a
 *            subscriber is told after the change, and not at all of what has no
 *            event: mprotect, shmdt, guards, mappings of files. An ordinary
 *            user's read, write and their like bring nothing home.
 * @allow_copy: ignored; any value is accepted. It asked for migration by copying
 *            where the kernel cannot move pages, which HMMU does no more.
 */
struct hmmu_space_options {
	size_t size;
	uint32_t no_hooks;
	uint32_t allow_copy;
};

/**
 * hmmu_space_open() - share this process's memory with devices
 * @options:   how; NULL for the defaults. Borrowed for the call.
 * @why:       when not NULL, receives NULL or, with each error, a static
 *             sentence that says what is wrong and what to change.
 * @ret_space: receives the space; owned by the caller, see hmmu_space_close().
 *
 * Context: May sleep. Starts one thread. Not from a callback of HMMU.
 * Locking: Takes none that the caller could hold.
 * Return:
 *   0            open; a space that was open already is shared
 *   -EOPNOTSUPP  the kernel refuses userfaultfd; @why names the sysctl or
 *                capability to change
 *   -E2BIG       @options is of a newer HMMU and asks for what this one lacks
 *   -EINVAL      @ret_space is NULL or @options->size too small
 *   -ENOMEM      no memory, or no address space: after mlockall(MCL_FUTURE) an
 *                ordinary user's RLIMIT_MEMLOCK is too small for it
 *   -EAGAIN      no thread
 *   -EMFILE, -ENFILE  no file descriptor is left
 *   -ENOENT, -EACCES, -EPERM  /proc/self can not be read
 *   -ECHILD      called in a child that was made without fork(3), by a raw
 *                clone(2) for example, of a process that has a space
 * Source: userfaultfd(2).
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_space_open(const struct hmmu_space_options *options, const char **why,
		struct hmmu_space **ret_space);

/**
 * hmmu_space_close() - bring every page home and end sharing
 * @space: a space from hmmu_space_open(); consumed on success. NULL is 0.
 *
 * Context: May sleep. Not from a callback of HMMU.
 * Locking: Takes none that the caller could hold.
 * Return:
 *   0        closed; the last close of a shared space ended the service
 *   -EBUSY   devices, device memories or subscriptions still belong to it:
 *            destroy them first; or mappings kept changing while pages came
 *            home. It is still open
 *   -ENOMEM  no memory; it is still open
 *   -ECHILD  called in a forked child
 * Since: 0.1
 */
HMMU_API int hmmu_space_close(struct hmmu_space *space);

/**
 * struct hmmu_space_stats - what a space has done since it was opened
 * @size:                 sizeof(*stats) as the caller was built, bytes.
 * @device_faults:        device faults served.
 * @device_fault_retries: device faults begun again after a collision.
 * @cpu_faults:           CPU touches that brought pages home.
 * @hole_faults:          CPU touches of never-written memory in a mapping that
 *                        is partly on a device.
 * @pages_to_device:      4 KiB pages moved to device memory.
 * @large_to_device:      of them, whole 2 MiB pages moved as one (in 2 MiB).
 * @pages_home:           4 KiB pages brought home.
 * @large_home:           of them, whole 2 MiB pages moved as one (in 2 MiB).
 * @pages_copied:         pages copied on their way home, because the kernel
 *                        refused to move them.
 * @pages_dropped:        device pages dropped because the program unmapped or
 *                        discarded them.
 * @invalidations:        invalidations begun.
 * @events_unmap:         unmaps that arrived as events, not through a hook.
 * @events_remove:        discards that arrived as events.
 * @events_remap:         mremaps that arrived as events.
 * @events_late:          events read before every section could be stopped.
 * @sections_broken:      port sections broken because their own thread touched
 *                        memory that was away.
 * @sections_overdue:     waits for a port section that passed one second.
 * @thp_lost:             large pages that had to be split to be moved.
 * @device_pages:         4 KiB pages on devices now.
 * @mirror_bytes:         memory of all device page tables now, bytes.
 */
struct hmmu_space_stats {
	size_t size;
	uint64_t device_faults;
	uint64_t device_fault_retries;
	uint64_t cpu_faults;
	uint64_t hole_faults;
	uint64_t pages_to_device;
	uint64_t large_to_device;
	uint64_t pages_home;
	uint64_t large_home;
	uint64_t pages_copied;
	uint64_t pages_dropped;
	uint64_t invalidations;
	uint64_t events_unmap;
	uint64_t events_remove;
	uint64_t events_remap;
	uint64_t events_late;
	uint64_t sections_broken;
	uint64_t sections_overdue;
	uint64_t thp_lost;
	uint64_t device_pages;
	uint64_t mirror_bytes;
};

/**
 * hmmu_space_get_stats() - read the counters of a space
 * @space: an open space.
 * @stats: in: size; out: the counters.
 *
 * Context: May sleep for a moment: it takes locks. Not from a callback.
 * Return: 0; -EINVAL when @space or @stats is NULL or the size too small;
 *         -ENOMEM; -ECHILD in a forked child.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_space_get_stats(struct hmmu_space *space, struct hmmu_space_stats *stats);

/**
 * struct hmmu_residency - who holds the pages of one 2 MiB block
 * @start:         first byte of the block, 2 MiB aligned.
 * @system_pages:  4 KiB pages present in system memory.
 * @system_large:  non-zero: the system maps the block as one large page.
 * @device_pages:  4 KiB pages in device memory.
 * @device_large:  non-zero: they are one contiguous 2 MiB piece of it.
 * @mirror_leaf_lg2: largest leaf by which a device maps the block now (12, 21,
 *                 30), 0 when no device maps it.
 */
struct hmmu_residency {
	uintptr_t start;
	uint16_t system_pages;
	uint16_t system_large;
	uint16_t device_pages;
	uint16_t device_large;
	uint32_t mirror_leaf_lg2;
};

/**
 * hmmu_residency_blocks() - how many blocks of 2 MiB a range touches
 * @address: any address.
 * @bytes:   how many, not 0.
 *
 * Return: how many records hmmu_space_get_residency() writes for the range.
 * Since: 0.1
 */
static inline size_t hmmu_residency_blocks(uintptr_t address, size_t bytes)
{
	return ((address + bytes - 1) >> HMMU_LARGE_LG2) -
	       (address >> HMMU_LARGE_LG2) + 1;
}

/**
 * hmmu_space_get_residency() - say where the pages of a range are
 * @space:   an open space.
 * @address: any address of the program.
 * @bytes:   how many, not 0: the blocks of 2 MiB that hold them.
 * @out:     hmmu_residency_blocks(@address, @bytes) records, in the order of
 *           their addresses; owned by the caller. A range that is not aligned to
 *           2 MiB touches more blocks than its size says.
 *
 * A picture, not a promise: pages move while it is taken.
 *
 * Context: May sleep; touches @out. Not from a callback.
 * Locking: Takes none that the caller could hold.
 * Return:
 *   0        @out is filled
 *   -EINVAL  NULL, empty or wrapping range
 *   -ENOMEM  no memory
 *   -ECHILD  called in a forked child
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_space_get_residency(struct hmmu_space *space, uintptr_t address,
			 size_t bytes, struct hmmu_residency *out);

/**
 * hmmu_alloc() - zeroed memory that can never become device-resident
 * @bytes: how many; 0 gives NULL.
 *
 * For what a driver's callbacks touch: a callback may run while the program's
 * own memory is away, so its locks and tables must not stand there (contract
 * E1). Aligned to 64 bytes from 64 bytes on, else to 16.
 *
 * Context: Does not sleep for long; not from a signal handler.
 * Return: memory owned by the caller, see hmmu_free(); NULL when there is none.
 * Since: 0.1
 */
HMMU_API void *hmmu_alloc(size_t bytes);

/**
 * hmmu_free() - give back memory of hmmu_alloc()
 * @memory: from hmmu_alloc(); consumed. NULL is allowed.
 * @bytes:  the size it was allocated with.
 * Since: 0.1
 */
HMMU_API void hmmu_free(void *memory, size_t bytes);

/* Names of 0.1 --------------------------------------------------------------- */

/**
 * hmmu_space_residency() - hmmu_space_get_residency() of [@start, @end)
 *
 * Both are aligned to 2 MiB.
 */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_space_residency(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     struct hmmu_residency *out)
{
	return hmmu_space_get_residency(
		space, start, hmmu__bytes_0_1(start, end, HMMU_LARGE_BYTES),
		out);
}

HMMU_END_DECLS

#endif
