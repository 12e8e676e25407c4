/* SPDX-License-Identifier: MIT */
/*
 * The interval tree: an AVL tree with parent links
 *
 * Overview: insert and remove change the tree at one place and then walk up. At
 * each node refresh() computes the subtree's height and last address from the
 * children, and a rotation follows where heights differ by two. The walk ends
 * at the first node that does not change.
 *
 * Locking: the caller's; see itree.h.
 */
#include "base/itree.h"

static unsigned int height_of(const struct hmmu_itree_node *node)
{
	return node ? node->height : 0;
}

static void refresh(struct hmmu_itree_node *node)
{
	unsigned int left = height_of(node->left);
	unsigned int right = height_of(node->right);
	uintptr_t last = node->last;

	if (node->left && node->left->subtree_last > last)
		last = node->left->subtree_last;
	if (node->right && node->right->subtree_last > last)
		last = node->right->subtree_last;
	node->subtree_last = last;
	node->height = (left > right ? left : right) + 1;
}

/* Make @parent's link to @old, or the root's, point to @new. */
static void replace_child(struct hmmu_itree *tree,
			  struct hmmu_itree_node *parent,
			  struct hmmu_itree_node *old,
			  struct hmmu_itree_node *new)
{
	if (!parent)
		tree->root = new;
	else if (parent->left == old)
		parent->left = new;
	else
		parent->right = new;
	if (new)
		new->parent = parent;
}

/*
 *      node              top
 *     /    \            /    \
 *    a     top    ->  node    c
 *         /   \      /    \
 *        b     c    a      b
 */
static struct hmmu_itree_node *rotate_left(struct hmmu_itree *tree,
					   struct hmmu_itree_node *node)
{
	struct hmmu_itree_node *top = node->right;

	replace_child(tree, node->parent, node, top);
	node->right = top->left;
	if (node->right)
		node->right->parent = node;
	top->left = node;
	node->parent = top;
	refresh(node);
	refresh(top);
	return top;
}

/* The mirror image of rotate_left(). */
static struct hmmu_itree_node *rotate_right(struct hmmu_itree *tree,
					    struct hmmu_itree_node *node)
{
	struct hmmu_itree_node *top = node->left;

	replace_child(tree, node->parent, node, top);
	node->left = top->right;
	if (node->left)
		node->left->parent = node;
	top->right = node;
	node->parent = top;
	refresh(node);
	refresh(top);
	return top;
}

/* Balance and refresh @node's subtree. Returns the subtree's new root. */
static struct hmmu_itree_node *rebalance(struct hmmu_itree *tree,
					 struct hmmu_itree_node *node)
{
	struct hmmu_itree_node *left = node->left;
	struct hmmu_itree_node *right = node->right;

	if (height_of(left) > height_of(right) + 1) {
		if (height_of(left->left) < height_of(left->right))
			rotate_left(tree, left);
		return rotate_right(tree, node);
	}
	if (height_of(right) > height_of(left) + 1) {
		if (height_of(right->right) < height_of(right->left))
			rotate_right(tree, right);
		return rotate_left(tree, node);
	}
	refresh(node);
	return node;
}

static void retrace(struct hmmu_itree *tree, struct hmmu_itree_node *node)
{
	while (node) {
		unsigned int height = node->height;
		uintptr_t last = node->subtree_last;

		node = rebalance(tree, node);
		if (node->height == height && node->subtree_last == last)
			return;
		node = node->parent;
	}
}

void hmmu__itree_insert(struct hmmu_itree *tree, struct hmmu_itree_node *node)
{
	struct hmmu_itree_node **link = &tree->root;
	struct hmmu_itree_node *parent = NULL;

	HMMU_ASSERT(node->start <= node->last);
	while (*link) {
		parent = *link;
		/* Equal starts go right: found in the order of insertion. */
		link = node->start < parent->start ? &parent->left :
						     &parent->right;
	}
	node->left = NULL;
	node->right = NULL;
	node->parent = parent;
	refresh(node);
	*link = node;
	retrace(tree, parent);
}

static struct hmmu_itree_node *leftmost(struct hmmu_itree_node *node)
{
	while (node->left)
		node = node->left;
	return node;
}

/*
 * Remove @node, which has two children. The next node in order has no left
 * child, and takes its place.
 */
static void replace_by_next(struct hmmu_itree *tree,
			    struct hmmu_itree_node *node)
{
	struct hmmu_itree_node *next = leftmost(node->right);
	struct hmmu_itree_node *lowest = next;

	if (next != node->right) {
		lowest = next->parent;
		replace_child(tree, lowest, next, next->right);
		next->right = node->right;
		next->right->parent = next;
	}
	next->left = node->left;
	next->left->parent = next;
	replace_child(tree, node->parent, node, next);
	next->height = node->height;
	next->subtree_last = node->subtree_last;
	/*
	 * Twice: the first walk may end below @next, but @next must still
	 * forget @node's last address, which it has copied.
	 */
	retrace(tree, lowest);
	retrace(tree, next);
}

void hmmu__itree_remove(struct hmmu_itree *tree, struct hmmu_itree_node *node)
{
	HMMU_ASSERT(node->height != 0);
	if (node->left && node->right) {
		replace_by_next(tree, node);
	} else {
		replace_child(tree, node->parent, node,
			      node->left ? node->left : node->right);
		retrace(tree, node->parent);
	}
	node->height = 0;
}

static bool may_overlap(const struct hmmu_itree_node *subtree, uintptr_t start)
{
	return subtree && subtree->subtree_last >= start;
}

/*
 * Find the first overlap in @node's subtree, which reaches @start.
 *
 * If the left subtree reaches @start, it holds the answer or there is none: its
 * node with the greatest last address overlaps, or it begins after @last, and
 * then all nodes to its right do too.
 */
struct hmmu_itree_node *hmmu__itree_search(struct hmmu_itree_node *node,
					   uintptr_t start, uintptr_t last)
{
	for (;;) {
		if (may_overlap(node->left, start)) {
			node = node->left;
			continue;
		}
		if (node->start > last)
			return NULL;
		if (node->last >= start)
			return node;
		if (!may_overlap(node->right, start))
			return NULL;
		node = node->right;
	}
}

/*
 * Search the right subtree if it reaches @start; else go up to the next node in
 * order.
 */
struct hmmu_itree_node *hmmu__itree_next(struct hmmu_itree_node *node,
					 uintptr_t start, uintptr_t last)
{
	struct hmmu_itree_node *child;

	for (;;) {
		if (may_overlap(node->right, start)) {
			/* It finds the next overlap, or there is none. */
			return hmmu__itree_search(node->right, start, last);
		}
		do {
			child = node;
			node = node->parent;
			if (!node)
				return NULL;
		} while (child == node->right);
		if (node->start > last)
			return NULL;
		if (node->last >= start)
			return node;
	}
}

static struct hmmu_itree_node *next_in_order(struct hmmu_itree_node *node)
{
	struct hmmu_itree_node *child;

	if (node->right)
		return leftmost(node->right);
	do {
		child = node;
		node = node->parent;
	} while (node && child == node->right);
	return node;
}

static bool node_is_valid(const struct hmmu_itree_node *node)
{
	struct hmmu_itree_node fresh = *node;
	unsigned int left = height_of(node->left);
	unsigned int right = height_of(node->right);

	refresh(&fresh);
	return fresh.height == node->height &&
	       fresh.subtree_last == node->subtree_last && left <= right + 1 &&
	       right <= left + 1 &&
	       (!node->left || node->left->parent == node) &&
	       (!node->right || node->right->parent == node);
}

bool hmmu__itree_is_valid(const struct hmmu_itree *tree)
{
	struct hmmu_itree_node *node;
	uintptr_t start = 0;

	if (!tree->root)
		return true;
	if (tree->root->parent)
		return false;
	for (node = leftmost(tree->root); node; node = next_in_order(node)) {
		if (!node_is_valid(node) || node->start < start)
			return false;
		start = node->start;
	}
	return true;
}
