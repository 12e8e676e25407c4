/* SPDX-License-Identifier: MIT */
/*
 * Migration to a device: the public calls, and the walk over mappings
 *
 * Overview: a range migrates in batches of at most 32 MiB of one mapping. Each
 * batch arms the mapping, locks its blocks under one invalidation, and takes
 * their pages (migrate_batch.c). The race is with a hook that unmaps the range:
 *
 *      migration                         munmap
 *      invalidate begin (MIGRATE)
 *      lock blocks                       invalidate begin (UNMAP):
 *      conflict? unlock and retry          its callback waits for the blocks
 *      take the pages, record them
 *      unlock, invalidate end            munmap, drop recorded pages
 *
 * Required: no page is taken between the munmap and the drop. The migration
 * sees an invalidation that began before it as a conflict. One that begins
 * later waits for the blocks.
 *
 * Locking: the caller holds no lock. Inside: the invalidation, then the address
 * space's hold, then the block locks in address order.
 *
 * Not supported: waiting forever for a mapping that keeps changing. A page is
 * skipped as HMMU_STAY_CHANGED after 64 rounds or 10 s without progress.
 */
#include "core/migrate.h"

#include <errno.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/range.h"
#include "base/sched.h"
#include "base/sized.h"
#include "core/device.h"
#include "memory/pool.h"

/* Tries of one batch while its mapping keeps changing. */
#define CHANGED_ROUNDS 64

static const char *const stay_text[HMMU_STAY_REASONS] = {
	[HMMU_STAY_UNMAPPED] = "nothing is mapped there",
	[HMMU_STAY_KIND] = "not private anonymous memory",
	[HMMU_STAY_PROTECTED] = "not readable and writable",
	[HMMU_STAY_LOCKED] = "locked in memory",
	[HMMU_STAY_PINNED] = "pinned",
	[HMMU_STAY_FOREIGN] = "held by another device or userfaultfd",
	[HMMU_STAY_HMMU] = "memory of HMMU, libc or the loader",
	[HMMU_STAY_IN_USE] = "stack or TLS of a thread inside HMMU",
	[HMMU_STAY_KERNEL] = "a thread's stack, which the kernel writes",
	[HMMU_STAY_FULL] = "the device memory is full",
	[HMMU_STAY_CHANGED] = "the mapping kept changing",
	[HMMU_STAY_EXCLUSIVE] = "exclusive to a device",
};

const char *hmmu_stay_text(unsigned int reason)
{
	if (reason >= HMMU_STAY_REASONS || !stay_text[reason])
		return "unknown";
	return stay_text[reason];
}

static uint64_t count_pages(uintptr_t start, uintptr_t end)
{
	return (end - start) >> HMMU_PAGE_LG2;
}

static int get_blocks(struct hmmu_migration *m, uintptr_t start, uintptr_t end)
{
	uintptr_t at = start & ~(HMMU_LARGE_BYTES - 1);

	for (m->batch.n = 0; at < end; at += HMMU_LARGE_BYTES) {
		struct hmmu_block *b = hmmu__block_get(&m->space->blocks, at);

		if (!b)
			return -ENOMEM;
		m->batch.block[m->batch.n++] = b;
	}
	return 0;
}

/* The left column above, from lock to unlock. */
static int take_batch_locked(struct hmmu_migration *m, uintptr_t end,
			     struct hmmu_invalidate_call *call)
{
	struct hmmu_mm *mm = m->space->mm;
	int err = -EAGAIN;

	mm->ops->hold(mm, true);
	hmmu__batch_lock(&m->batch);
	if (!hmmu__notifiers_conflict(&m->space->notifiers, call))
		err = hmmu__batch_take(m, end);
	hmmu__batch_unlock(&m->batch);
	mm->ops->unhold(mm, true);
	return err;
}

static int take_batch_once(struct hmmu_migration *m, uintptr_t end)
{
	struct hmmu_invalidate_call call = {
		.inv = { .start = m->at,
			 .end = end,
			 .event = m->event,
			 .owner = m->device },
		.moves = true,
	};
	int err = get_blocks(m, m->at, end);

	if (err)
		return err;
	hmmu__core_invalidate_begin(m->space, &call);
	err = take_batch_locked(m, end, &call);
	hmmu__core_invalidate_end(m->space, &call);
	return err;
}

/*
 * A write fault makes pages that are shared after a fork the process's own. It
 * may wait for the fault service, so it is done without locks.
 */
static void unshare_pages(struct hmmu_migration *m)
{
	struct hmmu_mm *mm = m->space->mm;

	m->retried = m->at;
	(void)mm->ops->fault_in(mm, m->at, m->at + m->unshare_bytes, true);
}

/* Finds the first run of [at, end) that no device holds. False: none. */
static bool find_free_run(struct hmmu_migration *m, uintptr_t at, uintptr_t end,
			  uintptr_t *lo, uintptr_t *hi)
{
	struct hmmu_block *b;
	unsigned int page, stop;

	for (*lo = end; at < end && *lo == end;
	     at = b->start + HMMU_LARGE_BYTES) {
		b = hmmu__block_get(&m->space->blocks, at);
		if (!b)
			break;
		hmmu__block_clip(b, at, end, &page, &stop);
		hmmu__block_lock(b);
		page = hmmu__bitmap_first_clear_from(&b->held, page);
		if (page < stop) {
			*lo = hmmu__block_addr(b, page);
			page = hmmu__bitmap_first_set_from(&b->held, page);
			*hi = hmmu__block_addr(b, page < stop ? page : stop);
		}
		hmmu__block_unlock(b);
	}
	return *lo < end;
}

/*
 * Prepares a mapping for coherent memory. The CPU keeps using its pages, so
 * they must be present (MV8), and the mapping is watched but not armed. Pages
 * of other devices are not faulted in, because that would migrate them.
 */
static int watch_and_populate(struct hmmu_migration *m,
			      const struct hmmu_vma_info *vma, uintptr_t end,
			      enum hmmu_stay *why)
{
	struct hmmu_mm *mm = m->space->mm;
	uintptr_t lo, hi = m->at;
	int err = mm->ops->watch(mm, vma);

	*why = HMMU_STAY_FOREIGN;
	if (err == -EOPNOTSUPP)
		return -EBUSY;
	while (!err && find_free_run(m, hi, end, &lo, &hi))
		err = mm->ops->fault_in(mm, lo, hi,
					vma->flags & HMMU_VMA_WRITE);
	return err == -EFAULT || err == -EPERM ? -EAGAIN : err;
}

/* Returns 0, -EBUSY with the reason in *@why, or -EAGAIN: it is changing. */
static int prepare_mapping(struct hmmu_migration *m,
			   const struct hmmu_vma_info *vma, uintptr_t end,
			   enum hmmu_stay *why)
{
	struct hmmu_mm *mm = m->space->mm;

	if (m->memory->kind == HMMU_MEMORY_COHERENT)
		return watch_and_populate(m, vma, end, why);
	return mm->ops->arm(mm, vma, why);
}

/* Migrates one batch of one mapping, in several tries if need be. */
static int migrate_batch(struct hmmu_migration *m,
			 const struct hmmu_vma_info *vma, uintptr_t end)
{
	unsigned int round;
	enum hmmu_stay why;
	int err = 0;

	for (round = 0; m->at < end && round < CHANGED_ROUNDS; round++) {
		uintptr_t before = m->at;

		/* The last round's value must not be used if arming fails. */
		m->unshare_bytes = 0;
		err = prepare_mapping(m, vma, end, &why);
		if (err == -EBUSY) {
			hmmu__stayed(m, why, count_pages(m->at, end));
			m->at = end;
			return 0;
		}
		if (!err)
			err = take_batch_once(m, end);
		if (err && err != -EAGAIN)
			return err;
		if (m->unshare_bytes)
			unshare_pages(m);
		else if (err)
			return -EAGAIN;
		if (m->at != before)
			round = 0;
	}
	return 0;
}

/*
 * True if no page of the mapping can migrate; *@why is the reason. The kernel
 * moves no page of a read-only mapping. Coherent pages are not moved.
 */
static bool cannot_migrate(const struct hmmu_migration *m,
			   const struct hmmu_vma_info *vma, enum hmmu_stay *why)
{
	const uint32_t rw = m->memory->kind == HMMU_MEMORY_COHERENT ?
				    HMMU_VMA_READ :
				    HMMU_VMA_READ | HMMU_VMA_WRITE;

	*why = HMMU_STAY_HMMU;
	if (vma->flags & HMMU_VMA_OWN)
		return true;
	*why = HMMU_STAY_KIND;
	if (!(vma->flags & HMMU_VMA_ANON) || vma->flags & HMMU_VMA_SPECIAL)
		return true;
	*why = HMMU_STAY_PROTECTED;
	return (vma->flags & rw) != rw;
}

/*
 * Sends MIGRATE also for a mapping that cannot migrate (MV34). Subscribers then
 * read its pages again.
 */
static void notify_only(struct hmmu_migration *m, uintptr_t to)
{
	struct hmmu_invalidate_call call = {
		.inv = { .start = m->at,
			 .end = to,
			 .event = m->event,
			 .owner = m->device },
		.moves = true,
	};

	if (!hmmu__core_may_be_used(m->space, m->at, to))
		return;
	hmmu__core_invalidate_begin(m->space, &call);
	hmmu__core_invalidate_end(m->space, &call);
}

/* Handles a hole, a mapping that cannot migrate, or one batch, at m->at. */
static int migrate_step(struct hmmu_migration *m, uintptr_t end)
{
	struct hmmu_mm *mm = m->space->mm;
	struct hmmu_vma_info vma;
	enum hmmu_stay why = HMMU_STAY_UNMAPPED;
	uintptr_t to = end;
	bool gone;

	gone = mm->ops->next_vma(mm, m->at, &vma);
	if (gone || vma.start > m->at) {
		if (!gone)
			to = hmmu_min(end, vma.start);
	} else {
		to = hmmu_min(end, vma.end);
		if (!cannot_migrate(m, &vma, &why)) {
			uintptr_t full = (m->at & ~(HMMU_LARGE_BYTES - 1)) +
					 HMMU_BATCH_BYTES;

			return migrate_batch(m, &vma, hmmu_min(to, full));
		}
		notify_only(m, to);
	}
	hmmu__stayed(m, why, count_pages(m->at, to));
	m->at = to;
	return 0;
}

int hmmu__migration_run(struct hmmu_migration *m, uintptr_t start,
			uintptr_t end)
{
	struct hmmu_mm *mm = m->space->mm;
	uint64_t since = hmmu__sched_now_ns(), now;
	unsigned int rounds = 0;
	int err = 0;

	m->at = start;
	mm->ops->sync(mm, HMMU_QUIET_NS);
	while (m->at < end) {
		uintptr_t before = m->at;

		err = migrate_step(m, end);
		if (err && err != -EAGAIN)
			break;
		now = hmmu__sched_now_ns();
		if (m->at != before) {
			rounds = 0;
			since = now;
		} else if (++rounds > CHANGED_ROUNDS ||
			   now - since > HMMU_CHANGING_NS) {
			hmmu__stayed(m, HMMU_STAY_CHANGED, 1);
			m->at += HMMU_PAGE_BYTES;
			rounds = 0;
		} else if (err) {
			mm->ops->sync(mm, HMMU_QUIET_NS);
		}
		err = 0;
	}
	mm->ops->release(mm, start, end);
	return err;
}

int hmmu__take_check(struct hmmu_space *space)
{
	struct hmmu_mm *mm = space->mm;
	const char *warning = mm->ops->take ? mm->take_warning : mm->no_take;

	/* Relaxed: a second message does no harm. */
	if (warning && !atomic_exchange_explicit(&space->take_logged, true,
						 memory_order_relaxed))
		hmmu__log(HMMU_LOG_WARN, "%s", warning);
	return mm->ops->take ? 0 : -EOPNOTSUPP;
}

static int migrate_inside(struct hmmu_device *device, uintptr_t start,
			  uintptr_t end, struct hmmu_migrate_result *result)
{
	struct hmmu_migration *m;
	int err = 0;

	if (device->memory->kind != HMMU_MEMORY_COHERENT)
		err = hmmu__take_check(device->space);
	if (err)
		return err;
	m = hmmu__alloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->space = device->space;
	m->device = device;
	m->memory = device->memory;
	m->event = HMMU_EVENT_MIGRATE;
	err = hmmu__migration_run(m, start, end);
	*result = m->result;
	hmmu__free(m, sizeof(*m));
	return err;
}

int hmmu_device_migrate(struct hmmu_device *device, uintptr_t address,
			size_t bytes, struct hmmu_migrate_result *result)
{
	uintptr_t start, end;
	struct hmmu_migrate_result r = { 0 };
	struct hmmu_thread *self;
	int err;

	if (!device || !device->memory || !hmmu__can_copy_out(result) ||
	    !hmmu__range_round(address, bytes, HMMU_PAGE_BYTES, &start, &end))
		return -EINVAL;
	err = hmmu__space_enter_to_wait(device->space, &self);
	if (err)
		return err;
	err = migrate_inside(device, start, end, &r);
	hmmu__leave(self);
	if (err != -EOPNOTSUPP)
		hmmu__copy_out_any(result, &r, sizeof(r));
	return err;
}
