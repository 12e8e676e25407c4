/* SPDX-License-Identifier: MIT */
#ifndef HMMU_SOFT_TRANSFER_H
#define HMMU_SOFT_TRANSFER_H

#include <hmmu/soft.h>

#include "soft/state.h"

/* Runs an opcode that moves or reads ranges; fills all of @record. */
void hmmu__soft_transfer(struct hmmu_soft_worker *worker,
			 const struct hmmu_soft_descriptor *d,
			 struct hmmu_soft_record *record);
/* Fills in how @err ended it: 0, or an error of the worker's port. */
void hmmu__soft_set_status(struct hmmu_soft_worker *worker, int err,
			   struct hmmu_soft_record *record);

#endif
