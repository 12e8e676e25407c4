/* SPDX-License-Identifier: MIT */
/*
 * Messages in memory that is on a device: send, recv and their kin, and all
 * that a message is described by. Variants as those of test_io.c.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "fixture.h"

enum {
	PAGES = 16,
	COUNT = 3,
};

#define BYTES ((size_t)PAGES * PAGE)
#define PART  ((size_t)2 * PAGE)

static void make_pair(int type, int ends[2])
{
	HMMU_CHECK_OK(socketpair(AF_UNIX, type, 0, ends));
}

/* A datagram that is refused is lost: it comes whole, or the test fails. */
static void test_sockets_send_and_recv(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	int ends[2];

	make_pair(SOCK_DGRAM, ends);
	live_open_served();
	live_take(p, BYTES);
	live_take(q, BYTES);
	HMMU_CHECK_INT(send(ends[0], p, PART, 0), PART);
	HMMU_CHECK_INT(recv(ends[1], q, PART, 0), PART);
	LIVE_CHECK(q, PART, 1);
	live_take(q, BYTES);
	HMMU_CHECK_INT(send(ends[0], p, PART, 0), PART);
	HMMU_CHECK_INT(recvfrom(ends[1], q, PART, 0, NULL, NULL), PART);
	LIVE_CHECK(q, PART, 1);
	LIVE_CHECK(p, BYTES, 1);
	live_close();
}

static int udp_socket(struct sockaddr_in *address)
{
	socklen_t bytes = sizeof(*address);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0)
		HMMU_SKIP("the internet protocol");
	*address = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	if (bind(fd, (void *)address, bytes))
		HMMU_SKIP("the internet protocol");
	HMMU_CHECK_OK(getsockname(fd, (void *)address, &bytes));
	return fd;
}

static void test_sockets_addresses(void)
{
	struct sockaddr_in *to = live_map_small(1, 3),
			   *from = live_map_small(1, 4), mine;
	socklen_t *bytes = live_map_small(1, 5);
	char *p = live_map_small(1, 1), *q = live_map_small(1, 2);
	int receiver = udp_socket(to), sender = udp_socket(&mine);

	*bytes = sizeof(*from);
	live_open_served();
	live_take(p, PAGE);
	live_take(to, PAGE);
	HMMU_CHECK_INT(sendto(sender, p, 100, 0, (void *)to, sizeof(*to)), 100);
	live_take(q, PAGE);
	live_take(from, PAGE);
	live_take(bytes, PAGE);
	HMMU_CHECK_INT(recvfrom(receiver, q, PAGE, 0, (void *)from, bytes),
		       100);
	HMMU_CHECK_INT(*bytes, sizeof(*from));
	HMMU_CHECK_INT(from->sin_port, mine.sin_port);
	LIVE_CHECK(q, 96, 1);
	live_close();
}

/* A message with everything, each in a page of its own. */
struct message {
	struct msghdr *head;
	struct iovec *iov;
	char *control;
	char *data;
};

static void message_make(struct message *m, uint64_t seed)
{
	m->head = live_map_small(1, 3);
	m->iov = live_map_small(1, 4);
	m->control = live_map_small(1, 5);
	m->data = live_map_small(PAGES, seed);
	m->iov[0] = (struct iovec){ m->data, PART };
	m->iov[1] = (struct iovec){ m->data + 2 * PART, PART };
	*m->head = (struct msghdr){
		.msg_iov = m->iov,
		.msg_iovlen = 2,
		.msg_control = m->control,
		.msg_controllen = CMSG_SPACE(sizeof(int)),
	};
}

static void message_take(struct message *m)
{
	live_take(m->head, PAGE);
	live_take(m->iov, PAGE);
	live_take(m->control, PAGE);
	live_take(m->data, BYTES);
}

static void message_add_file(struct message *m, int file)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m->head);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(file));
}

static int message_file(struct message *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m->head);
	int file;

	HMMU_CHECK(c);
	HMMU_CHECK_INT(c->cmsg_type, SCM_RIGHTS);
	memcpy(&file, CMSG_DATA(c), sizeof(file));
	return file;
}

static void test_sockets_messages(void)
{
	struct message m, r;
	int ends[2];

	make_pair(SOCK_DGRAM, ends);
	message_make(&m, 1);
	message_make(&r, 2);
	message_add_file(&m, ends[0]);
	live_open_served();
	message_take(&m);
	message_take(&r);
	HMMU_CHECK_INT(sendmsg(ends[0], m.head, 0), 2 * PART);
	HMMU_CHECK_INT(recvmsg(ends[1], r.head, 0), 2 * PART);
	LIVE_CHECK(r.data, PART, 1);
	LIVE_CHECK_AT(r.data + PART, PART, 2, PART);
	LIVE_CHECK_AT(r.data + 2 * PART, PART, 1, 2 * PART);
	HMMU_CHECK_OK(close(message_file(&r)));
	live_close();
}

static struct mmsghdr *many_make(char *p)
{
	struct mmsghdr *many = live_map_small(1, 6);
	struct iovec *iov = (void *)(many + COUNT);
	size_t i;

	for (i = 0; i < COUNT; i++) {
		iov[i] = (struct iovec){ p + i * PART, PART };
		many[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov[i],
							 .msg_iovlen = 1 } };
	}
	return many;
}

static void test_sockets_many_messages(void)
{
	char *p = live_map_small(PAGES, 1), *q = live_map_small(PAGES, 2);
	struct mmsghdr *out = many_make(p), *in = many_make(q);
	struct timespec *timeout = (void *)live_map_small(1, 0);
	int ends[2];
	size_t i;

	make_pair(SOCK_DGRAM, ends);
	live_open_served();
	live_take(p, BYTES);
	live_take(q, BYTES);
	live_take(out, PAGE);
	live_take(in, PAGE);
	*timeout = (struct timespec){ .tv_sec = 10 };
	live_take(timeout, PAGE);
	HMMU_CHECK_INT(sendmmsg(ends[0], out, COUNT, 0), COUNT);
	HMMU_CHECK_INT(recvmmsg(ends[1], in, COUNT, 0, timeout), COUNT);
	for (i = 0; i < COUNT; i++)
		HMMU_CHECK_INT(in[i].msg_len, PART);
	LIVE_CHECK(q, COUNT * PART, 1);
	LIVE_CHECK_AT(q + COUNT * PART, BYTES - COUNT * PART, 2, COUNT * PART);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_sockets_send_and_recv),
	       HMMU_TEST(test_sockets_addresses),
	       HMMU_TEST(test_sockets_messages),
	       HMMU_TEST(test_sockets_many_messages))
