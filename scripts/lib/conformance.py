#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print the results of the kernel's HMM tests as a table.

usage: conformance.py LOG FREE_HUGE_PAGES

A test that finds no huge page of hugetlbfs passes; it counts as skipped here.
The exit status is 0 if tests ran and none failed.
"""

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


def print_table(results):
    width = max(len(test) for _, test in results)
    print(f"{'test':{width}}  {'private':9} coherent")
    for (_, test), states in results.items():
        print(f"{test:{width}}  {states.get('private', '-'):9} "
              f"{states.get('coherent', '-')}".rstrip())


def main():
    plan, results, said = read(sys.argv[1])
    if int(sys.argv[2] or 0) < 2:
        without_huge_pages(results)
    if results:
        print_table(results)
    for name, lines in said.items():
        print(f"FAILED {name}")
        print("\n".join("    " + line for line in lines))
    states = [s for by_kind in results.values() for s in by_kind.values()]
    missing = plan - len(states)
    if missing or not plan:
        print(f"{missing or 'all'} tests did not end; see {sys.argv[1]}")
    passed = states.count("passed")
    skipped = sum(s.startswith("skipped") for s in states)
    failed = states.count("FAILED") + missing
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
