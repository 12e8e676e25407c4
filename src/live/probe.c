/* SPDX-License-Identifier: MIT */
/*
 * Probe what the kernel and the privileges of the process allow: see probe.h
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/epoch.h"
#include "base/sys.h"
#include "live/pagescan.h"
#include "live/probe.h"
#include "live/vma.h"
#include "uapi/linux_mm.h"

/* --- switches ------------------------------------------------------------- */

static const struct {
	const char *variable;
	const char *sentence;
} forces[] = {
#define FORCE(name)                       \
	{                                 \
		name, "disabled by " name \
	}
	[HMMU__FORCE_NO_UFFD] = FORCE("HMMU_FORCE_NO_UFFD"),
	[HMMU__FORCE_USER_MODE] = FORCE("HMMU_FORCE_USER_MODE"),
	[HMMU__FORCE_NO_MOVE] = FORCE("HMMU_FORCE_NO_MOVE"),
	[HMMU__FORCE_NO_PAGEMAP_SCAN] = FORCE("HMMU_FORCE_NO_PAGEMAP_SCAN"),
	[HMMU__FORCE_NO_PROCMAP_QUERY] = FORCE("HMMU_FORCE_NO_PROCMAP_QUERY"),
	[HMMU__FORCE_NO_POPULATE] = FORCE("HMMU_FORCE_NO_POPULATE"),
	[HMMU__FORCE_NO_MEMBARRIER] = FORCE("HMMU_FORCE_NO_MEMBARRIER"),
	[HMMU__FORCE_NO_HOOKS] = FORCE("HMMU_FORCE_NO_HOOKS"),
#undef FORCE
};

_Static_assert(HMMU_ARRAY_SIZE(forces) == HMMU__FORCE_COUNT,
	       "each switch has a variable");

bool hmmu__force_is_set(enum hmmu__force which)
{
	const char *value = secure_getenv(forces[which].variable);

	return value && value[0] != '\0' && strcmp(value, "0") != 0;
}

const char *hmmu__force_sentence(enum hmmu__force which)
{
	return forces[which].sentence;
}

#define MIGRATION_FAILS                                                    \
	"migration to host-private memory and exclusive access fail with " \
	"EOPNOTSUPP: "

const char *hmmu__without_move_sentence(void)
{
	if (hmmu__force_is_set(HMMU__FORCE_NO_MOVE))
		return MIGRATION_FAILS "UFFDIO_MOVE is disabled by "
				       "HMMU_FORCE_NO_MOVE: unset it";
	return MIGRATION_FAILS HMMU__MOVE_REMEDY;
}

#define SYSTEM_CALLS_FAIL                                          \
	"system calls on device pages fail with EFAULT (hmmu(7), " \
	"USERS WITHOUT PRIVILEGES): call hmmu_populate() first, or "

const char *hmmu__user_mode_sentence(void)
{
	if (hmmu__force_is_set(HMMU__FORCE_USER_MODE))
		return SYSTEM_CALLS_FAIL "unset HMMU_FORCE_USER_MODE";
	return SYSTEM_CALLS_FAIL "give the user access to /dev/userfaultfd";
}

/* --- userfaultfd ---------------------------------------------------------- */

#define UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK)

#define EVENTS                                                  \
	(UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE | \
	 UFFD_FEATURE_EVENT_REMAP)

/*
 * The features that HMMU enables if the kernel has them. Not enabled:
 * - EVENT_FORK: it needs a capability, and then the child cannot register its
 *   memory anew (E10).
 * - WP_ASYNC: a write would split large pages.
 * - WP_UNPOPULATED: its markers prevent large pages.
 * - EXACT_ADDRESS: the page of a fault is enough.
 */
#define WANTED_FEATURES                                                     \
	(EVENTS | UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_THREAD_ID | \
	 UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MISSING_SHMEM |      \
	 UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MOVE)

static int open_by_call(int flags)
{
	return (int)hmmu__syscall(SYS_userfaultfd, flags, 0, 0, 0, 0, 0);
}

/*
 * Permissions of the file decide who may open it (Linux 6.1). The userfaultfd
 * is never limited to user mode.
 */
static int open_by_device(void)
{
	int device = hmmu__sys_open("/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);
	int fd;

	if (device < 0)
		return device;
	fd = hmmu__sys_ioctl(device, USERFAULTFD_IOC_NEW,
			     (void *)(uintptr_t)UFFD_FLAGS);
	hmmu__sys_close(device);
	return fd;
}

/*
 * Open the userfaultfd with the most rights that are granted. Its features are
 * not negotiated yet.
 */
static int open_uffd(bool *user_mode_only)
{
	int fd = -EPERM;

	*user_mode_only = false;
	if (!hmmu__force_is_set(HMMU__FORCE_USER_MODE)) {
		fd = open_by_call(UFFD_FLAGS);
		if (fd < 0 && !hmmu__is_exhausted(fd)) {
			int device = open_by_device();

			if (device >= 0 || hmmu__is_exhausted(device))
				fd = device;
		}
	}
	if (fd >= 0 || fd == -ENOSYS || hmmu__is_exhausted(fd))
		return fd;
	*user_mode_only = true;
	return open_by_call(UFFD_FLAGS | UFFD_USER_MODE_ONLY);
}

/* Negotiate features. Replaces *@features by all that the kernel offers. */
static int negotiate_features(int fd, uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = *features };
	int err = hmmu__sys_ioctl(fd, UFFDIO_API, &api);

	*features = api.features;
	return err;
}

/*
 * Features are negotiated once for each file, and one unknown feature makes the
 * call fail: ask one file what there is, and another one for it.
 */
static int learn_features(uint64_t *ret_supported)
{
	uint64_t features = 0;
	bool user_mode_only;
	int fd = open_uffd(&user_mode_only);
	int err;

	if (fd < 0)
		return fd;
	err = negotiate_features(fd, &features);
	hmmu__sys_close(fd);
	if (!err)
		*ret_supported = features;
	return err;
}

static int open_with_features(struct hmmu__platform *p)
{
	uint64_t wanted = WANTED_FEATURES;
	uint64_t offered;
	int fd, err;

	if (hmmu__force_is_set(HMMU__FORCE_NO_UFFD))
		return -EPERM;
	err = learn_features(&p->supported);
	if (err)
		return err;
	fd = open_uffd(&p->user_mode_only);
	if (fd < 0)
		return fd;
	if (hmmu__force_is_set(HMMU__FORCE_NO_MOVE))
		wanted &= ~(uint64_t)UFFD_FEATURE_MOVE;
	p->features = wanted & p->supported;
	offered = p->features;
	err = negotiate_features(fd, &offered);
	if (!err)
		return fd;
	hmmu__sys_close(fd);
	return err;
}

/*
 * Why there is no userfaultfd at all. Since Linux 5.11 every process may open
 * one for user mode, so a refusal comes from a filter.
 */
static const char *why_refused(int err)
{
	if (hmmu__force_is_set(HMMU__FORCE_NO_UFFD))
		return forces[HMMU__FORCE_NO_UFFD].sentence;
	switch (err) {
	case -ENOSYS:
		return "the kernel has no userfaultfd(2): build it with "
		       "CONFIG_USERFAULTFD=y, or allow the call in the seccomp "
		       "filter";
	case -EINVAL:
		return "userfaultfd(2) without privileges needs Linux 5.11: "
		       "set the sysctl vm.unprivileged_userfaultfd=1, or grant "
		       "CAP_SYS_PTRACE";
	case -EMFILE:
	case -ENFILE:
		return "no file descriptor is left: raise RLIMIT_NOFILE or "
		       "the sysctl fs.file-max";
	case -ENOMEM:
		return "the kernel has no memory for a userfaultfd";
	default:
		return "userfaultfd(2) is not permitted, not even in user "
		       "mode: allow the call in the seccomp filter or security "
		       "module of the container, set the sysctl "
		       "vm.unprivileged_userfaultfd=1, or grant "
		       "CAP_SYS_PTRACE";
	}
}

/* --- UFFDIO_MOVE ---------------------------------------------------------- */

/*
 * The fork of another thread shares the page for a moment. Write it before each
 * attempt, which unshares it.
 */
#define MOVE_ATTEMPTS 8

static int move_page(int uffd, uintptr_t dst, uintptr_t src)
{
	struct uffdio_move move = {
		.dst = dst,
		.src = src,
		.len = HMMU_PAGE_BYTES,
	};
	int err = -EBUSY;

	for (int i = 0; i < MOVE_ATTEMPTS && err; i++) {
		*(volatile char *)src = 1;
		err = hmmu__sys_ioctl(uffd, UFFDIO_MOVE, &move);
		if (err != -EBUSY && err != -EAGAIN)
			break;
	}
	return err;
}

/*
 * Move one page. Events are enabled for the file and nobody reads them, so
 * unmapping registered memory would block forever: unregister it first.
 */
static bool try_move(int uffd, uintptr_t scratch)
{
	struct uffdio_register reg = {
		.range = { .start = scratch + HMMU_PAGE_BYTES,
			   .len = HMMU_PAGE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	bool moved;

	if (hmmu__sys_ioctl(uffd, UFFDIO_REGISTER, &reg))
		return false;
	moved = move_page(uffd, reg.range.start, scratch) == 0;
	(void)hmmu__sys_ioctl(uffd, UFFDIO_UNREGISTER, &reg.range);
	return moved && *(volatile char *)reg.range.start == 1;
}

/*
 * After mlockall(MCL_FUTURE) new mappings are locked and populated: undo both.
 */
static void scratch_empty(uintptr_t scratch)
{
	(void)hmmu__sys_munlock(scratch, 2 * HMMU_PAGE_BYTES);
	(void)hmmu__sys_madvise(scratch, 2 * HMMU_PAGE_BYTES, MADV_DONTNEED);
}

static int probe_move(struct hmmu__platform *p)
{
	long scratch;

	if (p->uffd < 0 || !(p->features & UFFD_FEATURE_MOVE))
		return 0;
	scratch = hmmu__sys_mmap(0, 2 * HMMU_PAGE_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (hmmu__sys_is_error(scratch))
		return (int)scratch;
	scratch_empty((uintptr_t)scratch);
	p->have_move = try_move(p->uffd, (uintptr_t)scratch);
	hmmu__sys_munmap((uintptr_t)scratch, 2 * HMMU_PAGE_BYTES);
	return 0;
}

/* --- the rest ------------------------------------------------------------- */

/* With a length of 0, madvise(2) only checks whether it knows the advice. */
static bool knows_advice(int advice)
{
	return hmmu__sys_madvise(0, 0, advice) == 0;
}

static bool probe_pagemap_scan(void)
{
	struct hmmu__pagescan_source src;
	bool found;

	if (hmmu__pagescan_open(&src, false))
		return false;
	found = src.have_scan;
	hmmu__pagescan_close(&src);
	return found;
}

static bool probe_procmap_query(void)
{
	struct hmmu__vma_source src;
	bool found;

	if (hmmu__vma_open(&src, false))
		return false;
	found = !src.use_text;
	hmmu__vma_close(&src);
	return found;
}

static void probe_others(struct hmmu__platform *p)
{
	p->have_pagemap_scan =
		!hmmu__force_is_set(HMMU__FORCE_NO_PAGEMAP_SCAN) &&
		probe_pagemap_scan();
	p->have_procmap_query =
		!hmmu__force_is_set(HMMU__FORCE_NO_PROCMAP_QUERY) &&
		probe_procmap_query();
	p->have_populate = !hmmu__force_is_set(HMMU__FORCE_NO_POPULATE) &&
			   knows_advice(MADV_POPULATE_READ) &&
			   knows_advice(MADV_POPULATE_WRITE);
	p->have_collapse = knows_advice(MADV_COLLAPSE);
	p->have_membarrier = hmmu__membarrier_available();
	p->hooks_allowed = !hmmu__force_is_set(HMMU__FORCE_NO_HOOKS);
}

int hmmu__platform_open(struct hmmu__platform *out)
{
	int err;

	memset(out, 0, sizeof(*out));
	out->uffd = open_with_features(out);
	if (out->uffd < 0)
		out->why = why_refused(out->uffd);
	out->have_events = out->uffd >= 0 && (out->features & EVENTS) == EVENTS;
	err = probe_move(out);
	if (err) {
		hmmu__platform_close(out);
		return err;
	}
	probe_others(out);
	return 0;
}

void hmmu__platform_close(struct hmmu__platform *platform)
{
	if (platform->uffd >= 0)
		hmmu__sys_close(platform->uffd);
	platform->uffd = -EBADF;
}
