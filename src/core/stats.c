/* SPDX-License-Identifier: MIT */
/*
 * hmmu_space_get_stats(): the counters of a space
 *
 * The counters are read one by one while other threads increment them, so their
 * sums need not agree.
 */
#include <errno.h>

#include "base/sized.h"
#include "core/device.h"
#include "core/space.h"

static uint64_t load_counter(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static uint64_t mirror_bytes(struct hmmu_space *space)
{
	struct hmmu_device *d;
	uint64_t sum = 0;

	hmmu__mutex_lock(&space->lock);
	for (d = space->devices; d; d = d->next) {
		struct hmmu_mirror_stats m = { .size = sizeof(m) };

		if (!hmmu_mirror_get_stats(d->mirror, &m))
			sum += (m.tables + m.dead_tables) * HMMU_PAGE_BYTES;
	}
	hmmu__mutex_unlock(&space->lock);
	return sum;
}

static void stats_fill(struct hmmu_space *space, struct hmmu_space_stats *s)
{
	const struct hmmu_counters *c = &space->counters;
	const struct hmmu_mm_counters *e = &space->mm->counters;

	s->device_faults = load_counter(&c->device_faults);
	s->device_fault_retries = load_counter(&c->device_fault_retries);
	s->cpu_faults = load_counter(&c->cpu_faults);
	s->hole_faults = load_counter(&c->hole_faults);
	s->pages_to_device = load_counter(&c->pages_to_device);
	s->large_to_device = load_counter(&c->large_to_device);
	s->pages_home = load_counter(&c->pages_home);
	s->large_home = load_counter(&c->large_home);
	s->pages_copied = load_counter(&c->pages_copied);
	s->pages_dropped = load_counter(&c->pages_dropped);
	s->invalidations = load_counter(&c->invalidations);
	s->events_unmap = load_counter(&e->events_unmap);
	s->events_remove = load_counter(&e->events_remove);
	s->events_remap = load_counter(&e->events_remap);
	s->events_late = load_counter(&e->events_late);
	s->sections_broken = load_counter(&space->ports.broken_count);
	s->sections_overdue = load_counter(&space->ports.overdue_count);
	s->thp_lost = load_counter(&e->thp_lost);
	s->device_pages = load_counter(&c->device_pages);
	s->mirror_bytes = mirror_bytes(space);
}

int hmmu_space_get_stats(struct hmmu_space *space,
			 struct hmmu_space_stats *stats)
{
	struct hmmu_space_stats s = { 0 };
	struct hmmu_thread *self;
	int err;

	if (!space || !stats || stats->size <= sizeof(stats->size))
		return -EINVAL;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	stats_fill(space, &s);
	hmmu__leave(self);
	hmmu__copy_out(stats, stats->size, &s, sizeof(s));
	return 0;
}
