/* SPDX-License-Identifier: MIT */
/* Execution of one descriptor, in the worker's thread. */
#ifndef HMMU_SOFT_EXECUTE_H
#define HMMU_SOFT_EXECUTE_H

#include <hmmu/soft.h>

#include "soft/state.h"

/* Run a descriptor of a queue to its end and write its record. */
void hmmu__soft_execute(struct hmmu_soft_worker *worker,
			const struct hmmu_soft_descriptor *d);

#endif
