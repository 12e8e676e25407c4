/* SPDX-License-Identifier: MIT */
/*
 * hmmu_platform_query(): which facilities the kernel has, which are missing and
 * why, and what HMMU does instead.
 *
 * Each call probes anew, with a userfaultfd of its own. No lock is held.
 */
#include <errno.h>
#include <string.h>

#include <hmmu/platform.h>

#include "base/compiler.h"
#include "base/epoch.h"
#include "base/sys.h"
#include "live/hooks/hooks.h"
#include "live/probe.h"
#include "uapi/linux_mm.h"

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

static bool has_hooks(const struct hmmu__platform *p)
{
	return p->hooks_allowed && hmmu__hooks_bound();
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
		return hmmu__force_sentence(HMMU__FORCE_NO_UFFD);
	return hmmu__force_sentence(row->force);
}

static void describe_facility(const struct facility_row *row,
			      const struct hmmu__platform *p,
			      struct hmmu_facility *out)
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
static void write_facility(struct hmmu_facility *out, size_t index,
			   size_t stride, const struct hmmu_facility *record)
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
	if (!err && hmmu__is_exhausted(platform.uffd))
		err = platform.uffd;
	if (err)
		return err;
	stride = capacity ? out->size : 0;
	for (size_t i = 0; i < count; i++) {
		describe_facility(&rows[i], &platform, &record);
		write_facility(out, i, stride, &record);
	}
	hmmu__platform_close(&platform);
	*ret_count = HMMU_ARRAY_SIZE(rows);
	return 0;
}
