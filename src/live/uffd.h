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
/*
 * True while a change of a mapping is in progress: its event is unread, or its
 * thread has not run since.
 */
bool hmmu__uffd_is_changing(const struct hmmu_live *l);
/* The same, or an event was read and is not applied. */
bool hmmu__live_is_changing(const struct hmmu_live *l);

/*
 * Move pages until an error. *@done is always exact. -EAGAIN: no page moved, a
 * mapping is changing. -EEXIST: both addresses have a page.
 */
int hmmu__uffd_move(const struct hmmu_live *l, uintptr_t dst, uintptr_t src,
		    size_t bytes, size_t *done);
int hmmu__uffd_copy_page(const struct hmmu_live *l, uintptr_t dst,
			 uintptr_t src);
/* Put zeroed pages; *@done bytes of them. */
int hmmu__uffd_zero(const struct hmmu_live *l, uintptr_t start, size_t bytes,
		    size_t *done);

#endif
