/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_SYS_H
#define HMMU_BASE_SYS_H

/*
 * System calls that do not write errno
 *
 * Overview: errno is in the thread's TLS, and TLS pages can be on a device. A
 * thread that touches one while it holds a lock of the fault service waits for
 * itself. So these functions return -errno, as the kernel does. They are not
 * cancellation points.
 *
 * Not supported: sanitizers and valgrind do not see what the kernel writes. The
 * caller initialises that memory first.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/compiler.h"

#ifndef __x86_64__
#error "HMMU supports x86-64 only"
#endif

/* Any system call; unused arguments are 0. Returns its result or -errno. */
static inline long hmmu__syscall(long nr, long a, long b, long c, long d,
				 long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* For calls that return an address: true if @ret is an error. */
static inline bool hmmu__sys_is_error(long ret)
{
	return (unsigned long)ret >= (unsigned long)-4095L;
}

static inline int hmmu__sys_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)hmmu__syscall(SYS_ioctl, fd, (long)request, (long)arg, 0, 0,
				  0);
}

static inline ssize_t hmmu__sys_read(int fd, void *buf, size_t bytes)
{
	return hmmu__syscall(SYS_read, fd, (long)buf, (long)bytes, 0, 0, 0);
}

static inline ssize_t hmmu__sys_pread(int fd, void *buf, size_t bytes,
				      int64_t offset)
{
	return hmmu__syscall(SYS_pread64, fd, (long)buf, (long)bytes, offset, 0,
			     0);
}

static inline ssize_t hmmu__sys_write(int fd, const void *buf, size_t bytes)
{
	return hmmu__syscall(SYS_write, fd, (long)buf, (long)bytes, 0, 0, 0);
}

/* Returns the address or an error: see hmmu__sys_is_error(). */
static inline long hmmu__sys_mmap(uintptr_t addr, size_t bytes, int prot,
				  int flags, int fd, int64_t offset)
{
	return hmmu__syscall(SYS_mmap, (long)addr, (long)bytes, prot, flags, fd,
			     offset);
}

static inline int hmmu__sys_munmap(uintptr_t addr, size_t bytes)
{
	return (int)hmmu__syscall(SYS_munmap, (long)addr, (long)bytes, 0, 0, 0,
				  0);
}

static inline int hmmu__sys_mprotect(uintptr_t addr, size_t bytes, int prot)
{
	return (int)hmmu__syscall(SYS_mprotect, (long)addr, (long)bytes, prot,
				  0, 0, 0);
}

static inline int hmmu__sys_madvise(uintptr_t addr, size_t bytes, int advice)
{
	return (int)hmmu__syscall(SYS_madvise, (long)addr, (long)bytes, advice,
				  0, 0, 0);
}

static inline int hmmu__sys_munlock(uintptr_t addr, size_t bytes)
{
	return (int)hmmu__syscall(SYS_munlock, (long)addr, (long)bytes, 0, 0, 0,
				  0);
}

/* Returns the new address or an error, like hmmu__sys_mmap(). */
static inline long hmmu__sys_mremap(uintptr_t old_addr, size_t old_bytes,
				    size_t new_bytes, int flags,
				    uintptr_t new_addr)
{
	return hmmu__syscall(SYS_mremap, (long)old_addr, (long)old_bytes,
			     (long)new_bytes, flags, (long)new_addr, 0);
}

/* A NULL @timeout waits forever. The kernel may write to @timeout. */
static inline int hmmu__sys_poll(struct pollfd *fds, unsigned int nfds,
				 struct timespec *timeout)
{
	return (int)hmmu__syscall(SYS_ppoll, (long)fds, nfds, (long)timeout, 0,
				  0, 0);
}

static inline int hmmu__sys_eventfd(int flags)
{
	return (int)hmmu__syscall(SYS_eventfd2, 0, flags, 0, 0, 0, 0);
}

static inline int hmmu__sys_close(int fd)
{
	return (int)hmmu__syscall(SYS_close, fd, 0, 0, 0, 0, 0);
}

static inline int hmmu__sys_open(const char *path, int flags, unsigned int mode)
{
	return (int)hmmu__syscall(SYS_openat, AT_FDCWD, (long)path, flags, mode,
				  0, 0);
}

/* Bit n - 1 of a 64-bit set is signal n. Either pointer may be NULL. */
static inline int hmmu__sys_sigprocmask(int how, const uint64_t *set,
					uint64_t *old)
{
	return (int)hmmu__syscall(SYS_rt_sigprocmask, how, (long)set, (long)old,
				  sizeof(uint64_t), 0, 0);
}

#endif
