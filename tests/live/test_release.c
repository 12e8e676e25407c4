/* SPDX-License-Identifier: MIT */
/*
 * The end of the process: who still subscribes is told RELEASE (IN24), and the
 * process ends whatever else goes on in it.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"

enum {
	PAGES = 16,
	/* A process that has not ended by then does not. */
	ENDS_S = 20,
};

#define BYTES ((size_t)PAGES * PAGE)

/* What the subscribers of a process saw; shared with who looks at it. */
static struct record {
	_Atomic unsigned int releases;
	_Atomic unsigned int others;
	_Atomic unsigned int device_releases;
	_Atomic unsigned int at_exit;
	uintptr_t start;
	uintptr_t end;
	const void *owner;
} * seen;

static struct hmmu_notifier *sub;
static char *p;
static pthread_mutex_t driver = PTHREAD_MUTEX_INITIALIZER;

static void note(const struct hmmu_invalidation *inv)
{
	if (inv->event != HMMU_EVENT_RELEASE) {
		seen->others++;
		return;
	}
	seen->start = inv->start;
	seen->end = inv->end;
	seen->owner = inv->owner;
	seen->releases++;
}

static void invalidate(struct hmmu_notifier *self, void *arg,
		       const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	pthread_mutex_lock(&driver);
	hmmu_notifier_set_seq(self, cur_seq);
	note(inv);
	pthread_mutex_unlock(&driver);
}

static struct hmmu_notifier *subscribe(const void *at, size_t bytes)
{
	static const struct hmmu_notifier_ops ops = {
		.size = sizeof(ops),
		.invalidate = invalidate,
	};
	struct hmmu_notifier *made;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)at, bytes, 0,
					   &ops, NULL, &made));
	return made;
}

/*
 * Runs @process in a process of its own, which is to end by itself. What is to
 * be skipped is found out before.
 */
static void in_process(void (*process)(void))
{
	pid_t child;
	int status;

	live_open();
	live_close();
	seen = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	HMMU_CHECK(seen != MAP_FAILED);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		alarm(ENDS_S);
		process();
		exit(EXIT_SUCCESS);
	}
	HMMU_CHECK(waitpid(child, &status, 0) == child);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		hmmu_test_fail(__FILE__, __LINE__, "the process does not end");
	HMMU_CHECK_INT(status, 0);
}

static void open_and_subscribe(void)
{
	live_open();
	p = live_map_small(PAGES, 1);
	sub = subscribe(p, PAGE);
}

/* Told -------------------------------------------------------------------------- */

/* In the way of close, which tells nobody, until the process ends. */
static void stays_open(void)
{
	open_and_subscribe();
	HMMU_CHECK_INT(hmmu_space_close(live_space), -EBUSY);
	HMMU_CHECK_INT(seen->releases, 0);
}

static void test_release_in24_exit_tells(void)
{
	in_process(stays_open);
	HMMU_CHECK_INT(seen->releases, 1);
	HMMU_CHECK_INT(seen->start, 0);
	HMMU_CHECK(seen->end >= UINTPTR_MAX - PAGE);
	HMMU_CHECK(!seen->owner);
}

static void two_and_one_removed(void)
{
	struct hmmu_notifier *gone;

	open_and_subscribe();
	gone = subscribe(p + PAGE, PAGE);
	(void)subscribe(p, BYTES);
	hmmu_notifier_remove(gone);
}

static void test_release_in24_all_who_subscribe(void)
{
	in_process(two_and_one_removed);
	HMMU_CHECK_INT(seen->releases, 2);
}

static void device_invalidate(struct hmmu_device *device, void *arg,
			      const struct hmmu_invalidation *inv)
{
	(void)device;
	(void)arg;
	seen->device_releases += inv->event == HMMU_EVENT_RELEASE;
}

static void a_driver(void)
{
	const struct hmmu_device_ops ops = { .size = sizeof(ops),
					     .invalidate = device_invalidate };
	const struct hmmu_device_options o = { .size = sizeof(o), .ops = &ops };
	struct hmmu_device *device;

	open_and_subscribe();
	HMMU_CHECK_OK(hmmu_device_create(live_space, &o, &device));
	HMMU_CHECK_OK(hmmu_device_fault(device, (uintptr_t)p, BYTES,
					HMMU_ACCESS_READ));
}

static void test_release_in24_devices_too(void)
{
	in_process(a_driver);
	HMMU_CHECK_INT(seen->device_releases, 1);
}

static bool undoes;

/* After it, while the process ends: pages come home, all may be undone. */
static void undo(void)
{
	if (!undoes)
		return;
	HMMU_CHECK_INT(seen->releases, 1);
	LIVE_CHECK(p, BYTES, 1);
	hmmu_notifier_remove(sub);
	live_close();
	seen->at_exit++;
}

/* Before a space is opened: so it is called after what that has asked for. */
static __attribute__((constructor)) void undo_at_exit(void)
{
	HMMU_CHECK_OK(atexit(undo));
}

static void undone_later(void)
{
	undoes = true;
	open_and_subscribe();
	if (live_can_move())
		live_take(p, BYTES);
}

static void test_release_in24_undone_at_exit(void)
{
	in_process(undone_later);
	HMMU_CHECK_INT(seen->releases, 1);
	HMMU_CHECK_INT(seen->at_exit, 1);
}

/* Not told ---------------------------------------------------------------------- */

static void exit_as_child(pid_t child)
{
	HMMU_CHECK(child >= 0);
	if (!child) {
		alarm(ENDS_S);
		exit(EXIT_SUCCESS);
	}
	live_child_ok(child);
	HMMU_CHECK_INT(seen->releases, 0);
}

/* Of the driver's lock, which the child of a clone would never get. */
static void forks(void)
{
	open_and_subscribe();
	exit_as_child(fork());
	pthread_mutex_lock(&driver);
	if (!LIVE_SANITIZED)
		exit_as_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
	pthread_mutex_unlock(&driver);
}

static void test_release_in24_no_child(void)
{
	in_process(forks);
	HMMU_CHECK_INT(seen->releases, 1);
}

/* The process ends whatever goes on ------------------------------------------ */

static void *keep_busy(void *arg)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	struct hmmu_notifier *other;

	for (;;) {
		pthread_mutex_lock(&driver);
		sched_yield();
		pthread_mutex_unlock(&driver);
		if (hmmu_device_migrate(live_device, (uintptr_t)p, BYTES, &r))
			continue;
		other = subscribe(p, BYTES);
		LIVE_CHECK(p, BYTES, 1);
		hmmu_notifier_remove(other);
	}
	return arg;
}

static void amid_others(void)
{
	int i;

	open_and_subscribe();
	for (i = 0; i < 3; i++)
		(void)live_thread(keep_busy, NULL);
	live_sleep_ms(20);
}

static void test_release_in24_amid_other_threads(void)
{
	in_process(amid_others);
	HMMU_CHECK(seen->releases >= 1);
}

static _Atomic unsigned int in_section;

/* A section that does not end, of memory that the device has mapped. */
static void *stay_in_section(void *arg)
{
	struct hmmu_port *port = live_port();

	(void)live_load(port, p);
	hmmu_port_begin(port);
	atomic_store_explicit(&in_section, 1, memory_order_release);
	for (;;)
		pause();
	return arg;
}

static void amid_a_section(void)
{
	open_and_subscribe();
	(void)live_thread(stay_in_section, NULL);
	HMMU_CHECK(live_wait_for(&in_section, 1, 10000));
}

static void test_release_in24_amid_a_section(void)
{
	in_process(amid_a_section);
	HMMU_CHECK_INT(seen->releases, 1);
}

static void leave(struct hmmu_notifier *self, void *arg,
		  const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(self, cur_seq);
	exit(EXIT_SUCCESS);
}

/* exit(3) in a callback, by the caller of munmap or by the service. */
static void ends_in_callback(const struct live_way *way)
{
	static const struct hmmu_notifier_ops ops = {
		.size = sizeof(ops),
		.invalidate = leave,
	};
	struct hmmu_notifier *other;

	open_and_subscribe();
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, BYTES, 0,
					   &ops, NULL, &other));
	(void)way->unmap(p, BYTES);
	for (;;)
		pause();
}

static void ends_in_hook(void)
{
	ends_in_callback(&live_hooked);
}

static void ends_in_service(void)
{
	ends_in_callback(&live_raw);
}

static void test_release_in24_in_a_callback(void)
{
	in_process(ends_in_hook);
	HMMU_CHECK_INT(seen->releases, 0);
	in_process(ends_in_service);
	HMMU_CHECK_INT(seen->releases, 0);
}

HMMU_TEST_MAIN(HMMU_TEST(test_release_in24_exit_tells),
	       HMMU_TEST(test_release_in24_all_who_subscribe),
	       HMMU_TEST(test_release_in24_devices_too),
	       HMMU_TEST(test_release_in24_undone_at_exit),
	       HMMU_TEST(test_release_in24_no_child),
	       HMMU_TEST(test_release_in24_amid_other_threads),
	       HMMU_TEST(test_release_in24_amid_a_section),
	       HMMU_TEST(test_release_in24_in_a_callback))
