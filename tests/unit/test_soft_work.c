/* SPDX-License-Identifier: MIT */
/*
 * Queues, kernels and the life of the software accelerator, on the address
 * space that is an array.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/core_fixture.h"

#define WAIT_NS (20ull * 1000 * 1000 * 1000)
#define WORKERS 3u
/* Where the accelerator sees the test's memory. */
#define VA	BASE
#define T(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

static struct hmmu_soft *soft;

static int make(uint32_t workers, struct hmmu_soft **ret)
{
	const struct hmmu_soft_options options = { .size = sizeof(options),
						   .workers = workers,
						   .records = 1024 };

	return hmmu_soft_create(core.space, &options, ret);
}

static uint32_t open_ports(void)
{
	return atomic_load(&core.space->ports.ports);
}

static int setup(void **state)
{
	int err = core_setup(state);

	array_map(core.m, VA, 64 * PAGE, ARRAY_ANON_RW);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(array_store(core.m, VA + i * PAGE, 0), 0);
	assert_int_equal(make(WORKERS, &soft), 0);
	return err;
}

static int teardown(void **state)
{
	assert_int_equal(hmmu_soft_destroy(soft), 0);
	assert_int_equal(open_ports(), 0);
	return core_teardown(state);
}

/* The number that the accelerator has at @va. */
static uint64_t number_at(uintptr_t va)
{
	return *(volatile uint64_t *)array_host(core.m, va);
}

static struct hmmu_soft_queue *make_queue(uint32_t kind, uint32_t depth)
{
	const struct hmmu_soft_queue_options options = {
		.size = sizeof(options), .kind = kind, .depth = depth
	};
	struct hmmu_soft_queue *queue = NULL;

	assert_int_equal(hmmu_soft_queue_create(soft, &options, &queue), 0);
	return queue;
}

/* A kernel that holds its worker until the test lets it go. */
struct gate {
	_Atomic uint32_t waiting;
	_Atomic uint32_t open;
};

static int wait_at_gate(struct hmmu_port *port, void *arg, unsigned int worker,
			unsigned int workers)
{
	struct gate *gate = arg;

	(void)port;
	(void)worker;
	(void)workers;
	atomic_fetch_add(&gate->waiting, 1);
	while (!atomic_load(&gate->open))
		sched_yield();
	return 0;
}

static struct hmmu_soft_job *close_gate(struct gate *gate, uint32_t workers)
{
	struct hmmu_soft_job *job = NULL;

	atomic_store(&gate->waiting, 0);
	atomic_store(&gate->open, 0);
	assert_int_equal(
		hmmu_soft_launch(soft, wait_at_gate, gate, workers, &job), 0);
	while (atomic_load(&gate->waiting) < (workers ? workers : WORKERS))
		sched_yield();
	return job;
}

static void open_gate(struct gate *gate, struct hmmu_soft_job *job)
{
	atomic_store(&gate->open, 1);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, NULL), 0);
}

static void test_queue_refuses_when_full_and_loses_nothing(void **state)
{
	struct hmmu_soft_queue *queue = make_queue(HMMU_SOFT_SHARED, 4);
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FETCH_ADD,
					  .flags = HMMU_SOFT_BLOCK_ON_FAULT,
					  .bytes = 8,
					  .operand = { 1 } };
	struct hmmu_soft_stats s = { .size = sizeof(s) };
	struct hmmu_soft_job *job;
	struct gate gate;
	int i;

	(void)state;
	d.dst = VA;
	job = close_gate(&gate, 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(hmmu_soft_submit(queue, &d), -EAGAIN);
	assert_int_equal(hmmu_soft_queue_drain(queue, 1000000), -ETIMEDOUT);
	assert_int_equal(hmmu_soft_drain(soft, 0), -ETIMEDOUT);
	open_gate(&gate, job);
	assert_int_equal(hmmu_soft_queue_drain(queue, WAIT_NS), 0);
	assert_int_equal(number_at(VA), 4);
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(hmmu_soft_queue_destroy(queue), 0);
	assert_int_equal(number_at(VA), 5);
	assert_int_equal(hmmu_soft_get_stats(soft, &s), 0);
	assert_int_equal(s.refused, 1);
	assert_int_equal(s.descriptors, 5);
}

struct submitter {
	struct hmmu_soft_queue *queue;
	uint32_t count;
	int error;
};

static void *submit_many(void *arg)
{
	struct submitter *s = arg;
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FETCH_ADD,
					  .flags = HMMU_SOFT_BLOCK_ON_FAULT,
					  .bytes = 8,
					  .operand = { 1 } };
	uint32_t i = 0;
	int err = 0;

	d.dst = VA;
	while (i < s->count) {
		err = hmmu_soft_submit(s->queue, &d);
		if (!err)
			i++;
		else if (err == -EAGAIN)
			sched_yield();
		else
			break;
	}
	s->error = i < s->count ? err : 0;
	return NULL;
}

static int submit_in_thread(struct hmmu_soft_queue *queue)
{
	struct submitter s = { .queue = queue, .count = 1 };
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, submit_many, &s), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return s.error;
}

static void test_queue_shared_takes_from_all_threads(void **state)
{
	struct submitter s[4];
	pthread_t thread[4];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		s[i] = (struct submitter){ .count = 5000 };
		s[i].queue = i < 2 ? make_queue(HMMU_SOFT_SHARED, 8) :
				     s[i - 2].queue;
	}
	for (i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, submit_many,
						&s[i]),
				 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(s[i].error, 0);
	}
	assert_int_equal(hmmu_soft_drain(soft, WAIT_NS), 0);
	assert_int_equal(number_at(VA), 20000);
}

static void test_queue_dedicated_belongs_to_one_thread(void **state)
{
	struct hmmu_soft_queue *queue = make_queue(HMMU_SOFT_DEDICATED, 2);
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_NOOP };

	(void)state;
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(submit_in_thread(queue), -EPERM);
	assert_int_equal(hmmu_soft_queue_drain(queue, WAIT_NS), 0);
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
}

static void test_queue_refuses_records_it_could_not_write(void **state)
{
	struct hmmu_soft_queue *queue = make_queue(HMMU_SOFT_SHARED, 2);
	struct hmmu_soft_descriptor d = { .flags = HMMU_SOFT_RECORD };

	(void)state;
	assert_int_equal(hmmu_soft_submit(queue, &d), -EINVAL);
	d.record = VA + 16;
	assert_int_equal(hmmu_soft_submit(queue, &d), -EINVAL);
	assert_int_equal(hmmu_soft_submit(NULL, &d), -EINVAL);
	assert_int_equal(hmmu_soft_submit(queue, NULL), -EINVAL);
}

/*
 * Adds that each take a while, then a copy of the sum behind a fence: without
 * the fence another worker copies too early.
 */
static void check_fence(uint8_t opcode, uint32_t flags)
{
	struct hmmu_soft_queue *queue = make_queue(HMMU_SOFT_SHARED, 16);
	struct hmmu_soft_descriptor fill = { .opcode = HMMU_SOFT_FILL,
					     .flags = HMMU_SOFT_BLOCK_ON_FAULT,
					     .bytes = 100000 };
	struct hmmu_soft_descriptor fence = { .opcode = opcode,
					      .flags = flags };
	struct hmmu_soft_record *record = hmmu_soft_record_at(soft, 0);
	uint64_t round;

	fill.dst = VA;
	fence.flags |= HMMU_SOFT_RECORD;
	fence.record = (uintptr_t)record;
	for (round = 1; round < 200; round++) {
		record->status = HMMU_SOFT_PENDING;
		fill.operand[0] = round;
		assert_int_equal(hmmu_soft_submit(queue, &fill), 0);
		assert_int_equal(hmmu_soft_submit(queue, &fence), 0);
		assert_int_equal(hmmu_soft_wait(soft, record, WAIT_NS), 0);
		assert_true(number_at(VA + 99992) == round);
	}
	assert_int_equal(hmmu_soft_queue_destroy(queue), 0);
}

static void test_queue_fence_waits_for_what_is_before(void **state)
{
	(void)state;
	check_fence(HMMU_SOFT_NOOP, HMMU_SOFT_FENCE);
}

static void test_queue_drain_waits_for_what_is_before(void **state)
{
	(void)state;
	check_fence(HMMU_SOFT_DRAIN, 0);
}

static void test_queue_slots_are_bounded_and_come_back(void **state)
{
	struct hmmu_soft_queue_options bad = { .size = sizeof(bad),
					       .depth = 3 };
	struct hmmu_soft_queue *queue[HMMU_SOFT_QUEUES_MAX], *more = NULL;
	struct hmmu_soft_queue_options newer[2] = { { .size = sizeof(newer) } };
	uint32_t i;

	(void)state;
	assert_int_equal(hmmu_soft_queue_create(soft, &bad, &more), -EINVAL);
	bad.depth = HMMU_SOFT_DEPTH_MAX * 2;
	assert_int_equal(hmmu_soft_queue_create(soft, &bad, &more), -EINVAL);
	bad.depth = 1;
	bad.kind = 2;
	assert_int_equal(hmmu_soft_queue_create(soft, &bad, &more), -EINVAL);
	bad.size = 4;
	assert_int_equal(hmmu_soft_queue_create(soft, &bad, &more), -EINVAL);
	newer[1].depth = 1;
	assert_int_equal(hmmu_soft_queue_create(soft, newer, &more), -E2BIG);
	for (i = 0; i < HMMU_SOFT_QUEUES_MAX; i++)
		queue[i] = make_queue(HMMU_SOFT_SHARED, 1);
	assert_int_equal(hmmu_soft_queue_create(soft, NULL, &more), -ENOSPC);
	assert_null(more);
	assert_int_equal(hmmu_soft_queue_destroy(queue[3]), 0);
	newer[1].depth = 0;
	assert_int_equal(hmmu_soft_queue_create(soft, newer, &more), 0);
	assert_int_equal(hmmu_soft_queue_destroy(NULL), 0);
}

/* All calls of a job run at once: each waits until all others have come. */
static int meet(struct hmmu_port *port, void *arg, unsigned int worker,
		unsigned int workers)
{
	_Atomic uint32_t *met = arg;

	(void)port;
	(void)worker;
	atomic_fetch_add(met, 1);
	while (atomic_load(met) % workers)
		sched_yield();
	return 0;
}

static void test_kernel_calls_run_at_the_same_time(void **state)
{
	struct hmmu_soft_job *job[8];
	_Atomic uint32_t met[8] = { 0 };
	uint32_t round, i;

	(void)state;
	for (round = 0; round < 50; round++) {
		for (i = 0; i < 8; i++) {
			atomic_store(&met[i], 0);
			assert_int_equal(hmmu_soft_launch(soft, meet, &met[i],
							  i % 2 ? 0 : 2,
							  &job[i]),
					 0);
		}
		for (i = 0; i < 8; i++)
			assert_int_equal(
				hmmu_soft_job_wait(job[i], WAIT_NS, NULL), 0);
	}
}

static int fail_one(struct hmmu_port *port, void *arg, unsigned int worker,
		    unsigned int workers)
{
	uint64_t value;

	(void)workers;
	if (worker != 1)
		return 0;
	return hmmu_port_load64(port, *(uintptr_t *)arg, &value);
}

static void test_kernel_reports_who_failed_and_where(void **state)
{
	struct hmmu_soft_job_result result = { .size = sizeof(result) };
	uintptr_t hole = VA + 8 * PAGE + 24;
	struct hmmu_soft_job *job;

	(void)state;
	array_unmap(core.m, VA + 8 * PAGE, PAGE);
	assert_int_equal(hmmu_soft_launch(soft, fail_one, &hole, 2, &job), 0);
	result.size = 4;
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, &result), -EINVAL);
	result.size = sizeof(result);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, &result), 0);
	assert_int_equal(result.error, -EFAULT);
	assert_int_equal(result.worker, 1);
	assert_true(result.fault.va == hole);
	assert_int_equal(result.fault.access, HMMU_ACCESS_READ);
	/* The slot is clean for the next. */
	array_map(core.m, VA + 8 * PAGE, PAGE, ARRAY_ANON_RW);
	assert_int_equal(hmmu_soft_launch(soft, fail_one, &hole, 2, &job), 0);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, &result), 0);
	assert_int_equal(result.error, 0);
	assert_true(result.fault.va == 0);
}

/* The second call fails when the first one's failure has been noted. */
static int fail_in_order(struct hmmu_port *port, void *arg, unsigned int worker,
			 unsigned int workers)
{
	struct hmmu_soft_stats stats = { .size = sizeof(stats) };

	(void)port;
	(void)arg;
	(void)workers;
	while (worker == 1 && !stats.calls) {
		if (hmmu_soft_get_stats(soft, &stats))
			return -1;
		sched_yield();
	}
	return worker == 1 ? -7 : -5;
}

static void test_kernel_reports_the_first_failure(void **state)
{
	struct hmmu_soft_job_result result = { .size = sizeof(result) };
	struct hmmu_soft_job *job;

	(void)state;
	assert_int_equal(hmmu_soft_launch(soft, fail_in_order, NULL, 2, &job),
			 0);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, &result), 0);
	assert_int_equal(result.error, -5);
	assert_int_equal(result.worker, 0);
}

static int forget_section(struct hmmu_port *port, void *arg,
			  unsigned int worker, unsigned int workers)
{
	(void)arg;
	(void)worker;
	(void)workers;
	hmmu_port_begin(port);
	hmmu_port_begin(port);
	return -5;
}

/* A debug build ends when a port is closed in a section. */
static void test_kernel_that_forgets_its_section(void **state)
{
	struct hmmu_soft_job_result result = { .size = sizeof(result) };
	struct hmmu_soft_job *job;

	(void)state;
	assert_int_equal(hmmu_soft_launch(soft, forget_section, NULL, 0, &job),
			 0);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, &result), 0);
	assert_int_equal(result.error, -5);
	assert_true(result.fault.va == 0 && result.fault.error == 0);
}

struct self_wait {
	struct hmmu_soft_queue *queue;
	struct hmmu_soft_job *_Atomic job;
	struct hmmu_soft_record record;
	int errors[5];
};

static int wait_for_self(struct hmmu_port *port, void *arg, unsigned int worker,
			 unsigned int workers)
{
	struct self_wait *s = arg;

	(void)port;
	(void)worker;
	(void)workers;
	while (!atomic_load(&s->job))
		sched_yield();
	s->errors[0] = hmmu_soft_job_wait(s->job, WAIT_NS, NULL);
	s->errors[1] = hmmu_soft_wait(soft, &s->record, WAIT_NS);
	s->errors[2] = hmmu_soft_drain(soft, WAIT_NS);
	s->errors[3] = hmmu_soft_destroy(soft);
	s->errors[4] = hmmu_soft_queue_drain(s->queue, WAIT_NS);
	return 0;
}

static void test_kernel_that_waits_for_itself_is_told(void **state)
{
	struct self_wait s = { .queue = make_queue(HMMU_SOFT_SHARED, 1) };
	struct hmmu_soft_job *job;

	(void)state;
	assert_int_equal(hmmu_soft_launch(soft, wait_for_self, &s, 1, &job), 0);
	atomic_store(&s.job, job);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, NULL), 0);
	assert_int_equal(s.errors[0], -EDEADLK);
	assert_int_equal(s.errors[1], -EDEADLK);
	assert_int_equal(s.errors[2], -EDEADLK);
	assert_int_equal(s.errors[3], -EDEADLK);
	/* The queue is empty: there is nothing to wait for. */
	assert_int_equal(s.errors[4], 0);
}

static void test_kernel_launches_are_bounded(void **state)
{
	struct hmmu_soft_job *job[HMMU_SOFT_JOBS_MAX], *more = NULL;
	struct gate gate;
	uint32_t i;

	(void)state;
	assert_int_equal(hmmu_soft_launch(soft, wait_at_gate, &gate,
					  WORKERS + 1, &more),
			 -EINVAL);
	assert_int_equal(hmmu_soft_launch(soft, NULL, &gate, 0, &more),
			 -EINVAL);
	job[0] = close_gate(&gate, 0);
	for (i = 1; i < HMMU_SOFT_JOBS_MAX; i++)
		assert_int_equal(hmmu_soft_launch(soft, wait_at_gate, &gate, 1,
						  &job[i]),
				 0);
	assert_int_equal(hmmu_soft_launch(soft, wait_at_gate, &gate, 1, &more),
			 -EAGAIN);
	assert_null(more);
	assert_int_equal(hmmu_soft_job_wait(job[1], 0, NULL), -ETIMEDOUT);
	assert_int_equal(hmmu_soft_job_wait(job[1], 1000000, NULL), -ETIMEDOUT);
	open_gate(&gate, job[0]);
	for (i = 1; i < HMMU_SOFT_JOBS_MAX; i++)
		assert_int_equal(hmmu_soft_job_wait(job[i], WAIT_NS, NULL), 0);
}

/* Stack, TLS and queue are in the arena, and no signal comes in. */
static int look_around(struct hmmu_port *port, void *arg, unsigned int worker,
		       unsigned int workers)
{
	static __thread int in_tls;
	sigset_t mask;
	int on_stack;

	(void)port;
	(void)arg;
	(void)worker;
	(void)workers;
	if (!hmmu__arena_contains((uintptr_t)&on_stack) ||
	    !hmmu__arena_contains((uintptr_t)&in_tls))
		return -1;
	(void)pthread_sigmask(SIG_BLOCK, NULL, &mask);
	if (sigismember(&mask, SIGSEGV) || sigismember(&mask, SIGBUS))
		return -2;
	if (!sigismember(&mask, SIGALRM) || !sigismember(&mask, SIGUSR1) ||
	    !sigismember(&mask, SIGRTMIN))
		return -3;
	return 0;
}

static void test_worker_stands_on_memory_of_hmmu(void **state)
{
	struct hmmu_soft_job_result result = { .size = sizeof(result) };
	struct hmmu_soft_job *job;
	sigset_t mask;

	(void)state;
	assert_int_equal(hmmu_soft_launch(soft, look_around, NULL, 0, &job), 0);
	assert_int_equal(hmmu_soft_job_wait(job, WAIT_NS, &result), 0);
	assert_int_equal(result.error, 0);
	assert_true(
		hmmu__arena_contains((uintptr_t)hmmu_soft_record_at(soft, 0)));
	/* The creator's own mask is as before. */
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
	assert_int_equal(sigismember(&mask, SIGALRM), 0);
}

static void test_soft_destroy_finishes_what_was_submitted(void **state)
{
	struct hmmu_soft_queue *queue;
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FETCH_ADD,
					  .flags = HMMU_SOFT_BLOCK_ON_FAULT,
					  .bytes = 8,
					  .operand = { 1 } };
	struct hmmu_soft_job *job;
	struct hmmu_port *port;
	_Atomic uint32_t met = 0;
	int i;

	(void)state;
	queue = make_queue(HMMU_SOFT_SHARED, 64);
	d.dst = VA;
	for (i = 0; i < 64; i++)
		assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(hmmu_soft_launch(soft, meet, &met, 0, &job), 0);
	/* Somebody else's port keeps the device: the work is done all the same,
	 * and nothing new is taken. */
	assert_int_equal(hmmu_port_open(hmmu_soft_device(soft), &port), 0);
	assert_int_equal(hmmu_soft_destroy(soft), -EBUSY);
	assert_int_equal(number_at(VA), 64);
	assert_int_equal(met, WORKERS);
	assert_int_equal(hmmu_soft_submit(queue, &d), -ESHUTDOWN);
	assert_int_equal(hmmu_soft_launch(soft, meet, &met, 0, &job),
			 -ESHUTDOWN);
	assert_int_equal(hmmu_soft_queue_create(soft, NULL, &queue),
			 -ESHUTDOWN);
	hmmu_port_close(port);
	assert_int_equal(hmmu_soft_destroy(soft), 0);
	assert_int_equal(make(1, &soft), 0);
}

static void test_soft_destroy_in_a_child_is_refused(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid)
		_exit(hmmu_soft_destroy(soft) == -ECHILD ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_soft_create_refuses_bad_options(void **state)
{
	struct hmmu_soft_options options = { .size = sizeof(options) };
	struct hmmu_soft *other = NULL;

	(void)state;
	assert_int_equal(hmmu_soft_create(NULL, NULL, &other), -EINVAL);
	assert_int_equal(hmmu_soft_create(core.space, NULL, NULL), -EINVAL);
	options.workers = HMMU_SOFT_WORKERS_MAX + 1;
	assert_int_equal(hmmu_soft_create(core.space, &options, &other),
			 -EINVAL);
	options.workers = 1;
	options.reserved = 1;
	assert_int_equal(hmmu_soft_create(core.space, &options, &other),
			 -EINVAL);
	assert_null(other);
	assert_int_equal(hmmu_soft_destroy(NULL), 0);
}

/* Each allocation and each port of a worker fails once. */
static void test_soft_create_that_fails_leaves_nothing(void **state)
{
	struct hmmu_soft *other = NULL;
	size_t before = core_used_bytes();
	uint64_t n;
	int err;

	(void)state;
	for (n = 1;; n++) {
		hmmu__fault_points_arm(n);
		err = make(4, &other);
		hmmu__fault_points_disarm();
		if (!hmmu__fault_points_failed())
			break;
		assert_int_equal(err, -ENOMEM);
		assert_null(other);
		assert_int_equal(open_ports(), WORKERS);
		assert_int_equal(core_used_bytes(), before);
	}
	assert_int_equal(err, 0);
	assert_true(n > 10 || !HMMU_FAULT_POINTS);
	assert_int_equal(hmmu_soft_destroy(other), 0);
	assert_int_equal(make(0, &other), 0);
	assert_int_equal(hmmu_soft_destroy(other), 0);
	assert_int_equal(core_used_bytes(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_queue_refuses_when_full_and_loses_nothing),
		T(test_queue_shared_takes_from_all_threads),
		T(test_queue_dedicated_belongs_to_one_thread),
		T(test_queue_refuses_records_it_could_not_write),
		T(test_queue_fence_waits_for_what_is_before),
		T(test_queue_drain_waits_for_what_is_before),
		T(test_queue_slots_are_bounded_and_come_back),
		T(test_kernel_calls_run_at_the_same_time),
		T(test_kernel_reports_who_failed_and_where),
		T(test_kernel_reports_the_first_failure),
		T(test_kernel_that_forgets_its_section),
		T(test_kernel_that_waits_for_itself_is_told),
		T(test_kernel_launches_are_bounded),
		T(test_worker_stands_on_memory_of_hmmu),
		T(test_soft_destroy_finishes_what_was_submitted),
		T(test_soft_destroy_in_a_child_is_refused),
		T(test_soft_create_refuses_bad_options),
		T(test_soft_create_that_fails_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
