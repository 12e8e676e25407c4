/* SPDX-License-Identifier: MIT */
/*
 * What the platform offers. The answers depend on the machine, so the cases
 * compare them with what the facility does when it is used, with one another,
 * and with what switches, a lost privilege and a filter must take away.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hmmu/platform.h>

#include "base/compiler.h"
#include "base/sys.h"
#include "live/probe.h"
#include "uapi/linux_mm.h"

#define FACILITIES_MAX 32u

/* --- the answer as a table ------------------------------------------------ */

struct answer {
	struct hmmu_facility facility[FACILITIES_MAX];
	size_t count;
};

static void ask(struct answer *answer)
{
	answer->facility[0].size = sizeof(answer->facility[0]);
	assert_int_equal(hmmu_platform_query(answer->facility, FACILITIES_MAX,
					     &answer->count),
			 0);
	assert_in_range(answer->count, 1, FACILITIES_MAX);
}

static const struct hmmu_facility *find(const struct answer *answer,
					const char *name)
{
	for (size_t i = 0; i < answer->count; i++) {
		if (!strcmp(answer->facility[i].name, name))
			return &answer->facility[i];
	}
	fail_msg("no facility %s", name);
	return NULL;
}

static void test_platform_each_facility_is_explained(void **state)
{
	struct answer answer;

	(void)state;
	ask(&answer);
	for (size_t i = 0; i < answer.count; i++) {
		const struct hmmu_facility *f = &answer.facility[i];

		assert_int_equal(f->size, sizeof(*f));
		assert_ptr_equal(find(&answer, f->name), f);
		assert_true(strlen(f->reason) > 10);
		if (!!f->available == !!f->instead)
			fail_msg("%s: available %d, instead %s", f->name,
				 f->available, f->instead);
	}
}

static void test_platform_counts_without_room(void **state)
{
	struct answer answer;
	struct hmmu_facility two[3] = { { .size = sizeof(two[0]) } };
	size_t count = 0;

	(void)state;
	ask(&answer);
	assert_int_equal(hmmu_platform_query(NULL, 0, &count), 0);
	assert_int_equal(count, answer.count);
	two[2].name = "untouched";
	assert_int_equal(hmmu_platform_query(two, 2, &count), 0);
	assert_int_equal(count, answer.count);
	assert_string_equal(two[1].name, answer.facility[1].name);
	assert_string_equal(two[2].name, "untouched");
}

/* A caller built with a later header has longer records. */
static void test_platform_fills_longer_records(void **state)
{
	struct {
		struct hmmu_facility facility;
		uint64_t later;
	} longer[2];
	size_t count;

	(void)state;
	memset(longer, 0x5a, sizeof(longer));
	longer[0].facility.size = sizeof(longer[0]);
	assert_int_equal(hmmu_platform_query(&longer[0].facility, 2, &count),
			 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(longer[i].facility.size, sizeof(longer[0]));
		assert_true(longer[i].later == 0);
	}
	assert_string_equal(longer[0].facility.name, "userfaultfd");
	assert_string_equal(longer[1].facility.name, "kernel-faults");
}

static void test_platform_refuses_bad_arguments(void **state)
{
	struct hmmu_facility one = { .size = sizeof(one) - 1 };
	size_t count = 77;

	(void)state;
	assert_int_equal(hmmu_platform_query(&one, 1, NULL), -EINVAL);
	assert_int_equal(hmmu_platform_query(NULL, 1, &count), -EINVAL);
	assert_int_equal(hmmu_platform_query(&one, 1, &count), -EINVAL);
	assert_int_equal(count, 77);
}

static size_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Mapped pages; two mappings that join would hide in a count of mappings. */
static size_t mapped_pages(void)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	size_t pages = 0;

	assert_non_null(statm);
	assert_int_equal(fscanf(statm, "%zu", &pages), 1);
	fclose(statm);
	return pages;
}

static void test_platform_leaves_nothing_behind(void **state)
{
	struct answer answer;
	size_t files, pages;

	(void)state;
	ask(&answer);
	files = open_files();
	pages = mapped_pages();
	errno = 123;
	for (int i = 0; i < 20; i++)
		ask(&answer);
	assert_int_equal(errno, 123);
	assert_int_equal(open_files(), files);
	assert_in_range(mapped_pages(), 1, pages + 20);
}

/* --- the file ------------------------------------------------------------- */

/* Skips the case if there is no userfaultfd at all. */
static struct hmmu__platform open_platform(void)
{
	struct hmmu__platform platform;

	assert_int_equal(hmmu__platform_open(&platform), 0);
	if (platform.uffd < 0) {
		assert_non_null(platform.why);
		skip();
	}
	assert_null(platform.why);
	return platform;
}

static void test_platform_file_is_ready_for_use(void **state)
{
	struct hmmu__platform p = open_platform();
	struct uffdio_api again = { .api = UFFD_API };
	struct uffd_msg message;

	(void)state;
	assert_int_equal(fcntl(p.uffd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(p.uffd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(hmmu__sys_read(p.uffd, &message, sizeof(message)),
			 -EAGAIN);
	/* Hands have been shaken: that is done once only. */
	assert_true(hmmu__sys_ioctl(p.uffd, UFFDIO_API, &again) < 0);
	assert_int_equal(p.features & ~p.supported, 0);
	assert_int_equal(p.features &
				 (UFFD_FEATURE_EVENT_FORK |
				  UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_SIGBUS),
			 0);
	assert_true(p.have_events);
	assert_true(p.features & UFFD_FEATURE_THREAD_ID);
	hmmu__platform_close(&p);
	assert_true(p.uffd < 0);
	hmmu__platform_close(&p);
}

static void test_platform_file_tells_events(void **state)
{
	struct hmmu__platform p = open_platform();
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg message = { 0 };
	int status = -1;
	pid_t child;
	void *page;

	(void)state;
	/* In a child: who unmaps waits until somebody has read the event. */
	child = fork();
	if (child == 0) {
		hmmu__platform_close(&p);
		if (hmmu__platform_open(&p) || p.uffd < 0)
			_exit(3);
		page = mmap(NULL, HMMU_PAGE_BYTES, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		reg.range.start = (uintptr_t)page;
		reg.range.len = HMMU_PAGE_BYTES;
		if (hmmu__sys_ioctl(p.uffd, UFFDIO_REGISTER, &reg))
			_exit(1);
		alarm(10);
		if (fork() == 0) {
			/* The registration is not the grandchild's. */
			for (;;) {
				if (hmmu__sys_read(p.uffd, &message,
						   sizeof(message)) > 0)
					_exit(message.event !=
					      UFFD_EVENT_UNMAP);
				usleep(1000);
			}
		}
		munmap(page, HMMU_PAGE_BYTES);
		_exit(wait(&status) > 0 && status == 0 ? 0 : 2);
	}
	assert_true(waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
	hmmu__platform_close(&p);
}

/* What is promised of MOVE is tried here once more, by other means. */
static void test_platform_move_moves(void **state)
{
	struct hmmu__platform p = open_platform();
	char *memory = mmap(NULL, 2 * HMMU_PAGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {
		.range = { (uintptr_t)memory, HMMU_PAGE_BYTES },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_move move = {
		.dst = (uintptr_t)memory,
		.src = (uintptr_t)memory + HMMU_PAGE_BYTES,
		.len = HMMU_PAGE_BYTES,
	};
	int err;

	(void)state;
	strcpy(memory + HMMU_PAGE_BYTES, "moved");
	assert_int_equal(hmmu__sys_ioctl(p.uffd, UFFDIO_REGISTER, &reg), 0);
	err = hmmu__sys_ioctl(p.uffd, UFFDIO_MOVE, &move);
	hmmu__sys_ioctl(p.uffd, UFFDIO_UNREGISTER, &reg.range);
	assert_int_equal(p.have_move, err == 0);
	if (!err)
		assert_string_equal(memory, "moved");
	munmap(memory, 2 * HMMU_PAGE_BYTES);
	hmmu__platform_close(&p);
}

/* --- switches ------------------------------------------------------------- */

static void assert_forced(const char *variable, const char *name)
{
	const struct hmmu_facility *f;
	struct answer answer;

	assert_int_equal(setenv(variable, "1", 1), 0);
	ask(&answer);
	f = find(&answer, name);
	assert_false(f->available);
	assert_true(f->forced_off);
	assert_non_null(strstr(f->reason, variable));
	assert_non_null(f->instead);
	for (size_t i = 0; i < answer.count; i++) {
		if (&answer.facility[i] != f)
			assert_false(answer.facility[i].forced_off);
	}
	assert_int_equal(unsetenv(variable), 0);
}

static void test_platform_switch_takes_one_facility_away(void **state)
{
	(void)state;
	assert_forced("HMMU_FORCE_USER_MODE", "kernel-faults");
	assert_forced("HMMU_FORCE_NO_MOVE", "move");
	assert_forced("HMMU_FORCE_NO_PAGEMAP_SCAN", "pagemap-scan");
	assert_forced("HMMU_FORCE_NO_PROCMAP_QUERY", "procmap-query");
	assert_forced("HMMU_FORCE_NO_POPULATE", "madvise-populate");
	assert_forced("HMMU_FORCE_NO_HOOKS", "hooks");
}

/* It is looked at once in a process: in a child, before the first look. */
static void test_platform_switch_for_membarrier(void **state)
{
	int status = -1;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		char *const argv[] = { (char *)(uintptr_t) "test_probe",
				       (char *)(uintptr_t) "membarrier", NULL };

		setenv("HMMU_FORCE_NO_MEMBARRIER", "1", 1);
		execv("/proc/self/exe", argv);
		_exit(99);
	}
	assert_true(waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
}

static int membarrier_is_forced_off(void)
{
	struct hmmu__platform p;

	if (hmmu__platform_open(&p))
		return 1;
	hmmu__platform_close(&p);
	return p.have_membarrier ? 2 : 0;
}

static void test_platform_switch_off_is_off(void **state)
{
	(void)state;
	setenv("HMMU_FORCE_NO_UFFD", "0", 1);
	assert_false(hmmu__force_is_set(HMMU__FORCE_NO_UFFD));
	setenv("HMMU_FORCE_NO_UFFD", "", 1);
	assert_false(hmmu__force_is_set(HMMU__FORCE_NO_UFFD));
	setenv("HMMU_FORCE_NO_UFFD", "01", 1);
	assert_true(hmmu__force_is_set(HMMU__FORCE_NO_UFFD));
	unsetenv("HMMU_FORCE_NO_UFFD");
	assert_false(hmmu__force_is_set(HMMU__FORCE_NO_UFFD));
}

static void test_platform_without_uffd_nothing_rests_on_it(void **state)
{
	static const char *const resting[] = {
		"userfaultfd",	"kernel-faults", "event-unmap",
		"event-remove", "event-remap",	 "thread-id",
		"move",		"write-protect", "sigbus",
	};
	struct answer answer;
	struct hmmu__platform p;

	(void)state;
	setenv("HMMU_FORCE_NO_UFFD", "1", 1);
	assert_int_equal(hmmu__platform_open(&p), 0);
	ask(&answer);
	unsetenv("HMMU_FORCE_NO_UFFD");
	assert_int_equal(p.uffd, -EPERM);
	assert_non_null(strstr(p.why, "HMMU_FORCE_NO_UFFD"));
	assert_true(!p.have_move && !p.have_events && !p.features);
	for (size_t i = 0; i < HMMU_ARRAY_SIZE(resting); i++) {
		assert_false(find(&answer, resting[i])->available);
		assert_true(find(&answer, resting[i])->forced_off);
	}
	hmmu__platform_close(&p);
}

/* A kernel without UFFDIO_MOVE: which one has it, and how Debian 12 gets it. */
static void assert_names_kernel(const char *sentence)
{
	assert_non_null(strstr(sentence, "Linux 6.8"));
	assert_non_null(strstr(sentence, "apt install linux-image-6.12-amd64"));
	assert_null(strstr(sentence, "HMMU_FORCE"));
}

/* The kernel may have it: only the variable is named. */
static void assert_names_variable(const char *sentence)
{
	assert_non_null(strstr(sentence, "HMMU_FORCE_NO_MOVE"));
	assert_null(strstr(sentence, "install"));
}

static void test_platform_without_move_says_what_to_change(void **state)
{
	struct hmmu__platform p;
	struct answer answer;

	(void)state;
	setenv("HMMU_FORCE_NO_MOVE", "1", 1);
	p = open_platform();
	ask(&answer);
	assert_names_variable(hmmu__without_move_sentence());
	unsetenv("HMMU_FORCE_NO_MOVE");
	assert_false(p.have_move);
	assert_int_equal(p.features & UFFD_FEATURE_MOVE, 0);
	assert_names_variable(find(&answer, "move")->reason);
	assert_null(strstr(find(&answer, "move")->instead, "install"));
	hmmu__platform_close(&p);
	assert_names_kernel(hmmu__without_move_sentence());
	ask(&answer);
	if (!find(&answer, "move")->available)
		assert_names_kernel(find(&answer, "move")->reason);
}

static void test_platform_forced_user_mode_is_user_mode(void **state)
{
	struct hmmu__platform p;

	(void)state;
	setenv("HMMU_FORCE_USER_MODE", "1", 1);
	p = open_platform();
	unsetenv("HMMU_FORCE_USER_MODE");
	assert_true(p.user_mode_only);
	assert_true(p.have_events);
	hmmu__platform_close(&p);
}

/* --- lost privileges ------------------------------------------------------ */

/* Makes userfaultfd(2) fail with @err in this process. */
static bool filter_userfaultfd(unsigned int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { HMMU_ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

#define CHILD_SKIPS 77

/* Runs @fn in a child; it returns whether all was as it should be. */
static void in_child(int (*fn)(void))
{
	int status = -1;
	pid_t child;

	/* What was said so far is not said twice. */
	fflush(NULL);
	child = fork();
	if (child == 0)
		_exit(fn());
	assert_true(child > 0);
	assert_true(waitpid(child, &status, 0) == child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_SKIPS)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* An ordinary user can not open /dev/userfaultfd, which passes the filter. */
static bool become_nobody(void)
{
	return geteuid() != 0 || (setresgid(65534, 65534, 65534) == 0 &&
				  setresuid(65534, 65534, 65534) == 0);
}

static bool can_open_device(void)
{
	return access("/dev/userfaultfd", R_OK | W_OK) == 0;
}

static int refused_by(unsigned int err, const char *word)
{
	struct hmmu__platform p;

	if (!become_nobody() || can_open_device() || !filter_userfaultfd(err))
		return CHILD_SKIPS;
	if (hmmu__platform_open(&p) || p.uffd != -(int)err)
		return 1;
	if (!p.why || !strstr(p.why, word))
		return 2;
	/* The rest does not depend on it. */
	return p.features || p.have_move || !p.have_populate ? 3 : 0;
}

static int refused_by_filter(void)
{
	return refused_by(EPERM, "seccomp");
}

static int refused_by_kernel(void)
{
	return refused_by(ENOSYS, "CONFIG_USERFAULTFD");
}

static int refused_by_age(void)
{
	return refused_by(EINVAL, "vm.unprivileged_userfaultfd");
}

static int refused_by_limit(void)
{
	size_t count = 5;

	if (refused_by(EMFILE, "RLIMIT_NOFILE"))
		return 1;
	return hmmu_platform_query(NULL, 0, &count) == -EMFILE && count == 5 ?
		       0 :
		       2;
}

static void test_platform_refusals_say_what_to_change(void **state)
{
	(void)state;
	in_child(refused_by_filter);
	in_child(refused_by_kernel);
	in_child(refused_by_age);
	in_child(refused_by_limit);
}

static int unprivileged_is_allowed(void)
{
	int fd = open("/proc/sys/vm/unprivileged_userfaultfd", O_RDONLY);
	char digit = '1';

	if (fd >= 0) {
		if (read(fd, &digit, 1) != 1)
			digit = '1';
		close(fd);
	}
	return digit != '0';
}

static int ordinary_user_has_user_mode(void)
{
	const struct hmmu_facility *f;
	struct hmmu__platform p;
	struct answer answer;

	if (unprivileged_is_allowed() || !become_nobody() || can_open_device())
		return CHILD_SKIPS;
	if (hmmu__platform_open(&p) || p.uffd < 0)
		return CHILD_SKIPS;
	ask(&answer);
	f = find(&answer, "kernel-faults");
	if (f->available || f->forced_off || !strstr(f->reason, "CAP_SYS"))
		return 2;
	return p.user_mode_only && p.have_events ? 0 : 3;
}

static void test_platform_ordinary_user_has_user_mode(void **state)
{
	(void)state;
	in_child(ordinary_user_has_user_mode);
}

/* The call refused, the device file is the second way to the full one. */
static int device_is_second_way(void)
{
	struct hmmu__platform p;

	if (!can_open_device() || !filter_userfaultfd(EPERM))
		return CHILD_SKIPS;
	if (hmmu__platform_open(&p))
		return 1;
	return p.uffd >= 0 && !p.user_mode_only ? 0 : 2;
}

static void test_platform_device_file_is_the_second_way(void **state)
{
	(void)state;
	in_child(device_is_second_way);
}

/* What the whole suite may be run under is not for these cases. */
static int forget_switches(void **state)
{
	static const char *const variables[] = {
		"HMMU_FORCE_NO_UFFD",	       "HMMU_FORCE_USER_MODE",
		"HMMU_FORCE_NO_MOVE",	       "HMMU_FORCE_NO_PAGEMAP_SCAN",
		"HMMU_FORCE_NO_PROCMAP_QUERY", "HMMU_FORCE_NO_POPULATE",
		"HMMU_FORCE_NO_MEMBARRIER",    "HMMU_FORCE_NO_HOOKS",
	};

	(void)state;
	for (size_t i = 0; i < HMMU_ARRAY_SIZE(variables); i++)
		unsetenv(variables[i]);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_platform_each_facility_is_explained),
		cmocka_unit_test(test_platform_counts_without_room),
		cmocka_unit_test(test_platform_fills_longer_records),
		cmocka_unit_test(test_platform_refuses_bad_arguments),
		cmocka_unit_test(test_platform_leaves_nothing_behind),
		cmocka_unit_test(test_platform_file_is_ready_for_use),
		cmocka_unit_test(test_platform_file_tells_events),
		cmocka_unit_test(test_platform_move_moves),
		cmocka_unit_test(test_platform_switch_takes_one_facility_away),
		cmocka_unit_test(test_platform_switch_for_membarrier),
		cmocka_unit_test(test_platform_switch_off_is_off),
		cmocka_unit_test(
			test_platform_without_uffd_nothing_rests_on_it),
		cmocka_unit_test(
			test_platform_without_move_says_what_to_change),
		cmocka_unit_test(test_platform_forced_user_mode_is_user_mode),
		cmocka_unit_test(test_platform_refusals_say_what_to_change),
		cmocka_unit_test(test_platform_ordinary_user_has_user_mode),
		cmocka_unit_test(test_platform_device_file_is_the_second_way),
	};

	/* The membarrier case starts this program anew. */
	if (argc == 2 && !strcmp(argv[1], "membarrier"))
		return membarrier_is_forced_off();
	return cmocka_run_group_tests(tests, forget_switches, NULL);
}
