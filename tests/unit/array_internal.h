/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_ARRAY_INTERNAL_H
#define HMMU_TESTS_ARRAY_INTERNAL_H

/*
 * What array_mm.c, array_device.c and array_changes.c share
 */

#include "tests/unit/array_mm.h"

/* A mistake of the caller, or of the array itself: on any thread. */
void array__check(bool ok, const char *what, int line);
#define ARRAY_CHECK(x) array__check((x), #x, __LINE__)

static inline void array__lock(struct array_mm *m)
{
	(void)pthread_mutex_lock(&m->lock);
}

static inline void array__unlock(struct array_mm *m)
{
	(void)pthread_mutex_unlock(&m->lock);
}

/* ARRAY_PAGES or more: not an address of the space. */
static inline size_t array__index(uintptr_t addr)
{
	return (addr - ARRAY_BASE) >> HMMU_PAGE_LG2;
}

static inline uintptr_t array__addr(size_t index)
{
	return ARRAY_BASE + (index << HMMU_PAGE_LG2);
}

static inline uint8_t *array__frame(const struct array_mm *m,
				    const struct array_page *p)
{
	return m->frames + ((size_t)p->frame << HMMU_PAGE_LG2);
}

static inline bool array__is_same_mapping(const struct array_page *a,
					  const struct array_page *b)
{
	return a->mapping == b->mapping && a->flags == b->flags;
}

static inline bool array__is_present(const struct array_page *p)
{
	return p->state == ARRAY_PRESENT || p->state == ARRAY_ZERO;
}

/* Core holds so many locks beside what hold() took. */
void array__check_held(struct array_mm *m, unsigned int locks);

/* Counts the call, runs the test's function, and says if the call fails. */
int array__enter(struct array_mm *m, enum array_op op);

/* This thread applies a change with @events locked for writing. */
bool array__is_applying(void);

int array__touch_locked(struct array_mm *m, uintptr_t addr, bool write);
int array__touch(struct array_mm *m, uintptr_t addr, bool write);

/* As the kernel fills a page at its first touch; with m->lock. */
void array__fill(struct array_mm *m, size_t i, bool write);

/* With m->lock: the block of page @i becomes one large page, or none. */
void array__make_large(struct array_mm *m, size_t i);
void array__split(struct array_mm *m, size_t i);

/* Operations. */
int array__take(struct hmmu_mm *mm, struct hmmu_mm_take *t);
int array__put(struct hmmu_mm *mm, struct hmmu_mm_put *p);
int array__fill_hole(struct hmmu_mm *mm, uintptr_t addr,
		     const struct hmmu_bitmap512 *device_pages);
int array__empty(struct hmmu_mm *mm, void *host, size_t bytes);
int array__add_pool(struct hmmu_mm *mm, void *host, size_t bytes);
void array__remove_pool(struct hmmu_mm *mm, void *host, size_t bytes);

#endif
