/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_ROW_H
#define HMMU_BENCH_ROW_H

/*
 * hmmu bench: what things cost, beside what they can cost at best
 *
 * A row is one line of the targets: a floor (the bare system call, the plain
 * load), ours, the ratio. Both are taken in the same run, in the same process,
 * on the same memory and the same CPUs. A row may have several cases, such as
 * with and without another busy CPU.
 *
 * Each row runs in a process of its own, under a time limit: a space is opened
 * fresh, what a row leaves behind dies with it, and a row that hangs or
 * crashes is a line of the table and not the end of it. The outcome stands in
 * memory shared with the parent, so that a floor that was measured before the
 * rest failed is still shown.
 *
 * Rules for a row: pin the thread (bench_pin), warm up, take the median of
 * many (bench_median), hand results to bench_keep(), say where the threads run
 * (struct bench_case), and verify what was claimed about the memory. Measure
 * the floor before the space is opened, or by calls that pass it by.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/base.h>

#define BENCH_CASES_MAX 8
#define BENCH_GIB	(1ul << 30)

/*
 * How a row is judged: RATIO is ours / floor, OVER is ours - floor, OURS is
 * ours alone; MAX may not be exceeded, MIN must be reached.
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
 * One measurement of a row. @floor and @ours are in the row's unit, 0 while
 * not measured. @judge and @limit are the row's unless the row changes them:
 * a case that is only there to explain the others is BENCH_NOT_JUDGED.
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

/* What a row came to; shared between the child that runs it and the parent. */
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
 * What a row gets. @cpu is where it is pinned, @other_cpu another one that the
 * process may use, or -1.
 */
struct bench_run {
	const struct bench_row *row;
	struct bench_outcome *out;
	bool quick;
	int cpu;
	int other_cpu;
};

/* Begins a case; @format makes its label. Ends the row if there is no room. */
struct bench_case *bench_case(struct bench_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bench_where(struct bench_case *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void bench_note(struct bench_case *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* End the row: @format names the capability that is missing. */
_Noreturn void bench_skip(struct bench_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* End the row: something went wrong that should not. */
_Noreturn void bench_fail(struct bench_run *run, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Fails the row unless @err, 0 or -errno of @what, is 0. */
void bench_must(struct bench_run *run, int err, const char *what);

/* 1 met, 0 missed, -1 not judged or not measured. */
int bench_is_met(const struct bench_case *c);

#endif
