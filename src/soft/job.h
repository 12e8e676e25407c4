/* SPDX-License-Identifier: MIT */
/* Jobs of the software accelerator, as a worker sees them. */
#ifndef HMMU_SOFT_JOB_H
#define HMMU_SOFT_JOB_H

#include <stdbool.h>

#include "soft/state.h"

/* Take one call of a kernel and run it; false if there is none. */
bool hmmu__soft_serve_call(struct hmmu_soft_worker *worker);

#endif
