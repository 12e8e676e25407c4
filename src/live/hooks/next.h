/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_NEXT_H
#define HMMU_LIVE_NEXT_H

/*
 * The functions that the I/O hooks replace
 *
 * A hook calls the function of the next library in the order of symbols: it may
 * be another library's hook, and in the C library's a thread can be cancelled.
 * If there is none - the constructor has not run, or the program is linked
 * statically - it makes the system call, in which a thread can be cancelled,
 * too.
 *
 * All functions have at most six integers or pointers as arguments, so one
 * function type is enough: in the calling convention of x86-64 a function
 * ignores arguments that it does not have.
 */

#include <stddef.h>

typedef long hmmu_next_fn(long a, long b, long c, long d, long e, long f);

/* @nr: the system call. Its arguments are those of the function. */
struct hmmu_next {
	const char *name;
	long nr;
	hmmu_next_fn *fn;
};

/* Find the functions. Called by a constructor. */
void hmmu__next_find(struct hmmu_next *next, size_t count);

/* Returns -1 and sets errno, as the C library does. */
long hmmu__next_call(const struct hmmu_next *next, long a, long b, long c,
		     long d, long e, long f);

#endif
