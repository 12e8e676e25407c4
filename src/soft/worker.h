/* SPDX-License-Identifier: MIT */
/* Starting and stopping the workers of the software accelerator. */
#ifndef HMMU_SOFT_WORKER_H
#define HMMU_SOFT_WORKER_H

#include "base/compiler.h"
#include "soft/state.h"

/* Start workers until all run. On failure those that run stay running. */
int hmmu__soft_start(struct hmmu_soft *soft) HMMU_MUST_CHECK;
/* Finish all work, then stop the workers that run. May be called again. */
void hmmu__soft_stop(struct hmmu_soft *soft);

#endif
