/* SPDX-License-Identifier: MIT */
/*
 * Messages, progress, numbers and versions for the commands of hmmu
 */
#include "tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <hmmu/base.h>

#include "tools/hmmu/graph/text.h"

void tool_error(const char *format, ...)
{
	va_list args;

	tool_progress(NULL);
	fputs("hmmu: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/*
 * Find the option that getopt_long() refused. A long option is the word before
 * optind: it is unknown, lacks its argument, or has one that it does not take.
 * A short option is in optopt.
 */
static void get_refused_option(char *const *argv, int got, char *text,
			       size_t text_bytes)
{
	const char *word = argv[optind - 1];
	bool is_long = !strncmp(word, "--", 2) &&
		       (!optopt || got == ':' || strchr(word, '='));

	if (is_long)
		snprintf(text, text_bytes, "%s", word);
	else
		snprintf(text, text_bytes, "-%c", optopt);
}

int tool_option_error(char *const *argv, int got)
{
	char option[64];

	get_refused_option(argv, got, option, sizeof(option));
	tool_error("%s: %s %s; `hmmu help %s` lists the options", argv[0],
		   option,
		   got == ':' ? "needs an argument" :
				"is unknown, or takes no argument",
		   argv[0]);
	return TOOL_USAGE;
}

int tool_operand_error(char *const *argv, const char *operand)
{
	tool_error("%s: unexpected argument `%s`; see `hmmu help %s`", argv[0],
		   operand, argv[0]);
	return TOOL_USAGE;
}

bool tool_parse_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (!text_is_digit(*text))
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return false;
	}
	if (value < min)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* Progress is not worth a retry of a failed write */
static void write_terminal(const char *text, size_t bytes)
{
	ssize_t written = write(STDERR_FILENO, text, bytes);

	(void)written;
}

/* Columns of a line that does not wrap and can be erased; 0: no terminal */
static size_t progress_columns(void)
{
	struct winsize size;

	if (!isatty(STDERR_FILENO))
		return 0;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 79;
	return size.ws_col - 1u;
}

void tool_progress(const char *format, ...)
{
	/* Move to the first column and erase the rest of the line */
	static const char erase[] = "\r\033[K";
	size_t columns = progress_columns();
	char line[256] = "";
	va_list args;

	if (!columns)
		return;
	if (format) {
		va_start(args, format);
		vsnprintf(line, sizeof(line), format, args);
		va_end(args);
	}
	write_terminal(erase, sizeof(erase) - 1);
	write_terminal(line, strnlen(line, columns));
}

void tool_print_folded(FILE *out, const char *text, size_t at, size_t indent,
		       size_t width)
{
	bool is_first = true;

	while (*text) {
		size_t word = strcspn(text, " ");

		if (!is_first && at + 1 + word > width) {
			fprintf(out, "\n%*s", (int)indent, "");
			at = indent;
		} else if (!is_first) {
			fputc(' ', out);
			at++;
		}
		fwrite(text, 1, word, out);
		at += word;
		is_first = false;
		text += word + (text[word] == ' ');
	}
	fputc('\n', out);
}

uint64_t tool_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

const char *tool_library_version(void)
{
	static char text[32];
	int version = hmmu_version();

	snprintf(text, sizeof(text), "%d.%d.%d", version / 10000,
		 version / 100 % 100, version % 100);
	return text;
}

const char *tool_version(void)
{
	static char text[96];

	if (hmmu_version() == HMMU_VERSION)
		return HMMU_VERSION_STRING;
	snprintf(text, sizeof(text), HMMU_VERSION_STRING " with libhmmu %s",
		 tool_library_version());
	return text;
}
