/* SPDX-License-Identifier: MIT */
#ifndef HMMU_MEMORY_HOST_H
#define HMMU_MEMORY_HOST_H

#include <stddef.h>
#include <stdint.h>

struct hmmu_memory;
struct hmmu_mm;

/*
 * A device memory of @bytes, a multiple of 2 MiB, for pages of @mm: 0, -ENOMEM,
 * or what the address space says.
 */
int hmmu__memory_make(struct hmmu_mm *mm, uint32_t kind, size_t bytes,
		      struct hmmu_memory **ret);
/* No page of it is used. */
void hmmu__memory_end(struct hmmu_memory *m);

#endif
