/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_PORT_FIXTURE_H
#define HMMU_TESTS_PORT_FIXTURE_H

/*
 * Ports of one device, on the address space that is an array
 *
 * [VA, VA + pages) is mapped, and every page of it present: a device fault maps
 * one page. One fixture at a time: it is the space of core_fixture.h.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/core_fixture.h"

#include <hmmu/log.h>

/* Where the device sees the test's pages; nothing is mapped there here. */
#define VA ARRAY_BASE

struct fixture {
	struct hmmu_device *device;
	struct hmmu_port_list *ports;
	/* Where the host has the page at VA, and the others behind it. */
	unsigned char *host;
	size_t pages;
	uint64_t faults_before;
	_Atomic int step;
};

static inline struct fixture *fixture_create_on(struct array_mm *m,
						size_t pages)
{
	const struct hmmu_device_options options = { .size = sizeof(options),
						     .fault_around_pages = 1 };
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	core_create(m);
	assert_int_equal(
		hmmu_device_create(core.space, &options, &core.device[0]), 0);
	f->device = core.device[0];
	f->ports = &core.space->ports;
	f->pages = pages;
	array_map(core.m, VA, pages * PAGE, ARRAY_ANON_RW);
	for (size_t i = 0; i < pages; i++)
		assert_int_equal(array_store(core.m, VA + i * PAGE, 0), 0);
	f->host = array_host(core.m, VA);
	return f;
}

static inline struct fixture *fixture_create(size_t pages)
{
	return fixture_create_on(array_create(), pages);
}

static inline void fixture_destroy(struct fixture *f)
{
	assert_int_equal(atomic_load(&f->device->open_ports), 0);
	assert_int_equal(core_teardown(NULL), 0);
	free(f);
}

static inline struct hmmu_port *fixture_open(struct fixture *f)
{
	struct hmmu_port *port = NULL;

	assert_int_equal(hmmu_port_open(f->device, &port), 0);
	return port;
}

/* Device faults since the fixture was made or the count was reset. */
static inline uint64_t fixture_faults(struct fixture *f)
{
	return core_stats().device_faults - f->faults_before;
}

static inline void fixture_faults_reset(struct fixture *f)
{
	f->faults_before = core_stats().device_faults;
}

static inline void fixture_map(struct fixture *f, uintptr_t va)
{
	assert_int_equal(core_fault(f->device, va, 1, HMMU_ACCESS_READ), 0);
}

/* Memory is about to change, but does not. */
static inline void fixture_invalidate(void *arg)
{
	struct fixture *f = arg;

	array_protect(core.m, VA, f->pages * PAGE, ARRAY_ANON_RW);
}

/* The next device fault sets step 1 and waits for step 2. */
static inline void fixture_stall_fault(struct fixture *f)
{
	array_on(core.m, ARRAY_WATCH, 1, stall_here, &f->step);
}

static inline struct hmmu_port_fault fault_of(const struct hmmu_port *port)
{
	struct hmmu_port_fault fault;

	hmmu_port_last_fault(port, &fault);
	return fault;
}

#endif
