/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_OUTPUT_H
#define HMMU_BENCH_OUTPUT_H

/*
 * Output of rows: as a table and as JSON
 */

#include "row.h"

struct bench_report {
	const struct bench_row *row;
	const struct bench_outcome *out;
};

void bench_print_head(void);
void bench_print_row(const struct bench_report *report);
int bench_print_json(const struct bench_report *reports, size_t count,
		     bool quick);

#endif
