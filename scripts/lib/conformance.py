#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the kernels' HMM tests printed, as one table.

usage: conformance.py --free-huge-pages N [--skipped NAME]... LABEL=LOG...

A column for each kernel and kind of memory. A test that found no huge page of
hugetlbfs ends as if it had passed: it counts as skipped, as does a kernel that
is not there. The status is 0 if tests ran and none failed.
"""

import argparse
import collections
import re
import sys

RUN = re.compile(r"# +RUN +(\S+) \.\.\.$")
# Tests of old kernels do not print the name of a skipped test.
RESULT = re.compile(r"(not ok|ok) \d+ (?:(\S+\.\S+) ?)?(?:# SKIP ?(.*))?$")
PLAN = re.compile(r"1\.\.(\d+)$")
# Tests that pass without testing if they find no huge page.
NEEDS_HUGE = ("anon_write_hugetlbfs", "compound")
HUGE = "huge pages of hugetlbfs"


def read(path):
    """Returns the number of planned tests, the results by (fixture, test) and
    variant, and the output of the failed tests."""
    plan, results, said, lines, name = 0, {}, {}, [], ""
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            line = line.rstrip()
            if match := PLAN.match(line):
                plan = int(match[1])
            if match := RUN.match(line):
                name = match[1]
            match = RESULT.match(line)
            if not match:
                lines.append(line)
                continue
            name = match[2] or name
            fixture, variant, test = name.split(".")
            kind = "coherent" if "coherent" in variant else "private"
            state = "passed" if match[1] == "ok" else "FAILED"
            if match[3] is not None:
                state = "skipped: " + (match[3] or "no reason given")
            results.setdefault((fixture, test), {})[kind] = state
            if state == "FAILED":
                said[name] = lines[-12:]
            lines = []
    return plan, results, said


def without_huge_pages(results):
    for (_, test), states in results.items():
        if test in NEEDS_HUGE:
            for kind, state in states.items():
                if state == "passed":
                    states[kind] = "skipped: " + HUGE


KINDS = ("private", "coherent")


def print_table(kernels):
    """@kernels: results by label. A test may be in some of them only."""
    tests = list(dict.fromkeys(key for _, results in kernels
                               for key in results))
    rows = [["test", *(f"{label} {kind}" for label, _ in kernels
                       for kind in KINDS)]]
    rows += [[key[1], *(results.get(key, {}).get(kind, "-").partition(":")[0]
                        for _, results in kernels for kind in KINDS)]
             for key in tests]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width
                        in zip(row, widths)).rstrip())


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--free-huge-pages", default="")
    parser.add_argument("--skipped", action="append", default=[])
    parser.add_argument("logs", nargs="+")
    return parser.parse_args()


def read_kernel(label, path, has_huge_pages):
    """Results, what to say of tests that failed, and how many did not end."""
    plan, results, said = read(path)
    if not has_huge_pages:
        without_huge_pages(results)
    text = []
    for name, lines in said.items():
        text += [f"FAILED {label} {name}", *("    " + line for line in lines)]
    missing = plan - sum(map(len, results.values()))
    if missing or not plan:
        text.append(f"{label}: {missing or 'all'} tests did not end; "
                    f"see {path}")
    return results, text, missing if plan else 1


def main():
    options = parse()
    has_huge_pages = int(options.free_huge_pages or 0) >= 2
    kernels, text, failed = [], [], 0
    for argument in options.logs:
        label, _, path = argument.partition("=")
        results, lines, missing = read_kernel(label, path, has_huge_pages)
        kernels.append((label, results))
        text += lines
        failed += missing
    print_table(kernels)
    states = [state for _, results in kernels
              for by_kind in results.values() for state in by_kind.values()]
    skips = [state.partition(": ")[2] for state in states
             if state.startswith("skipped")] + options.skipped
    text += [f"SKIPPED {count} for want of: {reason}"
             for reason, count in collections.Counter(skips).items()]
    for line in text:
        print(line)
    passed, skipped = states.count("passed"), len(skips)
    failed += states.count("FAILED")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
