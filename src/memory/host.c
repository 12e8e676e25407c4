/* SPDX-License-Identifier: MIT */
/*
 * Host-private device memory: a region of the arena
 *
 * Overview: the program's address space moves pages to the region and back.
 * Coherent memory has no region: the CPU keeps the pages in place, and the pool
 * only counts them.
 *
 * Locking: none. No other thread uses a memory while it is created or
 * destroyed.
 */
#include "memory/host.h"

#include <errno.h>

#include "base/arena.h"
#include "memory/pool.h"
#include "mm.h"

static size_t chunk_table_bytes(const struct hmmu_memory *m)
{
	return m->chunks * sizeof(*m->chunk);
}

static int host_reserve(struct hmmu_memory *m)
{
	if (m->kind == HMMU_MEMORY_COHERENT)
		return 0;
	m->host = hmmu__arena_reserve(m->bytes, HMMU_LARGE_BYTES);
	return m->host ? m->mm->ops->add_pool(m->mm, m->host, m->bytes) :
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

int hmmu__memory_make(struct hmmu_mm *mm, uint32_t kind, size_t bytes,
		      struct hmmu_memory **ret)
{
	struct hmmu_memory *m = hmmu__alloc(sizeof(*m));
	int err;

	if (!m)
		return -ENOMEM;
	hmmu__mutex_init(&m->lock, HMMU_RANK_MEMORY, "memory");
	m->mm = mm;
	m->kind = kind;
	m->bytes = bytes;
	m->chunks = (uint32_t)(bytes >> HMMU_LARGE_LG2);
	m->free_chunks = m->chunks;
	m->chunk = hmmu__alloc(chunk_table_bytes(m));
	err = m->chunk ? host_reserve(m) : -ENOMEM;
	if (err) {
		memory_free(m);
		return err;
	}
	*ret = m;
	return 0;
}

void hmmu__memory_end(struct hmmu_memory *m)
{
	if (m->host && hmmu__mm_is_usable(m->mm))
		m->mm->ops->remove_pool(m->mm, m->host, m->bytes);
	memory_free(m);
}
