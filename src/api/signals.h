/* SPDX-License-Identifier: MIT */
#ifndef HMMU_API_SIGNALS_H
#define HMMU_API_SIGNALS_H

/*
 * Install the handler of SIGSEGV and SIGBUS, once per process. Signals that are
 * not HMMU's are passed to the handler installed before. 0 or -EOPNOTSUPP.
 */
int hmmu__signals_install(void);

#endif
