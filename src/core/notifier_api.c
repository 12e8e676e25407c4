/* SPDX-License-Identifier: MIT */
/*
 * Interval notifiers: the public calls
 *
 * Locking: the caller holds no lock that a callback takes.
 */
#include <errno.h>

#include "base/arena.h"
#include "base/sized.h"
#include "core/space.h"

/* How often a mapping is looked up again while it changes. */
#define WATCH_ROUNDS 64

/*
 * Watches the mappings that are in the interval now. Range faults watch those
 * that come later. Changes of a mapping that cannot be watched are reported by
 * the hooks alone. Returns 0 or -ENOMEM.
 */
static int watch_interval(struct hmmu_space *space, uintptr_t start,
			  uintptr_t last)
{
	struct hmmu_mm *mm = space->mm;
	struct hmmu_vma_info vma;
	unsigned int rounds = 0;
	uintptr_t at = start;
	int watched;

	while (!mm->ops->next_vma(mm, at, &vma) && vma.start <= last) {
		watched = mm->ops->watch(mm, &vma);
		if (watched == -ENOMEM)
			return watched;
		if (watched == -EAGAIN && rounds++ < WATCH_ROUNDS) {
			mm->ops->sync(mm, HMMU_FOREVER);
			continue;
		}
		at = vma.end;
		rounds = 0;
	}
	return 0;
}

static int ops_check(const struct hmmu_notifier_ops *in,
		     struct hmmu_notifier_ops *ops)
{
	int err;

	if (!in)
		return -EINVAL;
	err = hmmu__copy_sized(ops, sizeof(*ops),
			       offsetof(struct hmmu_notifier_ops, finish), in);
	if (err)
		return err;
	return ops->invalidate ? 0 : -EINVAL;
}

static struct hmmu_notifier *sub_make(struct hmmu_space *space,
				      const struct hmmu_notifier_ops *ops,
				      void *arg)
{
	struct hmmu_notifier *sub = hmmu__alloc(sizeof(*sub));

	if (!sub)
		return NULL;
	sub->space = space;
	sub->ops = *ops;
	sub->arg = arg;
	return sub;
}

static void sub_end(struct hmmu_notifier *sub)
{
	struct hmmu_space *space = sub->space;

	if (hmmu__space_is_usable(space))
		hmmu__notifier_del(&space->notifiers, sub);
	atomic_fetch_sub_explicit(&space->notifiers.users, 1,
				  memory_order_acq_rel);
	hmmu__space_user_remove(space);
	hmmu__free(sub, sizeof(*sub));
}

static int insert_sub(struct hmmu_space *space,
		      const struct hmmu_notifier_ops *ops, void *arg,
		      uintptr_t start, size_t bytes, unsigned int flags,
		      struct hmmu_notifier **ret)
{
	struct hmmu_notifier *sub = sub_make(space, ops, arg);
	int err = 0;

	if (!sub)
		return -ENOMEM;
	hmmu__space_user_add(space);
	atomic_fetch_add_explicit(&space->notifiers.users, 1,
				  memory_order_acq_rel);
	hmmu__notifier_add(&space->notifiers, sub, start, start + bytes - 1);
	if (!(flags & HMMU_NOTIFIER_LAZY))
		err = watch_interval(space, start, start + bytes - 1);
	if (err)
		sub_end(sub);
	*ret = sub;
	return err;
}

int hmmu_notifier_insert(struct hmmu_space *space, uintptr_t start,
			 size_t bytes, unsigned int flags,
			 const struct hmmu_notifier_ops *ops, void *arg,
			 struct hmmu_notifier **ret_sub)
{
	struct hmmu_notifier_ops o;
	struct hmmu_notifier *sub;
	struct hmmu_thread *self;
	int err;

	if (!space || !ret_sub || flags & ~HMMU_NOTIFIER_LAZY)
		return -EINVAL;
	err = ops_check(ops, &o);
	if (err)
		return err;
	if (!bytes || start + bytes - 1 < start)
		return -EOVERFLOW;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	err = insert_sub(space, &o, arg, start, bytes, flags, &sub);
	hmmu__leave(self);
	if (!err)
		*ret_sub = sub;
	return err;
}

void hmmu_notifier_remove(struct hmmu_notifier *sub)
{
	struct hmmu_thread *self;

	if (!sub)
		return;
	self = hmmu__enter();
	sub_end(sub);
	if (self)
		hmmu__leave(self);
}

uint64_t hmmu_notifier_read_begin(struct hmmu_notifier *sub)
{
	struct hmmu_thread *self = hmmu__enter();
	uint64_t seq;

	seq = hmmu__notifier_read_begin(&sub->space->notifiers, sub);
	if (self)
		hmmu__leave(self);
	return seq;
}

int hmmu_notifier_read_retry(const struct hmmu_notifier *sub, uint64_t seq)
{
	return hmmu__notifier_retry(sub, seq);
}

int hmmu_notifier_check_retry(const struct hmmu_notifier *sub, uint64_t seq)
{
	return hmmu__notifier_retry(sub, seq);
}

void hmmu_notifier_set_seq(struct hmmu_notifier *sub, uint64_t cur_seq)
{
	hmmu__notifier_set_seq(sub, cur_seq);
}
