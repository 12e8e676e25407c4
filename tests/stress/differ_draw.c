/* SPDX-License-Identifier: MIT */
/*
 * Operations: drawn from the seed, and printed
 *
 * All parameters of an operation are drawn before it runs, so a seed and a
 * number identify it.
 */
#include <sys/mman.h>

#include "differ.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

uint64_t differ_draw(uint64_t *state, uint64_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 11) % below;
}

static uint64_t draw(struct differ_world *w, uint64_t below)
{
	return differ_draw(&w->random, below);
}

/* Places ------------------------------------------------------------------------ */

/* The start of a large page, in pages of the arena. */
static size_t draw_boundary(struct differ_world *w)
{
	size_t first = (uintptr_t)w->base[DIFFER_MANAGED] / PAGE % PER_LARGE;

	first = (PER_LARGE - first) % PER_LARGE;
	return first + draw(w, (DIFFER_PAGES - first) / PER_LARGE) * PER_LARGE;
}

/* A range in pages. */
static void draw_range(struct differ_world *w, size_t *first, size_t *pages)
{
	*first = draw(w, DIFFER_PAGES);
	*pages = 1 + draw(w, 40);
	switch (draw(w, 9)) {
	case 0:
		*pages = 1;
		break;
	case 1:
		*pages = 1 + draw(w, 8);
		break;
	case 2:
		*first = draw_boundary(w);
		*pages = PER_LARGE * (1 + draw(w, 2));
		break;
	case 3:
		*first = draw_boundary(w);
		break;
	case 4:
		*first = draw_boundary(w) - hmmu_min(draw(w, 30), *first);
		*pages += draw(w, 30);
		break;
	case 5:
		*pages = 1 + draw(w, DIFFER_PAGES);
		break;
	case 6:
		*first = draw(w, 8) ? *first : 0;
		*pages = draw(w, 8) ? 200 : DIFFER_PAGES;
		break;
	default:
		break;
	}
	*first = hmmu_min(*first, DIFFER_PAGES - 1);
	*pages = hmmu_min(*pages, DIFFER_PAGES - *first);
}

static void draw_pages(struct differ_world *w, struct differ_op *op)
{
	size_t first, pages;

	draw_range(w, &first, &pages);
	op->at = first * PAGE;
	op->bytes = pages * PAGE;
	/* The kernel rounds the length up. */
	if (!draw(w, 12))
		op->bytes -= 1 + draw(w, PAGE - 1);
}

/* A range of bytes: one, a word, about a page, several pages. */
static void draw_bytes(struct differ_world *w, struct differ_op *op)
{
	static const size_t most[] = { 1, 8, PAGE, 3 * PAGE, 16 * PAGE };
	size_t end;

	op->at = draw(w, DIFFER_BYTES);
	op->bytes = 1 + draw(w, most[draw(w, COUNT(most))]);
	if (!draw(w, 4))
		op->at = hmmu_round_up(op->at, PAGE) -
			 hmmu_min(op->at, draw(w, 16));
	if (!draw(w, 16))
		op->bytes = DIFFER_BUFFER_BYTES;
	op->at = hmmu_min(op->at, DIFFER_BYTES - 1);
	end = hmmu_min(op->at + op->bytes, DIFFER_BYTES);
	op->bytes = end - op->at;
}

/* Invalid arguments, which the kernel refuses or interprets differently. */
static void spoil(struct differ_world *w, struct differ_op *op)
{
	static const size_t wraps[] = { SIZE_MAX, SIZE_MAX - PAGE + 1,
					SIZE_MAX - PAGE };

	op->is_spoilt = true;
	switch (draw(w, op->kind == DIFFER_REMAP ? 4 : 3)) {
	case 0:
		op->bytes = 0;
		break;
	case 1:
		op->bytes = wraps[draw(w, COUNT(wraps))];
		break;
	case 2:
		op->at += 1 + draw(w, PAGE - 1);
		break;
	default:
		op->to += 1 + draw(w, PAGE - 1);
	}
}

/* Kinds ------------------------------------------------------------------------- */

static int draw_prot(struct differ_world *w)
{
	return draw(w, 5) < 3 ? PROT_READ | PROT_WRITE : (int)draw(w, 8);
}

static void draw_map(struct differ_world *w, struct differ_op *op)
{
	draw_pages(w, op);
	op->prot = draw_prot(w);
	op->flags = draw(w, 3) ? MAP_FIXED : MAP_FIXED_NOREPLACE;
	op->flags |= draw(w, 4) ? MAP_PRIVATE : MAP_SHARED;
	op->flags |= draw(w, 2) ? MAP_NORESERVE : 0;
	op->flags |= draw(w, 5) ? 0 : MAP_POPULATE;
	op->source = DIFFER_ANON;
	if (!draw(w, 4))
		op->source = draw(w, 2) ? DIFFER_MEMFD : DIFFER_FILE;
	if (!draw(w, 40))
		op->source = DIFFER_BAD;
	if (op->source == DIFFER_ANON)
		op->flags |= MAP_ANONYMOUS;
	else
		op->offset = draw(w, DIFFER_FILE_PAGES) * PAGE +
			     (draw(w, 30) ? 0 : 512);
}

static void draw_remap(struct differ_world *w, struct differ_op *op)
{
	static const int flags[] = {
		0,
		MREMAP_MAYMOVE,
		MREMAP_MAYMOVE | MREMAP_FIXED,
		MREMAP_MAYMOVE | MREMAP_FIXED,
		MREMAP_MAYMOVE | MREMAP_FIXED,
		MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
		MREMAP_FIXED,
		MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
	};
	size_t first, pages;

	draw_pages(w, op);
	draw_range(w, &first, &pages);
	op->flags = flags[draw(w, COUNT(flags))];
	/* Elsewhere it could be next to a sanitizer's memory. */
	if (LIVE_SANITIZED && op->flags & MREMAP_MAYMOVE)
		op->flags |= MREMAP_FIXED;
	op->to = first * PAGE;
	op->to_bytes = draw(w, 3) ? op->bytes : pages * PAGE;
	if (op->flags & MREMAP_DONTUNMAP && draw(w, 8))
		op->to_bytes = op->bytes;
	/* The result must be within the arena. */
	op->to_bytes = hmmu_min(op->to_bytes, DIFFER_BYTES - op->to);
	if (!(op->flags & MREMAP_MAYMOVE))
		op->to_bytes = hmmu_min(op->to_bytes, DIFFER_BYTES - op->at);
	/* An old length of 0 maps shared memory a second time. */
	if (!draw(w, 40))
		op->bytes = 0;
}

static void draw_advise(struct differ_world *w, struct differ_op *op)
{
	static const int advices[] = {
		MADV_DONTNEED,
		MADV_DONTNEED,
		MADV_DONTNEED,
		MADV_FREE,
		MADV_FREE,
		MADV_REMOVE,
		MADV_REMOVE,
		MADV_HUGEPAGE,
		MADV_HUGEPAGE,
		MADV_NOHUGEPAGE,
		MADV_COLLAPSE,
		MADV_COLLAPSE,
		MADV_GUARD_INSTALL,
		MADV_GUARD_REMOVE,
		MADV_GUARD_REMOVE,
		MADV_POPULATE_READ,
		MADV_POPULATE_READ,
		MADV_POPULATE_WRITE,
		MADV_COLD,
		MADV_PAGEOUT,
		MADV_DONTFORK,
		MADV_DOFORK,
		MADV_DOFORK,
		MADV_WIPEONFORK,
		MADV_KEEPONFORK,
		MADV_KEEPONFORK,
		MADV_DONTNEED_LOCKED,
		MADV_WILLNEED,
		MADV_SEQUENTIAL,
		MADV_NORMAL,
		MADV_NORMAL,
		4711,
	};

	draw_pages(w, op);
	op->advice = advices[draw(w, COUNT(advices))];
}

static void draw_soft_move(struct differ_world *w, struct differ_op *op)
{
	draw_bytes(w, op);
	op->to = draw(w, DIFFER_BYTES);
	op->bytes = hmmu_min(op->bytes, DIFFER_BYTES - op->to);
	/* No overlap, so that it can be repeated. */
	if (op->to < op->at + op->bytes && op->at < op->to + op->bytes)
		op->bytes = hmmu_max(
			op->at > op->to ? op->at - op->to : op->to - op->at, 1);
}

static void draw_where(struct differ_world *w, struct differ_op *op)
{
	switch (op->kind) {
	case DIFFER_MAP:
		draw_map(w, op);
		break;
	case DIFFER_REMAP:
		draw_remap(w, op);
		break;
	case DIFFER_ADVISE:
		draw_advise(w, op);
		break;
	case DIFFER_FRESH:
		op->at = draw_boundary(w) * PAGE;
		op->bytes = LARGE;
		break;
	case DIFFER_UNMAP:
	case DIFFER_PROTECT:
	case DIFFER_LOCK:
	case DIFFER_UNLOCK:
	case DIFFER_COMPARE:
	case DIFFER_RANGE_FAULT:
	case DIFFER_SNAPSHOT:
	case DIFFER_TO_DEVICE:
	case DIFFER_HOME:
	case DIFFER_EXCLUSIVE:
		draw_pages(w, op);
		break;
	case DIFFER_SOFT_MOVE:
	case DIFFER_SOFT_COMPARE:
		draw_soft_move(w, op);
		break;
	default:
		draw_bytes(w, op);
	}
}

/* The relative frequencies. */
static const unsigned int weights[DIFFER_KINDS] = {
	[DIFFER_MAP] = 14,	   [DIFFER_UNMAP] = 5,
	[DIFFER_REMAP] = 12,	   [DIFFER_PROTECT] = 8,
	[DIFFER_ADVISE] = 22,	   [DIFFER_LOCK] = 2,
	[DIFFER_UNLOCK] = 4,	   [DIFFER_FRESH] = 4,
	[DIFFER_PREAD] = 3,	   [DIFFER_PWRITE] = 3,
	[DIFFER_VM_READ] = 2,	   [DIFFER_VM_WRITE] = 2,
	[DIFFER_CPU_READ] = 6,	   [DIFFER_CPU_WRITE] = 20,
	[DIFFER_COMPARE] = 2,	   [DIFFER_FORK] = 1,
	[DIFFER_PORT_READ] = 6,	   [DIFFER_PORT_WRITE] = 16,
	[DIFFER_PORT_ADD] = 3,	   [DIFFER_PORT_EXCHANGE] = 2,
	[DIFFER_SOFT_FILL] = 4,	   [DIFFER_SOFT_MOVE] = 4,
	[DIFFER_SOFT_COMPARE] = 2, [DIFFER_DEVICE_FAULT] = 3,
	[DIFFER_RANGE_FAULT] = 2,  [DIFFER_SNAPSHOT] = 3,
	[DIFFER_TO_DEVICE] = 20,   [DIFFER_HOME] = 3,
	[DIFFER_EVICT] = 1,	   [DIFFER_EXCLUSIVE] = 3,
};

static enum differ_kind draw_kind(struct differ_world *w)
{
	unsigned int kinds = w->is_child ? DIFFER_FORK : DIFFER_KINDS;
	unsigned int kind, sum = 0;
	uint64_t n;

	for (kind = 0; kind < kinds; kind++)
		sum += weights[kind];
	n = draw(w, sum);
	for (kind = 0; n >= weights[kind]; kind++)
		n -= weights[kind];
	/* A fork is expensive. */
	if (kind == DIFFER_FORK && draw(w, 4))
		kind = DIFFER_CPU_WRITE;
	return (enum differ_kind)kind;
}

static enum differ_check draw_check(struct differ_world *w)
{
	uint64_t n = draw(w, 64);

	if (n == 0)
		return DIFFER_CHECK_ALL;
	return n < 16 ? DIFFER_CHECK_BY_PORT :
	       n < 24 ? DIFFER_CHECK_BY_CPU :
			DIFFER_CHECK_NOT;
}

void differ_draw_op(struct differ_world *w, struct differ_op *op)
{
	memset(op, 0, sizeof(*op));
	op->kind = draw_kind(w);
	op->raw = draw(w, 2);
	op->write = draw(w, 2);
	op->prot = draw_prot(w);
	op->value = draw(w, UINT32_MAX);
	op->check = draw_check(w);
	draw_where(w, op);
	if (op->kind <= DIFFER_UNLOCK && !draw(w, 20))
		spoil(w, op);
}

/* Words ------------------------------------------------------------------------- */

static const char *const kind_text[DIFFER_KINDS] = {
	[DIFFER_MAP] = "mmap",
	[DIFFER_UNMAP] = "munmap",
	[DIFFER_REMAP] = "mremap",
	[DIFFER_PROTECT] = "mprotect",
	[DIFFER_ADVISE] = "madvise",
	[DIFFER_LOCK] = "mlock",
	[DIFFER_UNLOCK] = "munlock",
	[DIFFER_FRESH] = "fresh",
	[DIFFER_PREAD] = "pread",
	[DIFFER_PWRITE] = "pwrite",
	[DIFFER_VM_READ] = "process_vm_readv",
	[DIFFER_VM_WRITE] = "process_vm_writev",
	[DIFFER_CPU_READ] = "load",
	[DIFFER_CPU_WRITE] = "store",
	[DIFFER_COMPARE] = "compare",
	[DIFFER_FORK] = "fork",
	[DIFFER_PORT_READ] = "port read",
	[DIFFER_PORT_WRITE] = "port write",
	[DIFFER_PORT_ADD] = "port add",
	[DIFFER_PORT_EXCHANGE] = "port exchange",
	[DIFFER_SOFT_FILL] = "soft fill",
	[DIFFER_SOFT_MOVE] = "soft move",
	[DIFFER_SOFT_COMPARE] = "soft compare",
	[DIFFER_DEVICE_FAULT] = "device fault",
	[DIFFER_RANGE_FAULT] = "range fault",
	[DIFFER_SNAPSHOT] = "snapshot",
	[DIFFER_TO_DEVICE] = "to device",
	[DIFFER_HOME] = "home",
	[DIFFER_EVICT] = "evict",
	[DIFFER_EXCLUSIVE] = "exclusive",
};

void differ_describe(const struct differ_op *op, char *text, size_t bytes)
{
	static const char *const source[] = { "anon", "memfd", "file", "bad" };
	const char *how = op->raw ? "raw " : "";
	int n = snprintf(text, bytes, "%s%s 0x%zx+0x%zx",
			 op->kind < DIFFER_LOCK ? how : "", kind_text[op->kind],
			 op->at, op->bytes);

	text += n;
	bytes -= (size_t)n;
	switch (op->kind) {
	case DIFFER_MAP:
		snprintf(text, bytes, " prot %d flags 0x%x %s +0x%zx", op->prot,
			 (unsigned int)op->flags, source[op->source],
			 op->offset);
		break;
	case DIFFER_REMAP:
		snprintf(text, bytes, " to 0x%zx+0x%zx flags %d", op->to,
			 op->to_bytes, op->flags);
		break;
	case DIFFER_PROTECT:
		snprintf(text, bytes, " prot %d", op->prot);
		break;
	case DIFFER_ADVISE:
		snprintf(text, bytes, " advice %d", op->advice);
		break;
	case DIFFER_SOFT_MOVE:
	case DIFFER_SOFT_COMPARE:
		snprintf(text, bytes, " and 0x%zx", op->to);
		break;
	case DIFFER_DEVICE_FAULT:
	case DIFFER_RANGE_FAULT:
		snprintf(text, bytes, op->write ? " write" : " read");
		break;
	default:
		break;
	}
}
