/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_EXTABLE_H
#define HMMU_BASE_EXTABLE_H

/* The lookup of the exception tables, for the signal handler. */

#include <stdint.h>

/* Where to continue after a fault of the instruction at @insn; 0: no entry. */
uintptr_t hmmu__extable_find(uintptr_t insn);

#endif
