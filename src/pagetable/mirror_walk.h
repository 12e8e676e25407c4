/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_MIRROR_WALK_H
#define HMMU_PAGETABLE_MIRROR_WALK_H

#include <stdbool.h>

#include <hmmu/mirror.h>

/**
 * hmmu__mirror_is_valid() - check every table against its rules
 * @mirror: a mirror nobody updates meanwhile.
 *
 * Counts are right, no table but the root is empty, leaves are aligned and of
 * the level they stand in. For tests.
 *
 * Return: true when all is well.
 */
bool hmmu__mirror_is_valid(const struct hmmu_mirror *mirror);

#endif
