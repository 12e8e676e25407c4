/* SPDX-License-Identifier: MIT */
/*
 * A space over the address space that is an array: making, ending, and what
 * must be true of it.
 */
#include "tests/unit/core_fixture.h"

#include "base/process.h"

struct core core;

/* --- making and ending ---------------------------------------------------------- */

size_t core_used_bytes(void)
{
	struct hmmu_thread *self = hmmu__enter();
	struct hmmu_arena_stats stats;
	unsigned int i;

	assert_non_null(self);
	for (i = 0; i < CORE_DEVICES; i++)
		if (core.device[i])
			hmmu_mirror_synchronize(
				hmmu_device_mirror(core.device[i]));
	hmmu__arena_stats(&stats);
	hmmu__leave(self);
	return stats.used_bytes;
}

void core_create(struct array_mm *m)
{
	struct hmmu_thread *self;

	assert_int_equal(hmmu__process_mark(), 0);
	core = (struct core){ 0 };
	core = (struct core){ .m = m, .used_bytes = core_used_bytes() };
	assert_non_null(m);
	self = hmmu__enter();
	assert_non_null(self);
	core.space = hmmu__space_create(&m->mm);
	hmmu__leave(self);
	assert_non_null(core.space);
}

int core_setup(void **state)
{
	(void)state;
	core_create(array_create());
	return 0;
}

int core_setup_without_take(void **state)
{
	(void)state;
	core_create(array_create_required());
	return 0;
}

void core_end_device(unsigned int i)
{
	assert_int_equal(hmmu_device_destroy(core.device[i]), 0);
	core.device[i] = NULL;
	assert_int_equal(hmmu_memory_destroy(core.memory[i]), 0);
	core.memory[i] = NULL;
}

int core_teardown(void **state)
{
	struct hmmu_thread *self;
	unsigned int i;

	(void)state;
	core_check();
	for (i = 0; i < CORE_DEVICES; i++)
		core_end_device(i);
	assert_int_equal(atomic_load(&core.space->users), 0);
	self = hmmu__enter();
	assert_non_null(self);
	hmmu__space_destroy(core.space);
	hmmu__leave(self);
	assert_int_equal(core_used_bytes(), core.used_bytes);
	return 0;
}

static struct hmmu_device *make_device(unsigned int i, uint32_t kind,
				       size_t chunks)
{
	const struct hmmu_memory_options memory = { .size = sizeof(memory),
						    .kind = kind,
						    .bytes = chunks * LARGE };
	struct hmmu_device_options options = { .size = sizeof(options) };

	if (chunks)
		assert_int_equal(hmmu_memory_create(core.space, &memory,
						    &core.memory[i]),
				 0);
	options.memory = core.memory[i];
	assert_int_equal(
		hmmu_device_create(core.space, &options, &core.device[i]), 0);
	return core.device[i];
}

struct hmmu_device *core_device(unsigned int i, size_t chunks)
{
	return make_device(i, HMMU_MEMORY_HOST_PRIVATE, chunks);
}

struct hmmu_device *core_coherent_device(unsigned int i, size_t chunks)
{
	return make_device(i, HMMU_MEMORY_COHERENT, chunks);
}

void core_map_filled(uintptr_t addr, size_t bytes)
{
	array_map(core.m, addr, bytes, ARRAY_ANON_RW);
	array_fill(core.m, addr, bytes, 1);
}

void core_map_large(uintptr_t addr, size_t blocks)
{
	size_t i;

	core_map_filled(addr, blocks * LARGE);
	for (i = 0; i < blocks; i++)
		array_make_large(core.m, addr + i * LARGE);
}

/* --- what must be true ------------------------------------------------------------ */

static struct hmmu_place place_of(uintptr_t addr)
{
	struct hmmu_block *b = hmmu__block_find(&core.space->blocks, addr);
	struct hmmu_place p = { 0 };

	if (b) {
		hmmu__block_lock(b);
		p = hmmu__block_place(b, hmmu__block_page(b, addr));
		hmmu__block_unlock(b);
	}
	return p;
}

/* Only coherent memory leaves its pages where the CPU has them. */
static void check_page(uintptr_t addr, const struct hmmu_place *place)
{
	const struct array_page *page = array_page(core.m, addr);
	bool is_away = place->memory &&
		       place->memory->kind != HMMU_MEMORY_COHERENT;

	if (is_away != (page->state == ARRAY_TAKEN))
		fail_msg("page %lu is in state %u, and core has it %s",
			 (unsigned long)((addr - BASE) >> HMMU_PAGE_LG2),
			 page->state, is_away ? "away" : "at home");
}

/* How many pages of the block at @start are held. */
static uint64_t check_block(uintptr_t start)
{
	struct hmmu_place place[HMMU_PAGES_PER_LARGE] = { 0 };
	struct hmmu_block *b = hmmu__block_find(&core.space->blocks, start);
	uint64_t held = 0;
	unsigned int i;

	if (b) {
		hmmu__block_lock(b);
		for (i = 0; i < HMMU_PAGES_PER_LARGE; i++)
			place[i] = hmmu__block_place(b, i);
		hmmu__block_unlock(b);
	}
	for (i = 0; i < HMMU_PAGES_PER_LARGE; i++) {
		check_page(start + i * PAGE, &place[i]);
		held += place[i].memory != NULL;
	}
	return held;
}

static void check_leaf(struct hmmu_device *device, uintptr_t addr,
		       uintptr_t payload, bool write)
{
	const struct array_page *page = array_page(core.m, addr);
	void *host = array_host(core.m, addr);
	struct hmmu_place place = place_of(addr);

	assert_int_not_equal(page->mapping, 0);
	assert_int_not_equal(page->state, ARRAY_ABSENT);
	assert_true(page->flags & HMMU_VMA_READ);
	if (write)
		assert_true(page->flags & HMMU_VMA_WRITE &&
			    page->state != ARRAY_ZERO && !page->is_shared);
	if (page->state == ARRAY_TAKEN) {
		assert_ptr_equal(place.memory->owner, device);
		host = hmmu__memory_host(place.memory, place.page);
	}
	assert_ptr_equal((void *)payload, host);
}

static void check_mirror(struct hmmu_device *device)
{
	struct hmmu_mirror *mirror = hmmu_device_mirror(device);
	struct hmmu_mirror_reader *reader;
	struct hmmu_mirror_walk walk;
	uintptr_t at;

	assert_int_equal(hmmu_mirror_reader_create(mirror, &reader), 0);
	hmmu_mirror_read_begin(mirror, reader);
	hmmu_mirror_walk_range(&walk, mirror, 0, UINTPTR_MAX,
			       HMMU_MIRROR_WALK_RUNS);
	while (hmmu_mirror_walk_next(&walk))
		for (at = walk.run.start; at < walk.run.end; at += PAGE)
			check_leaf(device, at,
				   walk.run.payload + (at - walk.run.start),
				   walk.run.flags & HMMU_MIRROR_WRITE);
	hmmu_mirror_read_end(mirror, reader);
	hmmu_mirror_reader_destroy(mirror, reader);
}

static uint64_t used_pages(const struct hmmu_memory *memory)
{
	struct hmmu_memory_stats stats = { .size = sizeof(stats) };

	assert_int_equal(
		hmmu_memory_get_stats((struct hmmu_memory *)memory, &stats), 0);
	return stats.used_pages;
}

void core_check(void)
{
	struct hmmu_thread *self = hmmu__enter();
	uint64_t held = 0, used = 0;
	uintptr_t addr;
	unsigned int i;

	assert_non_null(self);
	for (addr = BASE; addr < ARRAY_END; addr += LARGE)
		held += check_block(addr);
	for (i = 0; i < CORE_DEVICES; i++) {
		if (core.device[i])
			check_mirror(core.device[i]);
		if (core.memory[i])
			used += used_pages(core.memory[i]);
		if (core.device[i] && core.device[i]->exclusive)
			used += used_pages(core.device[i]->exclusive);
	}
	assert_int_equal(held, used);
	assert_int_equal(held, hmmu__core_device_pages(core.space));
	hmmu__leave(self);
}

/* --- mirrors ------------------------------------------------------------------ */

uint64_t core_leaf(struct hmmu_device *device, uintptr_t addr)
{
	struct hmmu_mirror *mirror = hmmu_device_mirror(device);
	struct hmmu_mirror_reader *reader;
	uint64_t leaf = 0;
	bool found;

	assert_int_equal(hmmu_mirror_reader_create(mirror, &reader), 0);
	hmmu_mirror_read_begin(mirror, reader);
	found = hmmu_mirror_lookup(mirror, addr, &leaf);
	hmmu_mirror_read_end(mirror, reader);
	hmmu_mirror_reader_destroy(mirror, reader);
	return found ? leaf : 0;
}

size_t core_mapped_pages(struct hmmu_device *device, uintptr_t addr,
			 size_t bytes)
{
	size_t n = 0, at;

	for (at = 0; at < bytes; at += PAGE)
		n += core_leaf(device, addr + at) != 0;
	return n;
}

static uint64_t *device_pointer(struct hmmu_device *device, uintptr_t addr,
				enum hmmu_access access)
{
	uint64_t leaf;

	assert_int_equal(core_fault(device, addr, sizeof(uint64_t), access), 0);
	leaf = core_leaf(device, addr);
	assert_int_not_equal(leaf, 0);
	if (access == HMMU_ACCESS_WRITE)
		assert_true(leaf & HMMU_MIRROR_WRITE);
	return (uint64_t *)(hmmu_mirror_payload(leaf) + addr % PAGE);
}

uint64_t core_device_load(struct hmmu_device *device, uintptr_t addr)
{
	return *device_pointer(device, addr, HMMU_ACCESS_READ);
}

void core_device_store(struct hmmu_device *device, uintptr_t addr,
		       uint64_t value)
{
	*device_pointer(device, addr, HMMU_ACCESS_WRITE) = value;
}

void core_device_expect(struct hmmu_device *device, uintptr_t addr,
			size_t bytes, uint64_t seed)
{
	size_t i;

	for (i = 0; i < bytes >> HMMU_PAGE_LG2; i++)
		assert_int_equal(core_device_load(device, addr + i * PAGE),
				 array_number(i, seed));
}

/* --- calls -------------------------------------------------------------------- */

int core_migrate(struct hmmu_device *device, uintptr_t addr, size_t bytes,
		 struct hmmu_migrate_result *r)
{
	if (r)
		r->size = sizeof(*r);
	return hmmu_device_migrate(device, addr, bytes, r);
}

int core_home(uintptr_t addr, size_t bytes, struct hmmu_migrate_result *r)
{
	if (r)
		r->size = sizeof(*r);
	return hmmu_migrate_to_system(core.space, addr, bytes, r);
}

int core_fault(struct hmmu_device *device, uintptr_t addr, size_t bytes,
	       enum hmmu_access access)
{
	return hmmu_device_fault(device, addr, bytes, access);
}

struct hmmu_space_stats core_stats(void)
{
	struct hmmu_space_stats stats = { .size = sizeof(stats) };

	assert_int_equal(hmmu_space_get_stats(core.space, &stats), 0);
	return stats;
}

uint64_t core_device_pages(void)
{
	return core_stats().device_pages;
}

struct hmmu_memory_stats core_memory_stats(unsigned int i)
{
	struct hmmu_memory_stats stats = { .size = sizeof(stats) };

	assert_int_equal(hmmu_memory_get_stats(core.memory[i], &stats), 0);
	return stats;
}

/* --- what is reported ----------------------------------------------------------- */

static void log_invalidate(struct hmmu_notifier *sub, void *arg,
			   const struct hmmu_invalidation *inv,
			   uint64_t cur_seq)
{
	struct core_log *log = arg;

	if (log->n < HMMU_ARRAY_SIZE(log->event)) {
		log->event[log->n].inv = *inv;
		log->event[log->n].seq = cur_seq;
	}
	log->n++;
	hmmu_notifier_set_seq(sub, cur_seq);
}

static void log_finish(struct hmmu_notifier *sub, void *arg,
		       const struct hmmu_invalidation *inv)
{
	struct core_log *log = arg;

	(void)sub;
	(void)inv;
	log->finished++;
}

void core_log_begin(struct core_log *log, uintptr_t addr, size_t bytes)
{
	static const struct hmmu_notifier_ops ops = {
		.size = sizeof(ops),
		.invalidate = log_invalidate,
		.finish = log_finish,
	};

	*log = (struct core_log){ 0 };
	assert_int_equal(hmmu_notifier_insert(core.space, addr, bytes, 0, &ops,
					      log, &log->sub),
			 0);
}

void core_log_end(struct core_log *log)
{
	hmmu_notifier_remove(log->sub);
}

/* --- failures ---------------------------------------------------------------- */

/* What the operations of the address space may answer, by mm.h. */
static const struct {
	enum array_op op;
	struct array_failure failure;
} answers[] = {
	{ ARRAY_NEXT_VMA, { .err = -EFAULT } },
	{ ARRAY_FAULT_IN, { .err = -EFAULT } },
	{ ARRAY_FAULT_IN, { .err = -EPERM } },
	{ ARRAY_FAULT_IN, { .err = -ENOMEM } },
	{ ARRAY_FAULT_IN, { .err = -EBUSY } },
	{ ARRAY_SNAPSHOT, { .err = -ENOMEM } },
	{ ARRAY_WATCH, { .err = -EAGAIN } },
	{ ARRAY_WATCH, { .err = -EOPNOTSUPP } },
	{ ARRAY_WATCH, { .err = -EBUSY } },
	{ ARRAY_WATCH, { .err = -ENOMEM } },
	{ ARRAY_ARM, { .err = -EAGAIN } },
	{ ARRAY_ARM, { .err = -EBUSY, .why = HMMU_STAY_FOREIGN } },
	{ ARRAY_TAKE, { .err = -EAGAIN } },
	{ ARRAY_TAKE, { .err = -EAGAIN, .done_bytes = PAGE } },
	{ ARRAY_TAKE, { .err = -ENOMEM } },
	{ ARRAY_TAKE, { .err = -ENOMEM, .done_bytes = PAGE } },
	{ ARRAY_TAKE,
	  { .err = -EBUSY, .why = HMMU_STAY_PINNED, .stay_bytes = PAGE } },
	{ ARRAY_TAKE,
	  { .err = -EBUSY,
	    .why = HMMU_STAY_LOCKED,
	    .stay_bytes = 3 * PAGE,
	    .done_bytes = PAGE } },
	{ ARRAY_PUT, { .err = -EAGAIN } },
	{ ARRAY_PUT, { .err = -EAGAIN, .done_bytes = PAGE } },
	{ ARRAY_PUT, { .err = -ENOMEM } },
	{ ARRAY_PUT, { .err = -ENOMEM, .done_bytes = PAGE } },
	{ ARRAY_PUT, { .err = -ENOENT } },
	{ ARRAY_FILL_HOLE, { .err = -EAGAIN } },
	{ ARRAY_FILL_HOLE, { .err = -ENOMEM } },
	{ ARRAY_EMPTY, { .err = -ENOMEM } },
	{ ARRAY_ADD_POOL, { .err = -ENOMEM } },
};

static void sweep_fault_points(int (*operation)(void), void (*undo)(int err))
{
	const char *failed;
	uint64_t n;
	int err;

	for (n = 1;; n++) {
		hmmu__fault_points_arm_thread(n);
		err = operation();
		hmmu__fault_points_disarm();
		failed = hmmu__fault_points_failed();
		core_check();
		undo(err);
		if (!failed)
			break;
	}
	assert_int_equal(err, 0);
}

static void sweep_answer(size_t i, int (*operation)(void),
			 void (*undo)(int err))
{
	struct array_failure f = answers[i].failure;
	enum array_op op = answers[i].op;
	bool failed;
	int err;

	for (f.times = 1;; f.skip++) {
		array_fail(core.m, op, &f);
		err = operation();
		failed = core.m->failed[op];
		core.m->failure[op].times = 0;
		core_check();
		undo(err);
		if (!failed)
			break;
	}
	assert_int_equal(err, 0);
}

void core_sweep(int (*operation)(void), void (*undo)(int err))
{
	size_t used, i;

	assert_int_equal(operation(), 0);
	core_check();
	undo(0);
	used = core_used_bytes();
	sweep_fault_points(operation, undo);
	for (i = 0; i < HMMU_ARRAY_SIZE(answers); i++)
		sweep_answer(i, operation, undo);
	assert_int_equal(core_used_bytes(), used);
}

/* --- a second thread ------------------------------------------------------------ */

void stall_here(void *step)
{
	step_set(step, 1);
	step_wait(step, 2);
}

static void *helper_run(void *arg)
{
	struct helper *h = arg;

	h->fn(h->arg);
	step_set(&h->done, 1);
	return NULL;
}

void helper_start(struct helper *h, void (*fn)(void *arg), void *arg)
{
	*h = (struct helper){ .fn = fn, .arg = arg };
	assert_int_equal(pthread_create(&h->thread, NULL, helper_run, h), 0);
}

bool helper_is_done_soon(struct helper *h)
{
	hmmu__sched_sleep(SHORT_NS);
	return atomic_load_explicit(&h->done, memory_order_acquire);
}

void helper_join(struct helper *h)
{
	assert_int_equal(pthread_join(h->thread, NULL), 0);
}
