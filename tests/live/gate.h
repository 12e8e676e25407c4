/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_GATE_H
#define HMMU_TESTS_GATE_H

/*
 * Races that a test makes, instead of leaving them to chance: the service, or
 * whoever tells of a change, is held up in a callback, until everybody waits
 * where he is to wait.
 */

#include "fixture.h"

/* For what others do at once, on a machine that has much else to do. */
#define LIVE_SOON_MS 10000u

static inline void live_set(_Atomic unsigned int *word, unsigned int value)
{
	atomic_store_explicit(word, value, memory_order_release);
}

static inline unsigned int live_get(_Atomic unsigned int *word)
{
	return atomic_load_explicit(word, memory_order_acquire);
}

/* A subscription that holds up whoever tells of @event. */
struct live_gate {
	enum hmmu_event event;
	struct hmmu_notifier *sub;
	/* So many have come, and so many may pass. */
	_Atomic unsigned int came;
	_Atomic unsigned int may_pass;
	/* Called by who tells of something else; may be NULL. */
	void (*otherwise)(enum hmmu_event event);
};

/* Open at first; ends with hmmu_notifier_remove() of its subscription. */
void live_gate_build(struct live_gate *g, const char *p, size_t bytes);
void live_gate_shut(struct live_gate *g);
/* Returns when so many have come since it was shut. */
void live_gate_until(struct live_gate *g, unsigned int came);
void live_gate_open(struct live_gate *g);

/* A page of its own, whose changes hold up the service. */
struct live_service {
	struct live_gate gate;
	char *p;
	pthread_t toucher;
};

extern struct live_service live_service;

/* live_open(), and the page: CLEAR to hold in an event, MIGRATE in a fault. */
void live_service_open(enum hmmu_event event);
void live_service_close(void);
/* It has read an event, and applies it: nobody else comes to the events. */
void live_service_hold_in_event(void);
/*
 * It serves a fault, and has none of its locks yet: others come and go. The
 * toucher is to be joined when it has gone on.
 */
void live_service_hold_in_fault(void);
void live_service_go_on(void);

/* A thread that changes something, and waits until that has been read. */
struct live_teller {
	void (*change)(void);
	pthread_t thread;
	_Atomic unsigned int tid;
	_Atomic unsigned int is_done;
};

/* Returns when it waits. */
void live_teller_start(struct live_teller *t, void (*change)(void));
void live_teller_end(struct live_teller *t);
/*
 * Thread @tid is in the kernel, and no signal ends that; false if it has ended.
 * Who asks needs no lock of the mappings.
 */
bool live_is_waiting(unsigned int tid);

#endif
