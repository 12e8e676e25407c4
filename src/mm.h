/* SPDX-License-Identifier: MIT */
#ifndef HMMU_MM_H
#define HMMU_MM_H

/*
 * The seam between core and an address space
 *
 * Core decides what moves and who must be told; an address space (live: this
 * process; later sim) knows how. Core asks through struct hmmu_mm_ops; the
 * address space tells core through the hmmu__core_*() calls at the end. Core
 * never calls userfaultfd and never asks which side it runs on.
 *
 * Every range is page aligned and half-open. Every call returns 0 or -errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hmmu/base.h>
#include <hmmu/migrate.h>
#include <hmmu/notifier.h>
#include <hmmu/range.h>

#include "base/bitmap.h"

struct hmmu_mm;

/* What may be done with a mapping, as core sees it. */
enum hmmu_vma_flags {
	HMMU_VMA_READ = 1u << 0,
	HMMU_VMA_WRITE = 1u << 1,
	HMMU_VMA_SHARED = 1u << 2,
	/* Private anonymous: its pages may live on a device (DP9). */
	HMMU_VMA_ANON = 1u << 3,
	HMMU_VMA_HUGETLB = 1u << 4,
	/* Device files, vvar and their like: no way to fault it (RF14). */
	HMMU_VMA_SPECIAL = 1u << 5,
};

/* One mapping. @page_lg2 is its native page size. */
struct hmmu_vma_info {
	uintptr_t start;
	uintptr_t end;
	uint32_t flags;
	uint32_t page_lg2;
};

/*
 * One take: program pages [start, start + bytes), of one mapping, go to @host
 * page by page in order. Out: @done_bytes from the start are taken, of them
 * @large whole 2 MiB pages; the @stay_bytes after them can not be, for @why.
 */
struct hmmu_mm_take {
	uintptr_t start;
	size_t bytes;
	void *host;
	size_t done_bytes;
	size_t large;
	size_t stay_bytes;
	enum hmmu_stay why;
};

/*
 * One put: what is at @host goes back to [start, start + bytes). Out: of the
 * @done_bytes, @large whole 2 MiB pages moved as one, @copied pages copied.
 */
struct hmmu_mm_put {
	uintptr_t start;
	size_t bytes;
	void *host;
	size_t done_bytes;
	size_t large;
	size_t copied;
	/* For the address space: some pages were not moved. */
	bool unmoved;
};

struct hmmu_mm_ops {
	/* The mapping that holds @addr; -EFAULT if there is none. */
	int (*describe)(struct hmmu_mm *mm, uintptr_t addr,
			struct hmmu_vma_info *out);

	/*
	 * The first mapping that ends above @addr; -EFAULT if there is none.
	 */
	int (*describe_next)(struct hmmu_mm *mm, uintptr_t addr,
			     struct hmmu_vma_info *out);

	/*
	 * Makes the pages present as a CPU thread would by touching them, so
	 * that device pages among them come home. May sleep for the fault
	 * service: caller holds no lock. -EFAULT, -EPERM, -ENOMEM, -EBUSY.
	 */
	int (*fault_in)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			bool write);

	/*
	 * Writes VALID, WRITE, where and order of system pages to @entries, one
	 * per page, and 0 for absent ones, as for all in case of an error; the
	 * sticky bits stay. @vma holds the whole range.
	 */
	int (*snapshot)(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
			uintptr_t start, uintptr_t end, uint64_t *entries);

	/*
	 * Sees to it that changes of the mapping at @addr are told from now
	 * on, also those made behind the hooks. 0: they are already; 1: from
	 * now on - the mapping may have changed just before. -EAGAIN: it is
	 * changing: begin again. -EOPNOTSUPP: the kernel can not watch this
	 * kind; -EBUSY: somebody else's userfaultfd does: such memory is used
	 * all the same. -ENOMEM: not without memory, it would miss changes.
	 * Caller holds no lock.
	 */
	int (*watch)(struct hmmu_mm *mm, const struct hmmu_vma_info *vma);

	/*
	 * Makes the mapping that holds @addr ready to have its pages taken:
	 * afterwards a CPU touch of an absent page anywhere in it ends at
	 * hmmu__core_cpu_fault(). -EBUSY: it can not, @why says why; -EAGAIN:
	 * it is changing. Caller holds no lock.
	 */
	int (*arm)(struct hmmu_mm *mm, const struct hmmu_vma_info *vma,
		   enum hmmu_stay *why);

	/*
	 * Pages of [start, end) came home, were dropped, or were to be taken:
	 * what is armed there and has no page on a device is disarmed, now or
	 * soon. Caller holds no lock; cheap while something is still away.
	 */
	void (*release)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end);

	/*
	 * Takes pages out of the CPU's reach. Absent pages count as taken. NULL:
	 * this address space can not, and then nothing is armed either.
	 * Holding block locks and the events lock (shared). 0: all;
	 * -EAGAIN: the mapping is changing or not armed any more: let go of
	 * every lock, call @quiet and begin again; -EBUSY: some stay.
	 */
	int (*take)(struct hmmu_mm *mm, struct hmmu_mm_take *take);

	/*
	 * Puts pages back and wakes who waits for them. Pages absent at @host
	 * leave holes; what is present already stays as it is. Same locks as
	 * take. -EAGAIN as take; -ENOENT: nothing to put them into any more;
	 * -ENOMEM.
	 */
	int (*put)(struct hmmu_mm *mm, struct hmmu_mm_put *put);

	/*
	 * The page at @addr is absent and on no device: give it to the CPU as
	 * zeroes and wake who waits. @device_pages of its block are not to be
	 * touched. Holding the block's lock and the events lock (shared).
	 */
	int (*fill_hole)(struct hmmu_mm *mm, uintptr_t addr,
			 const struct hmmu_bitmap512 *device_pages);

	/*
	 * Empties device memory whose content is no longer wanted, so that it
	 * can be filled again. [host, host + bytes) is of add_pool().
	 */
	int (*empty)(struct hmmu_mm *mm, void *host, size_t bytes);

	/* Device memory that pages will be taken to, 2 MiB aligned. */
	int (*add_pool)(struct hmmu_mm *mm, void *host, size_t bytes);
	void (*remove_pool)(struct hmmu_mm *mm, void *host, size_t bytes);

	/*
	 * The events lock: the service holds it exclusively from before it
	 * reads events of changed mappings until core knows of them.
	 */
	void (*events_lock_shared)(struct hmmu_mm *mm);
	void (*events_unlock_shared)(struct hmmu_mm *mm);

	/*
	 * Waits until every event that has been read is known to core: whose
	 * call has returned by now is seen. Cheap. Caller holds no lock.
	 */
	void (*events_wait)(struct hmmu_mm *mm);

	/*
	 * Waits until every change of a mapping that was under way has been
	 * told to core, or for so long. Caller holds no lock.
	 */
	void (*quiet)(struct hmmu_mm *mm, uint64_t timeout_ns);

	/*
	 * Between begin and end no thread newly relies on a page that
	 * exclude() does not mark. Taken after the block locks; short. False:
	 * a thread is about to, and may need what the caller holds: let go of
	 * every lock, take_wait, begin again.
	 */
	bool (*take_begin)(struct hmmu_mm *mm);
	void (*take_end)(struct hmmu_mm *mm);
	void (*take_wait)(struct hmmu_mm *mm);

	/*
	 * Marks in @skip the pages of [start, end), at most one block, bit i
	 * for page i of the block, that must not leave now: HMMU's own, libc's
	 * and the loader's data, stacks and TLS of threads inside HMMU. @why
	 * has room for 512 reasons and is written where a bit is set.
	 */
	void (*exclude)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end,
			struct hmmu_bitmap512 *skip, uint8_t *why);

	/* A cheap early form: true if exclude() may mark something there. */
	bool (*may_exclude)(struct hmmu_mm *mm, uintptr_t start, uintptr_t end);

	/*
	 * True in the thread that serves CPU faults: it must not wait for
	 * itself.
	 */
	bool (*is_service)(struct hmmu_mm *mm);

	/*
	 * Called by a thread that waits for port sections: reads CPU faults
	 * that no one has read, so that a section whose own thread faulted is
	 * broken (design.md section 4, rule 3). Waits @timeout_ns at most.
	 */
	void (*pump)(struct hmmu_mm *mm, uint64_t timeout_ns);

	/*
	 * The caller is the service, and thread @tid sleeps in a system call
	 * that changes mappings: it may be waiting for the service.
	 */
	bool (*is_stuck)(struct hmmu_mm *mm, int tid);

	/*
	 * The caller is the service with the events lock held exclusively, and
	 * put() says -EAGAIN: lets the threads go on that it waits for.
	 */
	void (*drain)(struct hmmu_mm *mm);
};

/* The base of an address space; the live one embeds it first. */
struct hmmu_mm {
	const struct hmmu_mm_ops *ops;
	/* Where ops->take is NULL, what that means: a static sentence. */
	const char *no_take;
	struct hmmu_space *space;
};

/* --- what an address space tells core ------------------------------------- */

/* One invalidation from begin to end; lives on the caller's stack. */
struct hmmu_invalidate_call {
	struct hmmu_invalidation inv;
	/* The rest belongs to the notifiers. */
	struct hmmu_invalidate_call *next;
	/* A device had something of the range mapped. */
	bool unmapped;
	/* By the caller: pages change places, and keep what is in them. */
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
 * False: no device and no subscriber has anything to do with the range. The
 * first is lock-free and may say true for nothing; the second is for a thread
 * inside.
 */
bool hmmu__core_may_be_used(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end);
bool hmmu__core_is_used(struct hmmu_space *space, uintptr_t start,
			uintptr_t end);

/* True while a discard (CLEAR) of all of the range is being made by a hook. */
bool hmmu__core_is_clearing(struct hmmu_space *space, uintptr_t start,
			    uintptr_t end);

/* Device pages of the range are garbage: mapping or content is gone (DP14). */
void hmmu__core_drop(struct hmmu_space *space, uintptr_t start, uintptr_t end);

/*
 * Something has moved to [start, end) before it was told that what stood there
 * has left: its device pages are put aside. When that is told after all, they
 * are dropped, or follow where their mapping went. What is left in the end is
 * dropped. All by the service with the events lock held exclusively.
 */
void hmmu__core_displace(struct hmmu_space *space, uintptr_t start,
			 uintptr_t end);
void hmmu__core_displaced_drop(struct hmmu_space *space, uintptr_t start,
			       uintptr_t end);
void hmmu__core_displaced_moved(struct hmmu_space *space, uintptr_t from,
				uintptr_t to, size_t bytes);

/* The mapping moved: device pages of [from, from + bytes) follow (DP15). */
void hmmu__core_moved(struct hmmu_space *space, uintptr_t from, uintptr_t to,
		      size_t bytes);

/*
 * A CPU thread touched the absent page at @addr. Brings it home with its
 * block, or fills it with zeroes. Called by the fault service without locks.
 * -EAGAIN: the mapping is changing; read events, then call again. 1: done, but
 * the thread may not have been woken.
 */
int hmmu__core_cpu_fault(struct hmmu_space *space, uintptr_t addr, bool write);

/* True if a device holds pages of the range, also coherent ones; lock-free. */
bool hmmu__core_is_held(struct hmmu_space *space, uintptr_t start,
			uintptr_t end);

/*
 * True if pages of the range are on devices, and not in the CPU's sight.
 * Lock-free; exact while the events lock is held exclusively.
 */
bool hmmu__core_is_away(struct hmmu_space *space, uintptr_t start,
			uintptr_t end);

/* The same; *@ret_at is the start of the first block that has some. */
bool hmmu__core_next_away(struct hmmu_space *space, uintptr_t start,
			  uintptr_t end, uintptr_t *ret_at);

/* Brings device pages home, of a range; all of them, for fork and close. */
int hmmu__core_home(struct hmmu_space *space, uintptr_t start, uintptr_t end);
int hmmu__core_all_home(struct hmmu_space *space);

/*
 * All sections of all ports: hold stops new ones and waits for open ones;
 * until release none begins. No section can be open: true at once, cheaply.
 */
void hmmu__core_ports_hold(struct hmmu_space *space);
void hmmu__core_ports_release(struct hmmu_space *space);
bool hmmu__core_ports_idle(struct hmmu_space *space);

/*
 * The caller's own open sections are broken: it is about to wait for somebody
 * who may wait for them.
 */
void hmmu__core_break_own(struct hmmu_space *space);

/*
 * Thread @tid has a section open: it stands still, or the answer may be old.
 * Break: it does stand still and can not go on before the call returns; its
 * open sections are waited for no more.
 */
bool hmmu__core_is_in_section(struct hmmu_space *space, int tid);
void hmmu__core_break(struct hmmu_space *space, int tid);

/*
 * Fills the page with zeroes if it is absent and on no device: for who wants
 * nothing absent. As hmmu__core_cpu_fault(), but leaves device pages alone.
 */
int hmmu__core_fill(struct hmmu_space *space, uintptr_t addr);

#endif
