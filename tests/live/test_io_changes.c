/* SPDX-License-Identifier: MIT */
/*
 * System calls of an ordinary user on memory that changes, or by somebody who is
 * about something else. Calls on memory that just lies there are in test_io.c.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"

enum {
	PAGES = 16,
};

#define BYTES ((size_t)PAGES * PAGE)
#define HALF  (BYTES / 2)

static int new_file(void)
{
	int file = memfd_create("test_io", MFD_CLOEXEC);

	HMMU_CHECK(file >= 0);
	return file;
}

static char *away;

/*
 * The thread that calls vfork(2) has not called HMMU before: what it becomes to
 * HMMU in the child, it stays.
 */
static void *touches_after_vfork(void *arg)
{
	int ends[2], status;
	struct hmmu_port *port;
	pid_t child;
	size_t run;
	void *at;

	(void)arg;
	HMMU_CHECK_OK(pipe(ends));
	child = (pid_t)vfork();
	if (!child) {
		(void)!write(ends[1], "x", 1);
		_exit(0);
	}
	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	port = live_port();
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)away, 8, HMMU_ACCESS_READ,
				     &at, &run));
	HMMU_CHECK_INT(live_word(1, 0), *(volatile uint64_t *)away);
	hmmu_port_end(port);
	hmmu_port_close(port);
	return NULL;
}

static void test_io_changes_vfork_child(void)
{
	away = live_map_small(PAGES, 1);
	live_open_served();
	live_take(away, BYTES);
	live_join(live_thread(touches_after_vfork, NULL));
	live_close();
}

#define MOVED_BYTES (32 * LARGE)
#define MOVES	    30

static char *remap_raw(char *p, size_t bytes, size_t to_bytes, int flags,
		       char *to)
{
	return (char *)syscall(SYS_mremap, p, bytes, to_bytes, flags, to);
}

/*
 * realloc(3) moves a block by a call that no hook sees: the kernel lets it go on
 * when the event has been read.
 */
static void test_io_changes_write_what_has_just_moved(void)
{
	int file = new_file(), i;
	char *p, *page;

	live_open_served();
	for (i = 0; i < MOVES; i++) {
		p = malloc(MOVED_BYTES);
		HMMU_CHECK(p);
		page = (char *)hmmu_round_up((uintptr_t)p, PAGE);
		memset(p, i + 1, MOVED_BYTES);
		(void)live_migrate(live_device, page, MOVED_BYTES - 2 * PAGE);
		p = realloc(p, 2 * MOVED_BYTES);
		HMMU_CHECK(p);
		HMMU_CHECK_INT(pwrite(file, p + MOVED_BYTES / 2, PAGE, 0),
			       PAGE);
		HMMU_CHECK_INT(p[MOVED_BYTES / 2], i + 1);
		free(p);
	}
	live_close();
}

/* What it has grown by: no event tells, and it is armed. */
static void read_into_growth(char *p, char *to)
{
	int file = new_file(),
	    flags = to == p ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED;
	char *q = live_map_small(PAGES / 2, 2);

	HMMU_CHECK_INT(pwrite(file, q, HALF, 0), HALF);
	HMMU_CHECK(remap_raw(p, HALF, BYTES, flags, to) == to);
	HMMU_CHECK_INT(pread(file, to + HALF, HALF, 0), HALF);
	LIVE_CHECK(to, HALF, 1);
	LIVE_CHECK(to + HALF, HALF, 2);
}

static void test_io_changes_read_into_what_has_grown(void)
{
	char *p = live_map_small(PAGES, 1), *to = live_map(BYTES);

	live_open_served();
	HMMU_CHECK_OK(munmap(p + HALF, HALF));
	live_take(p, HALF);
	read_into_growth(p, p);
	HMMU_CHECK_OK(munmap(p + HALF, HALF));
	live_take(p, HALF);
	read_into_growth(p, to);
	live_close();
}

/* What is at home needs nobody, and the caller's section goes on. */
static void test_io_changes_leaves_a_section_alone(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(1, 2);
	int file = new_file();
	struct hmmu_port *port;
	uint64_t value = 0;
	size_t run;
	void *at;

	live_open_served();
	live_take(p + HALF, HALF);
	port = live_port();
	hmmu_port_begin(port);
	HMMU_CHECK_OK(hmmu_port_span(port, (uintptr_t)q, 8, HMMU_ACCESS_READ,
				     &at, &run));
	HMMU_CHECK_INT(write(file, p, PAGE), PAGE);
	HMMU_CHECK_OK(hmmu_port_load64(port, (uintptr_t)q, &value));
	hmmu_port_end(port);
	HMMU_CHECK_INT(value, live_word(2, 0));
	hmmu_port_close(port);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_io_changes_vfork_child),
	       HMMU_TEST(test_io_changes_write_what_has_just_moved),
	       HMMU_TEST(test_io_changes_read_into_what_has_grown),
	       HMMU_TEST(test_io_changes_leaves_a_section_alone))
