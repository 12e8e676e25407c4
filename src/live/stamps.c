/* SPDX-License-Identifier: MIT */
/*
 * Stamps: pages that are about to be copied are write-protected by userfaultfd,
 * so that what lands among them is told apart. Why: see copy.c.
 *
 * Who writes to a stamped page stops, until it is away or has no stamp any more.
 * The kernel refuses to take a stamp away while a mapping is changing, as it
 * refuses to give one. So a take that fails may leave some; while the program
 * changes mappings without end that can last, and nobody waits for it:
 *
 *      taker                    program                  service
 *      stamps the range
 *                               madvise(other): waits
 *      fails; tries, reads        goes on
 *                               madvise(other): waits
 *      remembers the range
 *      unlocks                                           reads
 *                                 goes on                tries, at every turn
 *
 * Required: who holds a lock of ours does not stop at such a page, for who takes
 * the stamp away needs that lock: he has written to his stack when he goes inside
 * (hmmu__windows_stamped). Nor does a system call, where the kernel's faults are
 * not served: hooks wait before (lend.c).
 */
#include <errno.h>

#include "base/log.h"
#include "base/thread.h"
#include "live/copy.h"
#include "live/live.h"

_Atomic bool hmmu__stamps_used;

/* Linux 5.7 has them, and 5.14 shows them in pagemap. */
static bool has_stamps(struct hmmu_live *l)
{
	uintptr_t page = (uintptr_t)l->copier.alias, next;
	struct hmmu__page_run run;
	bool has = false;
	size_t n;

	if (hmmu__uffd_register(l, page, page + HMMU_PAGE_BYTES,
				UFFDIO_REGISTER_MODE_WP))
		return false;
	*(volatile uint8_t *)page = 1;
	if (!hmmu__uffd_protect(l, page, page + HMMU_PAGE_BYTES, true) &&
	    !hmmu__pagescan(&l->pages, page, page + HMMU_PAGE_BYTES,
			    HMMU__PAGE_PRESENT | HMMU__PAGE_WP, &run, 1, &n,
			    &next))
		has = n && run.flags & HMMU__PAGE_WP;
	(void)hmmu__uffd_unregister(l, page, page + HMMU_PAGE_BYTES);
	hmmu__alias_drop(page, HMMU_PAGE_BYTES);
	return has;
}

void hmmu__stamps_start(struct hmmu_live *l)
{
	l->stamps.known = has_stamps(l);
	/* Release: as all of the space, before it is lent to anybody. */
	atomic_store_explicit(&hmmu__stamps_used, l->stamps.known,
			      memory_order_release);
}

/* --- those that are left ------------------------------------------------------- */

/* With the events lock held exclusively. */
static void left_set(struct hmmu_live *l, uintptr_t lo, uintptr_t hi)
{
	l->stamps.left_lo = lo;
	l->stamps.left_hi = hi;
	/* Release: before the take that left them ends, which enter() waits for;
	 * of those that have moved it is known when that event is applied. */
	atomic_store_explicit(&hmmu__windows_stamped, lo < hi,
			      memory_order_release);
	atomic_store_explicit(&l->stamps.are_left, lo < hi,
			      memory_order_release);
}

void hmmu__stamps_stop(struct hmmu_live *l)
{
	left_set(l, 0, 0);
	hmmu__stamps_forget();
}

/* One range for all. */
static void left_add(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	if (l->stamps.left_lo < l->stamps.left_hi) {
		start = hmmu_min(start, l->stamps.left_lo);
		end = hmmu_max(end, l->stamps.left_hi);
	}
	left_set(l, start, end);
}

/* The mappings of [at, end), some of which may have no stamps. */
static int unstamp_each(struct hmmu_live *l, uintptr_t at, uintptr_t end)
{
	struct hmmu_vma_info vma;

	for (; at < end && !hmmu__live_describe_next(&l->mm, at, &vma) &&
	       vma.start < end;
	     at = vma.end)
		if (hmmu__uffd_protect(l, hmmu_max(vma.start, at),
				       hmmu_min(vma.end, end),
				       false) == -EAGAIN)
			return -EAGAIN;
	return 0;
}

int hmmu__unstamp_left(struct hmmu_live *l)
{
	uintptr_t at, lo, hi, end = l->stamps.left_hi;
	int err = 0;

	if (!hmmu__stamps_are_left(l))
		return 0;
	/* What lies between may be protected by the program's own userfaultfd. */
	for (at = l->stamps.left_lo;
	     !err && at < end && hmmu__watch_overlap(l, at, end, &lo, &hi);
	     at = hi)
		err = unstamp_each(l, lo, hi);
	if (!err)
		left_set(l, 0, 0);
	return err;
}

bool hmmu__is_stamped(const struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu__page_run runs[HMMU_COPY_RUNS];
	uintptr_t next;
	size_t n, i;

	for (; start < end; start = next) {
		if (hmmu__pagescan(&l->pages, start, end,
				   HMMU__PAGE_PRESENT | HMMU__PAGE_WP, runs,
				   HMMU_COPY_RUNS, &n, &next))
			return true;
		for (i = 0; i < n; i++)
			if (runs[i].flags & HMMU__PAGE_WP)
				return true;
	}
	return false;
}

/* So long a call is held up by a program that changes mappings all the time. */
#define LENT_NS 1000000000ull

void hmmu__unstamp_lent(struct hmmu_live *l)
{
	uint64_t begun = hmmu__sys_clock_ns();
	unsigned int round = 0;
	int err;

	/* What has moved while it was stamped is known by then. */
	hmmu__live_events_wait(&l->mm);
	while (hmmu__stamps_are_left(l) &&
	       hmmu__sys_clock_ns() - begun < LENT_NS) {
		hmmu__events_begin(l);
		hmmu__events_settle(l);
		err = hmmu__unstamp_left(l);
		hmmu__events_end(l);
		if (err)
			hmmu__backoff(&round);
	}
}

/* --- stamping ------------------------------------------------------------------ */

int hmmu__stamp(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	return hmmu__live_stamps(l) ? hmmu__uffd_protect(l, start, end, true) :
				      0;
}

/* So long everybody else is held up for it. */
#define UNSTAMP_NS 2000000ull

void hmmu__unstamp(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	uint64_t begun = hmmu__sys_clock_ns();
	unsigned int round = 0;
	struct uffd_msg msg;

	if (!hmmu__live_stamps(l))
		return;
	while (unstamp_each(l, start, end)) {
		if (hmmu__sys_clock_ns() - begun > UNSTAMP_NS) {
			left_add(l, start, end);
			/* It looks at these at the same time. */
			hmmu__watch_release_later(l);
			return;
		}
		if (hmmu__message_read(l, &msg)) {
			hmmu__message_put_aside(l, &msg);
			round = 0;
		} else {
			hmmu__backoff(&round);
		}
	}
}

int hmmu__unstamp_fault(struct hmmu_live *l, uintptr_t addr) HMMU_NO_TSA
{
	uintptr_t start = hmmu_round_down(addr, HMMU_LARGE_BYTES);
	struct hmmu_vma_info vma;
	int err = 0;

	/* Not between a stamp and the copier's call. */
	hmmu__rw_read_lock(&l->events);
	/* A large page as a whole, or it would be split; nobody else's beside. */
	if (!hmmu__live_describe(&l->mm, addr, &vma))
		err = unstamp_each(l, hmmu_max(start, vma.start),
				   hmmu_min(start + HMMU_LARGE_BYTES, vma.end));
	hmmu__rw_read_unlock(&l->events);
	/* Where he stopped there may be something else by now, or nothing. */
	if (!err)
		hmmu__uffd_wake(l, hmmu_round_down(addr, HMMU_PAGE_BYTES),
				hmmu_round_down(addr, HMMU_PAGE_BYTES) +
					HMMU_PAGE_BYTES);
	return err;
}

/* --- what has landed ----------------------------------------------------------- */

/* The mapping that begins at @start or before goes beyond [start, end). */
static bool is_merged(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct hmmu_vma_info vma;

	return !hmmu__live_describe(&l->mm, start, &vma) &&
	       (vma.start < start || vma.end > end);
}

/*
 * A part of a mapping that was registered, nobody knows how, as the rest of it
 * is: else it is two, and the program can not move it any more (E3). Nothing of
 * it is absent.
 */
static void register_as_the_rest(struct hmmu_live *l, uintptr_t start,
				 uintptr_t end)
{
	static const uint64_t modes[] = {
		UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MISSING,
		UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		(void)hmmu__uffd_register(l, start, end, modes[i]);
		if (is_merged(l, start, end))
			return;
	}
	(void)hmmu__uffd_unregister(l, start, end);
	(void)hmmu__uffd_register(l, start, end, UFFDIO_REGISTER_MODE_WP);
}

/* One run, to where it was. No event: nothing is registered meanwhile. */
static void run_put_back(struct hmmu_live *l, uintptr_t start, uintptr_t alias,
			 size_t bytes)
{
	if (hmmu__uffd_unregister(l, alias, alias + bytes) ||
	    hmmu__uffd_unregister(l, start, start + bytes) ||
	    hmmu__sys_is_error(hmmu__copy_remap(alias, start, bytes)))
		hmmu__log(HMMU_LOG_ERROR,
			  "no more mappings: pages that were moved are lost");
	register_as_the_rest(l, start, start + bytes);
}

void hmmu__landed_put_back(struct hmmu_live *l, uintptr_t start,
			   uintptr_t alias, size_t bytes, void *host)
{
	struct hmmu__page_run runs[HMMU_COPY_RUNS];
	uintptr_t at = alias, next;
	size_t n, i;

	for (; at < alias + bytes; at = next) {
		if (hmmu__pagescan(&l->pages, at, alias + bytes,
				   HMMU_COPY_CONTENT | HMMU__PAGE_WP, runs,
				   HMMU_COPY_RUNS, &n, &next))
			return;
		for (i = 0; i < n; i++) {
			size_t off = runs[i].start - alias;
			size_t len = runs[i].end - runs[i].start;

			if (runs[i].flags & HMMU__PAGE_WP)
				continue;
			/* What can not be read is not asked for. */
			(void)hmmu__peek(runs[i].start,
					 (uint64_t *)((uint8_t *)host + off),
					 len / sizeof(uint64_t));
			run_put_back(l, start + off, runs[i].start, len);
		}
	}
}
