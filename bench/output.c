/* SPDX-License-Identifier: MIT */
/*
 * hmmu bench: output as a table and as JSON
 */
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <json-c/json.h>

#include "output.h"

/* The CPUs that this process may use, which may be fewer than the machine's. */
static int usable_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : CPU_COUNT(&set);
}

void bench_print_head(void)
{
	struct utsname name;

	if (!uname(&name))
		printf("%s %s, %d CPUs, HMMU %s; medians\n\n", name.sysname,
		       name.release, usable_cpus(), HMMU_VERSION_STRING);
	printf("%-32s %10s %10s %7s  %-4s %s\n", "", "floor", "ours", "ratio",
	       "met", "where");
}

/* Four significant digits. */
static const char *format_number(char text[16], double value, bool has)
{
	int decimals = value >= 1000 ? 0 :
		       value >= 100  ? 1 :
		       value >= 10   ? 2 :
				       3;

	if (has)
		snprintf(text, 16, "%.*f", decimals, value);
	else
		snprintf(text, 16, "-");
	return text;
}

static const char *met_text(const struct bench_case *c)
{
	int met = bench_is_met(c);

	return met < 0 ? "-" : met ? "yes" : "NO";
}

static bool has_ours(const struct bench_case *c)
{
	return c->ours > 0.0 || bench_is_met(c) >= 0;
}

static void print_case(const struct bench_case *c)
{
	char floor[16], ours[16], ratio[16];
	bool has_ratio = c->floor > 0.0 && c->ours > 0.0;

	printf("  %-30s %10s %10s %7s  %-4s %s\n", c->label,
	       format_number(floor, c->floor, c->floor > 0.0),
	       format_number(ours, c->ours, has_ours(c)),
	       format_number(ratio, has_ratio ? c->ours / c->floor : 0,
			     has_ratio),
	       met_text(c), c->where);
	if (c->note[0])
		printf("      %s\n", c->note);
}

void bench_print_row(const struct bench_report *report)
{
	static const char *const words[] = { "",
					     "skipped, missing: ", "FAILED: " };
	const struct bench_outcome *out = report->out;
	unsigned int i;

	printf("%s: %s, %s\n", report->row->name, report->row->what,
	       report->row->unit);
	printf("  target %s\n", report->row->target);
	for (i = 0; i < out->cases; i++)
		print_case(&out->at[i]);
	if (out->state != BENCH_RAN)
		printf("  %s%s\n", words[out->state], out->why);
	fflush(stdout);
}

/* --- JSON ------------------------------------------------------------------ */

/* json-c returns NULL or less than 0 only if out of memory. */
static int add(struct json_object *to, const char *key, struct json_object *v)
{
	return json_object_object_add(to, key, v);
}

static int add_text(struct json_object *to, const char *key, const char *text)
{
	struct json_object *v = json_object_new_string(text);

	return v ? add(to, key, v) : -1;
}

/* null if not measured. */
static int add_number(struct json_object *to, const char *key, double value,
		      bool has)
{
	struct json_object *v = has ? json_object_new_double(value) : NULL;

	return has && !v ? -1 : add(to, key, v);
}

static int add_met(struct json_object *to, const struct bench_case *c)
{
	int met = bench_is_met(c);
	struct json_object *v = met < 0 ? NULL : json_object_new_boolean(met);

	return met >= 0 && !v ? -1 : add(to, "met", v);
}

static int fill_case(struct json_object *o, const struct bench_case *c)
{
	bool has_ratio = c->floor > 0.0 && c->ours > 0.0;

	return add_text(o, "case", c->label) ||
	       add_text(o, "where", c->where) ||
	       add_number(o, "floor", c->floor, c->floor > 0.0) ||
	       add_number(o, "ours", c->ours, has_ours(c)) ||
	       add_number(o, "ratio", has_ratio ? c->ours / c->floor : 0,
			  has_ratio) ||
	       add_met(o, c) || add_text(o, "note", c->note);
}

static int fill_row(struct json_object *o, const struct bench_report *report)
{
	static const char *const states[] = { "ran", "skipped", "failed" };
	const struct bench_row *row = report->row;
	struct json_object *cases = json_object_new_array();
	unsigned int i;

	if (!cases || add(o, "cases", cases))
		return -1;
	for (i = 0; i < report->out->cases; i++) {
		struct json_object *c = json_object_new_object();

		if (!c || json_object_array_add(cases, c) ||
		    fill_case(c, &report->out->at[i]))
			return -1;
	}
	return add_text(o, "name", row->name) ||
	       add_text(o, "what", row->what) ||
	       add_text(o, "unit", row->unit) ||
	       add_text(o, "target", row->target) ||
	       add_text(o, "state", states[report->out->state]) ||
	       add_text(o, "why", report->out->why);
}

static int fill_machine(struct json_object *root, bool quick)
{
	struct utsname name;
	struct json_object *q = json_object_new_boolean(quick);
	struct json_object *cpus = json_object_new_int(usable_cpus());

	if (!q || !cpus || add(root, "quick", q) || add(root, "cpus", cpus))
		return -1;
	return add_text(root, "version", HMMU_VERSION_STRING) ||
	       add_text(root, "kernel", uname(&name) ? "" : name.release);
}

static int fill_report(struct json_object *root,
		       const struct bench_report *reports, size_t count)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	if (!array || add(root, "rows", array))
		return -1;
	for (i = 0; i < count; i++) {
		struct json_object *o = json_object_new_object();

		if (!o || json_object_array_add(array, o) ||
		    fill_row(o, &reports[i]))
			return -1;
	}
	return 0;
}

int bench_print_json(const struct bench_report *reports, size_t count,
		     bool quick)
{
	struct json_object *root = json_object_new_object();
	int err;

	if (!root)
		return -1;
	err = fill_machine(root, quick) || fill_report(root, reports, count);
	if (!err)
		puts(json_object_to_json_string_ext(root,
						    JSON_C_TO_STRING_PRETTY));
	json_object_put(root);
	return err ? -1 : 0;
}
