/* SPDX-License-Identifier: MIT */
#ifndef HMMU_BENCH_DEVICE_H
#define HMMU_BENCH_DEVICE_H

/*
 * The two sides of most rows: a bare userfaultfd, and a space with a device
 */

#include <pthread.h>

#include <hmmu/device.h>
#include <hmmu/memory.h>
#include <hmmu/migrate.h>
#include <hmmu/port.h>
#include <hmmu/space.h>

#include "row.h"

/* --- bare userfaultfd ------------------------------------------------------ */

/* Open a userfaultfd that can move pages, or skip the row. */
int bench_uffd_open(struct bench_run *run);
void bench_uffd_watch(struct bench_run *run, int fd, const void *p,
		      size_t bytes);

/* One UFFDIO_MOVE, repeated while the kernel returns EAGAIN. */
void bench_uffd_move(struct bench_run *run, int fd, uintptr_t dst,
		     uintptr_t src, size_t bytes);

/*
 * A thread that polls and reads the userfaultfd. It resolves each fault by
 * moving @unit_bytes from the same offset of the staging memory.
 */
struct bench_server {
	struct bench_run *run;
	pthread_t thread;
	int fd;
	int cpu;
	uintptr_t staging_minus_memory;
	size_t unit_bytes;
};

void bench_server_start(struct bench_server *server);
void bench_server_stop(struct bench_server *server);

/* --- space ----------------------------------------------------------------- */

/* A space with a device. @memory is NULL for a device without memory. */
struct bench_device {
	struct bench_run *run;
	struct hmmu_space *space;
	struct hmmu_memory *memory;
	struct hmmu_device *device;
};

/*
 * Open the space and create a device with @memory_bytes of device memory. Skips
 * the row if the space cannot be opened.
 */
void bench_device_open(struct bench_run *run, struct bench_device *d,
		       size_t memory_bytes, uint32_t fault_around_pages);
void bench_device_close(struct bench_device *d);
/* Drop every translation, by a new device in the same space. */
void bench_device_renew(struct bench_device *d, uint32_t fault_around_pages);

/* Migrate the whole range, or fail the row if a page does not migrate. */
void bench_to_device(struct bench_device *d, const void *p, size_t bytes);
void bench_to_home(struct bench_device *d, const void *p, size_t bytes);

/*
 * Pin the thread of the space's fault service, which is found by its name.
 * Skips the row if there is none.
 */
void bench_service_pin(struct bench_run *run, int cpu);

/*
 * The bytes of the range that a device has as large pages of host memory. The
 * device's page table has their addresses, and the kernel their size.
 */
size_t bench_device_large_bytes(struct bench_device *d, const void *p,
				size_t bytes);

#endif
