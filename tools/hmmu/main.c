/* SPDX-License-Identifier: MIT */
/*
 * hmmu(1): option parsing and the choice of the command
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hmmu/base.h>

#include "commands.h"
#include "tool.h"

#define ARRAY_COUNT(array) (sizeof(array) / sizeof(*(array)))

struct command {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
	{ "info", "list the kernel facilities that HMMU can use here",
	  cmd_info },
	{ "demo", "run a device over the pointers of a plain C program",
	  cmd_demo },
	{ "bench", "measure the cost of HMMU beside a floor", cmd_bench },
	{ "dmirror", "run a program with the kernel's HMM test devices",
	  cmd_dmirror },
};

char *const *tool_argv;

static void usage(FILE *out)
{
	fputs("usage: hmmu COMMAND [OPTION...]\n"
	      "       hmmu help [COMMAND]\n"
	      "       hmmu --version\n"
	      "\n"
	      "Heterogeneous memory management in user space.\n"
	      "\n",
	      out);
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
		fprintf(out, "  %-7s %s\n", commands[i].name,
			commands[i].summary);
	fputs("\n"
	      "Exit status: 0 success; 1 failure; 2 wrong arguments; 3 the kernel\n"
	      "or the privileges lack what HMMU needs.\n",
	      out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static int unknown_command(const char *name)
{
	tool_error("unknown command `%s`; `hmmu help` lists the commands",
		   name);
	return TOOL_USAGE;
}

/* `hmmu help demo` runs `hmmu demo --help`, so that there is one text */
static int help(int argc, char **argv)
{
	static char option[] = "--help";
	const struct command *command;
	char *help_argv[] = { NULL, option, NULL };

	if (argc < 2) {
		usage(stdout);
		return TOOL_OK;
	}
	if (argc > 2) {
		tool_error("help: more than one command; name one");
		return TOOL_USAGE;
	}
	command = find_command(argv[1]);
	if (!command)
		return unknown_command(argv[1]);
	help_argv[0] = argv[1];
	return command->run(2, help_argv);
}

/* Parse options before the command. Returns a status, or -1 to go on. */
static int global_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};

	opterr = 0;
	switch (getopt_long(argc, argv, "+hV", options, NULL)) {
	case -1:
		return -1;
	case 'h':
		usage(stdout);
		return TOOL_OK;
	case 'V':
		printf("hmmu %s\n", tool_version());
		return TOOL_OK;
	default:
		tool_error("unknown option `%s`; see `hmmu help`",
			   argv[optind - 1]);
		return TOOL_USAGE;
	}
}

static int run_command(int argc, char **argv)
{
	const struct command *command;

	if (!strcmp(argv[0], "help"))
		return help(argc, argv);
	command = find_command(argv[0]);
	if (!command)
		return unknown_command(argv[0]);
	/* 0, not 1: getopt also forgets its place in the other vector */
	optind = 0;
	return command->run(argc, argv);
}

/* A failed write is a failure of the command, for example on a full disk */
static int flush_output(int status)
{
	if (!fflush(stdout) && !ferror(stdout))
		return status;
	if (status == TOOL_OK)
		tool_error("cannot write to standard output");
	return status == TOOL_OK ? TOOL_FAILED : status;
}

int main(int argc, char **argv)
{
	int status;

	tool_argv = argv;
	status = global_options(argc, argv);
	if (status >= 0)
		return flush_output(status);
	if (optind == argc) {
		usage(stderr);
		return TOOL_USAGE;
	}
	argv += optind;
	argc -= optind;
	return flush_output(run_command(argc, argv));
}
