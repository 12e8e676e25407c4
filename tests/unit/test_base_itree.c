/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/itree.h"

#define NODES 600u

/* The tree beside a plain array, in which every node notes its insertion. */
struct pair {
	struct hmmu_itree tree;
	struct object {
		struct hmmu_itree_node node;
		unsigned int inserted; /* 0: not in the tree */
	} object[NODES];
	unsigned int count;
	unsigned int clock;
};

static uint64_t random_state;

static uint64_t random_below(uint64_t bound)
{
	random_state = random_state * 6364136223846793005ull + 1;
	return (random_state >> 20) % bound;
}

static void insert(struct pair *p, struct object *o, uintptr_t start,
		   uintptr_t last)
{
	o->node.start = start;
	o->node.last = last;
	o->inserted = ++p->clock;
	hmmu__itree_insert(&p->tree, &o->node);
	p->count++;
}

static void take(struct pair *p, struct object *o)
{
	hmmu__itree_remove(&p->tree, &o->node);
	o->inserted = 0;
	p->count--;
}

static bool touches(const struct object *o, uintptr_t start, uintptr_t last)
{
	return o->inserted && o->node.start <= last && o->node.last >= start;
}

/* In address order, equal ones in order of insertion. */
static bool comes_before(const struct object *a, const struct object *b)
{
	if (a->node.start != b->node.start)
		return a->node.start < b->node.start;
	return a->inserted < b->inserted;
}

static unsigned int naive_count(const struct pair *p, uintptr_t start,
				uintptr_t last)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < NODES; i++)
		count += touches(&p->object[i], start, last);
	return count;
}

static void assert_query_matches(struct pair *p, uintptr_t start,
				 uintptr_t last)
{
	struct hmmu_itree_node *node;
	struct object *before = NULL;
	unsigned int found = 0;

	hmmu__itree_for_each(node, &p->tree, start, last)
	{
		struct object *o = hmmu_container_of(node, struct object, node);

		assert_true(touches(o, start, last));
		assert_true(!before || comes_before(before, o));
		before = o;
		found++;
	}
	assert_int_equal(found, naive_count(p, start, last));
}

static unsigned int height(const struct hmmu_itree_node *node)
{
	unsigned int left, right;

	if (!node)
		return 0;
	left = height(node->left);
	right = height(node->right);
	return 1 + (left > right ? left : right);
}

/* The least number of nodes that an AVL tree of this height has. */
static uint64_t fewest_nodes(unsigned int h)
{
	uint64_t a = 0, b = 1;

	while (h--) {
		uint64_t next = a + b + 1;

		a = b;
		b = next;
	}
	return a;
}

static void assert_balanced(const struct pair *p)
{
	assert_true(hmmu__itree_is_valid(&p->tree));
	assert_true(fewest_nodes(height(p->tree.root)) <= p->count);
	assert_int_equal(hmmu__itree_is_empty(&p->tree), p->count == 0);
}

static void random_interval(uint64_t space, uintptr_t *start, uintptr_t *last)
{
	*start = random_below(space);
	*last = *start + random_below(random_below(8) ? 10 : space);
}

static void fuzz(uint64_t seed, uint64_t space, unsigned int steps)
{
	struct pair *p = calloc(1, sizeof(*p));
	uintptr_t start, last;

	assert_non_null(p);
	random_state = seed;
	for (unsigned int step = 0; step < steps; step++) {
		/* Phases of growing and of shrinking. */
		unsigned int bias = (step / 2000) % 2 ? 3 : 1;
		struct object *o = &p->object[random_below(NODES)];

		random_interval(space, &start, &last);
		if (o->inserted && random_below(4) < bias)
			take(p, o);
		else if (!o->inserted && random_below(4) >= bias)
			insert(p, o, start, last);
		random_interval(space, &start, &last);
		assert_query_matches(p, start, last);
		if (step % 32 == 0)
			assert_balanced(p);
	}
	for (unsigned int i = 0; i < NODES; i++) {
		if (p->object[i].inserted)
			take(p, &p->object[i]);
	}
	assert_balanced(p);
	assert_true(hmmu__itree_is_empty(&p->tree));
	free(p);
}

static void test_itree_agrees_with_array(void **state)
{
	(void)state;
	fuzz(1, 1000, 12000); /* crowded: many duplicates, deep overlap */
	fuzz(2, 1ull << 40, 12000); /* sparse */
}

/* Sorted insertion is the worst case of a tree that is not balanced. */
static void test_itree_height_is_bounded_for_sorted_input(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	(void)state;
	assert_non_null(p);
	for (unsigned int i = 0; i < NODES; i++) {
		insert(p, &p->object[i], i * 4096ul, i * 4096ul + 4095);
		assert_balanced(p);
	}
	/* 1.45 * log2(602) */
	assert_true(height(p->tree.root) <= 13);
	for (unsigned int i = 0; i < NODES; i++) {
		take(p, &p->object[i]);
		assert_balanced(p);
	}
	free(p);
}

static void test_itree_reaches_both_ends_of_the_address_space(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	(void)state;
	assert_non_null(p);
	insert(p, &p->object[0], 0, 0);
	insert(p, &p->object[1], UINTPTR_MAX, UINTPTR_MAX);
	insert(p, &p->object[2], 0, UINTPTR_MAX);
	assert_query_matches(p, 0, 0);
	assert_query_matches(p, UINTPTR_MAX, UINTPTR_MAX);
	assert_query_matches(p, 1, UINTPTR_MAX - 1);
	assert_int_equal(naive_count(p, 1, UINTPTR_MAX - 1), 1);
	assert_query_matches(p, 0, UINTPTR_MAX);
	free(p);
}

/* Neighbours do not touch: the last byte belongs to the interval. */
static void test_itree_intervals_are_closed(void **state)
{
	struct hmmu_itree tree = { NULL };
	struct hmmu_itree_node node = { .start = 4096, .last = 8191 };

	(void)state;
	assert_true(hmmu__itree_is_empty(&tree));
	assert_null(hmmu__itree_first(&tree, 0, UINTPTR_MAX));
	hmmu__itree_insert(&tree, &node);
	assert_null(hmmu__itree_first(&tree, 0, 4095));
	assert_ptr_equal(hmmu__itree_first(&tree, 0, 4096), &node);
	assert_ptr_equal(hmmu__itree_first(&tree, 8191, 9000), &node);
	assert_null(hmmu__itree_first(&tree, 8192, UINTPTR_MAX));
	assert_null(hmmu__itree_next(&node, 0, UINTPTR_MAX));
	hmmu__itree_remove(&tree, &node);
	assert_true(hmmu__itree_is_empty(&tree));
}

static void test_itree_removes_while_walking(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	struct hmmu_itree_node *node, *next;
	unsigned int removed = 0;

	(void)state;
	assert_non_null(p);
	for (unsigned int i = 0; i < NODES; i++)
		insert(p, &p->object[i], i % 50, i % 50 + i % 7);
	for (node = hmmu__itree_first(&p->tree, 10, 20); node; node = next) {
		next = hmmu__itree_next(node, 10, 20);
		take(p, hmmu_container_of(node, struct object, node));
		removed++;
	}
	assert_int_equal(removed + p->count, NODES);
	assert_int_equal(naive_count(p, 10, 20), 0);
	assert_true(removed > 0 && p->count > 0);
	assert_balanced(p);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_itree_agrees_with_array),
		cmocka_unit_test(test_itree_height_is_bounded_for_sorted_input),
		cmocka_unit_test(
			test_itree_reaches_both_ends_of_the_address_space),
		cmocka_unit_test(test_itree_intervals_are_closed),
		cmocka_unit_test(test_itree_removes_while_walking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
