/* SPDX-License-Identifier: MIT */
/*
 * Locks: the checker of the lock order, futexes and the backoff
 *
 * Overview: a debug build keeps a list of the locks that each thread holds.
 *
 * Locking: none of its own; the list is thread-local.
 *
 * Not supported: cycles over several threads, as lockdep finds them. All locks
 * have a rank, so checking one thread at a time is enough.
 */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>

#include "base/format.h"
#include "base/sched.h"
#include "base/sys.h"

/*
 * The list is initial-exec TLS, which is scarce for a library loaded by
 * dlopen(3). No path of the library holds 24 locks.
 */
#define HELD_MAX 24u

struct held_lock {
	const void *lock;
	const char *name;
	uint64_t subrank;
	enum hmmu_rank rank;
	bool nested;
	bool shared;
};

struct held_list {
	struct held_lock entry[HELD_MAX];
	unsigned int count;
};

#if HMMU_DEBUG
static HMMU_TLS struct held_list held;
#endif

static void violation_default(const struct hmmu_rank_report *report)
{
	char text[HMMU_LINE_BYTES];
	size_t bytes = hmmu__format(
		text, sizeof(text),
		"hmmu: lock: %s: %s (rank %u) while holding %s (rank %u)\n",
		report->what, report->name, (unsigned int)report->rank,
		report->held_name ? report->held_name : "nothing",
		(unsigned int)report->held_rank);

	(void)hmmu__sys_write(2, text, hmmu_min(bytes, sizeof(text) - 1));
	abort();
}

void (*hmmu__rank_violation)(const struct hmmu_rank_report *) =
	violation_default;

void (*_Atomic hmmu__lock_debug_check)(void);

#if HMMU_DEBUG

/* @e is the conflicting lock, or NULL. */
static HMMU_COLD void violation(const char *what, const char *name,
				enum hmmu_rank rank, const struct held_lock *e)
{
	struct hmmu_rank_report report = {
		.what = what,
		.name = name,
		.rank = rank,
		.held_name = e ? e->name : NULL,
		.held_rank = e ? e->rank : (enum hmmu_rank)0,
	};

	hmmu__rank_violation(&report);
}

static struct held_lock *held_find(const void *lock)
{
	for (unsigned int i = held.count; i-- > 0;) {
		if (held.entry[i].lock == lock)
			return &held.entry[i];
	}
	return NULL;
}

/* Locks of one rank: both are nested, and the subrank increases. */
static bool same_rank_is_ordered(const struct held_lock *e, uint64_t subrank,
				 bool nested)
{
	return nested && e->nested && e->subrank < subrank;
}

/*
 * A thread that is not inside may take these locks, because the fault service
 * does not take them: those of a mirror that the program created, of its epoch
 * domain, and of hmmu_log_set(). Mirrors of devices are edited from inside
 * only.
 */
static bool is_private_rank(enum hmmu_rank rank)
{
	return rank == HMMU_RANK_MIRROR || rank == HMMU_RANK_EPOCH ||
	       rank == HMMU_RANK_LOG;
}

void hmmu__lock_check(enum hmmu_rank rank)
{
	/* Acquire: pairs with the release store of install_check(). */
	void (*check)(void) = atomic_load_explicit(&hmmu__lock_debug_check,
						   memory_order_acquire);

	if (check && !is_private_rank(rank))
		check();
}

void hmmu__held_check(const void *lock, const char *name, enum hmmu_rank rank,
		      uint64_t subrank, bool nested)
{
	hmmu__lock_check(rank);
	for (unsigned int i = 0; i < held.count; i++) {
		const struct held_lock *e = &held.entry[i];

		if (e->lock == lock)
			violation("taken twice", name, rank, e);
		else if (e->rank > rank)
			violation("out of order", name, rank, e);
		else if (e->rank == rank &&
			 !same_rank_is_ordered(e, subrank, nested))
			violation("same rank", name, rank, e);
		else
			continue;
		return;
	}
}

static void held_add(const struct held_lock *e)
{
	if (held.count == HELD_MAX) {
		violation("too many locks", e->name, e->rank,
			  &held.entry[HELD_MAX - 1]);
		return;
	}
	held.entry[held.count++] = *e;
}

void hmmu__held_push(const void *lock, const char *name, enum hmmu_rank rank,
		     uint64_t subrank, bool nested)
{
	held_add(&(struct held_lock){ .lock = lock,
				      .name = name,
				      .subrank = subrank,
				      .rank = rank,
				      .nested = nested });
}

void hmmu__held_push_shared(const void *lock, const char *name,
			    enum hmmu_rank rank)
{
	held_add(&(struct held_lock){
		.lock = lock, .name = name, .rank = rank, .shared = true });
}

/* Locks may be released in any order. */
void hmmu__held_pop(const void *lock, const char *name)
{
	struct held_lock *e = held_find(lock);

	if (!e) {
		violation("released but not held", name, (enum hmmu_rank)0,
			  NULL);
		return;
	}
	held.count--;
	for (; e < &held.entry[held.count]; e++)
		e[0] = e[1];
}

void hmmu__held_assert(const void *lock, const char *name, bool exclusive)
{
	const struct held_lock *e = held_find(lock);

	if (!e)
		violation("not held", name, (enum hmmu_rank)0, NULL);
	else if (exclusive && e->shared)
		violation("held for reading only", name, e->rank, e);
}

unsigned int hmmu__held_count(void)
{
	return held.count;
}

#else

unsigned int hmmu__held_count(void)
{
	return 0;
}

#endif

void hmmu__mutex_init(struct hmmu_mutex *l, enum hmmu_rank rank,
		      const char *name)
{
	/* glibc's pthread_mutex_init() of a default mutex cannot fail. */
	(void)pthread_mutex_init(&l->m, NULL);
	l->subrank = 0;
	l->name = name;
	l->rank = rank;
}

void hmmu__mutex_fini(struct hmmu_mutex *l)
{
	int ret = pthread_mutex_destroy(&l->m);

	HMMU_ASSERT(ret == 0);
	(void)ret;
}

void hmmu__rw_init(struct hmmu_rwlock *l, enum hmmu_rank rank, const char *name)
{
	*l = (struct hmmu_rwlock)HMMU_RWLOCK_INITIALIZER(rank, name);
}

void hmmu__rw_fini(struct hmmu_rwlock *l)
{
	int ret = pthread_rwlock_destroy(&l->rw);

	HMMU_ASSERT(ret == 0);
	(void)ret;
}

int hmmu__futex_wait(_Atomic uint32_t *word, uint32_t expected,
		     uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};

	return hmmu__sched_futex(word, FUTEX_WAIT_PRIVATE, expected,
				 timeout_ns == HMMU_FOREVER ? NULL : &ts);
}

int hmmu__futex_wake(_Atomic uint32_t *word, unsigned int count)
{
	return hmmu__sched_futex(word, FUTEX_WAKE_PRIVATE, count, NULL);
}

/*
 * Pause for about 2 us, in which a running section ends. Then yield: a thread
 * in a section may be waiting for this CPU. Then sleep for 2, 4, ... us.
 */
#define BACKOFF_PAUSE_ROUNDS 6u
#define BACKOFF_YIELD_ROUNDS 16u
#define BACKOFF_SLEEP_MAX_NS 1000000u

void hmmu__backoff(unsigned int *round)
{
	unsigned int n = (*round)++;

	if (n < BACKOFF_PAUSE_ROUNDS) {
		for (unsigned int i = 0; i < 1u << n; i++)
			hmmu__sched_relax();
		return;
	}
	n -= BACKOFF_PAUSE_ROUNDS;
	if (n < BACKOFF_YIELD_ROUNDS) {
		hmmu__sched_yield();
		return;
	}
	n = (unsigned int)hmmu_min(n - BACKOFF_YIELD_ROUNDS + 1, 10);
	hmmu__sched_sleep(hmmu_min(1000ul << n, BACKOFF_SLEEP_MAX_NS));
	/* The counter must not wrap back to pauses. */
	*round = (unsigned int)hmmu_min(*round, 1000);
}
