/* SPDX-License-Identifier: MIT */
/*
 * The version as the loaded library has it.
 */
#include <hmmu/base.h>

int hmmu_version(void)
{
	return HMMU_VERSION;
}
