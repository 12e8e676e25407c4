/* SPDX-License-Identifier: MIT */
/*
 * The handler of SIGSEGV and SIGBUS, and hmmu_port_run()
 *
 * An instruction with an entry in an exception table continues where the entry
 * says. A fault in a function that hmmu_port_run() has called jumps back to
 * hmmu_port_run(). Every other signal is passed to the handler that was
 * installed before HMMU's.
 *
 * Locking: none.
 */
#include "api/signals.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/extable.h"
#include "base/sched.h"
#include "base/sys.h"
#include "base/thread.h"
#include "core/sections.h"

/* Guards --------------------------------------------------------------------- */

/*
 * On the stack of hmmu_port_run(). The innermost one of the thread is in use.
 */
struct guard {
	sigjmp_buf env;
	struct hmmu_port_full *full;
	struct guard *outer;
};

static HMMU_TLS struct guard *guard;

/* Bit 1 of the error code of a page fault: it is a write. */
#define PAGE_FAULT_WRITE 2

static enum hmmu_access access_of(const ucontext_t *uc)
{
	return uc->uc_mcontext.gregs[REG_ERR] & PAGE_FAULT_WRITE ?
		       HMMU_ACCESS_WRITE :
		       HMMU_ACCESS_READ;
}

/*
 * True for a fault of the function itself on memory of the program. Not for a
 * fault inside HMMU, which may hold locks, and not for a signal that kill(2)
 * has sent. The lowest page is never mapped: a NULL pointer is a bug in the
 * function, not a fault of the program's memory.
 */
static bool is_guarded(const struct guard *g, const siginfo_t *info)
{
	uintptr_t va = (uintptr_t)info->si_addr;

	/* Relaxed: the port is the thread's own. */
	return g && info->si_code > 0 && va >= HMMU_PAGE_BYTES &&
	       !hmmu__arena_contains(va) && !hmmu__is_inside() &&
	       atomic_load_explicit(&g->full->state, memory_order_relaxed) !=
		       PORT_SLOW;
}

/* End the sections that are open when a longjmp has left the function. */
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
		/* The jump out of the handler must find all of it in memory. */
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

/* The handlers installed before. */
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
			hmmu__extable_find(
				(uintptr_t)uc->uc_mcontext.gregs[REG_RIP]) :
			0;
	if (fixup) {
		uc->uc_mcontext.gregs[REG_RIP] = (greg_t)fixup;
		return 1;
	}
	if (!is_guarded(g, si))
		return 0;
	(void)hmmu__port_set_fault(g->full, (uintptr_t)si->si_addr,
				   access_of(uc), -EFAULT);
	/*
	 * A handler of the program that calls this may have blocked the signal.
	 */
	(void)hmmu__sys_sigprocmask(SIG_SETMASK,
				    (const uint64_t *)&uc->uc_sigmask, NULL);
	siglongjmp(g->env, 1);
}

/* True if the instruction raises the signal again when it is repeated. */
static bool comes_again(const siginfo_t *info)
{
	return info->si_code > 0 &&
	       !(info->si_signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

/* As without HMMU: the signal kills the process, with a correct core file. */
static void die(int signal, const siginfo_t *info)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	(void)sigaction(signal, &dfl, NULL);
	if (!comes_again(info))
		(void)hmmu__syscall(SYS_tgkill, getpid(), hmmu__sched_gettid(),
				    signal, 0, 0, 0);
}

/*
 * Block the signals that the program's handler asked for. HMMU's blocks none.
 */
static void mask_for(const struct sigaction *before, int signal)
{
	uint64_t set;

	memcpy(&set, &before->sa_mask, sizeof(set));
	if (!(before->sa_flags & SA_NODEFER))
		set |= 1ull << (signal - 1);
	/* The kernel restores the old mask when HMMU's handler returns. */
	(void)hmmu__sys_sigprocmask(SIG_BLOCK, &set, NULL);
}

static void hand_on(int signal, siginfo_t *info, void *context)
{
	struct sigaction *before = signal == SIGSEGV ? &before_segv :
						       &before_bus;
	struct sigaction now = *before;

	/*
	 * The kernel does not let a program ignore a signal of an instruction.
	 */
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

static int sigaction_err;

static void install_handlers(void)
{
	struct sigaction sa = {
		.sa_sigaction = handler,
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK,
	};

	(void)sigemptyset(&sa.sa_mask);
	/* Read them first: the handler may run at once. */
	if (sigaction(SIGSEGV, NULL, &before_segv) ||
	    sigaction(SIGBUS, NULL, &before_bus) ||
	    sigaction(SIGSEGV, &sa, NULL) || sigaction(SIGBUS, &sa, NULL))
		sigaction_err = -EOPNOTSUPP;
}

int hmmu__signals_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install_handlers);
	return sigaction_err;
}
