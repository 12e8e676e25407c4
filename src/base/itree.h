/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ITREE_H
#define HMMU_BASE_ITREE_H

/*
 * An interval tree: which of these ranges does that range touch?
 *
 * An AVL tree ordered by start; each node also knows the greatest last address
 * of its subtree, which tells whether a subtree can hold an overlap at all.
 * All operations are O(log n), a visit of k overlaps O(k + log n); the height
 * is below 1.45 log2(n + 2).
 *
 * Intervals are closed, [start, last] with start <= last, so that one may reach
 * the end of the address space. Equal intervals may be inserted any number of
 * times; they are found in the order of insertion.
 *
 * Locking: none inside. Lookups may run beside one another, under whatever lock
 * the owner keeps them apart from insert and remove.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Embedded in the caller's object, which sets @start and @last only. */
struct hmmu_itree_node {
	uintptr_t start;
	uintptr_t last;
	/* The rest belongs to the tree. */
	uintptr_t subtree_last;
	struct hmmu_itree_node *left;
	struct hmmu_itree_node *right;
	struct hmmu_itree_node *parent;
	unsigned int height;
};

/* Zeroed memory is an empty tree. */
struct hmmu_itree {
	struct hmmu_itree_node *root;
};

static inline bool hmmu__itree_is_empty(const struct hmmu_itree *tree)
{
	return tree->root == NULL;
}

/* @node is borrowed, with fixed @start and @last, until it is removed. */
void hmmu__itree_insert(struct hmmu_itree *tree, struct hmmu_itree_node *node);

/* @node is in @tree. */
void hmmu__itree_remove(struct hmmu_itree *tree, struct hmmu_itree_node *node);

struct hmmu_itree_node *hmmu__itree_search(struct hmmu_itree_node *root,
					   uintptr_t start, uintptr_t last);

/* The first node in address order that touches [@start, @last], or NULL. */
static inline struct hmmu_itree_node *
hmmu__itree_first(const struct hmmu_itree *tree, uintptr_t start,
		  uintptr_t last)
{
	/* The common answer is no, and needs no call. */
	if (!tree->root || tree->root->subtree_last < start)
		return NULL;
	return hmmu__itree_search(tree->root, start, last);
}

/*
 * The node after @node that touches [@start, @last], or NULL. @node must still
 * be in the tree: who removes while walking asks for the next one first.
 */
struct hmmu_itree_node *hmmu__itree_next(struct hmmu_itree_node *node,
					 uintptr_t start, uintptr_t last);

/* Visits all nodes that touch [@start, @last]; @node may not be removed. */
#define hmmu__itree_for_each(node, tree, start, last)                     \
	for ((node) = hmmu__itree_first((tree), (start), (last)); (node); \
	     (node) = hmmu__itree_next((node), (start), (last)))

/* True if order, balance and subtree values of the whole tree are right. */
bool hmmu__itree_is_valid(const struct hmmu_itree *tree);

#endif
