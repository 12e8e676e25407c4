/* SPDX-License-Identifier: MIT */
/*
 * The space: creation and destruction of core's state for one address space
 *
 * Locking: the caller holds no lock, and is the only user of the space.
 */
#include "core/space.h"

#include "base/arena.h"

struct hmmu_space *hmmu__space_create(struct hmmu_mm *mm)
{
	struct hmmu_space *s = hmmu__alloc(sizeof(*s));

	if (!s)
		return NULL;
	hmmu__mutex_init(&s->lock, HMMU_RANK_DEVICE, "space");
	hmmu__notifiers_init(&s->notifiers);
	hmmu__blocks_init(&s->blocks, &s->notifiers);
	hmmu__ports_init(&s->ports);
	hmmu__pins_init(&s->pins);
	s->mm = mm;
	mm->space = s;
	return s;
}

/* The address space is destroyed first, because its threads call core. */
void hmmu__space_destroy(struct hmmu_space *s)
{
	s->mm->ops->destroy(s->mm);
	hmmu__blocks_fini(&s->blocks);
	hmmu__pins_fini(&s->pins);
	hmmu__ports_fini(&s->ports);
	hmmu__notifiers_fini(&s->notifiers);
	hmmu__mutex_fini(&s->lock);
	hmmu__free(s, sizeof(*s));
}
