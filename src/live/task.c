/* SPDX-License-Identifier: MIT */
/*
 * The state of the process's other threads, as /proc/self/task shows it
 *
 * Locking: none.
 */
#include "live/task.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/compiler.h"
#include "base/sys.h"

#define TASKS "/proc/self/task/"

/* True for system calls that raise events. */
static bool changes_mappings(long nr)
{
	return nr == SYS_munmap || nr == SYS_mmap || nr == SYS_mremap ||
	       nr == SYS_madvise || nr == SYS_brk;
}

/* Read "NUMBER ..." from a file. -1: it has something else ("running"). */
static long first_number(const char *path)
{
	int fd = hmmu__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	char text[32];
	long nr = 0;
	ssize_t n, i;

	if (fd < 0)
		return -1;
	n = hmmu__sys_read(fd, text, sizeof(text));
	hmmu__sys_close(fd);
	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++)
		nr = nr * 10 + (text[i] - '0');
	return i > 0 ? nr : -1;
}

void hmmu__append_number(char *path, int number)
{
	char *at = path + strlen(path);
	char digits[12];
	int n = 0;

	do {
		digits[n++] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	while (n)
		*at++ = digits[--n];
	*at = '\0';
}

/* "/proc/self/task/TID/NAME" */
static void task_path(char *path, size_t room, int tid, const char *name)
{
	memcpy(path, TASKS, sizeof(TASKS));
	hmmu__append_number(path, tid);
	(void)strncat(path, name, room - strlen(path) - 1);
}

/* The reason why a thread sleeps in the kernel. */
enum hmmu_sleep {
	HMMU_SLEEP_UNKNOWN,
	HMMU_SLEEP_FOR_EVENT,
	HMMU_SLEEP_OTHERWISE,
};

/*
 * The file has "0" for a thread that runs, and if the kernel does not reveal
 * it.
 */
static enum hmmu_sleep sleep_of(int tid)
{
	static const char wait[] = "userfaultfd_event_wait_completion";
	char path[64], text[64] = "";
	ssize_t n = -1;
	int fd;

	task_path(path, sizeof(path), tid, "/wchan");
	fd = hmmu__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		n = hmmu__sys_read(fd, text, sizeof(text) - 1);
		hmmu__sys_close(fd);
	}
	if (n <= 1)
		return HMMU_SLEEP_UNKNOWN;
	return strncmp(text, wait, sizeof(wait) - 1) ? HMMU_SLEEP_OTHERWISE :
						       HMMU_SLEEP_FOR_EVENT;
}

/* It waits for a page there, while its change is in progress. */
bool hmmu__task_is_in_mremap(int tid)
{
	char path[64];

	task_path(path, sizeof(path), tid, "/syscall");
	return first_number(path) == SYS_mremap &&
	       sleep_of(tid) != HMMU_SLEEP_FOR_EVENT;
}

/*
 * A thread that waits for its event to be read sleeps on while the service
 * looks at it, because only the service reads events.
 */
bool hmmu__task_changes_mappings(int tid)
{
	char path[64];

	task_path(path, sizeof(path), tid, "/syscall");
	return changes_mappings(first_number(path)) &&
	       sleep_of(tid) != HMMU_SLEEP_OTHERWISE;
}

/*
 * The address of the thread's robust list. It is in the C library's record of
 * the thread, at the top of its stack.
 */
static uintptr_t thread_record(int tid)
{
	size_t len = 0;
	void *head = NULL;

	if (hmmu__syscall(SYS_get_robust_list, tid, (long)&head, (long)&len, 0,
			  0, 0))
		return 0;
	return (uintptr_t)head;
}

struct entry64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static int number(const char *s)
{
	int n = 0;

	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (*s - '0');
	return *s ? 0 : n;
}

static bool entries_hold(const uint8_t *buf, long bytes, uintptr_t start,
			 uintptr_t end)
{
	long at = 0;

	while (at < bytes) {
		const struct entry64 *e = (const void *)(buf + at);
		int tid = number(e->name);
		uintptr_t rec = tid ? thread_record(tid) : 0;

		if (rec >= start && rec < end)
			return true;
		at += e->reclen;
	}
	return false;
}

bool hmmu__holds_thread(uintptr_t start, uintptr_t end)
{
	_Alignas(8) uint8_t buf[1024];
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	bool found = here >= start && here < end;
	long n;
	int fd;

	/* Without the list of threads any mapping could be a stack. */
	fd = hmmu__sys_open("/proc/self/task",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return true;
	while (!found && (n = hmmu__syscall(SYS_getdents64, fd, (long)buf,
					    sizeof(buf), 0, 0, 0)) > 0)
		found = entries_hold(buf, n, start, end);
	hmmu__sys_close(fd);
	return found;
}
