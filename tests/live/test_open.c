/* SPDX-License-Identifier: MIT */
/*
 * hmmu_space_open() fails in each way it can: the documented errno, a sentence
 * that says what to change, and nothing left behind. Failures of allocations
 * are in test_sweep.c.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"

/* The sentence has @word. */
static void check_fails(const struct hmmu_space_options *options, int error,
			const char *word)
{
	struct hmmu_space *s = (void *)&s;
	const char *why = "left";

	HMMU_CHECK_INT(hmmu_space_open(options, &why, &s), error);
	HMMU_CHECK(s == (void *)&s);
	HMMU_CHECK(why && strcmp(why, "left"));
	if (!strstr(why, word))
		hmmu_test_fail(__FILE__, __LINE__, "no `%s` in: %s", word, why);
	HMMU_CHECK_INT(hmmu_space_open(options, NULL, &s), error);
	HMMU_CHECK(s == (void *)&s);
}

static void check_opens(void)
{
	struct hmmu_space *s = NULL;
	const char *why = "left";

	HMMU_CHECK_OK(hmmu_space_open(NULL, &why, &s));
	HMMU_CHECK(s && !why);
	HMMU_CHECK_OK(hmmu_space_close(s));
}

/* From now on system call @number fails. */
static void forbid(unsigned int number, unsigned int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	HMMU_CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		HMMU_SKIP("seccomp");
}

/* A space can be opened here, and has been once: HMMU has what it keeps. */
static void need_space(void)
{
	live_open_space();
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

static void test_open_arguments(void)
{
	struct {
		struct hmmu_space_options known;
		uint64_t newer;
	} o = { .known.size = 4 };
	const char *why = "left";

	HMMU_CHECK_INT(hmmu_space_open(NULL, &why, NULL), -EINVAL);
	HMMU_CHECK(why && strstr(why, "ret_space"));
	HMMU_CHECK_INT(hmmu_space_open(NULL, NULL, NULL), -EINVAL);
	check_fails(&o.known, -EINVAL, "options->size");
	o.known.size = sizeof(o);
	o.newer = 1;
	check_fails(&o.known, -E2BIG, "set it to 0");
	need_space();
	check_opens();
}

static void test_open_without_userfaultfd(void)
{
	HMMU_CHECK_OK(setenv("HMMU_FORCE_NO_UFFD", "1", 1));
	check_fails(NULL, -EOPNOTSUPP, "HMMU_FORCE_NO_UFFD");
}

static void test_open_again_installs_no_handler(void)
{
	need_space();
	/* Once installed they stay. */
	forbid(SYS_rt_sigaction, EPERM);
	check_opens();
}

static void test_open_refused_signal_handlers(void)
{
	forbid(SYS_rt_sigaction, EPERM);
	check_fails(NULL, -EOPNOTSUPP, "rt_sigaction(2)");
}

static void test_open_without_descriptors(void)
{
	struct rlimit limit;
	size_t files;

	need_space();
	files = live_count_files();
	HMMU_CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = files;
	HMMU_CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
	check_fails(NULL, -EMFILE, "RLIMIT_NOFILE");
}

static void test_open_without_files(void)
{
	need_space();
	forbid(SYS_eventfd2, ENFILE);
	check_fails(NULL, -ENFILE, "fs.file-max");
}

static void test_open_without_threads(void)
{
	size_t files, threads;

	/* Counting threads starts one there. */
	if (HMMU_TSAN)
		HMMU_SKIP("a thread that no sanitizer needs");
	need_space();
	files = live_count_files();
	threads = live_count_threads();
	forbid(SYS_clone3, EAGAIN);
	forbid(SYS_clone, EAGAIN);
	check_fails(NULL, -EAGAIN, "RLIMIT_NPROC");
	HMMU_CHECK_INT(live_count_files(), files);
	HMMU_CHECK_INT(live_count_threads(), threads);
}

static void test_open_without_memory(void)
{
	struct rlimit limit = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY };

	if (LIVE_SANITIZED)
		HMMU_SKIP("a sanitizer needs memory itself");
	HMMU_CHECK_OK(getrlimit(RLIMIT_AS, &limit));
	limit.rlim_cur = 1ul << 20;
	HMMU_CHECK_OK(setrlimit(RLIMIT_AS, &limit));
	check_fails(NULL, -ENOMEM, "RLIMIT_AS");
}

/* Root sees /proc always, unless it is not there; others only their own. */
static void test_open_without_proc(void)
{
	bool is_root = geteuid() == 0;

	need_space();
	if (is_root && chroot("/sys"))
		HMMU_SKIP("chroot");
	if (!is_root)
		HMMU_CHECK_OK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	check_fails(NULL, is_root ? -ENOENT : -EACCES, "/proc/self");
}

/* A child of a raw clone(2) while its parent has a space. */
static void test_open_in_a_child_without_fork(void)
{
	pid_t child;
	int status;

	live_open_space();
	child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	HMMU_CHECK(child >= 0);
	if (child == 0) {
		check_fails(NULL, -ECHILD, "fork(3)");
		_exit(0);
	}
	HMMU_CHECK_INT(waitpid(child, &status, 0), child);
	HMMU_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	HMMU_CHECK_OK(hmmu_space_close(live_space));
}

HMMU_TEST_MAIN(HMMU_TEST(test_open_arguments),
	       HMMU_TEST(test_open_without_userfaultfd),
	       HMMU_TEST(test_open_again_installs_no_handler),
	       HMMU_TEST(test_open_refused_signal_handlers),
	       HMMU_TEST(test_open_without_descriptors),
	       HMMU_TEST(test_open_without_files),
	       HMMU_TEST(test_open_without_threads),
	       HMMU_TEST(test_open_without_memory),
	       HMMU_TEST(test_open_without_proc),
	       HMMU_TEST(test_open_in_a_child_without_fork))
