/* SPDX-License-Identifier: MIT */
/* Per-worker state: the current worker's accelerator, the port's fault mode */
#include "soft/state.h"

static HMMU_TLS const struct hmmu_soft *current_soft;

void hmmu__soft_enter_worker(const struct hmmu_soft *soft)
{
	current_soft = soft;
}

bool hmmu__soft_in_worker(const struct hmmu_soft *soft)
{
	return current_soft == soft;
}

void hmmu__soft_set_reports(struct hmmu_soft_worker *worker, bool reports)
{
	if (worker->reports == reports)
		return;
	worker->reports = reports;
	hmmu_port_set_fault_mode(worker->port, reports);
}
