/* SPDX-License-Identifier: MIT */
/*
 * Access sections of ports: the owner's side, and threads that wait for them
 *
 * Overview: the port list gives each invalidation a number, its gate, and
 * stores it in every port. A section that begins copies the gate to gate_seen,
 * after it has dropped the TLB. An invalidation waits for each port until it
 * sees one of:
 *
 *   section is even             the port uses no translation
 *   gate_seen >= gate           the section began later, with an empty TLB
 *   state is BROKEN             the owner uses no translation of this section
 *
 * One hard case: a hold is taken while a section begins.
 *
 *      port                                 holder
 *      section = odd                        hold += 1
 *      fence                                gates moved
 *      g = gate                             membarrier
 *      if hold: step back                   wait while the section is open
 *      gate_seen = g
 *
 * Forbidden: the port continues in this section, or begins a later one by the
 * inline path, and the holder does not wait. If the port reads 0 from hold, the
 * holder sees the section. If @g is the old gate, the next inline begin finds
 * that gate differs from gate_seen. If @g is the holder's gate, hold is not 0,
 * because it is read after the gate.
 *
 * Locking: the list's lock guards the list and the pins. No lock is held while
 * a thread waits. port.c opens and closes ports.
 */
#include "core/sections.h"

#include <errno.h>

#include <hmmu/log.h>

#include "base/epoch.h"
#include "base/log.h"
#include "base/sched.h"
#include "base/thread.h"
#include "mm.h"

#define OVERDUE_NS  1000000000ull
#define HELP_NS	    200000ull
/* About a microsecond of polling, before the first help or backoff. */
#define SPIN_ROUNDS 64u
/* Not 0, which is the gate_seen of a new port. Its first begin is slow. */
#define GATE_FIRST  2u

/* Sections: the owner's side ------------------------------------------------- */

/*
 * Called by the owner, or by a thread that aborts the section while the owner
 * is stopped. A sanitizer does not know that it is stopped.
 */
HMMU_NO_SANITIZE_THREAD void hmmu__port_tlb_forget(struct hmmu_port_full *full)
{
	unsigned int i;

	for (i = 0; i <= full->large_mask; i++) {
		full->large[i].read_tag = HMMU_PORT_NO_TAG;
		full->large[i].write_tag = HMMU_PORT_NO_TAG;
	}
	for (i = 0; i <= full->small_mask; i++) {
		full->small[i].read_tag = HMMU_PORT_NO_TAG;
		full->small[i].write_tag = HMMU_PORT_NO_TAG;
	}
}

static void tlb_drop(struct hmmu_port_full *full)
{
	if (!full->is_tlb_used)
		return;
	hmmu__port_tlb_forget(full);
	full->is_tlb_used = false;
}

/* Opens or ends a section. Release: as in the inline end. */
static void section_step(struct hmmu_port *port)
{
	__atomic_store_n(&port->section, port->section + 1, __ATOMIC_RELEASE);
}

static bool is_held(struct hmmu_port_list *list)
{
	/* Acquire: pairs with hmmu__ports_release(). */
	return atomic_load_explicit(&list->hold, memory_order_acquire) != 0;
}

static void hold_wait(struct hmmu_port_list *list)
{
	uint32_t hold;

	/* seq_cst: either the release sees the count, or this sees hold 0. */
	atomic_fetch_add_explicit(&list->hold_waiters, 1, memory_order_seq_cst);
	/* Acquire: pairs with hmmu__ports_release(). */
	while ((hold = atomic_load_explicit(&list->hold,
					    memory_order_acquire)) != 0)
		(void)hmmu__futex_wait(&list->hold, hold, HMMU_FOREVER);
	atomic_fetch_sub_explicit(&list->hold_waiters, 1, memory_order_relaxed);
}

/* The section is odd (open) before and after the call. */
void hmmu__port_begin_slow(struct hmmu_port *port)
{
	struct hmmu_port_full *full = port_full(port);
	uint64_t gate;

	for (;;) {
		/* Other threads see the section before this one reads. */
		hmmu__sched_fence();
		/* Acquire: hold is read after it. Pairs with gates_move(). */
		gate = __atomic_load_n(&port->gate, __ATOMIC_ACQUIRE);
		if (hmmu_likely(!is_held(full->list)))
			break;
		section_step(port);
		hold_wait(full->list);
		section_step(port);
	}
	tlb_drop(full);
	/* Release: the TLB is empty; pairs with the load of must_wait(). */
	__atomic_store_n(&port->gate_seen, gate, __ATOMIC_RELEASE);
}

static enum port_state port_state(const struct hmmu_port_full *full)
{
	/* Acquire: pairs with state_change() of the thread that aborted. */
	return (enum port_state)atomic_load_explicit(&full->state,
						     memory_order_acquire);
}

/* Ends an aborted section; the port can begin a new one. */
static void section_end_broken(struct hmmu_port_full *full)
{
	section_step(&full->head);
	__atomic_store_n(&full->head.broken, 0, __ATOMIC_RELAXED);
	/* Release: no thread sees USER with the section that was aborted. */
	atomic_store_explicit(&full->state, PORT_USER, memory_order_release);
}

void hmmu__port_end_slow(struct hmmu_port *port)
{
	section_end_broken(port_full(port));
}

int hmmu__port_settle(struct hmmu_port_full *full)
{
	struct hmmu_port *port = &full->head;

	if (hmmu_likely(port_state(full) == PORT_USER))
		return 0;
	tlb_drop(full);
	if (full->span_section == port->section)
		return -EAGAIN;
	section_end_broken(full);
	section_step(port);
	hmmu__port_begin_slow(port);
	return 0;
}

/*
 * Release: the accesses of the section are done before another thread can abort
 * it. Acquire: the owner sees what the aborting thread has written.
 */
static bool state_change(struct hmmu_port_full *full, enum port_state from,
			 enum port_state to)
{
	uint32_t expected = from;

	return atomic_compare_exchange_strong_explicit(&full->state, &expected,
						       to, memory_order_acq_rel,
						       memory_order_acquire);
}

bool hmmu__port_slow_begin(struct hmmu_port_full *full)
{
	HMMU_ASSERT(full->head.section % 2 == 1);
	return state_change(full, PORT_USER, PORT_SLOW);
}

void hmmu__port_slow_end(struct hmmu_port_full *full)
{
	if (hmmu_likely(state_change(full, PORT_SLOW, PORT_USER)))
		return;
	/* The next access, or the end, must go out of line. */
	tlb_drop(full);
	__atomic_store_n(&full->head.broken, 1, __ATOMIC_RELAXED);
}

__thread int hmmu__this_thread;

/* Makes the calling thread the owner. No section is open. */
void hmmu__port_adopt(struct hmmu_port *port)
{
	hmmu__this_thread = hmmu__thread_id();
	/* Relaxed: the later store of the section orders it. */
	__atomic_store_n(&port->owner, hmmu__this_thread, __ATOMIC_RELAXED);
}

int hmmu__port_set_fault(struct hmmu_port_full *full, uintptr_t va,
			 enum hmmu_access access, int error)
{
	full->fault = (struct hmmu_port_fault){ .va = va,
						.access = access,
						.error = error };
	return error;
}

/* Sections: threads that wait ---------------------------------------------- */

static bool section_is_open(const struct hmmu_port_full *full)
{
	/* Acquire: pairs with the release of the end. */
	return __atomic_load_n(&full->head.section, __ATOMIC_ACQUIRE) % 2 == 1;
}

/* Loads the section first: a later section's gate_seen means it has ended. */
static bool must_wait(const struct hmmu_port_full *full, uint64_t gate)
{
	return section_is_open(full) &&
	       __atomic_load_n(&full->head.gate_seen, __ATOMIC_ACQUIRE) <
		       gate &&
	       port_state(full) != PORT_BROKEN;
}

static void count_broken(struct hmmu_port_full *full)
{
	/* Relaxed: statistics. */
	atomic_fetch_add_explicit(&full->list->broken_count, 1,
				  memory_order_relaxed);
}

/*
 * Aborts a section whose owner is in a slow path: the owner checks the state
 * before it uses a translation. It may be a later section than the one waited
 * for. That one then begins again, which does no harm.
 */
static bool break_slow(struct hmmu_port_full *full)
{
	if (!state_change(full, PORT_SLOW, PORT_BROKEN))
		return false;
	count_broken(full);
	return true;
}

/*
 * Aborts a section whose owner is stopped, or is the caller. The owner's inline
 * paths find no matching tag, and the slow path then finds the state.
 */
static void break_user(struct hmmu_port_full *full)
{
	if (!state_change(full, PORT_USER, PORT_BROKEN))
		return;
	hmmu__port_tlb_forget(full);
	__atomic_store_n(&full->head.broken, 1, __ATOMIC_RELAXED);
	count_broken(full);
}

/* Relaxed: enough for the owner itself; for others see owns_section(). */
static int owner_of(const struct hmmu_port_full *full)
{
	return __atomic_load_n(&full->head.owner, __ATOMIC_RELAXED);
}

static bool is_owner(const struct hmmu_port_full *full, int tid)
{
	return owner_of(full) == tid;
}

/*
 * True if the stopped thread @tid has a section open. The section is loaded
 * before the owner: a thread that opens one has made itself the owner before.
 */
static bool owns_section(const struct hmmu_port_full *full, int tid)
{
	return section_is_open(full) && is_owner(full, tid);
}

/* True if the section has ended or is aborted; aborts it if possible. */
static bool is_over(struct hmmu_port_full *full, uint64_t gate)
{
	if (!must_wait(full, gate) || break_slow(full))
		return true;
	if (!is_owner(full, hmmu__thread_id()))
		return false;
	/* The caller's own section cannot end while the caller waits. */
	break_user(full);
	return true;
}

static HMMU_COLD void report_overdue(struct hmmu_port_full *full)
{
	/* Relaxed: statistics. */
	atomic_fetch_add_explicit(&full->list->overdue_count, 1,
				  memory_order_relaxed);
	hmmu__log(HMMU_LOG_WARN,
		  "a port section of thread %d has delayed an invalidation for "
		  "1 s: keep sections short",
		  owner_of(full));
}

/*
 * Waits a little. The owner may be stopped: in a CPU fault, or in a call that
 * changes mappings and waits for the caller. The address space finds out
 * (help).
 */
static void wait_step(struct hmmu_port_full *full, struct hmmu_mm *mm,
		      unsigned int *round)
{
	if (!mm->ops->help)
		hmmu__backoff(round);
	else if (mm->ops->help(mm, HELP_NS, owner_of(full)))
		break_user(full);
}

static void section_wait(struct hmmu_port_full *full, uint64_t gate,
			 struct hmmu_mm *mm)
{
	uint64_t start_ns;
	unsigned int round = 0;
	bool is_reported = false;

	for (unsigned int i = 0; i < SPIN_ROUNDS; i++) {
		if (is_over(full, gate))
			return;
		hmmu__sched_relax();
	}
	start_ns = hmmu__sched_now_ns();
	while (!is_over(full, gate)) {
		wait_step(full, mm, &round);
		if (is_reported || hmmu__sched_now_ns() - start_ns < OVERDUE_NS)
			continue;
		is_reported = true;
		report_overdue(full);
	}
}

/* Each section that begins from now on drops its TLB and checks hold. */
static uint64_t gates_move(struct hmmu_port_list *list)
{
	struct hmmu_port_full *full;
	uint64_t gate;

	hmmu__mutex_lock(&list->lock);
	gate = list->gate += 2;
	for (full = list->first; full; full = full->next)
		/* Release: the mirror is emptied, or hold set, before it. */
		__atomic_store_n(&full->head.gate, gate, __ATOMIC_RELEASE);
	hmmu__mutex_unlock(&list->lock);
	return gate;
}

/*
 * Waits for the sections that are open now. A pinned port stays in the list, so
 * the walk can continue from it after the lock was released.
 */
static void sections_wait(struct hmmu_port_list *list, struct hmmu_mm *mm)
{
	uint64_t gate = gates_move(list);
	struct hmmu_port_full *full;

	/* The right column in sections.h; hmmu_port_begin() is the left. */
	hmmu__membarrier();
	hmmu__mutex_lock(&list->lock);
	for (full = list->first; full; full = full->next) {
		if (is_over(full, gate))
			continue;
		full->pins++;
		hmmu__mutex_unlock(&list->lock);
		section_wait(full, gate, mm);
		hmmu__mutex_lock(&list->lock);
		full->pins--;
	}
	hmmu__mutex_unlock(&list->lock);
}

/*
 * The fence orders the caller's change of the mirror or of hold before the
 * load. It pairs with list_insert(), which counts the port before the port
 * reads either.
 */
static bool has_ports(struct hmmu_port_list *list)
{
	hmmu__sched_fence();
	return atomic_load_explicit(&list->ports, memory_order_acquire) != 0;
}

void hmmu__ports_changing(struct hmmu_port_list *list)
{
	/*
	 * seq_cst: pairs with an invalidation that finds the mirror empty and
	 * then loads the count.
	 */
	atomic_fetch_add_explicit(&list->waiters_pending, 1,
				  memory_order_seq_cst);
}

bool hmmu__ports_changed(struct hmmu_port_list *list, bool unmapped,
			 struct hmmu_mm *mm)
{
	bool others = atomic_load_explicit(&list->waiters_pending,
					   memory_order_seq_cst) > 1;
	bool wait = (unmapped || others) && has_ports(list);

	if (wait)
		sections_wait(list, mm);
	/* Release: a thread that reads the lower count sees ended sections. */
	atomic_fetch_sub_explicit(&list->waiters_pending, 1,
				  memory_order_release);
	return wait;
}

void hmmu__ports_hold(struct hmmu_port_list *list, struct hmmu_mm *mm)
{
	/* seq_cst: the right column above. */
	atomic_fetch_add_explicit(&list->hold, 1, memory_order_seq_cst);
	if (has_ports(list))
		sections_wait(list, mm);
}

void hmmu__ports_release(struct hmmu_port_list *list)
{
	/*
	 * Release: publishes changes made during the hold; pairs with
	 * hold_wait(). seq_cst: comes before the load of the waiters.
	 */
	uint32_t before =
		atomic_fetch_sub_explicit(&list->hold, 1, memory_order_seq_cst);

	HMMU_ASSERT(before > 0);
	if (before == 1 &&
	    atomic_load_explicit(&list->hold_waiters, memory_order_seq_cst))
		(void)hmmu__futex_wake(&list->hold, INT32_MAX);
}

bool hmmu__ports_idle(struct hmmu_port_list *list)
{
	return !has_ports(list);
}

void hmmu__ports_break(struct hmmu_port_list *list, int tid)
{
	struct hmmu_port_full *full;

	hmmu__mutex_lock(&list->lock);
	for (full = list->first; full; full = full->next) {
		if (owns_section(full, tid))
			break_user(full);
	}
	hmmu__mutex_unlock(&list->lock);
}

void hmmu__ports_break_own(struct hmmu_port_list *list)
{
	if (!hmmu__ports_idle(list))
		hmmu__ports_break(list, hmmu__thread_id());
}

bool hmmu__ports_in_section(struct hmmu_port_list *list, int tid)
{
	struct hmmu_port_full *full;
	bool found = false;

	if (!has_ports(list))
		return false;
	hmmu__mutex_lock(&list->lock);
	for (full = list->first; full && !found; full = full->next)
		found = owns_section(full, tid);
	hmmu__mutex_unlock(&list->lock);
	return found;
}

void hmmu__ports_init(struct hmmu_port_list *list)
{
	hmmu__mutex_init(&list->lock, HMMU_RANK_THREADS, "ports");
	list->first = NULL;
	list->gate = GATE_FIRST;
	/* Relaxed: no other thread has the space yet. */
	atomic_store_explicit(&list->ports, 0, memory_order_relaxed);
	atomic_store_explicit(&list->waiters_pending, 0, memory_order_relaxed);
	atomic_store_explicit(&list->hold, 0, memory_order_relaxed);
	atomic_store_explicit(&list->hold_waiters, 0, memory_order_relaxed);
	atomic_store_explicit(&list->broken_count, 0, memory_order_relaxed);
	atomic_store_explicit(&list->overdue_count, 0, memory_order_relaxed);
}

void hmmu__ports_fini(struct hmmu_port_list *list)
{
	HMMU_ASSERT(!list->first);
	hmmu__mutex_fini(&list->lock);
}
