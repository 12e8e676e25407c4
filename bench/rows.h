/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_ROWS_H
#define HMMU_BENCH_ROWS_H

/*
 * The functions of the rows; the table is in bench.c
 */

#include "row.h"

/* rows_migrate.c */
void bench_migrate_out_large(struct bench_run *run);
void bench_migrate_home_large(struct bench_run *run);
void bench_migrate_out_small(struct bench_run *run);
void bench_migrate_home_small(struct bench_run *run);

/* rows_exclusive.c */
void bench_exclusive_acquire(struct bench_run *run);

/* rows_resident.c */
void bench_make_resident(struct bench_run *run);
void bench_pin_unpin(struct bench_run *run);

/* rows_fork.c */
void bench_fork(struct bench_run *run);

/* rows_touch.c */
void bench_exclusive_revoke(struct bench_run *run);
void bench_touch_4k(struct bench_run *run);
void bench_touch_2m(struct bench_run *run);
void bench_sweep(struct bench_run *run);

/* rows_unmap.c */
void bench_munmap_used(struct bench_run *run);
void bench_munmap_unused(struct bench_run *run);
void bench_munmap_part(struct bench_run *run);

/* rows_mirror.c */
void bench_mirror_map_1(struct bench_run *run);
void bench_mirror_unmap_1(struct bench_run *run);
void bench_mirror_map_256(struct bench_run *run);
void bench_mirror_lookup(struct bench_run *run);
void bench_mirror_runs(struct bench_run *run);
void bench_mirror_memory(struct bench_run *run);

/* rows_port.c */
void bench_port_load_seq(struct bench_run *run);
void bench_port_span_bandwidth(struct bench_run *run);

/* rows_range.c */
void bench_snapshot(struct bench_run *run);
void bench_device_fault_4k(struct bench_run *run);
void bench_device_fault_2m(struct bench_run *run);

#endif
