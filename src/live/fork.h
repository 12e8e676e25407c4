/* SPDX-License-Identifier: MIT */
#ifndef HMMU_LIVE_FORK_H
#define HMMU_LIVE_FORK_H

/* Install the handlers around fork(3), once per process. 0 or -errno. */
int hmmu__fork_install(void);

#endif
