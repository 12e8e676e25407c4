/* SPDX-License-Identifier: MIT */
/*
 * Descriptor validation, and the remainder of a descriptor that stopped
 *
 * Locking: none. The functions work on the caller's copy.
 */
#include <errno.h>

#include "soft/descriptor.h"
#include "soft/ring.h"

_Static_assert(sizeof(struct hmmu_soft_descriptor) == 64, "one entry");
_Static_assert(sizeof(struct hmmu_soft_descriptor) == HMMU_RING_ENTRY_BYTES,
	       "a descriptor is an entry of the ring");
_Static_assert(sizeof(struct hmmu_soft_record) == 32, "half of it");

/* The fields that an opcode uses. */
#define USES_SRC      (1u << 0)
#define USES_DST      (1u << 1)
#define USES_BYTES    (1u << 2)
#define USES_SEED     (1u << 3)
#define USES_OPERAND0 (1u << 4)
#define USES_OPERAND1 (1u << 5)
/* Properties of an opcode. */
#define IS_KNOWN      (1u << 8)
#define IS_ATOMIC     (1u << 9)
#define IS_ALONE      (1u << 10) /* not in a batch */

static uint32_t rules_of(uint8_t opcode)
{
	switch (opcode) {
	case HMMU_SOFT_NOOP:
		return IS_KNOWN;
	case HMMU_SOFT_DRAIN:
		return IS_KNOWN | IS_ALONE;
	case HMMU_SOFT_BATCH:
		return IS_KNOWN | IS_ALONE | USES_SRC | USES_BYTES;
	case HMMU_SOFT_MEMMOVE:
	case HMMU_SOFT_COMPARE:
		return IS_KNOWN | USES_SRC | USES_DST | USES_BYTES;
	case HMMU_SOFT_FILL:
		return IS_KNOWN | USES_DST | USES_BYTES | USES_OPERAND0;
	case HMMU_SOFT_COMPARE_PATTERN:
		return IS_KNOWN | USES_SRC | USES_BYTES | USES_OPERAND0;
	case HMMU_SOFT_DUALCAST:
		return IS_KNOWN | USES_SRC | USES_DST | USES_BYTES |
		       USES_OPERAND0;
	case HMMU_SOFT_CRC:
		return IS_KNOWN | USES_SRC | USES_BYTES | USES_SEED;
	case HMMU_SOFT_COPY_CRC:
		return IS_KNOWN | USES_SRC | USES_DST | USES_BYTES | USES_SEED;
	case HMMU_SOFT_FETCH_ADD:
		return IS_KNOWN | IS_ATOMIC | USES_DST | USES_BYTES |
		       USES_OPERAND0;
	case HMMU_SOFT_COMPARE_EXCHANGE:
		return IS_KNOWN | IS_ATOMIC | USES_DST | USES_BYTES |
		       USES_OPERAND0 | USES_OPERAND1;
	default:
		return 0;
	}
}

static bool is_clean(const struct hmmu_soft_descriptor *d, uint32_t rules)
{
	uint64_t dirt = d->reserved1;

	dirt |= d->reserved0[0] | d->reserved0[1] | d->reserved0[2];
	dirt |= d->flags & HMMU_SOFT_RECORD ? 0 : d->record;
	dirt |= rules & USES_SRC ? 0 : d->src;
	dirt |= rules & USES_DST ? 0 : d->dst;
	dirt |= rules & USES_BYTES ? 0 : d->bytes;
	dirt |= rules & USES_SEED ? 0 : d->seed;
	dirt |= rules & USES_OPERAND0 ? 0 : d->operand[0];
	dirt |= rules & USES_OPERAND1 ? 0 : d->operand[1];
	return !dirt;
}

static uint8_t check_size(const struct hmmu_soft_descriptor *d, uint32_t rules)
{
	if (!(rules & USES_BYTES))
		return HMMU_SOFT_SUCCESS;
	if (d->opcode == HMMU_SOFT_BATCH)
		return d->bytes && d->bytes <= HMMU_SOFT_BATCH_MAX ?
			       HMMU_SOFT_SUCCESS :
			       HMMU_SOFT_BAD_COUNT;
	if (rules & IS_ATOMIC)
		return d->bytes == 4 || d->bytes == 8 ? HMMU_SOFT_SUCCESS :
							HMMU_SOFT_BAD_SIZE;
	return d->bytes && d->bytes <= HMMU_SOFT_BYTES_MAX ? HMMU_SOFT_SUCCESS :
							     HMMU_SOFT_BAD_SIZE;
}

static bool is_misaligned(const struct hmmu_soft_descriptor *d, uint32_t rules)
{
	if (d->opcode == HMMU_SOFT_BATCH)
		return !hmmu_is_aligned(d->src, sizeof(*d));
	return (rules & IS_ATOMIC) && !hmmu_is_aligned(d->dst, d->bytes);
}

/*
 * Also true for a range that ends at the top of the address space: its
 * exclusive end does not fit in 64 bits.
 */
static bool wraps(uint64_t start, uint64_t bytes)
{
	return start + bytes < start;
}

static bool any_wraps(const struct hmmu_soft_descriptor *d, uint32_t rules)
{
	uint64_t bytes = d->bytes;

	if (d->opcode == HMMU_SOFT_BATCH)
		bytes *= sizeof(*d);
	if ((rules & USES_SRC) && wraps(d->src, bytes))
		return true;
	if ((rules & USES_DST) && wraps(d->dst, bytes))
		return true;
	return d->opcode == HMMU_SOFT_DUALCAST && wraps(d->operand[0], bytes);
}

bool hmmu__soft_overlaps(uint64_t a, uint64_t b, uint64_t bytes)
{
	return a < b + bytes && b < a + bytes;
}

static bool overlaps_badly(const struct hmmu_soft_descriptor *d)
{
	if (d->opcode == HMMU_SOFT_COPY_CRC)
		return hmmu__soft_overlaps(d->src, d->dst, d->bytes);
	return d->opcode == HMMU_SOFT_DUALCAST &&
	       (hmmu__soft_overlaps(d->src, d->dst, d->bytes) ||
		hmmu__soft_overlaps(d->src, d->operand[0], d->bytes) ||
		hmmu__soft_overlaps(d->dst, d->operand[0], d->bytes));
}

uint8_t hmmu__soft_check(const struct hmmu_soft_descriptor *d, bool in_batch)
{
	const uint32_t known = HMMU_SOFT_FENCE | HMMU_SOFT_BLOCK_ON_FAULT |
			       HMMU_SOFT_RECORD;
	uint32_t rules = rules_of(d->opcode);
	uint8_t status;

	if (!(rules & IS_KNOWN) || (in_batch && (rules & IS_ALONE)))
		return HMMU_SOFT_BAD_OPCODE;
	if (d->flags & ~known)
		return HMMU_SOFT_BAD_FLAGS;
	if (!is_clean(d, rules))
		return HMMU_SOFT_BAD_RESERVED;
	status = check_size(d, rules);
	if (status != HMMU_SOFT_SUCCESS)
		return status;
	if (is_misaligned(d, rules))
		return HMMU_SOFT_BAD_ALIGN;
	if (any_wraps(d, rules))
		return HMMU_SOFT_BAD_RANGE;
	return overlaps_badly(d) ? HMMU_SOFT_BAD_OVERLAP : HMMU_SOFT_SUCCESS;
}

bool hmmu__soft_is_fenced(const struct hmmu_soft_descriptor *d)
{
	return (d->flags & HMMU_SOFT_FENCE) || d->opcode == HMMU_SOFT_DRAIN;
}

bool hmmu__soft_is_backward(const struct hmmu_soft_descriptor *d)
{
	return d->opcode == HMMU_SOFT_MEMMOVE && d->dst > d->src &&
	       hmmu__soft_overlaps(d->src, d->dst, d->bytes);
}

/* Remove the first @done bytes or members, which are fewer than all. */
static void advance_descriptor(struct hmmu_soft_descriptor *d, uint32_t rules,
			       uint32_t done)
{
	uint64_t step = done;

	if (d->opcode == HMMU_SOFT_BATCH)
		step *= sizeof(*d);
	d->bytes -= done;
	if (hmmu__soft_is_backward(d))
		return;
	d->src += rules & USES_SRC ? step : 0;
	d->dst += rules & USES_DST ? step : 0;
	if (d->opcode == HMMU_SOFT_DUALCAST)
		d->operand[0] += step;
	else if (rules & USES_OPERAND0)
		d->operand[0] = hmmu__soft_turn_pattern(d->operand[0], done);
}

static bool is_fault_of(const struct hmmu_soft_record *record,
			const struct hmmu_soft_descriptor *d, uint32_t rules)
{
	if (record->status != HMMU_SOFT_PAGE_FAULT &&
	    record->status != HMMU_SOFT_ACCESS_FAULT)
		return false;
	if (rules & IS_ATOMIC)
		return !record->bytes_completed;
	return (rules & USES_BYTES) && record->bytes_completed < d->bytes;
}

int hmmu_soft_continue(struct hmmu_soft_descriptor *descriptor,
		       struct hmmu_soft_record *record)
{
	uint32_t rules;

	if (!descriptor || !record)
		return -EINVAL;
	rules = rules_of(descriptor->opcode);
	if (!is_fault_of(record, descriptor, rules))
		return -EINVAL;
	if (!(rules & IS_ATOMIC))
		advance_descriptor(descriptor, rules, record->bytes_completed);
	if (rules & USES_SEED)
		descriptor->seed = (uint32_t)record->value;
	record->status = HMMU_SOFT_PENDING;
	return 0;
}

const char *hmmu_soft_status_text(unsigned int status)
{
	switch (status) {
	case HMMU_SOFT_PENDING:
		return "not done yet";
	case HMMU_SOFT_SUCCESS:
		return "success";
	case HMMU_SOFT_PAGE_FAULT:
		return "stopped at a page without translation";
	case HMMU_SOFT_ACCESS_FAULT:
		return "memory refuses the access";
	case HMMU_SOFT_BATCH_FAIL:
		return "a descriptor of the batch failed";
	case HMMU_SOFT_BAD_OPCODE:
		return "unknown opcode, or not allowed here";
	case HMMU_SOFT_BAD_FLAGS:
		return "unknown flag";
	case HMMU_SOFT_BAD_RESERVED:
		return "a reserved field is not zero";
	case HMMU_SOFT_BAD_SIZE:
		return "size is zero or too large";
	case HMMU_SOFT_BAD_COUNT:
		return "count of a batch is zero or too large";
	case HMMU_SOFT_BAD_RANGE:
		return "range wraps";
	case HMMU_SOFT_BAD_OVERLAP:
		return "ranges overlap";
	case HMMU_SOFT_BAD_ALIGN:
		return "misaligned address";
	case HMMU_SOFT_BAD_RECORD:
		return "record of a member is NULL or misaligned";
	default:
		return "unknown";
	}
}
