/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of the software accelerator over a port that fails when told to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_soft_fake.h"

#define WAIT_NS	 (20ull * 1000 * 1000 * 1000)
#define PAGE	 HMMU_PAGE_BYTES
#define RESOLVES HMMU_SOFT_BLOCK_ON_FAULT
#define STEP	 (64u * 1024)
#define T(fn)	 cmocka_unit_test_setup_teardown(fn, setup, teardown)

static struct hmmu_soft *soft;
static struct hmmu_soft_queue *queue;
static unsigned char shadow[FAKE_BYTES];
static uint32_t random_state;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)random_state * limit >> 32);
}

static void fill_memory(void)
{
	size_t i;

	for (i = 0; i < FAKE_BYTES; i++)
		shadow[i] = (unsigned char)random_below(256);
	memcpy(fake.memory, shadow, FAKE_BYTES);
}

static int make(uint32_t workers)
{
	const struct hmmu_soft_options options = { .size = sizeof(options),
						   .workers = workers,
						   .records = 4 };

	return hmmu_soft_create((struct hmmu_space *)&fake, &options, &soft);
}

static int setup(void **state)
{
	(void)state;
	random_state = 1;
	fake_reset();
	fill_memory();
	assert_int_equal(make(1), 0);
	assert_int_equal(hmmu_soft_queue_create(soft, NULL, &queue), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(hmmu_soft_destroy(soft), 0);
	assert_int_equal(fake.open_ports, 0);
	return 0;
}

static uint64_t at(size_t offset)
{
	return (uintptr_t)fake.memory + offset;
}

static struct hmmu_soft_record run(const struct hmmu_soft_descriptor *from)
{
	struct hmmu_soft_descriptor d = *from;
	struct hmmu_soft_record record = { 0 };

	d.flags |= HMMU_SOFT_RECORD;
	d.record = (uintptr_t)&record;
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(hmmu_soft_wait(soft, &record, WAIT_NS), 0);
	return record;
}

static struct hmmu_soft_stats stats(void)
{
	struct hmmu_soft_stats s = { .size = sizeof(s) };

	assert_int_equal(hmmu_soft_drain(soft, WAIT_NS), 0);
	assert_int_equal(hmmu_soft_get_stats(soft, &s), 0);
	return s;
}

static void check_memory(void)
{
	size_t i;

	for (i = 0; i < FAKE_BYTES; i++)
		if (fake.memory[i] != shadow[i])
			fail_msg("byte %zu is %02x, not %02x", i,
				 fake.memory[i], shadow[i]);
}

static struct hmmu_soft_descriptor move_of(size_t dst, size_t src,
					   uint32_t bytes)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_MEMMOVE,
					  .src = at(src),
					  .dst = at(dst),
					  .bytes = bytes };

	return d;
}

static struct hmmu_soft_record run_move(size_t dst, size_t src, uint32_t bytes)
{
	const struct hmmu_soft_descriptor d = move_of(dst, src, bytes);

	return run(&d);
}

static void test_move_is_memmove_for_every_overlap(void **state)
{
	struct hmmu_soft_record r;
	uint32_t i, bytes;
	size_t src, dst;

	(void)state;
	for (i = 0; i < 300; i++) {
		bytes = 1 + random_below(i % 3 ? 9000 : 120000);
		src = random_below(FAKE_BYTES - bytes + 1);
		dst = i % 4 ? src + random_below(2 * 300) - 300 :
			      random_below(FAKE_BYTES - bytes + 1);
		if (dst > FAKE_BYTES - bytes)
			dst = src;
		fake.span_limit = i % 2 ? 0 : 1 + random_below(5000);
		r = run_move(dst, src, bytes);
		assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
		assert_int_equal(r.result, 0);
		assert_int_equal(r.bytes_completed, bytes);
		memmove(shadow + dst, shadow + src, bytes);
		check_memory();
	}
}

static void test_fill_repeats_the_pattern_and_cuts_it(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FILL,
					  .operand = { 0x8877665544332211u } };
	struct hmmu_soft_record r;
	size_t i;

	(void)state;
	fake.span_limit = 1001;
	d.dst = at(13);
	d.bytes = 100003;
	for (i = 0; i < d.bytes; i++)
		shadow[13 + i] = (unsigned char)(0x11 * (i % 8 + 1));
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	assert_int_equal(r.bytes_completed, d.bytes);
	check_memory();
}

static void check_compare(const struct hmmu_soft_descriptor *d, uint8_t result,
			  uint32_t bytes)
{
	struct hmmu_soft_record r = run(d);

	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	assert_int_equal(r.result, result);
	assert_int_equal(r.bytes_completed, bytes);
}

static void test_compare_names_the_first_difference(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_COMPARE,
					  .bytes = 70001 };
	static const size_t places[] = { 0,	1,     7,     8,    4095,
					 65535, 65536, 69999, 70000 };
	size_t i;

	(void)state;
	memcpy(fake.memory + 100003, fake.memory + 5, d.bytes);
	d.src = at(5);
	d.dst = at(100003);
	check_compare(&d, 0, d.bytes);
	for (i = sizeof(places) / sizeof(places[0]); i-- > 0;) {
		fake.memory[100003 + places[i]] ^= 0x80;
		check_compare(&d, 1, (uint32_t)places[i]);
	}
}

static void test_compare_pattern_names_the_first_difference(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_COMPARE_PATTERN,
					  .bytes = 70001,
					  .operand = { 0x0807060504030201u } };
	size_t i;

	(void)state;
	fake.span_limit = 777;
	for (i = 0; i < d.bytes; i++)
		fake.memory[3 + i] = (unsigned char)(i % 8 + 1);
	d.src = at(3);
	check_compare(&d, 0, d.bytes);
	fake.memory[3 + 70000] ^= 1;
	check_compare(&d, 1, 70000);
	fake.memory[3 + 4097] ^= 1;
	check_compare(&d, 1, 4097);
}

static void test_dualcast_writes_both(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_DUALCAST,
					  .bytes = 80000 };
	struct hmmu_soft_record r;

	(void)state;
	d.src = at(1);
	d.dst = at(80001);
	d.operand[0] = at(160003);
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	memcpy(shadow + 80001, shadow + 1, d.bytes);
	memcpy(shadow + 160003, shadow + 1, d.bytes);
	check_memory();
}

static void test_crc_is_crc32c(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_CRC, .bytes = 9 };
	struct hmmu_soft_record r;

	(void)state;
	memcpy(fake.memory + PAGE - 4, "123456789", 9);
	d.src = at(PAGE - 4);
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	assert_int_equal(r.value, 0xe3069283u);
	d.opcode = HMMU_SOFT_COPY_CRC;
	d.dst = at(3 * PAGE - 2);
	r = run(&d);
	assert_int_equal(r.value, 0xe3069283u);
	assert_memory_equal(fake.memory + 3 * PAGE - 2, "123456789", 9);
	/* In two parts. */
	d.opcode = HMMU_SOFT_CRC;
	d.dst = 0;
	d.bytes = 4;
	r = run(&d);
	d.seed = (uint32_t)r.value;
	d.src += 4;
	d.bytes = 5;
	assert_int_equal(run(&d).value, 0xe3069283u);
}

static void test_atomics_give_the_old_value(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FETCH_ADD,
					  .bytes = 4,
					  .operand = { 0x100000005u } };
	uint64_t *word = (uint64_t *)fake.memory;
	struct hmmu_soft_record r;

	(void)state;
	d.dst = at(0);
	word[0] = 0xfffffffffffffffeu;
	r = run(&d);
	assert_int_equal(r.value, 0xfffffffeu);
	assert_int_equal(r.bytes_completed, 4);
	assert_true(word[0] == 0xffffffff00000003u);
	d.bytes = 8;
	assert_true(run(&d).value == 0xffffffff00000003u);
	assert_true(word[0] == 8);
	d.opcode = HMMU_SOFT_COMPARE_EXCHANGE;
	d.operand[0] = 7;
	d.operand[1] = 99;
	r = run(&d);
	assert_int_equal(r.result, 0);
	assert_int_equal(r.value, 8);
	d.operand[0] = 8;
	r = run(&d);
	assert_int_equal(r.result, 1);
	assert_int_equal(r.value, 8);
	assert_true(word[0] == 99);
	/* Of 4 bytes the upper halves do not count. */
	d.bytes = 4;
	d.operand[0] = 0xbbbbbbbb00000063u;
	d.operand[1] = 0xaaaaaaaa00000001u;
	r = run(&d);
	assert_int_equal(r.result, 1);
	assert_true(r.value == 99);
	assert_true(word[0] == 1);
}

static void check_fault(const struct hmmu_soft_record *r, uint8_t status,
			int reason, size_t offset, bool write, uint32_t done)
{
	assert_int_equal(r->status, status);
	assert_int_equal(r->fault_errno, reason);
	assert_true(r->fault_address == at(offset));
	assert_int_equal(r->fault_write, write);
	assert_int_equal(r->bytes_completed, done);
}

static void test_move_stops_at_a_missing_page_and_goes_on(void **state)
{
	struct hmmu_soft_descriptor d =
		move_of(20 * PAGE + 100, 100, 10 * PAGE);
	struct hmmu_soft_record r;

	(void)state;
	fake.page[3] = PAGE_ABSENT;
	fake.page[25] = PAGE_CLEAN;
	r = run(&d);
	check_fault(&r, HMMU_SOFT_PAGE_FAULT, ENOENT, 3 * PAGE, false,
		    3 * PAGE - 100);
	assert_int_equal(fake.faults, 0);
	assert_int_equal(hmmu_soft_continue(&d, &r), 0);
	fake.page[3] = PAGE_WRITABLE;
	r = run(&d);
	check_fault(&r, HMMU_SOFT_PAGE_FAULT, ENOENT, 25 * PAGE, true,
		    2 * PAGE);
	assert_int_equal(hmmu_soft_continue(&d, &r), 0);
	d.flags |= RESOLVES;
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	assert_int_equal(r.bytes_completed, 5 * PAGE + 100);
	memcpy(shadow + 20 * PAGE + 100, shadow + 100, 10 * PAGE);
	check_memory();
	assert_int_equal(stats().page_faults, 2);
}

static void test_move_from_the_end_stops_and_goes_on(void **state)
{
	struct hmmu_soft_descriptor d = move_of(PAGE, 100, 10 * PAGE);
	struct hmmu_soft_record r;

	(void)state;
	fake.page[4] = PAGE_ABSENT;
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_PAGE_FAULT);
	assert_int_equal(r.result, 1);
	assert_int_equal(r.bytes_completed % PAGE, 100);
	assert_true(r.fault_address >= at(4 * PAGE) &&
		    r.fault_address < at(5 * PAGE));
	assert_int_equal(hmmu_soft_continue(&d, &r), 0);
	assert_true(d.src == at(100) && d.dst == at(PAGE));
	fake.page[4] = PAGE_WRITABLE;
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	memmove(shadow + PAGE, shadow + 100, 10 * PAGE);
	check_memory();
}

/* Whatever pages are missing, to stop and go on gives what one run gives. */
static struct hmmu_soft_record
run_to_the_end(const struct hmmu_soft_descriptor *from, uint32_t *done)
{
	struct hmmu_soft_descriptor d = *from;
	struct hmmu_soft_record r;
	unsigned int stops = 0;

	for (*done = 0;; *done += r.bytes_completed) {
		r = run(&d);
		if (r.status != HMMU_SOFT_PAGE_FAULT)
			break;
		assert_true(stops++ < 4 * FAKE_PAGES);
		assert_int_equal(r.fault_errno, ENOENT);
		*page_of(r.fault_address) = PAGE_WRITABLE;
		assert_int_equal(hmmu_soft_continue(&d, &r), 0);
	}
	*done += r.bytes_completed;
	return r;
}

static struct hmmu_soft_descriptor random_transfer(void)
{
	static const uint8_t opcodes[] = {
		HMMU_SOFT_MEMMOVE,  HMMU_SOFT_FILL,
		HMMU_SOFT_COMPARE,  HMMU_SOFT_COMPARE_PATTERN,
		HMMU_SOFT_DUALCAST, HMMU_SOFT_CRC,
		HMMU_SOFT_COPY_CRC,
	};
	struct hmmu_soft_descriptor d = {
		.opcode = opcodes[random_below(sizeof(opcodes))],
		.bytes = 1 + random_below(80000),
	};
	uint64_t pattern = 0x123456789abcdef0u;

	d.src = at(random_below(3000));
	d.dst = at(82000 + random_below(3000));
	if (d.opcode == HMMU_SOFT_DUALCAST)
		d.operand[0] = at(166000 + random_below(3000));
	if (d.opcode == HMMU_SOFT_FILL || d.opcode == HMMU_SOFT_COMPARE_PATTERN)
		d.operand[0] = pattern;
	if (d.opcode == HMMU_SOFT_FILL)
		d.src = 0;
	if (d.opcode == HMMU_SOFT_CRC || d.opcode == HMMU_SOFT_COMPARE_PATTERN)
		d.dst = 0;
	return d;
}

/* Comparisons get something to find late, or nothing at all. */
static void prepare(const struct hmmu_soft_descriptor *d)
{
	size_t src = d->src - at(0), dst = d->dst - at(0), i;
	size_t place = random_below(2 * d->bytes);

	if (d->opcode == HMMU_SOFT_COMPARE)
		memcpy(fake.memory + dst, fake.memory + src, d->bytes);
	if (d->opcode == HMMU_SOFT_COMPARE_PATTERN)
		for (i = 0; i < d->bytes; i++)
			fake.memory[src + i] =
				(unsigned char)(d->operand[0] >> (i % 8 * 8));
	if ((d->opcode == HMMU_SOFT_COMPARE ||
	     d->opcode == HMMU_SOFT_COMPARE_PATTERN) &&
	    place < d->bytes)
		fake.memory[src + place] ^= 1;
	memcpy(shadow, fake.memory, FAKE_BYTES);
}

static void test_stopping_anywhere_gives_the_same(void **state)
{
	struct hmmu_soft_record plain, parts;
	struct hmmu_soft_descriptor d;
	uint32_t round, i, done;

	(void)state;
	for (round = 0; round < 400; round++) {
		fake.span_limit = random_below(2) ? 0 : 1 + random_below(9999);
		d = random_transfer();
		memset(fake.page, 0, sizeof(fake.page));
		prepare(&d);
		plain = run(&d);
		assert_int_equal(plain.status, HMMU_SOFT_SUCCESS);
		/* Swap what it made for what was there before. */
		for (i = 0; i < FAKE_BYTES; i++) {
			unsigned char made = fake.memory[i];

			fake.memory[i] = shadow[i];
			shadow[i] = made;
		}
		for (i = 0; i < FAKE_PAGES; i++)
			fake.page[i] = (enum fake_page)random_below(3);
		parts = run_to_the_end(&d, &done);
		assert_int_equal(parts.status, HMMU_SOFT_SUCCESS);
		assert_int_equal(parts.result, plain.result);
		assert_int_equal(parts.value, plain.value);
		assert_int_equal(done, plain.bytes_completed);
		check_memory();
	}
}

static void test_block_on_fault_resolves(void **state)
{
	struct hmmu_soft_descriptor d = move_of(20 * PAGE, 0, 10 * PAGE);
	uint32_t i;

	(void)state;
	d.flags = RESOLVES;
	for (i = 0; i < FAKE_PAGES; i++)
		fake.page[i] = PAGE_ABSENT;
	assert_int_equal(run(&d).status, HMMU_SOFT_SUCCESS);
	assert_int_equal(fake.faults, 20);
	memcpy(shadow + 20 * PAGE, shadow, 10 * PAGE);
	check_memory();
}

static void test_refused_access_ends_with_address_and_reason(void **state)
{
	struct hmmu_soft_descriptor d = move_of(20 * PAGE, 0, 10 * PAGE);
	struct hmmu_soft_descriptor add = { .opcode = HMMU_SOFT_FETCH_ADD,
					    .flags = RESOLVES,
					    .bytes = 8 };
	struct hmmu_soft_record r;

	(void)state;
	d.flags = RESOLVES;
	fake.page[26] = PAGE_READONLY;
	r = run(&d);
	check_fault(&r, HMMU_SOFT_ACCESS_FAULT, EPERM, 26 * PAGE, true,
		    6 * PAGE);
	fake.page[2] = PAGE_HOLE;
	r = run(&d);
	check_fault(&r, HMMU_SOFT_ACCESS_FAULT, EFAULT, 2 * PAGE, false,
		    2 * PAGE);
	add.dst = at(2 * PAGE + 8);
	r = run(&add);
	check_fault(&r, HMMU_SOFT_ACCESS_FAULT, EFAULT, 2 * PAGE + 8, true, 0);
	assert_int_equal(stats().access_faults, 3);
	assert_int_equal(stats().failed, 3);
}

static void test_atomic_without_translation_can_go_on(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FETCH_ADD,
					  .bytes = 8,
					  .operand = { 1 } };
	struct hmmu_soft_record r;

	(void)state;
	fake.page[1] = PAGE_CLEAN;
	*(uint64_t *)(fake.memory + PAGE) = 41;
	d.dst = at(PAGE);
	r = run(&d);
	check_fault(&r, HMMU_SOFT_PAGE_FAULT, ENOENT, PAGE, true, 0);
	assert_int_equal(hmmu_soft_continue(&d, &r), 0);
	fake.page[1] = PAGE_WRITABLE;
	assert_int_equal(run(&d).value, 41);
	assert_int_equal(*(uint64_t *)(fake.memory + PAGE), 42);
}

/* However the direct way fails, the bytes are right and it is counted. */
static void test_broken_sections_change_nothing(void **state)
{
	struct hmmu_soft_descriptor d = move_of(130000, 1, 120000);

	(void)state;
	d.flags = RESOLVES;
	fake.break_spans = 3;
	fake.break_sections = 2;
	assert_int_equal(run(&d).status, HMMU_SOFT_SUCCESS);
	memcpy(shadow + 130000, shadow + 1, 120000);
	check_memory();
	assert_int_equal(stats().sections_retried, 5);
	assert_int_equal(stats().steps_staged, 0);
}

static void test_section_broken_under_the_work_is_done_again(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_FILL,
					  .flags = RESOLVES,
					  .bytes = 100000,
					  .operand = { 0x0101010101010101u } };

	(void)state;
	fake.break_sections = 3;
	d.dst = at(1);
	assert_int_equal(run(&d).status, HMMU_SOFT_SUCCESS);
	memset(shadow + 1, 1, 100000);
	check_memory();
	assert_int_equal(stats().sections_retried, 3);
}

static void test_sections_broken_for_ever_are_staged(void **state)
{
	struct hmmu_soft_descriptor d = move_of(130000, 1, 120000);

	(void)state;
	d.flags = RESOLVES;
	fake.break_spans = 1000000;
	assert_int_equal(run(&d).status, HMMU_SOFT_SUCCESS);
	memcpy(shadow + 130000, shadow + 1, 120000);
	check_memory();
	assert_int_equal(stats().steps_staged, 2);
}

static void test_signal_in_a_step_is_staged(void **state)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_CRC,
					  .bytes = 200000 };
	uint64_t value;

	(void)state;
	d.src = at(7);
	value = run(&d).value;
	fake.break_runs = 2;
	assert_int_equal(run(&d).value, value);
	assert_int_equal(stats().steps_staged, 2);
}

static void test_section_is_short(void **state)
{
	(void)state;
	assert_int_equal(run_move(130000, 1, 120000).status, HMMU_SOFT_SUCCESS);
	assert_int_equal(fake.longest_span, STEP);
}

/* A member's own record says how it went. */
static void put_member(struct hmmu_soft_descriptor *list, size_t i,
		       struct hmmu_soft_record *record, uint8_t opcode,
		       uint32_t flags)
{
	list[i] = (struct hmmu_soft_descriptor){ .opcode = opcode,
						 .flags = flags };
	if (!record)
		return;
	list[i].flags |= HMMU_SOFT_RECORD;
	list[i].record = (uintptr_t)record;
}

static struct hmmu_soft_descriptor batch_of(size_t offset, uint32_t count)
{
	struct hmmu_soft_descriptor d = { .opcode = HMMU_SOFT_BATCH,
					  .src = at(offset),
					  .bytes = count };

	return d;
}

static struct hmmu_soft_record run_batch(size_t offset, uint32_t count)
{
	const struct hmmu_soft_descriptor d = batch_of(offset, count);

	return run(&d);
}

static void test_batch_runs_in_order(void **state)
{
	struct hmmu_soft_descriptor *list = (void *)fake.memory;
	struct hmmu_soft_record r;
	uint32_t i;

	(void)state;
	memset(fake.memory + 4 * PAGE, 0, PAGE);
	for (i = 0; i < 8; i++) {
		list[i] =
			move_of(4 * PAGE + 64 * (i + 1), 4 * PAGE + 64 * i, 64);
		list[i].flags = RESOLVES;
	}
	fake.memory[4 * PAGE] = 0x5a;
	r = run_batch(0, 8);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	assert_int_equal(r.bytes_completed, 8);
	assert_int_equal(fake.memory[4 * PAGE + 64 * 8], 0x5a);
	assert_int_equal(stats().descriptors, 9);
	assert_int_equal(stats().batches, 1);
}

static void test_batch_fence_stops_after_a_failure(void **state)
{
	struct hmmu_soft_descriptor *list = (void *)fake.memory;
	struct hmmu_soft_record record[4] = { { 0 } }, r;

	(void)state;
	put_member(list, 0, &record[0], HMMU_SOFT_BATCH, 0);
	put_member(list, 1, &record[1], HMMU_SOFT_NOOP, 0);
	put_member(list, 2, &record[2], HMMU_SOFT_NOOP, HMMU_SOFT_FENCE);
	put_member(list, 3, &record[3], HMMU_SOFT_NOOP, 0);
	r = run_batch(0, 4);
	assert_int_equal(r.status, HMMU_SOFT_BATCH_FAIL);
	assert_int_equal(r.bytes_completed, 2);
	assert_int_equal(record[0].status, HMMU_SOFT_BAD_OPCODE);
	assert_int_equal(record[1].status, HMMU_SOFT_SUCCESS);
	assert_int_equal(record[2].status, HMMU_SOFT_PENDING);
	assert_int_equal(record[3].status, HMMU_SOFT_PENDING);
	/* Without the fence the rest runs. */
	list[2].flags &= ~(uint32_t)HMMU_SOFT_FENCE;
	r = run_batch(0, 4);
	assert_int_equal(r.status, HMMU_SOFT_BATCH_FAIL);
	assert_int_equal(r.bytes_completed, 4);
	assert_int_equal(record[3].status, HMMU_SOFT_SUCCESS);
	/* And with a fence after success too. */
	put_member(list, 0, &record[0], HMMU_SOFT_NOOP, 0);
	list[2].flags |= HMMU_SOFT_FENCE;
	assert_int_equal(run_batch(0, 4).status, HMMU_SOFT_SUCCESS);
}

static void test_batch_stops_at_a_missing_page_of_its_list(void **state)
{
	struct hmmu_soft_descriptor *list = (void *)fake.memory;
	struct hmmu_soft_descriptor d = batch_of(PAGE - 128, 4);
	struct hmmu_soft_record r;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		put_member(list, PAGE / 64 - 2 + i, NULL, HMMU_SOFT_NOOP,
			   RESOLVES);
	fake.page[1] = PAGE_ABSENT;
	r = run(&d);
	check_fault(&r, HMMU_SOFT_PAGE_FAULT, ENOENT, PAGE, false, 2);
	assert_int_equal(hmmu_soft_continue(&d, &r), 0);
	d.flags |= RESOLVES;
	r = run(&d);
	assert_int_equal(r.status, HMMU_SOFT_SUCCESS);
	assert_int_equal(r.bytes_completed, 2);
}

static void test_batch_member_without_a_place_for_its_record(void **state)
{
	struct hmmu_soft_descriptor *list = (void *)fake.memory;
	struct hmmu_soft_record r;

	(void)state;
	put_member(list, 0, (void *)(uintptr_t)at(PAGE + 8), HMMU_SOFT_NOOP, 0);
	r = run_batch(0, 1);
	assert_int_equal(r.status, HMMU_SOFT_BATCH_FAIL);
	assert_int_equal(r.bytes_completed, 1);
	assert_int_equal(stats().records_lost, 1);
}

struct bad {
	uint8_t status;
	struct hmmu_soft_descriptor d;
};

static void test_invalid_descriptors_are_named_and_do_nothing(void **state)
{
	const uint64_t top = UINT64_MAX - 63;
	const struct bad bad[] = {
		{ HMMU_SOFT_BAD_OPCODE, { .opcode = 0x77 } },
		{ HMMU_SOFT_BAD_FLAGS, { .flags = 1u << 8 } },
		{ HMMU_SOFT_BAD_RESERVED, { .reserved0 = { 0, 0, 1 } } },
		{ HMMU_SOFT_BAD_RESERVED, { .reserved1 = 1 } },
		{ HMMU_SOFT_BAD_RESERVED, { .bytes = 1 } },
		{ HMMU_SOFT_BAD_RESERVED,
		  { .opcode = HMMU_SOFT_MEMMOVE, .bytes = 1, .seed = 1 } },
		{ HMMU_SOFT_BAD_RESERVED,
		  { .opcode = HMMU_SOFT_FILL, .bytes = 1, .src = 1 } },
		{ HMMU_SOFT_BAD_RESERVED,
		  { .opcode = HMMU_SOFT_CRC, .bytes = 1, .dst = 1 } },
		{ HMMU_SOFT_BAD_RESERVED,
		  { .opcode = HMMU_SOFT_FETCH_ADD,
		    .bytes = 8,
		    .operand = { 0, 1 } } },
		{ HMMU_SOFT_BAD_SIZE,
		  { .opcode = HMMU_SOFT_MEMMOVE, .src = at(0), .dst = at(9) } },
		{ HMMU_SOFT_BAD_SIZE,
		  { .opcode = HMMU_SOFT_FILL,
		    .dst = at(0),
		    .bytes = HMMU_SOFT_BYTES_MAX + 1 } },
		{ HMMU_SOFT_BAD_SIZE,
		  { .opcode = HMMU_SOFT_FETCH_ADD, .dst = at(0), .bytes = 2 } },
		{ HMMU_SOFT_BAD_COUNT,
		  { .opcode = HMMU_SOFT_BATCH, .src = at(0) } },
		{ HMMU_SOFT_BAD_COUNT,
		  { .opcode = HMMU_SOFT_BATCH,
		    .src = at(0),
		    .bytes = HMMU_SOFT_BATCH_MAX + 1 } },
		{ HMMU_SOFT_BAD_ALIGN,
		  { .opcode = HMMU_SOFT_BATCH, .src = at(32), .bytes = 1 } },
		{ HMMU_SOFT_BAD_ALIGN,
		  { .opcode = HMMU_SOFT_COMPARE_EXCHANGE,
		    .dst = at(4),
		    .bytes = 8 } },
		{ HMMU_SOFT_BAD_RANGE,
		  { .opcode = HMMU_SOFT_CRC, .src = top, .bytes = 64 } },
		{ HMMU_SOFT_BAD_RANGE,
		  { .opcode = HMMU_SOFT_FILL, .dst = top, .bytes = 65 } },
		{ HMMU_SOFT_BAD_RANGE,
		  { .opcode = HMMU_SOFT_BATCH, .src = top, .bytes = 1 } },
		{ HMMU_SOFT_BAD_RANGE,
		  { .opcode = HMMU_SOFT_DUALCAST,
		    .src = at(0),
		    .dst = at(100),
		    .operand = { top },
		    .bytes = 64 } },
		{ HMMU_SOFT_BAD_OVERLAP,
		  { .opcode = HMMU_SOFT_COPY_CRC,
		    .src = at(0),
		    .dst = at(63),
		    .bytes = 64 } },
		{ HMMU_SOFT_BAD_OVERLAP,
		  { .opcode = HMMU_SOFT_DUALCAST,
		    .src = at(0),
		    .dst = at(64),
		    .operand = { at(127) },
		    .bytes = 64 } },
	};
	struct hmmu_soft_record r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r = run(&bad[i].d);
		if (r.status != bad[i].status)
			fail_msg("case %zu: %s, not %s", i,
				 hmmu_soft_status_text(r.status),
				 hmmu_soft_status_text(bad[i].status));
		assert_int_equal(r.bytes_completed, 0);
		assert_int_equal(
			hmmu_soft_continue(
				(struct hmmu_soft_descriptor *)(void *)shadow,
				&r),
			-EINVAL);
	}
	check_memory();
}

static void test_record_of_the_pool_and_a_lost_one(void **state)
{
	struct hmmu_soft_descriptor d = { .flags = HMMU_SOFT_RECORD };
	struct hmmu_soft_record *record = hmmu_soft_record_at(soft, 3);

	(void)state;
	assert_non_null(record);
	assert_null(hmmu_soft_record_at(soft, 4));
	d.record = (uintptr_t)record;
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(hmmu_soft_wait(soft, record, WAIT_NS), 0);
	assert_int_equal(hmmu_soft_record_status(record), HMMU_SOFT_SUCCESS);
	fake.page[5] = PAGE_READONLY;
	memset(fake.memory + 5 * PAGE, 0, 32);
	d.record = at(5 * PAGE);
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(stats().records_lost, 1);
	assert_int_equal(hmmu_soft_wait(soft, (void *)(uintptr_t)d.record,
					1000000),
			 -ETIMEDOUT);
	/* A record is written even if its page has to be faulted in. */
	fake.page[5] = PAGE_ABSENT;
	assert_int_equal(hmmu_soft_submit(queue, &d), 0);
	assert_int_equal(
		hmmu_soft_wait(soft, (void *)(uintptr_t)d.record, WAIT_NS), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_move_is_memmove_for_every_overlap),
		T(test_fill_repeats_the_pattern_and_cuts_it),
		T(test_compare_names_the_first_difference),
		T(test_compare_pattern_names_the_first_difference),
		T(test_dualcast_writes_both),
		T(test_crc_is_crc32c),
		T(test_atomics_give_the_old_value),
		T(test_move_stops_at_a_missing_page_and_goes_on),
		T(test_move_from_the_end_stops_and_goes_on),
		T(test_stopping_anywhere_gives_the_same),
		T(test_block_on_fault_resolves),
		T(test_refused_access_ends_with_address_and_reason),
		T(test_atomic_without_translation_can_go_on),
		T(test_broken_sections_change_nothing),
		T(test_section_broken_under_the_work_is_done_again),
		T(test_sections_broken_for_ever_are_staged),
		T(test_signal_in_a_step_is_staged),
		T(test_section_is_short),
		T(test_batch_runs_in_order),
		T(test_batch_fence_stops_after_a_failure),
		T(test_batch_stops_at_a_missing_page_of_its_list),
		T(test_batch_member_without_a_place_for_its_record),
		T(test_invalid_descriptors_are_named_and_do_nothing),
		T(test_record_of_the_pool_and_a_lost_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
