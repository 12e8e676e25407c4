/* SPDX-License-Identifier: MIT */
/*
 * Copying structs that begin with their size
 *
 * Locking: none; there is no state.
 */
#include <errno.h>
#include <string.h>

#include "base/sized.h"

int hmmu__copy_sized(void *ours, size_t our_bytes, size_t least,
		     const void *theirs)
{
	const uint8_t *p = theirs;
	size_t size, i;

	/* Read it once: another thread of the program may write it. */
	memcpy(&size, theirs, sizeof(size));
	if (size < least)
		return -EINVAL;
	for (i = our_bytes; i < size && i < HMMU_PAGE_BYTES; i++)
		if (p[i])
			return -E2BIG;
	if (size > HMMU_PAGE_BYTES)
		return -E2BIG;
	memset(ours, 0, our_bytes);
	memcpy(ours, theirs, hmmu_min(size, our_bytes));
	return 0;
}

void hmmu__copy_out(void *theirs, size_t their_bytes, const void *ours,
		    size_t our_bytes)
{
	size_t n = hmmu_min(their_bytes, our_bytes);

	if (n > sizeof(size_t))
		memcpy((uint8_t *)theirs + sizeof(size_t),
		       (const uint8_t *)ours + sizeof(size_t),
		       n - sizeof(size_t));
}
