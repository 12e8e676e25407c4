/* SPDX-License-Identifier: MIT */
/*
 * What the software accelerator reads and writes: descriptors and completion
 * records. Included by soft.h.
 *
 * A descriptor is 64 bytes and says what to do; a completion record is 32 bytes
 * and says how it went. Both follow the pattern of Intel's Data Streaming
 * Accelerator, with names and numbers of our own.
 *
 * Every address is an address of the program: malloc'd, mapped, on a stack, in
 * system memory or on the device. A descriptor that touches memory the device
 * has no translation of does one of two things:
 *
 *   with HMMU_SOFT_BLOCK_ON_FAULT     the device faults, as a CPU would, and
 *                                     goes on;
 *   without                           it stops there with HMMU_SOFT_PAGE_FAULT,
 *                                     the bytes that are done and the address.
 *                                     The submitter makes the page present
 *                                     (hmmu_device_fault()), then
 *                                     hmmu_soft_continue() and submits again.
 *
 * Memory that is not there at all, or may not be written, ends a descriptor
 * with HMMU_SOFT_ACCESS_FAULT either way.
 *
 *	opcode            src     dst      bytes   seed  operand[0]  operand[1]
 *	NOOP              -       -        -       -     -           -
 *	BATCH             list    -        count   -     -           -
 *	DRAIN             -       -        -       -     -           -
 *	MEMMOVE           from    to       yes     -     -           -
 *	FILL              -       to       yes     -     pattern     -
 *	COMPARE           one     other    yes     -     -           -
 *	COMPARE_PATTERN   one     -        yes     -     pattern     -
 *	DUALCAST          from    to       yes     -     second to   -
 *	CRC               from    -        yes     yes   -           -
 *	COPY_CRC          from    to       yes     yes   -           -
 *	FETCH_ADD         -       address  4 or 8  -     addend      -
 *	COMPARE_EXCHANGE  -       address  4 or 8  -     expected    desired
 *
 * Fields marked - and those called reserved are zero.
 */
#ifndef HMMU_SOFT_DESCRIPTOR_H
#define HMMU_SOFT_DESCRIPTOR_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

/** Most bytes of one descriptor. */
#define HMMU_SOFT_BYTES_MAX (1u << 31)
/** Most descriptors of one batch. */
#define HMMU_SOFT_BATCH_MAX 1024u

/**
 * enum hmmu_soft_opcode - what to do
 * @HMMU_SOFT_NOOP:     nothing; the record is written.
 * @HMMU_SOFT_BATCH:    run an array of descriptors, one after the other. The
 *                      array is read while it runs. No batch within a batch.
 * @HMMU_SOFT_DRAIN:    done when every descriptor submitted to the queue before
 *                      it is done. Not within a batch.
 * @HMMU_SOFT_MEMMOVE:  copy; the ranges may overlap.
 * @HMMU_SOFT_FILL:     write an 8-byte pattern over and over; the first byte
 *                      is its lowest, a last part of 8 bytes is cut.
 * @HMMU_SOFT_COMPARE:  result 0 if equal, 1 if not; bytes_completed is the
 *                      offset of the first byte that differs.
 * @HMMU_SOFT_COMPARE_PATTERN: the same against an 8-byte pattern.
 * @HMMU_SOFT_DUALCAST: copy to two places; no two of the three ranges overlap.
 * @HMMU_SOFT_CRC:      CRC-32C of a range, from a seed: 0, or the value of the
 *                      part before.
 * @HMMU_SOFT_COPY_CRC: copy, and the CRC-32C of exactly the bytes written; no
 *                      overlap.
 * @HMMU_SOFT_FETCH_ADD: atomic add to a naturally aligned word; value has what
 *                      was there before.
 * @HMMU_SOFT_COMPARE_EXCHANGE: atomic; result 1 if exchanged; value has what
 *                      was there before.
 */
enum hmmu_soft_opcode {
	HMMU_SOFT_NOOP = 0x00,
	HMMU_SOFT_BATCH = 0x01,
	HMMU_SOFT_DRAIN = 0x02,
	HMMU_SOFT_MEMMOVE = 0x03,
	HMMU_SOFT_FILL = 0x04,
	HMMU_SOFT_COMPARE = 0x05,
	HMMU_SOFT_COMPARE_PATTERN = 0x06,
	HMMU_SOFT_DUALCAST = 0x09,
	HMMU_SOFT_CRC = 0x10,
	HMMU_SOFT_COPY_CRC = 0x11,
	HMMU_SOFT_FETCH_ADD = 0x40,
	HMMU_SOFT_COMPARE_EXCHANGE = 0x41,
};

/**
 * enum hmmu_soft_flag - how to do it
 * @HMMU_SOFT_FENCE:  start only when every descriptor before it, in the batch
 *                    or in the queue, is done. In a batch it also stops the
 *                    batch if one before it was not successful.
 * @HMMU_SOFT_BLOCK_ON_FAULT: resolve missing translations and go on. For a
 *                    batch: those of the array; its members have their own.
 * @HMMU_SOFT_RECORD: the record field is an address; write a record there.
 */
enum hmmu_soft_flag {
	HMMU_SOFT_FENCE = 1u << 0,
	HMMU_SOFT_BLOCK_ON_FAULT = 1u << 1,
	HMMU_SOFT_RECORD = 1u << 2,
};

/**
 * enum hmmu_soft_status - how a descriptor ended
 * @HMMU_SOFT_PENDING:      it has not; the submitter writes this.
 * @HMMU_SOFT_SUCCESS:      all of it is done.
 * @HMMU_SOFT_PAGE_FAULT:   no translation, and BLOCK_ON_FAULT is not set. Part
 *                          is done: make the page present, continue.
 * @HMMU_SOFT_ACCESS_FAULT: the program's memory refuses the access. Part is
 *                          done; the record says where, what for and why.
 * @HMMU_SOFT_BATCH_FAIL:   the array was run as far as bytes_completed says,
 *                          and a member was not successful.
 * @HMMU_SOFT_BAD_OPCODE:   not an opcode, or not here.
 * @HMMU_SOFT_BAD_FLAGS:    an unknown flag.
 * @HMMU_SOFT_BAD_RESERVED: a field the opcode does not use is not zero.
 * @HMMU_SOFT_BAD_SIZE:     0 or more than HMMU_SOFT_BYTES_MAX; for an atomic
 *                          neither 4 nor 8.
 * @HMMU_SOFT_BAD_COUNT:    of a batch: 0 or more than HMMU_SOFT_BATCH_MAX.
 * @HMMU_SOFT_BAD_RANGE:    a range wraps.
 * @HMMU_SOFT_BAD_OVERLAP:  ranges overlap that must not.
 * @HMMU_SOFT_BAD_ALIGN:    the word of an atomic, or the array of a batch (64
 *                          bytes), is misaligned.
 * @HMMU_SOFT_BAD_RECORD:   a member's record is NULL or misaligned. Counted in
 *                          the statistics: there is nowhere to write it.
 *
 * From BAD_OPCODE on nothing was done.
 */
enum hmmu_soft_status {
	HMMU_SOFT_PENDING = 0x00,
	HMMU_SOFT_SUCCESS = 0x01,
	HMMU_SOFT_PAGE_FAULT = 0x03,
	HMMU_SOFT_ACCESS_FAULT = 0x04,
	HMMU_SOFT_BATCH_FAIL = 0x05,
	HMMU_SOFT_BAD_OPCODE = 0x10,
	HMMU_SOFT_BAD_FLAGS = 0x11,
	HMMU_SOFT_BAD_RESERVED = 0x12,
	HMMU_SOFT_BAD_SIZE = 0x13,
	HMMU_SOFT_BAD_COUNT = 0x14,
	HMMU_SOFT_BAD_RANGE = 0x15,
	HMMU_SOFT_BAD_OVERLAP = 0x16,
	HMMU_SOFT_BAD_ALIGN = 0x17,
	HMMU_SOFT_BAD_RECORD = 0x18,
};

/**
 * struct hmmu_soft_descriptor - one piece of work
 * @opcode:    enum hmmu_soft_opcode.
 * @reserved0: zero.
 * @flags:     enum hmmu_soft_flag.
 * @record:    address of a struct hmmu_soft_record, 32-byte aligned; zero
 *             without HMMU_SOFT_RECORD.
 * @src:       first byte read; of a batch: the array, 64-byte aligned, which
 *             malloc() does not promise (aligned_alloc(), _Alignas(64)).
 * @dst:       first byte written, or the other range of a comparison.
 * @bytes:     how many bytes; of a batch: how many descriptors.
 * @seed:      of a CRC.
 * @operand:   see the table above.
 * @reserved1: zero.
 */
struct hmmu_soft_descriptor {
	uint8_t opcode;
	uint8_t reserved0[3];
	uint32_t flags;
	uint64_t record;
	uint64_t src;
	uint64_t dst;
	uint32_t bytes;
	uint32_t seed;
	uint64_t operand[2];
	uint64_t reserved1;
};

/**
 * struct hmmu_soft_record - how a descriptor ended
 * @status:          enum hmmu_soft_status; the submitter sets it to PENDING,
 *                   the device writes it last. Read it with
 *                   hmmu_soft_record_status().
 * @result:          of a comparison: 1 if different; of a compare-exchange: 1
 *                   if exchanged; of a move that stopped: 1 if it goes from the
 *                   end, so that the last @bytes_completed bytes are done; of a
 *                   batch that stopped: 1 if a member was not successful.
 * @fault_write:     of a fault: 1 if it was a write.
 * @fault_errno:     of a fault: why, a positive errno: ENOENT no translation
 *                   (PAGE_FAULT); EFAULT nothing mapped, EPERM not writable,
 *                   EBUSY collided for too long, ENOMEM (ACCESS_FAULT).
 * @bytes_completed: bytes done; of a batch: descriptors run.
 * @fault_address:   of a fault: the byte that could not be reached.
 * @value:           the CRC so far, or the old value of an atomic.
 * @reserved:        zero.
 */
struct hmmu_soft_record {
	uint8_t status;
	uint8_t result;
	uint8_t fault_write;
	uint8_t fault_errno;
	uint32_t bytes_completed;
	uint64_t fault_address;
	uint64_t value;
	uint64_t reserved;
} __attribute__((aligned(32)));

/**
 * hmmu_soft_record_status() - look whether a descriptor has ended
 * @record: a record named in a submitted descriptor.
 *
 * The acquire load pairs with the device's last store: what the descriptor has
 * written, the rest of the record included, is visible when this is not
 * HMMU_SOFT_PENDING.
 *
 * Context: Touches @record; does not sleep otherwise.
 * Locking: None.
 * Return: enum hmmu_soft_status.
 * Since: 0.1
 */
static inline HMMU_MUST_CHECK uint8_t
hmmu_soft_record_status(const struct hmmu_soft_record *record)
{
	return __atomic_load_n(&record->status, __ATOMIC_ACQUIRE);
}

/**
 * hmmu_soft_status_text() - a status in words
 * @status: enum hmmu_soft_status.
 *
 * Context: Any.
 * Locking: None.
 * Return: a static string, "unknown" for a number that is no status.
 * Since: 0.1
 */
HMMU_API const char *hmmu_soft_status_text(unsigned int status);

/**
 * hmmu_soft_continue() - turn a descriptor that stopped into the rest of it
 * @descriptor: in: as submitted; out: what is left to do.
 * @record:     its record, with HMMU_SOFT_PAGE_FAULT or ACCESS_FAULT; its
 *              status becomes HMMU_SOFT_PENDING.
 *
 * Submit the result once @record->fault_address can be reached: after
 * hmmu_device_fault(), or with HMMU_SOFT_BLOCK_ON_FAULT added. The rest counts
 * its own bytes_completed from 0; a CRC goes on from the one so far.
 *
 * Context: Touches both arguments.
 * Locking: None.
 * Return:
 *   0        submit @descriptor again
 *   -EINVAL  NULL, or the record is not that of a fault of this descriptor;
 *            nothing was changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_continue(struct hmmu_soft_descriptor *descriptor,
		   struct hmmu_soft_record *record);

HMMU_END_DECLS

#endif
