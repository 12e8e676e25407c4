/* SPDX-License-Identifier: MIT */
/*
 * hmmu bench: cases of a row, the end of a row, and the verdict
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "row.h"

struct bench_case *bench_case(struct bench_run *run, const char *format, ...)
{
	struct bench_case *c = &run->out->at[run->out->cases];
	va_list ap;

	if (run->out->cases == BENCH_CASES_MAX)
		bench_fail(run, "more cases than BENCH_CASES_MAX");
	va_start(ap, format);
	vsnprintf(c->label, sizeof(c->label), format, ap);
	va_end(ap);
	snprintf(c->where, sizeof(c->where), "CPU %d", run->cpu);
	c->judge = run->row->judge;
	c->limit = run->row->limit;
	run->out->cases++;
	return c;
}

void bench_where(struct bench_case *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->where, sizeof(c->where), format, ap);
	va_end(ap);
}

void bench_note(struct bench_case *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->note, sizeof(c->note), format, ap);
	va_end(ap);
}

/* _exit(): exit handlers might access pages that are on the device. */
void bench_skip(struct bench_run *run, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(run->out->why, sizeof(run->out->why), format, ap);
	va_end(ap);
	run->out->state = BENCH_SKIPPED;
	_exit(0);
}

void bench_fail(struct bench_run *run, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(run->out->why, sizeof(run->out->why), format, ap);
	va_end(ap);
	run->out->state = BENCH_FAILED;
	_exit(1);
}

void bench_must(struct bench_run *run, int err, const char *what)
{
	if (err)
		bench_fail(run, "%s: %s", what, strerror(-err));
}

int bench_is_met(const struct bench_case *c)
{
	double ratio;

	/* With a limit of 0, 0 is a measured value. */
	if (c->judge == BENCH_OURS_MAX && c->limit == 0.0)
		return c->ours <= 0.0;
	if (c->ours <= 0.0 || c->judge == BENCH_NOT_JUDGED)
		return -1;
	if (c->judge == BENCH_OURS_MAX)
		return c->ours <= c->limit;
	if (c->judge == BENCH_OURS_MIN)
		return c->ours >= c->limit;
	if (c->floor <= 0.0)
		return -1;
	ratio = c->ours / c->floor;
	if (c->judge == BENCH_RATIO_MAX)
		return ratio <= c->limit;
	if (c->judge == BENCH_RATIO_MIN)
		return ratio >= c->limit;
	return c->ours - c->floor <= c->limit;
}
