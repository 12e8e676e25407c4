/* SPDX-License-Identifier: MIT */
/*
 * Corrections of /proc/PID/pagemap of this process
 *
 * A page in a device's private memory must be swapped and not present there
 * (DP12). For the kernel under HMMU the page is absent, so the data that the
 * program reads is corrected.
 *
 * Not supported: the PAGEMAP_SCAN ioctl, fread(3), and other processes, which
 * bypass the replaced calls.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hmmu/range.h>

#include "dmirror.h"

#define RECORD_SWAPPED (1ull << 62)
#define RECORD_PRESENT (1ull << 63)

/* Pages of one snapshot. */
#define CHUNK_PAGES    32u

/* Set when a pagemap is first opened; before, no descriptor can be one. */
static _Atomic bool any;

void dmirror_pagemap_opened(const char *path)
{
	const char *name = strrchr(path, '/');

	if (!strcmp(name ? name + 1 : path, "pagemap"))
		atomic_store_explicit(&any, true, memory_order_release);
}

/* "/proc/PID/pagemap" or "/proc/PID/task/TID/pagemap", with our PID. */
static bool is_own_pagemap(const char *path)
{
	static const char dir[] = "/proc/", file[] = "/pagemap";
	size_t n = strlen(path);
	char *end;

	return n > sizeof(file) && !strncmp(path, dir, sizeof(dir) - 1) &&
	       strtol(path + sizeof(dir) - 1, &end, 10) == getpid() &&
	       *end == '/' && !strcmp(path + n - (sizeof(file) - 1), file);
}

/* Compares the file's path, because @fd may be a copy or inherited. */
bool dmirror_pagemap_is(int fd)
{
	char link[32], path[64];
	ssize_t n;

	if (!atomic_load_explicit(&any, memory_order_acquire))
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return false;
	path[n] = '\0';
	return is_own_pagemap(path);
}

/* One bit for each page of [addr, + npages): set if in private memory of @u. */
static uint32_t find_device_pages(struct dmirror_unit *u, uint64_t addr,
				  size_t npages)
{
	uint64_t entries[CHUNK_PAGES];
	uint32_t bits = 0;
	size_t i;
	int err;

	pthread_mutex_lock(&u->lock);
	err = dmirror_look(u, addr, npages, entries);
	pthread_mutex_unlock(&u->lock);
	for (i = 0; i < npages && !err; i++)
		if (entries[i] & HMMU_ENTRY_VALID &&
		    hmmu_entry_where(entries[i]) == HMMU_WHERE_DEVICE)
			bits |= 1u << i;
	return bits;
}

static uint32_t find_all_device_pages(uint64_t addr, size_t npages)
{
	struct dmirror_unit *u;
	unsigned int number;
	uint32_t bits = 0;

	for (number = 0; number < DMIRROR_PRIVATE; number++) {
		u = dmirror_unit_get(number);
		if (u)
			bits |= find_device_pages(u, addr, npages);
	}
	return bits;
}

/* Called without a lock: the program's buffer may be on a device. */
static void correct_record(unsigned char *record)
{
	uint64_t r;

	memcpy(&r, record, sizeof(r));
	r = (r & ~RECORD_PRESENT) | RECORD_SWAPPED;
	memcpy(record, &r, sizeof(r));
}

void dmirror_pagemap_correct(off_t at, void *records, size_t bytes)
{
	uint64_t page = (uint64_t)at / sizeof(uint64_t);
	size_t count = bytes / sizeof(uint64_t), i, j, n;
	unsigned char *to = records;
	uint32_t bits;

	for (i = 0; i < count; i += n) {
		n = count - i < CHUNK_PAGES ? count - i : CHUNK_PAGES;
		bits = find_all_device_pages((page + i) * HMMU_PAGE_BYTES, n);
		for (j = 0; j < n; j++)
			if (bits >> j & 1)
				correct_record(to + (i + j) * sizeof(uint64_t));
	}
}
