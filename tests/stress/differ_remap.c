/* SPDX-License-Identifier: MIT */
/*
 * mremap on both sides
 *
 * A watched mapping does not merge with a neighbour that is not watched (E3),
 * and mremap(2) needs one mapping. New kernels accept several, but no watched
 * ones. So one mapping of plain memory may be two mappings of managed memory,
 * where mremap fails. The reverse is possible, too, because merging also
 * depends on accesses. Such an operation is skipped and counted. (The hook of
 * mremap stops watching if that helps. It cannot if other pages of the block
 * are on a device, or if the mappings were faulted separately.)
 *
 * If the kernel chooses the new address, the mapping is outside of the arena
 * and is moved back.
 */
#include <limits.h>
#include <sys/mman.h>

#include "differ.h"

static long call(struct differ_world *w, enum differ_side side,
		 const struct differ_op *op)
{
	char *at = w->base[side] + op->at, *to = w->base[side] + op->to;
	bool raw = op->raw || side == DIFFER_PLAIN;
	long ret;

	if (raw)
		ret = syscall(SYS_mremap, at, op->bytes, op->to_bytes,
			      op->flags, to);
	else
		ret = (long)mremap(at, op->bytes, op->to_bytes, op->flags, to);
	return ret == -1 ? -errno : ret;
}

/*
 * True if one mapping contains the whole range, or nothing is mapped at its
 * start. With an invalid length the call shrinks the mapping, and the kernel
 * checks only the rest.
 */
static bool is_whole(const struct differ_world *w, enum differ_side side,
		     const struct differ_op *op)
{
	size_t bytes = hmmu_max(op->is_spoilt ? op->to_bytes : op->bytes, 1);
	const struct differ_map *map = differ_find_map(w, side, op->at);

	return !map || map->end >= op->at + bytes;
}

/* True if both sides are whole. */
static bool is_alike(const struct differ_world *w, const struct differ_op *op)
{
	return is_whole(w, DIFFER_MANAGED, op) && is_whole(w, DIFFER_PLAIN, op);
}

static bool is_inside(const struct differ_world *w, enum differ_side side,
		      long ret)
{
	uintptr_t base = (uintptr_t)w->base[side];

	return (uintptr_t)ret >= base && (uintptr_t)ret < base + DIFFER_BYTES;
}

/* Move a part of the mapping at address @from back; 0 or -errno. */
static long fetch_part(struct differ_world *w, enum differ_side side,
		       const struct differ_op *op, long from, size_t offset,
		       size_t bytes)
{
	size_t to = hmmu_round_down(op->to, PAGE) + offset;
	struct differ_op back = *op;
	long ret;

	back.at = (size_t)from + offset - (size_t)w->base[side];
	back.to = to;
	back.bytes = bytes;
	back.to_bytes = bytes;
	back.flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	ret = call(w, side, &back);
	return ret < 0 ? ret : ret - (long)(w->base[side] + to);
}

static bool is_mapped(long at)
{
	unsigned char is_in;

	return !syscall(SYS_mincore, at, PAGE, &is_in);
}

/*
 * Move the mapping from its new address to @op->to, page by page if it is
 * split. A raw call that fails may already have moved the part before a watched
 * one.
 */
static void fetch(struct differ_world *w, const struct differ_op *op,
		  const long *from)
{
	size_t bytes = hmmu_round_up(op->to_bytes, PAGE), at;
	unsigned int side;
	long err, part;

	for (side = 0; side < DIFFER_SIDES; side++) {
		err = fetch_part(w, side, op, from[side], 0, bytes);
		for (at = 0; err == -EFAULT && at < bytes; at += PAGE) {
			if (op->raw && !is_mapped(from[side] + (long)at))
				continue;
			part = fetch_part(w, side, op, from[side], at, PAGE);
			if (part)
				differ_fail(w,
					    "0x%lx is not fetched from 0x%lx "
					    "on side %u: %ld",
					    at, from[side], side, part);
		}
		if (err && err != -EFAULT)
			differ_fail(w, "fetched: %ld", err);
	}
}

/* Move the marks with the pages. */
static void move_marks(struct differ_world *w, const struct differ_op *op,
		       size_t to)
{
	size_t from = op->at / PAGE, page;
	size_t pages = hmmu_round_up(op->bytes, PAGE) / PAGE;
	size_t to_pages = hmmu_round_up(op->to_bytes, PAGE) / PAGE;
	uint8_t marks[DIFFER_PAGES] = { 0 };

	if (op->is_spoilt)
		return;
	memcpy(marks, &w->page[from], pages);
	for (page = from; page < from + pages; page++)
		w->page[page] &= (uint8_t)~DIFFER_LAZY;
	to /= PAGE;
	for (page = 0; page < to_pages; page++)
		w->page[to + page] = marks[page];
}

/* True if watching has split it since the check. Nothing has changed. */
static bool is_split(struct differ_world *w, const struct differ_op *op,
		     long ret)
{
	if (ret != -EFAULT)
		return false;
	differ_read_maps(w);
	return !is_alike(w, op);
}

/*
 * MREMAP_DONTUNMAP unlocks the old mapping and all memory that has merged with
 * it, which differs between the sides. So unlock everything on both sides.
 */
static void unlock(struct differ_world *w)
{
	unsigned int side;
	size_t i;

	differ_read_maps(w);
	for (side = 0; side < DIFFER_SIDES; side++) {
		const struct differ_maps *m = &w->maps[side];

		for (i = 0; i < m->count; i++)
			(void)live_unlock(w->base[side] + m->map[i].start,
					  m->map[i].end - m->map[i].start);
	}
}

void differ_remap(struct differ_world *w, const struct differ_op *op)
{
	struct differ_outcome o[DIFFER_SIDES] = { 0 };
	long ret[DIFFER_SIDES];
	unsigned int side;

	if (!is_alike(w, op)) {
		w->splits++;
		return;
	}
	ret[DIFFER_MANAGED] = call(w, DIFFER_MANAGED, op);
	if (is_split(w, op, ret[DIFFER_MANAGED])) {
		w->splits++;
		return;
	}
	ret[DIFFER_PLAIN] = call(w, DIFFER_PLAIN, op);
	for (side = 0; side < DIFFER_SIDES; side++) {
		o[side].ret = ret[side] < 0 ? ret[side] :
			      is_inside(w, side, ret[side]) ?
					      ret[side] - (long)w->base[side] :
					      LONG_MAX;
	}
	differ_same(w, &o[DIFFER_MANAGED], &o[DIFFER_PLAIN]);
	if (o[DIFFER_PLAIN].ret == LONG_MAX) {
		fetch(w, op, ret);
		o[DIFFER_PLAIN].ret = (long)op->to;
	}
	if (o[DIFFER_PLAIN].ret < 0)
		return;
	move_marks(w, op, (size_t)o[DIFFER_PLAIN].ret);
	if (op->flags & MREMAP_DONTUNMAP)
		unlock(w);
}
