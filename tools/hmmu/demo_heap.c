/* SPDX-License-Identifier: MIT */
#include "demo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* Says that the program has been started anew, and what the user had set */
#define MARK "HMMU_DEMO_TUNABLES"

/*
 * Tunables of glibc (The GNU C Library, chapter Tunables):
 *
 * - hugetlb=1: madvise(MADV_HUGEPAGE) on what the heap grows by;
 * - top_pad: grow by 64 MiB at once. A large page needs its whole block mapped
 *   when it is touched first: of a heap that grows by 132 KiB none would be;
 * - mmap_max=0: large arrays stand in the heap too, not in mappings of their
 *   own, which begin anywhere within a block;
 * - trim_threshold: what is freed at the heap's end stays.
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
	/* The user's own come last, and the last of a name counts */
	length = snprintf(both, sizeof(both), "%s%s%s", TUNABLES,
			  *user ? ":" : "", user);
	if (length < 0 || (size_t)length >= sizeof(both))
		return;
	if (setenv(MARK, user, 1) || setenv("GLIBC_TUNABLES", both, 1))
		return;
	execv("/proc/self/exe", tool_argv);
	restore_environment(getenv(MARK));
}
