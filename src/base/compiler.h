/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BASE_COMPILER_H
#define HMMU_BASE_COMPILER_H

/*
 * Compiler extensions, under one name for gcc and clang, and HMMU_ASSERT()
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/base.h>

/* The build defines both. An object compiled by hand is a release build. */
#ifndef HMMU_DEBUG
#define HMMU_DEBUG 0
#endif
#ifndef HMMU_FAULT_POINTS
#define HMMU_FAULT_POINTS 0
#endif

/* gcc defines a macro for each sanitizer, clang has __has_feature(). */
#if defined(__SANITIZE_ADDRESS__)
#define HMMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HMMU_ASAN 1
#endif
#endif
#ifndef HMMU_ASAN
#define HMMU_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define HMMU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HMMU_TSAN 1
#endif
#endif
#ifndef HMMU_TSAN
#define HMMU_TSAN 0
#endif

#define hmmu_likely(x)		 __builtin_expect(!!(x), 1)
#define hmmu_unlikely(x)	 __builtin_expect(!!(x), 0)

#define HMMU_NOINLINE		 __attribute__((noinline))
#define HMMU_COLD		 __attribute__((cold, noinline))
#define HMMU_NO_SANITIZE_ADDRESS __attribute__((no_sanitize("address")))
#define HMMU_NO_SANITIZE_THREAD	 __attribute__((no_sanitize("thread")))
#define HMMU_PRINTF(fmt, args)	 __attribute__((format(printf, fmt, args)))

/* For objects that one thread writes and others poll. */
#define HMMU_CACHE_LINE_BYTES	 64
#define HMMU_CACHE_ALIGNED	 __attribute__((aligned(HMMU_CACHE_LINE_BYTES)))

/*
 * Thread-local storage without __tls_get_addr(), which may call malloc() on
 * first use. The fault service must not call malloc().
 */
#define HMMU_TLS		 _Thread_local __attribute__((tls_model("initial-exec")))

#define HMMU_ARRAY_SIZE(a)	 (sizeof(a) / sizeof((a)[0]))

/* The object of @type whose field @member is at @ptr; @ptr is not NULL. */
#define hmmu_container_of(ptr, type, member)                             \
	({                                                               \
		const __typeof__(((type *)0)->member) *hmmu_co_ = (ptr); \
		(type *)((uintptr_t)hmmu_co_ - offsetof(type, member));  \
	})

static inline size_t hmmu_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t hmmu_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Round to a multiple of @unit, a power of two. Rounding up may wrap to 0. */
static inline size_t hmmu_round_up(size_t value, size_t unit)
{
	return (value + unit - 1) & ~(unit - 1);
}

static inline size_t hmmu_round_down(size_t value, size_t unit)
{
	return value & ~(unit - 1);
}

static inline bool hmmu_is_aligned(size_t value, size_t unit)
{
	return (value & (unit - 1)) == 0;
}

static inline bool hmmu_is_power_of_2(size_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/* Orders memory accesses for the compiler, not for the processor. */
static inline void hmmu__barrier(void)
{
	__asm__ volatile("" ::: "memory");
}

/*
 * Writes one line to file descriptor 2 with a raw system call, and aborts. Only
 * a lock violation is reported in the same way; the library prints nothing
 * else.
 */
_Noreturn void hmmu__assert_failed(const char *expression, const char *file,
				   unsigned int line);

/* Checks the library's own state. A release build does not evaluate it. */
#if HMMU_DEBUG
#define HMMU_ASSERT(cond)              \
	(hmmu_likely(cond) ? (void)0 : \
			     hmmu__assert_failed(#cond, __FILE__, __LINE__))
#else
#define HMMU_ASSERT(cond) ((void)sizeof(!(cond)))
#endif

#endif
