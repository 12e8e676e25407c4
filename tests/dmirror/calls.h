/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_DMIRROR_CALLS_H
#define HMMU_TESTS_DMIRROR_CALLS_H

/*
 * What programs do with the test devices, and memory to do it with. A check
 * that fails ends the case.
 */

#include <stddef.h>

#include "compat/dmirror/interface.h"

#define PAGE	  4096ul
#define LARGE	  (2ul << 20)
#define PER_LARGE (LARGE / PAGE)

/* Skips the case where there is no userfaultfd. */
int open_unit(int unit);
/* Skips the case where pages cannot migrate to units 0 and 1. */
void need_move(void);

/* Private, anonymous, readable and writable. */
char *map(size_t bytes);
/* One large page, aligned, with content of seed 1; small if there are none. */
char *map_large(void);

/* Each page has a byte of its own, from @seed on; none is zero. */
void fill(char *p, size_t pages, int seed);
void check(const char *p, size_t pages, int seed);

struct dmirror_cmd command(void *addr, size_t npages, void *ptr);
/* 0 or -errno; on an error nothing may have been written back. */
int run(int fd, unsigned long request, struct dmirror_cmd *c);

#endif
