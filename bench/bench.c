/* SPDX-License-Identifier: MIT */
/*
 * hmmu bench: the table of rows, the options, and the child that runs a row
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "output.h"
#include "rows.h"

#define ROW_LIMIT_S 120u

static const struct bench_row rows[] = {
	{ "migrate_out_large", "1 GiB of large pages to device memory",
	  "ms/GiB", "<= 1.5 x a loop of UFFDIO_MOVE of 2 MiB", BENCH_RATIO_MAX,
	  1.5, bench_migrate_out_large },
	{ "migrate_home_large", "1 GiB of large pages to system memory",
	  "ms/GiB", "<= 1.5 x a loop of UFFDIO_MOVE of 2 MiB", BENCH_RATIO_MAX,
	  1.5, bench_migrate_home_large },
	{ "migrate_out_small", "4 KiB pages to device memory", "ms/GiB",
	  "none set; floor: UFFDIO_MOVE of 512 pages each", BENCH_NOT_JUDGED, 0,
	  bench_migrate_out_small },
	{ "migrate_home_small", "4 KiB pages to system memory", "ms/GiB",
	  "none set; floor: UFFDIO_MOVE of 512 pages each", BENCH_NOT_JUDGED, 0,
	  bench_migrate_home_small },
	{ "touch_4k", "CPU access to a 4 KiB page on the device", "us",
	  "<= 1.3 x the bare userfaultfd round trip", BENCH_RATIO_MAX, 1.3,
	  bench_touch_4k },
	{ "touch_2m", "CPU access to a 2 MiB page on the device", "us",
	  "none set; floor: bare userfaultfd round trip", BENCH_NOT_JUDGED, 0,
	  bench_touch_2m },
	{ "sweep", "CPU sweep over 1 GiB on the device", "GB/s",
	  ">= 33: ten times UMap's best with 2 MiB pages", BENCH_OURS_MIN, 33,
	  bench_sweep },
	{ "munmap_used", "munmap of memory that a device used", "ns",
	  "<= 1000 over the bare system call", BENCH_OVER_MAX, 1000,
	  bench_munmap_used },
	{ "munmap_unused", "munmap of memory that no device used", "ns",
	  "<= 50 over the bare system call", BENCH_OVER_MAX, 50,
	  bench_munmap_unused },
	{ "munmap_part", "munmap of a part of device memory", "us",
	  "none set; floor: the same in system memory", BENCH_NOT_JUDGED, 0,
	  bench_munmap_part },
	{ "exclusive_acquire", "make a page exclusive to the device", "us",
	  "none set; floor: UFFDIO_MOVE of the page", BENCH_NOT_JUDGED, 0,
	  bench_exclusive_acquire },
	{ "exclusive_revoke", "CPU access to an exclusive page", "us",
	  "none set; floor: bare userfaultfd round trip", BENCH_NOT_JUDGED, 0,
	  bench_exclusive_revoke },
	{ "make_resident", "populate memory before a system call", "us",
	  "none set; floor: UFFDIO_MOVE and MADV_POPULATE_WRITE",
	  BENCH_NOT_JUDGED, 0, bench_make_resident },
	{ "pin", "pin and unpin present memory", "ns", "none set",
	  BENCH_NOT_JUDGED, 0, bench_pin_unpin },
	{ "fork", "fork with 1 GiB on the device", "us",
	  "none set; floor: a plain fork of the same memory", BENCH_NOT_JUDGED,
	  0, bench_fork },
	{ "mirror_map_1", "page table: map one leaf", "ns",
	  "<= 50; floor: mutex and one store", BENCH_OURS_MAX, 50,
	  bench_mirror_map_1 },
	{ "mirror_unmap_1", "page table: unmap one leaf", "ns",
	  "<= 50; floor: mutex and one store", BENCH_OURS_MAX, 50,
	  bench_mirror_unmap_1 },
	{ "mirror_map_256", "page table: 256 leaves, per leaf", "ns",
	  "<= 1.5; floor: mutex and 256 stores", BENCH_OURS_MAX, 1.5,
	  bench_mirror_map_256 },
	{ "mirror_lookup", "page table: random look-ups in 64 GiB", "ns",
	  "<= 2; floor: reading a flat array", BENCH_OURS_MAX, 2,
	  bench_mirror_lookup },
	{ "mirror_runs", "page table: look up a run, walk; per leaf", "ns",
	  "none set", BENCH_NOT_JUDGED, 0, bench_mirror_runs },
	{ "mirror_memory", "page table: its own memory", "bytes/GiB",
	  "4 KiB large, 2 MiB small (+ upper tables), 0 after unmap",
	  BENCH_OURS_MAX, 0, bench_mirror_memory },
	{ "port_load_seq", "port: sequential 8-byte loads, each", "ns",
	  "<= 1 over a plain load", BENCH_OVER_MAX, 1, bench_port_load_seq },
	{ "port_span_bandwidth", "port: sum over spans", "GB/s",
	  ">= 0.95 x a plain sum of the same memory", BENCH_RATIO_MIN, 0.95,
	  bench_port_span_bandwidth },
	{ "snapshot", "range snapshot of 1 GiB", "us",
	  "<= 1.2 x a bare PAGEMAP_SCAN", BENCH_RATIO_MAX, 1.2,
	  bench_snapshot },
	{ "device_fault_4k", "device fault on a populated page", "us",
	  "<= 3; floor: PAGEMAP_SCAN of the page", BENCH_OURS_MAX, 3,
	  bench_device_fault_4k },
	{ "device_fault_2m", "device fault on a populated large page", "us",
	  "<= 4; floor: PAGEMAP_SCAN of the page", BENCH_OURS_MAX, 4,
	  bench_device_fault_2m },
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct options {
	bool json;
	bool quick;
	const char *only;
	unsigned int limit_s;
	/* For the child that runs one row. */
	const char *run;
	int into_fd;
};

/* --- the child ------------------------------------------------------------- */

/* The first two CPUs that this process may use. */
static void choose_cpus(struct bench_run *run)
{
	cpu_set_t set;
	int cpu;

	run->cpu = 0;
	run->other_cpu = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	run->cpu = -1;
	for (cpu = 0; cpu < CPU_SETSIZE && run->other_cpu < 0; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		if (run->cpu < 0)
			run->cpu = cpu;
		else
			run->other_cpu = cpu;
	}
}

/*
 * `hmmu bench --run NAME --into FD`, which the parent starts. FD is a memfd
 * with a struct bench_outcome.
 */
static int run_here(const struct options *o)
{
	struct bench_run run = { .quick = o->quick };
	size_t i;

	for (i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].name, o->run))
			run.row = &rows[i];
	run.out = mmap(NULL, sizeof(*run.out), PROT_READ | PROT_WRITE,
		       MAP_SHARED, o->into_fd, 0);
	if (!run.row || run.out == MAP_FAILED)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	choose_cpus(&run);
	run.row->fn(&run);
	run.out->state = BENCH_RAN;
	_exit(0);
}

/*
 * Executes the tool again, for one row. A fork would not be representative: the
 * child shares its memory with the parent, and the library checks each page of
 * a forked process.
 */
static int start_child(const struct bench_row *row, bool quick, int fd,
		       pid_t *pid)
{
	char self[] = "/proc/self/exe", tool[] = "hmmu", bench[] = "bench";
	char run[] = "--run", into[] = "--into", quickly[] = "--quick";
	char name[64], number[16];
	char *argv[] = {
		tool, bench, run, name, into, number, quick ? quickly : NULL,
		NULL
	};

	snprintf(name, sizeof(name), "%s", row->name);
	snprintf(number, sizeof(number), "%d", fd);
	return posix_spawn(pid, self, NULL, NULL, argv, environ);
}

/* Wait for @pid; true if it exceeded the limit and was killed. */
static bool wait_for(pid_t pid, unsigned int limit_s, int *status)
{
	struct pollfd p = { .events = POLLIN };
	bool late;

	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	late = p.fd >= 0 && poll(&p, 1, (int)limit_s * 1000) == 0;
	if (late)
		kill(pid, SIGKILL);
	if (p.fd >= 0)
		close(p.fd);
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		continue;
	return late;
}

/* Wait for the row. If it wrote no reason for its end, write one. */
static void wait_and_explain(struct bench_outcome *out, pid_t pid,
			     unsigned int limit_s)
{
	int status = 0;
	bool late = wait_for(pid, limit_s, &status);

	if (out->state != BENCH_FAILED || out->why[0])
		return;
	if (late)
		snprintf(out->why, sizeof(out->why), "did not end within %u s",
			 limit_s);
	else if (WIFSIGNALED(status))
		snprintf(out->why, sizeof(out->why), "ended by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out->why, sizeof(out->why), "ended early, status %d",
			 WEXITSTATUS(status));
}

static void run_row(const struct bench_row *row, struct bench_outcome *shared,
		    int fd, const struct options *o)
{
	pid_t pid;
	int err;

	/* The outcome if the child ends without writing one. */
	memset(shared, 0, sizeof(*shared));
	shared->state = BENCH_FAILED;
	err = start_child(row, o->quick, fd, &pid);
	if (err)
		snprintf(shared->why, sizeof(shared->why), "posix_spawn: %s",
			 strerror(err));
	else
		wait_and_explain(shared, pid, o->limit_s);
}

/* --- options --------------------------------------------------------------- */

static void usage(FILE *to)
{
	fprintf(to,
		"usage: hmmu bench [OPTION...]\n"
		"\n"
		"Measures the cost of HMMU beside a floor: the same operation\n"
		"with bare system calls or plain loads, in the same run.\n"
		"\n"
		"  --list            list the rows and their targets, run none\n"
		"  --only NAME,...   run only these rows\n"
		"  --quick           use less memory and fewer rounds\n"
		"  --json            print JSON instead of a table\n"
		"  --limit SECONDS   stop a row after SECONDS (%u)\n"
		"  --help            print this\n"
		"\n"
		"Needs up to 2 GiB of memory. Exit status: 0 the rows ran, whether\n"
		"or not they met their targets; 1 a row failed; 2 wrong arguments.\n",
		ROW_LIMIT_S);
}

static void list(void)
{
	size_t i;

	for (i = 0; i < ROWS; i++)
		printf("%-20s %s, %s\n%-20s   target: %s\n", rows[i].name,
		       rows[i].what, rows[i].unit, "", rows[i].target);
}

/* True if @name is one of the comma-separated @names. */
static bool is_named(const char *names, const char *name)
{
	size_t length = strlen(name);
	const char *at = names;

	while (*at) {
		size_t n = strcspn(at, ",");

		if (n == length && !memcmp(at, name, n))
			return true;
		at += n;
		at += *at == ',';
	}
	return false;
}

/* True if each of the comma-separated @names is a row. */
static bool are_rows(const char *names)
{
	char name[64];
	size_t n, i;

	for (; *names; names += n + (names[n] == ',')) {
		n = strcspn(names, ",");
		snprintf(name, sizeof(name), "%.*s", (int)n, names);
		for (i = 0; i < ROWS && strcmp(rows[i].name, name); i++)
			continue;
		if (i == ROWS) {
			fprintf(stderr,
				"hmmu bench: unknown row %s; --list lists the rows\n",
				name);
			return false;
		}
	}
	return true;
}

/* 0: not a number of seconds, or more than a day. */
static unsigned int parse_seconds(const char *text)
{
	char *end;
	unsigned long seconds = strtoul(text, &end, 10);

	return *end || *text == '-' || seconds > 24 * 60 * 60 ?
		       0 :
		       (unsigned int)seconds;
}

/* Returns the exit status, or -1 to go on. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "only", required_argument, NULL, 'o' },
		{ "quick", no_argument, NULL, 'q' },
		{ "limit", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "run", required_argument, NULL, 'r' },
		{ "into", required_argument, NULL, 'i' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	optind = 0; /* Reset: the tool has used getopt before. */
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			o->json = true;
		else if (c == 'q')
			o->quick = true;
		else if (c == 'o')
			o->only = optarg;
		else if (c == 't')
			o->limit_s = parse_seconds(optarg);
		else if (c == 'r')
			o->run = optarg;
		else if (c == 'i')
			o->into_fd = atoi(optarg);
		else if (c == 'l')
			return list(), 0;
		else if (c == 'h')
			return usage(stdout), 0;
		else
			return usage(stderr), 2;
	}
	if (optind != argc || !o->limit_s)
		return usage(stderr), 2;
	return o->only && !are_rows(o->only) ? 2 : -1;
}

/* --- running --------------------------------------------------------------- */

static void progress(size_t done, size_t count, const char *name)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (name)
		fprintf(stderr, "\r\033[K[%zu/%zu] %s ...", done + 1, count,
			name);
	else
		fprintf(stderr, "\r\033[K");
}

static size_t choose_rows(const struct options *o, struct bench_report *reports)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < ROWS; i++)
		if (!o->only || is_named(o->only, rows[i].name))
			reports[count++].row = &rows[i];
	return count;
}

static int run_rows(const struct options *o, struct bench_outcome *shared,
		    int fd)
{
	static struct bench_outcome outcomes[ROWS];
	struct bench_report reports[ROWS];
	size_t count = choose_rows(o, reports);
	int status = 0;
	size_t i;

	if (!o->json)
		bench_print_head();
	for (i = 0; i < count; i++) {
		progress(i, count, reports[i].row->name);
		run_row(reports[i].row, shared, fd, o);
		progress(i, count, NULL);
		outcomes[i] = *shared;
		reports[i].out = &outcomes[i];
		if (outcomes[i].state == BENCH_FAILED)
			status = 1;
		if (!o->json)
			bench_print_row(&reports[i]);
	}
	if (o->json && bench_print_json(reports, count, o->quick)) {
		fprintf(stderr, "hmmu bench: out of memory\n");
		status = 1;
	}
	return status;
}

int cmd_bench(int argc, char **argv)
{
	struct options o = { .limit_s = ROW_LIMIT_S, .into_fd = -1 };
	struct bench_outcome *shared = MAP_FAILED;
	int status = parse(argc, argv, &o);
	int fd;

	if (status >= 0)
		return status;
	if (o.run)
		return run_here(&o);
	/* The children inherit it. */
	fd = memfd_create("hmmu-bench", 0);
	if (fd >= 0 && !ftruncate(fd, sizeof(*shared)))
		shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED) {
		fprintf(stderr, "hmmu bench: %s\n", strerror(errno));
		return 1;
	}
	status = run_rows(&o, shared, fd);
	munmap(shared, sizeof(*shared));
	close(fd);
	return status;
}
