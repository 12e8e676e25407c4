/* SPDX-License-Identifier: MIT */
/*
 * A child and its parent, each with a copy of both arenas
 *
 * They take turns, so that writes to shared memory have an order. The child
 * compares and writes. The parent writes and compares. The child compares
 * again, changes mappings and ends.
 */
#include <sys/wait.h>

#include "differ.h"

enum turn {
	CHILD_FIRST,
	PARENT,
	CHILD_AGAIN,
};

enum {
	WRITES = 6,
	CHANGES = 12,
};

static void turn_give(struct differ_world *w, enum turn turn)
{
	atomic_store_explicit(w->turn, turn, memory_order_release);
}

static bool turn_is(struct differ_world *w, enum turn turn)
{
	return atomic_load_explicit(w->turn, memory_order_acquire) == turn;
}

/* Do a step of kind @kind. */
static void step_of(struct differ_world *w, enum differ_kind kind)
{
	struct differ_op op;

	do
		differ_draw_op(w, &op);
	while (op.kind != kind);
	differ_do(w, &op);
}

static void write_some(struct differ_world *w)
{
	unsigned int i;

	for (i = 0; i < WRITES; i++)
		step_of(w, DIFFER_CPU_WRITE);
}

static _Noreturn void child_main(struct differ_world *w)
{
	unsigned int i;

	w->is_child = true;
	differ_compare_all(w, false);
	write_some(w);
	turn_give(w, PARENT);
	while (!turn_is(w, CHILD_AGAIN))
		usleep(50);
	differ_compare_all(w, false);
	for (i = 0; i < CHANGES; i++)
		differ_step(w);
	differ_compare_all(w, false);
	_exit(0);
}

/* Fail if the child has ended early; it has printed the reason. */
static void wait_for_turn(struct differ_world *w, pid_t child)
{
	siginfo_t info = { 0 };

	while (!turn_is(w, PARENT)) {
		HMMU_CHECK_INT(waitid(P_PID, (id_t)child, &info,
				      WEXITED | WNOHANG | WNOWAIT),
			       0);
		if (info.si_pid)
			differ_fail(w, "the child has failed");
		usleep(50);
	}
}

void differ_fork(struct differ_world *w)
{
	uint64_t random = w->random;
	pid_t child;

	turn_give(w, CHILD_FIRST);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (!child) {
		/* Use other random numbers than the parent. */
		w->random = random ^ 0x5555555555555555ull;
		child_main(w);
	}
	wait_for_turn(w, child);
	differ_compare_maps(w);
	write_some(w);
	differ_compare_all(w, random % 2);
	turn_give(w, CHILD_AGAIN);
	live_child_ok(child);
}
