/* SPDX-License-Identifier: MIT */
/*
 * Moving pages between the program and a device's memory: UFFDIO_MOVE, and
 * copying where moving home is refused.
 *
 * EAGAIN of an ioctl has two meanings (platform.md section 1): with progress,
 * "ask again for the rest to learn the reason"; without, "a mapping is
 * changing and its event has not been read, or its caller has not run yet".
 */
#include <errno.h>
#include <sys/syscall.h>

#include "base/arena.h"
#include "live/live.h"

static int uffd_ioctl(const struct hmmu_live *l, unsigned long request,
		      void *arg)
{
	return hmmu__sys_ioctl(hmmu__uffd(l), request, arg);
}

int hmmu__uffd_register(const struct hmmu_live *l, uintptr_t start,
			uintptr_t end, uint64_t mode)
{
	struct uffdio_register r = {
		.range = { .start = start, .len = end - start },
		.mode = mode,
	};

	return uffd_ioctl(l, UFFDIO_REGISTER, &r);
}

int hmmu__uffd_unregister(const struct hmmu_live *l, uintptr_t start,
			  uintptr_t end)
{
	struct uffdio_range r = { .start = start, .len = end - start };

	return uffd_ioctl(l, UFFDIO_UNREGISTER, &r);
}

void hmmu__uffd_wake(const struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	struct uffdio_range r = { .start = start, .len = end - start };

	(void)uffd_ioctl(l, UFFDIO_WAKE, &r);
}

/* A call that is refused at once, and first of all while mappings change. */
bool hmmu__uffd_is_changing(const struct hmmu_live *l)
{
	struct uffdio_zeropage z = { .mode = 0 };

	return uffd_ioctl(l, UFFDIO_ZEROPAGE, &z) == -EAGAIN;
}

bool hmmu__live_is_changing(const struct hmmu_live *l)
{
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire) ||
	       hmmu__uffd_is_changing(l);
}

/* One call; *@moved is what it did even when it failed. */
static int move_once(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
		     size_t bytes, size_t *moved)
{
	struct uffdio_move m = {
		.dst = dst,
		.src = src,
		.len = bytes,
		.mode = UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES,
	};
	int err = uffd_ioctl(l, UFFDIO_MOVE, &m);

	*moved = m.move > 0 ? (size_t)m.move : 0;
	return err;
}

/*
 * Linux 6.18 forgets to count: when its own first try of a page ends in EAGAIN
 * and the second moves it, with others behind it, it takes the second for
 * failed, too, tries once more, and says EEXIST - of what it has just moved
 * there itself, and has woken nobody for. Such a page is absent at its source.
 */
static int move_recount(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
			size_t bytes, size_t *moved)
{
	size_t at;

	for (at = 0; at < bytes; at += HMMU_PAGE_BYTES)
		if (!hmmu__is_absent(l, src + at, src + at + HMMU_PAGE_BYTES) ||
		    hmmu__is_absent(l, dst + at, dst + at + HMMU_PAGE_BYTES))
			break;
	*moved = at;
	if (!at)
		return -EEXIST;
	hmmu__uffd_wake(l, dst, dst + at);
	return 0;
}

/*
 * Moves until something stands in the way; *@done is always right. -EAGAIN
 * comes out only if not a page moved: then a mapping is changing. -EEXIST: both
 * places have a page.
 */
static int move_all(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
		    size_t bytes, size_t *done)
{
	size_t moved;
	int err;

	*done = 0;
	do {
		err = move_once(l, dst + *done, src + *done, bytes - *done,
				&moved);
		if (err == -EEXIST)
			err = move_recount(l, dst + *done, src + *done,
					   bytes - *done, &moved);
		*done += moved;
	} while (*done < bytes &&
		 ((!err && moved) || (err == -EAGAIN && moved)));
	return *done == bytes ? 0 : err ? err : -EAGAIN;
}

/* An event has been read and not applied; who applies it does not wait. */
static bool must_wait_for_events(struct hmmu_live *l)
{
	/* Acquire: pairs with the service's release when it has applied one. */
	return atomic_load_explicit(&l->unprocessed, memory_order_acquire) &&
	       !hmmu__events_are_own(l);
}

/* --- locked memory ---------------------------------------------------------- */

/* Refused for locked memory, and nothing else but a look at the mappings. */
static bool is_locked_memory(uintptr_t start, size_t bytes)
{
	return hmmu__syscall(SYS_msync, (long)start, (long)bytes, MS_INVALIDATE,
			     0, 0, 0) == -EBUSY;
}

/*
 * A program that locks all its memory, mlockall(MCL_CURRENT), locks a device's
 * memory with it. That can not be emptied then, and nothing moves between it
 * and memory that is not locked. True: it was so, and is not any more.
 *
 * The mappings are unlocked as a whole: nothing moves across two.
 */
static bool pool_unlock(struct hmmu_live *l, uintptr_t start, size_t bytes)
{
	struct hmmu_vma_info first, last;

	if (!is_locked_memory(start, bytes) ||
	    hmmu__live_describe(&l->mm, start, &first) ||
	    hmmu__live_describe(&l->mm, start + bytes - 1, &last) ||
	    hmmu__sys_munlock(first.start, last.end - first.start))
		return false;
	return !is_locked_memory(start, bytes);
}

/* --- out -------------------------------------------------------------------- */

/* Why the page at @addr did not move, and how many bytes share its fate. */
static void take_refused(struct hmmu_live *l, struct hmmu_mm_take *t, int err)
{
	uintptr_t addr = t->start + t->done_bytes;
	uintptr_t block = addr & ~(HMMU_LARGE_BYTES - 1);
	size_t left = t->bytes - t->done_bytes;

	t->stay_bytes = HMMU_PAGE_BYTES;
	t->why = err == -EBUSY ? HMMU_STAY_SHARED : HMMU_STAY_LOCKED;
	/* A large page stays as a whole, and so does a locked mapping. */
	if (hmmu__large_pages(l, block, block + HMMU_LARGE_BYTES))
		t->stay_bytes = block + HMMU_LARGE_BYTES - addr;
	if (t->why == HMMU_STAY_LOCKED)
		t->stay_bytes = left;
	if (t->stay_bytes > left)
		t->stay_bytes = left;
}

/*
 * The kernel moves what is in swap, and refuses guards and poison (RF24): they
 * stay. False: nothing is marked there, so the mapping is changing.
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
	/* What is marked behind poison may be in swap. */
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
		/* Not mapped any more: the walk looks again. */
		return -EAGAIN;
	case -EEXIST:
		/* The place is not empty, which is ours to answer for. */
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

	/* Locked memory stays; between two that are locked the kernel moves. */
	(void)pool_unlock(l, (uintptr_t)t->host, t->bytes);
	err = move_all(l, (uintptr_t)t->host, t->start, t->bytes,
		       &t->done_bytes);
	count_large(l, (uintptr_t)t->host, t->start, t->done_bytes, &t->large);
	return take_result(l, t, err);
}

int hmmu__live_take(struct hmmu_mm *mm, struct hmmu_mm_take *t)
{
	struct hmmu_live *l = hmmu__live(mm);
	int err;

	/* Acquire: as in must_wait_for_events(). */
	if (atomic_load_explicit(&l->unprocessed, memory_order_acquire))
		return -EAGAIN;
	/* Not armed (any more): a page taken now would read as zeroes. */
	if (!hmmu__watch_is_armed(l, t->start, t->start + t->bytes))
		return -EAGAIN;
	err = take_moves(l, t);
	if (t->large)
		hmmu__watch_saw_large(l, t->start);
	return err;
}

/* --- home ------------------------------------------------------------------- */

static int copy_page(const struct hmmu_live *l, uintptr_t dst, uintptr_t src)
{
	struct uffdio_copy c = { .dst = dst,
				 .src = src,
				 .len = HMMU_PAGE_BYTES };

	return uffd_ioctl(l, UFFDIO_COPY, &c);
}

static int zero_page(const struct hmmu_live *l, uintptr_t start, size_t bytes,
		     size_t *done)
{
	struct uffdio_zeropage z = {
		.range = { .start = start, .len = bytes },
	};
	int err = uffd_ioctl(l, UFFDIO_ZEROPAGE, &z);

	*done = z.zeropage > 0 ? (size_t)z.zeropage : 0;
	return err;
}

/*
 * The kernel looks for the mapping before it looks whether one is being changed:
 * it may have moved a moment ago, and then the page belongs elsewhere, as its
 * event will tell.
 */
static int vma_gone_error(const struct hmmu_live *l, uintptr_t at)
{
	unsigned char vec;

	if (hmmu__uffd_is_changing(l))
		return -EAGAIN;
	/* Asked of the kernel once more: pages are dropped for this. */
	return hmmu__syscall(SYS_mincore, (long)at, (long)HMMU_PAGE_BYTES,
			     (long)&vec, 0, 0, 0) == -ENOMEM ?
		       -ENOENT :
		       -EAGAIN;
}

/*
 * One page that can not be moved home: the mapping lost its write permission,
 * is locked, or somebody holds the page. -ENOENT: there is no mapping.
 */
static int put_copy(struct hmmu_live *l, struct hmmu_mm_put *p)
{
	uintptr_t dst = p->start + p->done_bytes;
	uintptr_t src = (uintptr_t)p->host + p->done_bytes;
	int err = 0;

	/* An absent page of the device is a hole: it stays one. */
	if (!hmmu__is_absent(l, src, src + HMMU_PAGE_BYTES)) {
		err = copy_page(l, dst, src);
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

/* The page is present already; what the device has of it is old. */
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
 * A move must lie in one mapping. Several were one when the pages left, or are
 * neighbours: @limit becomes the end of the one at hand. False: it was that
 * already, so something else is in the way.
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

/* Large pages of the device before they go: what moved as one. */
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
		err = move_all(l, at, (uintptr_t)p->host + p->done_bytes,
			       limit - at, &done);
		p->done_bytes += done;
		if ((err == -EINVAL || err == -ENOENT) &&
		    put_clip(l, p, &limit))
			err = 0;
		else if (err == -EINVAL &&
			 pool_unlock(l, (uintptr_t)p->host + p->done_bytes,
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

	if (must_wait_for_events(l))
		return -EAGAIN;
	err = put_moves(l, p);
	if (p->done_bytes == p->bytes && !p->copied)
		p->large = large;
	else if (p->copied)
		hmmu__count(&mm->space->counters.thp_lost, large);
	/*
	 * Moving wakes by itself; what was not moved is woken for here. Not for
	 * what is still away: it would fault again, and faults are read before
	 * events.
	 */
	if (p->done_bytes && p->unmoved)
		hmmu__uffd_wake(l, p->start, p->start + p->done_bytes);
	return err;
}

/* --- holes ------------------------------------------------------------------ */

/* So many pages around a touched hole are filled with it. */
#define HOLE_PAGES 16u

/* The whole block is empty, of one mapping that likes large pages. */
static bool wants_large(struct hmmu_live *l, uintptr_t block,
			const struct hmmu_bitmap512 *device_pages)
{
	struct hmmu_watch w;

	/* An ordinary user's mappings are filled as a whole: sparingly. */
	return !l->platform.user_mode_only &&
	       hmmu__bitmap_is_empty(device_pages) &&
	       hmmu__watch_get(l, block, &w) && w.saw_large &&
	       w.node.last >= block + HMMU_LARGE_BYTES - 1 &&
	       hmmu__is_absent(l, block, block + HMMU_LARGE_BYTES);
}

static int fill_large(struct hmmu_live *l, uintptr_t block)
{
	volatile uint8_t *z = l->zero_chunk;
	size_t done;

	/* Faults in a fresh zeroed large page: the last one has moved away. */
	*z = 0;
	return move_all(l, block, (uintptr_t)z, HMMU_LARGE_BYTES, &done);
}

static int fill_small(struct hmmu_live *l, uintptr_t addr,
		      const struct hmmu_bitmap512 *device_pages)
{
	uintptr_t page = addr & ~(HMMU_PAGE_BYTES - 1);
	uintptr_t block = addr & ~(HMMU_LARGE_BYTES - 1);
	unsigned int at = (unsigned int)((page - block) >> HMMU_PAGE_LG2);
	unsigned int end = hmmu__bitmap_first_set_from(device_pages, at);
	size_t done;
	int err;

	if (end > at + HOLE_PAGES)
		end = at + HOLE_PAGES;
	err = zero_page(l, page, (size_t)(end - at) << HMMU_PAGE_LG2, &done);
	if (done || err == -EEXIST)
		return 0;
	/* The run goes beyond its mapping: the one page at least. */
	if (err == -ENOENT || err == -EINVAL)
		err = zero_page(l, page, HMMU_PAGE_BYTES, &done);
	return done || err == -EEXIST ? 0 : err;
}

/*
 * Zeroes would hide what a file has. What is armed is anonymous, and asked for
 * is more than that only where there is no record:
 *
 *      here                                program
 *      reads of a hole in V
 *                                          mmap(over V): a private file
 *      applies that event; watches it
 *      fills the hole
 */
static bool is_anonymous(struct hmmu_live *l, uintptr_t addr)
{
	struct hmmu_vma_info vma;

	return hmmu__watch_is_armed(l, addr, addr + 1) ||
	       (!hmmu__live_describe(&l->mm, addr, &vma) &&
		vma.flags & HMMU_VMA_ANON);
}

int hmmu__live_fill_hole(struct hmmu_mm *mm, uintptr_t addr,
			 const struct hmmu_bitmap512 *device_pages)
{
	uintptr_t block = addr & ~(HMMU_LARGE_BYTES - 1);
	uintptr_t page = addr & ~(HMMU_PAGE_BYTES - 1);
	struct hmmu_live *l = hmmu__live(mm);
	int err = -EINVAL;

	/* A page that is away may be recorded elsewhere until then. */
	if (must_wait_for_events(l))
		return -EAGAIN;
	if (is_anonymous(l, page)) {
		if (wants_large(l, block, device_pages))
			err = fill_large(l, block);
		if (err && err != -EAGAIN)
			err = fill_small(l, addr, device_pages);
	} else {
		hmmu__watch_leave_fill(l, page);
	}
	/* Also where nothing could be done: the toucher looks again, and finds
	 * what the kernel makes of the address now. */
	if (err != -EAGAIN) {
		hmmu__uffd_wake(l, page, page + HMMU_PAGE_BYTES);
		err = 0;
	}
	return err;
}

/* --- pools ------------------------------------------------------------------ */

/*
 * A guard empties its page, and neither it nor its end is told as an event.
 * Installed in part, for want of memory: what was comes off again.
 */
static int empty_by_guards(uintptr_t start, size_t bytes)
{
	int err = hmmu__sys_madvise(start, bytes, MADV_GUARD_INSTALL);
	int end_err = hmmu__sys_madvise(start, bytes, MADV_GUARD_REMOVE);

	return err ? err : end_err;
}

/* Registered again in any case: else nothing could move there any more. */
static int empty_unregistered(struct hmmu_live *l, uintptr_t start,
			      size_t bytes)
{
	int err = hmmu__uffd_unregister(l, start, start + bytes);
	int register_err;

	if (err)
		return err;
	err = hmmu__sys_madvise(start, bytes, MADV_DONTNEED);
	register_err = hmmu__uffd_register(l, start, start + bytes,
					   UFFDIO_REGISTER_MODE_WP);
	return err ? err : register_err;
}

/*
 * Device memory is registered, for only then can pages be moved into it. So
 * its madvise would be told to the service, which may be the caller. Where there
 * are guards, less than a large page goes by them; else the range is not
 * registered while it is emptied, which also gives page tables back, and so
 * lets a large page move in again.
 */
int hmmu__live_empty(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct hmmu_live *l = hmmu__live(mm);
	uintptr_t start = (uintptr_t)host;
	int err;

	if (l->pages.have_guard && bytes < HMMU_LARGE_BYTES &&
	    !empty_by_guards(start, bytes))
		return 0;
	err = empty_unregistered(l, start, bytes);
	if (err == -EINVAL && pool_unlock(l, start, bytes))
		err = empty_unregistered(l, start, bytes);
	/* A large one costs a mapping, of which there may be no more. */
	if (err && l->pages.have_guard)
		err = empty_by_guards(start, bytes);
	return err;
}

int hmmu__live_add_pool(struct hmmu_mm *mm, void *host, size_t bytes)
{
	struct hmmu_live *l = hmmu__live(mm);
	uintptr_t start = (uintptr_t)host;
	int err;

	err = hmmu__sys_madvise(start, bytes, MADV_HUGEPAGE);
	if (err == -EINVAL)
		err = 0; /* a kernel without large pages */
	if (!err)
		err = hmmu__uffd_register(l, start, start + bytes,
					  UFFDIO_REGISTER_MODE_WP);
	return err;
}

void hmmu__live_remove_pool(struct hmmu_mm *mm, void *host, size_t bytes)
{
	uintptr_t start = (uintptr_t)host;

	(void)hmmu__uffd_unregister(hmmu__live(mm), start, start + bytes);
}
