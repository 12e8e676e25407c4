/* SPDX-License-Identifier: MIT */
/*
 * Sections of ports: the owner's side, and those who wait for them. Opening and
 * closing is in port.c.
 *
 * The list of a space gives each invalidation a number, its gate, and writes it
 * into every port. A section has obeyed a gate when it began (or began again)
 * after it: gate_seen says so. Who waits for a gate waits for each port until
 * one of these is seen:
 *
 *   section is even             the port uses nothing
 *   gate_seen >= gate           the section began later, with an empty TLB
 *   state is BROKEN             the port will use nothing before it has ended
 *
 * One hard case: a hold that comes while a section begins.
 *
 *      port                                 holder
 *      section = odd                        hold += 1
 *      fence                                gates moved
 *      g = gate                             membarrier
 *      if hold: step back                   wait while the section is open
 *      gate_seen = g
 *
 * Forbidden: the port goes on in this section, or in a later one by the inline
 * path, and the holder does not wait. If the port read hold as 0 in this
 * section, the holder sees the section. If @g is the gate of before, the inline
 * path finds a difference the next time. And if @g is the holder's gate, hold,
 * which is read after it, is not 0: so gate is read first.
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
/* About a microsecond of looking before anything else is tried. */
#define SPIN_ROUNDS 64u
/* The first gate: a new port has seen none, so its first begin is slow. */
#define GATE_FIRST  2u

/* Sections: the owner's side ------------------------------------------------- */

/*
 * The owner, or who broke the section while the owner is stopped, which no
 * sanitizer can know.
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

/* From odd to even or back. Release: as the inline end. */
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

	/* seq_cst: either the release sees it, or hold is 0 by now. */
	atomic_fetch_add_explicit(&list->hold_waiters, 1, memory_order_seq_cst);
	/* Acquire: pairs with hmmu__ports_release(). */
	while ((hold = atomic_load_explicit(&list->hold,
					    memory_order_acquire)) != 0)
		(void)hmmu__futex_wait(&list->hold, hold, HMMU_FOREVER);
	atomic_fetch_sub_explicit(&list->hold_waiters, 1, memory_order_relaxed);
}

/* Called with section odd, and returns with it odd. */
void hmmu__port_begin_slow(struct hmmu_port *port)
{
	struct hmmu_port_full *full = port_full(port);
	uint64_t gate;

	for (;;) {
		/* The section is seen before anything is read. */
		hmmu__sched_fence();
		/* Acquire: hold is read after it; pairs with gates_move(). */
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
	/* Acquire: pairs with who broke the section. */
	return (enum port_state)atomic_load_explicit(&full->state,
						     memory_order_acquire);
}

/* The section is odd and broken; afterwards it is even and the port well. */
static void section_end_broken(struct hmmu_port_full *full)
{
	section_step(&full->head);
	__atomic_store_n(&full->head.broken, 0, __ATOMIC_RELAXED);
	/* Release: no breaker sees USER with the section that was broken. */
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
 * Release: what the section did is done before anybody can break it; acquire:
 * what the breaker changed is seen by who finds it broken.
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
	/* Whatever comes next, an access or the end, must not be inline. */
	tlb_drop(full);
	__atomic_store_n(&full->head.broken, 1, __ATOMIC_RELAXED);
}

__thread int hmmu__this_thread;

/* Outside of a section: another thread than the last begins one. */
void hmmu__port_adopt(struct hmmu_port *port)
{
	hmmu__this_thread = hmmu__thread_id();
	/* Relaxed: the store of the section comes after it. */
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

/* Sections: those who wait --------------------------------------------------- */

static bool section_is_open(const struct hmmu_port_full *full)
{
	/* Acquire: pairs with the release of the end. */
	return __atomic_load_n(&full->head.section, __ATOMIC_ACQUIRE) % 2 == 1;
}

/* Section first: if gate_seen is of a later section, this one has ended. */
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
 * The owner is in a slow path: it goes on only when it has seen that the
 * section is broken. It may be a later section than was waited for; that one
 * begins again, too.
 */
static bool break_slow(struct hmmu_port_full *full)
{
	if (!state_change(full, PORT_SLOW, PORT_BROKEN))
		return false;
	count_broken(full);
	return true;
}

/*
 * The owner is stopped, or is the caller: its inline paths find no tag any
 * more, and the slow path behind them finds the state.
 */
static void break_user(struct hmmu_port_full *full)
{
	if (!state_change(full, PORT_USER, PORT_BROKEN))
		return;
	hmmu__port_tlb_forget(full);
	__atomic_store_n(&full->head.broken, 1, __ATOMIC_RELAXED);
	count_broken(full);
}

/* Relaxed: a thread knows what it wrote; for others see owns_section(). */
static int owner_of(const struct hmmu_port_full *full)
{
	return __atomic_load_n(&full->head.owner, __ATOMIC_RELAXED);
}

static bool is_owner(const struct hmmu_port_full *full, int tid)
{
	return owner_of(full) == tid;
}

/*
 * Thread @tid, which stands still, has a section open. The section is read
 * before the owner: another thread that begins one just now has made itself
 * the owner before.
 */
static bool owns_section(const struct hmmu_port_full *full, int tid)
{
	return section_is_open(full) && is_owner(full, tid);
}

static bool is_over(struct hmmu_port_full *full, uint64_t gate)
{
	if (!must_wait(full, gate) || break_slow(full))
		return true;
	if (!is_owner(full, hmmu__thread_id()))
		return false;
	/* The caller's own section: it can not end while he stands here. */
	break_user(full);
	return true;
}

static HMMU_COLD void report_overdue(struct hmmu_port_full *full)
{
	/* Relaxed: statistics. */
	atomic_fetch_add_explicit(&full->list->overdue_count, 1,
				  memory_order_relaxed);
	hmmu__log(
		HMMU_LOG_WARN,
		"a port section of thread %d has been open for a second while "
		"memory is to change",
		owner_of(full));
}

/*
 * The section ends soon, or its owner is stopped: in a CPU fault, or in a call
 * that changes mappings and waits for the caller. The address space knows.
 */
static void wait_step(struct hmmu_port_full *full, struct hmmu_mm *mm,
		      unsigned int *round)
{
	if (!mm || !mm->ops->help)
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

/* Every section that begins from now on drops its TLB, or looks at hold. */
static uint64_t gates_move(struct hmmu_port_list *list)
{
	struct hmmu_port_full *full;
	uint64_t gate;

	hmmu__mutex_lock(&list->lock);
	gate = list->gate += 2;
	for (full = list->first; full; full = full->next)
		/* Release: the mirror is empty, or hold set, before it. */
		__atomic_store_n(&full->head.gate, gate, __ATOMIC_RELEASE);
	hmmu__mutex_unlock(&list->lock);
	return gate;
}

/*
 * A port that is waited for stays in the list, and so the place in the list is
 * kept without the lock.
 */
static void sections_wait(struct hmmu_port_list *list, struct hmmu_mm *mm)
{
	uint64_t gate = gates_move(list);
	struct hmmu_port_full *full;

	/* The right column of port.h; see hmmu_port_begin() for the left. */
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
 * The fence is between the caller's change of mirror or hold and the load; on
 * the other side hmmu_port_open() counts before the port looks at either.
 */
static bool has_ports(struct hmmu_port_list *list)
{
	hmmu__sched_fence();
	return atomic_load_explicit(&list->ports, memory_order_acquire) != 0;
}

void hmmu__ports_changing(struct hmmu_port_list *list)
{
	/* seq_cst: against who unmaps nothing and then looks at the count. */
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
	/* Release: who sees it gone sees the sections ended. */
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
	 * Release: what changed while held; pairs with hold_wait(). seq_cst:
	 * before the look at who waits.
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
	/* Relaxed: the space is not known to anybody yet. */
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
