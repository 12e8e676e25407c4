/* SPDX-License-Identifier: MIT */
#ifndef HMMU_SOFT_JOB_H
#define HMMU_SOFT_JOB_H

#include <stdbool.h>

#include "soft/state.h"

/* Takes and runs one call of a kernel; false if there is none. */
bool hmmu__soft_serve_call(struct hmmu_soft_worker *worker);

#endif
