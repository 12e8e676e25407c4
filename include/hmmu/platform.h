/* SPDX-License-Identifier: MIT */
/*
 * Platform: the kernel facilities that HMMU can use on this machine
 *
 * Overview: HMMU uses facilities of Linux that came with different versions and
 * that privileges restrict. hmmu_platform_query() tries each of them in the
 * calling process. It reports which are missing, why, and what HMMU does
 * instead. It needs no space and changes nothing. `hmmu info` prints the same.
 */
#ifndef HMMU_PLATFORM_H
#define HMMU_PLATFORM_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

/**
 * struct hmmu_facility - one facility of the kernel
 * @size:       in, in the first record: sizeof(struct hmmu_facility), bytes; it
 *              is also the distance between records. Out, in each record: the
 *              same number.
 * @name:       a short fixed name, for example "userfaultfd" or "move".
 * @available:  non-zero if HMMU can use it in this process.
 * @forced_off: non-zero if an HMMU_FORCE_* environment variable disables it.
 * @reason:     a sentence: how it is available; or why it is missing, and how
 *              to get it. Never NULL.
 * @instead:    a sentence: how HMMU works without it. NULL if it is available.
 *
 * The strings are static: they are valid while the library is loaded.
 */
struct hmmu_facility {
	size_t size;
	const char *name;
	int available;
	int forced_off;
	const char *reason;
	const char *instead;
};

/**
 * hmmu_platform_query() - try each facility and describe it
 * @out:       receives up to @capacity records; owned by the caller. Set the
 *             size of the first. May be NULL if @capacity is 0.
 * @capacity:  length of @out, in records. 0: only count the facilities.
 * @ret_count: receives the number of facilities. If it is larger than
 *             @capacity, only the first @capacity records were written. Order,
 *             names and count are the same in each call.
 *
 * The answer is for this process and this moment: dropping a capability or
 * installing a seccomp filter can change it.
 *
 * Context: May sleep. Opens and closes a few files, maps scratch memory. Not
 *          from a callback.
 * Locking: None.
 * Return:
 *   0        @ret_count and the records are written
 *   -EINVAL  @ret_count is NULL, @out is NULL with a @capacity, or @out->size
 *            is too small
 *   -ENOMEM  out of memory; nothing was written
 *   -EMFILE, -ENFILE  no file descriptor is left: close some; nothing was
 *            written
 * Source: contract E11.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_platform_query(struct hmmu_facility *out,
						 size_t capacity,
						 size_t *ret_count);

HMMU_END_DECLS

#endif
