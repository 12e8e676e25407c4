/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_MIRROR_WALK_H
#define HMMU_PAGETABLE_MIRROR_WALK_H

/* The check of a whole mirror. */

#include <stdbool.h>

#include <hmmu/mirror.h>

/**
 * hmmu__mirror_is_valid() - check the rules of all tables
 * @mirror: the mirror; no thread updates it meanwhile.
 *
 * The rules: live counts are correct, no table but the root is empty, and
 * leaves are aligned and have the level of their table. For tests.
 *
 * Return: true if all tables keep the rules.
 */
bool hmmu__mirror_is_valid(const struct hmmu_mirror *mirror);

#endif
