/* SPDX-License-Identifier: MIT */
/*
 * Pins: the public calls. pin.c is the set of pinned ranges, pin.h has the race
 * with migrations.
 */
#include <errno.h>

#include <hmmu/pin.h>

#include "base/range.h"
#include "core/populate.h"
#include "core/space.h"

/*
 * When the locks have been taken once, a migration that searched the pins
 * before the insertion has recorded its pages.
 */
static void wait_for_blocks(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end)
{
	struct hmmu_block *b;

	hmmu__block_for_each(b, &space->blocks, start, end)
	{
		hmmu__block_lock(b);
		hmmu__block_unlock(b);
	}
}

static int pin_inside(struct hmmu_space *space, uintptr_t start, uintptr_t end)
{
	int err = hmmu__pins_insert(&space->pins, start, end);

	if (err)
		return err;
	wait_for_blocks(space, start, end);
	err = hmmu__populate(space, start, end, true);
	if (err)
		(void)hmmu__pins_remove(&space->pins, start, end);
	return err;
}

int hmmu_pin_range(struct hmmu_space *space, uintptr_t address, size_t bytes)
{
	uintptr_t start, end;
	struct hmmu_thread *self;
	int err;

	if (!space ||
	    !hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter_to_wait(space, &self);
	if (err)
		return err;
	err = pin_inside(space, start, end);
	hmmu__leave(self);
	return err;
}

int hmmu_unpin_range(struct hmmu_space *space, uintptr_t address, size_t bytes)
{
	uintptr_t start, end;
	struct hmmu_thread *self;
	int err;

	if (!space ||
	    !hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	err = hmmu__pins_remove(&space->pins, start, end);
	hmmu__leave(self);
	return err;
}
