/* SPDX-License-Identifier: MIT */
/*
 * CPU writers, device writers, migration both ways, and munmap, mmap, mremap,
 * madvise and mprotect, hooked and raw, at the same time; every word is checked
 * against a model
 *
 * The memory consists of a few regions. Each word belongs to one writer, by its
 * index. The writer checks the word and writes the next value. Writers hold the
 * lock of the region shared. An actor that changes a region holds the lock
 * alone and updates the model. Migrators and onlookers take no lock. An
 * onlooker reads any address through a port; it may only see a fault, a zero or
 * a word that belongs there.
 */
#include <sched.h>
#include <sys/mman.h>

#include <hmmu/soft.h>

#include "fixture.h"

enum {
	REGIONS = 6,
	REGION_PAGES = 2 * 512 + 37,
	WORDS = REGION_PAGES * 512,
	CPU_WRITERS = 2,
	PORT_WRITERS = 2,
	WRITERS = CPU_WRITERS + PORT_WRITERS,
	MIGRATORS = 2,
	CHANGERS = 2,
	ONLOOKERS = 1,
	THREADS = WRITERS + MIGRATORS + CHANGERS + ONLOOKERS,
};

#define REGION_BYTES ((size_t)REGION_PAGES * PAGE)
/* Top byte of a word of a writer, and of a word the accelerator has filled. */
#define WRITTEN	     0xa5ull
#define FILLED	     0xf1ull

struct region {
	pthread_rwlock_t lock;
	char *_Atomic base;
	uint64_t *model;
};

struct actor {
	void (*act)(struct actor *self);
	uint64_t random;
	unsigned int writer;
	uint64_t done;
	struct hmmu_port *port;
	pthread_t thread;
};

static struct region regions[REGIONS];
static struct actor actors[THREADS];
static struct hmmu_soft *soft;
static struct hmmu_soft_queue *queue;
static _Atomic unsigned int stop;
/* In memory that only migrates. All actors add to it. */
static uint64_t *counter;
static _Atomic uint64_t added;

static uint64_t draw(struct actor *a, uint64_t below)
{
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	return (a->random >> 11) % below;
}

static char *base_of(struct region *r)
{
	return atomic_load_explicit(&r->base, memory_order_acquire);
}

static struct region *any_region(struct actor *a)
{
	return &regions[draw(a, REGIONS)];
}

/* The word contains its place, so that a misplaced word is detected. */
static uint64_t next_word(const struct region *r, size_t index, uint64_t old)
{
	uint64_t sequence = old >> 56 == WRITTEN ? (old & 0xffffff) + 1 : 1;

	return WRITTEN << 56 | (uint64_t)(r - regions) << 48 |
	       (uint64_t)index << 24 | (sequence & 0xffffff);
}

/* Writers --------------------------------------------------------------------- */

static void wrong(const struct region *r, size_t index, uint64_t found,
		  const char *who)
{
	hmmu_test_fail(__FILE__, __LINE__,
		       "%s: region %zu page %zu word %zu: 0x%llx, not 0x%llx",
		       who, (size_t)(r - regions), index / 512, index % 512,
		       (unsigned long long)found,
		       (unsigned long long)r->model[index]);
}

static void cpu_step(struct region *r, size_t index)
{
	volatile uint64_t *word = (uint64_t *)base_of(r) + index;
	uint64_t found = *word;

	if (found != r->model[index])
		wrong(r, index, found, "cpu");
	r->model[index] = next_word(r, index, found);
	*word = r->model[index];
}

/* True if the access collided for a second: retry. Other errors fail. */
static bool busy(int err)
{
	if (err == -EBUSY)
		return true;
	HMMU_CHECK_OK(err);
	return false;
}

static void port_step(struct actor *a, struct region *r, size_t index)
{
	uintptr_t va = (uintptr_t)base_of(r) + index * 8;
	uint64_t found = 0;

	while (busy(hmmu_port_load64(a->port, va, &found)))
		;
	if (found != r->model[index])
		wrong(r, index, found, "port");
	r->model[index] = next_word(r, index, found);
	while (busy(hmmu_port_store64(a->port, va, r->model[index])))
		;
}

static void write_words(struct actor *a)
{
	struct region *r = any_region(a);
	size_t page = draw(a, REGION_PAGES), i, index;
	unsigned int on_cpu = a->writer < CPU_WRITERS;

	HMMU_CHECK_OK(-pthread_rwlock_rdlock(&r->lock));
	for (i = 0; i < 40; i++) {
		index = page * 512 + draw(a, 512 / WRITERS) * WRITERS +
			a->writer;
		if (on_cpu)
			cpu_step(r, index);
		else
			port_step(a, r, index);
		if (i % 8 == 7)
			page = draw(a, REGION_PAGES);
	}
	HMMU_CHECK_OK(-pthread_rwlock_unlock(&r->lock));
	if (on_cpu)
		__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
	else
		while (busy(hmmu_port_fetch_add(a->port, (uintptr_t)counter, 8,
						1, NULL)))
			;
	atomic_fetch_add_explicit(&added, 1, memory_order_relaxed);
}

/* Migrators ------------------------------------------------------------------- */

static void to_device(uintptr_t start, uintptr_t end)
{
	HMMU_CHECK_OK(
		hmmu_device_migrate(live_device, start, end - start, NULL));
}

/* The region may move meanwhile; then other memory migrates. */
static void migrate(struct actor *a)
{
	uintptr_t base = (uintptr_t)base_of(any_region(a));
	size_t first = draw(a, REGION_PAGES);
	size_t pages = draw(a, 4) ? 1 + draw(a, REGION_PAGES - first) :
				    1 + draw(a, 8);
	uintptr_t start = base + first * PAGE, end = start + pages * PAGE;
	int err;

	switch (draw(a, 8)) {
	case 0:
		to_device((uintptr_t)counter, (uintptr_t)counter + PAGE);
		break;
	case 1:
		to_device(base & ~(LARGE - 1), (base & ~(LARGE - 1)) + LARGE);
		break;
	case 2:
	case 3:
		err = hmmu_migrate_to_system(live_space, start, end - start,
					     NULL);
		HMMU_CHECK(!err || err == -EBUSY);
		break;
	default:
		to_device(start, end);
	}
}

/* Changers -------------------------------------------------------------------- */

static void forget(struct region *r, size_t first, size_t pages)
{
	memset(&r->model[first * 512], 0, pages * PAGE);
}

static void discard(struct actor *a, struct region *r,
		    const struct live_way *way, size_t first, size_t pages)
{
	(void)a;
	HMMU_CHECK_OK(way->advise(base_of(r) + first * PAGE, pages * PAGE,
				  MADV_DONTNEED));
	forget(r, first, pages);
}

static void unmap_and_map(struct actor *a, struct region *r,
			  const struct live_way *way, size_t first,
			  size_t pages)
{
	char *at = base_of(r) + first * PAGE;

	if (draw(a, 2))
		HMMU_CHECK_OK(way->unmap(at, pages * PAGE));
	HMMU_CHECK(way->map(at, pages * PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED | MAP_NORESERVE) == at);
	madvise(base_of(r), REGION_BYTES,
		draw(a, 2) ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	forget(r, first, pages);
}

/*
 * Replace the mapping by a new one of large pages with the same content. Large
 * pages that were split stay small; without this only small pages would migrate
 * after a while.
 */
static void renew(struct actor *a, struct region *r, const struct live_way *way,
		  size_t first, size_t pages)
{
	char *old = base_of(r), *fresh = live_map(REGION_BYTES);

	(void)first;
	(void)pages;
	madvise(fresh, REGION_BYTES, MADV_HUGEPAGE);
	memcpy(fresh, r->model, REGION_BYTES);
	if (draw(a, 2))
		to_device((uintptr_t)fresh, (uintptr_t)fresh + REGION_BYTES);
	atomic_store_explicit(&r->base, fresh, memory_order_release);
	HMMU_CHECK_OK(way->unmap(old, REGION_BYTES));
}

/* Move the whole region to a new address within a reserved range. */
static void move_region(struct actor *a, struct region *r,
			const struct live_way *way, size_t first, size_t pages)
{
	char *old = base_of(r), *to, *room;
	size_t shift = draw(a, 2) ? draw(a, 512) * PAGE : 0;

	(void)first;
	(void)pages;
	room = live_map(REGION_BYTES + LARGE);
	to = room + shift;
	/* mremap(2) may refuse several mappings, or move only some. */
	if (way->remap(old, REGION_BYTES, REGION_BYTES,
		       MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
		HMMU_CHECK_INT(errno, EFAULT);
		HMMU_CHECK_OK(munmap(to, REGION_BYTES));
		renew(a, r, way, first, pages);
		return;
	}
	atomic_store_explicit(&r->base, to, memory_order_release);
}

static void protect_and_back(struct actor *a, struct region *r,
			     const struct live_way *way, size_t first,
			     size_t pages)
{
	char *at = base_of(r) + first * PAGE;

	HMMU_CHECK_OK(way->protect(at, pages * PAGE,
				   draw(a, 2) ? PROT_READ : PROT_NONE));
	sched_yield();
	HMMU_CHECK_OK(way->protect(at, pages * PAGE, PROT_READ | PROT_WRITE));
}

/* Fill a part of the region with the accelerator. */
static void fill(struct actor *a, struct region *r, const struct live_way *way,
		 size_t first, size_t pages)
{
	struct hmmu_soft_record *record =
		hmmu_soft_record_at(soft, (uint32_t)(a - actors));
	uint64_t pattern = FILLED << 56 | a->random >> 16;
	struct hmmu_soft_descriptor d = {
		.opcode = HMMU_SOFT_FILL,
		.flags = HMMU_SOFT_RECORD | HMMU_SOFT_BLOCK_ON_FAULT,
		.record = (uintptr_t)record,
		.dst = (uintptr_t)base_of(r) + first * PAGE,
		.bytes = (uint32_t)(pages * PAGE),
		.operand = { pattern },
	};
	size_t i;

	(void)way;
	record->status = HMMU_SOFT_PENDING;
	HMMU_CHECK_OK(hmmu_soft_submit(queue, &d));
	HMMU_CHECK_OK(hmmu_soft_wait(soft, record, HMMU_SOFT_FOREVER));
	for (i = 0; i < record->bytes_completed / 8; i++)
		r->model[first * 512 + i] = pattern;
	if (record->status != HMMU_SOFT_SUCCESS)
		HMMU_CHECK_INT(record->fault_errno, EBUSY);
}

/* Check all words, by the CPU or through a port, which migrates nothing. */
static void verify(struct actor *a, struct region *r,
		   const struct live_way *way, size_t first, size_t pages)
{
	const volatile uint64_t *words = (uint64_t *)base_of(r);
	bool by_port = a->port && draw(a, 2);
	uint64_t found = 0;
	size_t i;

	(void)way;
	for (i = first * 512; i < (first + pages) * 512; i++) {
		if (!by_port)
			found = words[i];
		else
			while (busy(hmmu_port_load64(
				a->port, (uintptr_t)&words[i], &found)))
				;
		if (found != r->model[i])
			wrong(r, i, found, by_port ? "port check" : "check");
	}
}

static void change(struct actor *a)
{
	static void (*const changes[])(struct actor *, struct region *,
				       const struct live_way *, size_t,
				       size_t) = {
		discard, unmap_and_map, move_region, protect_and_back,
		fill,	 verify,	renew,	     verify,
	};
	const struct live_way *way = draw(a, 2) ? &live_hooked : &live_raw;
	struct region *r = any_region(a);
	size_t first = draw(a, REGION_PAGES);
	size_t pages = draw(a, 3) ? 1 + draw(a, 20) : 1 + draw(a, REGION_PAGES);

	if (pages > REGION_PAGES - first)
		pages = REGION_PAGES - first;
	HMMU_CHECK_OK(-pthread_rwlock_wrlock(&r->lock));
	changes[draw(a, sizeof(changes) / sizeof(changes[0]))](a, r, way, first,
							       pages);
	HMMU_CHECK_OK(-pthread_rwlock_unlock(&r->lock));
	usleep((useconds_t)draw(a, 500));
}

/* Onlookers ------------------------------------------------------------------- */

static void look(struct actor *a)
{
	struct region *r = any_region(a);
	char *base = base_of(r);
	size_t index = draw(a, WORDS);
	uint64_t found = 0;
	int err =
		hmmu_port_load64(a->port, (uintptr_t)base + index * 8, &found);

	HMMU_CHECK(!err || err == -EFAULT || err == -EBUSY);
	if (err || !found || found >> 56 == FILLED || base != base_of(r))
		return;
	if (found >> 56 != WRITTEN ||
	    (found >> 48 & 0xff) != (uint64_t)(r - regions) ||
	    (found >> 24 & 0xffffff) != index)
		wrong(r, index, found, "onlooker");
}

/* All ------------------------------------------------------------------------- */

static void *act(void *arg)
{
	struct actor *a = arg;

	while (!atomic_load_explicit(&stop, memory_order_acquire)) {
		a->act(a);
		a->done++;
	}
	return NULL;
}

static void open_all(void)
{
	const struct hmmu_memory_options memory_options = {
		.size = sizeof(memory_options), .bytes = 20 * LARGE
	};
	struct hmmu_soft_options options = { .size = sizeof(options),
					     .workers = 1,
					     .records = THREADS };
	size_t i;

	live_open_space();
	live_need_move();
	HMMU_CHECK_OK(
		hmmu_memory_create(live_space, &memory_options, &live_memory));
	options.memory = live_memory;
	HMMU_CHECK_OK(hmmu_soft_create(live_space, &options, &soft));
	HMMU_CHECK_OK(hmmu_soft_queue_create(soft, NULL, &queue));
	live_device = hmmu_soft_device(soft);
	counter = live_map(PAGE);
	for (i = 0; i < REGIONS; i++) {
		HMMU_CHECK_OK(-pthread_rwlock_init(&regions[i].lock, NULL));
		regions[i].base = live_map(REGION_BYTES);
		if (i % 2)
			madvise(regions[i].base, REGION_BYTES, MADV_HUGEPAGE);
		regions[i].model = hmmu_alloc(WORDS * 8);
		HMMU_CHECK(regions[i].model);
	}
}

static void start_all(uint64_t seed)
{
	static void (*const other[])(struct actor *) = { migrate, migrate,
							 change, change, look };
	size_t i;

	for (i = 0; i < THREADS; i++) {
		struct actor *a = &actors[i];

		a->random = seed * 0x9e3779b97f4a7c15ull + i + 1;
		a->writer = (unsigned int)i;
		a->act = i < WRITERS ? write_words : other[i - WRITERS];
		if (i >= CPU_WRITERS)
			HMMU_CHECK_OK(hmmu_port_open(live_device, &a->port));
		a->thread = live_thread(act, a);
	}
}

static void print_counts(void)
{
	struct hmmu_space_stats s = live_stats();
	uint64_t writes = 0, migrations = 0, changes = 0;
	size_t i;

	for (i = 0; i < THREADS; i++) {
		if (i < WRITERS)
			writes += actors[i].done * 40;
		else if (i < WRITERS + MIGRATORS)
			migrations += actors[i].done;
		else if (i < WRITERS + MIGRATORS + CHANGERS)
			changes += actors[i].done;
	}
	printf("%llu writes, %llu migrations, %llu changes\n",
	       (unsigned long long)writes, (unsigned long long)migrations,
	       (unsigned long long)changes);
	printf("%llu pages out (%llu large), %llu home, %llu dropped\n",
	       (unsigned long long)s.pages_to_device,
	       (unsigned long long)s.large_to_device,
	       (unsigned long long)s.pages_home,
	       (unsigned long long)s.pages_dropped);
	HMMU_CHECK(writes && migrations && changes && s.pages_to_device);
	/*
	 * On a busy machine there are few large pages. Without PAGEMAP_SCAN
	 * HMMU does not see that a page is large.
	 */
	HMMU_CHECK(s.large_to_device || migrations < 2000 ||
		   live_is_forced("NO_PAGEMAP_SCAN"));
}

static void stress_churn(void)
{
	struct actor *last = &actors[THREADS - 1];
	size_t i;

	open_all();
	start_all(hmmu_test_seed());
	live_sleep_ms(1000 * hmmu_test_seconds());
	atomic_store_explicit(&stop, 1, memory_order_release);
	for (i = 0; i < THREADS; i++) {
		live_join(actors[i].thread);
		HMMU_CHECK(actors[i].done > 0);
	}
	for (i = 0; i < REGIONS; i++)
		verify(last, &regions[i], &live_hooked, 0, REGION_PAGES);
	HMMU_CHECK_INT(*counter, added);
	print_counts();
	for (i = 0; i < THREADS; i++)
		hmmu_port_close(actors[i].port);
	HMMU_CHECK_OK(hmmu_soft_destroy(soft));
	HMMU_CHECK_INT(live_memory_stats().used_pages, 0);
	HMMU_CHECK_OK(hmmu_memory_destroy(live_memory));
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	last->port = NULL;
	for (i = 0; i < REGIONS; i++)
		verify(last, &regions[i], &live_hooked, 0, REGION_PAGES);
	HMMU_CHECK(!live_is_registered());
}

HMMU_TEST_MAIN(HMMU_TEST(stress_churn))
