/* SPDX-License-Identifier: MIT */
/*
 * Migration: pages to a device's memory, and home.
 *
 * Best effort and honest about it: what can not move stays where it is, and
 * the result says how many pages stayed and why. The program goes on all the
 * while; a CPU touch of a moved page brings it home by itself.
 */
#ifndef HMMU_MIGRATE_H
#define HMMU_MIGRATE_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_device;

/**
 * enum hmmu_stay - why a page did not move
 * @HMMU_STAY_UNMAPPED:  nothing is mapped there.
 * @HMMU_STAY_KIND:      not private anonymous memory: only that can move (DP9).
 * @HMMU_STAY_PROTECTED: the mapping is not readable and writable (for coherent
 *                       memory: not readable), or a guard or poison is there.
 * @HMMU_STAY_LOCKED:    the mapping is locked (mlock).
 * @HMMU_STAY_PINNED:    somebody holds the page (direct I/O, RDMA, io_uring, or
 *                       an ordinary user's read(2) or its like), or it could
 *                       not be made private.
 * @HMMU_STAY_FOREIGN:   the program's own userfaultfd watches the mapping, or
 *                       another device has the page.
 * @HMMU_STAY_HMMU:      HMMU's own memory, or the C library's or loader's.
 * @HMMU_STAY_IN_USE:    the stack or thread record of a thread inside HMMU.
 * @HMMU_STAY_KERNEL:    a thread's stack, which the kernel itself writes, and
 *                       an ordinary user's userfaultfd does not serve that.
 * @HMMU_STAY_FULL:      the device memory is full.
 * @HMMU_STAY_CHANGED:   the program kept changing the mapping meanwhile, or for
 *                       ten seconds any that a device may use.
 * @HMMU_STAY_EXCLUSIVE: a device has the page exclusively (exclusive.h).
 * @HMMU_STAY_REASONS:   one more than the last.
 *
 * 4 is no reason: a page that is shared after a fork is made the process's own,
 * or counts as pinned.
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
 * hmmu_stay_text() - a reason in words
 * @reason: enum hmmu_stay.
 * Return: a static string, "unknown" for a number that is no reason.
 * Since: 0.1
 */
HMMU_API const char *hmmu_stay_text(unsigned int reason);

/**
 * struct hmmu_migrate_result - what a migration did
 * @size:          sizeof(*result) as built, bytes.
 * @pages_moved:   4 KiB pages moved by this call.
 * @large_moved:   2 MiB pages among them that moved as one.
 * @pages_already: pages that were there already.
 * @pages_stayed:  pages that stayed.
 * @stayed:        the same by reason.
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
 * @device:  a device with memory.
 * @address: any address of the program.
 * @bytes:   how many, not 0: the pages that hold them, see base.h.
 * @result:  in: size; out: what happened. May be NULL.
 *
 * The range may span mappings, holes and pages that are there already. Absent
 * pages of private anonymous memory become zeroed device pages (MV8). Large
 * pages migrate whole, if the range holds all of them. Pages of another device
 * stay (FOREIGN): migrate them to system memory first.
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0           done; @result says how many pages moved, which may be none
 *   -EINVAL     NULL, empty or wrapping range, a device without memory, or
 *               @result->size too small
 *   -EOPNOTSUPP this kernel cannot move pages to host-private memory (Linux
 *               6.8 can, see `hmmu info`); nothing was changed
 *   -ENOMEM     no memory for HMMU's own records; what moved is in @result
 *   -ECHILD     called in a forked child
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
 * @bytes:   how many, not 0: the pages that hold them, see base.h.
 * @result:  in: size; out: what happened. May be NULL.
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        no page of the range is on a device any more
 *   -EINVAL  NULL, empty or wrapping range, or @result->size too small
 *   -EBUSY   the program kept changing the mappings; what moved is in @result
 *   -ENOMEM  no memory; what moved is in @result, the rest is still on devices
 *   -ECHILD  called in a forked child
 * Source: contract MV32.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_migrate_to_system(struct hmmu_space *space, uintptr_t address,
		       size_t bytes, struct hmmu_migrate_result *result);

/**
 * hmmu_migrate_evict() - migrate all pages of a device to system memory
 * @device: the device.
 * @result: in: size; out: what happened. May be NULL.
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
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
 * @bytes:   how many, not 0: the pages that hold them, see base.h.
 *
 * An ordinary user's userfaultfd does not serve the kernel: a system call that
 * is given memory on a device, or a hole beside it, fails with EFAULT. This
 * migrates the pages to system memory and fills the holes; those of private
 * anonymous memory are writable then where the mapping allows it. It holds
 * until somebody migrates again; for longer see hmmu_pin_range(). read(2),
 * write(2), send(2), recv(2) and similar calls do without where the program
 * calls them, not where the C library does.
 *
 * Context: May sleep; faults pages. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0        all is present
 *   -EINVAL  NULL, empty or wrapping range
 *   -EFAULT  nothing readable is mapped somewhere in the range; what comes
 *            before is present
 *   -EBUSY   the program kept changing the mappings
 *   -ENOMEM  no memory
 *   -ECHILD  called in a forked child
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_populate(struct hmmu_space *space,
					   uintptr_t address, size_t bytes);

/* Names of 0.1 --------------------------------------------------------------- */

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
