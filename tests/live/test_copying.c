/* SPDX-License-Identifier: MIT */
/*
 * Pages that are copied, because the kernel can not move them, while the program
 * moves mappings behind the hooks. The copier looks whether a mapping is
 * changing, and then takes the range out of the CPU's reach; the tests change
 * something between the two, for which they stop it in that system call.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "gate.h"

#define PAGES	   8u
#define BYTES	   ((size_t)PAGES * PAGE)

#define LOW(word)  ((uint32_t)(uintptr_t)(word))
#define HIGH(word) ((uint32_t)((uint64_t)(uintptr_t)(word) >> 32))
#define ARG(n)                                            \
	((uint32_t)(offsetof(struct seccomp_data, args) + \
		    (n) * sizeof(uint64_t)))

/* The copier stopped in its mremap() of the range. */
static struct {
	char *p;
	size_t bytes;
	int seccomp;
	struct seccomp_notif stop;
	pthread_t migration;
} copier;

/* Where the program moves from, or to. */
static char *other;

/* An mremap() of copier.p stops, unless it is to @own, which the test makes. */
static void stop_the_copier(const char *own)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 9),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(0)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOW(copier.p), 0, 7),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(0) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HIGH(copier.p), 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(4)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, LOW(own), 0, 2),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG(4) + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, HIGH(own), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	HMMU_CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	copier.seccomp = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				      SECCOMP_FILTER_FLAG_NEW_LISTENER,
				      &program);
	if (copier.seccomp < 0)
		HMMU_SKIP("seccomp with a listener");
}

/* Not by libc's: that would wait for the take which is being held up. */
static long call_seccomp(unsigned long request, void *arg)
{
	return syscall(SYS_ioctl, copier.seccomp, request, arg);
}

static void copier_goes_on(void)
{
	struct seccomp_notif_resp answer = {
		.id = copier.stop.id,
		.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE,
	};

	HMMU_CHECK_OK(call_seccomp(SECCOMP_IOCTL_NOTIF_SEND, &answer));
}

static bool copier_stops(int timeout_ms)
{
	struct pollfd fd = { .fd = copier.seccomp, .events = POLLIN };

	if (syscall(SYS_poll, &fd, 1, timeout_ms) <= 0)
		return false;
	memset(&copier.stop, 0, sizeof(copier.stop));
	return !call_seccomp(SECCOMP_IOCTL_NOTIF_RECV, &copier.stop);
}

static void *migrates(void *arg)
{
	HMMU_CHECK_OK(hmmu_migrate_to_device(live_device, (uintptr_t)copier.p,
					     (uintptr_t)copier.p + copier.bytes,
					     NULL));
	return arg;
}

/* Returns when it has looked, and not taken the range. */
static void migration_starts(size_t bytes)
{
	copier.bytes = bytes;
	copier.migration = live_thread(migrates, NULL);
	HMMU_CHECK(copier_stops((int)(LIVE_SOON_MS * hmmu_test_slowness())));
}

/* It may try again. */
static void migration_ends(void)
{
	copier_goes_on();
	while (pthread_tryjoin_np(copier.migration, NULL))
		if (copier_stops(1))
			copier_goes_on();
}

static void open_copying(const char *own)
{
	stop_the_copier(own);
	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	live_open();
}

/* The program and the device see the same. */
static void check_both(const char *p, uint64_t seed)
{
	struct hmmu_port *port = live_port();
	size_t i;

	hmmu_port_begin(port);
	for (i = 0; i < PAGES; i++)
		HMMU_CHECK(live_load(port, p + i * PAGE) ==
			   (seed ? live_word(seed, i * PAGE / 8) : 0));
	hmmu_port_end(port);
	hmmu_port_close(port);
	if (seed)
		LIVE_CHECK(p, BYTES, seed);
	else
		LIVE_CHECK_ZERO(p, BYTES);
}

static void *writes(void *arg)
{
	volatile char *p = arg;
	size_t i;

	for (i = 0; i < PAGES; i++)
		p[i * PAGE] ^= 1;
	return arg;
}

static void check_written(char *p)
{
	writes(p);
	LIVE_CHECK(p, BYTES, 1);
}

/* With as much behind it. */
static void leaves(void)
{
	HMMU_CHECK(
		live_raw.remap(copier.p, 2 * BYTES, 2 * BYTES,
			       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			       other) == other);
}

/*
 *      migration               copier                  program
 *                              looks: no change
 *                                                      mremap(P to other),
 *                                                        which leaves P mapped
 *                              takes P: nothing
 *      reads: P moved to other
 *
 * Forbidden: what was taken is what is at other.
 */
static void test_copying_it_leaves(void)
{
	struct live_teller program;

	copier.p = live_map_small(2 * PAGES, 1);
	other = live_map_small(2 * PAGES, 2);
	open_copying(other);
	live_take(copier.p + BYTES, BYTES);
	migration_starts(BYTES);
	live_teller_start(&program, leaves);
	migration_ends();
	live_teller_end(&program);
	check_both(other, 1);
	check_both(copier.p, 0);
	writes(other);
	check_written(other);
	LIVE_CHECK_AT(other + BYTES, BYTES, 1, BYTES);
	LIVE_CHECK_ZERO(copier.p + BYTES, BYTES);
	live_close();
}

/* What is written to a page that is about to be taken is not lost. */
static void test_copying_somebody_writes(void)
{
	pthread_t writer;

	copier.p = live_map_small(PAGES, 1);
	open_copying(NULL);
	migration_starts(BYTES);
	writer = live_thread(writes, copier.p);
	live_sleep_ms(20);
	migration_ends();
	live_join(writer);
	check_written(copier.p);
	live_close();
}

static void cuts_the_range(void)
{
	HMMU_CHECK_OK(live_raw.unmap(copier.p + BYTES, PAGE));
}

static void goes(void)
{
	HMMU_CHECK_OK(live_raw.unmap(copier.p, BYTES));
}

/*
 *      copier                  program                 another thread
 *      looks: no change
 *                              munmap(P): waits
 *                                                      mmap(P), writes
 *      takes P, of which
 *        nobody is told
 *
 * Forbidden: what was written goes with what was unmapped.
 */
static void test_copying_something_new_comes(void)
{
	struct live_teller program;

	copier.p = live_map_small(PAGES, 1);
	open_copying(NULL);
	migration_starts(BYTES);
	live_teller_start(&program, goes);
	HMMU_CHECK(live_raw.map(copier.p, BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS |
					MAP_FIXED_NOREPLACE) == copier.p);
	live_fill(copier.p, BYTES, 3);
	migration_ends();
	live_teller_end(&program);
	check_both(copier.p, 3);
	live_close();
}

/*
 * The range has a hole when the copier makes its call, which fails: what stays
 * has what was written to it.
 */
static void test_copying_fails_while_somebody_writes(void)
{
	struct live_teller program;
	pthread_t writer;

	copier.p = live_map_small(2 * PAGES, 1);
	open_copying(NULL);
	migration_starts(2 * BYTES);
	writer = live_thread(writes, copier.p);
	live_sleep_ms(20);
	live_teller_start(&program, cuts_the_range);
	migration_ends();
	live_teller_end(&program);
	live_join(writer);
	check_written(copier.p);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_copying_something_new_comes),
	       HMMU_TEST(test_copying_it_leaves),
	       HMMU_TEST(test_copying_somebody_writes),
	       HMMU_TEST(test_copying_fails_while_somebody_writes))
