/* SPDX-License-Identifier: MIT */
/*
 * hmmu dmirror: run a program with the devices of the kernel's HMM test module
 *
 * The devices are in libhmmu-dmirror.so, which is preloaded.
 */
#include <dlfcn.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hmmu/space.h>

#include "commands.h"
#include "tool.h"

#define SHIM	"libhmmu-dmirror.so"
/* Its path below the build directory, for a tool that is not installed. */
#define IN_TREE "compat/dmirror/" SHIM

static void usage(FILE *out)
{
	fputs("usage: hmmu dmirror [--library FILE] -- COMMAND [ARGUMENT...]\n"
	      "\n"
	      "Runs COMMAND with the devices of the kernel's HMM test module:\n"
	      "/dev/hmm_dmirror0 and 1 with private memory, 2 and 3 with\n"
	      "coherent memory, and /sys/kernel/debug/gup_test. A preloaded\n"
	      "library implements them; no kernel module is loaded.\n"
	      "\n"
	      "  --library FILE  preload this " SHIM "\n"
	      "  --help          print this\n",
	      out);
}

/* The libhmmu that this program is linked to; its hooks are preloaded too. */
static const char *own_library(void)
{
	Dl_info info;

	if (!dladdr((const void *)hmmu_space_open, &info))
		return NULL;
	return info.dli_fname;
}

/* Write the shim's path to @path; false if it is not found. */
static bool find_shim(char *path, size_t room)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		snprintf(path, room, "%.*s/" IN_TREE, (int)(slash - self),
			 self);
		if (!access(path, R_OK))
			return true;
	}
	snprintf(path, room, "%s/" SHIM, HMMU_PRIVATE_LIBDIR);
	return !access(path, R_OK);
}

/*
 * Write the absolute path of @file to @path. The loader would ignore a file
 * that is not there, and search its folders for a name without a slash.
 */
static bool find_library(const char *file, char path[PATH_MAX])
{
	if (realpath(file, path) && !access(path, R_OK))
		return true;
	tool_error("dmirror: --library %s: %s", file, strerror(errno));
	return false;
}

/* The shim comes first, so that its mmap() is called before the hook's. */
static int preload(const char *shim, const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *list;
	int err;

	if (asprintf(&list, "%s %s%s%s", shim, library, old ? " " : "",
		     old ? old : "") < 0)
		return -ENOMEM;
	err = setenv("LD_PRELOAD", list, 1) ? -errno : 0;
	free(list);
	return err;
}

static int run(const char *shim, char **command)
{
	const char *library = own_library();
	int err;

	if (!library) {
		tool_error("dmirror: cannot find libhmmu.so");
		return TOOL_FAILED;
	}
	err = preload(shim, library);
	if (!err) {
		execvp(command[0], command);
		err = -errno;
	}
	tool_error("dmirror: %s: %s", command[0], strerror(-err));
	return TOOL_FAILED;
}

int cmd_dmirror(int argc, char **argv)
{
	static const struct option options[] = {
		{ "library", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *library = NULL;
	char path[PATH_MAX];
	int got;

	optind = 1;
	while ((got = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		if (got == 'h') {
			usage(stdout);
			return TOOL_OK;
		}
		if (got != 'l')
			return tool_option_error(argv, got);
		library = optarg;
	}
	if (optind == argc) {
		tool_error("dmirror: no command; see `hmmu dmirror --help`");
		return TOOL_USAGE;
	}
	if (library && !find_library(library, path))
		return TOOL_FAILED;
	if (!library && !find_shim(path, sizeof(path))) {
		tool_error("dmirror: " SHIM
			   " is not in %s; name it with --library",
			   HMMU_PRIVATE_LIBDIR);
		return TOOL_FAILED;
	}
	return run(path, argv + optind);
}
