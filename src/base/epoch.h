/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_EPOCH_H
#define HMMU_BASE_EPOCH_H

/*
 * Epochs: freeing objects after a grace period
 *
 * Overview: readers walk shared structures inside a section, without a lock. An
 * updater removes an object from the structure and then waits for a grace
 * period: until all sections that were open at the removal have ended. Then it
 * frees or reuses the object.
 *
 * Cost: a section costs its reader two plain stores and one load. The protocol
 * needs a fence on both sides, and the updater pays for both:
 * hmmu__membarrier() makes each thread of the process execute one
 * (membarrier(2), about a microsecond and an interrupt for each CPU that runs a
 * thread of the process). If the kernel has no membarrier, readers execute
 * fences.
 *
 * The race:
 *
 *      reader                              updater
 *      active = epoch                      unpublish(object)
 *      (compiler barrier)                  epoch++, membarrier
 *      p = load(published)                 a = active
 *
 * Required: if p is the object, a is not 0. If the reader's store comes before
 * the barrier that membarrier executes on its CPU, the updater sees the store.
 * If it comes after, so does the reader's load, which finds the object
 * unpublished.
 *
 * Locking: the domain's mutex (HMMU_RANK_EPOCH) guards the list of readers and
 * the batches. No thread holds it while it waits for readers or runs functions.
 *
 * Not supported: nested sections of one reader. A thread that needs two
 * sections at a time uses two readers.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/sched.h"
#include "base/lock.h"

/*
 * One for each thread or port that reads. @active is the epoch in which the
 * open section began, or 0. The owner writes it often, so it has its own cache
 * line. The links belong to the domain. Zeroed memory is a valid reader that
 * has not been added.
 */
struct hmmu_epoch_reader {
	_Atomic uint64_t active;
	struct hmmu_epoch_reader *prev;
	struct hmmu_epoch_reader *next;
} HMMU_CACHE_ALIGNED;

/* Embedded in a retired object; the domain owns it until @fn runs. */
struct hmmu_epoch_item {
	struct hmmu_epoch_item *next;
	void (*fn)(struct hmmu_epoch_item *item);
};

struct hmmu_epoch_domain {
	/* Starts at 1; each grace period adds 1. Each section reads it. */
	_Atomic uint64_t epoch HMMU_CACHE_ALIGNED;

	/* Retired, no grace period has begun; a stack without a lock. */
	struct hmmu_epoch_item *_Atomic incoming HMMU_CACHE_ALIGNED;
	/* The number of retired items whose function has not run. */
	_Atomic size_t pending;

	struct hmmu_mutex lock;
	struct hmmu_epoch_reader *readers HMMU_GUARDED_BY(&lock);
	/* The batch in its grace period, and the epoch that ends it. */
	struct hmmu_epoch_item *waiting HMMU_GUARDED_BY(&lock);
	uint64_t target HMMU_GUARDED_BY(&lock);
};

/*
 * While it is true, fast sides that rely on hmmu__membarrier() execute a fence.
 * It becomes false once, when membarrier(2) is known to work. An extra fence is
 * harmless.
 */
extern _Atomic bool hmmu__fast_fence;

static inline bool hmmu__fast_fence_needed(void)
{
	return atomic_load_explicit(&hmmu__fast_fence, memory_order_relaxed);
}

/*
 * The barrier of a fast side, between its store and its load. Pairs with
 * hmmu__membarrier() of the slow side.
 */
static inline void hmmu__fast_barrier(void)
{
	hmmu__barrier();
	if (hmmu_unlikely(hmmu__fast_fence_needed()))
		hmmu__sched_fence();
}

/*
 * True if membarrier(2) works and the environment variable
 * HMMU_FORCE_NO_MEMBARRIER does not forbid it. The first call of this function,
 * of hmmu__membarrier() or of hmmu__epoch_reader_add() decides.
 */
bool hmmu__membarrier_available(void);

/*
 * Makes each thread of the process execute a full barrier before it returns.
 * Without membarrier(2) only the caller does, and fast sides execute a fence in
 * hmmu__fast_barrier().
 */
void hmmu__membarrier(void);

/* Fini runs the pending functions. Remove all readers before. */
void hmmu__epoch_domain_init(struct hmmu_epoch_domain *domain);
void hmmu__epoch_domain_fini(struct hmmu_epoch_domain *domain);

/* @reader belongs to the caller; it is borrowed until it is removed. */
void hmmu__epoch_reader_add(struct hmmu_epoch_domain *domain,
			    struct hmmu_epoch_reader *reader);
/* Not inside a section of @reader. */
void hmmu__epoch_reader_remove(struct hmmu_epoch_domain *domain,
			       struct hmmu_epoch_reader *reader);

/*
 * Opens a section of @reader, which one thread at a time uses. Objects found in
 * the section stay valid until hmmu__epoch_exit().
 */
static inline void hmmu__epoch_enter(struct hmmu_epoch_domain *domain,
				     struct hmmu_epoch_reader *reader)
{
	/*
	 * Acquire: a section in a new epoch sees all that was unpublished
	 * before the epoch began; pairs with the increment in grace_begin().
	 */
	uint64_t epoch =
		atomic_load_explicit(&domain->epoch, memory_order_acquire);

	HMMU_ASSERT(atomic_load_explicit(&reader->active,
					 memory_order_relaxed) == 0);
	/*
	 * Release: a scan that loads this value knows that the previous section
	 * has ended. On x86 a release store is a plain store.
	 */
	atomic_store_explicit(&reader->active, epoch, memory_order_release);
	hmmu__fast_barrier();
}

/* Ends the section. Pairs with the load in grace_is_over_locked(). */
static inline void hmmu__epoch_exit(struct hmmu_epoch_domain *domain,
				    struct hmmu_epoch_reader *reader)
{
	(void)domain;
	HMMU_ASSERT(atomic_load_explicit(&reader->active,
					 memory_order_relaxed) != 0);
	atomic_store_explicit(&reader->active, 0, memory_order_release);
}

/* True inside a section of @reader; exact only in the reader's thread. */
static inline bool hmmu__epoch_is_inside(const struct hmmu_epoch_reader *reader)
{
	return atomic_load_explicit(&reader->active, memory_order_relaxed) != 0;
}

/*
 * Waits until all sections that are open now have ended. Do not call it inside
 * a section: it would wait for itself.
 */
void hmmu__epoch_synchronize(struct hmmu_epoch_domain *domain);

/*
 * The same for at most @timeout_ns. -ETIMEDOUT: a section is still open.
 */
int hmmu__epoch_synchronize_timed(struct hmmu_epoch_domain *domain,
				  uint64_t timeout_ns) HMMU_MUST_CHECK;

/*
 * Schedules @fn(@item) after a grace period. A thread that calls poll, drain or
 * fini runs it, without a lock of the domain. @fn may retire items, but not
 * poll or drain. Takes no lock; allowed inside a section.
 */
void hmmu__epoch_retire(struct hmmu_epoch_domain *domain,
			struct hmmu_epoch_item *item,
			void (*fn)(struct hmmu_epoch_item *item));

/*
 * Runs the functions whose grace period is over, and begins the next one if
 * items wait for it. Does not wait for readers. If no item is pending, it costs
 * one load. Returns the number of functions it ran.
 */
size_t hmmu__epoch_poll(struct hmmu_epoch_domain *domain);

/*
 * Waits until all functions retired before the call, and by functions that it
 * runs, have run. Do not call it inside a section.
 */
void hmmu__epoch_drain(struct hmmu_epoch_domain *domain);

#endif
