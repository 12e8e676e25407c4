/* SPDX-License-Identifier: MIT */
#ifndef DMIRROR_DMIRROR_H
#define DMIRROR_DMIRROR_H

/*
 * libhmmu-dmirror: a preloaded library that implements /dev/hmm_dmirror0 to 3
 * on HMMU instead of in a kernel module
 *
 * Files: shim.c replaces calls of the C library. file.c finds out which file
 * descriptors are devices. unit.c creates the devices when they are opened.
 * command.c has the commands of the devices; copy.c, mapping.c and snapshot.c
 * have parts of them. gup.c is the kernel's test device for page pins.
 * pagemap.c marks device pages in /proc/PID/pagemap.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <hmmu/device.h>
#include <hmmu/memory.h>
#include <hmmu/port.h>
#include <hmmu/space.h>

#include "interface.h"

#define DMIRROR_UNITS	4u
/* Units below this number have private memory, the others coherent memory. */
#define DMIRROR_PRIVATE 2u

/* --- file.c --------------------------------------------------------------------- */

/* The kind of device that a descriptor refers to. */
enum dmirror_kind {
	DMIRROR_NONE,
	DMIRROR_DEVICE,
	DMIRROR_GUP,
};

struct dmirror_file {
	enum dmirror_kind kind;
	unsigned int unit;
	/* The process that opened it. */
	pid_t opener;
};

/* The device of that path, or NONE. */
struct dmirror_file dmirror_file_named(const char *path);
/* Create a descriptor for @file; the descriptor or -errno. */
int dmirror_file_open(const struct dmirror_file *file, int flags);
/* The device that @fd refers to. Cheap if no device was ever opened. */
struct dmirror_file dmirror_file_of(int fd);
/* Before @fd is closed: true if no other descriptor has its file. */
bool dmirror_file_is_last(int fd);

/* --- unit.c ----------------------------------------------------------------------- */

struct dmirror_unit {
	/* Held during a command. */
	pthread_mutex_t lock;
	unsigned int opens;
	struct hmmu_memory *memory;
	struct hmmu_device *device;
	/* The device's accesses. It reports misses, and the command faults. */
	struct hmmu_port *port;
};

/* The space, and a device with which commands access the program's buffers. */
struct dmirror_process {
	/* Held while @port is used. */
	pthread_mutex_t lock;
	struct hmmu_space *space;
	struct hmmu_device *copier;
	struct hmmu_port *port;
};

/* Count a user of unit @number, and create the device for the first one. */
int dmirror_unit_open(unsigned int number);
/* The last user destroys the device; its pages migrate back. */
void dmirror_unit_close(unsigned int number);
/* NULL if it is not open in this process. */
struct dmirror_unit *dmirror_unit_get(unsigned int number);
/* Valid while a unit is open, or between hold and drop. */
struct dmirror_process *dmirror_process_get(void);
/* Hold the space without a unit, for pins: 0 or -errno. */
int dmirror_process_hold(void);
void dmirror_process_drop(void);

/* --- copy.c ----------------------------------------------------------------------- */

/* Copy from and to the program's memory; -EFAULT as in copy_to_user(). */
int dmirror_copy_in(void *to, uint64_t from, size_t bytes);
int dmirror_copy_out(uint64_t to, const void *from, size_t bytes);

/*
 * The device copies [c->addr, + npages) to @bounce, or @bounce to it. c->faults
 * counts its faults, c->cpages the pages done.
 */
int dmirror_device_copy(struct dmirror_unit *u, struct dmirror_cmd *c,
			void *bounce, enum hmmu_access access);

/* --- mapping.c -------------------------------------------------------------------- */

struct dmirror_mapping {
	uint64_t start;
	uint64_t end;
	bool readable;
	bool writable;
	bool shared;
	bool of_file;
};

/* The mapping that contains @addr, or -ENOENT. */
int dmirror_mapping_at(uint64_t addr, struct dmirror_mapping *m);

/* --- pagemap.c -------------------------------------------------------------------- */

/* The program opens a file of that path. */
void dmirror_pagemap_opened(const char *path);
/* True if @fd is the pagemap of this process. Cheap if none was opened. */
bool dmirror_pagemap_is(int fd);
/* Correct @records: @bytes that were read from offset @at of the pagemap. */
void dmirror_pagemap_correct(off_t at, void *records, size_t bytes);

/* --- command.c, snapshot.c, gup.c --------------------------------------------------- */

/* The ioctl: 0 or -errno. */
int dmirror_command(const struct dmirror_file *file, unsigned long request,
		    uint64_t arg);
int dmirror_snapshot(struct dmirror_unit *u, struct dmirror_cmd *c);
int dmirror_gup(unsigned long request, uint64_t arg);

/*
 * Get the entries of [addr, + npages) without faulting pages in. -EBUSY after
 * one second of collisions.
 */
int dmirror_look(struct dmirror_unit *u, uint64_t addr, size_t npages,
		 uint64_t *entries);

#endif
