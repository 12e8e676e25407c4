/* SPDX-License-Identifier: MIT */
#ifndef HMMU_TESTS_DIFFER_H
#define HMMU_TESTS_DIFFER_H

/*
 * Differential test: the same operations on managed and on plain memory
 * =====================================================================
 *
 * A *world* is two arenas of address space, congruent modulo 1 GiB. A device
 * uses the *managed* arena; only the program uses the *plain* one. Each
 * operation is drawn from the seed before it runs. It is executed on both
 * arenas and must have the same outcome: result, errno, signal, mappings,
 * bytes. On the plain arena all calls are raw system calls, and the CPU does
 * the device's writes.
 *
 *	differ_draw.c     draws operations, and prints them
 *	differ_call.c     makes one call of the program on one side
 *	differ_remap.c    mremap on both sides
 *	differ_compare.c  compares mappings and bytes, and reports differences
 *	differ_device.c   operations of the device, and concurrent actors
 *	differ_fork.c     a child and its parent, each with a copy
 *	stress_differ.c   worlds, steps, cases
 *
 * One thread changes a world. Migrators and readers run at the same time.
 *
 * Allowed differences, which the test models:
 *
 *  - A page after MADV_FREE (*lazy*) has its old content or zeroes until it is
 *    written: differ_settle().
 *  - The kernel does not report a raw mprotect, nor changes of mappings of
 *    ordinary files. The device may then have more access than the mapping
 *    allows (*stale*) until the page migrates to system memory. The kernel does
 *    not report a raw MADV_GUARD_INSTALL either, so pages migrate back first.
 *  - The userfaultfd of an ordinary user does not resolve faults of the kernel,
 *    so memory is populated before a system call gets it.
 *  - A copy between two mappings of the same part of a file depends on the
 *    order in which bytes are copied, which is not specified.
 *  - Watching splits mappings, and mremap needs one: see differ_remap.c.
 *  - The result of MADV_COLLAPSE: it fails for pages on a device and for a
 *    watched mapping of a file. If it succeeds for a file, memory beyond the
 *    end of the file becomes readable in the large page. So no file is
 *    collapsed.
 */

#include "fixture.h"

enum differ_side {
	DIFFER_MANAGED,
	DIFFER_PLAIN,
	DIFFER_SIDES,
};

enum {
	/* Neighbouring worlds share a block. */
	DIFFER_PAGES = 3 * 512 + 171,
	DIFFER_WORLDS = 3,
	/* Operations that a failure prints: the last, and more of its page. */
	DIFFER_LAST = 20,
	DIFFER_KEPT = 4096,
	DIFFER_MAPS = 2048,
	DIFFER_BUFFER_PAGES = 64,
	/* The length of a file. */
	DIFFER_FILE_BYTES = 600 * 4096,
	/*
	 * A memfd ends within a page. A file of a file system does not: data
	 * beyond its end is lost when the page is written back.
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
	/* The kinds from here on are not used in a child. */
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

/* The source of a mapping. */
enum differ_source {
	DIFFER_ANON,
	DIFFER_MEMFD,
	DIFFER_FILE,
	/* Not a file: EBADF. */
	DIFFER_BAD,
};

/* How bytes are compared after an operation. */
enum differ_check {
	DIFFER_CHECK_NOT,
	DIFFER_CHECK_BY_PORT,
	DIFFER_CHECK_BY_CPU,
	DIFFER_CHECK_ALL,
};

/*
 * @raw:   a raw system call on the managed side, too.
 * @at, @to, @bytes, @to_bytes: in bytes, relative to the arena. If @is_spoilt,
 *         one of them is invalid.
 * @offset: offset in the file.
 * @value: the value to write or to add.
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
 * @ret: the result of a raw system call, with addresses relative to the arena;
 *       for an access the number of bytes done.
 * @signal, @code, @page: the signal that ended an access, or 0.
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
	/* The inode of its file or shared memory, or 0. */
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
	/* The file that pread() reads and pwrite() writes. */
	int scratch[DIFFER_SIDES];
	uint8_t *buffer[DIFFER_SIDES];
	struct differ_maps maps[DIFFER_SIDES];
	uint8_t page[DIFFER_PAGES];
	uint64_t random;
	uint64_t count;
	/* Operations skipped because watching has split a mapping. */
	uint64_t splits;
	uint64_t slow_discards;
	uint64_t kinds[DIFFER_KINDS];
	struct differ_op last[DIFFER_KEPT];
	/* The offset of the difference; SIZE_MAX if it is not a byte. */
	size_t fails_at;
	/* The device, not the CPU, has read the compared bytes. */
	bool read_by_device;
	struct hmmu_port *port;
	struct hmmu_soft_record *record;
	/* The current turn; shared with the child. */
	_Atomic unsigned int *turn;
	bool is_child;
	pthread_t thread;
};

extern struct differ_world differ_worlds[DIFFER_WORLDS];
extern unsigned int differ_world_count;
extern uint64_t differ_seed;
extern _Atomic unsigned int differ_stop;
/* Held shared to migrate pages; held alone to keep them where they are. */
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
 * Copy between memory of an arena and a buffer until an access fails. The
 * result has the signal.
 */
struct differ_outcome differ_access(struct differ_world *w,
				    enum differ_side side, size_t at,
				    uint8_t *buffer, size_t bytes, bool write);
/* Write the byte without changing it; false if the write fails. */
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
/* The mapping of the plain arena. */
const struct differ_map *differ_map_at(const struct differ_world *w, size_t at);
/* Make lazy pages of the range equal in both arenas, by writing to them. */
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
/* Read by the device as far as it can; returns the bytes done. */
size_t differ_port_read(struct differ_world *w, size_t at, uint8_t *buffer,
			size_t bytes, int *err);
/*
 * Migrate the range to system memory. It stays there only while differ_takers
 * is held alone.
 */
void differ_bring_home(struct differ_world *w, size_t at, size_t bytes);
void differ_make_resident(struct differ_world *w, size_t at, size_t bytes);

/* Fork, and steps. */
void differ_fork(struct differ_world *w);
void differ_do(struct differ_world *w, const struct differ_op *op);
void differ_step(struct differ_world *w);

#endif
