/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_TASK_H
#define HMMU_LIVE_TASK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * True if thread @tid waits for a page in mremap(2), while its change is in
 * progress.
 */
bool hmmu__task_is_in_mremap(int tid);
/*
 * True if thread @tid sleeps in a call that changes mappings, perhaps until its
 * event is read.
 */
bool hmmu__task_changes_mappings(int tid);
/*
 * True if the robust list, and so the stack or TLS, of a thread is in [start,
 * end).
 */
bool hmmu__holds_thread(uintptr_t start, uintptr_t end);

/* Append @number, which is not negative, to the string @path. */
void hmmu__append_number(char *path, int number);

#endif
