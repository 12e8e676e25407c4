/* SPDX-License-Identifier: MIT */
/*
 * What blocks record of device pages, and which pages of a device memory are
 * free.
 */
#include "tests/unit/core_fixture.h"

#define BLOCK_PAGES HMMU_PAGES_PER_LARGE
#define STEPS	    20000u

static struct hmmu_thread *self;
static struct hmmu_memory *memory, *other, *coherent;
static struct hmmu_block *b;

static int setup(void **state)
{
	int err = core_setup(state);

	(void)core_device(0, 4);
	(void)core_device(1, 4);
	(void)core_coherent_device(2, 4);
	memory = core.memory[0];
	other = core.memory[1];
	coherent = core.memory[2];
	self = hmmu__enter();
	assert_non_null(self);
	b = hmmu__block_get(&core.space->blocks, BASE);
	assert_non_null(b);
	return err;
}

static int teardown(void **state)
{
	hmmu__leave(self);
	return core_teardown(state);
}

/* --- the index ------------------------------------------------------------------- */

static void test_block_index_finds_what_was_made(void **state)
{
	struct hmmu_block_index *index = &core.space->blocks;
	uintptr_t far = 1ul << 55;

	(void)state;
	assert_ptr_equal(hmmu__block_find(index, BASE + LARGE - 1), b);
	assert_null(hmmu__block_find(index, BASE + LARGE));
	assert_ptr_equal(hmmu__block_get(index, BASE + 5), b);
	assert_int_equal(b->start, BASE);
	assert_null(hmmu__block_next(index, BASE + LARGE, UINTPTR_MAX));
	assert_ptr_equal(hmmu__block_next(index, 0, BASE + 1), b);
	assert_null(hmmu__block_next(index, 0, BASE));
	/* The last bytes of 57 bits are found, the first after them are not. */
	assert_int_equal(hmmu__block_get(index, far)->start, far);
	assert_int_equal(hmmu__block_next(index, BASE + LARGE, far + 1)->start,
			 far);
	assert_int_equal(hmmu__block_next(index, far - LARGE, far + 1)->start,
			 far);
	assert_non_null(hmmu__block_get(index, (1ul << 57) - 1));
	assert_null(hmmu__block_get(index, 1ul << 57));
	assert_null(hmmu__block_find(index, UINTPTR_MAX));
}

static void test_block_get_without_memory_makes_nothing(void **state)
{
	const uintptr_t far = 1ul << 50;
	struct hmmu_block *made;
	uint64_t n;

	(void)state;
	for (n = 1;; n++) {
		hmmu__fault_points_arm_thread(n);
		made = hmmu__block_get(&core.space->blocks, far);
		hmmu__fault_points_disarm();
		assert_ptr_equal(hmmu__block_find(&core.space->blocks, far),
				 made);
		if (!hmmu__fault_points_failed())
			break;
		assert_null(made);
	}
	assert_non_null(made);
	assert_true(n > 3 || !HMMU_FAULT_POINTS);
}

static void test_block_clip(void **state)
{
	unsigned int first, end;

	(void)state;
	hmmu__block_clip(b, 0, UINTPTR_MAX, &first, &end);
	assert_int_equal(first, 0);
	assert_int_equal(end, BLOCK_PAGES);
	hmmu__block_clip(b, BASE + 3 * PAGE, BASE + 5 * PAGE, &first, &end);
	assert_int_equal(first, 3);
	assert_int_equal(end, 5);
}

/* --- records ------------------------------------------------------------------- */

static bool set(struct hmmu_memory *m, unsigned int page, unsigned int n,
		uint32_t place)
{
	bool ok;

	hmmu__block_lock(b);
	ok = hmmu__block_set(b, m, page, n, place);
	hmmu__block_unlock(b);
	return ok;
}

static void clear(unsigned int page, unsigned int n)
{
	hmmu__block_lock(b);
	hmmu__block_clear(b, page, n);
	hmmu__block_unlock(b);
}

static void expect_run(unsigned int from, unsigned int page, unsigned int n,
		       const struct hmmu_memory *m, uint32_t place)
{
	struct hmmu_block_run r;
	bool found;

	hmmu__block_lock(b);
	found = hmmu__block_run(b, from, BLOCK_PAGES, &r);
	hmmu__block_unlock(b);
	assert_int_equal(found, n > 0);
	if (!found)
		return;
	assert_int_equal(r.page, page);
	assert_int_equal(r.n, n);
	assert_ptr_equal(r.memory, m);
	assert_int_equal(r.place, place);
}

static bool is_large(void)
{
	bool large;

	hmmu__block_lock(b);
	large = hmmu__block_is_large(b);
	hmmu__block_unlock(b);
	return large;
}

static uint32_t held(void)
{
	return atomic_load(&b->held_pages);
}

/* One memory and one number say it all; before place 0 the number wraps. */
static void test_block_in_order(void **state)
{
	(void)state;
	assert_true(set(memory, 9, 3, 4));
	assert_true(set(memory, 20, 1, 15));
	assert_null(b->scattered);
	expect_run(0, 9, 3, memory, 4);
	expect_run(12, 20, 1, memory, 15);
	expect_run(21, 0, 0, NULL, 0);
	assert_int_equal(held(), 4);
	clear(9, 12);
	assert_int_equal(held(), 0);
	expect_run(0, 0, 0, NULL, 0);
}

static void test_block_scattered(void **state)
{
	(void)state;
	assert_true(set(memory, 0, 4, 100));
	assert_true(set(memory, 4, 4, 200));
	assert_non_null(b->scattered);
	assert_true(set(other, 8, 4, 204));
	assert_true(set(memory, 16, 2, 204));
	assert_true(set(memory, 18, 2, 206));
	expect_run(0, 0, 4, memory, 100);
	expect_run(2, 2, 2, memory, 102);
	expect_run(4, 4, 4, memory, 200);
	expect_run(8, 8, 4, other, 204);
	expect_run(12, 16, 4, memory, 204);
	clear(1, 2);
	expect_run(1, 3, 1, memory, 103);
	/* In order again, but only when nothing is left. */
	clear(0, BLOCK_PAGES);
	assert_null(b->scattered);
}

/* DC1: what is coherent is held, and not away. */
static void test_block_dc1_coherent_pages_are_not_away(void **state)
{
	(void)state;
	assert_true(set(coherent, 0, 8, 0));
	assert_true(set(memory, 8, 4, 0));
	assert_int_equal(held(), 12);
	assert_int_equal(atomic_load(&b->away_pages), 4);
	assert_true(hmmu__core_is_held(core.space, BASE, BASE + PAGE));
	assert_true(hmmu__core_is_away(core.space, BASE, BASE + PAGE));
	clear(8, 4);
	assert_true(hmmu__core_is_held(core.space, BASE, BASE + PAGE));
	assert_false(hmmu__core_is_away(core.space, BASE, BASE + PAGE));
	clear(0, 8);
	assert_false(hmmu__core_is_held(core.space, 0, UINTPTR_MAX));
}

/* Large: full, in order, at the start of a chunk, never split, not exclusive. */
static void test_block_is_large(void **state)
{
	(void)state;
	assert_true(set(memory, 0, BLOCK_PAGES - 1, 512));
	assert_false(is_large());
	assert_true(set(memory, BLOCK_PAGES - 1, 1, 1023));
	assert_true(is_large());
	hmmu__block_lock(b);
	b->is_split = true;
	hmmu__block_unlock(b);
	assert_false(is_large());
	/* Forgotten with the last page. */
	clear(0, BLOCK_PAGES);
	assert_true(set(memory, 0, BLOCK_PAGES, 512));
	assert_true(is_large());
	clear(0, BLOCK_PAGES);
	assert_true(set(memory, 0, BLOCK_PAGES, 1));
	assert_false(is_large());
	clear(0, BLOCK_PAGES);
	assert_true(set(memory, 0, 256, 0));
	assert_true(set(other, 256, 256, 256));
	assert_false(is_large());
	clear(0, BLOCK_PAGES);
	assert_true(set(coherent, 0, BLOCK_PAGES, 0));
	assert_false(is_large());
	clear(0, BLOCK_PAGES);
	/* EX4 */
	memory->kind = HMMU_MEMORY_EXCLUSIVE;
	assert_true(set(memory, 0, BLOCK_PAGES, 0));
	assert_false(is_large());
	clear(0, BLOCK_PAGES);
	memory->kind = HMMU_MEMORY_HOST_PRIVATE;
}

static void test_block_set_without_memory_changes_nothing(void **state)
{
	bool ok;

	(void)state;
	assert_true(set(memory, 0, 4, 100));
	hmmu__fault_points_arm_thread(1);
	ok = set(other, 8, 4, 0);
	hmmu__fault_points_disarm();
	if (HMMU_FAULT_POINTS) {
		assert_false(ok);
		assert_int_equal(held(), 4);
		expect_run(4, 0, 0, NULL, 0);
	}
	clear(8, 4);
	/* What has been prepared can not fail. */
	hmmu__block_lock(b);
	assert_true(hmmu__block_prepare(b, other, 8, 0));
	hmmu__fault_points_arm_thread(1);
	ok = hmmu__block_set(b, other, 8, 4, 0);
	hmmu__fault_points_disarm();
	hmmu__block_unlock(b);
	assert_true(ok);
	clear(0, 12);
}

static void check_model(const struct hmmu_place *model)
{
	unsigned int page, n = 0;

	hmmu__block_lock(b);
	for (page = 0; page < BLOCK_PAGES; page++) {
		struct hmmu_place p = hmmu__block_place(b, page);

		assert_ptr_equal(p.memory, model[page].memory);
		assert_int_equal(p.page, model[page].page);
		n += p.memory != NULL;
	}
	hmmu__block_unlock(b);
	assert_int_equal(held(), n);
}

/* Any sequence of set and clear against a plain array. */
static void test_block_against_a_model(void **state)
{
	static struct hmmu_place model[BLOCK_PAGES];
	struct hmmu_memory *const from[] = { memory, other, coherent };
	unsigned int seed = 9, i, page, n, k;

	(void)state;
	memset(model, 0, sizeof(model));
	for (i = 0; i < STEPS / 20; i++) {
		struct hmmu_memory *m = from[(unsigned int)rand_r(&seed) % 3];
		uint32_t place = (uint32_t)rand_r(&seed) % 1024;

		page = (unsigned int)rand_r(&seed) % BLOCK_PAGES;
		n = 1 + (unsigned int)rand_r(&seed) % 30;
		n = hmmu_min(n, BLOCK_PAGES - page);
		clear(page, n);
		memset(&model[page], 0, n * sizeof(model[0]));
		if (rand_r(&seed) % 4) {
			assert_true(set(m, page, n, place));
			for (k = 0; k < n; k++)
				model[page + k] = (struct hmmu_place){
					.memory = m, .page = place + k
				};
		}
		check_model(model);
	}
	clear(0, BLOCK_PAGES);
}

/* --- the pool ------------------------------------------------------------------ */

static uint32_t take_chunks(uint32_t want, uint32_t *place, bool *tainted)
{
	return hmmu__memory_take_chunks(memory, want, place, tainted);
}

static struct hmmu_memory_stats pool(void)
{
	return core_memory_stats(0);
}

static void test_pool_gives_chunks_in_a_row(void **state)
{
	uint32_t place = 7;
	bool tainted;

	(void)state;
	assert_int_equal(take_chunks(2, &place, &tainted), 2);
	assert_int_equal(place, 0);
	assert_false(tainted);
	/* As many as there are, from where the last search ended. */
	assert_int_equal(take_chunks(9, &place, &tainted), 2);
	assert_int_equal(place, 2 * BLOCK_PAGES);
	assert_int_equal(take_chunks(1, &place, &tainted), 0);
	assert_int_equal(pool().free_chunks, 0);
	assert_int_equal(pool().used_pages, pool().total_pages);
	hmmu__memory_give(memory, BLOCK_PAGES, BLOCK_PAGES, false);
	assert_int_equal(take_chunks(2, &place, &tainted), 1);
	assert_int_equal(place, BLOCK_PAGES);
	assert_false(tainted);
	hmmu__memory_give(memory, 0, 4 * BLOCK_PAGES, false);
	assert_int_equal(pool().used_pages, 0);
}

/* A chunk that had small pages has a page table in the way of a large one. */
static void test_pool_reports_chunks_that_had_small_pages(void **state)
{
	uint32_t place;
	bool tainted;

	(void)state;
	assert_int_equal(take_chunks(1, &place, &tainted), 1);
	hmmu__memory_give(memory, 0, BLOCK_PAGES, true);
	assert_int_equal(take_chunks(4, &place, &tainted), 3);
	assert_false(tainted);
	assert_int_equal(take_chunks(1, &place, &tainted), 1);
	assert_true(tainted);
	hmmu__memory_give(memory, 0, 4 * BLOCK_PAGES, false);
	/* The caller has emptied it: that is over. */
	assert_int_equal(take_chunks(4, &place, &tainted), 3);
	assert_int_equal(take_chunks(1, &place, &tainted), 1);
	assert_int_equal(place, 0);
	assert_false(tainted);
	hmmu__memory_give(memory, 0, 4 * BLOCK_PAGES, false);
	place = hmmu__memory_take_page(memory);
	hmmu__memory_give(memory, place, 1, true);
	assert_int_equal(take_chunks(4, &place, &tainted), 3);
	assert_true(tainted);
	hmmu__memory_give(memory, place, 3 * BLOCK_PAGES, false);
}

/* Pages come from a chunk that is split already, as long as it has one. */
static void test_pool_splits_as_few_chunks_as_it_can(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < BLOCK_PAGES + 1; i++)
		assert_int_equal(hmmu__memory_take_page(memory), i);
	assert_int_equal(pool().split_chunks, 2);
	assert_int_equal(pool().free_chunks, 2);
	hmmu__memory_give(memory, 3, 2, true);
	assert_int_equal(hmmu__memory_take_page(memory), BLOCK_PAGES + 1);
	for (i = 2; i < BLOCK_PAGES; i++)
		assert_int_equal(hmmu__memory_take_page(memory),
				 BLOCK_PAGES + i);
	assert_int_equal(hmmu__memory_take_page(memory), 3);
	/* A chunk is whole again when its last page has gone. */
	hmmu__memory_give(memory, BLOCK_PAGES, BLOCK_PAGES, true);
	assert_int_equal(pool().free_chunks, 3);
	assert_int_equal(pool().split_chunks, 1);
	hmmu__memory_give(memory, 0, 4, true);
	hmmu__memory_give(memory, 5, BLOCK_PAGES - 5, true);
	assert_int_equal(pool().used_pages, 0);
	assert_int_equal(pool().free_chunks, 4);
}

/* In the end what a block's own chunk has left is used, too. */
static void test_pool_is_full_when_every_page_is_given(void **state)
{
	uint32_t place;
	unsigned int i;
	bool tainted;

	(void)state;
	assert_int_equal(take_chunks(4, &place, &tainted), 4);
	hmmu__memory_give(memory, 2 * BLOCK_PAGES + 7, 3, true);
	for (i = 0; i < 3; i++)
		assert_int_equal(hmmu__memory_take_page(memory),
				 2 * BLOCK_PAGES + 7 + i);
	assert_int_equal(hmmu__memory_take_page(memory), HMMU_NO_PAGE);
	hmmu__memory_give(memory, 0, 4 * BLOCK_PAGES, true);
}

static void test_pool_gives_pages_beside_others(void **state)
{
	(void)state;
	/* Nobody has the chunk: the pages would be the first of it. */
	assert_false(hmmu__memory_take_pages_at(memory, 8, 4));
	assert_int_equal(hmmu__memory_take_page(memory), 0);
	assert_true(hmmu__memory_take_pages_at(memory, 8, 4));
	assert_false(hmmu__memory_take_pages_at(memory, 11, 2));
	assert_false(hmmu__memory_take_pages_at(memory, 0, 1));
	/* Not over the end of a chunk, nor of the memory. */
	assert_false(hmmu__memory_take_pages_at(memory, BLOCK_PAGES - 1, 2));
	assert_false(hmmu__memory_take_pages_at(memory, 4 * BLOCK_PAGES, 1));
	assert_false(hmmu__memory_take_pages_at(memory, (uint32_t)-3, 1));
	assert_int_equal(pool().used_pages, 5);
	hmmu__memory_give(memory, 8, 4, true);
	hmmu__memory_give(memory, 0, 1, true);
}

static void test_pool_refuses_a_large_place_once(void **state)
{
	(void)state;
	assert_false(hmmu__memory_fails_large(memory));
	assert_int_equal(hmmu_memory_fail_large(memory), 0);
	assert_true(hmmu__memory_is_failing(memory));
	assert_true(hmmu__memory_fails_large(memory));
	assert_false(hmmu__memory_fails_large(memory));
	assert_int_equal(hmmu_memory_fail_large(NULL), -EINVAL);
}

static uint32_t count_used(const bool *used)
{
	uint32_t i, n = 0;

	for (i = 0; i < 4 * BLOCK_PAGES; i++)
		n += used[i];
	return n;
}

static void take_any(bool *used, unsigned int what)
{
	uint32_t place, n = 0, i;
	bool tainted;

	if (what == 0) {
		n = BLOCK_PAGES * take_chunks(1, &place, &tainted);
	} else {
		place = hmmu__memory_take_page(memory);
		n = place != HMMU_NO_PAGE;
		assert_true(n || count_used(used) == 4 * BLOCK_PAGES);
	}
	for (i = 0; i < n; i++) {
		assert_false(used[place + i]);
		used[place + i] = true;
	}
}

/* No page is given twice, and none is lost. */
static void test_pool_against_a_model(void **state)
{
	static bool used[4 * BLOCK_PAGES];
	unsigned int seed = 4, i;

	(void)state;
	memset(used, 0, sizeof(used));
	for (i = 0; i < STEPS; i++) {
		uint32_t at = (uint32_t)rand_r(&seed) % (4 * BLOCK_PAGES), n;

		for (n = 0; n < 100 && at + n < 4 * BLOCK_PAGES && used[at + n];
		     n++)
			used[at + n] = false;
		if (n)
			hmmu__memory_give(memory, at, n, true);
		take_any(used, (unsigned int)rand_r(&seed) % 50);
		if (i % 64 == 0)
			assert_int_equal(pool().used_pages, count_used(used));
	}
	for (i = 0; i < 4 * BLOCK_PAGES; i++)
		if (used[i])
			hmmu__memory_give(memory, i, 1, true);
	assert_int_equal(pool().free_chunks, 4);
}

/* --- the public calls ------------------------------------------------------------ */

static void test_memory_create_refuses_bad_options(void **state)
{
	struct hmmu_memory_options o = { .size = sizeof(o), .bytes = LARGE };
	struct hmmu_memory *m = NULL;

	(void)state;
	assert_int_equal(hmmu_memory_create(core.space, NULL, &m), -EINVAL);
	assert_int_equal(hmmu_memory_create(core.space, &o, NULL), -EINVAL);
	o.bytes = LARGE + PAGE;
	assert_int_equal(hmmu_memory_create(core.space, &o, &m), -EINVAL);
	o.bytes = 0;
	assert_int_equal(hmmu_memory_create(core.space, &o, &m), -EINVAL);
	o.bytes = LARGE;
	o.kind = HMMU_MEMORY_EXCLUSIVE;
	assert_int_equal(hmmu_memory_create(core.space, &o, &m), -EINVAL);
	assert_null(m);
	assert_int_equal(hmmu_memory_destroy(memory), -EBUSY);
}

static int make_and_end_memory(void)
{
	const struct hmmu_memory_options o = { .size = sizeof(o),
					       .bytes = LARGE };
	struct hmmu_memory *m = NULL;
	int err = hmmu_memory_create(core.space, &o, &m);

	assert_int_equal(!err, m != NULL);
	assert_int_equal(hmmu_memory_destroy(m), 0);
	return err;
}

static void expect_no_memory(int err)
{
	assert_true(!err || err == -ENOMEM);
}

static void test_memory_sweep(void **state)
{
	(void)state;
	core_sweep(make_and_end_memory, expect_no_memory);
}

#define BLOCK_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLOCK_TEST(test_block_index_finds_what_was_made),
		BLOCK_TEST(test_block_get_without_memory_makes_nothing),
		BLOCK_TEST(test_block_clip),
		BLOCK_TEST(test_block_in_order),
		BLOCK_TEST(test_block_scattered),
		BLOCK_TEST(test_block_dc1_coherent_pages_are_not_away),
		BLOCK_TEST(test_block_is_large),
		BLOCK_TEST(test_block_set_without_memory_changes_nothing),
		BLOCK_TEST(test_block_against_a_model),
		BLOCK_TEST(test_pool_gives_chunks_in_a_row),
		BLOCK_TEST(test_pool_reports_chunks_that_had_small_pages),
		BLOCK_TEST(test_pool_splits_as_few_chunks_as_it_can),
		BLOCK_TEST(test_pool_is_full_when_every_page_is_given),
		BLOCK_TEST(test_pool_gives_pages_beside_others),
		BLOCK_TEST(test_pool_refuses_a_large_place_once),
		BLOCK_TEST(test_pool_against_a_model),
		BLOCK_TEST(test_memory_create_refuses_bad_options),
		BLOCK_TEST(test_memory_sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
