/* SPDX-License-Identifier: MIT */
/*
 * One call of the program, or one access of the CPU, on one side
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "differ.h"

/* Accesses that may fail ---------------------------------------------------------- */

/*
 * State of a thread's access: the address where it resumes after a signal. A
 * siglongjmp(3) would work, too, but ThreadSanitizer does not survive one out
 * of the C library's memcpy(3).
 */
struct guard {
	uintptr_t resume;
	int signal;
	int code;
	uintptr_t address;
};

static HMMU_TLS struct guard guard;

static void refused(int signal_number, siginfo_t *info, void *context)
{
	ucontext_t *c = context;

	if (!guard.resume) {
		signal(signal_number, SIG_DFL);
		return;
	}
	c->uc_mcontext.gregs[REG_RIP] = (greg_t)guard.resume;
	guard.signal = signal_number;
	guard.code = info->si_code;
	guard.address = (uintptr_t)info->si_addr;
}

/* Called before HMMU's handler is set, which passes on other signals. */
void differ_catch_signals(void)
{
	struct sigaction sa = {
		.sa_sigaction = refused,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	HMMU_CHECK_OK(sigaction(SIGSEGV, &sa, NULL));
	HMMU_CHECK_OK(sigaction(SIGBUS, &sa, NULL));
}

/* False if an access fails. */
static bool copy(void *to, const void *from, size_t bytes)
{
	struct guard *g = &guard;

	g->signal = 0;
	__asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
			 "movq %%rax, %[resume]\n\t"
			 "rep movsb\n"
			 "1:\n\t"
			 "movq $0, %[resume]"
			 : "+D"(to), "+S"(from),
			   "+c"(bytes), [resume] "+m"(g->resume)
			 :
			 : "rax", "memory");
	return !g->signal;
}

/* An access fails for a whole page, so progress is counted by pages. */
static size_t copy_pages(char *memory, uint8_t *buffer, size_t bytes,
			 bool write)
{
	size_t done, n;
	bool ok;

	for (done = 0; done < bytes; done += n) {
		n = PAGE - ((uintptr_t)memory + done) % PAGE;
		n = hmmu_min(n, bytes - done);
		if (write)
			ok = copy(memory + done, buffer + done, n);
		else
			ok = copy(buffer + done, memory + done, n);
		if (!ok)
			break;
	}
	return done;
}

struct differ_outcome differ_access(struct differ_world *w,
				    enum differ_side side, size_t at,
				    uint8_t *buffer, size_t bytes, bool write)
{
	struct differ_outcome o = { 0 };

	o.ret = (long)copy_pages(w->base[side] + at, buffer, bytes, write);
	if ((size_t)o.ret == bytes)
		return o;
	o.signal = guard.signal;
	o.code = guard.code;
	o.page = (guard.address - (uintptr_t)w->base[side]) / PAGE;
	return o;
}

bool differ_touch(struct differ_world *w, enum differ_side side, size_t at)
{
	struct guard *g = &guard;

	g->signal = 0;
	__asm__ volatile(
		"leaq 1f(%%rip), %%rax\n\t"
		"movq %%rax, %[resume]\n\t"
		"lock orb $0, %[byte]\n"
		"1:\n\t"
		"movq $0, %[resume]"
		: [resume] "+m"(g->resume), [byte] "+m"(w->base[side][at])
		:
		: "rax", "memory");
	return !g->signal;
}

void differ_fill_buffer(uint8_t *buffer, size_t bytes, uint64_t value)
{
	size_t i;

	/* Writes whole words; a buffer has room for them. */
	for (i = 0; i < (bytes + 7) / 8; i++) {
		uint64_t word = live_word(value & 0xffffff, i);

		memcpy(buffer + i * 8, &word, sizeof(word));
	}
}

/* Calls ------------------------------------------------------------------------------ */

static long outcome(long ret)
{
	return ret == -1 ? -errno : ret;
}

static char *address(const struct differ_world *w, enum differ_side side,
		     size_t at)
{
	return w->base[side] + at;
}

static long relative(const struct differ_world *w, enum differ_side side,
		     long ret)
{
	return ret < 0 ? ret : ret - (long)w->base[side];
}

static int file_of(const struct differ_world *w, enum differ_side side,
		   const struct differ_op *op)
{
	switch (op->source) {
	case DIFFER_MEMFD:
		return w->memfd[side];
	case DIFFER_FILE:
		return w->file[side];
	default:
		return -1;
	}
}

static long call_map(struct differ_world *w, enum differ_side side,
		     const struct differ_op *op, bool raw)
{
	char *at = address(w, side, op->at);
	int file = file_of(w, side, op);
	long ret;

	if (raw)
		ret = syscall(SYS_mmap, at, op->bytes, op->prot, op->flags,
			      file, op->offset);
	else
		ret = (long)mmap(at, op->bytes, op->prot, op->flags, file,
				 (off_t)op->offset);
	return relative(w, side, outcome(ret));
}

static long call_advise(char *at, size_t bytes, int advice, bool raw)
{
	return outcome(raw ? syscall(SYS_madvise, at, bytes, advice) :
			     madvise(at, bytes, advice));
}

static long call_pread(struct differ_world *w, enum differ_side side, char *at,
		       const struct differ_op *op)
{
	uint8_t *from = w->buffer[side];

	differ_fill_buffer(from, op->bytes, op->value);
	HMMU_CHECK_INT(pwrite(w->scratch[side], from, op->bytes, 0), op->bytes);
	return outcome(pread(w->scratch[side], at, op->bytes, 0));
}

/* The data that was written is read back into the buffer of the side. */
static long call_pwrite(struct differ_world *w, enum differ_side side, char *at,
			const struct differ_op *op)
{
	long ret = outcome(pwrite(w->scratch[side], at, op->bytes, 0));

	if (ret > 0)
		HMMU_CHECK_INT(pread(w->scratch[side], w->buffer[side],
				     (size_t)ret, 0),
			       ret);
	return ret;
}

static long call_vm(struct differ_world *w, enum differ_side side, char *at,
		    const struct differ_op *op)
{
	struct iovec local = { w->buffer[side], op->bytes };
	struct iovec remote = { at, op->bytes };

	if (op->kind == DIFFER_VM_READ)
		return outcome(
			process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	differ_fill_buffer(w->buffer[side], op->bytes, op->value);
	return outcome(process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
}

static struct differ_outcome call_cpu(struct differ_world *w,
				      enum differ_side side,
				      const struct differ_op *op)
{
	bool write = op->kind == DIFFER_CPU_WRITE;

	if (write)
		differ_fill_buffer(w->buffer[side], op->bytes, op->value);
	return differ_access(w, side, op->at, w->buffer[side], op->bytes,
			     write);
}

/* mlock2(MLOCK_ONFAULT) if the value is odd. */
static long call_lock(char *at, const struct differ_op *op)
{
	return outcome(op->value % 2 ? syscall(SYS_mlock2, at, op->bytes, 1) :
				       syscall(SYS_mlock, at, op->bytes));
}

struct differ_outcome differ_call(struct differ_world *w, enum differ_side side,
				  const struct differ_op *op)
{
	bool raw = op->raw || side == DIFFER_PLAIN;
	char *at = address(w, side, op->at);
	struct differ_outcome o = { 0 };

	switch (op->kind) {
	case DIFFER_MAP:
		o.ret = call_map(w, side, op, raw);
		break;
	case DIFFER_UNMAP:
		o.ret = outcome(raw ? syscall(SYS_munmap, at, op->bytes) :
				      munmap(at, op->bytes));
		break;
	case DIFFER_PROTECT:
		o.ret = outcome(
			raw ? syscall(SYS_mprotect, at, op->bytes, op->prot) :
			      mprotect(at, op->bytes, op->prot));
		break;
	case DIFFER_ADVISE:
		o.ret = call_advise(at, op->bytes, op->advice, raw);
		break;
	case DIFFER_LOCK:
		o.ret = call_lock(at, op);
		break;
	case DIFFER_UNLOCK:
		o.ret = outcome(live_unlock(at, op->bytes));
		break;
	case DIFFER_PREAD:
		o.ret = call_pread(w, side, at, op);
		break;
	case DIFFER_PWRITE:
		o.ret = call_pwrite(w, side, at, op);
		break;
	case DIFFER_VM_READ:
	case DIFFER_VM_WRITE:
		o.ret = call_vm(w, side, at, op);
		break;
	default:
		o = call_cpu(w, side, op);
	}
	return o;
}

/* Map large pages if possible, and write a word to each small page. */
static void fresh(struct differ_world *w, enum differ_side side,
		  const struct differ_op *op)
{
	bool raw = op->raw || side == DIFFER_PLAIN;
	struct differ_op map = *op;
	uint64_t *words = (uint64_t *)address(w, side, op->at);
	size_t page;

	map.prot = PROT_READ | PROT_WRITE;
	map.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
	map.source = DIFFER_ANON;
	HMMU_CHECK_INT(call_map(w, side, &map, raw), op->at);
	(void)call_advise((char *)words, op->bytes, MADV_HUGEPAGE, raw);
	for (page = 0; page < op->bytes / PAGE; page++)
		words[page * 512 + page % 512] = live_word(op->value, page);
}

void differ_map_fresh(struct differ_world *w, const struct differ_op *op)
{
	fresh(w, DIFFER_MANAGED, op);
	fresh(w, DIFFER_PLAIN, op);
}
