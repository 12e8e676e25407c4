/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_SERVICE_H
#define HMMU_LIVE_SERVICE_H

/* The fault service: see service.c. */

struct hmmu_live;

int hmmu__service_start(struct hmmu_live *l);
void hmmu__service_stop(struct hmmu_live *l);

#endif
