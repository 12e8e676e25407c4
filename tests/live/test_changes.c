/* SPDX-License-Identifier: MIT */
/*
 * The program changes its memory while pages of it are on the device: what is
 * left holds what it held, what moved is found at its new place (DP14 to DP16).
 */
#include <malloc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"

extern char **environ;

/* Read by the device, which moves nothing, then by the CPU. */
static void check_both(const char *p, size_t bytes, uint64_t seed, size_t at)
{
	struct hmmu_port *port = live_port();
	uint64_t want, found;
	size_t i;

	for (i = 0; i < bytes; i += PAGE) {
		want = seed == UINT64_MAX ? 0 : live_word(seed, (at + i) / 8);
		found = live_load(port, p + i);
		if (found != want)
			hmmu_test_fail(__FILE__, __LINE__,
				       "port, page %zu: 0x%llx, not 0x%llx",
				       i / PAGE, (unsigned long long)found,
				       (unsigned long long)want);
	}
	hmmu_port_close(port);
	if (seed == UINT64_MAX)
		LIVE_CHECK_ZERO(p, bytes);
	else
		LIVE_CHECK_AT(p, bytes, seed, at);
}

static void check_gone(const char *p)
{
	struct hmmu_port *port = live_port();
	uint64_t value = 1;

	HMMU_CHECK_INT(hmmu_port_load64(port, (uintptr_t)p, &value), -EFAULT);
	HMMU_CHECK_INT(value, 1);
	hmmu_port_close(port);
}

static void test_changes_dp14_munmap_part(const struct live_way *way)
{
	char *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK_OK(way->unmap(p + 10 * PAGE, 20 * PAGE));
	LIVE_CHECK_AFTER(way, live_device_pages() == 44);
	LIVE_CHECK_SOON(live_memory_stats().used_pages == 44);
	HMMU_CHECK_INT(live_stats().pages_home, 0);
	check_gone(p + 10 * PAGE);
	check_gone(p + 29 * PAGE);
	check_both(p, 10 * PAGE, 1, 0);
	check_both(p + 30 * PAGE, 34 * PAGE, 1, 30 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_dp14_munmap_part)

static void test_changes_dp14_munmap_part_of_large(const struct live_way *way)
{
	char *p = live_map_large(2, 1);

	live_open();
	live_take(p, 2 * LARGE);
	HMMU_CHECK_OK(way->unmap(p + LARGE - 3 * PAGE, 7 * PAGE));
	LIVE_CHECK_AFTER(way, live_device_pages() == 2 * PER_LARGE - 7);
	check_gone(p + LARGE);
	check_both(p, LARGE - 3 * PAGE, 1, 0);
	check_both(p + LARGE + 4 * PAGE, LARGE - 4 * PAGE, 1, LARGE + 4 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_dp14_munmap_part_of_large)

static void test_changes_munmap_all_frees_the_device(const struct live_way *way)
{
	char *p;
	int i;

	live_open_bytes(4 * LARGE);
	for (i = 0; i < 10; i++) {
		p = live_map_large(3, 1);
		live_take(p, 3 * LARGE);
		HMMU_CHECK_OK(way->unmap(p, 3 * LARGE));
		LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	}
	HMMU_CHECK_INT(live_memory_stats().free_chunks, 4);
	live_close();
}
BOTH_WAYS(test_changes_munmap_all_frees_the_device)

static void test_changes_mmap_over(const struct live_way *way)
{
	char *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK(way->map(p + 16 * PAGE, 16 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED) == p + 16 * PAGE);
	LIVE_CHECK_AFTER(way, live_device_pages() == 48);
	check_both(p + 16 * PAGE, 16 * PAGE, UINT64_MAX, 0);
	check_both(p, 16 * PAGE, 1, 0);
	check_both(p + 32 * PAGE, 32 * PAGE, 1, 32 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_mmap_over)

static void test_changes_mmap_over_large(const struct live_way *way)
{
	char *p = live_map_large(2, 1);

	live_open();
	live_take(p, 2 * LARGE);
	HMMU_CHECK(way->map(p + LARGE / 2, LARGE, PROT_READ | PROT_WRITE,
			    MAP_FIXED) == p + LARGE / 2);
	check_both(p + LARGE / 2, LARGE, UINT64_MAX, 0);
	check_both(p, LARGE / 2, 1, 0);
	check_both(p + LARGE + LARGE / 2, LARGE / 2, 1, LARGE + LARGE / 2);
	live_close();
}
BOTH_WAYS(test_changes_mmap_over_large)

static void test_changes_discarded_is_zero(const struct live_way *way)
{
	char *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK_OK(way->advise(p + 5 * PAGE, 40 * PAGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, live_device_pages() == 24);
	check_both(p + 5 * PAGE, 40 * PAGE, UINT64_MAX, 0);
	check_both(p, 5 * PAGE, 1, 0);
	check_both(p + 45 * PAGE, 19 * PAGE, 1, 45 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_discarded_is_zero)

static void test_changes_discarded_large_is_zero(const struct live_way *way)
{
	char *p = live_map_large(2, 1);

	live_open();
	live_take(p, 2 * LARGE);
	HMMU_CHECK_OK(way->advise(p, LARGE, MADV_DONTNEED));
	LIVE_CHECK_AFTER(way, live_device_pages() == PER_LARGE);
	check_both(p, LARGE, UINT64_MAX, 0);
	check_both(p + LARGE, LARGE, 1, LARGE);
	live_close();
}
BOTH_WAYS(test_changes_discarded_large_is_zero)

/* MADV_FREE: each page is as it was, or zero; written after, it stays. */
static void test_changes_freed_is_old_or_zero(const struct live_way *way)
{
	char *p = live_map_small(32, 1);
	size_t i;
	uint64_t word;

	live_open();
	live_take(p, 32 * PAGE);
	HMMU_CHECK_OK(way->advise(p, 32 * PAGE, MADV_FREE));
	for (i = 0; i < 32; i++) {
		word = *(volatile uint64_t *)(p + i * PAGE);
		HMMU_CHECK(!word || word == live_word(1, i * PAGE / 8));
	}
	live_fill(p, 32 * PAGE, 2);
	LIVE_CHECK(p, 32 * PAGE, 2);
	live_close();
}
BOTH_WAYS(test_changes_freed_is_old_or_zero)

/* mremap -------------------------------------------------------------------- */

static void check_moved(const struct live_way *way, char *p, size_t bytes,
			size_t new_bytes, int flags, char *to)
{
	uint64_t away = live_device_pages();
	size_t kept = bytes < new_bytes ? bytes : new_bytes;
	char *at = way->remap(p, bytes, new_bytes, flags, to);

	HMMU_CHECK(at != MAP_FAILED);
	HMMU_CHECK(!to || at == to);
	HMMU_CHECK(live_device_pages() <= away);
	if (at != p && !(flags & MREMAP_DONTUNMAP))
		check_gone(p);
	check_both(at, kept, 1, 0);
	if (new_bytes > bytes)
		check_both(at + bytes, new_bytes - bytes, UINT64_MAX, 0);
	live_fill(at, new_bytes, 2);
	LIVE_CHECK(at, new_bytes, 2);
}

static void test_changes_dp15_mremap_grows_and_moves(const struct live_way *way)
{
	char *p = live_map_small(33, 1);

	live_open();
	live_take(p, 33 * PAGE);
	check_moved(way, p, 33 * PAGE, 90 * PAGE, MREMAP_MAYMOVE, NULL);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_grows_and_moves)

static void test_changes_dp15_mremap_grows_in_place(const struct live_way *way)
{
	char *p = live_map_small(64, 1);

	live_open();
	HMMU_CHECK_OK(munmap(p + 16 * PAGE, 48 * PAGE));
	live_take(p, 16 * PAGE);
	check_moved(way, p, 16 * PAGE, 40 * PAGE, 0, NULL);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_grows_in_place)

static void test_changes_dp15_mremap_shrinks(const struct live_way *way)
{
	char *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
	check_moved(way, p, 64 * PAGE, 7 * PAGE, 0, NULL);
	check_gone(p + 7 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_shrinks)

/* From an odd page of a block to another odd one: blocks are cut anew. */
static void
test_changes_dp15_mremap_to_odd_alignment(const struct live_way *way)
{
	char *p = live_map(3 * LARGE), *to = live_map(4 * LARGE);

	live_open();
	madvise(p, 3 * LARGE, MADV_HUGEPAGE);
	live_fill(p + 3 * PAGE, 2 * LARGE, 1);
	live_take(p + 3 * PAGE, 2 * LARGE);
	check_moved(way, p + 3 * PAGE, 2 * LARGE, 2 * LARGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED, to + 77 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_to_odd_alignment)

static void test_changes_dp15_mremap_large_aligned(const struct live_way *way)
{
	char *p = live_map_large(2, 1), *to = live_map(4 * LARGE);

	live_open();
	live_take(p, 2 * LARGE);
	check_moved(way, p, 2 * LARGE, 2 * LARGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to + LARGE);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_large_aligned)

/* Over memory that is on the device itself: that content is gone. */
static void
test_changes_dp15_mremap_over_device_pages(const struct live_way *way)
{
	char *p = live_map_small(16, 1), *to = live_map_small(48, 3);

	live_open();
	live_take(p, 16 * PAGE);
	live_take(to, 48 * PAGE);
	check_moved(way, p, 16 * PAGE, 16 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		    to + 5 * PAGE);
	check_both(to, 5 * PAGE, 3, 0);
	check_both(to + 21 * PAGE, 27 * PAGE, 3, 21 * PAGE);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_over_device_pages)

static void test_changes_dp15_mremap_part(const struct live_way *way)
{
	char *p = live_map_small(64, 1), *to = live_map(64 * PAGE);

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK(way->remap(p + 20 * PAGE, 9 * PAGE, 9 * PAGE,
			      MREMAP_MAYMOVE | MREMAP_FIXED,
			      to + PAGE) == to + PAGE);
	check_gone(p + 20 * PAGE);
	check_both(to + PAGE, 9 * PAGE, 1, 20 * PAGE);
	check_both(p, 20 * PAGE, 1, 0);
	check_both(p + 29 * PAGE, 35 * PAGE, 1, 29 * PAGE);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_part)

static void test_changes_dp15_mremap_dontunmap(const struct live_way *way)
{
	char *p = live_map_small(16, 1), *to = live_map(16 * PAGE);

	live_open();
	live_take(p, 16 * PAGE);
	check_moved(way, p, 16 * PAGE, 16 * PAGE,
		    MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
	/* The old mapping is still there, and empty. */
	check_both(p, 16 * PAGE, UINT64_MAX, 0);
	live_close();
}
BOTH_WAYS(test_changes_dp15_mremap_dontunmap)

/* A failed change has changed nothing. */
static void test_changes_failed_call_changes_nothing(const struct live_way *way)
{
	char *p = live_map_small(16, 1);

	live_open();
	live_take(p, 16 * PAGE);
	HMMU_CHECK(way->remap(p, 16 * PAGE, 32 * PAGE, 0, NULL) == MAP_FAILED);
	HMMU_CHECK_INT(errno, ENOMEM);
	HMMU_CHECK_INT(way->unmap(p + 1, PAGE), -1);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK_INT(way->advise(p, PAGE, 9999), -1);
	HMMU_CHECK_INT(errno, EINVAL);
	HMMU_CHECK(way->map(p, PAGE, PROT_READ, MAP_FIXED_NOREPLACE) ==
		   MAP_FAILED);
	HMMU_CHECK_INT(errno, EEXIST);
	HMMU_CHECK(way->remap(p, 16 * PAGE, 16 * PAGE,
			      MREMAP_FIXED | MREMAP_MAYMOVE,
			      p + 8 * PAGE) == MAP_FAILED);
	check_both(p, 16 * PAGE, 1, 0);
	live_close();
}
BOTH_WAYS(test_changes_failed_call_changes_nothing)

/* Protection ---------------------------------------------------------------- */

static void test_changes_dp16_readonly_then_read(const struct live_way *way)
{
	char *p = live_map_small(16, 1);
	struct hmmu_port *port;

	live_open();
	port = live_port();
	live_take(p, 16 * PAGE);
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	HMMU_CHECK_OK(way->protect(p, 16 * PAGE, PROT_READ));
	/* No event tells of it (E6): behind the hook's back the device may keep
	 * what it had until the page is home. */
	if (!live_is_late(way))
		HMMU_CHECK_INT(hmmu_port_store64(port, (uintptr_t)p, 1),
			       -EPERM);
	LIVE_CHECK(p, 16 * PAGE, 1);
	HMMU_CHECK_INT(hmmu_port_store64(port, (uintptr_t)p, 1), -EPERM);
	HMMU_CHECK_OK(way->protect(p, 16 * PAGE, PROT_READ | PROT_WRITE));
	live_fill(p, 16 * PAGE, 2);
	LIVE_CHECK(p, 16 * PAGE, 2);
	hmmu_port_close(port);
	live_close();
}
BOTH_WAYS(test_changes_dp16_readonly_then_read)

static void test_changes_no_access_and_back(const struct live_way *way)
{
	char *p = live_map_large(1, 1);

	live_open();
	live_take(p, LARGE);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, LARGE,
					HMMU_ACCESS_WRITE));
	HMMU_CHECK_OK(way->protect(p, LARGE, PROT_NONE));
	if (!live_is_late(way))
		check_gone(p);
	HMMU_CHECK_OK(way->protect(p, LARGE, PROT_READ | PROT_WRITE));
	check_both(p, LARGE, 1, 0);
	live_close();
}
BOTH_WAYS(test_changes_no_access_and_back)

static void test_changes_protect_part_of_large(const struct live_way *way)
{
	char *p = live_map_large(1, 1);

	live_open();
	live_take(p, LARGE);
	HMMU_CHECK_OK(way->protect(p + 64 * PAGE, 9 * PAGE, PROT_READ));
	LIVE_CHECK(p, LARGE, 1);
	HMMU_CHECK_OK(
		way->protect(p + 64 * PAGE, 9 * PAGE, PROT_READ | PROT_WRITE));
	live_fill(p, LARGE, 2);
	LIVE_CHECK(p, LARGE, 2);
	live_close();
}
BOTH_WAYS(test_changes_protect_part_of_large)

/* libc's own calls ---------------------------------------------------------- */

static char *inner(const char *block, size_t *bytes)
{
	uintptr_t start = ((uintptr_t)block + PAGE - 1) & ~(PAGE - 1);

	*bytes = (*bytes - (start - (uintptr_t)block)) & ~(PAGE - 1);
	return (char *)start;
}

static void test_changes_e6_realloc_of_a_large_block(void)
{
	size_t bytes = 3 * LARGE + 100, moved = bytes;
	char *block = malloc(bytes), *p;

	HMMU_CHECK(block);
	live_need_libc_heap();
	live_open();
	live_fill(block, bytes, 1);
	p = inner(block, &moved);
	live_take(p, moved);
	block = realloc(block, 9 * LARGE);
	HMMU_CHECK(block);
	LIVE_CHECK(block, bytes & ~7ul, 1);
	live_fill(block, 9 * LARGE, 2);
	moved = 9 * LARGE;
	p = inner(block, &moved);
	live_take(p, moved);
	block = realloc(block, 2 * LARGE);
	HMMU_CHECK(block);
	LIVE_CHECK(block, 2 * LARGE, 2);
	free(block);
	LIVE_CHECK_AFTER(&live_raw, !live_memory_stats().used_pages);
	live_close();
}

static void test_changes_e6_free_of_a_large_block(void)
{
	size_t bytes = 3 * LARGE, moved;
	char *block, *p;
	int i;

	live_need_libc_heap();
	/* Each block is a mapping of its own, however often one is freed. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	live_open();
	for (i = 0; i < 20; i++) {
		block = malloc(bytes);
		HMMU_CHECK(block);
		live_fill(block, bytes, (uint64_t)i);
		moved = bytes;
		p = inner(block, &moved);
		live_take(p, moved);
		LIVE_CHECK_SOON(live_device_pages() == moved / PAGE);
		free(block);
		LIVE_CHECK_AFTER(&live_raw, !live_memory_stats().used_pages);
	}
	live_close();
}

static void test_changes_heap_grows_and_shrinks(void)
{
	enum {
		BLOCKS = 400
	};
	char *block[BLOCKS], *old = sbrk(0);
	uintptr_t start, top;
	size_t i;

	live_need_libc_heap();
	live_open();
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	for (i = 0; i < BLOCKS; i++) {
		block[i] = malloc(16 * PAGE);
		HMMU_CHECK(block[i]);
		live_fill(block[i], 16 * PAGE, i);
	}
	start = ((uintptr_t)old + PAGE - 1) & ~(PAGE - 1);
	top = (uintptr_t)sbrk(0) & ~(PAGE - 1);
	(void)live_migrate(live_device, (void *)start, top - start);
	for (i = BLOCKS; i-- > BLOCKS / 2;)
		free(block[i]);
	malloc_trim(0);
	HMMU_CHECK((uintptr_t)sbrk(0) < top);
	for (i = 0; i < BLOCKS / 2; i++)
		LIVE_CHECK(block[i], 16 * PAGE, i);
	for (i = BLOCKS / 2; i < BLOCKS; i++) {
		block[i] = calloc(1, 16 * PAGE);
		HMMU_CHECK(block[i]);
		LIVE_CHECK_ZERO(block[i], 16 * PAGE);
	}
	live_close();
	for (i = 0; i < BLOCKS / 2; i++)
		LIVE_CHECK(block[i], 16 * PAGE, i);
}

static void check_brk(int (*set)(void *))
{
	char *top = (char *)(((uintptr_t)sbrk(0) + LARGE) & ~(LARGE - 1));

	live_open();
	HMMU_CHECK_OK(set(top + 2 * LARGE));
	live_fill(top, 2 * LARGE, 1);
	live_take(top, 2 * LARGE);
	HMMU_CHECK_OK(set(top + 9 * PAGE));
	LIVE_CHECK_AFTER(&live_raw, live_device_pages() == 9);
	check_gone(top + 9 * PAGE);
	HMMU_CHECK_OK(set(top + 2 * LARGE));
	check_both(top + 9 * PAGE, 20 * PAGE, UINT64_MAX, 0);
	check_both(top, 9 * PAGE, 1, 0);
	live_close();
}

static void test_changes_brk_hooked(void)
{
	check_brk(brk);
}

static int raw_brk(void *top)
{
	return syscall(SYS_brk, top) == (long)top ? 0 : -1;
}

static void test_changes_brk_raw(void)
{
	check_brk(raw_brk);
}

/* fork ---------------------------------------------------------------------- */

struct pipes {
	int to_child[2];
	int to_parent[2];
};

static void signal_on(const int *ends)
{
	HMMU_CHECK_INT(write(ends[1], "", 1), 1);
}

static void wait_on(const int *ends)
{
	char c;

	HMMU_CHECK_INT(read(ends[0], &c, 1), 1);
}

/* Neither side reads zeros or the other's later writes. */
static void check_fork(char *p, size_t bytes)
{
	struct pipes pipes;
	struct hmmu_port *port;
	pid_t child;

	live_open();
	HMMU_CHECK_OK(pipe(pipes.to_child));
	HMMU_CHECK_OK(pipe(pipes.to_parent));
	port = live_port();
	live_take(p, bytes);
	child = fork();
	HMMU_CHECK(child >= 0);
	if (child == 0) {
		LIVE_CHECK(p, bytes / 2, 1);
		live_fill(p, bytes / 2, 3);
		signal_on(pipes.to_parent);
		wait_on(pipes.to_child);
		LIVE_CHECK(p, bytes / 2, 3);
		LIVE_CHECK_AT(p + bytes / 2, bytes / 2, 1, bytes / 2);
		_exit(0);
	}
	wait_on(pipes.to_parent);
	HMMU_CHECK(live_load(port, p) == live_word(1, 0));
	live_store(port, p + bytes / 2, 4);
	LIVE_CHECK(p, bytes / 2, 1);
	live_fill(p, bytes, 2);
	signal_on(pipes.to_child);
	live_child_ok(child);
	LIVE_CHECK(p, bytes, 2);
	hmmu_port_close(port);
	live_close();
}

static void test_changes_fk1_fork_small(void)
{
	check_fork(live_map_small(64, 1), 64 * PAGE);
}

static void test_changes_fk1_fork_large(void)
{
	check_fork(live_map_large(2, 1), 2 * LARGE);
}

/* FK4: the child has no devices until it opens its own. */
static void test_changes_fk4_child_opens_its_own(void)
{
	void *p = live_map_small(64, 1);
	struct hmmu_space *theirs;
	pid_t child;

	live_open();
	theirs = live_space;
	live_take(p, 64 * PAGE);
	child = fork();
	if (child == 0) {
		live_open();
		live_take(p, 64 * PAGE);
		LIVE_CHECK_SOON(live_device_pages() == 64);
		LIVE_CHECK(p, 64 * PAGE, 1);
		live_close();
		_exit(0);
	}
	live_child_ok(child);
	HMMU_CHECK(theirs == live_space);
	LIVE_CHECK(p, 64 * PAGE, 1);
	live_take(p, 64 * PAGE);
	live_close();
	LIVE_CHECK(p, 64 * PAGE, 1);
}

static _Atomic unsigned int stop;

static void *touch_all_the_time(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_acquire))
		LIVE_CHECK(arg, 64 * PAGE, 1);
	return NULL;
}

static void *migrate_all_the_time(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_acquire))
		(void)live_migrate(live_device, arg, 64 * PAGE);
	return NULL;
}

static void *fork_often(void *arg)
{
	pid_t child;
	int i;

	for (i = 0; i < 30; i++) {
		child = fork();
		if (child == 0) {
			LIVE_CHECK(arg, 64 * PAGE, 1);
			_exit(0);
		}
		live_child_ok(child);
	}
	atomic_store_explicit(&stop, 1, memory_order_release);
	return NULL;
}

/* E9: fork in the middle of whatever the others do. */
static void test_changes_e9_fork_among_threads(void)
{
	void *p = live_map_small(64, 1);
	pthread_t threads[3];
	size_t i;

	live_need_move();
	live_open();
	threads[0] = live_thread(touch_all_the_time, p);
	threads[1] = live_thread(migrate_all_the_time, p);
	threads[2] = live_thread(fork_often, p);
	for (i = 0; i < 3; i++)
		live_join(threads[i]);
	live_close();
	LIVE_CHECK(p, 64 * PAGE, 1);
}

static void test_changes_spawn(void)
{
	char *const args[] = { (char *)(uintptr_t) "true", NULL };
	void *p = live_map_small(64, 1);
	pid_t child;

	live_open();
	live_take(p, 64 * PAGE);
	HMMU_CHECK_OK(-posix_spawnp(&child, "true", NULL, NULL, args, environ));
	live_child_ok(child);
	LIVE_CHECK(p, 64 * PAGE, 1);
	live_close();
}

static void test_changes_killed_process_leaves_nothing(void)
{
	void *p = live_map_small(64, 1);
	pid_t child = fork();
	int status;

	if (child == 0) {
		live_open();
		live_take(p, 64 * PAGE);
		raise(SIGKILL);
	}
	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		HMMU_SKIP("userfaultfd");
	HMMU_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	LIVE_CHECK(p, 64 * PAGE, 1);
}

/*
 * Where the kernel likes, but under ThreadSanitizer: its runtime would map memory
 * of its own into the hole that is left there, while HMMU has yet to be told that
 * it is one, and the service stands on that memory.
 */
static char *remap_anywhere(const struct live_way *way, char *p, size_t bytes,
			    size_t to_bytes)
{
	if (HMMU_TSAN)
		return way->remap(p, bytes, to_bytes,
				  MREMAP_MAYMOVE | MREMAP_FIXED,
				  live_map(to_bytes));
	return way->remap(p, bytes, to_bytes, MREMAP_MAYMOVE, NULL);
}

/* Many changes at once from several threads, each with its own memory. */
static void *churn(void *arg)
{
	const struct live_way *way = arg;
	char *p, *q;
	int i;

	for (i = 0; i < 40; i++) {
		p = live_map_small(40, 1);
		(void)live_migrate(live_device, p, 40 * PAGE);
		HMMU_CHECK_OK(way->advise(p, 8 * PAGE, MADV_DONTNEED));
		LIVE_CHECK_ZERO(p, 8 * PAGE);
		q = remap_anywhere(way, p + 8 * PAGE, 32 * PAGE, 80 * PAGE);
		HMMU_CHECK(q != MAP_FAILED);
		LIVE_CHECK_AT(q, 32 * PAGE, 1, 8 * PAGE);
		HMMU_CHECK_OK(way->unmap(q, 80 * PAGE));
		HMMU_CHECK_OK(way->unmap(p, 8 * PAGE));
	}
	return NULL;
}

static void test_changes_many_threads(const struct live_way *way)
{
	pthread_t threads[4];
	size_t i;

	live_need_move();
	live_open();
	for (i = 0; i < 4; i++)
		threads[i] = live_thread(churn, (void *)(uintptr_t)way);
	for (i = 0; i < 4; i++)
		live_join(threads[i]);
	LIVE_CHECK_SOON(!live_memory_stats().used_pages);
	live_close();
}
BOTH_WAYS(test_changes_many_threads)

HMMU_TEST_MAIN(TEST_BOTH(test_changes_dp14_munmap_part),
	       TEST_BOTH(test_changes_dp14_munmap_part_of_large),
	       TEST_BOTH(test_changes_munmap_all_frees_the_device),
	       TEST_BOTH(test_changes_mmap_over),
	       TEST_BOTH(test_changes_mmap_over_large),
	       TEST_BOTH(test_changes_discarded_is_zero),
	       TEST_BOTH(test_changes_discarded_large_is_zero),
	       TEST_BOTH(test_changes_freed_is_old_or_zero),
	       TEST_BOTH(test_changes_dp15_mremap_grows_and_moves),
	       TEST_BOTH(test_changes_dp15_mremap_grows_in_place),
	       TEST_BOTH(test_changes_dp15_mremap_shrinks),
	       TEST_BOTH(test_changes_dp15_mremap_to_odd_alignment),
	       TEST_BOTH(test_changes_dp15_mremap_large_aligned),
	       TEST_BOTH(test_changes_dp15_mremap_over_device_pages),
	       TEST_BOTH(test_changes_dp15_mremap_part),
	       TEST_BOTH(test_changes_dp15_mremap_dontunmap),
	       TEST_BOTH(test_changes_failed_call_changes_nothing),
	       TEST_BOTH(test_changes_dp16_readonly_then_read),
	       TEST_BOTH(test_changes_no_access_and_back),
	       TEST_BOTH(test_changes_protect_part_of_large),
	       HMMU_TEST(test_changes_e6_realloc_of_a_large_block),
	       HMMU_TEST(test_changes_e6_free_of_a_large_block),
	       HMMU_TEST(test_changes_heap_grows_and_shrinks),
	       HMMU_TEST(test_changes_brk_hooked),
	       HMMU_TEST(test_changes_brk_raw),
	       HMMU_TEST(test_changes_fk1_fork_small),
	       HMMU_TEST(test_changes_fk1_fork_large),
	       HMMU_TEST(test_changes_fk4_child_opens_its_own),
	       HMMU_TEST(test_changes_e9_fork_among_threads),
	       HMMU_TEST(test_changes_spawn),
	       HMMU_TEST(test_changes_killed_process_leaves_nothing),
	       TEST_BOTH(test_changes_many_threads))
