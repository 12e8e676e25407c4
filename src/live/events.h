/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_EVENTS_H
#define HMMU_LIVE_EVENTS_H

#include <stdbool.h>

struct hmmu_live;
struct uffd_msg;

/* All by the service with the events lock held exclusively. */
void hmmu__event_apply(struct hmmu_live *l, const struct uffd_msg *msg);
/* An older change is still to be told: read on while one is under way. */
bool hmmu__events_awaited(const struct hmmu_live *l);
/* Everything has been told. */
void hmmu__events_forget_awaited(struct hmmu_live *l);

#endif
