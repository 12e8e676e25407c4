/* SPDX-License-Identifier: MIT */
/*
 * The commands of the devices (contract part 2)
 *
 * Locking: the unit's lock is held during a command.
 *
 * Not supported: commands of a forked child on a descriptor of its parent. The
 * child cannot reach the parent's address space: -ECHILD.
 */
#include <errno.h>
#include <unistd.h>

#include <hmmu/exclusive.h>
#include <hmmu/migrate.h>
#include <hmmu/range.h>

#include "dmirror.h"

/* Pages of one step of a migration. After an error the steps before remain. */
#define STEP_PAGES 512u

static uint64_t end_of(const struct dmirror_cmd *c)
{
	return c->addr + c->npages * HMMU_PAGE_BYTES;
}

/*
 * A buffer for all data of a command. It comes from hmmu_alloc() and not from
 * mmap(2), which could return an address that the program has just unmapped and
 * expects to be invalid.
 */
static void *bounce_new(const struct dmirror_cmd *c)
{
	return hmmu_alloc(c->npages * HMMU_PAGE_BYTES);
}

static void bounce_free(const struct dmirror_cmd *c, void *p)
{
	hmmu_free(p, c->npages * HMMU_PAGE_BYTES);
}

/* --- read and write -------------------------------------------------------------- */

static int cmd_read(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	void *bounce = bounce_new(c);
	int err;

	if (!bounce)
		return -ENOMEM;
	err = dmirror_device_copy(u, c, bounce, HMMU_ACCESS_READ);
	if (!err)
		err = dmirror_copy_out(c->ptr, bounce,
				       c->npages * HMMU_PAGE_BYTES);
	bounce_free(c, bounce);
	return err;
}

/* Retries without limit while mappings change. */
static int cmd_read_unlocked(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	int err;

	do {
		err = cmd_read(u, c);
	} while (err == -EBUSY);
	return err;
}

static int cmd_write(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	void *bounce = bounce_new(c);
	int err;

	if (!bounce)
		return -ENOMEM;
	err = dmirror_copy_in(bounce, c->ptr, c->npages * HMMU_PAGE_BYTES);
	if (!err)
		err = dmirror_device_copy(u, c, bounce, HMMU_ACCESS_WRITE);
	bounce_free(c, bounce);
	return err;
}

/* --- migration ---------------------------------------------------------------------- */

/* -EINVAL unless all of [start, end) is mapped and readable. */
static int check_mappings(uint64_t start, uint64_t end)
{
	struct dmirror_mapping m;

	for (; start < end; start = m.end)
		if (dmirror_mapping_at(start, &m) || !m.readable)
			return -EINVAL;
	return 0;
}

static bool is_held(uint64_t entry)
{
	enum hmmu_where where = hmmu_entry_where(entry);

	return entry & HMMU_ENTRY_VALID &&
	       (where == HMMU_WHERE_DEVICE || where == HMMU_WHERE_COHERENT);
}

/*
 * Pages that the kernel migrates and HMMU cannot: pages of a read-only mapping,
 * and the program's private copies of a file's pages. The device uses them in
 * system memory, see hmmu(1).
 */
static bool may_stay(uint64_t entry, const struct dmirror_mapping *m)
{
	if (m->shared || hmmu_entry_where(entry) > HMMU_WHERE_ZERO)
		return false;
	return m->of_file ? entry & HMMU_ENTRY_WRITE : !m->writable;
}

static int check_pages(const struct dmirror_cmd *c, const uint64_t *entries)
{
	struct dmirror_mapping m = { .end = 0 };
	uint64_t at = c->addr;
	size_t i;

	for (i = 0; i < c->npages; i++, at += HMMU_PAGE_BYTES) {
		if (at >= m.end && dmirror_mapping_at(at, &m))
			return -EINVAL;
		if (!is_held(entries[i]) && !may_stay(entries[i], &m))
			return -ENOENT;
	}
	return 0;
}

/* Map the migrated pages on the device; -ENOENT if one did not migrate. */
static int map_migrated(struct dmirror_unit *u, const struct dmirror_cmd *c)
{
	size_t bytes = c->npages * sizeof(uint64_t);
	uint64_t *entries = hmmu_alloc(bytes);
	int err;

	if (!entries)
		return -ENOMEM;
	err = dmirror_look(u, c->addr, c->npages, entries);
	if (!err)
		err = check_pages(c, entries);
	hmmu_free(entries, bytes);
	if (!err)
		err = hmmu_device_fault(u->device, c->addr,
					c->npages * HMMU_PAGE_BYTES,
					HMMU_ACCESS_READ);
	return err;
}

/* Migrate step by step, then copy out the pages as the device sees them. */
static int cmd_to_device(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	uint64_t at, to, end = end_of(c);
	int err = 0;

	for (at = c->addr; at < end && !err; at = to) {
		to = at + STEP_PAGES * HMMU_PAGE_BYTES;
		to = to < end ? to : end;
		err = check_mappings(at, to);
		if (!err)
			err = hmmu_device_migrate(u->device, at, to - at, NULL);
	}
	if (!err)
		err = map_migrated(u, c);
	return err ? err : cmd_read(u, c);
}

static int cmd_to_system(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	struct hmmu_migrate_result r = { .size = sizeof(r) };
	int err = check_mappings(c->addr, end_of(c));

	(void)u;
	if (!err)
		err = hmmu_migrate_to_system(dmirror_process_get()->space,
					     c->addr,
					     c->npages * HMMU_PAGE_BYTES, &r);
	c->cpages = r.pages_moved;
	return err;
}

static int cmd_release(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	(void)c;
	return hmmu_migrate_evict(u->device, NULL);
}

/* --- exclusive access ---------------------------------------------------------------- */

static int cmd_exclusive(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	int err = hmmu_device_make_exclusive(u->device, c->addr,
					     c->npages * HMMU_PAGE_BYTES, NULL);

	return err ? err : cmd_read(u, c);
}

static int cmd_check_exclusive(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	struct hmmu_mirror *mirror = hmmu_device_mirror(u->device);
	struct hmmu_mirror_reader *reader;
	uint64_t at, leaf;
	int err;

	err = hmmu_mirror_reader_create(mirror, &reader);
	if (err)
		return err;
	hmmu_mirror_read_begin(mirror, reader);
	for (at = c->addr; at < end_of(c) && !err; at += HMMU_PAGE_BYTES)
		if (hmmu_mirror_lookup(mirror, at, &leaf) &&
		    leaf & HMMU_DEVICE_LEAF_EXCLUSIVE)
			err = -EPERM;
	hmmu_mirror_read_end(mirror, reader);
	hmmu_mirror_reader_destroy(mirror, reader);
	return err;
}

static int cmd_flags(struct dmirror_unit *u, struct dmirror_cmd *c)
{
	return c->npages & DMIRROR_FLAG_FAIL_ALLOC ?
		       hmmu_memory_fail_large(u->memory) :
		       0;
}

/* --- all -------------------------------------------------------------------------------- */

static int dispatch(struct dmirror_unit *u, unsigned long request,
		    struct dmirror_cmd *c)
{
	switch (request) {
	case DMIRROR_READ:
		return cmd_read(u, c);
	case DMIRROR_WRITE:
		return cmd_write(u, c);
	case DMIRROR_MIGRATE_TO_DEV:
		return cmd_to_device(u, c);
	case DMIRROR_MIGRATE_TO_SYS:
		return cmd_to_system(u, c);
	case DMIRROR_SNAPSHOT:
		return dmirror_snapshot(u, c);
	case DMIRROR_EXCLUSIVE:
		return cmd_exclusive(u, c);
	case DMIRROR_CHECK_EXCLUSIVE:
		return cmd_check_exclusive(u, c);
	case DMIRROR_RELEASE:
		return cmd_release(u, c);
	case DMIRROR_FLAGS:
		return cmd_flags(u, c);
	case DMIRROR_READ_UNLOCKED:
		return cmd_read_unlocked(u, c);
	default:
		return -EINVAL;
	}
}

static int check(const struct dmirror_cmd *c)
{
	if (c->addr % HMMU_PAGE_BYTES ||
	    c->npages > UINT64_MAX / HMMU_PAGE_BYTES || c->addr >= end_of(c))
		return -EINVAL;
	return 0;
}

/* After an error the program's struct is unchanged. */
static int command(struct dmirror_unit *u, unsigned long request, uint64_t arg)
{
	struct dmirror_cmd c;
	int err = dmirror_copy_in(&c, arg, sizeof(c));

	if (!err)
		err = check(&c);
	if (err)
		return err;
	c.cpages = 0;
	c.faults = 0;
	pthread_mutex_lock(&u->lock);
	err = dispatch(u, request, &c);
	pthread_mutex_unlock(&u->lock);
	return err ? err : dmirror_copy_out(arg, &c, sizeof(c));
}

int dmirror_command(const struct dmirror_file *file, unsigned long request,
		    uint64_t arg)
{
	struct dmirror_unit *u;

	/* A forked child cannot reach the address space of the opener. */
	if (file->opener != getpid())
		return -ECHILD;
	u = dmirror_unit_get(file->unit);
	return u ? command(u, request, arg) : -EBADF;
}
