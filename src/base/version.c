/* SPDX-License-Identifier: MIT */
/*
 * The version of the loaded library
 */
#include <hmmu/base.h>

int hmmu_version(void)
{
	return HMMU_VERSION;
}
