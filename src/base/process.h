/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_PROCESS_H
#define HMMU_BASE_PROCESS_H

/*
 * The process that opened a space, or a child of it
 *
 * A child that ran no fork handlers finds its parent's space in its memory. Its
 * calls must fail with -ECHILD.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Marks this process as the one that opens a space; -ENOMEM. */
int hmmu__process_mark(void);

/*
 * False in a child that ran no fork handlers (raw clone(2), _Fork(3)). The
 * space in its memory is its parent's, and a userfaultfd that it inherited
 * changes its parent's memory.
 */
bool hmmu__process_is_ours(void);

/*
 * Also false in a child of vfork(2), which shares its parent's memory and the
 * thread-local data of the thread that called vfork(2). Costs a system call.
 */
bool hmmu__process_is_opener(void);

/* Counts the forks since the library was loaded; accesses are relaxed. */
extern _Atomic uint32_t hmmu__forks;

#endif
