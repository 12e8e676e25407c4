/* SPDX-License-Identifier: MIT */
/*
 * Accesses of a port, out of line: TLB misses, accesses across pages or longer
 * than 8 bytes, atomics, spans and copies
 *
 * Overview: an access settles the section, translates the address (TLB, mirror,
 * or a device fault and again from the start) and executes one protected
 * instruction. If that faults, the mirror maps a page that the program's memory
 * does not have any more. A device fault then validates the page again. A
 * second fault is an error of the program.
 *
 * Values: an access of the CPU to an absent page, inside a section, aborts the
 * section and ends its translations. So no memory of the program is accessed
 * between translation and access. Values are in local variables. Long copies go
 * through a buffer in the arena, unless the program's buffer is in the arena.
 *
 * Locking: the caller is the owner of the port and holds no lock.
 *
 * Not supported: atomic accesses across pages. hmmu_port_compare_exchange() and
 * hmmu_port_fetch_add() need an aligned address. A load or store across pages
 * is two accesses.
 */
#include "core/fault.h"
#include "core/sections.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/sched.h"
#include "base/sys.h"

/* Longest time for which an access that loses its translation is retried. */
#define COLLIDE_NS    1000000000ull
/* Longest copy in one section of its own. */
#define SECTION_BYTES (64ul << 10)
/* Consecutive misses on 4 KiB leaves of a block before it is checked whole. */
#define SMALL_MISSES  8u
/* Longest span. The mirror reads each of its leaves. */
#define SPAN_BYTES    (64ul << 20)
/* User memory ends here, also with five levels of page tables. */
#define USER_END      (1ul << 56)

/* The host memory of an address; @bytes from there on are contiguous. */
struct target {
	uintptr_t host;
	size_t bytes;
};

/* One access: since when it has collided, and whether it has faulted. */
struct attempt {
	uint64_t start_ns;
	bool has_faulted;
};

/* Instructions that may fault ----------------------------------------------- */

/* Each returns 0, or 1: it has faulted and changed nothing. */
#define PROTECTED(insn)       \
	"	movl $1, %k[err]\n" \
	"1:	" insn "\n"   \
	"	movl $0, %k[err]\n" \
	"2:\n" HMMU__EXTABLE("1b", "2b")

#define DEFINE_MOVES(bits, insn, modifier)                                     \
	static int load##bits(uintptr_t host, void *value)                     \
	{                                                                      \
		uint##bits##_t v = 0;                                          \
		int err;                                                       \
                                                                               \
		__asm__ volatile(PROTECTED(insn " (%[p]), %" modifier "[v]")   \
				 : [err] "=&r"(err), [v] "+r"(v)               \
				 : [p] "r"(host)                               \
				 : "memory");                                  \
		memcpy(value, &v, sizeof(v));                                  \
		return err;                                                    \
	}                                                                      \
                                                                               \
	static int store##bits(uintptr_t host, const void *value)              \
	{                                                                      \
		uint##bits##_t v;                                              \
		int err;                                                       \
                                                                               \
		memcpy(&v, value, sizeof(v));                                  \
		__asm__ volatile(PROTECTED(insn " %" modifier "[v], (%[p])")   \
				 : [err] "=&r"(err)                            \
				 : [p] "r"(host), [v] "r"(v)                   \
				 : "memory");                                  \
		return err;                                                    \
	}                                                                      \
                                                                               \
	/* 1: exchanged; 0: @found was not the expected value; -1: faulted. */ \
	static int compare_exchange##bits(uintptr_t host, void *found,         \
					  const void *desired)                 \
	{                                                                      \
		uint##bits##_t a, v;                                           \
		unsigned char equal = 0;                                       \
		int err;                                                       \
                                                                               \
		memcpy(&a, found, sizeof(a));                                  \
		memcpy(&v, desired, sizeof(v));                                \
		__asm__ volatile(                                              \
			PROTECTED("lock; cmpxchg %" modifier                   \
				  "[v], (%[p])") "	sete %[equal]\n"            \
			: [err] "=&r"(err), [equal] "+&q"(equal), "+&a"(a)     \
			: [p] "r"(host), [v] "r"(v)                            \
			: "memory", "cc");                                     \
		if (err)                                                       \
			return -1;                                             \
		memcpy(found, &a, sizeof(a));                                  \
		return equal;                                                  \
	}

DEFINE_MOVES(8, "movb", "b")
DEFINE_MOVES(16, "movw", "w")
DEFINE_MOVES(32, "movl", "k")
DEFINE_MOVES(64, "movq", "q")

static int compare_exchange128(uintptr_t host, void *found, const void *desired)
{
	uint64_t a[2], v[2];
	unsigned char equal = 0;
	int err;

	memcpy(a, found, sizeof(a));
	memcpy(v, desired, sizeof(v));
	__asm__ volatile(
		PROTECTED("lock; cmpxchg16b (%[p])") "	sete %[equal]\n"
		: [err] "=&r"(err), [equal] "+&q"(equal), "+&a"(a[0]),
		  "+&d"(a[1])
		: [p] "r"(host), "b"(v[0]), "c"(v[1])
		: "memory", "cc");
	if (err)
		return -1;
	memcpy(found, a, sizeof(a));
	return equal;
}

static int add32(uintptr_t host, uint64_t addend, uint64_t *old)
{
	uint32_t v = (uint32_t)addend;
	int err;

	__asm__ volatile(PROTECTED("lock; xaddl %[v], (%[p])")
			 : [err] "=&r"(err), [v] "+&r"(v)
			 : [p] "r"(host)
			 : "memory", "cc");
	*old = v;
	return err;
}

static int add64(uintptr_t host, uint64_t addend, uint64_t *old)
{
	uint64_t v = addend;
	int err;

	__asm__ volatile(PROTECTED("lock; xaddq %[v], (%[p])")
			 : [err] "=&r"(err), [v] "+&r"(v)
			 : [p] "r"(host)
			 : "memory", "cc");
	*old = v;
	return err;
}

/* Returns the number of bytes that a fault has left uncopied. */
static size_t copy_protected(uintptr_t to, uintptr_t from, size_t bytes)
{
	__asm__ volatile("1:	rep; movsb\n"
			 "2:\n" HMMU__EXTABLE("1b", "2b")
			 : "+c"(bytes), "+D"(to), "+S"(from)
			 :
			 : "memory");
	return bytes;
}

/* Translation ---------------------------------------------------------------- */

static struct hmmu_port_entry *large_entry(struct hmmu_port_full *full,
					   uintptr_t va)
{
	return &full->large[(va >> HMMU_LARGE_LG2) & full->large_mask];
}

static struct hmmu_port_entry *small_entry(struct hmmu_port_full *full,
					   uintptr_t va)
{
	return &full->small[(va >> HMMU_PAGE_LG2) & full->small_mask];
}

static bool entry_find(const struct hmmu_port_entry *e, unsigned int lg2,
		       uintptr_t va, enum hmmu_access access,
		       struct target *target)
{
	uintptr_t tag = access == HMMU_ACCESS_WRITE ? e->write_tag :
						      e->read_tag;

	if (tag != va >> lg2)
		return false;
	target->host = va + e->delta;
	target->bytes = (1ul << lg2) - (va & ((1ul << lg2) - 1));
	return true;
}

static bool tlb_find(struct hmmu_port_full *full, uintptr_t va,
		     enum hmmu_access access, struct target *target)
{
	return entry_find(large_entry(full, va), HMMU_LARGE_LG2, va, access,
			  target) ||
	       entry_find(small_entry(full, va), HMMU_PAGE_LG2, va, access,
			  target);
}

static void entry_fill(struct hmmu_port_full *full, struct hmmu_port_entry *e,
		       uintptr_t page, uintptr_t delta, uint64_t flags)
{
	e->delta = delta;
	e->read_tag = page;
	e->write_tag = flags & HMMU_MIRROR_WRITE ? page : HMMU_PORT_NO_TAG;
	full->is_tlb_used = true;
}

static void entry_forget(struct hmmu_port_entry *e, uintptr_t page)
{
	if (e->read_tag != page)
		return;
	e->read_tag = HMMU_PORT_NO_TAG;
	e->write_tag = HMMU_PORT_NO_TAG;
}

static void tlb_forget_page(struct hmmu_port_full *full, uintptr_t va)
{
	entry_forget(large_entry(full, va), va >> HMMU_LARGE_LG2);
	entry_forget(small_entry(full, va), va >> HMMU_PAGE_LG2);
}

/*
 * 512 leaves of 4 KiB whose addresses are consecutive fit one large TLB entry.
 * The check costs as much as some ten misses, so it waits for several misses in
 * one block.
 */
static bool should_check_block(struct hmmu_port_full *full, uintptr_t va)
{
	uintptr_t block = va >> HMMU_LARGE_LG2;

	if (full->small_block != block) {
		full->small_block = block;
		full->small_misses = 0;
	}
	return ++full->small_misses == SMALL_MISSES;
}

static bool fill_block(struct hmmu_port_full *full, uintptr_t va)
{
	uintptr_t start = hmmu_round_down(va, HMMU_LARGE_BYTES);
	struct hmmu_mirror_walk walk;

	hmmu_mirror_walk_range(&walk, full->mirror, start, HMMU_LARGE_BYTES,
			       HMMU_MIRROR_WALK_RUNS);
	if (!hmmu_mirror_walk_next(&walk) || walk.run.start != start ||
	    walk.run.end != start + HMMU_LARGE_BYTES)
		return false;
	entry_fill(full, large_entry(full, va), va >> HMMU_LARGE_LG2,
		   walk.run.payload - start, walk.run.flags);
	return true;
}

/* Fills a TLB entry. The caller is in a read section of the mirror. */
static bool fill_inside(struct hmmu_port_full *full, uintptr_t va)
{
	uintptr_t delta;
	uint64_t leaf;

	if (!hmmu_mirror_lookup(full->mirror, va, &leaf))
		return false;
	delta = hmmu_mirror_payload(leaf) -
		hmmu_round_down(va, HMMU_PAGE_BYTES);
	if (hmmu_mirror_leaf_lg2(leaf) > HMMU_PAGE_LG2)
		entry_fill(full, large_entry(full, va), va >> HMMU_LARGE_LG2,
			   delta, leaf);
	else if (!should_check_block(full, va) || !fill_block(full, va))
		entry_fill(full, small_entry(full, va), va >> HMMU_PAGE_LG2,
			   delta, leaf);
	return true;
}

static bool mirror_find(struct hmmu_port_full *full, uintptr_t va,
			enum hmmu_access access, struct target *target)
{
	bool is_mapped;

	hmmu_mirror_read_begin(full->mirror, full->reader);
	is_mapped = fill_inside(full, va);
	hmmu_mirror_read_end(full->mirror, full->reader);
	return is_mapped && tlb_find(full, va, access, target);
}

static bool has_collided_too_long(struct attempt *attempt)
{
	uint64_t now_ns = hmmu__sched_now_ns();

	if (!attempt->start_ns)
		attempt->start_ns = now_ns;
	return now_ns - attempt->start_ns >= COLLIDE_NS;
}

/*
 * Faults the page of @va. After 0 the caller translates again: the section may
 * be aborted by now.
 */
static int resolve_fault(struct hmmu_port_full *full, uintptr_t va,
			 enum hmmu_access access, struct attempt *attempt)
{
	int err;

	if (has_collided_too_long(attempt))
		return hmmu__port_set_fault(full, va, access, -EBUSY);
	if (!hmmu__port_slow_begin(full))
		return 0;
	err = hmmu__device_fault(full->device, va, 1, access);
	hmmu__port_slow_end(full);
	/* The address can never be mapped, or is memory of HMMU. */
	if (err == -EINVAL)
		err = -EFAULT;
	return err ? hmmu__port_set_fault(full, va, access, err) : 0;
}

static int translate_va(struct hmmu_port_full *full, uintptr_t va,
			enum hmmu_access access, struct attempt *attempt,
			struct target *target)
{
	int err;

	if (va >= USER_END)
		return hmmu__port_set_fault(full, va, access, -EFAULT);
	for (;;) {
		err = hmmu__port_settle(full);
		if (err)
			return err;
		if (tlb_find(full, va, access, target) ||
		    mirror_find(full, va, access, target))
			return 0;
		if (full->is_report_only)
			return hmmu__port_set_fault(full, va, access, -ENOENT);
		err = resolve_fault(full, va, access, attempt);
		if (err)
			return err;
	}
}

/*
 * The translated access at @va has faulted. The first time, the page is faulted
 * like one without a translation. Returns 0 if the access may be tried again.
 */
static int revalidate_page(struct hmmu_port_full *full, uintptr_t va,
			   enum hmmu_access access, struct attempt *attempt)
{
	tlb_forget_page(full, va);
	if (attempt->has_faulted || full->is_report_only)
		return hmmu__port_set_fault(full, va, access, -EFAULT);
	attempt->has_faulted = true;
	return resolve_fault(full, va, access, attempt);
}

/* Accesses within one page --------------------------------------------------- */

/*
 * An operation of up to 16 bytes. @value: the value to store or to compare
 * with, and the value found. @desired: the new value of an exchange, or the
 * addend. An operation is a local variable of the call.
 */
struct operation {
	int (*fn)(uintptr_t host, struct operation *op);
	size_t bytes;
	enum hmmu_access access;
	bool is_equal;
	uint64_t value[2];
	uint64_t desired[2];
};

static int do_load(uintptr_t host, struct operation *op)
{
	switch (op->bytes) {
	case 1:
		return load8(host, op->value);
	case 2:
		return load16(host, op->value);
	case 4:
		return load32(host, op->value);
	case 8:
		return load64(host, op->value);
	default:
		return copy_protected((uintptr_t)op->value, host, op->bytes) >
		       0;
	}
}

static int do_store(uintptr_t host, struct operation *op)
{
	switch (op->bytes) {
	case 1:
		return store8(host, op->value);
	case 2:
		return store16(host, op->value);
	case 4:
		return store32(host, op->value);
	case 8:
		return store64(host, op->value);
	default:
		return copy_protected(host, (uintptr_t)op->value, op->bytes) >
		       0;
	}
}

static int exchange_sized(uintptr_t host, struct operation *op)
{
	switch (op->bytes) {
	case 1:
		return compare_exchange8(host, op->value, op->desired);
	case 2:
		return compare_exchange16(host, op->value, op->desired);
	case 4:
		return compare_exchange32(host, op->value, op->desired);
	case 8:
		return compare_exchange64(host, op->value, op->desired);
	default:
		return compare_exchange128(host, op->value, op->desired);
	}
}

static int do_compare_exchange(uintptr_t host, struct operation *op)
{
	int ret = exchange_sized(host, op);

	op->is_equal = ret > 0;
	return ret < 0;
}

static int do_add(uintptr_t host, struct operation *op)
{
	return op->bytes == 4 ? add32(host, op->desired[0], op->value) :
				add64(host, op->desired[0], op->value);
}

/* Performs an operation within one page. A section is open. */
static int perform_operation(struct hmmu_port_full *full, uintptr_t va,
			     struct operation *op)
{
	struct attempt attempt = { 0 };
	struct target target = { 0 };
	int err;

	for (;;) {
		err = translate_va(full, va, op->access, &attempt, &target);
		if (err)
			return err;
		if (hmmu_likely(op->fn(target.host, op) == 0))
			return 0;
		err = revalidate_page(full, va, op->access, &attempt);
		if (err)
			return err;
	}
}

/* The same; opens a section if none is open. */
static int perform_in_section(struct hmmu_port *port, uintptr_t va,
			      struct operation *op)
{
	int err;

	hmmu_port_begin(port);
	err = perform_operation(port_full(port), va, op);
	hmmu_port_end(port);
	return err;
}

/* Accesses across pages ------------------------------------------------------ */

static size_t bytes_in_page(uintptr_t va)
{
	return HMMU_PAGE_BYTES - (va & (HMMU_PAGE_BYTES - 1));
}

/* Faults the page of @va for writing. */
static int prepare_store(struct hmmu_port_full *full, uintptr_t va)
{
	struct attempt attempt = { 0 };
	struct target target;

	return translate_va(full, va, HMMU_ACCESS_WRITE, &attempt, &target);
}

static int perform_half(struct hmmu_port_full *full, uintptr_t va,
			struct operation *whole, size_t offset, size_t bytes)
{
	unsigned char *value = (unsigned char *)whole->value + offset;
	struct operation op = *whole;
	int err;

	op.bytes = bytes;
	memcpy(op.value, value, bytes);
	err = perform_operation(full, va + offset, &op);
	memcpy(value, op.value, bytes);
	return err;
}

/*
 * Performs a load or store across two pages in two halves. A store that fails
 * must not have stored its first half, so both pages are faulted before. Only a
 * raw unmap just then can still make the second half fail.
 */
static int perform_across(struct hmmu_port_full *full, uintptr_t va,
			  struct operation *op)
{
	size_t first = bytes_in_page(va);
	int err = 0;

	if (op->access == HMMU_ACCESS_WRITE) {
		err = prepare_store(full, va);
		if (!err)
			err = prepare_store(full, va + first);
	}
	if (!err)
		err = perform_half(full, va, op, 0, first);
	if (!err)
		err = perform_half(full, va, op, first, op->bytes - first);
	return err;
}

int hmmu__port_access(struct hmmu_port *port, uintptr_t va, size_t bytes,
		      enum hmmu_access access, void *value)
{
	struct operation op = {
		.fn = access == HMMU_ACCESS_WRITE ? do_store : do_load,
		.bytes = bytes,
		.access = access,
	};
	int err;

	if (access == HMMU_ACCESS_WRITE)
		memcpy(op.value, value, bytes);
	if (hmmu_likely(bytes <= bytes_in_page(va)))
		err = perform_in_section(port, va, &op);
	else {
		hmmu_port_begin(port);
		err = perform_across(port_full(port), va, &op);
		hmmu_port_end(port);
	}
	if (!err && access == HMMU_ACCESS_READ)
		memcpy(value, op.value, bytes);
	return err;
}

/* Atomics -------------------------------------------------------------------- */

static bool is_atomic_size(size_t bytes)
{
	return bytes <= 16 && hmmu_is_power_of_2(bytes);
}

int hmmu_port_compare_exchange(struct hmmu_port *port, uintptr_t va,
			       size_t bytes, void *expected,
			       const void *desired)
{
	struct operation op = {
		.fn = do_compare_exchange,
		.bytes = bytes,
		.access = HMMU_ACCESS_WRITE,
	};
	int err;

	if (!port || !expected || !desired || !is_atomic_size(bytes) ||
	    !hmmu_is_aligned(va, bytes))
		return -EINVAL;
	memcpy(op.value, expected, bytes);
	memcpy(op.desired, desired, bytes);
	err = perform_in_section(port, va, &op);
	if (err)
		return err;
	if (!op.is_equal)
		memcpy(expected, op.value, bytes);
	return op.is_equal;
}

int hmmu_port_fetch_add(struct hmmu_port *port, uintptr_t va, size_t bytes,
			uint64_t addend, uint64_t *ret_old)
{
	struct operation op = {
		.fn = do_add,
		.bytes = bytes,
		.access = HMMU_ACCESS_WRITE,
		.desired = { addend },
	};
	int err;

	if (!port || (bytes != 4 && bytes != 8) || !hmmu_is_aligned(va, bytes))
		return -EINVAL;
	err = perform_in_section(port, va, &op);
	if (!err && ret_old)
		*ret_old = op.value[0];
	return err;
}

/* Spans ---------------------------------------------------------------------- */

/* Extends @target beyond its TLB entry, to the mirror's run from @va on. */
static void extend_span(struct hmmu_port_full *full, uintptr_t va, size_t bytes,
			enum hmmu_access access, struct target *target)
{
	struct hmmu_mirror_walk walk;

	if (target->bytes >= bytes)
		return;
	hmmu_mirror_read_begin(full->mirror, full->reader);
	hmmu_mirror_walk_range(&walk, full->mirror, va,
			       hmmu_min(bytes, SPAN_BYTES),
			       HMMU_MIRROR_WALK_RUNS);
	if (hmmu_mirror_walk_next(&walk) && walk.run.start <= va &&
	    (access == HMMU_ACCESS_READ ||
	     walk.run.flags & HMMU_MIRROR_WRITE)) {
		target->host = walk.run.payload + (va - walk.run.start);
		target->bytes = walk.run.end - va;
	}
	hmmu_mirror_read_end(full->mirror, full->reader);
}

int hmmu_port_span(struct hmmu_port *port, uintptr_t va, size_t bytes,
		   enum hmmu_access access, void **ret_host, size_t *ret_bytes)
{
	struct hmmu_port_full *full = port_full(port);
	struct attempt attempt = { 0 };
	struct target target;
	int err;

	if (!port || !ret_host || !ret_bytes || !port->depth || !bytes ||
	    va + bytes - 1 < va)
		return -EINVAL;
	err = translate_va(full, va, access, &attempt, &target);
	if (err)
		return err;
	extend_span(full, va, bytes, access, &target);
	full->span_section = port->section;
	*ret_host = (void *)target.host;
	*ret_bytes = hmmu_min(bytes, target.bytes);
	/* Storing the results may have aborted the section. */
	return hmmu__port_settle(full);
}

/* Copies --------------------------------------------------------------------- */

/*
 * A copy. It is done in pieces of one section each, and @done counts the bytes
 * of all pieces. @is_direct: the program's @buffer is in the arena, so no
 * bounce buffer is needed.
 */
struct copy {
	struct hmmu_port_full *full;
	uintptr_t va;
	unsigned char *buffer;
	size_t bytes;
	size_t done;
	enum hmmu_access access;
	bool is_direct;
};

/* Copies between @host and @memory. Returns the number of uncopied bytes. */
static size_t copy_once(enum hmmu_access access, uintptr_t host, void *memory,
			size_t bytes)
{
	if (access == HMMU_ACCESS_WRITE)
		return copy_protected(host, (uintptr_t)memory, bytes);
	return copy_protected((uintptr_t)memory, host, bytes);
}

/*
 * Copies in an open section. Also on errors, the first *@done bytes have been
 * copied.
 */
static int copy_inside(const struct copy *c, uintptr_t va,
		       unsigned char *memory, size_t bytes, size_t *done)
{
	struct attempt attempt = { 0 };
	struct target target;
	size_t n, left;
	int err;

	while (*done < bytes) {
		err = translate_va(c->full, va + *done, c->access, &attempt,
				   &target);
		if (err)
			return err;
		n = hmmu_min(bytes - *done, target.bytes);
		left = copy_once(c->access, target.host, memory + *done, n);
		*done += n - left;
		/* The attempt so far was for the page before. */
		if (left < n)
			attempt = (struct attempt){ 0 };
		if (!left)
			continue;
		err = revalidate_page(c->full, va + *done, c->access, &attempt);
		if (err)
			return err;
	}
	return 0;
}

static int copy_section(struct copy *c, unsigned char *memory, size_t bytes,
			size_t *done)
{
	int err;

	hmmu_port_begin(&c->full->head);
	err = copy_inside(c, c->va + c->done, memory, bytes, done);
	hmmu_port_end(&c->full->head);
	return err;
}

/* Accesses the program's buffer only outside the section of the piece. */
static int copy_piece(struct copy *c)
{
	unsigned char *memory = c->full->bounce;
	unsigned char *buffer = c->buffer + c->done;
	size_t left = c->bytes - c->done, bytes, done = 0;
	int err;

	bytes = hmmu_min(left,
			 c->is_direct ? SECTION_BYTES : PORT_BOUNCE_BYTES);
	if (c->is_direct)
		memory = buffer;
	else if (c->access == HMMU_ACCESS_WRITE)
		memcpy(memory, buffer, bytes);
	err = copy_section(c, memory, bytes, &done);
	if (!c->is_direct && c->access == HMMU_ACCESS_READ)
		memcpy(buffer, memory, done);
	c->done += done;
	return err;
}

static int copy_all(struct hmmu_port *port, uintptr_t va, void *buffer,
		    size_t bytes, enum hmmu_access access, size_t *ret_done)
{
	struct copy c = {
		.full = port_full(port),
		.va = va,
		.buffer = buffer,
		.bytes = bytes,
		.access = access,
		.is_direct = hmmu__arena_contains((uintptr_t)buffer),
	};
	int err = 0;

	if (!port || (bytes && (!buffer || va + bytes - 1 < va)))
		err = -EINVAL;
	while (!err && c.done < bytes)
		err = copy_piece(&c);
	if (ret_done)
		*ret_done = c.done;
	return err;
}

int hmmu_port_read(struct hmmu_port *port, uintptr_t va, void *buffer,
		   size_t bytes, size_t *ret_done)
{
	return copy_all(port, va, buffer, bytes, HMMU_ACCESS_READ, ret_done);
}

int hmmu_port_write(struct hmmu_port *port, uintptr_t va, const void *buffer,
		    size_t bytes, size_t *ret_done)
{
	/* The cast is safe: HMMU_ACCESS_WRITE only reads the buffer. */
	return copy_all(port, va, (void *)(uintptr_t)buffer, bytes,
			HMMU_ACCESS_WRITE, ret_done);
}
