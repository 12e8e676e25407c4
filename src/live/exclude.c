/* SPDX-License-Identifier: MIT */
/*
 * Pages that must not migrate: HMMU's own memory, the data of libhmmu, the C
 * library and the loader, and the stacks and TLS of threads inside HMMU
 * (design.md section 4, rules 1 and 2)
 *
 * Also pages that a system call has pinned (lend.h) and pages whose discard is
 * pending (events.c).
 *
 * Locking: the caller is in a hold for taking. Nothing is locked here.
 */
#include "live/exclude.h"

#include <link.h>
#include <string.h>

#include "base/arena.h"
#include "base/sched.h"
#include "base/loan.h"
#include "base/thread.h"
#include "live/state.h"

/* One address in each of the three libraries. */
static const void *const anchors[] = {
	(const void *)&hmmu__keep_collect,
	(const void *)&memcpy,
	(const void *)&_r_debug,
};

static bool holds_anchor(const struct dl_phdr_info *info)
{
	size_t i, j;

	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD)
			continue;
		for (j = 0; j < HMMU_ARRAY_SIZE(anchors); j++)
			if ((uintptr_t)anchors[j] - start < p->p_memsz)
				return true;
	}
	return false;
}

static void keep_add(struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	if (l->keeps < HMMU_STATIC_RANGES) {
		l->keep[l->keeps].start = start & ~(HMMU_PAGE_BYTES - 1);
		l->keep[l->keeps].end = (end + HMMU_PAGE_BYTES - 1) &
					~(HMMU_PAGE_BYTES - 1);
		l->keeps++;
	}
}

static int keep_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct hmmu_live *l = arg;
	size_t i;

	(void)size;
	/*
	 * In a static program memcpy may resolve elsewhere: compare names, too.
	 */
	if (!holds_anchor(info) &&
	    !(info->dlpi_name && (strstr(info->dlpi_name, "/libc.so") ||
				  strstr(info->dlpi_name, "/ld-linux"))))
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && p->p_flags & PF_W)
			keep_add(l, start, start + p->p_memsz);
	}
	return 0;
}

void hmmu__keep_collect(struct hmmu_live *l)
{
	l->keeps = 0;
	(void)dl_iterate_phdr(keep_object, l);
}

static bool keeps_any(const struct hmmu_live *l, uintptr_t start, uintptr_t end)
{
	unsigned int i;

	if (hmmu__arena_overlaps(start, end))
		return true;
	for (i = 0; i < l->keeps; i++)
		if (l->keep[i].start < end && start < l->keep[i].end)
			return true;
	return false;
}

struct mark {
	uintptr_t start;
	uintptr_t end;
	struct hmmu_bitmap512 *skip;
	uint8_t *why;
	enum hmmu_stay reason;
};

static void mark_range(const struct mark *m, uintptr_t lo, uintptr_t hi)
{
	uintptr_t block = m->start & ~(HMMU_LARGE_BYTES - 1);

	lo = lo > m->start ? lo & ~(HMMU_PAGE_BYTES - 1) : m->start;
	hi = hi < m->end ? hi : m->end;
	for (; lo < hi; lo += HMMU_PAGE_BYTES) {
		unsigned int page =
			(unsigned int)((lo - block) >> HMMU_PAGE_LG2);

		hmmu__bitmap_set(m->skip, page);
		m->why[page] = (uint8_t)m->reason;
	}
}

static bool overlaps_discard(const struct hmmu_live *l, uintptr_t start,
			     uintptr_t end)
{
	unsigned int i;

	for (i = 0; i < HMMU_DISCARDS; i++)
		if (l->discard[i].start < end && start < l->discard[i].end &&
		    hmmu__sched_now_ns() < l->discard[i].until_ns)
			return true;
	return false;
}

/* Pages that are about to be discarded (events.c). */
static void mark_discards(const struct hmmu_live *l, const struct mark *m)
{
	unsigned int i;

	for (i = 0; i < HMMU_DISCARDS; i++)
		if (hmmu__sched_now_ns() < l->discard[i].until_ns)
			mark_range(m, l->discard[i].start, l->discard[i].end);
}

static void mark_window(void *arg, uintptr_t lo, uintptr_t hi)
{
	mark_range(arg, lo, hi);
}

static void mark_all(struct hmmu_live *l, uintptr_t start, uintptr_t end,
		     struct hmmu_bitmap512 *skip, uint8_t *why)
{
	struct mark m = { start, end, skip, why, HMMU_STAY_HMMU };
	unsigned int i;

	mark_range(&m, hmmu__arena_start(), hmmu__arena_end());
	for (i = 0; i < l->keeps; i++)
		mark_range(&m, l->keep[i].start, l->keep[i].end);
	m.reason = HMMU_STAY_CHANGED;
	if (overlaps_discard(l, start, end))
		mark_discards(l, &m);
	m.reason = HMMU_STAY_IN_USE;
	hmmu__windows_visit(start, end, mark_window, &m);
	m.reason = HMMU_STAY_PINNED;
	if (l->lends)
		hmmu__loans_visit(start, end, mark_window, &m);
}

static void found_window(void *arg, uintptr_t lo, uintptr_t hi)
{
	(void)lo;
	(void)hi;
	*(bool *)arg = true;
}

static bool may_exclude(const struct hmmu_live *l, uintptr_t start,
			uintptr_t end)
{
	bool found = keeps_any(l, start, end) ||
		     overlaps_discard(l, start, end);

	if (!found)
		hmmu__windows_visit(start, end, found_window, &found);
	if (!found && l->lends)
		hmmu__loans_visit(start, end, found_window, &found);
	return found;
}

bool hmmu__live_exclude(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			struct hmmu_bitmap512 *skip, uint8_t *why)
{
	struct hmmu_live *l = hmmu__live(mm);

	if (!skip)
		return may_exclude(l, start, end);
	mark_all(l, start, end, skip, why);
	return !hmmu__bitmap_is_empty(skip);
}
