/* SPDX-License-Identifier: MIT */
/*
 * What this machine offers.
 *
 * Overview: HMMU rests on facilities of the Linux kernel that came one by one
 * and that privileges restrict. hmmu_platform_query() tries each of them in the
 * calling process and says in words what is missing, why, and what HMMU does
 * instead. It needs no space and changes nothing. `hmmu info` prints its
 * answer.
 */
#ifndef HMMU_PLATFORM_H
#define HMMU_PLATFORM_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

/**
 * struct hmmu_facility - one facility, and whether it can be used
 * @size:       in, in the first record: sizeof(struct hmmu_facility) as the
 *              caller was built, bytes, and the distance of the records. Out,
 *              in each: the same number.
 * @name:       a short fixed name, for example "userfaultfd" or "move".
 * @available:  non-zero if HMMU can use it here and now.
 * @forced_off: non-zero if an HMMU_FORCE_* environment switch took it away.
 * @reason:     a sentence: how it is available, or why it is not and what would
 *              change that. Never NULL.
 * @instead:    a sentence: what HMMU does without it. NULL if available.
 *
 * All strings are static: they stay valid as long as the library is loaded.
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
 * hmmu_platform_query() - try every facility and describe it
 * @out:       receives up to @capacity records, owned by the caller;
 *             @out->size of the first is set by the caller. NULL only with a
 *             @capacity of 0, to learn the count.
 * @capacity:  room in @out, in records.
 * @ret_count: receives how many facilities there are, which may be more than
 *             @capacity: then the first @capacity of them were written. Order,
 *             names and count are the same at every call.
 *
 * The answer holds for this process as it is now: dropping a capability or
 * entering a seccomp filter later changes it.
 *
 * Context: May sleep. Opens and closes a few files and maps scratch memory.
 *          Not from a callback of HMMU.
 * Locking: None that the caller could hold.
 * Return:
 *   0        @ret_count and the records are written
 *   -EINVAL  @ret_count is NULL, @out is NULL with a @capacity, or @out->size
 *            is smaller than the first version's
 *   -ENOMEM  no scratch memory; nothing was written
 *   -EMFILE, -ENFILE  no file descriptor is left; nothing was written
 * Source: contract E11.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_platform_query(struct hmmu_facility *out,
						 size_t capacity,
						 size_t *ret_count);

HMMU_END_DECLS

#endif
