/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_TOUCH_H
#define HMMU_LIVE_TOUCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Access the page at @addr as user code would. -EFAULT: the access faults. */
int hmmu__touch(uintptr_t addr, bool write);
/* Read @words words of 8 bytes at @addr in the same way. */
int hmmu__peek(uintptr_t addr, uint64_t *to, size_t words);

#endif
