/* SPDX-License-Identifier: MIT */
#ifndef DMIRROR_DMIRROR_H
#define DMIRROR_DMIRROR_H

/*
 * libhmmu-dmirror: a preloaded library in which /dev/hmm_dmirror0 to 3 are
 * there, on HMMU instead of a kernel module.
 *
 * Files: shim.c stands before the C library's calls; file.c knows which file
 * descriptors are devices; unit.c makes the four devices, when the first is
 * opened; command.c is what the devices do, copy.c, mapping.c and snapshot.c
 * parts of it; gup.c is the kernel's other test device, for pins; pagemap.c
 * shows in /proc/PID/pagemap what is away.
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
/* The first so many have private memory, the others coherent memory. */
#define DMIRROR_PRIVATE 2u

/* --- file.c --------------------------------------------------------------------- */

/* Which device a descriptor stands for. */
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

/* The device of that name, or NONE. */
struct dmirror_file dmirror_file_named(const char *path);
/* A new descriptor for it, or -errno. */
int dmirror_file_open(const struct dmirror_file *file, int flags);
/* What @fd stands for; cheap as long as nothing was opened. */
struct dmirror_file dmirror_file_of(int fd);
/* @fd, which is open, is closed: true if no other descriptor has its file. */
bool dmirror_file_is_last(int fd);

/* --- unit.c ----------------------------------------------------------------------- */

struct dmirror_unit {
	/* Held over a command. */
	pthread_mutex_t lock;
	unsigned int opens;
	struct hmmu_memory *memory;
	struct hmmu_device *device;
	/* Accesses of the device; misses are faulted by the command. */
	struct hmmu_port *port;
};

/* The space, and how commands reach the program's own buffers. */
struct dmirror_process {
	/* Held over a use of @port. */
	pthread_mutex_t lock;
	struct hmmu_space *space;
	struct hmmu_device *copier;
	struct hmmu_port *port;
};

/* One more user of unit @number of this process, or -errno. */
int dmirror_unit_open(unsigned int number);
/* One less: the last one ends the device and brings its pages home. */
void dmirror_unit_close(unsigned int number);
/* NULL: it is not open in this process. */
struct dmirror_unit *dmirror_unit_get(unsigned int number);
/* Valid while a unit is open, or a use of it is held. */
struct dmirror_process *dmirror_process_get(void);
/* The space alone, for pins: 0 or -errno. */
int dmirror_process_hold(void);
void dmirror_process_drop(void);

/* --- copy.c ----------------------------------------------------------------------- */

/* Between the program's memory and ours; -EFAULT as copy_to_user() would. */
int dmirror_copy_in(void *to, uint64_t from, size_t bytes);
int dmirror_copy_out(uint64_t to, const void *from, size_t bytes);

/*
 * The device reads or writes [c->addr, + npages) from or to @bounce: c->faults
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

/* The mapping that holds @addr; -ENOENT: none does. */
int dmirror_mapping_at(uint64_t addr, struct dmirror_mapping *m);

/* --- pagemap.c -------------------------------------------------------------------- */

/* The program has opened a file of that name. */
void dmirror_pagemap_opened(const char *path);
/* @fd is the pagemap of this process; cheap as long as none was opened. */
bool dmirror_pagemap_is(int fd);
/* @bytes of it were read from offset @at into @records. */
void dmirror_pagemap_correct(off_t at, void *records, size_t bytes);

/* --- command.c, snapshot.c, gup.c --------------------------------------------------- */

/* The ioctl: 0 or -errno. */
int dmirror_command(const struct dmirror_file *file, unsigned long request,
		    uint64_t arg);
int dmirror_snapshot(struct dmirror_unit *u, struct dmirror_cmd *c);
int dmirror_gup(unsigned long request, uint64_t arg);

/*
 * The entries of [addr, + npages): what is there now, nothing is faulted.
 * -EBUSY after a second of collisions.
 */
int dmirror_look(struct dmirror_unit *u, uint64_t addr, size_t npages,
		 uint64_t *entries);

#endif
