/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "soft/internal.h"

/* The size is read once: the caller's other threads may write it. */
int hmmu__soft_copy_options(void *to, const void *from, size_t bytes)
{
	const unsigned char *tail = from;
	size_t size, i;

	memcpy(&size, from, sizeof(size));
	if (size < bytes)
		return -EINVAL;
	for (i = bytes; i < size; i++)
		if (tail[i])
			return -E2BIG;
	memcpy(to, from, bytes);
	return 0;
}
