/* SPDX-License-Identifier: MIT */
#ifndef HMMU_SOFT_WORKER_H
#define HMMU_SOFT_WORKER_H

#include "base/compiler.h"
#include "soft/state.h"

/* Starts workers until all run; on failure those that run are left running. */
int hmmu__soft_start(struct hmmu_soft *soft) HMMU_MUST_CHECK;
/* Ends those that run after all work is done; may be called again. */
void hmmu__soft_stop(struct hmmu_soft *soft);

#endif
