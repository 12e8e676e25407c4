/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_EVENTS_H
#define HMMU_LIVE_EVENTS_H

#include <stdbool.h>

struct hmmu_live;
struct uffd_msg;

/*
 * Apply the events of the userfaultfd. Only the service calls these, with the
 * events lock held exclusively.
 */
void hmmu__event_apply(struct hmmu_live *l, const struct uffd_msg *msg);
/* An older event is pending: read more while a change is in progress. */
bool hmmu__events_awaited(const struct hmmu_live *l);
/* No event is pending any more. */
void hmmu__events_forget_awaited(struct hmmu_live *l);

#endif
