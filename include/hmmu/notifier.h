/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers: be told when memory changes.
 *
 * Overview: a subscription covers a closed interval of addresses. Before the
 * program's memory there is unmapped, discarded, moved or migrated, the
 * invalidate callback runs; when it returns the subscriber must not use any
 * translation of the range (IN13). A change by a raw system call, or inside the C
 * library, is told just after it was made; README.md, Limits, says of what
 * nothing is told. To establish a translation:
 *
 *	again:
 *		seq = hmmu_notifier_read_begin(sub);
 *		... find out what is mapped: hmmu_range_fault() ...
 *		lock(driver);
 *		if (hmmu_notifier_read_retry(sub, seq)) {
 *			unlock(driver);
 *			goto again;
 *		}
 *		... program the device ...
 *		unlock(driver);
 *
 * and in the callback, under the same driver lock:
 *
 *		lock(driver);
 *		hmmu_notifier_set_seq(sub, cur_seq);
 *		... take the translation away ...
 *		unlock(driver);
 *
 * Locking: the driver's lock is the driver's own. It must not stand in memory
 * that a device can hold (hmmu_alloc()), its holder must not touch such memory
 * and must not call into HMMU, but for read_retry, check_retry and set_seq.
 *
 * Not supported: the young/accessed hooks of the kernel's older notifiers
 * (IN32), and non-blocking invalidation: HMMU's are all blockable (IN16).
 */
#ifndef HMMU_NOTIFIER_H
#define HMMU_NOTIFIER_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_notifier;

/**
 * enum hmmu_event - why a range is invalidated
 * @HMMU_EVENT_UNMAP:           munmap, a mapping over it, source of an mremap.
 * @HMMU_EVENT_CLEAR:           content discarded or replaced, mapping stays;
 *                              or a device's exclusive access ends (EX7).
 * @HMMU_EVENT_PROTECTION_VMA:  permission of a whole span changed.
 * @HMMU_EVENT_PROTECTION_PAGE: permission of pages dropped, chiefly by fork.
 * @HMMU_EVENT_RELEASE:         the process ends: all addresses, see below.
 * @HMMU_EVENT_MIGRATE:         pages move to or from a device; has an owner.
 * @HMMU_EVENT_EXCLUSIVE:       a device takes a page for itself; has an owner.
 *
 * The numbers are the kernel's; its 4, SOFT_DIRTY, has no event here (IN23).
 *
 * RELEASE is told once, at exit(3), to who subscribes then; a space that is
 * closed has no subscribers. The subscriber lets go of everything, and is not to
 * establish anything again: other threads may run for a while. It comes before
 * the functions of atexit(3) that were registered before the first
 * hmmu_space_open(), and after the later ones. Who calls exit(3) holds no lock
 * that a callback takes. From within a callback, or a kernel of soft.h, by
 * _exit(2), and by a signal the process ends without it.
 *
 * Source: contract IN18-IN27.
 */
enum hmmu_event {
	HMMU_EVENT_UNMAP = 0,
	HMMU_EVENT_CLEAR = 1,
	HMMU_EVENT_PROTECTION_VMA = 2,
	HMMU_EVENT_PROTECTION_PAGE = 3,
	HMMU_EVENT_RELEASE = 5,
	HMMU_EVENT_MIGRATE = 6,
	HMMU_EVENT_EXCLUSIVE = 7,
};

/**
 * struct hmmu_invalidation - what an invalidate callback is told
 * @start: first byte (inclusive), page aligned.
 * @end:   one past the last byte (exclusive); may exceed the subscription.
 * @event: why.
 * @owner: for MIGRATE and EXCLUSIVE the device that asked, else NULL (IN27);
 *         also NULL where pages of several devices come home together.
 *
 * Source: contract IN15.
 */
struct hmmu_invalidation {
	uintptr_t start;
	uintptr_t end;
	enum hmmu_event event;
	const void *owner;
};

/**
 * typedef hmmu_invalidate_fn - a range is about to change
 * @sub:     the subscription.
 * @arg:     as given to hmmu_notifier_insert().
 * @inv:     what changes; borrowed for the call.
 * @cur_seq: to be stored with hmmu_notifier_set_seq() under the driver's lock.
 *
 * Context: may sleep, at most 16 KiB of stack, no call into HMMU but the three
 * named above and those on mirrors of its own, no touch of memory that a device
 * can hold.
 */
typedef void (*hmmu_invalidate_fn)(struct hmmu_notifier *sub, void *arg,
				   const struct hmmu_invalidation *inv,
				   uint64_t cur_seq);

/**
 * typedef hmmu_finish_fn - second pass: all first callbacks have run
 *
 * A subscriber whose device needs long to obey starts it in the first pass and
 * waits here, so that several devices obey at the same time (IN31).
 */
typedef void (*hmmu_finish_fn)(struct hmmu_notifier *sub, void *arg,
			       const struct hmmu_invalidation *inv);

/**
 * struct hmmu_notifier_ops - what a subscriber supplies
 * @size:       sizeof(struct hmmu_notifier_ops) as built, bytes.
 * @invalidate: required.
 * @finish:     optional second pass.
 */
struct hmmu_notifier_ops {
	size_t size;
	hmmu_invalidate_fn invalidate;
	hmmu_finish_fn finish;
};

/** Do not watch now what is mapped in the interval; range faults do it. */
#define HMMU_NOTIFIER_LAZY (1u << 0)

/**
 * hmmu_notifier_insert() - subscribe to an interval
 * @space:   an open space.
 * @start:   first byte.
 * @bytes:   length; the interval is [start, start + bytes - 1] (IN1).
 * @flags:   0 or HMMU_NOTIFIER_LAZY.
 * @ops:     copied.
 * @arg:     handed to the callbacks; borrowed until remove returns.
 * @ret_sub: receives the subscription, see hmmu_notifier_remove().
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0           inserted; callbacks may run from now on
 *   -EOVERFLOW  @bytes is 0 or the interval wraps
 *   -EINVAL     NULL argument, no invalidate callback, unknown flag or size
 *   -E2BIG      @ops is of a newer HMMU
 *   -ENOMEM     no memory
 *   -ECHILD     called in a forked child
 * Source: contract IN1-IN3, IN7, IN30.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_notifier_insert(struct hmmu_space *space, uintptr_t start, size_t bytes,
		     unsigned int flags, const struct hmmu_notifier_ops *ops,
		     void *arg, struct hmmu_notifier **ret_sub);

/**
 * hmmu_notifier_remove() - end a subscription
 * @sub: consumed. NULL is allowed.
 *
 * After it returns no callback of @sub runs or will run.
 *
 * Context: May sleep until a running invalidation ends. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Source: contract IN29.
 * Since: 0.1
 */
HMMU_API void hmmu_notifier_remove(struct hmmu_notifier *sub);

/**
 * hmmu_notifier_read_begin() - open a read section on a subscription
 * @sub: an inserted subscription; borrowed for the call.
 *
 * Sleeps while an invalidation of @sub's range is running. The value may be
 * stale by the time it is returned; hmmu_notifier_read_retry() tells. The
 * caller owns the bound on the number of rounds (IN9).
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return: the sequence to hand to hmmu_notifier_read_retry().
 * Source: contract IN8, IN9.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK uint64_t
hmmu_notifier_read_begin(struct hmmu_notifier *sub);

/**
 * hmmu_notifier_read_retry() - did an invalidation collide?
 * @sub: the subscription.
 * @seq: from hmmu_notifier_read_begin().
 *
 * Context: Does not sleep; no fault.
 * Locking: Under the lock under which the callback calls set_seq (IN11).
 * Return: non-zero: throw away what was found and begin again.
 * Source: contract IN11.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_notifier_read_retry(const struct hmmu_notifier *sub, uint64_t seq);

/**
 * hmmu_notifier_check_retry() - an early, lock-free hint of the same
 * @sub: the subscription.
 * @seq: from hmmu_notifier_read_begin().
 *
 * Return: non-zero is reliable, 0 is not.
 * Source: contract IN12.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_notifier_check_retry(const struct hmmu_notifier *sub, uint64_t seq);

/**
 * hmmu_notifier_set_seq() - the callback's first duty
 * @sub:     the subscription.
 * @cur_seq: as given to the callback; odd.
 *
 * Locking: Under the driver's lock (IN10).
 * Source: contract IN10.
 * Since: 0.1
 */
HMMU_API void hmmu_notifier_set_seq(struct hmmu_notifier *sub,
				    uint64_t cur_seq);

/* Names of 0.1 --------------------------------------------------------------- */

/** Never sent. */
#define HMMU_EVENT_SOFT_DIRTY ((enum hmmu_event)4)

HMMU_END_DECLS

#endif
