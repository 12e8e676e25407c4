/* SPDX-License-Identifier: MIT */
/*
 * Take and put: move pages between the program and a device's memory
 *
 * Pages are moved by UFFDIO_MOVE, without copying. A page that cannot be moved
 * back is copied by UFFDIO_COPY.
 *
 * Locking: the caller is in a hold and has the block locks. The watch lock is
 * taken inside, to look at records.
 */
#include "live/page.h"

#include <errno.h>
#include <sys/syscall.h>

#include "live/inbox.h"
#include "live/look.h"
#include "live/pool.h"
#include "live/records.h"
#include "live/uffd.h"

/*
 * Set the reason why the first page not taken stays, and how many bytes stay
 * for the same reason.
 */
static void take_refused(struct hmmu_live *l, struct hmmu_mm_take *t, int err)
{
	uintptr_t addr = t->start + t->done_bytes;
	uintptr_t block = addr & ~(HMMU_LARGE_BYTES - 1);
	size_t left = t->bytes - t->done_bytes;

	t->stay_bytes = HMMU_PAGE_BYTES;
	t->shared = err == -EBUSY;
	t->why = t->shared ? HMMU_STAY_PINNED : HMMU_STAY_LOCKED;
	/* A large page stays as a whole, and so does a locked mapping. */
	if (hmmu__large_pages(l, block, block + HMMU_LARGE_BYTES))
		t->stay_bytes = block + HMMU_LARGE_BYTES - addr;
	if (t->why == HMMU_STAY_LOCKED)
		t->stay_bytes = left;
	if (t->stay_bytes > left)
		t->stay_bytes = left;
}

/*
 * The kernel moves swapped pages, but no guards and no poisoned pages (RF24):
 * they stay. False: the page is none of these, so the mapping is changing.
 */
static bool take_marked(struct hmmu_live *l, struct hmmu_mm_take *t)
{
	uintptr_t addr = t->start + t->done_bytes, next;
	struct hmmu__page_run run;
	size_t n;

	if (hmmu__pagescan(&l->pages, addr, t->start + t->bytes,
			   HMMU__PAGE_SWAPPED | HMMU__PAGE_GUARD, &run, 1, &n,
			   &next) ||
	    !n || run.start != addr || run.flags & HMMU__PAGE_PRESENT)
		return false;
	t->why = HMMU_STAY_PROTECTED;
	/* Pages behind a poisoned one may be in swap: only this one stays. */
	t->stay_bytes = run.flags & HMMU__PAGE_GUARD ? run.end - addr :
						       HMMU_PAGE_BYTES;
	return true;
}

static int take_result(struct hmmu_live *l, struct hmmu_mm_take *t, int err)
{
	switch (err) {
	case 0:
	case -EAGAIN:
	case -ENOMEM:
		return err;
	case -EFAULT:
		if (take_marked(l, t))
			return -EBUSY;
		/* fall through */
	case -ENOENT:
	case -ESRCH:
		/*
		 * Not mapped any more: the caller looks up the mapping again.
		 */
		return -EAGAIN;
	case -EEXIST:
		/* The device's place is not empty. Empty it. */
		(void)hmmu__live_empty(&l->mm,
				       (uint8_t *)t->host + t->done_bytes,
				       t->bytes - t->done_bytes);
		return -EAGAIN;
	default:
		take_refused(l, t, err);
		return -EBUSY;
	}
}

static bool is_large_aligned(uintptr_t a, uintptr_t b)
{
	return (a | b) % HMMU_LARGE_BYTES == 0;
}

static void count_large(struct hmmu_live *l, uintptr_t at, uintptr_t other,
			size_t bytes, size_t *large)
{
	bytes &= ~(HMMU_LARGE_BYTES - 1);
	if (bytes && is_large_aligned(at, other))
		*large = hmmu__large_pages(l, at, at + bytes);
}

static int take_moves(struct hmmu_live *l, struct hmmu_mm_take *t)
{
	int err;

	/*
	 * Locked memory stays, but the kernel would move pages from one locked
	 * mapping to another: unlock the pool.
	 */
	(void)hmmu__pool_unlock(l, (uintptr_t)t->host, t->bytes);
	err = hmmu__uffd_move(l, (uintptr_t)t->host, t->start, t->bytes,
			      &t->done_bytes);
	count_large(l, (uintptr_t)t->host, t->start, t->done_bytes, &t->large);
	return take_result(l, t, err);
}

int hmmu__live_take(struct hmmu_mm *mm, struct hmmu_mm_take *t)
{
	struct hmmu_live *l = hmmu__live(mm);
	int err;

	/* Acquire: as in hmmu__must_wait_for_events(). */
	if (atomic_load_explicit(&l->unprocessed, memory_order_acquire))
		return -EAGAIN;
	/*
	 * A page that is taken from a mapping that is not armed would read as
	 * zeroes.
	 */
	if (!hmmu__watch_is_armed(l, t->start, t->start + t->bytes))
		return -EAGAIN;
	err = take_moves(l, t);
	if (t->large)
		hmmu__watch_saw_large(l, t->start);
	return err;
}

/* --- back to system memory ----------------------------------------------------- */

/*
 * ENOENT is not final: the kernel looks up the mapping before it checks for a
 * change in progress. If the mapping has just moved, its pages belong to the
 * new address, and a pending event reports that.
 */
static int vma_gone_error(const struct hmmu_live *l, uintptr_t at)
{
	unsigned char vec;

	if (hmmu__uffd_is_changing(l))
		return -EAGAIN;
	/* Ask the kernel once more: the caller drops pages on -ENOENT. */
	return hmmu__syscall(SYS_mincore, (long)at, (long)HMMU_PAGE_BYTES,
			     (long)&vec, 0, 0, 0) == -ENOMEM ?
		       -ENOENT :
		       -EAGAIN;
}

/*
 * Copy one page that cannot be moved back: the mapping lost its write
 * permission or is locked, or the page is pinned. -ENOENT: there is no mapping.
 */
static int put_copy(struct hmmu_live *l, struct hmmu_mm_put *p)
{
	uintptr_t dst = p->start + p->done_bytes;
	uintptr_t src = (uintptr_t)p->host + p->done_bytes;
	int err = 0;

	/* A page that is absent in the pool is a hole, and stays one. */
	if (!hmmu__is_absent(l, src, src + HMMU_PAGE_BYTES)) {
		err = hmmu__uffd_copy_page(l, dst, src);
		if (err && err != -EEXIST)
			return err == -EAGAIN || err == -ENOMEM ?
				       err :
				       vma_gone_error(l, dst);
		p->copied++;
	}
	p->unmoved = true;
	p->done_bytes += HMMU_PAGE_BYTES;
	return hmmu__live_empty(&l->mm, (void *)src, HMMU_PAGE_BYTES);
}

/* A page is present at the destination. The device's copy is old: drop it. */
static int put_present(struct hmmu_live *l, struct hmmu_mm_put *p)
{
	uint8_t *src = (uint8_t *)p->host + p->done_bytes;

	p->unmoved = true;
	p->done_bytes += HMMU_PAGE_BYTES;
	return hmmu__live_empty(&l->mm, src, HMMU_PAGE_BYTES);
}

static int put_rest(struct hmmu_live *l, struct hmmu_mm_put *p, int err)
{
	switch (err) {
	case -EEXIST:
		return put_present(l, p);
	case -EINVAL:
	case -EBUSY:
		return put_copy(l, p);
	case -ENOENT:
		return vma_gone_error(l, p->start + p->done_bytes);
	default:
		return err;
	}
}

/*
 * One move must lie in one mapping, and the range has several: one was split,
 * or neighbours are put at once. Set @limit to the end of the first. False: the
 * range was in one mapping already, so the error has another cause.
 */
static bool put_clip(struct hmmu_live *l, const struct hmmu_mm_put *p,
		     uintptr_t *limit)
{
	struct hmmu_vma_info vma;

	if (hmmu__live_describe(&l->mm, p->start + p->done_bytes, &vma) ||
	    vma.end >= *limit)
		return false;
	*limit = vma.end;
	return true;
}

/*
 * Count the large pages in the pool before they move, to know what moved whole.
 */
static size_t large_before(const struct hmmu_live *l,
			   const struct hmmu_mm_put *p)
{
	uintptr_t host = (uintptr_t)p->host;

	if (!is_large_aligned(host, p->start) || p->bytes % HMMU_LARGE_BYTES)
		return 0;
	return hmmu__large_pages(l, host, host + p->bytes);
}

static int put_moves(struct hmmu_live *l, struct hmmu_mm_put *p)
{
	uintptr_t limit = p->start + p->bytes;
	size_t done;
	int err = 0;

	while (!err && p->done_bytes < p->bytes) {
		uintptr_t at = p->start + p->done_bytes;

		if (at >= limit)
			limit = p->start + p->bytes;
		err = hmmu__uffd_move(l, at, (uintptr_t)p->host + p->done_bytes,
				      limit - at, &done);
		p->done_bytes += done;
		if ((err == -EINVAL || err == -ENOENT) &&
		    put_clip(l, p, &limit))
			err = 0;
		else if (err == -EINVAL &&
			 hmmu__pool_unlock(l,
					   (uintptr_t)p->host + p->done_bytes,
					   p->bytes - p->done_bytes))
			err = 0;
		else if (err)
			err = put_rest(l, p, err);
	}
	return err;
}

int hmmu__live_put(struct hmmu_mm *mm, struct hmmu_mm_put *p)
{
	struct hmmu_live *l = hmmu__live(mm);
	size_t large = large_before(l, p);
	int err;

	if (hmmu__must_wait_for_events(l))
		return -EAGAIN;
	err = put_moves(l, p);
	if (p->done_bytes == p->bytes && !p->copied)
		p->large = large;
	else if (p->copied)
		hmmu__count(&mm->counters.thp_lost, large);
	/*
	 * UFFDIO_MOVE wakes waiting threads by itself. Wake those whose pages
	 * were not moved. Do not wake threads that wait for pages still on the
	 * device: they would fault again, and faults are read before events.
	 */
	if (p->done_bytes && p->unmoved)
		hmmu__uffd_wake(l, p->start, p->start + p->done_bytes);
	return err;
}
