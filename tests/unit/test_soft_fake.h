/* SPDX-License-Identifier: MIT */
/*
 * A port that does what the test says: the software accelerator above it is
 * the real one. The linker's --wrap puts it under src/soft, so that sections
 * break, pages are missing and accesses are refused when and where the test
 * wants, and nothing of the kernel is needed.
 *
 * The array address space (array_mm.h) can not stand in here: it has no say in
 * when a section breaks between its last span and the use of it, when a signal
 * ends hmmu_port_run(), and how many bytes a span has. test_soft_work, which
 * needs none of that, runs on it.
 *
 * One region of memory is managed, and each of its pages is in a state; all
 * other memory is mapped one to one. There is no TLB: every inline access goes
 * to hmmu__port_access().
 */
#ifndef HMMU_TEST_SOFT_FAKE_H
#define HMMU_TEST_SOFT_FAKE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <hmmu/soft.h>

#define FAKE_PAGES 64u
#define FAKE_BYTES (FAKE_PAGES * HMMU_PAGE_BYTES)

/*
 * @PAGE_ABSENT: a fault makes it PAGE_WRITABLE; @PAGE_CLEAN: translated for
 * reading, a write fault makes it PAGE_WRITABLE; @PAGE_READONLY: a write is
 * refused; @PAGE_HOLE: nothing is there.
 */
enum fake_page {
	PAGE_WRITABLE = 0,
	PAGE_ABSENT,
	PAGE_CLEAN,
	PAGE_READONLY,
	PAGE_HOLE,
};

struct fake_device {
	_Atomic int ports;
};

struct fake_port {
	struct hmmu_port port;
	struct fake_device *device;
	struct hmmu_port_fault fault;
	bool reports;
};

/*
 * @break_spans: so many spans are refused with -EAGAIN.
 * @break_sections: so many sections are broken under the work: the last span
 *               handed out is not what it seems.
 * @break_runs:  so many calls of hmmu_port_run() end as by a signal.
 * @span_limit:  most bytes of a span, 0 for no limit.
 * @longest_span: longest span handed out, bytes.
 */
struct fake {
	unsigned char *memory;
	enum fake_page page[FAKE_PAGES];
	_Atomic int break_spans;
	_Atomic int break_sections;
	_Atomic int break_runs;
	_Atomic int open_ports;
	_Atomic int faults;
	size_t span_limit;
	size_t longest_span;
};

static struct fake fake;
static unsigned char fake_stale[FAKE_BYTES];

static bool take_one(_Atomic int *count)
{
	if (atomic_load(count) <= 0)
		return false;
	atomic_fetch_sub(count, 1);
	return true;
}

static void fake_reset(void)
{
	void *memory = fake.memory;

	if (!memory && posix_memalign(&memory, HMMU_PAGE_BYTES, FAKE_BYTES))
		abort();
	memset(&fake, 0, sizeof(fake));
	memset(memory, 0, FAKE_BYTES);
	fake.memory = memory;
}

static enum fake_page *page_of(uintptr_t va)
{
	uintptr_t offset = va - (uintptr_t)fake.memory;

	return offset < FAKE_BYTES ? &fake.page[offset / HMMU_PAGE_BYTES] :
				     NULL;
}

static int resolve(struct fake_port *f, enum fake_page *page,
		   enum hmmu_access access)
{
	if (*page == PAGE_HOLE)
		return f->reports ? -ENOENT : -EFAULT;
	if (access == HMMU_ACCESS_WRITE && *page == PAGE_READONLY)
		return f->reports ? -ENOENT : -EPERM;
	if (*page == PAGE_ABSENT ||
	    (access == HMMU_ACCESS_WRITE && *page == PAGE_CLEAN)) {
		if (f->reports)
			return -ENOENT;
		atomic_fetch_add(&fake.faults, 1);
		*page = PAGE_WRITABLE;
	}
	return 0;
}

/* 0, or a device fault at @va. */
static int translate(struct hmmu_port *port, uintptr_t va,
		     enum hmmu_access access)
{
	struct fake_port *f = (struct fake_port *)(void *)port;
	enum fake_page *page = page_of(va);
	int err = page ? resolve(f, page, access) : 0;

	if (err)
		f->fault = (struct hmmu_port_fault){ .va = va,
						     .access = access,
						     .error = err };
	return err;
}

/* How many of @bytes from @va can be reached; *err says why not all. */
static size_t reachable(struct hmmu_port *port, uintptr_t va, size_t bytes,
			enum hmmu_access access, int *err)
{
	size_t done = 0, step;

	*err = 0;
	while (done < bytes) {
		*err = translate(port, va + done, access);
		if (*err)
			break;
		step = HMMU_PAGE_BYTES - (va + done) % HMMU_PAGE_BYTES;
		done += step < bytes - done ? step : bytes - done;
	}
	return done;
}

/* The functions that the linker puts in place of the real ones. */
int __wrap_hmmu_device_create(struct hmmu_space *space,
			      const struct hmmu_device_options *options,
			      struct hmmu_device **ret_device);
int __wrap_hmmu_device_destroy(struct hmmu_device *device);
int __wrap_hmmu__port_open_layout(struct hmmu_device *device, uint32_t layout,
				  size_t head_bytes,
				  struct hmmu_port **ret_port);
void __wrap_hmmu_port_close(struct hmmu_port *port);
void __wrap_hmmu_port_set_fault_mode(struct hmmu_port *port, int report_only);
void __wrap_hmmu_port_last_fault(const struct hmmu_port *port,
				 struct hmmu_port_fault *fault);
void __wrap_hmmu__port_begin_slow(struct hmmu_port *port);
void __wrap_hmmu__port_end_slow(struct hmmu_port *port);
int __wrap_hmmu__port_access(struct hmmu_port *port, uintptr_t va, size_t bytes,
			     enum hmmu_access access, void *value);
int __wrap_hmmu_port_span(struct hmmu_port *port, uintptr_t va, size_t bytes,
			  enum hmmu_access access, void **ret_host,
			  size_t *ret_bytes);
int __wrap_hmmu_port_read(struct hmmu_port *port, uintptr_t va, void *buffer,
			  size_t bytes, size_t *ret_done);
int __wrap_hmmu_port_write(struct hmmu_port *port, uintptr_t va,
			   const void *buffer, size_t bytes, size_t *ret_done);
int __wrap_hmmu_port_compare_exchange(struct hmmu_port *port, uintptr_t va,
				      size_t bytes, void *expected,
				      const void *desired);
int __wrap_hmmu_port_fetch_add(struct hmmu_port *port, uintptr_t va,
			       size_t bytes, uint64_t addend,
			       uint64_t *ret_old);
int __wrap_hmmu_port_run(struct hmmu_port *port,
			 int (*fn)(struct hmmu_port *port, void *arg),
			 void *arg);

int __wrap_hmmu_device_create(struct hmmu_space *space,
			      const struct hmmu_device_options *options,
			      struct hmmu_device **ret_device)
{
	struct fake_device *d = calloc(1, sizeof(*d));

	(void)space;
	(void)options;
	if (!d)
		abort();
	*ret_device = (struct hmmu_device *)d;
	return 0;
}

int __wrap_hmmu_device_destroy(struct hmmu_device *device)
{
	struct fake_device *d = (struct fake_device *)device;

	if (d->ports)
		return -EBUSY;
	free(d);
	return 0;
}

int __wrap_hmmu__port_open_layout(struct hmmu_device *device, uint32_t layout,
				  size_t head_bytes,
				  struct hmmu_port **ret_port)
{
	struct fake_port *f;
	size_t i;

	(void)layout;
	(void)head_bytes;
	f = calloc(1, sizeof(*f));
	if (!f)
		abort();
	for (i = 0; i < HMMU_PORT_LARGE_ENTRIES; i++)
		f->port.large[i].read_tag = f->port.large[i].write_tag =
			HMMU_PORT_NO_TAG;
	for (i = 0; i < HMMU_PORT_SMALL_ENTRIES; i++)
		f->port.small[i].read_tag = f->port.small[i].write_tag =
			HMMU_PORT_NO_TAG;
	f->device = (struct fake_device *)device;
	atomic_fetch_add(&f->device->ports, 1);
	atomic_fetch_add(&fake.open_ports, 1);
	*ret_port = &f->port;
	return 0;
}

void __wrap_hmmu_port_close(struct hmmu_port *port)
{
	if (port->depth)
		abort();
	atomic_fetch_sub(&((struct fake_port *)(void *)port)->device->ports, 1);
	atomic_fetch_sub(&fake.open_ports, 1);
	free(port);
}

void __wrap_hmmu_port_set_fault_mode(struct hmmu_port *port, int report_only)
{
	((struct fake_port *)(void *)port)->reports = report_only != 0;
}

void __wrap_hmmu_port_last_fault(const struct hmmu_port *port,
				 struct hmmu_port_fault *fault)
{
	*fault = ((const struct fake_port *)(const void *)port)->fault;
}

void __wrap_hmmu__port_begin_slow(struct hmmu_port *port)
{
	(void)port;
}

void __wrap_hmmu__port_end_slow(struct hmmu_port *port)
{
	port->broken = 0;
	port->section++;
}

int __wrap_hmmu__port_access(struct hmmu_port *port, uintptr_t va, size_t bytes,
			     enum hmmu_access access, void *value)
{
	int err = translate(port, va, access);

	if (err)
		return err;
	if (access == HMMU_ACCESS_READ)
		memcpy(value, (void *)va, bytes);
	else if (bytes == 8)
		__atomic_store_n((uint64_t *)va, *(uint64_t *)value,
				 __ATOMIC_RELEASE);
	else
		memcpy((void *)va, value, bytes);
	return 0;
}

/* The longest run from @va that needs no second fault, as a real one. */
int __wrap_hmmu_port_span(struct hmmu_port *port, uintptr_t va, size_t bytes,
			  enum hmmu_access access, void **ret_host,
			  size_t *ret_bytes)
{
	size_t run;
	int err;

	if (!port->depth || port->broken || !bytes)
		return port->broken ? -EAGAIN : -EINVAL;
	if (take_one(&fake.break_spans)) {
		port->broken = 1;
		return -EAGAIN;
	}
	run = reachable(port, va, bytes, access, &err);
	if (!run)
		return err;
	if (fake.span_limit && run > fake.span_limit)
		run = fake.span_limit;
	if (run > fake.longest_span)
		fake.longest_span = run;
	*ret_host = (void *)va;
	*ret_bytes = run;
	if (take_one(&fake.break_sections)) {
		port->broken = 1;
		*ret_host = fake_stale;
	}
	return 0;
}

int __wrap_hmmu_port_read(struct hmmu_port *port, uintptr_t va, void *buffer,
			  size_t bytes, size_t *ret_done)
{
	size_t done;
	int err;

	done = reachable(port, va, bytes, HMMU_ACCESS_READ, &err);
	memcpy(buffer, (void *)va, done);
	if (ret_done)
		*ret_done = done;
	return err;
}

int __wrap_hmmu_port_write(struct hmmu_port *port, uintptr_t va,
			   const void *buffer, size_t bytes, size_t *ret_done)
{
	size_t done;
	int err;

	done = reachable(port, va, bytes, HMMU_ACCESS_WRITE, &err);
	memcpy((void *)va, buffer, done);
	if (ret_done)
		*ret_done = done;
	return err;
}

int __wrap_hmmu_port_compare_exchange(struct hmmu_port *port, uintptr_t va,
				      size_t bytes, void *expected,
				      const void *desired)
{
	int err = translate(port, va, HMMU_ACCESS_WRITE);

	if (err)
		return err;
	if (bytes == 4)
		return __atomic_compare_exchange_n((uint32_t *)va,
						   (uint32_t *)expected,
						   *(const uint32_t *)desired,
						   false, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint64_t *)va, (uint64_t *)expected,
					   *(const uint64_t *)desired, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

int __wrap_hmmu_port_fetch_add(struct hmmu_port *port, uintptr_t va,
			       size_t bytes, uint64_t addend, uint64_t *ret_old)
{
	int err = translate(port, va, HMMU_ACCESS_WRITE);

	if (err)
		return err;
	*ret_old = bytes == 4 ?
			   __atomic_fetch_add((uint32_t *)va, (uint32_t)addend,
					      __ATOMIC_SEQ_CST) :
			   __atomic_fetch_add((uint64_t *)va, addend,
					      __ATOMIC_SEQ_CST);
	return 0;
}

int __wrap_hmmu_port_run(struct hmmu_port *port,
			 int (*fn)(struct hmmu_port *port, void *arg),
			 void *arg)
{
	if (take_one(&fake.break_runs))
		return -EFAULT;
	return fn(port, arg);
}

#endif
