/* SPDX-License-Identifier: MIT */
/*
 * Spaces: share the address space of this process with devices
 *
 * Overview: hmmu_space_open() starts the fault service, a thread, and returns
 * the space of this process. Devices (device.h), subscriptions (notifier.h) and
 * device memories (memory.h) belong to a space. hmmu_space_close() migrates all
 * pages back and ends the service.
 *
 * Locking: the caller of each function holds no lock that a callback takes.
 *
 * Not supported: two spaces in one process. A mapping can be registered with
 * one userfaultfd only. A second open returns the same space; each open needs a
 * close.
 */
#ifndef HMMU_SPACE_H
#define HMMU_SPACE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;

/**
 * struct hmmu_space_options - options of hmmu_space_open()
 * @size:     sizeof(struct hmmu_space_options), bytes.
 * @no_hooks: non-zero: do not intercept munmap, mmap, mremap, madvise,
 *            mprotect, brk and similar functions of the C library. Each change
 *            of memory that devices use then waits for the service. Subscribers
 *            are notified after the change, and not at all of mprotect, shmdt,
 *            guard pages and changes of file mappings. read, write and similar
 *            calls do not migrate their buffers back; in user mode (migrate.h)
 *            they then fail with EFAULT.
 * @allow_copy: ignored.
 */
struct hmmu_space_options {
	size_t size;
	uint32_t no_hooks;
	uint32_t allow_copy;
};

/**
 * hmmu_space_open() - share the memory of this process with devices
 * @options:   borrowed for the call. NULL: the defaults.
 * @why:       receives NULL or, with an error, a static sentence: the cause and
 *             what to change. May be NULL.
 * @ret_space: receives the space. Free it with hmmu_space_close().
 *
 * Context: May sleep. Starts a thread. Not from a callback.
 * Return:
 *   0            success; a space that was open already is shared
 *   -EOPNOTSUPP  a facility is missing, mostly userfaultfd: @why names the
 *                sysctl or capability to change
 *   -E2BIG       @options has a field that this library does not know: see
 *                base.h
 *   -EINVAL      @ret_space is NULL, or @options->size is too small
 *   -ENOMEM      out of memory or address space. After mlockall(MCL_FUTURE)
 *                RLIMIT_MEMLOCK may be too small: raise it
 *   -EAGAIN      no thread can be created: raise RLIMIT_NPROC
 *   -EMFILE, -ENFILE  no file descriptor is left: close some
 *   -ENOENT, -EACCES, -EPERM  /proc/self cannot be read: mount /proc, and keep
 *                the process dumpable
 *   -ECHILD      the parent has a space, and the child was made by clone(2) or
 *                _Fork(3): use fork(3)
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_space_open(const struct hmmu_space_options *options, const char **why,
		struct hmmu_space **ret_space);

/**
 * hmmu_space_close() - end one open; the last one ends the space
 * @space: freed by the last close on success. NULL: does nothing and returns 0.
 *
 * The last close migrates all pages back. After an error the space is open as
 * before.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EBUSY   devices, device memories or subscriptions exist: destroy them
 *            first. Or the program kept changing mappings: call again
 *   -ENOMEM  out of memory: free some and call again
 *   -ECHILD  called in a forked child: only the parent can close the space
 * Since: 0.1
 */
HMMU_API int hmmu_space_close(struct hmmu_space *space);

/**
 * struct hmmu_space_stats - counters of a space since it was opened
 * @size:                 sizeof(struct hmmu_space_stats), bytes.
 * @device_faults:        device faults.
 * @device_fault_retries: retries of device faults after a collision.
 * @cpu_faults:           CPU accesses that migrated pages back.
 * @hole_faults:          CPU accesses to pages that were never written, in a
 *                        mapping that is partly on a device.
 * @pages_to_device:      4 KiB pages that migrated to devices.
 * @large_to_device:      large pages among them that were not split, in 2 MiB.
 * @pages_home:           4 KiB pages that migrated back.
 * @large_home:           large pages among them that were not split, in 2 MiB.
 * @pages_copied:         pages that were copied when they migrated back,
 *                        because the kernel refused to move them.
 * @pages_dropped:        device pages that were freed because the program
 *                        unmapped or discarded them.
 * @invalidations:        invalidations.
 * @events_unmap:         unmaps reported by userfaultfd and not by a hook.
 * @events_remove:        discards reported by userfaultfd.
 * @events_remap:         mremaps reported by userfaultfd.
 * @events_late:          events that were read before all sections had stopped.
 * @sections_broken:      port sections that were aborted, because their thread
 *                        accessed memory on a device.
 * @sections_overdue:     waits for a port section of more than 1 s.
 * @thp_lost:             large pages that were split in order to be moved.
 * @device_pages:         4 KiB pages on devices now.
 * @mirror_bytes:         size of all mirrors now, bytes.
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
 * @stats: in: size; out: the counters. May be any memory of the program.
 *
 * Context: Does not sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EINVAL  NULL argument, or @stats->size too small
 *   -ENOMEM  out of memory
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_space_get_stats(struct hmmu_space *space, struct hmmu_space_stats *stats);

/**
 * struct hmmu_residency - where the pages of a 2 MiB block are
 * @start:         first byte of the block, 2 MiB aligned.
 * @system_pages:  4 KiB pages in system memory.
 * @system_large:  non-zero: the CPU maps the block as one large page.
 * @device_pages:  4 KiB pages in device memory.
 * @device_large:  non-zero: they are one contiguous chunk of 2 MiB.
 * @mirror_leaf_lg2: size of the largest leaf by which a device maps a part of
 *                 the block: 12, 21 or 30; 0: no device maps it.
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
 * hmmu_residency_blocks() - count the 2 MiB blocks of a range
 * @address: any address.
 * @bytes:   length, not 0.
 *
 * Context: Any.
 * Return: the number of records that hmmu_space_get_residency() writes.
 * Since: 0.1
 */
static inline size_t hmmu_residency_blocks(uintptr_t address, size_t bytes)
{
	return ((address + bytes - 1) >> HMMU_LARGE_LG2) -
	       (address >> HMMU_LARGE_LG2) + 1;
}

/**
 * hmmu_space_get_residency() - find out where the pages of a range are
 * @space:   an open space.
 * @address: any address of the program.
 * @bytes:   length, not 0; rounded outwards to blocks of 2 MiB.
 * @out:     receives hmmu_residency_blocks(@address, @bytes) records, in the
 *           order of addresses. May be any memory of the program.
 *
 * Pages may migrate while the call runs, so the result is only a picture.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EINVAL  NULL, empty or wrapping range
 *   -ENOMEM  out of memory
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_space_get_residency(struct hmmu_space *space, uintptr_t address,
			 size_t bytes, struct hmmu_residency *out);

/**
 * hmmu_alloc() - allocate zeroed memory that is never on a device
 * @bytes: size; 0 returns NULL.
 *
 * Allocate with it all memory that a callback accesses, and all data protected
 * by a lock that a callback takes: other memory may be on a device when the
 * callback runs. 64 bytes and more are aligned to 64, less to 16.
 *
 * Context: Does not sleep.
 * Return: memory owned by the caller: free it with hmmu_free(). NULL: out of
 *         memory.
 * Source: contract E1.
 * Since: 0.1
 */
HMMU_API void *hmmu_alloc(size_t bytes);

/**
 * hmmu_free() - free memory of hmmu_alloc()
 * @memory: from hmmu_alloc(); freed by the call. May be NULL.
 * @bytes:  the size that was allocated.
 *
 * Context: Does not sleep.
 * Since: 0.1
 */
HMMU_API void hmmu_free(void *memory, size_t bytes);

/* Names of 0.1 ------------------------------------------------------------- */

/**
 * hmmu_space_residency() - hmmu_space_get_residency() of [@start, @end)
 *
 * Both must be aligned to 2 MiB.
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
