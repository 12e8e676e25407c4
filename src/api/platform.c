/* SPDX-License-Identifier: MIT */
/*
 * hmmu_platform_query(): the facilities of the kernel, which are missing and
 * why, and what HMMU does instead
 *
 * Each call probes again, with a userfaultfd of its own.
 *
 * Locking: none.
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

/* Read the beginning of @path as a string: "" if it cannot be read. */
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

/* True for a decimal number other than 0. */
static bool is_positive(const char *text)
{
	return text[strspn(text, "0")] >= '1' && text[strspn(text, "0")] <= '9';
}

/* --- the facilities ------------------------------------------------------ */

/*
 * One facility. @force is the variable that disables it, or HMMU__FORCE_COUNT.
 * @refine, if not NULL, replaces sentences that depend on more.
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
		out->reason = "user mode: serves faults of the program, not of "
			      "system calls";
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

/* "always [madvise] never": the brackets mark the chosen mode. */
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
		out->reason = "mode always: all private anonymous memory";
	else if (mode[0] == '\0')
		out->reason =
			"the kernel has no transparent huge pages: build it with "
			"CONFIG_TRANSPARENT_HUGEPAGE=y";
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

#define NEEDS_LINUX(version) "userfaultfd has it since Linux " version

#define NO_EVENT                                                        \
	"such changes are noticed only if the program makes them by a " \
	"hooked function, not by raw system calls or inside the C library"

#define NO_SPACE "no space can be opened"

#define NO_HUGETLB \
	"programs cannot map such pages; other memory is not affected"

static const struct facility_row rows[] = {
	{
		.name = "userfaultfd",
		.force = HMMU__FORCE_NO_UFFD,
		.has = has_uffd,
		.yes = "full: also serves faults of system calls",
		.instead = NO_SPACE,
		.refine = refine_uffd,
	},
	{
		.name = "kernel-faults",
		.force = HMMU__FORCE_USER_MODE,
		.needs_uffd = true,
		.has = has_kernel_faults,
		.yes = "system calls can use memory that is on a device",
		.no = "needs CAP_SYS_PTRACE, or read and write access to "
		      "/dev/userfaultfd, or the sysctl "
		      "vm.unprivileged_userfaultfd=1",
		.instead = "hooks migrate the buffers of read, write, send, "
			   "recv and their variants back; other system calls "
			   "on device memory fail with EFAULT: call "
			   "hmmu_populate() first",
	},
	{
		.name = "event-unmap",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_event_unmap,
		.yes = "unmapping without a hook is reported",
		.no = NEEDS_LINUX("4.11"),
		.instead = NO_EVENT,
	},
	{
		.name = "event-remove",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_event_remove,
		.yes = "discarding without a hook is reported",
		.no = NEEDS_LINUX("4.11"),
		.instead = NO_EVENT,
	},
	{
		.name = "event-remap",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_event_remap,
		.yes = "moving without a hook is reported",
		.no = NEEDS_LINUX("4.11"),
		.instead = NO_EVENT,
	},
	{
		.name = "thread-id",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_thread_id,
		.yes = "a fault reports the thread that waits",
		.no = NEEDS_LINUX("4.14"),
		.instead = "a port section is not aborted when its own thread "
			   "touches device memory",
	},
	{
		.name = "move",
		.force = HMMU__FORCE_NO_MOVE,
		.needs_uffd = true,
		.has = has_move,
		.yes = "UFFDIO_MOVE works: pages migrate without a copy",
		.no = "UFFDIO_MOVE does not work: " HMMU__MOVE_REMEDY,
		.instead = "migration to host-private memory and exclusive "
			   "access fail with EOPNOTSUPP; notifiers, ranges, "
			   "mirrors, ports and coherent memory work",
	},
	{
		.name = "write-protect",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_write_protect,
		.yes = "pages can be watched for writes",
		.no = NEEDS_LINUX("5.7"),
		.instead = "mappings without device pages are not watched: "
			   "only hooks report their changes",
	},
	{
		.name = "sigbus",
		.force = HMMU__FORCE_COUNT,
		.needs_uffd = true,
		.has = has_sigbus,
		.yes = "the kernel can deliver a fault to the thread that "
		       "waits",
		.no = NEEDS_LINUX("4.14"),
		.instead = "faults are served by HMMU's thread",
	},
	{
		.name = "pagemap-scan",
		.force = HMMU__FORCE_NO_PAGEMAP_SCAN,
		.has = has_pagemap_scan,
		.yes = "PAGEMAP_SCAN reads page tables in runs",
		.no = "PAGEMAP_SCAN does not work: it needs Linux 6.7",
		.instead = "/proc/self/pagemap is read page by page; large "
			   "pages and the zero page are reported as ordinary "
			   "ones",
	},
	{
		.name = "procmap-query",
		.force = HMMU__FORCE_NO_PROCMAP_QUERY,
		.has = has_procmap_query,
		.yes = "PROCMAP_QUERY looks up single mappings",
		.no = "PROCMAP_QUERY does not work: it needs Linux 6.11",
		.instead = "the text of /proc/self/maps is read",
	},
	{
		.name = "madvise-populate",
		.force = HMMU__FORCE_NO_POPULATE,
		.has = has_populate,
		.yes = "device faults populate ranges with MADV_POPULATE",
		.no = "MADV_POPULATE_READ and MADV_POPULATE_WRITE need Linux "
		      "5.14",
		.instead = "pages are faulted in by accessing each of them",
	},
	{
		.name = "madvise-collapse",
		.force = HMMU__FORCE_COUNT,
		.has = has_collapse,
		.yes = "MADV_COLLAPSE makes large pages of small ones",
		.no = "MADV_COLLAPSE needs Linux 6.1 with "
		      "CONFIG_TRANSPARENT_HUGEPAGE=y",
		.instead = "large pages that were split stay small until the "
			   "kernel joins them",
	},
	{
		.name = "membarrier",
		.force = HMMU__FORCE_NO_MEMBARRIER,
		.has = has_membarrier,
		.yes = "port sections need no fence",
		.no = "membarrier(2) has no private expedited barrier: it "
		      "needs Linux 4.14, and the seccomp filter must allow "
		      "the call",
		.instead = "each port section executes a fence",
	},
	{
		.name = "transparent-huge-pages",
		.force = HMMU__FORCE_COUNT,
		.has = has_thp,
		.yes = "mode madvise: memory with MADV_HUGEPAGE",
		.no = "mode never: write madvise or always to "
		      "/sys/kernel/mm/transparent_hugepage/enabled",
		.instead = "memory migrates in pages of 4 KiB",
		.refine = refine_thp,
	},
	{
		.name = "hugetlb-2m",
		.force = HMMU__FORCE_COUNT,
		.has = has_hugetlb_2m,
		.yes = "pages of 2 MiB are reserved or can be overcommitted",
		.no = "no page of 2 MiB is reserved: set the sysctl "
		      "vm.nr_hugepages",
		.instead = NO_HUGETLB,
	},
	{
		.name = "hugetlb-1g",
		.force = HMMU__FORCE_COUNT,
		.has = has_hugetlb_1g,
		.yes = "pages of 1 GiB are reserved or can be overcommitted",
		.no = "no page of 1 GiB is reserved: write a number to "
		      "/sys/kernel/mm/hugepages/hugepages-1048576kB/"
		      "nr_hugepages",
		.instead = NO_HUGETLB,
	},
	{
		.name = "hooks",
		.force = HMMU__FORCE_NO_HOOKS,
		.has = has_hooks,
		.yes = "the program's calls of munmap() and the other hooked "
		       "functions reach HMMU",
		.no = "the program's calls of munmap() do not reach HMMU: "
		      "link libhmmu before the C library, or use LD_PRELOAD",
		.instead = "changes of mappings are reported later, by "
			   "events; mprotect() and shmdt() are not reported",
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

/* Write element @index of an array whose elements are @stride bytes apart. */
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
