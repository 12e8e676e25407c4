/* SPDX-License-Identifier: MIT */
/*
 * Pages that are copied, because the kernel can not move them, while the program
 * moves mappings behind the hooks. The copier looks whether a mapping is
 * changing, and then takes the range out of the CPU's reach; the tests change
 * something between the two, for which they stop it in that system call.
 */
#include <fcntl.h>
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
static void migration_goes_on(void)
{
	while (pthread_tryjoin_np(copier.migration, NULL))
		if (copier_stops(1))
			copier_goes_on();
}

static void migration_ends(void)
{
	copier_goes_on();
	migration_goes_on();
}

static void open_copying(const char *own)
{
	stop_the_copier(own);
	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	live_open();
}

static void look_at(const char *p)
{
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, BYTES,
					HMMU_ACCESS_READ));
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

static void lands_here(void)
{
	HMMU_CHECK(live_raw.remap(other, BYTES, BYTES,
				  MREMAP_MAYMOVE | MREMAP_FIXED,
				  copier.p) == copier.p);
}

static void something_lands(void (*how)(void))
{
	struct live_teller program;

	copier.p = live_map_small(PAGES, 1);
	other = live_map_small(PAGES, 2);
	open_copying(NULL);
	look_at(other);
	migration_starts(BYTES);
	live_teller_start(&program, how);
	migration_ends();
	live_teller_end(&program);
}

/*
 *      migration               copier                  program
 *                              looks: no change
 *                                                      mremap(other to P)
 *                              takes P
 *      reads: P was unmapped, other moved to P
 *
 * Forbidden: what was taken goes with what stood at P before.
 */
static void test_copying_something_lands(void)
{
	something_lands(lands_here);
	check_both(copier.p, 2);
	live_close();
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
 * Forbidden: what was taken is what is at other. Nor does who writes there wait
 * for ever because of what the taker did to the pages before they left; as long
 * as something of the mapping is away that does not end by itself.
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

/* The range is the second third of a mapping that is landed on as a whole. */
static void lands_on_all(void)
{
	char *to = copier.p - BYTES;

	HMMU_CHECK(live_raw.remap(other, 3 * BYTES, 3 * BYTES,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
}

/* Present, on the device, a hole, and again. */
static void mix(char *p)
{
	size_t i;

	for (i = 0; i + 2 < 3 * PAGES; i += 3) {
		live_take(p + (i + 1) * PAGE, PAGE);
		HMMU_CHECK_OK(live_raw.advise(p + (i + 2) * PAGE, PAGE,
					      MADV_DONTNEED));
	}
}

static void check_mix(const char *p)
{
	size_t i;

	for (i = 0; i + 2 < 3 * PAGES; i += 3) {
		LIVE_CHECK_AT(p + i * PAGE, 2 * PAGE, 2, i * PAGE);
		LIVE_CHECK_ZERO(p + (i + 2) * PAGE, PAGE);
	}
}

/*
 * As above, and what is put back is one mapping with the rest: the program can
 * move it on (E3).
 */
static void test_copying_something_mixed_lands(void)
{
	struct live_teller program;
	char *p = live_map_small(3 * PAGES, 1);
	char *on = live_map(3 * BYTES);

	copier.p = p + BYTES;
	other = live_map_small(3 * PAGES, 2);
	open_copying(NULL);
	mix(other);
	migration_starts(BYTES);
	live_teller_start(&program, lands_on_all);
	migration_ends();
	live_teller_end(&program);
	HMMU_CHECK(live_raw.remap(p, 3 * BYTES, 3 * BYTES,
				  MREMAP_MAYMOVE | MREMAP_FIXED, on) == on);
	check_mix(on);
	live_close();
	check_mix(on);
}

/* The migration has started, and he stands at the first page. */
static pthread_t writer_stops(size_t bytes)
{
	pthread_t writer;

	migration_starts(bytes);
	writer = live_thread(writes, copier.p);
	live_sleep_ms(20);
	return writer;
}

/* Who writes to a page that is about to be taken waits, and nothing is lost. */
static void test_copying_somebody_writes(void)
{
	pthread_t writer;

	copier.p = live_map_small(PAGES, 1);
	open_copying(NULL);
	writer = writer_stops(BYTES);
	migration_ends();
	live_join(writer);
	check_written(copier.p);
	live_close();
}

static void is_mapped_over(void)
{
	HMMU_CHECK(live_raw.map(copier.p, BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) ==
		   copier.p);
}

/*
 * Who waits at a stamp goes on when that has gone, and nobody has to do with what
 * is mapped there now.
 */
static void test_copying_writer_of_what_goes(void)
{
	struct live_teller program;
	pthread_t writer;
	size_t i;

	copier.p = live_map_small(PAGES, 1);
	open_copying(NULL);
	writer = writer_stops(BYTES);
	live_teller_start(&program, is_mapped_over);
	migration_ends();
	live_teller_end(&program);
	live_join(writer);
	/* What it had read before it stopped is of the old one. */
	for (i = 1; i < PAGES; i++)
		HMMU_CHECK_INT(copier.p[i * PAGE], 1);
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
 * The range has a hole when the copier makes its call, which fails: who waits at
 * a page that is to stay goes on, whenever that can be done.
 */
static void test_copying_fails_while_somebody_writes(void)
{
	struct live_teller program;
	pthread_t writer;

	copier.p = live_map_small(2 * PAGES, 1);
	open_copying(NULL);
	writer = writer_stops(2 * BYTES);
	live_teller_start(&program, cuts_the_range);
	migration_ends();
	live_teller_end(&program);
	live_join(writer);
	check_written(copier.p);
	live_close();
}

/* Whoever tells of what the migration is about to do is held up. */
static struct live_gate gate;

static void gate_shut_behind(const char *p, unsigned int may_pass)
{
	live_gate_build(&gate, p, PAGE);
	live_set(&gate.came, 0);
	live_set(&gate.may_pass, may_pass);
}

static void gate_end(void)
{
	live_gate_open(&gate);
	hmmu_notifier_remove(gate.sub);
}

/* Write-protected by userfaultfd, as /proc/self/pagemap has it. */
static size_t count_stamps(const char *p, size_t bytes)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	size_t at, n = 0;
	uint64_t entry;

	HMMU_CHECK(file >= 0);
	for (at = 0; at < bytes; at += PAGE) {
		HMMU_CHECK_INT(syscall(SYS_pread64, file, &entry, sizeof(entry),
				       (off_t)((uintptr_t)(p + at) / PAGE * 8)),
			       sizeof(entry));
		n += entry >> 57 & 1;
	}
	close(file);
	return n;
}

/* Who changes a mapping all the time. */
static struct {
	char *p;
	_Atomic unsigned int over;
	_Atomic uint64_t longest_ns;
} storm;

static void *storms(void *arg)
{
	uint64_t begun, took;

	while (!live_get(&storm.over)) {
		begun = live_now_ns();
		HMMU_CHECK_OK(live_raw.advise(storm.p, PAGE, MADV_DONTNEED));
		took = live_now_ns() - begun;
		if (took > storm.longest_ns)
			storm.longest_ns = took;
	}
	return arg;
}

#define STORMS 3

static void storms_start(pthread_t *thread, unsigned int n)
{
	while (n--)
		thread[n] = live_thread(storms, NULL);
}

static void storms_end(const pthread_t *thread, unsigned int n)
{
	live_set(&storm.over, 1);
	while (n--)
		live_join(thread[n]);
}

/*
 *      migration               program                 service
 *      stamps P
 *                              munmap(a part of P)
 *                              changes other mappings
 *                                all the time
 *      can not take P, nor
 *        the stamps
 *      lets go of all locks
 *                              ends that
 *                                                      takes the stamps
 *
 * Forbidden: they stay until somebody stops there, or the next migration.
 */
static void test_copying_e13_leaves_no_stamp(void)
{
	pthread_t thread[STORMS];
	struct live_teller program;

	copier.p = (char *)live_map_small(3 * PAGES, 1) + BYTES;
	storm.p = live_map_small(PAGES, 2);
	open_copying(NULL);
	look_at(storm.p);
	/* Who is disarmed loses its stamps, too. */
	live_take(copier.p - BYTES, BYTES);
	gate.event = HMMU_EVENT_MIGRATE;
	gate_shut_behind(copier.p, 1);
	migration_starts(2 * BYTES);
	HMMU_CHECK_INT(count_stamps(copier.p, 2 * BYTES), 2 * PAGES);
	live_teller_start(&program, cuts_the_range);
	storms_start(thread, STORMS);
	copier_goes_on();
	live_sleep_ms(50);
	storms_end(thread, STORMS);
	/* It tries again, and is held up before. */
	live_gate_until(&gate, 2);
	LIVE_CHECK_SOON(!count_stamps(copier.p, BYTES));
	live_gate_open(&gate);
	migration_goes_on();
	live_teller_end(&program);
	LIVE_CHECK(copier.p - BYTES, 2 * BYTES, 1);
	gate_end();
	live_close();
}

/* A thread whose stack goes on, DEEP bytes below, in what has stamps. */
static struct {
	char *edge;
	struct hmmu_notifier *sub;
	_Atomic unsigned int waits;
	_Atomic unsigned int asked;
	_Atomic unsigned int stamps;
} deep;

#define DEEP (4 * PAGE)

static void is_inside(struct hmmu_notifier *sub, void *arg,
		      const struct hmmu_invalidation *inv, uint64_t cur_seq)
{
	(void)arg;
	(void)inv;
	hmmu_notifier_set_seq(sub, cur_seq);
	deep.stamps +=
		(unsigned int)count_stamps(deep.edge - BYTES / 2, BYTES / 2);
	deep.asked++;
}

static __attribute__((noinline)) void waits_and_migrates(void)
{
	live_set(&deep.waits, 1);
	while (!live_get(&storm.over))
		sched_yield();
	(void)live_migrate(live_device, other, BYTES);
}

static void *goes_deep(void *arg)
{
	size_t bytes = (size_t)((char *)__builtin_frame_address(0) - deep.edge);
	volatile char *room = __builtin_alloca(bytes - DEEP);

	waits_and_migrates();
	room[0] = 1;
	return arg;
}

static pthread_t deep_thread(void)
{
	static const struct hmmu_notifier_ops ops = { .size = sizeof(ops),
						      .invalidate = is_inside };
	char *stack = deep.edge - LARGE;
	pthread_attr_t attr;
	pthread_t thread;

	HMMU_CHECK_OK(hmmu_notifier_insert(live_space, (uintptr_t)other, PAGE,
					   0, &ops, NULL, &deep.sub));
	HMMU_CHECK_OK(-pthread_attr_init(&attr));
	HMMU_CHECK_OK(-pthread_attr_setstack(&attr, stack, 2 * LARGE));
	HMMU_CHECK_OK(-pthread_create(&thread, &attr, goes_deep, NULL));
	pthread_attr_destroy(&attr);
	HMMU_CHECK(live_wait_for(&deep.waits, 1, LIVE_SOON_MS));
	return thread;
}

/*
 *      a user of HMMU                      service
 *      goes inside
 *      events lock (exclusive)
 *      calls something, on a page of
 *        stack that has a stamp: stops
 *                                          is to take it away: waits for the lock
 *
 * Forbidden: whoever is inside finds no stamp on his stack. (Large pages lose them
 * as a whole, so it has them beyond the edge of one.)
 */
static void test_copying_e1_stack_with_stamps(void)
{
	uintptr_t all = (uintptr_t)live_map_small(3 * LARGE / PAGE, 1);
	pthread_t thread[STORMS], user;
	struct live_teller program;

	if (!live_serves_kernel())
		HMMU_SKIP("faults of the kernel itself");
	deep.edge = (char *)((all + 2 * LARGE - 1) & ~(LARGE - 1));
	copier.p = deep.edge - 2 * BYTES;
	storm.p = live_map_small(PAGES, 2);
	other = live_map_small(PAGES, 3);
	open_copying(NULL);
	look_at(storm.p);
	user = deep_thread();
	live_take(copier.p - BYTES, BYTES);
	gate.event = HMMU_EVENT_MIGRATE;
	gate_shut_behind(copier.p, 1);
	migration_starts(2 * BYTES);
	live_teller_start(&program, cuts_the_range);
	storms_start(thread, STORMS);
	copier_goes_on();
	live_sleep_ms(20);
	storms_end(thread, STORMS);
	live_join(user);
	live_gate_open(&gate);
	migration_goes_on();
	live_teller_end(&program);
	HMMU_CHECK(deep.asked);
	HMMU_CHECK_INT(deep.stamps, 0);
	LIVE_CHECK(other, BYTES, 3);
	gate_end();
	hmmu_notifier_remove(deep.sub);
	live_close();
}

static void lands_unreadable(void)
{
	HMMU_CHECK_OK(live_raw.protect(other, BYTES, PROT_NONE));
	lands_here();
}

/* What lands may be such that nobody can read it. */
static void test_copying_something_unreadable_lands(void)
{
	something_lands(lands_unreadable);
	HMMU_CHECK_OK(
		live_raw.protect(copier.p, BYTES, PROT_READ | PROT_WRITE));
	LIVE_CHECK(copier.p, BYTES, 2);
	live_close();
}

static void leaves_alone(void)
{
	HMMU_CHECK(live_raw.remap(copier.p, BYTES, BYTES,
				  MREMAP_MAYMOVE | MREMAP_FIXED,
				  other) == other);
}

/*
 *      service                             program
 *      all is home: it is to be disarmed
 *      tells subscribers
 *                                          mremap(P to other)
 *      disarms P, which is not there
 *      reads: P moved to other
 *
 * Forbidden: other stays armed for ever.
 */
static void test_copying_moves_while_it_is_disarmed(void)
{
	struct live_teller program;

	copier.p = live_map_small(PAGES, 1);
	other = live_map(BYTES);
	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	live_open();
	live_take(copier.p, BYTES);
	gate.event = HMMU_EVENT_PROTECTION_PAGE;
	gate_shut_behind(copier.p, 0);
	HMMU_CHECK_OK(hmmu_migrate_home(live_space, (uintptr_t)copier.p,
					(uintptr_t)copier.p + BYTES, NULL));
	live_gate_until(&gate, 1);
	live_teller_start(&program, leaves_alone);
	live_gate_open(&gate);
	live_teller_end(&program);
	LIVE_CHECK(other, BYTES, 1);
	LIVE_CHECK_SOON(!live_is_armed(other));
	gate_end();
	live_close();
}

static void migrate_home(const char *p)
{
	HMMU_CHECK_OK(hmmu_migrate_home(live_space, (uintptr_t)p,
					(uintptr_t)p + BYTES, NULL));
}

/* Coherent memory with something of the block; it is behind a hole. */
static struct {
	struct hmmu_device *device;
	struct hmmu_memory *memory;
	char *p;
} coherent;

static char *map_beside_coherent(void)
{
	char *p;

	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	p = live_map_small(4 * PAGES, 1);
	coherent.p = p + 2 * BYTES;
	HMMU_CHECK_OK(live_raw.unmap(p + BYTES, BYTES));
	live_open();
	coherent.device =
		live_add_kind(HMMU_MEMORY_COHERENT, LARGE, &coherent.memory);
	(void)live_migrate(coherent.device, coherent.p, BYTES);
	live_take(p, BYTES);
	migrate_home(p);
	/* The service has looked, and found that the block holds something. */
	live_sleep_ms(50);
	return p;
}

/* As long as that holds something of the block what is beside it stays armed. */
static void test_copying_beside_coherent_memory(void)
{
	char *p = map_beside_coherent();

	migrate_home(coherent.p);
	LIVE_CHECK_SOON(!live_is_armed(p));
	LIVE_CHECK(p, BYTES, 1);
	live_remove_device(coherent.device, coherent.memory);
	live_close();
}

static void test_copying_coherent_memory_is_unmapped(void)
{
	char *p = map_beside_coherent();

	HMMU_CHECK_OK(live_raw.unmap(coherent.p, 2 * BYTES));
	LIVE_CHECK_SOON(!live_is_armed(p));
	LIVE_CHECK(p, BYTES, 1);
	live_remove_device(coherent.device, coherent.memory);
	live_close();
}

/*
 *      service                             program
 *      all is home: it is to be disarmed
 *      tells subscribers
 *                                          mremap(P), which grows in place
 *      there is no such mapping
 *
 * Forbidden: it stays armed for ever. Nobody is told that a mapping has grown.
 */
static void test_copying_grows_while_it_is_disarmed(void)
{
	char *p = live_map(2 * BYTES);

	HMMU_CHECK_OK(live_raw.unmap(p + BYTES, BYTES));
	live_fill(p, BYTES, 1);
	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	live_open();
	live_take(p, BYTES);
	gate.event = HMMU_EVENT_PROTECTION_PAGE;
	gate_shut_behind(p, 0);
	migrate_home(p);
	live_gate_until(&gate, 1);
	HMMU_CHECK(live_raw.remap(p, BYTES, 2 * BYTES, 0, NULL) == p);
	live_gate_open(&gate);
	LIVE_CHECK_SOON(!live_is_armed(p));
	LIVE_CHECK(p, BYTES, 1);
	gate_end();
	live_close();
}

static void *reads_into_other(void *arg)
{
	HMMU_CHECK_INT(read(*(int *)arg, other, 1), 1);
	return arg;
}

static void leaves_a_mapping(void)
{
	HMMU_CHECK(
		live_raw.remap(copier.p, BYTES, BYTES,
			       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			       other) == other);
}

/*
 *      migration               program
 *      stamps P
 *                              mremap(P to other): waits
 *      reads, tells, ...         goes on
 *                              read(2) into other
 *      takes the stamps away
 *
 * Forbidden: the kernel finds a stamp, which nobody serves for an ordinary user.
 */
static void test_copying_read_into_what_moved(void)
{
	struct live_teller program;
	pthread_t reader;
	int ends[2];

	HMMU_CHECK_OK(setenv("HMMU_FORCE_USER_MODE", "1", 1));
	copier.p = live_map_small(PAGES, 1);
	other = live_map(BYTES);
	HMMU_CHECK_OK(pipe(ends));
	HMMU_CHECK_INT(write(ends[1], "x", 1), 1);
	if (live_is_forced("NO_HOOKS"))
		HMMU_SKIP("hooks");
	open_copying(other);
	gate.event = HMMU_EVENT_UNMAP;
	gate_shut_behind(copier.p, 0);
	migration_starts(BYTES);
	live_teller_start(&program, leaves_a_mapping);
	copier_goes_on();
	live_gate_until(&gate, 1);
	live_teller_end(&program);
	HMMU_CHECK_INT(count_stamps(other, BYTES), PAGES);
	reader = live_thread(reads_into_other, &ends[0]);
	live_sleep_ms(20);
	live_gate_open(&gate);
	live_join(reader);
	HMMU_CHECK_INT(*other, 'x');
	migration_goes_on();
	gate_end();
	live_close();
}

/*
 * A program that changes mappings all the time goes on while a migration can not
 * take its stamps away.
 */
static void test_copying_beside_changes_without_end(void)
{
	uint64_t end = live_now_ns() + 2000000000u;
	pthread_t thread;

	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_MOVE", "1", 1));
	copier.p = live_map_small(PAGES, 1);
	copier.bytes = BYTES;
	storm.p = live_map_small(PAGES, 2);
	live_open();
	look_at(storm.p);
	storms_start(&thread, 1);
	while (live_now_ns() < end) {
		(void)live_migrate(live_device, copier.p, BYTES);
		migrate_home(copier.p);
	}
	storms_end(&thread, 1);
	/* Not as long as a taker may try: that was 10 s. */
	HMMU_CHECK(storm.longest_ns < 5000000000u);
	LIVE_CHECK(copier.p, BYTES, 1);
	live_close();
}

HMMU_TEST_MAIN(HMMU_TEST(test_copying_something_lands),
	       HMMU_TEST(test_copying_something_mixed_lands),
	       HMMU_TEST(test_copying_something_new_comes),
	       HMMU_TEST(test_copying_it_leaves),
	       HMMU_TEST(test_copying_somebody_writes),
	       HMMU_TEST(test_copying_writer_of_what_goes),
	       HMMU_TEST(test_copying_fails_while_somebody_writes),
	       HMMU_TEST(test_copying_e13_leaves_no_stamp),
	       HMMU_TEST(test_copying_e1_stack_with_stamps),
	       HMMU_TEST(test_copying_something_unreadable_lands),
	       HMMU_TEST(test_copying_moves_while_it_is_disarmed),
	       HMMU_TEST(test_copying_beside_coherent_memory),
	       HMMU_TEST(test_copying_coherent_memory_is_unmapped),
	       HMMU_TEST(test_copying_grows_while_it_is_disarmed),
	       HMMU_TEST(test_copying_read_into_what_moved),
	       HMMU_TEST(test_copying_beside_changes_without_end))
