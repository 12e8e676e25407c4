/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_SIZED_H
#define HMMU_BASE_SIZED_H

/*
 * Structs of the public interface that begin with their size
 *
 * The caller sets the size, a size_t. A program built with an older header
 * passes a shorter struct; one built with a newer header passes a longer
 * struct, which is accepted if its unknown tail is zero.
 */

#include <stddef.h>

#include "base/compiler.h"

/*
 * Copies the caller's struct @theirs to @ours, and zeroes the fields beyond its
 * size. -EINVAL: the size is below @least. -E2BIG: the size is above a page, or
 * the tail beyond @our_bytes is not zero.
 */
int hmmu__copy_sized(void *ours, size_t our_bytes, size_t least,
		     const void *theirs) HMMU_MUST_CHECK;

/*
 * Copies @ours to the caller's struct @theirs, at most @their_bytes. Keeps its
 * first word, the size.
 */
void hmmu__copy_out(void *theirs, size_t their_bytes, const void *ours,
		    size_t our_bytes);

/* True if an optional struct is NULL or has room beyond its size field. */
static inline bool hmmu__can_copy_out(const void *theirs)
{
	return !theirs || *(const size_t *)theirs > sizeof(size_t);
}

/* Like hmmu__copy_out(); @theirs may be NULL. */
static inline void hmmu__copy_out_any(void *theirs, const void *ours,
				      size_t our_bytes)
{
	if (theirs)
		hmmu__copy_out(theirs, *(const size_t *)theirs, ours,
			       our_bytes);
}

#endif
