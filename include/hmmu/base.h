/* SPDX-License-Identifier: MIT */
/*
 * Basics of all headers: export, version, page sizes, ranges
 *
 * Terms of the comments in these headers:
 *
 * - A callback is a function of the program that HMMU calls while memory
 *   changes: the invalidate and finish callbacks of notifier.h and device.h.
 * - May sleep: the call can wait for other threads or for the kernel. Calls
 *   that only take a lock for a short time are said not to sleep.
 * - Any context: from a callback and from a signal handler, too. Otherwise no
 *   function may be called in a signal handler.
 *
 * Calls return 0 or -errno, and leave errno alone. A function that creates an
 * object writes its ret_ argument only on success.
 *
 * Ranges: a call takes an address and a number of bytes. Neither need be
 * aligned. The call works on each page that holds one of the bytes: the start
 * is rounded down to a page and the end up, as madvise(2) rounds its length. An
 * empty range, and one that ends beyond the last page of the address space, is
 * -EINVAL and changes nothing. A call that differs from this says so. A struct
 * with start and end has them page aligned; end is exclusive.
 *
 * A struct that the caller fills in starts with its size. A library that is
 * older than the caller returns -E2BIG if a field that it does not know is not
 * 0. Set that field to 0, or install the version that has it. The smallest size
 * that is accepted is in hmmu(7), STRUCTS WITH A SIZE.
 */
#ifndef HMMU_BASE_H
#define HMMU_BASE_H

#include <stddef.h>
#include <stdint.h>

#define HMMU_VERSION_MAJOR 0
#define HMMU_VERSION_MINOR 1
#define HMMU_VERSION_PATCH 0

/* One number, so that versions compare with <. */
#define HMMU_VERSION_ENCODE(major, minor, patch) \
	(((major)*10000) + ((minor)*100) + (patch))
#define HMMU_VERSION                                                \
	HMMU_VERSION_ENCODE(HMMU_VERSION_MAJOR, HMMU_VERSION_MINOR, \
			    HMMU_VERSION_PATCH)
#define HMMU_VERSION_STRING "0.1.0"

/* The library is built with hidden visibility and exports only HMMU_API. */
#define HMMU_API	    __attribute__((visibility("default")))

/*
 * Calls whose result must be used: if the error is ignored, something is lost.
 * Not for close, destroy and unpin: a program that ends may ignore their error,
 * and after an error the object still exists.
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
 * The three leaf sizes of an x86-64 page table: a page is 4 KiB, a large page
 * is 2 MiB, a huge page is 1 GiB.
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
 * hmmu_version() - get the version of the library that is loaded
 *
 * HMMU_VERSION is the version of the header that the program was compiled with.
 * A program that looks up a call of a later version with dlsym(3) compares with
 * hmmu_version().
 *
 * Context: Any.
 * Locking: None.
 * Return: the version, encoded by HMMU_VERSION_ENCODE().
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_version(void);

/*
 * Names of 0.1 are at the end of each header. They keep their meaning until
 * 1.0: they take start and end, both aligned, or return -EINVAL. A program uses
 * the inline functions. The library also exports them, for programs that were
 * built with the header of 0.1.
 */
#ifndef HMMU_NAME_OF_0_1
#define HMMU_NAME_OF_0_1 static inline
#endif

/*
 * Returns the bytes of a range of 0.1. Returns 0, which all calls refuse, if it
 * is not aligned to @unit, is empty or wraps.
 */
static inline size_t hmmu__bytes_0_1(uintptr_t start, uintptr_t end,
				     size_t unit)
{
	return start < end && (start | end) % unit == 0 ? end - start : 0;
}

HMMU_END_DECLS

#endif
