/* SPDX-License-Identifier: MIT */
#ifndef HMMU_UAPI_LINUX_MM_H
#define HMMU_UAPI_LINUX_MM_H

/*
 * Linux interfaces that HMMU uses and that the headers of a distribution with
 * Linux 6.1 do not declare
 *
 * Every block is guarded by the macro that a newer header defines, so that the
 * system's own declarations are used if they exist. Include this file instead
 * of the <linux/...> headers, never before them. Numbers and layouts are the
 * kernel's and cannot change. A declaration here does not mean that the running
 * kernel has the interface; src/live/probe.c tries each one.
 */
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <sys/mman.h>

/* userfaultfd: opening ---------------------------------------------------- */

#ifndef UFFD_USER_MODE_ONLY
/* Faults of kernel accesses are not reported; the access fails with EFAULT. */
#define UFFD_USER_MODE_ONLY 1
#endif

#ifndef USERFAULTFD_IOC
#define USERFAULTFD_IOC 0xAA
#endif

#ifndef USERFAULTFD_IOC_NEW
/* On /dev/userfaultfd. The argument is the flags, the result a descriptor. */
#define USERFAULTFD_IOC_NEW _IO(USERFAULTFD_IOC, 0x00)
#endif

/* userfaultfd: features, oldest first ------------------------------------- */

#ifndef UFFD_FEATURE_EXACT_ADDRESS
#define UFFD_FEATURE_EXACT_ADDRESS (1 << 11)
#endif

#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif

#ifndef UFFD_FEATURE_POISON
#define UFFD_FEATURE_POISON (1 << 14)
#endif

#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#ifndef UFFD_FEATURE_MOVE
#define UFFD_FEATURE_MOVE (1 << 16)
#endif

/* userfaultfd: operations ------------------------------------------------- */

#ifndef UFFDIO_MOVE
#define _UFFDIO_MOVE 0x05

struct uffdio_move {
	__u64 dst;
	__u64 src;
	__u64 len;
	__u64 mode;
	/* Written by the kernel: bytes moved, or a negative errno. */
	__s64 move;
};

#define UFFDIO_MOVE_MODE_DONTWAKE	 ((__u64)1 << 0)
#define UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES ((__u64)1 << 1)
#define UFFDIO_MOVE			 _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
#endif

#ifndef UFFDIO_POISON
#define _UFFDIO_POISON 0x08

struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	/* Written by the kernel: bytes poisoned, or a negative errno. */
	__s64 updated;
};

#define UFFDIO_POISON_MODE_DONTWAKE ((__u64)1 << 0)
#define UFFDIO_POISON		    _IOWR(UFFDIO, _UFFDIO_POISON, struct uffdio_poison)
#endif

/* /proc/PID/pagemap ------------------------------------------------------- */

#ifndef PAGEMAP_SCAN
#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN	  (1 << 1)
#define PAGE_IS_FILE	  (1 << 2)
#define PAGE_IS_PRESENT	  (1 << 3)
#define PAGE_IS_SWAPPED	  (1 << 4)
#define PAGE_IS_PFNZERO	  (1 << 5)
#define PAGE_IS_HUGE	  (1 << 6)

/* A run of pages of the same categories; end is exclusive. */
struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

#define PM_SCAN_WP_MATCHING   (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	/* Written by the kernel: the address where the walk stopped. */
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#endif

#ifndef PAGE_IS_SOFT_DIRTY
#define PAGE_IS_SOFT_DIRTY (1 << 7)
#endif

/* Since Linux 6.15. Before, a guard page has only PAGE_IS_SWAPPED. */
#ifndef PAGE_IS_GUARD
#define PAGE_IS_GUARD (1 << 8)
#endif

/* /proc/PID/maps ---------------------------------------------------------- */

#ifndef PROCMAP_QUERY
enum procmap_query_flags {
	PROCMAP_QUERY_VMA_READABLE = 0x01,
	PROCMAP_QUERY_VMA_WRITABLE = 0x02,
	PROCMAP_QUERY_VMA_EXECUTABLE = 0x04,
	PROCMAP_QUERY_VMA_SHARED = 0x08,
	/* Only in query_flags, never in vma_flags. */
	PROCMAP_QUERY_COVERING_OR_NEXT_VMA = 0x10,
	PROCMAP_QUERY_FILE_BACKED_VMA = 0x20,
};

struct procmap_query {
	__u64 size;
	__u64 query_flags;
	__u64 query_addr;
	/* From here to dev_minor: written by the kernel. */
	__u64 vma_start;
	__u64 vma_end;
	__u64 vma_flags;
	__u64 vma_page_size;
	__u64 vma_offset;
	__u64 inode;
	__u32 dev_major;
	__u32 dev_minor;
	/* In: buffer size; out: bytes used. 0 if the address is 0, too. */
	__u32 vma_name_size;
	__u32 build_id_size;
	__u64 vma_name_addr;
	__u64 build_id_addr;
};

#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
#endif

_Static_assert(sizeof(struct uffdio_move) == 40, "the kernel's layout");
_Static_assert(sizeof(struct uffdio_poison) == 32, "the kernel's layout");
_Static_assert(sizeof(struct page_region) == 24, "the kernel's layout");
_Static_assert(sizeof(struct pm_scan_arg) == 96, "the kernel's layout");
_Static_assert(sizeof(struct procmap_query) == 104, "the kernel's layout");

/* madvise(2) -------------------------------------------------------------- */

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

#endif
