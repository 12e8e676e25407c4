/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a space, and what it leaves behind: nothing.
 */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <hmmu/log.h>

#include "fixture.h"

static void test_space_opens_and_closes(void)
{
	live_open_space();
	HMMU_CHECK(live_space);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	HMMU_CHECK_OK(hmmu_space_close(NULL));
}

static void test_space_second_open_shares_the_first(void)
{
	struct hmmu_space *again;
	void *p;

	live_open();
	HMMU_CHECK_OK(hmmu_space_open(NULL, NULL, &again));
	HMMU_CHECK(again == live_space);
	/* It is counted, so the devices are no obstacle yet. */
	HMMU_CHECK_OK(hmmu_space_close(again));
	p = live_map_small(8, 1);
	live_take(p, 8 * PAGE);
	LIVE_CHECK_SOON(live_device_pages() == 8);
	LIVE_CHECK(p, 8 * PAGE, 1);
	live_close();
}

static void test_space_may_be_opened_again(void)
{
	void *p;
	int i;

	for (i = 0; i < 20; i++) {
		live_open();
		p = live_map_small(16, (uint64_t)i);
		live_take(p, 16 * PAGE);
		live_close();
		LIVE_CHECK(p, 16 * PAGE, (uint64_t)i);
		HMMU_CHECK_OK(munmap(p, 16 * PAGE));
	}
}

static void test_space_options_are_checked(void)
{
	struct {
		struct hmmu_space_options known;
		uint64_t newer;
	} options = { .known.size = sizeof(options) };
	struct hmmu_space *s = (void *)&options;
	const char *why = "left";

	live_open_space();
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	HMMU_CHECK_INT(hmmu_space_open(NULL, NULL, NULL), -EINVAL);
	options.known.size = 4;
	HMMU_CHECK_INT(hmmu_space_open(&options.known, &why, &s), -EINVAL);
	options.known.size = 0;
	HMMU_CHECK_INT(hmmu_space_open(&options.known, &why, &s), -EINVAL);
	options.known.size = sizeof(options);
	options.newer = 1;
	HMMU_CHECK_INT(hmmu_space_open(&options.known, &why, &s), -E2BIG);
	HMMU_CHECK(s == (void *)&options);
	/* An option that this library does not know, and that is not used. */
	options.newer = 0;
	HMMU_CHECK_OK(hmmu_space_open(&options.known, &why, &s));
	HMMU_CHECK_OK(hmmu_space_close(s));
}

static void test_space_in_use_is_not_closed(void)
{
	struct hmmu_memory *memory;
	struct hmmu_device *device;
	struct hmmu_notifier *sub;
	const struct hmmu_memory_options options = { .size = sizeof(options),
						     .bytes = LARGE };
	void *p = live_map_small(4, 3);

	live_open();
	live_take(p, 4 * PAGE);
	HMMU_CHECK_INT(hmmu_space_close(live_space), -EBUSY);
	LIVE_CHECK_SOON(live_device_pages() == 4);
	HMMU_CHECK_INT(hmmu_memory_destroy(live_memory), -EBUSY);
	live_close();
	live_open_space();
	HMMU_CHECK_OK(hmmu_memory_create(live_space, &options, &memory));
	HMMU_CHECK_INT(hmmu_space_close(live_space), -EBUSY);
	HMMU_CHECK_OK(hmmu_memory_destroy(memory));
	device = live_add_device(0, NULL);
	HMMU_CHECK_INT(hmmu_space_close(live_space), -EBUSY);
	HMMU_CHECK_OK(hmmu_device_destroy(device));
	HMMU_CHECK_OK(hmmu_notifier_insert(
		live_space, (uintptr_t)p, PAGE, 0,
		&(struct hmmu_notifier_ops){
			.size = sizeof(struct hmmu_notifier_ops),
			.invalidate = (void *)abort },
		NULL, &sub));
	HMMU_CHECK_INT(hmmu_space_close(live_space), -EBUSY);
	hmmu_notifier_remove(sub);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static void use_everything(uint64_t seed)
{
	char *all = mmap(NULL, 66 * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = all + PAGE;
	struct hmmu_port *port;

	HMMU_CHECK(all != MAP_FAILED);
	HMMU_CHECK_OK(mprotect(p, 64 * PAGE, PROT_READ | PROT_WRITE));
	live_fill(p, 64 * PAGE, seed);
	live_open();
	port = live_port();
	live_take(p, 64 * PAGE);
	HMMU_CHECK(live_load(port, p) == live_word(seed, 0));
	live_store(port, p, live_word(seed, 0));
	hmmu_port_close(port);
	live_close();
	LIVE_CHECK(p, 64 * PAGE, seed);
	/* All of it, or it is what grows. */
	HMMU_CHECK_OK(munmap(all, 66 * PAGE));
}

static void test_space_leaves_the_process_as_it_was(void)
{
	size_t files, threads, maps, i;

	files = live_count_files();
	threads = live_count_threads();
	use_everything(1);
	HMMU_CHECK_INT(live_count_files(), files);
	HMMU_CHECK_INT(live_count_threads(), threads);
	HMMU_CHECK(!live_is_registered());
	/* What is kept for the next time does not grow. */
	use_everything(2);
	maps = live_count_maps();
	for (i = 0; i < 8; i++)
		use_everything(i);
	/* ThreadSanitizer's records of threads that have ended do grow. */
	HMMU_CHECK(live_count_maps() <= maps + 1 || HMMU_TSAN);
	HMMU_CHECK_INT(live_count_files(), files);
	HMMU_CHECK_INT(live_count_threads(), threads);
}

/* The mappings of the program are what they were, not cut in pieces. */
static void test_space_leaves_mappings_whole(void)
{
	char *p = live_map_small(512, 5);
	size_t maps;

	live_open();
	maps = live_count_maps();
	live_take(p + 100 * PAGE, 10 * PAGE);
	live_take(p + 300 * PAGE, 10 * PAGE);
	HMMU_CHECK_OK(hmmu_migrate_to_system(live_space, (uintptr_t)p,
					     512 * PAGE, NULL));
	HMMU_CHECK(!live_is_armed(p));
	HMMU_CHECK(live_count_maps() <= maps + 2);
	/* mremap() of a mapping in two pieces would fail (E3). */
	HMMU_CHECK(mremap(p, 512 * PAGE, 1024 * PAGE, MREMAP_MAYMOVE) !=
		   MAP_FAILED);
	live_close();
}

/* Rule 4 of the design: what no device has used is not watched. */
static void test_space_arms_only_what_is_used(void)
{
	void *p = live_map_small(4, 1);

	live_open_space();
	HMMU_CHECK(!live_is_registered());
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	live_open();
	HMMU_CHECK(!live_is_armed(p));
	live_take(p, 4 * PAGE);
	HMMU_CHECK(live_is_armed(p));
	LIVE_CHECK(p, 4 * PAGE, 1);
	LIVE_CHECK_SOON(!live_is_armed(p));
	live_close();
	HMMU_CHECK(!live_is_registered());
}

static void test_space_starts_one_thread(void)
{
	size_t threads = live_count_threads();

	live_open_space();
	HMMU_CHECK_INT(live_count_threads(), threads + 1);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	HMMU_CHECK_INT(live_count_threads(), threads);
}

static void ignore_message(void *arg, enum hmmu_log_level level,
			   const char *message)
{
	(void)arg;
	(void)level;
	(void)message;
}

static void test_space_log_callback_may_change(void)
{
	live_open();
	hmmu_log_set(ignore_message, NULL, HMMU_LOG_WARN);
	hmmu_log_set(NULL, NULL, HMMU_LOG_WARN);
	live_close();
}

/* Ending with pages away needs nothing. */
static void test_space_dp11_process_may_just_end(void)
{
	void *p = live_map_small(64, 1);

	live_open();
	live_take(p, 64 * PAGE);
}

static void test_space_stats_sizes(void)
{
	struct {
		struct hmmu_space_stats known;
		uint64_t newer;
	} stats = { .known.size = sizeof(stats), .newer = 0x77 };

	live_open_space();
	HMMU_CHECK_OK(hmmu_space_get_stats(live_space, &stats.known));
	stats.known.size = sizeof(size_t);
	HMMU_CHECK_INT(hmmu_space_get_stats(live_space, &stats.known), -EINVAL);
	HMMU_CHECK_INT(hmmu_space_get_stats(live_space, NULL), -EINVAL);
	stats.known.size = sizeof(stats.known);
	HMMU_CHECK_INT(hmmu_space_get_stats(NULL, &stats.known), -EINVAL);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

/* Home, or still away: a touch moves pages from the one to the other. */
static uint64_t pages_taken(void)
{
	struct hmmu_space_stats s = live_stats();

	return s.pages_home + s.device_pages;
}

static void test_space_counts_what_it_does(void)
{
	char *p = live_map_large(2, 1);
	struct hmmu_space_stats s;

	live_open();
	live_take(p, 2 * LARGE);
	s = live_stats();
	HMMU_CHECK_INT(s.pages_to_device, 2 * PER_LARGE);
	HMMU_CHECK_INT(s.device_pages, 2 * PER_LARGE);
	/* Page by page none is seen to be large. */
	HMMU_CHECK_INT(s.large_to_device,
		       live_is_forced("NO_PAGEMAP_SCAN") ? 0 : 2);
	LIVE_CHECK(p, PAGE, 1);
	LIVE_CHECK_SOON(live_stats().pages_home >= 1);
	HMMU_CHECK_INT(live_stats().cpu_faults, 1);
	LIVE_CHECK_SOON(pages_taken() == 2 * PER_LARGE);
	HMMU_CHECK_OK(munmap(p + LARGE, LARGE));
	s = live_stats();
	HMMU_CHECK_INT(s.pages_dropped, PER_LARGE);
	HMMU_CHECK_INT(pages_taken(), PER_LARGE);
	live_close();
}

static void test_space_residency_says_where_pages_are(void)
{
	char *p = live_map(4 * LARGE);
	struct hmmu_residency at[4];
	struct hmmu_port *port;

	live_open();
	madvise(p, 4 * LARGE, MADV_NOHUGEPAGE);
	live_fill(p, LARGE, 1);
	live_fill(p + LARGE, 7 * PAGE, 2);
	live_take(p, LARGE);
	live_take(p + LARGE, 3 * PAGE);
	port = live_port();
	(void)live_load(port, p + LARGE + 5 * PAGE);
	HMMU_CHECK_OK(hmmu_space_get_residency(live_space, (uintptr_t)p,
					       4 * LARGE, at));
	HMMU_CHECK(at[0].start == (uintptr_t)p);
	HMMU_CHECK(at[3].start == (uintptr_t)p + 3 * LARGE);
	HMMU_CHECK_INT(at[0].device_pages, PER_LARGE);
	HMMU_CHECK_INT(at[0].system_pages, 0);
	HMMU_CHECK_INT(at[1].device_pages, 3);
	/* An ordinary user's holes are filled: the kernel may touch them. */
	if (live_serves_kernel())
		HMMU_CHECK_INT(at[1].system_pages, 4);
	HMMU_CHECK(!at[1].device_large && !at[1].system_large);
	HMMU_CHECK_INT(at[1].mirror_leaf_lg2, HMMU_PAGE_LG2);
	HMMU_CHECK_INT(at[2].device_pages, 0);
	HMMU_CHECK_INT(at[2].mirror_leaf_lg2, 0);
	hmmu_port_close(port);
	live_close();
}

static void test_space_residency_of_large_pages(void)
{
	char *p = live_map_large(2, 1);
	struct hmmu_residency at[2];

	live_need_move();
	live_open();
	live_take(p, LARGE);
	HMMU_CHECK_OK(hmmu_device_fault(live_device, (uintptr_t)p, 1,
					HMMU_ACCESS_READ));
	HMMU_CHECK_OK(hmmu_space_get_residency(live_space, (uintptr_t)p,
					       2 * LARGE, at));
	HMMU_CHECK_INT(at[0].device_pages, PER_LARGE);
	HMMU_CHECK(at[0].device_large);
	HMMU_CHECK_INT(at[0].mirror_leaf_lg2, HMMU_LARGE_LG2);
	HMMU_CHECK_INT(at[1].system_pages, PER_LARGE);
	HMMU_CHECK(at[1].system_large || live_is_forced("NO_PAGEMAP_SCAN"));
	live_close();
}

/* Fails userfaultfd(2) and its ioctl on /dev/userfaultfd with EPERM. */
static void forbid_userfaultfd(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, USERFAULTFD_IOC_NEW, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	HMMU_CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		HMMU_SKIP("seccomp");
}

static void test_space_refused_says_why(void)
{
	struct hmmu_space *s = NULL;
	const char *why = NULL;
	size_t files, threads;

	forbid_userfaultfd();
	files = live_count_files();
	threads = live_count_threads();
	HMMU_CHECK_INT(hmmu_space_open(NULL, &why, &s), -EOPNOTSUPP);
	HMMU_CHECK(!s && why);
	HMMU_CHECK(strstr(why, "userfaultfd"));
	HMMU_CHECK_INT(live_count_files(), files);
	HMMU_CHECK_INT(live_count_threads(), threads);
	HMMU_CHECK_INT(hmmu_space_open(NULL, NULL, &s), -EOPNOTSUPP);
}

static void test_space_without_descriptors_fails_cleanly(void)
{
	size_t files = live_count_files(), room;
	struct hmmu_space *s = NULL;
	struct rlimit old, limit;
	int err = -1;

	live_open_space();
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	HMMU_CHECK_OK(getrlimit(RLIMIT_NOFILE, &old));
	for (room = 0; room < 16 && err; room++) {
		limit = old;
		limit.rlim_cur = files + room;
		HMMU_CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
		err = hmmu_space_open(NULL, NULL, &s);
		HMMU_CHECK_OK(setrlimit(RLIMIT_NOFILE, &old));
		HMMU_CHECK(!err || err == -EMFILE || err == -EOPNOTSUPP);
		HMMU_CHECK(room || err == -EMFILE);
		HMMU_CHECK(!err || live_count_files() == files);
	}
	HMMU_CHECK_OK(err);
	HMMU_CHECK_OK(hmmu_space_close(s));
}

static void check_dies_of_its_own_fault(void)
{
	volatile uintptr_t nowhere = 16;
	pid_t child = fork();
	int status;

	if (child == 0) {
		*(volatile int *)nowhere = 1;
		_exit(0);
	}
	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	HMMU_CHECK(live_died(status, SIGSEGV));
}

static void test_space_program_bug_is_still_a_signal(void)
{
	live_open();
	check_dies_of_its_own_fault();
	live_close();
	check_dies_of_its_own_fault();
}

static volatile sig_atomic_t own_signals;
static void *volatile own_address;
static volatile char *volatile own_page;

static void on_own_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	own_signals = own_signals + 1;
	own_address = info->si_addr;
	HMMU_CHECK_OK(mprotect((void *)own_page, PAGE, PROT_READ | PROT_WRITE));
}

/* A program's own handler, installed before, gets what is not HMMU's. */
static void test_space_hands_signals_on(void)
{
	struct sigaction action = { .sa_sigaction = on_own_signal,
				    .sa_flags = SA_SIGINFO };

	HMMU_CHECK_OK(sigaction(SIGSEGV, &action, NULL));
	own_page = live_map_small(1, 1);
	live_open();
	HMMU_CHECK_OK(mprotect((void *)own_page, PAGE, PROT_NONE));
	own_page[9] = 1;
	HMMU_CHECK_INT(own_signals, 1);
	HMMU_CHECK(own_address == own_page + 9);
	live_close();
	HMMU_CHECK_OK(mprotect((void *)own_page, PAGE, PROT_NONE));
	own_page[9] = 1;
	HMMU_CHECK_INT(own_signals, 2);
}

static void test_space_e1_own_memory_never_leaves(void)
{
	unsigned char *p;
	struct hmmu_migrate_result r;

	live_open();
	p = hmmu_alloc(64 * PAGE);
	HMMU_CHECK(p && (uintptr_t)p % 64 == 0);
	memset(p, 7, 64 * PAGE);
	r = live_migrate(live_device,
			 (void *)(((uintptr_t)p + PAGE) & ~(PAGE - 1)),
			 32 * PAGE);
	HMMU_CHECK_INT(r.stayed[HMMU_STAY_HMMU], 32);
	HMMU_CHECK_INT(p[20 * PAGE], 7);
	hmmu_free(p, 64 * PAGE);
	hmmu_free(NULL, 0);
	HMMU_CHECK(!hmmu_alloc(0));
	live_close();
}

static void *open_and_close(void *arg)
{
	struct hmmu_space *s;
	int i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		HMMU_CHECK_OK(hmmu_space_open(NULL, NULL, &s));
		HMMU_CHECK_OK(hmmu_space_close(s));
	}
	return NULL;
}

static void test_space_many_threads_open_and_close(void)
{
	pthread_t threads[4];
	size_t files = live_count_files(), count = live_count_threads(), i;

	live_open_space();
	HMMU_CHECK_OK(hmmu_space_close(live_space));
	for (i = 0; i < 4; i++)
		threads[i] = live_thread(open_and_close, NULL);
	for (i = 0; i < 4; i++)
		live_join(threads[i]);
	HMMU_CHECK_INT(live_count_files(), files);
	HMMU_CHECK_INT(live_count_threads(), count);
}

HMMU_TEST_MAIN(HMMU_TEST(test_space_opens_and_closes),
	       HMMU_TEST(test_space_second_open_shares_the_first),
	       HMMU_TEST(test_space_may_be_opened_again),
	       HMMU_TEST(test_space_options_are_checked),
	       HMMU_TEST(test_space_in_use_is_not_closed),
	       HMMU_TEST(test_space_leaves_the_process_as_it_was),
	       HMMU_TEST(test_space_leaves_mappings_whole),
	       HMMU_TEST(test_space_arms_only_what_is_used),
	       HMMU_TEST(test_space_starts_one_thread),
	       HMMU_TEST(test_space_log_callback_may_change),
	       HMMU_TEST(test_space_dp11_process_may_just_end),
	       HMMU_TEST(test_space_stats_sizes),
	       HMMU_TEST(test_space_counts_what_it_does),
	       HMMU_TEST(test_space_residency_says_where_pages_are),
	       HMMU_TEST(test_space_residency_of_large_pages),
	       HMMU_TEST(test_space_refused_says_why),
	       HMMU_TEST(test_space_without_descriptors_fails_cleanly),
	       HMMU_TEST(test_space_program_bug_is_still_a_signal),
	       HMMU_TEST(test_space_hands_signals_on),
	       HMMU_TEST(test_space_e1_own_memory_never_leaves),
	       HMMU_TEST(test_space_many_threads_open_and_close))
