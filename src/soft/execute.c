/* SPDX-License-Identifier: MIT */
/*
 * Execution of one descriptor: batches, atomics and the completion record
 *
 * Overview: a worker runs a descriptor in its own thread, through its own
 * port. transfer.c does the opcodes that work on ranges.
 *
 * Locking: takes none. A port call may sleep in a device fault.
 */
#include <errno.h>
#include <string.h>

#include "soft/descriptor.h"
#include "soft/execute.h"
#include "soft/state.h"
#include "soft/transfer.h"

/*
 * ThreadSanitizer does not see the stores of a port's instructions. This
 * release orders everything before it before the record. Pairs with the
 * acquire in hmmu_soft_wait().
 */
static void order_for_tsan(struct hmmu_soft *soft)
{
	if (HMMU_TSAN)
		atomic_fetch_add_explicit(&soft->progress, 0,
					  memory_order_release);
}

static struct hmmu_soft_record *find_pooled_record(const struct hmmu_soft *soft,
						   uint64_t va)
{
	uint64_t offset = va - (uintptr_t)soft->records;

	if (offset >= soft->record_count * sizeof(struct hmmu_soft_record))
		return NULL;
	return &soft->records[offset / sizeof(struct hmmu_soft_record)];
}

static void write_pooled_record(struct hmmu_soft_record *to,
				const struct hmmu_soft_record *record)
{
	to->result = record->result;
	to->fault_write = record->fault_write;
	to->fault_errno = record->fault_errno;
	to->bytes_completed = record->bytes_completed;
	to->fault_address = record->fault_address;
	to->value = record->value;
	to->reserved = 0;
	/* Pairs with the acquire load in hmmu_soft_record_status(). */
	__atomic_store_n(&to->status, record->status, __ATOMIC_RELEASE);
}

/*
 * The word with the status is stored last. Each store is one instruction, and
 * x86-64 keeps the order of stores, also that of the descriptor's own stores:
 * this is the release that pairs with hmmu_soft_record_status().
 */
static int write_through_port(struct hmmu_port *port, uint64_t va,
			      const struct hmmu_soft_record *record)
{
	uint64_t words[4];
	int err = 0;
	size_t i;

	memcpy(words, record, sizeof(words));
	hmmu_port_begin(port);
	for (i = HMMU_ARRAY_SIZE(words); i-- > 0 && !err;)
		err = hmmu_port_store64(port, va + i * sizeof(words[0]),
					words[i]);
	hmmu_port_end(port);
	return err;
}

/* A missing translation of the record is resolved, never reported. */
static void write_completion_record(struct hmmu_soft_worker *worker,
				    uint64_t va,
				    const struct hmmu_soft_record *record)
{
	struct hmmu_soft_record *pooled = find_pooled_record(worker->soft, va);

	order_for_tsan(worker->soft);
	if (pooled) {
		write_pooled_record(pooled, record);
		return;
	}
	hmmu__soft_set_reports(worker, false);
	if (write_through_port(worker->port, va, record))
		hmmu__soft_count(worker, HMMU_SOFT_COUNT_LOST, 1);
}

static void run_fetch_add(struct hmmu_soft_worker *worker,
			  const struct hmmu_soft_descriptor *d,
			  struct hmmu_soft_record *record)
{
	uint64_t old = 0;
	int err;

	err = hmmu_port_fetch_add(worker->port, d->dst, d->bytes, d->operand[0],
				  &old);
	hmmu__soft_set_status(worker, err, record);
	if (err)
		return;
	record->bytes_completed = d->bytes;
	record->value = d->bytes == 4 ? (uint32_t)old : old;
}

/* x86-64 is little-endian: a word of 4 bytes is the operand's low half. */
static void run_compare_exchange(struct hmmu_soft_worker *worker,
				 const struct hmmu_soft_descriptor *d,
				 struct hmmu_soft_record *record)
{
	uint64_t found = d->bytes == 4 ? (uint32_t)d->operand[0] :
					 d->operand[0];
	uint64_t wanted = found, desired = d->operand[1];
	int ret;

	ret = hmmu_port_compare_exchange(worker->port, d->dst, d->bytes, &found,
					 &desired);
	hmmu__soft_set_status(worker, ret < 0 ? ret : 0, record);
	if (ret < 0)
		return;
	record->bytes_completed = d->bytes;
	record->result = ret > 0;
	record->value = ret > 0 ? wanted : found;
}

static uint8_t run_member(struct hmmu_soft_worker *worker,
			  const struct hmmu_soft_descriptor *d);

/*
 * Members run one after the other. At a fence all members before it are done,
 * so the fence only checks whether one has failed.
 */
static void run_batch(struct hmmu_soft_worker *worker,
		      const struct hmmu_soft_descriptor *d,
		      struct hmmu_soft_record *record)
{
	bool reports = !(d->flags & HMMU_SOFT_BLOCK_ON_FAULT);
	struct hmmu_soft_descriptor member;
	int err = 0;
	uint32_t i;

	hmmu__soft_count(worker, HMMU_SOFT_COUNT_BATCHES, 1);
	for (i = 0; i < d->bytes; i++) {
		hmmu__soft_set_reports(worker, reports);
		err = hmmu_port_read(worker->port, d->src + i * sizeof(member),
				     &member, sizeof(member), NULL);
		if (err)
			break;
		if (record->result && (member.flags & HMMU_SOFT_FENCE))
			break;
		if (run_member(worker, &member) != HMMU_SOFT_SUCCESS)
			record->result = 1;
	}
	record->bytes_completed = i;
	hmmu__soft_set_status(worker, err, record);
	if (!err && record->result)
		record->status = HMMU_SOFT_BATCH_FAIL;
}

static void run_opcode(struct hmmu_soft_worker *worker,
		       const struct hmmu_soft_descriptor *d,
		       struct hmmu_soft_record *record)
{
	switch (d->opcode) {
	case HMMU_SOFT_NOOP:
	case HMMU_SOFT_DRAIN:
		record->status = HMMU_SOFT_SUCCESS;
		break;
	case HMMU_SOFT_BATCH:
		run_batch(worker, d, record);
		break;
	case HMMU_SOFT_FETCH_ADD:
		run_fetch_add(worker, d, record);
		break;
	case HMMU_SOFT_COMPARE_EXCHANGE:
		run_compare_exchange(worker, d, record);
		break;
	default:
		hmmu__soft_transfer(worker, d, record);
		break;
	}
}

static void count_completion(struct hmmu_soft_worker *worker, uint8_t status)
{
	hmmu__soft_count(worker, HMMU_SOFT_COUNT_DESCRIPTORS, 1);
	if (status == HMMU_SOFT_SUCCESS)
		return;
	hmmu__soft_count(worker, HMMU_SOFT_COUNT_FAILED, 1);
	if (status == HMMU_SOFT_PAGE_FAULT)
		hmmu__soft_count(worker, HMMU_SOFT_COUNT_PAGE_FAULTS, 1);
	if (status == HMMU_SOFT_ACCESS_FAULT)
		hmmu__soft_count(worker, HMMU_SOFT_COUNT_ACCESS_FAULTS, 1);
}

/* Run @d if @status, the result of its check, is SUCCESS; write the record. */
static uint8_t run_descriptor(struct hmmu_soft_worker *worker,
			      const struct hmmu_soft_descriptor *d,
			      uint8_t status)
{
	struct hmmu_soft_record record = { .status = status };

	if (status == HMMU_SOFT_SUCCESS) {
		hmmu__soft_set_reports(worker,
				       !(d->flags & HMMU_SOFT_BLOCK_ON_FAULT));
		run_opcode(worker, d, &record);
	}
	count_completion(worker, record.status);
	if (d->flags & HMMU_SOFT_RECORD)
		write_completion_record(worker, d->record, &record);
	return record.status;
}

/* hmmu_soft_submit() checks the record of a descriptor, but not of members. */
static uint8_t run_member(struct hmmu_soft_worker *worker,
			  const struct hmmu_soft_descriptor *d)
{
	if ((d->flags & HMMU_SOFT_RECORD) &&
	    (!d->record ||
	     !hmmu_is_aligned(d->record, sizeof(struct hmmu_soft_record)))) {
		count_completion(worker, HMMU_SOFT_BAD_RECORD);
		hmmu__soft_count(worker, HMMU_SOFT_COUNT_LOST, 1);
		return HMMU_SOFT_BAD_RECORD;
	}
	return run_descriptor(worker, d, hmmu__soft_check(d, true));
}

void hmmu__soft_execute(struct hmmu_soft_worker *worker,
			const struct hmmu_soft_descriptor *d)
{
	(void)run_descriptor(worker, d, hmmu__soft_check(d, false));
}
