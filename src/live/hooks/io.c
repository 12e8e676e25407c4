/* SPDX-License-Identifier: MIT */
/*
 * Hooks of read(2), write(2), pread, pwrite, readv, writev and their variants:
 * their buffers are in system memory, and pinned, until the call returns
 * (lend.h)
 *
 * The functions are weak: a statically linked program may define functions of
 * these names, and a sanitizer's runtime does.
 */

/* Both names of pread are defined here: the headers must not rename one. */
#undef _FILE_OFFSET_BITS
/* Nor define one. */
#undef _FORTIFY_SOURCE
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "live/hooks/lend.h"
#include "live/hooks/next.h"

#define HOOK	    HMMU_API __attribute__((weak))
#define ALIAS(name) HMMU_API __attribute__((weak, alias(#name)))

enum {
	READ,
	PREAD,
	READV,
	PREADV,
	WRITE,
	PWRITE,
	WRITEV,
	PWRITEV,
	PREADV2,
	PWRITEV2,
	NEXTS,
};

static struct hmmu_next next[NEXTS] = {
	[READ] = { "read", SYS_read, NULL },
	[PREAD] = { "pread64", SYS_pread64, NULL },
	[READV] = { "readv", SYS_readv, NULL },
	[PREADV] = { "preadv64", SYS_preadv, NULL },
	[WRITE] = { "write", SYS_write, NULL },
	[PWRITE] = { "pwrite64", SYS_pwrite64, NULL },
	[WRITEV] = { "writev", SYS_writev, NULL },
	[PWRITEV] = { "pwritev64", SYS_pwritev, NULL },
	/* See call_vector(). */
	[PREADV2] = { "preadv64v2", SYS_preadv2, NULL },
	[PWRITEV2] = { "pwritev64v2", SYS_pwritev2, NULL },
};

static __attribute__((constructor)) void find_io_functions(void)
{
	hmmu__next_find(next, NEXTS);
}

/*
 * One buffer, with or without the offset @at. The buffer is passed as an
 * address because it need not be initialised.
 */
static ssize_t io_buffer_call(int which, int fd, uintptr_t buf, size_t bytes,
			      off_t at)
{
	struct hmmu_lending l;
	ssize_t ret;

	if (hmmu_likely(!hmmu__lend_begin(&l)))
		return hmmu__next_call(&next[which], fd, (long)buf, (long)bytes,
				       at, 0, 0);
	hmmu__lend(&l, (const void *)buf, bytes);
	hmmu__lend_done(&l);
	ret = hmmu__next_call(&next[which], fd, (long)buf, (long)bytes, at, 0,
			      0);
	hmmu__lend_end(&l);
	return ret;
}

/*
 * The system calls with flags have one argument more, the upper half of the
 * offset, before the flags.
 */
static ssize_t call_vector(int which, int fd, const struct iovec *iov,
			   int count, off_t at, int flags)
{
	if (which >= PREADV2 && !next[which].fn)
		return hmmu__next_call(&next[which], fd, (long)iov, count, at,
				       0, flags);
	return hmmu__next_call(&next[which], fd, (long)iov, count, at, flags,
			       0);
}

static ssize_t io_vector_call(int which, int fd, const struct iovec *iov,
			      int count, off_t at, int flags)
{
	struct hmmu_lending l;
	ssize_t ret;

	if (hmmu_likely(!hmmu__lend_begin(&l)))
		return call_vector(which, fd, iov, count, at, flags);
	hmmu__lend_vector(&l, iov, count > 0 ? (size_t)count : 0);
	hmmu__lend_done(&l);
	ret = call_vector(which, fd, iov, count, at, flags);
	hmmu__lend_end(&l);
	return ret;
}

/* To memory ---------------------------------------------------------------- */

HOOK ssize_t read(int fd, void *buf, size_t bytes)
{
	return io_buffer_call(READ, fd, (uintptr_t)buf, bytes, 0);
}

HOOK ssize_t pread(int fd, void *buf, size_t bytes, off_t at)
{
	return io_buffer_call(PREAD, fd, (uintptr_t)buf, bytes, at);
}

ALIAS(pread) ssize_t pread64(int fd, void *buf, size_t bytes, off64_t at);

HOOK ssize_t readv(int fd, const struct iovec *iov, int count)
{
	return io_vector_call(READV, fd, iov, count, 0, 0);
}

HOOK ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
	return io_vector_call(PREADV, fd, iov, count, at, 0);
}

ALIAS(preadv)
ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t at);

HOOK ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t at,
		     int flags)
{
	return io_vector_call(PREADV2, fd, iov, count, at, flags);
}

ALIAS(preadv2)
ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t at,
		   int flags);

/* From memory -------------------------------------------------------------- */

HOOK ssize_t write(int fd, const void *buf, size_t bytes)
{
	return io_buffer_call(WRITE, fd, (uintptr_t)buf, bytes, 0);
}

HOOK ssize_t pwrite(int fd, const void *buf, size_t bytes, off_t at)
{
	return io_buffer_call(PWRITE, fd, (uintptr_t)buf, bytes, at);
}

ALIAS(pwrite)
ssize_t pwrite64(int fd, const void *buf, size_t bytes, off64_t at);

HOOK ssize_t writev(int fd, const struct iovec *iov, int count)
{
	return io_vector_call(WRITEV, fd, iov, count, 0, 0);
}

HOOK ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
	return io_vector_call(PWRITEV, fd, iov, count, at, 0);
}

ALIAS(pwritev)
ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t at);

HOOK ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t at,
		      int flags)
{
	return io_vector_call(PWRITEV2, fd, iov, count, at, flags);
}

ALIAS(pwritev2)
ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t at,
		    int flags);

/* Names that _FORTIFY_SOURCE uses ------------------------------------------ */

void __chk_fail(void) __attribute__((noreturn));
HMMU_API ssize_t __read_chk(int fd, void *buf, size_t bytes, size_t room);
HMMU_API ssize_t __pread_chk(int fd, void *buf, size_t bytes, off_t at,
			     size_t room);

HOOK ssize_t __read_chk(int fd, void *buf, size_t bytes, size_t room)
{
	if (bytes > room)
		__chk_fail();
	return io_buffer_call(READ, fd, (uintptr_t)buf, bytes, 0);
}

HOOK ssize_t __pread_chk(int fd, void *buf, size_t bytes, off_t at, size_t room)
{
	if (bytes > room)
		__chk_fail();
	return io_buffer_call(PREAD, fd, (uintptr_t)buf, bytes, at);
}

ALIAS(__pread_chk)
ssize_t __pread64_chk(int fd, void *buf, size_t bytes, off64_t at, size_t room);
