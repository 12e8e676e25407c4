/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of the program's page tables, one byte for each page
 */
#include <errno.h>
#include <string.h>

#include <hmmu/notifier.h>
#include <hmmu/range.h>

#include "dmirror.h"

/* Pages of one chunk. Each chunk has a subscription of its own. */
#define CHUNK_PAGES 32u

static void take_seq(struct hmmu_notifier *sub, void *arg,
		     const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static int look_chunk(struct dmirror_unit *u, uint64_t addr, size_t npages,
		      uint64_t *entries)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = take_seq };
	struct hmmu_range r = { .size = sizeof(r),
				.owner = u->device,
				.start = addr,
				.end = addr + npages * HMMU_PAGE_BYTES,
				.entries = entries };
	int err;

	err = hmmu_notifier_insert(dmirror_process_get()->space, addr,
				   npages * HMMU_PAGE_BYTES, 0, &ops, NULL,
				   &r.notifier);
	if (err)
		return err;
	do {
		memset(entries, 0, npages * sizeof(*entries));
		err = hmmu_range_fault_unlocked(&r,
						HMMU_RANGE_DEFAULT_TIMEOUT_NS);
	} while (!err && hmmu_notifier_read_retry(r.notifier, r.seq));
	hmmu_notifier_remove(r.notifier);
	return err;
}

int dmirror_look(struct dmirror_unit *u, uint64_t addr, size_t npages,
		 uint64_t *entries)
{
	size_t at, n;
	int err = 0;

	for (at = 0; at < npages && !err; at += n) {
		n = npages - at < CHUNK_PAGES ? npages - at : CHUNK_PAGES;
		err = look_chunk(u, addr + at * HMMU_PAGE_BYTES, n,
				 entries + at);
	}
	return err;
}

static unsigned int kind_of(uint64_t entry)
{
	switch (hmmu_entry_where(entry)) {
	case HMMU_WHERE_ZERO:
		return DMIRROR_PROT_ZERO;
	case HMMU_WHERE_DEVICE:
		return DMIRROR_PROT_PRIVATE;
	case HMMU_WHERE_COHERENT:
		return DMIRROR_PROT_COHERENT;
	case HMMU_WHERE_COHERENT_OTHER:
		return DMIRROR_PROT_COHERENT_REMOTE;
	default:
		return 0;
	}
}

static unsigned char byte_of(uint64_t entry)
{
	unsigned int order = hmmu_entry_order(entry);
	unsigned int b = kind_of(entry);

	if (entry & HMMU_ENTRY_ERROR)
		return DMIRROR_PROT_ERROR;
	if (!(entry & HMMU_ENTRY_VALID))
		return DMIRROR_PROT_NONE;
	b |= entry & HMMU_ENTRY_WRITE ? DMIRROR_PROT_WRITE : DMIRROR_PROT_READ;
	if (order == HMMU_LARGE_LG2 - HMMU_PAGE_LG2)
		b |= DMIRROR_PROT_PMD;
	else if (order == HMMU_HUGE_LG2 - HMMU_PAGE_LG2)
		b |= DMIRROR_PROT_PUD;
	return (unsigned char)b;
}

int dmirror_snapshot(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	unsigned char bytes[CHUNK_PAGES];
	uint64_t entries[CHUNK_PAGES];
	int err = 0;

	while (c->cpages < c->npages && !err) {
		size_t left = c->npages - c->cpages, i;
		size_t n = left < CHUNK_PAGES ? left : CHUNK_PAGES;

		err = dmirror_look(u, c->addr + c->cpages * HMMU_PAGE_BYTES, n,
				   entries);
		for (i = 0; i < n && !err; i++)
			bytes[i] = byte_of(entries[i]);
		if (!err)
			err = dmirror_copy_out(c->ptr + c->cpages, bytes, n);
		if (!err)
			c->cpages += n;
	}
	return err;
}
