/* SPDX-License-Identifier: MIT */
/* Queues of the software accelerator, as its workers see them. */
#ifndef HMMU__SOFT_QUEUE_H
#define HMMU__SOFT_QUEUE_H

#include <stdbool.h>

#include "soft/state.h"

/*
 * Run one descriptor of one queue; false if there is none. The next call begins
 * at the next queue.
 */
bool hmmu__soft_serve_queues(struct hmmu_soft_worker *worker);
/* Free the rings of all queues. No worker runs any more. */
void hmmu__soft_queues_fini(struct hmmu_soft *soft);

#endif
