/* SPDX-License-Identifier: MIT */
/*
 * The devices of this process
 *
 * A device is created when its first descriptor is opened and destroyed when
 * the last is closed. A process that opens none has no space and no thread. A
 * forked child does not use its parent's devices; it drops the inherited state.
 *
 * Locking: @lock guards all state of this file.
 */
#include <errno.h>
#include <unistd.h>

#include "dmirror.h"

/* Size of each device memory. Unused memory costs nothing. */
#define MEMORY_BYTES (4ul << 30)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct dmirror_unit units[DMIRROR_UNITS];
static struct dmirror_process process = { .lock = PTHREAD_MUTEX_INITIALIZER };
static unsigned int holds;
static pid_t owner;

/* In a child, drop the parent's state. */
static void forget_if_forked(void)
{
	unsigned int i;

	if (owner == getpid())
		return;
	owner = getpid();
	holds = 0;
	process = (struct dmirror_process){ .lock = PTHREAD_MUTEX_INITIALIZER };
	for (i = 0; i < DMIRROR_UNITS; i++)
		units[i] = (struct dmirror_unit){
			.lock = PTHREAD_MUTEX_INITIALIZER
		};
}

static void process_end(struct dmirror_process *p)
{
	hmmu_port_close(p->port);
	/* If it is still in use, it stays open until the process ends. */
	if (!hmmu_device_destroy(p->copier) && !hmmu_space_close(p->space))
		p->space = NULL;
	p->port = NULL;
	p->copier = NULL;
}

static int process_make(struct dmirror_process *p)
{
	struct hmmu_device_options o = { .size = sizeof(o), .name = "copier" };
	int err = hmmu_space_open(NULL, NULL, &p->space);

	if (err)
		return err;
	err = hmmu_device_create(p->space, &o, &p->copier);
	if (!err)
		err = hmmu_port_open(p->copier, &p->port);
	if (err)
		process_end(p);
	return err;
}

static int hold_locked(void)
{
	int err = 0;

	if (!holds)
		err = process_make(&process);
	if (!err)
		holds++;
	return err;
}

static void drop_locked(void)
{
	if (--holds == 0)
		process_end(&process);
}

int dmirror_process_hold(void)
{
	int err;

	pthread_mutex_lock(&lock);
	forget_if_forked();
	err = hold_locked();
	pthread_mutex_unlock(&lock);
	return err;
}

void dmirror_process_drop(void)
{
	pthread_mutex_lock(&lock);
	drop_locked();
	pthread_mutex_unlock(&lock);
}

struct dmirror_process *dmirror_process_get(void)
{
	return &process;
}

static void unit_end(struct dmirror_unit *u)
{
	hmmu_port_close(u->port);
	/* If it cannot be destroyed, its memory and the space stay open. */
	if (!hmmu_device_destroy(u->device))
		hmmu_memory_destroy(u->memory);
	u->port = NULL;
	u->device = NULL;
	u->memory = NULL;
}

static int unit_make(struct dmirror_unit *u, bool coherent)
{
	struct hmmu_memory_options mo = {
		.size = sizeof(mo),
		.kind = coherent ? HMMU_MEMORY_COHERENT :
				   HMMU_MEMORY_HOST_PRIVATE,
		.bytes = MEMORY_BYTES,
	};
	struct hmmu_device_options o = { .size = sizeof(o),
					 .name = "dmirror",
					 /* The program counts its faults. */
					 .fault_around_pages = 1 };
	int err = hmmu_memory_create(process.space, &mo, &u->memory);

	o.memory = u->memory;
	if (!err)
		err = hmmu_device_create(process.space, &o, &u->device);
	if (!err)
		err = hmmu_port_open(u->device, &u->port);
	if (!err)
		hmmu_port_set_fault_mode(u->port, 1);
	else
		unit_end(u);
	return err;
}

static int unit_open_locked(struct dmirror_unit *u, bool coherent)
{
	int err = 0;

	if (!u->opens) {
		err = hold_locked();
		if (err)
			return err;
		err = unit_make(u, coherent);
		if (err)
			drop_locked();
	}
	if (!err)
		u->opens++;
	return err;
}

int dmirror_unit_open(unsigned int number)
{
	int err;

	pthread_mutex_lock(&lock);
	forget_if_forked();
	err = unit_open_locked(&units[number], number >= DMIRROR_PRIVATE);
	pthread_mutex_unlock(&lock);
	return err;
}

void dmirror_unit_close(unsigned int number)
{
	struct dmirror_unit *u = &units[number];

	pthread_mutex_lock(&lock);
	forget_if_forked();
	if (u->opens && --u->opens == 0) {
		unit_end(u);
		drop_locked();
	}
	pthread_mutex_unlock(&lock);
}

struct dmirror_unit *dmirror_unit_get(unsigned int number)
{
	struct dmirror_unit *u = NULL;

	pthread_mutex_lock(&lock);
	forget_if_forked();
	if (units[number].opens)
		u = &units[number];
	pthread_mutex_unlock(&lock);
	return u;
}
