/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_EPOCH_H
#define HMMU_BASE_EPOCH_H

/*
 * Epochs: freeing what others may still be reading
 *
 * Overview. Readers walk shared structures inside a section, without a lock.
 * Who takes an object out of the structure waits for a grace period - until
 * every section that was open at that moment has ended - before the object is
 * freed or used again.
 *
 * Cost. A section costs its reader two plain stores and one load. The fence
 * that such a protocol needs is on the other side: hmmu__membarrier() makes
 * every thread of the process execute one (membarrier(2), about a microsecond
 * and an interrupt for each CPU that runs a thread of ours). Where the kernel
 * has no membarrier, readers execute fences.
 *
 * The race, in the two columns of reader and updater:
 *
 *      reader                              updater
 *      active = epoch                      unpublish(object)
 *      (compiler barrier)                  epoch++, membarrier
 *      p = load(published)                 a = active
 *
 * Forbidden: p is the object and a is 0. Either the reader's store of active
 * comes before the barrier that membarrier executes on its CPU, and the
 * updater sees it; or the reader's load comes after, and finds the object
 * unpublished.
 *
 * Locking. The domain's mutex (HMMU_RANK_EPOCH) guards the list of readers and
 * the batches. It is never held while waiting for readers or running functions.
 *
 * Not supported: nested sections of one reader. A thread that needs both uses
 * two readers.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/sched.h"
#include "base/lock.h"

/*
 * One per thread or port that reads. @active is the epoch the open section
 * began in, 0 outside: a line of its own, since its owner writes it all the
 * time. The links belong to the domain. Zeroed memory is a valid reader that
 * has not been added.
 */
struct hmmu_epoch_reader {
	_Atomic uint64_t active;
	struct hmmu_epoch_reader *prev;
	struct hmmu_epoch_reader *next;
} HMMU_CACHE_ALIGNED;

/* Embedded in what is retired; owned by the domain until fn() runs. */
struct hmmu_epoch_item {
	struct hmmu_epoch_item *next;
	void (*fn)(struct hmmu_epoch_item *item);
};

struct hmmu_epoch_domain {
	/* Starts at 1; each grace period adds 1. Read by every section. */
	_Atomic uint64_t epoch HMMU_CACHE_ALIGNED;

	/* Retired, no grace period begun: a stack, pushed without a lock. */
	struct hmmu_epoch_item *_Atomic incoming HMMU_CACHE_ALIGNED;
	/* Retired and not yet run, wherever they are. */
	_Atomic size_t pending;

	struct hmmu_mutex lock;
	struct hmmu_epoch_reader *readers HMMU_GUARDED_BY(&lock);
	/* The batch whose grace period runs; over when it has reached @target. */
	struct hmmu_epoch_item *waiting HMMU_GUARDED_BY(&lock);
	uint64_t target HMMU_GUARDED_BY(&lock);
};

/*
 * True until membarrier(2) is known to work: then the fast sides that rely on
 * hmmu__membarrier() add a fence. It goes from true to false only, and a fence
 * too many is harmless.
 */
extern _Atomic bool hmmu__fast_fence;

static inline bool hmmu__fast_fence_needed(void)
{
	return atomic_load_explicit(&hmmu__fast_fence, memory_order_relaxed);
}

/*
 * What a fast side executes between its store and its load. Pairs with
 * hmmu__membarrier() of the slow side.
 */
static inline void hmmu__fast_barrier(void)
{
	hmmu__barrier();
	if (hmmu_unlikely(hmmu__fast_fence_needed()))
		hmmu__sched_fence();
}

/*
 * True if membarrier(2) works here and the environment variable
 * HMMU_FORCE_NO_MEMBARRIER does not say otherwise. Decided once, by the first
 * call of it, of hmmu__membarrier() or of hmmu__epoch_reader_add().
 */
bool hmmu__membarrier_available(void);

/*
 * When it returns, every thread of the process has executed a full barrier
 * since it was called. Without membarrier(2) only the caller has, and the fast
 * sides execute theirs by hmmu__fast_barrier().
 */
void hmmu__membarrier(void);

/* Fini runs what is pending; readers have been removed by then. */
void hmmu__epoch_domain_init(struct hmmu_epoch_domain *domain);
void hmmu__epoch_domain_fini(struct hmmu_epoch_domain *domain);

/* @reader is owned by the caller, borrowed until it is removed. */
void hmmu__epoch_reader_add(struct hmmu_epoch_domain *domain,
			    struct hmmu_epoch_reader *reader);
/* Outside of a section only. */
void hmmu__epoch_reader_remove(struct hmmu_epoch_domain *domain,
			       struct hmmu_epoch_reader *reader);

/*
 * Opens a section of @reader, which one thread at a time uses. What is loaded
 * inside stays valid until hmmu__epoch_exit().
 */
static inline void hmmu__epoch_enter(struct hmmu_epoch_domain *domain,
				     struct hmmu_epoch_reader *reader)
{
	/*
	 * Acquire: who sees an epoch also sees what was unpublished before it
	 * began; pairs with the increment in grace_begin_locked().
	 */
	uint64_t epoch =
		atomic_load_explicit(&domain->epoch, memory_order_acquire);

	HMMU_ASSERT(atomic_load_explicit(&reader->active,
					 memory_order_relaxed) == 0);
	/*
	 * Release: a scan that reads this value knows that the section before
	 * it has ended. On this processor it is the plain store that a relaxed
	 * one would be.
	 */
	atomic_store_explicit(&reader->active, epoch, memory_order_release);
	hmmu__fast_barrier();
}

/* Ends the section. Pairs with the acquire load of the scan. */
static inline void hmmu__epoch_exit(struct hmmu_epoch_domain *domain,
				    struct hmmu_epoch_reader *reader)
{
	(void)domain;
	HMMU_ASSERT(atomic_load_explicit(&reader->active,
					 memory_order_relaxed) != 0);
	atomic_store_explicit(&reader->active, 0, memory_order_release);
}

/* True while @reader is inside a section; exact in its own thread only. */
static inline bool hmmu__epoch_is_inside(const struct hmmu_epoch_reader *reader)
{
	return atomic_load_explicit(&reader->active, memory_order_relaxed) != 0;
}

/*
 * Waits until every section that is open now has ended. Not from inside a
 * section: it would wait for itself.
 */
void hmmu__epoch_synchronize(struct hmmu_epoch_domain *domain);

/*
 * The same with a bound of @timeout_ns. Returns 0, or -ETIMEDOUT when a section
 * is still open.
 */
int hmmu__epoch_synchronize_timed(struct hmmu_epoch_domain *domain,
				  uint64_t timeout_ns) HMMU_MUST_CHECK;

/*
 * Hands @item over: @fn(@item) runs after a grace period, in a thread that
 * calls poll, drain or fini, without a lock of the domain. @fn may retire
 * more, but not poll or drain. Takes no lock; allowed inside a section.
 */
void hmmu__epoch_retire(struct hmmu_epoch_domain *domain,
			struct hmmu_epoch_item *item,
			void (*fn)(struct hmmu_epoch_item *item));

/*
 * Runs what is due and begins the next grace period if items wait for one.
 * Does not wait for readers. With nothing pending it is one load. Returns how
 * many functions it ran.
 */
size_t hmmu__epoch_poll(struct hmmu_epoch_domain *domain);

/*
 * Waits until everything retired before the call, and by the functions that it
 * runs, has run. Not from inside a section.
 */
void hmmu__epoch_drain(struct hmmu_epoch_domain *domain);

#endif
