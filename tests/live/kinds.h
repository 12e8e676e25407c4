/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_KINDS_H
#define HMMU_TESTS_KINDS_H

/*
 * Memory of every kind, for tests that ask the same of each: made by kinds.c,
 * asked by test_kinds.c.
 */

#include "fixture.h"

/* What kind_begin() has made. */
struct kind_memory {
	char *p;
	size_t pages;
	/* The CPU may read it. */
	bool readable;
	/* It can not be unmapped, or not even discarded, by a test. */
	bool stays;
	bool kept;
	/* What @p lies in, for munmap(). */
	void *all;
	size_t all_bytes;
	/* Ends it in its own way instead of munmap(). */
	void (*unmap)(struct kind_memory *m);
	/* What somebody else sees of its first word; NULL: nobody else can. */
	uint64_t (*others_see)(const struct kind_memory *m);
	/* Further memory, files and processes, which kind_end() ends. */
	void *other;
	int file;
	int pipe[2];
	pid_t child;
	pthread_t thread;
	bool has_thread;
};

typedef void kind_make_fn(struct kind_memory *m);

/*
 * Makes the memory; skips where the machine has none of this kind. @m->p is
 * room on the main stack for kind_main_stack(), else it does not matter.
 */
void kind_begin(struct kind_memory *m, kind_make_fn *make);
/* Unmaps it in its own way: munmap(2), brk(2), shmdt(2). */
void kind_unmap(struct kind_memory *m);
/* Ends what is left of it. */
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
