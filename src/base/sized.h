/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_SIZED_H
#define HMMU_BASE_SIZED_H

/*
 * Structs of the public interface that begin with their size
 *
 * The size is a size_t that the caller sets. A program built against an older
 * header hands in a shorter struct, one built against a newer header a longer
 * one; a longer one is accepted as long as its unknown tail is zero.
 */

#include <stddef.h>

#include "base/compiler.h"

/*
 * Copy the caller's struct @theirs to @ours; the fields beyond its size are
 * zeroed. Returns 0, -EINVAL when its size is below @least, or -E2BIG when it
 * is above a page or the tail beyond @our_bytes is not zero.
 */
int hmmu__copy_sized(void *ours, size_t our_bytes, size_t least,
		     const void *theirs) HMMU_MUST_CHECK;

/*
 * Copy @ours to the caller's struct @theirs of @their_bytes, as far as it has
 * room; its size, the first word, stays.
 */
void hmmu__copy_out(void *theirs, size_t their_bytes, const void *ours,
		    size_t our_bytes);

/* An optional struct that the caller wants filled: NULL, or with a size. */
static inline bool hmmu__can_copy_out(const void *theirs)
{
	return !theirs || *(const size_t *)theirs > sizeof(size_t);
}

/* The same as hmmu__copy_out(), for one that may be NULL. */
static inline void hmmu__copy_out_any(void *theirs, const void *ours,
				      size_t our_bytes)
{
	if (theirs)
		hmmu__copy_out(theirs, *(const size_t *)theirs, ours,
			       our_bytes);
}

#endif
