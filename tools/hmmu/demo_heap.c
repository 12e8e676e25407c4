/* SPDX-License-Identifier: MIT */
/*
 * A heap of large pages for the demo, by tunables of glibc
 *
 * Not supported: allocators other than glibc's, which ignore the tunables. The
 * demo then runs on the heap as it is.
 */
#include "demo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Set when the program was executed again; holds the user's own tunables */
#define MARK "HMMU_DEMO_TUNABLES"

/*
 * Tunables of glibc (The GNU C Library, chapter Tunables):
 *
 * - hugetlb=1: madvise(MADV_HUGEPAGE) on the memory that the heap grows by;
 * - top_pad: grow by 64 MiB at once. The kernel uses a large page only if the
 *   whole block is mapped at the first access, so a heap that grows by 132 KiB
 *   would have none;
 * - mmap_max=0: large arrays are in the heap, too, not in mappings of their
 *   own, which begin anywhere within a block;
 * - trim_threshold: keep free memory at the heap's end.
 */
#define TUNABLES                         \
	"glibc.malloc.hugetlb=1"         \
	":glibc.malloc.top_pad=67108864" \
	":glibc.malloc.mmap_max=0"       \
	":glibc.malloc.trim_threshold=1073741824"

static void restore_environment(const char *user)
{
	if (*user)
		setenv("GLIBC_TUNABLES", user, 1);
	else
		unsetenv("GLIBC_TUNABLES");
	unsetenv(MARK);
}

void demo_heap_prepare(void)
{
	const char *user = getenv("GLIBC_TUNABLES");
	const char *mark = getenv(MARK);
	char both[1024];
	int length;

	if (mark) {
		restore_environment(mark);
		return;
	}
	if (!user)
		user = "";
	/* The user's tunables come last, because the last of a name is used */
	length = snprintf(both, sizeof(both), "%s%s%s", TUNABLES,
			  *user ? ":" : "", user);
	if (length < 0 || (size_t)length >= sizeof(both))
		return;
	if (setenv(MARK, user, 1) || setenv("GLIBC_TUNABLES", both, 1))
		return;
	execv("/proc/self/exe", tool_argv);
	restore_environment(getenv(MARK));
}
