/* SPDX-License-Identifier: MIT */
#include "base/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/arena.h"
#include "base/fault_point.h"
#include "base/lock.h"
#include "base/process.h"
#include "base/sched.h"
#include "base/sys.h"

/* Of the callers' frames: what a call points to while it holds locks. */
#define ABOVE_BYTES	(16ul << 10)
/* glibc's record of a thread begins at the thread pointer. */
#define PTHREAD_BYTES	4096ul
/* Our other TLS variables are within this of the ones looked at. */
#define TLS_SLACK_BYTES 2048ul

int (*_Atomic hmmu__thread_bounds)(uintptr_t sp, uintptr_t *lo, uintptr_t *hi);

/* @in_slot: has no record, but has published its windows in a slot. */
struct local {
	struct hmmu_thread *self;
	int tid;
	bool in_slot;
	/* On the way in: whoever knows the bounds may lock a leaf of its own. */
	bool asking;
};

static HMMU_TLS struct local local;

static struct hmmu_mutex threads_lock =
	HMMU_MUTEX_INITIALIZER(HMMU_RANK_THREADS, "threads");
static struct hmmu_thread *threads HMMU_GUARDED_BY(&threads_lock);

/* Set by the constructor; a thread's record is freed by the key's destructor. */
static pthread_key_t record_key;
static bool has_record_key;

/* Takes that run, and threads in enter() that wait until none does. */
static _Atomic uint32_t takes;
static _Atomic uint32_t draining;

/* All but what an instruction raises: a port's fault must be delivered. */
static const uint64_t blocked_signals =
	~(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) |
	  1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1));

/* Bounds --------------------------------------------------------------------- */

static uintptr_t thread_pointer(void)
{
	uintptr_t tp;

	__asm__("movq %%fs:0, %0" : "=r"(tp));
	return tp;
}

static uintptr_t page_floor(uintptr_t addr)
{
	return hmmu_round_down(addr, HMMU_PAGE_BYTES);
}

static uintptr_t page_ceil(uintptr_t addr)
{
	return hmmu_round_up(addr, HMMU_PAGE_BYTES);
}

/* The mapping around @addr; where nobody can say, the page. */
static void ask(uintptr_t addr, uintptr_t *lo, uintptr_t *hi)
{
	/* Acquire: pairs with the release store of who sets the hook. */
	int (*fn)(uintptr_t, uintptr_t *, uintptr_t *) = atomic_load_explicit(
		&hmmu__thread_bounds, memory_order_acquire);
	uint64_t signals;

	/* A handler that asks, too, must not wait for a leaf that is ours. */
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &blocked_signals, &signals);
	local.asking = true;
	if (!fn || fn(addr, lo, hi) != 0) {
		*lo = page_floor(addr);
		*hi = *lo + HMMU_PAGE_BYTES;
	}
	local.asking = false;
	(void)hmmu__sys_sigprocmask(SIG_SETMASK, &signals, NULL);
}

static void ask_tls(struct hmmu_bounds *b)
{
	uintptr_t tp = thread_pointer();
	uintptr_t low = hmmu_min((uintptr_t)&errno, (uintptr_t)&local);
	uintptr_t lo, hi;

	low = hmmu_min(low, tp);
	ask(tp, &lo, &hi);
	/* Clamped: beside the TLS there may be no memory. */
	b->tls_lo = page_floor(hmmu_max(low - TLS_SLACK_BYTES, lo));
	b->tls_lo = hmmu_min(b->tls_lo, page_floor(low));
	b->tls_hi = hmmu_min(page_ceil(tp + PTHREAD_BYTES), hi);
}

/*
 * Makes a stack that grows on demand grow to @addr: the kernel reads there, and
 * says -EFAULT where that is not possible. (The first argument is no valid one,
 * so nothing is set.)
 */
static bool kernel_can_read(uintptr_t addr)
{
	return hmmu__sys_sigprocmask(-1, (const uint64_t *)addr, NULL) !=
	       -EFAULT;
}

static void ask_stack(struct hmmu_bounds *b, uintptr_t sp)
{
	uintptr_t low = page_floor(sp - HMMU_STACK_WINDOW_BYTES);

	ask(sp, &b->stack_lo, &b->stack_hi);
	/* With nobody to ask there is no more to learn. */
	b->stack_ends = !b->asked;
	if (low >= b->stack_lo || !b->asked)
		return;
	b->stack_ends = !kernel_can_read(low);
	ask(sp, &b->stack_lo, &b->stack_hi);
}

/* A call that is as deep as those before it asks nobody. */
static void bounds_update(struct hmmu_bounds *b, uintptr_t sp)
{
	/* Relaxed: only whether there is a hook. */
	bool can_ask = atomic_load_explicit(&hmmu__thread_bounds,
					    memory_order_relaxed) != NULL;

	if (hmmu_unlikely(!b->tls_hi || b->asked != can_ask)) {
		ask_tls(b);
		b->stack_hi = 0;
		b->asked = can_ask;
	}
	if (hmmu_likely(sp >= b->stack_lo && sp < b->stack_hi &&
			(sp - HMMU_STACK_WINDOW_BYTES >= b->stack_lo ||
			 b->stack_ends)))
		return;
	ask_stack(b, sp);
}

/* Windows -------------------------------------------------------------------- */

static void windows_set(struct hmmu_windows *w, const struct hmmu_bounds *b,
			uintptr_t sp)
{
	uintptr_t lo = page_floor(sp - HMMU_STACK_WINDOW_BYTES);
	uintptr_t hi = page_ceil(sp + ABOVE_BYTES);

	lo = hmmu_max(lo, b->stack_lo);
	hi = hmmu_min(hi, b->stack_hi);
	/* Relaxed: the fence of windows_settle() follows. */
	atomic_store_explicit(&w->stack_lo, lo, memory_order_relaxed);
	atomic_store_explicit(&w->stack_hi, hi, memory_order_relaxed);
	atomic_store_explicit(&w->tls_lo, b->tls_lo, memory_order_relaxed);
	atomic_store_explicit(&w->tls_hi, b->tls_hi, memory_order_relaxed);
}

/*
 * Release: what was done inside is done before the pages may go; pairs with
 * the loads of windows_visit(), which are ordered by the lock of the block.
 */
static void windows_clear(struct hmmu_windows *w)
{
	atomic_store_explicit(&w->stack_hi, 0, memory_order_release);
	atomic_store_explicit(&w->tls_hi, 0, memory_order_release);
}

/*
 * Takes that run may have looked before the windows were set. Those that begin
 * from now on see them; they wait all the same while somebody drains, or they
 * could keep the count from ever reaching 0.
 */
static HMMU_COLD void wait_for_takes(void)
{
	unsigned int round = 0;

	/* seq_cst: against the increment in hmmu__take_begin(). */
	atomic_fetch_add_explicit(&draining, 1, memory_order_seq_cst);
	while (atomic_load_explicit(&takes, memory_order_seq_cst) != 0)
		hmmu__backoff(&round);
	atomic_fetch_sub_explicit(&draining, 1, memory_order_release);
}

/* Reads what other threads may be writing, and what a sanitizer calls free. */
HMMU_NOINLINE HMMU_NO_SANITIZE_ADDRESS HMMU_NO_SANITIZE_THREAD static void
touch(uintptr_t lo, uintptr_t hi)
{
	for (; lo < hi; lo += HMMU_PAGE_BYTES)
		(void)*(const volatile char *)lo;
}

/* Relaxed: the caller's own stores. */
static void windows_touch(const struct hmmu_windows *w)
{
	touch(atomic_load_explicit(&w->stack_lo, memory_order_relaxed),
	      atomic_load_explicit(&w->stack_hi, memory_order_relaxed));
	touch(atomic_load_explicit(&w->tls_lo, memory_order_relaxed),
	      atomic_load_explicit(&w->tls_hi, memory_order_relaxed));
}

/* The left column of thread.h, from the fence to the touch. */
static void windows_settle(const struct hmmu_windows *w)
{
	hmmu__sched_fence();
	if (hmmu_unlikely(atomic_load_explicit(&takes, memory_order_acquire) !=
			  0))
		wait_for_takes();
	windows_touch(w);
}

/* Slots ---------------------------------------------------------------------- */

/*
 * A thread without a record needs locks to get one, and published windows to
 * take locks: for that long it borrows a slot. Bit i of @slots_used is slot i.
 */
#define SLOTS 64u

static struct hmmu_windows slots[SLOTS];
static _Atomic uint64_t slots_used;

static unsigned int slot_get(void)
{
	unsigned int round = 0;

	for (;;) {
		/* Relaxed: the exchange decides. */
		uint64_t used =
			atomic_load_explicit(&slots_used, memory_order_relaxed);

		if (used == UINT64_MAX) {
			hmmu__backoff(&round);
			continue;
		}
		/* Acquire: pairs with slot_put(); the slot is empty. */
		if (atomic_compare_exchange_weak_explicit(
			    &slots_used, &used, used | (used + 1),
			    memory_order_acquire, memory_order_relaxed))
			return (unsigned int)__builtin_ctzll(~used);
	}
}

static void slot_put(unsigned int slot)
{
	windows_clear(&slots[slot]);
	/* Release: pairs with slot_get(). */
	atomic_fetch_and_explicit(&slots_used, ~(1ull << slot),
				  memory_order_release);
}

/* Inside by a slot: signals are blocked, windows published. */
struct slot_stay {
	uint64_t signals;
	unsigned int slot;
};

static void slot_enter(struct slot_stay *stay, const struct hmmu_bounds *b,
		       uintptr_t sp)
{
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &blocked_signals,
				    &stay->signals);
	stay->slot = slot_get();
	local.in_slot = true;
	if (hmmu__arena_contains(sp))
		return;
	windows_set(&slots[stay->slot], b, sp);
	windows_settle(&slots[stay->slot]);
}

static void slot_leave(const struct slot_stay *stay)
{
	local.in_slot = false;
	slot_put(stay->slot);
	(void)hmmu__sys_sigprocmask(SIG_SETMASK, &stay->signals, NULL);
}

/* Records -------------------------------------------------------------------- */

static void record_free(struct hmmu_thread *t)
{
	hmmu__free(t, sizeof(*t));
}

static struct hmmu_thread *record_alloc(void)
{
	if (HMMU_FAULT_POINT("thread record", ENOMEM))
		return NULL;
	return hmmu__alloc(sizeof(struct hmmu_thread));
}

static void record_insert_locked(struct hmmu_thread *t)
	HMMU_REQUIRES(&threads_lock)
{
	hmmu__mutex_assert_held(&threads_lock);
	t->prev = NULL;
	t->next = threads;
	if (threads)
		threads->prev = t;
	threads = t;
}

static void record_remove_locked(struct hmmu_thread *t)
	HMMU_REQUIRES(&threads_lock)
{
	hmmu__mutex_assert_held(&threads_lock);
	if (t->prev)
		t->prev->next = t->next;
	else
		threads = t->next;
	if (t->next)
		t->next->prev = t->prev;
}

static struct hmmu_thread *record_create_inside(const struct hmmu_bounds *b)
{
	struct hmmu_thread *t = record_alloc();

	if (!t)
		return NULL;
	t->bounds = *b;
	t->tid = hmmu__thread_id();
	hmmu__mutex_lock(&threads_lock);
	record_insert_locked(t);
	hmmu__mutex_unlock(&threads_lock);
	return t;
}

static HMMU_COLD struct hmmu_thread *record_create(uintptr_t sp)
{
	struct hmmu_bounds b = { 0 };
	struct slot_stay stay;
	struct hmmu_thread *t;

	if (!hmmu__arena_contains(sp))
		bounds_update(&b, sp);
	slot_enter(&stay, &b, sp);
	t = record_create_inside(&b);
	local.self = t;
	slot_leave(&stay);
	/* A key that was made late may allocate here: nothing is held. */
	if (t && has_record_key)
		(void)pthread_setspecific(record_key, t);
	return t;
}

/*
 * The thread ends. A destructor after this one may call HMMU again: it gets a
 * new record and this runs once more.
 */
static void record_destroy(void *arg)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct hmmu_thread *t = arg;
	struct slot_stay stay;

	HMMU_ASSERT(t->depth == 0);
	if (!hmmu__arena_contains(sp))
		bounds_update(&t->bounds, sp);
	slot_enter(&stay, &t->bounds, sp);
	local.self = NULL;
	hmmu__mutex_lock(&threads_lock);
	record_remove_locked(t);
	hmmu__mutex_unlock(&threads_lock);
	record_free(t);
	slot_leave(&stay);
}

/* When the library is loaded: keys made early need no memory per thread. */
static __attribute__((constructor)) void record_key_create(void)
{
	has_record_key = pthread_key_create(&record_key, record_destroy) == 0;
}

int hmmu__thread_id(void)
{
	if (hmmu_unlikely(local.tid == 0))
		local.tid = hmmu__sched_gettid();
	return local.tid;
}

/* Enter and leave ------------------------------------------------------------ */

/* Before any lock: the thread has published its windows, or needs none. */
static void check_inside(void)
{
	bool on_arena =
		hmmu__arena_contains((uintptr_t)__builtin_frame_address(0));

	if (!on_arena && !local.in_slot && !local.asking && !hmmu__is_inside())
		hmmu__assert_failed("a lock is taken inside", __FILE__,
				    __LINE__);
}

/* From the first enter after a space has said how windows are found. */
static void install_check(const struct hmmu_bounds *b)
{
	/* Relaxed: writing it twice is no harm. */
	if (HMMU_DEBUG && b->asked &&
	    !atomic_load_explicit(&hmmu__lock_debug_check,
				  memory_order_relaxed))
		/* Release: pairs with the acquire load of lock.c. */
		atomic_store_explicit(&hmmu__lock_debug_check, check_inside,
				      memory_order_release);
}

struct hmmu_thread *hmmu__enter(void)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct hmmu_thread *self = local.self;

	if (hmmu_unlikely(!self)) {
		self = record_create(sp);
		if (!self)
			return NULL;
	}
	if (self->depth > 0 || hmmu__arena_contains(sp)) {
		self->depth++;
		return self;
	}
	bounds_update(&self->bounds, sp);
	/* First: a handler that runs until here may itself enter and leave. */
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &blocked_signals,
				    &self->saved_signals);
	self->depth = 1;
	self->is_published = true;
	windows_set(&self->windows, &self->bounds, sp);
	windows_settle(&self->windows);
	install_check(&self->bounds);
	return self;
}

void hmmu__leave(struct hmmu_thread *self)
{
	HMMU_ASSERT(self == local.self && self->depth > 0);
	if (--self->depth > 0 || !self->is_published)
		return;
	self->is_published = false;
	windows_clear(&self->windows);
	(void)hmmu__sys_sigprocmask(SIG_SETMASK, &self->saved_signals, NULL);
}

bool hmmu__is_inside(void)
{
	return local.self && local.self->depth > 0;
}

bool hmmu__thread_may_enter(void)
{
	return local.self || hmmu__process_is_opener();
}

struct hmmu_thread *hmmu__thread_record(void)
{
	struct hmmu_thread *self = local.self;

	if (hmmu_likely(self))
		return self;
	self = hmmu__enter();
	if (self)
		hmmu__leave(self);
	return self;
}

/* Takers --------------------------------------------------------------------- */

bool hmmu__take_begin(void)
{
	/* seq_cst: against the fence of windows_settle() and the increment in
	 * wait_for_takes(). */
	atomic_fetch_add_explicit(&takes, 1, memory_order_seq_cst);
	if (hmmu_likely(atomic_load_explicit(&draining, memory_order_seq_cst) ==
			0))
		return true;
	atomic_fetch_sub_explicit(&takes, 1, memory_order_release);
	return false;
}

void hmmu__take_wait(void)
{
	unsigned int round = 0;

	while (atomic_load_explicit(&draining, memory_order_acquire))
		hmmu__backoff(&round);
}

/* Release: pairs with the loads of who waits for it in enter(). */
void hmmu__take_end(void)
{
	atomic_fetch_sub_explicit(&takes, 1, memory_order_release);
}

struct visit {
	uintptr_t start;
	uintptr_t end;
	void (*fn)(void *arg, uintptr_t lo, uintptr_t hi);
	void *arg;
};

static void visit_one(const struct visit *v, uintptr_t lo, uintptr_t hi)
{
	if (lo < v->end && v->start < hi)
		v->fn(v->arg, lo, hi);
}

/* Relaxed: whoever set them after our increment of takes waits for us. */
static void visit_windows(const struct visit *v, const struct hmmu_windows *w)
{
	visit_one(v, atomic_load_explicit(&w->stack_lo, memory_order_relaxed),
		  atomic_load_explicit(&w->stack_hi, memory_order_relaxed));
	visit_one(v, atomic_load_explicit(&w->tls_lo, memory_order_relaxed),
		  atomic_load_explicit(&w->tls_hi, memory_order_relaxed));
}

static void visit_slots(const struct visit *v)
{
	/* Acquire: pairs with slot_get() of who sits in one. */
	uint64_t used = atomic_load_explicit(&slots_used, memory_order_acquire);

	for (; used; used &= used - 1)
		visit_windows(v, &slots[__builtin_ctzll(used)]);
}

static void visit_loans(const struct visit *v, const struct hmmu_loans *loans)
{
	/* Relaxed: as those of windows. */
	uint32_t i, count = atomic_load_explicit(&loans->count,
						 memory_order_relaxed);
	uintptr_t lo, hi;

	for (i = 0; i < count; i++)
		if (hmmu__loan_get(loans, i, &lo, &hi))
			visit_one(v, lo, hi);
}

/* What each thread has lent, or its windows. */
static void visit_threads(const struct visit *v, bool loans)
{
	const struct hmmu_thread *t;

	hmmu__mutex_lock(&threads_lock);
	for (t = threads; t; t = t->next) {
		if (loans)
			visit_loans(v, &t->loans);
		else
			visit_windows(v, &t->windows);
	}
	hmmu__mutex_unlock(&threads_lock);
}

void hmmu__windows_visit(uintptr_t start, uintptr_t end,
			 void (*fn)(void *arg, uintptr_t lo, uintptr_t hi),
			 void *arg)
{
	struct visit v = { .start = start, .end = end, .fn = fn, .arg = arg };

	visit_threads(&v, false);
	visit_slots(&v);
}

void hmmu__loans_visit(uintptr_t start, uintptr_t end,
		       void (*fn)(void *arg, uintptr_t lo, uintptr_t hi),
		       void *arg)
{
	struct visit v = { .start = start, .end = end, .fn = fn, .arg = arg };

	visit_threads(&v, true);
}

/* Inside: a handler must not leave while others wait for who drains. */
static HMMU_COLD void wait_for_takes_inside(void)
{
	struct hmmu_thread *self = hmmu__enter();

	wait_for_takes();
	if (self)
		hmmu__leave(self);
}

void hmmu__loans_settle(void)
{
	hmmu__sched_fence();
	/* Acquire: pairs with hmmu__take_end(). */
	if (hmmu_unlikely(atomic_load_explicit(&takes, memory_order_acquire)))
		wait_for_takes_inside();
}

/* fork ----------------------------------------------------------------------- */

void hmmu__threads_fork_before(void) HMMU_ACQUIRES(&threads_lock)
{
	hmmu__mutex_lock(&threads_lock);
}

void hmmu__threads_fork_after_parent(void) HMMU_RELEASES(&threads_lock)
{
	hmmu__mutex_unlock(&threads_lock);
}

void hmmu__threads_fork_after_child(void) HMMU_RELEASES(&threads_lock)
{
	struct hmmu_thread *self = local.self;
	struct hmmu_thread *t, *next;

	/* Relaxed, all of them: the child has one thread. */
	atomic_store_explicit(&takes, 0, memory_order_relaxed);
	atomic_store_explicit(&draining, 0, memory_order_relaxed);
	atomic_store_explicit(&slots_used, 0, memory_order_relaxed);
	for (t = threads; t; t = next) {
		next = t->next;
		if (t != self)
			record_free(t);
	}
	threads = NULL;
	local.tid = 0;
	if (self) {
		self->tid = hmmu__thread_id();
		record_insert_locked(self);
	}
	hmmu__mutex_unlock(&threads_lock);
}
