/* SPDX-License-Identifier: MIT */
/*
 * Migration: move pages to a device's memory, and back
 *
 * Overview: a migration is best effort. Pages that cannot migrate stay in
 * system memory, and the result counts them by reason. The program runs during
 * a migration. When the CPU accesses a page in host-private memory, the page
 * migrates back, with the other private pages of its 2 MiB block.
 *
 * User mode, below: the process has neither CAP_SYS_PTRACE nor access to
 * /dev/userfaultfd (`hmmu info`, kernel-faults). The kernel's own accesses to
 * absent pages then fail: a system call returns EFAULT.
 *
 * Locking: the caller of each function holds no lock that a callback takes.
 *
 * Not supported:
 * - Shared, file and hugetlb memory. The kernel moves only private anonymous
 *   pages. A device uses such memory in place.
 * - Migration to host-private memory before Linux 6.8: -EOPNOTSUPP. Use
 *   coherent memory.
 * - Migration from one device to another. Migrate to system memory first.
 * - Some raw system calls at the same time: hmmu_migrate(3), CAVEATS.
 */
#ifndef HMMU_MIGRATE_H
#define HMMU_MIGRATE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_device;

/**
 * enum hmmu_stay - why a page did not migrate
 * @HMMU_STAY_UNMAPPED:  no mapping.
 * @HMMU_STAY_KIND:      not private anonymous memory.
 * @HMMU_STAY_PROTECTED: the mapping is not readable and writable (for coherent
 *                       memory: not readable), or the page is a guard or
 *                       poisoned.
 * @HMMU_STAY_LOCKED:    the mapping is locked by mlock(2).
 * @HMMU_STAY_PINNED:    the page is pinned: hmmu_pin_range(), direct I/O, RDMA,
 *                       io_uring; in user mode also read(2), write(2) and
 *                       similar calls in progress. Or it is shared after a
 *                       fork, or merged, and could not be made private.
 * @HMMU_STAY_FOREIGN:   the page is in another device's memory, or the mapping
 *                       is registered with the program's own userfaultfd.
 * @HMMU_STAY_HMMU:      memory of HMMU, or data of the C library or the loader.
 * @HMMU_STAY_IN_USE:    stack or TLS of a thread inside HMMU.
 * @HMMU_STAY_KERNEL:    a thread's stack, in user mode: the kernel writes to it
 *                       and would fail if the page were absent.
 * @HMMU_STAY_FULL:      the device memory is full.
 * @HMMU_STAY_CHANGED:   the program kept changing the mapping, has just
 *                       discarded the page, or has changed memory that devices
 *                       may use for 10 s without a break.
 * @HMMU_STAY_EXCLUSIVE: the page is exclusive to a device (exclusive.h).
 * @HMMU_STAY_REASONS:   the last reason plus one.
 *
 * The number 4 is never reported: a page that is shared after a fork is made
 * private, or is reported as pinned.
 *
 * Source: contract DP9, MV11, MV13-MV15, E1.
 */
enum hmmu_stay {
	HMMU_STAY_UNMAPPED = 0,
	HMMU_STAY_KIND,
	HMMU_STAY_PROTECTED,
	HMMU_STAY_LOCKED,
	HMMU_STAY_PINNED = 5,
	HMMU_STAY_FOREIGN,
	HMMU_STAY_HMMU,
	HMMU_STAY_IN_USE,
	HMMU_STAY_KERNEL,
	HMMU_STAY_FULL,
	HMMU_STAY_CHANGED,
	HMMU_STAY_EXCLUSIVE,
	HMMU_STAY_REASONS,
};

/**
 * hmmu_stay_text() - describe a reason
 * @reason: enum hmmu_stay.
 *
 * Context: Any.
 * Return: a static string; "unknown" if @reason is not in enum hmmu_stay.
 * Since: 0.1
 */
HMMU_API const char *hmmu_stay_text(unsigned int reason);

/**
 * struct hmmu_migrate_result - result of a migration
 * @size:          sizeof(struct hmmu_migrate_result), bytes.
 * @pages_moved:   4 KiB pages that this call migrated.
 * @large_moved:   large pages among them that migrated without being split, in
 *                 2 MiB.
 * @pages_already: 4 KiB pages that were at the destination before.
 * @pages_stayed:  4 KiB pages that did not migrate.
 * @stayed:        @pages_stayed by reason, enum hmmu_stay.
 */
struct hmmu_migrate_result {
	size_t size;
	uint64_t pages_moved;
	uint64_t large_moved;
	uint64_t pages_already;
	uint64_t pages_stayed;
	uint64_t stayed[HMMU_STAY_REASONS];
};

/**
 * hmmu_device_migrate() - migrate pages to a device's memory
 * @device:  a device with a memory.
 * @address: any address of the program.
 * @bytes:   length, not 0; rounded outwards to pages, see base.h.
 * @result:  in: size; out: the result. May be any memory of the program, or
 *           NULL.
 *
 * The range may contain holes, several mappings, and pages that are in the
 * device's memory already. Absent pages of private anonymous memory become
 * zeroed device pages. A large page migrates without being split if the range
 * contains all of it. Pages of another device stay (HMMU_STAY_FOREIGN).
 *
 * Context: May sleep. Accesses the program's memory. Not from a callback.
 * Return:
 *   0           success; @result has the number of migrated pages, which may be
 *               0, and the reasons
 *   -EINVAL     NULL, empty or wrapping range, no device memory, or
 *               @result->size too small
 *   -EOPNOTSUPP the kernel cannot move pages to host-private memory: use Linux
 *               6.8 or later, see `hmmu info`; nothing was changed
 *   -ENOMEM     out of memory; @result has what migrated before
 *   -ECHILD     called in a forked child: open a space of the child's own
 * Source: contract MV1-MV34.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_device_migrate(struct hmmu_device *device, uintptr_t address, size_t bytes,
		    struct hmmu_migrate_result *result);

/**
 * hmmu_migrate_to_system() - migrate pages back to system memory
 * @space:   an open space.
 * @address: any address of the program.
 * @bytes:   length, not 0; rounded outwards to pages, see base.h.
 * @result:  in: size; out: the result. May be any memory of the program, or
 *           NULL.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        no page of the range is on a device
 *   -EINVAL  NULL, empty or wrapping range, or @result->size too small
 *   -EBUSY   the program kept changing the mappings: call again; @result has
 *            what migrated, the other pages are still on devices
 *   -ENOMEM  out of memory; @result has what migrated, the other pages are
 *            still on devices
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Source: contract MV32.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_migrate_to_system(struct hmmu_space *space, uintptr_t address,
		       size_t bytes, struct hmmu_migrate_result *result);

/**
 * hmmu_migrate_evict() - migrate all pages of a device to system memory
 * @device: the device.
 * @result: in: size; out: the result. May be any memory of the program, or
 *          NULL.
 *
 * Context: May sleep. Not from a callback.
 * Return: as hmmu_migrate_to_system().
 * Source: contract MV32.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_migrate_evict(struct hmmu_device *device,
		   struct hmmu_migrate_result *result);

/**
 * hmmu_populate() - fault pages in to system memory, for a system call
 * @space:   an open space.
 * @address: any address of the program.
 * @bytes:   length, not 0; rounded outwards to pages, see base.h.
 *
 * In user mode, call it before a system call that accesses memory which may be
 * on a device; otherwise the call fails with EFAULT. Not needed when the
 * program itself calls read(2), write(2), send(2), recv(2) or a similar
 * function of the C library. Needed when the C library calls them, for example
 * in fread(3).
 *
 * Migrates the pages back and faults the holes in. Private anonymous pages are
 * then writable if the mapping is. A later migration can take the pages again;
 * to keep them, use hmmu_pin_range().
 *
 * Context: May sleep. Accesses the program's memory. Not from a callback.
 * Return:
 *   0        all pages are present
 *   -EINVAL  NULL, empty or wrapping range
 *   -EFAULT  a part of the range is not mapped or not readable; the pages
 *            before it are present
 *   -EBUSY   the program kept changing the mappings: call again
 *   -ENOMEM  out of memory
 *   -ECHILD  called in a forked child: open a space of the child's own
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_populate(struct hmmu_space *space,
					   uintptr_t address, size_t bytes);

/* Names of 0.1 ------------------------------------------------------------- */

/** Never reported. */
#define HMMU_STAY_SHARED ((enum hmmu_stay)4)

/** hmmu_migrate_to_device() - hmmu_device_migrate() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_migrate_to_device(struct hmmu_device *device, uintptr_t start,
		       uintptr_t end, struct hmmu_migrate_result *result)
{
	return hmmu_device_migrate(device, start,
				   hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES),
				   result);
}

/** hmmu_migrate_home() - hmmu_migrate_to_system() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_migrate_home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		  struct hmmu_migrate_result *result)
{
	return hmmu_migrate_to_system(
		space, start, hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES),
		result);
}

/** hmmu_make_resident() - hmmu_populate() of [@start, @end) */
HMMU_NAME_OF_0_1 HMMU_MUST_CHECK int
hmmu_make_resident(struct hmmu_space *space, uintptr_t start, uintptr_t end)
{
	return hmmu_populate(space, start,
			     hmmu__bytes_0_1(start, end, HMMU_PAGE_BYTES));
}

HMMU_END_DECLS

#endif
