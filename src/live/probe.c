/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hmmu/platform.h>

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

/* An error that a second way of asking does not change. */
static bool is_exhausted(int err)
{
	return err == -EMFILE || err == -ENFILE || err == -ENOMEM;
}

/* The fullest that is granted, with hands not shaken yet. */
static int open_uffd(bool *user_mode_only)
{
	int fd = -EPERM;

	*user_mode_only = false;
	if (!hmmu__force_is_set(HMMU__FORCE_USER_MODE)) {
		fd = open_by_call(UFFD_FLAGS);
		if (fd < 0 && !is_exhausted(fd)) {
			int device = open_by_device();

			if (device >= 0 || is_exhausted(device))
				fd = device;
		}
	}
	if (fd >= 0 || fd == -ENOSYS || is_exhausted(fd))
		return fd;
	*user_mode_only = true;
	return open_by_call(UFFD_FLAGS | UFFD_USER_MODE_ONLY);
}

/* Replaces *@features by all that the kernel offers. */
static int shake_hands(int fd, uint64_t *features)
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
	err = shake_hands(fd, &features);
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
	err = shake_hands(fd, &offered);
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

/* --- small files of the kernel -------------------------------------------- */

/* Reads the beginning of @path as a string: "" if it can not be read. */
static void read_start(const char *path, char *buf, size_t bytes)
{
	int fd = hmmu__sys_open(path, O_RDONLY | O_CLOEXEC, 0);
	ssize_t got = -1;

	memset(buf, 0, bytes);
	if (fd >= 0) {
		got = hmmu__sys_read(fd, buf, bytes - 1);
		hmmu__sys_close(fd);
	}
	buf[got > 0 ? got : 0] = '\0';
}

/* A decimal number other than 0. */
static bool is_positive(const char *text)
{
	return text[strspn(text, "0")] >= '1' && text[strspn(text, "0")] <= '9';
}

/* --- words ---------------------------------------------------------------- */

/*
 * One facility. @force is its own switch, HMMU__FORCE_COUNT if it has none.
 * @refine, where there is one, replaces sentences that depend on more.
 */
struct facility_row {
	const char *name;
	enum hmmu__force force;
	bool needs_uffd;
	bool (*has)(const struct hmmu__platform *p);
	const char *yes;
	const char *no;
	const char *instead;
	void (*refine)(const struct hmmu__platform *p,
		       struct hmmu_facility *out);
};

static bool has_uffd(const struct hmmu__platform *p)
{
	return p->uffd >= 0;
}

static void refine_uffd(const struct hmmu__platform *p,
			struct hmmu_facility *out)
{
	if (!out->available)
		out->reason = p->why;
	else if (p->user_mode_only)
		out->reason = "user mode: faults of the program's own accesses";
}

static bool has_kernel_faults(const struct hmmu__platform *p)
{
	return p->uffd >= 0 && !p->user_mode_only;
}

static bool has_event_unmap(const struct hmmu__platform *p)
{
	return p->features & UFFD_FEATURE_EVENT_UNMAP;
}

static bool has_event_remove(const struct hmmu__platform *p)
{
	return p->features & UFFD_FEATURE_EVENT_REMOVE;
}

static bool has_event_remap(const struct hmmu__platform *p)
{
	return p->features & UFFD_FEATURE_EVENT_REMAP;
}

static bool has_thread_id(const struct hmmu__platform *p)
{
	return p->features & UFFD_FEATURE_THREAD_ID;
}

static bool has_move(const struct hmmu__platform *p)
{
	return p->have_move;
}

static bool has_write_protect(const struct hmmu__platform *p)
{
	return p->features & UFFD_FEATURE_PAGEFAULT_FLAG_WP;
}

static bool has_sigbus(const struct hmmu__platform *p)
{
	return p->supported & UFFD_FEATURE_SIGBUS;
}

static bool has_pagemap_scan(const struct hmmu__platform *p)
{
	return p->have_pagemap_scan;
}

static bool has_procmap_query(const struct hmmu__platform *p)
{
	return p->have_procmap_query;
}

static bool has_populate(const struct hmmu__platform *p)
{
	return p->have_populate;
}

static bool has_collapse(const struct hmmu__platform *p)
{
	return p->have_collapse;
}

static bool has_membarrier(const struct hmmu__platform *p)
{
	return p->have_membarrier;
}

#define THP_MODE_BYTES 64u

/* "always [madvise] never": the bracket marks what is chosen. */
static void read_thp_mode(char mode[THP_MODE_BYTES])
{
	read_start("/sys/kernel/mm/transparent_hugepage/enabled", mode,
		   THP_MODE_BYTES);
}

static bool has_thp(const struct hmmu__platform *p)
{
	char mode[THP_MODE_BYTES];

	(void)p;
	read_thp_mode(mode);
	return strstr(mode, "[always]") || strstr(mode, "[madvise]");
}

static void refine_thp(const struct hmmu__platform *p,
		       struct hmmu_facility *out)
{
	char mode[THP_MODE_BYTES];

	(void)p;
	read_thp_mode(mode);
	if (strstr(mode, "[always]"))
		out->reason = "mode always: all private memory that can";
	else if (mode[0] == '\0')
		out->reason = "the kernel is built without "
			      "CONFIG_TRANSPARENT_HUGEPAGE";
}

static bool has_hugetlb(const char *pool, const char *overcommit)
{
	char text[32];

	read_start(pool, text, sizeof(text));
	if (is_positive(text))
		return true;
	read_start(overcommit, text, sizeof(text));
	return is_positive(text);
}

static bool has_hugetlb_2m(const struct hmmu__platform *p)
{
	(void)p;
	return has_hugetlb(
		"/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
		"/sys/kernel/mm/hugepages/hugepages-2048kB/"
		"nr_overcommit_hugepages");
}

static bool has_hugetlb_1g(const struct hmmu__platform *p)
{
	(void)p;
	return has_hugetlb(
		"/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages",
		"/sys/kernel/mm/hugepages/hugepages-1048576kB/"
		"nr_overcommit_hugepages");
}

static bool hooks_are_bound(void)
{
	return hmmu__hooks_bound && hmmu__hooks_bound();
}

static bool has_hooks(const struct hmmu__platform *p)
{
	return p->hooks_allowed && hooks_are_bound();
}

#define NO_FEATURE "the kernel's userfaultfd does not offer it"
#define NO_EVENT                                                              \
	"such a change is seen only where it goes through HMMU's hooks, not " \
	"when made by a raw system call or inside the C library"
#define NO_SPACE "no space can be opened"
#define NO_POOL                                                            \
	"a program can have no mapping of this kind; other memory is not " \
	"affected"

static const struct facility_row rows[] = {
	{
		.name = "userfaultfd",
		.force = HMMU__FORCE_NO_UFFD,
		.has = has_uffd,
		.yes = "full: also faults of system calls",
		.instead = NO_SPACE,
		.refine = refine_uffd,
	},
	{
		.name = "kernel-faults",
		.force = HMMU__FORCE_USER_MODE,
		.needs_uffd = true,
		.has = has_kernel_faults,
		.yes = "system calls may be given memory that is on a device",
		.no = "needs CAP_SYS_PTRACE, or read and write access to "
		      "/dev/userfaultfd, or the sysctl "
		      "vm.unprivileged_userfaultfd=1",
		.instead = "with hooks read(2), write(2), send(2), recv(2) and "
			   "their kin bring home what they are given; another "
			   "system call that is given memory on a device fails "
			   "with EFAULT: hmmu_populate() first",
	},
	{
		.name = "event-unmap",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_event_unmap,
		.yes = "unmapping behind the hooks is told",
		.no = NO_FEATURE " (Linux 4.11)",
		.instead = NO_EVENT,
	},
	{
		.name = "event-remove",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_event_remove,
		.yes = "discarding behind the hooks is told",
		.no = NO_FEATURE " (Linux 4.11)",
		.instead = NO_EVENT,
	},
	{
		.name = "event-remap",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_event_remap,
		.yes = "moving behind the hooks is told",
		.no = NO_FEATURE " (Linux 4.11)",
		.instead = NO_EVENT,
	},
	{
		.name = "thread-id",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_thread_id,
		.yes = "a fault tells which thread it stopped",
		.no = NO_FEATURE " (Linux 4.14)",
		.instead = "a port section whose own thread touches device "
			   "memory is not recognised",
	},
	{
		.name = "move",
		.force = HMMU__FORCE_NO_MOVE,
		.needs_uffd = true,
		.has = has_move,
		.yes = "UFFDIO_MOVE works: pages migrate without being copied",
		.no = "UFFDIO_MOVE does not work here (Linux 6.8)",
		.instead = HMMU__WITHOUT_MOVE,
	},
	{
		.name = "write-protect",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_write_protect,
		.yes = "pages can be watched for writes",
		.no = NO_FEATURE " (Linux 5.7)",
		.instead = "memory of which no page is on a device is not "
			   "watched behind the hooks",
	},
	{
		.name = "sigbus",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_sigbus,
		.yes = "offered: a fault can be served in the thread it stops",
		.no = NO_FEATURE " (Linux 4.14)",
		.instead = "faults are served by HMMU's thread",
	},
	{
		.name = "pagemap-scan",
		.force = HMMU__FORCE_NO_PAGEMAP_SCAN,
		.has = has_pagemap_scan,
		.yes = "page tables are read in runs by PAGEMAP_SCAN",
		.no = "the ioctl PAGEMAP_SCAN does not work here (Linux 6.7)",
		.instead = "/proc/self/pagemap is read page by page; large "
			   "pages and the zero page are reported as ordinary "
			   "ones",
	},
	{
		.name = "procmap-query",
		.force = HMMU__FORCE_NO_PROCMAP_QUERY,
		.has = has_procmap_query,
		.yes = "mappings are asked one by one by PROCMAP_QUERY",
		.no = "the ioctl PROCMAP_QUERY does not work here (Linux 6.11)",
		.instead = "the text of /proc/self/maps is read",
	},
	{
		.name = "madvise-populate",
		.force = HMMU__FORCE_NO_POPULATE,
		.has = has_populate,
		.yes = "device faults populate ranges by MADV_POPULATE",
		.no = "madvise(2) does not know MADV_POPULATE_READ and _WRITE "
		      "(Linux 5.14)",
		.instead = "pages are faulted in by touching each of them",
	},
	{
		.name = "madvise-collapse",
		.force = HMMU__FORCE_COUNT,
		.has = has_collapse,
		.yes = "small pages can be made large by MADV_COLLAPSE",
		.no = "madvise(2) does not know MADV_COLLAPSE (Linux 6.1, with "
		      "CONFIG_TRANSPARENT_HUGEPAGE)",
		.instead = "large pages that were split stay small until the "
			   "kernel joins them",
	},
	{
		.name = "membarrier",
		.force = HMMU__FORCE_NO_MEMBARRIER,
		.has = has_membarrier,
		.yes = "port sections begin and end without a fence",
		.no = "membarrier(2) has no private expedited barrier (Linux "
		      "4.14), or a seccomp filter refuses it",
		.instead = "each port section executes a fence",
	},
	{
		.name = "transparent-huge-pages",
		.force = HMMU__FORCE_COUNT,
		.has = has_thp,
		.yes = "mode madvise: memory with MADV_HUGEPAGE",
		.no = "mode never: write madvise or always to "
		      "/sys/kernel/mm/transparent_hugepage/enabled",
		.instead = "everything moves in pages of 4 KiB",
		.refine = refine_thp,
	},
	{
		.name = "hugetlb-2m",
		.force = HMMU__FORCE_COUNT,
		.has = has_hugetlb_2m,
		.yes = "pages of 2 MiB are reserved or may be overcommitted",
		.no = "no page of 2 MiB is reserved: write a number to the "
		      "sysctl vm.nr_hugepages",
		.instead = NO_POOL,
	},
	{
		.name = "hugetlb-1g",
		.force = HMMU__FORCE_COUNT,
		.has = has_hugetlb_1g,
		.yes = "pages of 1 GiB are reserved or may be overcommitted",
		.no = "no page of 1 GiB is reserved: write a number to "
		      "/sys/kernel/mm/hugepages/hugepages-1048576kB/"
		      "nr_hugepages",
		.instead = NO_POOL,
	},
	{
		.name = "hooks",
		.force = HMMU__FORCE_NO_HOOKS,
		.has = has_hooks,
		.yes = "munmap() and its like of the program pass through HMMU",
		.no = "munmap() of the program does not resolve to HMMU's: "
		      "link libhmmu before the C library, or preload it",
		.instead = "changes of mappings are told by events, after the "
			   "fact and more slowly; mprotect() and shmdt() are "
			   "not told",
	},
};

static bool is_forced_off(const struct facility_row *row)
{
	if (row->needs_uffd && hmmu__force_is_set(HMMU__FORCE_NO_UFFD))
		return true;
	return row->force != HMMU__FORCE_COUNT &&
	       hmmu__force_is_set(row->force);
}

static const char *forced_sentence(const struct facility_row *row)
{
	if (row->needs_uffd && hmmu__force_is_set(HMMU__FORCE_NO_UFFD))
		return forces[HMMU__FORCE_NO_UFFD].sentence;
	return forces[row->force].sentence;
}

static void describe(const struct facility_row *row,
		     const struct hmmu__platform *p, struct hmmu_facility *out)
{
	*out = (struct hmmu_facility){
		.name = row->name,
		.available = row->has(p),
		.forced_off = is_forced_off(row),
		.reason = row->no,
		.instead = row->instead,
	};
	if (out->available)
		out->reason = row->yes;
	if (row->refine)
		row->refine(p, out);
	if (row->needs_uffd && p->uffd < 0) {
		out->reason = "needs userfaultfd";
		out->instead = NO_SPACE;
	}
	if (out->forced_off)
		out->reason = forced_sentence(row);
	if (out->available)
		out->instead = NULL;
}

/* Record @index of an array whose records are @stride bytes apart. */
static void write_record(struct hmmu_facility *out, size_t index, size_t stride,
			 const struct hmmu_facility *record)
{
	char *at = (char *)out + index * stride;

	memset(at, 0, stride);
	memcpy(at, record, sizeof(*record));
	((struct hmmu_facility *)(void *)at)->size = stride;
}

int hmmu_platform_query(struct hmmu_facility *out, size_t capacity,
			size_t *ret_count)
{
	size_t count = hmmu_min(capacity, HMMU_ARRAY_SIZE(rows));
	struct hmmu_facility record;
	struct hmmu__platform platform;
	size_t stride;
	int err;

	if (!ret_count || (capacity && !out) ||
	    (capacity && out->size < sizeof(*out)))
		return -EINVAL;
	err = hmmu__platform_open(&platform);
	if (!err && is_exhausted(platform.uffd))
		err = platform.uffd;
	if (err)
		return err;
	stride = capacity ? out->size : 0;
	for (size_t i = 0; i < count; i++) {
		describe(&rows[i], &platform, &record);
		write_record(out, i, stride, &record);
	}
	hmmu__platform_close(&platform);
	*ret_count = HMMU_ARRAY_SIZE(rows);
	return 0;
}
