/* SPDX-License-Identifier: MIT */
/*
 * Small objects of the arena
 *
 * Overview: a slab is 64 KiB of objects of one size. Its header has one bit for
 * each object: set if the object is free. Allocation clears a bit with a
 * compare-exchange, and freeing sets it. The objects themselves hold no list
 * links, so neither reads memory that another thread may own by now.
 *
 * Each size class allocates from its current slab, and lists other slabs that
 * have room. A full slab is neither current nor listed. The first object freed
 * into it lists it again:
 *
 *      allocate, under the lock           free
 *      listed = false                     set the bit
 *      load all bits again                load listed
 *
 * Required: the allocating thread sees the bit, or the freeing thread sees that
 * the slab is not listed. Otherwise no thread would find the slab again. Each
 * side stores one word and loads the other, hence seq_cst.
 *
 * Locking: none while the current slab has room. The arena's mutex guards the
 * lists and the choice of the current slab.
 *
 * Not supported: moving a slab to another class. Each class keeps as many slabs
 * as its objects once needed at the same time.
 */
#include "base/arena_slabs.h"

#include <errno.h>
#include <string.h>

#include "base/arena_internal.h"
#include "base/arena_pages.h"
#include "base/fault_point.h"

#define SLAB_LG2	  16
#define SLAB_BYTES	  (1ul << SLAB_LG2)
#define SLAB_WORDS	  64u
#define SLAB_HEADER_BYTES 576u

struct slab {
	_Atomic bool listed;
	uint8_t class_index;
	_Atomic uint16_t hint; /* the word that last had a free object */
	uint16_t nobjects;
	uint16_t nwords;
	uint32_t object_bytes;
	uint32_t reciprocal; /* of object_bytes, see object_index() */
	struct slab *next; /* on the class's list; guarded by the arena lock */
	_Atomic uint64_t free[SLAB_WORDS] HMMU_CACHE_ALIGNED;
};

_Static_assert(sizeof(struct slab) == SLAB_HEADER_BYTES,
	       "objects of 64 bytes and more are aligned to 64");
_Static_assert((SLAB_BYTES - SLAB_HEADER_BYTES) / 16 <= SLAB_WORDS * 64,
	       "a bit for each of the smallest objects");

/* Above 64: multiples of 64, two for each power of two. At most 1/3 is lost. */
static const uint16_t class_bytes[] = { 16,  32,  48,  64,   128,  192, 256,
					384, 512, 768, 1024, 1536, 2048 };

#define NCLASSES HMMU_ARRAY_SIZE(class_bytes)

static struct {
	/* Read without a lock; written under the arena's. */
	struct slab *_Atomic current;
	struct slab *list HMMU_GUARDED_BY(&hmmu__arena.lock);
} HMMU_CACHE_ALIGNED classes[NCLASSES];

static _Atomic size_t nslabs;

/* The smallest class for @bytes; 1 <= @bytes <= 2048. */
static unsigned int class_of(size_t bytes)
{
	unsigned int lg2;

	if (bytes <= 64)
		return (unsigned int)(bytes - 1) / 16;
	/* 2^lg2 < bytes <= 2^(lg2 + 1), and the class between the two. */
	lg2 = 63 - (unsigned int)__builtin_clzl(bytes - 1);
	if (lg2 == 6)
		return 4;
	return 5 + (lg2 - 7) * 2 + (bytes > (3ul << (lg2 - 1)));
}

static struct slab *slab_of(const void *p)
{
	return (struct slab *)((uintptr_t)p & ~(SLAB_BYTES - 1));
}

static void *object_at(struct slab *slab, unsigned int index)
{
	return (char *)slab + SLAB_HEADER_BYTES +
	       (size_t)index * slab->object_bytes;
}

/*
 * Divide by the object size: multiply by 2^32 / size, rounded up. The result is
 * exact for the offsets of a slab, because offset * size < 2^32.
 */
_Static_assert(SLAB_BYTES *HMMU_ARENA_SMALL_MAX_BYTES < 1ul << 32,
	       "object_index() is exact");

static unsigned int object_index(const struct slab *slab, const void *p)
{
	uint64_t offset = (uintptr_t)p - (uintptr_t)slab - SLAB_HEADER_BYTES;

	return (unsigned int)((offset * slab->reciprocal) >> 32);
}

static void slab_init(struct slab *slab, unsigned int class_index)
{
	uint32_t bytes = class_bytes[class_index];
	uint32_t count = (uint32_t)((SLAB_BYTES - SLAB_HEADER_BYTES) / bytes);

	slab->class_index = (uint8_t)class_index;
	slab->nobjects = (uint16_t)count;
	slab->nwords = (uint16_t)((count + 63) / 64);
	slab->object_bytes = bytes;
	slab->reciprocal = (uint32_t)(((1ull << 32) + bytes - 1) / bytes);
	/* Relaxed: the release store of class_refill() publishes the slab. */
	for (uint32_t i = 0; i < count; i += 64)
		atomic_store_explicit(&slab->free[i / 64],
				      ~0ull >> (64 - hmmu_min(count - i, 64)),
				      memory_order_relaxed);
	atomic_store_explicit(&slab->listed, true, memory_order_relaxed);
	arena_poison((char *)slab + SLAB_HEADER_BYTES,
		     SLAB_BYTES - SLAB_HEADER_BYTES);
}

static struct slab *slab_create_locked(unsigned int class_index)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	/* Relaxed: written under the lock only. */
	size_t n = atomic_load_explicit(&nslabs, memory_order_relaxed);
	uintptr_t start = hmmu__arena.slabs.start + n * SLAB_BYTES;
	struct slab *slab = (struct slab *)start;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (hmmu__zone_commit_locked(&hmmu__arena.slabs, start + SLAB_BYTES))
		return NULL;
	slab_init(slab, class_index);
	atomic_store_explicit(&nslabs, n + 1, memory_order_relaxed);
	return slab;
}

/* Allocate an object of word @w, or NULL. */
static void *word_take(struct slab *slab, unsigned int w)
{
	/* Relaxed: a guess that the exchange confirms. */
	uint64_t bits =
		atomic_load_explicit(&slab->free[w], memory_order_relaxed);

	while (bits) {
		unsigned int bit = (unsigned int)__builtin_ctzll(bits);

		/* Acquire: pairs with the store of small_free(). */
		if (atomic_compare_exchange_weak_explicit(
			    &slab->free[w], &bits, bits & (bits - 1),
			    memory_order_acquire, memory_order_relaxed))
			return object_at(slab, w * 64 + bit);
	}
	return NULL;
}

static void hint_set(struct slab *slab, unsigned int w)
{
	/* Relaxed: any value is valid. Store rarely: the line is shared. */
	if (atomic_load_explicit(&slab->hint, memory_order_relaxed) != w)
		atomic_store_explicit(&slab->hint, (uint16_t)w,
				      memory_order_relaxed);
}

static void *slab_take(struct slab *slab)
{
	unsigned int first =
		atomic_load_explicit(&slab->hint, memory_order_relaxed);
	unsigned int w = first;
	void *p;

	do {
		p = word_take(slab, w);
		if (hmmu_likely(p)) {
			hint_set(slab, w);
			return p;
		}
		w = w + 1 < slab->nwords ? w + 1 : 0;
	} while (w != first);
	return NULL;
}

static bool slab_has_room(struct slab *slab)
{
	/* seq_cst: the allocating side of the race above. */
	for (unsigned int w = 0; w < slab->nwords; w++) {
		if (atomic_load_explicit(&slab->free[w], memory_order_seq_cst))
			return true;
	}
	return false;
}

/* Unlist a full slab; true if it has room again, and stays listed. */
static bool slab_retire_locked(struct slab *slab)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	hmmu__mutex_assert_held(&hmmu__arena.lock);
	/* seq_cst: see the race above. */
	atomic_store_explicit(&slab->listed, false, memory_order_seq_cst);
	if (!slab_has_room(slab))
		return false;
	atomic_store_explicit(&slab->listed, true, memory_order_seq_cst);
	return true;
}

static struct slab *slab_next_locked(unsigned int class_index)
	HMMU_REQUIRES(&hmmu__arena.lock)
{
	struct slab *slab = classes[class_index].list;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	if (!slab)
		return slab_create_locked(class_index);
	classes[class_index].list = slab->next;
	slab->next = NULL;
	return slab;
}

/* Replace the current slab @seen, which is full; false: no memory. */
static HMMU_NOINLINE bool class_refill(unsigned int class_index,
				       struct slab *seen)
{
	struct slab *slab;

	if (!hmmu__arena_create())
		return false;
	hmmu__mutex_lock(&hmmu__arena.lock);
	/* Relaxed: written under the lock only. */
	slab = atomic_load_explicit(&classes[class_index].current,
				    memory_order_relaxed);
	/* Otherwise another thread has replaced @seen. */
	if (slab == seen && !(slab && slab_retire_locked(slab))) {
		slab = slab_next_locked(class_index);
		/* Release: publishes the header; pairs with small_alloc(). */
		atomic_store_explicit(&classes[class_index].current, slab,
				      memory_order_release);
	}
	hmmu__mutex_unlock(&hmmu__arena.lock);
	return slab != NULL;
}

static void *small_alloc(size_t bytes)
{
	unsigned int class_index = class_of(bytes);
	struct slab *slab;
	void *p;

	do {
		slab = atomic_load_explicit(&classes[class_index].current,
					    memory_order_acquire);
		p = slab ? slab_take(slab) : NULL;
		if (hmmu_likely(p)) {
			/* Not the whole object, to detect an overrun. */
			arena_unpoison(p, bytes);
			return memset(p, 0, bytes);
		}
	} while (class_refill(class_index, slab));
	return NULL;
}

static HMMU_NOINLINE void slab_relist(struct slab *slab)
{
	hmmu__mutex_lock(&hmmu__arena.lock);
	/* Relaxed: it becomes true only under the lock. */
	if (!atomic_load_explicit(&slab->listed, memory_order_relaxed)) {
		atomic_store_explicit(&slab->listed, true,
				      memory_order_relaxed);
		slab->next = classes[slab->class_index].list;
		classes[slab->class_index].list = slab;
	}
	hmmu__mutex_unlock(&hmmu__arena.lock);
}

static void small_free(void *p, size_t bytes)
{
	struct slab *slab = slab_of(p);
	unsigned int index = object_index(slab, p);
	uint64_t bit = 1ull << (index % 64);
	uint64_t before;

	HMMU_ASSERT(hmmu__arena_contains((uintptr_t)p));
	HMMU_ASSERT(slab->class_index == class_of(bytes));
	HMMU_ASSERT(object_at(slab, index) == p);
	if (HMMU_DEBUG)
		memset(p, 0xa5, bytes);
	arena_poison(p, slab->object_bytes);
	/* seq_cst: the freeing side of the race above. */
	before = atomic_fetch_or_explicit(&slab->free[index / 64], bit,
					  memory_order_seq_cst);
	HMMU_ASSERT(!(before & bit)); /* freed twice */
	(void)before;
	hint_set(slab, index / 64);
	if (hmmu_unlikely(
		    !atomic_load_explicit(&slab->listed, memory_order_seq_cst)))
		slab_relist(slab);
}

static size_t bytes_to_pages(size_t bytes)
{
	return (bytes >> HMMU_PAGE_LG2) +
	       !hmmu_is_aligned(bytes, HMMU_PAGE_BYTES);
}

void *hmmu__alloc(size_t bytes)
{
	HMMU_ASSERT(bytes != 0);
	if (HMMU_FAULT_POINT("arena alloc", ENOMEM))
		return NULL;
	if (hmmu_likely(bytes <= HMMU_ARENA_SMALL_MAX_BYTES))
		return small_alloc(bytes);
	return hmmu__pages_alloc(bytes_to_pages(bytes));
}

void hmmu__free(void *p, size_t bytes)
{
	if (!p)
		return;
	if (hmmu_likely(bytes <= HMMU_ARENA_SMALL_MAX_BYTES))
		small_free(p, bytes);
	else
		hmmu__free_pages(p, bytes_to_pages(bytes));
}

static size_t slab_used_bytes(struct slab *slab)
{
	size_t used = slab->nobjects;

	/* Relaxed: for statistics. */
	for (unsigned int w = 0; w < slab->nwords; w++)
		used -= (size_t)__builtin_popcountll(atomic_load_explicit(
			&slab->free[w], memory_order_relaxed));
	return used * slab->object_bytes;
}

size_t hmmu__slabs_used_bytes_locked(void)
{
	size_t n = atomic_load_explicit(&nslabs, memory_order_relaxed);
	size_t used = 0;

	hmmu__mutex_assert_held(&hmmu__arena.lock);
	for (size_t i = 0; i < n; i++)
		used += slab_used_bytes(
			(struct slab *)(hmmu__arena.slabs.start +
					i * SLAB_BYTES));
	return used;
}
