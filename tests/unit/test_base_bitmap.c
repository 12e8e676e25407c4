/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bitmap.h"

/* The bitmap beside an array that does the same one bit at a time. */
struct pair {
	struct hmmu_bitmap512 map;
	bool bit[HMMU_BITMAP_BITS];
};

static uint64_t random_state;

static unsigned int random_below(unsigned int bound)
{
	random_state = random_state * 6364136223846793005ull + 1;
	return (unsigned int)((random_state >> 33) % bound);
}

static unsigned int naive_count(const struct pair *p, unsigned int start,
				unsigned int end)
{
	unsigned int count = 0;

	for (unsigned int i = start; i < end; i++)
		count += p->bit[i];
	return count;
}

static unsigned int naive_first(const struct pair *p, unsigned int from,
				bool value)
{
	while (from < HMMU_BITMAP_BITS && p->bit[from] != value)
		from++;
	return from;
}

static void assert_range_matches(const struct pair *p, unsigned int start,
				 unsigned int end)
{
	unsigned int count = naive_count(p, start, end);

	assert_int_equal(hmmu__bitmap_any_range(&p->map, start, end),
			 count != 0);
	assert_int_equal(hmmu__bitmap_first_set_from(&p->map, start),
			 naive_first(p, start, true));
	assert_int_equal(hmmu__bitmap_first_clear_from(&p->map, start),
			 naive_first(p, start, false));
}

static void assert_whole_matches(const struct pair *p)
{
	unsigned int count = naive_count(p, 0, HMMU_BITMAP_BITS);

	for (unsigned int i = 0; i < HMMU_BITMAP_BITS; i++)
		assert_int_equal(hmmu__bitmap_test(&p->map, i), p->bit[i]);
	assert_int_equal(hmmu__bitmap_count(&p->map), count);
	assert_int_equal(hmmu__bitmap_is_empty(&p->map), count == 0);
	assert_int_equal(hmmu__bitmap_is_full(&p->map),
			 count == HMMU_BITMAP_BITS);
}

static void change(struct pair *p, unsigned int start, unsigned int end,
		   bool value)
{
	for (unsigned int i = start; i < end; i++)
		p->bit[i] = value;
	if (end == start + 1 && value)
		hmmu__bitmap_set(&p->map, start);
	else if (value)
		hmmu__bitmap_set_range(&p->map, start, end);
	else
		hmmu__bitmap_clear_range(&p->map, start, end);
}

static void random_range(unsigned int *start, unsigned int *end)
{
	unsigned int a = random_below(HMMU_BITMAP_BITS + 1);
	unsigned int b = random_below(HMMU_BITMAP_BITS + 1);

	/* Short ones as often as long ones. */
	if (random_below(2))
		b = a + random_below(4);
	if (b > HMMU_BITMAP_BITS)
		b = HMMU_BITMAP_BITS;
	*start = a < b ? a : b;
	*end = a < b ? b : a;
}

static void test_bitmap_agrees_with_array(void **state)
{
	unsigned int start, end;
	struct pair p = { 0 };

	(void)state;
	random_state = 1;
	for (unsigned int step = 0; step < 20000; step++) {
		random_range(&start, &end);
		change(&p, start, end, random_below(2));
		random_range(&start, &end);
		assert_range_matches(&p, start, end);
		if (step % 16 == 0)
			assert_whole_matches(&p);
	}
}

/* Every pair of bounds once: the masks at the borders of words. */
static void test_bitmap_range_sets_exactly_its_bits(void **state)
{
	(void)state;
	for (unsigned int start = 0; start <= HMMU_BITMAP_BITS; start += 3) {
		for (unsigned int end = start; end <= HMMU_BITMAP_BITS; end++) {
			struct hmmu_bitmap512 map = { { 0 } };

			hmmu__bitmap_set_range(&map, start, end);
			assert_int_equal(hmmu__bitmap_count(&map), end - start);
			assert_true(hmmu__bitmap_first_clear_from(
					    &map, start) >= end);
			hmmu__bitmap_clear_range(&map, start, end);
			assert_true(hmmu__bitmap_is_empty(&map));
		}
	}
}

static void test_bitmap_full_and_empty(void **state)
{
	struct hmmu_bitmap512 map;

	(void)state;
	hmmu__bitmap_fill(&map);
	assert_true(hmmu__bitmap_is_full(&map));
	assert_int_equal(hmmu__bitmap_first_clear_from(&map, 0), 512);
	hmmu__bitmap_clear_range(&map, 511, 512);
	assert_false(hmmu__bitmap_is_full(&map));
	assert_int_equal(hmmu__bitmap_first_clear_from(&map, 0), 511);
	hmmu__bitmap_zero(&map);
	assert_true(hmmu__bitmap_is_empty(&map));
	assert_int_equal(hmmu__bitmap_first_set_from(&map, 0), 512);
	assert_int_equal(hmmu__bitmap_first_set_from(&map, 512), 512);
}

static void test_bitmap_is_equal(void **state)
{
	struct hmmu_bitmap512 a = { { 0 } }, b = { { 0 } };

	(void)state;
	hmmu__bitmap_set_range(&a, 10, 300);
	hmmu__bitmap_set_range(&b, 10, 200);
	assert_false(hmmu__bitmap_is_equal(&a, &b));
	hmmu__bitmap_set_range(&b, 200, 300);
	assert_true(hmmu__bitmap_is_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bitmap_agrees_with_array),
		cmocka_unit_test(test_bitmap_range_sets_exactly_its_bits),
		cmocka_unit_test(test_bitmap_full_and_empty),
		cmocka_unit_test(test_bitmap_is_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
