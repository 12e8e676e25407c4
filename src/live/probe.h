/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_PROBE_H
#define HMMU_LIVE_PROBE_H

/*
 * Which facilities the kernel and the privileges of the process allow
 *
 * Overview: each facility is used once, on scratch memory. Nothing is concluded
 * from a version number. The environment variables HMMU_FORCE_NO_* disable a
 * facility, so that every fallback can be tested on one machine. They are
 * ignored in a set-user-ID program. A variable is set if it is neither empty
 * nor "0".
 *
 * Locking: none.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kernel that has UFFDIO_MOVE, and how Debian 12 gets it. */
#define HMMU__MOVE_REMEDY                                     \
	"install Linux 6.8 or newer (Debian 12: apt install " \
	"linux-image-6.12-amd64)"

enum hmmu__force {
	HMMU__FORCE_NO_UFFD,
	HMMU__FORCE_USER_MODE,
	HMMU__FORCE_NO_MOVE,
	HMMU__FORCE_NO_PAGEMAP_SCAN,
	HMMU__FORCE_NO_PROCMAP_QUERY,
	HMMU__FORCE_NO_POPULATE,
	HMMU__FORCE_NO_MEMBARRIER,
	HMMU__FORCE_NO_HOOKS,
	HMMU__FORCE_COUNT,
};

/* Reads the environment each time. Do not call it in the fault service. */
bool hmmu__force_is_set(enum hmmu__force which);
/* A static sentence that names the variable which disabled a facility. */
const char *hmmu__force_sentence(enum hmmu__force which);
/*
 * What fails without UFFDIO_MOVE, and the remedy: to unset the variable that
 * disabled it, otherwise another kernel. A static sentence for the log.
 */
const char *hmmu__without_move_sentence(void);
/* What a migration means for system calls in user mode, and the remedy. */
const char *hmmu__user_mode_sentence(void);

/*
 * @uffd is a userfaultfd, close-on-exec and non-blocking, with @features
 * enabled; or it is -errno, and @why is a static sentence that says what to
 * change. @supported has all features that the kernel offers, including those
 * that HMMU does not enable.
 */
struct hmmu__platform {
	int uffd;
	const char *why;
	uint64_t features;
	uint64_t supported;
	/* System calls on device pages fail with EFAULT. */
	bool user_mode_only;
	/* Unmap, remove and remap events arrive. */
	bool have_events;
	bool have_move;
	bool have_pagemap_scan;
	bool have_procmap_query;
	bool have_populate;
	bool have_collapse;
	bool have_membarrier;
	bool hooks_allowed;
};

/*
 * Fill @out. Returns 0 also if userfaultfd is refused: check @out->uffd. On
 * success the caller owns the file and passes it to hmmu__platform_close().
 */
int hmmu__platform_open(struct hmmu__platform *out);
void hmmu__platform_close(struct hmmu__platform *platform);

/* An error that another way to open the file does not avoid. */
static inline bool hmmu__is_exhausted(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

#endif
