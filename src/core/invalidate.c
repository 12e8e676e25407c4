/* SPDX-License-Identifier: MIT */
/*
 * Invalidation: calls that an address space makes around changes of memory
 *
 * Overview: begin notifies every subscriber of the range. The callbacks of
 * devices empty the mirrors. Then it waits for sections that may still use a
 * translation of the range:
 *
 *      invalidation                        port
 *      changing
 *      notify: empty the mirrors           uses a translation from its TLB
 *      changed: wait for sections          next section: TLB, mirror empty
 *      (memory changes)                    device fault: waits for the end
 *      end
 *
 * The rest of the file forwards mm.h's questions about ports and subscribers.
 *
 * Locking: the caller holds no block lock. The notifiers' lock and the ports'
 * lock are taken inside, one after the other.
 */
#include "core/space.h"

void hmmu__core_invalidate_begin(struct hmmu_space *space,
				 struct hmmu_invalidate_call *call)
{
	hmmu__count(&space->counters.invalidations, 1);
	call->unmapped = false;
	hmmu__ports_changing(&space->ports);
	hmmu__notifiers_begin(&space->notifiers, call);
	(void)hmmu__ports_changed(&space->ports, call->unmapped, space->mm);
}

void hmmu__core_invalidate_end(struct hmmu_space *space,
			       struct hmmu_invalidate_call *call)
{
	hmmu__notifiers_end(&space->notifiers, call);
}

/*
 * Takes no lock, because hooks call it often. It is true if the program has any
 * subscription at all: the intervals can only be checked under the lock.
 */
bool hmmu__core_may_be_used(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end)
{
	/* Acquire: pairs with the increment in insert_sub(). */
	return atomic_load_explicit(&space->notifiers.users,
				    memory_order_acquire) ||
	       hmmu__block_next(&space->blocks, start, end);
}

bool hmmu__core_is_used(struct hmmu_space *space, uintptr_t start,
			uintptr_t end)
{
	return hmmu__block_next(&space->blocks, start, end) ||
	       hmmu__notifiers_overlap(&space->notifiers, start, end);
}

bool hmmu__core_is_clearing(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end)
{
	return hmmu__notifiers_clearing(&space->notifiers, start, end);
}

void hmmu__core_ports_hold(struct hmmu_space *space)
{
	hmmu__ports_hold(&space->ports, space->mm);
}

void hmmu__core_ports_release(struct hmmu_space *space)
{
	hmmu__ports_release(&space->ports);
}

bool hmmu__core_ports_idle(struct hmmu_space *space)
{
	return hmmu__ports_idle(&space->ports);
}

void hmmu__core_break_own(struct hmmu_space *space)
{
	hmmu__ports_break_own(&space->ports);
}

bool hmmu__core_is_in_section(struct hmmu_space *space, int tid)
{
	return hmmu__ports_in_section(&space->ports, tid);
}

void hmmu__core_break(struct hmmu_space *space, int tid)
{
	hmmu__ports_break(&space->ports, tid);
}
