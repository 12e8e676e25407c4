/* SPDX-License-Identifier: MIT */
#ifndef HMMU_PAGETABLE_MIRROR_TABLE_H
#define HMMU_PAGETABLE_MIRROR_TABLE_H

/* Allocating, retiring and freeing tables. */

#include "pagetable/state.h"

uint64_t *hmmu__mirror_table_alloc(void);
void hmmu__mirror_table_free(uint64_t *table);
int hmmu__mirror_spare_get(struct hmmu_mirror_edit *edit, size_t n);
void hmmu__mirror_spare_put(struct hmmu_mirror_edit *edit);
uint64_t *hmmu__mirror_spare_pop(struct hmmu_mirror_edit *edit);
void hmmu__mirror_table_retire(struct hmmu_mirror_edit *edit, uint64_t *table);
void hmmu__mirror_retired_take(struct hmmu_mirror_edit *edit);
void hmmu__mirror_retired_drain(struct hmmu_mirror *mirror);
void hmmu__mirror_tree_free(uint64_t *table, unsigned int level);

#endif
