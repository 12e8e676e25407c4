/* SPDX-License-Identifier: MIT */
/* The thread layer: windows, takes, signals, records. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/lock.h"
#include "base/sched.h"
#include "base/sys.h"
#include "base/thread.h"

#define SHORT_NS 20000000u

/* As a migration does it: lets go, waits, and tries again. */
static void take_begin_surely(void)
{
	while (!hmmu__take_begin())
		hmmu__take_wait();
}

/* What hmmu__windows_visit() reports for the byte at @addr. */
struct seen {
	uintptr_t addr;
	unsigned int windows;
};

static void see(void *arg, uintptr_t lo, uintptr_t hi)
{
	struct seen *seen = arg;

	assert_true(lo < hi);
	seen->windows += seen->addr >= lo && seen->addr < hi;
}

/* As a taker asks, from a thread that is inside itself. */
static unsigned int windows_at(const void *addr)
{
	struct seen seen = { .addr = (uintptr_t)addr };
	struct hmmu_thread *self = hmmu__enter();

	assert_non_null(self);
	take_begin_surely();
	hmmu__windows_visit(seen.addr, seen.addr + 1, see, &seen);
	hmmu__take_end();
	hmmu__leave(self);
	return seen.windows;
}

/* A thread that goes inside, says where its stack and TLS are, and waits. */
struct visitor {
	_Atomic int step;
	const void *stack;
	const void *tls;
	int tid;
};

static void step_wait(_Atomic int *step, int value)
{
	while (atomic_load_explicit(step, memory_order_acquire) < value)
		hmmu__sched_sleep(100000);
}

static void step_set(_Atomic int *step, int value)
{
	atomic_store_explicit(step, value, memory_order_release);
}

static void *visit(void *arg)
{
	/* So that the place looked at is no neighbour of the thread's TLS. */
	volatile char deep[16 << 10];
	struct visitor *v = arg;
	struct hmmu_thread *self = hmmu__enter();

	deep[0] = 1;
	v->stack = (const void *)deep;
	v->tls = &errno;
	v->tid = self->tid;
	step_set(&v->step, 1);
	step_wait(&v->step, 2);
	hmmu__leave(self);
	step_set(&v->step, 3);
	step_wait(&v->step, 4);
	return NULL;
}

static void test_thread_window_is_seen_while_inside(void **state)
{
	struct visitor v = { 0 };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
	step_wait(&v.step, 1);
	assert_int_equal(windows_at(v.stack), 1);
	assert_int_equal(windows_at(v.tls), 1);
	assert_int_not_equal(v.tid, hmmu__thread_id());
	step_set(&v.step, 2);
	step_wait(&v.step, 3);
	assert_int_equal(windows_at(v.stack), 0);
	assert_int_equal(windows_at(v.tls), 0);
	step_set(&v.step, 4);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_thread_enter_nests(void **state)
{
	struct hmmu_thread *outer, *inner;

	(void)state;
	assert_false(hmmu__is_inside());
	outer = hmmu__enter();
	inner = hmmu__enter();
	assert_ptr_equal(outer, inner);
	hmmu__leave(inner);
	assert_true(hmmu__is_inside());
	hmmu__leave(outer);
	assert_false(hmmu__is_inside());
}

static void test_thread_errno_is_untouched(void **state)
{
	struct hmmu_thread *self;

	(void)state;
	errno = 4711;
	self = hmmu__enter();
	hmmu__leave(self);
	assert_int_equal(errno, 4711);
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int signal)
{
	(void)signal;
	signals_seen++;
}

static void test_thread_signals_wait_until_leave(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal }, old;
	struct hmmu_thread *self;
	sigset_t now;

	(void)state;
	signals_seen = 0;
	assert_int_equal(sigaction(SIGUSR1, &sa, &old), 0);
	self = hmmu__enter();
	/* Not raise(): ThreadSanitizer delivers what that sends by itself. */
	(void)hmmu__syscall(SYS_tgkill, getpid(), hmmu__sched_gettid(), SIGUSR1,
			    0, 0, 0);
	assert_int_equal(signals_seen, 0);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
	assert_false(sigismember(&now, SIGSEGV));
	assert_false(sigismember(&now, SIGBUS));
	hmmu__leave(self);
	(void)sigpending(&now);
	assert_int_equal(signals_seen, 1);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

static void test_thread_mask_comes_back_as_it_was(void **state)
{
	sigset_t set, now, old;
	struct hmmu_thread *self;

	(void)state;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigaddset(&set, SIGSEGV);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &set, &old), 0);
	self = hmmu__enter();
	(void)pthread_sigmask(SIG_BLOCK, NULL, &now);
	/* What the program had blocked stays blocked. */
	assert_true(sigismember(&now, SIGSEGV));
	hmmu__leave(self);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, &old, &now), 0);
	assert_true(sigismember(&now, SIGUSR2));
	assert_false(sigismember(&now, SIGUSR1));
}

static void *enter_and_tell(void *arg)
{
	_Atomic int *step = arg;
	struct hmmu_thread *self;

	step_set(step, 1);
	self = hmmu__enter();
	step_set(step, 2);
	hmmu__leave(self);
	return NULL;
}

static void test_thread_enter_waits_for_a_take(void **state)
{
	struct hmmu_thread *self = hmmu__enter();
	_Atomic int step = 0;
	pthread_t thread;

	(void)state;
	take_begin_surely();
	assert_int_equal(pthread_create(&thread, NULL, enter_and_tell,
					(void *)(uintptr_t)&step),
			 0);
	step_wait(&step, 1);
	hmmu__sched_sleep(SHORT_NS);
	assert_int_equal(atomic_load_explicit(&step, memory_order_acquire), 1);
	hmmu__take_end();
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(atomic_load_explicit(&step, memory_order_acquire), 2);
	hmmu__leave(self);
}

/* Two of them overlap, so that there is hardly a moment without a take. */
static void *take_always(void *arg)
{
	_Atomic int *stop = arg;
	struct hmmu_thread *self = hmmu__enter();

	while (!atomic_load_explicit(stop, memory_order_relaxed)) {
		take_begin_surely();
		hmmu__sched_sleep(200000);
		hmmu__take_end();
	}
	hmmu__leave(self);
	return NULL;
}

static void test_thread_constant_takes_do_not_starve_enter(void **state)
{
	uint64_t start_ns, longest_ns = 0, ns;
	_Atomic int stop = 0;
	pthread_t thread[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_always,
						(void *)(uintptr_t)&stop),
				 0);
	for (int i = 0; i < 100; i++) {
		start_ns = hmmu__sched_now_ns();
		hmmu__leave(hmmu__enter());
		ns = hmmu__sched_now_ns() - start_ns;
		longest_ns = ns > longest_ns ? ns : longest_ns;
	}
	step_set(&stop, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_true(longest_ns < 1000000000u);
}

static void *enter_once(void *arg)
{
	hmmu__leave(hmmu__enter());
	return arg;
}

static void run_thread(void *(*fn)(void *), void *arg,
		       const pthread_attr_t *attr)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, attr, fn, arg), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_thread_record_goes_with_its_thread(void **state)
{
	struct hmmu_arena_stats before, after;

	(void)state;
	run_thread(enter_once, NULL, NULL);
	hmmu__arena_stats(&before);
	for (int i = 0; i < 100; i++)
		run_thread(enter_once, NULL, NULL);
	hmmu__arena_stats(&after);
	assert_int_equal(after.used_bytes, before.used_bytes);
}

static void *enter_on_arena(void *arg)
{
	struct hmmu_thread *self = hmmu__enter();
	unsigned int *windows = arg;

	assert_true(hmmu__is_inside());
	*windows = windows_at(__builtin_frame_address(0));
	hmmu__leave(self);
	return NULL;
}

static void test_thread_on_an_arena_stack_needs_no_window(void **state)
{
	const size_t bytes = 1ul << 20;
	void *stack = hmmu__arena_reserve(bytes, HMMU_PAGE_BYTES);
	unsigned int windows = 1;
	pthread_attr_t attr;

	(void)state;
	assert_non_null(stack);
	assert_int_equal(pthread_attr_init(&attr), 0);
	assert_int_equal(pthread_attr_setstack(&attr, stack, bytes), 0);
	run_thread(enter_on_arena, &windows, &attr);
	(void)pthread_attr_destroy(&attr);
	assert_int_equal(windows, 0);
	hmmu__arena_release(stack, bytes);
}

/* Runs @fn in a child; returns its wait status. */
static int in_child(int (*fn)(void))
{
	pid_t pid;
	int status;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int child_after_fork(void)
{
	struct hmmu_thread *self;
	int parent_tid = hmmu__thread_id();

	hmmu__threads_fork_after_child();
	if (hmmu__thread_id() == parent_tid || hmmu__is_inside())
		return 1;
	self = hmmu__enter();
	if (!self || self->tid != getpid() || self->next || self->prev)
		return 2;
	hmmu__leave(self);
	return 0;
}

static void test_thread_fork_keeps_the_own_record_only(void **state)
{
	struct visitor v = { 0 };
	pthread_t thread;
	int status;

	(void)state;
	hmmu__leave(hmmu__enter());
	assert_int_equal(pthread_create(&thread, NULL, visit, &v), 0);
	step_wait(&v.step, 1);
	hmmu__threads_fork_before();
	status = in_child(child_after_fork);
	hmmu__threads_fork_after_parent();
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	step_set(&v.step, 2);
	step_wait(&v.step, 3);
	step_set(&v.step, 4);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The mapping of the main thread's stack and TLS, as the kernel lists it. */
static int bounds_from_maps(uintptr_t addr, uintptr_t *lo, uintptr_t *hi)
{
	static char text[1 << 16];
	ssize_t n, have = 0;
	int fd = hmmu__sys_open("/proc/self/maps", O_RDONLY, 0);
	char *line;

	while ((n = hmmu__sys_read(fd, text + have,
				   sizeof(text) - 1 - (size_t)have)) > 0)
		have += n;
	(void)hmmu__sys_close(fd);
	text[have] = '\0';
	for (line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		*lo = strtoul(line, &line, 16);
		if (*line != '-')
			break;
		*hi = strtoul(line + 1, &line, 16);
		if (addr >= *lo && addr < *hi)
			return 0;
	}
	return -ENOENT;
}

static void collect(void *arg, uintptr_t lo, uintptr_t hi)
{
	uintptr_t *sum = arg;

	*sum += hi - lo;
}

/* With bounds the whole window is published, and a lock outside is a bug. */
static int child_with_bounds(void)
{
	uintptr_t sp = (uintptr_t)__builtin_frame_address(0), bytes = 0;
	struct hmmu_mutex m = HMMU_MUTEX_INITIALIZER(HMMU_RANK_LEAF, "m");
	struct hmmu_thread *self;

	atomic_store_explicit(&hmmu__thread_bounds, bounds_from_maps,
			      memory_order_release);
	self = hmmu__enter();
	take_begin_surely();
	hmmu__windows_visit(sp - HMMU_STACK_WINDOW_BYTES + HMMU_PAGE_BYTES, sp,
			    collect, &bytes);
	hmmu__take_end();
	hmmu__mutex_lock(&m);
	hmmu__mutex_unlock(&m);
	hmmu__leave(self);
	if (bytes < HMMU_STACK_WINDOW_BYTES)
		return 1;
	hmmu__mutex_lock(&m);
	hmmu__mutex_unlock(&m);
	return 0;
}

static void test_thread_bounds_give_the_whole_window(void **state)
{
	int status;

	(void)state;
	status = in_child(child_with_bounds);
	if (HMMU_DEBUG) {
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGABRT);
	} else {
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

/* Deep in the main stack, below what has been mapped of it so far. */
static int child_deep_stack(void)
{
	volatile char deep[1 << 20];
	uintptr_t sp, lo = 0, hi = 0;

	deep[0] = 1;
	atomic_store_explicit(&hmmu__thread_bounds, bounds_from_maps,
			      memory_order_release);
	hmmu__leave(hmmu__enter());
	sp = (uintptr_t)deep;
	(void)bounds_from_maps((uintptr_t)__builtin_frame_address(0), &lo, &hi);
	return lo <= sp - HMMU_STACK_WINDOW_BYTES + HMMU_PAGE_BYTES ? 0 : 1;
}

static void test_thread_main_stack_grows_to_the_window(void **state)
{
	int status;

	(void)state;
	status = in_child(child_deep_stack);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thread_window_is_seen_while_inside),
		cmocka_unit_test(test_thread_enter_nests),
		cmocka_unit_test(test_thread_errno_is_untouched),
		cmocka_unit_test(test_thread_signals_wait_until_leave),
		cmocka_unit_test(test_thread_mask_comes_back_as_it_was),
		cmocka_unit_test(test_thread_enter_waits_for_a_take),
		cmocka_unit_test(
			test_thread_constant_takes_do_not_starve_enter),
		cmocka_unit_test(test_thread_record_goes_with_its_thread),
		cmocka_unit_test(test_thread_on_an_arena_stack_needs_no_window),
		cmocka_unit_test(test_thread_fork_keeps_the_own_record_only),
		cmocka_unit_test(test_thread_bounds_give_the_whole_window),
		cmocka_unit_test(test_thread_main_stack_grows_to_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
