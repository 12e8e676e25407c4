/* SPDX-License-Identifier: MIT */
/*
 * Copies between the program's buffers and the library's, and by the device
 */
#include <errno.h>

#include "dmirror.h"

static int copy_piece(struct hmmu_port *port, uint64_t va,
		      unsigned char *memory, size_t bytes,
		      enum hmmu_access access, size_t *done)
{
	if (access == HMMU_ACCESS_WRITE)
		return hmmu_port_write(port, va, memory, bytes, done);
	return hmmu_port_read(port, va, memory, bytes, done);
}

/* A bad address of the program is an error, as in the kernel. */
static int copy(uint64_t va, void *memory, size_t bytes,
		enum hmmu_access access)
{
	struct dmirror_process *p = dmirror_process_get();
	size_t done;
	int err;

	pthread_mutex_lock(&p->lock);
	err = copy_piece(p->port, va, memory, bytes, access, &done);
	pthread_mutex_unlock(&p->lock);
	return err == -EBUSY || err == -ENOMEM ? err : err ? -EFAULT : 0;
}

int dmirror_copy_in(void *to, uint64_t from, size_t bytes)
{
	return copy(from, to, bytes, HMMU_ACCESS_READ);
}

int dmirror_copy_out(uint64_t to, const void *from, size_t bytes)
{
	/* The cast is safe: HMMU_ACCESS_WRITE only reads @from. */
	return copy(to, (void *)(uintptr_t)from, bytes, HMMU_ACCESS_WRITE);
}

/* After a miss, fault the rest of the range and continue the copy (E12). */
int dmirror_device_copy(struct dmirror_unit *u, struct dmirror_cmd *c,
			void *bounce, enum hmmu_access access)
{
	size_t bytes = c->npages * HMMU_PAGE_BYTES;
	size_t at = 0, done;
	int err = 0;

	while (at < bytes) {
		err = copy_piece(u->port, c->addr + at,
				 (unsigned char *)bounce + at, bytes - at,
				 access, &done);
		at += done;
		c->cpages = at / HMMU_PAGE_BYTES;
		if (!err)
			continue;
		if (err != -ENOENT)
			break;
		at -= at % HMMU_PAGE_BYTES;
		err = hmmu_device_fault(u->device, c->addr + at, bytes - at,
					access);
		if (err)
			break;
		c->faults++;
	}
	return err;
}
