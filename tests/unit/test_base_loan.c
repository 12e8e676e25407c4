/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/loan.h"

/* Frames of calls: the deeper, the lower. */
#define OUTER	 0x9000u
#define INNER	 0x8000u

#define STACK_LO 0x4000u
#define STACK_HI 0xa000u

static struct hmmu_loans loans;

static uint32_t begin(uintptr_t frame)
{
	return hmmu__loans_begin(&loans, frame, STACK_LO, STACK_HI);
}

static int clear(void **state)
{
	(void)state;
	hmmu__loans_end(&loans, 0);
	return 0;
}

static void check_loan(uint32_t i, uintptr_t start, uintptr_t end)
{
	uintptr_t lo, hi;

	assert_true(i < loans.count);
	assert_true(hmmu__loan_get(&loans, i, &lo, &hi));
	assert_int_equal(lo, start);
	assert_int_equal(hi, end);
}

static void test_loan_neighbours_are_one(void **state)
{
	(void)state;
	assert_int_equal(begin(OUTER), 0);
	hmmu__loans_add(&loans, 0, OUTER, 0x2000, 0x3000);
	hmmu__loans_add(&loans, 0, OUTER, 0x3000, 0x5000);
	hmmu__loans_add(&loans, 0, OUTER, 0x1000, 0x3000);
	assert_int_equal(loans.count, 1);
	check_loan(0, 0x1000, 0x5000);
	hmmu__loans_add(&loans, 0, OUTER, 0x6000, 0x7000);
	assert_int_equal(loans.count, 2);
	check_loan(1, 0x6000, 0x7000);
}

static void test_loan_ends_at_its_mark(void **state)
{
	uintptr_t lo, hi;
	uint32_t mark;

	(void)state;
	hmmu__loans_add(&loans, 0, OUTER, 0x1000, 0x2000);
	mark = begin(INNER);
	assert_int_equal(mark, 1);
	/* Not one with that of another call. */
	hmmu__loans_add(&loans, mark, INNER, 0x2000, 0x3000);
	assert_int_equal(loans.count, 2);
	hmmu__loans_end(&loans, mark);
	assert_int_equal(loans.count, 1);
	check_loan(0, 0x1000, 0x2000);
	assert_false(hmmu__loan_get(&loans, 1, &lo, &hi));
}

/* What has no room is part of the last one, with all in between. */
static void test_loan_last_one_grows(void **state)
{
	uintptr_t at = 0x100000;
	unsigned int i;

	(void)state;
	for (i = 0; i < HMMU_LOANS + 2; i++)
		hmmu__loans_add(&loans, 0, OUTER, at + i * 0x2000,
				at + i * 0x2000 + 0x1000);
	assert_int_equal(loans.count, HMMU_LOANS);
	check_loan(HMMU_LOANS - 2, at + (HMMU_LOANS - 2) * 0x2000,
		   at + (HMMU_LOANS - 2) * 0x2000 + 0x1000);
	check_loan(HMMU_LOANS - 1, at + (HMMU_LOANS - 1) * 0x2000,
		   at + (HMMU_LOANS + 1) * 0x2000 + 0x1000);
	hmmu__loans_add(&loans, 0, OUTER, 0x1000, 0x2000);
	check_loan(HMMU_LOANS - 1, 0x1000,
		   at + (HMMU_LOANS + 1) * 0x2000 + 0x1000);
}

/* Those of other calls do not grow. */
static void test_loan_without_room(void **state)
{
	uint32_t mark;
	unsigned int i;

	(void)state;
	for (i = 0; i < HMMU_LOANS; i++)
		hmmu__loans_add(&loans, 0, OUTER, i * 0x2000,
				i * 0x2000 + 0x1000);
	mark = begin(INNER);
	hmmu__loans_add(&loans, mark, INNER, 0x1000000, 0x1001000);
	assert_int_equal(loans.count, HMMU_LOANS);
	check_loan(HMMU_LOANS - 1, (HMMU_LOANS - 1) * 0x2000,
		   (HMMU_LOANS - 1) * 0x2000 + 0x1000);
}

static void test_loan_of_a_call_that_was_left(void **state)
{
	(void)state;
	hmmu__loans_add(&loans, 0, OUTER, 0x1000, 0x2000);
	hmmu__loans_add(&loans, 1, INNER, 0x4000, 0x5000);
	/* From the frame of the inner one, which so is over. */
	assert_int_equal(begin(INNER), 1);
	assert_int_equal(begin(OUTER + 8), 0);
	assert_int_equal(loans.count, 0);
}

static uint32_t seen_by_handler;

static void look(int number)
{
	(void)number;
	seen_by_handler = begin(STACK_HI - 8);
}

/* A signal stack may lie above the one it interrupts. */
static void test_loan_beside_a_signal_stack(void **state)
{
	static char memory[1 << 16];
	stack_t ss = { .ss_sp = memory, .ss_size = sizeof(memory) };
	stack_t none = { .ss_flags = SS_DISABLE };
	struct sigaction act = { .sa_handler = look, .sa_flags = SA_ONSTACK };

	(void)state;
	hmmu__loans_add(&loans, 0, INNER, 0x1000, 0x2000);
	assert_int_equal(sigaltstack(&ss, NULL), 0);
	assert_int_equal(sigaction(SIGUSR1, &act, NULL), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(sigaltstack(&none, NULL), 0);
	assert_int_equal(seen_by_handler, 1);
	check_loan(0, 0x1000, 0x2000);
}

/* A signal stack that is disarmed while it is in use, or a coroutine's. */
static void test_loan_of_another_stack(void **state)
{
	(void)state;
	hmmu__loans_add(&loans, 0, INNER, 0x1000, 0x2000);
	assert_int_equal(begin(STACK_HI + 8), 1);
	hmmu__loans_add(&loans, 1, STACK_LO - 8, 0x4000, 0x5000);
	assert_int_equal(begin(OUTER), 2);
	check_loan(0, 0x1000, 0x2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_loan_neighbours_are_one, clear),
		cmocka_unit_test_setup(test_loan_ends_at_its_mark, clear),
		cmocka_unit_test_setup(test_loan_last_one_grows, clear),
		cmocka_unit_test_setup(test_loan_without_room, clear),
		cmocka_unit_test_setup(test_loan_of_a_call_that_was_left,
				       clear),
		cmocka_unit_test_setup(test_loan_beside_a_signal_stack, clear),
		cmocka_unit_test_setup(test_loan_of_another_stack, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
