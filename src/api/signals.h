/* SPDX-License-Identifier: MIT */
#ifndef HMMU_API_SIGNALS_H
#define HMMU_API_SIGNALS_H

/*
 * Installs the SIGSEGV and SIGBUS handler once per process; what was installed
 * before gets the signals that are not HMMU's. 0 or -EOPNOTSUPP.
 */
int hmmu__signals_install(void);

#endif
