/* SPDX-License-Identifier: MIT */
/*
 * fork: both sides keep what was there, and see none of the other's writes
 * (FK1 to FK7).
 */
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <hmmu/exclusive.h>

#include "fixture.h"

enum {
	PAGES = 48,
};

#define BYTES ((size_t)PAGES * PAGE)

/* A third on the device, a third exclusive to it, a third at home. */
static char *open_mixed(void)
{
	char *p = live_map_small(PAGES, 1);

	live_open();
	live_take(p, BYTES / 3);
	HMMU_CHECK_OK(hmmu_device_make_exclusive(
		live_device, (uintptr_t)p + BYTES / 3, BYTES / 3, NULL));
	return p;
}

static void give_turn(const int *pipes)
{
	HMMU_CHECK_INT(write(pipes[1], "x", 1), 1);
}

static void await_turn(const int *pipes)
{
	char turn;

	HMMU_CHECK_INT(read(pipes[0], &turn, 1), 1);
}

/* One writes everything, then the other; then both still have their own. */
static void both_keep_theirs(char *p, size_t bytes, bool child_first)
{
	int child_wrote[2], parent_wrote[2];
	pid_t child;

	HMMU_CHECK_OK(pipe(child_wrote));
	HMMU_CHECK_OK(pipe(parent_wrote));
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		if (!child_first)
			await_turn(parent_wrote);
		LIVE_CHECK(p, bytes, 1);
		live_fill(p, bytes, 2);
		give_turn(child_wrote);
		if (child_first)
			await_turn(parent_wrote);
		LIVE_CHECK(p, bytes, 2);
		_exit(0);
	}
	/* A child that fails gives no turn. */
	HMMU_CHECK_OK(close(child_wrote[1]));
	if (child_first)
		await_turn(child_wrote);
	LIVE_CHECK(p, bytes, 1);
	live_fill(p, bytes, 3);
	give_turn(parent_wrote);
	live_child_ok(child);
	LIVE_CHECK(p, bytes, 3);
}

static void test_fork_fk2_parent_writes_first(void)
{
	both_keep_theirs(open_mixed(), BYTES, false);
	live_close();
}

static void test_fork_fk2_child_writes_first(void)
{
	both_keep_theirs(open_mixed(), BYTES, true);
	live_close();
}

static void test_fork_fk2_large_pages(void)
{
	char *p = live_map_large(2, 1);

	live_open();
	live_take(p, 2 * LARGE);
	both_keep_theirs(p, 2 * LARGE, true);
	/* The parent's can go again: they are its own by now. */
	live_take(p, 2 * LARGE);
	LIVE_CHECK(p, 2 * LARGE, 3);
	live_close();
}

#define GIB (1ul << 30)

static void test_fork_fk2_a_gib_of_large_pages(void)
{
	char *p;

	/* Each side's is four times that. */
	if (HMMU_TSAN)
		HMMU_SKIP("room for ThreadSanitizer's shadow of 1 GiB");
	p = live_map_large(GIB / LARGE, 1);
	live_open_bytes(GIB);
	live_take(p, GIB);
	if (!live_is_forced("NO_PAGEMAP_SCAN"))
		HMMU_CHECK_INT(live_stats().large_to_device, GIB / LARGE);
	both_keep_theirs(p, GIB, true);
	live_close();
}

/* The device's writes are the parent's: no advice is needed (FK7). */
static void test_fork_fk7_device_writes_for_the_parent(void)
{
	char *p = open_mixed();
	struct hmmu_port *port = live_port();
	int pipes[2];
	pid_t child;
	size_t at;
	char go;

	HMMU_CHECK_INT(pipe(pipes), 0);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		HMMU_CHECK_INT(read(pipes[0], &go, 1), 1);
		LIVE_CHECK(p, BYTES, 1);
		_exit(0);
	}
	for (at = 0; at < BYTES; at += PAGE)
		live_store(port, p + at, at + 9);
	HMMU_CHECK_INT(write(pipes[1], "x", 1), 1);
	live_child_ok(child);
	for (at = 0; at < BYTES; at += PAGE)
		HMMU_CHECK_INT(*(volatile uint64_t *)(p + at), at + 9);
	hmmu_port_close(port);
	live_close();
}

/* Its registrations are its own, and fork is no event (E10). */
static void child_uses_its_own_space(char *p)
{
	struct hmmu_space *old = live_space;
	struct hmmu_space_stats s = { .size = sizeof(s) };

	HMMU_CHECK_INT(hmmu_space_get_stats(old, &s), -ECHILD);
	live_open();
	live_take(p, BYTES);
	LIVE_CHECK(p, BYTES, 1);
	live_take(p, BYTES);
	live_close();
	LIVE_CHECK(p, BYTES, 1);
	_exit(0);
}

static void test_fork_e10_child_opens_its_own_space(void)
{
	char *p = open_mixed();
	pid_t child = fork();

	HMMU_CHECK(child >= 0);
	if (!child)
		child_uses_its_own_space(p);
	live_take(p, BYTES / 3);
	live_child_ok(child);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* Its handler is registered before the first open, and after HMMU is loaded. */
static struct hmmu_space *handler_space;
static int handler_err;

static void open_in_handler(void)
{
	handler_err = hmmu_space_open(NULL, NULL, &handler_space);
}

static void test_fork_child_opens_in_a_handler(void)
{
	struct hmmu_space_stats stats = { .size = sizeof(stats) };
	pid_t child;

	HMMU_CHECK_OK(pthread_atfork(NULL, NULL, open_in_handler));
	live_open_space();
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		HMMU_CHECK_OK(handler_err);
		HMMU_CHECK(handler_space != live_space);
		HMMU_CHECK_OK(hmmu_space_get_stats(handler_space, &stats));
		HMMU_CHECK_OK(hmmu_space_close(handler_space));
		_exit(0);
	}
	live_child_ok(child);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static void test_fork_grandchild(void)
{
	char *p = open_mixed();
	pid_t child = fork();

	HMMU_CHECK(child >= 0);
	if (!child) {
		pid_t grandchild = fork();

		if (!grandchild) {
			LIVE_CHECK(p, BYTES, 1);
			_exit(0);
		}
		live_fill(p, BYTES, 5);
		live_child_ok(grandchild);
		_exit(0);
	}
	live_child_ok(child);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

static void test_fork_spawn_and_vfork(void)
{
	static char name[] = "true";
	char *argv[] = { name, NULL };
	char *p = open_mixed();
	char *env[] = { NULL };
	pid_t child;

	HMMU_CHECK_INT(posix_spawnp(&child, name, NULL, NULL, argv, env), 0);
	live_child_ok(child);
	child = vfork();
	if (!child)
		_exit(0);
	HMMU_CHECK(child > 0);
	live_child_ok(child);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

static _Atomic unsigned int stop;

static void *migrate(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_acquire))
		(void)live_migrate(live_device, arg, BYTES);
	return arg;
}

/* Whatever is on its way at that moment. */
static void test_fork_while_others_migrate(void)
{
	char *p = live_map_small(PAGES, 1);
	pthread_t thread;
	pid_t child;
	int i;

	live_open();
	thread = live_thread(migrate, p);
	for (i = 0; i < 20; i++) {
		child = fork();
		HMMU_CHECK(child >= 0);
		if (!child) {
			LIVE_CHECK(p, BYTES, 1);
			live_fill(p, BYTES, 7);
			LIVE_CHECK(p, BYTES, 7);
			_exit(0);
		}
		LIVE_CHECK(p, BYTES, 1);
		live_child_ok(child);
	}
	atomic_store_explicit(&stop, 1, memory_order_release);
	live_join(thread);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

/* Says what it found when its parent is gone. */
static void orphan(const char *p, int fd, pid_t parent)
{
	const uint64_t *words = (const uint64_t *)p;
	char result = 'y';
	size_t i;

	while (getppid() == parent)
		usleep(1000);
	for (i = 0; i < BYTES / 8; i++)
		if (words[i] != live_word(1, i))
			result = 'n';
	if (write(fd, &result, 1) != 1)
		_exit(1);
	_exit(0);
}

static void forks_and_dies(int fd)
{
	char *p = open_mixed();
	pid_t parent = getpid();

	if (!fork())
		orphan(p, fd, parent);
	(void)kill(parent, SIGKILL);
}

/* The parent is killed right after: the child has everything. */
static void test_fork_parent_killed(void)
{
	int pipes[2], status;
	pid_t parent;
	char result;

	live_need_move();
	HMMU_CHECK_INT(pipe(pipes), 0);
	parent = fork();
	HMMU_CHECK(parent >= 0);
	if (!parent) {
		forks_and_dies(pipes[1]);
		_exit(1);
	}
	close(pipes[1]);
	HMMU_CHECK_INT(waitpid(parent, &status, 0), parent);
	HMMU_CHECK(WIFSIGNALED(status));
	HMMU_CHECK_INT(read(pipes[0], &result, 1), 1);
	HMMU_CHECK_INT(result, 'y');
}

enum {
	FORKERS = 3,
	FORKS = 40,
};

/* In their handlers at the same time: each child knows that it is one. */
static void *fork_often(void *p)
{
	pid_t child;
	int i;

	for (i = 0; i < FORKS; i++) {
		child = fork();
		HMMU_CHECK(child >= 0);
		if (!child) {
			HMMU_CHECK_INT(hmmu_migrate_to_system(live_space, PAGE,
							      PAGE, NULL),
				       -ECHILD);
			LIVE_CHECK(p, BYTES, 1);
			_exit(0);
		}
		live_child_ok(child);
		(void)live_migrate(live_device, p, BYTES);
	}
	return NULL;
}

static void test_fork_in_several_threads(void)
{
	pthread_t threads[FORKERS];
	char *p = live_map_small(PAGES, 1);
	int i;

	live_open();
	live_take(p, BYTES);
	for (i = 0; i < FORKERS; i++)
		threads[i] = live_thread(fork_often, p);
	for (i = 0; i < FORKERS; i++)
		live_join(threads[i]);
	LIVE_CHECK(p, BYTES, 1);
	live_take(p, BYTES);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_fork_fk2_parent_writes_first),
	       HMMU_TEST(test_fork_fk2_child_writes_first),
	       HMMU_TEST(test_fork_fk2_large_pages),
	       HMMU_TEST_TIMEOUT(test_fork_fk2_a_gib_of_large_pages, 120),
	       HMMU_TEST(test_fork_fk7_device_writes_for_the_parent),
	       HMMU_TEST(test_fork_e10_child_opens_its_own_space),
	       HMMU_TEST(test_fork_child_opens_in_a_handler),
	       HMMU_TEST(test_fork_grandchild),
	       HMMU_TEST(test_fork_spawn_and_vfork),
	       HMMU_TEST(test_fork_while_others_migrate),
	       HMMU_TEST(test_fork_in_several_threads),
	       HMMU_TEST(test_fork_parent_killed))
