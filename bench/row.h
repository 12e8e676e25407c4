/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_ROW_H
#define HMMU_BENCH_ROW_H

/*
 * hmmu bench: the cost of operations beside a floor
 *
 * A row has a floor (the bare system call, the plain load), the cost of HMMU
 * ("ours") and the ratio. Both are measured in the same run, in the same
 * process, on the same memory and the same CPUs. A row may have several cases,
 * such as with and without another busy CPU.
 *
 * Each row runs in a process of its own, with a time limit. So it opens a new
 * space, leaves nothing behind, and if it hangs or crashes, only that row
 * fails. The outcome is in memory shared with the parent: a floor that was
 * measured before the failure is still shown.
 *
 * Rules for a row: pin the thread (bench_pin), warm up, use the median of many
 * rounds (bench_median), pass results to bench_keep(), record where the threads
 * run (struct bench_case), and check the assumptions about the memory. Measure
 * the floor before the space is opened, or with calls that bypass it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/base.h>

#define BENCH_CASES_MAX 8
#define BENCH_GIB	(1ul << 30)

/*
 * The value that is compared with the limit: RATIO is ours / floor, OVER is
 * ours - floor, OURS is ours alone. MAX: at most the limit. MIN: at least.
 */
enum bench_judge {
	BENCH_NOT_JUDGED = 0,
	BENCH_RATIO_MAX,
	BENCH_RATIO_MIN,
	BENCH_OVER_MAX,
	BENCH_OURS_MAX,
	BENCH_OURS_MIN,
};

/*
 * One measurement of a row. @floor and @ours are in the row's unit, 0 if not
 * measured. @judge and @limit are those of the row unless the row changes them:
 * a case that only explains the others is BENCH_NOT_JUDGED.
 */
struct bench_case {
	char label[48];
	char where[40];
	char note[120];
	double floor;
	double ours;
	double limit;
	enum bench_judge judge;
};

enum bench_state {
	BENCH_RAN = 0,
	BENCH_SKIPPED,
	BENCH_FAILED,
};

/* The outcome of a row; shared by the child that runs it and the parent. */
struct bench_outcome {
	enum bench_state state;
	char why[200];
	unsigned int cases;
	struct bench_case at[BENCH_CASES_MAX];
};

struct bench_run;

/* One row of the table. @limit is in the unit, or a plain ratio. */
struct bench_row {
	const char *name;
	const char *what;
	const char *unit;
	const char *target;
	enum bench_judge judge;
	double limit;
	void (*fn)(struct bench_run *run);
};

/*
 * The parameters of a row. The row is pinned to @cpu; @other_cpu is another CPU
 * that the process may use, or -1.
 */
struct bench_run {
	const struct bench_row *row;
	struct bench_outcome *out;
	bool quick;
	int cpu;
	int other_cpu;
};

/* Begin a case; @format is its label. Fails the row if there is no room. */
struct bench_case *bench_case(struct bench_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bench_where(struct bench_case *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bench_note(struct bench_case *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* End the row as skipped: @format names the missing capability. */
_Noreturn void bench_skip(struct bench_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* End the row as failed: @format is the reason. */
_Noreturn void bench_fail(struct bench_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Fail the row if @err, the result of the call @what, is not 0. */
void bench_must(struct bench_run *run, int err, const char *what);

/* 1 met, 0 missed, -1 not judged or not measured. */
int bench_is_met(const struct bench_case *c);

#endif
