/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_PROBE_H
#define HMMU_LIVE_PROBE_H

/*
 * What this kernel and these privileges allow, found out by trying.
 *
 * Overview: nothing is concluded from a version number. Each facility is used
 * once on scratch memory. Environment switches HMMU_FORCE_NO_* take a facility
 * away, so that every fallback can be tested on one machine; they are ignored
 * in a set-user-ID program. A switch is on if it is set and neither empty
 * nor "0".
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What HMMU does without UFFDIO_MOVE, and how to get it. */
#define HMMU__WITHOUT_MOVE                                                    \
	"no migration to host-private memory and no exclusive access "        \
	"(-EOPNOTSUPP): both need Linux 6.8 (Debian 12: apt install "         \
	"linux-image-6.12-amd64); notifiers, ranges, page tables, ports and " \
	"coherent memory work"

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

/* Reads the environment anew; for use at start, not in the fault service. */
bool hmmu__force_is_set(enum hmmu__force which);
/* A static sentence that says that the switch took something away. */
const char *hmmu__force_sentence(enum hmmu__force which);

/*
 * @uffd is a userfaultfd, close-on-exec and non-blocking, that has shaken hands
 * with @features; or -errno, and then @why is a static sentence that says what
 * to change. @supported is all that the kernel offers, FORK and others that
 * HMMU does not ask for included.
 */
struct hmmu__platform {
	int uffd;
	const char *why;
	uint64_t features;
	uint64_t supported;
	/* Touches by the kernel itself (read(2) ...) give EFAULT. */
	bool user_mode_only;
	/* Events of all three kinds arrive: unmap, remove, remap. */
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
 * Fills @out. 0 even where userfaultfd is refused: see @out->uffd. On success
 * the caller owns the file and gives it to hmmu__platform_close().
 */
int hmmu__platform_open(struct hmmu__platform *out);
void hmmu__platform_close(struct hmmu__platform *platform);

/* An error that a second way of asking does not change. */
static inline bool hmmu__is_exhausted(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

#endif
