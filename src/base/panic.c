/* SPDX-License-Identifier: MIT */
#include "base/compiler.h"
#include "base/format.h"
#include "base/sys.h"

#include <stdlib.h>

/*
 * Straight to the kernel: the log callback may be what failed, and stdio's
 * buffers may be memory that is away.
 */
_Noreturn void hmmu__assert_failed(const char *expression, const char *file,
				   unsigned int line)
{
	char text[HMMU_LINE_BYTES];
	size_t bytes = hmmu__format(text, sizeof(text),
				    "hmmu: %s:%u: assertion failed: %s\n", file,
				    line, expression);

	(void)hmmu__sys_write(2, text, hmmu_min(bytes, sizeof(text) - 1));
	abort();
}
