/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_GATE_H
#define HMMU_TESTS_GATE_H

/*
 * Means to make a race happen instead of waiting for chance: a callback stops
 * the fault service, or a thread that reports a change, until all threads are
 * at the intended point
 */

#include "fixture.h"

/* Time limit for something that is immediate except on a loaded machine. */
#define LIVE_SOON_MS 10000u

static inline void live_set(_Atomic unsigned int *word, unsigned int value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static inline unsigned int live_get(_Atomic unsigned int *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* A subscription whose callback stops the thread that reports @event. */
struct live_gate {
	enum hmmu_event event;
	struct hmmu_notifier *sub;
	/* Number of threads that have arrived, and that may pass. */
	_Atomic unsigned int came;
	_Atomic unsigned int may_pass;
	/* Called for other events; may be NULL. */
	void (*otherwise)(enum hmmu_event event);
};

/* The gate is open at first. End it with hmmu_notifier_remove() of @sub. */
void live_gate_build(struct live_gate *g, const char *p, size_t bytes);
void live_gate_shut(struct live_gate *g);
/* Wait until @came threads have arrived since it was shut. */
void live_gate_until(struct live_gate *g, unsigned int came);
void live_gate_open(struct live_gate *g);

/* A page whose changes stop the fault service. */
struct live_service {
	struct live_gate gate;
	char *p;
	pthread_t toucher;
};

extern struct live_service live_service;

/* live_open(), and the page. CLEAR stops in an event, MIGRATE in a fault. */
void live_service_open(enum hmmu_event event);
void live_service_close(void);
/* Stop it while it applies an event; no other thread can read events. */
void live_service_hold_in_event(void);
/*
 * Stop it in a CPU fault, before it takes locks; other threads can take them.
 * Join @toucher after live_service_go_on().
 */
void live_service_hold_in_fault(void);
void live_service_go_on(void);

/* A thread that makes a change and waits until its event is read. */
struct live_teller {
	void (*change)(void);
	pthread_t thread;
	_Atomic unsigned int tid;
	_Atomic unsigned int is_done;
};

/* Start it, and wait until it waits. */
void live_teller_start(struct live_teller *t, void (*change)(void));
void live_teller_end(struct live_teller *t);
/*
 * True if thread @tid waits uninterruptibly in the kernel; false if it has
 * ended. Works while the mmap lock is held.
 */
bool live_is_waiting(unsigned int tid);

#endif
