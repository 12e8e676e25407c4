/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of devices
 *
 * Each open of a device creates an anonymous file whose content identifies the
 * device. So dup(2) and other calls work as on any descriptor, and a forked
 * child inherits it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dmirror.h"

#define DEVICE_PREFIX "/dev/hmm_dmirror"
#define GUP_PATH      "/sys/kernel/debug/gup_test"

static const char magic[8] = "hmmudev";

/* The content, at offset 4096 of the file. */
struct content {
	char magic[8];
	struct dmirror_file file;
};

/* Set when the first descriptor is created; before, none can be a device. */
static _Atomic bool any;

struct dmirror_file dmirror_file_named(const char *path)
{
	struct dmirror_file f = { .kind = DMIRROR_NONE };
	const char *number;

	if (!path)
		return f;
	number = path + sizeof(DEVICE_PREFIX) - 1;
	if (!strcmp(path, GUP_PATH)) {
		f.kind = DMIRROR_GUP;
	} else if (!strncmp(path, DEVICE_PREFIX, sizeof(DEVICE_PREFIX) - 1) &&
		   *number >= '0' && *number < '0' + (int)DMIRROR_UNITS &&
		   !number[1]) {
		f.kind = DMIRROR_DEVICE;
		f.unit = (unsigned int)(*number - '0');
	}
	f.opener = getpid();
	return f;
}

static int write_content(int fd, const struct dmirror_file *file)
{
	struct content c = { .file = *file };

	memcpy(c.magic, magic, sizeof(magic));
	if (pwrite(fd, &c, sizeof(c), 4096) != (ssize_t)sizeof(c))
		return -errno;
	return 0;
}

int dmirror_file_open(const struct dmirror_file *file, int flags)
{
	unsigned int how = flags & O_CLOEXEC ? MFD_CLOEXEC : 0;
	int fd = memfd_create("hmm_dmirror", how);
	int err;

	if (fd < 0)
		return -errno;
	err = write_content(fd, file);
	if (err) {
		syscall(SYS_close, fd);
		return err;
	}
	atomic_store_explicit(&any, true, memory_order_release);
	return fd;
}

struct dmirror_file dmirror_file_of(int fd)
{
	struct dmirror_file none = { .kind = DMIRROR_NONE };
	struct content c;

	if (!atomic_load_explicit(&any, memory_order_acquire))
		return none;
	if (pread(fd, &c, sizeof(c), 4096) != (ssize_t)sizeof(c) ||
	    memcmp(c.magic, magic, sizeof(magic)))
		return none;
	return c.file;
}

static bool has_file(int fd, const struct stat *own)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_dev == own->st_dev &&
	       st.st_ino == own->st_ino;
}

/* struct linux_dirent64. opendir(3) is not used, because it allocates. */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* True if a descriptor in @entries other than @fd has the file @own. */
static bool any_has_file(const char *entries, long bytes, int fd,
			 const struct stat *own)
{
	const struct entry *e;
	long at;

	for (at = 0; at < bytes; at += e->reclen) {
		e = (const struct entry *)(entries + at);
		if (e->name[0] != '.' && atoi(e->name) != fd &&
		    has_file(atoi(e->name), own))
			return true;
	}
	return false;
}

bool dmirror_file_is_last(int fd)
{
	int dir = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/fd",
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	_Alignas(struct entry) char entries[4096];
	struct stat own;
	bool last = true;
	long n;

	if (dir < 0)
		return true;
	if (fstat(fd, &own)) {
		syscall(SYS_close, dir);
		return true;
	}
	while (last &&
	       (n = syscall(SYS_getdents64, dir, entries, sizeof(entries))) > 0)
		last = !any_has_file(entries, n, fd, &own);
	syscall(SYS_close, dir);
	return last;
}
