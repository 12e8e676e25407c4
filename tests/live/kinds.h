/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_KINDS_H
#define HMMU_TESTS_KINDS_H

/*
 * Memory of every kind, for tests that check the same of each: kinds.c makes
 * it, test_kinds.c checks it
 */

#include "fixture.h"

/* Memory from kind_begin(). */
struct kind_memory {
	char *p;
	size_t pages;
	/* The CPU may read it. */
	bool readable;
	/* @stays: a test cannot unmap it. @kept: a test cannot discard it. */
	bool stays;
	bool kept;
	/* The mapping that contains @p, for munmap(2). */
	void *all;
	size_t all_bytes;
	/* Unmaps it, if munmap(2) is not the way. */
	void (*unmap)(struct kind_memory *m);
	/* Reads its first word through a file or another mapping, or NULL. */
	uint64_t (*others_see)(const struct kind_memory *m);
	/* Other resources, which kind_end() releases. */
	void *other;
	int file;
	int pipe[2];
	pid_t child;
	pthread_t thread;
	bool has_thread;
};

typedef void kind_make_fn(struct kind_memory *m);

/*
 * Make the memory; skips if the machine has none of this kind. For
 * kind_main_stack(), @m->p is memory on the main stack; else it is ignored.
 */
void kind_begin(struct kind_memory *m, kind_make_fn *make);
/* Unmap it with munmap(2), brk(2) or shmdt(2). */
void kind_unmap(struct kind_memory *m);
/* Release all remaining resources. */
void kind_end(struct kind_memory *m);

kind_make_fn kind_anonymous, kind_large, kind_absent, kind_zero,
	kind_large_zero, kind_heap, kind_arena, kind_bss, kind_thread_stack,
	kind_main_stack, kind_locked, kind_droppable, kind_shared_anonymous,
	kind_memfd_shared, kind_memfd_private, kind_memfd_copied, kind_sysv,
	kind_file_shared, kind_file_private, kind_file_copied,
	kind_file_readonly, kind_file_end, kind_text, kind_hugetlb,
	kind_hugetlb_shared, kind_hugetlb_1g, kind_readonly, kind_writeonly,
	kind_none, kind_forked, kind_forked_large, kind_child_gone,
	kind_swapped, kind_guard, kind_poison, kind_userfaultfd, kind_hole,
	kind_vdso, kind_vvar, kind_perf, kind_io_uring, kind_secret, kind_hmmu;

#endif
