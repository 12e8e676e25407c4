/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_STACK_H
#define HMMU_LIVE_STACK_H

struct hmmu__vma_source;

/* From now on threads ask @source for the mapping of their stack. */
void hmmu__stack_bounds_start(struct hmmu__vma_source *source);
/* None asks it any more when this returns. */
void hmmu__stack_bounds_end(void);
/* In the child of a fork, whether there was a space or not. */
void hmmu__stack_bounds_fork_after_child(void);

#endif
