#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tally.py [--brief] LABEL=RECORDS... - count the cases of test runs.

RECORDS is meson's testlog.json, with one JSON object on a line for each
program. The output of a program is parsed as TAP, so that cases are counted and
not programs. A program that prints no TAP is one case. LABEL=build-failed is
one failure.

Prints the output of failed programs, the skipped cases by missing capability,
and as the last line `N passed, N failed, N skipped`. The exit status is 0 if
something passed and nothing failed.
"""

import collections
import json
import os
import re
import sys

PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*SKIP\S*\s*(.*))?$", re.I)
RESULT = re.compile(r"(not )?ok\b\s*(\d+)?\s*(?:-\s*)?([^#]*)"
                    r"(?:#\s*(SKIP|TODO)\S*\s*(.*))?$", re.I)
# A cmocka test prints this before skip(), which takes no reason.
NEEDS = re.compile(r"#\s*needs:\s*(.*)$")
TAIL_LINES = 80

Case = collections.namedtuple("Case", "name result text")


def read_tap(stdout):
    """Returns the cases and the number planned, which is None without TAP.

    cmocka 1.1 prints a skipped case as `not ok 3 # SKIP its_name`, all other
    programs as `ok 3 - its_name # SKIP the reason`.
    """
    cases, planned, reason, text = [], None, "", []
    for line in stdout.splitlines():
        plan, result = PLAN.match(line), RESULT.match(line)
        needs = NEEDS.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
        elif needs:
            reason = needs.group(1)
        elif result:
            bad, _, name, directive, after = result.groups()
            text = [line]
            if (directive or "").upper() == "SKIP":
                name, why = (after, reason) if bad else (name, after)
                cases.append(Case(name.strip(), "skipped",
                                  [why or "no reason given"]))
            else:
                cases.append(Case(name.strip(),
                                  "failed" if bad else "passed", text))
            reason = ""
        else:
            text.append(line)
    return cases, planned


def how_it_ended(record):
    code = record.get("returncode", 0)
    if record.get("result") == "TIMEOUT":
        return "stopped at the time limit"
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit status {code}"


def program_cases(record):
    """The cases of one program. A missing case becomes a failed case."""
    result = record.get("result", "ERROR")
    cases, planned = read_tap(record.get("stdout") or "")
    if planned is None:
        if result in ("OK", "EXPECTEDFAIL"):
            return [Case("", "passed", [])]
        if result == "SKIP":
            lines = (record.get("stdout") or "").split("\n")
            return [Case("", "skipped", [lines[0] or "no reason given"])]
        return [Case("", "failed", [how_it_ended(record)])]
    if len(cases) != planned:
        cases.append(Case("(all cases)", "failed",
                          [f"{planned} planned, {len(cases)} ran; "
                           + how_it_ended(record)]))
    elif record.get("returncode") and not any(c.result == "failed"
                                              for c in cases):
        cases.append(Case("(whole program)", "failed",
                          ["no case failed, and "
                           + how_it_ended(record)]))
    elif result == "TIMEOUT":
        cases.append(Case("(whole program)", "failed",
                          [how_it_ended(record)]))
    return cases


def read_records(label, path):
    """Yields (program, case, stderr) of one run."""
    if path == "build-failed":
        yield label, Case("build", "failed", ["see above"]), ""
        return
    if not os.path.exists(path):
        yield label, Case("run", "failed", ["wrote no records"]), ""
        return
    with open(path, encoding="utf-8", errors="replace") as lines:
        records = [json.loads(line) for line in lines]
    if not records:
        yield label, Case("run", "failed", ["no test ran"]), ""
    for record in records:
        # Meson prefixes the name with the suites.
        name = record["name"].rpartition(" / ")[2]
        for case in program_cases(record):
            yield f"{label}: {name}", case, record.get("stderr") or ""


def full_name(program, case):
    return f"{program}: {case.name}" if case.name else program


def print_failures(failures):
    seen = set()
    for program, case, stderr in failures:
        print(f"FAILED {full_name(program, case)}")
        lines = case.text[:TAIL_LINES]
        if program not in seen:
            # Meson adds a line with the exit status of a TAP program.
            lines = lines + [line for line in stderr.splitlines()
                             if not line.startswith("(test program exited")
                             ][-TAIL_LINES:]
        seen.add(program)
        for line in lines:
            print(f"    {line}")


def print_skips(skips):
    by_reason = collections.defaultdict(list)
    for program, case, _ in skips:
        by_reason[case.text[0]].append(full_name(program, case))
    for reason, names in sorted(by_reason.items()):
        print(f"SKIPPED {len(names)}, missing: {reason}")
        for name in names:
            print(f"    {name}")


def main():
    arguments = sys.argv[1:]
    brief = "--brief" in arguments
    results = collections.defaultdict(list)
    for argument in arguments:
        if argument != "--brief":
            label, _, path = argument.partition("=")
            for item in read_records(label, path):
                results[item[1].result].append(item)
    if not brief:
        print_skips(results["skipped"])
        print_failures(results["failed"])
    line = ", ".join(f"{len(results[result])} {result}"
                     for result in ("passed", "failed", "skipped"))
    print(f"  {argument.partition('=')[0]}: {line}" if brief else line)
    sys.exit(bool(results["failed"]) or not results["passed"])


main()
