/* SPDX-License-Identifier: MIT */
#ifndef HMMU_MM_H
#define HMMU_MM_H

/*
 * The seam between core and an address space
 *
 * Overview. Core decides which pages migrate and which devices and subscribers
 * are notified. An address space (src/live: this process's memory; a test's
 * array) knows how pages are found, taken and put back. Core calls the address
 * space through struct hmmu_mm_ops. The address space calls core through the
 * hmmu__core_*() functions at the end of this file. Neither includes a private
 * header of the other.
 *
 * Addresses. An address of the space (uintptr_t) is what the program and its
 * devices use. Core never dereferences one: a run says where the host has the
 * bytes (struct hmmu_mm_run.host). For live the two are equal.
 *
 * Ranges are page aligned and half-open. Calls return 0 or -errno.
 *
 * Locking. Each operation names the locks its caller may hold. Block locks are
 * core's; what @hold takes is the address space's and ranks above them.
 *
 * Not supported: an address space whose pages change place without a call of
 * hmmu__core_invalidate_begin().
 *
 * To be added here: put for one page that a thread waits for, poison of a page
 * whose content is lost, put with write protection (all three as flags of
 * struct hmmu_mm_put), and a chunk of device memory that is bound to the block
 * it serves (struct hmmu_mm_take).
 */

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/base.h>
#include <hmmu/migrate.h>
#include <hmmu/notifier.h>
#include <hmmu/range.h>

#include "base/bitmap.h"
#include "base/process.h"

/* The end of the range of all pages. */
#define HMMU_MM_END (UINTPTR_MAX & ~(HMMU_PAGE_BYTES - 1))

struct hmmu_memory;
struct hmmu_mm;
struct hmmu_space;

/* What may be done with a mapping. */
enum hmmu_vma_flags {
	HMMU_VMA_READ = 1u << 0,
	HMMU_VMA_WRITE = 1u << 1,
	HMMU_VMA_SHARED = 1u << 2,
	/* Private anonymous: its pages can migrate to a device (DP9). */
	HMMU_VMA_ANON = 1u << 3,
	HMMU_VMA_HUGETLB = 1u << 4,
	/* It can not be faulted in: device files, vvar and the like (RF14). */
	HMMU_VMA_SPECIAL = 1u << 5,
	/* Memory of HMMU itself: out of the reach of devices (E1). */
	HMMU_VMA_OWN = 1u << 6,
};

/* One mapping. @page_lg2 is its native page size. */
struct hmmu_vma_info {
	uintptr_t start;
	uintptr_t end;
	uint32_t flags;
	uint32_t page_lg2;
};

enum hmmu_mm_run_flags {
	HMMU_MM_RUN_WRITE = 1u << 0,
	/* The shared zero page: reads see zeroes, a write replaces it. */
	HMMU_MM_RUN_ZERO = 1u << 1,
};

/*
 * Present pages [start, end) that are alike and lie in a row: the first at
 * @host, in pages of 4 KiB << @order as the CPU maps them. A run may begin and
 * end within a large page.
 */
struct hmmu_mm_run {
	uintptr_t start;
	uintptr_t end;
	uintptr_t host;
	uint8_t order;
	uint8_t flags;
};

/*
 * One take: pages [start, start + bytes) of one mapping move to @host, in
 * order. Results: the first @done_bytes are taken, of them @large whole 2 MiB
 * pages. The next @stay_bytes can not be taken; @why is the reason.
 * @shared: they are shared; a write fault may make them the process's own.
 */
struct hmmu_mm_take {
	uintptr_t start;
	size_t bytes;
	void *host;
	size_t done_bytes;
	size_t large;
	size_t stay_bytes;
	enum hmmu_stay why;
	bool shared;
};

/*
 * One put: the pages at @host move back to [start, start + bytes). Results: the
 * first @done_bytes are back, of them @large whole 2 MiB pages; @copied pages
 * were copied because they could not be moved.
 */
struct hmmu_mm_put {
	uintptr_t start;
	size_t bytes;
	void *host;
	size_t done_bytes;
	size_t large;
	size_t copied;
	/* The address space's own: some pages were not moved. */
	bool unmoved;
};

struct hmmu_mm_ops {
	/*
	 * The first mapping that ends above @addr; -EFAULT if there is none.
	 * Any lock may be held.
	 */
	int (*next_vma)(struct hmmu_mm *mm, uintptr_t addr,
			struct hmmu_vma_info *ret_vma);

	/*
	 * Makes the pages present as an access of a CPU thread would; device
	 * pages among them migrate to system memory. May wait for a CPU fault
	 * to be served: the caller holds no lock. -EFAULT, -EPERM, -ENOMEM,
	 * -EBUSY.
	 */
	int (*fault_in)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			bool write);

	/*
	 * Writes the runs of present pages of [start, end), which lies in @vma,
	 * in order of their addresses: *@ret_n runs, @max at most. They
	 * describe [start, *@ret_next); pages between them are absent. A
	 * caller goes on from *@ret_next. On an error nothing is written. Any
	 * lock may be held.
	 */
	int (*snapshot)(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
			uintptr_t start, uintptr_t end,
			struct hmmu_mm_run *runs, size_t max, size_t *ret_n,
			uintptr_t *ret_next);

	/*
	 * From now on changes of the mapping @vma are reported, also those
	 * that bypass the hooks. On success it is as @vma says, unless another
	 * call began to watch it since it was looked up. -EAGAIN: it is not,
	 * or it is changing: look it up again. -EOPNOTSUPP: the
	 * kernel can not watch this kind. -EBUSY: another userfaultfd watches
	 * it. Devices use memory that can not be watched all the same. -ENOMEM:
	 * the caller must fail, changes would be missed. Caller holds no lock.
	 */
	int (*watch)(struct hmmu_mm *mm, const struct hmmu_vma_info *vma);

	/*
	 * Prepares the mapping @vma for take: from now on an access of a CPU
	 * thread to an absent page of it ends in hmmu__core_cpu_fault(). -EBUSY:
	 * it can not be prepared, *@why is the reason; -EAGAIN: it is changing.
	 * Caller holds no lock.
	 */
	int (*arm)(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
		   enum hmmu_stay *why);

	/*
	 * Pages of [start, end) were put back or dropped, or arm was called for
	 * nothing: undoes arm, now or soon, where no page is on a device. Cheap
	 * while one is. Caller holds no lock.
	 */
	void (*release)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end);

	/*
	 * Takes pages out of the CPU's reach. Absent pages count as taken. In a
	 * hold for taking, with the block locks. -EAGAIN: the mapping is
	 * changing or not armed: release all locks, sync, begin again. -EBUSY:
	 * see @stay_bytes. -ENOMEM. A page at @host may still have content where
	 * empty() failed: take empties it. NULL: this space can not take pages;
	 * then migration and exclusive access are -EOPNOTSUPP.
	 */
	int (*take)(struct hmmu_mm *mm, struct hmmu_mm_take *take);

	/*
	 * Puts pages back and wakes the threads that wait for them. A page that
	 * is absent at @host leaves a hole; a page that is present already
	 * stays as it is. In a hold, with the block locks; or from
	 * hmmu__core_land(), without them. -EAGAIN as take; -ENOENT: the page
	 * behind @done_bytes has no mapping any more; -ENOMEM.
	 */
	int (*put)(struct hmmu_mm *mm, struct hmmu_mm_put *put);

	/*
	 * The page at @addr is absent and on no device: makes it a page of
	 * zeroes and wakes the threads that wait for it. Must not touch the
	 * @device_pages of its block. In a hold, with the block's lock.
	 */
	int (*fill_hole)(struct hmmu_mm *mm, uintptr_t addr,
			 const struct hmmu_bitmap512 *device_pages);

	/*
	 * Discards the content of device memory [host, host + bytes), which is
	 * of add_pool, so that pages can be taken to it again. Any lock.
	 */
	int (*empty)(struct hmmu_mm *mm, void *host, size_t bytes);

	/* Device memory that pages will be taken to, 2 MiB aligned. */
	int (*add_pool)(struct hmmu_mm *mm, void *host, size_t bytes);
	void (*remove_pool)(struct hmmu_mm *mm, void *host, size_t bytes);

	/*
	 * True if pages of [start, end) must stay now: memory of HMMU, libc
	 * and the loader, stacks and TLS of threads inside HMMU. With @skip
	 * the range lies in one block: marks them, bit i for page i of the
	 * block, and their reasons in @why[i]. @skip NULL only asks, and may
	 * be true for nothing. In a hold for taking.
	 */
	bool (*exclude)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			struct hmmu_bitmap512 *skip, uint8_t *why);

	/*
	 * In a hold no change of a mapping is applied to core that the address
	 * space learns of later: what the blocks say of device pages stays
	 * true. @taking: also, no thread newly relies on a page that exclude
	 * does not mark. Before any lock of core; may wait.
	 */
	void (*hold)(struct hmmu_mm *mm, bool taking);
	void (*unhold)(struct hmmu_mm *mm, bool taking);

	/*
	 * Waits until core knows of every change whose call has returned, and
	 * for at most @timeout_ns until no change is under way. 0 is cheap.
	 * Caller holds no lock but, where the address space itself calls core
	 * to apply a change, what that call allows.
	 */
	void (*sync)(struct hmmu_mm *mm, uint64_t timeout_ns);

	/*
	 * The caller waits, up to @timeout_ns in this call, for a port section
	 * of thread @owner, which may itself wait in a CPU fault or in a call
	 * that changes mappings. Serves what it waits for, as far as possible.
	 * True: @owner can not go on before the caller does: break the section.
	 * NULL: threads of this space never wait for each other like this.
	 */
	bool (*help)(struct hmmu_mm *mm, uint64_t timeout_ns, int owner);

	/* Ends the address space. No page is on a device, nobody uses it. */
	void (*destroy)(struct hmmu_mm *mm);
};

/* Counters of struct hmmu_space_stats that the address space raises; relaxed. */
struct hmmu_mm_counters {
	_Atomic uint64_t events_unmap;
	_Atomic uint64_t events_remove;
	_Atomic uint64_t events_remap;
	_Atomic uint64_t events_late;
	_Atomic uint64_t thp_lost;
};

/* The base of an address space; embedded first in it. */
struct hmmu_mm {
	const struct hmmu_mm_ops *ops;
	/* Set by hmmu__space_create(); the argument of the calls below. */
	struct hmmu_space *space;
	/* Where ops->take is NULL, what that means: a static sentence. */
	const char *no_take;
	/* What the first take restricts: a static sentence, or NULL. */
	const char *take_warning;
	struct hmmu_mm_counters counters;
	/* This process is a child of the one that the space belongs to. */
	_Atomic bool forked;
};

/* False in a forked child, however it was made: every call returns -ECHILD. */
static inline bool hmmu__mm_is_usable(const struct hmmu_mm *mm)
{
	return !atomic_load_explicit(&mm->forked, memory_order_acquire) &&
	       hmmu__process_is_ours();
}

/* The mapping that holds @addr; -EFAULT if there is none. */
static inline int hmmu__mm_vma_at(struct hmmu_mm *mm, uintptr_t addr,
				  struct hmmu_vma_info *ret_vma)
{
	int err = mm->ops->next_vma(mm, addr, ret_vma);

	return !err && ret_vma->start > addr ? -EFAULT : err;
}

static inline void hmmu__count(_Atomic uint64_t *counter, uint64_t n)
{
	/* Relaxed: a figure for people. */
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* --- what an address space tells core ------------------------------------- */

/* One invalidation from begin to end; lives on the caller's stack. */
struct hmmu_invalidate_call {
	struct hmmu_invalidation inv;
	/* The rest belongs to the notifiers. */
	struct hmmu_invalidate_call *next;
	/* A device had something of the range mapped. */
	bool unmapped;
	/* By the caller: pages change places, their content stays. */
	bool moves;
};

/*
 * The range is about to change: when begin returns no device uses it and none
 * will until end. Caller holds no block lock. Nests and runs in parallel.
 */
void hmmu__core_invalidate_begin(struct hmmu_space *space,
				 struct hmmu_invalidate_call *call);
void hmmu__core_invalidate_end(struct hmmu_space *space,
			       struct hmmu_invalidate_call *call);

/*
 * False: no device and no subscriber uses the range. The first takes no lock
 * and may be true for nothing; the second is for a thread inside.
 */
bool hmmu__core_may_be_used(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end);
bool hmmu__core_is_used(struct hmmu_space *space, uintptr_t start,
			uintptr_t end);

/* True while an invalidation for a discard (CLEAR) of the whole range runs. */
bool hmmu__core_is_clearing(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end);

/* The mapping or its content is gone: frees device pages of the range (DP14). */
void hmmu__core_drop(struct hmmu_space *space, uintptr_t start, uintptr_t end);

/*
 * Device pages [place, place + pages) of @memory that are recorded at no
 * address: between lift and land, or lift and drop. @addr is where they were.
 */
struct hmmu_lifted {
	struct hmmu_memory *memory;
	uintptr_t addr;
	uint32_t place;
	uint32_t pages;
};

/*
 * A mapping moved, and its device pages with it (DP15). Lift takes the first
 * run of device pages of [start, end) out of its block; false: there is none.
 * Land records it at @to, or puts it into system memory there if it can not be
 * recorded. Drop frees it. Moved lifts and lands all of a range. No page may be
 * taken or put meanwhile: the caller excludes every hold.
 */
bool hmmu__core_lift(struct hmmu_space *space, uintptr_t start, uintptr_t end,
		     struct hmmu_lifted *ret_lifted);
void hmmu__core_land(struct hmmu_space *space, const struct hmmu_lifted *lifted,
		     uintptr_t to);
void hmmu__core_lifted_drop(struct hmmu_space *space,
			    const struct hmmu_lifted *lifted);
void hmmu__core_moved(struct hmmu_space *space, uintptr_t from, uintptr_t to,
		      size_t bytes);

/*
 * A CPU thread accessed the absent page at @addr: puts its block back, or
 * fills the page with zeroes. Caller holds no lock. -EAGAIN: the mapping is
 * changing: apply the change, then call again. -ENOMEM. 1: done, but the
 * thread may not have been woken.
 */
int hmmu__core_cpu_fault(struct hmmu_space *space, uintptr_t addr);

/* Fills the page with zeroes if it is absent and on no device; same errors. */
int hmmu__core_fill(struct hmmu_space *space, uintptr_t addr);

/* True if a device holds pages of the range, also coherent ones; no lock. */
bool hmmu__core_is_held(struct hmmu_space *space, uintptr_t start,
			uintptr_t end);

/*
 * True if pages of the range are on devices and absent for the CPU. Takes no
 * lock; exact while every hold is excluded. The second writes the start of the
 * first block that has some to *@ret_at.
 */
bool hmmu__core_is_away(struct hmmu_space *space, uintptr_t start,
			uintptr_t end);
bool hmmu__core_next_away(struct hmmu_space *space, uintptr_t start,
			  uintptr_t end, uintptr_t *ret_at);

/* How many pages are in device memories, coherent ones included. */
uint64_t hmmu__core_device_pages(struct hmmu_space *space);

/* Puts device pages back: of a range; all of them, for fork and close. */
int hmmu__core_home(struct hmmu_space *space, uintptr_t start, uintptr_t end);
int hmmu__core_all_home(struct hmmu_space *space);

/*
 * All sections of all ports: hold lets no new one begin and waits for the open
 * ones; release lets them begin again. Idle: no port is open; cheap.
 */
void hmmu__core_ports_hold(struct hmmu_space *space);
void hmmu__core_ports_release(struct hmmu_space *space);
bool hmmu__core_ports_idle(struct hmmu_space *space);

/*
 * Breaks the caller's own open sections: it is about to wait for a thread that
 * may wait for them.
 */
void hmmu__core_break_own(struct hmmu_space *space);

/*
 * Whether thread @tid has a section open; exact only while it is stopped. Break:
 * it is stopped, and stays so until the call returns; its open sections are
 * waited for no more.
 */
bool hmmu__core_is_in_section(struct hmmu_space *space, int tid);
void hmmu__core_break(struct hmmu_space *space, int tid);

#endif
