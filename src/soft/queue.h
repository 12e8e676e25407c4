/* SPDX-License-Identifier: MIT */
#ifndef HMMU__SOFT_QUEUE_H
#define HMMU__SOFT_QUEUE_H

#include <stdbool.h>

#include "soft/state.h"

/*
 * Runs one descriptor of one queue; false if there is none. The next call
 * begins at the next queue.
 */
bool hmmu__soft_serve_queues(struct hmmu_soft_worker *worker);
void hmmu__soft_queues_fini(struct hmmu_soft *soft);

#endif
