/* SPDX-License-Identifier: MIT */
/*
 * Access memory of the program that may fault: the result is -EFAULT, not a
 * signal
 *
 * Locking: the caller holds none: the access may wait for the fault service.
 */
#include "live/touch.h"

#include <errno.h>

#include <hmmu/port.h>

#include "base/compiler.h"

/*
 * A load, or an atomic OR with 0. It has an entry in the exception table: if it
 * faults, execution continues at the label, and the result is -EFAULT.
 */
HMMU_NO_SANITIZE_ADDRESS HMMU_NO_SANITIZE_THREAD int hmmu__touch(uintptr_t addr,
								 bool write)
{
	uint8_t v;

	if (write) {
		__asm__ volatile goto(
			"1: lock orb $0, %0\n" HMMU__EXTABLE("1b", "%l1")
			:
			: "m"(*(volatile uint8_t *)addr)
			: "memory", "cc"
			: fault);
		return 0;
	}
	__asm__ volatile goto("1: movb %1, %b0\n" HMMU__EXTABLE("1b", "%l2")
			      : "=q"(v)
			      : "m"(*(const volatile uint8_t *)addr)
			      : "memory"
			      : fault);
	(void)v;
	return 0;
fault:
	return -EFAULT;
}

/* The program's pointers may be unaligned. */
typedef uint64_t loose_word __attribute__((aligned(1), may_alias));

HMMU_NO_SANITIZE_ADDRESS HMMU_NO_SANITIZE_THREAD static int
peek_word(uintptr_t addr, uint64_t *to)
{
	uint64_t v;

	__asm__ volatile goto("1: movq %1, %0\n" HMMU__EXTABLE("1b", "%l2")
			      : "=r"(v)
			      : "m"(*(const volatile loose_word *)addr)
			      : "memory"
			      : fault);
	/* gcc before 13 confuses the outputs of asm goto: port_inline.h. */
	__asm__ volatile("");
	*to = v;
	return 0;
fault:
	return -EFAULT;
}

int hmmu__peek(uintptr_t addr, uint64_t *to, size_t words)
{
	int err = 0;

	for (; words && !err; words--, addr += sizeof(*to))
		err = peek_word(addr, to++);
	return err;
}
