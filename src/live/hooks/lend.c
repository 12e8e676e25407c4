/* SPDX-License-Identifier: MIT */
/*
 * Pin the buffers of system calls: see lend.h
 */
#include "live/hooks/lend.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>

#include "base/process.h"
#include "live/armed.h"
#include "live/state.h"
#include "live/look.h"
#include "live/touch.h"

/* The kernel transfers at most MAX_RW_COUNT bytes. */
#define MAX_BYTES (INT_MAX & ~(HMMU_PAGE_BYTES - 1))
/* User addresses are lower: half of the 57 bits of page tables. */
#define MAX_END	  (1ul << 56)

HMMU_NOINLINE bool hmmu__lend_begin_slow(struct hmmu_lending *l)
{
	int saved = errno;

	/*
	 * Buffers of calls inside HMMU, and of callbacks, are never on a
	 * device.
	 */
	if (hmmu__is_inside() || !hmmu__process_is_ours() ||
	    !hmmu__thread_may_enter())
		return false;
	l->self = hmmu__thread_record();
	errno = saved;
	if (!l->self)
		return false;
	l->error_number = saved;
	/* Just below the hook's frame. */
	l->frame = (uintptr_t)__builtin_frame_address(0);
	l->mark = hmmu__loans_begin(&l->self->loans, l->frame,
				    l->self->bounds.stack_lo,
				    l->self->bounds.stack_hi);
	return true;
}

void hmmu__lend(struct hmmu_lending *l, const void *memory, size_t bytes)
{
	uintptr_t start = (uintptr_t)memory;

	bytes = hmmu_min(bytes, MAX_BYTES);
	if (!bytes || !start || start >= MAX_END - MAX_BYTES)
		return;
	hmmu__loans_add(&l->self->loans, l->mark, l->frame,
			hmmu_round_down(start, HMMU_PAGE_BYTES),
			hmmu_round_up(start + bytes, HMMU_PAGE_BYTES));
}

void hmmu__lend_vector(struct hmmu_lending *l, const struct iovec *iov,
		       size_t count)
{
	uint64_t word[2];
	size_t i;

	if (count > IOV_MAX)
		return;
	hmmu__lend(l, iov, count * sizeof(*iov));
	for (i = 0; i < count; i++) {
		if (hmmu__peek((uintptr_t)&iov[i], word, 2))
			return;
		hmmu__lend(l, (const void *)word[0], word[1]);
	}
}

#define LOOK_PAGES 256u

/*
 * True if no page is absent. Check pages, not records: memory that realloc(3)
 * has added to a mapping raises no event, and the event of a move may be
 * pending.
 */
static bool is_present(uintptr_t start, uintptr_t end)
{
	unsigned char in[LOOK_PAGES];
	size_t bytes, i;

	for (; start < end; start += bytes) {
		bytes = hmmu_min(end - start, LOOK_PAGES * HMMU_PAGE_BYTES);
		if (hmmu__syscall(SYS_mincore, (long)start, (long)bytes,
				  (long)in, 0, 0, 0))
			return false;
		for (i = 0; i < bytes / HMMU_PAGE_BYTES; i++)
			if (!(in[i] & 1))
				return false;
	}
	return true;
}

static void fault_in_holes(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_vma_info vma;

	for (; start < end && !hmmu__live_describe_next(&l->mm, start, &vma) &&
	       vma.start < end;
	     start = vma.end)
		if (vma.flags & HMMU_VMA_ANON)
			(void)hmmu__live_fault_in(&l->mm,
						  hmmu_max(vma.start, start),
						  hmmu_min(vma.end, end),
						  false);
}

/*
 * Fault in for reading only, because it is not known what the call will do: the
 * kernel makes a page writable by itself, and a present page stays present.
 */
static void migrate_loan_back(struct hmmu_live *l, uintptr_t start,
			      uintptr_t end)
{
	struct hmmu_space *s = l->mm.space;

	/* The migration may wait for the caller's section. */
	hmmu__core_break_own(s);
	if (hmmu__core_is_away(s, start, end))
		(void)hmmu__core_home(s, start, end);
	fault_in_holes(l, start, end);
}

/* Get loan @i of the call, from its mark on. False: there are no more. */
static bool get_loan(const struct hmmu_lending *l, uint32_t i, uintptr_t *start,
		     uintptr_t *end)
{
	const struct hmmu_loans *loans = &l->self->loans;

	/* Relaxed: the loans are the caller's own. */
	return l->mark + i < atomic_load_explicit(&loans->count,
						  memory_order_relaxed) &&
	       hmmu__loan_get(loans, l->mark + i, start, end);
}

static bool is_any_absent(const struct hmmu_lending *l)
{
	uintptr_t start, end;
	uint32_t i;

	for (i = 0; get_loan(l, i, &start, &end); i++)
		if (!is_present(start, end))
			return true;
	return false;
}

static HMMU_COLD void migrate_loans_back(const struct hmmu_lending *lending)
{
	struct hmmu_thread *self = hmmu__enter();
	struct hmmu_live *l = self ? hmmu__live_borrow() : NULL;
	uintptr_t start, end;
	uint32_t i;

	if (l) {
		for (i = 0; get_loan(lending, i, &start, &end); i++)
			if (!is_present(start, end))
				migrate_loan_back(l, start, end);
		hmmu__live_return();
	}
	if (self)
		hmmu__leave(self);
}

void hmmu__lend_done(struct hmmu_lending *l)
{
	hmmu__loans_settle();
	if (hmmu__is_any_armed() && is_any_absent(l))
		migrate_loans_back(l);
	errno = l->error_number;
}

void hmmu__lend_end(struct hmmu_lending *l)
{
	hmmu__loans_end(&l->self->loans, l->mark);
}
