/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/hmmu/graph/stanza.h"

/* A string literal as input; its NUL is not part of it */
#define TEXT(literal) ((struct text){ (literal), sizeof(literal) - 1 })

/* The events of an input as text, "name=value;" and "/" for a stanza's end */
static char *events(struct text input)
{
	static char log[4096];
	struct stanza_parser parser;
	struct graph_error error;
	struct stanza_field field;
	int event;

	log[0] = '\0';
	stanza_init(&parser, "input", input);
	while ((event = stanza_next(&parser, &field, &error)) > 0) {
		size_t used = strlen(log);

		if (event == STANZA_END)
			snprintf(log + used, sizeof(log) - used, "/");
		else
			snprintf(log + used, sizeof(log) - used, "%.*s=%.*s;",
				 (int)field.name.length_bytes, field.name.data,
				 (int)field.value.length_bytes,
				 field.value.data);
	}
	assert_int_equal(event, STANZA_EOF);
	assert_int_equal(stanza_next(&parser, &field, NULL), STANZA_EOF);
	return log;
}

static void assert_refused(struct text input, unsigned long line,
			   const char *reason)
{
	struct graph_error error = { 0 };
	struct stanza_parser parser;
	struct stanza_field field;
	int event;

	stanza_init(&parser, "lists/Packages", input);
	do {
		event = stanza_next(&parser, &field, &error);
	} while (event > 0);
	assert_int_equal(event, -EBADMSG);
	assert_int_equal(error.code, -EBADMSG);
	assert_string_equal(error.file, "lists/Packages");
	assert_int_equal(error.line, line);
	assert_non_null(strstr(error.reason, reason));
	/* A pass that failed stays failed */
	assert_int_equal(stanza_next(&parser, &field, NULL), -EBADMSG);
}

static void test_stanza_empty_input_is_no_stanza(void **state)
{
	(void)state;
	assert_string_equal(events(TEXT("")), "");
	assert_string_equal(events((struct text){ NULL, 0 }), "");
	assert_string_equal(events(TEXT("\n\n\n")), "");
	assert_string_equal(events(TEXT("# only a comment\n")), "");
}

static void test_stanza_fields_and_stanzas_are_parted(void **state)
{
	(void)state;
	assert_string_equal(events(TEXT("A: 1\nB:2\n\nC:\t3 \n")),
			    "A=1;B=2;/C=3;/");
	assert_string_equal(events(TEXT("\n\nA: 1\n\n\n\nB: 2\n\n")),
			    "A=1;/B=2;/");
	assert_string_equal(events(TEXT("A:\n")), "A=;/");
	assert_string_equal(events(TEXT("A: b: c\n")), "A=b: c;/");
}

static void test_stanza_continuations_stay_in_the_value(void **state)
{
	(void)state;
	assert_string_equal(events(TEXT("A: 1,\n 2,\n\t3\nB: x\n")),
			    "A=1,\n 2,\n\t3;B=x;/");
	assert_string_equal(events(TEXT("A:\n text\n .\n more\n")),
			    "A=text\n .\n more;/");
}

static void test_stanza_comments_neither_end_nor_begin_anything(void **state)
{
	(void)state;
	assert_string_equal(events(TEXT("# x\nA: 1\n# y: z\nB: 2\n")),
			    "A=1;B=2;/");
	assert_string_equal(events(TEXT("A: 1,\n# why\n 2\n# end\n\nB: 3\n")),
			    "A=1,\n# why\n 2;/B=3;/");
}

static void test_stanza_field_tells_its_line(void **state)
{
	struct stanza_parser parser;
	struct stanza_field field;

	(void)state;
	stanza_init(&parser, "f", TEXT("A: 1\n x\n# c\n\nB: 2\n"));
	assert_int_equal(stanza_next(&parser, &field, NULL), STANZA_FIELD);
	assert_int_equal(field.line, 1);
	assert_int_equal(stanza_next(&parser, &field, NULL), STANZA_END);
	assert_int_equal(stanza_next(&parser, &field, NULL), STANZA_FIELD);
	assert_int_equal(field.line, 5);
}

static void test_stanza_damage_is_refused_with_its_line(void **state)
{
	(void)state;
	assert_refused(TEXT("A: 1\nB\n"), 2, "no colon");
	assert_refused(TEXT("A: 1\n: 2\n"), 2, "no name");
	assert_refused(TEXT("A: 1\n-B: 2\n"), 2, "hyphen");
	assert_refused(TEXT("A B: 2\n"), 1, "printable ASCII");
	assert_refused(TEXT("\303\204: 2\n"), 1, "printable ASCII");
	assert_refused(TEXT("A\177: 2\n"), 1, "printable ASCII");
	assert_refused(TEXT("A: 1\n\nB: 2\n 3\0 4\n"), 4, "NUL");
	assert_refused(TEXT("A: 1\nB: 2"), 2, "no newline");
	assert_refused(TEXT("A: 1\n\n x\n"), 3, "without a field");
	assert_refused(TEXT(" x\n"), 1, "without a field");
	assert_refused(TEXT("A: 1\n \t\n x\n"), 2, "blank line inside");
	assert_refused(TEXT("A: 1\n\n  \nB: 2\n"), 3, "not empty");
}

static void test_stanza_carriage_return_is_refused(void **state)
{
	(void)state;
	assert_refused(TEXT("A: 1\r\nB: 2\r\n"), 1, "carriage return");
	assert_refused(TEXT("A: 1\n\r\nB: 2\n"), 2, "carriage return");
}

static void test_stanza_repeated_field_is_refused(void **state)
{
	(void)state;
	assert_refused(TEXT("A: 1\nB: 2\na: 3\n"), 3, "twice");
	assert_string_equal(events(TEXT("A: 1\n\nA: 2\n")), "A=1;/A=2;/");
}

/* A line of @length_bytes bytes, "A:xxx", and its newline */
static char *long_line(size_t length_bytes)
{
	char *line = malloc(length_bytes + 1);

	assert_non_null(line);
	memset(line, 'x', length_bytes);
	memcpy(line, "A:", 2);
	line[length_bytes] = '\n';
	return line;
}

static void test_stanza_overlong_line_is_refused(void **state)
{
	char *line = long_line(STANZA_LINE_BYTES_MAX + 1);
	struct stanza_parser parser;
	struct stanza_field field;

	(void)state;
	assert_refused((struct text){ line, STANZA_LINE_BYTES_MAX + 2 }, 1,
		       "line is too long");
	line[STANZA_LINE_BYTES_MAX] = '\n';
	stanza_init(&parser, "f",
		    (struct text){ line, STANZA_LINE_BYTES_MAX + 1 });
	assert_int_equal(stanza_next(&parser, &field, NULL), STANZA_FIELD);
	assert_int_equal(field.value.length_bytes, STANZA_LINE_BYTES_MAX - 2);
	free(line);
}

static void test_stanza_overlong_name_is_refused(void **state)
{
	char line[STANZA_NAME_BYTES_MAX + 4];

	(void)state;
	memset(line, 'n', sizeof(line));
	memcpy(line + STANZA_NAME_BYTES_MAX + 1, ":1\n", 3);
	assert_refused((struct text){ line, sizeof(line) }, 1,
		       "name is too long");
	line[STANZA_NAME_BYTES_MAX] = ':';
	assert_int_equal(strlen(events((struct text){ line, sizeof(line) })),
			 STANZA_NAME_BYTES_MAX + strlen("=:1;/"));
}

/* @count fields "F0:" "F1:" and so on, one a line */
static struct text many_fields(char *buffer, size_t size, unsigned int count)
{
	size_t used = 0;

	for (unsigned int i = 0; i < count; i++)
		used += (size_t)snprintf(buffer + used, size - used, "F%u:\n",
					 i);
	return (struct text){ buffer, used };
}

static void test_stanza_too_many_fields_are_refused(void **state)
{
	char buffer[STANZA_FIELDS_MAX * 8];

	(void)state;
	assert_refused(many_fields(buffer, sizeof(buffer),
				   STANZA_FIELDS_MAX + 1),
		       STANZA_FIELDS_MAX + 1, "too many fields");
	assert_string_not_equal(
		events(many_fields(buffer, sizeof(buffer), STANZA_FIELDS_MAX)),
		"");
}

static void test_stanza_error_keeps_the_tail_of_a_long_file_name(void **state)
{
	char name[GRAPH_ERROR_FILE_BYTES * 2];
	struct graph_error error;

	(void)state;
	memset(name, 'a', sizeof(name));
	memcpy(name + sizeof(name) - 9, "Packages", 9);
	assert_int_equal(graph_error_set(&error, -EIO, name, 0, "x"), -EIO);
	assert_int_equal(strlen(error.file), GRAPH_ERROR_FILE_BYTES - 1);
	assert_non_null(strstr(error.file, "aPackages"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stanza_empty_input_is_no_stanza),
		cmocka_unit_test(test_stanza_fields_and_stanzas_are_parted),
		cmocka_unit_test(test_stanza_continuations_stay_in_the_value),
		cmocka_unit_test(
			test_stanza_comments_neither_end_nor_begin_anything),
		cmocka_unit_test(test_stanza_field_tells_its_line),
		cmocka_unit_test(test_stanza_damage_is_refused_with_its_line),
		cmocka_unit_test(test_stanza_carriage_return_is_refused),
		cmocka_unit_test(test_stanza_repeated_field_is_refused),
		cmocka_unit_test(test_stanza_overlong_line_is_refused),
		cmocka_unit_test(test_stanza_overlong_name_is_refused),
		cmocka_unit_test(test_stanza_too_many_fields_are_refused),
		cmocka_unit_test(
			test_stanza_error_keeps_the_tail_of_a_long_file_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
