/* SPDX-License-Identifier: MIT */
/*
 * The worker threads of the software accelerator
 *
 * Overview: a worker's stack, which also holds its TLS and the C library's
 * thread record, is in HMMU's memory and cannot migrate. Otherwise a worker
 * could fault on its own stack inside a section, while the migration back waits
 * for that section to end.
 *
 * Locking: none. Only the thread that starts and stops the workers writes the
 * list of workers.
 *
 * Not supported: the program's signals. Workers block them; see
 * block_signals().
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

#include <hmmu/space.h>

#include "base/lock.h"
#include "base/sys.h"
#include "soft/job.h"
#include "soft/queue.h"
#include "soft/state.h"
#include "soft/wait.h"
#include "soft/worker.h"

#define STACK_WHOLE_BYTES (HMMU_SOFT_STACK_BYTES + HMMU_PAGE_BYTES)

static void set_state(struct hmmu_soft_worker *worker,
		      enum hmmu_soft_worker_state state)
{
	/* Release pairs with the acquire in has_started(). */
	atomic_store_explicit(&worker->state, state, memory_order_release);
	hmmu__soft_progress(worker->soft);
}

static bool has_started(void *arg)
{
	struct hmmu_soft_worker *worker = arg;

	return atomic_load_explicit(&worker->state, memory_order_acquire) !=
	       HMMU_SOFT_WORKER_STARTING;
}

/*
 * The loop reads the bell and @stopping before it looks for work. Work that
 * arrives after the look moves the bell, and no work arrives after @stopping is
 * set.
 */
static void serve_until_stopped(struct hmmu_soft_worker *worker)
{
	struct hmmu_soft *soft = worker->soft;
	uint32_t bell;
	bool stopping;

	for (;;) {
		/* Acquire pairs with hmmu__soft_ring_bell(). */
		bell = atomic_load_explicit(&soft->bell, memory_order_acquire);
		stopping = hmmu__soft_is_stopping(soft);
		if (hmmu__soft_serve_call(worker) ||
		    hmmu__soft_serve_queues(worker))
			continue;
		if (stopping)
			return;
		hmmu__soft_sleep(soft, bell);
	}
}

/* A port belongs to the thread that opens it, so the worker opens its own. */
static void *run_worker(void *arg)
{
	struct hmmu_soft_worker *worker = arg;

	hmmu__soft_enter_worker(worker->soft);
	(void)hmmu__syscall(SYS_prctl, PR_SET_NAME, (long)"hmmu-soft", 0, 0, 0,
			    0);
	worker->error = hmmu_port_open(worker->soft->device, &worker->port);
	if (worker->error) {
		set_state(worker, HMMU_SOFT_WORKER_FAILED);
		return NULL;
	}
	set_state(worker, HMMU_SOFT_WORKER_RUNNING);
	serve_until_stopped(worker);
	hmmu_port_close(worker->port);
	return NULL;
}

/*
 * A worker may be in a section and has no stack for the program's signal
 * handlers, so it blocks signals. Signals that an instruction raises stay
 * unblocked: HMMU turns a SIGSEGV or SIGBUS of a port into an error, and a
 * mistake of a kernel has the same effect as in any other thread.
 */
static void block_signals(sigset_t *old)
{
	static const int raised[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL,
				      SIGTRAP };
	sigset_t set;
	size_t i;

	(void)sigfillset(&set);
	for (i = 0; i < HMMU_ARRAY_SIZE(raised); i++)
		(void)sigdelset(&set, raised[i]);
	(void)pthread_sigmask(SIG_SETMASK, &set, old);
}

static int create_thread(struct hmmu_soft_worker *worker)
{
	pthread_attr_t attr;
	sigset_t old;
	int err;

	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setstack(&attr,
				    (char *)worker->stack + HMMU_PAGE_BYTES,
				    HMMU_SOFT_STACK_BYTES);
	if (!err) {
		block_signals(&old);
		err = pthread_create(&worker->thread, &attr, run_worker,
				     worker);
		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	(void)pthread_attr_destroy(&attr);
	/* EINVAL: the program's TLS does not fit on the stack. */
	return err == EINVAL ? -ENOMEM : -err;
}

/* The lowest page is a guard against a kernel that overflows the stack. */
static int alloc_stack(struct hmmu_soft_worker *worker)
{
	void *stack = hmmu_alloc(STACK_WHOLE_BYTES);

	if (!stack)
		return -ENOMEM;
	if (hmmu__sys_mprotect((uintptr_t)stack, HMMU_PAGE_BYTES, PROT_NONE)) {
		hmmu_free(stack, STACK_WHOLE_BYTES);
		return -ENOMEM;
	}
	worker->stack = stack;
	return 0;
}

/* If the guard page cannot be made accessible again, leak the stack. */
static void free_stack(struct hmmu_soft_worker *worker)
{
	if (!worker->stack)
		return;
	if (!hmmu__sys_mprotect((uintptr_t)worker->stack, HMMU_PAGE_BYTES,
				PROT_READ | PROT_WRITE))
		hmmu_free(worker->stack, STACK_WHOLE_BYTES);
	worker->stack = NULL;
}

static int alloc_worker_memory(struct hmmu_soft_worker *worker)
{
	size_t i;
	int err;

	err = alloc_stack(worker);
	if (err)
		return err;
	for (i = 0; i < HMMU_ARRAY_SIZE(worker->stage); i++) {
		worker->stage[i] = hmmu_alloc(HMMU_SOFT_STEP_BYTES);
		if (!worker->stage[i])
			return -ENOMEM;
	}
	return 0;
}

static void free_worker_memory(struct hmmu_soft_worker *worker)
{
	size_t i;

	for (i = 0; i < HMMU_ARRAY_SIZE(worker->stage); i++) {
		hmmu_free(worker->stage[i], HMMU_SOFT_STEP_BYTES);
		worker->stage[i] = NULL;
	}
	free_stack(worker);
}

static int start_worker(struct hmmu_soft_worker *worker)
{
	int err;

	err = alloc_worker_memory(worker);
	if (!err)
		err = create_thread(worker);
	if (err)
		goto fail;
	/* The wait ends: the thread opens its port and sets its state. */
	hmmu__soft_wait_in_worker(worker->soft, has_started, worker);
	err = worker->error;
	if (!err)
		return 0;
	(void)pthread_join(worker->thread, NULL);
fail:
	free_worker_memory(worker);
	return err;
}

int hmmu__soft_start(struct hmmu_soft *soft)
{
	struct hmmu_soft_worker *worker;
	int err;

	while (soft->started_count < soft->worker_count) {
		worker = &soft->workers[soft->started_count];
		worker->soft = soft;
		err = start_worker(worker);
		if (err)
			return err;
		soft->started_count++;
	}
	return 0;
}

void hmmu__soft_stop(struct hmmu_soft *soft)
{
	struct hmmu_soft_worker *worker;

	/* Pairs with hmmu__soft_is_stopping(). */
	atomic_store_explicit(&soft->stopping, 1, memory_order_release);
	hmmu__soft_ring_bell(soft, HMMU_SOFT_WORKERS_MAX);
	while (soft->started_count) {
		worker = &soft->workers[--soft->started_count];
		(void)pthread_join(worker->thread, NULL);
		free_worker_memory(worker);
	}
}
