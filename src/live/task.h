/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_TASK_H
#define HMMU_LIVE_TASK_H

#include <stdbool.h>
#include <stdint.h>

/* Thread @tid is stopped at a page in mremap(2), while its change is under way. */
bool hmmu__task_is_in_mremap(int tid);
/* Thread @tid sleeps in a call that changes mappings, perhaps for its event. */
bool hmmu__task_changes_mappings(int tid);
/* True if a thread's stack or TLS, known by its robust list, is inside. */
bool hmmu__holds_thread(uintptr_t start, uintptr_t end);

/* Appends @number, which is not negative, to the string @path. */
void hmmu__append_number(char *path, int number);

#endif
