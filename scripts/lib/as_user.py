#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""as_user.py BUILD RECORDS - runs tests again without privileges.

Root gives its rights away: each program of the chosen suites runs as nobody.
RECORDS becomes what meson's testlog.json is.
"""

import argparse
import concurrent.futures
import json

from programs import AsNobody, introspect, suites


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build")
    parser.add_argument("records")
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--no-suite", action="append", default=[])
    parser.add_argument("--jobs", type=int, default=1,
                        help="so many of the tests that allow it at a time")
    return parser.parse_args()


def chosen(options):
    """In meson's order."""
    return sorted((test for test in introspect(options.build)
                   if suites(test) & set(options.suite)
                   and not suites(test) & set(options.no_suite)),
                  key=lambda test: -test["priority"])


def run_all(nobody, tests, jobs):
    """Yields the record of each: those that want the machine alone last."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(nobody.run, [test for test in tests
                                         if test["is_parallel"]])
    yield from map(nobody.run, [test for test in tests
                                if not test["is_parallel"]])


def main():
    options = parse()
    tests = chosen(options)
    with AsNobody(options.build) as nobody, \
            open(options.records, "w", encoding="utf-8") as records:
        for number, record in enumerate(
                run_all(nobody, tests, options.jobs), 1):
            records.write(json.dumps(record) + "\n")
            print(f"{number:3}/{len(tests)} {record['name']:40} "
                  f"{record['result']} {record['duration']:.2f}s", flush=True)


main()
