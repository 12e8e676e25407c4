/* SPDX-License-Identifier: MIT */
/*
 * A port: one execution context of a device inside this process.
 *
 * Overview: a thread, a pipeline or a simulated core opens a port on its
 * device and reaches any address of the program through it. The port has a
 * TLB of 2 MiB and 4 KiB entries, walks the device's mirror on a miss and
 * raises a device fault when the mirror has nothing. An access that the
 * address space refuses is a value: -EFAULT or -EPERM, and
 * hmmu_port_last_fault() has address, access and reason. It is never a signal of the program.
 *
 * Sections: a translation is valid only inside a section. Accesses open one
 * by themselves; a loop opens one around many accesses and it costs nothing
 * then. Whoever changes the program's memory waits for the sections that
 * began before: keep them short, and hold no lock over one that a toucher of
 * managed memory may want.
 *
 *	again:
 *		hmmu_port_begin(port);
 *		err = hmmu_port_span(port, va, n, HMMU_ACCESS_READ, &p, &run);
 *		if (!err)
 *			sum += add(p, run);
 *		hmmu_port_end(port);
 *		if (err == -EAGAIN)
 *			goto again;
 *
 * -EAGAIN: the section was broken - a translation could not be made without
 * waiting for somebody who waits for this section, or the thread touched
 * managed memory directly. Spans handed out in the section must not be used
 * any more: end the section and begin again. A section that holds no span is
 * begun again silently.
 *
 * Locking: a port is used by one thread at a time, and a section ends in the
 * thread that began it. A port is not a lock.
 *
 * The fast path has no lock, no fence and no system call: it pairs with
 * membarrier(2) on the side of the invalidation (doc/protocols.md).
 */
#ifndef HMMU_PORT_H
#define HMMU_PORT_H

#include <errno.h>
#include <hmmu/base.h>
#include <hmmu/device.h>

HMMU_BEGIN_DECLS

#define HMMU_PORT_LARGE_ENTRIES 64
#define HMMU_PORT_SMALL_ENTRIES 256
/** A tag no address has. */
#define HMMU_PORT_NO_TAG	UINTPTR_MAX
/** Changes when the TLB of struct hmmu_port does; see hmmu_port_open(). */
#define HMMU_PORT_LAYOUT	1u

/**
 * struct hmmu_port_entry - one entry of a port's TLB
 * @read_tag:  page number of what may be read, or HMMU_PORT_NO_TAG.
 * @write_tag: page number of what may be written, or HMMU_PORT_NO_TAG.
 * @delta:     host address minus device address, modulo 2^64.
 */
struct hmmu_port_entry {
	uintptr_t read_tag;
	uintptr_t write_tag;
	uintptr_t delta;
};

/**
 * struct hmmu_port - the part of a port that the inline paths use
 * @section: odd while a section is open; grows by one at begin and at end.
 * @gate:    written by invalidations: a change means the TLB is stale.
 * @gate_seen: the last value of @gate the port has obeyed.
 * @broken:  non-zero: the section was taken away from the port.
 * @depth:   nesting of hmmu_port_begin().
 * @fence:   non-zero where membarrier(2) is not to be had.
 * @owner:   the thread that began the latest section.
 * @large:   TLB of 2 MiB entries, direct mapped.
 * @small:   TLB of 4 KiB entries, direct mapped.
 *
 * Read it, do not write it; the rest of the port is HMMU's. What stands before
 * @large never changes.
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
 * @va:     the address that could not be reached.
 * @access: what for.
 * @error:  -EFAULT: nothing readable is mapped there; -EPERM: no permission to
 *          write; -EBUSY: collided for too long; -ENOMEM; 0: none yet.
 */
struct hmmu_port_fault {
	uintptr_t va;
	enum hmmu_access access;
	int error;
};

/* Out of line halves of the inline functions below; not to be called. */
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
/* The calling thread's id, or 0 before it has begun a section. */
HMMU_API extern __thread int hmmu__this_thread
	__attribute__((tls_model("initial-exec")));

/**
 * hmmu_port_open() - open a port on a device
 * @device:   the device; outlives the port.
 * @ret_port: receives the port, see hmmu_port_close().
 *
 * Tells the library which TLB the inline code of this header knows. A library
 * whose layout is another serves the port all the same: its TLB stays empty,
 * and each access goes out of line. Only code with the same layout uses a port.
 *
 * Context: May sleep.
 * Return: 0; -EINVAL for NULL; -ENOMEM.
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
 * @port: consumed. Its section must have ended. NULL is allowed.
 * Since: 0.1
 */
HMMU_API void hmmu_port_close(struct hmmu_port *port);

/**
 * hmmu_port_last_fault() - the last device fault of a port
 * @port:  the port.
 * @fault: receives it.
 * Since: 0.1
 */
HMMU_API void hmmu_port_last_fault(const struct hmmu_port *port,
				   struct hmmu_port_fault *fault);

/**
 * hmmu_port_set_fault_mode() - who resolves device faults
 * @port:        the port.
 * @report_only: non-zero: an access without a translation returns -ENOENT and
 *               resolves nothing; hmmu_port_last_fault() has the address. The
 *               caller faults it by hmmu_device_fault() when it likes. 0, the
 *               default: accesses resolve their faults themselves.
 * Since: 0.1
 */
HMMU_API void hmmu_port_set_fault_mode(struct hmmu_port *port, int report_only);

/**
 * hmmu_port_begin() - open a section; nests
 * @port: the port.
 *
 * The section is the calling thread's until it ends: when that thread stops at
 * managed memory of its own, the section is broken (see above).
 *
 * Context: May sleep while the program's memory is being changed.
 * Since: 0.1
 */
static inline void hmmu_port_begin(struct hmmu_port *port)
{
	if (port->depth++)
		return;
	if (__builtin_expect(port->owner != hmmu__this_thread, 0))
		hmmu__port_adopt(port);
	/* Pairs with the membarrier in hmmu__ports_wait(): either it sees the
	 * section, or this load sees the gate it has moved. Release: who sees
	 * the section sees its owner. */
	__atomic_store_n(&port->section, port->section + 1, __ATOMIC_RELEASE);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* A fence in words that gcc takes with -fsanitize=thread. */
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
	/* Release: whatever the section did is done before it is seen to end. */
	__atomic_store_n(&port->section, port->section + 1, __ATOMIC_RELEASE);
}

/**
 * hmmu_port_span() - host memory for a run of device addresses
 * @port:      the port, inside a section.
 * @va:        first byte.
 * @bytes:     how many are wanted; not 0.
 * @access:    what for.
 * @ret_host:  receives where @va is; valid until the section ends.
 * @ret_bytes: receives how many bytes from there may be used, 1 to @bytes.
 *
 * A span of system memory is that memory: if the program unmaps it by a raw
 * system call while the section is open, touching it raises SIGSEGV, which
 * hmmu_port_run() turns into a value. hmmu_port_read() and hmmu_port_write()
 * are safe by themselves.
 *
 * Return:
 *   0        use it until the section ends
 *   -EAGAIN  the section is broken: end it, begin again, ask again
 *   -EFAULT, -EPERM, -EBUSY, -ENOMEM  a device fault, see
 *            hmmu_port_last_fault()
 *   -EINVAL  no section is open, or @bytes is 0 or wraps
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_span(struct hmmu_port *port,
					    uintptr_t va, size_t bytes,
					    enum hmmu_access access,
					    void **ret_host, size_t *ret_bytes);

/**
 * hmmu_port_read() - copy from the program's memory, any length
 * @port:     the port; opens sections by itself where none is open.
 * @va:       first byte.
 * @buffer:   receives the bytes; memory no device can hold.
 * @bytes:    how many; 0 is allowed.
 * @ret_done: receives how many bytes were copied. May be NULL.
 *
 * Return: 0; -EFAULT, -EPERM, -EBUSY, -ENOMEM: a device fault, @ret_done bytes
 *   are done; -EINVAL: the range wraps; -EAGAIN: only inside a section that
 *   holds spans.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_read(struct hmmu_port *port,
					    uintptr_t va, void *buffer,
					    size_t bytes, size_t *ret_done);

/**
 * hmmu_port_write() - copy to the program's memory, any length
 * @port:     the port; opens sections by itself where none is open.
 * @va:       first byte.
 * @buffer:   the bytes; memory no device can hold.
 * @bytes:    how many; 0 is allowed.
 * @ret_done: receives how many bytes were copied. May be NULL.
 *
 * Return: as hmmu_port_read().
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_write(struct hmmu_port *port,
					     uintptr_t va, const void *buffer,
					     size_t bytes, size_t *ret_done);

/**
 * hmmu_port_compare_exchange() - atomic compare and exchange
 * @port:     the port.
 * @va:       naturally aligned.
 * @bytes:    1, 2, 4, 8 or 16.
 * @expected: in: the value wanted; out: the value found.
 * @desired:  the new value.
 *
 * Atomic against other ports and, on system memory, against the CPUs.
 *
 * Return: 1 exchanged; 0 not, @expected has the value found; a device fault as
 *   hmmu_port_read(); -EINVAL misaligned or another size.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_port_compare_exchange(struct hmmu_port *port, uintptr_t va, size_t bytes,
			   void *expected, const void *desired);

/**
 * hmmu_port_fetch_add() - atomic add
 * @port:    the port.
 * @va:      naturally aligned.
 * @bytes:   4 or 8.
 * @addend:  what to add; the low @bytes count.
 * @ret_old: receives the value before. May be NULL.
 *
 * Return: 0, or as hmmu_port_compare_exchange().
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int hmmu_port_fetch_add(struct hmmu_port *port,
						 uintptr_t va, size_t bytes,
						 uint64_t addend,
						 uint64_t *ret_old);

/**
 * hmmu_port_run() - run a function that uses spans, come what may
 * @port: the port, outside a section.
 * @fn:   gets the port; may open sections; must not own what leaving it in the
 *        middle would leak.
 * @arg:  handed to @fn.
 *
 * A SIGSEGV or SIGBUS of @fn within managed memory ends it as if it had
 * returned -EFAULT; the section is ended; hmmu_port_last_fault() has the
 * address.
 *
 * Return: what @fn returned, or -EFAULT.
 * Since: 0.1
 */
HMMU_API HMMU_MUST_CHECK int
hmmu_port_run(struct hmmu_port *port,
	      int (*fn)(struct hmmu_port *port, void *arg), void *arg);

/**
 * hmmu_signal_handle() - offer a SIGSEGV or SIGBUS to HMMU
 * @signal:  as the handler got it.
 * @info:    siginfo_t of the handler.
 * @context: ucontext_t of the handler.
 *
 * HMMU installs its own handler when the first space opens and hands on what
 * is not its own. A program that installs its own handler later calls this
 * first.
 *
 * Return: non-zero: it was a port's access and has been dealt with; return
 *   from the handler. 0: it is not HMMU's.
 * Since: 0.1
 */
HMMU_API int hmmu_signal_handle(int signal, void *info, void *context);

HMMU_END_DECLS

#include <hmmu/port_inline.h>

#endif
