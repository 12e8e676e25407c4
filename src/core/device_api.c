/* SPDX-License-Identifier: MIT */
/*
 * Devices: creation, destruction, and the callbacks of an invalidation
 *
 * A device subscribes to all addresses. An invalidation runs all invalidate
 * callbacks first and all finish callbacks afterwards. Only the second pass
 * empties the mirror:
 *
 *      device fault                        invalidation
 *      seq = read_begin(block)
 *                                          pass 1: the block's sequence changes
 *      lock block
 *      sequence is not seq: retry
 *                                          pass 2: mirror leaves are removed
 *
 * Required: no fault that began before the invalidation maps a leaf after
 * pass 2. Each block of the range has its new sequence by then.
 *
 * Locking: the caller of a public call holds no lock. The callbacks take only
 * the locks of the mirror and of the driver.
 */
#include "core/device.h"

#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "base/sized.h"
#include "core/space.h"
#include "memory/host.h"
#include "memory/pool.h"

/* First pass. The mirror is emptied in device_finish(). */
static void device_invalidate(struct hmmu_notifier *sub, void *arg,
			      const struct hmmu_invalidation *inv,
			      uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu__notifier_set_seq(sub, cur_seq);
}

/*
 * Unmaps [start, end) from the mirror. Splitting a large leaf needs memory, but
 * an invalidation cannot fail: without memory it unmaps the whole large leaves.
 * The device then faults on the rest of them again.
 */
static size_t unmap_at_least(struct hmmu_device *d, uintptr_t start,
			     uintptr_t end)
{
	static const uintptr_t grain[] = { HMMU_PAGE_BYTES, HMMU_LARGE_BYTES,
					   HMMU_HUGE_BYTES };
	size_t pages = 0;
	size_t i;

	if (end > d->va_limit)
		end = d->va_limit;
	for (i = 0; i < HMMU_ARRAY_SIZE(grain) && start < end; i++) {
		start &= ~(grain[i] - 1);
		end = (end + grain[i] - 1) & ~(grain[i] - 1);
		if (!hmmu_mirror_unmap_range(d->mirror, start, end - start,
					     &pages))
			break;
	}
	return pages;
}

/* Second pass. */
static void device_finish(struct hmmu_notifier *sub, void *arg,
			  const struct hmmu_invalidation *inv)
{
	struct hmmu_device *d = arg;
	struct hmmu_invalidate_call *call =
		hmmu_container_of((struct hmmu_invalidation *)(uintptr_t)inv,
				  struct hmmu_invalidate_call, inv);

	(void)sub;
	if (unmap_at_least(d, inv->start, inv->end))
		call->unmapped = true;
	if (d->ops.invalidate)
		d->ops.invalidate(d, d->arg, inv);
}

static void device_free(struct hmmu_device *d)
{
	if (d->exclusive)
		hmmu__memory_end(d->exclusive);
	hmmu_mirror_destroy(d->mirror);
	hmmu__free(d, sizeof(*d));
}

static int read_device_options(const struct hmmu_device_options *in,
			       struct hmmu_device_options *o,
			       struct hmmu_device_ops *ops)
{
	int err;

	*o = (struct hmmu_device_options){ .size = sizeof(*o) };
	*ops = (struct hmmu_device_ops){ .size = sizeof(*ops) };
	if (in) {
		err = hmmu__copy_sized(o, sizeof(*o), sizeof(o->size), in);
		if (err)
			return err;
	}
	if (!o->va_bits)
		o->va_bits = 48;
	if (o->va_bits != 48 && o->va_bits != 57)
		return -EINVAL;
	if (!o->ops)
		return 0;
	return hmmu__copy_sized(ops, sizeof(*ops), sizeof(ops->size), o->ops);
}

static void name_copy(struct hmmu_device *d, const char *name)
{
	size_t n = name ? strnlen(name, sizeof(d->name) - 1) : 0;

	if (n)
		memcpy(d->name, name, n);
}

static int device_make(struct hmmu_space *space,
		       const struct hmmu_device_options *o,
		       struct hmmu_device **ret)
{
	struct hmmu_mirror_options mo = { .size = sizeof(mo),
					  .va_bits = o->va_bits };
	struct hmmu_device *d = hmmu__alloc(sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	err = hmmu_mirror_create(&mo, &d->mirror);
	if (err) {
		hmmu__free(d, sizeof(*d));
		return err;
	}
	d->space = space;
	d->memory = o->memory;
	d->arg = o->arg;
	d->va_limit = (uintptr_t)1 << o->va_bits;
	d->fault_around_pages = o->fault_around_pages;
	if (!d->fault_around_pages ||
	    d->fault_around_pages > HMMU_PAGES_PER_LARGE)
		d->fault_around_pages = HMMU_PAGES_PER_LARGE;
	d->sub.internal = true;
	d->sub.ops.invalidate = device_invalidate;
	d->sub.ops.finish = device_finish;
	d->sub.arg = d;
	*ret = d;
	return 0;
}

static int device_attach(struct hmmu_space *space, struct hmmu_device *d)
{
	int err = 0;

	hmmu__mutex_lock(&space->lock);
	if (d->memory && d->memory->owner) {
		err = -EBUSY;
	} else {
		if (d->memory)
			d->memory->owner = d;
		d->next = space->devices;
		space->devices = d;
	}
	hmmu__mutex_unlock(&space->lock);
	if (!err)
		hmmu__notifier_add(&space->notifiers, &d->sub, 0,
				   UINTPTR_MAX - HMMU_PAGE_BYTES);
	return err;
}

int hmmu_device_create(struct hmmu_space *space,
		       const struct hmmu_device_options *options,
		       struct hmmu_device **ret_device)
{
	struct hmmu_device_options o;
	struct hmmu_device_ops ops;
	struct hmmu_device *d = NULL;
	struct hmmu_thread *self;
	int err;

	if (!space || !ret_device)
		return -EINVAL;
	err = read_device_options(options, &o, &ops);
	if (err)
		return err;
	if (o.memory && o.memory->mm != space->mm)
		return -EINVAL;
	err = hmmu__space_enter(space, &self);
	if (err)
		return err;
	err = device_make(space, &o, &d);
	if (!err) {
		d->ops = ops;
		name_copy(d, o.name);
		err = device_attach(space, d);
		if (err)
			device_free(d);
	}
	hmmu__leave(self);
	if (err)
		return err;
	hmmu__space_user_add(space);
	*ret_device = d;
	return 0;
}

static void device_detach(struct hmmu_device *d)
{
	struct hmmu_space *space = d->space;
	struct hmmu_device **p;

	hmmu__notifier_del(&space->notifiers, &d->sub);
	hmmu__mutex_lock(&space->lock);
	for (p = &space->devices; *p != d; p = &(*p)->next)
		;
	*p = d->next;
	if (d->memory)
		d->memory->owner = NULL;
	hmmu__mutex_unlock(&space->lock);
}

int hmmu_device_destroy(struct hmmu_device *device)
{
	struct hmmu_thread *self;
	int err;

	if (!device)
		return 0;
	if (!hmmu__space_is_usable(device->space))
		return -ECHILD;
	if (atomic_load_explicit(&device->open_ports, memory_order_acquire))
		return -EBUSY;
	err = hmmu_migrate_evict(device, NULL);
	if (err)
		return err;
	self = hmmu__enter();
	if (!self)
		return -ENOMEM;
	device_detach(device);
	hmmu__space_user_remove(device->space);
	device_free(device);
	hmmu__leave(self);
	return 0;
}

struct hmmu_mirror *hmmu_device_mirror(struct hmmu_device *device)
{
	return device->mirror;
}
