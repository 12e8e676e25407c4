/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_H
#define HMMU_BASE_H

/*
 * What every other public header needs: how calls are exported, the version,
 * the page sizes, and what a range is.
 */

#include <stddef.h>
#include <stdint.h>

#define HMMU_VERSION_MAJOR 0
#define HMMU_VERSION_MINOR 1
#define HMMU_VERSION_PATCH 0

/* Major, minor, patch in one number, so that two versions compare with <. */
#define HMMU_VERSION_ENCODE(major, minor, patch) \
	(((major)*10000) + ((minor)*100) + (patch))
#define HMMU_VERSION                                                \
	HMMU_VERSION_ENCODE(HMMU_VERSION_MAJOR, HMMU_VERSION_MINOR, \
			    HMMU_VERSION_PATCH)
#define HMMU_VERSION_STRING "0.1.0"

/* The library is built with hidden visibility: only HMMU_API is exported. */
#define HMMU_API	    __attribute__((visibility("default")))

/*
 * Calls whose error loses something when nobody looks at it; see each call's
 * Return section. Not those that close, destroy or unpin: a program that ends
 * may not care, and what could not be ended is still there.
 */
#define HMMU_MUST_CHECK	    __attribute__((warn_unused_result))

#ifdef __cplusplus
#define HMMU_BEGIN_DECLS extern "C" {
#define HMMU_END_DECLS	 }
#else
#define HMMU_BEGIN_DECLS
#define HMMU_END_DECLS
#endif

/*
 * The three leaf sizes of an x86-64 page table. A "page" without an adjective
 * is the smallest, a "large" page is 2 MiB, a "huge" page is 1 GiB.
 */
#define HMMU_PAGE_LG2	     12
#define HMMU_PAGE_BYTES	     (1ul << HMMU_PAGE_LG2)
#define HMMU_LARGE_LG2	     21
#define HMMU_LARGE_BYTES     (1ul << HMMU_LARGE_LG2)
#define HMMU_HUGE_LG2	     30
#define HMMU_HUGE_BYTES	     (1ul << HMMU_HUGE_LG2)

#define HMMU_PAGES_PER_LARGE 512u

HMMU_BEGIN_DECLS

/**
 * hmmu_version() - the version of the library that is loaded
 *
 * HMMU_VERSION is that of the header a program was compiled with. A program
 * that needs a call of a later version, and finds it with dlsym(3), compares
 * with this one.
 *
 * Context: Any.
 * Return: as of HMMU_VERSION_ENCODE().
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_version(void);

/*
 * Ranges: a call takes an address and a number of bytes, neither of which need
 * be aligned, and works on every page that holds one of these bytes: the start
 * is rounded down to a page and the end up, as madvise(2) rounds its length.
 * No bytes, and a range that ends beyond the last page of the address space,
 * are -EINVAL and change nothing. A call that differs says so. A struct with
 * start and end has them page aligned, end exclusive.
 */

/*
 * Names of 0.1 stay until 1.0, at the end of each header, and mean what they
 * meant: start and end, both aligned, else -EINVAL. A program uses them inline;
 * the library also exports them, for programs that were built against 0.1.
 */
#ifndef HMMU_NAME_OF_0_1
#define HMMU_NAME_OF_0_1 static inline
#endif

/* The bytes of a range of 0.1. 0, which no call takes, if it is not aligned to
 * @unit, empty or wraps. */
static inline size_t hmmu__bytes_0_1(uintptr_t start, uintptr_t end,
				     size_t unit)
{
	return start < end && (start | end) % unit == 0 ? end - start : 0;
}

HMMU_END_DECLS

#endif
