/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_PROCESS_H
#define HMMU_BASE_PROCESS_H

/*
 * Whose memory this is: that of the process that opened a space, or a copy
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The space that is being opened is this process's; -ENOMEM. */
int hmmu__process_mark(void);

/*
 * False in a child that ran no handlers (raw clone(2), _Fork(3)): the space that
 * it finds is its parent's, and a userfaultfd that it has inherited changes its
 * parent's memory.
 */
bool hmmu__process_is_ours(void);

/*
 * False in a child of vfork(2), too, which has its parent's memory, and the
 * thread data of the thread that made it. Costs a system call.
 */
bool hmmu__process_is_opener(void);

/* Forks of this process since the library was loaded; relaxed. */
extern _Atomic uint32_t hmmu__forks;

#endif
