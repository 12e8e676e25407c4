/* SPDX-License-Identifier: MIT */
#ifndef DMIRROR_INTERFACE_H
#define DMIRROR_INTERFACE_H

/*
 * The user interface of the kernel's HMM test device (contract part 2):
 * commands, their argument, and the bytes of a snapshot. Also that of the
 * kernel's test device for page pins.
 */

#include <stdint.h>
#include <sys/ioctl.h>

/*
 * @addr:   address that the device uses, page aligned.
 * @ptr:    the program's buffer for the data or the snapshot.
 * @npages: length in 4 KiB pages.
 * @cpages: out: pages done.
 * @faults: out: device faults taken.
 */
struct dmirror_cmd {
	uint64_t addr;
	uint64_t ptr;
	uint64_t npages;
	uint64_t cpages;
	uint64_t faults;
};

#define DMIRROR_READ		     _IOWR('H', 0x00, struct dmirror_cmd)
#define DMIRROR_WRITE		     _IOWR('H', 0x01, struct dmirror_cmd)
#define DMIRROR_MIGRATE_TO_DEV	     _IOWR('H', 0x02, struct dmirror_cmd)
#define DMIRROR_MIGRATE_TO_SYS	     _IOWR('H', 0x03, struct dmirror_cmd)
#define DMIRROR_SNAPSHOT	     _IOWR('H', 0x04, struct dmirror_cmd)
#define DMIRROR_EXCLUSIVE	     _IOWR('H', 0x05, struct dmirror_cmd)
#define DMIRROR_CHECK_EXCLUSIVE	     _IOWR('H', 0x06, struct dmirror_cmd)
#define DMIRROR_RELEASE		     _IOWR('H', 0x07, struct dmirror_cmd)
#define DMIRROR_FLAGS		     _IOWR('H', 0x08, struct dmirror_cmd)
#define DMIRROR_READ_UNLOCKED	     _IOWR('H', 0x09, struct dmirror_cmd)

/* A flag of DMIRROR_FLAGS, in npages: the next large allocation fails once. */
#define DMIRROR_FLAG_FAIL_ALLOC	     1u

/* A byte of a snapshot: kind | access | size, or one of the first two. */
#define DMIRROR_PROT_ERROR	     0xffu
#define DMIRROR_PROT_NONE	     0x00u
#define DMIRROR_PROT_READ	     0x01u
#define DMIRROR_PROT_WRITE	     0x02u
#define DMIRROR_PROT_PMD	     0x04u
#define DMIRROR_PROT_PUD	     0x08u
#define DMIRROR_PROT_ZERO	     0x10u
#define DMIRROR_PROT_PRIVATE	     0x20u
#define DMIRROR_PROT_COHERENT	     0x40u
#define DMIRROR_PROT_COHERENT_REMOTE 0x50u

/* --- page pins ------------------------------------------------------------------ */

struct gup_cmd {
	uint64_t get_delta_usec;
	uint64_t put_delta_usec;
	uint64_t addr;
	uint64_t size;
	uint32_t nr_pages_per_call;
	uint32_t gup_flags;
	uint32_t test_flags;
	uint32_t which_pages[8];
	uint32_t padding;
};

#define GUP_FAST      _IOWR('g', 1, struct gup_cmd)
#define GUP_PIN_FAST  _IOWR('g', 2, struct gup_cmd)
#define GUP_PIN_LONG  _IOWR('g', 3, struct gup_cmd)
#define GUP_BASIC     _IOWR('g', 4, struct gup_cmd)
#define GUP_PIN_BASIC _IOWR('g', 5, struct gup_cmd)

#define GUP_WRITE     0x01u
/* The flag has another value in Linux 6.1 than in later versions. */
#define GUP_LONGTERM  (0x10000u | 0x100u)

#endif
