/* SPDX-License-Identifier: MIT */
/*
 * The thread layer: stack bounds, windows, records, enter and leave, takes
 *
 * Locking: the threads lock guards the list of records, and is taken inside.
 * The protocol of windows and takes needs no lock; see thread.h.
 */
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

/* The callers' frames, to which a call has pointers while it holds locks. */
#define ABOVE_BYTES	(16ul << 10)
/* glibc's struct pthread begins at the thread pointer. */
#define PTHREAD_BYTES	4096ul
/* The library's other TLS variables are within this of errno and local. */
#define TLS_SLACK_BYTES 2048ul

int (*_Atomic hmmu__thread_bounds)(uintptr_t sp, uintptr_t *lo, uintptr_t *hi);

/* @in_slot: the thread has no record, and its windows are in a slot. */
struct local {
	struct hmmu_thread *self;
	int tid;
	bool in_slot;
	/* hmmu__thread_bounds is running; it may take a leaf lock. */
	bool asking;
};

static HMMU_TLS struct local local;

static struct hmmu_mutex threads_lock =
	HMMU_MUTEX_INITIALIZER(HMMU_RANK_THREADS, "threads");
static struct hmmu_thread *threads HMMU_GUARDED_BY(&threads_lock);

/* Its destructor frees a thread's record. A constructor creates it. */
static pthread_key_t record_key;
static bool has_record_key;

/* Running takes, and threads in enter() that wait until there are none. */
static _Atomic uint32_t takes;
static _Atomic uint32_t draining;

/* All but those that an instruction raises: ports need their faults. */
static const uint64_t blocked_signals =
	~(1ull << (SIGSEGV - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) |
	  1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1));

/* Bounds ------------------------------------------------------------------- */

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

/* Find the mapping around @addr; if that fails, use the page. */
static void find_bounds(uintptr_t addr, uintptr_t *lo, uintptr_t *hi)
{
	/* Acquire: pairs with the release store that sets the hook. */
	int (*fn)(uintptr_t, uintptr_t *, uintptr_t *) = atomic_load_explicit(
		&hmmu__thread_bounds, memory_order_acquire);
	uint64_t signals;

	/* A handler must not wait for a leaf lock of this thread. */
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &blocked_signals, &signals);
	local.asking = true;
	if (!fn || fn(addr, lo, hi) != 0) {
		*lo = page_floor(addr);
		*hi = *lo + HMMU_PAGE_BYTES;
	}
	local.asking = false;
	(void)hmmu__sys_sigprocmask(SIG_SETMASK, &signals, NULL);
}

static void find_tls_bounds(struct hmmu_bounds *b)
{
	uintptr_t tp = thread_pointer();
	uintptr_t low = hmmu_min((uintptr_t)&errno, (uintptr_t)&local);
	uintptr_t lo, hi;

	low = hmmu_min(low, tp);
	find_bounds(tp, &lo, &hi);
	/* There may be no memory beside the TLS. */
	b->tls_lo = page_floor(hmmu_max(low - TLS_SLACK_BYTES, lo));
	b->tls_lo = hmmu_min(b->tls_lo, page_floor(low));
	b->tls_hi = hmmu_min(page_ceil(tp + PTHREAD_BYTES), hi);
}

/*
 * Make a stack that grows on demand grow to @addr: the kernel reads there, and
 * returns -EFAULT if it cannot. The first argument is invalid, so the call sets
 * no mask.
 */
static bool kernel_can_read(uintptr_t addr)
{
	return hmmu__sys_sigprocmask(-1, (const uint64_t *)addr, NULL) !=
	       -EFAULT;
}

static void find_stack_bounds(struct hmmu_bounds *b, uintptr_t sp)
{
	uintptr_t low = page_floor(sp - HMMU_STACK_WINDOW_BYTES);

	find_bounds(sp, &b->stack_lo, &b->stack_hi);
	/* Without the hook the bounds are a page: do not search again. */
	b->stack_ends = !b->asked;
	if (low >= b->stack_lo || !b->asked)
		return;
	b->stack_ends = !kernel_can_read(low);
	find_bounds(sp, &b->stack_lo, &b->stack_hi);
}

/* If the stack is no deeper than before, the bounds are valid. */
static void bounds_update(struct hmmu_bounds *b, uintptr_t sp)
{
	/* Relaxed: only tests whether there is a hook. */
	bool can_ask = atomic_load_explicit(&hmmu__thread_bounds,
					    memory_order_relaxed) != NULL;

	if (hmmu_unlikely(!b->tls_hi || b->asked != can_ask)) {
		find_tls_bounds(b);
		b->stack_hi = 0;
		b->asked = can_ask;
	}
	if (hmmu_likely(sp >= b->stack_lo && sp < b->stack_hi &&
			(sp - HMMU_STACK_WINDOW_BYTES >= b->stack_lo ||
			 b->stack_ends)))
		return;
	find_stack_bounds(b, sp);
}

/* Windows ------------------------------------------------------------------ */

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
 * Release: the accesses of the call are done before the pages can migrate.
 * Pairs with the loads of visit_windows(), which the lock of the block orders.
 */
static void windows_clear(struct hmmu_windows *w)
{
	atomic_store_explicit(&w->stack_hi, 0, memory_order_release);
	atomic_store_explicit(&w->tls_hi, 0, memory_order_release);
}

/*
 * Running takes may have read the windows before they were set. Takes that
 * begin from now on see them. These wait too while @draining is not 0, because
 * they could keep the count from ever reaching 0.
 */
static HMMU_COLD void wait_for_takes(void)
{
	unsigned int round = 0;

	/* seq_cst: pairs with the increment in hmmu__take_begin(). */
	atomic_fetch_add_explicit(&draining, 1, memory_order_seq_cst);
	while (atomic_load_explicit(&takes, memory_order_seq_cst) != 0)
		hmmu__backoff(&round);
	atomic_fetch_sub_explicit(&draining, 1, memory_order_release);
}

/* Other threads may write this memory, and ASan may have poisoned it. */
HMMU_NOINLINE HMMU_NO_SANITIZE_ADDRESS HMMU_NO_SANITIZE_THREAD static void
touch_pages(uintptr_t lo, uintptr_t hi)
{
	for (; lo < hi; lo += HMMU_PAGE_BYTES)
		(void)*(const volatile char *)lo;
}

/* Relaxed: this thread has stored them. */
static void windows_touch(const struct hmmu_windows *w)
{
	touch_pages(atomic_load_explicit(&w->stack_lo, memory_order_relaxed),
		    atomic_load_explicit(&w->stack_hi, memory_order_relaxed));
	touch_pages(atomic_load_explicit(&w->tls_lo, memory_order_relaxed),
		    atomic_load_explicit(&w->tls_hi, memory_order_relaxed));
}

/* The thread's side of the race in thread.h, from the fence to the touch. */
static void windows_settle(const struct hmmu_windows *w)
{
	hmmu__sched_fence();
	if (hmmu_unlikely(atomic_load_explicit(&takes, memory_order_acquire) !=
			  0))
		wait_for_takes();
	windows_touch(w);
}

/* Slots -------------------------------------------------------------------- */

/*
 * To create its record, a thread takes locks, for which it must publish
 * windows. Until it has a record it publishes them in a slot. Bit i of
 * @slots_used is slot i.
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
		/* Acquire: pairs with slot_put(), which has emptied it. */
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

/* A thread inside by a slot: signals are blocked, windows are published. */
struct slot_use {
	uint64_t signals;
	unsigned int slot;
};

static void slot_enter(struct slot_use *use, const struct hmmu_bounds *b,
		       uintptr_t sp)
{
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &blocked_signals, &use->signals);
	use->slot = slot_get();
	local.in_slot = true;
	if (hmmu__arena_contains(sp))
		return;
	windows_set(&slots[use->slot], b, sp);
	windows_settle(&slots[use->slot]);
}

static void slot_leave(const struct slot_use *use)
{
	local.in_slot = false;
	slot_put(use->slot);
	(void)hmmu__sys_sigprocmask(SIG_SETMASK, &use->signals, NULL);
}

/* Records ------------------------------------------------------------------ */

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
	struct slot_use use;
	struct hmmu_thread *t;

	if (!hmmu__arena_contains(sp))
		bounds_update(&b, sp);
	slot_enter(&use, &b, sp);
	t = record_create_inside(&b);
	local.self = t;
	slot_leave(&use);
	/* This may call malloc(), if the key's number is high: hold no lock. */
	if (t && has_record_key)
		(void)pthread_setspecific(record_key, t);
	return t;
}

/*
 * Free the record of a thread that ends. If a later destructor calls HMMU, the
 * thread gets a new record, and this function runs again.
 */
static void record_destroy(void *arg)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0);
	struct hmmu_thread *t = arg;
	struct slot_use use;

	HMMU_ASSERT(t->depth == 0);
	if (!hmmu__arena_contains(sp))
		bounds_update(&t->bounds, sp);
	slot_enter(&use, &t->bounds, sp);
	local.self = NULL;
	hmmu__mutex_lock(&threads_lock);
	record_remove_locked(t);
	hmmu__mutex_unlock(&threads_lock);
	record_free(t);
	slot_leave(&use);
}

/* Early, when the library is loaded: low keys need no memory in each thread. */
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

/* Enter and leave ---------------------------------------------------------- */

/* Called before each lock: the thread must be inside, or on an arena stack. */
static void check_inside(void)
{
	bool on_arena =
		hmmu__arena_contains((uintptr_t)__builtin_frame_address(0));

	if (!on_arena && !local.in_slot && !local.asking && !hmmu__is_inside())
		hmmu__assert_failed("a lock is taken inside", __FILE__,
				    __LINE__);
}

/* Check locks from the first enter after hmmu__thread_bounds is set. */
static void install_check(const struct hmmu_bounds *b)
{
	/* Relaxed: two threads may both write it. */
	if (HMMU_DEBUG && b->asked &&
	    !atomic_load_explicit(&hmmu__lock_debug_check,
				  memory_order_relaxed))
		/* Release: pairs with the load of hmmu__lock_check(). */
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
	/* First: a handler that runs before may itself enter and leave. */
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

/* Takers ------------------------------------------------------------------- */

bool hmmu__take_begin(void)
{
	/*
	 * seq_cst: pairs with the fence of windows_settle() and the increment
	 * in wait_for_takes().
	 */
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

/* Release: pairs with the loads of windows_settle() and wait_for_takes(). */
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

/* Relaxed: a thread that sets them later waits for this take. */
static void visit_windows(const struct visit *v, const struct hmmu_windows *w)
{
	visit_one(v, atomic_load_explicit(&w->stack_lo, memory_order_relaxed),
		  atomic_load_explicit(&w->stack_hi, memory_order_relaxed));
	visit_one(v, atomic_load_explicit(&w->tls_lo, memory_order_relaxed),
		  atomic_load_explicit(&w->tls_hi, memory_order_relaxed));
}

static void visit_slots(const struct visit *v)
{
	/* Acquire: pairs with slot_get() of the thread that uses the slot. */
	uint64_t used = atomic_load_explicit(&slots_used, memory_order_acquire);

	for (; used; used &= used - 1)
		visit_windows(v, &slots[__builtin_ctzll(used)]);
}

static void visit_loans(const struct visit *v, const struct hmmu_loans *loans)
{
	/* Relaxed: like those of windows. */
	uint32_t i, count = atomic_load_explicit(&loans->count,
						 memory_order_relaxed);
	uintptr_t lo, hi;

	for (i = 0; i < count; i++)
		if (hmmu__loan_get(loans, i, &lo, &hi))
			visit_one(v, lo, hi);
}

/* Visit the loans of each thread, or its windows. */
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

/* Inside: a handler that never returns would keep @draining above 0. */
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

/* fork --------------------------------------------------------------------- */

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

	/* Relaxed, here and below: the child has one thread. */
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
