/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_LOCK_H
#define HMMU_BASE_LOCK_H

/*
 * Locks with ranks
 *
 * Overview: a mutex and a reader-writer lock on top of pthread's, a backoff for
 * short waits, and futex wait and wake.
 *
 * Order: each lock has a rank. A thread takes locks in increasing rank. It may
 * hold two locks of one rank if it took both with hmmu__mutex_lock_sub() in
 * strictly increasing subrank (blocks: by address). A trylock cannot wait, so
 * it may break the order. Locks taken after it may not.
 *
 * Three layers check the order: the enum below lists the locks, clang's
 * -Wthread-safety reads the annotations, and a debug build keeps a list of the
 * locks that a thread holds and calls hmmu__rank_violation. They cost a release
 * build nothing.
 *
 * Not supported: recursive locks. Nested functions are named _locked instead.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#if defined(__clang__)
#define HMMU_TSA(x) __attribute__((x))
#else
#define HMMU_TSA(x)
#endif
#define HMMU_CAPABILITY(name)	 HMMU_TSA(capability(name))
#define HMMU_ACQUIRES(l)	 HMMU_TSA(acquire_capability(l))
#define HMMU_ACQUIRES_SHARED(l)	 HMMU_TSA(acquire_shared_capability(l))
#define HMMU_TRY_ACQUIRES(ok, l) HMMU_TSA(try_acquire_capability(ok, l))
#define HMMU_RELEASES(l)	 HMMU_TSA(release_capability(l))
#define HMMU_RELEASES_SHARED(l)	 HMMU_TSA(release_shared_capability(l))
#define HMMU_REQUIRES(l)	 HMMU_TSA(requires_capability(l))
#define HMMU_REQUIRES_SHARED(l)	 HMMU_TSA(requires_shared_capability(l))
#define HMMU_EXCLUDES(l)	 HMMU_TSA(locks_excluded(l))
#define HMMU_ASSERTS(l)		 HMMU_TSA(assert_capability(l))
#define HMMU_ASSERTS_SHARED(l)	 HMMU_TSA(assert_shared_capability(l))
/* For the lock functions themselves, and for loops over a set of locks. */
#define HMMU_NO_TSA		 HMMU_TSA(no_thread_safety_analysis)
#if defined(__clang__) && __clang_major__ >= 22
#define HMMU_GUARDED_BY(l) HMMU_TSA(guarded_by(l))
#else
#define HMMU_GUARDED_BY(l) /* documents the rule; checked by clang >= 22 */
#endif

/*
 * The ranks, outermost first: a thread that holds a lock may take locks further
 * down. doc/locking.md lists the locks.
 */
enum hmmu_rank {
	HMMU_RANK_SPACE = 1,
	HMMU_RANK_EVENTS,
	HMMU_RANK_BLOCK,
	HMMU_RANK_NOTIFIER,
	HMMU_RANK_WATCH,
	HMMU_RANK_DEVICE,
	HMMU_RANK_MIRROR,
	HMMU_RANK_MEMORY,
	HMMU_RANK_THREADS,
	HMMU_RANK_EPOCH,
	HMMU_RANK_ARENA,
	HMMU_RANK_LEAF,
	HMMU_RANK_LOG,
};

/*
 * @subrank is the holder's, for a debugger; hmmu__mutex_lock() sets it to 0.
 * @name is a string constant.
 */
struct HMMU_CAPABILITY("mutex") hmmu_mutex {
	pthread_mutex_t m;
	uint64_t subrank;
	const char *name;
	enum hmmu_rank rank;
};

/* Writers have precedence: a stream of readers does not starve them. */
struct HMMU_CAPABILITY("rwlock") hmmu_rwlock {
	pthread_rwlock_t rw;
	const char *name;
	enum hmmu_rank rank;
};

#define HMMU_MUTEX_INITIALIZER(rank_, name_)                                   \
	{                                                                      \
		.m = PTHREAD_MUTEX_INITIALIZER, .subrank = 0, .name = (name_), \
		.rank = (rank_)                                                \
	}

#define HMMU_RWLOCK_INITIALIZER(rank_, name_)                            \
	{                                                                \
		.rw = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP, \
		.name = (name_), .rank = (rank_)                         \
	}

/*
 * A violation: @name is the lock of the call, @held_name the held lock that
 * conflicts with it, or NULL.
 */
struct hmmu_rank_report {
	const char *what;
	const char *name;
	const char *held_name;
	enum hmmu_rank rank;
	enum hmmu_rank held_rank;
};

/*
 * Debug builds call it at a violation, before the lock is taken. The default
 * writes a line to file descriptor 2 and aborts. If it returns, the operation
 * continues. For tests of the checker: set it while no other thread takes a
 * lock.
 */
extern void (*hmmu__rank_violation)(const struct hmmu_rank_report *report);

/*
 * If it is not NULL, debug builds call it before each lock is taken. The thread
 * layer checks there that the thread has published its stack window.
 */
extern void (*_Atomic hmmu__lock_debug_check)(void);

/*
 * The checker: the inline functions below call it in debug builds. @nested: the
 * caller is hmmu__mutex_lock_sub().
 */
void hmmu__lock_check(enum hmmu_rank rank);
void hmmu__held_check(const void *lock, const char *name, enum hmmu_rank rank,
		      uint64_t subrank, bool nested);
void hmmu__held_push(const void *lock, const char *name, enum hmmu_rank rank,
		     uint64_t subrank, bool nested);
void hmmu__held_push_shared(const void *lock, const char *name,
			    enum hmmu_rank rank);
void hmmu__held_pop(const void *lock, const char *name);
void hmmu__held_assert(const void *lock, const char *name, bool exclusive);
/* The number of locks that the thread holds; always 0 in release builds. */
unsigned int hmmu__held_count(void);

void hmmu__mutex_init(struct hmmu_mutex *l, enum hmmu_rank rank,
		      const char *name);
void hmmu__mutex_fini(struct hmmu_mutex *l);

static inline HMMU_NO_TSA void hmmu__mutex_lock(struct hmmu_mutex *l)
	HMMU_ACQUIRES(l)
{
	if (HMMU_DEBUG)
		hmmu__held_check(l, l->name, l->rank, 0, false);
	(void)pthread_mutex_lock(&l->m);
	l->subrank = 0;
	if (HMMU_DEBUG)
		hmmu__held_push(l, l->name, l->rank, 0, false);
}

/* Locks; the thread may hold locks of the same rank with a smaller subrank. */
static inline HMMU_NO_TSA void hmmu__mutex_lock_sub(struct hmmu_mutex *l,
						    uint64_t subrank)
	HMMU_ACQUIRES(l)
{
	if (HMMU_DEBUG)
		hmmu__held_check(l, l->name, l->rank, subrank, true);
	(void)pthread_mutex_lock(&l->m);
	l->subrank = subrank;
	if (HMMU_DEBUG)
		hmmu__held_push(l, l->name, l->rank, subrank, true);
}

/* Returns true with the lock held, or false without waiting. */
static inline HMMU_NO_TSA bool hmmu__mutex_trylock(struct hmmu_mutex *l)
	HMMU_TRY_ACQUIRES(true, l)
{
	if (HMMU_DEBUG)
		hmmu__lock_check(l->rank);
	if (pthread_mutex_trylock(&l->m) != 0)
		return false;
	l->subrank = 0;
	if (HMMU_DEBUG)
		hmmu__held_push(l, l->name, l->rank, 0, false);
	return true;
}

static inline HMMU_NO_TSA void hmmu__mutex_unlock(struct hmmu_mutex *l)
	HMMU_RELEASES(l)
{
	if (HMMU_DEBUG)
		hmmu__held_pop(l, l->name);
	(void)pthread_mutex_unlock(&l->m);
}

/* Each _locked function begins with it. */
static inline HMMU_NO_TSA void
hmmu__mutex_assert_held(const struct hmmu_mutex *l) HMMU_ASSERTS(l)
{
	if (HMMU_DEBUG)
		hmmu__held_assert(l, l->name, true);
}

void hmmu__rw_init(struct hmmu_rwlock *l, enum hmmu_rank rank,
		   const char *name);
void hmmu__rw_fini(struct hmmu_rwlock *l);

static inline HMMU_NO_TSA void hmmu__rw_read_lock(struct hmmu_rwlock *l)
	HMMU_ACQUIRES_SHARED(l)
{
	if (HMMU_DEBUG)
		hmmu__held_check(l, l->name, l->rank, 0, false);
	(void)pthread_rwlock_rdlock(&l->rw);
	if (HMMU_DEBUG)
		hmmu__held_push_shared(l, l->name, l->rank);
}

static inline HMMU_NO_TSA void hmmu__rw_read_unlock(struct hmmu_rwlock *l)
	HMMU_RELEASES_SHARED(l)
{
	if (HMMU_DEBUG)
		hmmu__held_pop(l, l->name);
	(void)pthread_rwlock_unlock(&l->rw);
}

static inline HMMU_NO_TSA void hmmu__rw_write_lock(struct hmmu_rwlock *l)
	HMMU_ACQUIRES(l)
{
	if (HMMU_DEBUG)
		hmmu__held_check(l, l->name, l->rank, 0, false);
	(void)pthread_rwlock_wrlock(&l->rw);
	if (HMMU_DEBUG)
		hmmu__held_push(l, l->name, l->rank, 0, false);
}

static inline HMMU_NO_TSA void hmmu__rw_write_unlock(struct hmmu_rwlock *l)
	HMMU_RELEASES(l)
{
	if (HMMU_DEBUG)
		hmmu__held_pop(l, l->name);
	(void)pthread_rwlock_unlock(&l->rw);
}

/* Held for reading or for writing. */
static inline HMMU_NO_TSA void hmmu__rw_assert_held(const struct hmmu_rwlock *l)
	HMMU_ASSERTS_SHARED(l)
{
	if (HMMU_DEBUG)
		hmmu__held_assert(l, l->name, false);
}

static inline HMMU_NO_TSA void
hmmu__rw_assert_write_held(const struct hmmu_rwlock *l) HMMU_ASSERTS(l)
{
	if (HMMU_DEBUG)
		hmmu__held_assert(l, l->name, true);
}

/* No timeout. */
#define HMMU_FOREVER UINT64_MAX

/*
 * Sleeps while *@word is @expected, for at most @timeout_ns (relative) or
 * HMMU_FOREVER. Returns 0 after a wake-up, -EAGAIN if *@word was not @expected,
 * or
 * -ETIMEDOUT or -EINTR. A wake-up may be spurious, so the caller checks *@word
 * again. It orders no memory accesses: the caller's accesses of *@word do.
 */
int hmmu__futex_wait(_Atomic uint32_t *word, uint32_t expected,
		     uint64_t timeout_ns);

/* Wakes at most @count sleepers of @word. Returns their number. */
int hmmu__futex_wake(_Atomic uint32_t *word, unsigned int count);

/*
 * One step of a polling wait: pauses first, then yields the CPU, then sleeps
 * for up to 1 ms. @round starts at 0 and counts the steps.
 */
void hmmu__backoff(unsigned int *round);

#endif
