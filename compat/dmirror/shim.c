/* SPDX-License-Identifier: MIT */
/*
 * Replacements of calls of the C library: calls on a device are handled here,
 * all others are passed to the next library or to the kernel
 */
/* Both names of each call are defined here. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dmirror.h"

#define EXPORT __attribute__((visibility("default")))

static int set_errno(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

/* --- open -------------------------------------------------------------------------- */

static int open_device(const struct dmirror_file *file, int flags)
{
	int err = 0, fd;

	if (file->kind == DMIRROR_DEVICE)
		err = dmirror_unit_open(file->unit);
	if (err)
		return set_errno(err);
	fd = dmirror_file_open(file, flags);
	if (fd < 0 && file->kind == DMIRROR_DEVICE)
		dmirror_unit_close(file->unit);
	return set_errno(fd);
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
	struct dmirror_file file = { .kind = DMIRROR_NONE };

	if (path)
		file = dmirror_file_named(path);
	if (file.kind != DMIRROR_NONE)
		return open_device(&file, flags);
	if (path)
		dmirror_pagemap_opened(path);
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list ap)
{
	bool has = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;

	return has ? va_arg(ap, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
	__attribute__((alias("open")));

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return open_any(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
	__attribute__((alias("openat")));

/* Called by programs that are compiled with _FORTIFY_SOURCE. */
EXPORT int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
	return open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
	__attribute__((alias("__open_2")));

/* --- read -------------------------------------------------------------------------- */

/* The next library's function, in which a thread may be cancelled. */
#define NEXT(fn) ((__typeof__(&(fn)))dlsym(RTLD_NEXT, #fn))

static ssize_t corrected(off_t at, void *buf, ssize_t n)
{
	if (at >= 0 && n > 0)
		dmirror_pagemap_correct(at, buf, (size_t)n);
	return n;
}

EXPORT ssize_t read(int fd, void *buf, size_t bytes)
{
	static __typeof__(&read) next;
	off_t at;

	if (!next)
		next = NEXT(read);
	if (!dmirror_pagemap_is(fd))
		return next(fd, buf, bytes);
	at = lseek(fd, 0, SEEK_CUR);
	return corrected(at, buf, next(fd, buf, bytes));
}

EXPORT ssize_t pread(int fd, void *buf, size_t bytes, off_t at)
{
	static __typeof__(&pread) next;

	if (!next)
		next = NEXT(pread);
	if (!dmirror_pagemap_is(fd))
		return next(fd, buf, bytes, at);
	return corrected(at, buf, next(fd, buf, bytes, at));
}

EXPORT ssize_t pread64(int fd, void *buf, size_t bytes, off_t at)
	__attribute__((alias("pread")));

/* Called by programs that are compiled with _FORTIFY_SOURCE. */
void __chk_fail(void) __attribute__((noreturn));
EXPORT ssize_t __read_chk(int fd, void *buf, size_t bytes, size_t room);
EXPORT ssize_t __pread_chk(int fd, void *buf, size_t bytes, off_t at,
			   size_t room);

ssize_t __read_chk(int fd, void *buf, size_t bytes, size_t room)
{
	if (bytes > room)
		__chk_fail();
	return read(fd, buf, bytes);
}

ssize_t __pread_chk(int fd, void *buf, size_t bytes, off_t at, size_t room)
{
	if (bytes > room)
		__chk_fail();
	return pread(fd, buf, bytes, at);
}

EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t bytes, off_t at,
			     size_t room) __attribute__((alias("__pread_chk")));

/* --- the others ---------------------------------------------------------------------- */

EXPORT int close(int fd)
{
	struct dmirror_file file = dmirror_file_of(fd);
	bool last = file.kind == DMIRROR_DEVICE && file.opener == getpid() &&
		    dmirror_file_is_last(fd);
	int ret = (int)syscall(SYS_close, fd);

	if (!ret && last)
		dmirror_unit_close(file.unit);
	return ret;
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct dmirror_file file = dmirror_file_of(fd);
	uint64_t arg;
	va_list ap;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	/* Programs may have sign-extended it from an int. */
	request = (unsigned int)request;
	switch (file.kind) {
	case DMIRROR_DEVICE:
		return set_errno(dmirror_command(&file, request, arg));
	case DMIRROR_GUP:
		return set_errno(dmirror_gup(request, arg));
	default:
		return (int)syscall(SYS_ioctl, fd, request, arg);
	}
}

typedef void *mmap_fn(void *, size_t, int, int, int, off_t);

/* HMMU's hook, which comes next after this library. */
static mmap_fn *next_mmap(void)
{
	static mmap_fn *next;

	if (!next)
		next = (mmap_fn *)dlsym(RTLD_NEXT, "mmap");
	return next;
}

/* Map new zeroed pages of the device, which are present at once. */
static void *map_device(void *addr, size_t length, int prot, int flags)
{
	int fd = memfd_create("hmm_dmirror pages", MFD_CLOEXEC);
	void *p = MAP_FAILED;

	if (fd < 0)
		return p;
	if (!ftruncate(fd, (off_t)length))
		p = next_mmap()(addr, length, prot, flags, fd, 0);
	syscall(SYS_close, fd);
	if (p != MAP_FAILED && prot & PROT_READ)
		(void)madvise(p, length, 22 /* MADV_POPULATE_READ */);
	return p;
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd,
		  off_t offset)
{
	if (fd >= 0 && !(flags & MAP_ANONYMOUS) &&
	    dmirror_file_of(fd).kind == DMIRROR_DEVICE)
		return map_device(addr, length, prot, flags);
	return next_mmap()(addr, length, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset) __attribute__((alias("mmap")));
