/* SPDX-License-Identifier: MIT */
/*
 * The names of 0.1 as functions of the library, for programs that were built
 * against it and for those that load it without a compiler (ctypes). Each is
 * the inline function of the header; nothing declares it before.
 */
#define HMMU_NAME_OF_0_1 HMMU_API

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#include <hmmu.h>
