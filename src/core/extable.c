/* SPDX-License-Identifier: MIT */
/*
 * Exceptions: instructions that may fault, and the signal handler.
 *
 * Each access of a port is one instruction with an entry in a table: "if this
 * faults, go on there". Each object that contains such accesses registers its
 * table when it is loaded. The handler looks for the entry of the instruction
 * and, if there is none but the thread is in hmmu_port_run(), jumps back to
 * that. All else goes on to whoever handled the signal before HMMU came.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <hmmu/log.h>

#include "base/arena.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/sys.h"
#include "base/thread.h"
#include "core/port_internal.h"

/* Tables --------------------------------------------------------------------- */

/* As HMMU__EXTABLE writes it: both relative to their own place. */
struct extable_entry {
	int32_t insn;
	int32_t fixup;
};

/* Objects of the program that contain accesses: the program and its modules. */
#define TABLES	      256u
#define TABLE_FREE    ((uintptr_t)0)
#define TABLE_CLAIMED ((uintptr_t)1)

/*
 * @start is TABLE_FREE, TABLE_CLAIMED while @end is written, or the table. The
 * registry is static: it is used before main() and in signal handlers.
 */
struct table {
	_Atomic uintptr_t start;
	_Atomic uintptr_t end;
};

static struct table tables[TABLES];

/*
 * How many handlers are searching. Who takes a table away waits for 0, for the
 * table goes with the module that it lies in:
 *
 *      handler                              module that is unloaded
 *      searching += 1                       start = TABLE_FREE
 *      start (seq_cst)                      searching (seq_cst)
 *      read the table                       wait until 0, then unmap it
 *
 * Forbidden: the handler reads the table's old start, and the module 0.
 */
static _Atomic uint32_t searching;

static uintptr_t entry_target(const int32_t *field)
{
	return (uintptr_t)field + (uintptr_t)(intptr_t)*field;
}

static uintptr_t table_search(uintptr_t start, uintptr_t end, uintptr_t insn)
{
	const struct extable_entry *e = (const struct extable_entry *)start;
	const struct extable_entry *last = (const struct extable_entry *)end;

	for (; e < last; e++) {
		if (entry_target(&e->insn) == insn)
			return entry_target(&e->fixup);
	}
	return 0;
}

/* Where to go on when the instruction at @insn has faulted; 0: no entry. */
static uintptr_t fixup_find(uintptr_t insn)
{
	uintptr_t start, fixup = 0;
	unsigned int i;

	/* seq_cst, here and below: the two columns above. */
	atomic_fetch_add_explicit(&searching, 1, memory_order_seq_cst);
	for (i = 0; i < TABLES && !fixup; i++) {
		start = atomic_load_explicit(&tables[i].start,
					     memory_order_seq_cst);
		if (start == TABLE_FREE || start == TABLE_CLAIMED)
			continue;
		/* Relaxed: written before @start. */
		fixup = table_search(start,
				     atomic_load_explicit(&tables[i].end,
							  memory_order_relaxed),
				     insn);
	}
	/* Release: the table has been read. */
	atomic_fetch_sub_explicit(&searching, 1, memory_order_release);
	return fixup;
}

static struct table *table_find(uintptr_t start)
{
	unsigned int i;

	for (i = 0; i < TABLES; i++) {
		/* Relaxed: one module adds and removes its table in order. */
		if (atomic_load_explicit(&tables[i].start,
					 memory_order_relaxed) == start)
			return &tables[i];
	}
	return NULL;
}

/* NULL if all are taken. */
static struct table *table_claim(void)
{
	unsigned int i;

	for (i = 0; i < TABLES; i++) {
		uintptr_t expected = TABLE_FREE;

		/* Acquire: pairs with the release of hmmu__extable_remove(). */
		if (atomic_compare_exchange_strong_explicit(
			    &tables[i].start, &expected, TABLE_CLAIMED,
			    memory_order_acquire, memory_order_relaxed))
			return &tables[i];
	}
	return NULL;
}

/* Each file of an object calls it, with the one table of the object. */
void hmmu__extable_add(const void *start, const void *end)
{
	struct table *table;

	if (!start || start == end || table_find((uintptr_t)start))
		return;
	table = table_claim();
	if (!table) {
		hmmu__log(HMMU_LOG_WARN,
			  "too many modules with port accesses: a fault in "
			  "one more of them is a signal");
		return;
	}
	atomic_store_explicit(&table->end, (uintptr_t)end,
			      memory_order_relaxed);
	/* seq_cst: release for @end; pairs with fixup_find(). */
	atomic_store_explicit(&table->start, (uintptr_t)start,
			      memory_order_seq_cst);
}

void hmmu__extable_remove(const void *start)
{
	struct table *table = start ? table_find((uintptr_t)start) : NULL;
	unsigned int round = 0;

	if (!table)
		return;
	/* Not free yet: nobody may fill it while handlers still read it. */
	atomic_store_explicit(&table->start, TABLE_CLAIMED,
			      memory_order_seq_cst);
	while (atomic_load_explicit(&searching, memory_order_seq_cst) != 0)
		hmmu__backoff(&round);
	atomic_store_explicit(&table->start, TABLE_FREE, memory_order_release);
}

/* Guards --------------------------------------------------------------------- */

/* On the stack of hmmu_port_run(); the innermost one of the thread counts. */
struct guard {
	sigjmp_buf env;
	struct hmmu_port_full *full;
	struct guard *outer;
};

static HMMU_TLS struct guard *guard;

/* Bit 1 of the error code of a page fault: it was a write. */
#define PAGE_FAULT_WRITE 2

static enum hmmu_access access_of(const ucontext_t *uc)
{
	return uc->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE ?
		       HMMU_ACCESS_WRITE :
		       HMMU_ACCESS_READ;
}

/*
 * A fault of the function itself, in memory of the program. Not one inside of
 * HMMU, which may hold locks, and not what kill(2) sends. The lowest page is no
 * memory: a NULL pointer is the function's mistake and none of the program's
 * memory.
 */
static bool is_guarded(const struct guard *g, const siginfo_t *info)
{
	uintptr_t va = (uintptr_t)info->si_addr;

	/* Relaxed: the thread's own port. */
	return g && info->si_code > 0 && va >= HMMU_PAGE_BYTES &&
	       !hmmu__arena_contains(va) && !hmmu__is_inside() &&
	       atomic_load_explicit(&g->full->state, memory_order_relaxed) !=
		       PORT_SLOW;
}

/* What a longjmp over the function's begin()s leaves open. */
static void sections_end(struct hmmu_port *port)
{
	if (!port->depth)
		return;
	port->depth = 1;
	hmmu_port_end(port);
}

int hmmu_port_run(struct hmmu_port *port,
		  int (*fn)(struct hmmu_port *port, void *arg), void *arg)
{
	struct guard g;
	int ret;

	if (!port || !fn || port->depth)
		return -EINVAL;
	g.full = port_full(port);
	g.outer = guard;
	/* 0: the handler blocks no signal, so there is no mask to restore. */
	if (sigsetjmp(g.env, 0) == 0) {
		guard = &g;
		/* The jump out of the handler finds all of it in memory. */
		hmmu__barrier();
		ret = fn(port, arg);
	} else {
		sections_end(port);
		ret = -EFAULT;
	}
	hmmu__barrier();
	guard = g.outer;
	return ret;
}

/* The handler ---------------------------------------------------------------- */

/* What was installed before: for SIGSEGV and for SIGBUS. */
static struct sigaction before_segv;
static struct sigaction before_bus;

int hmmu_signal_handle(int signal, void *info, void *context)
{
	const siginfo_t *si = info;
	ucontext_t *uc = context;
	struct guard *g = guard;
	uintptr_t fixup;

	if ((signal != SIGSEGV && signal != SIGBUS) || !info || !context)
		return 0;
	fixup = si->si_code > 0 ?
			fixup_find((uintptr_t)uc->uc_mcontext.gregs[REG_RIP]) :
			0;
	if (fixup) {
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)fixup;
		return 1;
	}
	if (!is_guarded(g, si))
		return 0;
	(void)hmmu__port_set_fault(g->full, (uintptr_t)si->si_addr,
				   access_of(uc), -EFAULT);
	/* A program's handler that calls this may have blocked the signal. */
	(void)hmmu__sys_sigprocmask(SIG_SETMASK,
				    (const uint64_t *)&uc->uc_sigmask, NULL);
	siglongjmp(g->env, 1);
}

/* An instruction that is done again raises the signal again. */
static bool comes_again(const siginfo_t *info)
{
	return info->si_code > 0 &&
	       !(info->si_signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

/* As if HMMU were not there: the signal kills, with the right core file. */
static void die(int signal, const siginfo_t *info)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	(void)sigaction(signal, &dfl, NULL);
	if (!comes_again(info))
		(void)hmmu__syscall(SYS_tgkill, getpid(), hmmu__sys_gettid(),
				    signal, 0, 0, 0);
}

/* The mask that the program's handler asked for; ours asks for none. */
static void mask_for(const struct sigaction *before, int signal)
{
	uint64_t set;

	memcpy(&set, &before->sa_mask, sizeof(set));
	if (!(before->sa_flags & SA_NODEFER))
		set |= 1ull << (signal - 1);
	/* The kernel restores the mask of before when our handler returns. */
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &set, NULL);
}

static void hand_on(int signal, siginfo_t *info, void *context)
{
	struct sigaction *before = signal == SIGSEGV ? &before_segv :
						       &before_bus;
	struct sigaction now = *before;

	/* The kernel lets nobody ignore what an instruction raised. */
	if (now.sa_handler == SIG_IGN && !comes_again(info))
		return;
	if (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN) {
		die(signal, info);
		return;
	}
	if (now.sa_flags & (int)SA_RESETHAND)
		before->sa_handler = SIG_DFL;
	mask_for(&now, signal);
	if (now.sa_flags & SA_SIGINFO)
		now.sa_sigaction(signal, info, context);
	else
		now.sa_handler(signal);
}

static void handler(int signal, siginfo_t *info, void *context)
{
	if (!hmmu_signal_handle(signal, info, context))
		hand_on(signal, info, context);
}

static int install_error;

static void install(void)
{
	struct sigaction sa = {
		.sa_sigaction = handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK,
	};

	(void)sigemptyset(&sa.sa_mask);
	/* Known before it can be needed: the handler may run at once. */
	if (sigaction(SIGSEGV, NULL, &before_segv) ||
	    sigaction(SIGBUS, NULL, &before_bus) ||
	    sigaction(SIGSEGV, &sa, NULL) || sigaction(SIGBUS, &sa, NULL))
		install_error = -EOPNOTSUPP;
}

int hmmu__signals_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install);
	return install_error;
}
