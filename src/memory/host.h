/* SPDX-License-Identifier: MIT */
#ifndef HMMU_MEMORY_HOST_H
#define HMMU_MEMORY_HOST_H

/* Creating and destroying the library's own device memories. */

#include <stddef.h>
#include <stdint.h>

struct hmmu_memory;
struct hmmu_mm;

/*
 * Creates a device memory for pages of @mm. @bytes is a multiple of 2 MiB.
 * -ENOMEM, or an error of the address space.
 */
int hmmu__memory_make(struct hmmu_mm *mm, uint32_t kind, size_t bytes,
		      struct hmmu_memory **ret);
/* Destroys a device memory, of which no page is in use. */
void hmmu__memory_end(struct hmmu_memory *m);

#endif
