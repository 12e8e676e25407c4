/* SPDX-License-Identifier: MIT */
/*
 * Pins: the set of address ranges that stay in system memory.
 */
#include "core/pin.h"

#include <errno.h>

#include <hmmu/migrate.h>

#include "base/arena.h"
#include "base/compiler.h"

struct pin {
	struct hmmu_itree_node node;
};

static struct pin *pin_of_node(struct hmmu_itree_node *node)
{
	return hmmu_container_of(node, struct pin, node);
}

void hmmu__pins_init(struct hmmu_pin_set *set)
{
	hmmu__mutex_init(&set->lock, HMMU_RANK_LEAF, "pins");
}

/* Takes no lock: the space is closed, so no other thread uses the tree. */
void hmmu__pins_fini(struct hmmu_pin_set *set) HMMU_NO_TSA
{
	while (set->tree.root) {
		struct hmmu_itree_node *n = set->tree.root;

		hmmu__itree_remove(&set->tree, n);
		hmmu__free(pin_of_node(n), sizeof(struct pin));
	}
	hmmu__mutex_fini(&set->lock);
}

static bool has_pins(const struct hmmu_pin_set *set)
{
	/* Acquire: pairs with hmmu__pins_insert(). */
	return atomic_load_explicit(&set->count, memory_order_acquire) > 0;
}

void hmmu__pins_exclude(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end, struct hmmu_bitmap512 *skip,
			uint8_t *why)
{
	uintptr_t block = start & ~(HMMU_LARGE_BYTES - 1);
	struct hmmu_itree_node *n;

	if (!has_pins(set))
		return;
	hmmu__mutex_lock(&set->lock);
	hmmu__itree_for_each(n, &set->tree, start, end - 1)
	{
		uintptr_t at = n->start > start ? n->start : start;

		for (; at < end && at <= n->last; at += HMMU_PAGE_BYTES) {
			unsigned int page =
				(unsigned int)((at - block) >> HMMU_PAGE_LG2);

			hmmu__bitmap_set(skip, page);
			why[page] = HMMU_STAY_PINNED;
		}
	}
	hmmu__mutex_unlock(&set->lock);
}

bool hmmu__pins_overlap(struct hmmu_pin_set *set, uintptr_t start,
			uintptr_t end)
{
	bool found;

	if (!has_pins(set))
		return false;
	hmmu__mutex_lock(&set->lock);
	found = hmmu__itree_first(&set->tree, start, end - 1);
	hmmu__mutex_unlock(&set->lock);
	return found;
}

int hmmu__pins_insert(struct hmmu_pin_set *set, uintptr_t start, uintptr_t end)
{
	struct pin *p = hmmu__alloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->node.start = start;
	p->node.last = end - 1;
	hmmu__mutex_lock(&set->lock);
	hmmu__itree_insert(&set->tree, &p->node);
	/* Release: a thread that sees the count finds the node. */
	atomic_fetch_add_explicit(&set->count, 1, memory_order_release);
	hmmu__mutex_unlock(&set->lock);
	return 0;
}

int hmmu__pins_remove(struct hmmu_pin_set *set, uintptr_t start, uintptr_t end)
{
	struct hmmu_itree_node *n;

	hmmu__mutex_lock(&set->lock);
	hmmu__itree_for_each(n, &set->tree, start, end - 1)
	{
		if (n->start == start && n->last == end - 1)
			break;
	}
	if (n) {
		hmmu__itree_remove(&set->tree, n);
		atomic_fetch_sub_explicit(&set->count, 1, memory_order_relaxed);
	}
	hmmu__mutex_unlock(&set->lock);
	if (!n)
		return -ENOENT;
	hmmu__free(pin_of_node(n), sizeof(struct pin));
	return 0;
}
