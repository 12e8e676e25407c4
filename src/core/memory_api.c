/* SPDX-License-Identifier: MIT */
/*
 * Device memories: the public calls. memory/pool.c allocates their pages.
 */
#include <errno.h>

#include <hmmu/memory.h>

#include "base/sized.h"
#include "core/space.h"
#include "memory/host.h"
#include "memory/pool.h"

static int options_check(const struct hmmu_memory_options *in,
			 struct hmmu_memory_options *o)
{
	int err;

	if (!in)
		return -EINVAL;
	err = hmmu__copy_sized(o, sizeof(*o), sizeof(*o), in);
	if (err)
		return err;
	if (o->kind > HMMU_MEMORY_COHERENT || o->reserved || !o->bytes ||
	    o->bytes % HMMU_LARGE_BYTES)
		return -EINVAL;
	/* Page numbers have 32 bits. */
	return o->bytes >> HMMU_PAGE_LG2 < HMMU_NO_PAGE ? 0 : -ENOMEM;
}

int hmmu_memory_create(struct hmmu_space *space,
		       const struct hmmu_memory_options *options,
		       struct hmmu_memory **ret_memory)
{
	struct hmmu_memory_options o;
	struct hmmu_memory *m = NULL;
	struct hmmu_thread *self;
	int err;

	if (!space || !ret_memory)
		return -EINVAL;
	err = options_check(options, &o);
	if (err)
		return err;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	err = hmmu__memory_make(space->mm, o.kind, o.bytes, &m);
	hmmu__leave(self);
	if (err)
		return err;
	hmmu__space_user_add(space);
	*ret_memory = m;
	return 0;
}

int hmmu_memory_destroy(struct hmmu_memory *memory)
{
	struct hmmu_space *space;
	struct hmmu_thread *self;

	if (!memory)
		return 0;
	if (memory->owner)
		return -EBUSY;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	space = memory->mm->space;
	hmmu__memory_end(memory);
	hmmu__leave(self);
	hmmu__space_user_remove(space);
	return 0;
}

int hmmu_memory_fail_large(struct hmmu_memory *memory)
{
	if (!memory)
		return -EINVAL;
	/* Relaxed: as in hmmu__memory_fails_large(). */
	atomic_store_explicit(&memory->fail_large, true, memory_order_relaxed);
	return 0;
}

int hmmu_memory_get_stats(struct hmmu_memory *memory,
			  struct hmmu_memory_stats *stats)
{
	struct hmmu_memory_stats s = { 0 };
	struct hmmu_thread *self;
	uint32_t c;

	if (!memory || !stats || stats->size <= sizeof(stats->size))
		return -EINVAL;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	hmmu__mutex_lock(&memory->lock);
	s.total_pages = (uint64_t)memory->chunks * HMMU_PAGES_PER_LARGE;
	s.used_pages = memory->used_pages;
	s.free_chunks = memory->free_chunks;
	for (c = 0; c < memory->chunks; c++)
		s.split_chunks += memory->chunk[c].split &&
				  memory->chunk[c].used_pages;
	hmmu__mutex_unlock(&memory->lock);
	hmmu__leave(self);
	hmmu__copy_out(stats, stats->size, &s, sizeof(s));
	return 0;
}
