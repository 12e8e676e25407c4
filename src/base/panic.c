/* SPDX-License-Identifier: MIT */
/* The end of a failed assertion: one line to file descriptor 2, and abort(). */
#include "base/compiler.h"
#include "base/format.h"
#include "base/sys.h"

#include <stdlib.h>

/*
 * A raw system call: the log callback may be the cause of the failure, and
 * stdio's buffers may be on a device.
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
