/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_NEXT_H
#define HMMU_LIVE_NEXT_H

/*
 * The functions behind the hooks around I/O
 *
 * Those of the next library in the order of symbols, for it may be another's
 * hook, and a thread may be cancelled in the C library's. Where there is none -
 * the constructor has not run, or the program is linked statically - the system
 * call, in which a thread may be cancelled, too.
 *
 * All take integers and pointers, six at most, so that one type of function can
 * stand for all: in the calling convention of x86-64 whoever takes fewer does not
 * look at the others.
 */

#include <stddef.h>

typedef long hmmu_next_fn(long a, long b, long c, long d, long e, long f);

/* @nr: the system call; its arguments are those of the function. */
struct hmmu_next {
	const char *name;
	long nr;
	hmmu_next_fn *fn;
};

/* For a constructor. */
void hmmu__next_find(struct hmmu_next *next, size_t count);

/* -1 and errno as the C library has it. */
long hmmu__next_call(const struct hmmu_next *next, long a, long b, long c,
		     long d, long e, long f);

#endif
