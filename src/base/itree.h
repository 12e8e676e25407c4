/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_ITREE_H
#define HMMU_BASE_ITREE_H

/*
 * Interval tree: finds the intervals that overlap a range
 *
 * Overview: an AVL tree ordered by start. Each node also holds the greatest
 * last address of its subtree, so a search skips subtrees without an overlap.
 * All operations are O(log n), a visit of k overlaps O(k + log n). The height
 * is below 1.45 log2(n + 2).
 *
 * Intervals are closed, [start, last] with start <= last, so one may reach the
 * end of the address space. Equal intervals may be inserted; they are found in
 * the order of insertion.
 *
 * Locking: the caller's. Lookups may run at the same time. The caller excludes
 * them during insert and remove.
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

/* @node is borrowed until it is removed; @start and @last do not change. */
void hmmu__itree_insert(struct hmmu_itree *tree, struct hmmu_itree_node *node);

/* @node is in @tree. */
void hmmu__itree_remove(struct hmmu_itree *tree, struct hmmu_itree_node *node);

struct hmmu_itree_node *hmmu__itree_search(struct hmmu_itree_node *root,
					   uintptr_t start, uintptr_t last);

/* The first node in address order that overlaps [@start, @last], or NULL. */
static inline struct hmmu_itree_node *
hmmu__itree_first(const struct hmmu_itree *tree, uintptr_t start,
		  uintptr_t last)
{
	/* Mostly there is no overlap: answer that without a call. */
	if (!tree->root || tree->root->subtree_last < start)
		return NULL;
	return hmmu__itree_search(tree->root, start, last);
}

/*
 * The node after @node that overlaps [@start, @last], or NULL. @node must be in
 * the tree: to remove nodes during a walk, get the next node first.
 */
struct hmmu_itree_node *hmmu__itree_next(struct hmmu_itree_node *node,
					 uintptr_t start, uintptr_t last);

/* Visits all nodes that overlap [@start, @last]. Do not remove @node. */
#define hmmu__itree_for_each(node, tree, start, last)                     \
	for ((node) = hmmu__itree_first((tree), (start), (last)); (node); \
	     (node) = hmmu__itree_next((node), (start), (last)))

/* True if order, balance and subtree values of the tree are right. */
bool hmmu__itree_is_valid(const struct hmmu_itree *tree);

#endif
