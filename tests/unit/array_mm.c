/* SPDX-License-Identifier: MIT */
/*
 * The operations of the address space that is an array.
 */
#include "tests/unit/array_mm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sched.h"
#include "tests/unit/array_internal.h"

#define RESERVED_BYTES (ARRAY_END - ARRAY_BASE + HMMU_LARGE_BYTES)

void array__check(bool ok, const char *what, int line)
{
	if (ok)
		return;
	(void)fprintf(stderr, "array address space, line %d: %s\n", line, what);
	abort();
}

/* No lock of core is held, and no hold. */
static void check_unlocked(void)
{
	ARRAY_CHECK(hmmu__held_count() == 0);
}

/* In a hold, with a lock of a block beside it. */
void array__check_held(struct array_mm *m, unsigned int locks)
{
	hmmu__rw_assert_held(&m->events);
	ARRAY_CHECK(!HMMU_DEBUG || hmmu__held_count() >= 1 + locks);
}

/* --- failures and hooks ------------------------------------------------------- */

static int failure_next(struct array_mm *m, enum array_op op)
{
	struct array_failure *f = &m->failure[op];

	if (!f->times)
		return 0;
	if (f->skip) {
		f->skip--;
		return 0;
	}
	f->times--;
	m->failed[op] = true;
	return f->err;
}

int array__enter(struct array_mm *m, enum array_op op)
{
	struct array_hook hook = { 0 };
	int err;

	atomic_fetch_add(&m->calls[op], 1);
	array__lock(m);
	if (m->hook[op].fn && m->hook[op].skip-- == 0) {
		hook = m->hook[op];
		m->hook[op].fn = NULL;
	}
	err = failure_next(m, op);
	array__unlock(m);
	if (hook.fn)
		hook.fn(hook.arg);
	return err;
}

void array_fail(struct array_mm *m, enum array_op op,
		const struct array_failure *failure)
{
	array__lock(m);
	m->failure[op] = *failure;
	m->failed[op] = false;
	array__unlock(m);
}

void array_on(struct array_mm *m, enum array_op op, unsigned int nth,
	      void (*fn)(void *arg), void *arg)
{
	array__lock(m);
	m->hook[op] =
		(struct array_hook){ .skip = nth - 1, .fn = fn, .arg = arg };
	array__unlock(m);
}

unsigned int array_calls(struct array_mm *m, enum array_op op)
{
	return atomic_load(&m->calls[op]);
}

/* --- mappings ----------------------------------------------------------------- */

/* The mapping of page @i, which is mapped. */
static struct hmmu_vma_info vma_of(const struct array_mm *m, size_t i)
{
	size_t first = i, end = i + 1;

	while (first > 0 &&
	       array__is_same_mapping(&m->page[first - 1], &m->page[i]))
		first--;
	while (end < ARRAY_PAGES &&
	       array__is_same_mapping(&m->page[end], &m->page[i]))
		end++;
	return (struct hmmu_vma_info){ .start = array__addr(first),
				       .end = array__addr(end),
				       .flags = m->page[i].flags,
				       .page_lg2 = HMMU_PAGE_LG2 };
}

static bool next_vma_locked(const struct array_mm *m, uintptr_t addr,
			    struct hmmu_vma_info *vma)
{
	size_t i = addr > ARRAY_BASE ? (addr - ARRAY_BASE) >> HMMU_PAGE_LG2 : 0;

	while (i < ARRAY_PAGES && !m->page[i].mapping)
		i++;
	if (i >= ARRAY_PAGES)
		return false;
	*vma = vma_of(m, i);
	return true;
}

static int next_vma(struct hmmu_mm *mm, uintptr_t addr,
		    struct hmmu_vma_info *vma)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_NEXT_VMA);
	bool found;

	if (err)
		return err;
	array__lock(m);
	found = next_vma_locked(m, addr, vma);
	array__unlock(m);
	return found ? 0 : -EFAULT;
}

static bool is_as_said(const struct array_mm *m,
		       const struct hmmu_vma_info *vma)
{
	struct hmmu_vma_info now;

	return next_vma_locked(m, vma->start, &now) &&
	       now.start == vma->start && now.end == vma->end &&
	       now.flags == vma->flags;
}

static int watch(struct hmmu_mm *mm, const struct hmmu_vma_info *vma)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_WATCH);

	check_unlocked();
	array__lock(m);
	if (!err && !is_as_said(m, vma))
		err = -EAGAIN;
	array__unlock(m);
	return err;
}

static void set_armed(struct array_mm *m, const struct hmmu_vma_info *vma,
		      bool is_armed)
{
	size_t i;

	for (i = array__index(vma->start); i < array__index(vma->end); i++)
		m->page[i].is_armed = is_armed;
}

static int arm(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
	       enum hmmu_stay *why)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_ARM);

	check_unlocked();
	ARRAY_CHECK(vma->flags & HMMU_VMA_ANON);
	*why = m->failure[ARRAY_ARM].why;
	array__lock(m);
	if (!err && !is_as_said(m, vma))
		err = -EAGAIN;
	if (!err)
		set_armed(m, vma, true);
	array__unlock(m);
	return err;
}

static bool has_taken(const struct array_mm *m, const struct hmmu_vma_info *vma)
{
	size_t i;

	for (i = array__index(vma->start); i < array__index(vma->end); i++)
		if (m->page[i].state == ARRAY_TAKEN)
			return true;
	return false;
}

static void release(struct hmmu_mm *mm, uintptr_t start, uintptr_t end)
{
	struct array_mm *m = array_of(mm);
	struct hmmu_vma_info vma;

	(void)array__enter(m, ARRAY_RELEASE);
	check_unlocked();
	array__lock(m);
	while (next_vma_locked(m, start, &vma) && vma.start < end) {
		if (!has_taken(m, &vma))
			set_armed(m, &vma, false);
		start = vma.end;
	}
	array__unlock(m);
}

/* --- pages of the program --------------------------------------------------------- */

static bool is_fresh_block(const struct array_mm *m, size_t block)
{
	const struct array_page *p = &m->page[block];
	size_t i;

	for (i = 0; i < HMMU_PAGES_PER_LARGE; i++)
		if (p[i].state != ARRAY_ABSENT || p[i].is_armed ||
		    !array__is_same_mapping(&p[i], p))
			return false;
	return true;
}

/* As the kernel fills a page at its first touch. */
void array__fill(struct array_mm *m, size_t i, bool write)
{
	struct array_page *p = &m->page[i];

	memset(array__frame(m, p), 0, HMMU_PAGE_BYTES);
	p->state = write || !m->has_zero ? ARRAY_PRESENT : ARRAY_ZERO;
}

static void first_touch(struct array_mm *m, size_t i, bool write)
{
	size_t block = i & ~(HMMU_PAGES_PER_LARGE - 1ul);
	size_t j;

	if (!m->has_large || !(m->page[i].flags & HMMU_VMA_ANON) ||
	    !is_fresh_block(m, block)) {
		array__fill(m, i, write);
		return;
	}
	for (j = block; j < block + HMMU_PAGES_PER_LARGE; j++)
		array__fill(m, j, true);
	array__make_large(m, block);
}

static void page_write(struct array_mm *m, size_t i)
{
	struct array_page *p = &m->page[i];

	if (p->is_shared) {
		array__split(m, i);
		p->is_shared = false;
	}
	p->state = ARRAY_PRESENT;
}

/* 1: the thread has to wait until core has served its fault. */
int array__touch_locked(struct array_mm *m, uintptr_t addr, bool write)
{
	size_t i = array__index(addr);
	struct array_page *p = &m->page[i];

	if (i >= ARRAY_PAGES || !p->mapping || p->flags & HMMU_VMA_SPECIAL ||
	    !(p->flags & HMMU_VMA_READ))
		return -EFAULT;
	if (write && !(p->flags & HMMU_VMA_WRITE))
		return -EPERM;
	if (!array__is_present(p)) {
		if (p->is_armed)
			return 1;
		/* Its bytes would be lost. */
		ARRAY_CHECK(p->state == ARRAY_ABSENT);
		first_touch(m, i, write);
	}
	if (write)
		page_write(m, i);
	return 0;
}

int array__touch(struct array_mm *m, uintptr_t addr, bool write)
{
	int err;

	for (;;) {
		array__lock(m);
		err = array__touch_locked(m, addr, write);
		array__unlock(m);
		if (err <= 0)
			return err;
		err = hmmu__core_cpu_fault(m->mm.space,
					   addr & ~(HMMU_PAGE_BYTES - 1));
		if (err < 0 && err != -EAGAIN)
			return err;
		if (err)
			hmmu__sched_yield();
	}
}

static int fault_in(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
		    bool write)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_FAULT_IN);

	check_unlocked();
	for (; start < end && !err; start += HMMU_PAGE_BYTES)
		err = array__touch(m, start, write);
	return err;
}

static struct hmmu_mm_run run_of(const struct array_mm *m, size_t i)
{
	const struct array_page *p = &m->page[i];
	struct hmmu_mm_run run = { .start = array__addr(i),
				   .end = array__addr(i + 1),
				   .host = (uintptr_t)array__frame(m, p) };

	if (p->is_large)
		run.order = HMMU_LARGE_LG2 - HMMU_PAGE_LG2;
	if (p->state == ARRAY_ZERO)
		run.flags = HMMU_MM_RUN_ZERO;
	else if (p->flags & HMMU_VMA_WRITE && p->flags & HMMU_VMA_ANON &&
		 !p->is_shared)
		run.flags = HMMU_MM_RUN_WRITE;
	return run;
}

static bool is_continued(const struct hmmu_mm_run *a,
			 const struct hmmu_mm_run *b)
{
	return a->end == b->start && a->host + (a->end - a->start) == b->host &&
	       a->order == b->order && a->flags == b->flags;
}

static int snapshot(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
		    uintptr_t start, uintptr_t end, struct hmmu_mm_run *runs,
		    size_t max, size_t *ret_n, uintptr_t *ret_next)
{
	struct array_mm *m = array_of(mm);
	int err = array__enter(m, ARRAY_SNAPSHOT);
	struct hmmu_mm_run run;
	size_t n = 0, i;

	ARRAY_CHECK(vma->start <= start && start < end && end <= vma->end);
	if (err)
		return err;
	if (m->snapshot_pages)
		end = hmmu_min(end,
			       start + m->snapshot_pages * HMMU_PAGE_BYTES);
	array__lock(m);
	for (i = array__index(start); i < array__index(end); i++) {
		if (!m->page[i].mapping || !array__is_present(&m->page[i]))
			continue;
		run = run_of(m, i);
		if (n && is_continued(&runs[n - 1], &run))
			runs[n - 1].end = run.end;
		else if (n < max)
			runs[n++] = run;
		else
			break;
	}
	array__unlock(m);
	*ret_n = n;
	*ret_next = array__addr(i);
	return 0;
}

static bool exclude(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
		    struct hmmu_bitmap512 *skip, uint8_t *why)
{
	struct array_mm *m = array_of(mm);
	bool any = false;
	size_t i;

	(void)array__enter(m, ARRAY_EXCLUDE);
	array__check_held(m, 1);
	array__lock(m);
	for (i = array__index(start); i < array__index(end); i++) {
		if (!m->page[i].excluded)
			continue;
		any = true;
		if (!skip)
			break;
		hmmu__bitmap_set(skip, (unsigned int)(i % 512));
		why[i % 512] = (uint8_t)(m->page[i].excluded - 1);
	}
	array__unlock(m);
	return any;
}

/* --- waiting --------------------------------------------------------------------- */

static void hold(struct hmmu_mm *mm, bool taking) HMMU_NO_TSA
{
	struct array_mm *m = array_of(mm);

	(void)taking;
	(void)array__enter(m, ARRAY_HOLD);
	check_unlocked();
	hmmu__rw_read_lock(&m->events);
}

static void unhold(struct hmmu_mm *mm, bool taking) HMMU_NO_TSA
{
	struct array_mm *m = array_of(mm);

	(void)taking;
	(void)array__enter(m, ARRAY_UNHOLD);
	hmmu__rw_read_unlock(&m->events);
}

static void sync_changes(struct hmmu_mm *mm, uint64_t timeout_ns)
{
	struct array_mm *m = array_of(mm);
	uint64_t begun = hmmu__sched_now_ns();

	(void)array__enter(m, ARRAY_SYNC);
	if (array__is_applying())
		return;
	check_unlocked();
	while (atomic_load(&m->changing) &&
	       hmmu__sched_now_ns() - begun < timeout_ns)
		hmmu__sched_yield();
}

static bool help(struct hmmu_mm *mm, uint64_t timeout_ns, int owner)
{
	struct array_mm *m = array_of(mm);

	(void)owner;
	(void)array__enter(m, ARRAY_HELP);
	hmmu__sched_sleep(timeout_ns);
	return atomic_load(&m->help_breaks);
}

/* --- making and ending ------------------------------------------------------------ */

static void destroy(struct hmmu_mm *mm)
{
	struct array_mm *m = array_of(mm);
	size_t i;

	(void)array__enter(m, ARRAY_DESTROY);
	for (i = 0; i < ARRAY_PAGES; i++)
		ARRAY_CHECK(m->page[i].state != ARRAY_TAKEN);
	for (i = 0; i < HMMU_ARRAY_SIZE(m->pool); i++)
		ARRAY_CHECK(!m->pool[i].bytes);
	(void)munmap(m->reserved, RESERVED_BYTES);
	hmmu__rw_fini(&m->events);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

#define REQUIRED_OPS                                                       \
	.next_vma = next_vma, .fault_in = fault_in, .snapshot = snapshot,  \
	.watch = watch, .arm = arm, .release = release, .put = array__put, \
	.fill_hole = array__fill_hole, .empty = array__empty,              \
	.add_pool = array__add_pool, .remove_pool = array__remove_pool,    \
	.exclude = exclude, .hold = hold, .unhold = unhold,                \
	.sync = sync_changes, .destroy = destroy

static const struct hmmu_mm_ops array_ops = {
	REQUIRED_OPS,
	.take = array__take,
	.help = help,
};
static const struct hmmu_mm_ops array_required_ops = { REQUIRED_OPS };

static struct array_mm *make(const struct hmmu_mm_ops *ops)
{
	struct array_mm *m = calloc(1, sizeof(*m));
	size_t i;

	if (!m)
		return NULL;
	m->reserved = mmap(NULL, RESERVED_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->reserved == MAP_FAILED) {
		free(m);
		return NULL;
	}
	m->frames = (uint8_t *)hmmu_round_up((uintptr_t)m->reserved,
					     HMMU_LARGE_BYTES);
	m->mm.ops = ops;
	m->mm.no_take = "an array without take";
	(void)pthread_mutex_init(&m->lock, NULL);
	hmmu__rw_init(&m->events, HMMU_RANK_EVENTS, "array events");
	for (i = 0; i < ARRAY_PAGES; i++)
		m->page[i].frame = (uint32_t)i;
	return m;
}

struct array_mm *array_create(void)
{
	return make(&array_ops);
}

struct array_mm *array_create_required(void)
{
	return make(&array_required_ops);
}
