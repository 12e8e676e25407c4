/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_PORT_FIXTURE_H
#define HMMU_TESTS_PORT_FIXTURE_H

/*
 * A device that is nothing but a mirror and a fault handler of the test. Each
 * program that includes it is linked with --wrap for what ports ask of a
 * device.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <hmmu/log.h>
#include <hmmu/port.h>

#include "base/arena.h"
#include "base/sched.h"
#include "base/sys.h"
#include "base/thread.h"
#include "core/device.h"
#include "core/fault.h"
#include "core/sections.h"
#include "mm.h"

/* Where the device sees the test's pages; nothing is mapped there here. */
#define VA	 0x200000000ul
#define PAGE	 HMMU_PAGE_BYTES
#define SHORT_NS 20000000u

/* The fake ------------------------------------------------------------------- */

/* @host backs [VA, VA + pages); a fault maps one page of it, or fails. */
struct fake {
	struct hmmu_port_list ports;
	struct hmmu_mirror *mirror;
	pthread_mutex_t lock;
	unsigned char *host;
	size_t pages;
	uint64_t flags;
	int error;
	/* A fault waits, in steps, for another thread to say go. */
	bool stalls;
	_Atomic int step;
	_Atomic int faults;
	_Atomic int opened;
};

static inline struct fake *fake_of(struct hmmu_device *device)
{
	return (struct fake *)(void *)device;
}

static inline struct hmmu_device *device_of(struct fake *f)
{
	return (struct hmmu_device *)(void *)f;
}

struct hmmu_port_list *__wrap_hmmu__device_ports(struct hmmu_device *device);
struct hmmu_mirror *__wrap_hmmu_device_mirror(struct hmmu_device *device);
void __wrap_hmmu__device_port_opened(struct hmmu_device *device);
void __wrap_hmmu__device_port_closed(struct hmmu_device *device);
int __wrap_hmmu__device_fault(struct hmmu_device *device, uintptr_t va,
			      size_t bytes, enum hmmu_access access);

struct hmmu_port_list *__wrap_hmmu__device_ports(struct hmmu_device *device)
{
	return &fake_of(device)->ports;
}

struct hmmu_mirror *__wrap_hmmu_device_mirror(struct hmmu_device *device)
{
	return fake_of(device)->mirror;
}

void __wrap_hmmu__device_port_opened(struct hmmu_device *device)
{
	atomic_fetch_add(&fake_of(device)->opened, 1);
}

void __wrap_hmmu__device_port_closed(struct hmmu_device *device)
{
	atomic_fetch_sub(&fake_of(device)->opened, 1);
}

static inline void step_wait(_Atomic int *step, int value)
{
	while (atomic_load_explicit(step, memory_order_acquire) < value)
		hmmu__sched_sleep(50000);
}

static inline void step_set(_Atomic int *step, int value)
{
	atomic_store_explicit(step, value, memory_order_release);
}

static inline int fake_map_locked(struct fake *f, uintptr_t va,
				  enum hmmu_access access)
{
	uintptr_t offset = (va - VA) & ~(PAGE - 1);

	if (va < VA || offset >= f->pages * PAGE)
		return -EFAULT;
	if (f->error)
		return f->error;
	if (access == HMMU_ACCESS_WRITE && !(f->flags & HMMU_MIRROR_WRITE))
		return -EPERM;
	return hmmu_mirror_map_range(f->mirror, VA + offset, PAGE,
				     (uintptr_t)f->host + offset, f->flags);
}

int __wrap_hmmu__device_fault(struct hmmu_device *device, uintptr_t va,
			      size_t bytes, enum hmmu_access access)
{
	struct fake *f = fake_of(device);
	int err;

	assert_int_equal(bytes, 1);
	atomic_fetch_add(&f->faults, 1);
	if (f->stalls) {
		step_set(&f->step, 1);
		step_wait(&f->step, 2);
	}
	(void)pthread_mutex_lock(&f->lock);
	err = fake_map_locked(f, va, access);
	(void)pthread_mutex_unlock(&f->lock);
	return err;
}

static inline void *pages_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static inline struct fake *fake_create(size_t pages)
{
	struct fake *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(hmmu_mirror_create(NULL, &f->mirror), 0);
	hmmu__ports_init(&f->ports);
	(void)pthread_mutex_init(&f->lock, NULL);
	f->pages = pages;
	f->host = pages_map(pages * PAGE);
	f->flags = HMMU_MIRROR_WRITE;
	return f;
}

static inline void fake_destroy(struct fake *f)
{
	assert_int_equal(atomic_load(&f->opened), 0);
	(void)munmap(f->host, f->pages * PAGE);
	hmmu__ports_fini(&f->ports);
	hmmu_mirror_destroy(f->mirror);
	free(f);
}

static inline struct hmmu_port *fake_open(struct fake *f)
{
	struct hmmu_port *port = NULL;

	assert_int_equal(hmmu_port_open(device_of(f), &port), 0);
	return port;
}

static inline void fake_unmap(struct fake *f)
{
	assert_int_equal(hmmu_mirror_unmap_range(f->mirror, VA, f->pages * PAGE,
						 NULL),
			 0);
}

/* What core does before memory changes. */
static inline void fake_invalidate_with(struct fake *f, struct hmmu_mm *mm)
{
	hmmu__ports_changing(&f->ports);
	fake_unmap(f);
	(void)hmmu__ports_changed(&f->ports, true, mm);
}

static inline void fake_invalidate(struct fake *f)
{
	fake_invalidate_with(f, NULL);
}

static inline struct hmmu_port_fault fault_of(const struct hmmu_port *port)
{
	struct hmmu_port_fault fault;

	hmmu_port_last_fault(port, &fault);
	return fault;
}

/* A second thread: fn(f), and whether it has returned. */
struct helper {
	void (*fn)(struct fake *f);
	struct fake *f;
	pthread_t thread;
	_Atomic int done;
};

static inline void *helper_run(void *arg)
{
	struct helper *h = arg;

	h->fn(h->f);
	step_set(&h->done, 1);
	return NULL;
}

static inline void helper_start(struct helper *h, struct fake *f,
				void (*fn)(struct fake *f))
{
	*h = (struct helper){ .fn = fn, .f = f };
	assert_int_equal(pthread_create(&h->thread, NULL, helper_run, h), 0);
}

static inline bool helper_is_done_soon(struct helper *h)
{
	hmmu__sched_sleep(SHORT_NS);
	return atomic_load_explicit(&h->done, memory_order_acquire);
}

static inline void helper_join(struct helper *h)
{
	assert_int_equal(pthread_join(h->thread, NULL), 0);
}

#endif
