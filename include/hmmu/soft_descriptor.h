/* SPDX-License-Identifier: MIT */
/*
 * Descriptors and completion records of the software accelerator. Included by
 * soft.h.
 *
 * Overview: a descriptor (64 bytes) is an operation; its completion record (32
 * bytes) is the result. Both are modelled on Intel's Data Streaming
 * Accelerator, with other names and numbers.
 *
 * Addresses are the program's: heap, mmap, stack, in system memory or on the
 * device. If the device has no translation of an address, the descriptor
 *
 *   with HMMU_SOFT_BLOCK_ON_FAULT     faults it in, as a CPU access would, and
 *                                     continues;
 *   without                           stops with HMMU_SOFT_PAGE_FAULT. The
 *                                     record has the bytes that are done and
 *                                     the address. The submitter faults it in
 *                                     (hmmu_device_fault()), calls
 *                                     hmmu_soft_continue() and submits again.
 *
 * If the memory is not mapped or not writable, the descriptor stops with
 * HMMU_SOFT_ACCESS_FAULT in both cases.
 *
 *	opcode            src     dst      bytes   seed  operand[0]  operand[1]
 *	NOOP              -       -        -       -     -           -
 *	BATCH             array   -        count   -     -           -
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
 * Fields marked - and reserved fields are 0.
 */
#ifndef HMMU_SOFT_DESCRIPTOR_H
#define HMMU_SOFT_DESCRIPTOR_H

#include <hmmu/base.h>

HMMU_BEGIN_DECLS

/** Maximum length of a descriptor, bytes. */
#define HMMU_SOFT_BYTES_MAX (1u << 31)
/** Maximum number of descriptors of a batch. */
#define HMMU_SOFT_BATCH_MAX 1024u

/**
 * enum hmmu_soft_opcode - operation of a descriptor
 * @HMMU_SOFT_NOOP:     write the record, and do nothing else.
 * @HMMU_SOFT_BATCH:    run the descriptors of an array, one after the other.
 *                      The array is read while the batch runs. A batch contains
 *                      no batch.
 * @HMMU_SOFT_DRAIN:    complete when all descriptors that were submitted to the
 *                      queue before are done. Not in a batch.
 * @HMMU_SOFT_MEMMOVE:  copy. The ranges may overlap.
 * @HMMU_SOFT_FILL:     repeat an 8-byte pattern, lowest byte first. The last
 *                      pattern may be partial.
 * @HMMU_SOFT_COMPARE:  result 0: equal; 1: different, and bytes_completed is
 *                      the offset of the first difference.
 * @HMMU_SOFT_COMPARE_PATTERN: as COMPARE, with a repeated 8-byte pattern.
 * @HMMU_SOFT_DUALCAST: copy to two ranges. No two of the three overlap.
 * @HMMU_SOFT_CRC:      CRC-32C. The seed is 0, or the value of the part before.
 * @HMMU_SOFT_COPY_CRC: copy, and compute the CRC-32C of the bytes written. The
 *                      ranges do not overlap.
 * @HMMU_SOFT_FETCH_ADD: atomic add to an aligned word; value is the old value.
 * @HMMU_SOFT_COMPARE_EXCHANGE: atomic compare and exchange; result 1:
 *                      exchanged; value is the old value.
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
 * enum hmmu_soft_flag - flags of a descriptor
 * @HMMU_SOFT_FENCE:  start after all descriptors before it in the batch or the
 *                    queue are done. In a batch: if one of them failed, stop
 *                    the batch.
 * @HMMU_SOFT_BLOCK_ON_FAULT: fault missing pages in and continue. For a batch:
 *                    the pages of its array; its members have their own flags.
 * @HMMU_SOFT_RECORD: write a record to the address in record.
 */
enum hmmu_soft_flag {
	HMMU_SOFT_FENCE = 1u << 0,
	HMMU_SOFT_BLOCK_ON_FAULT = 1u << 1,
	HMMU_SOFT_RECORD = 1u << 2,
};

/**
 * enum hmmu_soft_status - status of a descriptor
 * @HMMU_SOFT_PENDING:      not done. The submitter sets it.
 * @HMMU_SOFT_SUCCESS:      done.
 * @HMMU_SOFT_PAGE_FAULT:   no translation, without BLOCK_ON_FAULT. A part is
 *                          done: fault the page in and continue.
 * @HMMU_SOFT_ACCESS_FAULT: not mapped or not writable. A part is done. The
 *                          record has address, access and error.
 * @HMMU_SOFT_BATCH_FAIL:   a member failed. bytes_completed is the number of
 *                          descriptors that have run.
 * @HMMU_SOFT_BAD_OPCODE:   unknown opcode, or not allowed in a batch.
 * @HMMU_SOFT_BAD_FLAGS:    unknown flag.
 * @HMMU_SOFT_BAD_RESERVED: a field that the opcode does not use is not 0.
 * @HMMU_SOFT_BAD_SIZE:     0, or more than HMMU_SOFT_BYTES_MAX; of an atomic:
 *                          not 4 or 8.
 * @HMMU_SOFT_BAD_COUNT:    of a batch: 0, or more than HMMU_SOFT_BATCH_MAX.
 * @HMMU_SOFT_BAD_RANGE:    a range wraps.
 * @HMMU_SOFT_BAD_OVERLAP:  ranges overlap that must not.
 * @HMMU_SOFT_BAD_ALIGN:    the word of an atomic, or the array of a batch (64
 *                          bytes), is misaligned.
 * @HMMU_SOFT_BAD_RECORD:   of a member of a batch: its record is NULL or
 *                          misaligned. It cannot be written, only counted.
 *
 * With BAD_OPCODE and above, nothing was done.
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
 * struct hmmu_soft_descriptor - an operation
 * @opcode:    enum hmmu_soft_opcode.
 * @reserved0: 0.
 * @flags:     enum hmmu_soft_flag.
 * @record:    address of a struct hmmu_soft_record, aligned to 32 bytes; 0
 *             without HMMU_SOFT_RECORD.
 * @src:       first byte read. Of a batch: the array, aligned to 64 bytes. Use
 *             aligned_alloc() or _Alignas(64), not malloc().
 * @dst:       first byte written, or the other range of a comparison.
 * @bytes:     length. Of a batch: number of descriptors.
 * @seed:      of a CRC.
 * @operand:   see the table above.
 * @reserved1: 0.
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
 * struct hmmu_soft_record - result of a descriptor
 * @status:          enum hmmu_soft_status. The submitter sets it to PENDING,
 *                   and the device writes it last. Read it with
 *                   hmmu_soft_record_status().
 * @result:          of a comparison: 1 if different. Of a compare and exchange:
 *                   1 if exchanged. Of a move that stopped: 1 if it copies from
 *                   the end, so that the last @bytes_completed bytes are done.
 *                   Of a batch that stopped: 1 if a member failed.
 * @fault_write:     of a fault: 1 if it was a write.
 * @fault_errno:     of a fault: a positive errno. PAGE_FAULT: ENOENT, no
 *                   translation. ACCESS_FAULT: EFAULT, not mapped; EPERM, not
 *                   writable; EBUSY, collided for 1 s; ENOMEM.
 * @bytes_completed: bytes that are done. Of a batch: descriptors that have run.
 * @fault_address:   of a fault: the address that could not be accessed.
 * @value:           the CRC so far, or the old value of an atomic.
 * @reserved:        0.
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
 * hmmu_soft_record_status() - read the status of a record
 * @record: the record of a submitted descriptor.
 *
 * The acquire load pairs with the device's last store. If the status is not
 * HMMU_SOFT_PENDING, all that the descriptor wrote is visible, and so is the
 * rest of the record.
 *
 * Context: Reads @record, which may be on a device; otherwise does not sleep.
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
 * hmmu_soft_status_text() - describe a status
 * @status: enum hmmu_soft_status.
 *
 * Context: Any.
 * Locking: None.
 * Return: a static string; "unknown" for a number that is no status.
 * Since: 0.1
 */
HMMU_API const char *hmmu_soft_status_text(unsigned int status);

/**
 * hmmu_soft_continue() - change a stopped descriptor into the rest of it
 * @descriptor: in: the descriptor as submitted; out: the rest of it.
 * @record:     its record, with the status PAGE_FAULT or ACCESS_FAULT. The
 *              status becomes HMMU_SOFT_PENDING.
 *
 * Submit the result when @record->fault_address can be accessed: after
 * hmmu_device_fault(), or with HMMU_SOFT_BLOCK_ON_FAULT. The bytes_completed of
 * the rest start at 0. A CRC continues.
 *
 * Context: Accesses both arguments, which may be on a device; otherwise does
 *          not sleep.
 * Locking: None.
 * Return:
 *   0        success: submit @descriptor again
 *   -EINVAL  NULL, or the record is not of a fault of this descriptor; nothing
 *            was changed
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_soft_continue(struct hmmu_soft_descriptor *descriptor,
		   struct hmmu_soft_record *record);

HMMU_END_DECLS

#endif
