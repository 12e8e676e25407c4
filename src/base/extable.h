/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_EXTABLE_H
#define HMMU_BASE_EXTABLE_H

#include <stdint.h>

/*
 * Where to go on when the instruction at @insn has faulted; 0: there is no entry
 * for it. For a signal handler.
 */
uintptr_t hmmu__extable_find(uintptr_t insn);

#endif
