/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_DIFFER_H
#define HMMU_TESTS_DIFFER_H

/*
 * Twice the same
 * ==============
 *
 * A *world* is two arenas of address space, congruent modulo 1 GiB. A device
 * uses the *managed* one; the *plain* one is the program's alone. Each operation
 * is drawn from the seed before it runs, is made on both, and must have the same
 * outcome: result, errno, signal, mappings, bytes. On the plain arena all calls
 * are raw system calls, and what the device writes the CPU stores.
 *
 *	differ_draw.c     draws operations, and prints them
 *	differ_call.c     makes one call of the program on one side
 *	differ_remap.c    mremap on both
 *	differ_compare.c  mappings, bytes, and what happens where they differ
 *	differ_device.c   what the device does, in step and behind the back
 *	differ_fork.c     a child and its parent, each with a copy
 *	stress_differ.c   worlds, steps, cases
 *
 * One thread changes a world. Migrators and readers go on beside it.
 *
 * Not equal by right, and so modelled:
 *
 *  - A page after MADV_FREE (*lazy*) holds what it held or zeroes, until it is
 *    written: differ_settle().
 *  - The kernel tells nobody of a raw mprotect, nor of anything done to mappings
 *    of ordinary files: the device may be allowed more than the mapping says
 *    (*stale*) until the page has been home. Nor of a raw MADV_GUARD_INSTALL:
 *    pages come home before.
 *  - An ordinary user's userfaultfd does not serve the kernel: what a system
 *    call is given is made resident before.
 *  - From a file to another mapping of the same part of it: what is copied first
 *    is copied again, and nobody says what is first.
 *  - Watching splits mappings, and mremap wants one: see differ_remap.c.
 *  - What MADV_COLLAPSE says: pages on a device can not be collapsed. Nor can a
 *    mapping of a file that is watched; and what is can be read behind the end
 *    of the file, where a large page reaches beyond it. So no file is collapsed.
 */

#include "fixture.h"

enum differ_side {
	DIFFER_MANAGED,
	DIFFER_PLAIN,
	DIFFER_SIDES,
};

enum {
	/* Neighbours share a block. */
	DIFFER_PAGES = 3 * 512 + 171,
	DIFFER_WORLDS = 3,
	/* Operations that a failure prints: the last, and more of a page. */
	DIFFER_LAST = 20,
	DIFFER_KEPT = 4096,
	DIFFER_MAPS = 2048,
	DIFFER_BUFFER_PAGES = 64,
	/* Behind them a file has none. */
	DIFFER_FILE_BYTES = 600 * 4096,
	/*
	 * The last page of a memfd is there in part. Not so of a file of a file
	 * system: what is written behind its end is gone when it is written
	 * back.
	 */
	DIFFER_MEMFD_BYTES = DIFFER_FILE_BYTES + 1000,
	DIFFER_FILE_PAGES = 640,
};

#define DIFFER_BYTES	    ((size_t)DIFFER_PAGES * PAGE)
#define DIFFER_BUFFER_BYTES ((size_t)DIFFER_BUFFER_PAGES * PAGE)

enum differ_kind {
	/* Changes of mappings. */
	DIFFER_MAP,
	DIFFER_UNMAP,
	DIFFER_REMAP,
	DIFFER_PROTECT,
	DIFFER_ADVISE,
	DIFFER_LOCK,
	DIFFER_UNLOCK,
	/* A mapping of whole large pages, written. */
	DIFFER_FRESH,
	/* The kernel reads or writes memory for the program. */
	DIFFER_PREAD,
	DIFFER_PWRITE,
	DIFFER_VM_READ,
	DIFFER_VM_WRITE,
	DIFFER_CPU_READ,
	DIFFER_CPU_WRITE,
	DIFFER_COMPARE,
	/* From here on not in a child. */
	DIFFER_FORK,
	DIFFER_PORT_READ,
	DIFFER_PORT_WRITE,
	DIFFER_PORT_ADD,
	DIFFER_PORT_EXCHANGE,
	DIFFER_SOFT_FILL,
	DIFFER_SOFT_MOVE,
	DIFFER_SOFT_COMPARE,
	DIFFER_DEVICE_FAULT,
	DIFFER_RANGE_FAULT,
	DIFFER_SNAPSHOT,
	DIFFER_TO_DEVICE,
	DIFFER_HOME,
	DIFFER_EVICT,
	DIFFER_EXCLUSIVE,
	DIFFER_KINDS,
};

/* What a mapping is of. */
enum differ_source {
	DIFFER_ANON,
	DIFFER_MEMFD,
	DIFFER_FILE,
	/* No file at all: EBADF. */
	DIFFER_BAD,
};

/* How bytes are compared when an operation is over. */
enum differ_check {
	DIFFER_CHECK_NOT,
	DIFFER_CHECK_BY_PORT,
	DIFFER_CHECK_BY_CPU,
	DIFFER_CHECK_ALL,
};

/*
 * @raw:   a raw system call on the managed side, too.
 * @at, @to, @bytes, @to_bytes: in bytes, relative to the arena; any of them may
 *         be spoilt, see @is_spoilt.
 * @offset: in the file.
 * @value: what is written, or added.
 */
struct differ_op {
	enum differ_kind kind;
	enum differ_source source;
	enum differ_check check;
	bool raw;
	bool is_spoilt;
	bool write;
	int prot;
	int flags;
	int advice;
	size_t at;
	size_t bytes;
	size_t to;
	size_t to_bytes;
	size_t offset;
	uint64_t value;
};

/*
 * @ret: as a raw system call returns it, an address relative to the arena; of
 *       an access how many bytes were done.
 * @signal, @code, @page: what ended an access, 0 if nothing did.
 */
struct differ_outcome {
	long ret;
	int signal;
	int code;
	size_t page;
};

struct differ_map {
	size_t start;
	size_t end;
	char perms[4];
	/* Of its file, or shared memory; 0: it has none. */
	uintptr_t inode;
	uintptr_t offset;
};

struct differ_maps {
	size_t count;
	struct differ_map map[DIFFER_MAPS];
};

/* Bits of differ_world.page. */
enum {
	DIFFER_LAZY = 1,
	DIFFER_STALE = 2,
};

struct differ_world {
	unsigned int index;
	char *base[DIFFER_SIDES];
	int memfd[DIFFER_SIDES];
	int file[DIFFER_SIDES];
	/* What pread() reads, and where pwrite() writes to. */
	int scratch[DIFFER_SIDES];
	uint8_t *buffer[DIFFER_SIDES];
	struct differ_maps maps[DIFFER_SIDES];
	uint8_t page[DIFFER_PAGES];
	uint64_t random;
	uint64_t count;
	/* Left out, for watching has split a mapping. */
	uint64_t splits;
	uint64_t slow_discards;
	uint64_t kinds[DIFFER_KINDS];
	struct differ_op last[DIFFER_KEPT];
	/* What differs; SIZE_MAX where it is no byte. */
	size_t fails_at;
	/* What is compared was read by the device, not by the CPU. */
	bool read_by_device;
	struct hmmu_port *port;
	struct hmmu_soft_record *record;
	/* Shared with the child: whose turn it is. */
	_Atomic unsigned int *turn;
	bool is_child;
	pthread_t thread;
};

extern struct differ_world differ_worlds[DIFFER_WORLDS];
extern unsigned int differ_world_count;
extern uint64_t differ_seed;
extern _Atomic unsigned int differ_stop;
/* Held shared by who takes pages; alone by who wants them to stay. */
extern pthread_rwlock_t differ_takers;

static inline bool differ_is_late(const struct differ_op *op)
{
	return op->raw || live_is_forced("NO_HOOKS");
}

/* Draw. */
uint64_t differ_draw(uint64_t *state, uint64_t below);
void differ_draw_op(struct differ_world *w, struct differ_op *op);
void differ_describe(const struct differ_op *op, char *text, size_t bytes);

/* Call. */
struct differ_outcome differ_call(struct differ_world *w, enum differ_side side,
				  const struct differ_op *op);
void differ_map_fresh(struct differ_world *w, const struct differ_op *op);
void differ_remap(struct differ_world *w, const struct differ_op *op);
void differ_fill_buffer(uint8_t *buffer, size_t bytes, uint64_t value);

/*
 * Copies between memory of an arena and a buffer until an access is refused.
 * The result has what refused it.
 */
struct differ_outcome differ_access(struct differ_world *w,
				    enum differ_side side, size_t at,
				    uint8_t *buffer, size_t bytes, bool write);
/* Writes what is there; false: it may not be written. */
bool differ_touch(struct differ_world *w, enum differ_side side, size_t at);
void differ_catch_signals(void);

/* Compare. */
_Noreturn void differ_fail(struct differ_world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void differ_same(struct differ_world *w, const struct differ_outcome *managed,
		 const struct differ_outcome *plain);
void differ_same_bytes(struct differ_world *w, size_t at,
		       const uint8_t *managed, const uint8_t *plain,
		       size_t bytes);
void differ_read_maps(struct differ_world *w);
void differ_compare_maps(struct differ_world *w);
void differ_compare_bytes(struct differ_world *w, size_t at, size_t bytes,
			  bool by_port);
void differ_compare_all(struct differ_world *w, bool by_port);
/* The kernel's mapping at @at, or NULL. */
const struct differ_map *differ_find_map(const struct differ_world *w,
					 enum differ_side side, size_t at);
/* That of the plain arena. */
const struct differ_map *differ_map_at(const struct differ_world *w, size_t at);
/* Pages of the range that may be what they were or zero become one of both. */
void differ_settle(struct differ_world *w, size_t at, size_t bytes);
bool differ_any(const struct differ_world *w, size_t at, size_t bytes,
		unsigned int bit);
void differ_mark(struct differ_world *w, size_t at, size_t bytes,
		 unsigned int set, unsigned int clear);

/* Device. */
void differ_device_open(void);
void differ_device_close(void);
void differ_actors_start(void);
void differ_actors_join(void);
void differ_world_open_ports(struct differ_world *w);
void differ_device_op(struct differ_world *w, const struct differ_op *op);
/* Reads by the device, as much as it can: bytes done. */
size_t differ_port_read(struct differ_world *w, size_t at, uint8_t *buffer,
			size_t bytes, int *err);
/* Brings the range home; for sure only while differ_takers is held alone. */
void differ_bring_home(struct differ_world *w, size_t at, size_t bytes);
void differ_make_resident(struct differ_world *w, size_t at, size_t bytes);

/* Fork, and steps. */
void differ_fork(struct differ_world *w);
void differ_do(struct differ_world *w, const struct differ_op *op);
void differ_step(struct differ_world *w);

#endif
