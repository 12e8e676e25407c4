/* SPDX-License-Identifier: MIT */
/*
 * The inline functions of a port: loads and stores of 1 to 8 bytes. Included by
 * port.h only.
 *
 * Each access is one instruction with an entry in an exception table. If it
 * faults because the program has unmapped the page without HMMU's knowledge,
 * the signal handler continues in the slow path, which returns an error. Each
 * object that includes this file registers its table when it is loaded.
 */
#ifndef HMMU_PORT_INLINE_H
#define HMMU_PORT_INLINE_H

#include <hmmu/port.h>

#if !defined(__x86_64__)
#error "ports are written for x86-64"
#endif

HMMU_BEGIN_DECLS

/*
 * '?' puts the entry into the section group of the code. The linker then drops
 * both together when it folds C++ templates.
 */
#define HMMU__EXTABLE(insn_label, fixup_label)         \
	".pushsection hmmu_extable,\"a?\",@progbits\n" \
	".balign 4\n"                                  \
	".long " insn_label " - .\n"                   \
	".long " fixup_label " - .\n"                  \
	".popsection\n"

extern const char __start_hmmu_extable[]
	__attribute__((weak, visibility("hidden")));
extern const char __stop_hmmu_extable[]
	__attribute__((weak, visibility("hidden")));

static __attribute__((constructor, unused)) void hmmu__port_table_add(void)
{
	if (&__start_hmmu_extable[0] != &__stop_hmmu_extable[0])
		hmmu__extable_add(__start_hmmu_extable, __stop_hmmu_extable);
}

static __attribute__((destructor, unused)) void hmmu__port_table_remove(void)
{
	hmmu__extable_remove(__start_hmmu_extable);
}

/*
 * Returns host address minus device address for an access within a 4 KiB page,
 * or HMMU_PORT_NO_TAG. No delta is odd.
 */
static inline uintptr_t hmmu__port_delta(const struct hmmu_port *port,
					 uintptr_t va, int is_write)
{
	const struct hmmu_port_entry *e;

	e = &port->large[(va >> HMMU_LARGE_LG2) % HMMU_PORT_LARGE_ENTRIES];
	if (__builtin_expect((is_write ? e->write_tag : e->read_tag) ==
				     va >> HMMU_LARGE_LG2,
			     1))
		return e->delta;
	e = &port->small[(va >> HMMU_PAGE_LG2) % HMMU_PORT_SMALL_ENTRIES];
	if (__builtin_expect((is_write ? e->write_tag : e->read_tag) ==
				     va >> HMMU_PAGE_LG2,
			     1))
		return e->delta;
	return HMMU_PORT_NO_TAG;
}

/*
 * The slow path has a variable of its own for the value. If the address of the
 * fast path's variable escaped, each load would also be a store.
 */
#define HMMU__PORT_DEFINE(bits, insn, reg)                                      \
	static inline int hmmu__port_load_slow##bits(                           \
		struct hmmu_port *port, uintptr_t va, uint##bits##_t *ret)      \
	{                                                                       \
		uint##bits##_t v = 0;                                           \
		int err;                                                        \
                                                                                \
		err = hmmu__port_access(port, va, sizeof(v), HMMU_ACCESS_READ,  \
					&v);                                    \
		if (!err)                                                       \
			*ret = v;                                               \
		return err;                                                     \
	}                                                                       \
                                                                                \
	static inline HMMU_MUST_CHECK int hmmu_port_load##bits(                 \
		struct hmmu_port *port, uintptr_t va, uint##bits##_t *ret)      \
	{                                                                       \
		uintptr_t delta;                                                \
		uint##bits##_t v;                                               \
                                                                                \
		if (__builtin_expect(!port->depth || (va & (sizeof(v) - 1)),    \
				     0))                                        \
			goto slow;                                              \
		delta = hmmu__port_delta(port, va, 0);                          \
		if (__builtin_expect(delta == HMMU_PORT_NO_TAG, 0))             \
			goto slow;                                              \
		__asm__ volatile goto(                                          \
			"1: " insn " %1, %" reg                                 \
			"0\n" HMMU__EXTABLE("1b", "%l2")                        \
			: "=r"(v)                                               \
			: "m"(*(const uint##bits##_t *)(va + delta))            \
			: "memory"                                              \
			: slow);                                                \
		/* gcc before 13 mixes up the outputs of asm goto without     \
		 * this (its bugs 110420 and 113921). */ \
		__asm__ volatile("");                                           \
		*ret = v;                                                       \
		return 0;                                                       \
slow:                                                                           \
		return hmmu__port_load_slow##bits(port, va, ret);               \
	}                                                                       \
                                                                                \
	static inline HMMU_MUST_CHECK int hmmu_port_store##bits(                \
		struct hmmu_port *port, uintptr_t va, uint##bits##_t value)     \
	{                                                                       \
		uintptr_t delta;                                                \
                                                                                \
		if (__builtin_expect(                                           \
			    !port->depth || (va & (sizeof(value) - 1)), 0))     \
			goto slow;                                              \
		delta = hmmu__port_delta(port, va, 1);                          \
		if (__builtin_expect(delta == HMMU_PORT_NO_TAG, 0))             \
			goto slow;                                              \
		__asm__ volatile goto("1: " insn " %" reg                       \
				      "0, %1\n" HMMU__EXTABLE("1b", "%l2")      \
				      :                                         \
				      : "r"(value),                             \
					"m"(*(uint##bits##_t *)(va + delta))    \
				      : "memory"                                \
				      : slow);                                  \
		return 0;                                                       \
slow:                                                                           \
		return hmmu__port_access(port, va, sizeof(value),               \
					 HMMU_ACCESS_WRITE, &value);            \
	}

/*
 * hmmu_port_load8/16/32/64(), hmmu_port_store8/16/32/64() - one access
 * @port: the port. In a section an access costs a TLB lookup. If no section is
 *        open, the call opens its own.
 * @va:   need not be aligned. An access across pages is not atomic.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EFAULT, -EPERM, -EBUSY, -ENOMEM  a device fault, see struct
 *            hmmu_port_fault; nothing was stored, @ret has not changed
 *   -ENOENT  no translation, in report-only mode
 *   -EAGAIN  the section was aborted and has spans: end it and begin again
 * Source: contract E7.
 * Since: 0.1
 */
HMMU__PORT_DEFINE(8, "movb", "b")
HMMU__PORT_DEFINE(16, "movw", "w")
HMMU__PORT_DEFINE(32, "movl", "k")
HMMU__PORT_DEFINE(64, "movq", "q")

#undef HMMU__PORT_DEFINE

HMMU_END_DECLS

#endif
