/* SPDX-License-Identifier: MIT */
/*
 * Open and close the space, and the end of the process
 *
 * A process has one space. Each open is paired with a close, and the last close
 * ends the space.
 *
 * Locking: open_lock, the outermost of all locks.
 *
 * Not supported: a second space in one process. There is only one hook for each
 * C library call and one handler for each signal.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <hmmu/space.h>

#include "api/signals.h"
#include "base/arena.h"
#include "base/process.h"
#include "base/sized.h"
#include "core/space.h"
#include "live/open.h"

static struct hmmu_mutex open_lock =
	HMMU_MUTEX_INITIALIZER(HMMU_RANK_SPACE, "open");
/* The space of this process, and the number of opens without a close. */
static struct hmmu_space *open_space HMMU_GUARDED_BY(&open_lock);
static unsigned int opens HMMU_GUARDED_BY(&open_lock);

/* --- open ----------------------------------------------------------------------- */

/* What to do about @err, if no lower function has set a reason. */
static const char *why_not_open(int err)
{
	switch (err) {
	case -EINVAL:
		return "an argument is invalid: ret_space must not be NULL, "
		       "and options->size must be the size of the struct";
	case -E2BIG:
		return "options has a field that this libhmmu does not know: "
		       "set it to 0, or install the version that has it";
	case -ECHILD:
		return "the parent has a space and this child was not made by "
		       "fork(3): use fork(3), or call execve(2) first";
	case -ENOMEM:
		return "no memory or address space is left: raise RLIMIT_AS, "
		       "RLIMIT_MEMLOCK (after mlockall(2) with MCL_FUTURE) or "
		       "the memory limit of the control group";
	case -EAGAIN:
		return "no more threads are allowed: raise RLIMIT_NPROC or the "
		       "pids limit of the control group";
	case -EMFILE:
		return "the process has no file descriptor left: close some, "
		       "or raise RLIMIT_NOFILE";
	case -ENFILE:
		return "the system has no file descriptor left: raise the "
		       "sysctl fs.file-max";
	case -ENOENT:
	case -EACCES:
	case -EPERM:
		return "maps, pagemap or fdinfo in /proc/self cannot be "
		       "opened: mount /proc, and keep the process dumpable "
		       "(prctl(2), PR_SET_DUMPABLE)";
	default:
		return "a facility is missing: run `hmmu info`, which lists "
		       "facilities and how to get them";
	}
}

static int space_make(const struct hmmu_space_options *o, const char **why,
		      struct hmmu_space **ret)
{
	struct hmmu_space *s;
	struct hmmu_mm *mm;
	int err;

	err = hmmu__signals_install();
	if (err)
		*why = "no handler for SIGSEGV and SIGBUS can be installed: "
		       "allow rt_sigaction(2) in the seccomp filter";
	if (!err)
		err = hmmu__process_mark();
	if (!err)
		err = hmmu__live_create(o, why, &mm);
	if (err)
		return err;
	s = hmmu__space_create(mm);
	if (!s) {
		mm->ops->destroy(mm);
		return -ENOMEM;
	}
	err = hmmu__live_start(mm);
	if (err) {
		hmmu__space_destroy(s);
		return err;
	}
	*ret = s;
	return 0;
}

static int open_locked(const struct hmmu_space_options *o, const char **why,
		       struct hmmu_space **ret) HMMU_REQUIRES(&open_lock)
{
	int err = open_space ? 0 : space_make(o, why, &open_space);

	if (err)
		return err;
	opens++;
	*ret = open_space;
	return 0;
}

/* --- the end of the process ----------------------------------------------------- */

/*
 * IN24. Ports are not waited for: they end with the process, and one may be in
 * a section forever.
 */
static void release_locked(void) HMMU_REQUIRES(&open_lock)
{
	struct hmmu_space *s = open_space;
	struct hmmu_invalidate_call call = {
		.inv = { .start = 0,
			 .end = HMMU_MM_END,
			 .event = HMMU_EVENT_RELEASE },
	};

	if (!s)
		return;
	hmmu__notifiers_begin(&s->notifiers, &call);
	/*
	 * A subscription that is removed later, while the process ends, must
	 * not wait for an invalidation.
	 */
	hmmu__notifiers_end(&s->notifiers, &call);
}

/*
 * A thread that ends the process from a callback may hold what the notification
 * would wait for. It is inside, or it is a thread of HMMU.
 */
static bool is_in_callback(void)
{
	return hmmu__is_inside() ||
	       hmmu__arena_contains((uintptr_t)__builtin_frame_address(0));
}

/* Called by exit(3), while other threads run. */
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

/*
 * Another thread of the parent may have held the lock. The space is the
 * parent's.
 */
static void forget_in_child(void)
{
	hmmu__mutex_init(&open_lock, HMMU_RANK_SPACE, "open");
	open_space = NULL;
	opens = 0;
}

static int forget_err;

static void forget_install(void)
{
	forget_err = pthread_atfork(NULL, NULL, forget_in_child) ? -ENOMEM : 0;
}

/*
 * Also by a constructor: handlers run in the order in which they were
 * registered, and a handler of the program may open a space in the child.
 */
static __attribute__((constructor)) int forget_in_children(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, forget_install);
	return forget_err;
}

static void release_install(void)
{
	release_err = atexit(release) ? -ENOMEM : 0;
}

/*
 * atexit(3), not a destructor of the library: objects that the program has made
 * before it opened the space still exist when subscribers are notified.
 */
static int release_at_exit(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, release_install);
	return release_err ? release_err : forget_in_children();
}

static int read_space_options(const struct hmmu_space_options *in,
			      struct hmmu_space_options *o)
{
	*o = (struct hmmu_space_options){ .size = sizeof(*o) };
	if (!in)
		return 0;
	return hmmu__copy_sized(o, sizeof(*o), sizeof(o->size), in);
}

/* Before any lock: another thread of the parent may have held it. */
static int process_check(void)
{
	return hmmu__live_mm() && !hmmu__process_is_ours() ? -ECHILD : 0;
}

static int open_outside(const struct hmmu_space_options *options,
			const char **why, struct hmmu_space **ret_space)
{
	struct hmmu_space_options o;
	struct hmmu_thread *self;
	int err = read_space_options(options, &o);

	if (!err)
		err = process_check();
	if (!err)
		err = release_at_exit();
	if (err)
		return err;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	hmmu__mutex_lock(&open_lock);
	err = open_locked(&o, why, ret_space);
	hmmu__mutex_unlock(&open_lock);
	hmmu__leave(self);
	return err;
}

/* The caller's memory is accessed without the lock. */
int hmmu_space_open(const struct hmmu_space_options *options, const char **why,
		    struct hmmu_space **ret_space)
{
	struct hmmu_space *space;
	const char *reason = NULL;
	int err = -EINVAL;

	if (ret_space)
		err = open_outside(options, &reason, &space);
	if (err && !reason)
		reason = why_not_open(err);
	if (why)
		*why = reason;
	if (!err)
		*ret_space = space;
	return err;
}

/* --- close ---------------------------------------------------------------------- */

static int close_locked(struct hmmu_space *s) HMMU_REQUIRES(&open_lock)
{
	int err;

	if (opens > 1) {
		opens--;
		return 0;
	}
	if (atomic_load_explicit(&s->users, memory_order_acquire))
		return -EBUSY;
	err = hmmu__core_all_home(s);
	if (err)
		return err;
	hmmu__live_stop_hooks();
	open_space = NULL;
	opens = 0;
	hmmu__space_destroy(s);
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

/* --- memory that devices do not use ---------------------------------------------- */

void *hmmu_alloc(size_t bytes)
{
	return bytes ? hmmu__alloc_inside(bytes) : NULL;
}

void hmmu_free(void *memory, size_t bytes)
{
	hmmu__free_inside(memory, bytes);
}
