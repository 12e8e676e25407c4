/* SPDX-License-Identifier: MIT */
/* Opcodes that move or read ranges. */
#ifndef HMMU_SOFT_TRANSFER_H
#define HMMU_SOFT_TRANSFER_H

#include <hmmu/soft.h>

#include "soft/state.h"

/* Run an opcode that moves or reads ranges and fill in all of @record. */
void hmmu__soft_transfer(struct hmmu_soft_worker *worker,
			 const struct hmmu_soft_descriptor *d,
			 struct hmmu_soft_record *record);
/* Set the status for @err, which is 0 or an error of the worker's port. */
void hmmu__soft_set_status(struct hmmu_soft_worker *worker, int err,
			   struct hmmu_soft_record *record);

#endif
