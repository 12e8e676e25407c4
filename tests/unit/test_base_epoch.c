/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/epoch.h"
#include "base/sched.h"
#include "base/sys.h"

#define MILLISECOND_NS 1000000u

static void sleep_ms(unsigned int ms)
{
	hmmu__sched_sleep((uint64_t)ms * MILLISECOND_NS);
}

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	assert_int_equal(pthread_create(thread, NULL, fn, arg), 0);
}

static void join(pthread_t thread)
{
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* One domain, one reader, and what has run. */
struct fixture {
	struct hmmu_epoch_domain domain;
	struct hmmu_epoch_reader reader;
	struct hmmu_epoch_item item[4];
	_Atomic int synchronized;
};

static unsigned int ran;

static void count_run(struct hmmu_epoch_item *item)
{
	(void)item;
	ran++;
}

static int setup(void **state)
{
	struct fixture *f = aligned_alloc(64, sizeof(*f));

	if (!f)
		return -1;
	memset(f, 0, sizeof(*f));
	hmmu__epoch_domain_init(&f->domain);
	hmmu__epoch_reader_add(&f->domain, &f->reader);
	ran = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hmmu__epoch_reader_remove(&f->domain, &f->reader);
	hmmu__epoch_domain_fini(&f->domain);
	free(f);
	return 0;
}

static void test_epoch_synchronize_returns_without_sections(void **state)
{
	struct fixture *f = *state;

	hmmu__epoch_synchronize(&f->domain);
	hmmu__epoch_enter(&f->domain, &f->reader);
	assert_true(hmmu__epoch_is_inside(&f->reader));
	hmmu__epoch_exit(&f->domain, &f->reader);
	assert_false(hmmu__epoch_is_inside(&f->reader));
	hmmu__epoch_synchronize(&f->domain);
}

static void *synchronize(void *arg)
{
	struct fixture *f = arg;

	hmmu__epoch_synchronize(&f->domain);
	atomic_store_explicit(&f->synchronized, 1, memory_order_release);
	return NULL;
}

static void test_epoch_synchronize_waits_for_open_section(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	hmmu__epoch_enter(&f->domain, &f->reader);
	start(&thread, synchronize, f);
	sleep_ms(20);
	assert_int_equal(atomic_load_explicit(&f->synchronized,
					      memory_order_acquire),
			 0);
	hmmu__epoch_exit(&f->domain, &f->reader);
	join(thread);
}

/* A reader that is always inside, but never for long, holds up nobody. */
static void test_epoch_synchronize_ignores_later_sections(void **state)
{
	struct fixture *f = *state;
	unsigned int rounds = 0;
	pthread_t thread;

	hmmu__epoch_enter(&f->domain, &f->reader);
	start(&thread, synchronize, f);
	while (!atomic_load_explicit(&f->synchronized, memory_order_acquire)) {
		hmmu__epoch_exit(&f->domain, &f->reader);
		hmmu__epoch_enter(&f->domain, &f->reader);
		sleep_ms(1);
		assert_true(++rounds < 5000);
	}
	assert_true(hmmu__epoch_is_inside(&f->reader));
	hmmu__epoch_exit(&f->domain, &f->reader);
	join(thread);
}

static void test_epoch_synchronize_timed_gives_up(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ns = hmmu__sched_now_ns();

	hmmu__epoch_enter(&f->domain, &f->reader);
	assert_int_equal(hmmu__epoch_synchronize_timed(&f->domain,
						       5 * MILLISECOND_NS),
			 -ETIMEDOUT);
	assert_true(hmmu__sched_now_ns() - start_ns >= 5 * MILLISECOND_NS);
	hmmu__epoch_exit(&f->domain, &f->reader);
	assert_int_equal(hmmu__epoch_synchronize_timed(&f->domain, 0), 0);
}

static void test_epoch_retired_runs_after_grace_period(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hmmu__epoch_poll(&f->domain), 0);
	hmmu__epoch_enter(&f->domain, &f->reader);
	hmmu__epoch_retire(&f->domain, &f->item[0], count_run);
	hmmu__epoch_retire(&f->domain, &f->item[1], count_run);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 0);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 0);
	/* Comes too late for the batch that waits. */
	hmmu__epoch_retire(&f->domain, &f->item[2], count_run);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 0);
	assert_int_equal(ran, 0);
	hmmu__epoch_exit(&f->domain, &f->reader);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 3);
	assert_int_equal(ran, 3);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 0);
}

/* A section that began after the batch does not delay the batch. */
static void test_epoch_poll_ignores_later_sections(void **state)
{
	struct fixture *f = *state;

	hmmu__epoch_enter(&f->domain, &f->reader);
	hmmu__epoch_retire(&f->domain, &f->item[0], count_run);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 0);
	hmmu__epoch_exit(&f->domain, &f->reader);
	hmmu__epoch_enter(&f->domain, &f->reader);
	assert_int_equal(hmmu__epoch_poll(&f->domain), 1);
	hmmu__epoch_exit(&f->domain, &f->reader);
}

static struct fixture *again;

static void retire_another(struct hmmu_epoch_item *item)
{
	(void)item;
	ran++;
	hmmu__epoch_retire(&again->domain, &again->item[3], count_run);
}

static void test_epoch_drain_runs_what_functions_retire(void **state)
{
	struct fixture *f = *state;

	again = f;
	hmmu__epoch_retire(&f->domain, &f->item[0], retire_another);
	hmmu__epoch_drain(&f->domain);
	assert_int_equal(ran, 2);
}

static _Atomic int slow_stage;

static void run_slowly(struct hmmu_epoch_item *item)
{
	(void)item;
	atomic_store_explicit(&slow_stage, 1, memory_order_relaxed);
	sleep_ms(20);
	atomic_store_explicit(&slow_stage, 2, memory_order_relaxed);
}

static void *poll_once(void *arg)
{
	(void)hmmu__epoch_poll(arg);
	return NULL;
}

/* Drained means over, also when another thread is running the function. */
static void test_epoch_drain_waits_for_running_functions(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	atomic_store_explicit(&slow_stage, 0, memory_order_relaxed);
	hmmu__epoch_retire(&f->domain, &f->item[0], run_slowly);
	start(&thread, poll_once, &f->domain);
	while (atomic_load_explicit(&slow_stage, memory_order_relaxed) == 0)
		hmmu__sched_yield();
	hmmu__epoch_drain(&f->domain);
	assert_int_equal(
		atomic_load_explicit(&slow_stage, memory_order_relaxed), 2);
	join(thread);
}

static void test_epoch_removed_reader_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	struct hmmu_epoch_reader other = { .active = 0 };

	hmmu__epoch_reader_add(&f->domain, &other);
	hmmu__epoch_enter(&f->domain, &other);
	assert_int_equal(hmmu__epoch_synchronize_timed(&f->domain, 0),
			 -ETIMEDOUT);
	hmmu__epoch_exit(&f->domain, &other);
	hmmu__epoch_reader_remove(&f->domain, &other);
	/* Poison: nobody may look at it any more. */
	memset((void *)&other, 1, sizeof(other));
	hmmu__epoch_synchronize(&f->domain);
}

/* Stress: a published object is whole while a section that saw it is open --- */

#define READERS 3
#define UPDATES 20000u
#define ALIVE	0x600dull

struct object {
	struct hmmu_epoch_item item;
	uint64_t alive;
};

struct stress {
	struct hmmu_epoch_domain domain;
	struct object *_Atomic published;
	_Atomic bool stop;
	_Atomic unsigned int dead_seen;
};

static void kill_object(struct hmmu_epoch_item *item)
{
	struct object *o = hmmu_container_of(item, struct object, item);

	/* A plain store: a reader beside it is a race that TSan reports. */
	o->alive = 0;
	free(o);
}

static void *read_published(void *arg)
{
	struct stress *s = arg;
	struct hmmu_epoch_reader reader = { .active = 0 };
	unsigned int dead = 0;

	hmmu__epoch_reader_add(&s->domain, &reader);
	while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
		struct object *o;

		hmmu__epoch_enter(&s->domain, &reader);
		o = atomic_load_explicit(&s->published, memory_order_acquire);
		for (int i = 0; i < 20; i++)
			dead += *(volatile uint64_t *)&o->alive != ALIVE;
		hmmu__epoch_exit(&s->domain, &reader);
	}
	hmmu__epoch_reader_remove(&s->domain, &reader);
	atomic_fetch_add_explicit(&s->dead_seen, dead, memory_order_relaxed);
	return NULL;
}

static struct object *object_create(void)
{
	struct object *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->alive = ALIVE;
	return o;
}

static void update(struct stress *s, unsigned int n)
{
	struct object *old = atomic_exchange_explicit(
		&s->published, object_create(), memory_order_acq_rel);

	if (n % 7 == 0) {
		hmmu__epoch_synchronize(&s->domain);
		kill_object(&old->item);
	} else {
		hmmu__epoch_retire(&s->domain, &old->item, kill_object);
	}
	if (n % 3 == 0)
		(void)hmmu__epoch_poll(&s->domain);
}

static void test_epoch_objects_outlive_sections(void **state)
{
	struct stress *s = aligned_alloc(64, sizeof(*s));
	pthread_t thread[READERS];
	uint64_t start_ns = hmmu__sched_now_ns();

	(void)state;
	assert_non_null(s);
	memset(s, 0, sizeof(*s));
	hmmu__epoch_domain_init(&s->domain);
	atomic_store_explicit(&s->published, object_create(),
			      memory_order_release);
	for (int i = 0; i < READERS; i++)
		start(&thread[i], read_published, s);
	for (unsigned int n = 0; n < UPDATES; n++) {
		update(s, n);
		if (hmmu__sched_now_ns() - start_ns > 1500 * MILLISECOND_NS)
			break;
	}
	atomic_store_explicit(&s->stop, true, memory_order_relaxed);
	for (int i = 0; i < READERS; i++)
		join(thread[i]);
	hmmu__epoch_domain_fini(&s->domain);
	assert_int_equal(
		atomic_load_explicit(&s->dead_seen, memory_order_relaxed), 0);
	free(atomic_load_explicit(&s->published, memory_order_relaxed));
	free(s);
}

/*
 * The race of epoch.h, round by round: a reader that saw the old value and is
 * still inside must be seen by the updater. Store buffers break it as soon as
 * the barrier on either side is missing.
 */
#define RACE_ROUNDS 200000u

/* As many cold lines as fit in a store buffer several times over. */
#define CLUTTER	    48

struct line {
	_Atomic uint64_t word HMMU_CACHE_ALIGNED;
};

struct race {
	struct hmmu_epoch_domain domain;
	struct hmmu_epoch_reader reader;
	struct line published;
	struct line round; /* begun by the updater */
	struct line inside; /* 2 * round + saw the old value */
	struct line judged; /* decided by the updater */
	struct line clutter[CLUTTER];
	unsigned int delay; /* of the updater, in turns of a loop */
};

/*
 * Both sides write the same lines in turn, so that each write is a miss. Right
 * before the entry of a section they keep its store waiting in the reader's
 * store buffer for a while, in which the loads behind it do not wait.
 */
static void write_clutter(struct race *r, uint64_t value)
{
	for (int i = 0; i < CLUTTER; i++)
		atomic_store_explicit(&r->clutter[i].word, value,
				      memory_order_relaxed);
}

/* @word reaches @value; gives the CPU away when the other needs it. */
static void wait_for(_Atomic uint64_t *word, uint64_t value)
{
	unsigned int spins = 0;

	while (atomic_load_explicit(word, memory_order_acquire) < value) {
		if (++spins % 4096 == 0)
			hmmu__sched_yield();
	}
}

/* Two threads of one CPU never meet. With one CPU there is no race to lose. */
static void pin_to_nth_allowed_cpu(int n)
{
	cpu_set_t allowed, one;

	if (pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || n-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		(void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		return;
	}
}

static void *race_reader(void *arg)
{
	struct race *r = arg;

	pin_to_nth_allowed_cpu(1);
	for (uint64_t round = 1;; round++) {
		uint64_t value;

		wait_for(&r->round.word, round);
		if (atomic_load_explicit(&r->round.word,
					 memory_order_relaxed) == UINT64_MAX)
			return NULL;
		write_clutter(r, round);
		hmmu__epoch_enter(&r->domain, &r->reader);
		value = atomic_load_explicit(&r->published.word,
					     memory_order_relaxed);
		atomic_store_explicit(&r->inside.word,
				      2 * round + (value < round),
				      memory_order_release);
		wait_for(&r->judged.word, round);
		hmmu__epoch_exit(&r->domain, &r->reader);
		atomic_store_explicit(&r->inside.word, 2 * round + 2,
				      memory_order_release);
	}
}

/* Returns true if the updater took an open section for none. */
static bool race_once(struct race *r, uint64_t round)
{
	bool over, saw_old;

	write_clutter(r, round);
	atomic_store_explicit(&r->round.word, round, memory_order_release);
	for (volatile unsigned int spin = 0; spin < r->delay; spin++)
		;
	atomic_store_explicit(&r->published.word, round, memory_order_release);
	over = hmmu__epoch_synchronize_timed(&r->domain, 0) == 0;
	wait_for(&r->inside.word, 2 * round);
	saw_old = atomic_load_explicit(&r->inside.word, memory_order_relaxed) &
		  1;
	atomic_store_explicit(&r->judged.word, round, memory_order_release);
	wait_for(&r->inside.word, 2 * round + 2);
	/* Half of the rounds each way: the updater meets the reader's entry. */
	if (!saw_old && r->delay < 3000)
		r->delay += 3;
	else if (r->delay >= 3)
		r->delay -= 3;
	return over && saw_old;
}

static void test_epoch_updater_sees_every_open_section(void **state)
{
	struct race *r = aligned_alloc(64, sizeof(*r));
	uint64_t start_ns = hmmu__sched_now_ns();
	unsigned int broken = 0;
	pthread_t thread;

	cpu_set_t allowed;

	(void)state;
	assert_non_null(r);
	memset(r, 0, sizeof(*r));
	(void)pthread_getaffinity_np(pthread_self(), sizeof(allowed), &allowed);
	hmmu__epoch_domain_init(&r->domain);
	hmmu__epoch_reader_add(&r->domain, &r->reader);
	start(&thread, race_reader, r);
	pin_to_nth_allowed_cpu(0);
	for (uint64_t round = 1; round <= RACE_ROUNDS; round++) {
		broken += race_once(r, round);
		if (hmmu__sched_now_ns() - start_ns > 1000 * MILLISECOND_NS)
			break;
	}
	atomic_store_explicit(&r->round.word, UINT64_MAX, memory_order_release);
	join(thread);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
	assert_int_equal(broken, 0);
	hmmu__epoch_reader_remove(&r->domain, &r->reader);
	hmmu__epoch_domain_fini(&r->domain);
	free(r);
}

/* The other way: fences ----------------------------------------------------- */

static bool fences_are_forced(void)
{
	return getenv("HMMU_FORCE_NO_MEMBARRIER") != NULL;
}

static void test_membarrier_or_fences(void **state)
{
	(void)state;
	if (hmmu__membarrier_available())
		assert_false(hmmu__fast_fence_needed());
	else
		assert_true(hmmu__fast_fence_needed());
	if (fences_are_forced())
		assert_false(hmmu__membarrier_available());
	hmmu__membarrier();
	hmmu__fast_barrier();
}

/* All of the above once more, in a process that must do with fences. */
static void test_epoch_works_without_membarrier(void **state)
{
	int status = 0;
	pid_t child;

	(void)state;
	if (fences_are_forced()) {
		print_message("needs membarrier(2)\n");
		skip();
	}
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* The report is the parent's; the child's goes to stderr. */
		(void)dup2(2, 1);
		(void)setenv("HMMU_FORCE_NO_MEMBARRIER", "1", 1);
		(void)execl("/proc/self/exe", "test_base_epoch", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define test_with_fixture(fn) \
	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_membarrier_or_fences),
		test_with_fixture(
			test_epoch_synchronize_returns_without_sections),
		test_with_fixture(
			test_epoch_synchronize_waits_for_open_section),
		test_with_fixture(
			test_epoch_synchronize_ignores_later_sections),
		test_with_fixture(test_epoch_synchronize_timed_gives_up),
		test_with_fixture(test_epoch_retired_runs_after_grace_period),
		test_with_fixture(test_epoch_poll_ignores_later_sections),
		test_with_fixture(test_epoch_drain_runs_what_functions_retire),
		test_with_fixture(test_epoch_drain_waits_for_running_functions),
		test_with_fixture(test_epoch_removed_reader_is_not_waited_for),
		cmocka_unit_test(test_epoch_objects_outlive_sections),
		cmocka_unit_test(test_epoch_updater_sees_every_open_section),
		cmocka_unit_test(test_epoch_works_without_membarrier),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
