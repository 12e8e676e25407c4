/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_VMA_H
#define HMMU_LIVE_VMA_H

/*
 * The mappings of this process, asked from the kernel one at a time.
 *
 * Overview: the ioctl PROCMAP_QUERY (Linux 6.11) describes the mapping at an
 * address in 0.4 us. Without it the text of /proc/self/maps is read from its
 * beginning, which costs in proportion to the number of mappings. Both give the
 * same struct hmmu__vma; the tests compare them.
 *
 * What is told is a picture: another thread may change the mapping before the
 * call returns. Whoever needs more holds off or listens for changes.
 *
 * Context: every query may be called by the fault service and under any HMMU
 * lock. No allocation, no errno, little stack.
 *
 * Locking: PROCMAP_QUERY takes none of ours. The text is read into the one
 * buffer of the source, under hmmu__vma_source.lock, a leaf.
 *
 * The kernel binds the file to the address space of the process that opened it:
 * a forked child closes its source and opens one of its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/lock.h"

/* What may be done with the memory. */
enum hmmu__vma_prot {
	HMMU__VMA_R = 1u << 0,
	HMMU__VMA_W = 1u << 1,
	HMMU__VMA_X = 1u << 2,
	HMMU__VMA_SHARED = 1u << 3,
};

/*
 * What stands behind a mapping. Told by the device number and the name, since
 * the kernel does not say it straight out:
 *
 * - ANON: private anonymous. The heap, stacks, named ones, and a private
 *   mapping of /dev/zero. The only kind whose pages may live on a device (DP9).
 * - FILE: a file, private or shared, and the vdso. A tmpfs or hugetlbfs mounted
 *   elsewhere than at /dev/shm and /dev/hugepages counts as a file where nothing
 *   tells.
 * - SHMEM: shared anonymous, memfd, System V, /dev/shm; private mappings of
 *   them too.
 * - HUGETLB: of whichever size, anonymous or file.
 * - SPECIAL: vvar, device files, anonymous inodes (io_uring, KVM, VFIO), dma-buf,
 *   secretmem: not faultable in the ordinary way (RF14).
 */
enum hmmu__vma_kind {
	HMMU__VMA_ANON,
	HMMU__VMA_FILE,
	HMMU__VMA_SHMEM,
	HMMU__VMA_HUGETLB,
	HMMU__VMA_SPECIAL,
};

/*
 * One mapping, [start, end). @stack is set for the main thread's stack only;
 * other threads' are ordinary memory. @page_bytes is the page size that the
 * mapping cannot go below: HMMU_PAGE_BYTES unless HUGETLB. @dev is as of
 * makedev(3); @ino, @dev and @offset are 0 without a file.
 */
struct hmmu__vma {
	uintptr_t start;
	uintptr_t end;
	uint32_t prot;
	enum hmmu__vma_kind kind;
	bool stack;
	uint64_t page_bytes;
	uint64_t ino;
	uint64_t dev;
	uint64_t offset;
};

/* --- the text of /proc/PID/maps ------------------------------------------- */

/* Of a longer name the beginning is kept: it is what tells the kind. */
#define HMMU__MAPS_NAME_BYTES 64u

/* One line, or one answer of PROCMAP_QUERY, before it is classified. */
struct hmmu__maps_line {
	uintptr_t start;
	uintptr_t end;
	uint32_t prot;
	bool has_file;
	uint64_t page_bytes;
	uint64_t ino;
	uint64_t dev;
	uint64_t offset;
	char name[HMMU__MAPS_NAME_BYTES];
};

/* Longer lines are cut, as only a name can be that long. */
#define HMMU__MAPS_BUFFER_BYTES 4096u

/* Like read(2), but -errno. 0 ends the text. */
typedef ssize_t hmmu__maps_read_fn(void *arg, void *buf, size_t bytes);

/*
 * Cuts a stream into lines, however the pieces fall. [@begin, @end) of @buf is
 * read and not used yet; @cut says that the rest of a long line is to be
 * skipped.
 */
struct hmmu__maps_reader {
	hmmu__maps_read_fn *read;
	void *arg;
	size_t begin;
	size_t end;
	bool cut;
	char *buf;
};

/* @buf has HMMU__MAPS_BUFFER_BYTES and is borrowed while the reader is used. */
void hmmu__maps_reader_init(struct hmmu__maps_reader *reader,
			    hmmu__maps_read_fn *read, void *arg, char *buf);

/*
 * The next line without its newline, valid until the next call. 1 with a line,
 * 0 at the end, or the -errno of the read function.
 */
int hmmu__maps_reader_next(struct hmmu__maps_reader *reader,
			   const char **ret_line, size_t *ret_bytes);

/* Reads the fields of one line. -EINVAL: it is not a line of maps. */
int hmmu__maps_parse(const char *line, size_t bytes,
		     struct hmmu__maps_line *out);

/* --- the mappings of this process ----------------------------------------- */

enum {
	HMMU__VMA_DEVICES_MAX = 6,
};

/* A file system whose mappings have one kind: found out when opening. */
struct hmmu__vma_device {
	uint64_t dev;
	enum hmmu__vma_kind kind;
	uint64_t page_bytes;
};

/* Where mappings are asked. It is memory that can never be on a device. */
struct hmmu__vma_source {
	int fd;
	bool use_text;
	size_t device_count;
	struct hmmu__vma_device device[HMMU__VMA_DEVICES_MAX];
	struct hmmu_mutex lock;
	/* Guarded by lock. */
	char buf[HMMU__MAPS_BUFFER_BYTES];
};

/*
 * Opens /proc/self/maps and finds out what the kernel can do. @force_fallback
 * uses the text even where there is PROCMAP_QUERY. -errno of open(2).
 */
int hmmu__vma_open(struct hmmu__vma_source *src, bool force_fallback);

/* May be called on a source that failed to open, and twice. */
void hmmu__vma_close(struct hmmu__vma_source *src);

/* The mapping that holds @addr; -EFAULT if there is none. */
int hmmu__vma_query(struct hmmu__vma_source *src, uintptr_t addr,
		    struct hmmu__vma *out);

/*
 * The first mapping that ends above @addr: the one that holds it or the next.
 * -EFAULT if there is none. The kernel's own page of old system calls,
 * [vsyscall], is no mapping of the program and is never told.
 */
int hmmu__vma_query_next(struct hmmu__vma_source *src, uintptr_t addr,
			 struct hmmu__vma *out);

/* Decides kind, stack and page size of @line. */
void hmmu__vma_classify(const struct hmmu__vma_source *src,
			const struct hmmu__maps_line *line,
			struct hmmu__vma *out);

#endif
