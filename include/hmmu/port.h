/* SPDX-License-Identifier: MIT */
/*
 * Ports: access the program's memory from a device in this process
 *
 * Overview: a port is one execution context of a device: a thread, a pipeline
 * or a simulated core. It can access any address of the program. It has a TLB
 * of 2 MiB and 4 KiB entries. On a miss it walks the device's mirror, and if
 * the mirror has no entry it raises a device fault. If the program's memory
 * does not allow an access, the call returns -EFAULT or -EPERM, and
 * hmmu_port_last_fault() has the details. Only an access through a span can
 * raise a signal.
 *
 * Sections: a translation is valid only inside an access section. An access
 * opens one if none is open. A loop opens one around many accesses, so that
 * each costs only the TLB lookup. A change of the program's memory waits for
 * the sections that began before it: keep sections short. Do not hold a lock
 * over a section, nor take one in it, if other holders of the lock access
 * managed memory.
 *
 *	do {
 *		hmmu_port_begin(port);
 *		err = hmmu_port_span(port, va, n, HMMU_ACCESS_READ, &p, &run);
 *		if (!err)
 *			sum += add(p, run);
 *		hmmu_port_end(port);
 *	} while (err == -EAGAIN);
 *
 * -EAGAIN: the section was aborted. Making a translation would have waited for
 * a thread that waits for this section; or the thread accessed managed memory
 * directly, or called a function of HMMU that waits. Do not use the spans of
 * the section any more: end it, and begin again. A section without spans begins
 * again automatically.
 *
 * Locking: one thread uses a port at a time, and the thread that began a
 * section ends it. The caller of each function holds no lock that a callback
 * takes. The fast path has no lock, fence or system call: it pairs with
 * membarrier(2) in an invalidation (doc/protocols.md).
 */
#ifndef HMMU_PORT_H
#define HMMU_PORT_H

#include <errno.h>
#include <hmmu/base.h>
#include <hmmu/device.h>

HMMU_BEGIN_DECLS

#define HMMU_PORT_LARGE_ENTRIES 64
#define HMMU_PORT_SMALL_ENTRIES 256
/** A tag that matches no address. */
#define HMMU_PORT_NO_TAG	UINTPTR_MAX
/** Version of the TLB in struct hmmu_port; see hmmu_port_open(). */
#define HMMU_PORT_LAYOUT	1u

/**
 * struct hmmu_port_entry - one entry of a port's TLB
 * @read_tag:  page number that can be read, or HMMU_PORT_NO_TAG.
 * @write_tag: page number that can be written, or HMMU_PORT_NO_TAG.
 * @delta:     host address minus device address, modulo 2^64.
 */
struct hmmu_port_entry {
	uintptr_t read_tag;
	uintptr_t write_tag;
	uintptr_t delta;
};

/**
 * struct hmmu_port - the part of a port that the inline functions use
 * @section: odd while a section is open; incremented by begin and by end.
 * @gate:    written by invalidations; a new value means that the TLB is stale.
 * @gate_seen: the last value of @gate for which the port has dropped its TLB.
 * @broken:  non-zero: the section was aborted.
 * @depth:   nesting of hmmu_port_begin().
 * @fence:   non-zero if membarrier(2) is missing: begin executes a fence.
 * @owner:   the thread that began the last section.
 * @large:   TLB of 2 MiB entries, direct mapped.
 * @small:   TLB of 4 KiB entries, direct mapped.
 *
 * Only HMMU writes it. The fields before @large are the same in all versions.
 */
struct hmmu_port {
	uint64_t section;
	uint64_t gate;
	uint64_t gate_seen;
	uint32_t broken;
	uint32_t depth;
	uint32_t fence;
	int32_t owner;
	struct hmmu_port_entry large[HMMU_PORT_LARGE_ENTRIES];
	struct hmmu_port_entry small[HMMU_PORT_SMALL_ENTRIES];
};

/**
 * struct hmmu_port_fault - the last device fault of a port
 * @va:     the address that could not be accessed.
 * @access: the kind of access.
 * @error:  -EFAULT: not mapped or not readable. -EPERM: not writable. -EBUSY:
 *          collided with invalidations for 1 s. -ENOMEM: out of memory. 0: no
 *          fault yet.
 */
struct hmmu_port_fault {
	uintptr_t va;
	enum hmmu_access access;
	int error;
};

/* Used by the inline functions below. Do not call them. */
HMMU_API int hmmu__port_open_layout(struct hmmu_device *device, uint32_t layout,
				    size_t head_bytes,
				    struct hmmu_port **ret_port);
HMMU_API void hmmu__port_adopt(struct hmmu_port *port);
HMMU_API void hmmu__port_begin_slow(struct hmmu_port *port);
HMMU_API void hmmu__port_end_slow(struct hmmu_port *port);
HMMU_API int hmmu__port_access(struct hmmu_port *port, uintptr_t va,
			       size_t bytes, enum hmmu_access access,
			       void *value);
HMMU_API void hmmu__extable_add(const void *start, const void *end);
HMMU_API void hmmu__extable_remove(const void *start);
/* Id of the calling thread; 0 until it begins its first section. */
HMMU_API extern __thread int hmmu__this_thread
	__attribute__((tls_model("initial-exec")));

/**
 * hmmu_port_open() - open a port on a device
 * @device:   the device; borrowed until the port is closed.
 * @ret_port: receives the port. Free it with hmmu_port_close().
 *
 * Passes the version of the TLB that the inline code uses. If the library has
 * another version, the TLB stays empty and each access calls the library:
 * correct, but slower. All code that uses a port must have the same version.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EINVAL  NULL argument
 *   -ENOMEM  out of memory
 * Since: 0.1
 */
static inline HMMU_MUST_CHECK int hmmu_port_open(struct hmmu_device *device,
						 struct hmmu_port **ret_port)
{
	return hmmu__port_open_layout(device, HMMU_PORT_LAYOUT,
				      sizeof(struct hmmu_port), ret_port);
}

/**
 * hmmu_port_close() - close a port
 * @port: freed by the call; no section is open. May be NULL.
 *
 * Context: May sleep. Not from a callback.
 * Since: 0.1
 */
HMMU_API void hmmu_port_close(struct hmmu_port *port);

/**
 * hmmu_port_last_fault() - get the last device fault of a port
 * @port:  the port.
 * @fault: receives the fault.
 *
 * Context: Does not sleep.
 * Since: 0.1
 */
HMMU_API void hmmu_port_last_fault(const struct hmmu_port *port,
				   struct hmmu_port_fault *fault);

/**
 * hmmu_port_set_fault_mode() - resolve device faults, or only report them
 * @port:        the port.
 * @report_only: 0, the default: an access resolves its device fault. Non-zero:
 *               an access without a translation returns -ENOENT, and
 *               hmmu_port_last_fault() has the address. The caller calls
 *               hmmu_device_fault() and repeats the access.
 *
 * Context: Does not sleep.
 * Since: 0.1
 */
HMMU_API void hmmu_port_set_fault_mode(struct hmmu_port *port, int report_only);

/**
 * hmmu_port_begin() - begin a section; nests
 * @port: the port.
 *
 * In a section the thread accesses the program's memory only through the port.
 * If it accesses a page on a device directly, the section is aborted.
 *
 * Context: Sleeps while the program's memory is being changed. Not from a
 *          callback.
 * Since: 0.1
 */
static inline void hmmu_port_begin(struct hmmu_port *port)
{
	if (port->depth++)
		return;
	if (__builtin_expect(port->owner != hmmu__this_thread, 0))
		hmmu__port_adopt(port);
	/*
	 * Pairs with the membarrier of an invalidation, in sections_wait() of
	 * src/core/sections.c: either the invalidation sees the section, or the
	 * load of the gate below sees its new value. Release: a thread that
	 * sees the section sees its owner.
	 */
	__atomic_store_n(&port->section, port->section + 1, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* gcc rejects atomic_thread_fence() with -fsanitize=thread. */
	if (__builtin_expect(port->fence != 0, 0))
		__asm__ volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
	if (__builtin_expect(__atomic_load_n(&port->gate, __ATOMIC_ACQUIRE) !=
				     port->gate_seen,
			     0))
		hmmu__port_begin_slow(port);
}

/**
 * hmmu_port_end() - end the section of the innermost hmmu_port_begin()
 * @port: the port.
 *
 * Context: Does not sleep. In the thread that began the section.
 * Since: 0.1
 */
static inline void hmmu_port_end(struct hmmu_port *port)
{
	if (--port->depth)
		return;
	if (__builtin_expect(
		    __atomic_load_n(&port->broken, __ATOMIC_RELAXED) != 0, 0)) {
		hmmu__port_end_slow(port);
		return;
	}
	/* Release: a thread that sees the end sees all stores before it. */
	__atomic_store_n(&port->section, port->section + 1, __ATOMIC_RELEASE);
}

/**
 * hmmu_port_span() - get host memory for a range of device addresses
 * @port:      the port, in a section.
 * @va:        first byte; need not be aligned.
 * @bytes:     wanted length; not 0.
 * @access:    the kind of access.
 * @ret_host:  receives the host address of @va; valid until the section ends.
 * @ret_bytes: receives the length of the span, 1 to @bytes.
 *
 * A span of system memory is the program's memory itself. If the program unmaps
 * it by a raw system call while the section is open, an access through the span
 * raises SIGSEGV. hmmu_port_run() converts the signal to -EFAULT. For
 * hmmu_port_read() and hmmu_port_write() this is not needed.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EAGAIN  the section was aborted: end it, begin again, call again
 *   -EFAULT, -EPERM, -EBUSY, -ENOMEM  a device fault, see struct
 *            hmmu_port_fault
 *   -ENOENT  no translation, in report-only mode
 *   -EINVAL  NULL, no section is open, or @bytes is 0 or wraps
 * Source: contract E7.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_span(struct hmmu_port *port,
					    uintptr_t va, size_t bytes,
					    enum hmmu_access access,
					    void **ret_host, size_t *ret_bytes);

/**
 * hmmu_port_read() - copy from the program's memory
 * @port:     the port. If no section is open, the call opens its own.
 * @va:       first byte; need not be aligned.
 * @buffer:   receives the bytes. In a section it must be memory that cannot be
 *            on a device.
 * @bytes:    length; may be 0.
 * @ret_done: receives the number of bytes copied, also after an error. May be
 *            NULL.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EFAULT, -EPERM, -EBUSY, -ENOMEM  a device fault, see struct
 *            hmmu_port_fault
 *   -ENOENT  no translation, in report-only mode
 *   -EINVAL  NULL, or the range wraps
 *   -EAGAIN  the section was aborted and has spans: end it and begin again
 * Source: contract E7.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_read(struct hmmu_port *port,
					    uintptr_t va, void *buffer,
					    size_t bytes, size_t *ret_done);

/**
 * hmmu_port_write() - copy to the program's memory
 * @port:     the port. If no section is open, the call opens its own.
 * @va:       first byte; need not be aligned.
 * @buffer:   the bytes. In a section it must be memory that cannot be on a
 *            device.
 * @bytes:    length; may be 0.
 * @ret_done: receives the number of bytes copied, also after an error. May be
 *            NULL.
 *
 * Context: May sleep. Not from a callback.
 * Return: as hmmu_port_read().
 * Source: contract E7.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_write(struct hmmu_port *port,
					     uintptr_t va, const void *buffer,
					     size_t bytes, size_t *ret_done);

/**
 * hmmu_port_compare_exchange() - atomic compare and exchange
 * @port:     the port.
 * @va:       address, aligned to @bytes.
 * @bytes:    1, 2, 4, 8 or 16.
 * @expected: in: the expected value; out: the value found.
 * @desired:  the new value.
 *
 * Atomic against other ports. On system memory also against the CPU.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   1        exchanged
 *   0        not equal; @expected has the value found
 *   -EINVAL  NULL, @va misaligned, or another size
 *   others   as hmmu_port_read()
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_port_compare_exchange(struct hmmu_port *port, uintptr_t va, size_t bytes,
			   void *expected, const void *desired);

/**
 * hmmu_port_fetch_add() - atomic add
 * @port:    the port.
 * @va:      address, aligned to @bytes.
 * @bytes:   4 or 8.
 * @addend:  its low @bytes are added.
 * @ret_old: receives the value before. May be NULL.
 *
 * Atomic against other ports. On system memory also against the CPU.
 *
 * Context: May sleep. Not from a callback.
 * Return:
 *   0        success
 *   -EINVAL  NULL, @va misaligned, or another size
 *   others   as hmmu_port_read()
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_fetch_add(struct hmmu_port *port,
						 uintptr_t va, size_t bytes,
						 uint64_t addend,
						 uint64_t *ret_old);

/**
 * hmmu_port_run() - call a function that uses spans, and catch its faults
 * @port: the port; no section is open.
 * @fn:   gets the port; may open sections. It can be aborted at each access to
 *        a span, so it must not hold locks or allocations.
 * @arg:  passed to @fn.
 *
 * If @fn raises SIGSEGV or SIGBUS in managed memory, the section ends, the call
 * returns -EFAULT, and hmmu_port_last_fault() has the address.
 *
 * Context: As @fn. Not from a callback.
 * Return: what @fn returned; -EFAULT after a signal; -EINVAL for NULL or in a
 *         section.
 * Source: contract E7.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_port_run(struct hmmu_port *port,
	      int (*fn)(struct hmmu_port *port, void *arg), void *arg);

/**
 * hmmu_signal_handle() - let HMMU handle a SIGSEGV or SIGBUS
 * @signal:  argument of the signal handler.
 * @info:    siginfo_t, argument of the signal handler.
 * @context: ucontext_t, argument of the signal handler.
 *
 * HMMU installs its own handler when the first space opens, and passes signals
 * that are not its own to the handler before. A handler that the program
 * installs later calls this first.
 *
 * Context: In a handler of SIGSEGV or SIGBUS.
 * Locking: None.
 * Return: non-zero: HMMU has handled the access of a port: return from the
 *         handler. 0: the signal is not HMMU's.
 * Source: contract E7.
 * Since: 0.1
 */
HMMU_API int hmmu_signal_handle(int signal, void *info, void *context);

HMMU_END_DECLS

#include <hmmu/port_inline.h>

#endif
