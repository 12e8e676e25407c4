/* SPDX-License-Identifier: MIT */
/*
 * Preloaded, it answers in place of libhmmu.so as a later version would.
 */
#include <hmmu/base.h>

int hmmu_version(void)
{
	return HMMU_VERSION_ENCODE(7, 8, 9);
}
