/* SPDX-License-Identifier: MIT */
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
#define FORCE(name)                         \
	{                                   \
		name, "taken away by " name \
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

/* --- userfaultfd ---------------------------------------------------------- */

#define UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK)

#define EVENTS                                                  \
	(UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMOVE | \
	 UFFD_FEATURE_EVENT_REMAP)

/*
 * What HMMU asks for where it exists. Not EVENT_FORK: it needs a capability,
 * and excludes that the child registers its memory anew (E10). Not WP_ASYNC: a
 * write would split large pages. Not WP_UNPOPULATED: markers defeat them. Not
 * EXACT_ADDRESS: faults are told by page.
 */
#define WANTED_FEATURES                                                     \
	(EVENTS | UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_THREAD_ID | \
	 UFFD_FEATURE_MISSING_HUGETLBFS | UFFD_FEATURE_MISSING_SHMEM |      \
	 UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_MOVE)

static int open_by_call(int flags)
{
	return (int)hmmu__syscall(SYS_userfaultfd, flags, 0, 0, 0, 0, 0);
}

/* The file's permissions say who may (Linux 6.1); the result is always full. */
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

/* The fullest that is granted, with hands not shaken yet. */
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

/* Replaces *@features by all that the kernel offers. */
static int negotiate_features(int fd, uint64_t *features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = *features };
	int err = hmmu__sys_ioctl(fd, UFFDIO_API, &api);

	*features = api.features;
	return err;
}

/*
 * Hands are shaken once per file, and one unknown feature refuses all: a first
 * file asks what there is, a second one asks for it.
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
 * Why there is none at all. User mode is open to everybody since Linux 5.11,
 * so a refusal of that is a filter's.
 */
static const char *why_refused(int err)
{
	if (hmmu__force_is_set(HMMU__FORCE_NO_UFFD))
		return forces[HMMU__FORCE_NO_UFFD].sentence;
	switch (err) {
	case -ENOSYS:
		return "userfaultfd(2) does not exist: build the kernel with "
		       "CONFIG_USERFAULTFD=y, or let the seccomp filter pass "
		       "the call";
	case -EINVAL:
		return "the kernel is too old for userfaultfd without "
		       "privileges (Linux 5.11): set the sysctl "
		       "vm.unprivileged_userfaultfd=1 or grant CAP_SYS_PTRACE";
	case -EMFILE:
	case -ENFILE:
		return "no file descriptor is left: raise RLIMIT_NOFILE or "
		       "the sysctl fs.file-max";
	case -ENOMEM:
		return "the kernel has no memory for userfaultfd";
	default:
		return "userfaultfd(2) is refused even for faults of the "
		       "program itself: let the seccomp filter or security "
		       "module of the container pass the call, set the sysctl "
		       "vm.unprivileged_userfaultfd=1, or grant "
		       "CAP_SYS_PTRACE";
	}
}

/* --- UFFDIO_MOVE ---------------------------------------------------------- */

/*
 * Another thread's fork() shares the page for a moment: it is written again,
 * which unshares it, before each attempt.
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
 * Moves one page. The file has events on, and nobody reads them: unmapping
 * memory that is still registered would wait for ever, so it is unregistered.
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

/* The program may have locked what is mapped from now on: there are pages. */
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

/* Of no memory, madvise(2) checks only whether it knows the advice. */
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
