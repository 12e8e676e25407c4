/* SPDX-License-Identifier: MIT */
/*
 * Migration to system memory (home)
 *
 * Overview: device pages migrate back when the CPU accesses one, when the
 * program or the driver asks, and before fork and close. A batch of
 * neighbouring blocks migrates under one invalidation. A CPU fault:
 *
 *      CPU thread            service                     device
 *      accesses the page
 *      (stopped)             invalidate begin:
 *                              empty the mirror          faults again: waits
 *                              wait for sections         section ends
 *                            lock block
 *                            move the pages back
 *                            unlock, invalidate end      maps system memory
 *      continues
 *
 * Required: the CPU reads the page with every device write in it. The device
 * writes nothing to device memory after the pages have moved back.
 *
 * Locking: the caller holds no lock. Inside: the address space's hold, then the
 * block locks of the batch in address order.
 *
 * Not supported: migrating one host-private page for a CPU fault. All pages of
 * its block in memories of that kind migrate, so that a large page stays whole.
 */
#include "core/home.h"

#include <errno.h>

#include "base/fault_point.h"
#include "base/range.h"
#include "base/sched.h"
#include "base/sized.h"
#include "core/batch.h"
#include "core/device.h"
#include "core/space.h"
#include "memory/pool.h"

static void add_result(struct hmmu_migrate_result *r, uint64_t pages,
		       uint64_t large)
{
	if (!r)
		return;
	r->pages_moved += pages;
	r->large_moved += large;
}

static void count_put(struct hmmu_space *space, const struct hmmu_mm_put *put)
{
	uint64_t pages = put->done_bytes >> HMMU_PAGE_LG2;

	hmmu__count(&space->counters.pages_home, pages);
	hmmu__count(&space->counters.large_home, put->large);
	hmmu__count(&space->counters.pages_copied, put->copied);
	hmmu__count(&space->counters.device_pages, (uint64_t)0 - pages);
}

/* Blocks of one range that migrate to system memory together. */
struct home_batch {
	struct hmmu_space *space;
	struct hmmu_migrate_result *result;
	/* Only pages of this device migrate; NULL: of all devices. */
	const struct hmmu_device *only;
	/* Only pages in memories of these kinds migrate: a bit for each. */
	unsigned int kinds;
	uintptr_t start;
	uintptr_t end;
	struct hmmu_batch batch;
	/*
	 * The address of the CPU fault, or 0. @is_touched_home: its page was
	 * put back, which has woken the thread.
	 */
	uintptr_t touched;
	bool is_touched_home;
};

/* A run of pages whose places are consecutive. It may cover several blocks. */
struct home_run {
	unsigned int block;
	uintptr_t start;
	size_t pages;
	uint32_t place;
	struct hmmu_memory *memory;
};

static uintptr_t home_run_end(const struct home_run *r)
{
	return r->start + (r->pages << HMMU_PAGE_LG2);
}

static struct hmmu_block *find_run_block(const struct home_batch *h,
					 const struct home_run *r,
					 uintptr_t addr)
{
	uintptr_t first = h->batch.block[r->block]->start;

	return h->batch.block[r->block + ((addr - first) >> HMMU_LARGE_LG2)];
}

/* Removes the records of pages that are back, or lost with their mapping. */
static void clear_run(const struct home_batch *h, const struct home_run *r,
		      size_t pages)
{
	uintptr_t at = r->start;

	while (pages) {
		struct hmmu_block *b = find_run_block(h, r, at);
		unsigned int page = hmmu__block_page(b, at);
		unsigned int n = HMMU_PAGES_PER_LARGE - page;

		hmmu__mutex_assert_held(&b->lock);
		if (n > pages)
			n = (unsigned int)pages;
		hmmu__block_clear(b, page, n);
		at += (uintptr_t)n << HMMU_PAGE_LG2;
		pages -= n;
	}
}

/*
 * Returns how much of the run one call puts back. Pages before the first large
 * page are put alone, so that large pages are counted. If a test makes large
 * pages fail, the first page is put alone, which splits the large page.
 */
static size_t choose_put_bytes(const struct home_run *r)
{
	size_t all = r->pages << HMMU_PAGE_LG2;
	size_t before = (0 - r->start) % HMMU_LARGE_BYTES;

	if (all < before + HMMU_LARGE_BYTES)
		return all;
	if (before)
		return before;
	return hmmu__memory_fails_large(r->memory) ? HMMU_PAGE_BYTES : all;
}

static int put_run(struct home_batch *h, struct home_run *r)
{
	struct hmmu_mm_put put = {
		.start = r->start,
		.bytes = choose_put_bytes(r),
		.host = hmmu__memory_host(r->memory, r->place),
	};
	uint32_t done;
	int err;

	/* The rest of a large page consists of small pages. */
	if (r->pages >= HMMU_PAGES_PER_LARGE &&
	    hmmu__memory_fails_large(r->memory))
		put.bytes = HMMU_PAGE_BYTES;

	err = HMMU_FAULT_POINT("put", ENOMEM);
	if (!err)
		err = h->space->mm->ops->put(h->space->mm, &put);
	done = (uint32_t)(put.done_bytes >> HMMU_PAGE_LG2);
	if (h->touched - r->start < put.done_bytes)
		h->is_touched_home = true;
	if (done) {
		clear_run(h, r, done);
		hmmu__memory_give(r->memory, r->place, done,
				  put.large * HMMU_PAGES_PER_LARGE != done);
		count_put(h->space, &put);
		add_result(h->result, done, put.large);
		r->start += put.done_bytes;
		r->place += done;
		r->pages -= done;
	}
	return err;
}

/*
 * Drops the pages at the start of the run, where nothing is mapped: an event of
 * the unmap is pending, or a hook has just unmapped it. Pages after the hole
 * are not changed. False: a new mapping is there.
 */
static bool forget_run(const struct home_batch *h, struct home_run *r)
{
	struct hmmu_mm *mm = h->space->mm;
	uintptr_t end = home_run_end(r);
	struct hmmu_vma_info vma;
	size_t pages;

	if (!mm->ops->next_vma(mm, r->start, &vma) && vma.start < end)
		end = vma.start;
	/*
	 * The page belonged to an older mapping than the one there now. The
	 * caller retries after core has been notified of the new one.
	 */
	if (end <= r->start)
		return false;
	pages = (end - r->start) >> HMMU_PAGE_LG2;
	(void)mm->ops->empty(mm, hmmu__memory_host(r->memory, r->place),
			     end - r->start);
	clear_run(h, r, pages);
	hmmu__memory_give(r->memory, r->place, (uint32_t)pages, true);
	hmmu__count(&h->space->counters.device_pages, (uint64_t)0 - pages);
	hmmu__count(&h->space->counters.pages_dropped, pages);
	return true;
}

/* The CPU uses a coherent page in place, so only its place is freed. */
static void release_coherent_run(const struct home_batch *h, struct home_run *r)
{
	clear_run(h, r, r->pages);
	hmmu__memory_give(r->memory, r->place, (uint32_t)r->pages, true);
	hmmu__count(&h->space->counters.pages_home, r->pages);
	hmmu__count(&h->space->counters.device_pages, (uint64_t)0 - r->pages);
	add_result(h->result, r->pages, 0);
	r->pages = 0;
}

#define ALL_KINDS (~0u)

static unsigned int kind_bit(const struct hmmu_memory *m)
{
	return 1u << m->kind;
}

static bool is_wanted(const struct home_batch *h, const struct hmmu_memory *m)
{
	return (h->kinds & kind_bit(m)) && (!h->only || m->owner == h->only);
}

/* True if the whole block is one large page that continues the run. */
static bool continues_run(const struct home_batch *h,
			  const struct hmmu_block *b, const struct home_run *r)
{
	hmmu__mutex_assert_held(&b->lock);
	return b->start == home_run_end(r) &&
	       h->end - b->start >= HMMU_LARGE_BYTES &&
	       hmmu__bitmap_is_full(&b->held) && !b->scattered &&
	       b->memory == r->memory &&
	       b->first == r->place + (uint32_t)r->pages;
}

/*
 * Finds the first wanted run of block @i from @page on. The run includes whole
 * blocks that continue it.
 */
static bool find_run(const struct home_batch *h, unsigned int i,
		     unsigned int page, struct home_run *r)
{
	struct hmmu_block *b = h->batch.block[i];
	struct hmmu_block_run part;
	unsigned int first, stop;

	hmmu__mutex_assert_held(&b->lock);
	hmmu__block_clip(b, h->start, h->end, &first, &stop);
	if (page < first)
		page = first;
	do {
		if (!hmmu__block_run(b, page, stop, &part))
			return false;
		page = part.page + part.n;
	} while (!is_wanted(h, part.memory));
	*r = (struct home_run){ .block = i,
				.start = hmmu__block_addr(b, part.page),
				.pages = part.n,
				.place = part.place,
				.memory = part.memory };
	while (page == HMMU_PAGES_PER_LARGE && ++i < h->batch.n &&
	       continues_run(h, h->batch.block[i], r))
		r->pages += HMMU_PAGES_PER_LARGE;
	return true;
}

static int bring_run_home(struct home_batch *h, struct home_run *r)
{
	int err;

	if (r->memory->kind == HMMU_MEMORY_COHERENT) {
		release_coherent_run(h, r);
		return 0;
	}
	err = put_run(h, r);
	if (err == -ENOENT)
		err = forget_run(h, r) ? 0 : -EAGAIN;
	return err;
}

/* Pages that are back have no record, so find_run() always makes progress. */
static int home_batch_locked(struct home_batch *h)
{
	struct home_run r;
	unsigned int i;
	int err = 0;

	for (i = 0; i < h->batch.n && !err; i++)
		while (!err && find_run(h, i, 0, &r))
			err = bring_run_home(h, &r);
	return err;
}

/* The event and the owner that the invalidation of a batch reports. */
struct home_invalidation {
	enum hmmu_event event;
	const struct hmmu_device *owner;
};

/*
 * The end of exclusive access is no migration. The device must be notified,
 * too, so the event has no owner: a driver ignores events that it owns (EX7).
 */
static struct home_invalidation invalidation_for(const struct hmmu_memory *m)
{
	struct home_invalidation t = { HMMU_EVENT_MIGRATE, m->owner };

	if (m->kind == HMMU_MEMORY_EXCLUSIVE)
		t = (struct home_invalidation){ HMMU_EVENT_CLEAR, NULL };
	return t;
}

/* For pages of both. If they have different owners, the event has none. */
static struct home_invalidation
invalidation_for_both(struct home_invalidation a, struct home_invalidation b)
{
	if (a.event != b.event)
		a.event = HMMU_EVENT_MIGRATE;
	if (a.owner != b.owner)
		a.owner = NULL;
	return a;
}

static bool is_same_invalidation(struct home_invalidation a,
				 struct home_invalidation b)
{
	return a.event == b.event && a.owner == b.owner;
}

static int home_batch_once(struct home_batch *h, struct home_invalidation t)
{
	struct hmmu_mm *mm = h->space->mm;
	struct hmmu_invalidate_call call = {
		.inv = { .start = h->start,
			 .end = h->end,
			 .event = t.event,
			 .owner = t.owner },
		.moves = true,
	};
	int err;

	hmmu__core_invalidate_begin(h->space, &call);
	mm->ops->hold(mm, false);
	hmmu__batch_lock(&h->batch);
	/*
	 * Retry if an invalidation is running. A hook that has unmapped the
	 * range, but has not dropped its pages yet, is inside one, and another
	 * mapping may be there already.
	 */
	err = -EAGAIN;
	if (!hmmu__notifiers_conflict(&h->space->notifiers, &call))
		err = home_batch_locked(h);
	hmmu__batch_unlock(&h->batch);
	mm->ops->unhold(mm, false);
	hmmu__core_invalidate_end(h->space, &call);
	mm->ops->release(mm, h->start, h->end);
	return err;
}

/*
 * Counts the wanted pages in the block's part of the range. *@t becomes the
 * invalidation that reports them.
 */
static uint64_t count_wanted(const struct home_batch *h, struct hmmu_block *b,
			     struct home_invalidation *t)
{
	struct hmmu_block_run r;
	unsigned int page, stop;
	uint64_t pages = 0;

	*t = (struct home_invalidation){ HMMU_EVENT_MIGRATE, NULL };
	if (!atomic_load_explicit(&b->held_pages, memory_order_acquire))
		return 0;
	hmmu__block_clip(b, h->start, h->end, &page, &stop);
	hmmu__block_lock(b);
	for (; hmmu__block_run(b, page, stop, &r); page = r.page + r.n) {
		if (!is_wanted(h, r.memory))
			continue;
		*t = pages ? invalidation_for_both(*t,
						   invalidation_for(r.memory)) :
			     invalidation_for(r.memory);
		pages += r.n;
	}
	hmmu__block_unlock(b);
	return pages;
}

static int home_batch_retry(struct home_batch *h, struct home_invalidation t)
{
	uint64_t begun = hmmu__sched_now_ns();
	int err;

	while ((err = home_batch_once(h, t)) == -EAGAIN) {
		if (hmmu__sched_now_ns() - begun > HMMU_CHANGING_NS)
			return -EBUSY;
		h->space->mm->ops->sync(h->space->mm, HMMU_QUIET_NS);
	}
	return err;
}

/*
 * Collects the next blocks of [@at, @end) that have wanted pages, are
 * neighbours and are reported by the same invalidation *@t. Sets h->start and
 * h->end. Returns where the next batch begins.
 */
static uintptr_t collect_home_batch(struct home_batch *h, uintptr_t at,
				    uintptr_t end, struct home_invalidation *t)
{
	struct home_invalidation one;
	uintptr_t begin = at, stop = at;
	struct hmmu_block *b;

	h->batch.n = 0;
	hmmu__block_for_each(b, &h->space->blocks, at, end)
	{
		bool wanted;

		h->start = at;
		h->end = end;
		wanted = count_wanted(h, b, &one) > 0;
		if (!h->batch.n && !wanted)
			continue;
		if (!h->batch.n) {
			begin = at > b->start ? at : b->start;
			*t = one;
		} else if (!wanted || !is_same_invalidation(one, *t) ||
			   b->start != stop ||
			   h->batch.n == HMMU_BATCH_BLOCKS) {
			break;
		}
		h->batch.block[h->batch.n++] = b;
		stop = b->start + HMMU_LARGE_BYTES;
		stop = stop < end ? stop : end;
		if (stop == end)
			break;
	}
	h->start = begin;
	h->end = stop;
	return h->batch.n ? stop : end;
}

int hmmu__range_home(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     const struct hmmu_device *only,
		     struct hmmu_migrate_result *result)
{
	struct home_batch h = { .space = space,
				.result = result,
				.only = only,
				.kinds = ALL_KINDS };
	struct home_invalidation t = { HMMU_EVENT_MIGRATE, NULL };
	int err = 0;

	space->mm->ops->sync(space->mm, HMMU_QUIET_NS);
	while (start < end) {
		start = collect_home_batch(&h, start, end, &t);
		if (h.batch.n) {
			int e = home_batch_retry(&h, t);

			if (e)
				err = e;
		}
	}
	return err;
}

int hmmu__core_home(struct hmmu_space *space, uintptr_t start, uintptr_t end)
{
	return hmmu__range_home(space, start, end, NULL, NULL);
}

int hmmu__core_all_home(struct hmmu_space *space)
{
	return hmmu__core_home(space, 0, HMMU_MM_END);
}

/*
 * Migrates the page of a CPU fault back. A host-private page brings its whole
 * block with it. An exclusive page comes back alone, and stays exclusive when
 * another page is accessed (EX7). @mixed: the block is scattered, so its pages
 * may be in several memories.
 */
static int home_touched_page(struct hmmu_space *space, struct hmmu_block *b,
			     uintptr_t addr, const struct hmmu_memory *m,
			     bool mixed)
{
	struct home_batch h = { .space = space,
				.kinds = kind_bit(m),
				.start = b->start,
				.end = b->start + HMMU_LARGE_BYTES,
				.batch = { .block = { b }, .n = 1 },
				.touched = addr };
	struct home_invalidation t = invalidation_for(m);
	int err;

	if (m->kind == HMMU_MEMORY_EXCLUSIVE) {
		h.start = addr & ~(HMMU_PAGE_BYTES - 1);
		h.end = h.start + HMMU_PAGE_BYTES;
	} else if (mixed) {
		(void)count_wanted(&h, b, &t);
	}
	err = home_batch_once(&h, t);
	/* 1: the page was dropped or moved meanwhile; no thread was woken. */
	return err ? err : !h.is_touched_home;
}

/*
 * The page is absent in an armed mapping: it is on a device, or it was never
 * written. The record shows which. The block lock keeps a migration from taking
 * the hole while it is filled.
 */
static int fill_or_home(struct hmmu_space *space, struct hmmu_block *b,
			uintptr_t addr)
{
	unsigned int page = hmmu__block_page(b, addr);
	struct hmmu_mm *mm = space->mm;
	struct hmmu_place place;
	bool away, mixed;
	int err = 0;

	mm->ops->hold(mm, false);
	hmmu__block_lock(b);
	away = hmmu__bitmap_test(&b->away, page);
	place = hmmu__block_place(b, page);
	mixed = b->scattered;
	if (!away)
		err = mm->ops->fill_hole(mm, addr, &b->away);
	hmmu__block_unlock(b);
	mm->ops->unhold(mm, false);
	if (!away) {
		hmmu__count(&space->counters.hole_faults, 1);
		return err;
	}
	hmmu__count(&space->counters.cpu_faults, 1);
	return home_touched_page(space, b, addr, place.memory, mixed);
}

int hmmu__core_fill(struct hmmu_space *space, uintptr_t addr)
{
	struct hmmu_block *b = hmmu__block_get(&space->blocks, addr);
	struct hmmu_mm *mm = space->mm;
	int err = 0;

	if (!b)
		return -ENOMEM;
	mm->ops->hold(mm, false);
	hmmu__block_lock(b);
	if (!hmmu__bitmap_test(&b->away, hmmu__block_page(b, addr)))
		err = mm->ops->fill_hole(mm, addr, &b->away);
	hmmu__block_unlock(b);
	mm->ops->unhold(mm, false);
	return err;
}

int hmmu__core_cpu_fault(struct hmmu_space *space, uintptr_t addr)
{
	struct hmmu_block *b = hmmu__block_get(&space->blocks, addr);

	return b ? fill_or_home(space, b, addr) : -ENOMEM;
}

/* --- the public calls ---------------------------------------------------------- */

int hmmu_migrate_to_system(struct hmmu_space *space, uintptr_t address,
			   size_t bytes, struct hmmu_migrate_result *result)
{
	uintptr_t start, end;
	struct hmmu_migrate_result r = { 0 };
	struct hmmu_thread *self;
	int err;

	if (!space || !hmmu__can_copy_out(result) ||
	    !hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter_to_wait(space, &self);
	if (err)
		return err;
	err = hmmu__range_home(space, start, end, NULL, &r);
	hmmu__leave(self);
	hmmu__copy_out_any(result, &r, sizeof(r));
	return err;
}

int hmmu_migrate_evict(struct hmmu_device *device,
		       struct hmmu_migrate_result *result)
{
	struct hmmu_migrate_result r = { 0 };
	struct hmmu_thread *self;
	int err;

	if (!device || !hmmu__can_copy_out(result))
		return -EINVAL;
	err = hmmu__space_enter_to_wait(device->space, &self);
	if (err)
		return err;
	err = hmmu__range_home(device->space, 0, HMMU_MM_END, device, &r);
	hmmu__leave(self);
	hmmu__copy_out_any(result, &r, sizeof(r));
	return err;
}
