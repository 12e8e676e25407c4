/* SPDX-License-Identifier: MIT */
/*
 * The harness runs each case of a live test in a child process; see harness.h
 *
 * The parent has one thread and polls two descriptors: the pipe with the
 * child's output, and a pidfd that becomes readable when the child ends. It
 * does not wait for the end of the pipe, because a stray grandchild may keep it
 * open. It reaps the child only after it has killed the process group: until
 * then the zombie keeps the kernel from using the group's number again.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	STATUS_FAIL = 1,
	STATUS_USAGE = 2,
	STATUS_SKIP = 77,
	DEFAULT_TIMEOUT_S = 30,
	DEFAULT_STRESS_S = 3,
	OUTPUT_BYTES = 64 * 1024,
	ONLY_MAX = 64,
};

static struct {
	const char *only[ONLY_MAX];
	size_t only_count;
	unsigned int timeout_s;
	unsigned int seconds;
	unsigned int slowness;
	uint64_t seed;
	uint64_t ops;
	bool trace;
	bool list;
	bool no_fork;
} options;

/* In the child: a pipe for the reason of a skip. In the parent: the child. */
static int reason_fd = -1;
static volatile sig_atomic_t running_group;

/**
 * struct run - a running case and its result
 * @pid: the child, and its process group.
 * @pid_fd: readable after the child has ended.
 * @output_fd: output of the child; non-blocking.
 * @reason_fd: the reason of a skip; non-blocking.
 * @output: the first OUTPUT_BYTES of the output.
 * @used_bytes: bytes used at @output.
 * @lost_bytes: bytes of the output that did not fit.
 * @reason: the missing capability.
 * @status: from waitpid(2).
 * @timed_out: the parent killed it.
 */
struct run {
	pid_t pid;
	int pid_fd;
	int output_fd;
	int reason_fd;
	char *output;
	size_t used_bytes;
	size_t lost_bytes;
	char reason[256];
	int status;
	bool timed_out;
};

/* Checks ------------------------------------------------------------------ */

static void write_all(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t done = write(fd, text, bytes);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		text += done;
		bytes -= (size_t)done;
	}
}

/* Writes one line from the stack, because stdio's buffer may be on a device. */
_Noreturn void hmmu_test_fail(const char *file, int line, const char *format,
			      ...)
{
	char text[1024];
	int length =
		snprintf(text, sizeof(text), "%s:%d: failed: ", file, line);
	va_list args;

	va_start(args, format);
	length += vsnprintf(text + length, sizeof(text) - (size_t)length - 1,
			    format, args);
	va_end(args);
	if ((size_t)length > sizeof(text) - 2)
		length = sizeof(text) - 2;
	text[length] = '\n';
	write_all(STDOUT_FILENO, text, (size_t)length + 1);
	_exit(STATUS_FAIL);
}

_Noreturn void hmmu_test_skip(const char *capability)
{
	if (reason_fd >= 0)
		write_all(reason_fd, capability, strlen(capability));
	fflush(NULL);
	_exit(STATUS_SKIP);
}

void hmmu_test_check_int(const char *file, int line, const char *text_a,
			 const char *text_b, long long a, long long b)
{
	if (a != b)
		hmmu_test_fail(file, line,
			       "%s == %s: %lld (0x%llx), %lld (0x%llx)", text_a,
			       text_b, a, (unsigned long long)a, b,
			       (unsigned long long)b);
}

void hmmu_test_check_ok(const char *file, int line, const char *text,
			long long result)
{
	const char *name = NULL;

	if (result == 0)
		return;
	if (result < 0 && result > -4096)
		name = strerrorname_np((int)-result);
	hmmu_test_fail(file, line, "%s: %lld (%s)", text, result,
		       name ? name : "no errno");
}

void hmmu_test_check_mem(const char *file, int line, const void *a,
			 const void *b, size_t size_bytes)
{
	const unsigned char *byte_a = a;
	const unsigned char *byte_b = b;

	for (size_t i = 0; i < size_bytes; i++) {
		if (byte_a[i] != byte_b[i])
			hmmu_test_fail(file, line,
				       "byte %zu of %zu: 0x%02x, 0x%02x", i,
				       size_bytes, byte_a[i], byte_b[i]);
	}
}

uint64_t hmmu_test_seed(void)
{
	printf("seed %llu\n", (unsigned long long)options.seed);
	fflush(stdout);
	return options.seed;
}

unsigned int hmmu_test_seconds(void)
{
	return options.seconds ? options.seconds : DEFAULT_STRESS_S;
}

uint64_t hmmu_test_ops(void)
{
	return options.ops ? options.ops : UINT64_MAX;
}

bool hmmu_test_trace(void)
{
	return options.trace;
}

unsigned int hmmu_test_slowness(void)
{
	return options.slowness;
}

/* The child --------------------------------------------------------------- */

/*
 * The child dies with the parent. It leaves no core dump, unless a case raises
 * the limit again.
 */
static void isolate(pid_t parent)
{
	struct rlimit core;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(STATUS_FAIL);
	if (!getrlimit(RLIMIT_CORE, &core)) {
		core.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &core);
	}
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
}

/* exit(), not _exit(): a process may exit while a space is open. */
static _Noreturn void child_main(const struct hmmu_test *test, pid_t parent,
				 int output, int reason)
{
	isolate(parent);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	reason_fd = reason;
	test->fn();
	exit(EXIT_SUCCESS);
}

/* Start the child. Returns -errno if there is no process or descriptor left. */
static int run_start(struct run *run, const struct hmmu_test *test)
{
	int output[2], reason[2];
	pid_t parent = getpid();

	if (pipe2(output, O_CLOEXEC) || pipe2(reason, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	run->pid = fork();
	if (run->pid < 0)
		return -errno;
	if (run->pid == 0)
		child_main(test, parent, output[1], reason[1]);
	setpgid(run->pid, run->pid);
	running_group = run->pid;
	close(output[1]);
	close(reason[1]);
	run->output_fd = output[0];
	run->reason_fd = reason[0];
	fcntl(run->output_fd, F_SETFL, O_NONBLOCK);
	fcntl(run->reason_fd, F_SETFL, O_NONBLOCK);
	run->pid_fd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	return run->pid_fd < 0 ? -errno : 0;
}

/* The parent -------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void output_append(struct run *run, const char *text, size_t bytes)
{
	size_t room = OUTPUT_BYTES - run->used_bytes;
	size_t taken = bytes < room ? bytes : room;

	memcpy(run->output + run->used_bytes, text, taken);
	run->used_bytes += taken;
	run->lost_bytes += bytes - taken;
}

/* Read the available output. Returns false at the end of the pipe. */
static bool output_drain(struct run *run)
{
	char piece[4096];

	for (;;) {
		ssize_t bytes = read(run->output_fd, piece, sizeof(piece));

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0)
			return bytes < 0;
		output_append(run, piece, (size_t)bytes);
	}
}

static void append_file(struct run *run, const char *what, const char *path)
{
	char text[512];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (bytes <= 0)
		return;
	text[bytes] = '\0';
	text[strcspn(text, "\n")] = '\0';
	output_append(run, what, strlen(what));
	output_append(run, text, strlen(text));
}

/* Report where each thread waits: most cases time out in the kernel. */
static void append_threads(struct run *run)
{
	char path[320];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", run->pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		static const char *const files[] = { "comm", "wchan",
						     "syscall" };

		if (entry->d_name[0] == '.')
			continue;
		output_append(run, "thread", strlen("thread"));
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%s/%s",
				 run->pid, entry->d_name, files[i]);
			append_file(run, " ", path);
		}
		output_append(run, "\n", 1);
	}
	if (tasks)
		closedir(tasks);
}

static void run_wait(struct run *run, unsigned int timeout_s)
{
	int64_t deadline_ms = now_ms() + (int64_t)timeout_s * 1000;
	struct pollfd fds[2] = {
		{ .fd = run->pid_fd, .events = POLLIN },
		{ .fd = run->output_fd, .events = POLLIN },
	};

	while (!(fds[0].revents & POLLIN)) {
		int64_t left_ms = deadline_ms - now_ms();

		if (left_ms <= 0) {
			run->timed_out = true;
			append_threads(run);
			return;
		}
		poll(fds, 2, (int)left_ms);
		if (fds[1].revents && !output_drain(run))
			fds[1].fd = -1;
	}
}

/* Kill the group first and reap its leader last: see the top of the file. */
static void run_finish(struct run *run)
{
	ssize_t bytes;

	kill(-run->pid, SIGKILL);
	kill(run->pid, SIGKILL);
	while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR)
		;
	running_group = 0;
	output_drain(run);
	bytes = read(run->reason_fd, run->reason, sizeof(run->reason) - 1);
	run->reason[bytes > 0 ? bytes : 0] = '\0';
	close(run->pid_fd);
	close(run->output_fd);
	close(run->reason_fd);
}

/* Print the output of the case as comments of its TAP line. */
static void print_comments(const struct run *run)
{
	const char *line = run->output;
	const char *end = run->output + run->used_bytes;

	while (line < end) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));

		if (!stop)
			stop = end;
		printf("# %.*s\n", (int)(stop - line), line);
		line = stop + 1;
	}
	if (run->lost_bytes)
		printf("# ... and %zu bytes more\n", run->lost_bytes);
}

static void print_status(const struct run *run, unsigned int timeout_s)
{
	if (run->timed_out)
		printf("# still running after %u s: killed\n", timeout_s);
	else if (WIFSIGNALED(run->status))
		printf("# ended by signal %d (%s)\n", WTERMSIG(run->status),
		       strsignal(WTERMSIG(run->status)));
	else if (WEXITSTATUS(run->status))
		printf("# exit status %d\n", WEXITSTATUS(run->status));
}

static bool run_skipped(const struct run *run)
{
	return !run->timed_out && WIFEXITED(run->status) &&
	       WEXITSTATUS(run->status) == STATUS_SKIP && run->reason[0];
}

static bool run_passed(const struct run *run)
{
	return !run->timed_out && WIFEXITED(run->status) &&
	       WEXITSTATUS(run->status) == 0;
}

static unsigned int case_timeout_s(const struct hmmu_test *test)
{
	if (options.timeout_s)
		return options.timeout_s;
	return (test->timeout_s ? test->timeout_s : DEFAULT_TIMEOUT_S) *
		       options.slowness +
	       options.seconds;
}

/* Run one case and print its TAP line. Returns false if it failed. */
static bool run_case(const struct hmmu_test *test, size_t number)
{
	struct run run = { .output = malloc(OUTPUT_BYTES) };
	unsigned int timeout_s = case_timeout_s(test);
	int err = run.output ? run_start(&run, test) : -ENOMEM;
	bool good;

	if (err) {
		printf("Bail out! no process for %s: %s\n", test->name,
		       strerror(-err));
		exit(STATUS_FAIL);
	}
	run_wait(&run, timeout_s);
	run_finish(&run);
	good = run_passed(&run) || run_skipped(&run);
	printf("%sok %zu - %s", good ? "" : "not ", number, test->name);
	if (run_skipped(&run))
		printf(" # SKIP %s", run.reason);
	printf("\n");
	print_comments(&run);
	if (!good)
		print_status(&run, timeout_s);
	fflush(stdout);
	free(run.output);
	return good;
}

/* A signal to the parent also kills the case and its grandchildren. */
static void on_end(int signal_number)
{
	if (running_group)
		kill(-running_group, SIGKILL);
	_exit(128 + signal_number);
}

/* Arguments --------------------------------------------------------------- */

static int usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [--list] [--only NAME]... [--timeout SECONDS]\n"
		"       [--seed N] [--seconds N] [--ops N] [--trace] [--no-fork]\n",
		program);
	return STATUS_USAGE;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || value > max)
		return false;
	*ret = value;
	return true;
}

static bool parse_option(int option, const char *value)
{
	uint64_t number = 0;

	switch (option) {
	case 'l':
		options.list = true;
		return true;
	case 'f':
		options.no_fork = true;
		return true;
	case 'r':
		options.trace = true;
		return true;
	case 'o':
		if (options.only_count == ONLY_MAX)
			return false;
		options.only[options.only_count++] = value;
		return true;
	case 't':
	case 's':
		if (!parse_number(value, 86400, &number) || number == 0)
			return false;
		*(option == 't' ? &options.timeout_s : &options.seconds) =
			(unsigned int)number;
		return true;
	case 'e':
		return parse_number(value, UINT64_MAX, &options.seed);
	case 'p':
		return parse_number(value, UINT64_MAX, &options.ops);
	default:
		return false;
	}
}

static bool parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "list", no_argument, NULL, 'l' },
		{ "no-fork", no_argument, NULL, 'f' },
		{ "only", required_argument, NULL, 'o' },
		{ "timeout", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'e' },
		{ "ops", required_argument, NULL, 'p' },
		{ "trace", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (!parse_option(option, optarg))
			return false;
	}
	return optind == argc && (!options.no_fork || options.only_count == 1);
}

/* From @variable, or @otherwise where that has no number above 0. */
static unsigned int number_of(const char *variable, uint64_t max,
			      unsigned int otherwise)
{
	const char *value = getenv(variable);
	uint64_t number = 0;

	if (!value || !parse_number(value, max, &number) || number == 0)
		return otherwise;
	return (unsigned int)number;
}

static void default_options(void)
{
	options.slowness = number_of("HMMU_TEST_SLOWNESS", 100, 1);
	options.seconds = number_of("HMMU_TEST_SECONDS", 86400, 0);
	if (getrandom(&options.seed, sizeof(options.seed), 0) < 0)
		options.seed = (uint64_t)now_ms();
}

static bool is_selected(const struct hmmu_test *test)
{
	for (size_t i = 0; i < options.only_count; i++) {
		if (strcmp(options.only[i], test->name) == 0)
			return true;
	}
	return options.only_count == 0;
}

static int run_selected(const struct hmmu_test *tests, size_t count)
{
	size_t number = 0;
	bool good = true;

	for (size_t i = 0; i < count; i++) {
		if (!is_selected(&tests[i]))
			continue;
		number++;
		if (options.list)
			puts(tests[i].name);
		else if (options.no_fork)
			tests[i].fn();
		else
			good &= run_case(&tests[i], number);
	}
	return good ? EXIT_SUCCESS : STATUS_FAIL;
}

int hmmu_test_main(int argc, char **argv, const struct hmmu_test *tests,
		   size_t count)
{
	size_t selected = 0;

	default_options();
	if (!parse_options(argc, argv))
		return usage(argv[0]);
	for (size_t i = 0; i < count; i++)
		selected += is_selected(&tests[i]);
	if (selected < options.only_count || selected == 0) {
		fprintf(stderr, "%s: no such case\n", argv[0]);
		return STATUS_USAGE;
	}
	signal(SIGTERM, on_end);
	signal(SIGINT, on_end);
	if (!options.list && !options.no_fork)
		printf("1..%zu\n", selected);
	return run_selected(tests, count);
}
