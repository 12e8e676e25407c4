/* SPDX-License-Identifier: MIT */
/*
 * Hooks of send(2), recv(2), sendto, recvfrom, sendmsg, recvmsg, sendmmsg and
 * recvmmsg, as in io.c: the messages, their addresses and their control data
 * are pinned
 */

/* The headers must not define the functions. */
#undef _FORTIFY_SOURCE
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "live/hooks/lend.h"
#include "live/state.h"
#include "live/hooks/next.h"
#include "live/touch.h"

#define HOOK HMMU_API __attribute__((weak))

enum {
	RECV,
	RECVFROM,
	RECVMSG,
	RECVMMSG,
	SEND,
	SENDTO,
	SENDMSG,
	SENDMMSG,
	NEXTS,
};

/*
 * Arguments that the function does not have are 0, as the system call expects.
 */
static struct hmmu_next next[NEXTS] = {
	[RECV] = { "recv", SYS_recvfrom, NULL },
	[RECVFROM] = { "recvfrom", SYS_recvfrom, NULL },
	[RECVMSG] = { "recvmsg", SYS_recvmsg, NULL },
	[RECVMMSG] = { "recvmmsg", SYS_recvmmsg, NULL },
	[SEND] = { "send", SYS_sendto, NULL },
	[SENDTO] = { "sendto", SYS_sendto, NULL },
	[SENDMSG] = { "sendmsg", SYS_sendmsg, NULL },
	[SENDMMSG] = { "sendmmsg", SYS_sendmmsg, NULL },
};

static __attribute__((constructor)) void find_socket_functions(void)
{
	hmmu__next_find(next, NEXTS);
}

/* A buffer --------------------------------------------------------------------- */

static ssize_t socket_buffer_call(int which, int fd, uintptr_t buf,
				  size_t bytes, int flags)
{
	struct hmmu_lending l;
	ssize_t ret;

	if (hmmu_likely(!hmmu__lend_begin(&l)))
		return hmmu__next_call(&next[which], fd, (long)buf, (long)bytes,
				       flags, 0, 0);
	hmmu__lend(&l, (const void *)buf, bytes);
	hmmu__lend_done(&l);
	ret = hmmu__next_call(&next[which], fd, (long)buf, (long)bytes, flags,
			      0, 0);
	hmmu__lend_end(&l);
	return ret;
}

HOOK ssize_t recv(int fd, void *buf, size_t bytes, int flags)
{
	return socket_buffer_call(RECV, fd, (uintptr_t)buf, bytes, flags);
}

HOOK ssize_t send(int fd, const void *buf, size_t bytes, int flags)
{
	return socket_buffer_call(SEND, fd, (uintptr_t)buf, bytes, flags);
}

HOOK ssize_t recvfrom(int fd, void *buf, size_t bytes, int flags,
		      __SOCKADDR_ARG from, socklen_t *from_bytes)
{
	struct sockaddr *address = from.__sockaddr__;
	struct hmmu_lending l;
	ssize_t ret;

	if (hmmu_likely(!hmmu__lend_begin(&l)))
		return hmmu__next_call(&next[RECVFROM], fd, (long)buf,
				       (long)bytes, flags, (long)address,
				       (long)from_bytes);
	hmmu__lend(&l, buf, bytes);
	/* No address type is longer, and the kernel writes no more. */
	hmmu__lend(&l, address, sizeof(struct sockaddr_storage));
	hmmu__lend(&l, from_bytes, sizeof(*from_bytes));
	hmmu__lend_done(&l);
	ret = hmmu__next_call(&next[RECVFROM], fd, (long)buf, (long)bytes,
			      flags, (long)address, (long)from_bytes);
	hmmu__lend_end(&l);
	return ret;
}

HOOK ssize_t sendto(int fd, const void *buf, size_t bytes, int flags,
		    __CONST_SOCKADDR_ARG to, socklen_t to_bytes)
{
	const struct sockaddr *address = to.__sockaddr__;
	struct hmmu_lending l;
	ssize_t ret;

	if (hmmu_likely(!hmmu__lend_begin(&l)))
		return hmmu__next_call(&next[SENDTO], fd, (long)buf,
				       (long)bytes, flags, (long)address,
				       (long)to_bytes);
	hmmu__lend(&l, buf, bytes);
	hmmu__lend(&l, address, to_bytes);
	hmmu__lend_done(&l);
	ret = hmmu__next_call(&next[SENDTO], fd, (long)buf, (long)bytes, flags,
			      (long)address, (long)to_bytes);
	hmmu__lend_end(&l);
	return ret;
}

/* Messages --------------------------------------------------------------------- */

/* The kernel returns the error for a message that cannot be read. */
static void lend_message(struct hmmu_lending *l, const struct msghdr *msg)
{
	struct msghdr m;
	uint64_t word[sizeof(m) / sizeof(uint64_t)];

	if (hmmu__peek((uintptr_t)msg, word, HMMU_ARRAY_SIZE(word)))
		return;
	memcpy(&m, word, sizeof(m));
	hmmu__lend(l, m.msg_name, m.msg_namelen);
	hmmu__lend(l, m.msg_control, m.msg_controllen);
	hmmu__lend_vector(l, m.msg_iov, m.msg_iovlen);
}

/* @timeout may be NULL. */
static long message_call(int which, size_t count, size_t each_bytes, int fd,
			 const void *msg, long c, long d,
			 const struct timespec *timeout)
{
	struct hmmu_lending l;
	size_t i;
	long ret;

	if (hmmu_likely(!hmmu__lend_begin(&l)))
		return hmmu__next_call(&next[which], fd, (long)msg, c, d,
				       (long)timeout, 0);
	/* The kernel sends or receives no more in one call. */
	count = hmmu_min(count, IOV_MAX);
	hmmu__lend(&l, timeout, sizeof(*timeout));
	hmmu__lend(&l, msg, count * each_bytes);
	for (i = 0; i < count; i++)
		lend_message(&l,
			     (const void *)((uintptr_t)msg + i * each_bytes));
	hmmu__lend_done(&l);
	ret = hmmu__next_call(&next[which], fd, (long)msg, c, d, (long)timeout,
			      0);
	hmmu__lend_end(&l);
	return ret;
}

HOOK ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	return message_call(RECVMSG, 1, sizeof(*msg), fd, msg, flags, 0, NULL);
}

HOOK ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	return message_call(SENDMSG, 1, sizeof(*msg), fd, msg, flags, 0, NULL);
}

/* Each struct begins with its message. */
HOOK int recvmmsg(int fd, struct mmsghdr *msgs, unsigned int count, int flags,
		  struct timespec *timeout)
{
	return (int)message_call(RECVMMSG, count, sizeof(*msgs), fd, msgs,
				 (long)count, flags, timeout);
}

HOOK int sendmmsg(int fd, struct mmsghdr *msgs, unsigned int count, int flags)
{
	return (int)message_call(SENDMMSG, count, sizeof(*msgs), fd, msgs,
				 (long)count, flags, NULL);
}

/* Names that _FORTIFY_SOURCE uses ---------------------------------------------- */

void __chk_fail(void) __attribute__((noreturn));
HMMU_API ssize_t __recv_chk(int fd, void *buf, size_t bytes, size_t room,
			    int flags);
HMMU_API ssize_t __recvfrom_chk(int fd, void *buf, size_t bytes, size_t room,
				int flags, __SOCKADDR_ARG from,
				socklen_t *from_bytes);

HOOK ssize_t __recv_chk(int fd, void *buf, size_t bytes, size_t room, int flags)
{
	if (bytes > room)
		__chk_fail();
	return socket_buffer_call(RECV, fd, (uintptr_t)buf, bytes, flags);
}

HOOK ssize_t __recvfrom_chk(int fd, void *buf, size_t bytes, size_t room,
			    int flags, __SOCKADDR_ARG from,
			    socklen_t *from_bytes)
{
	if (bytes > room)
		__chk_fail();
	return recvfrom(fd, buf, bytes, flags, from, from_bytes);
}
