/* SPDX-License-Identifier: MIT */
/*
 * Device memories: the public calls.
 */
#include <errno.h>

#include "base/arena.h"
#include "base/sized.h"
#include "core/core.h"
#include "memory/pool.h"

static size_t chunk_table_bytes(const struct hmmu_memory *m)
{
	return m->chunks * sizeof(*m->chunk);
}

/* A coherent memory has no pages of its own: the CPU's are counted in it. */
static int pool_add(struct hmmu_memory *m)
{
	const struct hmmu_mm_ops *ops = m->space->mm->ops;

	if (m->kind == HMMU_MEMORY_COHERENT)
		return 0;
	m->host = hmmu__arena_reserve(m->bytes, HMMU_LARGE_BYTES);
	return m->host ? ops->add_pool(m->space->mm, m->host, m->bytes) :
			 -ENOMEM;
}

static void memory_free(struct hmmu_memory *m)
{
	if (m->host)
		hmmu__arena_release(m->host, m->bytes);
	if (m->chunk)
		hmmu__free(m->chunk, chunk_table_bytes(m));
	hmmu__mutex_fini(&m->lock);
	hmmu__free(m, sizeof(*m));
}

int hmmu__memory_make(struct hmmu_space *space, uint32_t kind, size_t bytes,
		      struct hmmu_memory **ret)
{
	struct hmmu_memory *m = hmmu__alloc(sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	hmmu__mutex_init(&m->lock, HMMU_RANK_MEMORY, "memory");
	m->space = space;
	m->kind = kind;
	m->bytes = bytes;
	m->chunks = (uint32_t)(bytes >> HMMU_LARGE_LG2);
	m->free_chunks = m->chunks;
	m->chunk = hmmu__alloc(chunk_table_bytes(m));
	err = m->chunk ? pool_add(m) : -ENOMEM;
	if (err) {
		memory_free(m);
		return err;
	}
	*ret = m;
	return 0;
}

void hmmu__memory_end(struct hmmu_memory *m)
{
	struct hmmu_space *space = m->space;

	if (m->host && hmmu__space_is_usable(space))
		space->mm->ops->remove_pool(space->mm, m->host, m->bytes);
	memory_free(m);
}

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
	err = hmmu__memory_make(space, o.kind, o.bytes, &m);
	hmmu__leave(self);
	if (err)
		return err;
	atomic_fetch_add_explicit(&space->users, 1, memory_order_acq_rel);
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
	space = memory->space;
	hmmu__memory_end(memory);
	hmmu__leave(self);
	atomic_fetch_sub_explicit(&space->users, 1, memory_order_acq_rel);
	return 0;
}

int hmmu_memory_fail_large(struct hmmu_memory *memory)
{
	if (!memory)
		return -EINVAL;
	/* Relaxed: as in hmmu__memory_is_failing(). */
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
