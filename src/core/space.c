/* SPDX-License-Identifier: MIT */
/*
 * The space: open, close, the end of the process, counters.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/sized.h"
#include "base/sys.h"
#include "core/core.h"

struct hmmu_space *_Atomic hmmu__live_space;
_Atomic bool hmmu__lends;

/* Who uses the live space without having opened it. */
static _Atomic uint32_t borrowers;

/* Guards opening and closing of the one live space. */
static struct hmmu_mutex open_lock =
	HMMU_MUTEX_INITIALIZER(HMMU_RANK_SPACE, "open");

static void space_free(struct hmmu_space *s)
{
	hmmu__pins_fini(&s->pins);
	hmmu__ports_fini(&s->ports);
	hmmu__notifiers_fini(&s->notifiers);
	hmmu__mutex_fini(&s->lock);
	hmmu__free(s, sizeof(*s));
}

static int space_make(const struct hmmu_space_options *o, const char **why,
		      struct hmmu_space **ret)
{
	struct hmmu_space *s = hmmu__alloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	hmmu__mutex_init(&s->lock, HMMU_RANK_DEVICE, "space");
	hmmu__notifiers_init(&s->notifiers);
	hmmu__blocks_init(&s->blocks);
	hmmu__ports_init(&s->ports);
	hmmu__pins_init(&s->pins);
	s->opens = 1;
	err = hmmu__signals_install();
	if (!err)
		err = hmmu__live_create(s, o, why);
	if (err) {
		space_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

static int open_locked(const struct hmmu_space_options *o, const char **why,
		       struct hmmu_space **ret) HMMU_REQUIRES(&open_lock)
{
	struct hmmu_space *s =
		atomic_load_explicit(&hmmu__live_space, memory_order_acquire);
	int err;

	if (s) {
		s->opens++;
		*ret = s;
		return 0;
	}
	err = space_make(o, why, &s);
	if (err)
		return err;
	/* Release: the hooks and the fork handlers find a whole space. */
	atomic_store_explicit(&hmmu__live_space, s, memory_order_release);
	/* Relaxed: who sees it borrows the space. */
	atomic_store_explicit(&hmmu__lends, s->lends, memory_order_relaxed);
	*ret = s;
	return 0;
}

/*
 * IN24. Ports are not waited for: they end with the process, and one of them may
 * be in a section for ever.
 */
static void release_locked(void) HMMU_REQUIRES(&open_lock)
{
	struct hmmu_space *s =
		atomic_load_explicit(&hmmu__live_space, memory_order_acquire);
	struct hmmu_invalidate_call call = {
		.inv = { .start = 0,
			 .end = UINTPTR_MAX & ~(HMMU_PAGE_BYTES - 1),
			 .event = HMMU_EVENT_RELEASE },
	};

	if (!s)
		return;
	hmmu__notifiers_begin(&s->notifiers, &call);
	/* Who removes his subscription later, while the process ends, waits for
	 * no invalidation. */
	hmmu__notifiers_end(&s->notifiers, &call);
}

/*
 * Who ends the process from a callback holds what telling would wait for: he is
 * inside, or a thread of HMMU's own.
 */
static bool is_in_callback(void)
{
	return hmmu__is_inside() ||
	       hmmu__arena_contains((uintptr_t)__builtin_frame_address(0));
}

/* At exit(3), with other threads running. */
static void release(void)
{
	struct hmmu_thread *self;

	if (!hmmu__process_is_opener() || is_in_callback())
		return;
	self = hmmu__enter();
	if (!self)
		return;
	hmmu__mutex_lock(&open_lock);
	release_locked();
	hmmu__mutex_unlock(&open_lock);
	hmmu__leave(self);
}

static int release_err;

static void release_install(void)
{
	release_err = atexit(release) ? -ENOMEM : 0;
}

/*
 * Not a destructor of the library: what the program has made before it opens a
 * space is there still when its subscribers are told.
 */
static int release_at_exit(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, release_install);
	return release_err;
}

static int options_read(const struct hmmu_space_options *in,
			struct hmmu_space_options *o)
{
	*o = (struct hmmu_space_options){ .size = sizeof(*o) };
	if (!in)
		return 0;
	return hmmu__copy_sized(o, sizeof(*o), sizeof(o->size), in);
}

/* Before any lock: another thread of the parent may have held it. */
static int process_check(const char **why)
{
	if (!atomic_load_explicit(&hmmu__live_space, memory_order_acquire) ||
	    hmmu__process_is_ours())
		return 0;
	if (why)
		*why = "this is a child that was made without fork(3), and its "
		       "parent has a space";
	return -ECHILD;
}

int hmmu_space_open(const struct hmmu_space_options *options, const char **why,
		    struct hmmu_space **ret_space)
{
	struct hmmu_space_options o;
	struct hmmu_space *s = NULL;
	const char *reason = NULL;
	struct hmmu_thread *self;
	int err;

	if (why)
		*why = NULL;
	if (!ret_space)
		return -EINVAL;
	err = options_read(options, &o);
	if (!err)
		err = process_check(why);
	if (!err)
		err = release_at_exit();
	if (err)
		return err;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	hmmu__mutex_lock(&open_lock);
	err = open_locked(&o, &reason, &s);
	hmmu__mutex_unlock(&open_lock);
	hmmu__leave(self);
	if (err) {
		if (why)
			*why = reason;
		return err;
	}
	*ret_space = s;
	return 0;
}

/* seq_cst against space_end(): it sees the borrower, or he sees no space. */
struct hmmu_space *hmmu__space_borrow(void)
{
	struct hmmu_space *s;

	atomic_fetch_add_explicit(&borrowers, 1, memory_order_seq_cst);
	s = atomic_load_explicit(&hmmu__live_space, memory_order_seq_cst);
	if (!s)
		hmmu__space_return();
	return s;
}

/* Release: what was done to the space is done before it is freed. */
void hmmu__space_return(void)
{
	atomic_fetch_sub_explicit(&borrowers, 1, memory_order_release);
}

static void space_end(struct hmmu_space *s)
{
	unsigned int round = 0;

	atomic_store_explicit(&hmmu__lends, false, memory_order_relaxed);
	/* seq_cst: against hmmu__space_borrow(). */
	atomic_store_explicit(&hmmu__live_space, NULL, memory_order_seq_cst);
	while (atomic_load_explicit(&borrowers, memory_order_seq_cst))
		hmmu__backoff(&round);
	hmmu__live_destroy(s->mm);
	hmmu__blocks_fini(s);
	space_free(s);
}

static int close_locked(struct hmmu_space *s) HMMU_REQUIRES(&open_lock)
{
	int err;

	if (s->opens > 1) {
		s->opens--;
		return 0;
	}
	if (atomic_load_explicit(&s->users, memory_order_acquire))
		return -EBUSY;
	err = hmmu__core_all_home(s);
	if (err)
		return err;
	space_end(s);
	return 0;
}

int hmmu_space_close(struct hmmu_space *space)
{
	struct hmmu_thread *self;
	int err;

	if (!space)
		return 0;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	hmmu__mutex_lock(&open_lock);
	err = close_locked(space);
	hmmu__mutex_unlock(&open_lock);
	hmmu__leave(self);
	return err;
}

/*
 * In the child: the space is the parent's. Its memory stays as it is - who
 * holds a pointer gets -ECHILD - and a new one may be opened.
 */
void hmmu__space_forked(struct hmmu_space *space)
{
	atomic_store_explicit(&space->forked, true, memory_order_release);
	/* Relaxed, both: the child has one thread, which borrows nothing. */
	atomic_store_explicit(&hmmu__lends, false, memory_order_relaxed);
	atomic_store_explicit(&borrowers, 0, memory_order_relaxed);
	atomic_store_explicit(&hmmu__live_space, NULL, memory_order_release);
	hmmu__mutex_init(&open_lock, HMMU_RANK_SPACE, "open");
}

static uint64_t get(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t mirror_bytes(struct hmmu_space *space)
{
	struct hmmu_device *d;
	uint64_t sum = 0;

	hmmu__mutex_lock(&space->lock);
	for (d = space->devices; d; d = d->next) {
		struct hmmu_mirror_stats m = { .size = sizeof(m) };

		if (!hmmu_mirror_get_stats(d->mirror, &m))
			sum += (m.tables + m.dead_tables) * HMMU_PAGE_BYTES;
	}
	hmmu__mutex_unlock(&space->lock);
	return sum;
}

static void stats_fill(struct hmmu_space *space, struct hmmu_space_stats *s)
{
	const struct hmmu_counters *c = &space->counters;

	s->device_faults = get(&c->device_faults);
	s->device_fault_retries = get(&c->device_fault_retries);
	s->cpu_faults = get(&c->cpu_faults);
	s->hole_faults = get(&c->hole_faults);
	s->pages_to_device = get(&c->pages_to_device);
	s->large_to_device = get(&c->large_to_device);
	s->pages_home = get(&c->pages_home);
	s->large_home = get(&c->large_home);
	s->pages_copied = get(&c->pages_copied);
	s->pages_dropped = get(&c->pages_dropped);
	s->invalidations = get(&c->invalidations);
	s->events_unmap = get(&c->events_unmap);
	s->events_remove = get(&c->events_remove);
	s->events_remap = get(&c->events_remap);
	s->events_late = get(&c->events_late);
	s->sections_broken = get(&space->ports.broken_count);
	s->sections_overdue = get(&space->ports.overdue_count);
	s->thp_lost = get(&c->thp_lost);
	s->device_pages = get(&c->device_pages);
	s->mirror_bytes = mirror_bytes(space);
}

int hmmu_space_get_stats(struct hmmu_space *space,
			 struct hmmu_space_stats *stats)
{
	struct hmmu_space_stats s = { 0 };
	struct hmmu_thread *self;
	int err;

	if (!space || !stats || stats->size <= sizeof(stats->size))
		return -EINVAL;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	stats_fill(space, &s);
	hmmu__leave(self);
	hmmu__copy_out(stats, stats->size, &s, sizeof(s));
	return 0;
}

void *hmmu_alloc(size_t bytes)
{
	return bytes ? hmmu__alloc_inside(bytes) : NULL;
}

void hmmu_free(void *memory, size_t bytes)
{
	hmmu__free_inside(memory, bytes);
}
