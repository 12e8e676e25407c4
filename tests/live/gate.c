/* SPDX-License-Identifier: MIT */
/*
 * Gates and other means to make races happen, see gate.h
 */
#include <limits.h>
#include <sys/mman.h>

#include "gate.h"

/* Gates: a thread that reports a change waits ------------------------------------- */

static void gate_wait(struct hmmu_notifier *sub, void *arg,
		      const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	struct live_gate *g = arg;
	unsigned int turn;

	hmmu_notifier_set_seq(sub, cur_seq);
	if (inv->event != (uint32_t)g->event) {
		if (g->otherwise)
			g->otherwise((enum hmmu_event)inv->event);
		return;
	}
	turn = atomic_fetch_add_explicit(&g->came, 1, memory_order_acq_rel) + 1;
	while (live_get(&g->may_pass) < turn)
		usleep(100);
}

void live_gate_build(struct live_gate *g, const char *p, size_t bytes)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = gate_wait };

	live_set(&g->may_pass, UINT_MAX);
	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)p, bytes, 0,
					   &ops, g, &g->sub));
}

void live_gate_shut(struct live_gate *g)
{
	live_set(&g->came, 0);
	live_set(&g->may_pass, 0);
}

void live_gate_until(struct live_gate *g, unsigned int came)
{
	HMMU_CHECK(live_wait_for(&g->came, came, LIVE_SOON_MS));
}

void live_gate_open(struct live_gate *g)
{
	live_set(&g->may_pass, UINT_MAX);
}

/* A page whose changes stop the fault service ------------------------------------- */

struct live_service live_service;

void live_service_open(enum hmmu_event event)
{
	/* A block of its own, because a block migrates back as a whole. */
	live_service.p = live_map(LARGE);
	madvise(live_service.p, LARGE, MADV_NOHUGEPAGE);
	live_fill(live_service.p, PAGE, 9);
	live_service.gate.event = event;
	live_open();
	live_gate_build(&live_service.gate, live_service.p, PAGE);
	if (event == HMMU_EVENT_MIGRATE)
		live_take(live_service.p, PAGE);
	else
		HMMU_CHECK_OK(hmmu_device_fault(live_device,
						(uintptr_t)live_service.p, PAGE,
						HMMU_ACCESS_READ));
}

void live_service_close(void)
{
	hmmu_notifier_remove(live_service.gate.sub);
	live_close();
}

void live_service_hold_in_event(void)
{
	live_gate_shut(&live_service.gate);
	HMMU_CHECK_OK(live_raw.advise(live_service.p, PAGE, MADV_DONTNEED));
	live_gate_until(&live_service.gate, 1);
}

static void *touch_page(void *arg)
{
	LIVE_CHECK(arg, PAGE, 9);
	return arg;
}

void live_service_hold_in_fault(void)
{
	live_gate_shut(&live_service.gate);
	live_service.toucher = live_thread(touch_page, live_service.p);
	live_gate_until(&live_service.gate, 1);
}

void live_service_go_on(void)
{
	live_gate_open(&live_service.gate);
}

/* Threads that make a change and wait until its event is read --------------------- */

static void *tell(void *arg)
{
	struct live_teller *t = arg;

	live_set(&t->tid, (unsigned int)syscall(SYS_gettid));
	t->change();
	live_set(&t->is_done, 1);
	return arg;
}

bool live_is_waiting(unsigned int tid)
{
	char text[256], *state;

	if (!live_task_says(tid, "stat", text, sizeof(text)))
		return false;
	state = strrchr(text, ')');
	return state && strncmp(state, ") D", 3) == 0;
}

/* A wait for a lock is in the same state, but not for several milliseconds. */
static void wait_until_waiting(unsigned int tid)
{
	unsigned int ms, row = 0;

	for (ms = 0; row < 3; ms++) {
		HMMU_CHECK(ms < LIVE_SOON_MS * hmmu_test_slowness());
		row = live_is_waiting(tid) ? row + 1 : 0;
		live_sleep_ms(1);
	}
}

void live_teller_start(struct live_teller *t, void (*change)(void))
{
	t->change = change;
	live_set(&t->tid, 0);
	live_set(&t->is_done, 0);
	t->thread = live_thread(tell, t);
	HMMU_CHECK(live_wait_for(&t->tid, 1, LIVE_SOON_MS));
	wait_until_waiting(live_get(&t->tid));
}

void live_teller_end(struct live_teller *t)
{
	live_join(t->thread);
}
