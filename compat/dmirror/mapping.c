/* SPDX-License-Identifier: MIT */
/*
 * The program's mappings, from /proc/self/maps
 *
 * Nothing here allocates, because the program's heap may be the mapping in
 * question.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dmirror.h"

/* Reads a file of lines through a buffer. */
struct lines {
	int fd;
	size_t at;
	size_t end;
	char text[4096];
};

static int next_char(struct lines *l)
{
	ssize_t n;

	if (l->at == l->end) {
		n = read(l->fd, l->text, sizeof(l->text));
		if (n <= 0)
			return -1;
		l->at = 0;
		l->end = (size_t)n;
	}
	return (unsigned char)l->text[l->at++];
}

/* Read read_hex digits up to and with the first other character. */
static uint64_t read_hex(struct lines *l)
{
	uint64_t v = 0;
	int c;

	while ((c = next_char(l)) > ' ' && c != '-' && c != ':')
		v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	return v;
}

/* "START-END rwxp OFFSET MAJOR:MINOR INODE ..." */
static void read_line(struct lines *l, struct dmirror_mapping *m)
{
	int c;

	m->start = read_hex(l);
	m->end = read_hex(l);
	m->readable = next_char(l) == 'r';
	m->writable = next_char(l) == 'w';
	(void)next_char(l);
	m->shared = next_char(l) == 's';
	(void)next_char(l);
	(void)read_hex(l);
	(void)read_hex(l);
	(void)read_hex(l);
	m->of_file = read_hex(l) != 0;
	/* read_hex() may have taken the newline of a line without a name. */
	if (l->at && l->text[l->at - 1] == '\n')
		return;
	while ((c = next_char(l)) >= 0 && c != '\n')
		;
}

int dmirror_mapping_at(uint64_t addr, struct dmirror_mapping *m)
{
	struct lines l = { .at = 0 };

	l.fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps",
			    O_RDONLY | O_CLOEXEC, 0);
	if (l.fd < 0)
		return -errno;
	do {
		read_line(&l, m);
	} while (m->end && m->end <= addr);
	syscall(SYS_close, l.fd);
	return m->end && m->start <= addr ? 0 : -ENOENT;
}
