/* SPDX-License-Identifier: MIT */
/*
 * Arena calls for threads that may not be inside HMMU
 *
 * Locking: each goes inside for the call, because the fault service takes the
 * arena's lock too.
 */
#include "base/arena.h"
#include "base/thread.h"

void *hmmu__alloc_inside(size_t bytes)
{
	struct hmmu_thread *self = hmmu__enter();
	void *p;

	if (!self)
		return NULL;
	p = hmmu__alloc(bytes);
	hmmu__leave(self);
	return p;
}

void hmmu__free_inside(void *p, size_t bytes)
{
	struct hmmu_thread *self = p ? hmmu__enter() : NULL;

	/* Without a record (no memory) free it all the same. */
	hmmu__free(p, bytes);
	if (self)
		hmmu__leave(self);
}

void *hmmu__alloc_pages_inside(size_t npages)
{
	struct hmmu_thread *self = hmmu__enter();
	void *p;

	if (!self)
		return NULL;
	p = hmmu__alloc_pages(npages);
	hmmu__leave(self);
	return p;
}

void hmmu__free_pages_inside(void *p, size_t npages)
{
	struct hmmu_thread *self = p ? hmmu__enter() : NULL;

	hmmu__free_pages(p, npages);
	if (self)
		hmmu__leave(self);
}
