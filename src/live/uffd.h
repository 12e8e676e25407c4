/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_UFFD_H
#define HMMU_LIVE_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hmmu_live;

int hmmu__uffd_register(const struct hmmu_live *l, uintptr_t start,
			uintptr_t end, uint64_t mode);
int hmmu__uffd_unregister(const struct hmmu_live *l, uintptr_t start,
			  uintptr_t end);
void hmmu__uffd_wake(const struct hmmu_live *l, uintptr_t start, uintptr_t end);
/* A mapping is being changed and its event, or its caller, is pending. */
bool hmmu__uffd_is_changing(const struct hmmu_live *l);
/* That, or an event has been read and not been applied. */
bool hmmu__live_is_changing(const struct hmmu_live *l);

/*
 * Moves pages until something is in the way; *@done is always right. -EAGAIN:
 * not a page moved, a mapping is changing. -EEXIST: a page is at both places.
 */
int hmmu__uffd_move(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
		    size_t bytes, size_t *done);
int hmmu__uffd_copy_page(const struct hmmu_live *l, uintptr_t dst,
			 uintptr_t src);
/* Zeroed pages; *@done bytes of them. */
int hmmu__uffd_zero(const struct hmmu_live *l, uintptr_t start, size_t bytes,
		    size_t *done);

#endif
