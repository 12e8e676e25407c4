/* SPDX-License-Identifier: MIT */
/*
 * Migration: the public calls, and the walk over mappings in batches.
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

/* Rounds of one batch against a mapping that keeps changing. */
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

/*
 * The order of things, against a hook that unmaps the same range:
 *
 *      migration                         munmap
 *      invalidate begin (MIGRATE)
 *      lock blocks                       invalidate begin (UNMAP)
 *      conflict? then let go               its callback waits for the blocks
 *      take, record
 *      unlock, invalidate end            munmap, drop what is recorded
 *
 * A hook that began before is seen as a conflict; one that begins after waits
 * for the blocks. So nothing is taken between its munmap and its drop.
 */
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
 * A page that is shared after a fork is made our own as a write of the program
 * would: outside of all locks, for it may have to wait for the service.
 */
static void unshare_pages(struct hmmu_migration *m)
{
	struct hmmu_mm *mm = m->space->mm;

	m->retried = m->at;
	(void)mm->ops->fault_in(mm, m->at, m->at + m->unshare_bytes, true);
}

/* The first run of [at, end) that no device holds; false: there is none. */
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
 * For coherent memory: the CPU keeps the pages, so there must be some (MV8),
 * and it is enough to be told of changes. What another device holds stays
 * there, and is not touched.
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

/* 0, -EBUSY and why, or -EAGAIN: it is changing. */
static int prepare_mapping(struct hmmu_migration *m,
			   const struct hmmu_vma_info *vma, uintptr_t end,
			   enum hmmu_stay *why)
{
	struct hmmu_mm *mm = m->space->mm;

	if (m->memory->kind == HMMU_MEMORY_COHERENT)
		return watch_and_populate(m, vma, end, why);
	return mm->ops->arm(mm, vma, why);
}

/* One batch of one mapping: tried until it is dealt with. */
static int migrate_batch(struct hmmu_migration *m,
			 const struct hmmu_vma_info *vma, uintptr_t end)
{
	unsigned int round;
	enum hmmu_stay why;
	int err = 0;

	for (round = 0; m->at < end && round < CHANGED_ROUNDS; round++) {
		uintptr_t before = m->at;

		/* Left from the last round: arming may fail. */
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
 * Why nothing of the mapping can move, or false. The kernel moves no page of a
 * mapping that can not be written; a coherent one need not move.
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
 * The mapping stays where it is. That it was to be moved is told all the same
 * (MV34): whoever maps a part of it looks again.
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

/* One step from m->at on: a hole, a mapping that stays, or a batch. */
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
	if (space->mm->ops->take)
		return 0;
	/* Relaxed: a second message would do no harm. */
	if (!atomic_exchange_explicit(&space->no_take_logged, true,
				      memory_order_relaxed))
		hmmu__log(HMMU_LOG_WARN, "%s", space->mm->no_take);
	return -EOPNOTSUPP;
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
