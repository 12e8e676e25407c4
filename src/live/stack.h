/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_STACK_H
#define HMMU_LIVE_STACK_H

struct hmmu__vma_source;

/* From now on threads look up the mapping of their stack in @source. */
void hmmu__stack_bounds_start(struct hmmu__vma_source *source);
/* When this returns, no thread uses the source. */
void hmmu__stack_bounds_end(void);
/* Called in the child of a fork, with or without a space. */
void hmmu__stack_bounds_fork_after_child(void);

#endif
