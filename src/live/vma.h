/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_VMA_H
#define HMMU_LIVE_VMA_H

/*
 * The mappings of this process, as the kernel reports them
 *
 * Overview: the ioctl PROCMAP_QUERY (Linux 6.11) describes the mapping at an
 * address in 0.4 us. Without it the text of /proc/self/maps is read from its
 * beginning, which takes time in proportion to the number of mappings. Both
 * return the same struct hmmu__vma; the tests compare them.
 *
 * The result is a snapshot: another thread can change the mapping before the
 * call returns. A caller that needs more excludes changes or watches for them.
 *
 * Context: each query may be called by the fault service and with any HMMU lock
 * held. Does not allocate or set errno, and needs little stack.
 *
 * Locking: PROCMAP_QUERY takes no lock. The text is read into the one buffer of
 * the source, with hmmu__vma_source.lock held, a leaf.
 *
 * The kernel binds the file to the address space of the process that opened it:
 * after a fork the child closes its source and opens its own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/lock.h"

/* Permissions of a mapping. */
enum hmmu__vma_prot {
	HMMU__VMA_R = 1u << 0,
	HMMU__VMA_W = 1u << 1,
	HMMU__VMA_X = 1u << 2,
	HMMU__VMA_SHARED = 1u << 3,
};

/*
 * The kind of memory that is mapped. The kernel does not report it, so it is
 * derived from the device number and the name:
 *
 * - ANON: private anonymous. The heap, stacks, named ones, and a private
 *   mapping of /dev/zero. The only kind whose pages can migrate to a device (DP9).
 * - FILE: a file, private or shared, and the vdso. A tmpfs or hugetlbfs that is
 *   not mounted at /dev/shm or /dev/hugepages counts as a file if nothing shows
 *   otherwise.
 * - SHMEM: shared anonymous, memfd, System V, /dev/shm; private mappings of
 *   them, too.
 * - HUGETLB: of any page size, anonymous or file.
 * - SPECIAL: vvar, device files, anonymous inodes (io_uring, KVM, VFIO), dma-buf,
 *   secretmem: they cannot be faulted in (RF14).
 */
enum hmmu__vma_kind {
	HMMU__VMA_ANON,
	HMMU__VMA_FILE,
	HMMU__VMA_SHMEM,
	HMMU__VMA_HUGETLB,
	HMMU__VMA_SPECIAL,
};

/*
 * One mapping, [start, end). @stack is set only for the main thread's stack;
 * other stacks are ordinary memory. @page_bytes is the smallest page size of
 * the mapping: HMMU_PAGE_BYTES unless HUGETLB. @dev is a makedev(3) number.
 * @ino, @dev and @offset are 0 without a file.
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

/* A longer name is cut. Its beginning is enough to derive the kind. */
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

/* Longer lines are cut. Only a name can be so long. */
#define HMMU__MAPS_BUFFER_BYTES 4096u

/* As read(2), but returns -errno. 0 is the end of the text. */
typedef ssize_t hmmu__maps_read_fn(void *arg, void *buf, size_t bytes);

/*
 * Cuts a stream into lines. [@begin, @end) of @buf is read and not used yet.
 * @cut: skip the rest of a long line.
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
 * Get the next line, without its newline. It is valid until the next call.
 * Returns 1 with a line, 0 at the end, or the -errno of the read function.
 */
int hmmu__maps_reader_next(struct hmmu__maps_reader *reader,
			   const char **ret_line, size_t *ret_bytes);

/* Parse one line. -EINVAL: it is not a line of maps. */
int hmmu__maps_parse(const char *line, size_t bytes,
		     struct hmmu__maps_line *out);

/* --- the mappings of this process ----------------------------------------- */

enum {
	HMMU__VMA_DEVICES_MAX = 6,
};

/*
 * A file system whose mappings have one kind. Found when the source is opened.
 */
struct hmmu__vma_device {
	uint64_t dev;
	enum hmmu__vma_kind kind;
	uint64_t page_bytes;
};

/* A source of mappings. It must not be in memory that can be on a device. */
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
 * Open /proc/self/maps and probe the kernel. @force_fallback: use the text also
 * if there is PROCMAP_QUERY. Returns 0 or the error of open(2).
 */
int hmmu__vma_open(struct hmmu__vma_source *src, bool force_fallback);

/* May be called on a source that failed to open, and twice. */
void hmmu__vma_close(struct hmmu__vma_source *src);

/* Get the mapping that contains @addr. -EFAULT: there is none. */
int hmmu__vma_query(struct hmmu__vma_source *src, uintptr_t addr,
		    struct hmmu__vma *out);

/*
 * Get the first mapping that ends above @addr: the one that contains it, or the
 * next. -EFAULT: there is none. The kernel's page of old system calls,
 * [vsyscall], is no mapping of the program and is not reported.
 */
int hmmu__vma_query_next(struct hmmu__vma_source *src, uintptr_t addr,
			 struct hmmu__vma *out);

/* Derive kind, stack and page size from @line. */
void hmmu__vma_classify(const struct hmmu__vma_source *src,
			const struct hmmu__maps_line *line,
			struct hmmu__vma *out);

#endif
