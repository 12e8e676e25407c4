/* SPDX-License-Identifier: MIT */
/*
 * HMMU: heterogeneous memory management in user space
 *
 * Includes all headers of HMMU. hmmu(7) is the overview.
 */
#ifndef HMMU_H
#define HMMU_H

#include <hmmu/base.h>
#include <hmmu/device.h>
#include <hmmu/exclusive.h>
#include <hmmu/log.h>
#include <hmmu/memory.h>
#include <hmmu/migrate.h>
#include <hmmu/mirror.h>
#include <hmmu/notifier.h>
#include <hmmu/pin.h>
#include <hmmu/platform.h>
#include <hmmu/port.h>
#include <hmmu/range.h>
#include <hmmu/soft.h>
#include <hmmu/space.h>

#endif
