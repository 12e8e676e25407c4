/* SPDX-License-Identifier: MIT */
/*
 * hmmu info: the kernel's facilities, as a table and as JSON
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <json-c/json.h>

#include <hmmu/base.h>
#include <hmmu/platform.h>

#include "commands.h"
#include "tool.h"

/* The width of lines if the output is not a terminal. */
#define COLUMNS_DEFAULT 80u
#define COLUMNS_MIN	50u
/* The column where the sentences begin. */
#define INDENT		26u

struct answer {
	struct hmmu_facility *facility;
	size_t count;
	struct utsname kernel;
};

static void usage(FILE *out)
{
	fputs("usage: hmmu info [--json]\n"
	      "\n"
	      "Tries each kernel facility that HMMU can use. Lists which are\n"
	      "missing, why, and what HMMU does instead. Changes nothing.\n"
	      "\n"
	      "  --json  print one JSON object\n"
	      "  --help  print this\n"
	      "\n"
	      "To try HMMU without a facility, set one of these environment\n"
	      "variables to 1: HMMU_FORCE_NO_UFFD, HMMU_FORCE_USER_MODE,\n"
	      "HMMU_FORCE_NO_MOVE, HMMU_FORCE_NO_PAGEMAP_SCAN,\n"
	      "HMMU_FORCE_NO_PROCMAP_QUERY, HMMU_FORCE_NO_POPULATE,\n"
	      "HMMU_FORCE_NO_MEMBARRIER, HMMU_FORCE_NO_HOOKS.\n",
	      out);
}

/* Query the number of facilities, then all of them. 0 or -errno. */
static int ask(struct answer *answer)
{
	size_t room;
	int err = hmmu_platform_query(NULL, 0, &room);

	if (err)
		return err;
	answer->facility = calloc(room, sizeof(*answer->facility));
	if (!answer->facility)
		return -ENOMEM;
	answer->facility[0].size = sizeof(*answer->facility);
	err = hmmu_platform_query(answer->facility, room, &answer->count);
	if (!err && uname(&answer->kernel))
		err = -errno;
	return err;
}

/* --- table ---------------------------------------------------------------- */

static unsigned int columns(void)
{
	struct winsize size = { 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return COLUMNS_DEFAULT;
	return size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
}

static void print_facility(const struct hmmu_facility *f, unsigned int width)
{
	printf("%-22s %s ", f->name, f->available ? "+ " : "- ");
	tool_print_folded(stdout, f->reason, INDENT, INDENT, width);
	if (!f->instead)
		return;
	printf("%*sinstead: ", (int)INDENT, "");
	tool_print_folded(stdout, f->instead, INDENT + sizeof("instead: ") - 1,
			  INDENT, width);
}

static void print_table(const struct answer *answer)
{
	unsigned int width = columns();

	printf("HMMU %s on %s %s, as user %u\n\n", tool_version(),
	       answer->kernel.sysname, answer->kernel.release,
	       (unsigned int)geteuid());
	for (size_t i = 0; i < answer->count; i++)
		print_facility(&answer->facility[i], width);
	printf("\n+ available   - missing: the reason, and what HMMU does instead\n");
}

/* --- JSON ----------------------------------------------------------------- */

/*
 * Adds @value and consumes it. A failure of json-c is NULL, which is also its
 * null, so the function records a failure in @failed.
 */
static void put(struct json_object *object, const char *key,
		struct json_object *value, bool *failed)
{
	if (object && value && !json_object_object_add(object, key, value))
		return;
	json_object_put(value);
	*failed = true;
}

static void put_text(struct json_object *object, const char *key,
		     const char *text, bool *failed)
{
	put(object, key, json_object_new_string(text), failed);
}

static void put_bool(struct json_object *object, const char *key, bool value,
		     bool *failed)
{
	put(object, key, json_object_new_boolean(value), failed);
}

/* "instead" is present only if the facility is missing. */
static struct json_object *new_facility(const struct hmmu_facility *f,
					bool *failed)
{
	struct json_object *object = json_object_new_object();

	put_text(object, "name", f->name, failed);
	put_bool(object, "available", f->available, failed);
	put_bool(object, "forced_off", f->forced_off, failed);
	put_text(object, "reason", f->reason, failed);
	if (f->instead)
		put_text(object, "instead", f->instead, failed);
	return object;
}

static struct json_object *new_facilities(const struct answer *answer,
					  bool *failed)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < answer->count; i++) {
		struct json_object *one =
			new_facility(&answer->facility[i], failed);

		if (array && one && !json_object_array_add(array, one))
			continue;
		json_object_put(one);
		*failed = true;
	}
	return array;
}

static int print_json(const struct answer *answer)
{
	struct json_object *object = json_object_new_object();
	bool failed = false;
	const char *text = NULL;

	put_text(object, "hmmu", tool_library_version(), &failed);
	if (hmmu_version() != HMMU_VERSION)
		put_text(object, "tool", HMMU_VERSION_STRING, &failed);
	put_text(object, "kernel", answer->kernel.release, &failed);
	put(object, "uid", json_object_new_int64(geteuid()), &failed);
	put(object, "facilities", new_facilities(answer, &failed), &failed);
	if (!failed)
		text = json_object_to_json_string_ext(
			object, JSON_C_TO_STRING_PRETTY |
					JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text)
		puts(text);
	else
		tool_error("info: out of memory for the JSON text");
	json_object_put(object);
	return text ? TOOL_OK : TOOL_FAILED;
}

/* --- command -------------------------------------------------------------- */

static int run(bool json)
{
	struct answer answer = { 0 };
	int status = TOOL_OK;
	int err = ask(&answer);

	if (err) {
		tool_error("info: cannot query the facilities: %s",
			   strerror(-err));
		status = TOOL_FAILED;
	} else if (json) {
		status = print_json(&answer);
	} else {
		print_table(&answer);
	}
	free(answer.facility);
	return status;
}

int cmd_info(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool json = false;
	int got;

	opterr = 0;
	while ((got = getopt_long(argc, argv, "+:h", options, NULL)) != -1) {
		if (got == 'h') {
			usage(stdout);
			return TOOL_OK;
		}
		if (got != 'j')
			return tool_option_error(argv, got);
		json = true;
	}
	if (optind < argc)
		return tool_operand_error(argv, argv[optind]);
	return run(json);
}
