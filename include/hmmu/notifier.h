/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers: callbacks that run when memory changes
 *
 * Overview: a subscription covers an interval of addresses. HMMU calls its
 * invalidate callback before memory in the interval is unmapped, discarded,
 * protected, moved or migrated. When the callback returns, the subscriber no
 * longer uses a translation of the range. To make a translation:
 *
 *	do {
 *		seq = hmmu_notifier_read_begin(sub);
 *		... find out what is mapped: hmmu_range_fault() ...
 *		lock(driver);
 *		retry = hmmu_notifier_read_retry(sub, seq);
 *		if (!retry)
 *			... store the translation ...
 *		unlock(driver);
 *	} while (retry);
 *
 * and in the callback:
 *
 *	lock(driver);
 *	hmmu_notifier_set_seq(sub, cur_seq);
 *	... remove the translations of the range ...
 *	unlock(driver);
 *
 * Locking: the driver supplies its lock. Allocate the lock, and all data that
 * it protects, with hmmu_alloc(). While you hold it, do not access memory that
 * can be on a device, and call only read_retry, check_retry, set_seq and the
 * functions of mirrors you own.
 *
 * Not supported:
 * - Callbacks before a raw system call or a call inside the C library takes
 *   effect. They run shortly after it; some changes are not reported at all.
 *   hmmu_notifier(3), CAVEATS, lists them and says what to do.
 * - Page-access tracking, which the kernel's older notifiers have.
 * - Callbacks that must not sleep. All callbacks may sleep.
 */
#ifndef HMMU_NOTIFIER_H
#define HMMU_NOTIFIER_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

struct hmmu_space;
struct hmmu_notifier;

/**
 * enum hmmu_event - why a range is invalidated
 * @HMMU_EVENT_UNMAP:           unmapped, mapped over, or moved by mremap.
 * @HMMU_EVENT_CLEAR:           content discarded or replaced, still mapped; or
 *                              a device's exclusive access ends.
 * @HMMU_EVENT_PROTECTION_VMA:  mprotect of a range.
 * @HMMU_EVENT_PROTECTION_PAGE: pages become read-only, mostly by fork.
 * @HMMU_EVENT_RELEASE:         the process exits; the range is all addresses.
 * @HMMU_EVENT_MIGRATE:         pages migrate to or from a device.
 * @HMMU_EVENT_EXCLUSIVE:       a device gets exclusive access to a page.
 *
 * The numbers are those of the kernel's enum mmu_notifier_event. Its number 4,
 * SOFT_DIRTY, is never sent.
 *
 * RELEASE is sent once, by exit(3), after atexit(3) handlers registered later
 * than the first hmmu_space_open() and before earlier ones. Remove all
 * translations and make no new ones. Other threads may still be running. A
 * thread must not call exit(3) while it holds a lock that a callback takes.
 * RELEASE is not sent when a signal or _exit(2) ends the process, or when a
 * callback or a kernel of soft.h calls exit(3).
 *
 * Source: contract IN18-IN27, EX7.
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
 * struct hmmu_invalidation - the range that changes, and why
 * @start: first byte, page aligned.
 * @end:   one past the last byte. The range may exceed the subscription.
 * @event: the reason.
 * @owner: the device that caused a MIGRATE or EXCLUSIVE event. NULL for other
 *         events, and when pages of several devices migrate together.
 *
 * Source: contract IN15, IN27.
 */
struct hmmu_invalidation {
	uintptr_t start;
	uintptr_t end;
	enum hmmu_event event;
	const void *owner;
};

/**
 * typedef hmmu_invalidate_fn - remove the translations of a range
 * @sub:     the subscription.
 * @arg:     from hmmu_notifier_insert().
 * @inv:     the range; valid during the call.
 * @cur_seq: for hmmu_notifier_set_seq().
 *
 * Context: May sleep. Uses at most 16 KiB of stack. Calls only the functions
 *          named under Locking above. Must not access memory that can be on a
 *          device, nor free or unmap memory.
 * Source: contract IN13, IN16, IN17.
 */
typedef void (*hmmu_invalidate_fn)(struct hmmu_notifier *sub, void *arg,
				   const struct hmmu_invalidation *inv,
				   uint64_t cur_seq);

/**
 * typedef hmmu_finish_fn - wait until the device has stopped using a range
 *
 * Called after the invalidate callbacks of all subscriptions in the range. If
 * the device is slow, start it in invalidate and wait for it here: several
 * devices then work at the same time. Context as for hmmu_invalidate_fn.
 *
 * Source: contract IN31.
 */
typedef void (*hmmu_finish_fn)(struct hmmu_notifier *sub, void *arg,
			       const struct hmmu_invalidation *inv);

/**
 * struct hmmu_notifier_ops - a subscriber's callbacks
 * @size:       sizeof(struct hmmu_notifier_ops), bytes.
 * @invalidate: required.
 * @finish:     optional.
 *
 * Source: contract IN31, IN32.
 */
struct hmmu_notifier_ops {
	size_t size;
	hmmu_invalidate_fn invalidate;
	hmmu_finish_fn finish;
};

/** Do not watch the interval now; hmmu_range_fault() watches what it visits. */
#define HMMU_NOTIFIER_LAZY (1u << 0)

/**
 * hmmu_notifier_insert() - subscribe to an interval
 * @space:   an open space.
 * @start:   first byte; need not be aligned.
 * @bytes:   length of the interval.
 * @flags:   0 or HMMU_NOTIFIER_LAZY.
 * @ops:     callbacks; copied.
 * @arg:     passed to the callbacks; borrowed until remove returns.
 * @ret_sub: receives the subscription. Free it with hmmu_notifier_remove().
 *
 * Watches the memory that is mapped in the interval now. For memory mapped
 * later, call hmmu_range_fault(): until then raw system calls on it are not
 * reported.
 *
 * Context: May sleep. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Return:
 *   0           success; callbacks may run before the function returns
 *   -EOVERFLOW  @bytes is 0 or the interval wraps
 *   -EINVAL     NULL argument, no invalidate callback, unknown flag or size
 *   -E2BIG      @ops has a field that this library does not know: see base.h
 *   -ENOMEM     out of memory
 *   -ECHILD     called in a forked child: open a space of the child's own
 * Source: contract IN1-IN3, IN7, IN30.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_notifier_insert(struct hmmu_space *space, uintptr_t start, size_t bytes,
		     unsigned int flags, const struct hmmu_notifier_ops *ops,
		     void *arg, struct hmmu_notifier **ret_sub);

/**
 * hmmu_notifier_remove() - end a subscription
 * @sub: freed by the call. May be NULL.
 *
 * When it returns, no callback of @sub is running and none will run.
 *
 * Context: Sleeps while an invalidation is running. Not from a callback.
 * Locking: Caller holds no lock that a callback takes.
 * Source: contract IN29.
 * Since: 0.1
 */
HMMU_API void hmmu_notifier_remove(struct hmmu_notifier *sub);

/**
 * hmmu_notifier_read_begin() - begin to make a translation
 * @sub: the subscription.
 *
 * The caller limits the number of retries.
 *
 * Context: Sleeps while @sub's range is invalidated. Not from a callback. Must
 *          not be called in a forked child: it may sleep forever.
 * Locking: Caller holds no lock that a callback takes.
 * Return: the sequence for hmmu_notifier_read_retry(). It may be out of date
 *         already; then read_retry returns non-zero.
 * Source: contract IN8, IN9.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK uint64_t
hmmu_notifier_read_begin(struct hmmu_notifier *sub);

/**
 * hmmu_notifier_read_retry() - check for an invalidation since read_begin
 * @sub: the subscription.
 * @seq: from hmmu_notifier_read_begin().
 *
 * Context: Does not sleep.
 * Locking: Caller holds the lock under which the callback calls set_seq.
 * Return: 0 if the translation may be stored. Otherwise discard it and call
 *         read_begin again.
 * Source: contract IN11.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_notifier_read_retry(const struct hmmu_notifier *sub, uint64_t seq);

/**
 * hmmu_notifier_check_retry() - the same without the lock, as a hint
 * @sub: the subscription.
 * @seq: from hmmu_notifier_read_begin().
 *
 * Context: Does not sleep.
 * Locking: None needed.
 * Return: non-zero if read_retry would fail, too. 0 is not reliable:
 *         read_retry may still fail.
 * Source: contract IN12.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_notifier_check_retry(const struct hmmu_notifier *sub, uint64_t seq);

/**
 * hmmu_notifier_set_seq() - make running readers retry
 * @sub:     the subscription.
 * @cur_seq: the argument of the callback.
 *
 * Each invalidate callback calls it, before it removes translations.
 *
 * Context: Only in an invalidate callback. Does not sleep.
 * Locking: Caller holds the driver's lock.
 * Source: contract IN10.
 * Since: 0.1
 */
HMMU_API void hmmu_notifier_set_seq(struct hmmu_notifier *sub,
				    uint64_t cur_seq);

/* Names of 0.1 ------------------------------------------------------------- */

/** The kernel's number of an event that HMMU never sends. */
#define HMMU_EVENT_SOFT_DIRTY ((enum hmmu_event)4)

HMMU_END_DECLS

#endif
